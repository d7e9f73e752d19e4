"""At which temperature of the annealed mean a model colors best."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from colorize.evaluation.batches import ColoredBatch, Images
from colorize.evaluation.dataset_metrics import PerImageMetric
from colorize.evaluation.evaluate import evaluate_at
from colorize.evaluation.metrics import border_sharpness
from colorize.evaluation.protocol import MetricChoice, choose_rebalanced
from colorize.models import Colorizer

SWEEP = (1.0, 0.8, 0.6, 0.5, 0.38, 0.2, 0.1, 0.0)
BORDERS_AT = (1.0, 0.38, 0.0)
_KEPT = ("colorfulness", "border_sharpness")


def sweep(
    model: Colorizer, dataset: Images, own: MetricChoice | None = None
) -> list[dict[str, Any]]:
    """Measure a model at the temperatures of ``SWEEP``, if it has any, in one pass of the net.

    Args:
        own: metrics to measure first at the model's own temperature.

    Returns:
        For each temperature what ``evaluate`` returns and ``auc_rebalanced``; with ``own`` first
        those metrics with the values of single images.
    """
    choices: dict[float | None, MetricChoice] = {} if own is None else {None: own}
    if model.has_distribution:
        choices |= {temperature: choose_rebalanced() for temperature in SWEEP}
    metrics = {temperature: choice.metrics for temperature, choice in choices.items()}
    points = evaluate_at(model, dataset, metrics, per_image=own is not None) if metrics else []
    for point in points:
        if point["temperature"] is not None:
            point.pop("images", None)
        point |= choices[point["temperature"]].missing
    return points


def measure_borders(model: Colorizer, dataset: Images) -> list[dict[str, Any]]:
    """Measure colorfulness and the sharpness of color borders at the temperatures ``BORDERS_AT``.

    Returns:
        For each temperature the two metrics, and the values of single images in ``images``; empty
        for a model without a temperature.
    """
    if not model.has_distribution:
        return []

    def sharpness(images: ColoredBatch) -> dict[str, Tensor]:
        return {"border_sharpness": border_sharpness(images.ab)}

    metrics: dict[float | None, list[PerImageMetric]]
    metrics = {temperature: [PerImageMetric(sharpness)] for temperature in BORDERS_AT}
    return [
        {
            "temperature": point["temperature"],
            **{name: point[name] for name in _KEPT},
            "images": {name: point["images"][name] for name in _KEPT},
        }
        for point in evaluate_at(model, dataset, metrics, per_image=True)
    ]


def choose_temperature(points: Sequence[Mapping[str, Any]]) -> float:
    """Choose from a sweep the temperature with the best rebalanced accuracy among those whose
    colorfulness is within 5 % of the truth's; where that accuracy was not measured, or none is so
    near, the one that is nearest to the truth's colorfulness.
    """

    def gap(point: Mapping[str, Any]) -> float:
        return abs(point["colorfulness"]["mean"] / point["colorfulness_truth"]["mean"] - 1)

    near = [p for p in points if gap(p) <= 0.05 and "value" in p["auc_rebalanced"]]
    best = max(near, key=lambda p: p["auc_rebalanced"]["value"]) if near else min(points, key=gap)
    return float(best["temperature"])
