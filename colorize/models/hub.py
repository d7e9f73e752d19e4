"""Models by name: those trained here, those that come with the library, and published ones."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path

from colorize import paths
from colorize.errors import CheckpointError, DownloadError, InputError
from colorize.models.base import Colorizer
from colorize.models.checkpoint import SUFFIX, load_checkpoint, load_weights
from colorize.models.zhang_released import ECCV16Model, SIGGRAPH17Model

# The nets of the published weights, and the names under which DOWNLOADER stores these.
PUBLISHED: Mapping[str, tuple[type[Colorizer], str]] = {
    "eccv16": (ECCV16Model, "colorization_release_v2-9b330a0b.pth"),
    "siggraph17": (SIGGRAPH17Model, "siggraph17-df00044c.pth"),
}


def list_models() -> list[str]:
    """Names of what is here for ``load_model``: the checkpoints in CHECKPOINTS, those shipped with
    us, and published weights that were fetched. The last weights of a run, ``<name>-last``, can be
    loaded as well, and are not named.
    """
    fetched = {name for name in PUBLISHED if _published_path(name).is_file()}
    return sorted(n for n in fetched | set(_trained()) if not n.endswith("-last"))


def load_model(name_or_path: str | Path, weights: str | Path | None = None) -> Colorizer:
    """Load a trained model, on the CPU, in eval mode.

    Args:
        name_or_path: one of ``list_models()``; the path of a ``.safetensors`` file; or "eccv16" or
            "siggraph17", whose published weights are fetched when they are not here.
        weights: for these two, a local copy of their weights: a state dict that ``torch.save``
            wrote, or a ``.safetensors`` file.

    Raises:
        CheckpointError: when there is none of that name, or the file cannot be read or fetched.
        InputError: when ``weights`` are given for another model.
    """
    name, path = str(name_or_path), Path(name_or_path)
    if weights is not None:
        if name not in PUBLISHED:
            raise InputError(
                f"weights: only {' and '.join(PUBLISHED)} take them, not {name!r}; a checkpoint of "
                f"ours carries its own: load_model('PATH{SUFFIX}')"
            )
        return _load_published(name, Path(weights))
    if path.suffix == SUFFIX:
        return load_checkpoint(path)
    known = _trained()
    if name in known:
        return load_checkpoint(known[name])
    if name in PUBLISHED:
        path = _published_path(name)
        return _load_published(name, path if path.is_file() else _fetch(name))
    raise CheckpointError(
        f"There is no trained model {name!r}; there are "
        f"{', '.join(list_models()) or 'none yet'}. Train one with: "
        f"python -m colorize train {name} --scale small --data PATH"
    )


def _load_published(name: str, path: Path) -> Colorizer:
    model = PUBLISHED[name][0]()
    load_weights(model, path)
    return model.eval()


def _published_path(name: str) -> Path:
    return paths.checkpoints() / PUBLISHED[name][1]


def _fetch(name: str) -> Path:
    """Let DOWNLOADER bring published weights, checked by their hash; return their path."""
    missing = f"The published weights of {name} are not at {_published_path(name)}"
    remedy = (
        f"With a network, in a checkout of the project: python DOWNLOADER/download.py {name}. "
        f"Or give a local copy: load_model({name!r}, weights=PATH)"
    )
    source = paths.checkout()
    if source is None or not (source / "DOWNLOADER").is_dir():
        raise CheckpointError(f"{missing}, and nothing here can fetch them. {remedy}")
    # An editable installation finds colorize in the checkout, and not what lies beside it.
    if str(source) not in sys.path:
        sys.path.append(str(source))
    try:
        return import_module("DOWNLOADER.download").download(name)
    except (DownloadError, OSError) as error:
        raise CheckpointError(f"{missing} and cannot be fetched: {error}. {remedy}") from error


def _trained() -> dict[str, Path]:
    # A model trained here goes before the one of the same name that came with the package.
    folders = (paths.shipped_checkpoints(), paths.checkpoints())
    # What a killed process left has a name that begins with a dot.
    found = [p for folder in folders for p in sorted(folder.glob(f"[!.]*{SUFFIX}"))]
    return {p.stem: p for p in found}
