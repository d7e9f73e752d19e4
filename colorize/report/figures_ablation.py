"""The figures of study B, made from results; see ``colorize.report.figures``."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure

from colorize.errors import InputError
from colorize.evaluation.evaluate import LabelledExample
from colorize.report.ablation import by_seed
from colorize.report.tables import METRICS, Results

_SHOWN = ("top1", "rmse_ab", "colorfulness")
_MARKS = "osD^v"


def ablation_figure(results: Results, prefix: str, metrics: Sequence[str] = _SHOWN) -> Figure:
    """By how much each experiment of a subject differs from its joint net: a dot for every seed,
    and the bar of their mean.

    A seed is also a division of the images, so the two are compared on the same test images;
    experiments that were tested on others (study B's split_by) are left out.

    Raises:
        InputError: when there is no result of the joint net of that subject.
    """
    grouped = {n: runs for n, runs in by_seed(results).items() if n.startswith(f"{prefix}-")}
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
                    changes[seed] = shown.scale * (ours[metric]["mean"] - theirs[metric]["mean"])
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
