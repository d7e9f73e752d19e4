"""Tables in Markdown, written from results and nothing else."""

from __future__ import annotations

import re
import statistics
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from scipy.stats import spearmanr

from colorize.errors import DataError
from colorize.report.statistics import (
    Difference,
    Result,
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
CONTENTS = {
    "busyness": "busy: steps of L",
    "colors": "many colors: effective number of bins",
    "green": "share of green: grass, leaves",
    "blue": "share of blue: sky, water",
}
"""What ``evaluation.dataset_metrics`` measures of the contents of an image, in words."""

# What the truth itself would get.
_TRUTH = {
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
    return table(["model", *_titles(metrics)], _rows_of_models(results, metrics, spread=True))


def field_table(results: Results) -> str:
    """The field's other metrics, one row a model, then grey and the truth; below, what could not
    be measured and why.
    """
    first = next(iter(results.values()))
    metrics = [
        metric
        for metric in FIELD_METRICS
        if any(value_of(result["test"], metric) is not None for result in results.values())
    ]
    text = table(["model", *_titles(metrics)], _rows_of_models(results, metrics, spread=False))
    missing = [
        f"{METRICS[metric].title}: {first['test'][metric]['missing']}"
        for metric in FIELD_METRICS
        if "missing" in first["test"].get(metric, {})
    ]
    return f"{text}\n\nNot measured: {'; '.join(missing)}." if missing else text


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
        own = kind == "grey"
        rows.append(
            ["grey" if own else f"colored by {kind}", *cells, *([""] * 2 if own else against)]
        )
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


def failures_table(name: str, result: Result) -> str:
    """RMSE ab on the quarter of the test images that has least of something, and on the quarter
    that has most; of a model, and of grey, which tells how much color there was to miss.
    """
    images, grey = result["test"]["images"], result["grey"]["images"]
    rows = []
    for key, words in CONTENTS.items():
        order = _order(images[key])
        quarter = max(1, len(order) // 4)
        cells = [
            f"{statistics.fmean(values['rmse_ab'][i] for i in part):.2f}"
            for values in (images, grey)
            for part in (order[:quarter], order[-quarter:])
        ]
        constant = len(set(images[key])) < 2
        rank = "" if constant else f"{spearmanr(images[key], images['rmse_ab']).statistic:+.2f}"
        rows.append([words, *cells, rank])
    header = [
        *("RMSE ab by quarter of the images", f"{name}, least", f"{name}, most"),
        *("grey, least", "grey, most", "rank correlation"),
    ]
    return table(header, rows)


def failures(result: Result, n: int = 2) -> dict[str, list[int]]:
    """Test images that have much of something and came out badly: of the quarter that has most of
    it the ``n`` with the largest error, each image once; by the contents in words.
    """
    images = result["test"]["images"]
    chosen: dict[str, list[int]] = {}
    for key, words in CONTENTS.items():
        taken = {i for indices in chosen.values() for i in indices}
        order = _order(images[key])
        most = [i for i in order[-max(n, len(order) // 4) :] if i not in taken]
        chosen[words] = sorted(most, key=lambda i: -images["rmse_ab"][i])[:n]
    return chosen


def classes_table(name: str, result: Result, n: int = 3) -> str:
    """The ``n`` classes with the largest error of a model and the ``n`` with the least."""
    images, grey = result["test"]["images"], result["grey"]["images"]
    rows = []
    for label, wnid in enumerate(sorted(result["experiment"]["data"]["classes"])):
        indices = [i for i, of_image in enumerate(images["label"]) if int(of_image) == label]
        if indices:
            error, of_grey = (
                statistics.fmean(values["rmse_ab"][i] for i in indices) for values in (images, grey)
            )
            cells = [class_name(wnid), str(len(indices)), f"{error:.2f}", f"{of_grey:.2f}"]
            rows.append((error, cells))
    rows.sort(key=lambda row: -row[0])
    shown = rows if len(rows) <= 2 * n else [*rows[:n], *rows[-n:]]
    return table(["class", "images", f"RMSE ab, {name}", "grey"], [cells for _, cells in shown])


def class_name(wnid: str) -> str:
    """The first word that ImageNet has for a WordNet id; the name itself where it is none."""
    if not re.fullmatch(r"n\d{8}", wnid):
        return wnid
    return str(_imagenet().label_name_to_description(wnid)).split(",")[0]


@lru_cache(maxsize=1)
def _imagenet() -> Any:
    from timm.data import ImageNetInfo

    return ImageNetInfo("imagenet-1k")


def protocol(results: Results) -> str:
    """One line below a table: n, size, seeds, precision and machine."""
    described = [result for result in results.values() if "experiment" in result]
    first = next(iter(results.values()))
    parts = [f"n = {_listed(result['test']['n'] for result in results.values())} images"]
    if described:
        experiments = [result["experiment"] for result in described]
        parts += [
            f"center crops of {_listed(e['recipe']['test_crop'] for e in experiments)} px",
            f"{_listed(r['data']['test']['grey_left_out'] for r in described)} grey ones left out",
            f"seed {_listed(e['seed'] for e in experiments)}",
            f"trained in {_listed(r['precision'] for r in described)}",
        ]
    return f"{'; '.join([*parts, hardware(first['machine'])])}."


def hardware(machine: Mapping[str, Any]) -> str:
    """Platform, cores or GPU, and torch, of ``evaluation.results.machine``."""
    processor = machine["gpu"] or f"{machine['cores']} cores, no GPU"
    return f"{machine['platform']}, {processor}, torch {machine['torch']}"


def _titles(metrics: Sequence[str]) -> list[str]:
    return [METRICS[metric].title for metric in metrics]


def _rows_of_models(
    results: Results, metrics: Sequence[str], *, spread: bool
) -> Iterable[list[str]]:
    for name, result in results.items():
        yield [name, *(_cell(result["test"], m, spread=spread) for m in metrics)]
        if result.get("test_last") and spread:
            yield [f"{name}, last step", *(_cell(result["test_last"], m) for m in metrics)]
        for other, test in result.get("also_tested", {}).items():
            if "missing" not in test:
                yield [f"{other}, same images", *(_cell(test, m, spread=spread) for m in metrics)]
    first = next(iter(results.values()))
    yield ["grey", *(_cell(first["grey"], m, spread=spread) for m in metrics)]
    truth = {metric: {"value": value} for metric, value in _TRUTH.items()}
    truth |= {m: first["test"][f"{m}_truth"] for m in metrics if f"{m}_truth" in first["test"]}
    yield ["truth", *(_cell(truth, m, spread=spread) for m in metrics)]


def _cell(test: Mapping[str, Any], metric: str, *, spread: bool = True) -> str:
    """Mean ± std over the images, of shares the mean alone; "∞" is the PSNR of equal images."""
    shown, value = METRICS[metric], value_of(test, metric)
    if value is None:
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


def _order(values: Sequence[float]) -> list[int]:
    return sorted(range(len(values)), key=values.__getitem__)


def _listed(values: Iterable[object]) -> str:
    return ", ".join(dict.fromkeys(str(value) for value in values))
