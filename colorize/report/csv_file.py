"""All results in one file: a row for each run, each thing that was tested, and each metric."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from colorize.report.statistics import Result, Results, value_of
from colorize.report.tables import hardware
from colorize.storage import atomic_write

COLUMNS = (
    *("run", "experiment", "scale", "seed", "tested", "weights", "metric", "mean", "std", "n"),
    *("precision", "step", "machine"),
)


def write_csv(results: Results, path: Path) -> Path:
    """Write the results of all runs, a whole file or none.

    The column ``tested`` says what the metrics are of: "model", "grey", "mean", "constant",
    "shuffled", another experiment's model on the same images by its name, or for a classifier
    "input" and who colored it. Means of shares are from 0 to 1.
    """
    with atomic_write(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        for run, result in results.items():
            writer.writerows(_rows(run, result, results))
    return path


def _rows(run: str, result: Result, results: Results) -> Iterator[dict[str, object]]:
    experiment = result.get("experiment", {})
    tested = experiment.get("tested", "")
    common = {
        "run": run,
        "experiment": experiment.get("name", ""),
        "scale": experiment.get("scale", ""),
        "seed": experiment.get("seed", ""),
        "precision": result.get("precision", ""),
        "machine": hardware(result["machine"]),
    }
    step = _step(result, tested) if experiment else ""
    own: dict[str, object] = {"weights": tested, "step": step}
    parts = [("model", own, result["test"]), ("grey", {}, result["grey"])]
    if result["test_last"]:
        last = {"weights": "last", "step": result["steps"]}
        parts.append(("model", last, result["test_last"]))
    parts += [(other, _trained(results, other), t) for other, t in result["also_tested"].items()]
    parts += [(kind, {}, test) for kind, test in result["baselines"].items()]
    parts += [(f"input {name}", own, test) for name, test in result["inputs"].items()]
    yield {**common, "tested": "model", "metric": "parameters", "mean": result["parameters"]}
    for name, model, test in parts:
        for metric, value in _values(test).items():
            yield {**common, "tested": name, **model, **value, "metric": metric}


def _trained(results: Results, other: str) -> dict[str, object]:
    """How another net was trained that was tested in a run: as its own run says."""
    run = results.get(other)
    if run is None:
        return {"precision": ""}
    weights = run["experiment"]["tested"]
    return {"precision": run["precision"], "weights": weights, "step": _step(run, weights)}


def _values(test: Mapping[str, Any]) -> dict[str, dict[str, object]]:
    values: dict[str, dict[str, object]] = {}
    for metric, entry in test.items():
        if isinstance(entry, Mapping) and metric != "images":
            mean, std = value_of(test, metric), entry.get("std")
            if mean is not None:
                std = "" if std is None else f"{std:.6g}"
                values[metric] = {"mean": f"{mean:.6g}", "std": std, "n": test["n"]}
    return values


def _step(result: Result, weights: str) -> int:
    """The step of the weights: the last one, or that of the least loss on validation."""
    if weights == "last":
        return int(result["steps"])
    return int(min(result["curve"], key=lambda point: float(point["val_loss"]))["step"])
