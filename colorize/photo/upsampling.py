"""Upsample a net's coarse prediction to full size, and reduce an image to the net's input size.

``JointBilateral`` follows the edges of the full-size lightness, so that color ends where an object
ends (Kopf, Cohen, Lischinski and Uyttendaele 2007, "Joint bilateral upsampling"). Everything works
on bands of rows and gives the same result as on the whole image at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import ceil, floor
from typing import NamedTuple

import torch
from torch import Tensor

METHODS = ("bilateral", "bilinear")
RANGE_SIGMA = 10.0
"""Standard deviation of the weight by lightness, in units of L."""
RANGE_FLOOR = 0.03
"""Weight by lightness that every coarse neighbor has at least."""

Extent = tuple[float, float]

# A few planes of this many pixels fit into the cache of a processor.
_BAND_PIXELS = 2**17
# Cells or columns that one matrix covers; most images fit into one.
_BLOCK = 1024
_MIDDLE_L = 50.0


class Bilinear:
    """Upsample by linear interpolation, without a guide.

    Args:
        values: (N, C, h, w) on the coarse grid.
        size: height and width of the full image.
        extent: rows and columns of cells that the image covers, from the upper left corner; None
            for all. A net that pads its input predicts more cells than the image covers.
    """

    def __init__(self, values: Tensor, size: tuple[int, int], extent: Extent | None = None) -> None:
        rows, columns = extent or values.shape[2:]
        self._down = _positions(size[0], rows)
        across = _positions(size[1], columns).split(_BLOCK)
        w = values.shape[3]
        parts = [_product(values, _bilinear_matrix(p, w, values.device).T) for p in across]
        self._wide = torch.cat(parts, 3)

    def rows(self, L: Tensor, first: int) -> Tensor:
        """Give (N, C, R, W) float32, the rows from ``first`` on; of L only the height R is used."""
        positions = self._down[first : first + L.shape[2]]
        h = self._wide.shape[2]
        return _product(_bilinear_matrix(positions, h, self._wide.device), self._wide)


class JointBilateral:
    """Upsample along edges of lightness: a weighted mean over the 3x3 nearest coarse cells.

    The weight of a cell is ``B(dx) B(dy) (exp(-(L - guide)^2 / (2 RANGE_SIGMA^2)) + RANGE_FLOOR)``.
    B is the quadratic B-spline. It reaches 0 where a cell leaves the 3x3 window, and the floor
    keeps one distant cell of the right lightness from taking over suddenly: so no borders between
    cells become visible. Cells at the border of the image are repeated beyond it.

    Args:
        values, size, extent: as in ``Bilinear``.
        guide: (N, 1, h, w), mean L in 0..100 of each coarse cell.
    """

    def __init__(
        self,
        values: Tensor,
        guide: Tensor,
        size: tuple[int, int],
        extent: Extent | None = None,
    ) -> None:
        h, w = values.shape[2:]
        rows, columns = extent or (h, w)
        self._values, self._size = values.float(), size
        # exp(-(L - g)^2 / 2s^2) is exp(-L^2 / 2s^2), which all cells share, times exp(slope L + c):
        # one product and one sum for each pixel and cell. L is counted from the middle of its
        # range, which keeps the numbers far from the limits of float32.
        g = guide.float() - _MIDDLE_L
        self._slope = g / RANGE_SIGMA**2
        self._constant = g.square() / (-2 * RANGE_SIGMA**2)
        self._row_cells, self._row_weights = _spline(size[0], h, rows, values.device)
        self._column_cells, self._column_weights = _spline(size[1], w, columns, values.device)
        # On the CPU, as it is read row by row.
        self._middle_rows = self._row_cells[1].tolist()

    def rows(self, L: Tensor, first: int) -> Tensor:
        """Give (N, C, R, W) float32, the rows from ``first`` on; L: (N, 1, R, W), 0..100."""
        full = torch.empty(*self._values.shape[:2], *L.shape[2:], device=L.device)
        for start, stop in self._runs(first, L.shape[2]):
            band = slice(start - first, stop - first)
            full[:, :, band] = self._run(L[:, :, band].float() - _MIDDLE_L, start, stop)
        return full

    def _runs(self, first: int, count: int) -> Iterator[tuple[int, int]]:
        """Yield runs of rows that share their three coarse rows; long runs are cut."""
        longest = max(1, _BAND_PIXELS // self._size[1])
        start = first
        for row in range(first + 1, first + count + 1):
            ends = row == first + count or self._middle_rows[row] != self._middle_rows[start]
            if ends or row - start == longest:
                yield start, row
                start = row

    def _run(self, centered: Tensor, start: int, stop: int) -> Tensor:
        floor = centered.square().div_(2 * RANGE_SIGMA**2).exp_().mul_(RANGE_FLOOR)
        total = torch.zeros_like(centered)
        weighted = centered.new_zeros(*self._values.shape[:2], *centered.shape[2:])
        weight = torch.empty_like(centered)
        for i in range(3):
            down = self._row_weights[i, start:stop, None]
            slopes, constants, values = (
                plane[:, :, self._row_cells[i, start], self._column_cells]
                for plane in (self._slope, self._constant, self._values)
            )
            for j in range(3):
                slope, constant, value = (
                    plane[:, :, None, j] for plane in (slopes, constants, values)
                )
                torch.addcmul(constant, slope, centered, out=weight)
                weight.exp_().add_(floor).mul_(self._column_weights[j]).mul_(down)
                total += weight
                weighted.addcmul_(weight, value)
        return weighted.div_(total)


Upsampler = Bilinear | JointBilateral


def make_upsampler(
    method: str,
    values: Tensor,
    guide: Tensor,
    size: tuple[int, int],
    extent: Extent | None = None,
) -> Upsampler:
    """Make an upsampler by its name out of ``METHODS``; arguments as in the classes."""
    if method == "bilinear":
        return Bilinear(values, size, extent)
    return JointBilateral(values, guide, size, extent)


class AreaReduction:
    """Average an image over the cells of a smaller grid, from bands of rows.

    Args:
        size: height and width of the image.
        target: height and width of the grid; the sizes need not divide each other.
        device: the device of the bands.
    """

    def __init__(
        self, size: tuple[int, int], target: tuple[int, int], device: torch.device
    ) -> None:
        self._down = _area_blocks(target[0], size[0], device)
        self._across = _area_blocks(target[1], size[1], device)
        self.mean = torch.zeros(1, 1, *target, device=device)
        """(1, 1, h, w), complete after every row was added once."""

    def add(self, L: Tensor, first: int) -> None:
        """Add the rows (1, 1, R, W) from ``first`` on."""
        last = first + L.shape[2]
        narrow = [_product(L[..., b.start : b.stop], b.shares.T) for b in self._across]
        wide = torch.cat(narrow, 3)
        for block in self._down:
            start, stop = max(first, block.start), min(last, block.stop)
            if start < stop:
                shares = block.shares[:, start - block.start : stop - block.start]
                cells = slice(block.cell, block.cell + len(shares))
                self.mean[:, :, cells] += _product(shares, wide[:, :, start - first : stop - first])


class _Block(NamedTuple):
    """The shares of pixels ``start`` to ``stop`` in the means of some cells, from ``cell`` on."""

    cell: int
    start: int
    stop: int
    shares: Tensor


# Positions are float64, which not every device knows; only the weights go to the device.
def _positions(full: int, extent: float) -> Tensor:
    """Give the centers of the full-size pixels in coarse cells: (full,) float64."""
    return (torch.arange(full, dtype=torch.float64) + 0.5) * (extent / full)


def _spline(full: int, cells: int, extent: float, device: torch.device) -> tuple[Tensor, Tensor]:
    """Give the three nearest cells of every pixel, (3, full) int64, and their B-spline weights."""
    position = _positions(full, extent)
    nearest = position.floor().clamp(max=cells - 1)
    off = position - nearest - 0.5
    weights = torch.stack(((0.5 - off).square() / 2, 0.75 - off.square(), (0.5 + off).square() / 2))
    near = (nearest.long() + torch.arange(-1, 2)[:, None]).clamp(0, cells - 1)
    return near.to(device), weights.float().to(device)


def _bilinear_matrix(positions: Tensor, cells: int, device: torch.device) -> Tensor:
    """Make (positions, cells); each row sums to 1 and has at most two entries above 0."""
    distance = (positions - 0.5).clamp(0, cells - 1)[:, None] - torch.arange(cells)
    return distance.abs_().neg_().add_(1).clamp_(min=0).float().to(device)


def _area_blocks(cells: int, full: int, device: torch.device) -> list[_Block]:
    """Give the share of each pixel in the mean of each cell, for some cells at a time.

    A matrix of all cells and pixels would grow with the square of the side.
    """
    edges = torch.arange(cells + 1, dtype=torch.float64) * (full / cells)
    blocks = []
    for cell in range(0, cells, _BLOCK):
        ends = edges[cell : cell + _BLOCK + 1]
        start, stop = floor(float(ends[0])), min(full, ceil(float(ends[-1])))
        pixels = torch.arange(start, stop, dtype=torch.float64)
        shares = torch.minimum(ends[1:, None], pixels + 1)
        shares -= torch.maximum(ends[:-1, None], pixels)
        shares = shares.clamp_(min=0).mul_(cells / full).float().to(device)
        blocks.append(_Block(cell, start, stop, shares))
    return blocks


def _product(left: Tensor, right: Tensor) -> Tensor:
    # Autocast would round the product to half precision: whole units of L.
    with torch.autocast(left.device.type, enabled=False):
        return left.float() @ right.float()
