"""How numbers are written: metrics with their names and digits, Markdown tables, the machine."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

Results = Mapping[str, Mapping[str, Any]]
"""Results by the name of the run, as ``colorize.experiments.run.run_experiment`` returns them."""


class Metric(NamedTuple):
    """How a metric is shown, and which way is better (None: neither)."""

    title: str
    scale: float = 1.0
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


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def spread(value: Mapping[str, float], digits: int = 2) -> str:
    """Mean and spread over the images; no mean (null in JSON) is that of equal images' PSNR."""
    if value["mean"] is None:
        return "∞"
    return f"{value['mean']:.{digits}f} ± {value['std']:.{digits}f}"


def measured(found: Mapping[str, Any], metric: str) -> float | None:
    """A metric of a test: the mean over the images, or the value of them all; None for neither."""
    entry = found.get(metric, {})
    value = entry.get("mean", entry.get("value"))
    return None if value is None else float(value)


class Decidable(Protocol):
    """A difference that is one, or may be chance."""

    @property
    def mean(self) -> float: ...

    @property
    def decided(self) -> bool: ...


def verdict(metric: str, found: Decidable) -> str:
    """Whether a difference is one, and for the better or the worse."""
    better = METRICS[metric].better
    if not found.decided:
        return "not decided"
    if better is None:
        return "more" if found.mean > 0 else "less"
    return "better" if (found.mean > 0) == (better == "higher") else "worse"


def hardware(machine: Mapping[str, Any]) -> str:
    """Platform, cores or GPU, and torch of ``colorize.evaluation.machine``."""
    processor = machine["gpu"] or f"{machine['cores']} cores, no GPU"
    return f"{machine['platform']}, {processor}, torch {machine['torch']}"
