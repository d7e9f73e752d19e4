"""Where a model fails: by what is on the images, and by their class."""

from __future__ import annotations

import re
import statistics
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from scipy.stats import spearmanr

from colorize.report.statistics import Result
from colorize.report.tables import table

CONTENTS = {
    "busyness": "busy: steps of L",
    "colors": "many colors: effective number of bins",
    "green": "share of green: grass, leaves",
    "blue": "share of blue: sky, water",
}
"""What ``evaluation.contents`` measures, in words."""


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


def _order(values: Sequence[float]) -> list[int]:
    return sorted(range(len(values)), key=values.__getitem__)
