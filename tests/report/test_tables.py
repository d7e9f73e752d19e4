"""How numbers are written: tables, digits, which way is better."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest
from helpers.made_up import MACHINE, cells

from colorize.report import tables as t


class Found(NamedTuple):
    mean: float
    decided: bool = True


def test_a_table() -> None:
    text = t.table(["a", "b"], [["1", "2"], ["3", "4"]])
    assert text == "| a | b |\n| --- | --- |\n| 1 | 2 |\n| 3 | 4 |"
    assert cells(text) == [["a", "b"], ["1", "2"], ["3", "4"]]
    assert t.table(["a"], []) == "| a |\n| --- |"


def test_spread() -> None:
    value = {"mean": 15.256, "std": 5.304}
    assert t.spread(value) == "15.26 ± 5.30"
    assert t.spread(value, 0) == "15 ± 5"
    # What JSON has in place of an infinite PSNR.
    perfect: dict[str, Any] = {"mean": None, "std": None}
    assert t.spread(perfect) == "∞"


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ({"psnr": {"mean": 2, "std": 1.0}}, 2.0),
        ({"psnr": {"value": 0.25}}, 0.25),
        ({"psnr": {"mean": 0.0, "std": 0.0}}, 0.0),
        ({"psnr": {"mean": None, "std": None}}, None),
        ({"psnr": {"missing": "no weights"}}, None),
        ({"ssim": {"mean": 1.0}}, None),
    ],
)
def test_what_was_measured(found: dict[str, dict[str, float]], expected: float | None) -> None:
    assert t.measured(found, "psnr") == expected


@pytest.mark.parametrize(
    ("metric", "up", "down"),
    [
        *((m, "better", "worse") for m in ("psnr", "ssim", "auc", "auc_rebalanced", "top1")),
        *((m, "better", "worse") for m in ("recognized", "recognized_own", "top5")),
        *((m, "worse", "better") for m in ("rmse_ab", "rmse_rgb", "colorfulness_error")),
        *((m, "worse", "better") for m in ("lpips", "fid")),
        ("colorfulness", "more", "less"),
    ],
)
def test_verdicts_go_the_way_of_the_metric(metric: str, up: str, down: str) -> None:
    assert t.verdict(metric, Found(0.1)) == up and t.verdict(metric, Found(-0.1)) == down
    assert t.verdict(metric, Found(9.0, decided=False)) == "not decided"


def test_every_metric_has_a_name_of_its_own_and_shares_are_in_percent() -> None:
    titles = [m.title for m in t.METRICS.values()]
    assert len(set(titles)) == len(titles)
    for metric in t.METRICS.values():
        assert (metric.scale == 100) == ("[%]" in metric.title)
        assert "|" not in metric.title


def test_the_machine_in_words() -> None:
    assert t.hardware(MACHINE) == "Linux x86_64, 2 cores, no GPU, torch 2.9.1"
    assert t.hardware({**MACHINE, "gpu": "Tesla T4"}) == "Linux x86_64, Tesla T4, torch 2.9.1"
