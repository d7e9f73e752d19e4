"""Which images the notebook shows models on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from colorize.errors import DataError
from colorize.experiments.examples import example_images
from colorize.experiments.presets import TINY_VEHICLES


def test_bundled_photographs_take_the_place_of_a_data_set_that_is_not_here(home: Path) -> None:
    found = example_images("simplified", "small", "", 4)
    assert found.suffix and "not here" in found.source
    assert len(found.indices) == len(found.classes) == 4
    assert set(found.classes) <= set(found.dataset.classes) and "astronaut" in found.dataset.classes


def test_a_root_that_was_asked_for_is_never_replaced(home: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nowhere"):
        example_images("simplified", "small", tmp_path / "nowhere", 4)


def test_the_test_images_of_the_data_set_itself(home: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for wnid in TINY_VEHICLES:
        (tmp_path / wnid).mkdir()
        for i in range(10):
            pixels = rng.integers(0, 255, (64, 64, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / wnid / f"{i}.png")
    found = example_images("simplified", "small", tmp_path, 3)
    assert found.suffix == "" and 0 < len(found.dataset) < 5 * len(TINY_VEHICLES)
    assert found.dataset.classes == sorted(TINY_VEHICLES)
