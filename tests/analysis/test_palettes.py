"""Figures of colors: they can be drawn, and areas and places are what was given."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import matplotlib.colors
import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from skimage.color import rgb2lab

from colorize.analysis import palettes as p
from colorize.analysis.dominant import CommonColors, DominantColors, is_grey_color
from colorize.errors import ColorizeError


def common(n: int = 80) -> CommonColors:
    """Colors that sRGB can show; shares fall by rank. Every tenth is grey."""
    rgb = np.random.default_rng(0).random((n, 3))
    rgb[::10] = rgb[::10, :1]
    share = torch.arange(n, 0, -1).float()
    return CommonColors(torch.from_numpy(rgb2lab(rgb)).float(), share / share.sum())


def named(*names: str) -> CommonColors:
    """Colors of CSS, equally common."""
    rgb = np.array([matplotlib.colors.to_rgb(name) for name in names])
    share = torch.full((len(names),), 1 / len(names))
    return CommonColors(torch.from_numpy(rgb2lab(rgb)).float(), share)


def dominant(n: int = 4, k: int = 5) -> DominantColors:
    share = torch.tensor(np.random.default_rng(2).dirichlet([1] * k, n)).float()
    share = share.sort(1, descending=True).values
    lab = common(n * k).lab.view(n, k, 3)
    return DominantColors(lab, share, tuple(range(n)), tuple(f"class {i}" for i in range(n)))


@pytest.mark.parametrize(
    "draw",
    [
        lambda: p.hue_bar(common()),
        lambda: p.hue_bar(named("red")),
        lambda: p.hue_bar(named(*["lime"] * 20, "orange", "blue")),
        lambda: p.hue_bar(named("white", "black")),
        lambda: p.ab_map(common()),
        lambda: p.ab_map(named("white", "black")),
        lambda: p.class_strips(dominant()),
        lambda: p.class_strips(dominant(20)),
    ],
)
def test_figures_can_be_drawn_without_pyplot(draw: Callable[[], Figure]) -> None:
    before = plt.get_fignums()
    draw().savefig(io.BytesIO(), format="png")
    assert plt.get_fignums() == before


def test_in_the_hue_bar_areas_are_shares() -> None:
    colors = common()
    bar, greys = p.hue_bar(colors).axes
    grey = is_grey_color(colors.lab)
    for axes, chosen in ((bar, ~grey), (greys, grey)):
        patches: list[Any] = list(axes.patches)
        drawn = sorted((patch.get_width() * patch.get_height()) for patch in patches)
        share = colors.share[chosen] / colors.share[chosen].sum()
        np.testing.assert_allclose(drawn, share.sort().values, atol=1e-6)


@pytest.mark.parametrize(
    ("css", "family"),
    [
        ("darkred", "red"),
        ("orange", "orange, brown"),
        ("saddlebrown", "orange, brown"),
        ("yellow", "yellow, olive"),
        ("seagreen", "green"),
        ("teal", "cyan"),
        ("navy", "blue"),
        ("magenta", "purple"),
        ("hotpink", "pink"),
    ],
)
def test_families_of_hues_have_the_names_people_give_them(css: str, family: str) -> None:
    bar, greys = p.hue_bar(named(css, "white", "black", "silver")).axes
    assert [text.get_text() for text in bar.texts] == [f"{family}\n25 %"]
    assert [text.get_text() for text in greys.texts] == ["greys\n75 %"]


def test_the_map_has_every_color_in_its_place() -> None:
    colors = common()
    (axes,) = p.ab_map(colors).axes
    shown = ~is_grey_color(colors.lab)
    dots: Any = axes.collections[0]
    np.testing.assert_allclose(np.asarray(dots.get_offsets()), colors.lab[shown][:, [2, 1]])
    np.testing.assert_allclose(dots.get_facecolors()[:, :3], colors.rgb[shown] / 255, atol=1e-6)
    # matplotlib's sizes are areas.
    share, sizes = colors.share[shown], np.asarray(dots.get_sizes())
    np.testing.assert_allclose(sizes / sizes[0], share / share[0], rtol=1e-5)


def test_the_border_is_that_of_srgb() -> None:
    (axes,) = p.ab_map(common()).axes
    outline: Any = axes.get_lines()[0].get_xydata()
    level = np.arange(0, 256, 3)
    u, v = np.meshgrid(level, level)
    ends = [np.full_like(u, end) for end in (0, 255)]
    faces = [np.stack(f, -1) for e in ends for f in ((e, u, v), (u, e, v), (u, v, e))]
    surface = rgb2lab(np.stack(faces).astype(np.uint8)).reshape(-1, 3)
    hue, chroma = np.arctan2(surface[:, 2], surface[:, 1]), np.hypot(*surface[:, 1:].T)
    b, a = outline.T
    border_hue, border = np.arctan2(b, a), np.hypot(a, b)
    for degree in range(-178, 179, 4):
        most = chroma[np.abs(np.rad2deg(hue) - degree) < 1].max()
        along = border[np.abs(np.rad2deg(border_hue) - degree) < 1.6]
        # No color of the cube is outside, and the most colorful one is close to the line.
        assert along.min() - 2 <= most <= along.max() + 2


def test_strips_are_as_wide_as_shares() -> None:
    palettes = dominant()
    (axes,) = p.class_strips(palettes).axes
    patches: list[Any] = list(axes.patches)
    widths = [patch.get_width() for patch in patches]
    np.testing.assert_allclose(widths, palettes.share.T.flatten(), atol=1e-6)


def test_nothing_to_draw_is_said_in_words() -> None:
    none = CommonColors(torch.zeros(0, 3), torch.zeros(0))
    for draw in (p.hue_bar, p.ab_map):
        with pytest.raises(ColorizeError, match="colors"):
            draw(none)
    with pytest.raises(ColorizeError, match="palettes"):
        p.class_strips(DominantColors(dominant().lab, dominant().share))
