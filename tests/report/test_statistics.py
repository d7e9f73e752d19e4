"""Differences and their intervals against scipy's own tests."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scipy import stats

from colorize.report.statistics import (
    Difference,
    difference,
    group_by_experiment,
    paired_difference,
    seed_variance,
)

Results = dict[str, dict[str, Any]]


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
    assert back == pytest.approx((-found.mean, -found.high, -found.low))


def test_seeds_are_compared_in_pairs_where_each_divides_the_images_anew(fruit: Results) -> None:
    one, other = (
        [fruit[f"{name}{end}"]["test"]["rmse_ab"]["mean"] for end in ("", "-seed1", "-seed2")]
        for name in ("ncd-joint", "ncd-color")
    )
    low, high = stats.ttest_rel(one, other).confidence_interval(0.95)
    found = _difference(fruit, "ncd-joint", "ncd-color", "rmse_ab")
    assert found == pytest.approx((np.mean(one) - np.mean(other), low, high))


def test_another_training_widens_the_interval(results: Results) -> None:
    """Without values of single images it is scipy's test of two groups."""
    names = ("simplified", "rebalanced-ours")
    runs = {f"{n}{end}": results[f"{n}{end}"] for n in names for end in ("", "-seed1", "-seed2")}
    both = _difference(runs, *names, "rmse_ab")
    alone = _difference({n: runs[n] for n in names}, *names, "rmse_ab")
    assert both.high - both.low > alone.high - alone.low
    for run in runs.values():
        run["test"]["images"] = {}
    groups = [[r["test"]["rmse_ab"]["mean"] for r in g] for g in group_by_experiment(runs).values()]
    expected = stats.ttest_ind(*groups).confidence_interval(0.95)
    assert tuple(_difference(runs, *names, "rmse_ab"))[1:] == pytest.approx(tuple(expected))
    variance, freedom = seed_variance(runs, "rmse_ab")
    assert freedom == 4
    assert variance == pytest.approx(np.mean([np.var(group, ddof=1) for group in groups]))


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
        study_a["euclidean"]["data"]["test"]["names_sha256"] = "0" * 64
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
    final = results["simplified-final"]
    one, other = (t["images"]["psnr"] for t in (final["test"], final["also_tested"]["simplified"]))
    runs = {name: results[name] for name in names}
    found = _difference(runs, *names, "psnr")
    assert found.mean == pytest.approx(np.mean(one) - np.mean(other), abs=1e-3)
    assert difference(runs, *reversed(names), "psnr") is None
    # Study B's split has other test images than the rest of its runs.
    assert difference(fruit, "ncd-tail", "ncd-joint", "rmse_ab") is None
