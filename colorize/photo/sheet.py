"""A contact sheet: one image over sizes, temperatures and samples, to see which suits it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from colorize.checks import require_non_negative, require_whole
from colorize.errors import InputError
from colorize.models import unwrap
from colorize.photo.image import AnyImage, InputImage
from colorize.photo.prediction import DEFAULT_MODEL, ModelLike, Prediction, load, predict

_CELL, _LINE, _GAP, _LABEL = 240, 20, 6, 130
_SIZES = (0.75, 1.0, 1.5, 2.0)
_TEMPERATURES = (0.2, 0.7, 1.0)

Cell = tuple[str, np.ndarray]


def sheet(
    image: AnyImage,
    model: ModelLike = DEFAULT_MODEL,
    *,
    sizes: Sequence[int] | None = None,
    temperatures: Sequence[float] | None = None,
    samples: int = 4,
    seed: int = 0,
) -> np.ndarray:
    """Color an image with many settings and put the results on one labelled sheet.

    A row is a size that the net sees, a column a temperature. Below it are samples at the model's
    own size, and, where ``predict`` adapted what the net sees, the image colored as it is.

    Args:
        image, model: as in ``predict``.
        sizes: short sides in pixels; None for some around the model's own.
        temperatures: None for some around the model's own.
        samples: number of colorings drawn from the distribution; 0 for none.
        seed: of the samples.

    Returns:
        (H, W, 3) uint8.
    """
    module = load(model)
    net = unwrap(module)
    own = float(net.output.temperature) if net.has_distribution else None  # type: ignore[union-attr, arg-type]
    for name, several in (("sizes", sizes), ("temperatures", temperatures)):
        if several is not None and not isinstance(several, Iterable):
            raise InputError(f"{name}: expected several numbers in a list, got {several!r}")
    if sizes is None:
        sizes = [round(net.input_size * factor) for factor in _SIZES]
    sizes = sorted({require_whole(size, "sizes", 1) for size in sizes})
    if own is None:
        if temperatures is not None:
            raise InputError("temperatures: this model predicts one color, it has no distribution")
        columns: list[float | None] = [None]
    else:
        given = (*_TEMPERATURES, own) if temperatures is None else temperatures
        columns = [*sorted({require_non_negative(t, "temperatures") for t in given})]
    require_whole(samples, "samples", 0)
    if not sizes or not columns:
        raise InputError("sizes, temperatures: expected at least one")
    small = _reduce(image, max(*sizes, net.input_size, _CELL))
    rows = []
    for size in dict.fromkeys(min(size, *small.shape[:2]) for size in sizes):
        predicted = predict(small, module, size=size)
        label = f"size {size}" + (" (default)" if size == net.input_size else "")
        rows.append((label, _at_temperatures(predicted, columns, own)))
    predicted = predict(small, module)
    if own is not None and samples:
        drawn = predicted.colorize(samples=samples, seed=seed)
        cells = [(f"sample {i}, seed {seed}", rgb) for i, rgb in enumerate(drawn, 1)]
        rows.append(("samples", cells))
    if predicted.adapted:
        as_it_is = predict(small, module, adapt=False)
        rows.append(("adapt=False", _at_temperatures(as_it_is, columns, own)))
    return _lay_out(rows)


def _reduce(image: AnyImage, short_side: int) -> np.ndarray:
    """Read an image at a size that all of the sheet can be made of: (H, W, 3) uint8."""
    source = InputImage(image, torch.device("cpu"))
    rgb = np.concatenate([band for _, band in source.colors(8)])
    scale = short_side / min(source.size)
    if scale >= 1:
        return rgb
    height, width = (max(1, round(side * scale)) for side in source.size)
    reduced = Image.fromarray(rgb).resize((width, height), Image.Resampling.BOX)
    return np.asarray(reduced)


def _at_temperatures(
    predicted: Prediction, temperatures: Sequence[float | None], own: float | None
) -> list[Cell]:
    cells = []
    for temperature in temperatures:
        label = "" if temperature is None else f"temperature {temperature:g}"
        if temperature is not None and temperature == own:
            label += " (default)"
        cells.append((label, predicted.colorize(temperature=temperature)))
    return cells


def _lay_out(rows: Sequence[tuple[str, Sequence[Cell]]]) -> np.ndarray:
    """Draw rows of labelled cells, each with its name on the left."""
    height, width = rows[0][1][0][1].shape[:2]
    scale = _CELL / max(height, width)
    cell = (max(1, round(width * scale)), max(1, round(height * scale)))
    # Labels need their room beside a narrow image.
    step = (max(cell[0], 190) + _GAP, cell[1] + _LINE + _GAP)
    columns = max(len(cells) for _, cells in rows)
    drawing = Image.new("RGB", (_LABEL + columns * step[0], len(rows) * step[1] + _GAP), "white")
    draw, font = ImageDraw.Draw(drawing), ImageFont.load_default(size=13)
    for i, (name, cells) in enumerate(rows):
        top = i * step[1] + _GAP
        draw.text((_GAP, top + _LINE), name, "black", font)
        for j, (label, rgb) in enumerate(cells):
            left = _LABEL + j * step[0]
            draw.text((left, top), label, "black", font)
            thumbnail = Image.fromarray(rgb).resize(cell, Image.Resampling.LANCZOS)
            drawing.paste(thumbnail, (left, top + _LINE))
    return np.asarray(drawing)
