"""Random crops: where, how large, turned by how much, flipped or not."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from PIL import Image

from colorize.errors import InputError

_WORD = 2**64 - 1
_HALF_WORD = 2**32


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

    Raises:
        InputError: when an argument is out of its range.
    """

    size: int
    rotation: float = 0.0
    zoom: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.rotation <= 0.5:
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
        if self.rotation == 0 and self.zoom is None:
            top = ((bits >> 1) & 0x7FFFFFFF) * (height - self.size + 1) >> 31
            left = (bits >> 32) * (width - self.size + 1) >> 32
            crop = pixels[:, top : top + self.size, left : left + self.size]
        else:
            crop = self._resampled(pixels, bits)
        return crop[:, :, ::-1] if bits & 1 else crop

    def _resampled(self, pixels: np.ndarray, bits: int) -> np.ndarray:
        _, height, width = pixels.shape
        short = min(height, width)
        more = scramble(bits)
        turn = ((more >> 32) / _HALF_WORD * 2 - 1) * self.rotation * 2 * math.pi
        side = float(self.size)
        if self.zoom is not None:
            low, high = self.zoom
            side = short * (low + (high - low) * ((more % _HALF_WORD) / _HALF_WORD))
        # The upright square around a turned one, in sides of the turned one.
        around = abs(math.cos(turn)) + abs(math.sin(turn))
        reach = min(side * around, short)
        left = (width - reach) * ((bits >> 32) / _HALF_WORD)
        top = (height - reach) * ((bits % _HALF_WORD) / _HALF_WORD)
        if self.rotation == 0:
            return _resize(pixels, left, top, reach, self.size)
        if reach > self.size * around:
            # Interpolation alone would alias: reduce the surroundings first.
            reduced = math.ceil(self.size * around)
            pixels = _resize(pixels, left, top, reach, reduced)
            left, top, reach = 0.0, 0.0, float(reduced)
        center = (left + reach / 2, top + reach / 2)
        return _turn(pixels, center, reach / around, turn, self.size)


def scramble(word: int) -> int:
    """SplitMix64: neighboring numbers in, unrelated 64-bit numbers out."""
    word = (word + 0x9E3779B97F4A7C15) & _WORD
    word = ((word ^ (word >> 30)) * 0xBF58476D1CE4E5B9) & _WORD
    word = ((word ^ (word >> 27)) * 0x94D049BB133111EB) & _WORD
    return word ^ (word >> 31)


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
