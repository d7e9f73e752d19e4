"""Packages that only some uses need: asked for when they are used, and named when they lack."""

from __future__ import annotations

import importlib
from importlib.metadata import PackageNotFoundError, version
from types import ModuleType

from colorize.errors import MissingPackageError


def import_extra(module: str, extra: str) -> ModuleType:
    """Import a module of one of the package's extras: train, notebook, app, export, formats."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise missing(module, error, extra) from error


def missing(needing: str, error: ModuleNotFoundError, extra: str) -> MissingPackageError:
    """Say which package lacks, and how it is installed."""
    try:
        version("colorize-study")
        how = f"pip install 'colorize-study[{extra}]'"
    except PackageNotFoundError:  # imported from its folder
        how = f"pip install '.[{extra}]' in the folder of this project"
    return MissingPackageError(
        f"{needing} needs the package {error.name}, which is not installed; install it: {how}"
    )
