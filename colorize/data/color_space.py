"""Color spaces given by primaries and a curve: how their levels become levels of sRGB.

ICC calls these matrix and curve profiles; PNG, AVIF and HEIF name them by chunks and numbers. What
is here works at the depth of the file. Tables of colors (printers, some scanners) are lcms's.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

Curve = Callable[[np.ndarray], np.ndarray]
"""Encoded values 0..1 to linear light, float64."""
Chromaticity = tuple[float, float]
Primaries = tuple[Chromaticity, Chromaticity, Chromaticity]

D65: Chromaticity = (0.3127, 0.3290)
SRGB_PRIMARIES: Primaries = ((0.64, 0.33), (0.30, 0.60), (0.15, 0.06))
_D50_XYZ = np.array((0.9642, 1.0, 0.8249))
_BRADFORD = np.array(
    ((0.8951, 0.2664, -0.1614), (-0.7502, 1.7135, 0.0367), (0.0389, -0.0685, 1.0296))
)
_BT601 = ((0.63, 0.34), (0.31, 0.595), (0.155, 0.07))
# ITU-T H.273, "colour primaries" and "transfer characteristics"; 2 is "unspecified".
_H273_PRIMARIES: dict[int, tuple[Primaries, Chromaticity]] = {
    1: (SRGB_PRIMARIES, D65),
    2: (SRGB_PRIMARIES, D65),
    4: (((0.67, 0.33), (0.21, 0.71), (0.14, 0.08)), (0.31, 0.316)),
    5: (((0.64, 0.33), (0.29, 0.60), (0.15, 0.06)), D65),
    6: (_BT601, D65),
    7: (_BT601, D65),
    9: (((0.708, 0.292), (0.17, 0.797), (0.131, 0.046)), D65),
    11: (((0.68, 0.32), (0.265, 0.69), (0.15, 0.06)), (0.314, 0.351)),
    12: (((0.68, 0.32), (0.265, 0.69), (0.15, 0.06)), D65),
}
_GAMMA_OF_SRGB, _ABOUT = 45455, 500
# A conversion that moves no level by more than this share leaves the pixels as they are.
_SAME = 1.0 / 255


class ColorSpace(NamedTuple):
    """A color space of grey or RGB.

    Attributes:
        curves: one of all channels, or three.
        matrix: (3, 3) from linear light to that of sRGB; None for grey.
    """

    curves: tuple[Curve, ...]
    matrix: np.ndarray | None = None

    def to_srgb(self, levels: np.ndarray) -> np.ndarray:
        """Convert (R, W, C), uint8 or uint16, to sRGB of the same type; grey may stay grey."""
        top = np.iinfo(levels.dtype).max
        steps = np.linspace(0, 1, top + 1)
        if len(self.curves) == 1 and levels.shape[2] == 1:
            return _quantized(_encode_srgb(self.curves[0](steps)), levels.dtype)[levels]
        curves = self.curves if len(self.curves) == 3 else self.curves * 3
        tables = [curve(steps).astype(np.float32) for curve in curves]
        channels = np.broadcast_to(levels, (*levels.shape[:2], 3))
        linear = np.stack([table[channels[..., i]] for i, table in enumerate(tables)], -1)
        if self.matrix is not None:
            linear = linear @ self.matrix.T.astype(np.float32)
        return _quantized(_encode_srgb(linear), levels.dtype)

    def is_srgb(self) -> bool:
        """Check whether this is sRGB to about one of 255 levels."""
        steps = np.linspace(0, 65535, 18).astype(np.uint16)
        probe = steps[:, None, None]
        if self.matrix is not None:
            probe = np.stack(np.meshgrid(steps, steps, steps), -1).reshape(1, -1, 3)
        moved = np.abs(self.to_srgb(probe).astype(int) - probe).max()
        return bool(moved <= _SAME * 65535)


def adobe_rgb() -> ColorSpace:
    """Adobe RGB (1998)."""
    primaries = ((0.64, 0.33), (0.21, 0.71), (0.15, 0.06))
    return ColorSpace((_power(563 / 256),), _matrix(primaries, D65))


def from_chunks(gamma: int | None, chromaticities: Sequence[float] | None) -> ColorSpace | None:
    """Give the space of a PNG's gAMA and cHRM; None for sRGB.

    Args:
        gamma: 100,000 times the exponent of encoding.
        chromaticities: x and y of white, red, green and blue.

    Raises:
        ValueError: numbers that no space has.
    """
    white, primaries = D65, SRGB_PRIMARIES
    if chromaticities is not None:
        if len(chromaticities) != 8 or min(chromaticities[1::2]) <= 0:
            raise ValueError(f"chromaticities {tuple(chromaticities)}")
        white, *rgb = zip(chromaticities[::2], chromaticities[1::2], strict=True)
        primaries = (rgb[0], rgb[1], rgb[2])
    if gamma is not None and not 1_000 <= gamma <= 10_000_000:
        raise ValueError(f"a gamma of {gamma}")
    # What writers of sRGB put there, for readers that know no sRGB.
    usual = gamma is None or abs(gamma - _GAMMA_OF_SRGB) <= _ABOUT
    if usual and np.abs(np.subtract((white, *primaries), (D65, *SRGB_PRIMARIES))).max() < 2e-3:
        return None
    curve = _decode_srgb if gamma is None else _power(100_000 / gamma)
    return ColorSpace((curve,), _matrix(primaries, white))


def from_h273(primaries: int, transfer: int) -> ColorSpace | None:
    """Give the space of two numbers of ITU-T H.273 (cICP, nclx); None for sRGB.

    Raises:
        ValueError: numbers without a space here, such as high dynamic range.
    """
    if primaries not in _H273_PRIMARIES or transfer not in _H273_CURVES:
        raise ValueError(f"color primaries {primaries} with transfer characteristics {transfer}")
    if primaries in (1, 2) and transfer in (2, 13):
        return None
    return ColorSpace((_H273_CURVES[transfer],), _matrix(*_H273_PRIMARIES[primaries]))


def from_icc(profile: bytes) -> ColorSpace | None:
    """Give the space of a profile of matrix and curves; None for one of tables.

    Raises:
        ValueError: the profile is damaged.
    """
    try:
        tags = _icc_tags(profile)
        if profile[20:24] != b"XYZ " or any(tag[:3] in (b"A2B", b"D2B") for tag in tags):
            return None
        if profile[16:20] == b"GRAY":
            return ColorSpace((_icc_curve(tags[b"kTRC"]),))
        if profile[16:20] != b"RGB ":
            return None
        curves = tuple(_icc_curve(tags[name + b"TRC"]) for name in (b"r", b"g", b"b"))
        columns = [struct.unpack_from(">3i", tags[name + b"XYZ"], 8) for name in (b"r", b"g", b"b")]
        return ColorSpace(curves, _linear_srgb_of_d50() @ np.array(columns).T / 65536)
    except (KeyError, IndexError, struct.error) as error:
        raise ValueError(f"{type(error).__name__}: {error}") from error


def _icc_tags(profile: bytes) -> dict[bytes, bytes]:
    (count,) = struct.unpack_from(">I", profile, 128)
    if count > 200:
        raise ValueError(f"{count} tags")
    entries = (struct.unpack_from(">4sII", profile, 132 + 12 * i) for i in range(count))
    return {name: profile[start : start + size] for name, start, size in entries}


def _icc_curve(tag: bytes) -> Curve:
    if tag[:4] == b"curv":
        (count,) = struct.unpack_from(">I", tag, 8)
        if count == 0:
            return _power(1.0)
        values = np.frombuffer(tag, ">u2", count, 12)
        if count == 1:
            return _power(values[0] / 256)
        table, places = values / 65535, np.linspace(0, 1, count)
        return lambda encoded: np.interp(encoded, places, table)
    if tag[:4] != b"para":
        raise ValueError(f"a curve of type {tag[:4]!r}")
    (kind,) = struct.unpack_from(">H", tag, 8)
    g, *rest = np.frombuffer(tag, ">i4", (1, 3, 4, 5, 7)[kind], 12) / 65536
    # y = (a x + b)^g + e from d on, and c x + f below it.
    a, b, c, d, e, f = {
        0: lambda: (1.0, 0.0, 0.0, 0.0, 0.0, 0.0),
        1: lambda: (rest[0], rest[1], 0.0, -rest[1] / rest[0], 0.0, 0.0),
        2: lambda: (rest[0], rest[1], 0.0, -rest[1] / rest[0], rest[2], rest[2]),
        3: lambda: (*rest, 0.0, 0.0),
        4: lambda: (*rest,),
    }[kind]()
    return lambda x: np.where(x >= d, np.maximum(a * x + b, 0) ** g + e, c * x + f)


def _power(exponent: float) -> Curve:
    return lambda encoded: encoded**exponent


def _decode_srgb(encoded: np.ndarray) -> np.ndarray:
    return np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)


def _decode_bt709(encoded: np.ndarray) -> np.ndarray:
    return np.where(encoded < 0.081, encoded / 4.5, ((encoded + 0.099) / 1.099) ** (1 / 0.45))


def _encode_srgb(linear: np.ndarray) -> np.ndarray:
    linear = np.clip(linear, 0, 1)
    return np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)


def _quantized(values: np.ndarray, dtype: np.dtype) -> np.ndarray:
    return np.rint(values * np.iinfo(dtype).max).astype(dtype)


_H273_CURVES: dict[int, Curve] = {
    **dict.fromkeys((1, 6, 14, 15), _decode_bt709),
    **dict.fromkeys((2, 13), _decode_srgb),
    4: _power(2.2),
    5: _power(2.8),
    8: _power(1.0),
}


def _xyz(chromaticity: Chromaticity) -> np.ndarray:
    x, y = chromaticity
    return np.array((x / y, 1.0, (1 - x - y) / y))


def _to_xyz(primaries: Primaries, white: Chromaticity) -> np.ndarray:
    columns = np.stack([_xyz(primary) for primary in primaries], 1)
    try:
        return columns * np.linalg.solve(columns, _xyz(white))
    except np.linalg.LinAlgError as error:
        raise ValueError(f"primaries {primaries} on one line") from error


def _adaptation(white: np.ndarray, target: np.ndarray) -> np.ndarray:
    ratio = (_BRADFORD @ target) / (_BRADFORD @ white)
    return np.linalg.inv(_BRADFORD) @ (ratio[:, None] * _BRADFORD)


def _matrix(primaries: Primaries, white: Chromaticity) -> np.ndarray:
    """From linear light of primaries to that of sRGB, white to white."""
    to_d65 = _adaptation(_xyz(white), _xyz(D65))
    return np.linalg.inv(_to_xyz(SRGB_PRIMARIES, D65)) @ to_d65 @ _to_xyz(primaries, white)


def _linear_srgb_of_d50() -> np.ndarray:
    to_d65 = _adaptation(_D50_XYZ, _xyz(D65))
    return np.linalg.inv(_to_xyz(SRGB_PRIMARIES, D65)) @ to_d65
