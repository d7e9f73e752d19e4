"""Evaluation of nets that classify, and of images that a net colored."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from helpers import tiny
from helpers.tiny import light  # noqa: F401

from colorize.color.lab import rgb_to_lab
from colorize.data.dataset import ImageDataset
from colorize.errors import InputError
from colorize.evaluation.baselines import GreyBaseline
from colorize.evaluation.evaluate import class_metrics, evaluate
from colorize.evaluation.examples import RecoloredDataset, colored_batch, labelled_examples
from colorize.models import ClassificationOnlyModel, EuclideanModel, JointModel
from colorize.training.optim import initialise

pytestmark = pytest.mark.usefixtures("light")
CLASSES = ("astronaut", "nobody", "somebody", *(f"other{i}" for i in range(4)))


def _images(count: int, **more: Any) -> ImageDataset:
    found = tiny.dataset(count, classes=CLASSES, **more)
    found.labels = [i % len(CLASSES) for i in range(count)]
    return found


def _joint(**options: Any) -> JointModel:
    torch.manual_seed(0)
    net = JointModel(len(CLASSES), width=0.125, **options)
    initialise(net, "kaiming")
    return net


def _classifier(in_channels: int) -> ClassificationOnlyModel:
    torch.manual_seed(0)
    net = ClassificationOnlyModel(len(CLASSES), in_channels=in_channels, width=0.125)
    initialise(net, "kaiming")
    return net.eval()


def test_metrics_of_labels_against_counting() -> None:
    rng = np.random.default_rng(0)
    logits, label = rng.normal(size=(40, 7)), rng.integers(0, 7, 40)
    found = class_metrics(torch.from_numpy(logits).float(), torch.from_numpy(label))
    rank = (logits > logits[np.arange(40), label][:, None]).sum(1)
    np.testing.assert_array_equal(found["top1"].numpy(), rank == 0)
    np.testing.assert_array_equal(found["top5"].numpy(), rank < 5)
    shares = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    np.testing.assert_allclose(
        found["class_loss"], -np.log(shares[np.arange(40), label]), rtol=1e-4
    )


def test_evaluation_has_the_metrics_of_both_branches() -> None:
    images, net = _images(9), _joint().eval()
    found = evaluate(net, images, batch_size=4, with_loss=True)
    rgb = torch.stack([images[i]["rgb"] for i in range(9)])
    with torch.no_grad():
        logits = net(rgb_to_lab(rgb)[:, :1]).classes
    label = torch.tensor(images.labels)
    assert found["top1"]["mean"] == pytest.approx(float((logits.argmax(1) == label).float().mean()))
    loss = float(F.cross_entropy(logits, label))
    assert found["class_loss"]["mean"] == pytest.approx(loss, rel=1e-4)
    total = found["color_loss"]["mean"] + net.alpha * loss
    assert found["loss"]["mean"] == pytest.approx(total, rel=1e-4)
    assert found["psnr"]["mean"] > 0 and found["n"] == 9
    only = evaluate(_classifier(1), images)
    assert "top1" in only and "psnr" not in only and "rmse_ab" not in only


def test_recolored_images_keep_label_and_lightness() -> None:
    images, net = _images(5, tint=tiny.RED), _joint().eval()
    colored = RecoloredDataset(images, net, batch_size=2)
    rgb = torch.stack([images[i]["rgb"] for i in range(5)])
    assert len(colored) == 5
    assert torch.equal(torch.stack([colored[i]["rgb"] for i in range(5)]), colored_batch(net, rgb))
    assert [int(colored[i]["label"]) for i in range(5)] == images.labels
    colored = RecoloredDataset(images, GreyBaseline())
    grey = colored[2]["rgb"]
    assert int(grey.int().amax(0).sub(grey.int().amin(0)).max()) <= 1
    # A classifier of lightness sees the same picture but for rounding, one of color does not.
    changes = []
    for net in (_classifier(1), _classifier(3)):
        found = [evaluate(net, d)["class_loss"]["mean"] for d in (images, colored)]
        changes.append(abs(found[0] - found[1]))
    assert changes[0] < 0.2 * changes[1]


def test_examples_are_half_right_and_say_what_the_net_says() -> None:
    images, net = _images(30), _joint().eval()
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
