"""Tables of what the temperature changes at which the answers of classification are read."""

from __future__ import annotations

from collections.abc import Iterable

from colorize.report.cells import METRICS, cell, interval, table
from colorize.report.statistics import Results, difference, paired_difference


def borders_table(results: Results) -> str:
    """One row a model with a temperature: colorfulness and the sharpness of its color borders at
    three of them, and the change from the highest to the lowest with the 95 % interval over the
    images.

    Runs of which this was not measured are left out.
    """
    metrics = ("colorfulness", "border_sharpness")
    measured = {name: run["borders"] for name, run in results.items() if run["borders"]}
    temperatures = [point["temperature"] for point in next(iter(measured.values()), [])]
    header = ["model"]
    for metric in metrics:
        header += [f"{METRICS[metric].title}, T = {value:g}" for value in temperatures] + ["change"]
    rows = []
    for name, points in measured.items():
        row = [name]
        for metric in metrics:
            first, last = (point["images"][metric] for point in (points[0], points[-1]))
            change = paired_difference([b - a for a, b in zip(first, last, strict=True)])
            row += [cell(point, metric, spread=False) for point in points]
            row.append(interval(change, metric))
        rows.append(row)
    return table(header, rows)


def temperatures_table(results: Results, pairs: Iterable[tuple[str, str]]) -> str:
    """One row a pair: the difference in colorfulness at three temperatures, each with the 95 %
    interval as of ``difference``; not corrected for several comparisons. A net of regression has
    the same colors at all of them.

    Runs of classification of which this was not measured are left out.
    """
    points = [point for run in results.values() for point in run["borders"] or ()]
    read = {point["temperature"]: _read_at(results, point["temperature"]) for point in points}
    metric = "colorfulness"
    rows = []
    for pair in dict.fromkeys(pairs):
        changes = [difference(runs, *pair, metric) for runs in read.values()]
        if any(changes):
            rows.append([*pair, *(interval(change, metric) for change in changes)])
    title = METRICS[metric].title
    return table(["experiment", "baseline", *(f"{title}, T = {value:g}" for value in read)], rows)


def _read_at(results: Results, temperature: float) -> Results:
    """The results with the colorfulness of the answers at this temperature."""
    read = {}
    for run, result in results.items():
        test = result["test"]
        for point in result["borders"] or ():
            if point["temperature"] == temperature:
                images = {**test["images"], "colorfulness": point["images"]["colorfulness"]}
                test = {**test, "images": images, "colorfulness": point["colorfulness"]}
        if test is not result["test"] or result["temperature"] is None:
            read[run] = {**result, "test": test}
    return read
