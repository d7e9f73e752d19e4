"""Photos on disk with what lies around their pixels: alpha, color profile and EXIF.

Colored photos are 8-bit sRGB. Pixels in another color space are converted when they are read, so
that their lightness is what the photographer saw; the result then carries an sRGB profile.
"""

from __future__ import annotations

import io
import struct
import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
from PIL import ExifTags, Image, ImageCms

from colorize import storage
from colorize.data.decode import decode_rgb
from colorize.errors import ImageError
from colorize.photo.exif import DamagedExifError, tiff_tags, upright_exif
from colorize.photo.formats import Container, OutputError, find_container

_ORIENTATION = ExifTags.Base.Orientation
# cmsFLAGS_BLACKPOINTCOMPENSATION of lcms2.h; Pillow has named it differently over time.
_BLACK_POINT_COMPENSATION: Any = 0x2000
_GREY_MODES = ("1", "L", "LA", "I")


@dataclass(frozen=True)
class Photo:
    """A photo as read.

    Attributes:
        rgb: (H, W, 3) uint8 sRGB, upright; transparent pixels have their own color.
        alpha: (H, W) uint8, 255 is opaque; None when the file has none.
        exif: EXIF block with orientation 1 and without thumbnail; None when the file has none.
        icc: sRGB profile for the result; None when the file has no profile.
        notes: what was left out or changed, for the user.
    """

    rgb: np.ndarray
    alpha: np.ndarray | None = None
    exif: bytes | None = None
    icc: bytes | None = None
    notes: tuple[str, ...] = ()


def read_photo(source: Path | bytes, name: str) -> Photo:
    """Read a photo: grey or color, 8 or 16 bits, CMYK, with alpha.

    The first of several pages or frames is read. 16 bits become 8. A color profile that is not sRGB
    is applied by relative colorimetric intent with black point compensation.

    Args:
        source: path or encoded bytes.
        name: name of the photo in errors.
    """
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        # A scan of more than 89 megapixels is no attack. Pillow itself refuses twice as many.
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        photo = _read(source, name)
    spoken = dict.fromkeys(str(warning.message).strip() for warning in warned)
    return replace(photo, notes=(*photo.notes, *spoken))


def _read(source: Path | bytes, name: str) -> Photo:
    # As bytes, because Pillow turns a sideways TIFF wrongly when it opens it by its name.
    encoded = _content(source, name) if isinstance(source, Path) else source
    rgb = decode_rgb(encoded, name)
    # decode_rgb has read all of it without an error, so nothing is checked again.
    with Image.open(io.BytesIO(encoded)) as image:
        notes = []
        try:
            # First, because the tags of a TIFF cannot be read after its pixels were loaded.
            exif = upright_exif(image)
        except DamagedExifError as error:
            exif = None
            notes.append(f"its EXIF is damaged and was left out ({error})")
        alpha = None
        if image.has_transparency_data:
            rgb, alpha = _split_alpha(image, rgb, name)
        rgb, icc, about_color = _to_srgb(image, rgb, name)
        if _has_more(image):
            notes.append("the first of its pages or frames was taken")
    return Photo(rgb, alpha, exif, icc, (*notes, *about_color))


def _has_more(image: Image.Image) -> bool:
    # A phone's JPEG carries its preview or its brightness map as further images (MPO).
    if image.format == "MPO":
        return False
    try:
        return getattr(image, "n_frames", 1) > 1
    except (OSError, SyntaxError, ValueError, TypeError, LookupError, EOFError, struct.error):
        return True  # a second page that is damaged


def write_photo(rgb: np.ndarray, photo: Photo, target: Path | BinaryIO, suffix: str) -> list[str]:
    """Write a colored photo with the alpha, EXIF and profile of its original.

    Args:
        rgb: (H, W, 3) uint8 sRGB.
        photo: the original.
        target: a path, which is written whole or not at all; or an open file.
        suffix: one of ``writable_suffixes()``.

    Returns:
        Notes on what the format cannot hold.

    Raises:
        OutputError: when the format cannot be written, or not at this size.
    """
    container = find_container(suffix)
    if max(rgb.shape[:2]) > container.longest:
        raise OutputError(
            f"{container.name} holds at most {container.longest} pixels a side, got "
            f"{rgb.shape[1]}x{rgb.shape[0]}; choose another format"
        )
    image, notes = _with_alpha(rgb, photo.alpha, container)
    around: dict[str, Any] = dict(container.options)
    if photo.exif is not None:
        try:
            around["exif"] = _fitting_exif(photo.exif, container)
        except (DamagedExifError, OutputError) as error:
            notes.append(f"its EXIF was left out: {error}")
    if photo.icc is not None and container.icc:
        around["icc_profile"] = photo.icc
    if isinstance(target, Path):
        with storage.atomic_write(target) as temporary:
            image.save(temporary, container.name, **around)
    else:
        image.save(target, container.name, **around)
    return notes


def _content(path: Path, name: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ImageError(f"{name}: expected an image file, got: {error.strerror}") from error


def _with_alpha(
    rgb: np.ndarray, alpha: np.ndarray | None, container: Container
) -> tuple[Image.Image, list[str]]:
    image = Image.fromarray(rgb)
    if alpha is None:
        return image, []
    image.putalpha(Image.fromarray(alpha))
    if container.alpha:
        return image, []
    white = Image.new("RGBA", image.size, "white")
    flat = Image.alpha_composite(white, image).convert("RGB")
    if alpha.min() == 255:
        return flat, []
    return flat, [f"its transparency was laid over white, as {container.name} has none"]


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
    layer.getexif()[_ORIENTATION] = image.getexif().get(_ORIENTATION, 1)
    return decode_rgb(layer, name)


def _to_srgb(
    image: Image.Image, rgb: np.ndarray, name: str
) -> tuple[np.ndarray, bytes | None, list[str]]:
    """Convert pixels to sRGB; give them, the profile for the result, and notes."""
    embedded = image.info.get("icc_profile")
    if not embedded:
        return rgb, None, []
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(embedded))
        kind = profile.profile.xcolor_space.strip()
        layer = _layer_in(kind, image, rgb)
        if layer is None:
            return rgb, None, [f"its {kind} color profile does not fit its pixels: not used"]
        srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
        transform = ImageCms.buildTransform(
            *(profile, srgb, layer.mode, "RGB"),
            renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
            flags=_BLACK_POINT_COMPENSATION,
        )
        if _is_identity(transform, layer.mode):
            return rgb, embedded if kind == "RGB" else srgb.tobytes(), []
        converted = _transformed(layer, transform)
    except (ImageCms.PyCMSError, OSError, UnicodeDecodeError) as error:
        return rgb, None, [f"its color profile is damaged and was not used ({error})"]
    # Only the file's own layer still has to be turned.
    turned = _upright(converted, image, name) if layer is image else np.array(converted)
    return turned, srgb.tobytes(), []


def _layer_in(kind: str, image: Image.Image, rgb: np.ndarray) -> Image.Image | None:
    """Give the pixels in the color space of a profile; None when they are in another one."""
    grey = image.mode in _GREY_MODES or image.mode.startswith("I;16")
    if kind == "CMYK" and image.mode == "CMYK":
        return image
    if kind == "RGB" and image.mode != "CMYK":
        return Image.fromarray(rgb)
    if kind == "GRAY" and grey:
        return Image.fromarray(np.ascontiguousarray(rgb[..., 0]))
    return None


def _transformed(layer: Image.Image, transform: ImageCms.ImageCmsTransform) -> Image.Image:
    # It gives None only for a transform in place.
    return cast(Image.Image, ImageCms.applyTransform(layer, transform))


def _is_identity(transform: ImageCms.ImageCmsTransform, mode: str) -> bool:
    """Check whether a profile is sRGB under any name; the pixels then stay the same to the bit."""
    if mode == "CMYK":
        return False
    if mode == "L":
        probe = np.arange(256, dtype=np.uint8)[None]
        expected = np.repeat(probe[..., None], 3, axis=2)
    else:
        levels = np.linspace(0, 255, 18).astype(np.uint8)
        expected = probe = np.stack(np.meshgrid(levels, levels, levels), -1).reshape(1, -1, 3)
    converted = np.asarray(_transformed(Image.fromarray(probe), transform))
    return int(np.abs(converted.astype(int) - expected).max()) <= 1


def _fitting_exif(block: bytes, container: Container) -> bytes | Image.Exif:
    if len(block) > container.most_exif:
        raise OutputError(f"{container.name} holds {container.most_exif} bytes, got {len(block)}")
    return tiff_tags(block) if container.name == "TIFF" else block
