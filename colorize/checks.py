"""Checks of arguments; each raises an error that says what was expected and what came."""

from __future__ import annotations

import functools
import inspect
import math
import os
from collections.abc import Callable, Collection, Sequence
from numbers import Integral, Real
from pathlib import Path
from typing import ParamSpec, TypeVar

import numpy as np
import torch
from torch import Tensor

from colorize.errors import InputError

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")

# Of floats in 0..1, far below half a level of 8 bits.
_ROUNDING = 1e-3
_LARGEST_WHOLE = 2**63 - 1


def require_tensor(
    value: object, name: str, *, shape: Sequence[int | None], floating: bool = False
) -> Tensor:
    """Return ``value`` when it is a tensor of ``shape`` (``None`` matches any length)."""
    wanted = "(" + ", ".join("*" if n is None else str(n) for n in shape) + ")"
    if not isinstance(value, Tensor):
        raise InputError(f"{name}: expected a tensor of shape {wanted}, got {type(value).__name__}")
    if value.is_nested or value.layout != torch.strided:
        raise InputError(f"{name}: expected a dense tensor, got a nested or sparse one")
    fits = value.dim() == len(shape) and all(
        n is None or n == m for n, m in zip(shape, value.shape, strict=True)
    )
    if not fits:
        raise InputError(f"{name}: expected shape {wanted}, got {tuple(value.shape)}")
    if floating and not value.is_floating_point():
        raise InputError(f"{name}: expected a floating point tensor, got {value.dtype}")
    return value


def require_rgb(rgb: object, name: str = "rgb") -> Tensor:
    """Return ``rgb`` when it is (N, 3, H, W), uint8 in 0..255 or floating point in 0..1."""
    rgb = require_tensor(rgb, name, shape=(None, 3, None, None))
    if rgb.dtype == torch.uint8:
        return rgb
    if not rgb.is_floating_point():
        raise InputError(f"{name}: expected uint8 (0..255) or float (0..1), got {rgb.dtype}")
    low, high = _extremes(rgb)
    if not (low >= -_ROUNDING and high <= 1 + _ROUNDING):
        require_finite(rgb, name)
        raise InputError(
            f"{name}: expected floats in 0..1, got {low:.4g}..{high:.4g}; divide levels of 0..255 "
            "by 255, or clamp what resizing has pushed beyond"
        )
    return rgb


def require_finite(values: Tensor, name: str) -> Tensor:
    """Return ``values``, (N, ...), when no item of the batch holds NaN or infinity."""
    if not all(map(math.isfinite, _extremes(values))):
        number = int((~values.isfinite()).flatten(1).any(1).nonzero()[0])
        raise InputError(f"{name}: expected finite numbers, not so is item {number}")
    return values


def require_lightness(L: Tensor, name: str) -> Tensor:
    """Return ``L``, (N, 1, H, W), when it is finite and in 0..100."""
    low, high = _extremes(L)
    if not (low >= -100 * _ROUNDING and high <= 100 * (1 + _ROUNDING)):
        require_finite(L, name)
        raise InputError(f"{name}: expected lightness in 0..100, got {low:.4g}..{high:.4g}")
    return L


def require_images(images: Tensor, name: str) -> Tensor:
    """Return (N, C, H, W) when there is at least one image, and one pixel in it."""
    if images.numel() == 0:
        raise InputError(f"{name}: expected at least one image, got shape {tuple(images.shape)}")
    return images


def _extremes(values: Tensor) -> tuple[float, float]:
    """Smallest and largest number, NaN if any is; 0 and 0 of none, and on the meta device."""
    if values.numel() == 0 or values.is_meta:
        return 0.0, 0.0
    low, high = torch.stack(values.detach().aminmax()).tolist()
    return low, high


def require_positive(value: float, name: str) -> float:
    """Return ``value`` when it is a finite number above zero."""
    if not (_is_real(value) and value > 0):
        raise InputError(f"{name}: expected a number above 0, got {_shown(value)}")
    return value


def require_non_negative(value: float, name: str) -> float:
    """Return ``value`` when it is a finite number of zero or above."""
    if not (_is_real(value) and value >= 0):
        raise InputError(f"{name}: expected a number of 0 or above, got {_shown(value)}")
    return value


def require_share(value: float, name: str, *, closed: bool = True) -> float:
    """Return ``value`` when it is a number from 0 to 1; below 1, when not ``closed``."""
    if not (_is_real(value) and (0 <= value < 1 or (closed and value == 1))):
        end = "to 1" if closed else "up to but not 1"
        raise InputError(f"{name}: expected a share from 0 {end}, got {_shown(value)}")
    return value


def require_whole(value: int, name: str, least: int) -> int:
    """Return ``value`` when it is a whole number of ``least`` or above that 64 bits hold."""
    whole = isinstance(value, Integral) and not isinstance(value, bool)
    if not (whole and least <= value <= _LARGEST_WHOLE):
        raise InputError(
            f"{name}: expected a whole number of {least} or above, got {_shown(value)}"
        )
    return int(value)


def require_choice(value: T, name: str, choices: Collection[T]) -> T:
    """Return ``value`` when it is one of ``choices``."""
    # Arrays compare each of their elements.
    if getattr(value, "ndim", 0) or value not in list(choices):
        raise InputError(f"{name}: expected one of {', '.join(map(str, choices))}; got {value!r}")
    return value


def require_path(value: str | os.PathLike[str], name: str, expected: str = "a path") -> Path:
    """Return ``value`` as a path, ``~`` being the user's home, when it is one."""
    if not isinstance(value, str | os.PathLike) or not str(value) or "\0" in str(value):
        raise InputError(f"{name}: expected {expected}, got {value!r:.80}")
    # pathlib's raises where the name after ~ is no user's.
    return Path(os.path.expanduser(value))  # noqa: PTH111


def require_flag(value: bool, name: str) -> bool:
    """Return ``value`` when it is True or False; a word such as "no" would count as True."""
    if not (isinstance(value, int | np.bool_) and value in (0, 1)):
        raise InputError(f"{name}: expected True or False, got {value!r:.80}")
    return bool(value)


def checks_flags(call: Callable[P, R]) -> Callable[P, R]:
    """Decorate a public call: what is True or False by default takes nothing else."""
    parameters = inspect.signature(call).parameters
    flags = [name for name, p in parameters.items() if isinstance(p.default, bool)]

    @functools.wraps(call)
    def checked(*args: P.args, **kwargs: P.kwargs) -> R:
        given = {**dict(zip(parameters, args, strict=False)), **kwargs}
        for name in flags:
            if name in given:
                require_flag(given[name], name)  # type: ignore[arg-type]
        return call(*args, **kwargs)

    return checked


def _is_real(value: float) -> bool:
    try:
        return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)
    except OverflowError:
        return False


def _shown(value: float) -> str:
    """Show a value as Python does, but not the digits of a giant number."""
    if isinstance(value, int) and abs(value) > _LARGEST_WHOLE:
        return f"one of {value.bit_length()} bits"
    return repr(value)
