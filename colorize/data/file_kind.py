"""What a file is by its first bytes, to say more than "no image" of what is not read here."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

HEAD = 4096
"""So many first bytes are looked at."""

_RAW = "a camera raw file ({}), which holds what the sensor saw and no picture yet"
_RAW_ADVICE = (
    "develop it first in a raw converter, or in Python with the package rawpy: "
    "rawpy.imread(path).postprocess() gives an array"
)
_PAGE_ADVICE = "export it as PNG, TIFF or JPEG first"
_VIDEO_ADVICE = "take single frames out of it first, for example with ffmpeg"

_SIGNATURES: tuple[tuple[bytes, str, str], ...] = (
    (rb"II\*\0.{4}CR", _RAW.format("CR2 of Canon"), _RAW_ADVICE),
    (rb"II\x1a\0\0\0HEAPCCDR", _RAW.format("CRW of Canon"), _RAW_ADVICE),
    (rb"IIR[OS]|MMOR", _RAW.format("ORF of Olympus"), _RAW_ADVICE),
    (rb"IIU\0", _RAW.format("RW2 of Panasonic"), _RAW_ADVICE),
    (rb"FUJIFILMCCD-RAW", _RAW.format("RAF of Fujifilm"), _RAW_ADVICE),
    (rb"FOVb", _RAW.format("X3F of Sigma"), _RAW_ADVICE),
    (rb"\0MRM", _RAW.format("MRW of Minolta"), _RAW_ADVICE),
    (rb"8BPS", "a Photoshop file (PSD)", _PAGE_ADVICE),
    (rb"gimp xcf", "a GIMP file (XCF)", _PAGE_ADVICE),
    (rb"%PDF", "a PDF", "export its pages as PNG first, for example with pdftoppm"),
    (rb"%!|\xc5\xd0\xd3\xc6", "PostScript", _PAGE_ADVICE),
    (rb"AT&TFORM", "a DjVu file", _PAGE_ADVICE),
    (rb"v/1\x01", "an OpenEXR file", _PAGE_ADVICE),
    (rb"#\?(RADIANCE|RGBE)", "a Radiance HDR file", _PAGE_ADVICE),
    (rb".{128}DICM", "a DICOM file", "read it with the package pydicom, and scale it to 0..1"),
    (rb"SIMPLE  =", "a FITS file", "read it with the package astropy, and scale it to 0..1"),
    (rb"II\xbc", "a JPEG XR file", _PAGE_ADVICE),
    (rb"\xff\xd8\xff\xf7", "a JPEG-LS file", _PAGE_ADVICE),
    (rb"qoif", "a QOI file", _PAGE_ADVICE),
    (rb"DDS ", "a DDS texture", _PAGE_ADVICE),
    (rb"\0\0[\x01\x02]\0[^\0]", "a Windows icon or cursor", _PAGE_ADVICE),
    (rb"icns", "an icon of macOS", _PAGE_ADVICE),
    (rb"\x1aE\xdf\xa3|RIFF.{4}AVI |\0\0\x01[\xb3\xba]|FLV\x01|OggS", "a video", _VIDEO_ADVICE),
    (rb"PK\x03\x04|\x1f\x8b|7z\xbc\xaf|Rar!|BZh|\xfd7zXZ", "an archive", "unpack it first"),
    (rb"version https://git-lfs", "a Git LFS pointer", "fetch the file with git lfs pull"),
    (rb"\s*(<\?xml.*?)?(<!--.*?-->\s*)?<svg|.{0,300}<!DOCTYPE svg", "an SVG drawing", _PAGE_ADVICE),
    (rb"(?i)\s*(<!doctype html|<html)", "a web page (HTML)", "download the image itself"),
)
_PATTERNS = [(re.compile(sign, re.DOTALL), name, advice) for sign, name, advice in _SIGNATURES]

_HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"heif", b"mif1", b"msf1")
TIFF_MARKS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_JPEG_LS = b"\xf7"
_CFA, _LINEAR_RAW = 32803, 34892
_PHOTOMETRIC, _SUB_DIRECTORIES, _DNG_VERSION = 262, 330, 50706
_MOST_DIRECTORIES = 64


# What has an unusual name is a picture only by a signature that no other file has.
_PICTURE = re.compile(
    rb"\xff\xd8\xff|\x89PNG\r\n\x1a\n|GIF8[79]a|BM.{4}\0{4}|II\*\0|MM\0\*|RIFF.{4}WEBP"
    rb"|\0\0\0\x0cjP  |\xff\x4f\xff\x51|.{4}ftyp(avif|heic|heix|mif1)|\x01\xda[\0\x01][\x01\x02]\0",
    re.DOTALL,
)


_MOST_OF_PNM = re.compile(rb"P[36](?:(?:\s|#[^\n]*\n)+(\d+)){3}\s")
# The byte that tells the bits of a sample, and what is to be added.
_BITS = [
    (re.compile(rb"\xff\x4f\xff\x51.{38}(.)", re.DOTALL), 1),  # JPEG 2000, bare
    (re.compile(rb"\0\0\0\x0cjP  .*?ihdr.{10}(.)", re.DOTALL), 1),
    (re.compile(rb".{4}ftyp.*?pixi.{5}(.)", re.DOTALL), 0),  # AVIF, HEIF
]

_JP2_PROFILE = re.compile(rb"\0\0\0\x0cjP  .*?(.{4})colr[\x02\x03]..", re.DOTALL)


class Foreign(NamedTuple):
    """A kind of file that Pillow alone does not read.

    Attributes:
        name: with its article.
        advice: what to do.
        plugin: Pillow's name of the format, where a package can add it.
    """

    name: str
    advice: str
    plugin: str | None = None


def is_picture(head: bytes) -> bool:
    """Check for the first bytes of a picture, whatever the name of its file."""
    return _PICTURE.match(head) is not None


def sample_bits(head: bytes) -> int:
    """Read how many bits a sample of color has; 8 for formats of which Pillow cuts none."""
    if head[:2] == b"\x01\xda":  # SGI
        return 8 * head[3]
    if found := _MOST_OF_PNM.match(head):
        return int(found[1]).bit_length()
    for pattern, more in _BITS:
        if found := pattern.match(head):
            return (found[1][0] & 0x7F) + more
    return 8


def jp2_profile(file: BinaryIO, head: bytes) -> bytes | None:
    """Read the ICC profile of a JPEG 2000, which Pillow does not."""
    found = _JP2_PROFILE.match(head)
    if found is None:
        return None
    file.seek(found.end())
    return file.read(max(0, int.from_bytes(found[1], "big") - 11))


def foreign_kind(file: BinaryIO, head: bytes) -> Foreign | None:
    """Recognise a file by content; None for one that Pillow may read, or of an unknown kind.

    Args:
        file: the open file, where a camera's TIFF has to be followed.
        head: its first ``HEAD`` bytes.
    """
    if head[:4] == b"\x89PNG" or (head[:3] == b"\xff\xd8\xff" and head[3:4] != _JPEG_LS):
        return None
    if head[4:8] == b"ftyp":
        return _of_brands(head)
    if head[:2] == b"\xff\x0a" or head[4:8] == b"JXL ":
        return Foreign("a JPEG XL image", "pip install pillow-jxl-plugin", "JXL")
    for pattern, name, advice in _PATTERNS:
        if pattern.match(head):
            return Foreign(name, advice)
    if head[:4] in TIFF_MARKS and _is_raw(file, head):
        return Foreign(_RAW.format("as DNG, NEF, ARW and others"), _RAW_ADVICE)
    return None


def _of_brands(head: bytes) -> Foreign | None:
    size = min(int.from_bytes(head[:4], "big"), len(head))
    brands = [head[8:12], *(head[i : i + 4] for i in range(16, size - 3, 4))]
    if b"avif" in brands or b"avis" in brands:
        return Foreign("an AVIF image", "pip install pillow-avif-plugin", "AVIF")
    if brands[0] == b"crx ":
        return Foreign(_RAW.format("CR3 of Canon"), _RAW_ADVICE)
    if any(brand in _HEIF_BRANDS for brand in brands):
        return Foreign("a HEIF image (HEIC)", "pip install pillow-heif", "HEIF")
    if brands[0] in (b"jp2 ", b"jpx "):
        return None
    return Foreign("a video", _VIDEO_ADVICE)


def _is_raw(file: BinaryIO, head: bytes) -> bool:
    """Check whether a directory of a TIFF holds what a sensor saw."""
    for tags in _directories(file, "<" if head[:1] == b"I" else ">", b"+" in head[2:4]):
        if _DNG_VERSION in tags or tags.get(_PHOTOMETRIC, (0,))[0] in (_CFA, _LINEAR_RAW):
            return True
    return False


def _directories(file: BinaryIO, order: str, big: bool) -> Iterator[dict[int, tuple[int, ...]]]:
    """Yield the tags that matter here, of all directories and those below them.

    Args:
        file: a TIFF.
        order: of its bytes, as ``struct`` names it.
        big: whether it is a BigTIFF, whose numbers are twice as long.
    """
    size, long = (20, "Q") if big else (12, "I")

    def read(place: int, form: str) -> tuple[int, ...]:
        file.seek(place)
        return struct.unpack(order + form, file.read(struct.calcsize(order + form)))

    waiting = list(read(8 if big else 4, long))
    seen: set[int] = set()
    while waiting and len(seen) < _MOST_DIRECTORIES:
        start = waiting.pop(0)
        if start == 0 or start in seen:
            continue
        seen.add(start)
        tags: dict[int, tuple[int, ...]] = {}
        try:
            (count,) = read(start, "Q" if big else "H")
            first = start + (8 if big else 2)
            for place in range(first, first + size * count, size):
                tag, kind, number = read(place, "HH" + long)
                value = place + size - struct.calcsize(long)
                if tag == _DNG_VERSION:
                    tags[tag] = (1,)
                elif tag == _PHOTOMETRIC:
                    tags[tag] = read(value, "H" if kind == 3 else "I")
                elif tag == _SUB_DIRECTORIES and number <= _MOST_DIRECTORIES:
                    value = value if number == 1 else read(value, long)[0]
                    waiting += read(value, f"{number}{long}")
            waiting += read(first + size * count, long)
        except (struct.error, OSError, OverflowError):
            pass  # the end of the file; Pillow says what is wrong with it
        yield tags
