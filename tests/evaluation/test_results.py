"""Results as JSON: whole files, readable numbers, one schema."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NoReturn

import pytest
import torch

from colorize.errors import DataError
from colorize.evaluation.results import ModelResults, Results, load_results, machine, save_results

CHECKPOINTS = Path(__file__).parents[2] / "CHECKPOINTS"


def test_results_come_back_as_they_were(tmp_path: Path) -> None:
    results: dict[str, Any] = {
        "test": {"images": {"psnr": [20.5, -3e-05, 7.0], "label": [1, 0]}, "lpips": None},
        "pairs": [[1, 2], [3, 4]],
        "empty": [],
        "claim": "λ [1, 2] in words, [null] and [1,  2]",
        "machine": machine(),
    }
    path = save_results(results, tmp_path / "new" / "a.json")
    assert load_results(path) == results
    # A list of numbers is one line.
    lines = path.read_text(encoding="utf-8").splitlines()
    assert any('"psnr": [' in line and "]" in line for line in lines)


def test_what_is_not_finite_is_null(tmp_path: Path) -> None:
    """Grey on grey has an infinite PSNR, and JSON knows no infinity."""

    def refuse(constant: str) -> NoReturn:
        raise AssertionError(f"{constant} is no JSON")

    psnr = {"mean": float("inf"), "std": float("nan")}
    path = save_results({"psnr": psnr, "images": [1.0, float("inf")]}, tmp_path / "a.json")
    loaded = json.loads(path.read_text(encoding="utf-8"), parse_constant=refuse)
    assert loaded == {"psnr": {"mean": None, "std": None}, "images": [1.0, None]}


def test_results_that_cannot_be_written_or_read(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    save_results({"n": 1}, path)
    with pytest.raises(TypeError):
        save_results({"n": 2, "bad": torch.zeros(1)}, path)
    assert json.loads(path.read_text(encoding="utf-8")) == {"n": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]
    with pytest.raises(DataError, match="train"):
        load_results(tmp_path / "b.json")
    path.write_text('{"n": 1', encoding="utf-8")
    with pytest.raises(DataError, match="JSON"):
        load_results(path)


def test_committed_results_have_the_schema() -> None:
    files = sorted(CHECKPOINTS.rglob("*.json"))
    assert files
    for path in files:
        keys = load_results(path).keys()
        # What was tried and measured without an experiment has less.
        assert keys == Results.__required_keys__ or (
            "experiment" not in keys
            and ModelResults.__required_keys__ <= keys <= Results.__required_keys__
        ), path.name
