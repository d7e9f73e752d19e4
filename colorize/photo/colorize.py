"""Color a photograph as people have it: path, PIL image or array, grey or color, any size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import overload

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from colorize.checks import require_choice
from colorize.color.lab import join_lightness
from colorize.errors import InputError
from colorize.models import BinHead, Colorizer, SIGGRAPH17Model, eval_mode
from colorize.models.checkpoint import device_of
from colorize.models.hub import load_model
from colorize.photo.hints import Hint, apply_hints, check_hints, hint_maps
from colorize.photo.image import ImageLike, Picture
from colorize.photo.sampling import entropy, sample_ab
from colorize.photo.upsampling import METHODS, Extent, make_upsampler

DEFAULT_MODEL = "photo"
ModelLike = Colorizer | str | Path


@overload
def colorize_image(
    image: ImageLike,
    model: ModelLike = ...,
    *,
    temperature: float | None = ...,
    saturation: float = ...,
    size: int | None = ...,
    upsampling: str = ...,
    samples: None = ...,
    hints: Sequence[Hint] | None = ...,
    seed: int = ...,
    depth: int = ...,
) -> np.ndarray: ...


@overload
def colorize_image(
    image: ImageLike,
    model: ModelLike = ...,
    *,
    temperature: float | None = ...,
    saturation: float = ...,
    size: int | None = ...,
    upsampling: str = ...,
    samples: int,
    hints: Sequence[Hint] | None = ...,
    seed: int = ...,
    depth: int = ...,
) -> list[np.ndarray]: ...


def colorize_image(
    image: ImageLike,
    model: ModelLike = DEFAULT_MODEL,
    *,
    temperature: float | None = None,
    saturation: float = 1.0,
    size: int | None = None,
    upsampling: str = "bilateral",
    samples: int | None = None,
    hints: Sequence[Hint] | None = None,
    seed: int = 0,
    depth: int = 8,
) -> np.ndarray | list[np.ndarray]:
    """Color one image.

    The lightness of the result is the input's own: turned back to grey it is the same picture, to
    the bit. A color input is colored from its lightness alone. Beyond the input and the results it
    takes memory for the model, and for bands of the picture.

    Args:
        image: path, encoded bytes, PIL image, or array (H, W), (H, W, 1), (H, W, 3) or (H, W, 4) of
            uint8, uint16, bool, or float in 0..1. Arrays are taken at their own precision, files
            and PIL images at 8 bits.
        model: a model, a name of ``list_models()``, or a checkpoint's path.
        temperature: of the annealed mean; None for the model's own.
        saturation: factor of a and b, 0 or above; 1 is what the model says.
        size: short side in pixels at which the net looks at the picture; None for the model's own.
            Smaller pictures are not enlarged.
        upsampling: how color comes to full size: "bilateral" follows the edges of lightness,
            "bilinear" does not.
        samples: how many different answers to draw from the predicted distribution.
        hints: points of color, ``(x, y, (r, g, b))``: column and row of a pixel and its color,
            0..255. Each colors what belongs to it.
        seed: of the samples.
        depth: bits of a channel of the result, 8 or 16.

    Returns:
        (H, W, 3) uint8, or uint16 for a depth of 16; EXIF orientation applied. With ``samples`` a
        list of so many, the most likely first.

    Raises:
        ImageError: when it is no image that can be read.
        InputError: when an argument is out of range, or a model without a distribution is asked for
            samples or a temperature.
    """
    require_choice(upsampling, "upsampling", METHODS)
    if not 0 <= saturation < float("inf"):
        raise InputError(f"saturation: expected a number of 0 or above, got {saturation}")
    if depth not in (8, 16):
        raise InputError(f"depth: expected 8 or 16 bits, got {depth}")
    model = _loaded(model)
    picture = Picture(image, device_of(model))
    with torch.inference_mode(), eval_mode(model):
        L = picture.reduced(_look_size(model, size))
        found = _answers(model, L, temperature, samples, seed, list(hints or ()), picture.size)
        colored = [
            _paint(picture, replace(found, values=ab[None] * saturation), upsampling, depth)
            for ab in found.values
        ]
    return colored[0] if samples is None else colored


@torch.inference_mode()
def uncertainty(
    image: ImageLike, model: ModelLike = DEFAULT_MODEL, *, size: int | None = None
) -> np.ndarray:
    """How undecided a model is about the color of every pixel.

    Args:
        image, model, size: as in ``colorize_image``.

    Returns:
        (H, W) float32: entropy of the predicted distribution in nats, from 0 to log Q.

    Raises:
        ImageError: when it is no image that can be read.
        InputError: when the model has no distribution, or the size is out of range.
    """
    model = _loaded(model)
    _distribution(model, "uncertainty")
    picture = Picture(image, device_of(model))
    L = picture.reduced(_look_size(model, size))
    with eval_mode(model):
        raw = model.raw_color(model(model.pad(L)))
    grid = _on_grid(model, entropy(raw), L)
    upsampler = make_upsampler("bilateral", grid.values, grid.guide, picture.size, grid.extent)
    found = np.empty(picture.size, np.float32)
    for first, band in picture.bands():
        rows = upsampler.rows(band, first)[0, 0]
        found[first : first + len(rows)] = rows.cpu().numpy()
    return found


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


@dataclass(frozen=True)
class _Grid:
    """Answers (n, C, h, w) on a coarse grid, its lightness, and how far the picture covers it."""

    values: Tensor
    guide: Tensor
    extent: Extent


def _on_grid(model: Colorizer, values: Tensor, L: Tensor) -> _Grid:
    """What a net said of the padded L."""
    padded = model.pad(L).float()
    h, w = values.shape[2:]
    guide = F.adaptive_avg_pool2d(padded, (h, w))
    return _Grid(
        values, guide, (L.shape[2] * h / padded.shape[2], L.shape[3] * w / padded.shape[3])
    )


def _answers(
    model: Colorizer,
    L: Tensor,
    temperature: float | None,
    samples: int | None,
    seed: int,
    hints: list[Hint],
    size: tuple[int, int],
) -> _Grid:
    """One or more ab, (n, 2, h, w)."""
    if model.output is None:
        raise InputError(f"{type(model).__name__} classifies; it has no color to give")
    places, colors = check_hints(hints, size)
    looked = (L.shape[2], L.shape[3])
    if hints and isinstance(model, SIGGRAPH17Model):
        if samples is not None:
            _distribution(model, "samples")
        ab, mask = (m.to(L.device) for m in hint_maps(places, colors, looked))
        found = model.predict_ab(L, temperature=temperature, hints_ab=ab, hints_mask=mask)
        return _Grid(found, L, looked)
    raw = model.raw_color(model(model.pad(L)))
    if samples is None:
        grid = _on_grid(model, model.output.decode(raw, temperature), L)
    else:
        output = _distribution(model, "samples")
        grid = _on_grid(model, raw, L)
        temperature = output.temperature if temperature is None else temperature
        drawn, _ = sample_ab(
            raw, output.bin_centers, grid.guide, samples, temperature=temperature, seed=seed
        )
        grid = replace(grid, values=drawn)
    if not hints:
        return grid
    return _steered(grid, L, places, colors)


def _steered(grid: _Grid, L: Tensor, places: Tensor, colors: Tensor) -> _Grid:
    """Hints reach along the edges of the picture that the net saw, finer than its answer is."""
    size = (L.shape[2], L.shape[3])
    found = []
    for ab in grid.values:
        fine = make_upsampler("bilateral", ab[None], grid.guide, size, grid.extent)
        found.append(apply_hints(fine.rows(L, 0), L, places, colors))
    return _Grid(torch.cat(found), L, size)


def _paint(picture: Picture, grid: _Grid, upsampling: str, depth: int) -> np.ndarray:
    upsampler = make_upsampler(upsampling, grid.values, grid.guide, picture.size, grid.extent)
    colored = np.empty((*picture.size, 3), np.uint8 if depth == 8 else np.uint16)
    for first, L in picture.bands():
        ab = upsampler.rows(L, first)
        if depth == 16:
            # Not every device knows float64 and uint16.
            L, ab = L.cpu(), ab.cpu()
        rgb = join_lightness(L, ab, depth=depth)[0]
        colored[first : first + L.shape[2]] = rgb.movedim(0, -1).cpu().numpy()
    return colored


def _loaded(model: ModelLike) -> Colorizer:
    return model if isinstance(model, Colorizer) else load_model(model)


def _look_size(model: Colorizer, size: int | None) -> int:
    size = model.input_size if size is None else size
    if size < 1:
        raise InputError(f"size: expected at least 1 pixel, got {size}")
    return size


def _distribution(model: Colorizer, wanted: str) -> BinHead:
    if not isinstance(model.output, BinHead):
        raise InputError(
            f"{wanted}: {type(model).__name__} predicts one color, it has no distribution; choose "
            "a model over bins"
        )
    return model.output
