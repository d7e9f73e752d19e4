"""Metrics that see a whole data set, batch by batch, in torchmetrics' words: update and compute."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from colorize.color.bins import ABBins, published_bin_centers
from colorize.evaluation import metrics
from colorize.evaluation.batches import ColoredBatch


class DatasetMetric:
    """A metric of a data set; a new one for each evaluation, as it keeps what it has seen."""

    def update(self, images: ColoredBatch) -> None:
        """Take in a batch."""
        raise NotImplementedError

    def compute(self) -> dict[str, dict[str, float]]:
        """Give ``{"mean": ..., "std": ...}`` over the images, or ``{"value": ...}``, by name."""
        raise NotImplementedError

    def per_image(self) -> dict[str, Tensor]:
        """Give (N,) numbers by name, whose mean is the metric and whose standard error is its own;
        nothing where there are no such numbers.
        """
        return {}


class PerImageMetric(DatasetMetric):
    """Metrics of single images.

    Args:
        measure: gives (N,) values of a batch by name.
    """

    def __init__(self, measure: Callable[[ColoredBatch], dict[str, Tensor]]) -> None:
        self._measure = measure
        self._batches: list[dict[str, Tensor]] = []

    def update(self, images: ColoredBatch) -> None:
        self._batches.append({k: v.cpu() for k, v in self._measure(images).items()})

    def compute(self) -> dict[str, dict[str, float]]:
        return summarize(self.per_image())

    def per_image(self) -> dict[str, Tensor]:
        return concatenate(self._batches)


class RebalancedAccuracy(DatasetMetric):
    """``auc_rebalanced`` of Zhang 2016: every pixel weighs the inverse prior of its bin, over all
    pixels of the data set together.

    Args:
        prior: (Q,), above 0 for every bin that occurs; the paper's is ImageNet's, smoothed.
    """

    def __init__(self, prior: Tensor) -> None:
        self._prior = prior
        self._sums: list[dict[str, Tensor]] = []

    def update(self, images: ColoredBatch) -> None:
        true_ab = images.lab[:, 1:]
        bin_centers = published_bin_centers().to(true_ab.device)
        weights = metrics.rebalancing_weights(true_ab, self._prior, bin_centers)
        right, whole = metrics.weighted_auc_sums(images.ab, true_ab, weights)
        self._sums.append({"right": right.cpu().double(), "whole": whole.cpu().double()})

    def compute(self) -> dict[str, dict[str, float]]:
        sums = concatenate(self._sums)
        return {"auc_rebalanced": {"value": float(sums["right"].sum() / sums["whole"].sum())}}

    def per_image(self) -> dict[str, Tensor]:
        """Linearize the ratio of the two sums in the images (the delta method)."""
        right, whole = concatenate(self._sums).values()
        value = right.sum() / whole.sum()
        return {"auc_rebalanced": value + (right - value * whole) / whole.mean()}


class CellAccuracy(DatasetMetric):
    """``auc_cells``: the mean accuracy of the pixels of each cell of ab, over the set's own cells.

    It is ``auc_rebalanced`` by the prior of the data set itself, but that no cell counts which has
    too few pixels to say anything. With ImageNet's prior a few pixels of colors that are rare there
    outweigh a whole data set.

    Args:
        fewest: pixels of a cell that counts.
    """

    def __init__(self, *, fewest: int = 100) -> None:
        bin_centers = published_bin_centers()
        self._bins = ABBins(bin_centers)
        self._fewest = fewest
        self._sums = torch.zeros(2, len(bin_centers), dtype=torch.float64)

    @classmethod
    def of_set(cls, pixels: int) -> CellAccuracy:
        """For a set of so many pixels: of a small one every cell counts, however few it has."""
        return cls(fewest=1 if pixels < 100_000 else 100)

    def update(self, images: ColoredBatch) -> None:
        true_ab = images.lab[:, 1:]
        cells = self._bins.nearest(true_ab).flatten().cpu()
        accuracy = metrics.pixel_auc(images.ab, true_ab).double().flatten().cpu()
        self._sums += torch.stack(
            [
                torch.bincount(cells, weights, minlength=self._sums.shape[1])
                for weights in (accuracy, torch.ones_like(accuracy))
            ]
        )

    def compute(self) -> dict[str, dict[str, float]]:
        right, pixels = self._sums
        counted = pixels >= self._fewest
        left_out = int((~counted & (pixels > 0)).sum())
        value = float((right / pixels)[counted].mean())
        return {"auc_cells": {"value": value, "cells": int(counted.sum()), "left_out": left_out}}


def color_errors(images: ColoredBatch) -> dict[str, Tensor]:
    """Measure the error and the colorfulness of each image."""
    true_ab = images.lab[:, 1:]
    return {
        "rmse_ab": metrics.rmse_ab(images.ab, true_ab),
        "rmse_rgb": metrics.rmse_rgb(images.rgb, images.truth),
        "psnr": metrics.psnr(images.rgb, images.truth),
        "ssim": metrics.ssim(images.rgb, images.truth),
        "auc": metrics.auc(images.ab, true_ab),
        "colorfulness": metrics.colorfulness(images.rgb),
        "colorfulness_error": metrics.colorfulness_error(images.rgb, images.truth),
    }


def concatenate(batches: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Join values of batches, by name."""
    return {name: torch.cat([values[name] for values in batches]) for name in batches[0]}


def summarize(values: dict[str, Tensor]) -> dict[str, Any]:
    """Mean and standard deviation over the images, by name."""
    return {
        name: {"mean": float(v.double().mean()), "std": float(v.double().std(correction=0))}
        for name, v in values.items()
    }
