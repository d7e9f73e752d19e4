"""Dominant colors: known images, scikit-learn on plain pixels, and counting done by hand."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skimage.data
import torch
from PIL import Image
from skimage.color import rgb2lab
from sklearn.cluster import KMeans
from torch import Tensor

from colorize.analysis.dominant import (
    DominantColors,
    class_palettes,
    common_colors,
    dominant_colors,
)
from colorize.data.dataset import ColorizationDataset, ImageDataset, Scanned
from colorize.errors import InputError

RED, GREEN, BLUE, WHITE = (200, 30, 40), (20, 160, 60), (30, 50, 190), (255, 255, 255)
DARK_RED = (150, 20, 40)


def bands(*parts: tuple[tuple[int, int, int], int], width: int = 6) -> np.ndarray:
    """Horizontal bands: (color, height) each."""
    rows = [np.full((height, width, 3), color, np.uint8) for color, height in parts]
    return np.concatenate(rows)


def photo() -> np.ndarray:
    return skimage.data.astronaut()[::8, ::8]


def labelled(images: list[np.ndarray], labels: list[int], classes: list[str]) -> ImageDataset:
    """Images of a data set in memory; items are crops of one pixel."""
    dataset = ImageDataset("made up", 1, False, classes=classes, grey="keep")
    dataset.adopt(
        Scanned(str(i), label, False, image)
        for i, (image, label) in enumerate(zip(images, labels, strict=True))
    )
    return dataset


def squared_error(image: np.ndarray, centers: Tensor) -> float:
    """Mean over all pixels of the squared distance to the nearest center, in float64."""
    lab = rgb2lab(image).reshape(-1, 1, 3)
    return float(np.square(lab - centers.double().numpy()[None]).sum(2).min(1).mean())


def made(lab: Any, share: Any) -> DominantColors:
    return DominantColors(torch.tensor(lab).float(), torch.tensor(share).float())


def test_flat_colors_and_their_shares_are_found_exactly() -> None:
    found = dominant_colors([bands((GREEN, 3), (RED, 5), (BLUE, 2))])
    assert found.rgb.tolist() == [[list(RED), list(GREEN), list(BLUE)]]
    np.testing.assert_allclose(found.share, [[0.5, 0.3, 0.2]], rtol=1e-6)
    expected = rgb2lab(np.array([RED, GREEN, BLUE], np.uint8)[None])[0]
    np.testing.assert_allclose(found.lab[0], expected, atol=2e-3)


@pytest.mark.parametrize("k", [2, 3, 6])
def test_as_good_as_scikit_learn_on_all_pixels(k: int) -> None:
    image = photo()
    found = dominant_colors([image], k)
    pixels = rgb2lab(image).reshape(-1, 3)
    reference = KMeans(k, n_init=10, random_state=1).fit(pixels)
    assert squared_error(image, found.lab[0]) <= 1.02 * reference.inertia_ / len(pixels)
    nearest = np.square(pixels[:, None] - found.lab[0].numpy()).sum(2).argmin(1)
    counted = np.bincount(nearest, minlength=k) / len(pixels)
    np.testing.assert_allclose(found.share[0], counted, atol=2e-3)
    assert (found.share[0].diff() <= 0).all()


@pytest.mark.parametrize("shape", [(1, 90_000), (90_000, 1), (2, 30_000), (700, 710)])
def test_a_sample_of_a_large_image_holds_every_part(shape: tuple[int, int]) -> None:
    image = np.full((*shape, 3), BLUE, np.uint8)
    if shape[0] > shape[1]:
        image[shape[0] // 2 :] = RED
    else:
        image[:, shape[1] // 2 :] = RED
    found = dominant_colors([image], 2)
    np.testing.assert_allclose(found.share, [[0.5, 0.5]], atol=0.01)
    assert {tuple(color) for color in found.rgb[0].tolist()} == {RED, BLUE}


def test_a_sample_is_nearly_as_good_as_all_pixels() -> None:
    image = skimage.data.coffee()[::2, ::2]
    reference = KMeans(3, n_init=4, random_state=1).fit(rgb2lab(image).reshape(-1, 3))
    found = dominant_colors([image])
    assert squared_error(image, found.lab[0]) <= 1.02 * reference.inertia_ / image[..., 0].size


@pytest.mark.parametrize("colors", [1, 2, 3])
def test_fewer_colors_than_k(colors: int) -> None:
    found = dominant_colors([bands(*((RED, 5), (GREEN, 3), (BLUE, 2))[:colors])], 5)
    assert (found.share[0] > 0).tolist() == [True] * colors + [False] * (5 - colors)
    np.testing.assert_allclose(found.share.sum(1), 1, rtol=1e-6)
    assert found.rgb[0, colors:].tolist() == [list(RED)] * (5 - colors)


def test_an_image_does_not_depend_on_the_others_or_on_generators() -> None:
    images = [bands((RED, 2)), photo(), bands((GREEN, 2), (BLUE, 1)), photo()[::-1]]
    state = torch.get_rng_state()
    together = dominant_colors(iter(images))
    assert torch.equal(torch.get_rng_state(), state)
    for i, image in enumerate(images):
        np.random.seed(i)  # noqa: NPY002
        alone = dominant_colors([image])
        assert torch.equal(alone.lab[0], together.lab[i])
        assert torch.equal(alone.share[0], together.share[i])


def test_a_data_set_gives_whole_images_and_classes(tmp_path: Path) -> None:
    for name, color in (("lime", GREEN), ("cherry", RED)):
        image = bands((WHITE, 30), (color, 10), (WHITE, 30), width=10)
        (tmp_path / name).mkdir()
        Image.fromarray(image).save(tmp_path / name / "one.png")
    # The crop, and the image in memory, are reduced and hold hardly any white.
    found = dominant_colors(ColorizationDataset(tmp_path, 5, train=True, resize=5))
    assert found.classes == ("cherry", "lime") and found.labels == (0, 1)
    np.testing.assert_allclose(found.share, [[6 / 7, 1 / 7, 0]] * 2, rtol=1e-5)
    assert found.rgb[:, 1].tolist() == [list(RED), list(GREEN)]


def test_a_class_palette_counts_every_image_the_same() -> None:
    images = [
        bands((RED, 6), (WHITE, 2), (DARK_RED, 2), width=40),
        bands((RED, 2), (WHITE, 8)),
        bands((GREEN, 4)),
    ]
    dominant = dominant_colors(labelled(images, [2, 2, 0], ["lime", "none", "plum"]))
    found = class_palettes(dominant, 4)
    assert found.classes == ("lime", "plum") and found.labels == (0, 1)
    assert found.rgb[0, 0].tolist() == list(GREEN) and found.share[0].tolist() == [1, 0, 0, 0]
    assert found.rgb[1, :3].tolist() == [list(WHITE), list(RED), list(DARK_RED)]
    np.testing.assert_allclose(found.share[1], [0.5, 0.4, 0.1, 0], atol=1e-6)
    merged = class_palettes(dominant, 2)
    np.testing.assert_allclose(merged.share[1], [0.5, 0.5], atol=1e-6)
    lab = rgb2lab(np.array([RED, DARK_RED], np.uint8)[None])[0]
    mixed = next(c for c in merged.lab[1] if c[0] < 90)
    np.testing.assert_allclose(mixed, 0.8 * lab[0] + 0.2 * lab[1], atol=2e-3)
    colored = class_palettes(dominant, 2, greys=False)
    assert colored.rgb[1].tolist() == [list(RED), list(DARK_RED)]
    np.testing.assert_allclose(colored.share[1], [0.8, 0.2], atol=1e-6)


def test_common_colors_agree_with_counting_one_by_one() -> None:
    rng = np.random.default_rng(0)
    lab = rng.normal([50, 0, 0], 15, (200, 3, 3))
    share = rng.dirichlet([1, 1, 1], 200)
    share[7] = [1, 0, 0]
    found = common_colors(made(lab, share))
    shares: dict[tuple[int, ...], float] = defaultdict(float)
    sums: dict[tuple[int, ...], np.ndarray] = defaultdict(lambda: np.zeros(3))
    for color, part in zip(lab.reshape(-1, 3), share.reshape(-1), strict=True):
        if part:
            cell = tuple(round(float(np.float32(c)) / 10) for c in color)
            shares[cell] += part / 200
            sums[cell] += color * part / 200
    order = sorted(shares, key=lambda cell: -shares[cell])
    np.testing.assert_allclose(found.share, [shares[cell] for cell in order], rtol=1e-5)
    means = [sums[cell] / shares[cell] for cell in order]
    np.testing.assert_allclose(found.lab, means, atol=1e-3)


@pytest.mark.parametrize(
    ("call", "subject"),
    [
        (lambda: dominant_colors([]), "images"),
        (lambda: dominant_colors([photo(), photo()[..., 0]]), r"images\[1\]"),
        (lambda: dominant_colors([photo() / 255]), r"images\[0\].*float64"),
        (lambda: dominant_colors([photo()[:0]]), r"images\[0\]"),
        (lambda: dominant_colors([photo()], 0), "k"),
        (lambda: class_palettes(dominant_colors([photo()])), "dominant"),
        (
            lambda: class_palettes(
                dominant_colors(labelled([bands((WHITE, 4))], [0], ["snow"])), greys=False
            ),
            "class 'snow'",
        ),
    ],
)
def test_bad_input(call: Callable[[], object], subject: str) -> None:
    with pytest.raises(InputError, match=f"^{subject}"):
        call()
