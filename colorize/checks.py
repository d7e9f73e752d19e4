"""Checks of arguments; each raises an error that says what was expected and what came."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral, Real

import torch
from torch import Tensor

from colorize.errors import InputError


def require_tensor(
    value: object, name: str, *, shape: Sequence[int | None], floating: bool = False
) -> Tensor:
    """Return ``value`` when it is a tensor of ``shape`` (``None`` matches any length)."""
    wanted = "(" + ", ".join("*" if n is None else str(n) for n in shape) + ")"
    if not isinstance(value, Tensor):
        raise InputError(f"{name}: expected a tensor of shape {wanted}, got {type(value).__name__}")
    fits = value.dim() == len(shape) and all(
        n is None or n == m for n, m in zip(shape, value.shape, strict=True)
    )
    if not fits:
        raise InputError(f"{name}: expected shape {wanted}, got {tuple(value.shape)}")
    if floating and not value.is_floating_point():
        raise InputError(f"{name}: expected a floating point tensor, got {value.dtype}")
    return value


def require_rgb(rgb: object, name: str = "rgb") -> Tensor:
    """Return ``rgb`` when it is (N, 3, H, W), uint8 or floating point."""
    rgb = require_tensor(rgb, name, shape=(None, 3, None, None))
    if rgb.dtype != torch.uint8 and not rgb.is_floating_point():
        raise InputError(f"{name}: expected uint8 (0..255) or float (0..1), got {rgb.dtype}")
    return rgb


def require_positive(value: float, name: str) -> float:
    """Return ``value`` when it is a finite number above zero."""
    if not (isinstance(value, Real) and 0 < value < float("inf")):
        raise InputError(f"{name}: expected a number above 0, got {value!r}")
    return value


def require_non_negative(value: float, name: str) -> float:
    """Return ``value`` when it is a finite number of zero or above."""
    if not (isinstance(value, Real) and 0 <= value < float("inf")):
        raise InputError(f"{name}: expected a number of 0 or above, got {value!r}")
    return value


def require_whole(value: int, name: str, least: int) -> int:
    """Return ``value`` when it is a whole number of ``least`` or above."""
    whole = isinstance(value, Integral) and not isinstance(value, bool)
    if not (whole and value >= least):
        raise InputError(f"{name}: expected a whole number of {least} or above, got {value!r}")
    return int(value)


def require_choice(value: str, name: str, choices: Sequence[str]) -> str:
    """Return ``value`` when it is one of ``choices``."""
    if value not in choices:
        raise InputError(f"{name}: expected one of {', '.join(choices)}; got {value!r}")
    return value
