"""Margins: found to the pixel, left out of what the net sees, and grey; and what is none."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
import torch
from helpers import tiny
from helpers.tiny import light as light
from PIL import Image
from skimage.color import rgb2lab
from skimage.data import chelsea, coffee

from colorize.data.bundled import bundled_photographs
from colorize.errors import InputError
from colorize.photo.image import Box, InputImage
from colorize.photo.margins import find_margins
from colorize.photo.prediction import predict

pytestmark = pytest.mark.usefixtures("light")

# Top, bottom, left, right; grey level; standard deviation of grain.
MARGINS: dict[str, tuple[tuple[int, int, int, int], int, float]] = {
    "white": ((30, 30, 30, 30), 255, 0),
    "black": ((30, 30, 30, 30), 0, 0),
    "mount": ((40, 50, 45, 40), 128, 0),
    "letterbox": ((35, 35, 0, 0), 0, 0),
    "pillars": ((0, 0, 28, 28), 0, 0),
    "paper": ((20, 60, 30, 25), 238, 3),
    "dark paper": ((30, 30, 30, 30), 70, 2),
    "corner": ((0, 40, 0, 30), 245, 2),
    "stripe": ((0, 24, 0, 0), 255, 0),
    "hairline": ((1, 1, 1, 1), 255, 0),
    "large": ((200, 250, 220, 300), 200, 2),
}


def _photo() -> np.ndarray:
    """(150, 200) uint8 of a real photograph."""
    with Image.fromarray(coffee()) as image:
        return np.asarray(image.convert("L").resize((200, 150)))


def _framed(photo: np.ndarray, sides: tuple[int, ...], level: int, grain: float) -> np.ndarray:
    top, bottom, left, right = sides
    size = (photo.shape[0] + top + bottom, photo.shape[1] + left + right)
    noise = np.random.default_rng(0).normal(0, grain, size)
    framed = (level + noise).clip(0, 255).round().astype(np.uint8)
    framed[top : top + photo.shape[0], left : left + photo.shape[1]] = photo
    return framed


def _find(image: Any) -> Box | None:
    return find_margins(InputImage(image, torch.device("cpu")))


@pytest.mark.parametrize("kind", MARGINS)
def test_inside_of_a_margin_the_colors_are_those_of_the_photo_alone(kind: str) -> None:
    photo, net = _photo(), tiny.vivid_model()
    sides, *rest = MARGINS[kind]
    predicted = predict(_framed(photo, sides, *rest), net, size=48)
    top, _, left, _ = sides
    assert predicted.inside == (top, top + photo.shape[0], left, left + photo.shape[1])
    colored = predicted.colorize()
    inside = colored[predicted.inside.slices].copy()
    np.testing.assert_array_equal(inside, predict(photo, net, size=48).colorize())
    assert np.abs(rgb2lab(inside)[..., 1:]).mean() > 5
    colored[predicted.inside.slices] = 0
    assert np.abs(rgb2lab(colored)[..., 1:]).max() < 0.5
    grey = predicted.uncertainty()
    grey[predicted.inside.slices] = 0
    assert not grey.any()


def test_a_margin_in_a_margin() -> None:
    framed = _framed(_framed(_photo(), (12, 12, 12, 12), 240, 1), (30, 30, 30, 30), 10, 1)
    assert _find(framed) == (42, 192, 42, 242)


@pytest.mark.parametrize("level", [0, 255])
def test_a_margin_in_a_jpeg(level: int) -> None:
    """What rings beside the edge of a photo is up to a block of 8 pixels wide."""
    encoded = io.BytesIO()
    Image.fromarray(_framed(_photo(), (31, 31, 29, 29), level, 0)).save(encoded, "JPEG", quality=80)
    box = _find(encoded.getvalue())
    assert box is not None
    assert np.abs(np.subtract(box, (31, 181, 29, 229))).max() <= 1


def test_a_photo_without_a_margin_has_none() -> None:
    for path in bundled_photographs().values():
        assert _find(path) is None


def _sky() -> np.ndarray:
    """A sky that is uniform down to hills, over a photograph."""
    image = np.full((200, 300), 200, np.uint8)
    hills = (90 + 25 * np.sin(np.arange(300) / 20)).astype(int)
    below = np.arange(200)[:, None] > hills
    image[below] = np.asarray(Image.fromarray(chelsea()).convert("L"))[:200, :300][below]
    return image


def _object() -> np.ndarray:
    """Something round before a studio's white."""
    rows, columns = np.mgrid[:200, :300]
    return np.where((rows - 100) ** 2 + (columns - 150) ** 2 < 60**2, 90, 250).astype(np.uint8)


NONE = {
    "flat": np.full((90, 120), 128, np.uint8),
    "sky": _sky(),
    "object": _object(),
    "ramp": np.tile(np.linspace(0, 255, 256).astype(np.uint8), (100, 1)),
    "few pixels": np.zeros((3, 9), np.uint8),
    "noise": np.random.default_rng(0).integers(0, 256, (80, 80), dtype=np.uint8),
}


@pytest.mark.parametrize("kind", NONE)
def test_what_is_no_margin(kind: str) -> None:
    assert _find(NONE[kind]) is None


def test_hints_count_from_the_corner_of_the_whole_image() -> None:
    photo, net = _photo(), tiny.vivid_model()
    framed = _framed(photo, (20, 10, 30, 40), 255, 0)
    color = (180, 40, 40)
    inside = predict(framed, net, size=48).colorize(hints=[(30 + 90, 20 + 70, color)])
    expected = predict(photo, net, size=48).colorize(hints=[(90, 70, color)])
    np.testing.assert_array_equal(inside[20:-10, 30:-40], expected)
    with pytest.raises(InputError, match="margin"):
        predict(framed, net, size=48).colorize(hints=[(2, 2, color)])
    whole = predict(framed, net, size=48, adapt=False)
    assert whole.inside == (0, 180, 0, 270)
    assert whole.colorize(hints=[(2, 2, color)]).shape == (180, 270, 3)
