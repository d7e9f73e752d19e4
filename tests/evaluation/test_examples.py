"""Images to look at are those that the metrics see."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers import tiny
from helpers.tiny import light as light

from colorize.evaluation.baselines import GreyBaseline
from colorize.evaluation.examples import colored_batch, compare_images, spread_indices

pytestmark = pytest.mark.usefixtures("light")


def test_compare_images_shows_the_same_images_from_grey_to_truth() -> None:
    images = tiny.dataset(7, first=20)
    nets = {"a": tiny.vivid_model(), "b": tiny.vivid_model(3)}
    rows = compare_images(nets, images, [5, 0, 2], temperature=0.2)
    truth = torch.stack([images[i]["rgb"] for i in (5, 0, 2)])
    expected = {
        "grey": colored_batch(GreyBaseline(), truth),
        "a": colored_batch(nets["a"], truth, temperature=0.2),
        "b": colored_batch(nets["b"], truth, temperature=0.2),
        "truth": truth,
    }
    assert list(rows) == list(expected)
    for name, row in rows.items():
        np.testing.assert_array_equal(np.stack(row), expected[name].movedim(1, -1).numpy())
    assert not np.array_equal(rows["a"][0], rows["b"][0])


def test_colored_batch_of_any_size_leaves_the_model_as_it_was() -> None:
    net = tiny.vivid_model().train()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    rgb = torch.randint(0, 256, (2, 3, 13, 21), dtype=torch.uint8)
    colored = colored_batch(net, rgb, temperature=0.0)
    assert colored.dtype == torch.uint8 and colored.shape == rgb.shape
    tiny.assert_same_bits(net.state_dict(), before)
    assert net.training


@pytest.mark.parametrize(
    ("length", "n", "expected"),
    [(9, 3, [0, 3, 6]), (10, 4, [0, 2, 5, 7]), (3, 9, [0, 1, 2]), (7, 0, []), (0, 3, [])],
)
def test_indices_are_spread_over_the_whole_set(length: int, n: int, expected: list[int]) -> None:
    assert spread_indices(length, n) == expected
