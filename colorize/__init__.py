"""Automatic image colorization in PyTorch.

``from colorize import ...`` gives the public names, which ``__init__.pyi`` lists. Each is imported
when it is first asked for, so that ``import colorize`` is quick and does nothing else.
"""

import typing as _typing

import lazy_loader as _lazy_loader

from colorize.version import __version__ as __version__

_getattr, __dir__, __all__ = _lazy_loader.attach_stub(__name__, __file__)


def __getattr__(name: str) -> _typing.Any:
    try:
        return _getattr(name)
    except ModuleNotFoundError as error:
        from colorize.extras import missing

        raise missing(f"colorize.{name}", error, "train") from error
