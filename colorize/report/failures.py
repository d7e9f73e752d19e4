"""Where a model fails: by what is on the images, and by their class."""

from __future__ import annotations

import math
import re
import statistics
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from colorize.report.cells import interval, table
from colorize.report.statistics import (
    Result,
    Results,
    paired_difference,
    partial_rank_correlation,
)

CONTENTS = {
    "busyness": "busy: steps of L",
    "colors": "many colors: effective number of bins",
    "green": "share of green: grass, leaves",
    "blue": "share of blue: sky, water",
}
"""What ``evaluation.contents`` measures, in words."""


def failures_table(name: str, result: Result) -> str:
    """RMSE ab on the quarter of the test images that has least of something, and on the quarter
    that has most; of a model, and of grey, which tells how much color there was to miss. The rank
    correlation is what is left of it when grey's error is known.
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
        rank = partial_rank_correlation(images[key], images["rmse_ab"], grey["rmse_ab"])
        text = f"{rank.mean:+.2f} [{rank.low:+.2f}, {rank.high:+.2f}]"
        rows.append([words, *cells, "" if math.isnan(rank.mean) else text])
    header = [
        *("RMSE ab by quarter of the images", f"{name}, least", f"{name}, most"),
        *("grey, least", "grey, most", "partial rank correlation"),
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


def subjects_table(results: Results, subjects: Mapping[str, Sequence[str]]) -> str:
    """What more classes and a longer training change, by what is on the images: one row for each
    net, each other net on its test images and each subject; RMSE ab, and the difference with the
    95 % interval over the images.

    Args:
        subjects: classes by the name of the subject.
    """
    rows = []
    for name, result in results.items():
        classes = sorted(result["experiment"]["data"]["classes"])
        images = result["test"]["images"]
        for other, test in result["also_tested"].items():
            for subject, members in subjects.items():
                chosen = [i for i, c in enumerate(images["label"]) if classes[int(c)] in members]
                if "n" not in test or not chosen:
                    continue
                pairs = [(images["rmse_ab"][i], test["images"]["rmse_ab"][i]) for i in chosen]
                means = [f"{statistics.fmean(values):.2f}" for values in zip(*pairs, strict=True)]
                change = paired_difference([a - b for a, b in pairs])
                rows.append([name, other, subject, str(len(chosen)), *means])
                rows[-1].append(interval(change, "rmse_ab"))
    header = ["model", "other", "images of", "n", "RMSE ab, model", "RMSE ab, other", "difference"]
    return table(header, rows)


def class_name(wnid: str) -> str:
    """The first word that ImageNet has for a WordNet id; the name itself where it is none."""
    if not re.fullmatch(r"n\d{8}", wnid):
        return wnid
    return str(_imagenet().label_name_to_description(wnid)).split(",")[0]


@lru_cache(maxsize=1)
def _imagenet() -> Any:
    from timm.data import ImageNetInfo

    return ImageNetInfo("imagenet-1k")


def _order(values: Sequence[float]) -> list[int]:
    return sorted(range(len(values)), key=values.__getitem__)
