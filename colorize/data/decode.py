"""Decoding of images, whatever their mode, to 8-bit RGB.

Pixels are taken as sRGB; an embedded color profile is not applied. Of an animation or a file with
several pages it is the first that counts.
"""

from __future__ import annotations

import io
import os
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from PIL import ExifTags, Image, ImageFile

from colorize.color.lab import rgb_to_lab
from colorize.data.color_profile import to_srgb
from colorize.errors import ImageError

GREY_LIMIT = 5.0
"""The authors' rule: an image is grey when no pixel has |a| or |b| above this."""

ImageSource = str | os.PathLike[str] | bytes | BinaryIO | Image.Image

_FORMATS = ("JPEG", "PNG", "GIF", "BMP", "DIB", "TIFF", "WEBP", "PPM", "JPEG2000", "AVIF")
_FORMAT_NAMES = "JPEG, PNG, GIF, BMP, TIFF, WebP, PNM, JPEG 2000 or AVIF"
_CONVERTIBLE = ("RGB", "L", "P", "1", "CMYK", "YCbCr", "RGBX", "HSV")
_WITH_ALPHA = ("RGBA", "LA", "PA", "RGBa")
# What Pillow's decoders raise on damaged files. A full disk or a bug of ours is not among them.
_DECODER_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    IndexError,
    KeyError,
    TypeError,
    OverflowError,
    RuntimeError,
    struct.error,
    zlib.error,
)
# ImageOps.exif_transpose also writes the remaining EXIF block anew, and fails on the many that do
# not keep to the standard.
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# A picture one pixel wide would be enlarged to gigabytes.
_MOST_ENLARGED_PIXELS = 2**24
# Difference of the largest and the smallest channel. In the whole 8-bit cube no color above the
# first is grey in the sense of GREY_LIMIT and none up to the second is not (a test enumerates it);
# only in between does it take CIELAB, which costs more than decoding.
_SURELY_COLORED = 24
_SURELY_GREY = 6


def decode_rgb(
    source: ImageSource, name: str, *, resize: int | None = None, at_least: int = 1
) -> np.ndarray:
    """Decode an image to 8-bit RGB, upright as its EXIF orientation says.

    Grey becomes three equal channels, also 16-bit grey, which is scaled by its full range.
    Transparency is laid over white. CMYK and YCCK are converted by the plain formula.

    Args:
        source: path, encoded bytes, open binary file, or PIL image (which is not changed).
        name: what to call the image in errors.
        resize: what the short side is to be, in pixels; None keeps it. The filter is bicubic,
            widened when reducing (antialiased). A JPEG that is reduced a lot is decoded at a
            fraction of its size, at least twice what is needed.
        at_least: a short side that is still below this is enlarged to it.

    Returns:
        rgb: (H, W, 3) uint8, contiguous and writable.

    Raises:
        ImageError: not an image, empty, truncated, too large, or of a kind without a defined
            conversion (floating point, 32-bit integers beyond 16 bits).
    """
    if isinstance(source, Image.Image):
        return _finish(source, name, _target(source, name, resize, at_least))
    with _opened(source, name) as image:
        target = _target(image, name, resize, at_least)
        if image.format == "JPEG" and min(image.size) >= 2 * target:
            image.draft(None, short_side_to(*image.size, 2 * target))
        return _finish(image, name, target)


@dataclass(frozen=True)
class Decoded:
    """The pixels of a file.

    Attributes:
        rgb: (H, W, 3) uint8 sRGB, upright; transparent pixels have their own color.
        alpha: (H, W) uint8, 255 is opaque; None when the file has none.
        icc: sRGB profile for a result; None when the file has no profile.
        notes: what was left out or changed, for the user.
    """

    rgb: np.ndarray
    alpha: np.ndarray | None = None
    icc: bytes | None = None
    notes: tuple[str, ...] = ()


def decode(encoded: bytes, name: str) -> Decoded:
    """Decode a file to sRGB and alpha.

    The first of several pages or frames is read. 16 bits become 8. A color profile that is not sRGB
    is applied by relative colorimetric intent with black point compensation.

    Args:
        encoded: the content of the file.
        name: what to call the image in errors.
    """
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        # A scan of more than 89 megapixels is no attack. Pillow itself refuses twice as many.
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        decoded = _decode(encoded, name)
    spoken = dict.fromkeys(str(warning.message).strip() for warning in warned)
    return replace(decoded, notes=(*decoded.notes, *spoken))


def read_bytes(source: str | os.PathLike[str] | bytes, name: str) -> bytes:
    """Read a file that may be an image; bytes are given back as they are."""
    if isinstance(source, bytes):
        return source
    try:
        return Path(source).read_bytes()
    except OSError as error:
        raise ImageError(f"{name}: expected an image file, got: {error.strerror}") from error


def is_grey(rgb: np.ndarray) -> bool:
    """Whether no pixel of (H, W, 3) uint8 has |a| or |b| above ``GREY_LIMIT``."""
    red, green, blue = rgb[..., 0], rgb[..., 1], rgb[..., 2]
    spread = np.maximum(np.maximum(red, green), blue) - np.minimum(np.minimum(red, green), blue)
    if bool((spread > _SURELY_COLORED).any()):
        return False
    doubtful = rgb[spread > _SURELY_GREY].astype(np.int32)
    if len(doubtful) == 0:
        return True
    codes = np.unique(doubtful[:, 0] << 16 | doubtful[:, 1] << 8 | doubtful[:, 2])
    colors = np.stack((codes >> 16, codes >> 8 & 255, codes & 255)).astype(np.uint8)
    lab = rgb_to_lab(torch.from_numpy(colors)[None, :, :, None])
    return not bool((lab[:, 1:].abs() > GREY_LIMIT).any())


def short_side_to(width: int, height: int, short_side: int) -> tuple[int, int]:
    """Width and height scaled so that the shorter of them is ``short_side``."""
    scale = short_side / min(width, height)
    return max(short_side, round(width * scale)), max(short_side, round(height * scale))


@contextmanager
def _opened(
    source: str | os.PathLike[str] | bytes | BinaryIO, name: str
) -> Iterator[ImageFile.ImageFile]:
    if isinstance(source, bytes):
        if not source:
            raise ImageError(f"{name}: expected an image, got an empty file (0 bytes)")
        source = io.BytesIO(source)
    elif isinstance(source, str | os.PathLike):
        # Given a path, Pillow maps some TIFFs into memory, and those to be turned with wrong sizes.
        with _file(Path(source), name) as file, _opened(file, name) as image:
            yield image
        return
    elif not hasattr(source, "read"):
        kind = type(source).__name__
        raise ImageError(
            f"{name}: expected a path, bytes, an open binary file or a PIL image, got {kind}"
        )
    with _explaining(name):
        image = Image.open(source, formats=_formats())
    # Closes what Pillow opened; the caller's own file stays open.
    with image:
        yield image


def _file(path: Path, name: str) -> BinaryIO:
    try:
        size = path.stat().st_size
        file = path.open("rb")
    except OSError as error:
        raise ImageError(f"{name}: expected an image file, got: {error.strerror}") from error
    if size == 0:
        file.close()
        raise ImageError(f"{name}: expected an image, got an empty file (0 bytes)")
    return file


@lru_cache(maxsize=1)
def _formats() -> tuple[str, ...]:
    Image.init()
    return tuple(name for name in _FORMATS if name in Image.OPEN)


@contextmanager
def _explaining(name: str) -> Iterator[None]:
    """Turn what Pillow raises into an ImageError that names the file."""
    try:
        yield
    except Image.UnidentifiedImageError as error:
        raise ImageError(
            f"{name}: expected an image ({_FORMAT_NAMES}), got something else"
        ) from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageError(f"{name}: expected an image of ordinary size, got: {error}") from error
    except _DECODER_ERRORS as error:
        what = f"{type(error).__name__}: {error}"
        raise ImageError(
            f"{name}: expected a whole image, got a truncated or damaged one ({what})"
        ) from error


def _target(image: Image.Image, name: str, resize: int | None, at_least: int) -> int:
    short = min(image.size)
    if short < 1:
        raise ImageError(f"{name}: expected at least one pixel, got a size of {image.size}")
    return max(resize or short, at_least)


def _finish(image: Image.Image, name: str, target: int) -> np.ndarray:
    with _explaining(name):
        image.load()
        method = _UPRIGHT.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    rgb = _to_rgb(image, name)
    if method is not None:
        rgb = rgb.transpose(method)
    if target != min(rgb.size):
        rgb = rgb.resize(_resized(rgb, name, target), Image.Resampling.BICUBIC)
    return np.array(rgb)


def _resized(image: Image.Image, name: str, target: int) -> tuple[int, int]:
    width, height = short_side_to(*image.size, target)
    if target > min(image.size) and width * height > _MOST_ENLARGED_PIXELS:
        raise ImageError(
            f"{name}: expected an image that can be enlarged to a short side of {target}, "
            f"got {image.width}x{image.height}, which would become {width}x{height}"
        )
    return width, height


def _to_rgb(image: Image.Image, name: str) -> Image.Image:
    mode = image.mode
    if mode == "I" or mode.startswith("I;16"):
        return _from_grey16(image, name)
    if mode not in _CONVERTIBLE + _WITH_ALPHA:
        raise ImageError(
            f"{name}: expected 8-bit color or grey, or 16-bit grey, got Pillow's mode {mode!r}"
            + (" (32-bit floating point, whose range is not known)" if mode == "F" else "")
            + "; save it as 8-bit RGB first"
        )
    with _explaining(name):
        if not image.has_transparency_data:
            return image if mode == "RGB" else image.convert("RGB")
        layer = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, layer).convert("RGB")


def _from_grey16(image: Image.Image, name: str) -> Image.Image:
    values = np.asarray(image).astype(np.int64)
    tags = getattr(image, "tag_v2", {})
    bits = 12 if tags.get(ExifTags.Base.BitsPerSample) == (12,) else 16
    full = 2**bits - 1
    if values.min() < 0 or values.max() > full:
        raise ImageError(
            f"{name}: expected {bits}-bit grey (0..{full}), got integers "
            f"{values.min()}..{values.max()}; save it as 8-bit RGB first"
        )
    grey = (values * 255 + full // 2) // full
    if image.mode != "I" and tags.get(ExifTags.Base.PhotometricInterpretation) == 0:
        grey = 255 - grey  # TIFF's "white is zero", which Pillow undoes for 8 bits only
    if isinstance(transparent := image.info.get("transparency"), int):
        grey[values == transparent] = 255
    return Image.fromarray(grey.astype(np.uint8)).convert("RGB")


def _decode(encoded: bytes, name: str) -> Decoded:
    rgb = decode_rgb(encoded, name)
    # decode_rgb has read all of it without an error, so nothing is checked again.
    with Image.open(io.BytesIO(encoded)) as image:
        image.load()
        alpha = None
        if image.has_transparency_data:
            rgb, alpha = _split_alpha(image, rgb, name)
        rgb, icc, notes = to_srgb(image, rgb, lambda layer: _upright(layer, image, name))
        if _has_more(image):
            notes.insert(0, "the first of its pages or frames was taken")
    return Decoded(rgb, alpha, icc, tuple(notes))


def _has_more(image: Image.Image) -> bool:
    # A phone's JPEG carries its preview or its brightness map as further images (MPO).
    if image.format == "MPO":
        return False
    try:
        return getattr(image, "n_frames", 1) > 1
    except (*_DECODER_ERRORS, LookupError):
        return True  # a second page that is damaged


def _split_alpha(image: Image.Image, rgb: np.ndarray, name: str) -> tuple[np.ndarray, np.ndarray]:
    if image.mode.startswith("I"):
        opaque = np.asarray(image) != image.info["transparency"]
        mask = Image.fromarray(opaque.astype(np.uint8) * 255)
    else:
        layer = image.convert("RGBA")
        mask = layer.getchannel("A")
        rgb = _upright(layer.convert("RGB"), image, name)
    return rgb, np.ascontiguousarray(_upright(mask, image, name)[..., 0])


def _upright(layer: Image.Image, image: Image.Image, name: str) -> np.ndarray:
    """Turn a layer that was made from the pixels of ``image`` upright.

    Pillow turns a TIFF, and only a TIFF, when it loads it; the orientation is then 1.
    """
    layer.getexif()[ExifTags.Base.Orientation] = image.getexif().get(ExifTags.Base.Orientation, 1)
    return decode_rgb(layer, name)
