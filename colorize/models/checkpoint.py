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
from torch import Tensor, nn

from colorize import storage
from colorize.checks import checks_flags, require_non_negative, require_path, require_whole
from colorize.errors import CheckpointError, InputError
from colorize.models.base import Colorizer, unwrap
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
# What building a model raises on arguments that make no sense; MemoryError if they are too large.
_BAD_CONFIG = (*_BAD_FILE, ArithmeticError, MemoryError, RecursionError)


@dataclass(frozen=True)
class CheckpointInfo:
    """What a checkpoint says of itself, without its weights."""

    path: Path
    model: str
    config: dict[str, Any]
    input_size: int
    extra: dict[str, Any]


@checks_flags
def save_checkpoint(
    model: nn.Module, path: str | Path, *, half: bool = False, **extra: Any
) -> Path:
    """Write a model's weights, class and config; a whole file or none.

    Args:
        model: of a class of ``colorize``, or of one with ``@register_model``; also compiled or in
            ``DataParallel``.
        path: ends in ``.safetensors``.
        half: store the kernels (what has more than one dimension) in half precision. Batch
            statistics and biases stay float32: a small variance would become zero.
        extra: anything JSON can hold, for example experiment, step and metrics.

    Raises:
        CheckpointError: when ``load_model`` could not load it again.
    """
    path, model = require_path(path, "path"), unwrap(model)
    if path.suffix != SUFFIX:
        raise InputError(f"path: expected a name ending in {SUFFIX}, got {path.name}")
    record = require_loadable(model, extra)
    kernels = {name for name, p in model.named_parameters() if p.dim() > 1} if half else set()
    tensors = {
        name: (value.half() if name in kernels else value)
        .detach()
        .cpu()
        .clone(memory_format=torch.contiguous_format)  # tied weights are written twice
        for name, value in model.state_dict().items()
    }
    _write(path, tensors, record)
    return path


def _write(path: Path, tensors: Mapping[str, Tensor], record: str) -> None:
    with storage.atomic_write(path) as temporary:
        try:
            save_file(dict(tensors), temporary, metadata={_KEY: record})
        except SafetensorError as error:
            # It says what the system said, but not as an OSError.
            raise CheckpointError(f"{path} cannot be written: {error}") from error


def require_loadable(model: Colorizer, extra: Mapping[str, Any] | None = None) -> str:
    """Give the record of a model's checkpoint when ``load_model`` can build the model from it."""
    name, config = type(model).__name__, model.config
    if MODEL_CLASSES.get(name) is not type(model):
        raise CheckpointError(
            f"{name}: expected a class that load_model knows; put @register_model before it"
        )
    record = {
        "format": FORMAT,
        "model": name,
        "config": config,
        "look_size": require_whole(model.input_size, "input_size", 1),
        "extra": dict(extra or {}),
    }
    try:
        text = json.dumps(record)
    except (TypeError, ValueError) as error:
        raise CheckpointError(
            f"{name}: expected a config and extra that JSON holds: {error}"
        ) from error
    try:
        again = build_from_config(name, json.loads(text)["config"])
    except _BAD_CONFIG as error:
        raise CheckpointError(f"{name}: its config builds no model: {error}") from error
    differing = _differing(again, model.state_dict())
    if differing:
        raise CheckpointError(
            f"{name}: expected the weights of a model that its config builds, {len(differing)} "
            f"differ in name or shape, the first are {', '.join(differing[:3])}"
        )
    return text


def set_temperature(path: str | Path, temperature: float) -> None:
    """Write a checkpoint anew with another temperature of its own; the weights stay bit by bit.

    Raises:
        CheckpointError: as ``read_info``.
        InputError: when its model has no temperature, or the number is not one.
    """
    path = require_path(path, "path")
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
    _write(path, tensors, json.dumps(record))


def read_info(path: str | Path) -> CheckpointInfo:
    """Read what a checkpoint says of itself.

    Raises:
        CheckpointError: when the file is missing, damaged, or not written by ``save_checkpoint``.
    """
    path = require_path(path, "path")
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
        info = CheckpointInfo(
            path, record["model"], record["config"], record["look_size"], record["extra"]
        )
    except CheckpointError:
        raise
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise CheckpointError(f"{path}: its record makes no sense ({error!r})") from error
    kinds = (str, dict, int, dict)
    values = (info.model, info.config, info.input_size, info.extra)
    if not all(type(v) is k for v, k in zip(values, kinds, strict=True)) or info.input_size < 1:
        raise CheckpointError(f"{path}: its record makes no sense")
    return info


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


def load_checkpoint(path: str | Path) -> Colorizer:
    """Build the model that a checkpoint describes and load its weights; on the CPU, in eval mode.

    Raises:
        CheckpointError: as ``read_info``; or when the weights do not fit the model.
    """
    path = require_path(path, "path")
    info = read_info(path)
    if info.model not in MODEL_CLASSES:
        raise CheckpointError(
            f"{path} holds a {info.model}; this process knows {', '.join(MODEL_CLASSES)}. Import "
            "the module that defines the class, with @register_model before it"
        )
    try:
        model = build_from_config(info.model, info.config)
    except _BAD_CONFIG as error:
        raise CheckpointError(f"{path}: its {info.model} cannot be built: {error}") from error
    load_weights(model, path)
    model.input_size = info.input_size
    return model.eval()


def load_weights(model: Colorizer, path: str | Path) -> None:
    """Copy a file's weights into a model of the same class and config.

    Args:
        path: a ``.safetensors`` file, or a state dict that ``torch.save`` wrote.

    Raises:
        CheckpointError: when the file is missing or damaged, or names or shapes differ; the model
            is then as it was.
    """
    loaded = _read_tensors(require_path(path, "path"))
    own = model.state_dict()
    differing = _differing(model, loaded)
    if differing:
        raise CheckpointError(
            f"{path} does not fit {type(model).__name__}: {len(differing)} entries differ in name "
            f"or shape, the first are {', '.join(differing[:3])}"
        )
    with torch.no_grad():
        for name, value in own.items():
            value.copy_(loaded[name])


def _differing(model: Colorizer, tensors: Mapping[str, Tensor]) -> list[str]:
    """Names of what one of the two lacks, or has in another shape."""
    own = model.state_dict()
    return sorted(
        name
        for name in own.keys() | tensors.keys()
        if name not in own or name not in tensors or own[name].shape != tensors[name].shape
    )


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
            "it is damaged or of another kind"
        ) from error
    if not isinstance(loaded, Mapping) or not all(
        isinstance(name, str) and isinstance(value, Tensor) for name, value in loaded.items()
    ):
        raise CheckpointError(
            f"{path}: expected a state dict (names and their tensors), got another "
            f"{type(loaded).__name__}"
        )
    return dict(loaded)
