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
_F_EPSILON = 0.2068966
# Where the straight part of the sRGB curve ends: the encoded value and its linear light.
_TOE, _TOE_LINEAR = 0.04045, 0.0031308
_BISECTIONS = 12
# join_lightness works on so many pixels at a time: what it needs in between stays in the cache.
_BAND_PIXELS = 2**17


def rgb_to_lab(rgb: Tensor) -> Tensor:
    """Convert sRGB to CIELAB.

    Args:
        rgb: (N, 3, H, W), uint8 in 0..255 or float in 0..1.

    Returns:
        lab: (N, 3, H, W), float32 (float64 for float64 rgb).
    """
    rgb = require_rgb(rgb)
    linear = _linear(rgb)
    fx, fy, fz = _f_from_xyz(_mix(linear, _xyz_matrix(linear.dtype, linear.device))).unbind(1)
    return torch.stack((116 * fy - 16, 500 * (fx - fy), 200 * (fy - fz)), 1)


def rgb_to_L(rgb: Tensor) -> Tensor:  # noqa: N802
    """Lightness of sRGB images: (N, 3, H, W) to (N, 1, H, W) in 0..100."""
    rgb = require_rgb(rgb)
    linear = _linear(rgb)
    luminance = _mix(linear, _xyz_matrix(linear.dtype, linear.device)[1:2])
    return _f_from_xyz(luminance).mul(116).sub(16)


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
    """
    lab = require_tensor(lab, "lab", shape=(None, 3, None, None), floating=True)
    require_choice(gamut, "gamut", ("clip", "chroma"))
    lab = _widened(lab)
    linear = _linear_from_f(_f_from_lab(lab)) if gamut == "clip" else _linear_in_gamut(lab)
    return _srgb_from_linear(linear.clamp(0, 1))


def to_uint8(rgb: Tensor) -> Tensor:
    """Round sRGB, float in 0..1, to uint8."""
    if not rgb.is_floating_point():
        raise InputError(f"rgb: expected float in 0..1, got {rgb.dtype}")
    return (rgb * 255).round_().clamp_(0, 255).to(torch.uint8)


def join_lightness(L: Tensor, ab: Tensor, *, depth: int = 8) -> Tensor:
    """Make sRGB that has the lightness ``L`` to the nearest grey level of 8 or 16 bits.

    Colors outside sRGB lose chroma, not lightness. Red and blue are rounded first and green, which
    carries 72 % of the luminance, is then chosen to make up for what rounding took. A grey image
    colored in this way and turned back to grey by its luminance is the same bytes again. Besides
    the result it takes a few megabytes, however large the image is.

    Args:
        L: (N, 1, H, W), 0..100.
        ab: (N, 2, H, W), CIELAB units.
        depth: bits of a channel, 8 or 16.

    Returns:
        (N, 3, H, W) uint8, or uint16 for a depth of 16.
    """
    L = require_tensor(L, "L", shape=(None, 1, None, None), floating=True)
    ab = require_tensor(ab, "ab", shape=(L.shape[0], 2, *L.shape[2:]), floating=True)
    require_choice(depth, "depth", (8, 16))
    n, _, h, w = L.shape
    rgb = L.new_empty((n, 3, h, w), dtype=torch.uint8 if depth == 8 else torch.uint16)
    rows = max(1, _BAND_PIXELS // max(1, n * w))
    for first in range(0, h, rows):
        band = slice(first, first + rows)
        rgb[:, :, band] = _join(L[:, :, band], ab[:, :, band], 2**depth - 1).to(rgb.dtype)
    return rgb


def _join(L: Tensor, ab: Tensor, top: int) -> Tensor:
    # 16 bits are more than the float32 of a few operations in a row holds.
    wide = torch.float64 if top > 255 else torch.float32
    lab = torch.cat((L.clamp(0, 100), ab), 1).to(torch.promote_types(_widened(L).dtype, wide))
    # Half a level at the dark end, where levels are finest.
    slack = 0.5 / (12.92 * top) if top > 255 else 1e-4
    linear = _linear_in_gamut(lab, slack).clamp_(0, 1)
    _, weights, _ = _xyz_matrix(linear.dtype, linear.device).unbind(0)
    luminance = _xyz_from_f((lab[:, 0] + 16) / 116)
    red, blue = (_round(linear[:, channel], top) for channel in (0, 2))
    rest = luminance - weights[0] * _linear_from_level(red, top)
    green_light = (rest - weights[2] * _linear_from_level(blue, top)) / weights[1]
    green = _round(green_light.clamp(0, 1), top)
    # At the border of the gamut green has no room; then blue, which weighs least, makes up for it.
    full = (green_light <= 0) | (green_light >= 1)
    rest = (rest[full] - weights[1] * _linear_from_level(green[full], top)) / weights[2]
    blue[full] = _round(rest.clamp_(0, 1), top)
    return torch.stack((red, green, blue), 1)


def _linear_in_gamut(lab: Tensor, slack: float = 1e-4) -> Tensor:
    """Linear sRGB, a and b of every pixel scaled by the largest factor in 0..1 that fits.

    Rounding to 8 bits forgives so much slack; without it white itself would count as outside.
    """
    linear = _linear_from_f(_f_from_lab(lab))
    fixed = linear.detach()
    outside = (fixed.amin(1) < -slack) | (fixed.amax(1) > 1 + slack)
    if not bool(outside.any()):
        return linear
    f = _f_from_lab(lab.movedim(1, -1)[outside].T[None, :, :, None])
    grey = f[:, 1:2]
    low = torch.zeros_like(grey)
    for step in range(1, _BISECTIONS + 1):
        candidate = _linear_from_f(torch.lerp(grey, f, low + 0.5**step)).detach()
        fits = (candidate.amin(1, True) >= -slack) & (candidate.amax(1, True) <= 1 + slack)
        low += fits * 0.5**step
    reduced = _linear_from_f(torch.lerp(grey, f, low))
    return linear.movedim(1, -1).index_put((outside,), reduced[0, :, :, 0].T).movedim(-1, 1)


def _linear(rgb: Tensor) -> Tensor:
    return _linear_from_uint8(rgb) if rgb.dtype == torch.uint8 else _linear_from_srgb(_widened(rgb))


def _round(linear: Tensor, top: int) -> Tensor:
    """Linear light to sRGB in whole levels of 0..top, int32."""
    return _srgb_from_linear(linear).mul_(top).round_().clamp_(0, top).int()


def _linear_from_level(levels: Tensor, top: int) -> Tensor:
    if top == 255:
        return _linear_from_uint8(levels)
    return _linear_from_srgb(levels.double() / top)


def _linear_from_uint8(rgb: Tensor) -> Tensor:
    levels = rgb.reshape(-1).int()
    return _linear_table(rgb.device).index_select(0, levels).view(rgb.shape)


def _f_from_lab(lab: Tensor) -> Tensor:
    L, a, b = lab.unbind(1)
    fy = (L + 16) / 116
    return torch.stack((a / 500 + fy, fy, fy - b / 200), 1)


def _linear_from_f(f: Tensor) -> Tensor:
    return _mix(_xyz_from_f(f), _rgb_matrix(f.dtype, f.device))


def _widened(values: Tensor) -> Tensor:
    return values if values.dtype == torch.float64 else values.float()


def _mix(channels: Tensor, matrix: Tensor) -> Tensor:
    # Autocast would round the product to half precision: whole units of Lab.
    with torch.autocast(channels.device.type, enabled=False):
        return torch.einsum("rc,nchw->nrhw", matrix, channels)


# The curves have a straight and a bent part, and the two are not quite equal where they meet. Each
# part gets its own values, cut at the border, and they are added: torch.where would choose between
# them pixel by pixel, which takes many times as long, and a gradient of NaN from the part that is
# not in use would spread through it.
def _linear_from_srgb(rgb: Tensor) -> Tensor:
    bent = rgb.clamp(min=_TOE).add(0.055).div(1.055).pow(2.4)
    return rgb.clamp(max=_TOE) / 12.92 + _above(rgb, _TOE, bent, _TOE / 12.92)


def _srgb_from_linear(linear: Tensor) -> Tensor:
    bent = linear.clamp(min=_TOE_LINEAR).pow(1 / 2.4).mul(1.055).sub(0.055)
    straight = linear.clamp(max=_TOE_LINEAR) * 12.92
    return straight + _above(linear, _TOE_LINEAR, bent, _TOE_LINEAR * 12.92)


def _f_from_xyz(xyz: Tensor) -> Tensor:
    bent = xyz.clamp(min=_EPSILON).pow(1 / 3)
    straight = xyz.clamp(max=_EPSILON).mul(_KAPPA).add(_OFFSET)
    return straight + _above(xyz, _EPSILON, bent, _KAPPA * _EPSILON + _OFFSET)


def _xyz_from_f(f: Tensor) -> Tensor:
    bent = f.clamp(min=_F_EPSILON).pow(3)
    straight = f.clamp(max=_F_EPSILON).sub(_OFFSET).div(_KAPPA)
    return straight + _above(f, _F_EPSILON, bent, (_F_EPSILON - _OFFSET) / _KAPPA)


def _above(values: Tensor, border: float, bent: Tensor, at_border: float) -> Tensor:
    """What the bent part has more than the straight one had at the border; 0 up to there."""
    # As a number at once: by way of a bool this would be the slowest step of the curve.
    return (bent - at_border) * values.detach().clone().gt_(border)


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
