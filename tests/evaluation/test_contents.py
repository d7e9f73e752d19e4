"""What is on an image, in closed form and by brute force."""

from __future__ import annotations

import numpy as np
import pytest
import skimage.data
import torch
from skimage.color import rgb2lab

from colorize.color.bins import published_bin_centers
from colorize.color.lab import rgb_to_lab
from colorize.evaluation.batches import ColoredBatch
from colorize.evaluation.contents import measure_contents


def _contents(*images: np.ndarray) -> list[dict[str, float]]:
    """The contents of (H, W, 3) uint8 images of one size."""
    rgb = torch.from_numpy(np.stack(images)).movedim(-1, 1).contiguous()
    lab = rgb_to_lab(rgb)
    values = measure_contents(ColoredBatch({"rgb": rgb}, lab, torch.zeros_like(lab[:, 1:]), rgb))
    return [{name: float(v[i]) for name, v in values.items()} for i in range(len(images))]


def _plain(color: tuple[int, int, int], side: int = 12) -> np.ndarray:
    return np.broadcast_to(np.array(color, np.uint8), (side, side, 3)).copy()


@pytest.mark.parametrize("level", [0, 77, 255])
def test_an_image_of_one_grey_has_nothing_on_it(level: int) -> None:
    (values,) = _contents(_plain((level, level, level)))
    assert values == {"busyness": 0, "colors": pytest.approx(1), "green": 0, "blue": 0}


@pytest.mark.parametrize(
    ("color", "green", "blue"),
    [
        ((0, 255, 0), 1, 0),
        ((34, 139, 34), 1, 0),  # forest green
        ((135, 206, 235), 0, 1),  # sky blue
        ((0, 0, 255), 0, 1),  # pure blue, at 306 degrees
        ((255, 255, 0), 0, 0),  # pure yellow, at 103 degrees
        ((255, 0, 0), 0, 0),
        ((128, 134, 128), 0, 0),  # green, and too pale to speak of
    ],
)
def test_green_and_blue(color: tuple[int, int, int], green: float, blue: float) -> None:
    half = _plain(color)
    half[:, ::2] = 100
    whole, mixed = _contents(_plain(color), half)
    assert (whole["green"], whole["blue"]) == (green, blue)
    assert (mixed["green"], mixed["blue"]) == (green / 2, blue / 2)


def test_two_colors_equally_often_are_two() -> None:
    image = _plain((200, 30, 30))
    image[:6] = (30, 30, 200)
    assert _contents(image)[0]["colors"] == pytest.approx(2, rel=1e-5)


def test_contents_of_photographs_by_brute_force() -> None:
    photos = [skimage.data.astronaut()[60:100, 200:250], skimage.data.coffee()[150:190, 250:300]]
    centers = published_bin_centers().double().numpy()
    for photo, values in zip(photos, _contents(*photos), strict=True):
        L, a, b = rgb2lab(photo).transpose(2, 0, 1)
        steps = np.abs(np.diff(L, axis=0)).mean(), np.abs(np.diff(L, axis=1)).mean()
        assert values["busyness"] == pytest.approx(np.mean(steps), rel=1e-3)
        ab = np.stack((a.ravel(), b.ravel()), 1)
        nearest = ((ab[:, None] - centers) ** 2).sum(-1).argmin(1)
        shares = np.bincount(nearest) / len(ab)
        shares = shares[shares > 0]
        effective = np.exp(-(shares * np.log(shares)).sum())
        assert effective > 2
        assert values["colors"] == pytest.approx(effective, rel=0.01)
        hue, vivid = np.degrees(np.arctan2(b, a)) % 360, np.hypot(a, b) > 10
        for name, low, high in (("green", 105, 170), ("blue", 220, 310)):
            share = np.mean((hue >= low) & (hue < high) & vivid)
            assert values[name] == pytest.approx(share, abs=2e-3), name
