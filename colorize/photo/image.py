"""A picture as people have it, handed out as bands of lightness at the input's own precision."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from colorize.color.lab import rgb_to_L
from colorize.data.decode import decode_rgb
from colorize.errors import ImageError
from colorize.photo.upsampling import AreaReduction

ImageLike = str | Path | bytes | Image.Image | np.ndarray

# What a band takes does not grow with the picture.
_BAND_PIXELS = 2**18


class Picture:
    """The lightness of a picture, in bands of rows: nothing of full size is kept but the pixels.

    Args:
        image: path, encoded bytes, PIL image, or array (H, W), (H, W, 1), (H, W, 3) or (H, W, 4) of
            uint8, uint16, bool, or float in 0..1. Transparency is laid over white.
        device: where the lightness is to be.

    Attributes:
        size: height and width, EXIF orientation applied.

    Raises:
        ImageError: when it is no image that can be read.
    """

    def __init__(self, image: ImageLike, device: torch.device) -> None:
        self._pixels, self._device = _read(image), device
        self.size: tuple[int, int] = self._pixels.shape[:2]

    def bands(self) -> Iterator[tuple[int, Tensor]]:
        """The number of the first row and (1, 1, R, W) lightness, from top to bottom."""
        rows = max(1, _BAND_PIXELS // self.size[1])
        for first in range(0, self.size[0], rows):
            band = _to_rgb(self._pixels[first : first + rows])
            rgb = torch.from_numpy(band).to(self._device).movedim(-1, 0)[None]
            yield first, rgb_to_L(rgb.expand(-1, 3, -1, -1))

    def reduced(self, short_side: int) -> Tensor:
        """Lightness (1, 1, h, w) with that short side, by area; at its own size when smaller."""
        scale = min(1.0, short_side / min(self.size))
        h, w = (max(1, round(side * scale)) for side in self.size)
        reduction = AreaReduction(self.size, (h, w), self._device)
        for first, band in self.bands():
            reduction.add(band, first)
        return reduction.mean


def _read(image: ImageLike) -> np.ndarray:
    """(H, W, C) with C of 1, 3 or 4, of a type that ``_to_rgb`` knows, values in range."""
    if isinstance(image, np.ndarray):
        return _checked_array(image)
    if isinstance(image, str):
        image = Path(image)
    name = str(image) if isinstance(image, Path) else type(image).__name__
    return decode_rgb(image, name)


def _checked_array(array: np.ndarray) -> np.ndarray:
    channels = array.shape[2] if array.ndim == 3 else 1
    if array.ndim not in (2, 3) or channels not in (1, 3, 4) or 0 in array.shape:
        raise ImageError(
            f"array: expected (H, W), (H, W, 1), (H, W, 3) or (H, W, 4), got {array.shape}"
        )
    if np.issubdtype(array.dtype, np.floating):
        # Written so that it is false for NaN.
        if not (array.min() >= 0 and array.max() <= 1):
            raise ImageError(
                "array: expected floats in 0..1, got "
                f"{np.nanmin(array):.4g}..{np.nanmax(array):.4g}; divide by 255 or cast to uint8"
            )
    elif array.dtype not in (np.bool_, np.uint8, np.uint16):
        raise ImageError(f"array: expected uint8, uint16, bool or float, got {array.dtype}")
    return array.reshape(*array.shape[:2], channels)


def _to_rgb(band: np.ndarray) -> np.ndarray:
    """A copy of some rows: (R, W, 1) or (R, W, 3), uint8 or float32 in 0..1."""
    if band.dtype == np.bool_:
        band = band.astype(np.uint8) * 255
    elif band.dtype == np.uint16:
        band = band.astype(np.float32) / 65535
    elif band.dtype != np.uint8:
        band = band.astype(np.float32)
    if band.shape[2] < 4:
        return np.array(band, order="C")
    # Transparency is laid over white.
    levels = band / np.float32(255) if band.dtype == np.uint8 else band
    return levels[..., :3] * levels[..., 3:] + (1 - levels[..., 3:])
