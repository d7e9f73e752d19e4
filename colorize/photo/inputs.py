"""The ways to hand over an image besides those that ``InputImage`` reads: tensors and file URLs."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit
from urllib.request import url2pathname

import numpy as np
import torch
from torch import Tensor

from colorize.errors import ImageError
from colorize.photo.image import ImageLike

AnyImage = ImageLike | Tensor
"""What ``predict`` takes as one image."""
Images = list[AnyImage] | tuple[AnyImage, ...]
T = TypeVar("T")

# Two letters at least: C: is a drive.
_URL = re.compile(r"([a-zA-Z][a-zA-Z0-9+.-]+)://|(file):")


def to_image(image: AnyImage) -> ImageLike:
    """Turn a tensor or the URL of a local file into what ``InputImage`` reads."""
    if isinstance(image, Tensor):
        return _from_tensor(image)
    if isinstance(image, str) and (url := _URL.match(image)):
        return _from_url(image, (url[1] or url[2]).lower())
    return image


def _from_tensor(tensor: Tensor) -> np.ndarray:
    if tensor.dim() not in (2, 3) or (tensor.dim() == 3 and len(tensor) not in (1, 3, 4)):
        raise ImageError(
            "tensor: expected (C, H, W) with 1, 3 or 4 channels, or (H, W), got "
            f"{tuple(tensor.shape)}; give a batch as list(batch)"
        )
    # numpy does not know bfloat16.
    half = tensor.dtype in (torch.bfloat16, torch.float16)
    array = (tensor.float() if half else tensor).detach().cpu().numpy()
    return np.moveaxis(array, 0, -1) if array.ndim == 3 else array


def _from_url(url: str, scheme: str) -> Path:
    parts = urlsplit(url)
    if scheme != "file" or parts.netloc not in ("", "localhost"):
        raise ImageError(f"{url}: expected a file of this machine; download it first")
    return Path(url2pathname(parts.path))


def for_each(images: AnyImage | Images, function: Callable[[AnyImage], T]) -> T | list[T]:
    """Call a function with an image, or with each image of a list; errors name its number."""
    if not isinstance(images, list | tuple):
        return function(images)
    results = []
    for number, image in enumerate(images):
        try:
            results.append(function(image))
        except ImageError as error:
            raise ImageError(f"image[{number}]: {error}") from error
    return results
