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
from colorize.evaluation.evaluate import LabelledExample
from colorize.report.statistics import Results, group_by_experiment, value_of
from colorize.report.tables import METRICS

_MIDDLE_L = 65.0
_MARKS = "osD^v"
_ABLATION_METRICS = ("top1", "rmse_ab", "colorfulness")


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
    runs = group_by_experiment(results)
    there = [
        m for m in metrics if any(value_of(r["test"], m) is not None for r in results.values())
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


def ablation_figure(
    results: Results, prefix: str, metrics: Sequence[str] = _ABLATION_METRICS
) -> Figure:
    """By how much each experiment of a subject differs from its joint net: a dot for every seed,
    and the bar of their mean.

    A seed is also a division of the images, so the two are compared on the same test images;
    experiments that were tested on others (study B's split_by) are left out.

    Raises:
        InputError: when there is no result of the joint net of that subject.
    """
    grouped = {
        name: {run["experiment"]["seed"]: run for run in runs}
        for name, runs in group_by_experiment(results).items()
        if name.startswith(f"{prefix}-")
    }
    joint = grouped.pop(f"{prefix}-joint", {})
    if not joint:
        raise InputError(f"results: expected those of {prefix}-joint, got none")
    grouped.pop(f"{prefix}-tail", None)
    figure = Figure(figsize=(3.2 * len(metrics) + 1.2, 0.29 * len(grouped) + 1.2))
    figure.set_layout_engine("constrained")
    panels = figure.subplots(1, len(metrics), sharey=True, squeeze=False)[0]
    for axes, metric in zip(panels, metrics, strict=True):
        shown = METRICS[metric]
        axes.axvline(0, color="0.6", lw=0.8, ls="--", zorder=0)
        for row, runs in enumerate(reversed(grouped.values())):
            changes = {}
            for seed in runs.keys() & joint.keys():
                ours, theirs = runs[seed]["test"], joint[seed]["test"]
                if metric in ours:
                    changes[seed] = shown.factor * (ours[metric]["mean"] - theirs[metric]["mean"])
            if changes:
                mean = sum(changes.values()) / len(changes)
                axes.plot([mean, mean], [row - 0.32, row + 0.32], color="black", lw=1.6)
            for seed, value in changes.items():
                axes.plot(value, row, _MARKS[seed % len(_MARKS)], color=f"C{seed % 10}", ms=4.5)
        arrow = {"higher": ", more is better", "lower": ", less is better", None: ""}
        axes.set_title(f"Δ {shown.title}{arrow[shown.better]}", fontsize=9)
        axes.set_ylim(-0.7, len(grouped) - 0.3)
        axes.grid(axis="y", color="0.92")
        axes.tick_params(labelsize=8)
    names = [name.removeprefix(f"{prefix}-") for name in reversed(grouped)]
    panels[0].set_yticks(range(len(names)), names)
    seeds = sorted({seed for runs in grouped.values() for seed in runs})
    handles = [
        panels[-1].plot([], [], _MARKS[s % len(_MARKS)], color=f"C{s % 10}", ms=4.5)[0]
        for s in seeds
    ]
    labels = [f"seed {seed}" for seed in seeds]
    figure.legend(
        handles,
        labels,
        title=f"difference from {prefix}-joint",
        loc="outside lower center",
        ncols=len(seeds),
        fontsize=8,
        title_fontsize=8,
        frameon=False,
    )
    return figure


def labelled_figure(examples: Sequence[LabelledExample]) -> Figure:
    """One column an example: the grey input, the prediction with its label, and the truth.

    Raises:
        InputError: when there is no example.
    """
    if not examples:
        raise InputError("examples: expected at least one, got none")
    figure = Figure(figsize=(1.45 * len(examples) + 0.5, 5.4))
    figure.set_layout_engine("constrained")
    panels = figure.subplots(3, len(examples), squeeze=False)
    for column, example in enumerate(examples):
        right = example.predicted == example.label
        for axes, image in zip(
            panels[:, column], (example.grey, example.colored, example.truth), strict=True
        ):
            axes.imshow(image)
            axes.set_xticks([])
            axes.set_yticks([])
        said = f"{example.predicted}\n{100 * example.confidence:.0f} %"
        panels[1, column].set_title(said, fontsize=8, color="C2" if right else "C3")
        panels[2, column].set_title(example.label, fontsize=8)
    for axes, title in zip(panels[:, 0], ("input", "prediction", "original"), strict=True):
        axes.set_ylabel(title, fontsize=9)
    return figure


def _draw_bar(axis: Axes, row: int, tests: Sequence[Mapping[str, Any]], metric: str) -> None:
    scale = METRICS[metric].factor
    values = [scale * v for test in tests if (v := value_of(test, metric)) is not None]
    if not values:
        return
    first = next(test for test in tests if value_of(test, metric) is not None)
    # A metric of all images together has no spread, but may know the share of each image.
    single = first.get("images", {}).get(metric)
    spread = first[metric].get("std", float(np.std(single)) if single else 0.0)
    error = scale * spread / first["n"] ** 0.5
    mean = sum(values) / len(values)
    axis.barh(row, mean, xerr=error or None, color="tab:blue", height=0.6)
    if len(values) > 1:
        axis.plot(values, [row] * len(values), "k.", ms=5)


def _draw_bounds(axis: Axes, result: Mapping[str, Any], metric: str) -> None:
    scale = METRICS[metric].factor
    grey = value_of(result["grey"], metric)
    truth = value_of(result["test"], f"{metric}_truth")
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
