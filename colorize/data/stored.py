"""The pixels that a file holds, in bands of rows, at its own depth and in its own color space."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from colorize.data.color_profile import Kind
from colorize.data.opening import explaining
from colorize.errors import ImageError

Band = tuple[np.ndarray, np.ndarray | None]
"""(R, W, C) color, and (R, W) alpha of the same type or None."""

_KINDS: dict[str, Kind] = {
    **dict.fromkeys(("1", "L", "LA", "La"), "GRAY"),
    **dict.fromkeys(("RGB", "RGBA", "RGBa", "RGBX", "P", "PA", "YCbCr", "HSV"), "RGB"),
    "CMYK": "CMYK",
    "LAB": "LAB",
}
_BITS, _PHOTOMETRIC, _SAMPLE_FORMAT = 258, 262, 339
_UNSIGNED = (1, 4)
# Floats may leave 0..1 by this, and are cut.
_ROUNDING = 1e-4


@dataclass(frozen=True)
class StoredPixels:
    """The pixels of an image as they are stored.

    Attributes:
        size: width and height.
        kind: what the color samples mean.
        deep: whether they are uint16 in place of uint8.
        band: gives the rows from a first to a last one.
        has_alpha: whether ``band`` gives alpha.
        floating: whether the file holds floats.
    """

    size: tuple[int, int]
    kind: Kind
    deep: bool
    band: Callable[[int, int], Band]
    has_alpha: bool
    floating: bool = False


def stored_pixels(
    image: Image.Image, name: str, reopened: Callable[[], Image.Image] | None
) -> StoredPixels:
    """Load an image and give its pixels.

    Args:
        image: as Pillow opened it.
        name: what to call it in errors.
        reopened: opens the same image once more, for what Pillow cuts to 8 bits; None when it is
            not a file.
    """
    _check_samples(image, name)
    if image.mode == "I" or image.mode.startswith("I;16"):
        return _grey16(image, name)
    if image.mode == "F":
        with explaining(name):
            floats = np.asarray(image)[..., None]
        grey = float_levels(floats, name)
        if getattr(image, "tag_v2", {}).get(_PHOTOMETRIC) == 0:
            grey = ~grey
        return from_array(grey, False, floating=True)
    if image.mode not in _KINDS:
        raise ImageError(
            f"{name}: expected color or grey of 8 or 16 bits, got Pillow's mode {image.mode!r}; "
            "save it as 8-bit RGB first"
        )
    raw = _raw_mode(image)
    if reopened is not None and raw in _LOW_BYTES:
        return _color16(image, reopened(), raw, name)
    with explaining(name):
        image.load()
        # Pillow converts grey with premultiplied alpha to nothing else.
        image = image.convert("LA") if image.mode == "La" else image
    return StoredPixels(
        image.size, _KINDS[image.mode], False, _EightBits(image, name), has_alpha(image)
    )


def has_alpha(image: Image.Image) -> bool:
    """Check for alpha, or a transparent color or palette entry."""
    return bool(image.has_transparency_data)


def is_signed(image: Image.Image) -> bool:
    """Check for whole numbers with a sign, which Pillow takes for numbers without."""
    sample_format = getattr(image, "tag_v2", {}).get(_SAMPLE_FORMAT, (1,))[0]
    return sample_format not in _UNSIGNED and image.mode != "F"


def is_deep(image: Image.Image) -> bool:
    """Check for samples of 16 bits, also where Pillow cuts them to 8."""
    return image.mode.startswith("I") or _raw_mode(image) in _LOW_BYTES


def _check_samples(image: Image.Image, name: str) -> None:
    """Refuse samples without a known range."""
    tags = getattr(image, "tag_v2", {})
    signed = is_signed(image)
    if signed or (image.mode == "I" and max(tags.get(_BITS, (16,))) > 16):
        raise ImageError(
            f"{name}: expected unsigned samples of at most 16 bits, got "
            f"{'signed' if signed else 'unsigned'} ones of {tags.get(_BITS, (16,))[0]} bits, whose "
            "range is not known; save it as 16-bit grey first"
        )

    if image.mode == "I" and image.format is None and 1 < np.asarray(image).max() <= 255:
        raise ImageError(
            f"{name}: expected 16-bit grey in Pillow's mode 'I', got no value above 255; if it is "
            "8-bit grey, convert it to mode 'L' first"
        )


class _EightBits:
    """Bands of 8-bit pixels."""

    def __init__(self, image: Image.Image, name: str) -> None:
        self._image, self._name = image, name
        self._grey = _KINDS[image.mode] == "GRAY"
        # Pillow inverts CMYK of every JPEG, as Adobe stores it.
        self._negative = (
            image.mode == "CMYK" and image.format == "JPEG" and "adobe" not in image.info
        )

    def __call__(self, first: int, last: int) -> Band:
        with explaining(self._name):
            rows = self._image.crop((0, first, self._image.width, last))
            if has_alpha(self._image):
                layer = np.asarray(rows.convert("RGBA"))
                return layer[..., : 1 if self._grey else 3], layer[..., 3]
            if rows.mode not in ("CMYK", "LAB"):
                rows = rows.convert("L" if self._grey else "RGB")
            levels = np.asarray(rows)
        if self._negative:
            levels = 255 - levels
        return levels.reshape(last - first, self._image.width, -1), None


def _grey16(image: Image.Image, name: str) -> StoredPixels:
    with explaining(name):
        image.load()
    tags = getattr(image, "tag_v2", {})
    bits = 12 if tags.get(_BITS) == (12,) else 16
    full = 2**bits - 1
    # TIFF's "white is zero", which Pillow undoes for 8 bits only.
    inverted = image.mode != "I" and tags.get(_PHOTOMETRIC) == 0
    key = image.info.get("transparency")
    key = key if isinstance(key, int) else None

    def band(first: int, last: int) -> Band:
        values = np.asarray(image.crop((0, first, image.width, last)))
        low, high = int(values.min()), int(values.max())
        if low < 0 or high > full:
            raise ImageError(
                f"{name}: expected {bits}-bit grey (0..{full}), got integers {low}..{high}; save "
                "it as 8-bit RGB first"
            )
        grey = values.astype(np.uint16)
        if bits == 12:
            grey = (grey << 4 | grey >> 8).astype(np.uint16)
        alpha = None if key is None else np.where(values == key, 0, 65535).astype(np.uint16)
        return (~grey if inverted else grey)[..., None], alpha

    return StoredPixels(image.size, "GRAY", True, band, key is not None)


# Pillow cuts color of 16 bits to the high bytes, by the raw modes on the left. Those on the right,
# of the other byte order, give the low bytes of the same file. (Grey with alpha: all four bytes.)
_LOW_BYTES = {
    **{f"{mode};16B": f"{mode};16L" for mode in ("RGB", "RGBX", "RGBA")},
    **{f"{mode};16L": f"{mode};16B" for mode in ("RGB", "RGBX", "RGBA")},
    "RGBa;16B": "RGBA;16L",
    "RGBa;16L": "RGBA;16B",
    "LA;16B": "RGBA",
}


def _raw_mode(image: Image.Image) -> str:
    """Give the raw mode that Pillow reads an opened file by; "" for others."""
    tiles = getattr(image, "tile", None)
    if not tiles:
        return ""
    args = tiles[0].args
    raw = args[0] if isinstance(args, tuple | list) and args else args
    if not isinstance(raw, str):
        return ""
    if raw.endswith(";16N"):
        raw = raw[:-1] + ("L" if sys.byteorder == "little" else "B")
    return raw


def _with_raw_mode(image: Any, raw: str) -> Image.Image:
    image.tile = [
        tile._replace(args=raw if isinstance(tile.args, str) else (raw, *tile.args[1:]))
        for tile in image.tile
    ]
    image.load()
    return image


def _color16(image: Any, twin: Image.Image, raw: str, name: str) -> StoredPixels:
    key = image.info.pop("transparency", None)
    with explaining(name):
        low = _with_raw_mode(twin, _LOW_BYTES[raw])
        high = _with_raw_mode(image, raw.replace("RGBa", "RGBA"))
    grey = raw == "LA;16B"

    def band(first: int, last: int) -> Band:
        rows = (0, first, image.width, last)
        bytes_low = np.asarray(low.crop(rows)).astype(np.uint16)
        if grey:
            levels = bytes_low[..., 0::2] << 8 | bytes_low[..., 1::2]
            return levels[..., :1], levels[..., 1]
        levels = np.asarray(high.crop(rows)).astype(np.uint16) << 8 | bytes_low
        color, alpha = levels[..., :3], levels[..., 3] if levels.shape[2] == 4 else None
        if raw.startswith("RGBa") and alpha is not None:
            share = np.maximum(alpha, 1)[..., None] / np.float32(65535)
            color = np.minimum(np.rint(color / share), 65535).astype(np.uint16)
        if isinstance(key, tuple):
            alpha = np.where((color == key).all(-1), 0, 65535).astype(np.uint16)
        return color, alpha

    has = image.mode == "RGBA" or isinstance(key, tuple)
    return StoredPixels(image.size, "GRAY" if grey else "RGB", True, band, has)


def float_levels(array: np.ndarray, name: str) -> np.ndarray:
    """Turn floats of 0..1 into uint16. Of another range the white is not known: an error."""
    low, high = float(array.min()), float(array.max())
    if np.isnan(low):
        raise ImageError(
            f"{name}: expected floating-point samples of 0 to 1, got {int(np.isnan(array).sum())} "
            "that are NaN; replace them first"
        )
    if not (low >= -_ROUNDING and high <= 1 + _ROUNDING):
        raise ImageError(
            f"{name}: expected floating-point samples of 0 (black) to 1 (white), got "
            f"{low:g}..{high:g}; scale them to 0..1, or save them as 16-bit integers first"
        )
    levels = np.empty(array.shape, np.uint16)
    for row, floats in zip(levels, array, strict=True):  # so that no second float array is made
        row[:] = np.rint(floats.clip(0, 1) * np.float32(65535))
    return levels


def from_array(array: np.ndarray, alpha: bool, floating: bool = False) -> StoredPixels:
    """Give the pixels of (H, W, C) uint8 or uint16; the last channel may be alpha."""
    color = array.shape[2] - alpha

    def band(first: int, last: int) -> Band:
        rows = array[first:last]
        return rows[..., :color], rows[..., color] if alpha else None

    kind: Kind = "GRAY" if color == 1 else "RGB"
    size = (array.shape[1], array.shape[0])
    return StoredPixels(size, kind, array.dtype == np.uint16, band, alpha, floating)
