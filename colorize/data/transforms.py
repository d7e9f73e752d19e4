"""What training does to images: random crops, grey areas, lightness as an old photo shows it."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from PIL import Image
from torch import Tensor

from colorize.checks import require_non_negative, require_tensor
from colorize.errors import InputError

_WORD = 2**64 - 1
_HALF_WORD = 2**32
_KERNEL_SIGMAS = 3.0

Effect = tuple[float, float, float]
"""Share of the images that get it, lowest and highest strength; uniform between these."""


@dataclass(frozen=True)
class RandomCrop:
    """A square crop that depends on 64 random bits and on nothing else; every other one is flipped.

    The crop, turned or not, lies wholly inside the image, so there are neither black corners nor
    mirrored edges.

    Args:
        size: side of the result, in pixels.
        rotation: largest angle to either side, as share of a full turn: 0.1 is 36 degrees. Angles
            are uniform. A crop that does not fit into the image when turned is taken smaller, and
            enlarged.
        zoom: smallest and largest side of the crop as share of the image's short side, uniform
            between them, brought to ``size``; None to take ``size`` pixels as they are.
    """

    size: int
    rotation: float = 0.0
    zoom: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        if require_non_negative(self.rotation, "rotation") > 0.5:
            raise InputError(
                "rotation: expected the largest angle as share of a full turn, 0 to 0.5, got "
                f"{self.rotation!r}"
            )
        if self.zoom is not None and not _is_range_of_shares(self.zoom):
            raise InputError(
                "zoom: expected two shares of the short side, 0 < smallest <= largest <= 1, got "
                f"{self.zoom!r}"
            )

    def __call__(self, pixels: np.ndarray, bits: int) -> np.ndarray:
        """Crop (3, H, W) uint8, with H and W at least ``size``, to (3, size, size) uint8."""
        _, height, width = pixels.shape
        left, top, side, turn = self.box(height, width, bits)
        if self.rotation == 0 and self.zoom is None:
            x, y = int(left), int(top)
            crop = pixels[:, y : y + self.size, x : x + self.size]
        elif self.rotation == 0:
            crop = _resize(pixels, left, top, side, self.size)
        else:
            crop = self._turned(pixels, left, top, side, turn)
        return crop[:, :, ::-1] if bits & 1 else crop

    def box(self, height: int, width: int, bits: int) -> tuple[float, float, float, float]:
        """Where the upright square around a crop lies in an image of that size.

        Returns:
            left, top and side in pixels, and the angle of the crop in it, in radians.
        """
        if self.rotation == 0 and self.zoom is None:
            top = ((bits >> 1) & 0x7FFFFFFF) * (height - self.size + 1) >> 31
            left = (bits >> 32) * (width - self.size + 1) >> 32
            return left, top, self.size, 0.0
        short = min(height, width)
        more = scramble(bits)
        turn = ((more >> 32) / _HALF_WORD * 2 - 1) * self.rotation * 2 * math.pi
        side = float(self.size)
        if self.zoom is not None:
            low, high = self.zoom
            side = short * (low + (high - low) * ((more % _HALF_WORD) / _HALF_WORD))
        reach = min(side * _around(turn), short)
        x = (width - reach) * ((bits >> 32) / _HALF_WORD)
        y = (height - reach) * ((bits % _HALF_WORD) / _HALF_WORD)
        return x, y, reach, turn

    def _turned(
        self, pixels: np.ndarray, left: float, top: float, reach: float, turn: float
    ) -> np.ndarray:
        around = _around(turn)
        if reach > self.size * around:
            # Interpolation alone would alias: reduce the surroundings first.
            reduced = math.ceil(self.size * around)
            pixels = _resize(pixels, left, top, reach, reduced)
            left, top, reach = 0.0, 0.0, float(reduced)
        center = (left + reach / 2, top + reach / 2)
        return _turn(pixels, center, reach / around, turn, self.size)


def crop_bits(seed: int, index: int) -> int:
    """The 64 bits of the crop of one image under one seed."""
    return scramble(scramble(seed & _WORD) ^ index)


def scramble(word: int) -> int:
    """SplitMix64: neighboring numbers in, unrelated 64-bit numbers out."""
    word = (word + 0x9E3779B97F4A7C15) & _WORD
    word = ((word ^ (word >> 30)) * 0xBF58476D1CE4E5B9) & _WORD
    word = ((word ^ (word >> 27)) * 0x94D049BB133111EB) & _WORD
    return word ^ (word >> 31)


def _around(turn: float) -> float:
    """Side of the upright square around a turned one, in sides of the turned one."""
    return abs(math.cos(turn)) + abs(math.sin(turn))


def _is_range_of_shares(zoom: object) -> bool:
    return isinstance(zoom, tuple | list) and len(zoom) == 2 and 0 < zoom[0] <= zoom[1] <= 1


def _resize(pixels: np.ndarray, left: float, top: float, side: float, size: int) -> np.ndarray:
    """A square of the image at another size: bicubic, antialiased when reducing."""
    _, height, width = pixels.shape
    # The sums may pass the edge by a rounding error, which Pillow refuses.
    box = (left, top, min(left + side, width), min(top + side, height))
    result = np.empty((len(pixels), size, size), np.uint8)
    for band, resized in zip(pixels, result, strict=True):
        image = Image.fromarray(np.ascontiguousarray(band))
        resized[:] = np.asarray(image.resize((size, size), Image.Resampling.BICUBIC, box=box))
    return result


def _turn(
    pixels: np.ndarray, center: tuple[float, float], side: float, turn: float, size: int
) -> np.ndarray:
    """A square that is turned about its center, bicubic.

    Not Pillow's affine transform: its bicubic kernel gave twice the error of this one.
    """
    _, height, width = pixels.shape
    steps = ((np.arange(size) + 0.5) / size - 0.5) * side
    down, right = steps[:, None], steps[None, :]
    x = center[0] + math.cos(turn) * right - math.sin(turn) * down
    y = center[1] + math.sin(turn) * right + math.cos(turn) * down
    grid = np.stack((2 * x / width - 1, 2 * y / height - 1), -1)
    turned = F.grid_sample(
        torch.from_numpy(pixels.astype(np.float32))[None],
        torch.from_numpy(grid.astype(np.float32))[None],
        mode="bicubic",
        padding_mode="border",
        align_corners=False,
    )
    return turned[0].round().clamp(0, 255).to(torch.uint8).numpy()


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
def age_lightness(
    L: Tensor, generator: torch.Generator, aging: Aging = _DEFAULT, *, share: float = 1.0
) -> Tensor:
    """Age each image of a batch by effects of its own.

    Args:
        L: (N, 1, H, W), 0..100, on any device.
        generator: where everything random comes from. On the CPU, it gives the same to every
            device, but for rounding.
        aging: which effects, how often and how strong.
        share: of the images, 0 to 1, that are aged at all.

    Returns:
        aged: (N, 1, H, W) in the type of L, 0..100. Images that no effect was drawn for are as
        they were, bit for bit.
    """
    require_tensor(L, "L", shape=(None, 1, None, None), floating=True)
    if L.numel() == 0:
        return L.clone()
    x = L.clamp(0, 100).to(torch.promote_types(L.dtype, torch.float32))
    draw = _BatchRandom(x, generator)
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
    if share < 1:
        x = torch.where(draw.uniform(0, 1) < share, x, L)
    return x.clamp(0, 100).to(L.dtype)


@torch.no_grad()
def paint_grey(rgb: Tensor, generator: torch.Generator, share: float) -> Tensor:
    """Turn some images of a batch into grey fields, or give them grey margins.

    So the net learns that an even ground is grey. Two of seven are fields. The grey is even or
    falls off to a side, and may have grain.

    Args:
        rgb: (N, 3, H, W) uint8, on any device.
        generator: where everything random comes from.
        share: of the images, above 0 and at most 1.

    Returns:
        (N, 3, H, W) uint8; the other images are as they were.
    """
    draw = _BatchRandom(rgb[:, :1].float(), generator)
    height, width = rgb.shape[2:]
    down = torch.arange(height, device=rgb.device)[:, None]
    right = torch.arange(width, device=rgb.device)[None]
    fate = draw.uniform(0, 1 / share)  # below 1 for that share of the images
    inside = fate >= 2 / 7
    for position, length in ((down, height), (right, width)):
        for distance in (position, length - 1 - position):
            margin = draw.uniform(0, length / 4) * (draw.uniform(0, 1) < 0.7)
            inside = inside & (distance >= margin.floor())
    kind = draw.uniform(0, 1)
    grey = torch.where(kind < 0.5, draw.uniform(0, 255), torch.where(kind < 0.8, 255.0, 0.0))
    sloping = (draw.uniform(0, 1) < 0.5).float()
    for position, length in ((down, height), (right, width)):
        grey = grey + sloping * draw.uniform(-40, 40) * (2 * position / length - 1)
    grey = grey + draw.normal(0) * draw.uniform(0, 6) * (draw.uniform(0, 1) < 0.5)
    painted = torch.where(inside, rgb, grey.round().clamp(0, 255).to(torch.uint8))
    return torch.where(fate < 1, painted, rgb)


class _BatchRandom:
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


def _grain(draw: _BatchRandom, grain_size: tuple[float, float]) -> Tensor:
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
