"""Conversion of pixels to sRGB: which color space a file declares, and how to leave it."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Literal, cast

import numpy as np
from PIL import ExifTags, Image, ImageCms

from colorize.data.color_space import ColorSpace, adobe_rgb, from_chunks, from_h273, from_icc

Kind = Literal["GRAY", "RGB", "CMYK", "LAB"]
Apply = Callable[[np.ndarray], np.ndarray]

# cmsFLAGS_BLACKPOINTCOMPENSATION of lcms2.h; Pillow has named it differently over time.
_BLACK_POINT_COMPENSATION: Any = 0x2000
_CHANNELS = {"L": 1, "RGB": 3, "CMYK": 4, "LAB": 3}
# What a camera writes for Adobe RGB: "uncalibrated" with the interoperability of DCF 2.0, or 2.
_UNCALIBRATED, _ADOBE = 65535, 2
_INTEROPERABILITY_INDEX = 1


class UnusableProfileError(ValueError):
    """A profile is damaged or belongs to other pixels; they are then taken as sRGB."""


@dataclass
class DeclaredColor:
    """What a file says about its color: a profile, or a space of primaries and curve, or nothing.

    Attributes:
        notes: what of it cannot be used.
    """

    icc: bytes | None = None
    space: ColorSpace | None = None
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Conversion:
    """How bands of stored pixels become sRGB.

    Attributes:
        apply: (R, W, C) to (R, W, 1) or (R, W, 3) of the same type; None when they are sRGB.
        icc: sRGB profile for a result; None when the file declares no color.
        notes: what was not used, for the user.
    """

    apply: Apply | None = None
    icc: bytes | None = None
    notes: tuple[str, ...] = ()


def declared_color(image: Image.Image, h273: tuple[int, int] | None) -> DeclaredColor:
    """Read what an image declares, by the order of the PNG specification and DCF 2.0.

    Args:
        image: as Pillow opened it.
        h273: color primaries and transfer characteristics out of cICP or nclx, if any.
    """
    declared = DeclaredColor(icc=image.info.get("icc_profile"))
    info = image.info
    # cICP is above a profile in PNG; of the other formats nclx is below it.
    if h273 and (image.format == "PNG" or not declared.icc):
        try:
            return DeclaredColor(space=from_h273(*h273))
        except ValueError as error:
            declared.notes.append(f"its color space is not known here: not used ({error})")
    if declared.icc or "srgb" in info:
        return declared
    try:
        gamma = info.get("gamma")
        gamma = None if gamma is None else round(gamma * 100_000)
        declared.space = from_chunks(gamma, info.get("chromaticity"))
    except (ValueError, TypeError, ZeroDivisionError) as error:
        declared.notes.append(f"its gAMA or cHRM chunk is damaged and was not used ({error})")
    if declared.space is None and _is_adobe_by_exif(image):
        declared.space = adobe_rgb()
    return declared


def _is_adobe_by_exif(image: Image.Image) -> bool:
    if image.format == "PNG" and "exif" not in image.info:
        return False  # asked for more, Pillow loads the pixels, of 16 bits only the upper 8
    try:
        exif = image.getexif()
        if ExifTags.IFD.Exif not in exif:
            return False
        space = exif.get_ifd(ExifTags.IFD.Exif).get(ExifTags.Base.ColorSpace)
        if space != _UNCALIBRATED:
            return bool(space == _ADOBE)
        index = exif.get_ifd(ExifTags.IFD.Interop).get(_INTEROPERABILITY_INDEX)
        return str(index).startswith("R03")
    except (struct.error, ValueError, TypeError, KeyError, SyntaxError, OSError):
        return False  # damaged EXIF, which says nothing about color


def find_conversion(
    declared: DeclaredColor, kind: Kind, deep: bool, is_neutral: Callable[[], bool]
) -> Conversion:
    """Find the conversion of pixels of a kind; what cannot be used is noted.

    Profiles go by relative colorimetric intent with black point compensation.

    Args:
        declared: what the file says.
        kind: what its samples mean.
        deep: whether they have 16 bits.
        is_neutral: whether all of RGB pixels are grey.
    """
    notes = list(declared.notes)
    if declared.icc and kind != "LAB":  # CIELAB is a space of its own
        try:
            return _by_profile(declared.icc, kind, deep, is_neutral, notes)
        except UnusableProfileError as error:
            notes.append(str(error))
    elif declared.space and kind in ("GRAY", "RGB"):
        return Conversion(declared.space.to_srgb, _srgb().tobytes(), tuple(notes))
    return Conversion(_plain(kind), None, tuple(notes))


def _by_profile(
    icc: bytes, kind: Kind, deep: bool, is_neutral: Callable[[], bool], notes: list[str]
) -> Conversion:
    # The signature is not read by lcms, which takes it for ASCII.
    own = icc[16:20].decode("latin-1").strip()
    grey_of_rgb = own == "GRAY" and kind == "RGB" and is_neutral()
    fits = own == kind or (own == "RGB" and kind == "GRAY") or grey_of_rgb
    try:
        if not fits:
            ImageCms.ImageCmsProfile(io.BytesIO(icc))
            raise UnusableProfileError(f"its {own} color profile does not fit its pixels: not used")
        apply = _profile_to_srgb(icc, own, deep)
    except (ImageCms.PyCMSError, OSError) as error:
        raise UnusableProfileError(
            f"its color profile is damaged and was not used ({error})"
        ) from error
    if deep and isinstance(apply, _Lcms):
        notes.append("its color profile has tables: applied to 8 of its 16 bits")
    if apply is None:
        return Conversion(None, icc if own == "RGB" else _srgb().tobytes(), tuple(notes))
    return Conversion(
        _first_channel(apply) if grey_of_rgb else apply, _srgb().tobytes(), tuple(notes)
    )


@lru_cache(maxsize=16)  # a data set's images have one profile, or a few
def _profile_to_srgb(icc: bytes, own: str, deep: bool) -> Apply | None:
    """Make the conversion of a profile; None when it is sRGB under any name."""
    # lcms knows 8 bits only here, and is off by levels for dark linear grey.
    if deep or own == "GRAY":
        try:
            space = from_icc(icc)
        except ValueError as error:
            raise OSError(str(error)) from error
        if space is not None:
            return None if space.is_srgb() else space.to_srgb
    profile = ImageCms.ImageCmsProfile(io.BytesIO(icc))
    lcms = _Lcms(profile, "L" if own == "GRAY" else own)
    return None if lcms.is_identity() else lcms


def _first_channel(apply: Apply) -> Apply:
    return lambda levels: apply(levels[..., :1])


def _plain(kind: Kind) -> Apply | None:
    if kind == "CMYK":
        return lambda levels: np.asarray(_layer(levels, "CMYK").convert("RGB"))
    if kind == "LAB":
        return _Lcms(ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")), "LAB")
    return None


def _srgb() -> ImageCms.ImageCmsProfile:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))


class _Lcms:
    """A conversion by lcms, which has 8 bits here."""

    def __init__(self, profile: ImageCms.ImageCmsProfile, mode: str) -> None:
        self._mode = mode
        self._transform = ImageCms.buildTransform(
            *(profile, _srgb(), mode, "RGB"),
            renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
            flags=_BLACK_POINT_COMPENSATION,
        )

    def __call__(self, levels: np.ndarray) -> np.ndarray:
        if levels.dtype == np.uint16:
            eight = ((levels.astype(np.uint32) * 255 + 32767) // 65535).astype(np.uint8)
            return self(eight).astype(np.uint16) * np.uint16(257)
        channels = _CHANNELS[self._mode]
        if levels.shape[2] != channels:
            levels = levels[..., :1] if channels == 1 else np.repeat(levels, channels, 2)
        converted = ImageCms.applyTransform(_layer(levels, self._mode), self._transform)
        # It gives None only for a transform in place.
        return np.asarray(cast(Image.Image, converted))

    def is_identity(self) -> bool:
        """Check whether no level moves by more than 1: the pixels then stay the same to the bit."""
        if self._mode not in ("L", "RGB"):
            return False
        levels = np.linspace(0, 255, 18).astype(np.uint8)
        probe = np.stack(np.meshgrid(levels, levels, levels), -1).reshape(1, -1, 3)
        if self._mode == "L":
            probe = np.arange(256, dtype=np.uint8)[None, :, None]
        return int(np.abs(self(probe).astype(int) - probe).max()) <= 1


def _layer(levels: np.ndarray, mode: str) -> Image.Image:
    height, width, channels = levels.shape
    samples = np.ascontiguousarray(levels[..., 0] if channels == 1 else levels)
    return Image.frombuffer(mode, (width, height), samples, "raw", mode, 0, 1)
