"""The EXIF block of a photograph, for a copy of it that was turned upright and colored."""

from __future__ import annotations

import struct

from PIL import ExifTags, Image

# What Pillow and struct raise when a block breaks the rules of its format.
_DAMAGE = (struct.error, ValueError, TypeError, KeyError, SyntaxError, OSError, AttributeError)
# Tags that say something of the picture; the rest of a TIFF's say how that file is stored.
_DESCRIPTIVE = frozenset(
    ExifTags.Base[name]
    for name in (
        *("ImageDescription", "Make", "Model", "Software", "DateTime", "Artist", "Copyright"),
        *("XResolution", "YResolution", "ResolutionUnit", "HostComputer", "Rating"),
        *("XPTitle", "XPComment", "XPAuthor", "XPKeywords", "XPSubject"),
        *("ExifOffset", "GPSInfo"),
    )
)
_SHORT = 3
_MARK = b"Exif\0\0"


class DamagedExifError(ValueError):
    """An EXIF block that cannot be read. No photograph fails by it: its reader goes on without."""


def upright_exif(image: Image.Image) -> bytes | None:
    """The block for a copy of an image whose orientation has been applied.

    It says orientation 1 and has no thumbnail, which would show the old colors.

    Returns:
        The block, beginning with ``Exif\\0\\0``; None when there is none.

    Raises:
        DamagedExifError: when it cannot be read.
    """
    raw = image.info.get("exif")
    try:
        if raw:
            return _turned(raw)
        block = image.getexif().tobytes()
    except _DAMAGE as error:
        raise DamagedExifError(str(error)) from error
    described = tiff_tags(block)
    return described.tobytes() if len(described) else None


def tiff_tags(block: bytes) -> Image.Exif:
    """The tags of a block that may go among those of a TIFF.

    Raises:
        DamagedExifError: when they cannot be read, or not be written by the rules of TIFF.
    """
    exif = Image.Exif()
    try:
        exif.load(block)
        for tag in set(exif) - _DESCRIPTIVE:
            del exif[tag]
        exif.tobytes()
    except _DAMAGE as error:
        raise DamagedExifError(str(error)) from error
    return exif


def _turned(block: bytes) -> bytes:
    # Changed in place, as a block that is written anew loses what cameras put in by rules of their
    # own: the offsets in a maker's note count from the beginning of the block.
    block = block if block.startswith(_MARK) else _MARK + block
    changed = bytearray(block)
    start = len(_MARK)
    orders = {b"II": "<", b"MM": ">"}
    if block[start : start + 2] not in orders:
        raise ValueError("it has no byte order mark")
    order = orders[block[start : start + 2]]
    (offset,) = struct.unpack_from(order + "I", block, start + 4)
    (count,) = struct.unpack_from(order + "H", block, start + offset)
    first = start + offset + 2
    end = first + 12 * count
    for entry in range(first, end, 12):
        (tag,) = struct.unpack_from(order + "H", block, entry)
        if tag == ExifTags.Base.Orientation:
            struct.pack_into(order + "HHIHH", changed, entry, tag, _SHORT, 1, 1, 0)
    # The second directory is the thumbnail's.
    if len(block) >= end + 4:
        struct.pack_into(order + "I", changed, end, 0)
    return bytes(changed)
