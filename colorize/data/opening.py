"""Open image files with Pillow: by content, within limits, and the right page of them."""

from __future__ import annotations

import io
import os
import struct
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import Any, BinaryIO

from PIL import Image, ImageFile
from PIL.PngImagePlugin import MAX_TEXT_CHUNK
from PIL.TiffImagePlugin import TiffImageFile

from colorize.data.file_kind import HEAD, Foreign, foreign_kind
from colorize.errors import ImageError

FileSource = str | os.PathLike[str] | bytes | BinaryIO

_FORMATS = (
    *("JPEG", "PNG", "GIF", "BMP", "DIB", "TIFF", "WEBP", "PPM", "JPEG2000", "AVIF", "PCX", "SGI"),
    "TGA",  # last, as nothing but plausible numbers marks it
)
_FORMAT_NAMES = "JPEG, PNG, GIF, BMP, TIFF, WebP, PNM, JPEG 2000, AVIF, PCX, SGI or TGA"
# Packages that add a format to Pillow: the module, and what to call in it.
_PLUGINS = {
    "HEIF": ("pillow_heif", "register_heif_opener"),
    "JXL": ("pillow_jxl", None),
    "AVIF": ("pillow_avif", None),
}
FIRST_PAGE = "the first of its pages or frames was taken"
_ONLY_REDUCED = "only a reduced copy of the image was found in it"
LOST = "it is cut off or damaged; what is missing is grey, or wrong"
# What Pillow's decoders raise on damaged files. A full disk or a bug of ours is not among them.
_DECODER_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    IndexError,
    KeyError,
    TypeError,
    OverflowError,
    RuntimeError,
    struct.error,
    zlib.error,
)
# Deflate makes no more than this of a byte; a file that promises more holds no such picture.
_MOST_EXPANSION = 1032
# Pillow's own: it refuses more, unless that is allowed.
_USUAL_LIMIT = 178_956_970
_REDUCED_PAGE = 1
_SUBFILE_TYPE, _OLD_SUBFILE_TYPE, _ICC_TAG = 254, 255, 34675
_limit_lock = threading.RLock()


@contextmanager
def explaining(name: str) -> Iterator[None]:
    """Turn what Pillow raises into an ImageError that names the file."""
    try:
        yield
    except Image.UnidentifiedImageError as error:
        raise ImageError(
            f"{name}: expected an image ({_FORMAT_NAMES}), got something else, a damaged file, or "
            "a variant that is not supported"
        ) from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        found = str(error).partition(", could be")[0]  # without the word "attack"
        raise ImageError(
            f"{name}: expected an image of ordinary size, got: {found}; where you trust it, allow "
            "more by max_pixels (--max-pixels), or by PIL.Image.MAX_IMAGE_PIXELS"
        ) from error
    except _DECODER_ERRORS as error:
        what = f"{type(error).__name__}: {error}"
        cut = "; truncated=True (--truncated) takes what is there of a JPEG"
        raise ImageError(
            f"{name}: expected a whole image, got a truncated or damaged one ({what})"
            + (cut if "truncated" in what else "")
        ) from error


@contextmanager
def opened_file(source: FileSource, name: str) -> Iterator[BinaryIO]:
    """Open a source for reading at its beginning; the caller's own file stays open."""
    if isinstance(source, bytes | bytearray | memoryview):
        if not source:
            raise ImageError(f"{name}: expected an image, got an empty file (0 bytes)")
        yield io.BytesIO(source)
    elif isinstance(source, str | os.PathLike):
        try:
            file = Path(source).open("rb")  # noqa: SIM115
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise ImageError(f"{name}: expected an image file, got: {reason}") from error
        with file:
            if os.fstat(file.fileno()).st_size == 0:
                raise ImageError(f"{name}: expected an image, got an empty file (0 bytes)")
            yield file
    elif _is_readable(source):
        yield source if source.seekable() else io.BytesIO(source.read())
    else:
        kind = type(source).__name__
        raise ImageError(
            f"{name}: expected a path, bytes, an open binary file or a PIL image, got {kind}"
        )


def _is_readable(file: Any) -> bool:
    if isinstance(file, io.TextIOBase) or getattr(file, "closed", False):
        return False
    return callable(getattr(file, "read", None)) and getattr(file, "readable", lambda: True)()


@contextmanager
def opened_image(
    file: BinaryIO, name: str, max_pixels: int | None = None
) -> Iterator[ImageFile.ImageFile]:
    """Open the image of a file: of several pages the first that is no reduced copy.

    Args:
        file: open for reading, at its beginning.
        name: what to call the image in errors.
        max_pixels: the most pixels that are allowed; None for twice Pillow's MAX_IMAGE_PIXELS.
    """
    formats = _formats()
    with explaining(name):
        foreign = foreign_kind(file, file.read(HEAD))
        file.seek(0)
    if foreign is not None:
        formats = _formats_with(foreign, name)
    with _allowing(max_pixels):
        # Given a path, Pillow maps some TIFFs into memory, and those to be turned with wrong sizes.
        with explaining(name):
            image = Image.open(file, formats=formats)
        with image:
            _check_size(file, image, name, max_pixels)
            if isinstance(image, TiffImageFile):
                with explaining(name):
                    _skip_reduced_pages(image)
            yield image


def _formats_with(foreign: Foreign, name: str) -> tuple[str, ...]:
    """Give the formats for a file that needs a package; an error when it is not there."""
    if foreign.plugin is not None and foreign.plugin not in Image.OPEN:
        module, register = _PLUGINS[foreign.plugin]
        try:
            imported = import_module(module)
        except ImportError:
            imported = None
        if imported is not None and register is not None:
            getattr(imported, register)()
    if foreign.plugin is None or foreign.plugin not in Image.OPEN:
        raise ImageError(
            f"{name}: expected an image ({_FORMAT_NAMES}), got {foreign.name}; {foreign.advice}"
        )
    return (foreign.plugin,)


@lru_cache(maxsize=1)
def _formats() -> tuple[str, ...]:
    Image.init()
    return tuple(name for name in _FORMATS if name in Image.OPEN)


@contextmanager
def _allowing(max_pixels: int | None) -> Iterator[None]:
    """Let Pillow open so many pixels. Its limit is one for all threads."""
    if max_pixels is None:
        yield
        return
    with _limit_lock:
        before = Image.MAX_IMAGE_PIXELS
        # Pillow warns from here on, and refuses twice as many.
        Image.MAX_IMAGE_PIXELS = -(-max_pixels // 2)
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = before


def _check_size(file: BinaryIO, image: Image.Image, name: str, max_pixels: int | None) -> None:
    """Refuse what is not allowed, and above Pillow's limit also what the file cannot hold."""
    pixels = image.width * image.height
    size = file.seek(0, os.SEEK_END)
    sample_bytes = 1 / 8 if image.mode == "1" else 1
    empty = pixels > _USUAL_LIMIT and pixels * sample_bytes > _MOST_EXPANSION * size
    if empty or (max_pixels is not None and pixels > max_pixels):
        raise ImageError(
            f"{name}: expected an image of ordinary size, got {image.width}x{image.height} in "
            f"{size} bytes"
            + (", which cannot hold so many pixels" if empty else f"; {max_pixels} are allowed")
        )


def _skip_reduced_pages(image: TiffImageFile) -> None:
    """Go to the first page that is no thumbnail; where all are, stay with the first."""
    page = 0
    while _is_reduced(image):
        page += 1
        try:
            image.seek(page)
        except EOFError:
            image.seek(0)
            break
    if _ICC_TAG not in image.tag_v2:
        image.info.pop("icc_profile", None)  # left by another page


def _is_reduced(image: TiffImageFile) -> bool:
    tags = image.tag_v2
    return bool(tags.get(_SUBFILE_TYPE, 0) & _REDUCED_PAGE) or tags.get(_OLD_SUBFILE_TYPE) == 2


def page_note(image: Image.Image) -> list[str]:
    """Say which page was taken, of a file that has several."""
    # A phone's JPEG carries its preview or its brightness map as further images (MPO).
    if image.format == "MPO":
        return []
    try:
        if (page := getattr(image, "tell", int)()) > 0:
            return [f"its page {page + 1} was taken, as those before it are reduced copies"]
        if isinstance(image, TiffImageFile) and _is_reduced(image):
            return [_ONLY_REDUCED]
        return [FIRST_PAGE] * (getattr(image, "n_frames", 1) > 1)
    except (*_DECODER_ERRORS, LookupError):
        return [FIRST_PAGE]  # a second page that is damaged


def h273_numbers(file: BinaryIO, head: bytes) -> tuple[int, int] | None:
    """Read color primaries and transfer characteristics of a PNG's cICP or an AVIF's nclx."""
    if head[4:8] == b"ftyp":
        start = head.find(b"colrnclx")
        return struct.unpack_from(">HH", head, start + 8) if 0 <= start < len(head) - 12 else None
    if head[:4] != b"\x89PNG":
        return None
    for kind, place, length in png_chunks(file):
        if kind == b"IDAT":
            break
        if kind == b"cICP" and length == 4:
            file.seek(place)
            primaries, transfer = file.read(2)
            return primaries, transfer
    return None


def png_chunks(file: BinaryIO) -> Iterator[tuple[bytes, int, int]]:
    """Yield kind, place of the content, and length of the chunks of a PNG."""
    place = 8
    while True:
        file.seek(place)
        header = file.read(8)
        if len(header) < 8:
            return
        length = int.from_bytes(header[:4], "big")
        yield header[4:], place + 8, length
        place += 12 + length


def mended_content(file: BinaryIO, truncated: bool) -> tuple[bytes, str] | None:
    """Give the content of a file without its damage, and a note; None when nothing helps."""
    file.seek(0)
    mark = file.read(4)
    file.seek(0)
    if mark == b"\x89PNG":
        content, chunks = _without_damaged_chunks(file.read())
        note = f"its chunks {', '.join(chunks)} are damaged or too long, and were left out"
        return (content, note) if chunks else None
    if mark[:2] == b"\xff\xd8" and truncated:
        # Pillow's own switch for cut files is one for all threads.
        return file.read() + b"\xff\xd9", LOST
    return None


def _is_too_long(kind: bytes, chunk: bytes) -> bool:
    """Check whether the compressed text of a PNG is longer than Pillow takes."""
    _, _, rest = chunk.partition(b"\0")  # behind the keyword
    # iTXt: two flags, the language, the translated keyword; zTXt: one flag.
    text = rest[2:].split(b"\0", 2)[-1] if kind == b"iTXt" else rest[1:]
    try:
        return len(zlib.decompressobj().decompress(text, MAX_TEXT_CHUNK + 1)) > MAX_TEXT_CHUNK
    except zlib.error:
        return False


def _without_damaged_chunks(content: bytes) -> tuple[bytes, list[str]]:
    """Take ancillary chunks with a wrong checksum, and texts that are too long for Pillow, out of a
    PNG; give it and their names.
    """
    kept, names, end = [content[:8]], [], 8
    for kind, place, length in png_chunks(io.BytesIO(content)):
        end = place + length + 4
        right = zlib.crc32(kind + content[place : place + length])
        ancillary = bool(kind[:1].islower())
        damaged = content[end - 4 : end] != right.to_bytes(4, "big")
        damaged |= kind in (b"zTXt", b"iTXt") and _is_too_long(
            kind, content[place : place + length]
        )
        if ancillary and damaged and kind.isalpha():
            names.append(kind.decode("ascii"))
        else:
            kept.append(content[place - 8 : end])
    return b"".join([*kept, content[end:]]), names
