"""Differences and their intervals against scipy's own tests."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scipy import stats

from colorize.report.statistics import (
    Difference,
    decided,
    difference,
    group_by_experiment,
    mean_over_seeds,
    paired_difference,
    partial_rank_correlation,
    seed_variance,
)

Results = dict[str, dict[str, Any]]
_FRUIT = ("ncd-joint", "ncd-color")


def _difference(results: Results, name: str, baseline: str, metric: str) -> Difference:
    found = difference(results, name, baseline, metric)
    assert found is not None
    return found


def test_images_are_compared_in_pairs(study_a: Results) -> None:
    """One run each: the interval is that of the paired t test over the test images."""
    del study_a["simplified-seed1"]
    one, other = (study_a[n]["test"]["images"]["rmse_ab"] for n in ("simplified", "euclidean"))
    found = _difference(study_a, "simplified", "euclidean", "rmse_ab")
    low, high = stats.ttest_rel(one, other).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.01)
    assert found.mean == pytest.approx(np.mean(one) - np.mean(other), abs=1e-3)
    back = _difference(study_a, "euclidean", "simplified", "rmse_ab")
    assert back == pytest.approx((-found.mean, -found.high, -found.low, found.p))
    assert found.p == pytest.approx(stats.ttest_rel(one, other).pvalue, rel=0.05, abs=1e-9)


def test_seeds_are_compared_in_pairs_where_each_divides_the_images_anew(fruit: Results) -> None:
    """Nadeau and Bengio: the variance of a difference times (1/k + tested / trained images)."""
    runs = [[fruit[f"{n}{end}"] for end in ("", "-seed1", "-seed2")] for n in _FRUIT]
    one, other = ([run["test"]["rmse_ab"]["mean"] for run in group] for group in runs)
    tested, trained = (sum(run["data"][p]["images"] for run in runs[0]) for p in ("test", "train"))
    low, high = stats.ttest_rel(one, other).confidence_interval(0.95)
    wider = (1 + 3 * tested / trained) ** 0.5
    assert 1.1 < wider < 1.3
    found = _difference(fruit, *_FRUIT, "rmse_ab")
    mean = np.mean(one) - np.mean(other)
    p = 2 * stats.t.sf(abs(stats.ttest_rel(one, other).statistic) / wider, 2)
    assert found == pytest.approx(
        (mean, mean - (mean - low) * wider, mean + (high - mean) * wider, p)
    )


def test_another_training_widens_the_interval(results: Results) -> None:
    """Without values of single images it is scipy's test of two groups."""
    names = ("simplified", "rebalanced-ours")
    runs = {f"{n}{end}": results[f"{n}{end}"] for n in names for end in ("", "-seed1")}
    both = _difference(runs, *names, "rmse_ab")
    alone = _difference({n: runs[n] for n in names}, *names, "rmse_ab")
    assert both.high - both.low > alone.high - alone.low
    for run in runs.values():
        run["test"]["images"] = {}
    groups = [[r["test"]["rmse_ab"]["mean"] for r in g] for g in group_by_experiment(runs).values()]
    test = stats.ttest_ind(*groups)
    expected = (*test.confidence_interval(0.95), test.pvalue)
    assert tuple(_difference(runs, *names, "rmse_ab"))[1:] == pytest.approx(expected)
    pooled = np.mean([np.var(group, ddof=1) for group in groups])
    # Neither net is without rebalancing: what is known of the others is used.
    for rebalanced in (True, False):
        assert seed_variance(runs, "rmse_ab", rebalanced) == (pytest.approx(pooled), 2)


def test_nets_with_and_without_rebalancing_vary_apart(results: Results) -> None:
    """Without values of single images it is Welch's test."""
    names = ("simplified", "euclidean")
    runs = {f"{n}{end}": results[f"{n}{end}"] for n in names for end in ("", "-seed1")}
    for run in runs.values():
        run["test"]["images"] = {}
    groups = [[r["test"]["psnr"]["mean"] for r in g] for g in group_by_experiment(runs).values()]
    test = stats.ttest_ind(*groups, equal_var=False)
    expected = (*test.confidence_interval(0.95), test.pvalue)
    assert tuple(_difference(runs, *names, "psnr"))[1:] == pytest.approx(expected)
    # One estimate for both has the freedom of one.
    del runs["euclidean-seed1"]
    found = _difference(runs, *names, "psnr")
    error = (np.var(groups[0], ddof=1) * (1 / 2 + 1)) ** 0.5
    assert (found.low, found.high) == pytest.approx(stats.t.interval(0.95, 1, found.mean, error))


def test_a_mean_is_as_uncertain_as_its_images_and_its_seeds(results: Results) -> None:
    name = "simplified"
    one = results[name]["test"]["images"]["rmse_ab"]
    alone = mean_over_seeds({name: results[name]}, name, "rmse_ab")
    low, high = stats.ttest_1samp(one, 0).confidence_interval(0.95)
    assert (alone.low, alone.high) == pytest.approx((low, high), abs=0.01)
    runs = {f"{name}{end}": results[f"{name}{end}"] for end in ("", "-seed1")}
    both = mean_over_seeds(runs, name, "rmse_ab")
    assert both.high - both.low > alone.high - alone.low
    for run in runs.values():
        run["test"]["images"] = {}
    seeds = [run["test"]["rmse_ab"]["mean"] for run in runs.values()]
    found = mean_over_seeds(runs, name, "rmse_ab")
    expected = stats.ttest_1samp(seeds, 0).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx(tuple(expected))


def test_no_interval_where_nothing_tells_how_far_chance_goes(study_a: Results) -> None:
    assert paired_difference([1.0, 1.1, 0.9]).low > 0
    assert math.isnan(paired_difference([1.0]).low)
    for name in ("euclidean", "unbalanced"):
        study_a[name]["test"]["images"] = {}
    pair = {name: study_a[name] for name in ("euclidean", "unbalanced")}
    alone = _difference(pair, "unbalanced", "euclidean", "rmse_ab")
    assert math.isnan(alone.low)


@pytest.mark.parametrize("change", ["images", "metric", "run"])
def test_no_difference_of_what_cannot_be_compared(change: str, study_a: Results) -> None:
    if change == "images":
        study_a["euclidean"]["data"]["test"]["content_sha256"] = "0" * 64
    elif change == "metric":
        del study_a["euclidean"]["test"]["psnr"]
    else:
        del study_a["euclidean"]
    for names in (("unbalanced", "euclidean"), ("euclidean", "unbalanced")):
        assert difference(study_a, *names, "psnr") is None


def test_other_images_are_compared_where_the_baseline_was_tested_on_them(
    results: Results, fruit: Results
) -> None:
    names = ("simplified-final", "simplified")
    final = results[names[0]]
    one, other = (t["images"]["psnr"] for t in (final["test"], final["also_tested"][names[1]]))
    runs = {name: results[name] for name in names}
    found = _difference(runs, *names, "psnr")
    assert found.mean == pytest.approx(np.mean(one) - np.mean(other), abs=1e-3)
    assert difference(runs, *reversed(names), "psnr") is None
    # Study B's split has other test images than the rest of its runs.
    assert difference(fruit, "ncd-tail", "ncd-joint", "rmse_ab") is None


def test_of_many_differences_only_some_stand() -> None:
    """Alone four of the five are below 5 %."""
    assert decided([0.001, math.nan, 0.04, 0.03, 0.045, 0.9]) == [
        *(True, False, False, False, False, False)
    ]
    assert decided([0.001, 0.01, 0.02]) == [True] * 3 and decided([math.nan]) == [False]
    # Benjamini and Yekutieli: times 1 + 1/2 + 1/3.
    assert decided([0.001, 0.03, 0.045]) == [True] * 3
    assert decided([0.001, 0.03, 0.045], "by") == [True, False, False]


def test_what_is_known_already_is_no_correlation() -> None:
    """Both follow the third; alone they are related, beyond it they are not."""
    rng = np.random.default_rng(0)
    given, x_noise, y_noise = rng.normal(size=(3, 2000))
    x, y = (given + 0.5 * noise for noise in (x_noise, y_noise))
    assert stats.spearmanr(x, y).statistic > 0.7
    partial = partial_rank_correlation(x.tolist(), y.tolist(), given.tolist())
    assert partial.low < 0 < partial.high and partial.high - partial.low < 0.1
    # Against the correlation of what linear regressions on the ranks leave.
    ranks = [stats.rankdata(values) for values in (x, y, given)]
    left = [r - np.polyval(np.polyfit(ranks[2], r, 1), ranks[2]) for r in ranks[:2]]
    assert partial.mean == pytest.approx(np.corrcoef(left)[0, 1])
    assert math.isnan(partial_rank_correlation([1.0, 1.0], [1.0, 2.0], [1.0, 2.0]).mean)
