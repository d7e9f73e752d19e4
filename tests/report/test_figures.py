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
from colorize.evaluation.results import load_results
from colorize.report import figures as f
from colorize.report.panels import comparison_grid, labelled_figure

CENTERS = published_bin_centers()
UNIFORM = torch.full((313,), 1 / 313, dtype=torch.float64)
PRIOR = smooth_prior(UNIFORM, CENTERS)
IMAGE = np.full((8, 12, 3), 100, np.uint8)
EXAMPLES = [LabelledExample(IMAGE, IMAGE, IMAGE, said, 0.5, "a") for said in ("a", "b")]
FILES = sorted((Path(__file__).parents[2] / "CHECKPOINTS").rglob("*.json"))
LOADED = {path.stem: load_results(path) for path in FILES}
RESULTS = {name: result for name, result in LOADED.items() if "experiment" in result}
VEHICLES = {
    name: RESULTS[name]
    for name in ("euclidean", "simplified-smooth-ab", "simplified-smooth-ab-seed1")
}

FIGURES: dict[str, Callable[[], Figure]] = {
    "bins": lambda: f.bins_figure(CENTERS),
    "distribution": lambda: f.distribution_figure(UNIFORM, CENTERS),
    "prior": lambda: f.prior_figure({"p": PRIOR}, CENTERS, {"p": class_weights(PRIOR)}),
    "curves": lambda: f.learning_curves(
        {n: VEHICLES[n] for n in ("euclidean", "simplified-smooth-ab")}
    ),
    "differences": lambda: f.metric_differences(VEHICLES, ["rmse_ab", "psnr"]),
    "temperature": lambda: f.temperature_curves(VEHICLES),
    "ablation": lambda: f.ablation_figure(RESULTS, "ncd"),
    "grid": lambda: comparison_grid({"one": [IMAGE] * 2, "two": [IMAGE] * 2}, ["a", "b"]),
    "labels": lambda: labelled_figure(EXAMPLES),
}


@pytest.mark.parametrize("name", FIGURES)
def test_it_is_drawn_and_saved(name: str, tmp_path: Path) -> None:
    f.save(FIGURES[name](), name, tmp_path)
    pixels = np.asarray(Image.open(tmp_path / f"{name}.png").convert("RGB"))
    assert min(pixels.shape[:2]) > 50 and len(np.unique(pixels)) > 10
    assert plt.get_fignums() == []


def test_differences_from_grey_are_those_of_the_results() -> None:
    figure = f.metric_differences(
        {"simplified-smooth-ab": RESULTS["simplified-smooth-ab"]}, ["rmse_ab"]
    )
    result: dict[str, Any] = RESULTS["simplified-smooth-ab"]
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
