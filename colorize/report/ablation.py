"""The ablation of study B in tables and words, from its results and from nothing else.

Every experiment ran with several seeds, and a seed is also a division of the images; so an
experiment and its parent are compared seed by seed, on the same test images.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from colorize.errors import DataError
from colorize.experiments.study_b import STUDY_B
from colorize.report.tables import METRICS, Results, hardware, table, verdict

_CONFIDENCE = 0.95
_SHOWN = ("top1", "top5", "rmse_ab", "psnr", "colorfulness")


class Question(NamedTuple):
    """What the study asked, and the comparisons that speak to it: (run, against, metrics)."""

    text: str
    comparisons: tuple[tuple[str, str, tuple[str, ...]], ...]


_BOTH = ("top1", "rmse_ab")
QUESTIONS = (
    Question(
        "How does coloring affect the classification?",
        (("joint", "class", ("top1", "top5")), ("alpha-1", "class", ("top1", "top5"))),
    ),
    Question(
        "How does classifying affect the coloring: does it profit from high-level concepts?",
        tuple(
            (run, "color", ("rmse_ab", "psnr", "colorfulness"))
            for run in ("joint", "alpha-1-30", "alpha-1-3", "alpha-1")
        ),
    ),
    Question(
        "Which weight of the label's loss?",
        tuple((f"alpha-{a}", "joint", _BOTH) for a in ("0", "1-30", "1-3", "1")),
    ),
    Question("Do residual connections help?", (("residual", "joint", _BOTH),)),
    Question(
        "Does dropout help?", (("dropout-20", "joint", _BOTH), ("dropout-50", "joint", _BOTH))
    ),
    Question(
        "Which optimizer?", tuple((name, "joint", _BOTH) for name in ("adam", "sgd", "adadelta"))
    ),
    Question(
        "Bins instead of the L2 loss?", (("bins", "joint", ("top1", "rmse_ab", "colorfulness")),)
    ),
    Question(
        "Does a classifier profit from true color?", (("class-true", "class", ("top1", "top5")),)
    ),
)


class Difference(NamedTuple):
    """Mean of the differences seed by seed, and its 95 % interval by Student's t."""

    mean: float
    low: float
    high: float
    seeds: int

    @property
    def decided(self) -> bool:
        """Whether zero lies outside the interval."""
        return self.low > 0 or self.high < 0


def by_seed(results: Results) -> dict[str, dict[int, Mapping[str, Any]]]:
    """Name of the experiment -> seed -> its results, in the order of the study."""
    found: dict[str, dict[int, Mapping[str, Any]]] = {}
    for result in results.values():
        experiment = result["experiment"]
        found.setdefault(experiment["name"], {})[experiment["seed"]] = result
    return {name: dict(sorted(found[name].items())) for name in STUDY_B if name in found}


def difference(results: Results, run: str, other: str, metric: str) -> Difference | None:
    """Of a metric's mean over the test images, between two experiments with the same seeds.

    None when fewer than two seeds of both are there, or one of them has no such metric.
    """
    grouped = by_seed(results)
    ours, theirs = grouped.get(run, {}), grouped.get(other, {})
    return _interval(
        [
            ours[seed]["test"][metric]["mean"] - theirs[seed]["test"][metric]["mean"]
            for seed in sorted(ours.keys() & theirs.keys())
            if metric in ours[seed]["test"] and metric in theirs[seed]["test"]
        ]
    )


def ablation_table(results: Results, prefix: str) -> str:
    """One row an experiment of a subject ("ncd", "dogs"): mean ± spread over the seeds.

    Raises:
        DataError: when there is no result of that subject.
    """
    grouped = {n: runs for n, runs in by_seed(results).items() if n.startswith(f"{prefix}-")}
    if not grouped:
        raise DataError(
            f"There are no results of {prefix}; train them: python -m colorize train {prefix}"
        )
    rows = []
    for name, runs in grouped.items():
        cells = [_cell(runs.values(), "test", metric) for metric in _SHOWN]
        rows.append([f"`{name}`", str(len(runs)), *cells])
    joint = grouped.get(f"{prefix}-joint", next(iter(grouped.values())))
    cells = [_cell(joint.values(), "grey", metric) for metric in _SHOWN]
    rows.append(["grey", str(len(joint)), *cells])
    return table(["experiment", "seeds", *(METRICS[key].title for key in _SHOWN)], rows)


def inputs_table(results: Results, prefix: str) -> str:
    """What the classifier that saw true color makes of true color, of grey, and of ours.

    Raises:
        DataError: when it was not trained.
    """
    runs = by_seed(results).get(f"{prefix}-class-true")
    if not runs:
        raise DataError(f"There are no results of {prefix}-class-true; train it first")
    rows = [["true color", *(_cell(runs.values(), "test", m) for m in ("top1", "top5"))]]
    for name in next(iter(runs.values()))["inputs"]:
        seen = [run["inputs"] for run in runs.values()]
        label = "grey" if name == "grey" else f"colored by `{name}`"
        rows.append([label, *(_cell(seen, name, m) for m in ("top1", "top5"))])
    return table(["the classifier sees", METRICS["top1"].title, METRICS["top5"].title], rows)


def input_difference(results: Results, prefix: str, name: str, metric: str) -> Difference | None:
    """Of the classifier that saw true color: pictures colored by ``name`` against grey ones."""
    runs = by_seed(results).get(f"{prefix}-class-true", {})
    return _interval(
        [
            run["inputs"][name][metric]["mean"] - run["inputs"]["grey"][metric]["mean"]
            for run in runs.values()
        ]
    )


def answers(results: Results, prefixes: Sequence[str], *, details: bool = True) -> str:
    """The study's questions and what the numbers say, as Markdown: in short which comparisons were
    decided, and with ``details`` each one that was run. Questions without one are left out.
    """
    parts = []
    for question in QUESTIONS:
        found = [
            (
                f"`{prefix}-{run}` against `{prefix}-{other}`",
                metric,
                difference(results, f"{prefix}-{run}", f"{prefix}-{other}", metric),
            )
            for prefix in prefixes
            for run, other, metrics in question.comparisons
            for metric in metrics
        ]
        parts.append(_answer(question.text, found, details))
    found = [
        (
            f"colored by `{prefix}-{name}`",
            metric,
            input_difference(results, prefix, f"{prefix}-{name}", metric),
        )
        for prefix in prefixes
        for name in ("color", "joint", "bins")
        for metric in ("top1", "top5")
    ]
    parts.append(
        _answer(
            "Does our coloring help a classifier that saw color, against grey pictures?",
            found,
            details,
        )
    )
    return ("\n\n" if details else "\n").join(part for part in parts if part)


def readme_section(results: Results, prefixes: Sequence[str]) -> str:
    """Tables of all subjects that have results, with n, seeds and machine."""
    parts = []
    for prefix in prefixes:
        own = {n: r for n, r in results.items() if n.startswith(f"{prefix}-")}
        if own:
            some = next(iter(own.values()))
            seeds = sorted({r["experiment"]["seed"] for r in own.values()})
            counts = sorted({r["test"]["n"] for r in own.values()})
            n = " to ".join(str(count) for count in dict.fromkeys((counts[0], counts[-1])))
            parts.append(
                f"{ablation_table(own, prefix)}\n\n"
                f"Test images a run: {n}; mean ± standard deviation over the seeds "
                f"{', '.join(map(str, seeds))}, each with its own division of the images; "
                f"{hardware(some['machine'])}. From `CHECKPOINTS/ablation/*.json`."
            )
    return "\n\n".join(parts) or "No experiment of study B has been run yet."


def _answer(
    question: str, found: Sequence[tuple[str, str, Difference | None]], details: bool
) -> str:
    """Nothing where no comparison was run."""
    said: dict[str, list[str]] = {}
    decided: dict[str, list[str]] = {}
    for label, name, change in found:
        if change is None:
            continue
        m = METRICS[name]
        low, mean, high = (m.scale * x for x in (change.low, change.mean, change.high))
        word = verdict(name, change)
        said.setdefault(label, []).append(
            f"{m.title} {mean:+.{m.digits}f} [{low:+.{m.digits}f}, {high:+.{m.digits}f}]: {word}"
        )
        if change.decided:
            decided.setdefault(label, []).append(f"{word} in {m.title}")
    if not said:
        return ""
    if decided:
        words = "; ".join(f"{label}: {', '.join(words)}" for label, words in decided.items())
        short = f"{words}. The rest is not decided by these seeds."
    else:
        short = "the data do not decide."
    if not details:
        return f"- **{question}** {short[0].upper()}{short[1:]}"
    lines = [f"- {label}: {'; '.join(parts)}" for label, parts in said.items()]
    return "\n".join([f"**{question}** In short: {short}\n", *lines])


def _interval(changes: Sequence[float]) -> Difference | None:
    if len(changes) < 2:
        return None
    from scipy.stats import t

    mean = statistics.fmean(changes)
    error = statistics.stdev(changes) / math.sqrt(len(changes))
    half = float(t.ppf((1 + _CONFIDENCE) / 2, len(changes) - 1)) * error
    return Difference(mean, mean - half, mean + half, len(changes))


def _cell(runs: Iterable[Mapping[str, Any]], part: str, metric: str) -> str:
    values = [run[part][metric]["mean"] for run in runs if metric in run[part]]
    if not values:
        return ""
    m = METRICS[metric]
    mean = m.scale * statistics.fmean(values)
    if len(values) == 1:
        return f"{mean:.{m.digits}f}"
    return f"{mean:.{m.digits}f} ± {m.scale * statistics.stdev(values):.{m.digits}f}"
