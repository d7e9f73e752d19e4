"""The EXIF block of a photo, adapted to its upright and colored copy."""

from __future__ import annotations

import struct

from PIL import ExifTags, Image

# What Pillow and struct raise for a damaged block.
_DAMAGE = (struct.error, ValueError, TypeError, KeyError, SyntaxError, OSError, AttributeError)
# Tags that describe the photo. The other tags of a TIFF describe how that file is stored.
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
    """An EXIF block cannot be read. The photo is then read without it."""


def upright_exif(image: Image.Image) -> bytes | None:
    """Make the block for the upright copy: orientation 1, and no thumbnail in the old colors.

    Returns:
        The block, which begins with ``Exif\\0\\0``; None when the image has none.
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
    """Select the tags of a block that can be written into a TIFF."""
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
    # Changed in place: the offsets in a camera maker's note count from the beginning of the block,
    # so a block that is written anew makes the note unreadable.
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
