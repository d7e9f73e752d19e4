"""Differences and their uncertainties against numpy and scipy, and the answers made of them."""

from __future__ import annotations

import itertools
import re
from typing import Any

import numpy as np
import pytest
from made_up import as_before, result, study, tables_in, values
from scipy import stats

from colorize import answers as a
from colorize.experiments import EXPERIMENTS, REPEATED, STUDY_A, STUDY_A_VARIANTS
from colorize.tables import METRICS

ALL = (*STUDY_A, *STUDY_A_VARIANTS)
NOTHING = "No two experiments have been trained and tested on the same images yet."


def _pair(shift: float, noise: float, n: int = 40) -> dict[str, Any]:
    """Errors that differ much from picture to picture, and by ``shift`` between the models."""
    base = np.array(values("base", n, 5, 60))
    changes = shift + noise * np.array(values("noise", n, -1, 1))
    return {
        "simplified": result("simplified", n=n, rmse_ab=list(base + changes)),
        "rebalanced-ours": result("rebalanced-ours", n=n, rmse_ab=list(base)),
    }


def _change(results: dict[str, Any], metric: str = "rmse_ab") -> a.Change:
    found = a.change(results, "simplified", "rebalanced-ours", metric)
    assert found is not None
    return found


# --- differences -------------------------------------------------------------------------------


def test_a_difference_is_of_pictures_in_pairs() -> None:
    """The pictures differ by far more than the models: only the pairs show the difference."""
    results = _pair(0.5, 1.0)
    one, other = (np.array(r["test"]["images"]["rmse_ab"]) for r in results.values())
    found = _change(results)
    assert found.mean == pytest.approx(one.mean() - other.mean())
    assert found.error == pytest.approx(stats.sem(one - other))
    assert found.retraining == 0 and found.uncertainty == pytest.approx(2 * found.error)
    assert found.decided
    assert 2 * np.hypot(stats.sem(one), stats.sem(other)) > abs(found.mean), "unpaired it is none"
    back = a.change(results, "rebalanced-ours", "simplified", "rmse_ab")
    assert back == a.Change(-found.mean, found.error, 0.0)


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize(("factor", "decided"), [(1.05, True), (0.95, False)])
def test_a_difference_is_decided_beyond_two_standard_errors(
    sign: int, factor: float, decided: bool
) -> None:
    noise = np.array(values("noise", 40, -1, 1))
    error = stats.sem(noise)
    shift = sign * factor * 2 * error - noise.mean()
    assert _change(_pair(shift, 1.0)).decided == decided


def test_errors_of_pictures_and_of_seeds_add_up_as_squares() -> None:
    assert a.Change(1.0, 0.3, 0.4).uncertainty == pytest.approx(1.0)
    assert not a.Change(1.0, 0.3, 0.4).decided and a.Change(1.01, 0.3, 0.4).decided
    assert a.Change(-1.01, 0.3, 0.4).decided and not a.Change(0.0, 0.0, 0.0).decided


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
    assert a.seed_spread(results, "psnr") == pytest.approx(np.sqrt(squares / 3))
    assert a.seed_spread(study("simplified", "euclidean"), "psnr") is None
    assert a.seed_spread({}, "psnr") is a.seed_spread(results, "top1") is None
    # Equally many runs of the same variance are of that variance.
    for i, found in enumerate(results.values()):
        found["test"]["auc_rebalanced"] = {"value": 0.5 + 0.01 * (i % 2)}
    del results["simplified-seed2"]
    assert a.seed_spread(results, "auc_rebalanced") == pytest.approx(0.01 / np.sqrt(2))


def test_a_difference_of_repeated_experiments() -> None:
    results = _seeds({"simplified": 3, "rebalanced-ours": 2})
    for metric in ("rmse_ab", "recognized_own"):
        ours, theirs = (
            [r["test"][metric]["mean"] for r in results.values() if r["experiment"]["name"] == name]
            for name in ("simplified", "rebalanced-ours")
        )
        found = _change(results, metric)
        assert found.mean == pytest.approx(np.mean(ours) - np.mean(theirs))
        spread = a.seed_spread(results, metric)
        assert spread is not None
        assert found.retraining == pytest.approx(spread * np.sqrt(1 / 3 + 1 / 2))
        images = [results[n]["test"]["images"][metric] for n in ("simplified", "rebalanced-ours")]
        assert found.error == pytest.approx(stats.sem(np.subtract(*images)))
    # Experiments that ran once are retrained as uncertainly as those that ran more often.
    results |= study("euclidean", "unbalanced")
    once = a.change(results, "unbalanced", "euclidean", "rmse_ab")
    spread = a.seed_spread(results, "rmse_ab")
    assert once is not None and spread is not None
    assert once.retraining == pytest.approx(spread * np.sqrt(2))


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
    assert found.uncertainty == pytest.approx(2 * 0.025 * np.sqrt(1 + 1 / 3)) and found.decided


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
    assert a.change(results, "simplified", "rebalanced-ours", "rmse_ab") is None
    assert "against" not in a.answers(results)


def test_no_difference_without_the_run_or_the_metric() -> None:
    results = study("simplified", "rebalanced-ours")
    assert a.change(results, "simplified", "euclidean", "rmse_ab") is None
    assert a.change(results, "euclidean", "simplified", "rmse_ab") is None
    assert a.change({}, "euclidean", "simplified", "rmse_ab") is None
    for metric in ("top1", "fid"):
        assert a.change(results, "simplified", "rebalanced-ours", metric) is None
    results["simplified"]["test"]["psnr"] = {"mean": None, "std": None}
    assert a.change(results, "simplified", "rebalanced-ours", "psnr") is None


def test_older_results_have_means_and_no_pairs() -> None:
    results = {name: as_before(r) for name, r in study("simplified", "rebalanced-ours").items()}
    found = _change(results)
    means = [r["test"]["rmse_ab"]["mean"] for r in results.values()]
    assert found.mean == pytest.approx(means[0] - means[1])
    assert a.change(results, "simplified", "rebalanced-ours", "auc_rebalanced") is None


def test_one_picture_has_no_error() -> None:
    assert _change(_pair(0.5, 1.0, n=1)).error == 0


# --- answers -----------------------------------------------------------------------------------


def test_every_comparison_is_of_experiments_and_metrics_that_exist() -> None:
    compared = set()
    for question in a.QUESTIONS:
        assert question.comparisons or question.more
        for ours, theirs, metrics in question.comparisons:
            assert {ours, theirs} <= EXPERIMENTS.keys() and ours != theirs
            assert set(metrics) <= METRICS.keys()
            compared |= {ours, theirs}
    assert compared >= {e for e in ALL if not e.endswith("-final")}


def test_all_questions_are_answered_when_all_was_trained() -> None:
    text = a.answers(study(*ALL, seeds=dict.fromkeys(REPEATED, 3)))
    asked = re.findall(r"^\*\*(.*)\*\* (.*)$", text, re.MULTILINE)
    assert asked == [(question.text, question.claim) for question in a.QUESTIONS]
    for question in a.QUESTIONS:
        for ours, theirs, metrics in question.comparisons:
            (line,) = re.findall(rf"^- `{ours}` against `{theirs}`: (.*)\.$", text, re.MULTILINE)
            said = line.split("; ")
            assert [part.split(" +")[0].split(" -")[0] for part in said] == [
                METRICS[key].title for key in metrics
            ]
    assert "of another training, from the seeds of `rebalanced-ours` (3), `simplified` (3)." in text
    _assert_whole(text)


def _assert_whole(text: str) -> None:
    """No number that is none, and tables that are tables."""
    assert not re.search(r"\b(None|nan|inf)\b", text), text
    tables_in(text)
    assert not re.search(r"\*\*$\n\n(\*\*|$)", text), "a question without an answer"


@pytest.mark.parametrize("old", [False, True])
@pytest.mark.parametrize("size", [1, 2])
def test_any_part_of_the_study_gives_whole_answers(size: int, old: bool) -> None:
    everything = study(*ALL, scale="quick")
    if old:
        everything = {name: as_before(found) for name, found in everything.items()}
    for names in itertools.combinations(ALL, size):
        text = a.answers({name: everything[name] for name in names})
        _assert_whole(text)
        pairs = {(c[0], c[1]) for q in a.QUESTIONS for c in q.comparisons}
        said = {tuple(pair) for pair in re.findall(r"^- `(.*?)` against `(.*?)`", text, re.M)}
        assert said == {pair for pair in pairs if set(pair) <= set(names)}
        assert "none has several seeds" in text


def test_without_results_there_is_a_sentence() -> None:
    assert a.answers({}) == NOTHING


def test_numbers_and_verdicts_by_hand() -> None:
    results = _pair(0.5, 0.01)
    for metric, ours, theirs in (
        ("colorfulness", 30.0, 28.0),
        ("colorfulness_error", 9.0, 12.0),
        ("recognized_own", 0.5, 0.5),
    ):
        for name, value in (("simplified", ours), ("rebalanced-ours", theirs)):
            test = results[name]["test"]
            pictures = [value + 0.001 * (-1) ** i * (name == "simplified") for i in range(40)]
            test[metric], test["images"][metric] = {"mean": value}, pictures
    results["simplified"]["test"]["auc_rebalanced"]["value"] = 0.48
    text = a.answers(results)
    for part in (
        "- `simplified` against `rebalanced-ours`: RMSE ab +0.50 (± 0.00): worse; ",
        "colorfulness +2.0 (± 0.0): more; ",
        "colorfulness error -3.0 (± 0.0): better; ",
        "recognized, own classes [%] +0.0 (± 0.0): not decided.",
        "AuC, rebalanced [%] -2.0 (",
    ):
        assert part in text, part
    # Three runs whose mean is the same, far apart: now it may be chance.
    for seed, accuracy in ((1, 0.28), (2, 0.68)):
        run = results[f"simplified-seed{seed}"] = result("simplified", seed=seed)
        run["test"]["auc_rebalanced"]["value"] = accuracy
    spread = 2 * 20 * np.sqrt(1 + 1 / 3)
    text = a.answers(results)
    assert f"AuC, rebalanced [%] -2.0 (± {spread:.1f}): not decided" in text
    assert "from the seeds of `simplified` (3)." in text
