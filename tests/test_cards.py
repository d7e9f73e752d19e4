"""Cards and tables: every number in them is one of the results, and a table is a table."""

from __future__ import annotations

import copy
import dataclasses
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from colorize import cards as c
from colorize.errors import DataError
from colorize.experiments import EXPERIMENTS, get_experiment

MACHINE = {"platform": "Linux x86_64", "cores": 2, "gpu": None, "torch": "2.9.1"}


def _measured(seed: int, n: int = 40) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    found = {key: {"mean": float(rng.uniform(1, 30)), "std": 3.0} for key in c.COLUMNS}
    return {"n": n, **found, "colorfulness_truth": {"mean": 34.68, "std": 20.09}}


def _results(name: str = "simplified", scale: str = "small", seed: int = 0) -> dict[str, Any]:
    experiment = dataclasses.replace(get_experiment(name, scale), seed=seed)
    parts = {"train": 6491, "val": 807, "test": 812}
    return {
        "experiment": dataclasses.asdict(experiment),
        "images_seen": 129280,
        "seconds": 1974.0,
        "parameters": 3869529,
        "data": {k: {"images": n, "grey_left_out": 7, "rejected": 0} for k, n in parts.items()},
        "test": _measured(1),
        "test_last": None,
        "grey": _measured(2),
        "machine": MACHINE,
    }


def _cells(table: str) -> list[list[str]]:
    """The rows of a Markdown table, each of as many cells as its header."""
    lines = table.splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert all(line.startswith("| ") and line.endswith(" |") for line in lines)
    assert {len(row) for row in rows} == {len(rows[0])}
    assert set(rows[1]) == {"---"}
    return [rows[0], *rows[2:]]


def test_a_table() -> None:
    text = c.table(["a", "b"], [["1", "2"], ["3", "4"]])
    assert text == "| a | b |\n| --- | --- |\n| 1 | 2 |\n| 3 | 4 |"


def test_spread() -> None:
    value = {"mean": 15.256, "std": 5.304}
    assert c.spread(value) == "15.26 ± 5.30"
    assert c.spread(value, 0) == "15 ± 5"


@pytest.mark.parametrize("last", [False, True])
def test_the_table_of_metrics(last: bool) -> None:
    results = {"simplified": _results(), "rebalanced": _results("rebalanced")}
    results["rebalanced"]["test"] = _measured(5)
    if last:
        results["simplified"]["test_last"] = _measured(6)
    header, *rows = _cells(c.metrics_table(results))
    assert header[:2] == ["model", "parameters"] and header[2:] == list(c.COLUMNS.values())
    names = ["simplified", *(["simplified, last step"] if last else []), "rebalanced"]
    assert [row[0] for row in rows] == [*names, "grey", "truth"]
    tests = [results["simplified"]["test"]]
    tests += [results["simplified"]["test_last"]] if last else []
    tests += [results["rebalanced"]["test"], results["simplified"]["grey"]]
    for row, found in zip(rows, tests, strict=False):
        for cell, key in zip(row[2:], c.COLUMNS, strict=True):
            mean, spread = (float(part) for part in cell.split(" ± "))
            digits = 3 if key == "ssim" else 2
            assert (mean, spread) == (round(found[key]["mean"], digits), 3.0)
    assert [row[1] for row in rows[:-2]] == ["3.9 M"] * (len(rows) - 2)
    assert rows[-1][2:] == ["0", "0", "∞", "1", "34.68 ± 20.09"]


@pytest.mark.parametrize("name", [n for n, e in EXPERIMENTS.items() if not e.folder])
@pytest.mark.parametrize("scale", ["paper", "small", "quick"])
def test_every_card(name: str, scale: str) -> None:
    results = _results(name, scale, seed=3)
    experiment = get_experiment(name, scale)
    text = c.card(results)
    recipe = experiment.recipe
    for part in (
        f"# {name}\n\n{experiment.claim}\n",
        f"`{experiment.model}`",
        "3,869,529 parameters",
        "train 6,491, val 807, test 812; 21 grey ones left out",
        f"{len(experiment.data.classes) or 'all'} classes",
        f"λ = {experiment.lam}" if experiment.prior else "rebalancing: none,",
        f"{recipe.optimizer}, peak rate {recipe.lr:g}, {recipe.schedule} schedule",
        f"crop {recipe.crop} px, {recipe.epochs:g} epochs; seed 3",
        "129,280 images in 32.9 minutes (Linux x86_64, no GPU, 2 cores, torch 2.9.1)",
        f"`python -m colorize train {name} --scale {scale} --seed 3`",
        "## Test, n = 40,",
        "## Limits",
        c.metrics_table({name: results}),
    ):
        assert part in text, part
    assert f"Terms: {c.TERMS[experiment.data.name]}." in text
    assert ("research" in text) == (scale != "quick")
    assert "smoothed over ab" in text or experiment.smoothing is None
    for key, value in experiment.options.items():
        assert f"{key} = {value}" in text
    assert "None" not in text and "{" not in text


def test_the_card_of_a_gpu() -> None:
    results = _results()
    results["machine"] = {**MACHINE, "gpu": "Tesla T4"}
    assert "(Linux x86_64, Tesla T4, torch 2.9.1)" in c.card(results)


def test_the_command_in_a_card_is_the_one_that_made_it() -> None:
    """Epochs or a recipe that are not those of the scale belong to the command."""
    results = _results()
    recipe = results["experiment"]["recipe"]
    recipe["epochs"] = 0.2
    (command,) = re.findall(r"`(python -m colorize train [^`]*)`", c.card(results))
    assert "--epochs 0.2" in command


def test_write_card(tmp_path: Path) -> None:
    path = tmp_path / "new" / "simplified.md"
    assert c.write_card(_results(), path) == path
    assert path.read_text(encoding="utf-8") == c.card(_results())
    assert [p.name for p in path.parent.iterdir()] == ["simplified.md"]
    broken = {key: value for key, value in _results().items() if key != "grey"}
    with pytest.raises(KeyError, match="grey"):
        c.write_card(broken, path)
    assert path.read_text(encoding="utf-8") == c.card(_results())
    assert [p.name for p in path.parent.iterdir()] == ["simplified.md"]


def test_the_table_of_experiments() -> None:
    described = {name: dataclasses.asdict(e) for name, e in EXPERIMENTS.items()}
    header, *rows = _cells(c.experiments_table(described))
    assert header == ["experiment", "differs from", "model and prior", "claim"]
    for row, experiment in zip(rows, EXPERIMENTS.values(), strict=True):
        assert row[0] == f"`{experiment.name}`" and row[1] == (experiment.parent or "")
        assert row[2].startswith(f"{experiment.model}; prior {experiment.prior or 'none'}")
        assert ("smoothed over ab" in row[2]) == (experiment.smoothing == "ab")
        assert row[3] == experiment.claim


def _pair(change: float, spread: float, n: int = 100) -> dict[str, Any]:
    child, parent = _results("simplified"), _results("rebalanced-ours")
    for results in (child, parent):
        results["test"] = copy.deepcopy(_measured(1, n))
        for key in c.COLUMNS:
            results["test"][key] = {"mean": 20.0, "std": spread}
    for key in c.COLUMNS:
        child["test"][key]["mean"] += change
    return {"rebalanced-ours": parent, "simplified": child}


@pytest.mark.parametrize(
    ("change", "spread", "cell"),
    [
        # Two means of 100 images of spread 3: a standard error of 3 * sqrt(2 / 100) = 0.42.
        (1.0, 3.0, "+1.00 (± 0.42)"),
        (-1.0, 3.0, "-1.00 (± 0.42)"),
        (0.8, 3.0, "+0.80 (± 0.42, undecided)"),
        (-0.5, 3.0, "-0.50 (± 0.42, undecided)"),
    ],
)
def test_a_finding_is_decided_by_two_standard_errors(
    change: float, spread: float, cell: str
) -> None:
    _, row = _cells(c.findings_table(_pair(change, spread)))
    assert row[0] == "simplified against rebalanced-ours"
    assert row[1:4] == [cell] * 3
    assert row[4] == EXPERIMENTS["simplified"].claim


def test_findings_need_both_on_the_same_images() -> None:
    pair = _pair(1.0, 3.0)
    nothing = "No experiment and its parent"
    assert c.findings_table({"simplified": pair["simplified"]}).startswith(nothing)
    assert c.findings_table({}).startswith(nothing)
    pair["simplified"]["test"]["n"] = 99
    assert c.findings_table(pair).startswith(nothing)


def test_protocol() -> None:
    results = {"a": _results(), "b": _results(seed=2)}
    text = c.protocol(results)
    for part in ("n = 40 images", "seed 0, 2", "Linux x86_64, 2 cores, no GPU, torch 2.9.1"):
        assert part in text
    without = {key: value for key, value in _results().items() if key != "experiment"}
    assert "seed" not in c.protocol({"a": without})


def test_a_section_is_replaced_between_its_marks() -> None:
    begin, end = "<!-- results: written by colorize tables -->", "<!-- /results -->"
    text = f"# Title\n\n{begin}\nold\n{end}\n\n## Next\n"
    new = c.replace_section(text, "results", "| new \\1 $ |")
    assert new == f"# Title\n\n{begin}\n| new \\1 $ |\n{end}\n\n## Next\n"
    assert c.replace_section(new, "results", "old") == text
    for bad in ("", text.replace(end, ""), text.replace(begin, ""), text + text):
        with pytest.raises(DataError, match=r"expected the marks .* once each"):
            c.replace_section(bad, "results", "new")


def test_the_sections_of_a_readme() -> None:
    described = {name: dataclasses.asdict(e) for name, e in EXPERIMENTS.items()}
    empty = c.readme_sections(described, {})
    assert empty["experiments"] == c.experiments_table(described)
    assert empty["results"] == "No experiment has been trained yet."
    results = {"simplified": _results()}
    full = c.readme_sections(described, results)
    assert full["results"] == f"{c.metrics_table(results)}\n\n{c.protocol(results)}"
