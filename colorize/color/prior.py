"""How often each ab bin occurs, and the class weights that follow: section 2.2 of Zhang 2016."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.ndimage import gaussian_filter1d
from torch import Tensor

from colorize import paths, storage
from colorize.checks import require_rgb, require_share, require_tensor
from colorize.color.bins import ABBins, require_sigma
from colorize.color.lab import rgb_to_lab
from colorize.errors import DataError, InputError, MissingPriorError

FETCH_IMAGENET_PRIOR = "python DOWNLOADER/download.py imagenet-prior"


@dataclass(frozen=True)
class BinCounts:
    """Result of one pass over a data set: pixels by nearest bin, as integers."""

    counts: Tensor  # (Q,) int64
    images: int
    pixels: int

    @property
    def prior(self) -> Tensor:
        """(Q,) float64, sums to 1."""
        return self.counts.double() / self.counts.sum()


def count_bins(batches: Iterable[Tensor], bin_centers: Tensor) -> BinCounts:
    """Count the pixels of each bin in one streaming pass.

    Args:
        batches: tensors of rgb, (N, 3, H, W) uint8 or float; sizes may differ between batches.
        bin_centers: (Q, 2); counting happens on its device.
    """
    bins, q = ABBins(bin_centers), bin_centers.shape[0]
    counts = torch.zeros(q, dtype=torch.int64, device=bin_centers.device)
    images = 0
    for rgb in batches:
        ab = rgb_to_lab(require_rgb(rgb, "batches").to(bin_centers.device))[:, 1:]
        counts += torch.bincount(bins.nearest(ab).flatten(), minlength=q)
        images += rgb.shape[0]
    if images == 0:
        raise DataError("prior: expected at least one image to count colors in, got none")
    return BinCounts(counts.cpu(), images, int(counts.sum()))


def smooth_prior(prior: Tensor, bin_centers: Tensor, sigma: float = 5.0) -> Tensor:
    """Smooth a prior with a Gaussian over the ab plane; neighbors are neighbors in color.

    Each bin hands its mass to the bins around it in proportion to ``exp(-d^2 / (2 sigma^2))``, d in
    ab units, so the sum stays 1 also at the border of the gamut.
    """
    prior = _check_prior(prior)
    require_tensor(bin_centers, "bin_centers", shape=(prior.shape[0], 2))
    require_sigma(sigma)
    centers = bin_centers.double().to(prior.device)
    kernel = torch.exp(torch.cdist(centers, centers).square() / (-2 * sigma**2))
    return (kernel / kernel.sum(0)) @ prior


def smooth_prior_along_index(prior: Tensor, sigma: float = 5.0) -> Tensor:
    """Smooth a prior along the bin index, as study A did; sigma counts in indices.

    Kept to show what it does: the table is sorted by a, then b, so at the end of every column of
    the gamut mass flows between saturated yellow and saturated blue.
    """
    prior = _check_prior(prior)
    require_sigma(sigma)
    smoothed = torch.from_numpy(gaussian_filter1d(prior.cpu().numpy(), sigma)).to(prior.device)
    return smoothed / smoothed.sum()


def class_weights(prior: Tensor, lam: float = 0.5) -> Tensor:
    """Weights that favor rare colors: equation 4 of the paper.

    ``w ~ ((1 - lam) * prior + lam / Q)^-1``, scaled so that ``sum(prior * w) = 1``.

    Args:
        prior: (Q,), sums to 1.
        lam: 1 for equal weights, 0 for the plain inverse of the prior. The paper uses 0.5.

    Returns:
        class_weights: (Q,) float32.
    """
    prior = _check_prior(prior)
    require_share(lam, "lam")
    mixed = (1 - lam) * prior + lam / prior.shape[0]
    if not bool((mixed > 0).all()):
        empty = int((mixed == 0).sum())
        raise InputError(
            f"lam = 0 would give {empty} bins that never occur an infinite weight; "
            "take lam above 0 or smooth the prior first"
        )
    weights = 1 / mixed
    return (weights / (prior * weights).sum()).float()


def save_prior(
    values: Tensor, name: str, record: dict[str, Any], *, folder: Path | None = None
) -> Path:
    """Write ``prior-<name>.npy`` (counts or probabilities) and ``prior-<name>.json`` beside it.

    ``record`` says what was counted: data set, images, pixels, smoothing.
    """
    folder = paths.precalculated() if folder is None else folder
    path = folder / f"prior-{name}.npy"
    kind = "probabilities" if values.is_floating_point() else "counts"
    text = json.dumps({"name": name, "kind": kind, "bins": len(values), **record}, indent=2)
    with storage.atomic_write(path) as temporary:
        np.save(temporary, values.cpu().numpy())
    with storage.atomic_write(path.with_suffix(".json")) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")
    return path


def load_prior(name: str, *, folder: Path | None = None) -> Tensor:
    """Read ``prior-<name>.npy``: (Q,) float64, sums to 1.

    Args:
        folder: None for PRECALCULATED, and then for what came with the library.
    """
    path = (paths.precalculated() if folder is None else folder) / f"prior-{name}.npy"
    shipped = paths.shipped_precalculated() if folder is None else None
    if shipped and not path.is_file() and (shipped / path.name).is_file():
        path = shipped / path.name
    if not path.is_file():
        source = (
            f"fetch it with: {FETCH_IMAGENET_PRIOR}"
            if name == "imagenet"
            else "it is written by a training run, or by colorize.color.prior.save_prior"
        )
        raise MissingPriorError(f"There is no prior {name!r}: {path} does not exist; {source}")
    try:
        array = np.load(path, allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise DataError(f"{path} is no readable .npy file ({error}); bring it again") from error
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "iuf":
        raise DataError(f"{path}: expected an array of numbers")
    values = torch.from_numpy(array).double().flatten()
    if not bool(torch.isfinite(values).all() and (values >= 0).all() and values.sum() > 0):
        raise DataError(f"{path}: expected counts or probabilities of 0 or above, not all 0")
    return values / values.sum()


def _check_prior(prior: Tensor) -> Tensor:
    prior = require_tensor(prior, "prior", shape=(None,), floating=True).double()
    if not bool((prior >= 0).all()) or abs(float(prior.sum()) - 1) > 1e-4:
        raise InputError(
            f"prior: expected (Q,) probabilities of sum 1, got a sum of {float(prior.sum()):.6g}; "
            "divide counts by their sum first"
        )
    return prior
