"""The EXIF block of a photo, adapted to its upright and colored copy."""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Iterable

from PIL import ExifTags, Image, TiffTags

# What Pillow and struct raise for a damaged block.
_DAMAGE = (struct.error, ValueError, TypeError, KeyError, SyntaxError, OSError, AttributeError)
# Tags that describe the photo. The other tags of a TIFF describe how that file is stored.
_DESCRIPTIVE = frozenset(
    ExifTags.Base[name]
    for name in (
        *("ImageDescription", "Make", "Model", "Software", "DateTime", "Artist", "Copyright"),
        *("XResolution", "YResolution", "ResolutionUnit", "HostComputer", "Rating"),
        *("XPTitle", "XPComment", "XPAuthor", "XPKeywords", "XPSubject", "RatingPercent"),
        *("DocumentName", "PageName", "PageNumber", "ImageID"),
        *("ExifOffset", "GPSInfo"),
    )
)
# Tags that say how the pixels, the profile and further images of a TIFF are stored, and XMP and
# IPTC, which are read on their own.
_STORAGE = frozenset(
    (
        *(*range(254, 267), 273, 274, *range(277, 282), 284, *range(288, 294), 301),
        *(*range(317, 348), *range(512, 533), 700, 33723, 34675),
    )
)
_SHORT, _LONG = 3, 4
_SRGB = 1
_MARK = b"Exif\0\0"


class DamagedExifError(ValueError):
    """An EXIF block cannot be read. The photo is then read without it."""


def upright_exif(image: Image.Image, size: tuple[int, int]) -> bytes | None:
    """Make the block for the upright sRGB copy, without a thumbnail in the old colors.

    Args:
        image: an open file.
        size: width and height of the copy.

    Returns:
        The block, which begins with ``Exif\\0\\0``; None when the image has none.
    """
    raw, turned = image.info.get("exif"), is_turned(image, size)
    try:
        if raw:
            return _adapted(raw, size, turned)
        exif = image.getexif()
        if getattr(getattr(image, "tag_v2", None), "_bigtiff", False):
            exif = _copied(exif)
        block = exif.tobytes()
        described = tiff_tags(block)
        return _adapted(described.tobytes(), size, turned) if len(described) else None
    except _DAMAGE as error:
        raise DamagedExifError(str(error)) from error


def is_turned(image: Image.Image, size: tuple[int, int]) -> bool:
    """Check whether the sides of the stored pixels change places in the upright copy.

    Pillow gives the size of a TIFF as of the upright one.
    """
    tags, base = getattr(image, "tag_v2", {}), ExifTags.Base
    stored = tags.get(base.ImageWidth, image.width), tags.get(base.ImageLength, image.height)
    return size == stored[::-1] != stored


def lacks_resolution(image: Image.Image) -> bool:
    """Check for a JPEG without a resolution, to which Pillow gives 72 when it has EXIF."""
    if image.format not in ("JPEG", "MPO") or image.info.get("jfif_unit"):
        return False
    try:
        return ExifTags.Base.XResolution not in image.getexif()
    except _DAMAGE:  # which upright_exif tells
        return True


def tiff_tags(block: bytes) -> Image.Exif:
    """Select the tags of a block that can be written into a TIFF."""
    exif = Image.Exif()
    try:
        exif.load(block)
        for tag in set(exif) - _DESCRIPTIVE:
            del exif[tag]
        # Pillow writes no directory inside of this one into a TIFF, only where it would be.
        exif.get_ifd(ExifTags.IFD.Exif).pop(ExifTags.IFD.Interop, None)
        exif.tobytes()
    except _DAMAGE as error:
        raise DamagedExifError(str(error)) from error
    return exif


def parsed(block: bytes) -> Image.Exif:
    """Parse a block and its inner directories, and check that it can be written again."""
    exif = Image.Exif()
    try:
        exif.load(block)
        exif.get_ifd(ExifTags.IFD.Exif)
        exif.tobytes()
    except _DAMAGE as error:
        raise DamagedExifError(str(error)) from error
    return exif


def unknown_tags(tags: Iterable[int]) -> list[str]:
    """Name the tags of a TIFF that neither describe the photo nor how the file is stored."""
    known = _DESCRIPTIVE | _STORAGE
    return [
        TiffTags.lookup(tag).name.replace("unknown", str(tag)) for tag in tags if tag not in known
    ]


def _copied(exif: Image.Exif) -> Image.Exif:
    """Copy the tags of a BigTIFF, whose directories have another form than those of EXIF."""
    copy = Image.Exif()
    for tag in _DESCRIPTIVE & set(exif):
        copy[tag] = dict(exif.get_ifd(tag)) if tag in TiffTags.TAGS_V2_GROUPS else exif[tag]
    return copy


def _adapted(block: bytes, size: tuple[int, int], turned: bool) -> bytes:
    # Changed in place: the offsets in a camera maker's note count from the beginning of the block,
    # so a block that is written anew makes the note unreadable.
    block = block if block.startswith(_MARK) else _MARK + block
    start = len(_MARK)
    orders = {b"II": "<", b"MM": ">"}
    if block[start : start + 2] not in orders:
        raise ValueError("it has no byte order mark")
    order = orders[block[start : start + 2]]
    changed = bytearray(block)
    (offset,) = struct.unpack_from(order + "I", block, start + 4)
    entries, end = _directory(block, start + offset, order)
    if ExifTags.Base.Orientation in entries:
        _set_number(changed, entries[ExifTags.Base.Orientation], order, 1, _SHORT)
    for tag, value in zip((ExifTags.Base.ImageWidth, ExifTags.Base.ImageLength), size, strict=True):
        if tag in entries:
            _set_number(changed, entries[tag], order, value)
    resolutions = [
        entries[tag]
        for tag in (ExifTags.Base.XResolution, ExifTags.Base.YResolution)
        if tag in entries
    ]
    if turned and len(resolutions) == 2:
        for entry, other in zip(resolutions, reversed(resolutions), strict=True):
            changed[entry + 2 : entry + 12] = block[other + 2 : other + 12]
    # The second directory is the thumbnail's.
    if len(block) >= end + 4:
        struct.pack_into(order + "I", changed, end, 0)
    # A damaged inner directory stays as it is.
    with contextlib.suppress(struct.error, KeyError):
        (offset,) = struct.unpack_from(order + "8xI", block, entries[ExifTags.IFD.Exif])
        entries, _ = _directory(block, start + offset, order)
        sizes = (ExifTags.Base.ExifImageWidth, ExifTags.Base.ExifImageHeight)
        for tag, value in ((ExifTags.Base.ColorSpace, _SRGB), *zip(sizes, size, strict=True)):
            if tag in entries:
                _set_number(changed, entries[tag], order, value)
        (offset,) = struct.unpack_from(order + "8xI", block, entries[ExifTags.IFD.Interop])
        entries, _ = _directory(block, start + offset, order)
        index = entries[ExifTags.Interop.InteropIndex] + 8
        if changed[index : index + 3] == b"R03":  # Adobe RGB
            changed[index : index + 3] = b"R98"
    return bytes(changed)


def _directory(block: bytes, place: int, order: str) -> tuple[dict[int, int], int]:
    """Find the entries of a directory by tag, and its end."""
    (count,) = struct.unpack_from(order + "H", block, place)
    end = place + 2 + 12 * count
    places = range(place + 2, end, 12)
    return {struct.unpack_from(order + "H", block, entry)[0]: entry for entry in places}, end


def _set_number(
    block: bytearray, entry: int, order: str, value: int, kind: int | None = None
) -> None:
    """Set the value of an entry that holds one whole number, or shall hold one of ``kind``."""
    kind = kind or struct.unpack_from(order + "2xH", block, entry)[0]
    if kind == _SHORT and value < 2**16:
        struct.pack_into(order + "HIHH", block, entry + 2, kind, 1, value, 0)
    elif kind == _LONG:
        struct.pack_into(order + "HII", block, entry + 2, kind, 1, value)
