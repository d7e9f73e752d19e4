"""Lightness as a net sees it: a faded print is stretched, and flat ground gets little color."""

from __future__ import annotations

from dataclasses import dataclass
from math import log

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

# Share of the pixels at either end that may be dust or a scratch.
_TAIL = 0.005
# Of 1,000 photographs, 95 % have a wider range of L than 50 between the tails.
_FADED, _WHOLE = 50.0, 60.0
# The middle of a faded print is brought into this part of the range.
_MIDDLE = (0.2, 0.8)
# No more than grain is left to stretch below this range.
_LEAST_RANGE = 9.0
# Ranges of L, grain averaged out, that say nothing and all about color.
_FLAT, _TOLD = 3.0, 20.0
# Below it, the lightest parts of an image are as dark as color can be strong.
_DARK = 40.0


@dataclass(frozen=True)
class Tone:
    """What becomes of the lightness and the color of one image.

    Attributes:
        low, high: L between which the image lies.
        gamma: exponent that brings the middle of a faded print into the middle of the range.
        share: of the stretched in what the net sees; 0 leaves lightness as it is.
        chroma: factor of predicted ab, 0..1: what is nearly flat or dark gets little color.
    """

    low: float = 0.0
    high: float = 100.0
    gamma: float = 1.0
    share: float = 0.0
    chroma: float = 1.0

    def stretch(self, L: Tensor) -> Tensor:
        """Give the lightness that the net sees for L, both in 0..100; L itself for most images."""
        if self.share == 0:
            return L
        stretched = ((L - self.low) / (self.high - self.low)).clamp(0, 1) ** self.gamma
        return torch.lerp(L, 100 * stretched, self.share)


def find_tone(L: Tensor) -> Tone:
    """Find out how far an image is faded, flat or dark.

    Args:
        L: (1, 1, h, w), the image at the size that the net sees, without margins.
    """
    low, middle, high = _tails(L)
    smooth_low, _, smooth_high = _tails(F.avg_pool2d(L, 4, ceil_mode=True))
    told = min(1.0, max(0.0, (smooth_high - smooth_low - _FLAT) / (_TOLD - _FLAT)))
    chroma = told * min(1.0, high / _DARK)
    share = min(1.0, max(0.0, (_WHOLE - (high - low)) / (_WHOLE - _FADED)))
    if share == 0:
        return Tone(chroma=chroma)
    center, span = (low + high) / 2, max(high - low, _LEAST_RANGE)
    low, high = center - span / 2, center + span / 2
    place = min(0.98, max(0.02, (middle - low) / span))
    gamma = log(min(_MIDDLE[1], max(_MIDDLE[0], place))) / log(place)
    return Tone(low, high, gamma, share, chroma)


def _tails(L: Tensor) -> tuple[float, float, float]:
    """Give the lowest, the middle and the highest L but for the tails."""
    # Sorted, because torch.quantile refuses more than 16 million values.
    values = L.float().flatten().sort().values
    last = len(values) - 1
    low, middle, high = (float(values[round(q * last)]) for q in (_TAIL, 0.5, 1 - _TAIL))
    return low, middle, high
