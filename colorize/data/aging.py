"""Lightness as an old photograph shows it: faded, soft and grainy. For training."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from colorize.checks import require_tensor
from colorize.errors import InputError

_KERNEL_SIGMAS = 3.0


Effect = tuple[float, float, float]
"""Share of the images that get it, lowest and highest strength; uniform between these."""


@dataclass(frozen=True)
class Aging:
    """What may happen to an image, each effect drawn for itself, in this order.

    Attributes:
        gamma: exponent of L / 100.
        contrast: factor of the distance from L = 50.
        brightness: what is added to L.
        blur: standard deviation of a Gaussian, in pixels; edge pixels are repeated.
        grain: standard deviation of normal noise, in units of L.
        grain_size: standard deviation, in pixels, of the Gaussian that makes neighboring grains
            alike; of every image with grain.

    The ranges are those that the photo model was trained with at 128 px, when 13 % of the images
    stay as they are. Contrast is lost more often than gained, as prints fade.

    Raises:
        InputError: when a share is not between 0 and 1, or a strength out of its range.
    """

    gamma: Effect = (0.4, 0.65, 1.45)
    contrast: Effect = (0.4, 0.55, 1.1)
    brightness: Effect = (0.3, -10.0, 10.0)
    blur: Effect = (0.25, 0.4, 1.6)
    grain: Effect = (0.3, 0.5, 6.0)
    grain_size: tuple[float, float] = (0.25, 0.75)

    def __post_init__(self) -> None:
        for name in (field.name for field in fields(self)):
            *share, low, high = getattr(self, name)
            if not all(0 <= s <= 1 for s in share):
                raise InputError(f"{name}: expected a share between 0 and 1, got {share[0]}")
            lowest = -100 if name == "brightness" else 0
            if not lowest <= low <= high <= 100:
                raise InputError(
                    f"{name}: expected a lowest and a highest strength between {lowest} and 100, "
                    f"got {low} and {high}"
                )


_DEFAULT = Aging()


@torch.no_grad()
def age_lightness(L: Tensor, generator: torch.Generator, aging: Aging = _DEFAULT) -> Tensor:
    """Age each image of a batch by effects of its own.

    Args:
        L: (N, 1, H, W), 0..100, on any device.
        generator: where everything random comes from. On the CPU, it gives the same to every
            device, but for rounding.
        aging: which effects, how often and how strong.

    Returns:
        aged: (N, 1, H, W) in the type of L, 0..100. Images that no effect was drawn for are as
        they were, bit for bit.

    Raises:
        InputError: when L is no floating point tensor of that shape.
    """
    require_tensor(L, "L", shape=(None, 1, None, None), floating=True)
    if L.numel() == 0:
        return L.clone()
    x = L.clamp(0, 100).to(torch.promote_types(L.dtype, torch.float32))
    draw = _Draw(x, generator)
    on, gamma = draw.effect(aging.gamma)
    x = torch.where(on, 100 * (x / 100) ** gamma, x)
    on, factor = draw.effect(aging.contrast)
    x = torch.where(on, 50 + (x - 50) * factor, x)
    on, offset = draw.effect(aging.brightness)
    x = torch.where(on, x + offset, x)
    on, sigma = draw.effect(aging.blur)
    radius = _radius(aging.blur[-1])
    padded = F.pad(x, (radius,) * 4, mode="replicate")
    x = torch.where(on, _smooth(padded, _kernel(sigma, radius)), x)
    on, strength = draw.effect(aging.grain)
    x = torch.where(on, x + strength * _grain(draw, aging.grain_size), x)
    return x.clamp(0, 100).to(L.dtype)


class _Draw:
    """Random numbers for a batch like ``like``, made where the generator is."""

    def __init__(self, like: Tensor, generator: torch.Generator) -> None:
        self.like = like
        self.generator = generator

    def effect(self, effect: Effect) -> tuple[Tensor, Tensor]:
        """For which images, and how strong; each (N, 1, 1, 1)."""
        share, low, high = effect
        return self.uniform(0, 1) < share, self.uniform(low, high)

    def uniform(self, low: float, high: float) -> Tensor:
        """(N, 1, 1, 1), from low up to but not high."""
        shape = (len(self.like), 1, 1, 1)
        values = torch.rand(shape, generator=self.generator, device=self.generator.device)
        return values.to(self.like) * (high - low) + low

    def normal(self, margin: int) -> Tensor:
        """(N, 1, H, W) with so many more pixels at each edge."""
        n, _, h, w = self.like.shape
        shape = (n, 1, h + 2 * margin, w + 2 * margin)
        values = torch.randn(shape, generator=self.generator, device=self.generator.device)
        return values.to(self.like)


def _grain(draw: _Draw, grain_size: tuple[float, float]) -> Tensor:
    """(N, 1, H, W) noise of standard deviation 1."""
    low, high = grain_size
    radius = _radius(high)
    kernel = _kernel(draw.uniform(low, high), radius)
    # Smoothing takes strength away: by the sum of squares along each of the two directions.
    return _smooth(draw.normal(radius), kernel) / (kernel**2).sum(-1, keepdim=True)


def _radius(sigma: float) -> int:
    return max(1, math.ceil(_KERNEL_SIGMAS * sigma))


def _kernel(sigma: Tensor, radius: int) -> Tensor:
    """(N, 1, 1, 1) standard deviations in pixels to (N, 1, 1, 2 radius + 1) weights."""
    steps = torch.arange(-radius, radius + 1, device=sigma.device, dtype=sigma.dtype)
    # The lower bound keeps 0 / 0 out; at a tenth of a pixel a Gaussian leaves an image as it is.
    return (-0.5 * (steps / sigma.clamp(min=0.1)) ** 2).softmax(-1)


def _smooth(x: Tensor, kernel: Tensor) -> Tensor:
    """Convolve each image of (N, 1, H, W) with its own kernel along rows and columns, inside."""
    n = len(x)
    planes = F.conv2d(x.transpose(0, 1), kernel, groups=n)
    return F.conv2d(planes, kernel.transpose(2, 3), groups=n).transpose(0, 1)
