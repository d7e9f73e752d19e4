"""results.csv and docs/results.md say the same as the results."""

from __future__ import annotations

import csv
import re
import shutil
import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from colorize import paths
from colorize.cli import main
from colorize.report.cells import METRICS

Rows = list[dict[str, str]]
METRIC_OF = {metric.title: key for key, metric in METRICS.items()}
SHIPPED = paths.shipped_checkpoints()
DOCUMENT = SHIPPED.parent / "docs" / "results.md"


def _read(path: Path) -> Rows:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _key(row: dict[str, str]) -> tuple[str, ...]:
    return row["run"], row["tested"], row["weights"], row["metric"]


@pytest.fixture(scope="module")
def rows() -> Rows:
    return _read(SHIPPED / "results.csv")


def _mean(rows: Rows, metric: str, **columns: str) -> list[float]:
    return [
        float(row["mean"])
        for row in rows
        if row["metric"] == metric and columns.items() <= row.items()
    ]


def test_a_row_is_a_metric_of_a_run(rows: Rows, results: dict[str, Any]) -> None:
    assert {row["run"] for row in rows} == set(results)
    of_key = {_key(row): row for row in rows}
    assert len(of_key) == len(rows)
    for run in ("simplified", "ncd-joint-seed1"):
        result = results[run]
        weights = result["experiment"]["tested"]
        row = of_key[run, "model", weights, "psnr"]
        assert float(row["mean"]) == pytest.approx(result["test"]["psnr"]["mean"], rel=1e-5)
        assert float(row["std"]) == pytest.approx(result["test"]["psnr"]["std"], rel=1e-5)
        assert (int(row["n"]), row["scale"]) == (result["test"]["n"], "small")
        assert (row["precision"], int(row["seed"])) == ("float32", result["experiment"]["seed"])
        point = next(p for p in result["curve"] if p["step"] == int(row["step"]))
        assert weights == "last" or point["val_loss"] == min(p["val_loss"] for p in result["curve"])
    assert _mean(rows, "top1", run="ncd-class-true", tested="input grey")
    # Another net keeps the precision and the step of its own training.
    here = {"tested": "simplified", "metric": "psnr"}
    (other,) = [row for row in rows if here.items() <= row.items()]
    own = of_key["simplified", "model", "last", "psnr"]
    assert other["run"] == "simplified-final" and other["mean"] != own["mean"]
    kept = ("precision", "weights", "step")
    assert [other[column] for column in kept] == [own[column] for column in kept]
    assert of_key[other["run"], "model", "last", "psnr"]["step"] != own["step"]


def _tables(text: str) -> Iterator[tuple[list[str], list[list[str]]]]:
    for block in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        header, _, *cells = (
            [cell.strip() for cell in line[1:-1].split("|")] for line in block.splitlines()
        )
        yield header, cells


def _expected(rows: Rows, header: list[str], name: str, baseline: str, metric: str) -> list[float]:
    """What a cell's mean can be: of a model by its run, of an experiment over its seeds."""
    if header[0] == "model":
        run, _, kind = name.partition(", ")
        if kind == "same images":
            return _mean(rows, metric, tested=run)
        if run in ("grey", "mean", "constant"):
            return _mean(rows, metric, tested=run)
        weights = {"weights": "last"} if kind else {}
        return _mean(rows, metric, run=run, tested="model", **weights)
    mean = statistics.fmean(_of_experiment(rows, metric, name))
    if not baseline:
        return [mean]
    if "-final" in name:
        return [mean - statistics.fmean(_mean(rows, metric, run=name, tested=baseline))]
    return [mean - statistics.fmean(_of_experiment(rows, metric, baseline))]


def _of_experiment(rows: Rows, metric: str, name: str) -> list[float]:
    """Of its runs; those of the best weights where they were tested by these."""
    model = {"experiment": name, "tested": "model"}
    return _mean(rows, metric, weights="best", **model) or _mean(
        rows, metric, weights="last", **model
    )


def test_the_tables_of_the_document_are_equal_to_the_csv(rows: Rows) -> None:
    compared = 0
    for header, table in _tables(DOCUMENT.read_text(encoding="utf-8")):
        if header[0] not in ("model", "experiment") or "claim" in header:
            continue
        for cells in table:
            if cells[0] == "truth" or cells[0].startswith("chance, "):
                continue
            if cells[0] == "grey" and header[0] == "experiment":
                continue
            baseline = cells[1] if header[1] == "baseline" else ""
            for title, cell in zip(header, cells, strict=True):
                if title in METRIC_OF and cell:
                    shown = METRICS[METRIC_OF[title]]
                    expected = _expected(rows, header, cells[0], baseline, METRIC_OF[title])
                    nearest = min(
                        abs(shown.factor * value - float(cell.strip("*").split()[0]))
                        for value in expected
                    )
                    assert nearest <= 0.51 * 10**-shown.digits, (cells[0], title)
                    compared += 1
    assert compared > 400


def test_the_command_writes_all_three_and_keeps_the_sentences(
    home: Path, rows: Rows, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["results"]) == 1 and "no results" in capsys.readouterr().err
    ignored = shutil.ignore_patterns("*.safetensors", "*.csv", "*.md")
    shutil.copytree(SHIPPED, home / "CHECKPOINTS", ignore=ignored)
    cards = [home / "CHECKPOINTS" / name for name in ("euclidean.md", "photo.md")]
    for card in cards:
        card.touch()
    assert main(["results"]) == 0
    assert all(card.read_bytes() == (SHIPPED / card.name).read_bytes() for card in cards)
    written = _read(home / "CHECKPOINTS" / "results.csv")
    assert [_key(row) for row in written] == [_key(row) for row in rows]
    means = [[float(row["mean"]) for row in some] for some in (written, rows)]
    assert means[0] == pytest.approx(means[1], rel=1e-5)
    document = home / "docs" / "results.md"
    document.parent.mkdir()
    text = DOCUMENT.read_text(encoding="utf-8")
    emptied = re.sub(r"(<!-- table .* -->\n)(?:.|\n)*?(<!-- end)", r"\1\2", text)
    assert len(emptied) < len(text) / 2
    document.write_text(emptied, encoding="utf-8")
    assert main(["results"]) == 0
    assert list(_tables(document.read_text(encoding="utf-8"))) == list(_tables(text))
    assert document.read_text(encoding="utf-8").startswith(text[: text.index("<!-- table")])
    quick = home / "CHECKPOINTS" / "quick" / "simplified.json"
    quick.parent.mkdir()
    shutil.copy(home / "CHECKPOINTS" / "euclidean.json", quick)
    assert main(["results"]) == 0
    assert list(_tables(document.read_text(encoding="utf-8"))) == list(_tables(text))
    document.write_text("# no marks\n", encoding="utf-8")
    assert main(["results"]) == 1 and "marks" in capsys.readouterr().err
    document.write_text(text, encoding="utf-8")
    (home / "CHECKPOINTS" / "photo.json").unlink()
    assert main(["results"]) == 1 and "photo" in capsys.readouterr().err
    assert document.read_text(encoding="utf-8") == text
