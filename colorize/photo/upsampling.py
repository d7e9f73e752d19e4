"""From the size at which a net looks to full size, and back: in bands of rows, on any device.

A net answers on a coarse grid. ``JointBilateral`` brings its color to full size with the full-size
lightness as the guide, so that color ends where lightness does (Kopf, Cohen, Lischinski and
Uyttendaele 2007, "Joint bilateral upsampling"). Nothing here ever needs a whole picture: whatever
is asked for by bands of rows is what the whole would have been.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from colorize.checks import require_choice, require_tensor
from colorize.errors import InputError

METHODS = ("bilateral", "bilinear")
RANGE_SIGMA = 10.0
"""Difference of lightness, in units of L, at which a coarse neighbor counts 0.61 times."""
RANGE_FLOOR = 0.03
"""How much a coarse neighbor counts at least, whatever its lightness."""

Extent = tuple[float, float]

# Several planes of so many pixels stay in a processor's cache.
_BAND_PIXELS = 2**17
_MIDDLE_L = 50.0


class Bilinear:
    """Upsampling without a guide.

    Args:
        values: (N, C, h, w) on the coarse grid.
        size: height and width of the full picture.
        extent: how many coarse cells, from the first corner, the picture covers; None for all of
            them. A net that pads its input answers for more than the picture.

    Raises:
        InputError: when a shape, the size or the extent makes no sense.
    """

    def __init__(self, values: Tensor, size: tuple[int, int], extent: Extent | None = None) -> None:
        values, (rows, columns) = _checked(values, size, extent)
        self._size = size
        self._down = _bilinear_matrix(size[0], values.shape[2], rows, values.device)
        across = _bilinear_matrix(size[1], values.shape[3], columns, values.device)
        self._wide = _product(values, across.T)

    def rows(self, L: Tensor, first: int) -> Tensor:
        """Rows from ``first`` on of the full-size values: (N, C, R, W) float32.

        Args:
            L: (N, 1, R, W), the lightness of these rows; only its shape counts here.
            first: number of the first row.

        Raises:
            InputError: when the rows are not in the picture or L does not fit them.
        """
        _check_rows(L, first, self._wide.shape[0], self._size)
        return _product(self._down[first : first + L.shape[2]], self._wide)


class JointBilateral:
    """Joint bilateral upsampling over the 3x3 nearest coarse cells.

    Each cell's weight is ``B(dx) B(dy) (exp(-(L - guide)^2 / (2 RANGE_SIGMA^2)) + RANGE_FLOOR)``.
    B is the quadratic B-spline: near a Gaussian of sigma 0.5 coarse cells, it is 0 exactly where a
    cell leaves the 3x3 window; and because of the floor a distant cell that alone has the pixel's
    lightness does not take over at once. So no border between cells is seen at large scales. Cells
    beyond the picture's border repeat those at the border.

    Args:
        values: (N, C, h, w) on the coarse grid.
        guide: (N, 1, h, w), the mean of L in 0..100 over each coarse cell.
        size: height and width of the full picture.
        extent: how many coarse cells, from the first corner, the picture covers; None for all of
            them.

    Raises:
        InputError: when a shape, the size or the extent makes no sense.
    """

    def __init__(
        self,
        values: Tensor,
        guide: Tensor,
        size: tuple[int, int],
        extent: Extent | None = None,
    ) -> None:
        values, (rows, columns) = _checked(values, size, extent)
        n, _, h, w = values.shape
        guide = require_tensor(guide, "guide", shape=(n, 1, h, w), floating=True).float()
        self._values, self._size = values, size
        # exp(-(L - g)^2 / 2s^2) is exp(-L^2 / 2s^2), which all cells share, times exp(slope L + c):
        # a product and a sum for each pixel and cell. Counted from the middle of the range, the
        # numbers are far from the limits of float32.
        g = guide - _MIDDLE_L
        self._slope = g / RANGE_SIGMA**2
        self._constant = g.square() / (-2 * RANGE_SIGMA**2)
        self._row_cells, self._row_weights = _spline(size[0], h, rows, values.device)
        self._column_cells, self._column_weights = _spline(size[1], w, columns, values.device)
        # Read row by row, on the processor.
        self._middle_rows = self._row_cells[1].tolist()

    def rows(self, L: Tensor, first: int) -> Tensor:
        """Rows from ``first`` on of the full-size values: (N, C, R, W) float32.

        Args:
            L: (N, 1, R, W), the lightness of these rows, 0..100.
            first: number of the first row.

        Raises:
            InputError: when the rows are not in the picture or L does not fit them.
        """
        n, channels = self._values.shape[:2]
        _check_rows(L, first, n, self._size)
        found = torch.empty(n, channels, *L.shape[2:], device=L.device)
        for start, stop in self._runs(first, L.shape[2]):
            band = slice(start - first, stop - first)
            found[:, :, band] = self._run(L[:, :, band].float() - _MIDDLE_L, start, stop)
        return found

    def _runs(self, first: int, count: int) -> Iterator[tuple[int, int]]:
        """Runs of rows that have the same coarse rows around them, cut where they are long."""
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
    """An upsampler by its name, ``"bilateral"`` or ``"bilinear"``; arguments as in the classes."""
    require_choice(method, "upsampling", METHODS)
    if method == "bilinear":
        return Bilinear(values, size, extent)
    return JointBilateral(values, guide, size, extent)


class AreaReduction:
    """The mean over every cell of a smaller grid, summed up from bands of rows.

    Args:
        size: height and width of the picture.
        target: height and width of the smaller grid; sizes need not divide each other.
        device: where the bands are.

    Raises:
        InputError: when a size makes no sense or the target is the larger one.
    """

    def __init__(
        self, size: tuple[int, int], target: tuple[int, int], device: torch.device
    ) -> None:
        if not all(1 <= t <= s for s, t in zip(size, target, strict=True)):
            raise InputError(f"target: expected a size of at most {size}, got {target}")
        self._size = size
        self._down = _area_matrix(target[0], size[0], device)
        self._across = _area_matrix(target[1], size[1], device).T
        self.mean = torch.zeros(1, 1, *target, device=device)
        """(1, 1, h, w): complete when every row was added once."""

    def add(self, L: Tensor, first: int) -> None:
        """Add the rows (1, 1, R, W) from ``first`` on.

        Raises:
            InputError: when the rows are not in the picture or L does not fit them.
        """
        _check_rows(L, first, 1, self._size)
        rows = slice(first, first + L.shape[2])
        self.mean += _product(self._down[:, rows], _product(L, self._across))


def _checked(values: Tensor, size: tuple[int, int], extent: Extent | None) -> tuple[Tensor, Extent]:
    values = require_tensor(values, "values", shape=(None, None, None, None), floating=True)
    h, w = values.shape[2:]
    if min(h, w, *size) < 1:
        raise InputError(f"size: expected at least one pixel, got {(h, w)} to {size}")
    rows, columns = extent or (h, w)
    if not (0 < rows <= h and 0 < columns <= w):
        raise InputError(f"extent: expected above 0 and at most {(h, w)}, got {extent}")
    return values.float(), (rows, columns)


def _check_rows(L: Tensor, first: int, n: int, size: tuple[int, int]) -> None:
    require_tensor(L, "L", shape=(n, 1, None, size[1]), floating=True)
    if not 0 <= first <= first + L.shape[2] <= size[0]:
        raise InputError(
            f"first: expected rows within 0..{size[0]}, got {first}..{first + L.shape[2]}"
        )


# Positions are float64, which not every device knows; only the weights are brought there.
def _positions(full: int, extent: float) -> Tensor:
    """Centers of the full-size pixels, in coarse cells from the first corner."""
    return (torch.arange(full, dtype=torch.float64) + 0.5) * (extent / full)


def _spline(full: int, cells: int, extent: float, device: torch.device) -> tuple[Tensor, Tensor]:
    """For every pixel the three nearest cells, (3, full) int64, and their B-spline weights."""
    position = _positions(full, extent)
    nearest = position.floor().clamp(max=cells - 1)
    off = position - nearest - 0.5
    weights = torch.stack(((0.5 - off).square() / 2, 0.75 - off.square(), (0.5 + off).square() / 2))
    near = (nearest.long() + torch.arange(-1, 2)[:, None]).clamp(0, cells - 1)
    return near.to(device), weights.float().to(device)


def _bilinear_matrix(full: int, cells: int, extent: float, device: torch.device) -> Tensor:
    """(full, cells); each row has at most two entries above 0 and the sum 1."""
    position = (_positions(full, extent) - 0.5).clamp(0, cells - 1)
    distance = position[:, None] - torch.arange(cells)
    return (1 - distance.abs()).clamp(min=0).float().to(device)


def _area_matrix(cells: int, full: int, device: torch.device) -> Tensor:
    """(cells, full): the share of each pixel in the mean over each cell."""
    edges = torch.arange(cells + 1, dtype=torch.float64) * (full / cells)
    pixels = torch.arange(full, dtype=torch.float64)
    low = torch.maximum(edges[:-1, None], pixels)
    high = torch.minimum(edges[1:, None], pixels + 1)
    return ((high - low).clamp(min=0) * (cells / full)).float().to(device)


def _product(left: Tensor, right: Tensor) -> Tensor:
    # Autocast would round the product to half precision: whole units of L.
    with torch.autocast(left.device.type, enabled=False):
        return left.float() @ right.float()
