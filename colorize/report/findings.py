"""What study A's results say beside the comparison of two experiments: tables and sentences in
Markdown, from results and nothing else. ``colorize.report.answers`` puts them below their questions.
"""

from __future__ import annotations

import re
import statistics
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from colorize.experiments.study_a import STUDY_A, STUDY_A_VARIANTS
from colorize.report.tables import METRICS, Results, measured, table

CONTENTS = {
    "busyness": "busy: steps of L",
    "colors": "many colors: effective number of bins",
    "green": "share of green: grass, leaves",
    "blue": "share of blue: sky, water",
}
"""The measures of ``colorize.evaluation.dataset_metrics.measure_contents``, in words."""

_TRUTH = "colorfulness_truth"
_TOLERANCE = 0.05


def runs_of(results: Results, name: str) -> list[Mapping[str, Any]]:
    """The runs of an experiment, by seed."""
    found = [r for r in results.values() if r["experiment"]["name"] == name]
    return sorted(found, key=lambda result: result["experiment"]["seed"])


def nine(results: Results, *, variants: bool = False) -> dict[str, Mapping[str, Any]]:
    """The study's experiments in their order, one run each."""
    names = [*STUDY_A, *(STUDY_A_VARIANTS if variants else ())]
    return {name: results[name] for name in names if name in results}


def same_images(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two results were tested on the same images."""
    parts = [result["data"]["test"] for result in (one, other)]
    return len({(part["images"], part.get("images_sha256")) for part in parts}) == 1


def bounds(results: Results) -> str:
    """How grey does by the metrics of error, and by those of color."""
    shown = nine(results)
    if not shown:
        return ""
    some = next(iter(shown.values()))
    parts = []
    for key in ("rmse_ab", "psnr", "ssim", "auc", "auc_rebalanced", "recognized_own"):
        metric, grey = METRICS[key], measured(some["grey"], key)
        values = [measured(r["test"], key) for r in shown.values() if same_images(r, some)]
        found = [v for v in values if v is not None]
        if grey is None or not found:
            continue
        worse = sum(v > grey if metric.better == "lower" else v < grey for v in found)
        parts.append(
            f"{metric.title} {metric.scale * grey:.{metric.digits}f}: better than {worse} of "
            f"{len(found)} models"
        )
    return (
        f"Grey itself: {'; '.join(parts)}. Where several colors are plausible, the squared error "
        "is least for their mean, which is nearly grey; and most pixels are nearly grey in truth. "
        "Only the rebalanced accuracy counts rare colors for as much as common ones."
    )


def size_and_speed(results: Results) -> str:
    """Parameters of the simplified net against the full one."""
    full, simple = runs_of(results, "rebalanced-ours"), runs_of(results, "simplified")
    if not full or not simple:
        return ""
    ours, theirs = simple[0]["parameters"], full[0]["parameters"]
    return (
        f"It has {ours / 1e6:.1f} M parameters, {100 * ours / theirs:.0f} % of the "
        f"{theirs / 1e6:.1f} M of the full net; `benchmarks/speed.json` has how fast both train."
    )


def best_temperature(points: Sequence[Mapping[str, Any]]) -> float:
    """Of a sweep, the temperature with the best rebalanced accuracy among those whose colorfulness
    is within 5 % of the truth's; where that accuracy was not measured, or none is so near, the one
    that is nearest to the truth's colorfulness.
    """

    def gap(point: Mapping[str, Any]) -> float:
        return abs(_mean(point, "colorfulness") / _mean(point, _TRUTH) - 1)

    near = [(measured(p, "auc_rebalanced"), p) for p in points if gap(p) <= _TOLERANCE]
    judged = [(accuracy, p) for accuracy, p in near if accuracy is not None]
    if judged:
        return float(max(judged, key=lambda pair: pair[0])[1]["temperature"])
    return float(min(points, key=gap)["temperature"])


def best_temperatures(results: Results) -> str:
    """The temperatures that are best on the validation images, by three measures; and what the
    temperature changes."""
    rows = []
    for name, result in nine(results).items():
        points = result.get("validation_sweep")
        if not points:
            continue
        accuracy = [p for p in points if measured(p, "auc_rebalanced") is not None]
        gap = min(points, key=lambda p: abs(_mean(p, "colorfulness") - _mean(p, _TRUTH)))
        error = min(points, key=lambda p: _mean(p, "rmse_ab"))
        best = max(accuracy, key=lambda p: p["auc_rebalanced"]["value"]) if accuracy else None
        mean, mode = points[0], points[-1]
        rows.append(
            [
                f"`{name}`",
                f"{best['temperature']:g}" if best else "",
                f"{gap['temperature']:g}",
                f"{error['temperature']:g}",
                f"{_mean(mode, 'colorfulness') - _mean(mean, 'colorfulness'):+.1f}",
                f"{_mean(mode, 'rmse_ab') - _mean(mean, 'rmse_ab'):+.2f}",
            ]
        )
    header = [
        *("model", "T of the best rebalanced AuC", "T nearest to the truth's colorfulness"),
        *("T of the least RMSE ab", "colorfulness, T 1 to 0", "RMSE ab, T 1 to 0"),
    ]
    return f"On the validation images:\n\n{table(header, rows)}" if rows else ""


def color_along_training(results: Results) -> str:
    """Colorfulness of the validation images at the beginning, the middle and the end."""
    rows = []
    for name, result in nine(results).items():
        curve = [point["colorfulness"] for point in result["curve"]]
        first = result["curve"][0]["images"] / 1000
        rows.append(
            [
                f"`{name}`",
                f"{curve[0]:.1f} ({first:.1f} thousand images)",
                f"{curve[(len(curve) - 1) // 2]:.1f}",
                f"{curve[-1]:.1f}",
                f"{result['curve'][-1]['colorfulness_truth']:.1f}",
            ]
        )
    header = ["model", "first validation", "half-way", "end", "truth"]
    return table(header, rows) if rows else ""


def overfitting(results: Results) -> str:
    """Losses at the end of training, and what happened since validation's was least."""
    rows = []
    for name, result in nine(results, variants=True).items():
        curve = result["curve"]
        best, end = least_loss(curve), curve[-1]
        since = {k: end[k] - best[k] for k in ("val_loss", "rmse_ab", "colorfulness")}
        rows.append(
            [
                f"`{name}`",
                f"{end['train_loss']:.3g}",
                f"{end['val_loss']:.3g}",
                f"{100 * best['images'] / end['images']:.0f} % of training",
                f"{since['val_loss']:+.2g}",
                f"{since['rmse_ab']:+.2f}",
                f"{since['colorfulness']:+.1f}",
            ]
        )
    header = [
        *("model", "training loss", "validation loss", "validation loss least at"),
        *("since then: loss", "RMSE ab", "colorfulness"),
    ]
    return table(header, rows) if rows else ""


def least_loss(curve: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """The point of a learning curve with the least validation loss."""
    return min(curve, key=lambda point: float(point["val_loss"]))


def contents_table(results: Results) -> str:
    """RMSE ab on the quarter of the test images that has least of something, and on the quarter
    that has most of it; for a model and for grey, which tells how much color there was to miss.
    """
    found = favorite(results)
    if found is None:
        return ""
    name, result = found
    images, grey = result["test"]["images"], result["grey"]["images"]
    rows = []
    for key, words in CONTENTS.items():
        order = sorted(range(len(images[key])), key=images[key].__getitem__)
        quarter = max(1, len(order) // 4)
        cells = [
            f"{statistics.fmean(values['rmse_ab'][i] for i in part):.2f}"
            for values in (images, grey)
            for part in (order[:quarter], order[-quarter:])
        ]
        rank = contents_correlation(result, key)
        rows.append([words, *cells, "" if rank is None else f"{rank:+.2f}"])
    header = [
        *("RMSE ab by what is on the picture", f"`{name}`, least quarter", "most"),
        *("grey, least quarter", "most", "rank correlation"),
    ]
    return table(header, rows)


def contents_correlation(result: Mapping[str, Any], key: str) -> float | None:
    """Spearman's rank correlation of a measure of ``CONTENTS`` with RMSE ab over the test images;
    None where one of the two does not vary.
    """
    from scipy.stats import spearmanr

    measure, error = (result["test"]["images"][k] for k in (key, "rmse_ab"))
    if len(set(measure)) < 2 or len(set(error)) < 2:
        return None
    return float(spearmanr(measure, error).statistic)


def classes_table(results: Results, n: int = 3) -> str:
    """The classes with the largest and the least error of a model, beside grey's."""
    found = favorite(results)
    if found is None:
        return ""
    name, result = found
    classes = sorted(result["experiment"]["data"]["classes"])
    images, grey = result["test"]["images"], result["grey"]["images"]
    if len(classes) < 2 * n:
        return ""
    rows = []
    for label, wnid in enumerate(classes):
        own = [i for i, at in enumerate(images["label"]) if int(at) == label]
        if own:
            error, of_grey = (
                statistics.fmean(values["rmse_ab"][i] for i in own) for values in (images, grey)
            )
            rows.append(
                (error, [class_name(wnid), str(len(own)), f"{error:.2f}", f"{of_grey:.2f}"])
            )
    rows.sort(key=lambda row: -row[0])
    chosen = [cells for _, cells in (*rows[:n], *rows[max(n, len(rows) - n) :])]
    return table(["class, worst and best", "images", f"RMSE ab, `{name}`", "grey"], chosen)


class EqualQuality(NamedTuple):
    """Images until a validation loss: with the paper's recipe, and with ours; None for never."""

    loss: float
    paper: int
    ours: int | None


def equal_quality(results: Results) -> EqualQuality | None:
    """After how many images our recipe is where the paper's is at its best."""
    ours, paper = runs_of(results, "simplified"), runs_of(results, "simplified-paper-recipe")
    if not ours or not paper:
        return None
    target = least_loss(paper[0]["curve"])
    there = [p["images"] for p in ours[0]["curve"] if p["val_loss"] <= target["val_loss"]]
    return EqualQuality(target["val_loss"], target["images"], there[0] if there else None)


def equal_quality_sentence(results: Results) -> str:
    """``equal_quality`` in words."""
    found = equal_quality(results)
    if found is None:
        return ""
    reached = (
        f"ours was there after {found.ours:,} images, {found.paper / found.ours:.1f} times as fast "
        "(a step costs the same)"
        if found.ours
        else "ours never was there"
    )
    return (
        f"The paper's optimizer settings reach a validation loss of {found.loss:.3f} after "
        f"{found.paper:,} images; {reached}."
    )


def favorite(results: Results) -> tuple[str, Mapping[str, Any]] | None:
    """The model whose failures are looked at: the study's main one, or what there is."""
    for name in ("rebalanced-ours", "simplified", *results):
        if name in results and "images" in results[name]["test"]:
            return name, results[name]
    return None


def class_name(wnid: str) -> str:
    """The first word that ImageNet has for a WordNet id; the name itself where it is none."""
    if not re.fullmatch(r"n\d{8}", wnid):
        return wnid
    return _imagenet().label_name_to_description(wnid).split(",")[0]


@lru_cache(maxsize=1)
def _imagenet() -> Any:
    from timm.data import ImageNetInfo

    return ImageNetInfo("imagenet-1k")


def failures(result: Mapping[str, Any], n: int = 2) -> dict[str, list[int]]:
    """Test images that have much of something and came out badly, by the measure in words: of the
    quarter that has most of it the ``n`` with the largest error, each picture once.
    """
    images = result["test"]["images"]
    found: dict[str, list[int]] = {}
    for key, words in CONTENTS.items():
        order = sorted(range(len(images[key])), key=images[key].__getitem__)
        taken = {i for chosen in found.values() for i in chosen}
        most = [i for i in order[-max(n, len(order) // 4) :] if i not in taken]
        found[words] = sorted(most, key=lambda i: -images["rmse_ab"][i])[:n]
    return found


def _mean(found: Mapping[str, Any], metric: str) -> float:
    return float(found[metric]["mean"])
