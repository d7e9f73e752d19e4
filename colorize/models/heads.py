"""What the channels of a net's last layer mean: a distribution over bins, or a color.

A head knows the way from its channels to color, so every trunk can carry either.
The losses of both are in ``colorize.losses``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from colorize.checks import (
    require_choice,
    require_finite,
    require_non_negative,
    require_tensor,
    require_whole,
)
from colorize.color.bins import ABBins, annealed_mean, published_bin_centers, require_sigma
from colorize.errors import InputError, NotFiniteError
from colorize.losses import AB_SCALE


class BinHead(nn.Module):
    """Logits over ab bins; color by the annealed mean.

    Args:
        target: ``"soft"`` spreads each pixel over its k nearest bins, ``"onehot"`` takes the
            nearest.
        class_weights: (Q,) weights of rebalancing, or None for none.
        temperature: default of the annealed mean.
        k, sigma: of the soft encoding. The paper's text says 5 and 5.
        bin_centers: (Q, 2), or None for the published table.
    """

    bin_centers: Tensor
    class_weights: Tensor

    def __init__(
        self,
        *,
        target: str = "soft",
        class_weights: Tensor | None = None,
        temperature: float = 0.38,
        k: int = 5,
        sigma: float = 5.0,
        bin_centers: Tensor | Sequence[Sequence[float]] | None = None,
    ) -> None:
        super().__init__()
        self.target = require_choice(target, "target", ("soft", "onehot"))
        self.temperature = require_non_negative(temperature, "temperature")
        self.k = require_whole(k, "k", 1)
        self.sigma = require_sigma(sigma)
        given = published_bin_centers() if bin_centers is None else bin_centers
        centers = require_tensor(_as_float32(given, "bin_centers"), "bin_centers", shape=(None, 2))
        self.register_buffer("bin_centers", require_finite(centers, "bin_centers"))
        self.channels = centers.shape[0]
        if self._neighbors > self.channels:
            raise InputError(f"k: expected 1..{self.channels} (the number of bins), got {k}")
        weighing = [1.0] * self.channels if class_weights is None else class_weights
        weights = _as_float32(weighing, "class_weights")
        require_tensor(weights, "class_weights", shape=(self.channels,))
        right = ((weights >= 0) & weights.isfinite()).all() & weights.any()
        if not (weights.is_meta or bool(right)):
            raise InputError("class_weights: expected numbers of 0 or above, not all of them 0")
        self.register_buffer("class_weights", weights)
        # Made by the first loss, when bin_centers are those of the checkpoint.
        self._bins: ABBins | None = None

    @property
    def _neighbors(self) -> int:
        return 1 if self.target == "onehot" else self.k

    def encode(self, ab: Tensor) -> tuple[Tensor, Tensor]:
        """Encode (N, 2, h, w) ab as the indices and weights (N, k, h, w) of the nearest bins."""
        if self._bins is None:
            self._bins = ABBins(self.bin_centers)
        return self._bins.encode(ab, self._neighbors, self.sigma)

    def decode(self, logits: Tensor, temperature: float | None = None) -> Tensor:
        """(N, Q, h, w) logits to (N, 2, h, w) ab in CIELAB units."""
        temperature = self.temperature if temperature is None else temperature
        return annealed_mean(logits, self.bin_centers, temperature)


class RegressionHead(nn.Module):
    """Two channels, ab / 110; color is what they say.

    The full range of ab is reachable: there is no tanh or sigmoid to saturate.
    """

    channels = 2

    def decode(self, raw: Tensor, temperature: float | None = None) -> Tensor:
        """(N, 2, h, w) raw output to ab in CIELAB units. A temperature has no meaning here.

        Raises:
            InputError: when a temperature is given.
        """
        if temperature is not None:
            raise InputError("temperature: this model predicts one color, it has no distribution")
        return _require_color(raw.float() * AB_SCALE)


def _as_float32(values: Tensor | Sequence[Any], name: str) -> Tensor:
    """Copy numbers into a tensor."""
    try:
        return torch.as_tensor(values, dtype=torch.float32).clone()
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"{name}: expected numbers, got {values!r:.80}") from error


def _require_color(ab: Tensor) -> Tensor:
    if not torch.compiler.is_compiling() and not bool(ab.isfinite().all()):
        raise NotFiniteError(
            "model: expected finite color, got NaN or infinity; its weights are damaged, its "
            "training diverged, or float16 is too narrow for it (bfloat16 and float32 are not)"
        )
    return ab
