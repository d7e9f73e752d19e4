"""Figures of dominant colors; each returns a matplotlib figure."""

from __future__ import annotations

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from colorize.analysis.dominant import CommonColors, DominantColors, is_grey_color
from colorize.color.lab import lab_to_rgb, rgb_to_lab
from colorize.errors import InputError
from colorize.report.figures import ab_axes, require_not_empty

# Where the families of hues begin, in degrees of the CIELAB hue, which differs from HSV's.
_FAMILIES = (
    (20.0, "red"),
    (50.0, "orange, brown"),
    (80.0, "yellow, olive"),
    (110.0, "green"),
    (160.0, "cyan"),
    (220.0, "blue"),
    (310.0, "purple"),
    (340.0, "pink"),
)
# The bar begins where red does, and a column of it never holds two families.
_FIRST_HUE = _FAMILIES[0][0]
_SECTOR = 10.0
# Shares of the bar's width that a name needs lying and standing.
_ROOM_LYING, _ROOM_STANDING = 0.14, 0.02
_GREYS_WIDTH = 0.12
_LARGEST_DOT = 450.0  # square points
_LABELLED = 0.06
_LINE = "0.75"
_L = 65.0


def hue_bar(colors: CommonColors) -> Figure:
    """The colors in order of hue, in columns that are as wide as common, dark below and light
    above; greys apart. The area of a color is its share, greys and the others each on their own
    scale. Families of hues that are too narrow for their name go without.
    """
    require_not_empty(colors, "colors")
    grey = is_grey_color(colors.lab)
    figure = Figure(figsize=(8, 2.4), layout="constrained")
    ratios = [1 - _GREYS_WIDTH, _GREYS_WIDTH]
    bar, greys = figure.subplots(1, 2, width_ratios=ratios)
    hues = _hue(colors.lab)
    sectors = torch.where(grey, -1, (hues / _SECTOR).long())
    total = float(colors.share[~grey].sum())
    left = 0.0
    for sector in sectors[~grey].unique().tolist():
        width = float(colors.share[sectors == sector].sum()) / total
        _draw_column(bar, colors, sectors == sector, left, width)
        left += width
    _draw_column(greys, colors, grey, 0, 1)
    _name_families(bar, hues[~grey], colors.share[~grey])
    _name(greys, f"greys\n{_percent(float(colors.share[grey].sum()))}", 0.5)
    for axis in (bar, greys):
        axis.set(xlim=(0, 1), ylim=(0, 1))
        _frame(axis)
    return figure


def ab_map(colors: CommonColors) -> Figure:
    """The colors in the ab plane, each a dot of its own color whose area is its share.

    Greys are left out, as they all lie in the middle; the title says how many there are. The lines
    are the borders of sRGB: of all its colors, and of those of lightness 65.
    """
    require_not_empty(colors, "colors")
    figure = Figure(figsize=(4.8, 4.6), layout="constrained")
    axes = figure.subplots()
    ab_axes(axes)
    for border, style, label in (
        (_gamut_border(torch.arange(1.0, 100.0, 0.5)), "-", "sRGB, any L"),
        (_gamut_border(torch.tensor([_L])), ":", f"sRGB, L = {_L:g}"),
    ):
        axes.plot(border[:, 1], border[:, 0], style, color="0.55", lw=1, label=label)
    grey = is_grey_color(colors.lab)
    shown, share = colors.lab[~grey], colors.share[~grey]
    largest = float(share.max()) if len(share) else 1.0
    # Largest first, which is how the colors come: smaller dots stay visible on top.
    axes.scatter(
        shown[:, 2],
        shown[:, 1],
        s=_LARGEST_DOT * share / largest,
        c=colors.rgb[~grey].numpy() / 255,
        edgecolors="0.25",
        linewidths=0.4,
    )
    for part in (largest, largest / 10):
        axes.scatter([], [], s=_LARGEST_DOT * part / largest, c="0.8", label=_percent(part))
    axes.set_title(
        f"{len(shown)} colors; greys, {_percent(float(colors.share[grey].sum()))}, are left out",
        fontsize=10,
    )
    axes.legend(loc="upper left", fontsize=8, labelspacing=0.7, handlelength=2.6, frameon=False)
    return figure


def class_strips(palettes: DominantColors) -> Figure:
    """A row for each class: its dominant colors, each as wide as its share.

    Args:
        palettes: of ``colorize.analysis.dominant.class_palettes``.
    """
    require_not_empty(palettes, "palettes")
    names = [palettes.classes[label] for label in palettes.labels]
    if len(names) != len(palettes):
        raise InputError("palettes: expected a class for each row; make them by class_palettes")
    figure = Figure(figsize=(8, 0.5 + 0.26 * len(names)), layout="constrained")
    axes = figure.subplots()
    _draw_strips(axes, palettes)
    axes.set_yticks(range(len(names)), names, fontsize=9)
    axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "25 %", "50 %", "75 %", "100 %"], fontsize=8)
    axes.tick_params(axis="y", length=0)
    axes.spines[:].set_color(_LINE)
    return figure


def _draw_strips(axes: Axes, palettes: DominantColors) -> None:
    rgb = palettes.rgb.numpy() / 255
    left = torch.zeros(len(palettes))
    for j in range(palettes.share.shape[1]):
        share = palettes.share[:, j]
        rows = np.arange(len(palettes))
        axes.barh(rows, share, 0.86, left, color=rgb[:, j], edgecolor=rgb[:, j], linewidth=0.2)
        for i in range(len(palettes)):
            if share[i] >= _LABELLED:
                ink = "black" if palettes.lab[i, j, 0] > 55 else "white"
                middle = float(left[i] + share[i] / 2)
                text = _percent(float(share[i]))
                axes.text(middle, i, text, ha="center", va="center_baseline", fontsize=7, color=ink)
        left = left + share
    axes.set(xlim=(0, 1), ylim=(len(palettes) - 0.5, -0.5))


def _draw_column(
    axes: Axes, colors: CommonColors, chosen: Tensor, left: float, width: float
) -> None:
    """Some colors above each other, dark below, as high as their share of the column."""
    lab, share, rgb = colors.lab[chosen], colors.share[chosen], colors.rgb[chosen].numpy() / 255
    order = lab[:, 0].argsort()
    heights = share[order] / share.sum()
    bottoms = heights.cumsum(0) - heights
    faces = rgb[order.numpy()]
    axes.bar(
        np.full(len(order), left),
        heights,
        width,
        bottoms,
        align="edge",
        color=faces,
        edgecolor=faces,
        linewidth=0.2,
    )


def _name_families(axes: Axes, hues: Tensor, share: Tensor) -> None:
    """Under each family of hues a line, its name and its share of all pixels."""
    starts = torch.tensor([start for start, _ in _FAMILIES]) - _FIRST_HUE
    family = torch.bucketize(hues, starts, right=True) - 1
    sums = torch.zeros(len(_FAMILIES)).index_add(0, family, share)
    widths = sums / sums.sum()
    ends = widths.cumsum(0)
    for (_, name), part, width, end in zip(_FAMILIES, sums, widths, ends, strict=True):
        middle, half = float(end - width / 2), float(width / 2) - 0.002
        if width >= _ROOM_LYING:
            _name(axes, f"{name}\n{_percent(float(part))}", middle)
        elif width >= _ROOM_STANDING:
            _name(axes, f"{name} {_percent(float(part))}", middle, rotation=90)
        if half > 0:
            span = (middle - half, middle + half)
            axes.plot(span, (-0.03, -0.03), color="0.3", lw=1, clip_on=False)


def _name(axes: Axes, text: str, x: float, rotation: float = 0) -> None:
    axes.annotate(
        text,
        (x, 0),
        (0, -7),
        textcoords="offset points",
        ha="center",
        va="top",
        rotation=rotation,
        fontsize=8,
    )


def _frame(axes: Axes) -> None:
    """A thin line around, which white paper needs, and no ticks."""
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_color(_LINE)


def _hue(lab: Tensor) -> Tensor:
    """Degrees from the first family's beginning, 0..360."""
    return (torch.atan2(lab[:, 2], lab[:, 1]).rad2deg() - _FIRST_HUE) % 360


def _gamut_border(lightness: Tensor) -> Tensor:
    """Where sRGB ends in the ab plane, (361, 2): the furthest over these lightnesses, by hue."""
    angle = torch.arange(361.0).deg2rad()
    far = torch.stack((torch.cos(angle), torch.sin(angle)), 1) * 200
    L = lightness[:, None].expand(-1, 361)
    ab = far.T[:, None].expand(-1, len(lightness), -1)
    lab = torch.cat((L[None], ab))[None]
    border = rgb_to_lab(lab_to_rgb(lab, gamut="chroma"))[0, 1:]
    furthest = border.norm(dim=0).argmax(0)
    return border[:, furthest, torch.arange(361)].T


def _percent(share: float) -> str:
    """Two digits, so that small shares are not all 0 %."""
    return f"{100 * share:.0f} %" if share >= 0.0995 else f"{100 * share:.2g} %"
