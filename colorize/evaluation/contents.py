"""What is on an image, to see where a model fails."""

from __future__ import annotations

import torch
from torch import Tensor

from colorize.color.bins import ABBins, published_bin_centers
from colorize.evaluation.batches import ColoredBatch

# Hue angles in the ab plane, in degrees, and the chroma below which a pixel has no hue.
_GREEN, _BLUE, _CHROMA = (105.0, 170.0), (220.0, 310.0), 10.0


def measure_contents(images: ColoredBatch) -> dict[str, Tensor]:
    """Measure what the true images show, (N,) each.

    ``busyness``: mean step of L between neighboring pixels. ``colors``: effective number of ab bins
    (the exponential of the entropy of their shares). ``green`` and ``blue``: share of pixels of
    that hue, such as grass and leaves, or sky and water.
    """
    L, ab = images.lab[:, :1], images.lab[:, 1:]
    steps = L.diff(dim=2).abs().flatten(1).mean(1) + L.diff(dim=3).abs().flatten(1).mean(1)
    bin_centers = published_bin_centers()
    bins = ABBins(bin_centers).nearest(ab).flatten(1)
    counts = torch.zeros(len(ab), len(bin_centers), device=ab.device)
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
