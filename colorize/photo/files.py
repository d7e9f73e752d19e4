"""Photos on disk with what lies around their pixels: alpha, color profile and EXIF.

Colored photos are sRGB. Pixels in another color space are converted when they are read, so that
their lightness is what the photographer saw; the result then carries an sRGB profile.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import Image

from colorize import storage
from colorize.data.decode import decode, opened_header, read_bytes
from colorize.photo.deep import save_png, save_tiff
from colorize.photo.formats import Container, OutputError, deep_suffixes, find_container
from colorize.photo.metadata import Metadata, read_metadata, save_options
from colorize.photo.record import Made, Record


@dataclass(frozen=True)
class Photo:
    """A photo as read.

    Attributes:
        rgb: (H, W, 3) uint8 or uint16 sRGB, upright; transparent pixels have their own color.
        alpha: (H, W) of the same type, the highest value is opaque; None when the file has none.
        icc: sRGB profile for the result; None when the file has no profile.
        metadata: what surrounds the pixels.
        notes: what was left out or changed, for the user.
    """

    rgb: np.ndarray
    alpha: np.ndarray | None = None
    icc: bytes | None = None
    metadata: Metadata = field(default_factory=Metadata)
    notes: tuple[str, ...] = ()


def read_photo(
    source: Path | bytes,
    name: str,
    *,
    depth: int = 8,
    truncated: bool = False,
    max_pixels: int | None = None,
) -> Photo:
    """Read a photo: grey or color, 8 or 16 bits, CMYK, with alpha.

    The pixels are those of ``colorize.data.decode.decode``.

    Args:
        source: path or encoded bytes.
        name: name of the photo in errors.
        depth, truncated, max_pixels: as in ``decode``.
    """
    encoded = read_bytes(source, name)
    pixels = decode(encoded, name, depth=depth, truncated=truncated, max_pixels=max_pixels)
    rgb, metadata, notes = pixels.rgb, Metadata(), list(pixels.notes)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # decode has told them
        with opened_header(encoded, name, max_pixels) as image:
            if image is not None:
                metadata, lost = read_metadata(image, rgb.shape[1::-1])
                notes = [*lost, *notes]
    return Photo(rgb, pixels.alpha, pixels.icc, metadata, tuple(notes))


def write_photo(
    rgb: np.ndarray,
    photo: Photo,
    target: Path | BinaryIO,
    suffix: str,
    *,
    made: Made | None = None,
    record: Record | None = None,
    replace: bool = True,
) -> list[str]:
    """Write a colored photo with the alpha, EXIF and profile of its original.

    Args:
        rgb: (H, W, 3) uint8 or uint16 sRGB.
        photo: the original.
        target: a path, which is written whole or not at all; or an open file.
        suffix: one of ``writable_suffixes()``.
        made: what made the colors.
        record: of the folder of ``target``, where ``made`` is written down.
        replace: whether a file at ``target`` is replaced; otherwise it is an error.

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
    if rgb.dtype == np.uint16 and not container.deep:
        raise OutputError(
            f"{container.name}: expected 8 bits a channel, got 16; these are written as "
            f"{', '.join(deep_suffixes())}"
        )
    around, notes = save_options(photo.metadata, container, made)
    if photo.icc is not None and container.icc:
        around["icc_profile"] = photo.icc
    if isinstance(target, Path):
        with storage.atomic_write(target, replace=replace) as temporary:
            with temporary.open("w+b") as file:
                notes += _save(rgb, photo.alpha, file, container, around)
            if record is not None and made is not None:
                record.add(target.name, storage.sha256_file(temporary), made)
    else:
        notes += _save(rgb, photo.alpha, target, container, around)
    return notes


def _save(
    rgb: np.ndarray,
    alpha: np.ndarray | None,
    file: BinaryIO,
    container: Container,
    around: dict[str, Any],
) -> list[str]:
    """Encode pixels into a file; give notes on what the format cannot hold."""
    if rgb.dtype == np.uint16:
        if alpha is not None:
            rgb = np.dstack((rgb, alpha if alpha.dtype == np.uint16 else alpha * np.uint16(257)))
        (save_png if container.name == "PNG" else save_tiff)(rgb, file, **around)
        return []
    image, notes = _with_alpha(rgb, alpha, container)
    image.save(file, container.name, **around, **container.options)
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
