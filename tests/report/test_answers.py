"""The answers made of differences, claims and findings."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import numpy as np
import pytest
from helpers.made_up import as_before, pair, result, study, tables_in
from scipy import stats

from colorize.experiments.catalog import EXPERIMENTS
from colorize.experiments.study_a import REPEATED, STUDY_A, STUDY_A_VARIANTS
from colorize.report import answers as a
from colorize.report.tables import METRICS

ALL = (*STUDY_A, *STUDY_A_VARIANTS)
NOTHING = "No two experiments have been trained and tested on the same images yet."


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
    results = pair(0.5, 0.01)
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
    spread = stats.t.ppf(0.975, 2) * 20 * np.sqrt(1 + 1 / 3)
    text = a.answers(results)
    assert f"AuC, rebalanced [%] -2.0 (± {spread:.1f}): not decided" in text
    assert "from the seeds of `simplified` (3)." in text


def test_every_figure_is_one_that_the_notebook_saves() -> None:
    notebook = (Path(__file__).parents[2] / "colorization.ipynb").read_text(encoding="utf-8")
    saved = set(re.findall(r'\\"([a-z-]+)\\", graphs\)', notebook))
    for question in a.QUESTIONS:
        assert question.figures and set(question.figures) <= saved, question.text


def test_every_answer_names_its_figures_and_the_files_of_its_numbers() -> None:
    results = study(*ALL, seeds=dict.fromkeys(REPEATED, 3))
    text = a.answers(results)
    lines = re.findall(r"^Figures: (.*)\. Numbers: (.*)\.$", text, re.MULTILINE)
    assert len(lines) == len(a.QUESTIONS)
    for (figures, numbers), question in zip(lines, a.QUESTIONS, strict=True):
        assert figures.split(", ") == [f"{name}.png" for name in question.figures]
        compared = {name for c in question.comparisons for name in c[:2]}
        files = set(numbers.split(", ")) if compared else set()
        assert compared or numbers == "those of every model"
        assert {re.sub(r"-seed\d|\.json|ablation/", "", file) for file in files} == compared
    assert "simplified-seed2.json" in text and "ablation/simplified-patches.json" in text


def test_an_answer_says_what_the_numbers_confirm() -> None:
    results = pair(0.5, 0.01)
    for key, ours, theirs in (("psnr", 20.0, 20.0), ("colorfulness", 30.0, 30.0)):
        for name, value in (("simplified", ours), ("rebalanced-ours", theirs)):
            test = results[name]["test"]
            own = [value + 0.01 * (-1) ** i * (name == "simplified") for i in range(40)]
            test[key], test["images"][key] = {"mean": value}, own
    (part,) = [p for p in a.answers(results).split("\n\n**") if "simplified net cost" in p]
    between = "shows no difference between `simplified` and `rebalanced-ours`"
    assert (
        f"*Confirmed:* PSNR [dB] {between}; colorfulness {between}. "
        f"*Contradicted:* RMSE ab {between}." in part
    )
    assert "*Not decided:*" not in part
