"""Differences and their uncertainties against numpy and scipy."""

from __future__ import annotations

import copy
import re
from typing import Any

import numpy as np
import pytest
from helpers.made_up import as_before, pair, result, study, values
from scipy import stats

from colorize.report import answers as a
from colorize.report import differences as d


def _change(results: dict[str, Any], metric: str = "rmse_ab") -> d.Change:
    found = d.change(results, "simplified", "rebalanced-ours", metric)
    assert found is not None
    return found


def test_a_difference_is_of_pictures_in_pairs() -> None:
    """The pictures differ by far more than the models: only the pairs show the difference."""
    results = pair(0.5, 1.0)
    one, other = (np.array(r["test"]["images"]["rmse_ab"]) for r in results.values())
    found = _change(results)
    assert found.mean == pytest.approx(one.mean() - other.mean())
    assert found.error == pytest.approx(stats.sem(one - other))
    assert found.retraining == 0 and found.images == 39
    assert found.uncertainty == pytest.approx(stats.t.ppf(0.975, 39) * found.error)
    # The interval is that of the paired t test.
    low, high = stats.ttest_rel(one, other).confidence_interval(0.95)
    assert (high - low) / 2 == pytest.approx(found.uncertainty)
    assert found.decided
    assert 2 * np.hypot(stats.sem(one), stats.sem(other)) > abs(found.mean), "unpaired it is none"
    back = d.change(results, "rebalanced-ours", "simplified", "rmse_ab")
    assert back == d.Change(-found.mean, found.error, 0.0, 39, 0)


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize(("factor", "decided"), [(1.05, True), (0.95, False)])
def test_a_difference_is_decided_beyond_its_interval(
    sign: int, factor: float, decided: bool
) -> None:
    noise = np.array(values("noise", 40, -1, 1))
    error = stats.sem(noise)
    shift = sign * factor * stats.t.ppf(0.975, 39) * error - noise.mean()
    assert _change(pair(shift, 1.0)).decided == decided


def test_errors_of_pictures_and_of_seeds_add_up_as_squares() -> None:
    known = d.Change(1.0, 0.3, 0.4, 10**9, 10**9)
    assert known.uncertainty == pytest.approx(stats.norm.ppf(0.975) * 0.5)
    # Few seeds, as their own t test has it: two groups of the same variance, three runs each.
    rng = np.random.default_rng(0)
    one, other = rng.normal(0, 1, 3), rng.normal(0, 1, 3)
    one, other = (x / x.std(ddof=1) for x in (one, other))
    test = stats.ttest_ind(one, other, equal_var=False)
    low, high = test.confidence_interval(0.95)
    found = d.Change(float(one.mean() - other.mean()), 0.0, np.sqrt(2 / 3), 811, 4)
    assert found.uncertainty == pytest.approx((high - low) / 2)
    # Of both kinds: between what either degree of freedom alone would give.
    both = d.Change(1.0, 0.3, 0.4, 811, 2).uncertainty
    assert stats.t.ppf(0.975, 811) * 0.5 < both < stats.t.ppf(0.975, 2) * 0.5
    assert both == pytest.approx(stats.t.ppf(0.975, 0.25**2 / (0.09**2 / 811 + 0.16**2 / 2)) * 0.5)
    assert not d.Change(both, 0.3, 0.4, 811, 2).decided
    assert d.Change(-1.01 * both, 0.3, 0.4, 811, 2).decided
    assert not d.Change(1.0, 0.0, 0.0, 811, 0).decided


def _seeds(counts: dict[str, int]) -> dict[str, Any]:
    return study(*counts, seeds=counts)


def test_the_spread_between_seeds_is_pooled() -> None:
    results = _seeds({"simplified": 3, "rebalanced-ours": 2, "euclidean": 1})
    runs = {
        name: [
            r["test"]["psnr"]["mean"] for r in results.values() if r["experiment"]["name"] == name
        ]
        for name in ("simplified", "rebalanced-ours")
    }
    squares = sum(((np.array(v) - np.mean(v)) ** 2).sum() for v in runs.values())
    # Three runs and their mean, two runs and theirs: 2 + 1 degrees of freedom.
    assert d.seed_spread(results, "psnr") == d.Spread(pytest.approx(np.sqrt(squares / 3)), 3)
    assert d.seed_spread(study("simplified", "euclidean"), "psnr") is None
    assert d.seed_spread({}, "psnr") is d.seed_spread(results, "top1") is None
    # Equally many runs of the same variance are of that variance.
    for i, found in enumerate(results.values()):
        found["test"]["auc_rebalanced"] = {"value": 0.5 + 0.01 * (i % 2)}
    del results["simplified-seed2"]
    assert d.seed_spread(results, "auc_rebalanced") == (pytest.approx(0.01 / np.sqrt(2)), 2)


def test_a_difference_of_repeated_experiments() -> None:
    results = _seeds({"simplified": 3, "rebalanced-ours": 2})
    for metric in ("rmse_ab", "recognized_own"):
        ours, theirs = (
            [r["test"][metric]["mean"] for r in results.values() if r["experiment"]["name"] == name]
            for name in ("simplified", "rebalanced-ours")
        )
        found = _change(results, metric)
        assert found.mean == pytest.approx(np.mean(ours) - np.mean(theirs))
        spread = d.seed_spread(results, metric)
        assert spread is not None
        assert found.retraining == pytest.approx(spread.value * np.sqrt(1 / 3 + 1 / 2))
        images = [results[n]["test"]["images"][metric] for n in ("simplified", "rebalanced-ours")]
        assert found.error == pytest.approx(stats.sem(np.subtract(*images)))
    # Experiments that ran once are retrained as uncertainly as those that ran more often.
    results |= study("euclidean", "unbalanced")
    once = d.change(results, "unbalanced", "euclidean", "rmse_ab")
    spread = d.seed_spread(results, "rmse_ab")
    assert once is not None and spread is not None
    assert once.retraining == pytest.approx(spread.value * np.sqrt(2))


def test_what_is_of_all_pictures_together_has_no_error_of_pictures() -> None:
    results = study("simplified", "rebalanced-ours", rebalanced=0.5)
    results["simplified"]["test"]["auc_rebalanced"]["value"] = 0.625
    assert _change(results, "auc_rebalanced").mean == pytest.approx(0.125)
    for seed, value in ((1, 0.6), (2, 0.65)):
        run = results[f"simplified-seed{seed}"] = result("simplified", seed=seed)
        run["test"]["auc_rebalanced"]["value"] = value
    found = _change(results, "auc_rebalanced")
    assert found.mean == pytest.approx(0.125)
    # Only that of the seeds: 0.025 between three runs, against one run of the other.
    expected = stats.t.ppf(0.975, 2) * 0.025 * np.sqrt(1 + 1 / 3)
    assert found.uncertainty == pytest.approx(expected)
    assert found.decided


def test_a_difference_whose_uncertainty_nobody_knows_is_not_decided() -> None:
    """No values of single pictures, and no further seed: any difference may be chance."""
    results = study("simplified", "rebalanced-ours")
    results["simplified"]["test"]["auc_rebalanced"]["value"] = 0.625
    assert not _change(results, "auc_rebalanced").decided
    old = {name: as_before(found) for name, found in results.items()}
    assert not _change(old, "rmse_ab").decided
    said = a.answers(old)
    assert "against" in said and not re.search(r"\): (better|worse|more|less)", said)


@pytest.mark.parametrize("other", [{"n": 39}, {"digest": "b" * 64}])
def test_no_difference_on_other_images(other: dict[str, Any]) -> None:
    results = {
        "simplified": result("simplified"),
        "rebalanced-ours": result("rebalanced-ours", **other),
    }
    assert d.change(results, "simplified", "rebalanced-ours", "rmse_ab") is None
    assert "against" not in a.answers(results)


def test_no_difference_without_the_run_or_the_metric() -> None:
    results = study("simplified", "rebalanced-ours")
    assert d.change(results, "simplified", "euclidean", "rmse_ab") is None
    assert d.change(results, "euclidean", "simplified", "rmse_ab") is None
    assert d.change({}, "euclidean", "simplified", "rmse_ab") is None
    for metric in ("top1", "fid"):
        assert d.change(results, "simplified", "rebalanced-ours", metric) is None
    results["simplified"]["test"]["psnr"] = {"mean": None, "std": None}
    assert d.change(results, "simplified", "rebalanced-ours", "psnr") is None


def test_older_results_have_means_and_no_pairs() -> None:
    results = {name: as_before(r) for name, r in study("simplified", "rebalanced-ours").items()}
    found = _change(results)
    means = [r["test"]["rmse_ab"]["mean"] for r in results.values()]
    assert found.mean == pytest.approx(means[0] - means[1])
    assert d.change(results, "simplified", "rebalanced-ours", "auc_rebalanced") is None


def test_one_picture_has_no_error() -> None:
    assert _change(pair(0.5, 1.0, n=1)).error == 0


def test_an_experiment_can_be_taken_along_to_the_images_of_another() -> None:
    """The final nets have test images of their own; there the other is tested beside them."""
    results = study("rebalanced-ours-final", digest="b" * 64) | study("rebalanced-ours")
    names = ("rebalanced-ours-final", "rebalanced-ours")
    assert d.change(results, *names, "rmse_ab") is None
    final = results["rebalanced-ours-final"]
    final["beside"] = {"rebalanced-ours": {"missing": "rebalanced-ours was not trained yet"}}
    assert d.change(results, *names, "rmse_ab") is None
    beside = copy.deepcopy(results["rebalanced-ours"]["test"])
    beside["images"]["rmse_ab"] = [x + 1 for x in beside["images"]["rmse_ab"]]
    beside["rmse_ab"]["mean"] += 1
    final["beside"] = {"rebalanced-ours": beside}
    found = d.change(results, *names, "rmse_ab")
    assert found is not None
    changes = np.subtract(final["test"]["images"]["rmse_ab"], beside["images"]["rmse_ab"])
    assert found.mean == pytest.approx(changes.mean())
    assert found.error == pytest.approx(stats.sem(changes))
    # It is one run on these images, however many seeds there are on the others.
    results |= study("rebalanced-ours", seeds={"rebalanced-ours": 3})
    again = d.change(results, *names, "rmse_ab")
    assert again is not None and again.mean == pytest.approx(changes.mean())
    spread = d.seed_spread(results, "rmse_ab")
    assert spread is not None
    assert again.retraining == pytest.approx(spread.value * np.sqrt(2)) and again.seeds == 2
    assert d.change(results, *reversed(names), "rmse_ab") is None
