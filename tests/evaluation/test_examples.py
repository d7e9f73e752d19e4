"""Images to look at are those that the metrics see."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers import tiny
from helpers.tiny import light as light

from colorize.color.lab import rgb_to_lab
from colorize.errors import InputError
from colorize.evaluation.baselines import GreyBaseline
from colorize.evaluation.evaluate import evaluate
from colorize.evaluation.examples import (
    RecoloredDataset,
    colored_batch,
    compare_images,
    labelled_examples,
    spread_indices,
)
from colorize.models import ClassificationOnlyModel, EuclideanModel

pytestmark = pytest.mark.usefixtures("light")


def test_compare_images_shows_the_same_images_from_grey_to_truth() -> None:
    images = tiny.dataset(7, first=20)
    nets = {"a": tiny.vivid_model(), "b": tiny.vivid_model(3)}
    rows = compare_images(nets, images, [5, 0, 2])
    truth = torch.stack([images[i]["rgb"] for i in (5, 0, 2)])
    expected = {
        "grey": colored_batch(GreyBaseline(), truth),
        "a": colored_batch(nets["a"], truth),
        "b": colored_batch(nets["b"], truth),
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


def test_recolored_images_keep_label_and_lightness() -> None:
    images, net = tiny.labelled(5, tint=tiny.RED), tiny.iizuka().eval()
    colored = RecoloredDataset(images, net)
    rgb = torch.stack([images[i]["rgb"] for i in range(5)])
    assert len(colored) == 5
    assert torch.equal(torch.stack([colored[i]["rgb"] for i in range(5)]), colored_batch(net, rgb))
    assert [int(colored[i]["label"]) for i in range(5)] == images.labels
    colored = RecoloredDataset(images, GreyBaseline())
    grey = colored[2]["rgb"]
    assert int(grey.int().amax(0).sub(grey.int().amin(0)).max()) <= 1
    # A classifier of lightness sees the same picture but for rounding, one of color does not.
    changes = []
    for net in (
        tiny.iizuka(ClassificationOnlyModel),
        tiny.iizuka(ClassificationOnlyModel, in_channels=3),
    ):
        found = [evaluate(net, d)["class_loss"]["mean"] for d in (images, colored)]
        changes.append(abs(found[0] - found[1]))
    assert changes[0] < 0.2 * changes[1]


def test_examples_are_half_right_and_say_what_the_net_says() -> None:
    images, net = tiny.labelled(30), tiny.iizuka().eval()
    rgb = torch.stack([images[i]["rgb"] for i in range(30)])
    with torch.no_grad():
        shares = net(rgb_to_lab(rgb)[:, :1]).classes.softmax(1)
    predicted = shares.argmax(1)
    images.labels = [int(p) if i % 3 == 0 else int(p + 1) % 7 for i, p in enumerate(predicted)]
    found = labelled_examples(net, images, 8)
    right = [example.predicted == example.label for example in found]
    assert right == [True] * 4 + [False] * 4
    for example in found:
        (i,) = [i for i in range(30) if np.array_equal(rgb[i].movedim(0, -1), example.truth)]
        assert example.predicted == images.classes[int(predicted[i])]
        assert example.confidence == pytest.approx(float(shares[i].max()), abs=1e-5)
        assert example.grey.shape == example.colored.shape == (32, 32, 3)
        assert np.ptp(example.grey.astype(int), axis=2).max() <= 1
    with pytest.raises(InputError, match="classifies"):
        labelled_examples(EuclideanModel(width=0.02), images)
