"""Which metrics a test set gets, and why some of them cannot be had on a machine."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

from torch import Tensor

from colorize.color.bins import published_bin_centers
from colorize.color.prior import FETCH_IMAGENET_PRIOR, load_prior, smooth_prior
from colorize.data.dataset import ImageDataset
from colorize.errors import DataError, MissingPackageError, MissingPriorError
from colorize.evaluation.contents import measure_contents
from colorize.evaluation.dataset_metrics import DatasetMetric, PerImageMetric, RebalancedAccuracy
from colorize.evaluation.perceptual import FID, LPIPS, SMALLEST, fid_missing, lpips_missing
from colorize.evaluation.recognition import Recognizer, measure_recognition


class MetricChoice(NamedTuple):
    """New metrics, and in the form of results why others cannot be measured here."""

    metrics: list[DatasetMetric]
    missing: dict[str, dict[str, str]]


def choose_metrics(dataset: ImageDataset, *, truth: bool = True) -> MetricChoice:
    """Choose the metrics of a test set: LPIPS, FID, rebalanced accuracy, contents, recognition.

    Args:
        dataset: its classes must be classes of ImageNet for recognition.
        truth: whether also to measure what does not depend on the model.
    """
    chosen, missing = choose_rebalanced()
    reasons = {
        "lpips": lpips_missing() or _too_small(dataset),
        "fid": fid_missing() or _too_few(dataset),
    }
    if reasons["lpips"] is None:
        chosen.append(PerImageMetric(LPIPS()))
    if reasons["fid"] is None:
        chosen.append(FID())
    if truth:
        chosen.append(PerImageMetric(measure_contents))
    try:
        recognizer = Recognizer(dataset.classes)
        measure = partial(measure_recognition, recognizer=recognizer, truth=truth)
        chosen.append(PerImageMetric(measure))
    except DataError:
        reasons["recognized"] = "the classes of this data set are none of ImageNet's"
    except MissingPackageError as error:
        reasons["recognized"] = str(error)
    missing |= {name: {"missing": reason} for name, reason in reasons.items() if reason}
    return MetricChoice(chosen, missing)


def choose_rebalanced() -> MetricChoice:
    """Choose the rebalanced accuracy by the paper's prior, which is ImageNet's, smoothed."""
    try:
        prior = rebalancing_prior()
    except MissingPriorError:
        reason = (
            "the authors' ImageNet prior is not here; in the folder of this project, "
            f"{FETCH_IMAGENET_PRIOR} brings it"
        )
        return MetricChoice([], {"auc_rebalanced": {"missing": reason}})
    return MetricChoice([RebalancedAccuracy(prior)], {})


def rebalancing_prior() -> Tensor:
    """The (Q,) prior that weighs the rebalanced accuracy: ImageNet's, smoothed."""
    return smooth_prior(load_prior("imagenet"), published_bin_centers())


def _too_small(dataset: ImageDataset) -> str | None:
    return f"LPIPS needs images of at least {SMALLEST} px" if dataset.size < SMALLEST else None


def _too_few(dataset: ImageDataset) -> str | None:
    return "FID needs at least two images" if len(dataset) < 2 else None
