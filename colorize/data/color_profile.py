"""Conversion of pixels in another color space to sRGB."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any, cast

import numpy as np
from PIL import Image, ImageCms

# cmsFLAGS_BLACKPOINTCOMPENSATION of lcms2.h; Pillow has named it differently over time.
_BLACK_POINT_COMPENSATION: Any = 0x2000
_GREY_MODES = ("1", "L", "LA", "I")


def to_srgb(
    image: Image.Image, rgb: np.ndarray, upright: Callable[[Image.Image], np.ndarray]
) -> tuple[np.ndarray, bytes | None, list[str]]:
    """Convert pixels to sRGB by relative colorimetric intent with black point compensation.

    Args:
        image: the open file, whose profile is read.
        rgb: (H, W, 3) uint8, its upright pixels.
        upright: turns a layer of the file's own pixels upright, as (H, W, 3).

    Returns:
        The pixels; the profile for a result, None when there is none; notes for the user.
    """
    embedded = image.info.get("icc_profile")
    if not embedded:
        return rgb, None, []
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(embedded))
        kind = profile.profile.xcolor_space.strip()
        layer = _layer_in(kind, image, rgb)
        if layer is None:
            return rgb, None, [f"its {kind} color profile does not fit its pixels: not used"]
        srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
        transform = ImageCms.buildTransform(
            *(profile, srgb, layer.mode, "RGB"),
            renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
            flags=_BLACK_POINT_COMPENSATION,
        )
        if _is_identity(transform, layer.mode):
            return rgb, embedded if kind == "RGB" else srgb.tobytes(), []
        converted = _transformed(layer, transform)
    except (ImageCms.PyCMSError, OSError, UnicodeDecodeError) as error:
        return rgb, None, [f"its color profile is damaged and was not used ({error})"]
    # Only the file's own layer still has to be turned.
    turned = upright(converted) if layer is image else np.array(converted)
    return turned, srgb.tobytes(), []


def _layer_in(kind: str, image: Image.Image, rgb: np.ndarray) -> Image.Image | None:
    """Give the pixels in the color space of a profile; None when they are in another one."""
    grey = image.mode in _GREY_MODES or image.mode.startswith("I;16")
    if kind == "CMYK" and image.mode == "CMYK":
        return image
    if kind == "RGB" and image.mode != "CMYK":
        return Image.fromarray(rgb)
    if kind == "GRAY" and grey:
        return Image.fromarray(np.ascontiguousarray(rgb[..., 0]))
    return None


def _transformed(layer: Image.Image, transform: ImageCms.ImageCmsTransform) -> Image.Image:
    # It gives None only for a transform in place.
    return cast(Image.Image, ImageCms.applyTransform(layer, transform))


def _is_identity(transform: ImageCms.ImageCmsTransform, mode: str) -> bool:
    """Check whether a profile is sRGB under any name; the pixels then stay the same to the bit."""
    if mode == "CMYK":
        return False
    if mode == "L":
        probe = np.arange(256, dtype=np.uint8)[None]
        expected = np.repeat(probe[..., None], 3, axis=2)
    else:
        levels = np.linspace(0, 255, 18).astype(np.uint8)
        expected = probe = np.stack(np.meshgrid(levels, levels, levels), -1).reshape(1, -1, 3)
    converted = np.asarray(_transformed(Image.fromarray(probe), transform))
    return int(np.abs(converted.astype(int) - expected).max()) <= 1
