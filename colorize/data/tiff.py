"""TIFFs that Pillow does not read, or reads wrongly, by the package tifffile where it is there."""

from __future__ import annotations

import logging
from importlib.util import find_spec
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from PIL import Image

from colorize.data.color_profile import DeclaredColor
from colorize.data.stored import StoredPixels, float_levels, from_array
from colorize.errors import ImageError

_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB = 0, 1, 2
_BITS, _COMPRESSION, _PLANAR, _EXTRA_SAMPLES = 258, 259, 284, 338
_ORIENTATION, _ICC = 274, 34675
_SEPARATE, _WEBP = 2, 50001
# What is wrong with a file is said by its error; without a handler it would be printed as well.
_SILENT = logging.NullHandler()
_UNSPECIFIED, _PREMULTIPLIED = 0, 1
_FLOATS = (np.float16, np.float32, np.float64)


class TiffPage(NamedTuple):
    """A page as ``stored_pixels`` and ``declared_color`` would give it."""

    pixels: StoredPixels
    declared: DeclaredColor
    orientation: int
    has_more: bool


def is_misread(image: Image.Image) -> bool:
    """Check for what Pillow decodes wrongly or, though it knows it, not at all.

    It mixes up planes of 16-bit color, of alpha of grey, and of premultiplied alpha.
    """
    tags = getattr(image, "tag_v2", {})
    if tags.get(_COMPRESSION) == _WEBP:
        return True
    bits = tags.get(_BITS, (1,))
    mixed = max(bits) > 8 or len(bits) == 2 or _PREMULTIPLIED in tags.get(_EXTRA_SAMPLES, ())
    return len(bits) > 1 and tags.get(_PLANAR) == _SEPARATE and mixed


def read_tiff(file: BinaryIO, name: str) -> TiffPage:
    """Read the first page of a TIFF that is no reduced copy of another."""
    if find_spec("tifffile") is None:
        raise ImageError(
            f"{name}: expected a TIFF that Pillow reads, got another kind; pip install tifffile "
            "imagecodecs, or save it as 8-bit RGB first"
        )
    import tifffile

    tifffile.logger().addHandler(_SILENT)
    file.seek(0)
    try:
        with tifffile.TiffFile(file) as tiff:
            every: list[Any] = [*tiff.pages]
            pages = [page for page in every if not page.is_reduced] or every
            array = _upright_channels(pages[0], name)
            alpha = pages[0].extrasamples[:1] not in ((), (_UNSPECIFIED,))
            icc = pages[0].tags.valueof(_ICC)
            turned = pages[0].tags.valueof(_ORIENTATION, 1)
            pixels = from_array(array, alpha, pages[0].dtype in _FLOATS)
            return TiffPage(pixels, DeclaredColor(icc), turned, len(every) > 1)
    except (ImageError, MemoryError):
        raise
    # tifffile raises whatever its parts and the codecs raise.
    except Exception as error:
        raise ImageError(
            f"{name}: expected a TIFF that can be read, got: {type(error).__name__}: {error}; "
            "save it as 8-bit RGB first"
        ) from error


def _upright_channels(page: Any, name: str) -> np.ndarray:
    """Give (H, W, C): grey or RGB, black is 0, with alpha if the page has any."""
    color = {_WHITE_IS_ZERO: 1, _BLACK_IS_ZERO: 1, _RGB: 3}.get(int(page.photometric))
    if color is None or page.dtype not in (np.uint8, np.uint16, *_FLOATS) or page.imagedepth != 1:
        raise ImageError(
            f"{name}: expected grey or RGB of 8 or 16 bits or of floats, got a TIFF of "
            f"{page.dtype} samples, {getattr(page.photometric, 'name', page.photometric)}; save it "
            "as grey or RGB of 8 or 16 bits first"
        )
    full = 2**page.bitspersample - 1
    _, _, height, width, _ = page.shaped
    planes = page.asarray().reshape(page.shaped)[:, 0]
    array = np.moveaxis(planes, 0, -1).reshape(height, width, -1)
    if page.dtype in _FLOATS:
        array = float_levels(array, name)
    elif full not in (255, 65535):
        array = (array.astype(np.uint32) * 65535 // full).astype(np.uint16)
    if int(page.photometric) == _WHITE_IS_ZERO:
        array[..., :1] = ~array[..., :1]
    extra = page.extrasamples[:1]
    if extra == (_PREMULTIPLIED,):
        top = np.iinfo(array.dtype).max
        share = np.maximum(array[..., color:], 1) / np.float32(top)
        array[..., :color] = np.minimum(np.rint(array[..., :color] / share), top)
    return array[..., : color if extra in ((), (_UNSPECIFIED,)) else color + 1]
