"""Dominant colors: known images, scikit-learn on plain pixels, and counting done by hand."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
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
    GREY_CHROMA,
    CommonColors,
    DominantColors,
    class_palettes,
    common_colors,
    dominant_colors,
    is_grey_color,
)
from colorize.data.bundled import bundled_dataset
from colorize.data.dataset import ColorizationDataset, ImageDataset, Scanned
from colorize.errors import ColorizeError, InputError

RED, GREEN, BLUE, WHITE = (200, 30, 40), (20, 160, 60), (30, 50, 190), (255, 255, 255)
DARK_RED = (150, 20, 40)


def bands(*parts: tuple[tuple[int, int, int], int], width: int = 6) -> np.ndarray:
    """Horizontal bands: (color, height) each."""
    rows = [np.full((height, width, 3), color, np.uint8) for color, height in parts]
    return np.concatenate(rows)


def flat(color: tuple[int, int, int], height: int = 4, width: int = 5) -> np.ndarray:
    return bands((color, height), width=width)


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


def made(lab: Any, share: Any, **rest: Any) -> DominantColors:
    return DominantColors(torch.tensor(lab).float(), torch.tensor(share).float(), **rest)


def test_flat_colors_and_their_shares_are_found_exactly() -> None:
    image = bands((GREEN, 3), (RED, 5), (BLUE, 2))
    found = dominant_colors([image])
    assert found.rgb.tolist() == [[list(RED), list(GREEN), list(BLUE)]]
    np.testing.assert_allclose(found.share, [[0.5, 0.3, 0.2]], rtol=1e-6)
    expected = rgb2lab(np.array([RED, GREEN, BLUE], np.uint8)[None])[0]
    np.testing.assert_allclose(found.lab[0], expected, atol=2e-3)
    assert found.lab.dtype == found.share.dtype == torch.float32
    assert found.rgb.dtype == torch.uint8


def test_close_colors_go_together() -> None:
    near = (204, 33, 44)
    found = dominant_colors([bands((RED, 3), (near, 1), (WHITE, 6), (BLUE, 2))])
    np.testing.assert_allclose(found.share, [[6 / 12, 4 / 12, 2 / 12]], rtol=1e-6)
    lab = rgb2lab(np.array([RED, near], np.uint8)[None])[0]
    np.testing.assert_allclose(found.lab[0, 1], 0.75 * lab[0] + 0.25 * lab[1], atol=2e-3)


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


def test_two_greys_split_where_every_split_was_tried() -> None:
    levels = np.sort(np.random.default_rng(3).integers(0, 256, 300)).astype(np.uint8)
    image = np.repeat(levels[:, None, None], 3, 2)
    L = rgb2lab(image)[:, 0, 0]
    errors = [
        np.square(L[:i] - L[:i].mean()).sum() + np.square(L[i:] - L[i:].mean()).sum()
        for i in range(1, 300)
    ]
    cut = int(np.argmin(errors)) + 1
    found = dominant_colors([image], 2)
    expected = sorted([(cut / 300, L[:cut].mean()), (1 - cut / 300, L[cut:].mean())])[::-1]
    np.testing.assert_allclose(found.share[0], [share for share, _ in expected], atol=0.02)
    np.testing.assert_allclose(found.lab[0, :, 0], [mean for _, mean in expected], atol=1)
    assert found.lab[0, :, 1:].abs().max() < 0.01
    assert is_grey_color(found.lab).all()
    assert (found.rgb[..., 0] == found.rgb[..., 1]).all()


def test_a_sample_of_the_pixels_is_nearly_as_good_as_all() -> None:
    image = skimage.data.coffee()[::2, ::2]
    sampled, whole = (dominant_colors([image], pixels=p) for p in (2048, 10**9))
    assert squared_error(image, sampled.lab[0]) <= 1.02 * squared_error(image, whole.lab[0])
    np.testing.assert_allclose(sampled.share, whole.share, atol=0.03)


def test_the_sample_is_a_regular_grid_of_unchanged_pixels() -> None:
    image = flat(WHITE, 8, 16)
    image[2::4, 2::4] = RED  # the middles of two by four blocks of 4x4
    found = dominant_colors([image], pixels=8)
    assert found.share.tolist() == [[1, 0, 0]] and found.rgb[0, 0].tolist() == list(RED)
    assert dominant_colors([image], pixels=8 * 16).share[0, 1] == 8 / 128


@pytest.mark.parametrize("shape", [(1, 5000), (5000, 1), (2, 3000), (3000, 2), (70, 71)])
def test_samples_of_odd_shapes_hold_every_part(shape: tuple[int, int]) -> None:
    image = np.full((*shape, 3), BLUE, np.uint8)
    if shape[0] > shape[1]:
        image[shape[0] // 2 :] = RED
    else:
        image[:, shape[1] // 2 :] = RED
    found = dominant_colors([image], 2, pixels=100)
    np.testing.assert_allclose(found.share, [[0.5, 0.5]], atol=0.06)
    assert {tuple(color) for color in found.rgb[0].tolist()} == {RED, BLUE}


@pytest.mark.parametrize("colors", [1, 2, 3])
def test_fewer_colors_than_k(colors: int) -> None:
    image = bands(*((RED, 5), (GREEN, 3), (BLUE, 2))[:colors])
    found = dominant_colors([image], 5)
    assert found.lab.shape == (1, 5, 3)
    assert (found.share[0] > 0).tolist() == [True] * colors + [False] * (5 - colors)
    np.testing.assert_allclose(found.share.sum(1), 1, rtol=1e-6)
    assert found.rgb[0, colors:].tolist() == [list(RED)] * (5 - colors)


def test_a_single_pixel_and_a_flat_grey() -> None:
    found = dominant_colors([flat(GREEN, 1, 1), flat((128, 128, 128))])
    assert found.share.tolist() == [[1, 0, 0]] * 2
    assert found.rgb[:, 0].tolist() == [list(GREEN), [128] * 3]


def test_equal_shares_are_ordered_by_lightness() -> None:
    image = bands((BLUE, 2), (WHITE, 2), (RED, 2))
    for seed in range(4):
        found = dominant_colors([image], seed=seed)
        assert found.rgb[0].tolist() == [list(WHITE), list(RED), list(BLUE)]


def test_the_same_seed_gives_the_same_bits_and_leaves_other_generators_alone() -> None:
    states = torch.get_rng_state(), repr(np.random.get_state()), random.getstate()  # noqa: NPY002
    first, second = (dominant_colors([photo()], 8, seed=5) for _ in range(2))
    assert torch.equal(first.lab, second.lab) and torch.equal(first.share, second.share)
    assert torch.equal(states[0], torch.get_rng_state())
    assert states[1:] == (repr(np.random.get_state()), random.getstate())  # noqa: NPY002
    other = dominant_colors([photo()], 8, seed=6)
    assert not torch.equal(first.lab, other.lab)


def test_an_image_does_not_depend_on_the_others() -> None:
    images = [flat(RED), photo(), bands((GREEN, 2), (BLUE, 1)), photo()[::-1]]
    together = dominant_colors(iter(images))
    assert len(together) == 4
    for i, image in enumerate(images):
        alone = dominant_colors([image])
        assert torch.equal(alone.lab[0], together.lab[i])
        assert torch.equal(alone.share[0], together.share[i])


def test_arrays_and_tensors_of_any_type_are_the_same_image() -> None:
    image = photo()
    tensor = torch.from_numpy(image).movedim(-1, 0)
    forms = (tensor, tensor.float() / 255, tensor.double() / 255, image[:, ::1].copy())
    expected = dominant_colors([image])
    for form in forms:
        assert torch.equal(dominant_colors([form]).lab, expected.lab)
    batch = dominant_colors(torch.stack((tensor, tensor)))
    assert torch.equal(batch.lab, expected.lab.expand(2, -1, -1))


def test_a_data_set_gives_whole_images_and_classes(tmp_path: Path) -> None:
    for name, color in (("lime", GREEN), ("cherry", RED)):
        image = bands((WHITE, 30), (color, 10), (WHITE, 30), width=10)
        (tmp_path / name).mkdir()
        Image.fromarray(image).save(tmp_path / name / "one.png")
    for train in (False, True):
        # The crop, and the image in memory, are reduced and hold hardly any white.
        dataset = ColorizationDataset(tmp_path, 5, train=train, resize=5)
        found = dominant_colors(dataset)
        assert found.classes == ("cherry", "lime") and found.labels == (0, 1)
        np.testing.assert_allclose(found.share, [[6 / 7, 1 / 7, 0]] * 2, rtol=1e-5)
        assert found.rgb[:, 1].tolist() == [list(RED), list(GREEN)]
        assert found.of_class("lime").rgb[0, 1].tolist() == list(GREEN)


def test_bundled_photographs() -> None:
    dataset = bundled_dataset(64, split="val")
    found = dominant_colors(dataset, progress=False)
    assert found.lab.shape == (len(dataset), 3, 3)
    assert found.labels == tuple(dataset.labels) and found.classes == tuple(dataset.classes)
    np.testing.assert_allclose(found.share.sum(1), 1, rtol=1e-5)
    one = dominant_colors([dataset.image(2)])
    assert torch.equal(one.lab[0], found.lab[2])


def test_colors_of_one_class() -> None:
    images = [flat(RED), flat(GREEN), flat(BLUE)]
    found = dominant_colors(labelled(images, [1, 0, 1], ["a", "b", "c"]), 1)
    assert found.of_class("b").rgb[:, 0].tolist() == [list(RED), list(BLUE)]
    assert found.of_class("a").labels == (0,)
    with pytest.raises(InputError, match="expected one of a, b, c; got 'd'"):
        found.of_class("d")
    with pytest.raises(InputError, match="'c', which has none"):
        found.of_class("c")
    with pytest.raises(InputError, match="without classes"):
        dominant_colors(images).of_class("a")


def test_a_class_palette_counts_every_image_the_same() -> None:
    images = [
        bands((RED, 6), (WHITE, 2), (DARK_RED, 2), width=40),
        bands((RED, 2), (WHITE, 8)),
        flat(GREEN),
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


def test_palettes_that_cannot_be_made() -> None:
    with pytest.raises(InputError, match="with a class"):
        class_palettes(dominant_colors([photo()]))
    white = dominant_colors(labelled([flat(WHITE)], [0], ["snow"]))
    assert class_palettes(white).rgb[0, 0].tolist() == list(WHITE)
    with pytest.raises(InputError, match="'snow': expected colors, got only greys"):
        class_palettes(white, greys=False)


def test_common_colors_are_counted_in_a_grid() -> None:
    # In steps of 10 the nearest points are (50, 20, 0) twice, (50, 30, 0), and neutral white.
    dominant = made(
        [
            [[51.0, 18.0, 1.0], [49.0, 26.0, 4.0], [99.0, -0.5, 0.5]],
            [[47.0, 22.0, -3.0], [98.0, 1.0, -2.0], [47.0, 22.0, -3.0]],
        ],
        [[0.6, 0.3, 0.1], [0.2, 0.8, 0.0]],
    )
    found = common_colors(dominant)
    np.testing.assert_allclose(found.share, [0.45, 0.4, 0.15], rtol=1e-6)
    assert found.count.tolist() == [2, 2, 1]  # the color without a share counts nowhere
    white = [98 + 0.1 / 0.9, 1 - 1.5 / 9, -2 + 2.5 / 9]
    np.testing.assert_allclose(found.lab, [white, [50.0, 19.0, 0.0], [49.0, 26.0, 4.0]], atol=1e-4)
    assert len(common_colors(dominant, step=60)) == 2
    assert len(common_colors(dominant, step=0.1)) == 5


def test_common_colors_agree_with_counting_one_by_one() -> None:
    rng = np.random.default_rng(0)
    lab = rng.normal([50, 0, 0], 15, (200, 3, 3))
    share = rng.dirichlet([1, 1, 1], 200)
    share[7] = [1, 0, 0]
    found = common_colors(made(lab, share), step=7)
    counts: Counter[tuple[int, ...]] = Counter()
    shares: dict[tuple[int, ...], float] = defaultdict(float)
    for color, part in zip(lab.reshape(-1, 3), share.reshape(-1), strict=True):
        if part:
            cell = tuple(round(float(np.float32(c)) / 7) for c in color)
            counts[cell] += 1
            shares[cell] += part / 200
    order = sorted(shares, key=lambda cell: -shares[cell])
    np.testing.assert_allclose(found.share, [shares[cell] for cell in order], rtol=1e-5)
    assert sorted(found.count.tolist()) == sorted(counts.values())
    assert int(found.count.sum()) == 598
    np.testing.assert_allclose(found.share.sum(), 1, rtol=1e-5)


def common(n: int) -> CommonColors:
    lab = torch.rand(n, 3) * 50 + 20
    return CommonColors(lab, torch.arange(n, 0, -1) / sum(range(n + 1)), torch.ones(n).long())


def test_ranks_are_counted_from_one_and_include_both_ends() -> None:
    colors = common(200)
    most, middle = colors.ranks(1, 100), colors.ranks(50, 150)
    assert len(most) == 100 and len(middle) == 101
    assert torch.equal(most.lab, colors.lab[:100])
    assert torch.equal(middle.lab, colors.lab[49:150])
    assert torch.equal(middle.share, colors.share[49:150])
    assert torch.equal(middle.count, colors.count[49:150])
    assert torch.equal(middle.rgb, colors.rgb[49:150])
    assert len(common(60).ranks(50, 150)) == 11


def test_grey_is_what_has_little_chroma() -> None:
    lab = torch.tensor([[50, 0, GREY_CHROMA - 0.1], [50, GREY_CHROMA + 0.1, 0], [50, 8, -8]])
    assert is_grey_color(lab).tolist() == [True, False, False]


NAN = torch.full((3, 4, 4), float("nan"))
BAD: dict[str, tuple[Callable[[], object], str]] = {
    "no image": (lambda: dominant_colors([]), "images: expected at least one, got none"),
    "a grey array": (
        lambda: dominant_colors([photo(), photo()[..., 0]]),
        r"images\[1\]: expected \(H, W, 3\) uint8",
    ),
    "floats in an array": (lambda: dominant_colors([photo() / 255]), "float64"),
    "a tensor of channels last": (
        lambda: dominant_colors([torch.zeros(8, 9, 3)]),
        r"expected shape \(3, \*, \*\), got \(8, 9, 3\)",
    ),
    "integers": (lambda: dominant_colors([NAN.nan_to_num().int()]), "int32"),
    "floats above 1": (lambda: dominant_colors([torch.full((3, 2, 2), 255.0)]), "255..255"),
    "not a number": (lambda: dominant_colors([NAN]), r"expected float in 0\.\.1, got nan"),
    "no pixel": (lambda: dominant_colors([photo()[:0]]), "at least one pixel, got a size of 0x64"),
    "items of a data set": (
        lambda: dominant_colors([bundled_dataset(64, split="val")[0]]),  # type: ignore[list-item]
        "got dict",
    ),
    "k of 0": (lambda: dominant_colors([photo()], 0), "k: expected a whole number above 0, got 0"),
    "half a color": (lambda: dominant_colors([photo()], 2.5), "got 2.5"),  # type: ignore[arg-type]
    "no pixels": (lambda: dominant_colors([photo()], pixels=0), "pixels: expected a whole"),
    "a palette of 0": (lambda: class_palettes(dominant_colors([photo()]), 0), "k: expected"),
    "a step of 0": (lambda: common_colors(dominant_colors([photo()]), step=0), "step: expected"),
    "rank 0": (lambda: common(5).ranks(0, 3), "got 0 and 3"),
    "ranks backwards": (lambda: common(5).ranks(4, 3), "got 4 and 3"),
    "a rank that is not there": (lambda: common(5).ranks(6, 9), "at most 5"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input(name: str) -> None:
    call, message = BAD[name]
    with pytest.raises(ColorizeError, match=message):
        call()
