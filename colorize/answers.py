"""What the results of study A say to its questions, as Markdown, from results and nothing else.

Models are compared on the same test images, image by image. A difference has two uncertainties:
other images (the standard error of the paired differences) and another training (the standard
deviation between seeds, known from the experiments that ran with several). It counts as decided
beyond two standard errors of both together.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from colorize import findings
from colorize.findings import runs_of, same_images
from colorize.tables import METRICS, Results, measured, verdict

_COLOR = ("colorfulness", "colorfulness_error", "auc_rebalanced")
_ERROR = ("rmse_ab", "psnr")
_ALL = (*_ERROR, "ssim", *_COLOR, "recognized_own")


class Change(NamedTuple):
    """Difference of two experiments in a metric.

    Attributes:
        mean: over the test images, and over the seeds of each.
        error: standard error of the paired differences of the images; 0 where a metric of all
            images together has no numbers of single ones.
        retraining: standard error by the seeds; 0 where no experiment has several.
    """

    mean: float
    error: float
    retraining: float

    @property
    def uncertainty(self) -> float:
        """Two standard errors of both together."""
        return 2 * math.hypot(self.error, self.retraining)

    @property
    def decided(self) -> bool:
        """Whether the difference is larger than its uncertainty, which has to be known."""
        return abs(self.mean) > self.uncertainty > 0


class Question(NamedTuple):
    """What was asked, what the paper or the study said, the comparisons that speak to it, and what
    else there is to say."""

    text: str
    claim: str
    comparisons: tuple[tuple[str, str, tuple[str, ...]], ...] = ()
    more: tuple[Callable[[Results], str], ...] = ()


def seed_spread(results: Results, metric: str) -> float | None:
    """Standard deviation of a metric between trainings that differ by their seed only, pooled over
    the experiments that ran with several; None when there are none.
    """
    squares, freedom = 0.0, 0
    for name in {r["experiment"]["name"] for r in results.values()}:
        values = _values(runs_of(results, name), metric)
        if len(values) > 1:
            squares += (len(values) - 1) * statistics.variance(values)
            freedom += len(values) - 1
    return math.sqrt(squares / freedom) if freedom else None


def change(results: Results, run: str, other: str, metric: str) -> Change | None:
    """Of a metric from the experiment ``other`` to ``run``.

    None where one of them has no such result, or they were tested on other images.
    """
    ours, theirs = runs_of(results, run), runs_of(results, other)
    if not ours or not theirs or not same_images(ours[0], theirs[0]):
        return None
    here, there = _values(ours, metric), _values(theirs, metric)
    if not here or not there:
        return None
    spread = seed_spread(results, metric) or 0.0
    return Change(
        statistics.fmean(here) - statistics.fmean(there),
        _paired_error(ours[0], theirs[0], metric),
        spread * math.sqrt(1 / len(here) + 1 / len(there)),
    )


def answers(results: Results) -> str:
    """All questions to which the results have something to say."""
    parts = []
    for question in QUESTIONS:
        lines = [line for c in question.comparisons if (line := _compared(results, *c))]
        paragraphs = ["\n".join(lines), *(say(results) for say in question.more)]
        said = [p for p in paragraphs if p]
        if said:
            parts.append("\n\n".join([f"**{question.text}** {question.claim}", *said]))
    if not parts:
        return "No two experiments have been trained and tested on the same images yet."
    return "\n\n".join([*parts, _how(results)])


QUESTIONS = (
    Question(
        "Rebalancing: more color, at what cost?",
        "The paper: rebalancing brings back the rare, saturated colors, and costs RMSE.",
        (("rebalanced", "unbalanced", (*_ERROR, *_COLOR)),),
        (findings.bounds,),
    ),
    Question(
        "Smoothing the prior: over the ab plane, along the index of the bins (as the study did), "
        "or not at all?",
        "The study found that smoothing hurts; it smoothed along the index.",
        (
            ("rebalanced-smooth", "rebalanced", (*_ERROR, *_COLOR)),
            ("rebalanced-smooth-index", "rebalanced", (*_ERROR, *_COLOR)),
            ("rebalanced-smooth-index", "rebalanced-smooth", (*_ERROR, *_COLOR)),
        ),
    ),
    Question(
        "The training set's own prior, or ImageNet's?",
        "The study: the own prior fits a narrow subject better.",
        (("rebalanced-ours", "rebalanced-smooth", _ALL),),
    ),
    Question(
        "Soft or one-hot targets?",
        "The paper: soft targets teach the net which colors are neighbors.",
        (("unbalanced", "unbalanced-onehot", _ALL),),
    ),
    Question(
        "Classification or regression?",
        "The paper: a regression gives greyish averages of the plausible colors.",
        (
            ("unbalanced", "euclidean", (*_ERROR, *_COLOR)),
            ("rebalanced-ours", "euclidean", _ALL),
        ),
    ),
    Question(
        "What does the simplified net cost?",
        "The study: half the parameters, nearly the same pictures.",
        (("simplified", "rebalanced-ours", _ALL),),
        (findings.size_and_speed,),
    ),
    Question(
        "Which temperature, and does it matter less with the own prior?",
        "The paper takes T = 0.38; the study found that it matters less with the own prior.",
        (),
        (findings.best_temperatures,),
    ),
    Question(
        "First grey, then color?",
        "The study: a net first learns to be grey, and dares color later.",
        more=(findings.color_along_training,),
    ),
    Question(
        "Do patches hold overfitting back, and does the validation loss rise while the metrics "
        "improve?",
        "The study: they do, and it does.",
        (("simplified-patches", "simplified", _ALL),),
        (findings.overfitting,),
    ),
    Question(
        "Where does it fail?",
        "The study: busy images, grass and sea, sky and interiors, objects of many colors.",
        more=(findings.contents_table, findings.classes_table),
    ),
    Question(
        "Our recipe or the paper's?",
        "Ours: AdamW at a higher rate that falls, averaged weights, He initialisation.",
        (("simplified-paper-recipe", "simplified", (*_ERROR, *_COLOR)),),
        (findings.equal_quality,),
    ),
)


def _values(runs: Sequence[Mapping[str, Any]], metric: str) -> list[float]:
    found = [measured(run["test"], metric) for run in runs]
    return [value for value in found if value is not None]


def _paired_error(one: Mapping[str, Any], other: Mapping[str, Any], metric: str) -> float:
    images = [result["test"].get("images", {}).get(metric) for result in (one, other)]
    if None in images:
        return 0.0
    changes = [a - b for a, b in zip(*images, strict=True)]
    return statistics.stdev(changes) / math.sqrt(len(changes)) if len(changes) > 1 else 0.0


def _compared(results: Results, run: str, other: str, metrics: Sequence[str]) -> str:
    parts = []
    for key in metrics:
        found = change(results, run, other, key)
        if found is not None:
            m = METRICS[key]
            word = verdict(key, found)
            known = f"± {m.scale * found.uncertainty:.{m.digits}f}"
            parts.append(
                f"{m.title} {m.scale * found.mean:+.{m.digits}f} "
                f"({known if found.uncertainty else 'uncertainty unknown'}): {word}"
            )
    return f"- `{run}` against `{other}`: {'; '.join(parts)}." if parts else ""


def _how(results: Results) -> str:
    repeated = {
        name: len(runs_of(results, name))
        for name in dict.fromkeys(r["experiment"]["name"] for r in results.values())
    }
    several = [f"`{name}` ({count})" for name, count in repeated.items() if count > 1]
    sources = "of other test images, image by image"
    sources += (
        f", and of another training, from the seeds of {', '.join(several)}"
        if several
        else "; what another training would change is not in it, for none has several seeds"
    )
    return f"After ± are two standard errors: {sources}. Beyond them a difference is decided."
