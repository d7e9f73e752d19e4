"""The figures of results. Each function returns a matplotlib figure and saves nothing."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence, Sized
from pathlib import Path

import torch
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator
from torch import Tensor

from colorize import paths
from colorize.color.lab import lab_to_rgb
from colorize.errors import InputError
from colorize.report.cells import METRICS
from colorize.report.statistics import (
    Difference,
    Results,
    difference,
    group_by_experiment,
    paired_difference,
    value_of,
)
from colorize.storage import atomic_write

_MIDDLE_L = 65.0
# Lines differ in marker and dashes, so they can be told apart without color.
_STYLES = [("o", "-"), ("s", "--"), ("^", "-."), ("D", ":"), ("v", "-"), ("P", "--"), ("X", "-.")]
_BETTER = {"higher": "→ better", "lower": "← better", None: ""}


def save(figure: Figure, name: str, folder: Path | None = None) -> Figure:
    """Write ``GRAPHS/<name>.png`` and return the figure, so that a notebook cell shows it."""
    folder = paths.graphs() if folder is None else folder
    with atomic_write(folder / f"{name}.png") as temporary:
        figure.savefig(temporary, dpi=110)
    return figure


def bins_figure(bin_centers: Tensor) -> Figure:
    """Draw the (Q, 2) ab bins, each in its own color at L = 65."""
    figure = Figure(figsize=(4.6, 4.2), layout="constrained")
    axes = figure.subplots()
    ab_axes(axes)
    lab = torch.cat((torch.full((len(bin_centers), 1), _MIDDLE_L), bin_centers.cpu()), 1)
    colors = lab_to_rgb(lab[:, :, None, None])[:, :, 0, 0].numpy()
    a, b = bin_centers.T.tolist()
    axes.scatter(b, a, c=colors, marker="s", s=38)
    axes.set_title(f"{len(bin_centers)} bins of the ab plane (L = {_MIDDLE_L:.0f})")
    return figure


def distribution_figure(probabilities: Tensor, bin_centers: Tensor, n: int = 12) -> Figure:
    """Draw the ``n`` likeliest bins of one pixel as bars in their own colors at L = 65.

    Args:
        probabilities: (Q,), sum to 1. bin_centers: (Q, 2).
    """
    chosen = probabilities.argsort(descending=True)[:n]
    lab = torch.cat((torch.full((len(chosen), 1), _MIDDLE_L), bin_centers[chosen].cpu()), 1)
    colors = lab_to_rgb(lab[:, :, None, None])[:, :, 0, 0].numpy()
    figure = Figure(figsize=(6.4, 2.6), layout="constrained")
    axes = figure.subplots()
    axes.bar(range(len(chosen)), probabilities[chosen].tolist(), color=colors, edgecolor="0.3")
    names = [f"{int(a)}\n{int(b)}" for a, b in bin_centers[chosen].tolist()]
    axes.set_xticks(range(len(chosen)), names, fontsize=8)
    axes.set_xlabel("bin: a over b")
    axes.set_ylabel("probability")
    return figure


def prior_figure(
    priors: Mapping[str, Tensor], bin_centers: Tensor, class_weights: Mapping[str, Tensor]
) -> Figure:
    """Draw priors over the ab plane on a logarithmic scale, and class weights below them.

    Args:
        priors, class_weights: (Q,) by the same names.
    """
    require_not_empty(priors, "priors")
    figure = Figure(figsize=(3.4 * len(priors) + 0.8, 6.2), layout="constrained")
    axes = figure.subplots(2, len(priors), squeeze=False, sharex=True, sharey=True)
    a, b = bin_centers.T.tolist()
    for column, (name, prior) in enumerate(priors.items()):
        for row, (values, norm, cmap) in enumerate(
            (
                (prior.clamp(min=1e-7), LogNorm(1e-6, 1e-1), "viridis"),
                (class_weights[name], LogNorm(0.05, 20), "magma"),
            )
        ):
            drawn = axes[row, column].scatter(
                b, a, c=values, marker="s", s=26, norm=norm, cmap=cmap
            )
            ab_axes(axes[row, column])
            if column == len(priors) - 1:
                label = ("prior (10⁻⁶ and less: dark)", "class weight")[row]
                figure.colorbar(drawn, ax=axes[row].tolist(), label=label)
        axes[0, column].set_title(name, fontsize=10)
    return figure


def learning_curves(results: Results) -> Figure:
    """Draw losses and colorfulness along training, with steps on a logarithmic scale. Losses of
    different kinds have axes of their own; colorfulness shares one. Where the first steps were
    validated (``early_steps``), colorfulness before the weights are averaged is drawn too.
    """
    require_not_empty(results, "results")
    n = len(results)
    figure = Figure(figsize=(max(4.0, 2.4 * n + 0.6), 4.6), layout="constrained")
    losses, colors = figure.subplots(2, n, squeeze=False, sharex="col")
    for column, (name, result) in enumerate(results.items()):
        curve = result["curve"]
        steps = [point["step"] for point in curve]
        loss, color = losses[column], colors[column]
        loss.plot(steps, [p["train_loss"] for p in curve], "C0-", label="training loss")
        loss.plot(steps, [p["val_loss"] for p in curve], "C1--", label="validation loss")
        color.plot(steps, [p["colorfulness"] for p in curve], "k-", label="colorfulness")
        raw = [(p["step"], p["raw_colorfulness"]) for p in curve if "raw_colorfulness" in p]
        if raw:
            color.plot(*zip(*raw, strict=True), "C3-.", lw=1, label="before averaging")
        color.axhline(curve[-1]["colorfulness_truth"], color="tab:green", ls=":", label="truth")
        loss.set_title(name, fontsize=9)
        color.set_xscale("log")
        ends = (steps[0], round((steps[0] * steps[-1]) ** 0.5), steps[-1])
        color.set_xticks(ends, [str(step) for step in ends])
        color.xaxis.set_minor_locator(NullLocator())
        color.set_xlabel("step", fontsize=8)
        for axes in (loss, color):
            axes.tick_params(labelsize=7)
    top = max(axes.get_ylim()[1] for axes in colors)
    for axes in colors:
        axes.set_ylim(0, top)
    for axes in (losses[0], colors[0]):
        axes.legend(fontsize=7)
    return figure


def metric_differences(results: Results, metrics: Sequence[str]) -> Figure:
    """Draw every experiment's difference from grey: that of its first run with the 95 % interval
    over the test images, and a cross for each further seed.

    Args:
        metrics: of ``colorize.report.tables.METRICS``, measured for each image.
    """
    require_not_empty(results, "results")
    groups = group_by_experiment(results)
    size = (1.6 + 2.6 * len(metrics), 1.1 + 0.3 * len(groups))
    figure = Figure(figsize=size, layout="constrained")
    panels = figure.subplots(1, len(metrics), squeeze=False, sharey=True)[0]
    for axes, metric in zip(panels, metrics, strict=True):
        for row, runs in enumerate(groups.values()):
            images = [runs[0][part]["images"][metric] for part in ("test", "grey")]
            change = paired_difference([a - b for a, b in zip(*images, strict=True)])
            _draw_difference(axes, row, metric, change)
            for run in runs[1:]:
                value, grey = (value_of(run[part], metric) for part in ("test", "grey"))
                if value is not None and grey is not None:
                    axes.plot(METRICS[metric].factor * (value - grey), row, "x", color="k", ms=5)
        _finish_differences(axes, metric, "grey")
    panels[0].set_yticks(range(len(groups)), list(groups))
    panels[0].invert_yaxis()
    return figure


def temperature_curves(results: Results) -> Figure:
    """Draw RMSE ab, PSNR and colorfulness against the temperature, from T = 1 to 0."""
    swept = {name: result for name, result in results.items() if result["sweep"]}
    require_not_empty(swept, "results with a sweep")
    figure = Figure(figsize=(12, 3.4), layout="constrained")
    panels = figure.subplots(1, 3)
    first = next(iter(swept.values()))
    for axes, metric in zip(panels, ("rmse_ab", "psnr", "colorfulness"), strict=True):
        ends = []
        for (name, result), (marker, dashes) in zip(
            swept.items(), _STYLES * len(swept), strict=False
        ):
            points = result["sweep"]
            values = [p[metric]["mean"] for p in points]
            temperatures = [p["temperature"] for p in points]
            axes.plot(temperatures, values, marker=marker, ls=dashes, ms=4, label=name)
            ends.append((values[-1], name))
        bounds = {"grey": value_of(first["grey"], metric)}
        if metric == "colorfulness":
            bounds["truth"] = first["test"]["colorfulness_truth"]["mean"]
        for name, value in bounds.items():
            if value is not None:
                axes.axhline(value, color="0.4", lw=1, ls=(0, (1, 2)))
                ends.append((value, name))
        _name_ends(axes, ends)
        axes.set_xlabel("temperature T")
        axes.set_ylabel(METRICS[metric].title)
        axes.set_xlim(1.03, -0.03)
    return figure


def ablation_figure(results: Results, prefix: str) -> Figure:
    """Draw each experiment's difference from the joint net: a cross for every seed, their mean, and
    its 95 % interval. A seed is also a split, so both are tested on the same images; experiments
    that were tested on others are left out.

    Args:
        prefix: the subject: "ncd", "dogs", "fruit" or "woof".
    """
    groups = {
        name: {run["experiment"]["seed"]: run for run in runs}
        for name, runs in group_by_experiment(results).items()
        if name.startswith(f"{prefix}-") and name != f"{prefix}-tail"
    }
    metrics = ("top1", "rmse_ab", "colorfulness")
    joint = groups.pop(f"{prefix}-joint", {})
    require_not_empty(joint, f"results of {prefix}-joint")
    figure = Figure(
        figsize=(3.0 * len(metrics) + 1.4, 0.29 * len(groups) + 1.0), layout="constrained"
    )
    panels = figure.subplots(1, len(metrics), sharey=True, squeeze=False)[0]
    for axes, metric in zip(panels, metrics, strict=True):
        for row, (name, runs) in enumerate(groups.items()):
            for seed in runs.keys() & joint.keys():
                value, other = (value_of(of[seed]["test"], metric) for of in (runs, joint))
                if value is not None and other is not None:
                    change = METRICS[metric].factor * (value - other)
                    axes.plot(change, row, "x", color="k", ms=4)
            if mean := difference(results, name, f"{prefix}-joint", metric):
                _draw_difference(axes, row, metric, mean)
        _finish_differences(axes, metric, f"{prefix}-joint")
    panels[0].set_yticks(range(len(groups)), [name.removeprefix(f"{prefix}-") for name in groups])
    panels[0].set_ylim(len(groups) - 0.5, -0.5)
    return figure


def require_not_empty(values: Sized, name: str) -> None:
    if not len(values):
        raise InputError(f"{name}: expected at least one to draw, got none")


def ab_axes(axes: Axes) -> None:
    axes.set_aspect("equal")
    axes.set_xlim(-118, 118)
    axes.set_ylim(118, -118)
    axes.set_xlabel("b")
    axes.set_ylabel("a")


def _draw_difference(axes: Axes, row: int, metric: str, change: Difference) -> None:
    factor = METRICS[metric].factor
    axes.plot(factor * change.mean, row, "o", color="C0", ms=5)
    if math.isfinite(change.low):
        axes.hlines(row, factor * change.low, factor * change.high, color="C0", lw=1.6)


def _finish_differences(axes: Axes, metric: str, other: str) -> None:
    m = METRICS[metric]
    axes.axvline(0, color="0.5", ls="--", lw=1, zorder=0)
    axes.set_xlabel(f"{m.title}, minus {other} {_BETTER[m.better]}".rstrip(), fontsize=8)
    axes.tick_params(labelsize=8)
    axes.grid(axis="y", color="0.92")


def _name_ends(axes: Axes, ends: Sequence[tuple[float, str]]) -> None:
    """Write the names of lines beside their right ends, apart from each other."""
    low, high = axes.get_ylim()
    gap, last = 0.065 * (high - low), float("-inf")
    for value, name in sorted(ends):
        last = max(value, last + gap)
        axes.annotate(name, (1.01, last), xycoords=("axes fraction", "data"), fontsize=7)
