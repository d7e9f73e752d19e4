"""LPIPS and FID through torchmetrics, where the weights of their nets are on this machine.

Nothing is ever fetched here: weights that are missing, or are not those that were published, make
the result say so in words.
"""

from __future__ import annotations

import re
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import torch
from torch import Tensor
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.lpip import LearnedPerceptualImagePatchSimilarity
from torchvision.models import AlexNet_Weights

from colorize import storage
from colorize.checks import require_tensor
from colorize.errors import DataError, InputError

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


class PerceptualMetrics:
    """LPIPS and FID of colored images against the truth, batch by batch.

    LPIPS (Zhang et al. 2018) is that of AlexNet, version 0.1, on the images as they are. FID
    (Heusel et al. 2017) is that of the 2048 features of Inception on images enlarged to 299 px; it
    depends on the number of images and can only be compared at the same number.

    Attributes:
        missing: for "lpips" and "fid", why it cannot be measured here; empty when both can. No path
            of this machine is named, so it can go into published results.
    """

    def __init__(self) -> None:
        found = {"lpips": lpips_missing(), "fid": fid_missing()}
        self.missing = {name: reason for name, reason in found.items() if reason is not None}
        self._lpips = (
            None if "lpips" in self.missing else LearnedPerceptualImagePatchSimilarity("alex")
        )
        self._fid = None if "fid" in self.missing else FrechetInceptionDistance(2048)
        self._distances: list[Tensor] = []
        self._images = 0

    @torch.no_grad()
    def update(self, predicted: Tensor, target: Tensor) -> None:
        """Take in a batch, on the device where it is.

        Args:
            predicted: (N, 3, H, W) uint8, at least 31x31. target: the same shape, the truth.

        Raises:
            InputError: when a shape or type does not fit.
        """
        require_tensor(predicted, "predicted", shape=(None, 3, None, None))
        require_tensor(target, "target", shape=tuple(predicted.shape))
        if {predicted.dtype, target.dtype} != {torch.uint8}:
            raise InputError(
                f"LPIPS and FID: expected uint8 images, got {predicted.dtype} and {target.dtype}"
            )
        if min(predicted.shape[2:]) < SMALLEST:
            raise InputError(
                f"LPIPS: expected images of at least {SMALLEST}x{SMALLEST} pixels, "
                f"got {tuple(predicted.shape[2:])}"
            )
        self._images += len(predicted)
        if self._lpips is not None:
            # The net itself, for one number an image: the metric around it gives their mean only.
            net = self._lpips.to(predicted.device).net
            distance = net(predicted.float() / 255, target.float() / 255, normalize=True)
            self._distances.append(distance.flatten().cpu())
        if self._fid is not None:
            self._fid.to(predicted.device)
            self._fid.update(target, real=True)
            self._fid.update(predicted, real=False)

    def compute(self) -> dict[str, Any]:
        """The results over all images so far.

        Returns:
            ``{"lpips": {"mean": ..., "std": ...}, "fid": {"value": ...}}``; in place of what cannot
            be measured, ``{"missing": reason}``. The spread is that of the images.

        Raises:
            DataError: when there were fewer than two images.
        """
        if self._images < 2:
            raise DataError(f"LPIPS and FID: expected at least two images, got {self._images}")
        results: dict[str, Any] = {
            name: {"missing": reason} for name, reason in self.missing.items()
        }
        if self._lpips is not None:
            distances = torch.cat(self._distances).double()
            spread = float(distances.std(correction=0))
            results["lpips"] = {"mean": float(distances.mean()), "std": spread}
        if self._fid is not None:
            results["fid"] = {"value": float(self._fid.compute())}
        return results


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
