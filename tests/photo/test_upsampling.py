"""Upsampling and reduction against brute force in float64, in bands as in one piece."""

from __future__ import annotations

from math import exp, floor

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from colorize.color.lab import rgb_to_lab
from colorize.photo import upsampling
from colorize.photo.upsampling import (
    METHODS,
    AreaReduction,
    Bilinear,
    Extent,
    JointBilateral,
    make_upsampler,
)

# Coarse grid, full size, extent: ratios that are whole, not whole, below 1, and padded answers.
CASES: list[tuple[tuple[int, int], tuple[int, int], Extent | None]] = [
    ((4, 6), (16, 24), None),
    ((5, 3), (17, 22), None),
    ((5, 7), (23, 31), (4.25, 6.5)),
    ((1, 1), (3, 9), (0.4, 0.7)),
    ((1, 9), (1, 50), None),
    ((8, 8), (5, 3), (7.5, 0.8)),
]


def _inputs(
    coarse: tuple[int, int], size: tuple[int, int], n: int = 2, channels: int = 3
) -> tuple[Tensor, Tensor, Tensor]:
    """Values, guide and full-size lightness, over their whole ranges."""
    values = (torch.rand(n, channels, *coarse) - 0.5) * 200
    return values, torch.rand(n, 1, *coarse) * 100, torch.rand(n, 1, *size) * 100


def _spline(t: float) -> float:
    """The quadratic B-spline, from its definition: a box convolved with itself twice."""
    t = abs(t)
    if t <= 0.5:
        return 0.75 - t * t
    return (1.5 - t) ** 2 / 2 if t < 1.5 else 0.0


def _brute_force(
    values: np.ndarray, guide: np.ndarray, L: np.ndarray, extent: Extent
) -> np.ndarray:
    """One picture, (C, h, w), (h, w) and (H, W), pixel by pixel and cell by cell."""
    (h, w), (height, width) = guide.shape, L.shape
    found = np.empty((len(values), height, width))
    for y in range(height):
        for x in range(width):
            row, column = (y + 0.5) * extent[0] / height, (x + 0.5) * extent[1] / width
            total, sums = 0.0, np.zeros(len(values))
            for i in range(floor(row) - 1, floor(row) + 2):
                for j in range(floor(column) - 1, floor(column) + 2):
                    inside = min(max(i, 0), h - 1), min(max(j, 0), w - 1)
                    near = _spline(row - i - 0.5) * _spline(column - j - 0.5)
                    alike = exp(-((L[y, x] - guide[inside]) ** 2) / (2 * 10.0**2))
                    weight = near * (alike + 0.03)
                    total += weight
                    sums += weight * values[(slice(None), *inside)]
            found[:, y, x] = sums / total
    return found


@pytest.mark.parametrize(("coarse", "size", "extent"), CASES)
def test_bilateral_is_what_its_definition_says(
    coarse: tuple[int, int], size: tuple[int, int], extent: Extent | None
) -> None:
    values, guide, L = _inputs(coarse, size)
    found = JointBilateral(values, guide, size, extent).rows(L, 0)
    assert found.dtype == torch.float32
    for i in range(2):
        one = (values[i].double(), guide[i, 0].double(), L[i, 0].double())
        expected = _brute_force(*(t.numpy() for t in one), extent or coarse)
        np.testing.assert_allclose(found[i].numpy(), expected, rtol=0, atol=2e-3)


@pytest.mark.parametrize(("coarse", "size", "extent"), CASES)
def test_bilinear_is_that_of_torch(
    coarse: tuple[int, int], size: tuple[int, int], extent: Extent | None
) -> None:
    values, _, L = _inputs(coarse, size)
    expected = _interpolated(values.double(), size, extent or coarse)
    full = Bilinear(values, size, extent).rows(L, 0)
    torch.testing.assert_close(full.double(), expected, atol=1e-4, rtol=0)


def _interpolated(values: Tensor, size: tuple[int, int], extent: Extent) -> Tensor:
    """By grid_sample, whose coordinates run from -1 to 1 over the whole grid."""
    axes = [
        (torch.arange(s).double() + 0.5) * e / s / c * 2 - 1
        for s, e, c in zip(size, extent, values.shape[2:], strict=True)
    ]
    rows, columns = torch.meshgrid(*axes, indexing="ij")
    grid = torch.stack((columns, rows), -1).expand(len(values), -1, -1, -1)
    return F.grid_sample(values, grid, padding_mode="border", align_corners=False)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("bands", [[1] * 37, [36, 1], [5, 20, 12], [0, 37]])
def test_bands_are_the_rows_of_the_whole(
    method: str, bands: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    values, guide, L = _inputs((5, 6), (37, 29))
    whole = make_upsampler(method, values, guide, (37, 29), (4.5, 6)).rows(L, 0)
    # Inside a band the work is cut again.
    monkeypatch.setattr(upsampling, "_BAND_PIXELS", 3 * 29)
    monkeypatch.setattr(upsampling, "_BLOCK", 10)
    parts = make_upsampler(method, values, guide, (37, 29), (4.5, 6))
    first, found = 0, []
    for rows in bands:
        found.append(parts.rows(L[:, :, first : first + rows], first))
        first += rows
    torch.testing.assert_close(torch.cat(found, 2), whole, atol=1e-4, rtol=0)
    if method == "bilateral":
        assert torch.equal(torch.cat(found, 2), whole)


@pytest.mark.parametrize(("light", "cells"), [(0.0, 100.0), (100.0, 0.0), (50.0, 0.0)])
def test_lightness_unlike_all_of_its_cells_still_has_a_color(light: float, cells: float) -> None:
    """The weights are then of the order of exp(-50), all of them."""
    values = torch.rand(1, 2, 4, 4)
    guide = torch.full((1, 1, 4, 4), cells)
    L = torch.full((1, 1, 64, 64), light)
    found = JointBilateral(values, guide, (64, 64)).rows(L, 0)
    even = JointBilateral(values, guide, (64, 64)).rows(torch.full_like(L, cells), 0)
    # All cells are equally unlike: what is left is the weight of their places.
    torch.testing.assert_close(found, even, atol=1e-4, rtol=0)


def test_color_ends_where_lightness_does() -> None:
    """Half a coarse cell off the grid, where bilinear bleeds over two cells."""
    L = torch.full((1, 1, 64, 64), 20.0)
    L[..., 36:] = 80.0
    ab = torch.where(L > 50, 60.0, -40.0)
    coarse, guide = F.avg_pool2d(ab, 8), F.avg_pool2d(L, 8)
    off = {m: (make_upsampler(m, coarse, guide, (64, 64)).rows(L, 0) - ab).abs() for m in METHODS}
    assert off["bilateral"].mean() < off["bilinear"].mean() / 3
    # A pixel beside the edge, on either side of it.
    assert off["bilateral"][..., 35:37].max() < 20 < 40 < off["bilinear"][..., 35:37].max()


def test_bilateral_beats_bilinear_on_a_photograph(photo: Tensor) -> None:
    lab = rgb_to_lab(F.avg_pool2d(photo.float() / 255, 2))
    L, ab = lab[:, :1], lab[:, 1:]
    for factor in (4, 8):
        coarse = F.avg_pool2d(lab, factor)
        errors = [
            (make_upsampler(m, coarse[:, 1:], coarse[:, :1], (256, 256)).rows(L, 0) - ab)
            for m in METHODS
        ]
        bilateral, bilinear = (float(e.square().mean().sqrt()) for e in errors)
        assert bilateral < 0.93 * bilinear


def test_no_border_between_cells_is_seen() -> None:
    """Color is continuous across the line where the 3x3 window moves on."""
    values, guide, _ = _inputs((4, 4), (1, 1), n=4)
    # One cell alone is as light as the pixels.
    guide[:, :, 2, 2] = 30
    guide[:, :, :2] = guide[:, :, 3:] = 80
    L = torch.full((4, 1, 4000, 4), 30.0)
    found = JointBilateral(values, guide, (4000, 4)).rows(L, 0)
    # 1000 rows a cell, and differences of up to 200 between the cells.
    assert found.diff(dim=2).abs().max() < 4


# --- reduction ---------------------------------------------------------------------------------


def _mean_over_cells(L: np.ndarray, target: tuple[int, int]) -> np.ndarray:
    """By an integral over the plane, in float64: exact for cells that cut through pixels."""
    integral = np.zeros((L.shape[0] + 1, L.shape[1] + 1))
    integral[1:, 1:] = L.astype(np.float64).cumsum(0).cumsum(1)
    for axis, cells in enumerate(target):
        edges = np.linspace(0, L.shape[axis], cells + 1)
        at = np.arange(L.shape[axis] + 1)
        integral = np.apply_along_axis(
            lambda line, edges=edges, at=at: np.interp(edges, at, line), axis, integral
        )
    area = L.shape[0] / target[0] * L.shape[1] / target[1]
    return np.diff(np.diff(integral, axis=0), axis=1) / area


@pytest.mark.parametrize(
    ("size", "target"),
    [
        ((24, 36), (6, 9)),
        ((31, 50), (7, 13)),
        ((9, 9), (9, 9)),
        ((5, 200), (1, 3)),
        ((7, 8), (6, 7)),
    ],
)
@pytest.mark.parametrize(("rows", "block"), [(1, 1024), (4, 2), (1000, 5)])
def test_reduction_is_the_mean_over_each_cell(
    size: tuple[int, int],
    target: tuple[int, int],
    rows: int,
    block: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(upsampling, "_BLOCK", block)
    L = torch.rand(1, 1, *size) * 100
    reduction = AreaReduction(size, target, L.device)
    for first in range(0, size[0], rows):
        reduction.add(L[:, :, first : first + rows], first)
    expected = _mean_over_cells(L[0, 0].numpy(), target)
    np.testing.assert_allclose(reduction.mean[0, 0].numpy(), expected, rtol=0, atol=1e-4)
    if size == target:
        torch.testing.assert_close(reduction.mean, L)


@pytest.mark.parametrize("size", [(40, 20000), (20000, 40)])
def test_a_narrow_image_takes_no_square_of_its_long_side(size: tuple[int, int]) -> None:
    reduction = AreaReduction(size, (size[0] // 2, size[1] // 2), torch.device("cpu"))
    entries = sum(b.shares.numel() for b in (*reduction._down, *reduction._across))
    assert entries < 4000 * sum(size)
    reduction.add(torch.ones(1, 1, *size), 0)
    torch.testing.assert_close(reduction.mean, torch.ones_like(reduction.mean))


def test_autocast_changes_nothing() -> None:
    values, guide, L = _inputs((4, 4), (20, 20), n=1)
    reduction = [AreaReduction((20, 20), (5, 5), L.device) for _ in range(2)]
    plain = [make_upsampler(m, values, guide, (20, 20)).rows(L, 0) for m in METHODS]
    reduction[0].add(L, 0)
    with torch.autocast("cpu", torch.bfloat16):
        cast = [make_upsampler(m, values, guide, (20, 20)).rows(L, 0) for m in METHODS]
        reduction[1].add(L, 0)
    assert all(torch.equal(a, b) for a, b in zip(plain, cast, strict=True))
    assert torch.equal(reduction[0].mean, reduction[1].mean)
