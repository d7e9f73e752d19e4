"""Figures of images side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from colorize.errors import InputError
from colorize.evaluation.examples import LabelledExample
from colorize.report.figures import require_not_empty


def comparison_grid(
    rows: Mapping[str, Sequence[np.ndarray]],
    columns: Sequence[str] | None = None,
    *,
    side: float = 1.6,
) -> Figure:
    """Put images side by side: one row a model, one column an image.

    Args:
        rows: (H, W, 3) uint8 images by the row's name, equally many in each row.
        columns: titles; None for none.
        side: width of an image in inches. Small images are enlarged smoothly.
    """
    counts = {len(images) for images in rows.values()}
    if len(counts) != 1 or 0 in counts:
        raise InputError(f"rows: expected equally many images in each row, got {sorted(counts)}")
    n = counts.pop()
    first = next(iter(rows.values()))
    ratio = float(np.median([image.shape[0] / image.shape[1] for image in first]))
    left = 0.085 * max(len(name) for name in rows) + 0.1 if any(rows) else 0.0
    top = 0.3 if columns else 0.0
    width, height = left + side * n, top + side * ratio * len(rows)
    figure = Figure(figsize=(width, height))
    edges = {"left": left / width, "right": 1, "top": 1 - top / height, "bottom": 0}
    grid = figure.subplots(
        len(rows), n, squeeze=False, gridspec_kw={**edges, "wspace": 0.03, "hspace": 0.03}
    )
    for line, (name, images) in zip(grid, rows.items(), strict=True):
        for axis, image in zip(line, images, strict=True):
            axis.imshow(image, interpolation="lanczos")
            axis.set_axis_off()
        line[0].text(-0.05, 0.5, name, transform=line[0].transAxes, ha="right", va="center")
    for axis, title in zip(grid[0], columns or [], strict=False):
        axis.set_title(title, fontsize=9)
    return figure


def labelled_figure(examples: Sequence[LabelledExample]) -> Figure:
    """One column an example: grey input, prediction with its label and ✓ or ✗, and truth."""
    require_not_empty(examples, "examples")
    figure = Figure(figsize=(1.45 * len(examples) + 0.5, 5.4), layout="constrained")
    panels = figure.subplots(3, len(examples), squeeze=False)
    for column, example in enumerate(examples):
        images = (example.grey, example.colored, example.truth)
        for axes, image in zip(panels[:, column], images, strict=True):
            axes.imshow(image, interpolation="lanczos")
            axes.set_xticks([])
            axes.set_yticks([])
        right = example.predicted == example.label
        label = f"{'✓' if right else '✗'} {example.predicted}\n{100 * example.confidence:.0f} %"
        panels[1, column].set_title(label, fontsize=8, color="tab:green" if right else "tab:red")
        panels[2, column].set_title(example.label, fontsize=8)
    for axes, title in zip(panels[:, 0], ("input", "prediction", "original"), strict=True):
        axes.set_ylabel(title, fontsize=9)
    return figure
