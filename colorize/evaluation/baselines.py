"""What knows nothing of an image: the bounds that a model has to beat.

``evaluate.evaluate_shuffled`` is the strictest of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from colorize.color.bins import published_bin_centers
from colorize.color.lab import rgb_to_lab
from colorize.evaluation.metrics import rebalancing_weights, weighted_auc_sums
from colorize.models import Colorizer, ModelOutput
from colorize.models.heads import AB_SCALE, RegressionHead


class _Baseline(Colorizer):
    size_divisor = 1

    def __init__(self) -> None:
        super().__init__()
        self.output = RegressionHead()


class GreyBaseline(_Baseline):
    """No color at all: the bound that RMSE finds hard to beat."""

    def forward(self, L: Tensor) -> ModelOutput:
        """Zeros of (N, 2, H, W)."""
        return ModelOutput(L.new_zeros(L.shape[0], 2, *L.shape[2:]), None)


class MeanBaseline(_Baseline):
    """The mean ab of the true image, all over it: an oracle of the tint alone."""

    in_channels = 3

    def forward(self, L: Tensor) -> ModelOutput:
        """(N, 3, H, W) lab to (N, 2, H, W) ab in units of ``AB_SCALE``."""
        mean = L[:, 1:].mean((2, 3), keepdim=True)
        return ModelOutput((mean / AB_SCALE).expand(-1, -1, *L.shape[2:]), None)


class ConstantBaseline(_Baseline):
    """One ab for every pixel of every image, as of ``best_constant``."""

    def __init__(self, ab: Sequence[float]) -> None:
        super().__init__()
        self.register_buffer("ab", torch.tensor(ab, dtype=torch.float32).view(1, 2, 1, 1))

    def forward(self, L: Tensor) -> ModelOutput:
        """The same ab for (N, 1, H, W), in units of ``AB_SCALE``."""
        ab = self.get_buffer("ab") / AB_SCALE
        return ModelOutput(ab.expand(len(L), -1, *L.shape[2:]), None)


def best_constant(rgb: Tensor, score: Callable[[Tensor, Tensor], Tensor]) -> tuple[float, float]:
    """Search the one ab with the highest mean score over images of a training set.

    Args:
        rgb: (N, 3, H, W) uint8, the images to look at.
        score: of predicted and true ab, (N, 2, H, W) each, to (N,): ``auc``, or minus ``rmse_ab``.

    Returns:
        a and b to about one unit: the best bin center, then the best of ever finer grids around it.
    """
    true_ab = rgb_to_lab(rgb)[:, 1:]

    def best(candidates: Tensor) -> Tensor:
        scores = [
            score(ab.view(1, 2, 1, 1).expand_as(true_ab), true_ab).double().mean()
            for ab in candidates
        ]
        return candidates[int(torch.stack(scores).argmax())]

    ab = best(published_bin_centers())
    for step in (3.0, 1.0):
        offsets = step * torch.arange(-2.0, 3.0)
        ab = best(ab + torch.cartesian_prod(offsets, offsets))
    return float(ab[0]), float(ab[1])


def best_rebalanced_constant(rgb: Tensor, prior: Tensor) -> tuple[float, float]:
    """Search the one ab with the highest rebalanced AuC over images of a training set.

    Args:
        rgb: (N, 3, H, W) uint8. prior: (Q,), as of ``RebalancedAccuracy``.
    """
    weights = rebalancing_weights(rgb_to_lab(rgb)[:, 1:], prior, published_bin_centers())
    return best_constant(rgb, lambda ab, true_ab: weighted_auc_sums(ab, true_ab, weights)[0])
