"""Turned and zoomed crops: where they lie, told from images that hold their own coordinates."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import pytest
import skimage.data
import skimage.transform
import torch
from PIL import Image
from scipy import ndimage, stats

from colorize.data.dataset import ImageDataset, Scanned
from colorize.errors import InputError

HEIGHT, WIDTH = 120, 160


def dataset(*images: np.ndarray, size: int = 32, **options: Any) -> ImageDataset:
    data = ImageDataset("made here", size, True, classes=["a"], grey="keep", **options)
    data.adopt(Scanned(f"{i}", 0, pixels=rgb) for i, rgb in enumerate(images))
    return data


def coordinates(height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """Red is the column and green the row of each pixel's center, 0.5 less than its distance."""
    down, right = np.mgrid[:height, :width]
    return np.stack((right, down, np.full_like(down, 77)), -1).astype(np.uint8)


class Place(NamedTuple):
    """Where a crop lies: x and y of its center, its side, its turn in radians, flipped or not."""

    x: float
    y: float
    side: float
    turn: float
    flipped: bool
    residual: float

    @property
    def reach(self) -> float:
        """Side of the upright square around it."""
        return self.side * (abs(math.cos(self.turn)) + abs(math.sin(self.turn)))


def place(rgb: torch.Tensor) -> Place:
    """Fit x and y as linear functions of the pixel's position in a crop of ``coordinates``."""
    _, size, _ = rgb.shape
    down, right = np.mgrid[:size, :size] - (size - 1) / 2
    basis = np.stack((np.ones(size * size), right.ravel(), down.ravel()), 1)
    wanted = rgb[:2].numpy().reshape(2, -1).T + 0.5
    (center, along, across), *_ = np.linalg.lstsq(basis, wanted, rcond=None)
    residual = np.abs(basis @ np.stack((center, along, across)) - wanted).max()
    flipped = along[0] * across[1] - along[1] * across[0] < 0
    if flipped:
        along = -along
    turn = math.atan2(along[1], along[0])
    return Place(center[0], center[1], size * np.hypot(*along), turn, bool(flipped), residual)


@pytest.fixture(scope="module")
def turned() -> list[Place]:
    """300 crops, turned by at most 36 degrees, with sides between 40 and 80 % of 120 pixels."""
    data = dataset(coordinates(), rotation=0.1, zoom=(0.4, 0.8))
    return [place(data[0, seed]["rgb"]) for seed in range(300)]


def uniform(values: list[float], low: float, high: float) -> bool:
    return stats.kstest(values, stats.uniform(low, high - low).cdf).pvalue > 1e-3


def test_crops_are_squares_of_the_image_turned_and_flipped(turned: list[Place]) -> None:
    for found in turned:
        # Two roundings, of the reduced image and of the turned one, and the kernel's own error.
        assert found.residual < 2
    angles = [p.turn / (2 * math.pi) for p in turned]
    assert uniform(angles, -0.1, 0.1)
    assert -0.1 <= min(angles) < -0.098 and 0.098 < max(angles) <= 0.1
    assert 120 < sum(p.flipped for p in turned) < 180
    assert abs(np.corrcoef(angles, [p.flipped for p in turned])[0, 1]) < 0.2


def test_crops_lie_inside_the_image_and_reach_every_place(turned: list[Place]) -> None:
    for p in turned:
        assert p.reach / 2 - 0.3 <= p.x <= WIDTH - p.reach / 2 + 0.3
        assert p.reach / 2 - 0.3 <= p.y <= HEIGHT - p.reach / 2 + 0.3
    assert uniform([(p.x - p.reach / 2) / (WIDTH - p.reach) for p in turned], 0, 1)
    free = [p for p in turned if HEIGHT - p.reach > 5]
    down = [(p.y - p.reach / 2) / (HEIGHT - p.reach) for p in free]
    assert uniform(down, 0, 1)
    across = [(p.x - p.reach / 2) / (WIDTH - p.reach) for p in free]
    assert abs(np.corrcoef(across, down)[0, 1]) < 0.2


@pytest.mark.parametrize(("low", "high"), [(0.3, 0.9), (0.5, 1.0), (0.25, 0.25)])
def test_zoom_is_uniform_between_its_two_shares(low: float, high: float) -> None:
    data = dataset(coordinates(), zoom=(low, high))
    found = [place(data[0, seed]["rgb"]) for seed in range(200)]
    for p in found:
        assert p.residual < 1 and abs(p.turn) < 1e-3
        assert p.side / 2 - 0.2 <= p.x <= WIDTH - p.side / 2 + 0.2
    shares = [p.side / HEIGHT for p in found]
    assert low - 0.005 < min(shares) < low + 0.02 and high - 0.02 < max(shares) < high + 0.005
    if low < high:
        assert uniform(shares, low, high)
    if high < 1:
        assert uniform([(p.y - p.side / 2) / (HEIGHT - p.side) for p in found], 0, 1)


def test_zoom_without_rotation_is_pillows_resize_of_that_box() -> None:
    rgb = skimage.data.astronaut()[:64, 100:164]
    data = dataset(rgb, size=24, zoom=(1.0, 1.0))
    expected = np.asarray(Image.fromarray(rgb).resize((24, 24), Image.Resampling.BICUBIC))
    for seed in range(8):
        found = data[0, seed]["rgb"].permute(1, 2, 0).numpy()
        assert np.array_equal(found, expected) or np.array_equal(found[:, ::-1], expected)
    same = dataset(rgb, size=64, zoom=(1.0, 1.0))[0, 1]["rgb"].permute(1, 2, 0).numpy()
    assert np.array_equal(same, rgb) or np.array_equal(same[:, ::-1], rgb)


@pytest.mark.parametrize("shape", [(120, 160), (40, 40), (33, 90)])
def test_a_turned_crop_without_zoom_keeps_its_scale_while_it_fits(shape: tuple[int, int]) -> None:
    data = dataset(coordinates(*shape), rotation=0.5)
    for seed in range(40):
        p = place(data[0, seed]["rgb"])
        around = p.reach / p.side
        assert p.side == pytest.approx(min(32, min(shape) / around), abs=0.4)
        assert p.residual < 1.5


@pytest.mark.parametrize("zoom", [None, (0.5, 1.0), (1.0, 1.0)])
@pytest.mark.parametrize("rotation", [0.02, 0.5])
@pytest.mark.parametrize("side", [32, 45, 128])
def test_no_corner_is_black(zoom: Any, rotation: float, side: int) -> None:
    flat = np.empty((side, side + 5, 3), np.uint8)
    flat[:] = (255, 1, 180)
    expected = torch.tensor([255, 1, 180], dtype=torch.uint8).view(3, 1, 1).expand(3, 32, 32)
    data = dataset(flat, rotation=rotation, zoom=zoom)
    for seed in range(40):
        assert torch.equal(data[0, seed]["rgb"], expected)


@pytest.mark.parametrize(("size", "zoom"), [(64, None), (64, (0.2, 0.5)), (64, (0.6, 1.0))])
def test_turned_photographs_agree_with_a_spline_at_the_same_places(size: int, zoom: Any) -> None:
    """The places come from the coordinates' crops of the same keys; the spline is scipy's."""
    photo = skimage.transform.resize(skimage.data.astronaut(), (HEIGHT, WIDTH), anti_aliasing=True)
    photo = ndimage.gaussian_filter(photo, (1, 1, 0))
    rgb = (photo * 255).round().astype(np.uint8)
    where = dataset(coordinates(), size=size, rotation=0.1, zoom=zoom)
    data = dataset(rgb, size=size, rotation=0.1, zoom=zoom)
    for seed in range(6):
        p = place(where[0, seed]["rgb"])
        found = data[0, seed]["rgb"].double().numpy()
        steps = ((np.arange(size) + 0.5) / size - 0.5) * p.side
        right = steps * (-1 if p.flipped else 1)
        x = p.x + math.cos(p.turn) * right[None] - math.sin(p.turn) * steps[:, None] - 0.5
        y = p.y + math.sin(p.turn) * right[None] + math.cos(p.turn) * steps[:, None] - 0.5
        # Reduction blurs: by a bicubic kernel of that width, close to a Gaussian of a third of it.
        blur = 0.3 * math.sqrt(max(0.0, (p.side / size) ** 2 - 1))
        expected = np.stack(
            [
                ndimage.map_coordinates(
                    ndimage.gaussian_filter(rgb[..., band].astype(float), blur),
                    [y, x],
                    mode="nearest",
                )
                for band in range(3)
            ]
        )
        error = np.sqrt(((found - expected) ** 2).mean())
        assert error < 2.5, (seed, p)
        assert error < np.sqrt(((found[:, :, ::-1] - expected) ** 2).mean()) / 4


@pytest.mark.parametrize("rotation", [0.0, 0.1])
def test_reduction_is_antialiased(rotation: float) -> None:
    stripes = np.zeros((128, 160, 3), np.uint8)
    stripes[:, ::2] = 255
    data = dataset(stripes, rotation=rotation, zoom=(0.9, 1.0))
    for seed in range(20):
        rgb = data[0, seed]["rgb"].double()
        # Turned by 36 degrees a crop is 92 pixels at the largest; sampled at 32 points without
        # a filter, the stripes would give a standard deviation near 127.
        assert abs(rgb.mean() - 127.5) < 2 and rgb.std() < 4


def test_without_augmentation_crops_are_the_same_for_ever() -> None:
    """Results hold for these crops: (0, seed) for seeds 0 to 3."""
    data = dataset(coordinates())
    corners = [data[0, seed]["rgb"][:2, 0, 0].tolist() for seed in range(4)]
    assert corners == [[115, 26], [47, 40], [50, 5], [126, 52]]


@pytest.mark.parametrize(
    "wrong",
    [
        {"rotation": -0.1},
        {"rotation": 0.51},
        {"zoom": (0.0, 1.0)},
        {"zoom": (0.8, 0.5)},
        {"zoom": (0.5, 1.1)},
        {"zoom": (0.5,)},
    ],
)
def test_arguments_out_of_range(wrong: dict[str, Any]) -> None:
    (name,) = wrong
    for train in (True, False):
        with pytest.raises(InputError, match=f"^{name}: expected"):
            ImageDataset("made here", 32, train, grey="keep", **wrong)


@pytest.mark.parametrize("options", [{"rotation": 0.1}, {"rotation": 0.05, "zoom": (0.3, 0.9)}])
def test_a_pair_gives_the_same_crop_whatever_else_happened(options: Any) -> None:
    image = skimage.data.astronaut()[:40, :50]
    keys = [(i, seed) for i in range(3) for seed in (0, 1, 2**63, -3)]
    data = dataset(image, image, image, **options)
    first = [data[key]["rgb"] for key in keys]
    state = torch.get_rng_state()
    for key, rgb in reversed(list(zip(keys, first, strict=True))):
        assert torch.equal(dataset(image, image, image, **options)[key]["rgb"], rgb)
    assert torch.equal(torch.get_rng_state(), state), "a seeded item drew from the global generator"
    assert len({rgb.numpy().tobytes() for rgb in first}) == len(keys)
