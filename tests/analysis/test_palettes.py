"""Figures of colors: every area, place and color is what was given, and no word is cut off."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import matplotlib.colors
import matplotlib.pyplot as plt
import numpy as np
import pytest
import skimage.data
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image
from skimage.color import lab2rgb, rgb2lab

from colorize.analysis import palettes as p
from colorize.analysis.dominant import CommonColors, DominantColors, is_grey_color
from colorize.errors import ColorizeError, InputError

CLASSES = ("Apple", "CapsicumGreen", "Lady Finger of a long name", "Plum")


def common(n: int = 80, seed: int = 0) -> CommonColors:
    """Colors that sRGB can show; shares fall by rank. Every tenth is grey."""
    rng = np.random.default_rng(seed)
    rgb = rng.random((n, 3))
    rgb[::10] = rgb[::10, :1]
    lab = torch.from_numpy(rgb2lab(rgb)).float()
    share = torch.arange(n, 0, -1).float()
    return CommonColors(lab, share / share.sum(), torch.ones(n, dtype=torch.int64))


def named(*names: str) -> CommonColors:
    """Colors of CSS, equally common."""
    rgb = np.array([matplotlib.colors.to_rgb(name) for name in names])
    n = len(names)
    lab = torch.from_numpy(rgb2lab(rgb)).float()
    return CommonColors(lab, torch.full((n,), 1 / n), torch.ones(n, dtype=torch.int64))


def dominant(classes: tuple[str, ...] = CLASSES, k: int = 5) -> DominantColors:
    n = len(classes)
    colors = common(n * k, 1).lab.view(n, k, 3)
    share = torch.tensor(np.random.default_rng(2).dirichlet([1] * k, n)).float()
    share = share.sort(1, descending=True).values
    return DominantColors(colors, share, tuple(range(n)), classes)


def pictures(n: int) -> list[np.ndarray]:
    return [skimage.data.astronaut()[: 100 + 40 * i, :150] for i in range(n)]


FIGURES: dict[str, Callable[[], Figure]] = {
    "bars": lambda: p.color_bars({"all": common(300), "the 100 most common": common(100)}),
    "one bar": lambda: p.color_bars({"all": common(3)}),
    "hues": lambda: p.hue_bar(common()),
    "one hue": lambda: p.hue_bar(named("red")),
    "narrow hues": lambda: p.hue_bar(named(*["lime"] * 20, "orange", "blue")),
    "only greys": lambda: p.hue_bar(named("white", "black")),
    "map": lambda: p.ab_map(common()),
    "map of a dark plane": lambda: p.ab_map(common(), L=20),
    "map of greys": lambda: p.ab_map(named("white", "black")),
    "strips": lambda: p.class_strips(dominant()),
    "one strip": lambda: p.class_strips(dominant(("x",))),
    "many strips": lambda: p.class_strips(dominant(tuple(f"class {i}" for i in range(20)))),
    "images": lambda: p.image_colors(pictures(4), dominant()),
    "one image": lambda: p.image_colors(pictures(1), dominant(("x",))),
}


@pytest.mark.parametrize("name", FIGURES)
def test_figures_are_drawn_without_a_word_cut_off(name: str) -> None:
    before = plt.get_fignums()
    figure = FIGURES[name]()
    assert isinstance(figure, Figure)
    file = io.BytesIO()
    figure.savefig(file, format="png")
    assert len(np.unique(np.asarray(Image.open(file).convert("RGB")).reshape(-1, 3), axis=0)) > 3
    assert plt.get_fignums() == before
    page = figure.bbox
    # get_tightbbox is what is drawn, also what hangs out of its axes.
    for part in (*figure.axes, *figure.legends):
        box: Any = part.get_tightbbox()
        assert box.x0 >= page.x0 - 1 and box.x1 <= page.x1 + 1, name
        assert box.y0 >= page.y0 - 1 and box.y1 <= page.y1 + 1, name


def rectangles(axes: Axes) -> list[tuple[float, float, float, float, tuple[float, ...]]]:
    """x, y, width, height and color of everything filled."""
    patches: list[Any] = list(axes.patches)
    return [
        (*patch.get_xy(), patch.get_width(), patch.get_height(), patch.get_facecolor()[:3])
        for patch in patches
    ]


def test_bars_are_stripes_in_the_order_of_ranks() -> None:
    bars = {"all": common(120), "ranks 50 to 70": common(120).ranks(50, 70)}
    figure = p.color_bars(bars)
    for axes, (name, colors) in zip(figure.axes, bars.items(), strict=True):
        (image,) = axes.images
        drawn = np.asarray(image.get_array())
        np.testing.assert_array_equal(drawn, colors.rgb.numpy()[None])
        assert image.get_interpolation() == "nearest"
        assert axes.get_title(loc="left").startswith(f"{name}: {len(colors)} colors, ")
    assert "100 % of the pixels" in figure.axes[0].get_title(loc="left")
    share = 100 * sum(range(51, 72)) / sum(range(121))
    assert f", {share:.0f} % of" in figure.axes[1].get_title(loc="left")


def test_in_the_hue_bar_areas_are_shares() -> None:
    colors = common()
    bar, greys = p.hue_bar(colors).axes
    grey = is_grey_color(colors.lab)
    assert 0 < int(grey.sum()) < len(colors)
    for axes, chosen in ((bar, ~grey), (greys, grey)):
        drawn = rectangles(axes)
        share = colors.share[chosen] / colors.share[chosen].sum()
        areas = sorted((w * h, color) for _, _, w, h, color in drawn)
        expected = sorted(
            zip(share.tolist(), map(tuple, (colors.rgb[chosen] / 255).tolist()), strict=True)
        )
        np.testing.assert_allclose([a for a, _ in areas], [a for a, _ in expected], atol=1e-6)
        for (_, color), (_, wanted) in zip(areas, expected, strict=True):
            np.testing.assert_allclose(color, wanted, atol=1e-6)
        for x, y, w, h, _ in drawn:
            assert x >= 0 and y >= -1e-6 and x + w <= 1 + 1e-5 and y + h <= 1 + 1e-5


def test_hues_go_from_left_to_right_and_lightness_upwards() -> None:
    words = "darkred red salmon darkorange gold olive darkgreen lime teal steelblue blue purple"
    names = [*words.split(), "deeppink", "grey"]
    bar, greys = p.hue_bar(named(*reversed(names))).axes
    place = {}
    for x, y, _, _, color in rectangles(bar):
        css = min(
            names, key=lambda n: np.abs(np.subtract(matplotlib.colors.to_rgb(n), color)).sum()
        )
        place[css] = (x, y)
    assert len(place) == len(names) - 1
    order = ["red", "darkorange", "gold", "olive", "lime", "teal", "steelblue", "blue", "purple"]
    order.append("deeppink")
    xs = [place[name][0] for name in order]
    assert xs == sorted(xs)
    # Dark red and salmon are in one column of ten degrees.
    assert place["darkred"][0] == place["salmon"][0]
    assert place["darkred"][1] == 0 < place["salmon"][1]
    assert len(rectangles(greys)) == 1


@pytest.mark.parametrize(
    ("css", "family"),
    [
        ("red", "red"),
        ("darkred", "red"),
        ("tomato", "red"),
        ("orange", "orange, brown"),
        ("saddlebrown", "orange, brown"),
        ("sienna", "orange, brown"),
        ("gold", "yellow, olive"),
        ("yellow", "yellow, olive"),
        ("olive", "yellow, olive"),
        ("lime", "green"),
        ("seagreen", "green"),
        ("cyan", "cyan"),
        ("teal", "cyan"),
        ("skyblue", "blue"),
        ("blue", "blue"),
        ("navy", "blue"),
        ("purple", "purple"),
        ("magenta", "purple"),
        ("hotpink", "pink"),
        ("pink", "pink"),
    ],
)
def test_families_of_hues_have_the_names_people_give_them(css: str, family: str) -> None:
    bar, greys = p.hue_bar(named(css, "white", "black", "silver")).axes
    assert [text.get_text() for text in bar.texts] == [f"{family}\n25 %"]
    assert [text.get_text() for text in greys.texts] == ["greys\n75 %"]


def test_names_stand_under_their_colors() -> None:
    bar, _ = p.hue_bar(named("red", "red", "lime", "blue")).axes
    texts: list[Any] = list(bar.texts)
    assert {t.get_text(): round(float(t.xy[0]), 3) for t in texts} == {
        "red\n50 %": 0.25,
        "green\n25 %": 0.625,
        "blue\n25 %": 0.875,
    }
    narrow, _ = p.hue_bar(named(*["lime"] * 20, "orange", "blue")).axes
    assert {t.get_text(): t.get_rotation() for t in narrow.texts} == {
        "orange, brown 4.5 %": 90,
        "green\n91 %": 0,
        "blue 4.5 %": 90,
    }
    tiny, _ = p.hue_bar(named(*["lime"] * 99, "orange")).axes
    assert [t.get_text() for t in tiny.texts] == ["green\n99 %"]


def test_the_map_has_every_color_in_its_place() -> None:
    colors = common()
    (axes,) = p.ab_map(colors).axes
    grey = is_grey_color(colors.lab)
    dots: Any = axes.collections[0]
    shown = colors.lab[~grey]
    np.testing.assert_allclose(np.asarray(dots.get_offsets()), shown[:, [2, 1]])
    np.testing.assert_allclose(dots.get_facecolors()[:, :3], colors.rgb[~grey] / 255, atol=1e-6)
    with np.errstate(all="ignore"):
        expected = lab2rgb(shown[None].double().numpy())[0]
    np.testing.assert_allclose(dots.get_facecolors()[:, :3], expected, atol=3e-3)
    # matplotlib's sizes are areas.
    sizes = np.asarray(dots.get_sizes())
    np.testing.assert_allclose(
        sizes / sizes[0], colors.share[~grey] / colors.share[~grey][0], rtol=1e-5
    )
    left, right = axes.get_xlim()
    bottom, top = axes.get_ylim()
    assert left < -110 and right > 110 and bottom > 110 and top < -110
    percent = f"{100 * float(colors.share[grey].sum()):.0f} %"
    assert axes.get_title() == f"{int((~grey).sum())} colors; greys, {percent}, are left out"


def test_the_borders_are_those_of_srgb() -> None:
    (axes,) = p.ab_map(common(), L=50).axes
    outlines: Any = {line.get_label(): line.get_xydata() for line in axes.get_lines()}
    assert set(outlines) == {"sRGB, any L", "sRGB, L = 50"}
    level = np.arange(0, 256, 3)
    u, v = np.meshgrid(level, level)
    ends = [np.full_like(u, end) for end in (0, 255)]
    faces = [np.stack(f, -1) for e in ends for f in ((e, u, v), (u, e, v), (u, v, e))]
    surface = rgb2lab(np.stack(faces).astype(np.uint8)).reshape(-1, 3)
    hue, chroma = np.arctan2(surface[:, 2], surface[:, 1]), np.hypot(*surface[:, 1:].T)
    b, a = outlines["sRGB, any L"].T
    border_hue, border = np.arctan2(b, a), np.hypot(a, b)
    for degree in range(-178, 179, 4):
        most = chroma[np.abs(np.rad2deg(hue) - degree) < 1].max()
        along = border[np.abs(np.rad2deg(border_hue) - degree) < 1.6]
        # No color of the cube is outside, and the most colorful one is close to the line.
        assert along.min() - 2 <= most <= along.max() + 2
    b, a = outlines["sRGB, L = 50"].T
    with np.errstate(all="ignore"):
        for scale, inside in ((0.98, True), (1.04, False)):
            lab = np.stack((np.full_like(a, 50), a * scale, b * scale), -1)
            back = rgb2lab(lab2rgb(lab[None]))[0]
            same = np.abs(back - lab).max(1) < 0.05
            assert same.all() if inside else not same.any()


def test_strips_are_as_wide_as_shares() -> None:
    palettes = dominant()
    figure = p.class_strips(palettes)
    (axes,) = figure.axes
    drawn = rectangles(axes)
    assert len(drawn) == palettes.share.numel()
    for j in range(palettes.share.shape[1]):
        for i in range(len(palettes)):
            x, y, width, height, color = drawn[j * len(palettes) + i]
            np.testing.assert_allclose(x, palettes.share[i, :j].sum(), atol=1e-6)
            np.testing.assert_allclose(width, palettes.share[i, j], atol=1e-6)
            np.testing.assert_allclose(y + height / 2, i, atol=1e-6)
            np.testing.assert_allclose(color, palettes.rgb[i, j] / 255, atol=1e-6)
    assert [tick.get_text() for tick in axes.get_yticklabels()] == list(CLASSES)
    low, high = axes.get_ylim()
    assert low > high  # the first class is on top
    wide = palettes.share[palettes.share >= 0.06]
    assert len(axes.texts) == len(wide)
    some = sorted(float(text.get_text().removesuffix(" %")) for text in axes.texts)
    np.testing.assert_allclose(some, sorted(100 * wide.numpy()), atol=0.51)


def test_numbers_can_be_read_on_any_color() -> None:
    lab = torch.tensor([[[95.0, 0, 0], [10.0, 0, 0]]])
    palettes = DominantColors(lab, torch.tensor([[0.5, 0.5]]), (0,), ("x",))
    (axes,) = p.class_strips(palettes).axes
    assert [text.get_color() for text in axes.texts] == ["black", "white"]


def test_images_stand_above_their_own_colors() -> None:
    palettes = dominant()
    images = pictures(4)
    axes = p.image_colors(images, palettes).axes
    for i, (picture, strip) in enumerate(zip(axes[:4], axes[4:], strict=True)):
        np.testing.assert_array_equal(np.asarray(picture.images[0].get_array()), images[i])
        drawn = rectangles(strip)
        np.testing.assert_allclose([w for _, _, w, _, _ in drawn], palettes.share[i], atol=1e-6)
        np.testing.assert_allclose([c for *_, c in drawn], palettes.rgb[i] / 255, atol=1e-6)


NONE = CommonColors(torch.zeros(0, 3), torch.zeros(0), torch.zeros(0, dtype=torch.int64))


@pytest.mark.parametrize(
    "draw",
    [
        lambda: p.color_bars({}),
        lambda: p.color_bars({"empty": NONE}),
        lambda: p.hue_bar(NONE),
        lambda: p.ab_map(NONE),
        lambda: p.class_strips(DominantColors(torch.zeros(0, 3, 3), torch.zeros(0, 3))),
        lambda: p.image_colors([], dominant()),
    ],
    ids=["no bars", "an empty bar", "hues", "map", "strips", "images"],
)
def test_nothing_to_draw_is_said_in_words(draw: Callable[[], Figure]) -> None:
    with pytest.raises(ColorizeError, match="expected at least one to draw"):
        draw()


def test_bad_input() -> None:
    for L in (0, 100, -5):
        with pytest.raises(InputError, match="L: expected a lightness between 0 and 100"):
            p.ab_map(common(), L=L)
    with pytest.raises(InputError, match=r"as many as palettes \(4\), got 3"):
        p.image_colors(pictures(3), dominant())
    without = DominantColors(dominant().lab, dominant().share)
    with pytest.raises(InputError, match="make them by class_palettes"):
        p.class_strips(without)
