"""All that is measured of a model on one data set, beside what knows nothing."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from PIL import Image

from colorize.data.dataset import ImageDataset
from colorize.evaluation.baselines import (
    ConstantBaseline,
    GreyBaseline,
    MeanBaseline,
    best_rebalanced_constant,
)
from colorize.evaluation.evaluate import evaluate, evaluate_shuffled, evaluate_whole
from colorize.evaluation.examples import spread_indices
from colorize.evaluation.protocol import (
    MetricChoice,
    choose_metrics,
    choose_rebalanced,
    rebalancing_prior,
)
from colorize.evaluation.results import Measured, ModelResults, machine
from colorize.evaluation.temperature import measure_borders, sweep
from colorize.models import Colorizer

# Of the training set, those on which the best constant color is searched.
_CONSTANT_IMAGES = 256
# Of the shuffled answers, the metrics whose values of single images are kept.
_SHUFFLED = ("rmse_ab", "auc_rebalanced", "colorfulness")


def measure(
    model: Colorizer, dataset: ImageDataset, train_set: ImageDataset | None = None
) -> ModelResults:
    """Measure a model at its own temperature and at those of the sweep, and what knows nothing.

    Args:
        train_set: where the constant color is searched; None for none.
    """
    own = choose_metrics(dataset) if model.colors else MetricChoice([], {})
    test, *swept = sweep(model, dataset, own)
    return {
        "parameters": sum(p.numel() for p in model.parameters()),
        "temperature": getattr(model.output, "temperature", None),
        "test": test,
        "sweep": swept,
        "grey": measure_colors(GreyBaseline(), dataset),
        "baselines": measure_baselines(model, dataset, train_set) if model.colors else {},
        "borders": measure_borders(model, dataset),
        "machine": machine(),
    }


def measure_whole(
    color: Callable[..., np.ndarray], model: Colorizer, dataset: ImageDataset
) -> ModelResults:
    """Measure whole images, squashed to the square of the data set's size, and the same in grey.

    Args:
        color: as of ``evaluate_whole``; with ``saturation=0`` it gives grey.
        model: what it colors with.
    """
    size = (dataset.size, dataset.size)

    def measured(color: Callable[..., np.ndarray]) -> Measured:
        whole = (Image.fromarray(dataset.image(i)) for i in range(len(dataset)))
        images = (np.asarray(image.resize(size, Image.Resampling.BICUBIC)) for image in whole)
        return evaluate_whole(color, images, per_image=True)

    return {
        "parameters": sum(p.numel() for p in model.parameters()),
        "temperature": getattr(model.output, "temperature", None),
        "test": measured(color),
        "sweep": [],
        "grey": measured(partial(color, saturation=0)),
        "baselines": {},
        "borders": [],
        "machine": machine(),
    }


def measure_colors(model: Colorizer, dataset: ImageDataset) -> Measured:
    """Measure what depends on the model and can be measured here; say why the rest cannot."""
    metrics, missing = choose_metrics(dataset, truth=False)
    return evaluate(model, dataset, metrics=metrics, per_image=True) | missing


def measure_baselines(
    model: Colorizer, dataset: ImageDataset, train_set: ImageDataset | None
) -> dict[str, Measured]:
    """Measure "mean", "constant" and "shuffled": the tint of the truth, the one color that is best
    on the training set by the rebalanced accuracy, and the model's answers to other images.
    """
    metrics, missing = choose_rebalanced()
    baselines = {"mean": evaluate(MeanBaseline(), dataset, metrics=metrics) | missing}
    if train_set is not None and not missing:
        indices = spread_indices(len(train_set), _CONSTANT_IMAGES)
        rgb = torch.stack([train_set[i, 0]["rgb"] for i in indices])
        ab = best_rebalanced_constant(rgb, rebalancing_prior())
        metrics = choose_rebalanced().metrics
        baselines["constant"] = evaluate(ConstantBaseline(ab), dataset, metrics=metrics)
        baselines["constant"]["ab"] = list(ab)
    if len(dataset) > 1:
        metrics = choose_rebalanced().metrics
        shuffled = evaluate_shuffled(model, dataset, metrics=metrics, per_image=True) | missing
        images = shuffled["images"]
        shuffled["images"] = {name: images[name] for name in _SHUFFLED if name in images}
        baselines["shuffled"] = shuffled
    return baselines
