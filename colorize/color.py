"""sRGB <-> CIELAB (D65, 2 degree observer) on batches of images, on any device.

Ranges: ``rgb`` is uint8 0..255 or float 0..1; ``L`` is 0..100; ``a`` and ``b`` lie within about
-87..98 and -108..95 for colors that sRGB can show. The constants are those of scikit-image, so the
two agree to rounding on all such colors. Half precision is widened: it would cost units of Lab.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

import torch
from torch import Tensor

from colorize.checks import require_choice, require_rgb, require_tensor
from colorize.errors import InputError

Gamut = Literal["clip", "chroma"]

_XYZ_FROM_RGB = (
    (0.412453, 0.357580, 0.180423),
    (0.212671, 0.715160, 0.072169),
    (0.019334, 0.119193, 0.950227),
)
_WHITE = (0.95047, 1.0, 1.08883)
# CIE 1976 in the rounded form that scikit-image and the authors of both papers used.
_EPSILON, _KAPPA, _OFFSET = 0.008856, 7.787, 16.0 / 116.0
_BISECTIONS = 12


def rgb_to_lab(rgb: Tensor) -> Tensor:
    """Convert sRGB to CIELAB.

    Args:
        rgb: (N, 3, H, W), uint8 in 0..255 or float in 0..1.

    Returns:
        lab: (N, 3, H, W), float32 (float64 for float64 rgb).

    Raises:
        InputError: when the shape or the type is another one.
    """
    rgb = require_rgb(rgb)
    linear = _linear(rgb)
    xyz = _mix(linear, _xyz_matrix(linear.dtype, linear.device))
    f = torch.where(xyz > _EPSILON, xyz.clamp(min=_EPSILON).pow(1 / 3), _KAPPA * xyz + _OFFSET)
    fx, fy, fz = f.unbind(1)
    return torch.stack((116 * fy - 16, 500 * (fx - fy), 200 * (fy - fz)), 1)


def rgb_to_L(rgb: Tensor) -> Tensor:  # noqa: N802
    """Lightness of sRGB images: (N, 3, H, W) to (N, 1, H, W) in 0..100."""
    rgb = require_rgb(rgb)
    linear = _linear(rgb)
    y = _mix(linear, _xyz_matrix(linear.dtype, linear.device)[1:2])
    f = torch.where(y > _EPSILON, y.clamp(min=_EPSILON).pow(1 / 3), _KAPPA * y + _OFFSET)
    return 116 * f - 16


def lab_to_rgb(lab: Tensor, *, gamut: Gamut = "clip") -> Tensor:
    """Convert CIELAB to sRGB, float in 0..1.

    Args:
        lab: (N, 3, H, W), floating point.
        gamut: what happens to a color that sRGB cannot show. ``"clip"`` cuts each channel, which
            changes lightness and hue (scikit-image does this). ``"chroma"`` scales a and b towards
            grey just far enough, which keeps both.

    Returns:
        rgb: (N, 3, H, W) in 0..1, float32 (float64 for float64 lab); ``to_uint8`` makes bytes of
        it.

    Raises:
        InputError: when the shape or the type is another one.
    """
    lab = require_tensor(lab, "lab", shape=(None, 3, None, None), floating=True)
    require_choice(gamut, "gamut", ("clip", "chroma"))
    lab = _widened(lab)
    if gamut == "chroma":
        lab = _reduce_chroma(lab)
    return _srgb_from_linear(_linear_from_lab(lab).clamp(0, 1))


def to_uint8(rgb: Tensor) -> Tensor:
    """Round sRGB, float in 0..1, to uint8.

    Raises:
        InputError: when it is no floating point tensor.
    """
    if not rgb.is_floating_point():
        raise InputError(f"rgb: expected float in 0..1, got {rgb.dtype}")
    return (rgb * 255).round_().clamp_(0, 255).to(torch.uint8)


def join_lightness(L: Tensor, ab: Tensor) -> Tensor:
    """Make uint8 sRGB that has the lightness ``L`` to the nearest 8-bit grey level.

    Colors outside sRGB lose chroma, not lightness. Red and blue are rounded first and green, which
    carries 72 % of the luminance, is then chosen to make up for what rounding took. A grey image
    colored in this way and turned back to grey by its luminance is the same bytes again.

    Args:
        L: (N, 1, H, W), 0..100.
        ab: (N, 2, H, W), CIELAB units.

    Returns:
        (N, 3, H, W) uint8.

    Raises:
        InputError: when the shapes do not fit each other.
    """
    L = require_tensor(L, "L", shape=(None, 1, None, None), floating=True)
    ab = require_tensor(ab, "ab", shape=(L.shape[0], 2, *L.shape[2:]), floating=True)
    lab = _widened(torch.cat((L.clamp(0, 100), ab), 1))
    linear = _linear_from_lab(_reduce_chroma(lab))
    rounded = to_uint8(_srgb_from_linear(linear.clamp_(0, 1)))
    _, weights, _ = _xyz_matrix(linear.dtype, linear.device).unbind(0)
    fy = (lab[:, 0] + 16) / 116
    luminance = torch.where(fy > 0.2068966, fy.pow(3), (fy - _OFFSET) / _KAPPA)
    red_blue = _linear_from_uint8(rounded[:, ::2]).to(linear.dtype)
    green = (luminance - weights[0] * red_blue[:, 0] - weights[2] * red_blue[:, 1]) / weights[1]
    rounded[:, 1] = to_uint8(_srgb_from_linear(green.clamp(0, 1)))
    # At the border of the gamut green has no room; then blue, which weighs least, makes up for it.
    green_now = _linear_from_uint8(rounded[:, 1]).to(linear.dtype)
    blue = (luminance - weights[0] * red_blue[:, 0] - weights[1] * green_now) / weights[2]
    adjusted = to_uint8(_srgb_from_linear(blue.clamp_(0, 1)))
    rounded[:, 2] = torch.where((green <= 0) | (green >= 1), adjusted, rounded[:, 2])
    return rounded


def _widened(values: Tensor) -> Tensor:
    return values if values.dtype == torch.float64 else values.float()


def _linear(rgb: Tensor) -> Tensor:
    return _linear_from_uint8(rgb) if rgb.dtype == torch.uint8 else _linear_from_srgb(_widened(rgb))


def _linear_from_srgb(rgb: Tensor) -> Tensor:
    # clamp inside pow: a gradient of NaN in the branch not taken would spread through `where`.
    bright = ((rgb.clamp(min=0.04045) + 0.055) / 1.055).pow(2.4)
    return torch.where(rgb > 0.04045, bright, rgb / 12.92)


def _srgb_from_linear(linear: Tensor) -> Tensor:
    bright = 1.055 * linear.clamp(min=0.0031308).pow(1 / 2.4) - 0.055
    return torch.where(linear > 0.0031308, bright, linear * 12.92)


def _linear_from_uint8(rgb: Tensor) -> Tensor:
    return _linear_table(rgb.device)[rgb.int()]


def _linear_from_lab(lab: Tensor) -> Tensor:
    L, a, b = lab.unbind(1)
    fy = (L + 16) / 116
    f = torch.stack((a / 500 + fy, fy, fy - b / 200), 1)
    xyz = torch.where(f > 0.2068966, f.pow(3), (f - _OFFSET) / _KAPPA)
    return _mix(xyz, _rgb_matrix(lab.dtype, lab.device))


def _reduce_chroma(lab: Tensor) -> Tensor:
    """Scale a and b of every pixel by the largest factor in 0..1 that sRGB can show."""
    # Rounding to 8 bits forgives this much; without it white itself would count as outside.
    slack = 1e-4
    outside = ((_linear_from_lab(lab) - 0.5).abs() > 0.5 + slack).any(1)
    if not bool(outside.any()):
        return lab
    channels_last = lab.movedim(1, -1).clone()
    pixels = channels_last[outside].T[None, :, :, None]
    low = torch.zeros_like(pixels[:, :1])
    high = torch.ones_like(low)
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        trial = torch.cat((pixels[:, :1], pixels[:, 1:] * middle), 1)
        inside = ((_linear_from_lab(trial) - 0.5).abs() <= 0.5 + slack).all(1, keepdim=True)
        low, high = torch.where(inside, middle, low), torch.where(inside, high, middle)
    reduced = torch.cat((pixels[:, :1], pixels[:, 1:] * low), 1)
    channels_last[outside] = reduced[0, :, :, 0].T
    return channels_last.movedim(-1, 1)


def _mix(channels: Tensor, matrix: Tensor) -> Tensor:
    # Autocast would round the product to half precision: whole units of Lab.
    with torch.autocast(channels.device.type, enabled=False):
        return torch.einsum("rc,nchw->nrhw", matrix, channels)


# The caches hold 9 or 256 numbers for each device that was used; they are filled by the first
# call, so that importing the module makes no tensor. What is cached under inference_mode could
# never take part in a gradient afterwards, hence the decorator.
@lru_cache(maxsize=64)
@torch.inference_mode(False)
def _xyz_matrix(dtype: torch.dtype, device: torch.device) -> Tensor:
    matrix = torch.tensor(_XYZ_FROM_RGB, dtype=torch.float64, device="cpu")
    matrix = matrix / torch.tensor(_WHITE, dtype=torch.float64, device="cpu")[:, None]
    return matrix.to(device=device, dtype=dtype)


@lru_cache(maxsize=64)
@torch.inference_mode(False)
def _rgb_matrix(dtype: torch.dtype, device: torch.device) -> Tensor:
    matrix = torch.linalg.inv(torch.tensor(_XYZ_FROM_RGB, dtype=torch.float64, device="cpu"))
    matrix = matrix * torch.tensor(_WHITE, dtype=torch.float64, device="cpu")
    return matrix.to(device=device, dtype=dtype)


@lru_cache(maxsize=64)
@torch.inference_mode(False)
def _linear_table(device: torch.device) -> Tensor:
    levels = torch.arange(256, dtype=torch.float64, device="cpu") / 255
    return _linear_from_srgb(levels).to(device=device, dtype=torch.float32)
