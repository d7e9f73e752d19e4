"""What surrounds the pixels of a photo, and how each file format holds it."""

from __future__ import annotations

import math
import struct
import sys
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import ExifTags, Image
from PIL.PngImagePlugin import PngInfo

from colorize.data.opening import opened_image
from colorize.photo.exif import (
    DamagedExifError,
    is_turned,
    lacks_resolution,
    parsed,
    tiff_tags,
    unknown_tags,
    upright_exif,
)
from colorize.photo.formats import Container
from colorize.photo.record import Made
from colorize.photo.xmp import DamagedXmpError, find_mark, mark

_XMP_TEXT = "XML:com.adobe.xmp"
# Texts of PNG that hold what is read as EXIF, XMP or IPTC.
_PROFILES = ("Raw profile type exif", "Raw profile type APP1", "Raw profile type xmp", _XMP_TEXT)
_IPTC_TAG, _XMP_TAG = 33723, 700
_IPTC_RESOURCE = 0x0404
_IPTC_TEXT = "Raw profile type iptc"
_INCH = 2


@dataclass(frozen=True)
class Metadata:
    """What surrounds the pixels of a photo.

    Attributes:
        exif: block with orientation 1, for sRGB, and without thumbnail.
        xmp: packet.
        iptc: records of IPTC-IIM.
        dpi: pixels an inch, along and across the upright photo.
        comment: of a JPEG or GIF.
        texts: of a PNG, by keyword.
        made: what made its colors, when it is a result of this library.
    """

    exif: bytes | None = None
    xmp: bytes | None = None
    iptc: bytes | None = None
    dpi: tuple[float, float] | None = None
    comment: bytes | None = None
    texts: dict[str, str] = field(default_factory=dict)
    made: Made | None = None


def read_metadata(image: Image.Image, size: tuple[int, int]) -> tuple[Metadata, list[str]]:
    """Read what surrounds the pixels of an open file, and notes on what is damaged.

    Args:
        image: whose pixels need not be loaded yet.
        size: width and height of the upright pixels.
    """
    notes: list[str] = []
    exif = None
    tags = dict(getattr(image, "tag_v2", {}))
    turned = is_turned(image, size)
    try:
        exif = upright_exif(image, size)
    except DamagedExifError as error:
        notes.append(f"its EXIF is damaged and was left out ({error})")
    if strange := unknown_tags(tags):
        notes.append(f"its TIFF tags {', '.join(map(str, strange))} were left out")
    texts = _texts(image)
    xmp = _as_bytes(image.info.get("xmp") or texts.get(_XMP_TEXT) or tags.get(_XMP_TAG))
    resources = image.info.get("photoshop")
    iptc = resources.get(_IPTC_RESOURCE) if isinstance(resources, dict) else tags.get(_IPTC_TAG)
    kept = {k: str(v) for k, v in texts.items() if k not in _PROFILES}
    dpi = None if lacks_resolution(image) else _resolution(image.info.get("dpi"))
    return Metadata(
        exif,
        xmp,
        _as_bytes(iptc),
        dpi[::-1] if dpi and turned else dpi,
        _as_bytes(image.info.get("comment")),
        kept,
        find_mark(xmp),
    ), notes


def read_made(path: Path) -> Made | None:
    """Read from a file's metadata what made its colors; None when it is no result."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of damaged EXIF, which reading the photo tells
            # As large as a result may be.
            with path.open("rb") as file, opened_image(file, path.name, sys.maxsize) as image:
                texts = image.info.get(_XMP_TEXT)
                tagged = getattr(image, "tag_v2", {}).get(_XMP_TAG)
                return find_mark(_as_bytes(image.info.get("xmp") or texts or tagged))
    except Exception:  # noqa: BLE001 - whatever cannot be read is no result
        return None


def save_options(
    metadata: Metadata, container: Container, made: Made | None
) -> tuple[dict[str, Any], list[str]]:
    """Give the arguments by which Pillow writes metadata into a format, and notes on what is lost.

    What made the colors is written with them.
    """
    options: dict[str, Any] = {}
    notes: list[str] = []
    texts = dict(metadata.texts) if container.texts else {}
    lost: list[str] = [] if container.texts else [f"text {key!r}" for key in metadata.texts]
    exif = None
    try:
        exif = _with_resolution(metadata, container)
    except DamagedExifError as error:
        notes.append(f"its EXIF was left out: {error}")
    if exif is not None:
        if len(exif) <= container.most_exif:
            options["exif"] = exif
        else:
            lost.append("EXIF")
    if container.dpi and metadata.dpi:
        options["dpi"] = metadata.dpi
    elif metadata.dpi and (exif is None or "exif" not in options):
        lost.append("resolution")
    if metadata.comment:
        if container.texts:
            texts.setdefault("Comment", metadata.comment.decode("utf-8", "replace"))
        elif container.comment:
            options["comment"] = metadata.comment
        else:
            lost.append("comment")
    xmp = None
    if container.most_xmp:
        xmp, about_xmp = _packet(metadata.xmp, made, container)
        notes += about_xmp
    else:
        lost += ["XMP"] if metadata.xmp else []
        notes.append(f"{container.name} has no place to say that its color is computed")
    if metadata.iptc and not container.iptc:
        lost.append("IPTC")
    iptc = metadata.iptc if container.iptc else None
    try:
        _place(options, container, xmp, iptc, texts)
    except DamagedExifError as error:
        options.pop("exif", None)
        notes.append(f"its EXIF was left out: {error}")
        _place(options, container, xmp, iptc, texts)
    if lost:
        notes.append(f"left out, as {container.name} cannot hold it: {', '.join(lost)}")
    return options, notes


def _place(
    options: dict[str, Any],
    container: Container,
    xmp: bytes | None,
    iptc: bytes | None,
    texts: dict[str, str],
) -> None:
    """Add XMP, IPTC and texts where the format has them."""
    if container.name == "PNG":
        info = PngInfo()
        if xmp:
            info.add_itxt(_XMP_TEXT, xmp.decode())
        if iptc:
            info.add_text(_IPTC_TEXT, _hexadecimal("iptc", _resource(iptc)), zip=True)
        for key, value in texts.items():
            info.add_itxt(key, value)
        options["pnginfo"] = info
    elif container.name == "TIFF":
        tags = tiff_tags(options["exif"]) if "exif" in options else Image.Exif()
        for tag, block in ((_XMP_TAG, xmp), (_IPTC_TAG, iptc)):
            if block:
                tags[tag] = block
        options["exif"] = tags
    else:
        if xmp:
            options["xmp"] = xmp
        if iptc:
            block = b"Photoshop 3.0\0" + _resource(iptc)
            options["extra"] = b"\xff\xed" + struct.pack(">H", len(block) + 2) + block


def _packet(xmp: bytes | None, made: Made | None, container: Container) -> tuple[bytes, list[str]]:
    """Mark the photo's packet; without it where it is damaged or too long."""
    try:
        packet = mark(xmp, made)
        if len(packet) <= container.most_xmp:
            return packet, []
        reason = f"{container.name} holds {container.most_xmp} bytes, got {len(packet)}"
    except DamagedXmpError as error:
        reason = f"it is damaged ({error})"
    return mark(None, made), [f"its XMP was left out: {reason}"]


def _with_resolution(metadata: Metadata, container: Container) -> bytes | None:
    """Give EXIF, which holds the resolution where the format itself has no place for it."""
    if container.dpi or not container.most_exif:
        return metadata.exif
    # Pillow writes the block of an AVIF anew.
    exif = Image.Exif() if metadata.exif is None else parsed(metadata.exif)
    if metadata.dpi is None:
        return metadata.exif
    if metadata.exif is not None:
        # A block that is written anew makes the note of a camera's maker unreadable.
        is_fixed = ExifTags.Base.MakerNote in exif.get_ifd(ExifTags.IFD.Exif)
        if is_fixed or ExifTags.Base.XResolution in exif:
            return metadata.exif
    exif[ExifTags.Base.XResolution], exif[ExifTags.Base.YResolution] = metadata.dpi
    exif[ExifTags.Base.ResolutionUnit] = _INCH
    block: bytes = exif.tobytes()
    return block


def _texts(image: Image.Image) -> dict[str, str]:
    """Read the texts of a PNG, also those behind its pixels."""
    try:
        return dict(getattr(image, "text", {}))
    except (OSError, SyntaxError, ValueError):  # pixels that were mended before they were read
        return {}


def _resolution(dpi: object) -> tuple[float, float] | None:
    """Check a resolution; formats in metres give 599.9988 for 600."""
    if not isinstance(dpi, tuple) or len(dpi) != 2:
        return None
    try:
        along, across = (float(value) for value in dpi)
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    if not (1 < along < 1e6 and 1 < across < 1e6):
        return None
    x, y = (round(v) if math.isclose(v, round(v), abs_tol=0.01) else v for v in (along, across))
    return x, y


def _resource(iptc: bytes) -> bytes:
    """Wrap IPTC records as Photoshop's image resource."""
    head = b"8BIM" + struct.pack(">HHI", _IPTC_RESOURCE, 0, len(iptc))
    return head + iptc + b"\0" * (len(iptc) % 2)


def _hexadecimal(kind: str, content: bytes) -> str:
    """Write a profile as ImageMagick does in the texts of PNG, which other programs read."""
    digits = content.hex()
    lines = "\n".join(digits[i : i + 72] for i in range(0, len(digits), 72))
    return f"\n{kind}\n{len(content):8}\n{lines}\n"


def _as_bytes(value: object) -> bytes | None:
    if isinstance(value, str):
        return value.encode("utf-8", "surrogateescape")
    if isinstance(value, bytes):
        return value or None
    if isinstance(value, tuple) and all(isinstance(v, int) for v in value):
        return struct.pack(f"<{len(value)}I", *value)  # IPTC that is declared as numbers
    return None
