"""ICC profiles made by the book, and the chunks and tags that declare a color space without one."""

from __future__ import annotations

import struct
import zlib

D50 = (0.9642, 1.0, 0.8249)
# Columns of XYZ under D50, as published with the two spaces.
SRGB = ((0.4360747, 0.2225045, 0.0139322), (0.3850649, 0.7168786, 0.0971045),
        (0.1430804, 0.0606169, 0.7141733))  # fmt: skip
ADOBE = ((0.6097559, 0.3111242, 0.0194811), (0.2052401, 0.6256560, 0.0608902),
         (0.1492240, 0.0632197, 0.7448387))  # fmt: skip


def _fixed(*values: float) -> bytes:
    return struct.pack(f">{len(values)}i", *(round(value * 65536) for value in values))


def profile(space: bytes, tags: dict[bytes, bytes], kind: bytes = b"mntr") -> bytes:
    """An ICC profile, version 2.4, put together by the book."""
    connection = b"Lab " if kind == b"prtr" else b"XYZ "
    head = struct.pack(">II4s4s4s12s4s", 0x02400000, 0, kind, space, connection, bytes(12), b"acsp")
    tags = {b"wtpt": b"XYZ \0\0\0\0" + _fixed(*D50), **tags}
    directory, body = struct.pack(">I", len(tags)), b""
    for name, content in tags.items():
        place = 128 + 4 + 12 * len(tags) + len(body)
        directory += struct.pack(">4sII", name, place, len(content))
        body += content + bytes(-len(content) % 4)
    # struct's order above has the version before the maker's name: put the name in front.
    head = b"test" + head[:4] + head[8:]
    whole = head + bytes(24) + struct.pack(">I", 1) + _fixed(*D50)
    whole = whole.ljust(124, b"\0") + directory + body
    return struct.pack(">I", len(whole) + 4) + whole


def _curve(gamma: float) -> bytes:
    return b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256))


def rgb_profile(primaries: tuple[tuple[float, ...], ...], gamma: float) -> bytes:
    names = (b"r", b"g", b"b")
    columns = {
        name + b"XYZ": b"XYZ \0\0\0\0" + _fixed(*column)
        for name, column in zip(names, primaries, strict=True)
    }
    return profile(b"RGB ", {**columns, **{name + b"TRC": _curve(gamma) for name in names}})


def grey_profile(gamma: float) -> bytes:
    return profile(b"GRAY", {b"kTRC": _curve(gamma)})


def cmyk_profile() -> bytes:
    """Inks that are neutral: L falls linearly along each of them, to 0 with all or with black."""
    ramp = bytes(range(256))
    corners = b""
    for i in range(16):
        c, m, y, k = (i >> shift & 1 for shift in (3, 2, 1, 0))
        corners += bytes((round(255 * (1 - k) * (1 - (c + m + y) / 3)), 128, 128))
    table = b"mft1\0\0\0\0" + bytes((4, 3, 2, 0)) + _fixed(1, 0, 0, 0, 1, 0, 0, 0, 1)
    table += ramp * 4 + corners + ramp * 3
    return profile(b"CMYK", {b"A2B0": table, b"A2B1": table}, b"prtr")


def png_chunk(kind: bytes, content: bytes) -> bytes:
    checksum = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)


def with_chunks(png: bytes, chunks: dict[bytes, bytes]) -> bytes:
    """Put chunks right behind the header of a PNG."""
    return png[:33] + b"".join(png_chunk(*chunk) for chunk in chunks.items()) + png[33:]


def exif_of_adobe_rgb() -> bytes:
    """EXIF as a camera writes it for Adobe RGB: "uncalibrated", and R03 of DCF 2.0."""
    first = struct.pack("<HHHIII", 1, 0x8769, 4, 1, 26, 0)
    inner = struct.pack("<HHHIHHHHIII", 2, 0xA001, 3, 1, 65535, 0, 0xA005, 4, 1, 56, 0)
    last = struct.pack("<HHHI4sI", 1, 1, 2, 4, b"R03\0", 0)
    return b"Exif\0\0II*\0" + struct.pack("<I", 8) + first + inner + last
