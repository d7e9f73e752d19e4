"""Photographs on disk with what lies around their pixels: alpha, color profile and EXIF.

The result of coloring is 8-bit sRGB. Pixels in another color space are converted when they are
read, so that their lightness is what the photographer saw, and the result carries an sRGB profile.
"""

from __future__ import annotations

import io
import struct
import warnings
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
from PIL import ExifTags, Image, ImageCms

from colorize import storage
from colorize.data.decode import decode_rgb
from colorize.errors import ImageError, InputError
from colorize.photo.exif import DamagedExifError, tiff_tags, upright_exif

_ORIENTATION = ExifTags.Base.Orientation
# cmsFLAGS_BLACKPOINTCOMPENSATION of lcms2.h; Pillow has named it differently over time.
_BLACK_POINT_COMPENSATION: Any = 0x2000
_GREY_MODES = ("1", "L", "LA", "I")


@dataclass(frozen=True)
class Photo:
    """A photograph as read.

    Attributes:
        rgb: (H, W, 3) uint8 sRGB, upright, not mixed with anything where it is transparent.
        alpha: (H, W) uint8, 255 is opaque; None when the file has none.
        exif: a block that says orientation 1, without thumbnail; None when there is none.
        icc: an RGB profile that is sRGB, to be attached to the result; None when there was none.
        notes: what was left out or changed, to be told to whoever asked for it.
    """

    rgb: np.ndarray
    alpha: np.ndarray | None = None
    exif: bytes | None = None
    icc: bytes | None = None
    notes: tuple[str, ...] = ()


_NO_LIMIT = 2**31 - 1


@dataclass(frozen=True)
class _Container:
    """What a file format can hold, and how it is written without loss that can be avoided."""

    name: str
    alpha: bool = False
    icc: bool = False
    most_exif: int = 0  # bytes
    longest: int = _NO_LIMIT  # pixels
    options: dict[str, Any] = field(default_factory=dict)


# Chroma at full resolution: reduced chroma spoils lightness too, as each decoder enlarges it anew.
_FINE = {"quality": 95, "subsampling": "4:4:4"}
_JPEG = _Container("JPEG", icc=True, most_exif=65533, longest=65500, options=_FINE)
_PNG = _Container("PNG", alpha=True, icc=True, most_exif=_NO_LIMIT)
_TIFF = replace(_PNG, name="TIFF")
_WEBP = replace(_PNG, name="WEBP", longest=16383, options={"lossless": True, "exact": True})
_AVIF = replace(_PNG, name="AVIF", longest=65535, options=_FINE)
_CONTAINERS = {
    ".png": _PNG,
    ".jpg": _JPEG,
    ".jpeg": _JPEG,
    ".tif": _TIFF,
    ".tiff": _TIFF,
    ".webp": _WEBP,
    ".avif": _AVIF,
    ".jp2": _Container("JPEG2000", alpha=True),
    ".bmp": _Container("BMP"),
    ".ppm": _Container("PPM"),
}


class OutputError(InputError):
    """A colored photograph cannot be written, or would replace something that it must not."""


def writable_suffixes() -> list[str]:
    """File name endings of the formats that hold every 8-bit color and can be written here."""
    Image.init()
    return [suffix for suffix, container in _CONTAINERS.items() if container.name in Image.SAVE]


def read_photo(source: Path | bytes, name: str) -> Photo:
    """Read a photograph: grey or color, 8 or 16 bits, CMYK, with alpha, of several pages.

    Of several pages or frames it is the first. Sixteen bits become eight. A color profile that
    is not sRGB is applied: relative colorimetric, with black point compensation.

    Args:
        source: path or encoded bytes.
        name: what to call it in errors.

    Raises:
        ImageError: as ``decode_rgb``.
    """
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        # A scan of more than 89 megapixels is no attack; Pillow refuses twice as much by itself.
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        photo = _read(source, name)
    spoken = dict.fromkeys(str(warning.message).strip() for warning in warned)
    return replace(photo, notes=(*photo.notes, *spoken))


def _read(source: Path | bytes, name: str) -> Photo:
    # As bytes: Pillow maps a plain TIFF that it opens by its name, and a sideways one wrongly.
    encoded = _content(source, name) if isinstance(source, Path) else source
    rgb = decode_rgb(encoded, name)
    # What follows has been read without complaint already, so it needs no second check.
    with Image.open(io.BytesIO(encoded)) as image:
        notes = []
        try:
            # First, as what a TIFF says is out of reach when its pixels have been loaded.
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
    # A phone's JPEG carries its preview or its brightness map as further pictures (MPO).
    if image.format == "MPO":
        return False
    try:
        return getattr(image, "n_frames", 1) > 1
    except (OSError, SyntaxError, ValueError, TypeError, LookupError, EOFError, struct.error):
        return True  # a second page that is damaged


def write_photo(rgb: np.ndarray, photo: Photo, target: Path | BinaryIO, suffix: str) -> list[str]:
    """Write a colored photograph with what its original had around the pixels.

    Args:
        rgb: (H, W, 3) uint8 sRGB.
        photo: the original.
        target: a path, which then holds a whole file or what it held before; or an open file.
        suffix: one of ``writable_suffixes()``.

    Returns:
        What the format cannot hold and was left out.

    Raises:
        OutputError: when nothing can be written in that format, or not at this size.
    """
    container = _container(suffix)
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


def _container(suffix: str) -> _Container:
    known = writable_suffixes()
    if suffix.lower() not in known:
        raise OutputError(f"format: expected {', '.join(known)}, got {suffix or 'no ending'!r}")
    return _CONTAINERS[suffix.lower()]


def _with_alpha(
    rgb: np.ndarray, alpha: np.ndarray | None, container: _Container
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
    """Pixels that were made of a file's, turned as they have to be.

    Pillow turns a TIFF when it loads it, and no other file; its orientation is then 1.
    """
    layer.getexif()[_ORIENTATION] = image.getexif().get(_ORIENTATION, 1)
    return decode_rgb(layer, name)


def _to_srgb(
    image: Image.Image, rgb: np.ndarray, name: str
) -> tuple[np.ndarray, bytes | None, list[str]]:
    """Pixels as sRGB, the profile for the result, and what there is to say."""
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
    except (ImageCms.PyCMSError, OSError) as error:
        return rgb, None, [f"its color profile is damaged and was not used ({error})"]
    # The file's own layer lies as the file does, the others have been turned already.
    turned = _upright(converted, image, name) if layer is image else np.array(converted)
    return turned, srgb.tobytes(), []


def _layer_in(kind: str, image: Image.Image, rgb: np.ndarray) -> Image.Image | None:
    """The pixels in the color space that a profile speaks of; None when they are in another."""
    grey = image.mode in _GREY_MODES or image.mode.startswith("I;16")
    if kind == "CMYK" and image.mode == "CMYK":
        return image
    if kind == "RGB" and image.mode != "CMYK":
        return Image.fromarray(rgb)
    if kind == "GRAY" and grey:
        return Image.fromarray(np.ascontiguousarray(rgb[..., 0]))
    return None


def _transformed(layer: Image.Image, transform: ImageCms.ImageCmsTransform) -> Image.Image:
    # Only a transform in place would answer None.
    return cast(Image.Image, ImageCms.applyTransform(layer, transform))


def _is_identity(transform: ImageCms.ImageCmsTransform, mode: str) -> bool:
    """Whether a profile is sRGB in all but its name; pixels then stay as they are, to the bit."""
    if mode == "CMYK":
        return False
    if mode == "L":
        probe = np.arange(256, dtype=np.uint8)[None]
        expected = np.repeat(probe[..., None], 3, axis=2)
    else:
        levels = np.linspace(0, 255, 18).astype(np.uint8)
        expected = probe = np.stack(np.meshgrid(levels, levels, levels), -1).reshape(1, -1, 3)
    found = np.asarray(_transformed(Image.fromarray(probe), transform))
    return int(np.abs(found.astype(int) - expected).max()) <= 1


def _fitting_exif(block: bytes, container: _Container) -> bytes | Image.Exif:
    if len(block) > container.most_exif:
        raise OutputError(f"{container.name} holds {container.most_exif} bytes, got {len(block)}")
    return tiff_tags(block) if container.name == "TIFF" else block
