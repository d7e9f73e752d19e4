"""Rebalanced accuracy against brute force in float64, and what it says of its uncertainty."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from colorize.color.bins import published_bin_centers
from colorize.evaluation.batches import ColoredBatch
from colorize.evaluation.dataset_metrics import CellAccuracy, DatasetMetric, RebalancedAccuracy

CENTERS = published_bin_centers().double().numpy()


def _show(metric: DatasetMetric, predicted: np.ndarray, truth: np.ndarray) -> None:
    L = torch.full((len(truth), 1, *truth.shape[2:]), 50.0)
    lab = torch.cat((L, torch.from_numpy(truth)), 1)
    metric.update(ColoredBatch({"rgb": lab}, lab, torch.from_numpy(predicted), lab))


def _brute_force(
    predicted: np.ndarray, truth: np.ndarray, prior: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Weight and accuracy of every pixel of (N, 2, H, W), by the definition: (N, pixels) each."""
    ab = truth.astype(np.float64).transpose(0, 2, 3, 1).reshape(-1, 2)
    bins = ((ab[:, None] - CENTERS) ** 2).sum(-1).argmin(1)
    predicted_ab = predicted.astype(np.float64).transpose(0, 2, 3, 1).reshape(-1, 2)
    distance = np.hypot(*(predicted_ab - ab).T)
    within = distance[:, None] <= np.arange(151)
    accuracy = (within.sum(1) - (within[:, 0].astype(float) + within[:, -1]) / 2) / 150
    return (1 / prior[bins]).reshape(len(truth), -1), accuracy.reshape(len(truth), -1)


def _prior(rng: np.random.Generator) -> np.ndarray:
    prior = rng.dirichlet(np.full(len(CENTERS), 0.3)) + 1e-4
    return prior / prior.sum()


def test_rebalanced_accuracy_is_over_all_pixels_and_not_the_mean_of_batches() -> None:
    rng = np.random.default_rng(0)
    prior = _prior(rng)
    metric = RebalancedAccuracy(torch.from_numpy(prior))
    truths = [rng.uniform(-60, 60, (n, 2, 6, 5)).astype(np.float32) for n in (3, 1, 2)]
    # Each batch is worse than the one before, so the order of averaging shows.
    noise = [rng.normal(0, 4 + 25 * i, t.shape).astype(np.float32) for i, t in enumerate(truths)]
    parts = []
    for truth, error in zip(truths, noise, strict=True):
        _show(metric, truth + error, truth)
        parts.append(_brute_force(truth + error, truth, prior))
    weight, accuracy = (np.concatenate(x) for x in zip(*parts, strict=True))
    expected = np.average(accuracy, weights=weight)
    assert metric.compute() == {"auc_rebalanced": {"value": pytest.approx(expected, rel=1e-6)}}
    batches = [np.average(a, weights=w) for w, a in parts]
    images = [np.average(a, weights=w) for w, a in zip(weight, accuracy, strict=True)]
    for wrong in (np.mean(batches), np.mean(images), np.mean(accuracy)):
        assert abs(wrong - expected) > 1e-3


def test_values_of_images_tell_how_uncertain_the_rebalanced_accuracy_is() -> None:
    rng = np.random.default_rng(1)
    prior = _prior(rng)
    truth = rng.uniform(-60, 60, (200, 2, 5, 4)).astype(np.float32)
    truth *= rng.uniform(0.2, 1, (200, 1, 1, 1)).astype(np.float32)
    per_image, sums = [], []
    for scale in (15, 25):
        metric = RebalancedAccuracy(torch.from_numpy(prior))
        predicted = truth + rng.normal(0, scale, truth.shape).astype(np.float32)
        for part in range(0, 200, 64):
            _show(metric, predicted[part : part + 64], truth[part : part + 64])
        per_image.append(metric.per_image()["auc_rebalanced"].numpy())
        value = metric.compute()["auc_rebalanced"]["value"]
        assert per_image[-1].mean() == pytest.approx(value, rel=1e-6)
        weight, accuracy = _brute_force(predicted, truth, prior)
        sums.append(((weight * accuracy).sum(1), weight.sum(1)))
    # Other test images, drawn from these: the difference of the two varies as the values say.
    drawn = rng.integers(0, 200, (4000, 200))
    one, other = (right[drawn].sum(1) / whole[drawn].sum(1) for right, whole in sums)
    paired = per_image[0] - per_image[1]
    assert paired.std(ddof=1) / np.sqrt(200) == pytest.approx((one - other).std(), rel=0.15)


def test_every_cell_of_the_set_weighs_the_same_and_small_ones_are_left_out() -> None:
    rng = np.random.default_rng(4)
    metric = CellAccuracy(fewest=10)
    truths = [rng.normal(0, 25, (n, 2, 12, 10)).astype(np.float32) for n in (3, 2)]
    cells, accuracies = [], []
    for truth in truths:
        predicted = truth + rng.normal(0, 20, truth.shape).astype(np.float32)
        _show(metric, predicted, truth)
        one_each = np.arange(1.0, len(CENTERS) + 1)  # tells the cells apart by their weights
        weight, accuracy = _brute_force(predicted, truth, one_each)
        cells.append((1 / weight).round().astype(int).ravel() - 1)
        accuracies.append(accuracy.ravel())
    cell, accuracy = np.concatenate(cells), np.concatenate(accuracies)
    pixels = np.bincount(cell, minlength=len(CENTERS))
    means = [accuracy[cell == index].mean() for index in np.flatnonzero(pixels >= 10)]
    assert 3 < len(means) < (pixels > 0).sum()
    assert metric.compute()["auc_cells"] == {
        "value": pytest.approx(np.mean(means), rel=1e-6),
        "cells": len(means),
        "left_out": (pixels > 0).sum() - len(means),
    }
