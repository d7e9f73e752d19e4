"""The one front door for pictures: every kind of image becomes upright sRGB.

Pixels in another color space are converted, so that their lightness is what the photographer saw.
Of an animation or a file with several pages it is the first that counts, but for a TIFF's reduced
copies.
"""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
from PIL import ExifTags, Image
from PIL.JpegImagePlugin import JpegImageFile

from colorize.data.assembly import Decoded, assembled
from colorize.data.color_profile import (
    Conversion,
    Kind,
    declared_color,
    find_conversion,
)
from colorize.data.file_kind import HEAD, TIFF_MARKS, jp2_profile, sample_bits
from colorize.data.grey import is_grey as is_grey
from colorize.data.jpeg import find_loss
from colorize.data.opening import (
    FIRST_PAGE,
    LOST,
    FileSource,
    explaining,
    h273_numbers,
    mended_content,
    opened_file,
    opened_image,
    page_note,
)
from colorize.data.stored import has_alpha, is_deep, is_signed, stored_pixels
from colorize.data.tiff import TiffPage, is_misread, read_tiff
from colorize.errors import ImageError

ImageSource = FileSource | Image.Image

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
_XMP = ("xmp", "XML:com.adobe.xmp")
# A picture one pixel wide would be enlarged to gigabytes.
_MOST_ENLARGED_PIXELS = 2**24


def decode(
    source: ImageSource,
    name: str,
    *,
    depth: int = 8,
    truncated: bool = False,
    max_pixels: int | None = None,
) -> Decoded:
    """Decode an image to sRGB and alpha.

    Color management (ICC; PNG's cICP, gAMA and cHRM; Adobe RGB by EXIF) works at the depth of the
    file, by relative colorimetric intent with black point compensation. CMYK without a profile is
    converted by the plain formula.

    Args:
        source: path, encoded bytes, open binary file, or PIL image (which is not changed).
        name: what to call the image in errors.
        depth: 16 keeps the bits of a file that has 16; 8 rounds them to uint8.
        truncated: also take a JPEG of which a part is lost, mostly as it was cut off; what is
            missing is grey.
        max_pixels: the most pixels that are allowed; None for Pillow's limit, 178,956,970.

    Raises:
        ImageError: not an image, empty, truncated, too large, or of a kind without a defined
            conversion (floats beyond 0..1, integers beyond 16 bits, signed ones, camera raw).
    """
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        # A scan of more than 89 megapixels is no attack. Pillow itself refuses twice as many.
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        decoded = _read(
            source,
            name,
            lambda opened: _to_srgb(opened, name, depth),
            truncated=truncated,
            max_pixels=max_pixels,
        )
    spoken = dict.fromkeys(str(warning.message).strip() for warning in warned)
    return replace(decoded, notes=(*decoded.notes, *spoken))


def decode_over_white(
    source: ImageSource,
    name: str,
    *,
    depth: int = 8,
    truncated: bool = False,
    max_pixels: int | None = None,
) -> np.ndarray:
    """Decode an image to (H, W, 1) or (H, W, 3), transparency laid over white; see ``decode``.

    What of the file was not used is told by warnings.
    """
    decoded = _read(
        source,
        name,
        lambda opened: _to_srgb(opened, name, depth, over_white=True),
        truncated=truncated,
        max_pixels=max_pixels,
    )
    _warn(decoded, name)
    return decoded.pixels


def decode_rgb(
    source: ImageSource, name: str, *, resize: int | None = None, at_least: int = 1
) -> np.ndarray:
    """Decode an image to 8-bit sRGB as ``decode`` does, and resize it.

    Grey becomes three equal channels. Transparency is laid over white. What of the file was not
    used is told by warnings.

    Args:
        source, name: as in ``decode``.
        resize: what the short side is to be, in pixels; None keeps it. The filter is bicubic,
            widened when reducing (antialiased). A JPEG that is reduced a lot is decoded at a
            fraction of its size, at least twice what is needed.
        at_least: a short side that is still below this is enlarged to it.

    Returns:
        rgb: (H, W, 3) uint8, contiguous and writable.
    """
    decoded = _read(source, name, lambda opened: _resized(opened, name, resize, at_least))
    _warn(decoded, name)
    return decoded.pixels


def short_side_to(width: int, height: int, short_side: int) -> tuple[int, int]:
    """Width and height scaled so that the shorter of them is ``short_side``."""
    scale = short_side / min(width, height)
    return max(short_side, round(width * scale)), max(short_side, round(height * scale))


def read_bytes(source: str | os.PathLike[str] | bytes, name: str) -> bytes:
    """Read a file that may be an image; bytes are given back as they are."""
    if isinstance(source, bytes):
        return source
    try:
        return Path(source).read_bytes()
    except OSError as error:
        raise ImageError(f"{name}: expected an image file, got: {error.strerror}") from error


@contextmanager
def opened_header(
    encoded: bytes, name: str, max_pixels: int | None = None
) -> Iterator[Image.Image | None]:
    """Open an image for what lies around its pixels; None for one that Pillow does not open."""
    with ExitStack() as stack:
        image: Image.Image | None = None
        try:
            image = stack.enter_context(opened_image(io.BytesIO(encoded), name, max_pixels))
        except ImageError:
            mended = mended_content(io.BytesIO(encoded), truncated=False)
            if mended is not None:
                file = io.BytesIO(mended[0])
                image = stack.enter_context(opened_image(file, name, max_pixels))
        yield image


class _Opened(NamedTuple):
    """An image that Pillow opened, what Pillow does not say of its file; or a TIFF's page."""

    image: Image.Image | None = None
    h273: tuple[int, int] | None = None
    reopened: Callable[[], Image.Image] | None = None
    page: TiffPage | None = None
    bits: int = 8


def _read(
    source: ImageSource,
    name: str,
    use: Callable[[_Opened], Decoded],
    *,
    truncated: bool = False,
    max_pixels: int | None = None,
) -> Decoded:
    """Open a source and use it; once more without damage that costs no pixels."""
    if isinstance(source, Image.Image):
        return use(_Opened(source))
    with opened_file(source, name) as file:
        try:
            return _with_file(file, name, use, max_pixels, truncated)
        except ImageError:
            mended = mended_content(file, truncated)
            if mended is None:
                raise
        content, note = mended
        decoded = _with_file(io.BytesIO(content), name, use, max_pixels, truncated)
        return replace(decoded, notes=tuple(dict.fromkeys((note, *decoded.notes))))


def _with_file(
    file: BinaryIO,
    name: str,
    use: Callable[[_Opened], Decoded],
    max_pixels: int | None,
    truncated: bool,
) -> Decoded:
    with ExitStack() as stack:
        with explaining(name):
            file.seek(0)
            head = file.read(HEAD)
            h273 = h273_numbers(file, head)
            profile = jp2_profile(file, head)
            file.seek(0)

        def opened() -> Image.Image:
            file.seek(0)
            image = stack.enter_context(opened_image(file, name, max_pixels))
            if image.format == "TIFF":
                image.info.pop("xmp", None)  # Pillow would turn it by this
            if profile:
                image.info["icc_profile"] = profile
            return image

        try:
            image = opened()
        except ImageError as error:
            unknown = isinstance(error.__cause__, Image.UnidentifiedImageError)
            if not unknown or head[:4] not in TIFF_MARKS:
                raise
            return use(_Opened(page=read_tiff(file, name)))
        if is_misread(image):
            return use(_Opened(page=read_tiff(file, name)))
        bits = sample_bits(head)
        if image.format == "JPEG2000" and bits > 8 and image.mode != "I;16":
            # Pillow rounds the lightest levels up, past 255 to 0.
            raise ImageError(
                f"{name}: expected JPEG 2000 of 8 bits, or grey, got color or alpha of {bits} "
                "bits, which Pillow reads wrongly; save it as TIFF or PNG of 16 bits first"
            )
        decoded = use(_Opened(image, h273, opened, bits=bits))
        if not isinstance(image, JpegImageFile) or (loss := find_loss(file, image)) is None:
            return decoded
        if truncated:
            return replace(decoded, notes=(LOST, *decoded.notes))
        raise ImageError(
            f"{name}: expected a whole image, got a damaged JPEG: {loss}; truncated=True "
            "(--truncated) takes what is there"
        )


def _to_srgb(opened: _Opened, name: str, depth: int, over_white: bool = False) -> Decoded:
    image, page = opened.image, opened.page
    if page is not None:
        decoded = assembled(page.pixels, page.declared, page.orientation, depth, over_white)
        return replace(decoded, notes=(FIRST_PAGE,) * page.has_more + decoded.notes)
    assert image is not None
    _check_size(image.size, name)
    # First, as reading the EXIF of a PNG loads its pixels.
    pixels = stored_pixels(image, name, opened.reopened)
    declared = declared_color(image, opened.h273)
    decoded = assembled(pixels, declared, _orientation(image, name), depth, over_white)
    # Last, as looking for a second page may spoil the first.
    taken = page_note(image)
    if opened.bits > 8 and depth == 16 and not pixels.deep:
        taken.append(f"its {opened.bits} bits a channel were cut to 8; of PNG and TIFF 16 are read")
    return replace(decoded, notes=(*taken, *decoded.notes))


def _orientation(image: Image.Image, name: str) -> int:
    """Read the orientation of a loaded image: Pillow turns a TIFF, and only a TIFF, itself."""
    with explaining(name):
        exif = image.getexif()
        # Pillow also takes the orientation of XMP, by which no viewer turns.
        if any(key in image.info for key in _XMP):
            plain = Image.Image()
            plain.info = {key: value for key, value in image.info.items() if key not in _XMP}
            exif = plain.getexif()
        value = exif.get(ExifTags.Base.Orientation, 1)
    return value if value in _UPRIGHT else 1


def _warn(decoded: Decoded, name: str) -> None:
    for note in decoded.notes:
        if note != FIRST_PAGE:
            warnings.warn(f"{name}: {note}", stacklevel=4)


def _resized(opened: _Opened, name: str, resize: int | None, at_least: int) -> Decoded:
    image, plain = opened.image, None
    if image is not None:
        _check_size(image.size, name)
        wanted = 2 * max(resize or min(image.size), at_least)
        if opened.reopened and isinstance(image, JpegImageFile) and min(image.size) >= wanted:
            image.draft(None, short_side_to(*image.size, wanted))
        plain = _plain_rgb(image, opened.h273, name)
    if plain is not None:
        layer, conversion = plain
        decoded = Decoded(np.empty(0), None, conversion.icc, conversion.notes)
    else:
        decoded = _to_srgb(opened, name, 8, over_white=True)
        layer = Image.fromarray(decoded.rgb)
    target = max(resize or min(layer.size), at_least)
    if target != min(layer.size):
        layer = layer.resize(_resized_to(layer, name, target), Image.Resampling.BICUBIC)
    return replace(decoded, pixels=np.array(layer))


def _plain_rgb(
    image: Image.Image, h273: tuple[int, int] | None, name: str
) -> tuple[Image.Image, Conversion] | None:
    """Give an image of 8-bit sRGB without alpha, upright; None when it is none.

    So the data sets' usual images stay with Pillow, which is faster than going by bands.
    """
    if image.mode not in ("RGB", "L", "P", "1"):
        return None
    if has_alpha(image) or is_deep(image) or is_signed(image):
        return None
    declared = declared_color(image, h273)
    kind: Kind = "RGB" if image.mode in ("RGB", "P") else "GRAY"
    if declared.space or (declared.icc and declared.icc[16:20] == b"GRAY" and kind == "RGB"):
        return None
    conversion = find_conversion(declared, kind, False, lambda: False)
    if conversion.apply is not None:
        return None
    with explaining(name):
        image.load()
        method = _UPRIGHT.get(_orientation(image, name))
        rgb = image if image.mode == "RGB" else image.convert("RGB")
    if method is not None:
        rgb = rgb.transpose(method)
    return rgb, conversion


def _check_size(size: tuple[int, int], name: str) -> None:
    if min(size) < 1:
        raise ImageError(f"{name}: expected at least one pixel, got a size of {size}")


def _resized_to(image: Image.Image, name: str, target: int) -> tuple[int, int]:
    width, height = short_side_to(*image.size, target)
    if target > min(image.size) and width * height > _MOST_ENLARGED_PIXELS:
        raise ImageError(
            f"{name}: expected an image that can be enlarged to a short side of {target}, "
            f"got {image.width}x{image.height}, which would become {width}x{height}"
        )
    return width, height
