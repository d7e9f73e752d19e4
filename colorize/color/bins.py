"""The ab plane in bins: the published table, soft encoding, and the way back to color.

Zhang, Isola, Efros 2016, section 2.1: the ab plane is cut into a grid of spacing 10, and the
Q = 313 points of it that matter for sRGB become the classes. ``Q`` is always read from
``bin_centers.shape[0]``; any other table of ab points works the same.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from colorize import paths, storage
from colorize.checks import (
    require_finite,
    require_images,
    require_non_negative,
    require_positive,
    require_tensor,
    require_whole,
)
from colorize.color.lab import rgb_to_lab
from colorize.errors import InputError, NotFiniteError

GRID = 10
FILE_NAME = "q_to_ab.npy"

# Points of the published table that the rule below does not give. Dropping them would shift the
# class indices of every published prior and weight file.
_PUBLISHED_EXTRAS = ((40, 90), (100, -90), (100, -10), (100, 0))

# The candidate table covers this square of the ab plane in cells of one unit.
_REACH = 128


def make_bin_centers() -> Tensor:
    """Derive the published table of ab bins.

    Every cell of the 10x10 grid that holds a color of the 8-bit sRGB cube gives its four corners
    (309 points); four more stand in the published table. The cube's surface is enough to look at:
    a line of constant a and b leaves the cube through it.

    Returns:
        bin_centers: (Q, 2) float32 in CIELAB units, sorted by a, then b.
    """
    level = torch.arange(256, dtype=torch.uint8, device="cpu")
    u, v = torch.meshgrid(level, level, indexing="ij")
    faces = []
    for end in (0, 255):
        flat = torch.full_like(u, end)
        faces += [torch.stack(f) for f in ((flat, u, v), (u, flat, v), (u, v, flat))]
    ab = rgb_to_lab(torch.stack(faces))[:, 1:]
    a, b = torch.div(ab, GRID, rounding_mode="floor").long().add(_REACH).unbind(1)
    found = torch.bincount((a * 2 * _REACH + b).flatten()).nonzero()
    cells = torch.cat((found // (2 * _REACH), found % (2 * _REACH)), 1) - _REACH
    corners = {
        (GRID * (a + i), GRID * (b + j)) for a, b in cells.tolist() for i in (0, 1) for j in (0, 1)
    }
    return torch.tensor(sorted(corners.union(_PUBLISHED_EXTRAS)), dtype=torch.float32)


@lru_cache(maxsize=1)
def _published_bin_centers() -> Tensor:
    return make_bin_centers()


def published_bin_centers() -> Tensor:
    """The published (313, 2) table, as a fresh tensor; derived once a process (about 0.2 s)."""
    return _published_bin_centers().clone()


def save_bin_centers(path: Path | None = None) -> Path:
    """Write the table as int64 to ``path``, by default ``PRECALCULATED/q_to_ab.npy``."""
    path = paths.precalculated() / FILE_NAME if path is None else path
    with storage.atomic_write(path) as temporary:
        np.save(temporary, published_bin_centers().numpy().astype(np.int64))
    return path


def soft_encode(
    ab: Tensor, bin_centers: Tensor, k: int = 5, sigma: float = 5.0
) -> tuple[Tensor, Tensor]:
    """Encode ab as a sparse distribution over bins: H^-1 of the paper, section 2.1.

    Each pixel's k nearest bins get weights proportional to ``exp(-distance^2 / (2 sigma^2))`` that
    sum to one. The paper's text says 5 neighbors, the authors' training layer used 10. To encode
    many batches, ``ABBins`` is faster.

    Args:
        ab: (N, 2, H, W), CIELAB units. Beyond +-128, which no sRGB color reaches, values are cut.
        bin_centers: (Q, 2).
        k: number of bins for each pixel, 1..Q.
        sigma: width of the Gaussian, ab units, above 0.

    Returns:
        indices: (N, k, H, W) int64, nearest first. weights: (N, k, H, W) float32.
    """
    points = _points(ab)
    k = _check_k(k, require_tensor(bin_centers, "bin_centers", shape=(None, 2)).shape[0])
    require_sigma(sigma)
    squared = _squared_distances(points[:, None, :], bin_centers.float()[None])
    nearest, indices = squared.topk(k, dim=1, largest=False)
    return _to_maps(indices, ab), _to_maps(_gaussian(nearest, sigma), ab)


class ABBins:
    """A table of bins that encodes many batches: what ``soft_encode`` gives, several times faster.

    It compares a pixel with the dozen bins that can be nearest in its 1x1 cell of the ab plane, in
    place of all Q. The first call with another k or device finds these bins.

    Args:
        bin_centers: (Q, 2), CIELAB units. It may lie on another device than what is encoded.
    """

    def __init__(self, bin_centers: Tensor) -> None:
        table = require_tensor(bin_centers, "bin_centers", shape=(None, 2)).float().tolist()
        self._table = tuple(map(tuple, table))

    def encode(self, ab: Tensor, k: int = 5, sigma: float = 5.0) -> tuple[Tensor, Tensor]:
        """Encode (N, 2, H, W) ab as indices, nearest first, and weights: (N, k, H, W) each."""
        require_sigma(sigma)
        nearest, indices = self._nearest(ab, k)
        return _to_maps(indices, ab), _to_maps(_gaussian(nearest, sigma), ab)

    def nearest(self, ab: Tensor) -> Tensor:
        """Index of the nearest bin of every pixel: (N, 2, H, W) to (N, H, W) int64."""
        return _to_maps(self._nearest(ab, 1)[1], ab)[:, 0]

    def _nearest(self, ab: Tensor, k: int) -> tuple[Tensor, Tensor]:
        """Squared distances and indices of the k nearest bins, (pixels, k) each."""
        points = _points(ab)
        k = _check_k(k, len(self._table))
        bin_centers, candidates = _make_candidates(self._table, k, points.device)
        cell = (points + _REACH).long()
        near = candidates[cell[:, 0], cell[:, 1]].long()
        nearest, place = _squared_distances(points[:, None, :], bin_centers[near]).topk(
            k, dim=1, largest=False
        )
        return nearest, near.gather(1, place)


def annealed_mean(logits: Tensor, bin_centers: Tensor, temperature: float = 0.38) -> Tensor:
    """Mean color of the distribution sharpened by a temperature: equation 5 of the paper.

    ``E[softmax(logits / T)]``, computed in float32 whatever the logits are. T = 1 is the mean, and
    the limit T = 0 the mode (the bin of highest probability; the first of equals).

    Args:
        logits: (N, Q, h, w).
        bin_centers: (Q, 2).
        temperature: 0 or above. The paper's choice is 0.38.

    Returns:
        ab: (N, 2, h, w) float32, CIELAB units.
    """
    q = require_tensor(bin_centers, "bin_centers", shape=(None, 2)).shape[0]
    logits = require_tensor(logits, "logits", shape=(None, q, None, None), floating=True)
    require_non_negative(temperature, "temperature")
    centers = bin_centers.to(logits.device, torch.float32)
    peak = logits.float().amax(1, keepdim=True)
    # Of the largest only: a bin that may not be chosen has a logit of minus infinity.
    if not torch.compiler.is_compiling() and not bool(peak.isfinite().all()):
        raise NotFiniteError(
            "logits: expected numbers, got NaN or infinity; the model's weights are damaged, its "
            "training diverged, or float16 is too narrow for it (bfloat16 and float32 are not)"
        )
    if temperature < torch.finfo(torch.float32).tiny:
        return centers[logits.argmax(1)].movedim(-1, 1)
    # Under autocast the product below would be rounded to half precision.
    with torch.autocast(logits.device.type, enabled=False):
        # The maximum goes first: a tiny temperature may not turn large logits into inf - inf.
        shifted = logits.float() - peak
        return torch.einsum("nqhw,qc->nchw", torch.softmax(shifted / temperature, 1), centers)


@lru_cache(maxsize=16)
@torch.inference_mode(False)
def _make_candidates(
    table: tuple[tuple[float, ...], ...], k: int, device: torch.device
) -> tuple[Tensor, Tensor]:
    """The table as a (Q, 2) tensor, and for every 1x1 cell of the ab plane its candidates.

    The k-th nearest bin of any point in a cell is at most half a diagonal further than that of the
    cell's center, and a bin is at most half a diagonal nearer; so bins further from the center than
    its k-th plus a whole diagonal are never wanted.

    Returns:
        bin_centers, and candidates: (256, 256, m) int32, nearest to the cell's center first.
    """
    bin_centers = torch.tensor(table, device=device)
    axis = torch.arange(-_REACH, _REACH, device=device, dtype=torch.float32) + 0.5
    centers = torch.cartesian_prod(axis, axis)
    q = len(table)
    # A few more than k are enough for a table like the published one; else all are sorted.
    for kept in (min(q, k + 32), q):
        needed, rows = 0, []
        for part in centers.split(8192):
            distance, index = torch.cdist(
                part, bin_centers, compute_mode="donot_use_mm_for_euclid_dist"
            ).topk(kept, dim=1, largest=False)
            reach = distance[:, k - 1 : k] + 2**0.5 + 1e-3
            needed = max(needed, int((distance <= reach).sum(1).max()))
            rows.append(index.int())
        if needed < kept:
            break
    candidates = torch.cat([row[:, :needed] for row in rows])
    return bin_centers, candidates.view(2 * _REACH, 2 * _REACH, needed)


def _points(ab: Tensor) -> Tensor:
    """(N, 2, H, W) to (pixels, 2), cut at the plane's border."""
    ab = require_tensor(ab, "ab", shape=(None, 2, None, None), floating=True)
    require_finite(require_images(ab, "ab"), "ab")
    return ab.float().movedim(1, -1).reshape(-1, 2).clamp(-_REACH, _REACH - 1e-3)


def _squared_distances(points: Tensor, centers: Tensor) -> Tensor:
    # Spelled out: the expanded form |p|^2 - 2pc + |c|^2 cancels and swaps near equal neighbors.
    da = points[..., 0] - centers[..., 0]
    db = points[..., 1] - centers[..., 1]
    return da * da + db * db


def _gaussian(squared: Tensor, sigma: float) -> Tensor:
    return torch.softmax(squared / (-2 * sigma**2), dim=1)


def _to_maps(values: Tensor, ab: Tensor) -> Tensor:
    """(pixels, k) to (N, k, H, W)."""
    n, _, h, w = ab.shape
    return values.view(n, h, w, -1).movedim(-1, 1)


def require_sigma(sigma: float) -> float:
    """Return the width of a Gaussian over ab when float32 holds what its square divides."""
    if not 1e-6 <= require_positive(sigma, "sigma") <= 1e6:
        raise InputError(f"sigma: expected a width of 1e-6 to 1e6 ab units, got {sigma}")
    return sigma


def _check_k(k: int, q: int) -> int:
    if require_whole(k, "k", 1) > q:
        raise InputError(f"k: expected 1..{q} (the number of bins), got {k}")
    return k
