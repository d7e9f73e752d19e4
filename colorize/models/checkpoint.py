"""Trained weights on disk: one safetensors file that carries what is needed to build the model.

The authors' published weights are state dicts of theirs.
"""

from __future__ import annotations

import json
import pickle
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from colorize import storage
from colorize.checks import require_non_negative
from colorize.errors import CheckpointError, InputError
from colorize.models.base import Colorizer
from colorize.models.registry import MODEL_CLASSES, build_from_config

FORMAT = 1
SUFFIX = ".safetensors"
_KEY = "colorize"
# torch.load raises all of these on damaged or foreign files, depending on where they are so.
_BAD_FILE = (
    OSError,
    RuntimeError,
    pickle.UnpicklingError,
    EOFError,
    struct.error,
    LookupError,
    ValueError,
    TypeError,
    AttributeError,
    AssertionError,
)


@dataclass(frozen=True)
class CheckpointInfo:
    """What a checkpoint says of itself, without its weights."""

    path: Path
    model: str
    config: dict[str, Any]
    input_size: int
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
        "look_size": model.input_size,
        "extra": extra,
    }
    kernels = {name for name, p in model.named_parameters() if p.dim() > 1} if half else set()
    tensors = {
        name: (value.half() if name in kernels else value).detach().cpu().contiguous()
        for name, value in model.state_dict().items()
    }
    with storage.atomic_write(path) as temporary:
        save_file(tensors, temporary, metadata={_KEY: json.dumps(record)})
    return path


def set_temperature(path: Path, temperature: float) -> None:
    """Write a checkpoint anew with another temperature of its own; the weights stay bit by bit.

    Raises:
        CheckpointError: as ``read_info``.
        InputError: when its model has no temperature, or the number is not one.
    """
    model = load_checkpoint(path)
    if not model.has_distribution:
        raise InputError(
            f"{path}: expected a model with a temperature, got a {type(model).__name__}"
        )
    require_non_negative(temperature, "temperature")
    with _opened(path) as file:
        record = json.loads(file.metadata()[_KEY])
    record["config"]["temperature"] = temperature
    tensors = _read_tensors(path)
    with storage.atomic_write(path) as temporary:
        save_file(tensors, temporary, metadata={_KEY: json.dumps(record)})


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
        model = build_from_config(info.model, info.config)
    except (TypeError, InputError) as error:
        raise CheckpointError(f"{path}: no {info.model} has the config {info.config}") from error
    load_weights(model, path)
    model.input_size = info.input_size
    return model.eval()


def load_weights(model: Colorizer, path: Path) -> None:
    """Copy a file's weights into a model of the same class and config.

    Args:
        path: a ``.safetensors`` file, or a state dict that ``torch.save`` wrote.

    Raises:
        CheckpointError: when the file is missing or damaged, or names or shapes differ; the model
            is then as it was.
    """
    loaded = _read_tensors(path)
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


def _read_tensors(path: Path) -> dict[str, Tensor]:
    if path.suffix == SUFFIX:
        with _opened(path) as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise CheckpointError(f"There is no file of weights {path}") from error
    except _BAD_FILE as error:
        # What torch says here advises to load the file without weights_only: that runs its code.
        raise CheckpointError(
            f"{path} is not readable as a state dict of torch.save ({type(error).__name__}); "
            "remove it and fetch it again"
        ) from error
    if not isinstance(loaded, Mapping) or not all(
        isinstance(name, str) and isinstance(value, Tensor) for name, value in loaded.items()
    ):
        raise CheckpointError(
            f"{path}: expected a state dict (names and their tensors), got another "
            f"{type(loaded).__name__}"
        )
    return dict(loaded)
