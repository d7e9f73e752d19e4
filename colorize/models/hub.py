"""Models by name: those trained here, those that come with the library, and published ones."""

from __future__ import annotations

import difflib
import os
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple

import torch
from torch import nn

from colorize import paths
from colorize.checks import require_path
from colorize.errors import CheckpointError, InputError
from colorize.models.base import Colorizer
from colorize.models.checkpoint import (
    SUFFIX,
    CheckpointInfo,
    load_checkpoint,
    load_weights,
    read_info,
)
from colorize.models.zhang_released import ECCV16Model, SIGGRAPH17Model
from colorize.storage import atomic_write


class Published(NamedTuple):
    """A net whose weights its authors published: where they are, and their SHA-256."""

    net: type[Colorizer]
    url: str
    sha256: str

    @property
    def path(self) -> Path:
        """Where the weights lie once they were fetched."""
        return paths.checkpoints() / self.url.rpartition("/")[2]


# Seconds to connect, and without a byte.
_TIMEOUT = (15.0, 60.0)
_TRIES = 3

_AUTHORS = "https://colorizers.s3.us-east-2.amazonaws.com"
PUBLISHED = {
    "eccv16": Published(
        ECCV16Model,
        f"{_AUTHORS}/colorization_release_v2-9b330a0b.pth",
        "9b330a0bae53f4ded77b1e23defbf78beaa09c10ebc4c4999e8e4f4a160b93f9",
    ),
    "siggraph17": Published(
        SIGGRAPH17Model,
        f"{_AUTHORS}/siggraph17-df00044c.pth",
        "df00044c0a4d7c3edcecf6f75437ce346a66e7a42612d9b968e1a7e17dbc6f66",
    ),
}


def list_models(pattern: str = "*") -> list[str]:
    """List the names of what is here for ``load_model``, such as those of ``"reb*"``.

    These are the checkpoints in CHECKPOINTS, those that come with the library, and published
    weights that were fetched. The last weights of a run, ``<name>-last``, can be loaded as well,
    and are not listed.
    """
    if not isinstance(pattern, str):
        raise InputError(f"pattern: expected one of names, such as 'reb*', got {pattern!r:.80}")
    fetched = {name for name, published in PUBLISHED.items() if published.path.is_file()}
    names = {name for name in paths.trained_checkpoints() if not name.endswith("-last")}
    return sorted(name for name in fetched | names if fnmatchcase(name, pattern))


def model_info(name_or_path: str | Path) -> CheckpointInfo:
    """Read what the checkpoint of a trained model says of itself, without loading its weights."""
    name, path = str(name_or_path), _to_path(name_or_path)
    if name in PUBLISHED and name not in paths.trained_checkpoints():
        raise CheckpointError(
            f"{name}: expected a checkpoint of ours, got published weights, which say nothing of "
            "themselves"
        )
    return read_info(path if path.suffix == SUFFIX else _find(name))


def load_model(
    name_or_path: str | Path,
    weights: str | Path | None = None,
    *,
    device: str | torch.device = "cpu",
) -> Colorizer:
    """Load a trained model, in eval mode.

    Args:
        name_or_path: one of ``list_models()``; the path of a ``.safetensors`` file; or "eccv16" or
            "siggraph17", whose published weights are fetched when they are not here.
        weights: for these two, a local copy of their weights: a state dict that ``torch.save``
            wrote, or a ``.safetensors`` file.
        device: where the model is put; "auto" for the first of CUDA, MPS and CPU that is here.

    Raises:
        CheckpointError: when there is none of that name, or the file cannot be read or fetched.
        InputError: when ``weights`` are given for another model.
    """
    target = find_device(device)
    name, path = str(name_or_path), _to_path(name_or_path)
    if weights is not None and name not in PUBLISHED:
        raise InputError(
            f"weights: only {' and '.join(PUBLISHED)} take them, not {name!r}; a checkpoint of "
            f"ours carries its own: load_model('PATH{SUFFIX}')"
        )
    if weights is not None:
        model = _load_published(name, require_path(weights, "weights"))
    elif path.suffix == SUFFIX:
        model = load_checkpoint(path)
    elif name in PUBLISHED and name not in paths.trained_checkpoints():
        path = PUBLISHED[name].path
        if not path.is_file():
            _fetch(name, path)
        model = _load_published(name, path)
    else:
        model = load_checkpoint(_find(name))
    return model.to(target)


def find_device(name: str | torch.device | None = "auto") -> torch.device:
    """Find the device of a name; of "auto" or None the first of cuda, mps and cpu that is here."""
    if name in (None, "auto", "gpu"):
        if torch.cuda.is_available():
            return torch.device("cuda")
        if torch.backends.mps.is_available():
            return torch.device("mps")
        if name == "gpu":
            raise InputError("device: expected a GPU that torch can use, none is here")
        return torch.device("cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, TypeError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(
            f"device: expected auto, cpu, or a GPU that is here; got {name!r}: {reason}"
        ) from error
    return device


def _to_path(name_or_path: str | Path) -> Path:
    if isinstance(name_or_path, nn.Module):
        raise InputError(
            f"model: expected a name or a path, got a {type(name_or_path).__name__}: it needs no "
            "loading"
        )
    expected = "a name of list_models(), the path of a checkpoint or a colorize.Colorizer"
    return require_path(name_or_path, "model", expected)


def _find(name: str) -> Path:
    """Path of the checkpoint of that name."""
    known = paths.trained_checkpoints()
    if name in known:
        return known[name]
    if name in {card.stem for card in paths.shipped_checkpoints().glob("*.md")}:
        raise CheckpointError(
            f"The weights of {name!r} are not in the package: take {name}{SUFFIX} or "
            f"{name}-last{SUFFIX} from CHECKPOINTS of the source and put it into "
            f"{paths.checkpoints()}"
        )
    path = _to_path(name)
    if os.path.exists(path):  # noqa: PTH110 - pathlib's raises where a name is too long
        raise CheckpointError(
            f"model: expected a name or a file that ends in {SUFFIX}, got the "
            f"{'folder' if path.is_dir() else 'file'} {name}"
        )
    names = list_models()
    close = difflib.get_close_matches(name.lower(), {*names, *PUBLISHED})
    raise CheckpointError(
        f"There is no trained model {name!r}; there are {', '.join(names) or 'none yet'}. "
        + (f"Did you mean {' or '.join(close)}? " if close else "")
        + "An experiment's model is there after: python -m colorize train EXPERIMENT"
    )


def _load_published(name: str, path: Path) -> Colorizer:
    model = PUBLISHED[name].net()
    load_weights(model, path)
    return model.eval()


def _download(url: str, path: Path) -> None:
    """Try again where the connection breaks off, or nothing comes for a while."""
    import pooch
    import requests

    fetch = pooch.HTTPDownloader(progressbar=True, chunk_size=1 << 16, timeout=_TIMEOUT)
    for left in reversed(range(_TRIES)):
        try:
            fetch(url, path, None)
            return
        except requests.RequestException as error:
            if not left or error.response is not None:
                raise


def _fetch(name: str, path: Path) -> None:
    """Bring published weights to ``path``, whole and checked by their hash, or nothing."""
    import pooch

    url, sha256 = PUBLISHED[name].url, PUBLISHED[name].sha256
    try:
        # Not pooch.retrieve: what that writes, nobody else on the machine may read.
        with atomic_write(path) as temporary:
            _download(url, temporary)
            came = pooch.file_hash(str(temporary))
            if came != sha256:
                raise CheckpointError(f"expected SHA-256 {sha256}, came {came}")
    except (CheckpointError, OSError) as error:
        raise CheckpointError(
            f"The published weights of {name} are not at {path} and cannot be fetched: {error}. "
            f"Fetch {url} with a browser and put it there, or give a local copy: "
            f"load_model({name!r}, weights=PATH)"
        ) from error
