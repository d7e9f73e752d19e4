"""Figures of the committed results can be drawn and saved, and pyplot knows nothing of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from PIL import Image

from colorize.color.bins import published_bin_centers
from colorize.color.prior import class_weights, smooth_prior
from colorize.errors import InputError
from colorize.evaluation.examples import LabelledExample
from colorize.report import figures as f
from colorize.report.panels import comparison_grid, labelled_figure
from colorize.report.statistics import difference

Results = dict[str, dict[str, Any]]
CENTERS = published_bin_centers()
UNIFORM = torch.full((313,), 1 / 313, dtype=torch.float64)
PRIOR = smooth_prior(UNIFORM, CENTERS)
IMAGE = np.full((8, 12, 3), 100, np.uint8)
EXAMPLES = [LabelledExample(IMAGE, IMAGE, IMAGE, said, 0.5, "a") for said in ("a", "b")]

# Each takes runs of study A.
FIGURES: dict[str, Callable[[Results], Figure]] = {
    "bins": lambda _: f.bins_figure(CENTERS),
    "distribution": lambda _: f.distribution_figure(UNIFORM, CENTERS),
    "prior": lambda _: f.prior_figure({"p": PRIOR}, CENTERS, {"p": class_weights(PRIOR)}),
    "curves": f.learning_curves,
    "differences": lambda runs: f.metric_differences(runs, ["rmse_ab", "psnr"]),
    "temperature": f.temperature_curves,
    "grid": lambda _: comparison_grid({"one": [IMAGE] * 2, "two": [IMAGE] * 2}, ["a", "b"]),
    "labels": lambda _: labelled_figure(EXAMPLES),
}


@pytest.mark.parametrize("name", FIGURES)
def test_it_is_drawn_and_saved(name: str, tmp_path: Path, study_a: Results) -> None:
    _assert_drawn(FIGURES[name](study_a), tmp_path)


def test_the_ablation_is_drawn_and_saved(tmp_path: Path, fruit: Results) -> None:
    figure = f.ablation_figure(fruit, "ncd")
    _assert_drawn(figure, tmp_path)
    errors = figure.axes[1]
    names = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    drawn = {
        line.get_segments()[0][0][1]: line.get_segments()[0][:, 0] for line in errors.collections
    }
    expected = difference(fruit, "ncd-bins", "ncd-joint", "rmse_ab")
    assert expected is not None
    assert drawn[names.index("bins")] == pytest.approx((expected.low, expected.high))


def _assert_drawn(figure: Figure, folder: Path) -> None:
    f.save(figure, "figure", folder)
    pixels = np.asarray(Image.open(folder / "figure.png").convert("RGB"))
    assert min(pixels.shape[:2]) > 50 and len(np.unique(pixels)) > 10
    assert plt.get_fignums() == []


def test_differences_from_grey_are_those_of_the_results(study_a: Results) -> None:
    result = study_a["euclidean"]
    figure = f.metric_differences({"euclidean": result}, ["rmse_ab"])
    change = result["test"]["rmse_ab"]["mean"] - result["grey"]["rmse_ab"]["mean"]
    drawn = [float(np.asarray(line.get_xdata())[0]) for line in figure.axes[0].get_lines()]
    assert any(abs(x - change) < 1e-3 for x in drawn)


def test_nothing_to_draw_is_named() -> None:
    with pytest.raises(InputError, match="results"):
        f.learning_curves({})
    with pytest.raises(InputError, match="rows"):
        comparison_grid({"one": [IMAGE], "two": []})
    with pytest.raises(InputError, match="ncd-joint"):
        f.ablation_figure({}, "ncd")
