"""Few images, and a prior of ImageNet that is made up."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest
from helpers import tiny

from colorize.experiments.build import Splits


@pytest.fixture
def few() -> Splits:
    """Six patches of 64 px."""
    images = partial(tiny.dataset, size=64, side=64, classes=("astronaut", "nobody"))
    return Splits(images(2, train=True), images(1, first=20), images(3, first=40))


@pytest.fixture
def imagenet(home: Path) -> np.ndarray:
    """A prior where DOWNLOADER puts that of ImageNet; its own is not ours to carry."""
    prior = np.random.default_rng(0).dirichlet(np.full(313, 0.2))
    path = home / "PRECALCULATED" / "prior-imagenet.npy"
    path.parent.mkdir(parents=True)
    np.save(path, prior)
    return prior
