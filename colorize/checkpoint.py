"""Trained weights on disk: one safetensors file that carries what is needed to build the model."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from colorize import paths
from colorize.errors import CheckpointError, InputError
from colorize.models import MODEL_CLASSES, Colorizer

FORMAT = 1
SUFFIX = ".safetensors"
_KEY = "colorize"


@dataclass(frozen=True)
class CheckpointInfo:
    """What a checkpoint says of itself, without its weights."""

    path: Path
    model: str
    config: dict[str, Any]
    look_size: int
    extra: dict[str, Any]


def save_checkpoint(model: Colorizer, path: Path, *, half: bool = False, **extra: Any) -> Path:
    """Write a model's weights, class and config; a whole file or none.

    Args:
        model: a class of ``colorize.models``.
        path: ends in ``.safetensors``.
        half: store the kernels (what has more than one dimension) in half precision. Batch
            statistics and biases stay float32: a small variance would become zero.
        extra: anything JSON can hold, for example experiment, step and metrics.
    """
    if path.suffix != SUFFIX:
        raise InputError(f"path: expected a name ending in {SUFFIX}, got {path.name}")
    record = {
        "format": FORMAT,
        "model": type(model).__name__,
        "config": model.config,
        "look_size": model.look_size,
        "extra": extra,
    }
    kernels = {name for name, p in model.named_parameters() if p.dim() > 1} if half else set()
    tensors = {
        name: (value.half() if name in kernels else value).detach().cpu().contiguous()
        for name, value in model.state_dict().items()
    }
    with paths.replacing(path) as temporary:
        save_file(tensors, temporary, metadata={_KEY: json.dumps(record)})
    return path


def read_info(path: Path) -> CheckpointInfo:
    """Read what a checkpoint says of itself.

    Raises:
        CheckpointError: when the file is missing, damaged, or not written by ``save_checkpoint``.
    """
    with _opened(path) as file:
        metadata = file.metadata() or {}
    if _KEY not in metadata:
        raise CheckpointError(
            f"{path} says nothing about its model: expected a file written by save_checkpoint"
        )
    try:
        record = json.loads(metadata[_KEY])
        if record["format"] != FORMAT:
            raise CheckpointError(f"{path}: expected checkpoint format {FORMAT}; update colorize")
        return CheckpointInfo(
            path, record["model"], record["config"], record["look_size"], record["extra"]
        )
    except (ValueError, KeyError, TypeError) as error:
        if isinstance(error, CheckpointError):
            raise
        raise CheckpointError(f"{path}: its record makes no sense ({error!r})") from error


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    try:
        with safe_open(path, framework="pt") as file:
            yield file
    except FileNotFoundError as error:
        raise CheckpointError(f"There is no checkpoint {path}") from error
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f"{path} is not a readable safetensors file ({error}); fetch or train it again"
        ) from error


def load_checkpoint(path: Path) -> Colorizer:
    """Build the model that a checkpoint describes and load its weights; on the CPU, in eval mode.

    Raises:
        CheckpointError: as ``read_info``; or when the weights do not fit the model.
    """
    info = read_info(path)
    if info.model not in MODEL_CLASSES:
        raise CheckpointError(
            f"{path} holds a {info.model}; this version knows {', '.join(MODEL_CLASSES)}"
        )
    try:
        model = MODEL_CLASSES[info.model](**info.config)
    except (TypeError, InputError) as error:
        raise CheckpointError(f"{path}: no {info.model} has the config {info.config}") from error
    load_weights(model, path)
    model.look_size = info.look_size
    return model.eval()


def load_weights(model: Colorizer, path: Path) -> None:
    """Copy a checkpoint's weights into a model of the same class and config.

    Raises:
        CheckpointError: when names or shapes differ; the model is then as it was.
    """
    with _opened(path) as file:
        loaded = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    own = model.state_dict()
    differing = sorted(
        name
        for name in own.keys() | loaded.keys()
        if name not in own or name not in loaded or own[name].shape != loaded[name].shape
    )
    if differing:
        raise CheckpointError(
            f"{path} does not fit {type(model).__name__}: {len(differing)} entries differ in name "
            f"or shape, the first are {', '.join(differing[:3])}"
        )
    with torch.no_grad():
        for name, value in own.items():
            value.copy_(loaded[name])


def list_models() -> list[str]:
    """Names that ``load_model`` takes: the checkpoints in CHECKPOINTS and those shipped with us."""
    return sorted(_trained())


def load_model(name_or_path: str | Path) -> Colorizer:
    """Load a trained model, on the CPU, in eval mode.

    Args:
        name_or_path: one of ``list_models()``, or the path of a ``.safetensors`` file.

    Raises:
        CheckpointError: when there is none of that name, or the file cannot be read.
    """
    path = Path(name_or_path)
    if path.suffix == SUFFIX:
        return load_checkpoint(path)
    known = _trained()
    if str(name_or_path) not in known:
        raise CheckpointError(
            f"There is no trained model {str(name_or_path)!r}; there are "
            f"{', '.join(sorted(known)) or 'none yet'}. Train one with: "
            f"python -m colorize train {name_or_path} --scale small --data PATH"
        )
    return load_checkpoint(known[str(name_or_path)])


def _trained() -> dict[str, Path]:
    # A model trained here goes before the one of the same name that came with the package.
    folders = (paths.shipped_checkpoints(), paths.checkpoints())
    # What a killed process left has a name that begins with a dot.
    found = [p for folder in folders for p in sorted(folder.glob(f"[!.]*{SUFFIX}"))]
    return {p.stem: p for p in found}
