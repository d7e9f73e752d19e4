"""How a metric is shown: its title and digits, and the cells that tables are made of."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from colorize.report.statistics import Difference, value_of


class Metric(NamedTuple):
    """How a metric is shown, which way is better (None: neither), and how much is no difference.

    ``margin`` is in the units that are shown: two models whose 95 % interval lies within it are
    called equal.
    """

    title: str
    factor: float = 1.0
    digits: int = 2
    better: str | None = "higher"
    margin: float = 0.0


METRICS = {
    "rmse_ab": Metric("RMSE ab", better="lower", margin=0.5),
    "rmse_rgb": Metric("RMSE RGB", better="lower"),
    "psnr": Metric("PSNR [dB]", margin=0.25),
    "ssim": Metric("SSIM", digits=3, margin=0.005),
    "colorfulness": Metric("colorfulness", digits=1, better=None, margin=2.0),
    "colorfulness_error": Metric("colorfulness error", digits=1, better="lower"),
    "border_sharpness": Metric("border sharpness [1/px]", digits=3, better=None),
    "auc": Metric("AuC [%]", 100, 1),
    "auc_rebalanced": Metric("AuC, rebalanced [%]", 100, 1, margin=1.0),
    "recognized": Metric("recognized [%]", 100, 1),
    "recognized_own": Metric("recognized, own classes [%]", 100, 1, margin=3.0),
    "lpips": Metric("LPIPS", digits=3, better="lower"),
    "fid": Metric("FID", digits=1, better="lower"),
    "top1": Metric("top-1 [%]", 100, 1, margin=5.0),
    "top5": Metric("top-5 [%]", 100, 1, margin=5.0),
}
ERROR_METRICS = ("rmse_ab", "rmse_rgb", "psnr", "ssim", "colorfulness")
FIELD_METRICS = (
    *("auc", "auc_rebalanced", "colorfulness_error", "recognized", "recognized_own"),
    *("lpips", "fid"),
)
LABEL_METRICS = ("top1", "top5")
COMPARED_METRICS = ("rmse_ab", "psnr", "ssim", "colorfulness", "auc_rebalanced", "recognized_own")


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def titles(metrics: Sequence[str]) -> list[str]:
    return [METRICS[metric].title for metric in metrics]


def cell(test: Mapping[str, Any], metric: str, *, spread: bool = True) -> str:
    """Mean ± std over the images, of shares the mean alone; "∞" is the PSNR of equal images."""
    shown, value = METRICS[metric], value_of(test, metric)
    if value is None:
        # JSON has no infinity.
        return "∞" if metric == "psnr" and metric in test else ""
    text = f"{shown.factor * value:.{shown.digits}f}"
    std = test[metric].get("std")
    return f"{text} ± {std:.{shown.digits}f}" if spread and std and shown.factor == 1 else text


def over_seeds(tests: Sequence[Mapping[str, Any]], metric: str) -> str:
    shown = METRICS[metric]
    values = [shown.factor * v for test in tests if (v := value_of(test, metric)) is not None]
    if not values:
        return ""
    mean = f"{statistics.fmean(values):.{shown.digits}f}"
    return mean if len(values) < 2 else f"{mean} ± {statistics.stdev(values):.{shown.digits}f}"


def interval(change: Difference | None, metric: str) -> str:
    if change is None:
        return ""
    shown = METRICS[metric]
    values = (change.mean, change.low, change.high)
    mean, low, high = (f"{shown.factor * value:+.{shown.digits}f}" for value in values)
    return mean if change.low != change.low else f"{mean} [{low}, {high}]"
