"""Find JPEGs that lost a part of their data, which libjpeg fills with grey and tells nobody."""

from __future__ import annotations

import io
import itertools
import re
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

import numpy as np
from PIL import Image

_START_OF_SCAN, _TABLES, _END = 0xDA, 0xC4, 0xD9
_BASELINE, _EXTENDED, _PROGRESSIVE = 0xC0, 0xC1, 0xC2
_NO_FRAMES = (_TABLES, 0xC8, 0xCC)
_MARKER = re.compile(rb"\xff+([^\x00\xff])", re.DOTALL)
_AFTER_DATA = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")
_RESTART = re.compile(rb"\xff([\xd0-\xd7])")
# A sector of a disk, the least that is lost at once.
_LOST = bytes(512)
# Any bits that go on the data do: if all pixels are there, none of them changes.
_MORE = b"\x5a\x3c\x96\x0f" * 64
_ROWS = 64  # compared at once, for memory


class _Scan(NamedTuple):
    start: int
    end: int
    can_be_zero: bool


def find_loss(file: BinaryIO, image: Image.Image) -> str | None:
    """Say which part of a JPEG's data is lost; None where no sign of that is found.

    Args:
        file: that holds it.
        image: the same, loaded.
    """
    file.seek(0)
    content = file.read()
    if _LOST in content or b"\xff\xd0" in content:
        for start, end, can_be_zero in _scans(content):
            if not can_be_zero and content.find(_LOST, start, end) >= 0:
                return "a part of its data are zeros"
            restarts = _RESTART.findall(content, start, end)
            if any(code[0] % 8 != i % 8 for i, code in enumerate(restarts)):
                return "a part in the middle of its data is missing"
    # Where one of many scans ends too soon, the others give the pixels.
    if image.info.get("progressive"):
        return "a part of its data is missing" if _has_more(image, _continued(content)) else None
    # What no data are there for is of the middle of all levels; of CMYK Pillow gives the inverse.
    width, height = image.size
    corner = np.asarray(image.crop((max(0, width - 4), max(0, height - 4), width, height)))
    is_grey = bool(((corner == 127) | (corner == 128)).all())
    if is_grey and _reduced(content) != _reduced(_continued(content)):
        return "its data end too soon"
    return None


def _continued(content: bytes) -> bytes:
    """Go on with the data of every scan."""
    places = [0, *(scan.end for scan in _scans(content)), len(content)]
    return _MORE.join(content[start:end] for start, end in itertools.pairwise(places))


def _has_more(image: Image.Image, content: bytes) -> bool:
    """Check whether a JPEG of the same size differs; of one that was reduced not."""
    with Image.open(io.BytesIO(content), formats=("JPEG",)) as other:
        bands = ((0, y, image.width, y + _ROWS) for y in range(0, image.height, _ROWS))
        return other.size == image.size and any(
            other.crop(band).tobytes() != image.crop(band).tobytes() for band in bands
        )


def _reduced(content: bytes) -> bytes:
    with Image.open(io.BytesIO(content), formats=("JPEG",)) as image:
        image.draft(None, (1, 1))  # as small as libjpeg can
        return image.tobytes()


def _scans(content: bytes) -> Iterator[_Scan]:
    """Walk the segments up to the end of the first image."""
    place, frame, first_symbols = 2, 0, dict[int, int]()
    while marker := _MARKER.match(content, place):
        kind, place = marker[1][0], marker.end()
        length = int.from_bytes(content[place : place + 2], "big")
        segment = content[place + 2 : place + length]
        place += length
        if kind == _END:
            return
        if 0xC0 <= kind <= 0xCF and kind not in _NO_FRAMES:
            frame = kind
        if kind == _TABLES:
            first_symbols.update(_first_symbols(segment))
        if kind == _START_OF_SCAN:
            after = _AFTER_DATA.search(content, place)
            end = after.start() if after else len(content)
            yield _Scan(place, end, _can_be_zero(segment, frame, first_symbols))
            place = end


def _first_symbols(segment: bytes) -> Iterator[tuple[int, int]]:
    """Yield each Huffman table's number and the symbol whose code is all zeros."""
    place = 0
    while place + 17 < len(segment):
        yield segment[place], segment[place + 17]
        place += 17 + sum(segment[place + 1 : place + 17])


def _can_be_zero(header: bytes, frame: int, first_symbols: dict[int, int]) -> bool:
    """Check whether bits that are all zero stand for blocks of one color, as of a white page."""
    tables = header[2 : 1 + 2 * header[0] : 2]
    first, _, step = header[-3:]
    no_change = all(first_symbols.get(table >> 4) == 0 for table in tables)
    ends = [first_symbols.get(0x10 | table & 0x0F, 0) for table in tables]
    if frame == _PROGRESSIVE:
        return bool(step >> 4) or no_change if first == 0 else ends[0] in range(0, 0xF0, 0x10)
    return frame not in (_BASELINE, _EXTENDED) or (no_change and not any(ends))
