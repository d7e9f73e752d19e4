"""An input image of any kind, read as bands of lightness at its own precision."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple, TypeVar
from urllib.parse import urlsplit
from urllib.request import url2pathname

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from colorize.color.lab import rgb_to_L
from colorize.data.decode import decode_over_white
from colorize.errors import ImageError
from colorize.photo.upsampling import AreaReduction

AnyImage = str | Path | bytes | BinaryIO | Image.Image | np.ndarray | Tensor
"""What ``predict`` takes as one image."""
Images = list[AnyImage] | tuple[AnyImage, ...]
T = TypeVar("T")

_SHAPES = "(H, W), (H, W, 1), (H, W, 3) or (H, W, 4)"
# Two letters at least: C: is a drive.
_URL = re.compile(r"([a-zA-Z][a-zA-Z0-9+.-]+)://|(file):")
# Floats may leave 0..1 by this, and are cut.
_ROUNDING = 1e-4

# Bounds the memory of a band, however large the image is.
_BAND_PIXELS = 2**18


class Box(NamedTuple):
    """Rows ``top`` to ``bottom`` and columns ``left`` to ``right``, the last ones excluded."""

    top: int
    bottom: int
    left: int
    right: int

    @property
    def slices(self) -> tuple[slice, slice]:
        """Its rows and columns."""
        return slice(self.top, self.bottom), slice(self.left, self.right)


class InputImage:
    """Give the lightness of an image in bands of rows; only its pixels are kept at full size.

    Args:
        image: as in ``predict``. Transparent pixels are laid over white.
        device: the device of the lightness.
        truncated, max_pixels: of a file, as in ``decode``.

    Attributes:
        size: height and width after the EXIF orientation was applied.
    """

    def __init__(
        self,
        image: AnyImage,
        device: torch.device,
        *,
        truncated: bool = False,
        max_pixels: int | None = None,
    ) -> None:
        self._pixels, self.device = _read(image, truncated, max_pixels), device
        self.size: tuple[int, int] = self._pixels.shape[:2]

    @property
    def box(self) -> Box:
        """All of the image."""
        return Box(0, self.size[0], 0, self.size[1])

    def crop(self, box: Box) -> InputImage:
        """Give a part of the image, which shares its pixels."""
        part = copy.copy(self)
        part._pixels = self._pixels[box.slices]
        part.size = part._pixels.shape[:2]
        return part

    def colors(self, depth: int) -> Iterator[tuple[int, np.ndarray]]:
        """Yield the number of the first row and (R, W, 3) own colors, uint8 or uint16."""
        top, dtype = (255, np.uint8) if depth == 8 else (65535, np.uint16)
        rows = max(1, _BAND_PIXELS // self.size[1])
        for first in range(0, self.size[0], rows):
            band = _to_rgb(self._pixels[first : first + rows])
            if band.dtype == np.uint8:
                band = band if depth == 8 else band.astype(np.uint16) * 257
            else:
                band = np.rint(band * top).astype(dtype)
            yield first, np.broadcast_to(band, (*band.shape[:2], 3))

    def bands(self) -> Iterator[tuple[int, Tensor]]:
        """Yield the number of the first row and (1, 1, R, W) lightness, from top to bottom."""
        rows = max(1, _BAND_PIXELS // self.size[1])
        for first in range(0, self.size[0], rows):
            band = _to_rgb(self._pixels[first : first + rows])
            rgb = torch.from_numpy(band).to(self.device).movedim(-1, 0)[None]
            yield first, rgb_to_L(rgb.expand(-1, 3, -1, -1))

    def reduced(self, short_side: int) -> Tensor:
        """Reduce lightness to a short side: (1, 1, h, w), means over areas. Never enlarges."""
        scale = min(1.0, short_side / min(self.size))
        h, w = (max(1, round(side * scale)) for side in self.size)
        reduction = AreaReduction(self.size, (h, w), self.device)
        for first, band in self.bands():
            reduction.add(band, first)
        return reduction.mean


def for_each(images: AnyImage | Images, function: Callable[[AnyImage], T]) -> T | list[T]:
    """Call a function with an image, or with each image of a list; errors name its number."""
    if not isinstance(images, list | tuple):
        return function(images)
    results = []
    for number, image in enumerate(images):
        try:
            if isinstance(image, list | tuple):
                raise ImageError(
                    f"expected one image, got a {type(image).__name__}; an image of numbers is "
                    "given as an array"
                )
            results.append(function(image))
        except ImageError as error:
            raise ImageError(f"image[{number}]: {error}") from error
    return results


def to_path(image: AnyImage) -> Path | None:
    """Give the path of an image that is one, or the URL of a local file; None for others."""
    if isinstance(image, Path):
        return image
    if not isinstance(image, str):
        return None
    if not image:
        raise ImageError("image: expected a path, got an empty one")
    if not (url := _URL.match(image)):
        return Path(image)
    parts = urlsplit(image)
    if (url[1] or url[2]).lower() != "file" or parts.netloc not in ("", "localhost"):
        raise ImageError(f"{image}: expected a file of this machine; download it first")
    return Path(url2pathname(parts.path))


def _read(image: AnyImage, truncated: bool, max_pixels: int | None) -> np.ndarray:
    """Read (H, W, C) pixels, C being 1, 3 or 4, of a type that ``_to_rgb`` takes."""
    if isinstance(image, Tensor):
        return _check_array(_from_tensor(image))
    if isinstance(image, np.ndarray):
        return _check_array(image)
    source = to_path(image) or image
    if not isinstance(source, Path | bytes | bytearray | Image.Image) and not hasattr(
        source, "read"
    ):
        raise ImageError(
            f"image: expected a path, bytes, a PIL image, a tensor (C, H, W), or an array {_SHAPES}"
            f" of uint8, uint16, bool or float in 0..1, or several of them in a list; got "
            f"{type(image).__name__}"
        )
    name = str(source) if isinstance(source, Path) else type(image).__name__
    return decode_over_white(source, name, depth=16, truncated=truncated, max_pixels=max_pixels)


def _from_tensor(tensor: Tensor) -> np.ndarray:
    if tensor.is_nested:
        raise ImageError("tensor: expected one image, got a nested one; give list(tensor.unbind())")
    if tensor.dim() not in (2, 3) or (tensor.dim() == 3 and len(tensor) not in (1, 3, 4)):
        advice = "give a batch as list(batch)"
        if tensor.dim() == 3 and tensor.shape[-1] in (1, 3, 4):
            advice = "tensor.movedim(-1, 0) puts channels first"
        raise ImageError(
            "tensor: expected (C, H, W) with 1, 3 or 4 channels, or (H, W), got "
            f"{tuple(tensor.shape)}; {advice}"
        )
    if tensor.is_meta or tensor.is_quantized or tensor.layout != torch.strided:
        raise ImageError(
            "tensor: expected a dense one that holds numbers, got "
            f"{tensor.layout} of {tensor.dtype} on {tensor.device}; see its to_dense and dequantize"
        )
    # numpy does not know bfloat16 and narrower ones.
    half = tensor.is_floating_point() and tensor.itemsize < 4
    array = (tensor.float() if half else tensor).numpy(force=True)
    return np.moveaxis(array, 0, -1) if array.ndim == 3 else array


def _check_array(array: np.ndarray) -> np.ndarray:
    channels = array.shape[2] if array.ndim == 3 else 1
    if array.ndim not in (2, 3) or channels not in (1, 3, 4) or 0 in array.shape:
        first = array.ndim == 3 and array.shape[0] in (1, 3, 4)
        hint = "; array.transpose(1, 2, 0) puts channels last" if first else ""
        raise ImageError(f"array: expected {_SHAPES}, got {array.shape}{hint}")
    if isinstance(array, np.ma.MaskedArray) and (masked := np.ma.count_masked(array)):
        raise ImageError(
            f"array: expected a value everywhere, got {masked} masked ones; fill them first: "
            "array.filled(value)"
        )
    # A matrix cannot be reshaped to more than two dimensions.
    array = np.asarray(array)
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    if np.issubdtype(array.dtype, np.floating):
        _check_floats(array)
    elif array.dtype not in (np.bool_, np.uint8, np.uint16):
        raise ImageError(
            f"array: expected uint8, uint16, bool or float in 0..1, got {array.dtype}; cast it to "
            "the one whose full range its values have"
        )
    return array.reshape(*array.shape[:2], channels)


def _check_floats(array: np.ndarray) -> None:
    finite = np.isfinite(array)
    if not finite.all():
        places = np.argwhere(~finite)
        row, column = places[0][:2]
        raise ImageError(
            f"array: expected floats in 0..1, got {len(places)} that are NaN or infinite, the "
            f"first at row {row}, column {column}"
        )
    low, high = float(array.min()), float(array.max())
    if low < -_ROUNDING or high > 1 + _ROUNDING:
        raise ImageError(
            f"array: expected floats in 0..1, got {low:.4g}..{high:.4g}; divide by 255 or cast to "
            "uint8"
        )


def _to_rgb(band: np.ndarray) -> np.ndarray:
    """Copy some rows as (R, W, 1) or (R, W, 3), uint8 or float32 in 0..1."""
    if band.dtype == np.bool_:
        band = band.astype(np.uint8) * 255
    elif band.dtype == np.uint16:
        band = band.astype(np.float32) / 65535
    elif band.dtype != np.uint8:
        band = band.astype(np.float32).clip(0, 1)
    if band.shape[2] < 4:
        return np.array(band, order="C")
    # Over white.
    levels = band / np.float32(255) if band.dtype == np.uint8 else band
    return levels[..., :3] * levels[..., 3:] + (1 - levels[..., 3:])
