"""Color hints: points of color that a user gives, and how far each of them reaches.

A hint colors the region around it, up to edges of lightness and of predicted color. This works with
every model. siggraph17 takes hints as input itself and needs only ``hint_maps``.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from operator import index
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from colorize.color.lab import rgb_to_lab
from colorize.errors import InputError

if TYPE_CHECKING:
    from scipy.sparse import csr_array

Hint = tuple[float, float, tuple[int, int, int]]

# A hint has half its weight where the way to it costs 1. A way costs 1 when it is 1.5 short sides
# long, or crosses one edge of 13 units of L, or of 22 units of predicted ab. The costs of edges are
# squares, so that texture (many small steps) is cheap.
_SHORT_SIDES, _LIGHTNESS, _COLOR = 1.5, 13.0, 22.0
# Cost of differing from the hint's own pixel by as much as such an edge.
_APART = 0.06
# How suddenly the weight falls around cost 1.
_STEEPNESS = 6


def check_hints(hints: Sequence[Hint], size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Check hints and turn them into tensors.

    Args:
        hints: ``(x, y, (r, g, b))``: column and row of a pixel from the upper left corner, and its
            color, whole numbers in 0..255.
        size: height and width of the image.

    Returns:
        places: (K, 2) float32, row and column in 0..1. ab: (K, 2) float32, CIELAB units.
    """
    if not isinstance(hints, Iterable):
        raise InputError(f"hints: expected a list of (x, y, (r, g, b)), got {hints!r}")
    places, colors = [], []
    for number, hint in enumerate(hints):
        try:
            x, y, (red, green, blue) = hint
            # Not int(): colors in 0..1 would all be black.
            color = [index(level) for level in (red, green, blue)]
        except (TypeError, ValueError) as error:
            raise InputError(
                f"hints[{number}]: expected (x, y, (r, g, b)) with r, g, b whole numbers in "
                f"0..255, got {hint!r}"
            ) from error
        if not all(0 <= level <= 255 for level in color):
            raise InputError(f"hints[{number}]: expected r, g, b in 0..255, got {color}")
        places.append(check_place(x, y, size, f"hints[{number}]"))
        colors.append(color)
    rgb = torch.tensor(colors, dtype=torch.uint8).view(-1, 3, 1, 1)
    return torch.tensor(places).view(-1, 2), rgb_to_lab(rgb)[:, 1:, 0, 0]


def check_place(x: float, y: float, size: tuple[int, int], name: str) -> tuple[float, float]:
    """Give row and column in 0..1 of the pixel at column x and row y."""
    height, width = size
    try:  # numbers of torch and numpy too
        place = (float(y) + 0.5) / height, (float(x) + 0.5) / width
    except (TypeError, ValueError, OverflowError):
        place = math.nan, math.nan
    if not all(0 < p < 1 for p in place):
        raise InputError(
            f"{name}: expected x in 0..{width - 1} and y in 0..{height - 1}, got {x!r}, {y!r}"
        )
    return place


def hint_maps(places: Tensor, colors: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Draw hints as the input of siggraph17: squares of 3x3 pixels, later hints over earlier ones.

    Returns:
        ab: (1, 2, h, w), and mask: (1, 1, h, w), which is 1 at hints; float32, 0 elsewhere.
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


def apply_hints(
    ab: Tensor, L: Tensor, places: Tensor, colors: Tensor, saturation: float = 1.0
) -> Tensor:
    """Blend the colors of hints into predicted ab.

    Args:
        ab: (1, 2, h, w) predicted, CIELAB units.
        L: (1, 1, h, w), 0..100.
        places: (K, 2), row and column in 0..1. colors: (K, 2) ab.
        saturation: factor of ``ab``, not of the hints.

    Returns:
        (1, 2, h, w): the color of a hint within its reach, ``ab`` elsewhere.
    """
    cost = reach(ab, L, places)[None]
    weight = _weight(cost)
    # Among several hints in reach the nearest weighs most; at its own pixel it weighs alone.
    shares = weight / (cost.square() + 1e-4)
    shares = shares / shares.sum(1, keepdim=True).clamp(min=1e-12)
    given = torch.einsum("nkhw,kc->nchw", shares, colors.to(ab))
    return torch.lerp(ab * saturation, given, _cover(weight))


def saturate_around_hints(ab: Tensor, L: Tensor, places: Tensor, saturation: float) -> Tensor:
    """Scale ab that a net has made from hints, (1, 2, h, w), but not the colors of the hints."""
    covered = _cover(_weight(reach(ab, L, places)[None]))
    return ab * (covered + saturation * (1 - covered))


def _weight(cost: Tensor) -> Tensor:
    return 1 / (1 + cost**_STEEPNESS)


def _cover(weight: Tensor) -> Tensor:
    """Join the weights of hints, (1, K, h, w): (1, 1, h, w), 1 where any of them is sure."""
    return 1 - (1 - weight).prod(1, keepdim=True)


def reach(ab: Tensor, L: Tensor, places: Tensor) -> Tensor:
    """Compute the cost of the cheapest way from each hint to every pixel; at 1 it has half weight.

    Args:
        ab: (1, 2, h, w) predicted, CIELAB units. L: (1, 1, h, w), 0..100.
        places: (K, 2), row and column in 0..1.

    Returns:
        (K, h, w) float32, 0 at the hint itself.
    """
    # Here, as these imports take a tenth of a second, and few photos have hints.
    from scipy.sparse.csgraph import dijkstra

    h, w = L.shape[2:]
    scaled = torch.cat((L.float() / _LIGHTNESS, ab.float() / _COLOR), 1)[0]
    features = scaled.flatten(1).T.cpu().numpy().astype(np.float64)
    cells = _cells(places, (h, w))
    starts = (cells[:, 0] * w + cells[:, 1]).numpy()
    ways = dijkstra(_graph(features, h, w), directed=False, indices=starts)
    apart = np.square(features[None] - features[starts][:, None]).sum(2) * _APART
    return torch.from_numpy(ways + apart).float().view(-1, h, w).to(ab.device)


def _graph(features: np.ndarray, h: int, w: int) -> csr_array:
    """Make the sparse matrix of the costs of steps between neighbors, diagonal ones too."""
    from scipy.sparse import csr_array

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
