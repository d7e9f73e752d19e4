"""The file formats of colored photos: what each can hold. Imports no torch."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field, replace
from typing import Any

from PIL import Image

from colorize.errors import InputError

_NO_LIMIT = 2**31 - 1


@dataclass(frozen=True)
class Container:
    """What a file format can hold, and the options that write it with the least loss."""

    name: str
    alpha: bool = False
    icc: bool = False
    most_exif: int = 0  # bytes
    most_xmp: int = 0  # bytes
    iptc: bool = False
    dpi: bool = False
    comment: bool = False
    texts: bool = False
    deep: bool = False  # 16 bits a channel
    longest: int = _NO_LIMIT  # pixels
    options: dict[str, Any] = field(default_factory=dict)


# Color at full resolution: decoders enlarge reduced color differently, which changes lightness too.
_FINE = {"quality": 95, "subsampling": "4:4:4"}
_JPEG = Container(
    *("JPEG", False, True, 65533, 65504),
    iptc=True,
    dpi=True,
    comment=True,
    longest=65500,
    options=_FINE,
)
_RICH = Container("WEBP", alpha=True, icc=True, most_exif=_NO_LIMIT, most_xmp=_NO_LIMIT)
_PNG = replace(
    _RICH,
    name="PNG",
    iptc=True,
    dpi=True,
    texts=True,
    deep=True,
    # Runs only, no search for repeated strings: of photographs, which PNG's filters turn into small
    # numbers, this makes smaller files than level 3 in two thirds of its time.
    options={"compress_level": 1, "compress_type": zlib.Z_RLE},
)
_TIFF = replace(_RICH, name="TIFF", iptc=True, dpi=True, deep=True)
_WEBP = replace(_RICH, longest=16383, options={"lossless": True, "exact": True})
_AVIF = replace(_RICH, name="AVIF", longest=65535, options=_FINE)
_CONTAINERS = {
    ".png": _PNG,
    ".jpg": _JPEG,
    ".jpeg": _JPEG,
    ".tif": _TIFF,
    ".tiff": _TIFF,
    ".webp": _WEBP,
    ".avif": _AVIF,
    ".jp2": Container("JPEG2000", alpha=True),
    ".bmp": Container("BMP", dpi=True),
    ".ppm": Container("PPM"),
}


class OutputError(InputError):
    """A colored photo cannot be written in this format or at this size."""


def writable_suffixes() -> list[str]:
    """List the file name endings of the formats that this Pillow can write."""
    Image.init()
    return [suffix for suffix, container in _CONTAINERS.items() if container.name in Image.SAVE]


def deep_suffixes() -> list[str]:
    """List the endings of the formats that are written at 16 bits a channel."""
    return [suffix for suffix, container in _CONTAINERS.items() if container.deep]


def find_container(suffix: str) -> Container:
    """Find the format that belongs to a file name ending."""
    known = writable_suffixes()
    if suffix.lower() not in known:
        raise OutputError(f"format: expected {', '.join(known)}, got {suffix or 'no ending'!r}")
    return _CONTAINERS[suffix.lower()]
