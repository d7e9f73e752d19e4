"""The null baselines against brute force."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers import tiny
from skimage.color import rgb2lab

from colorize.color.lab import rgb_to_lab
from colorize.data.dataset import ImageDataset
from colorize.evaluation.baselines import (
    ConstantBaseline,
    GreyBaseline,
    MeanBaseline,
    best_constant,
)
from colorize.evaluation.evaluate import evaluate
from colorize.evaluation.metrics import auc, rmse_ab


@pytest.fixture(scope="module")
def images() -> ImageDataset:
    return tiny.dataset(6, first=20)


@pytest.fixture(scope="module")
def true_ab(images: ImageDataset) -> np.ndarray:
    """(N, pixels, 2)."""
    rgb = [images[i]["rgb"].movedim(0, -1).numpy() for i in range(len(images))]
    return np.stack([rgb2lab(image)[..., 1:].reshape(-1, 2) for image in rgb])


def test_grey_is_the_bound(images: ImageDataset, true_ab: np.ndarray) -> None:
    results = evaluate(GreyBaseline(), images, batch_size=4)
    expected = np.sqrt((true_ab**2).mean((1, 2))).mean()
    assert results["rmse_ab"]["mean"] == pytest.approx(expected, rel=1e-4)
    # Grey to within a level of rounding.
    assert results["colorfulness"]["mean"] < 0.5 < results["colorfulness_truth"]["mean"]
    for size in ((1, 1), (3, 7)):
        L = torch.full((2, 1, *size), 50.0)
        assert torch.equal(GreyBaseline().predict_ab(L), torch.zeros(2, 2, *size))


def test_mean_leaves_the_spread_around_each_images_own_tint(
    images: ImageDataset, true_ab: np.ndarray
) -> None:
    results = evaluate(MeanBaseline(), images, batch_size=4)
    spread = np.sqrt(true_ab.var(1).mean(1)).mean()
    assert results["rmse_ab"]["mean"] == pytest.approx(spread, rel=1e-4)


def test_constant_is_one_color_everywhere(images: ImageDataset, true_ab: np.ndarray) -> None:
    results = evaluate(ConstantBaseline((12.0, -7.0)), images, batch_size=4)
    expected = np.sqrt(((true_ab - (12, -7)) ** 2).mean((1, 2))).mean()
    assert results["rmse_ab"]["mean"] == pytest.approx(expected, rel=1e-4)


def test_no_other_constant_is_better(images: ImageDataset, true_ab: np.ndarray) -> None:
    def negative_rmse(predicted: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
        return -rmse_ab(predicted, truth)

    errors = {
        (a, b): np.sqrt(((true_ab - (a, b)) ** 2).mean((1, 2))).mean()
        for a in range(-40, 41)
        for b in range(-40, 61)
    }
    rgb = torch.stack([images[i]["rgb"] for i in range(len(images))])
    a, b = best_constant(rgb, negative_rmse)
    assert errors[round(a), round(b)] == pytest.approx(min(errors.values()), rel=0.01)
    # Another measure, another constant: the most frequent color beats the middle one.
    truth = rgb_to_lab(rgb)[:, 1:]
    best = best_constant(rgb, auc)

    def score(ab: tuple[float, float]) -> float:
        predicted = torch.tensor(ab, dtype=torch.float32).view(1, 2, 1, 1).expand_as(truth)
        return float(auc(predicted, truth).mean())

    assert score(best) >= max(score((a, b)), score((0.0, 0.0)))
    grid = [score((x, y)) for x in range(-30, 31, 6) for y in range(-30, 61, 6)]
    assert score(best) >= 0.995 * max(grid)
