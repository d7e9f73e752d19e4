"""Photos on disk with what lies around their pixels: alpha, color profile and EXIF.

Colored photos are 8-bit sRGB. Pixels in another color space are converted when they are read, so
that their lightness is what the photographer saw; the result then carries an sRGB profile.
"""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import Image

from colorize import storage
from colorize.data.decode import decode, read_bytes
from colorize.photo.exif import DamagedExifError, tiff_tags, upright_exif
from colorize.photo.formats import Container, OutputError, find_container
from colorize.photo.record import Made, Record


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

    The pixels are those of ``colorize.data.decode.decode``.

    Args:
        source: path or encoded bytes.
        name: name of the photo in errors.
    """
    encoded = read_bytes(source, name)
    pixels = decode(encoded, name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # decode has told them
        exif, about_exif = _described(encoded)
    return Photo(pixels.rgb, pixels.alpha, exif, pixels.icc, (*about_exif, *pixels.notes))


def _described(encoded: bytes) -> tuple[bytes | None, list[str]]:
    """Read the EXIF block of a file whose pixels were decoded; notes for the user."""
    with Image.open(io.BytesIO(encoded)) as image:
        try:
            return upright_exif(image), []
        except DamagedExifError as error:
            return None, [f"its EXIF is damaged and was left out ({error})"]


def write_photo(
    rgb: np.ndarray,
    photo: Photo,
    target: Path | BinaryIO,
    suffix: str,
    *,
    made: Made | None = None,
    record: Record | None = None,
) -> list[str]:
    """Write a colored photo with the alpha, EXIF and profile of its original.

    Args:
        rgb: (H, W, 3) uint8 sRGB.
        photo: the original.
        target: a path, which is written whole or not at all; or an open file.
        suffix: one of ``writable_suffixes()``.
        made: what made the colors.
        record: of the folder of ``target``, where ``made`` is written down.

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
            if record is not None and made is not None:
                record.add(target.name, storage.sha256_file(temporary), made)
    else:
        image.save(target, container.name, **around)
    return notes


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


def _fitting_exif(block: bytes, container: Container) -> bytes | Image.Exif:
    if len(block) > container.most_exif:
        raise OutputError(f"{container.name} holds {container.most_exif} bytes, got {len(block)}")
    return tiff_tags(block) if container.name == "TIFF" else block
