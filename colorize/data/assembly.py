"""Stored pixels to upright sRGB, band by band, so that no second copy of them is made."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from PIL import Image

from colorize.data.color_profile import DeclaredColor, find_conversion
from colorize.data.stored import Band, StoredPixels

# Bounds the memory of a band, however large the image is.
_BAND_PIXELS = 2**18


@dataclass(frozen=True)
class Decoded:
    """The pixels of an image.

    Attributes:
        pixels: (H, W, 1) or (H, W, 3) sRGB, upright, uint8 or uint16; transparent pixels have
            their own color.
        alpha: (H, W) of the same type, the top value is opaque; None when there is none.
        icc: sRGB profile for a result; None when the file declares no color.
        notes: what was left out or changed, for the user.
    """

    pixels: np.ndarray
    alpha: np.ndarray | None = None
    icc: bytes | None = None
    notes: tuple[str, ...] = ()

    @property
    def rgb(self) -> np.ndarray:
        """The pixels as (H, W, 3); grey has three equal channels."""
        return self.pixels if self.pixels.shape[2] == 3 else np.repeat(self.pixels, 3, 2)


def assembled(
    pixels: StoredPixels,
    declared: DeclaredColor,
    orientation: int,
    depth: int,
    over_white: bool,
) -> Decoded:
    """Convert band by band into arrays that are upright.

    Args:
        pixels, declared: of the file.
        orientation: EXIF's, which is to be undone.
        depth: 16 keeps uint16; 8 rounds it to uint8.
        over_white: lay transparent pixels over white, and give no alpha.
    """
    conversion = find_conversion(
        declared, pixels.kind, pixels.deep, lambda: all(map(_is_neutral, _bands(pixels)))
    )
    whole: list[np.ndarray] = []
    highest = 0
    for first, last, (color, alpha) in _bands(pixels):
        highest = max(highest, int(color.max()))
        color = conversion.apply(color) if conversion.apply else color
        if over_white and alpha is not None:
            color, alpha = _laid_over_white(color, alpha), None
        parts = [color] if alpha is None else [color, alpha[..., None]]
        parts = [_rounded(part) if depth == 8 else part for part in parts]
        if first == 0:
            whole = [_empty(pixels.size, orientation, part) for part in parts]
        for array, part in zip(whole, parts, strict=True):
            _as_stored(array, orientation)[first:last] = part
    alpha = whole[1][..., 0] if len(whole) > 1 else None
    notes = conversion.notes
    if pixels.floating and not (declared.icc or declared.space):
        notes += ("its floating-point samples were taken as sRGB, 0 is black and 1 is white",)
    elif pixels.deep and 0 < highest < 2**12:
        notes += (
            f"no sample is above {highest} of 65535; if the scan has {highest.bit_length()} bits, "
            "save it with 16, or it comes out too dark",
        )
    return Decoded(whole[0], alpha, conversion.icc, notes)


def _bands(pixels: StoredPixels) -> Iterator[tuple[int, int, Band]]:
    width, height = pixels.size
    rows = max(1, _BAND_PIXELS // width)
    for first in range(0, height, rows):
        last = min(first + rows, height)
        yield first, last, pixels.band(first, last)


def _is_neutral(band: tuple[int, int, Band]) -> bool:
    color = band[2][0]
    return bool((color == color[..., :1]).all())


def _laid_over_white(color: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    if color.dtype == np.uint8:
        rgb = np.broadcast_to(color, (*color.shape[:2], 3))
        layer = Image.fromarray(np.dstack((rgb, alpha)))
        white = Image.new("RGBA", layer.size, "white")
        flat = np.asarray(Image.alpha_composite(white, layer).convert("RGB"))
        return flat[..., : color.shape[2]]
    share = alpha[..., None] / np.float32(65535)
    return np.rint(color * share + 65535 * (1 - share)).astype(np.uint16)


def _rounded(levels: np.ndarray) -> np.ndarray:
    if levels.dtype == np.uint8:
        return levels
    return ((levels.astype(np.uint32) * 255 + 32767) // 65535).astype(np.uint8)


def _empty(size: tuple[int, int], orientation: int, part: np.ndarray) -> np.ndarray:
    width, height = size if orientation < 5 else size[::-1]
    return np.empty((height, width, part.shape[2]), part.dtype)


def _as_stored(upright: np.ndarray, orientation: int) -> np.ndarray:
    """View an upright array as it lies in the file."""
    view = upright.swapaxes(0, 1) if orientation >= 5 else upright
    down = orientation in (3, 4, 6, 7)
    right = orientation in (2, 3, 7, 8)
    return view[:: -1 if down else 1, :: -1 if right else 1]
