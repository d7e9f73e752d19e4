"""How much two experiments differ, and whether that may be chance.

Models are compared on the same test images, image by image. A difference has two uncertainties:
other images (the standard error of the paired differences) and another training (the standard
deviation between seeds, pooled over the experiments that ran with several). It counts as decided
where the 95 % interval of both together leaves zero out (Student's t, degrees of freedom by Welch
and Satterthwaite: with few seeds it is wide).
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from scipy import stats

from colorize.report.findings import runs_of, same_images
from colorize.report.tables import Results, measured


class Change(NamedTuple):
    """Difference of two experiments in a metric.

    Attributes:
        mean: over the test images, and over the seeds of each.
        error: standard error of the paired differences of the images; 0 where a metric of all
            images together has no numbers of single ones.
        retraining: standard error by the seeds; 0 where no experiment has several.
        images: degrees of freedom of ``error``. seeds: those of ``retraining``.
    """

    mean: float
    error: float
    retraining: float
    images: int
    seeds: int

    @property
    def uncertainty(self) -> float:
        """Half of the 95 % interval by both together; 0 where neither is known."""
        parts = [(self.error**2, self.images), (self.retraining**2, self.seeds)]
        known = [(variance, freedom) for variance, freedom in parts if variance > 0]
        total = sum(variance for variance, _ in known)
        if not total:
            return 0.0
        freedom = total**2 / sum(variance**2 / of for variance, of in known)
        return float(stats.t.ppf(0.975, freedom)) * math.sqrt(total)

    @property
    def decided(self) -> bool:
        """Whether the difference is larger than its uncertainty, which has to be known."""
        return abs(self.mean) > self.uncertainty > 0


class Spread(NamedTuple):
    """Standard deviation between seeds, and its degrees of freedom."""

    value: float
    freedom: int


def seed_spread(results: Results, metric: str) -> Spread | None:
    """Standard deviation of a metric between trainings that differ by their seed only, pooled over
    the experiments that ran with several; None when there are none.
    """
    squares, freedom = 0.0, 0
    for name in {r["experiment"]["name"] for r in results.values()}:
        values = _values([r["test"] for r in runs_of(results, name)], metric)
        if len(values) > 1:
            squares += (len(values) - 1) * statistics.variance(values)
            freedom += len(values) - 1
    return Spread(math.sqrt(squares / freedom), freedom) if freedom else None


def change(results: Results, run: str, other: str, metric: str) -> Change | None:
    """Of a metric from the experiment ``other`` to ``run``.

    None where one of them has no such result, or was not tested on the images of the other.
    """
    ours, theirs = _on_the_same_images(results, run, other)
    here, there = _values(ours, metric), _values(theirs, metric)
    if not here or not there:
        return None
    spread = seed_spread(results, metric) or Spread(0.0, 0)
    return Change(
        statistics.fmean(here) - statistics.fmean(there),
        _paired_error(ours[0], theirs[0], metric),
        spread.value * math.sqrt(1 / len(here) + 1 / len(there)),
        ours[0]["n"] - 1,
        spread.freedom,
    )


def _on_the_same_images(
    results: Results, run: str, other: str
) -> tuple[list[Mapping[str, Any]], list[Mapping[str, Any]]]:
    """The tests of both; of ``other`` on the images of ``run``, where it was taken along there."""
    ours, theirs = runs_of(results, run), runs_of(results, other)
    if not ours:
        return [], []
    if theirs and same_images(ours[0], theirs[0]):
        return [r["test"] for r in ours], [r["test"] for r in theirs]
    beside = ours[0].get("beside", {}).get(other)
    return ([ours[0]["test"]], [beside]) if beside else ([], [])


def _values(tests: Sequence[Mapping[str, Any]], metric: str) -> list[float]:
    found = [measured(test, metric) for test in tests]
    return [value for value in found if value is not None]


def _paired_error(one: Mapping[str, Any], other: Mapping[str, Any], metric: str) -> float:
    images = [test.get("images", {}).get(metric) for test in (one, other)]
    if None in images:
        return 0.0
    changes = [a - b for a, b in zip(*images, strict=True)]
    return statistics.stdev(changes) / math.sqrt(len(changes)) if len(changes) > 1 else 0.0
