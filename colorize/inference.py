"""Color a photograph as people have it: path, PIL image or array, grey or color, any size."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from PIL import Image
from torch import Tensor

from colorize.checkpoint import load_model
from colorize.color import join_lightness, rgb_to_L
from colorize.data import decode_rgb
from colorize.errors import ImageError, InputError
from colorize.models import Colorizer, evaluating

DEFAULT_MODEL = "photo"
ImageLike = str | Path | bytes | Image.Image | np.ndarray


@torch.inference_mode()
def colorize_image(
    image: ImageLike,
    model: Colorizer | str | Path = DEFAULT_MODEL,
    *,
    temperature: float | None = None,
    size: int | None = None,
) -> np.ndarray:
    """Color one image.

    The lightness of the result is the input's own: turned back to grey it is the same 8-bit
    picture. A color input is colored from its lightness alone.

    Args:
        image: path, encoded bytes, PIL image, or array (H, W), (H, W, 1), (H, W, 3) or (H, W, 4) of
            uint8, uint16, bool, or float in 0..1.
        model: a model, a name of ``list_models()``, or a checkpoint's path.
        temperature: of the annealed mean; None for the model's own.
        size: short side in pixels at which the net looks at the picture; None for the size that the
            model was trained at. Smaller pictures are not enlarged.

    Returns:
        (H, W, 3) uint8, EXIF orientation applied.

    Raises:
        ImageError: when it is no image that can be read.
        InputError: when an argument is out of range.
    """
    rgb = torch.tensor(_read(image)).movedim(-1, 0)[None]
    if not isinstance(model, Colorizer):
        model = load_model(model)
    size = model.look_size if size is None else size
    if size < 1:
        raise InputError(f"size: expected at least 1 pixel, got {size}")
    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    L = rgb_to_L(rgb.to(device))
    with evaluating(model):
        ab = model.predict_ab(_shrink(L, size), temperature=temperature)
    full = F.interpolate(ab, L.shape[2:], mode="bilinear", align_corners=False)
    return join_lightness(L, full)[0].movedim(0, -1).cpu().numpy()


def find_device(name: str) -> torch.device:
    """The device of that name.

    Raises:
        InputError: when there is no such kind of device, or none of it here.
    """
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(
            f"device: expected cpu, or a GPU that is here; got {name!r}: {reason}"
        ) from error
    return device


def _shrink(L: Tensor, size: int) -> Tensor:
    h, w = L.shape[2:]
    scale = size / min(h, w)
    if scale >= 1:
        return L
    target = (max(1, round(h * scale)), max(1, round(w * scale)))
    return F.interpolate(L, target, mode="bilinear", antialias=True, align_corners=False)


def _read(image: ImageLike) -> np.ndarray:
    if isinstance(image, np.ndarray):
        return _from_array(image)
    if isinstance(image, str):
        image = Path(image)
    name = str(image) if isinstance(image, Path) else type(image).__name__
    return decode_rgb(image, name)


def _from_array(array: np.ndarray) -> np.ndarray:
    channels = array.shape[2] if array.ndim == 3 else 1
    if array.ndim not in (2, 3) or channels not in (1, 3, 4) or 0 in array.shape:
        raise ImageError(
            f"array: expected (H, W), (H, W, 1), (H, W, 3) or (H, W, 4), got {array.shape}"
        )
    if array.dtype == np.bool_:
        array = array.astype(np.uint8) * 255
    elif array.dtype == np.uint16:
        array = ((array.astype(np.uint32) + 128) // 257).astype(np.uint8)
    elif np.issubdtype(array.dtype, np.floating):
        if not (np.isfinite(array).all() and array.min() >= 0 and array.max() <= 1):
            raise ImageError(
                "array: expected floats in 0..1, got "
                f"{np.nanmin(array):.4g}..{np.nanmax(array):.4g}; divide by 255 or cast to uint8"
            )
        array = np.rint(array * 255).astype(np.uint8)
    elif array.dtype != np.uint8:
        raise ImageError(f"array: expected uint8, uint16, bool or float, got {array.dtype}")
    if channels == 1:
        return np.repeat(array.reshape(*array.shape[:2], 1), 3, axis=2)
    if channels == 4:
        return decode_rgb(Image.fromarray(array), "array")
    return np.ascontiguousarray(array)
