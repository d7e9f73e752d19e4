"""What the field judges colored pictures by beside their error: rebalanced accuracy, recognition,
LPIPS and FID; and what is on the pictures, to see where a model fails.

``colorize.evaluation.evaluate`` shows every batch to the judges it is given.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from colorize.checks import require_tensor
from colorize.color.bins import ABBins, published_bin_centers
from colorize.color.prior import FETCH_IMAGENET_PRIOR, load_prior, smooth_prior
from colorize.errors import DataError, MissingPackageError, MissingPriorError
from colorize.evaluation import metrics
from colorize.evaluation.evaluate import Judge
from colorize.evaluation.perceptual import SMALLEST, PerceptualMetrics
from colorize.evaluation.recognition import Recognizer

# Hue angles in the ab plane, in degrees, and the chroma below which a pixel has none to speak of.
_GREEN, _BLUE, _CHROMA = (105.0, 170.0), (220.0, 310.0), 10.0


class RebalancedAccuracy(Judge):
    """``auc_rebalanced`` of Zhang 2016: every pixel weighs the inverse prior of its bin, over all
    pixels of the test set together.

    Args:
        prior: (Q,), above 0 for every bin that occurs; the paper's is ImageNet's, smoothed.
        bin_centers: (Q, 2).
    """

    def __init__(self, prior: Tensor, bin_centers: Tensor) -> None:
        self._prior, self._bin_centers = prior, bin_centers
        self._right: list[Tensor] = []
        self._whole: list[Tensor] = []

    def update(
        self, batch: Mapping[str, Tensor], lab: Tensor, ab: Tensor, colored: Tensor
    ) -> dict[str, Tensor]:
        """Nothing of single images."""
        weights = metrics.rebalancing_weights(
            lab[:, 1:],
            self._prior,
            self._bin_centers,
        )
        right, whole = metrics.weighted_auc_sums(ab, lab[:, 1:], weights)
        self._right.append(right.cpu().double())
        self._whole.append(whole.cpu().double())
        return {}

    def compute(self) -> dict[str, Any]:
        """``{"auc_rebalanced": {"value": 0..1}}``."""
        value = torch.cat(self._right).sum() / torch.cat(self._whole).sum()
        return {"auc_rebalanced": {"value": float(value)}}

    def shares(self) -> dict[str, Tensor]:
        """The ratio of the two sums, linearized in the images (the delta method)."""
        right, whole = torch.cat(self._right), torch.cat(self._whole)
        value = right.sum() / whole.sum()
        return {"auc_rebalanced": value + (right - value * whole) / whole.mean()}


class Recognition(Judge):
    """``recognized``: 1 where an ImageNet classifier names what is on the picture, of its 1000
    classes; ``recognized_own``: of those of the data set. With ``truth`` also ``recognized_truth``
    and ``recognized_own_truth``, the same of the true picture.
    """

    def __init__(self, recognizer: Recognizer, *, truth: bool = True) -> None:
        self._recognizer, self._truth = recognizer, truth

    def update(
        self, batch: Mapping[str, Tensor], lab: Tensor, ab: Tensor, colored: Tensor
    ) -> dict[str, Tensor]:
        """0 or 1 for each image."""
        found = {}
        pictures = {"": colored, "_truth": batch["rgb"]} if self._truth else {"": colored}
        for end, picture in pictures.items():
            correct = self._recognizer.correct(picture, batch["label"])
            found[f"recognized{end}"] = correct.among_all.float()
            found[f"recognized_own{end}"] = correct.among_own.float()
        return found


class Perception(Judge):
    """``lpips`` and ``fid``, or why they cannot be had here."""

    def __init__(self) -> None:
        self._metrics = PerceptualMetrics()
        self._images, self._smallest = 0, SMALLEST

    def update(
        self, batch: Mapping[str, Tensor], lab: Tensor, ab: Tensor, colored: Tensor
    ) -> dict[str, Tensor]:
        """Nothing of single images."""
        self._images += len(colored)
        self._smallest = min(self._smallest, *colored.shape[2:])
        if self._smallest >= SMALLEST:
            self._metrics.update(colored, batch["rgb"])
        return {}

    def compute(self) -> dict[str, Any]:
        """As ``PerceptualMetrics.compute``; the reason where the images are too few or small."""
        if self._smallest < SMALLEST:
            reason = f"needs images of at least {SMALLEST} px"
        elif self._images < 2:
            reason = "needs at least two images"
        else:
            return self._metrics.compute()
        return {key: {"missing": f"{key.upper()} {reason}"} for key in ("lpips", "fid")}


class Contents(Judge):
    """What is on the true pictures, by ``measure_contents``, and their labels."""

    def update(
        self, batch: Mapping[str, Tensor], lab: Tensor, ab: Tensor, colored: Tensor
    ) -> dict[str, Tensor]:
        """One number a measure and image."""
        return {"label": batch["label"].float(), **measure_contents(lab)}


class Missing(Judge):
    """What cannot be judged here, with the reason, so that results say so."""

    def __init__(self, name: str, reason: str) -> None:
        self._name, self._reason = name, reason

    def compute(self) -> dict[str, Any]:
        """``{name: {"missing": reason}}``."""
        return {self._name: {"missing": self._reason}}


def measure_contents(lab: Tensor) -> dict[str, Tensor]:
    """Four measures of (N, 3, H, W) CIELAB pictures, (N,) each.

    ``busyness``: mean step of L between neighboring pixels. ``colors``: effective number of ab bins
    (the exponential of the entropy of their shares). ``green`` and ``blue``: share of pixels of
    that hue, such as grass and leaves, or sky and water.
    """
    require_tensor(lab, "lab", shape=(None, 3, None, None), floating=True)
    L, ab = lab[:, :1], lab[:, 1:]
    steps = L.diff(dim=2).abs().flatten(1).mean(1) + L.diff(dim=3).abs().flatten(1).mean(1)
    bin_centers = published_bin_centers()
    bins = ABBins(bin_centers).nearest(ab).flatten(1)
    counts = torch.zeros(len(lab), len(bin_centers), device=lab.device)
    shares = counts.scatter_add_(1, bins, torch.ones_like(bins, dtype=counts.dtype))
    shares = shares / bins.shape[1]
    hue = torch.rad2deg(torch.atan2(ab[:, 1], ab[:, 0])) % 360
    vivid = ab.square().sum(1) > _CHROMA**2

    def share(low: float, high: float) -> Tensor:
        return ((hue >= low) & (hue < high) & vivid).float().flatten(1).mean(1)

    return {
        "busyness": steps / 2,
        "colors": torch.special.entr(shares).sum(1).exp(),
        "green": share(*_GREEN),
        "blue": share(*_BLUE),
    }


def field_judges(classes: Sequence[str], *, truth: bool = True) -> list[Judge]:
    """The judges of a test set, new for every evaluation; what is missing here says so.

    Args:
        classes: the data set's names of labels; recognition needs classes of ImageNet.
        truth: whether also to measure what does not depend on the model.
    """
    judges: list[Judge] = [Perception(), rebalanced_accuracy()]
    if truth:
        judges.append(Contents())
    try:
        judges.append(Recognition(Recognizer(classes), truth=truth))
    except DataError:
        judges.append(Missing("recognized", "the classes of this data set are none of ImageNet's"))
    except MissingPackageError as error:
        judges.append(Missing("recognized", str(error)))
    return judges


def rebalanced_accuracy() -> Judge:
    """A new judge by the paper's prior, ImageNet's smoothed; the reason where it is not here."""
    try:
        prior = load_prior("imagenet")
    except MissingPriorError:
        reason = f"the authors' ImageNet prior is not here; {FETCH_IMAGENET_PRIOR} brings it"
        return Missing("auc_rebalanced", reason)
    bin_centers = published_bin_centers()
    return RebalancedAccuracy(smooth_prior(prior, bin_centers), bin_centers)
