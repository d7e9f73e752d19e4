"""LPIPS and FID through torchmetrics, where the weights of their nets are on this machine.

Nothing is ever fetched here: ``lpips_missing`` and ``fid_missing`` say which weights are missing,
or not the published ones. They name no path of this machine, as results are published.
"""

from __future__ import annotations

import re
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlparse

import torch
from torch import Tensor
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.lpip import LearnedPerceptualImagePatchSimilarity
from torchvision.models import AlexNet_Weights

from colorize import storage
from colorize.evaluation.batches import ColoredBatch
from colorize.evaluation.dataset_metrics import DatasetMetric

# AlexNet's last pooling has nothing to look at in smaller images.
SMALLEST = 31
_CACHE = "torch's weight cache (hub/checkpoints in the folder TORCH_HOME)"


def lpips_missing() -> str | None:
    """Why LPIPS cannot be measured here, in a sentence; None when it can."""
    return _weights_missing("LPIPS", "AlexNet", AlexNet_Weights.DEFAULT.url)


def fid_missing() -> str | None:
    """Why FID cannot be measured here, in a sentence; None when it can."""
    if find_spec("torch_fidelity") is None:
        return "FID needs the package torch-fidelity, which is not installed"
    module = import_module("torch_fidelity.feature_extractor_inceptionv3")
    return _weights_missing("FID", "Inception", module.URL_INCEPTION_V3)


class LPIPS:
    """LPIPS (Zhang et al. 2018) of AlexNet, version 0.1, on the images as they are."""

    def __init__(self) -> None:
        self._metric = LearnedPerceptualImagePatchSimilarity("alex")

    def __call__(self, images: ColoredBatch) -> dict[str, Tensor]:
        """Measure ``lpips`` of each image; each side must have ``SMALLEST`` pixels or more."""
        # The net itself, for one number an image: the metric around it gives their mean only.
        net = self._metric.to(images.rgb.device).net
        distance = net(images.rgb.float() / 255, images.truth.float() / 255, normalize=True)
        return {"lpips": distance.flatten()}


class FID(DatasetMetric):
    """FID (Heusel et al. 2017) of the 2048 features of Inception, on images enlarged to 299 px.

    It depends on the number of images and can only be compared at the same number.
    """

    def __init__(self) -> None:
        self._metric = FrechetInceptionDistance(2048)

    def update(self, images: ColoredBatch) -> None:
        self._metric.to(images.rgb.device)
        self._metric.update(images.truth, real=True)
        self._metric.update(images.rgb, real=False)

    def compute(self) -> dict[str, dict[str, float]]:
        return {"fid": {"value": float(self._metric.compute())}}


def _weights_missing(metric: str, net: str, url: str) -> str | None:
    """Why the file that the loaders look for before they fetch ``url`` cannot be used."""
    name = Path(urlparse(url).path).name
    path = Path(torch.hub.get_dir()) / "checkpoints" / name
    if not path.is_file():
        return f"{metric} needs the weights of {net}: {name} is not in {_CACHE}; it is at {url}"
    # The loaders check the hash in the name when they fetch a file, and not one that is there.
    wanted = re.search(r"-([0-9a-f]{8,})\.", name)
    digest = storage.sha256_file(path)
    if wanted and not digest.startswith(wanted[1]):
        return (
            f"{metric} needs the weights of {net}: {name} in {_CACHE} has the SHA-256 "
            f"{digest[:8]}..., expected {wanted[1]}...; bring it again from {url}"
        )
    return None
