"""Faded, flat and dark images: what the net is shown, and how much color they get."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from helpers import tiny
from helpers.tiny import light as light
from PIL import Image
from skimage.color import lab2rgb, rgb2lab
from torch import Tensor

from colorize.color.lab import rgb_to_lab
from colorize.data.bundled import bundled_photographs
from colorize.photo.lightness import Tone, find_tone
from colorize.photo.prediction import predict

pytestmark = pytest.mark.usefixtures("light")


@pytest.fixture(scope="module")
def photographs() -> list[Tensor]:
    """Lightness of the photographs that come with the project, at the size that a net sees."""
    found = []
    for path in bundled_photographs().values():
        with Image.open(path) as image:
            image.thumbnail((192, 192))
            rgb = np.array(image.convert("RGB"))
        found.append(rgb_to_lab(torch.from_numpy(rgb).movedim(-1, 0)[None])[:, :1])
    return found


def test_a_clean_photograph_stays_as_it_is(photographs: list[Tensor]) -> None:
    for L in photographs:
        tone = find_tone(L)
        assert tone.stretch(L) is L and tone.chroma == 1


FADES: dict[str, Callable[[Tensor], Tensor]] = {
    "grey": lambda L: 35 + 0.4 * L,
    "bright": lambda L: 50 + 0.5 * L,
    "dim": lambda L: 10 + 0.4 * L,
    "gamma": lambda L: 40 + 40 * (L / 100) ** 0.6,
}


@pytest.mark.parametrize("fade", FADES)
def test_the_net_is_shown_a_faded_print_at_full_contrast(
    fade: str, photographs: list[Tensor]
) -> None:
    for L in photographs:
        faded = FADES[fade](L)
        tone = find_tone(faded)
        seen = tone.stretch(faded)
        assert tone.chroma > 0.95
        low, high = np.quantile(seen.numpy(), (0.01, 0.99))
        assert low < 15 and high > 75 and high - low > 65
        assert seen.min() >= 0 and seen.max() <= 100
        order = faded.flatten().argsort()
        assert seen.flatten()[order].diff().min() > -1e-3
        if fade in ("grey", "dim"):
            other = FADES["grey"](L)
            assert torch.allclose(seen, find_tone(other).stretch(other), atol=0.01)


def test_a_faded_print_keeps_its_own_lightness(photographs: list[Tensor]) -> None:
    faded = 35 + 0.4 * photographs[0][0, 0].numpy()
    grey = (lab2rgb(np.dstack((faded, 0 * faded, 0 * faded))) * 255).round().astype(np.uint8)
    colored = predict(grey, tiny.vivid_model(), size=64).colorize()
    assert np.abs(rgb2lab(colored)[..., 0] - rgb2lab(grey)[..., 0]).max() < 0.5
    assert np.abs(rgb2lab(colored)[..., 1:]).mean() > 5


def _chroma(image: np.ndarray) -> float:
    colored = predict(image, tiny.vivid_model(), size=64).colorize()
    return float(np.linalg.norm(rgb2lab(colored)[..., 1:], axis=-1).mean())


@pytest.mark.parametrize("grain", [0, 3])
def test_flat_ground_gets_no_color(grain: float) -> None:
    random = np.random.default_rng(0)
    for level in np.linspace(0, 255, 8):
        image = (level + random.normal(0, grain, (80, 120))).clip(0, 255).astype(np.uint8)
        assert _chroma(image) < 1


def test_the_less_contrast_or_light_the_less_color(photographs: list[Tensor]) -> None:
    levels = photographs[0][0, 0].numpy() * 2.55
    for steps in ((1.0, 0.15, 0.05), (1.0, 0.3, 0.1)):
        lift = 110 if steps[1] < 0.2 else 0
        found = [_chroma((lift * (1 - s) + s * levels).astype(np.uint8)) for s in steps]
        assert found[0] > found[1] > 2 * found[2]


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (3, 2)])
def test_images_of_a_few_pixels(size: tuple[int, int]) -> None:
    L = torch.rand(1, 1, *size) * 100
    assert isinstance(find_tone(L), Tone) and find_tone(L).stretch(L).isfinite().all()
