"""How much two experiments differ, and how far chance goes: 95 % intervals by Student's t, and what
is left of many comparisons at once."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from scipy import stats

Result = Mapping[str, Any]
Results = Mapping[str, Result]
"""Results by the name of the run, as ``run_experiment`` returns them."""

_CONFIDENCE = 0.95


class Difference(NamedTuple):
    """Mean of a difference, its 95 % interval, and the probability of one as large by chance; nan
    where nothing tells how far chance goes.
    """

    mean: float
    low: float
    high: float
    p: float


def group_by_experiment(results: Results) -> dict[str, list[Result]]:
    """Name of the experiment -> its runs by seed; the experiments in the order of the results."""
    runs: dict[str, list[Result]] = {}
    for result in results.values():
        runs.setdefault(result["experiment"]["name"], []).append(result)
    return {
        name: sorted(group, key=lambda result: int(result["experiment"]["seed"]))
        for name, group in runs.items()
    }


def value_of(test: Mapping[str, Any], metric: str) -> float | None:
    """A metric of a test: the mean over its images, or the value of them all; None for neither."""
    entry = test.get(metric, {})
    value = entry.get("mean", entry.get("value"))
    return None if value is None else float(value)


def same_images(one: Result, other: Result) -> bool:
    """Whether two runs were tested on the same images."""

    one_test, other_test = one["data"]["test"], other["data"]["test"]
    if one_test["content_sha256"] and other_test["content_sha256"]:
        return bool(one_test == other_test)

    # Runs of study B before contents were hashed: by what says which images are taken.
    def identity(result: Result) -> tuple[Any, ...]:
        experiment = result["experiment"]
        reseeded = experiment["data"]["reseed"]
        return experiment["data"], result["data"]["test"], experiment["seed"] if reseeded else 0

    return identity(one) == identity(other)


def paired_difference(changes: Sequence[float], shared: float = 0.0) -> Difference:
    """Mean of paired differences, with the interval of the paired t test.

    Args:
        shared: ``shared_training`` of the runs that the differences come from.
    """
    variance = _variance_of_mean(changes) * (1 + shared * len(changes))
    return _interval(statistics.fmean(changes), [(variance, len(changes) - 1)])


def shared_training(runs: Sequence[Result]) -> float:
    """What divisions of one set that share training images add to the variance of a mean over them,
    in variances of one of them: test by training images (Nadeau and Bengio 2003).

    Args:
        runs: one a division.
    """
    images = [run["data"] for run in runs]
    tested, trained = (sum(i[part]["images"] for i in images) for part in ("test", "train"))
    return float(tested / trained)


def difference(results: Results, name: str, baseline: str, metric: str) -> Difference | None:
    """Difference of a metric from the experiment ``baseline`` to the experiment ``name``.

    Where each seed has its own division of the images, the pairs are the runs of one seed.
    Otherwise the pairs are the test images, and the interval has a second part for another
    training, by ``seed_variance``.

    Returns:
        None where the two have no such metric of the same test images, or one has no results.
    """
    groups = group_by_experiment(results)
    runs, others = groups.get(name, []), groups.get(baseline, [])
    if runs and runs[0]["experiment"]["data"]["reseed"]:
        return _difference_by_seed(runs, others, metric)
    tests, other_tests = _tests_of_same_images(runs, others, baseline)
    values, other_values = _values(tests, metric), _values(other_tests, metric)
    if not values or not other_values:
        return None
    seeds = [(runs, len(values)), (others, len(other_values))]
    return _interval(
        statistics.fmean(values) - statistics.fmean(other_values),
        [
            (_paired_variance(tests[0], other_tests[0], metric), tests[0]["n"] - 1),
            *_another_training(results, metric, seeds),
        ],
    )


def mean_over_seeds(results: Results, name: str, metric: str) -> Difference:
    """Mean of a metric of an experiment, with the interval as of ``difference``: what other test
    images, and another training, would change.

    Raises:
        KeyError: when there is no such experiment.
    """
    runs = group_by_experiment(results)[name]
    values = _values([run["test"] for run in runs], metric)
    images = runs[0]["test"]["images"].get(metric, [])
    parts = [
        (_variance_of_mean(images), len(images) - 1),
        *_another_training(results, metric, [(runs, len(values))]),
    ]
    return _interval(statistics.fmean(values), parts)


def seed_variance(results: Results, metric: str, rebalanced: bool) -> tuple[float, int]:
    """Variance of a metric between trainings that differ by their seed only, and its degrees of
    freedom; 0 and 0 when no experiment ran with several seeds.

    It is pooled over the experiments with rebalancing, or over those without: the colors of nets
    that are rebalanced depend much more on the seed. Where none of the kind ran with several seeds
    it is pooled over all.
    """
    groups = list(group_by_experiment(results).values())
    alike = [runs for runs in groups if _is_rebalanced(runs) == rebalanced]
    variance, freedom = _pooled_variance(alike, metric)
    return (variance, freedom) if freedom else _pooled_variance(groups, metric)


def decided(p_values: Sequence[float], method: Literal["bh", "by"] = "bh") -> list[bool]:
    """Which of many differences stand when 5 % of those that are named may be false. Those without
    a probability never do.

    Args:
        method: ``bh``, Benjamini and Hochberg 1995; ``by``, Benjamini and Yekutieli 2001, which
            holds however the differences depend on each other.
    """
    known = [p for p in p_values if not math.isnan(p)]
    adjusted = iter(stats.false_discovery_control(known, method=method) if known else [])
    return [not math.isnan(p) and bool(next(adjusted) <= 1 - _CONFIDENCE) for p in p_values]


def partial_rank_correlation(
    x: Sequence[float], y: Sequence[float], given: Sequence[float]
) -> Difference:
    """Spearman's correlation of x and y beyond what both share with ``given``, with the interval of
    Fisher's transform; nan where one of them is constant.
    """
    if min(len(set(values)) for values in (x, y, given)) < 2:
        return Difference(math.nan, math.nan, math.nan, math.nan)
    ranks = [stats.rankdata(values) for values in (x, y, given)]
    (_, xy, xg), (_, _, yg), _ = np.corrcoef(ranks)
    left = (1 - xg**2) * (1 - yg**2)
    if left < 1e-12:
        return Difference(math.nan, math.nan, math.nan, math.nan)
    value = float((xy - xg * yg) / math.sqrt(left))
    # One more image is spent on what is given.
    error = 1 / math.sqrt(len(x) - 4)
    z, reach = math.atanh(value), float(stats.norm.ppf((1 + _CONFIDENCE) / 2)) * error
    p = float(2 * stats.norm.sf(abs(z) / error))
    return Difference(value, math.tanh(z - reach), math.tanh(z + reach), p)


def _difference_by_seed(
    runs: Sequence[Result], others: Sequence[Result], metric: str
) -> Difference | None:
    other_of = {other["experiment"]["seed"]: other for other in others}
    changes = []
    for run in runs:
        other = other_of.get(run["experiment"]["seed"])
        if other is not None and same_images(run, other):
            value, before = value_of(run["test"], metric), value_of(other["test"], metric)
            if value is not None and before is not None:
                changes.append(value - before)
    return paired_difference(changes, shared_training(runs)) if changes else None


def _tests_of_same_images(
    runs: Sequence[Result], others: Sequence[Result], baseline: str
) -> tuple[list[Any], list[Any]]:
    """The tests of both; of ``baseline`` on the images of ``runs``, where it was tested there."""
    if not runs or not others:
        return [], []
    if same_images(runs[0], others[0]):
        return [run["test"] for run in runs], [other["test"] for other in others]
    also = runs[0]["also_tested"].get(baseline)
    return ([runs[0]["test"]], [also]) if also and "n" in also else ([], [])


def _is_rebalanced(runs: Sequence[Result]) -> bool:
    return runs[0]["experiment"]["prior"] is not None


def _pooled_variance(groups: Sequence[Sequence[Result]], metric: str) -> tuple[float, int]:
    """Variance within the groups, and its degrees of freedom."""
    values = [_values([run["test"] for run in runs], metric) for runs in groups]
    repeated = [group for group in values if len(group) > 1]
    freedom = sum(len(group) - 1 for group in repeated)
    squares = sum((len(group) - 1) * statistics.variance(group) for group in repeated)
    return (squares / freedom, freedom) if freedom else (0.0, 0)


def _another_training(
    results: Results, metric: str, seeds: Sequence[tuple[Sequence[Result], int]]
) -> list[tuple[float, int]]:
    """What another training of the runs would change, as parts of a variance; what rests on the
    same estimate is one part.

    Args:
        seeds: the runs of each experiment, and how many of them the mean is over.
    """
    shares: dict[tuple[float, int], float] = {}
    for runs, n in seeds:
        estimate = seed_variance(results, metric, _is_rebalanced(runs))
        shares[estimate] = shares.get(estimate, 0.0) + 1 / n
    return [(variance * share, freedom) for (variance, freedom), share in shares.items()]


def _values(tests: Sequence[Mapping[str, Any]], metric: str) -> list[float]:
    return [value for test in tests if (value := value_of(test, metric)) is not None]


def _paired_variance(one: Mapping[str, Any], other: Mapping[str, Any], metric: str) -> float:
    values, other_values = one["images"].get(metric), other["images"].get(metric)
    if values is None or other_values is None:
        return 0.0
    return _variance_of_mean([a - b for a, b in zip(values, other_values, strict=True)])


def _variance_of_mean(changes: Sequence[float]) -> float:
    return statistics.variance(changes) / len(changes) if len(changes) > 1 else 0.0


def _interval(mean: float, parts: Sequence[tuple[float, int]]) -> Difference:
    """By parts of the variance with their degrees of freedom, after Welch and Satterthwaite."""
    known = [(variance, freedom) for variance, freedom in parts if variance > 0]
    total = sum(variance for variance, _ in known)
    if not total:
        return Difference(mean, math.nan, math.nan, math.nan)
    freedom = total**2 / sum(variance**2 / degrees for variance, degrees in known)
    error = math.sqrt(total)
    low, high = stats.t.interval(_CONFIDENCE, freedom, mean, error)
    p = 2 * stats.t.sf(abs(mean) / error, freedom)
    return Difference(mean, float(low), float(high), float(p))
