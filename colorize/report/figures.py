"""The figures. Each function returns a matplotlib figure made from results, and saves nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Sized
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from torch import Tensor

from colorize import paths, storage
from colorize.color.lab import lab_to_rgb
from colorize.errors import InputError
from colorize.report.tables import METRICS, Results, measured

_MIDDLE_L = 65.0
_MARKS = "osD^vP*X<>ph"


def save(figure: Figure, name: str, folder: Path | None = None) -> Figure:
    """Write ``GRAPHS/<name>.png`` and return the figure, so that a notebook cell shows it."""
    folder = paths.graphs() if folder is None else folder
    with storage.atomic_write(folder / f"{name}.png") as temporary:
        figure.savefig(temporary, dpi=110)
    return figure


def bins_figure(bin_centers: Tensor) -> Figure:
    """The ab bins, each in its own color at L = 65."""
    figure, (axes,) = _row(1, 4.6, 4.2)
    ab_axes(axes)
    a, b = bin_centers.T.tolist()
    axes.scatter(b, a, c=_bin_colors(bin_centers), marker="s", s=38)
    axes.set_title(f"{len(bin_centers)} bins of the ab plane (L = {_MIDDLE_L:.0f})")
    return figure


def prior_figure(
    priors: Mapping[str, Tensor], bin_centers: Tensor, weights: Mapping[str, Tensor] | None = None
) -> Figure:
    """Priors over the ab plane on a logarithmic scale; class weights below them where given.

    Args:
        priors: (Q,) by name. weights: (Q,) by the same names.
    """
    require_some(priors, "priors")
    if weights is not None and weights.keys() != priors.keys():
        raise InputError(f"weights: expected those of {', '.join(priors)}; got {list(weights)}")
    rows = 2 if weights else 1
    n = len(priors)
    figure = Figure(figsize=(3.6 * n + 0.8, 3.2 * rows), layout="constrained")
    axes = figure.subplots(rows, n, squeeze=False, sharex=True, sharey=True)
    a, b = bin_centers.T.tolist()
    for column, (name, prior) in enumerate(priors.items()):
        drawn = axes[0, column].scatter(
            b, a, c=prior.clamp(min=1e-7), marker="s", s=26, norm=LogNorm(1e-6, 1e-1)
        )
        axes[0, column].set_title(name)
        if weights:
            weighted = axes[1, column].scatter(
                b, a, c=weights[name], marker="s", s=26, norm=LogNorm(0.05, 20), cmap="magma"
            )
    for axis in axes.flat:
        ab_axes(axis)
    figure.colorbar(drawn, ax=axes[0].tolist(), label="prior (10⁻⁶ and less: dark)")
    if weights:
        figure.colorbar(weighted, ax=axes[1].tolist(), label="class weight")
    return figure


def ab_histogram(ab: Tensor, bin_centers: Tensor) -> Figure:
    """How often each ab value occurs in (N, 2, H, W) ab, on a logarithmic scale, with the bins."""
    figure, (axes,) = _row(1, 5.2, 4.2)
    edges = np.arange(-110, 111)
    a, b = ab.movedim(1, -1).reshape(-1, 2).T.cpu().numpy()
    drawn = axes.hist2d(b, a, bins=[edges, edges], norm=LogNorm(), cmap="viridis")[3]
    axes.scatter(bin_centers[:, 1], bin_centers[:, 0], s=3, c="tab:red", label="bins in gamut")
    ab_axes(axes)
    axes.legend(loc="upper left", fontsize=8)
    figure.colorbar(drawn, ax=axes, label="pixels")
    return figure


def learning_curves(results: Results) -> Figure:
    """Loss of training and validation for every model, and colorfulness along training."""
    require_some(results, "results")
    n = len(results)
    columns = min(3, n)
    rows = -(-n // columns)
    # A single panel is wide enough for the legend.
    width = 5.6 if n == 1 else 3.7 * columns
    figure = Figure(figsize=(width, 2.6 * rows + 0.4), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False).flatten()
    for i, (axis, (name, result)) in enumerate(zip(grid, results.items(), strict=False)):
        curve = result["curve"]
        images = [point["images"] / 1000 for point in curve]
        axis.plot(images, [p["train_loss"] for p in curve], label="training loss")
        axis.plot(images, [p["val_loss"] for p in curve], label="validation loss")
        axis.set_title(name, fontsize=10)
        axis.set_xlabel("thousand images")
        color = axis.twinx()
        color.plot(images, [p["colorfulness"] for p in curve], "k:", lw=1, label="colorfulness")
        truth = curve[-1]["colorfulness_truth"]
        color.axhline(truth, color="tab:green", ls="--", lw=1, label="colorfulness of the truth")
        color.set_ylim(0, 1.1 * max(truth, *(p["colorfulness"] for p in curve)))
        if i % columns == 0:
            axis.set_ylabel("loss")
        if i % columns == columns - 1 or i == n - 1:
            color.set_ylabel("colorfulness")
        lines = [*axis.get_lines(), *color.get_lines()]
    for axis in grid[n:]:
        axis.remove()
    figure.legend(lines, [line.get_label() for line in lines], loc="outside upper center", ncols=2)
    return figure


def metric_bars(results: Results, metrics: Sequence[str], *, bounds: bool = True) -> Figure:
    """Bars of some metrics on the test set, one bar an experiment: the mean over its seeds, a dot
    for each seed where there are several, and a line for the standard error over the images.

    Args:
        metrics: of ``colorize.report.tables.METRICS``; those that no result has are left out.
        bounds: draw grey, and for colorfulness the truth, as dashed lines.
    """
    require_some(results, "results")
    require_some(metrics, "metrics")
    unknown = [m for m in metrics if m not in METRICS]
    if unknown:
        raise InputError(f"metrics: expected some of {', '.join(METRICS)}; got {unknown}")
    runs: dict[str, list[Mapping[str, Any]]] = {}
    for result in results.values():
        runs.setdefault(result["experiment"]["name"], []).append(result)
    there = [
        m for m in metrics if any(measured(r["test"], m) is not None for r in results.values())
    ]
    require_some(there, "metrics that were measured")
    figure, axes = _row(len(there), 3.2, 1.2 + 0.3 * len(runs))
    some = next(iter(results.values()))
    for index, (axis, metric) in enumerate(zip(axes, there, strict=True)):
        for row, own in enumerate(runs.values()):
            _draw_bar(axis, row, [result["test"] for result in own], metric)
        axis.set_xlabel(METRICS[metric].title)
        axis.set_yticks(range(len(runs)), list(runs) if index == 0 else [""] * len(runs))
        axis.set_ylim(len(runs) - 0.4, -0.6)
        if bounds:
            _draw_bounds(axis, some, metric)
    handles = _handles(axes)
    if handles:
        figure.legend(
            handles.values(), handles.keys(), loc="outside upper right", ncols=2, fontsize=8
        )
    return figure


def capacity_chart(
    results: Results,
    rates: Mapping[str, float],
    metrics: Sequence[str] = ("rmse_ab", "colorfulness_error"),
) -> Figure:
    """Quality against parameters, and against the time of training, one point a run and one mark an
    experiment.

    Args:
        rates: images a second that training takes in, by the class of the model, measured in one
            run on one machine (``benchmarks/speed.py``); the time is that of the images that a
            model has seen. Models without a rate are left out.
    """
    shown = [r for r in results.values() if r["experiment"]["model"] in rates]
    require_some(shown, "results with a rate")
    names = list(dict.fromkeys(r["experiment"]["name"] for r in shown))
    figure = Figure(figsize=(8.4, 2.8 * len(metrics) + 0.8), layout="constrained")
    grid = figure.subplots(len(metrics), 2, squeeze=False, sharey="row")
    for line, metric in zip(grid, metrics, strict=True):
        for r in shown:
            name = r["experiment"]["name"]
            index = names.index(name)
            minutes = r["images_seen"] / rates[r["experiment"]["model"]] / 60
            value = measured(r["test"], metric)
            if value is None:
                continue
            mark, color = _MARKS[index % len(_MARKS)], f"C{index % 10}"
            for axis, x in zip(line, (r["parameters"] / 1e6, minutes), strict=True):
                axis.plot(x, METRICS[metric].scale * value, mark, color=color, ms=7, label=name)
        line[0].set_ylabel(METRICS[metric].title)
        for axis, title in zip(line, ("million parameters", "minutes of training"), strict=True):
            axis.set_xlabel(title)
            axis.set_xlim(left=0, right=1.05 * axis.get_xlim()[1])
            axis.grid(color="0.92")
    handles = _handles(grid.flatten())
    figure.legend(handles.values(), handles.keys(), loc="outside upper center", ncols=3, fontsize=8)
    return figure


def temperature_curves(results: Results) -> Figure:
    """RMSE ab, PSNR and colorfulness against the temperature, from T = 1 to 0, for every model."""
    require_some(results, "results")
    figure, axes = _row(3, 3.6, 3.2)
    for axis, metric in zip(axes, ("rmse_ab", "psnr", "colorfulness"), strict=True):
        for name, result in results.items():
            points = result["sweep"]
            if points:
                axis.plot(
                    [p["temperature"] for p in points],
                    [p[metric]["mean"] for p in points],
                    marker="o",
                    ms=3,
                    label=name,
                )
        axis.set_xlabel("temperature T")
        axis.set_ylabel(METRICS[metric].title)
        axis.set_xlim(1.03, -0.03)
    some = next(iter(results.values()))
    truth = some["test"]["colorfulness_truth"]["mean"]
    axes[-1].axhline(truth, color="tab:green", ls="--", label="truth")
    handles, labels = axes[-1].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=4, fontsize=8)
    return figure


def comparison_grid(
    rows: Mapping[str, Sequence[np.ndarray]],
    columns: Sequence[str] | None = None,
    *,
    side: float = 1.25,
) -> Figure:
    """Pictures side by side: one row a model, one column an image.

    Args:
        rows: (H, W, 3) uint8 images by the row's name, equally many in each row.
        columns: titles; None for none. With them the rows' names are left out.
        side: width of a picture in inches.
    """
    counts = {len(images) for images in rows.values()}
    if len(counts) != 1 or 0 in counts:
        raise InputError(f"rows: expected equally many images in each row, got {sorted(counts)}")
    n = counts.pop()
    first = next(iter(rows.values()))
    ratio = float(np.median([image.shape[0] / image.shape[1] for image in first]))
    left = 0.0 if columns else 1.7
    top = 0.3 if columns else 0.0
    width, height = left + side * n, top + side * ratio * len(rows)
    figure = Figure(figsize=(width, height))
    grid = figure.subplots(
        len(rows),
        n,
        squeeze=False,
        gridspec_kw={
            "left": left / width,
            "right": 1,
            "top": 1 - top / height,
            "bottom": 0,
            "wspace": 0.03,
            "hspace": 0.03,
        },
    )
    for line, (name, images) in zip(grid, rows.items(), strict=True):
        for axis, image in zip(line, images, strict=True):
            axis.imshow(image, interpolation="nearest")
            axis.set_axis_off()
        if not columns:
            line[0].text(-0.05, 0.5, name, transform=line[0].transAxes, ha="right", va="center")
    for axis, title in zip(grid[0], columns or [], strict=False):
        axis.set_title(title, fontsize=9)
    return figure


def _draw_bar(axis: Axes, row: int, tests: Sequence[Mapping[str, Any]], metric: str) -> None:
    scale = METRICS[metric].scale
    values = [scale * v for test in tests if (v := measured(test, metric)) is not None]
    if not values:
        return
    first = next(test for test in tests if measured(test, metric) is not None)
    # A metric of all images together has no spread, but may know the share of each image.
    single = first.get("images", {}).get(metric)
    spread = first[metric].get("std", float(np.std(single)) if single else 0.0)
    error = scale * spread / first["n"] ** 0.5
    mean = sum(values) / len(values)
    axis.barh(row, mean, xerr=error or None, color="tab:blue", height=0.6)
    if len(values) > 1:
        axis.plot(values, [row] * len(values), "k.", ms=5)


def _draw_bounds(axis: Axes, result: Mapping[str, Any], metric: str) -> None:
    scale = METRICS[metric].scale
    grey = measured(result["grey"], metric)
    truth = measured(result["test"], f"{metric}_truth")
    if grey is not None:
        axis.axvline(scale * grey, color="grey", ls="--", label="grey")
    if truth is not None:
        axis.axvline(scale * truth, color="tab:green", ls="--", label="truth")


def _handles(axes: Iterable[Axes]) -> dict[str, Any]:
    """What a legend of several panels shows, each label once."""
    found: dict[str, Any] = {}
    for axis in axes:
        handles, labels = axis.get_legend_handles_labels()
        found.update(zip(labels, handles, strict=True))
    return found


def require_some(values: Sized, name: str) -> None:
    if not len(values):
        raise InputError(f"{name}: expected at least one to draw, got none")


def _row(n: int, width: float, height: float) -> tuple[Figure, list[Axes]]:
    figure = Figure(figsize=(width * n, height), layout="constrained")
    return figure, list(figure.subplots(1, n, squeeze=False)[0])


def ab_axes(axes: Axes) -> None:
    axes.set_aspect("equal")
    axes.set_xlim(-118, 118)
    axes.set_ylim(118, -118)
    axes.set_xlabel("b")
    axes.set_ylabel("a")


def _bin_colors(bin_centers: Tensor) -> np.ndarray:
    lab = torch.cat((torch.full((len(bin_centers), 1), _MIDDLE_L), bin_centers.cpu()), 1)
    return lab_to_rgb(lab[:, :, None, None])[:, :, 0, 0].numpy()
