"""Points of color that a user gives: how far each of them reaches.

A hint colors what belongs to it: the pixels that can be reached from it without crossing an edge of
lightness or a border between things that the net would color differently. This works for every
model; siggraph17 was trained to take hints itself, and of this module needs only ``hint_maps``.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from scipy.sparse import csr_array
from scipy.sparse.csgraph import dijkstra
from torch import Tensor

from colorize.checks import require_tensor
from colorize.color.lab import rgb_to_lab
from colorize.errors import InputError

Hint = tuple[float, float, tuple[int, int, int]]

# At the cost of 1 a hint counts for half. So much flat ground costs 1, in short sides; and a step
# over an edge of so many units of L, or of predicted ab. The squares add up: texture is cheap.
_SHORT_SIDES, _LIGHTNESS, _COLOR = 1.5, 13.0, 22.0
# To be as far from the hint's own lightness and color as such an edge costs so much.
_APART = 0.06
_STEEPNESS = 6


def check_hints(hints: Sequence[Hint], size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Hints as tensors.

    Args:
        hints: ``(x, y, (r, g, b))``: column and row of a pixel, counted from the upper left corner,
            and its color, 0..255.
        size: height and width of the picture.

    Returns:
        places: (K, 2) float32, row and column in 0..1. ab: (K, 2) float32, CIELAB units.

    Raises:
        InputError: when a hint has another form, lies outside the picture, or is no color.
    """
    height, width = size
    places, colors = [], []
    for number, hint in enumerate(hints):
        try:
            x, y, (red, green, blue) = hint
            place = ((float(y) + 0.5) / height, (float(x) + 0.5) / width)
            color = [int(level) for level in (red, green, blue)]
        except (TypeError, ValueError) as error:
            raise InputError(
                f"hints[{number}]: expected (x, y, (r, g, b)), got {hint!r}"
            ) from error
        if not all(0 < p < 1 for p in place):
            raise InputError(
                f"hints[{number}]: expected x in 0..{width - 1} and y in 0..{height - 1}, "
                f"got {x}, {y}"
            )
        if not all(0 <= level <= 255 for level in color):
            raise InputError(f"hints[{number}]: expected r, g, b in 0..255, got {color}")
        places.append(place)
        colors.append(color)
    rgb = torch.tensor(colors, dtype=torch.uint8).view(-1, 3, 1, 1)
    return torch.tensor(places).view(-1, 2), rgb_to_lab(rgb)[:, 1:, 0, 0]


def hint_maps(places: Tensor, colors: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Hints as a net takes them: squares of 3x3 pixels, later hints over earlier ones.

    Returns:
        ab: (1, 2, h, w) and mask: (1, 1, h, w), 1 where there is a hint, float32; both 0 elsewhere.
    """
    ab, mask = torch.zeros(1, 2, *size), torch.zeros(1, 1, *size)
    for (row, column), color in zip(_cells(places, size).tolist(), colors, strict=True):
        square = (
            slice(None),
            slice(None),
            slice(max(0, row - 1), row + 2),
            slice(max(0, column - 1), column + 2),
        )
        ab[square] = color.view(1, 2, 1, 1)
        mask[square] = 1
    return ab, mask


def apply_hints(ab: Tensor, L: Tensor, places: Tensor, colors: Tensor) -> Tensor:
    """Let hints steer predicted color.

    Args:
        ab: (1, 2, h, w) predicted, CIELAB units.
        L: (1, 1, h, w), 0..100.
        places: (K, 2), row and column in 0..1. colors: (K, 2) ab.

    Returns:
        (1, 2, h, w): the color of a hint where it is and as far as it reaches, ``ab`` elsewhere.

    Raises:
        InputError: when a shape does not fit.
    """
    h, w = require_tensor(L, "L", shape=(1, 1, None, None), floating=True).shape[2:]
    ab = require_tensor(ab, "ab", shape=(1, 2, h, w), floating=True)
    if len(places) == 0:
        return ab
    cost = reach(ab, L, places)[None]
    weight = 1 / (1 + cost**_STEEPNESS)
    # Of several hints in reach the nearest one counts most, and alone where it lies.
    shares = weight / (cost.square() + 1e-4)
    shares = shares / shares.sum(1, keepdim=True).clamp(min=1e-12)
    given = torch.einsum("nkhw,kc->nchw", shares, colors.to(ab))
    covered = 1 - (1 - weight).prod(1, keepdim=True)
    return torch.lerp(ab, given, covered)


def reach(ab: Tensor, L: Tensor, places: Tensor) -> Tensor:
    """What it costs to come from each hint to every pixel; 1 is half way out.

    Args:
        ab: (1, 2, h, w) predicted, CIELAB units. L: (1, 1, h, w), 0..100.
        places: (K, 2), row and column in 0..1.

    Returns:
        (K, h, w) float32, 0 at the hint itself.
    """
    h, w = L.shape[2:]
    scaled = torch.cat((L.float() / _LIGHTNESS, ab.float() / _COLOR), 1)[0]
    features = scaled.flatten(1).T.cpu().numpy().astype(np.float64)
    cells = _cells(places, (h, w))
    starts = (cells[:, 0] * w + cells[:, 1]).numpy()
    ways = dijkstra(_graph(features, h, w), directed=False, indices=starts)
    apart = np.square(features[None] - features[starts][:, None]).sum(2) * _APART
    return torch.from_numpy(ways + apart).float().view(-1, h, w).to(ab.device)


def _graph(features: np.ndarray, h: int, w: int) -> csr_array:
    """Costs of the steps between neighbors, also diagonal ones."""
    numbers = np.arange(h * w).reshape(h, w)
    pairs = (
        (numbers[:, :-1], numbers[:, 1:], 1.0),
        (numbers[:-1], numbers[1:], 1.0),
        (numbers[:-1, :-1], numbers[1:, 1:], 2**0.5),
        (numbers[:-1, 1:], numbers[1:, :-1], 2**0.5),
    )
    one, other, cost = [], [], []
    for first, second, length in pairs:
        one.append(first.ravel())
        other.append(second.ravel())
        step = np.square(features[one[-1]] - features[other[-1]]).sum(1)
        cost.append(step + length / (_SHORT_SIDES * min(h, w)))
    ends = (np.concatenate(one), np.concatenate(other))
    return csr_array((np.concatenate(cost), ends), shape=(h * w, h * w))


def _cells(places: Tensor, size: tuple[int, int]) -> Tensor:
    return (places * torch.tensor(size)).long()
