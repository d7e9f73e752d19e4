"""Tables in Markdown, written from results and nothing else."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from colorize.errors import DataError
from colorize.report.statistics import (
    Difference,
    Results,
    difference,
    group_by_experiment,
    paired_difference,
    value_of,
)


class Metric(NamedTuple):
    """How a metric is shown, and which way is better (None: neither)."""

    title: str
    factor: float = 1.0
    digits: int = 2
    better: str | None = "higher"


METRICS = {
    "rmse_ab": Metric("RMSE ab", better="lower"),
    "rmse_rgb": Metric("RMSE RGB", better="lower"),
    "psnr": Metric("PSNR [dB]"),
    "ssim": Metric("SSIM", digits=3),
    "colorfulness": Metric("colorfulness", digits=1, better=None),
    "colorfulness_error": Metric("colorfulness error", digits=1, better="lower"),
    "auc": Metric("AuC [%]", 100, 1),
    "auc_rebalanced": Metric("AuC, rebalanced [%]", 100, 1),
    "recognized": Metric("recognized [%]", 100, 1),
    "recognized_own": Metric("recognized, own classes [%]", 100, 1),
    "lpips": Metric("LPIPS", digits=3, better="lower"),
    "fid": Metric("FID", digits=1, better="lower"),
    "top1": Metric("top-1 [%]", 100, 1),
    "top5": Metric("top-5 [%]", 100, 1),
}
ERROR_METRICS = ("rmse_ab", "rmse_rgb", "psnr", "ssim", "colorfulness")
FIELD_METRICS = (
    *("auc", "auc_rebalanced", "colorfulness_error", "recognized", "recognized_own"),
    *("lpips", "fid"),
)
LABEL_METRICS = ("top1", "top5")
COMPARED_METRICS = ("rmse_ab", "psnr", "ssim", "colorfulness", "auc_rebalanced", "recognized_own")
ABLATION_METRICS = (*LABEL_METRICS, "rmse_ab", "psnr", "colorfulness")
_LAST = ", last step"
# What the truth itself would get.
_TRUTH: dict[str, float | None] = {
    "psnr": None,
    **dict.fromkeys(("rmse_ab", "rmse_rgb", "colorfulness_error", "lpips", "fid"), 0.0),
    **dict.fromkeys(("ssim", "auc", "auc_rebalanced"), 1.0),
}


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def metrics_table(results: Results) -> str:
    """One row a model, then grey and the truth; all of the same images, mean ± std over them."""
    labelled = any("top1" in result["test"] for result in results.values())
    metrics = ERROR_METRICS + (LABEL_METRICS if labelled else ())
    rows = []
    for name, test in _tests(results).items():
        size = f"{results[name]['parameters'] / 1e6:.1f} M" if name in results else ""
        rows.append([name, size, *(_cell(test, metric) for metric in metrics)])
    return table(["model", "parameters", *_titles(metrics)], rows)


def field_table(results: Results) -> str:
    """The field's other metrics, one row a model, then grey and the truth; below, what could not
    be measured.
    """
    first = next(iter(results.values()))
    metrics = [
        metric
        for metric in FIELD_METRICS
        if any(value_of(result["test"], metric) is not None for result in results.values())
    ]
    rows = [
        [name, *(_cell(test, metric, spread=False) for metric in metrics)]
        for name, test in _tests(results).items()
        if not name.endswith(_LAST)
    ]
    text = table(["model", *_titles(metrics)], rows)
    missing = [METRICS[m].title for m in FIELD_METRICS if "missing" in first["test"].get(m, {})]
    return f"{text}\n\nNot measured: {', '.join(missing)}." if missing else text


def seeds_table(results: Results, metrics: Sequence[str] = COMPARED_METRICS) -> str:
    """One row an experiment, then grey: mean ± standard deviation over its seeds."""
    groups = group_by_experiment(results)
    rows = [
        [name, str(len(runs)), *(_over_seeds([run["test"] for run in runs], m) for m in metrics)]
        for name, runs in groups.items()
    ]
    longest = max(groups.values(), key=len)
    grey = [_over_seeds([run["grey"] for run in longest], metric) for metric in metrics]
    return table(
        ["experiment", "seeds", *_titles(metrics)], [*rows, ["grey", str(len(longest)), *grey]]
    )


def differences_table(results: Results, metrics: Sequence[str] = COMPARED_METRICS) -> str:
    """One row an experiment: its difference from its baseline, with the 95 % interval.

    Experiments without a baseline among the results are left out.
    """
    rows = []
    for name, runs in group_by_experiment(results).items():
        baseline = runs[0]["experiment"]["baseline"]
        if baseline is None:
            continue
        changes = [difference(results, name, baseline, metric) for metric in metrics]
        if any(changes):
            cells = [_interval(c, m) for c, m in zip(changes, metrics, strict=True)]
            rows.append([name, baseline, *cells])
    return table(["experiment", "baseline", *_titles(metrics)], rows)


def inputs_table(results: Results, name: str) -> str:
    """What a classifier that was trained on true color makes of other colors.

    Args:
        name: of the experiment.

    Raises:
        DataError: when it was not trained.
    """
    runs = group_by_experiment(results).get(name)
    if not runs:
        raise DataError(f"There are no results of {name}; train it first")
    cells = [_over_seeds([run["test"] for run in runs], m) for m in LABEL_METRICS]
    rows = [["true color", *cells, "", ""]]
    for kind in runs[0]["inputs"]:
        tests = [run["inputs"][kind] for run in runs]
        grey = [run["inputs"]["grey"] for run in runs]
        changes = [
            paired_difference(
                [t[m]["mean"] - g[m]["mean"] for t, g in zip(tests, grey, strict=True)]
            )
            for m in LABEL_METRICS
        ]
        cells = [_over_seeds(tests, m) for m in LABEL_METRICS]
        against = [_interval(c, m) for c, m in zip(changes, LABEL_METRICS, strict=True)]
        label = "grey" if kind == "grey" else f"colored by {kind}"
        rows.append([label, *cells, *(["", ""] if kind == "grey" else against)])
    titles = _titles(LABEL_METRICS)
    return table(["the classifier sees", *titles, *(f"{t} against grey" for t in titles)], rows)


def experiments_table(experiments: Mapping[str, Mapping[str, Any]]) -> str:
    """One row an experiment: what it is, its baseline, and the claim that it tests.

    Args:
        experiments: the fields of each (``dataclasses.asdict``) by name.
    """
    rows = []
    for name, experiment in experiments.items():
        prior = experiment["prior"] or "none"
        if experiment["smoothing"]:
            prior += f", smoothed over {experiment['smoothing']}"
        cells = [experiment["baseline"] or "", f"{experiment['model']}; prior {prior}"]
        rows.append([f"`{name}`", *cells, experiment["claim"]])
    return table(["experiment", "baseline", "model and prior", "claim"], rows)


def protocol(results: Results) -> str:
    """One line below a table: n, size, seeds, precision and machine."""
    first = next(iter(results.values()))
    parts = [f"n = {_listed(result['test']['n'] for result in results.values())} images"]
    runs = {name: result for name, result in results.items() if "experiment" in result}
    if runs:
        experiments = [run["experiment"] for run in runs.values()]
        grey = (run["data"]["test"]["grey_left_out"] for run in runs.values())
        parts += [
            f"center crops of {_listed(e['recipe']['test_crop'] for e in experiments)} px",
            f"{_listed(grey)} grey ones left out",
            f"seed {_listed(e['seed'] for e in experiments)}",
            f"trained in {_precisions(runs)}",
        ]
    return f"{'; '.join([*parts, hardware(first['machine'])])}."


def hardware(machine: Mapping[str, Any]) -> str:
    """Platform, cores or GPU, and torch, of ``evaluation.results.machine``."""
    processor = machine["gpu"] or f"{machine['cores']} cores, no GPU"
    return f"{machine['platform']}, {processor}, torch {machine['torch']}"


def _precisions(runs: Results) -> str:
    names_of: dict[str, list[str]] = {}
    for name, run in runs.items():
        names_of.setdefault(run["precision"], []).append(name)
    if len(names_of) == 1:
        return next(iter(names_of))
    return ", ".join(f"{precision} ({', '.join(names)})" for precision, names in names_of.items())


def _titles(metrics: Sequence[str]) -> list[str]:
    return [METRICS[metric].title for metric in metrics]


def _tests(results: Results) -> dict[str, Mapping[str, Any]]:
    """What the rows of a table show: the models by name, grey, and the truth."""
    tests: dict[str, Mapping[str, Any]] = {}
    for name, result in results.items():
        tests[name] = result["test"]
        last = result.get("test_last")
        # Where the last step was the best one, both are the same.
        if last and last["rmse_rgb"] != result["test"]["rmse_rgb"]:
            tests[f"{name}{_LAST}"] = last
        tests |= {
            f"{other}, same images": test
            for other, test in result.get("also_tested", {}).items()
            if "missing" not in test
        }
    first = next(iter(results.values()))
    known = [metric for metric in METRICS if f"{metric}_truth" in first["test"]]
    truth = {metric: {"value": value} for metric, value in _TRUTH.items()}
    truth |= {metric: first["test"][f"{metric}_truth"] for metric in known}
    return {**tests, "grey": first["grey"], "truth": truth}


def _cell(test: Mapping[str, Any], metric: str, *, spread: bool = True) -> str:
    """Mean ± std over the images, of shares the mean alone; "∞" is the PSNR of equal images."""
    shown, value = METRICS[metric], value_of(test, metric)
    if value is None:
        # JSON has no infinity.
        return "∞" if metric == "psnr" and metric in test else ""
    text = f"{shown.factor * value:.{shown.digits}f}"
    std = test[metric].get("std")
    return f"{text} ± {std:.{shown.digits}f}" if spread and std and shown.factor == 1 else text


def _over_seeds(tests: Sequence[Mapping[str, Any]], metric: str) -> str:
    shown = METRICS[metric]
    values = [shown.factor * v for test in tests if (v := value_of(test, metric)) is not None]
    if not values:
        return ""
    mean = f"{statistics.fmean(values):.{shown.digits}f}"
    return mean if len(values) < 2 else f"{mean} ± {statistics.stdev(values):.{shown.digits}f}"


def _interval(change: Difference | None, metric: str) -> str:
    if change is None:
        return ""
    shown = METRICS[metric]
    mean, low, high = (f"{shown.factor * value:+.{shown.digits}f}" for value in change)
    return mean if change.low != change.low else f"{mean} [{low}, {high}]"


def _listed(values: Iterable[int]) -> str:
    return ", ".join(str(value) for value in sorted(set(values)))
