"""The nets of study B: their layers, their two losses, and what they share."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from helpers import tiny
from helpers.tiny import light as light
from helpers.tiny import patches
from skimage.color import rgb2lab
from torch import Tensor, nn

from colorize.color.bins import published_bin_centers
from colorize.color.lab import rgb_to_lab
from colorize.errors import InputError
from colorize.models import (
    ClassificationOnlyModel,
    ColorizationOnlyModel,
    Colorizer,
    JointModel,
    RegressionHead,
)
from colorize.models.checkpoint import load_checkpoint, save_checkpoint
from colorize.training.optim import initialise

pytestmark = pytest.mark.usefixtures("light")
CLASSES = 3
NARROW: dict[str, Any] = {"width": 0.125}
VARIANTS: list[dict[str, Any]] = [
    {},
    {"residual": True},
    {"batch_norm": False, "dropout": 0.1},
    {"residual": True, "dropout": 0.5},
    {"color": "classification"},
]


def joint(**options: Any) -> JointModel:
    torch.manual_seed(0)
    return JointModel(CLASSES, **{**NARROW, **options})


def batch(count: int = 6, side: int = 32) -> dict[str, Tensor]:
    rgb = torch.from_numpy(patches(count, first=100, side=side)).movedim(-1, 1)
    return {"rgb": rgb, "label": torch.arange(count) % CLASSES, "index": torch.arange(count)}


def every_net() -> list[Any]:
    torch.manual_seed(0)
    return [
        *(joint(**variant) for variant in VARIANTS),
        ColorizationOnlyModel(**NARROW),
        ClassificationOnlyModel(CLASSES, **NARROW),
        ClassificationOnlyModel(CLASSES, in_channels=3, **NARROW),
    ]


def test_the_paper_s_layers() -> None:
    """Figure 2 of the paper: kernels, strides and channels, in the order of the computation."""
    net = JointModel(20)
    found = [
        (m.in_channels, m.out_channels, m.kernel_size[0], m.stride[0])
        for part in (net.trunk, net.color_branch)
        for m in part.modules()
        if isinstance(m, nn.Conv2d)
    ]
    low = [(1, 64, 3, 2), (64, 128, 3, 1), (128, 128, 3, 2), (128, 256, 3, 1)]
    low += [(256, 256, 3, 2), (256, 512, 3, 1)]
    whole = [(512, 512, 3, 2), (512, 512, 3, 1)] * 2
    mid = [(512, 512, 3, 1), (512, 256, 3, 1)]
    color = [(512, 256, 1, 1), (256, 128, 3, 1), (128, 64, 3, 1), (64, 64, 3, 1), (64, 32, 3, 1)]
    assert found == [*low, *whole, *mid, *color, (32, 2, 3, 1)]
    linear = [(m.in_features, m.out_features) for m in net.modules() if isinstance(m, nn.Linear)]
    assert sorted(linear) == sorted([(512, 1024), (1024, 512), (512, 256), (512, 256), (256, 20)])
    weights = sum(a * b * k * k for a, b, k, _ in found) + sum(a * b for a, b in linear)
    norms = [m for m in net.modules() if isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d)]
    # Two numbers for each normalised channel, and the biases of the two last layers.
    rest = sum(2 * m.num_features for m in norms) + 2 + 20
    assert sum(p.numel() for p in net.parameters()) == weights + rest


@pytest.mark.parametrize("size", [(8, 8), (16, 40), (56, 24)])
def test_any_size_gives_color_at_that_size_and_one_label(size: tuple[int, int]) -> None:
    L = torch.rand(2, 1, *size) * 100
    for net in every_net():
        net.eval()
        seen = L.expand(-1, net.in_channels, -1, -1)
        raw = net(seen)
        if raw.classes is not None:
            assert raw.classes.shape == (2, CLASSES)
        if net.output is None:
            with pytest.raises(InputError, match="classifies; it has no color"):
                net.predict_ab(seen)
        else:
            scale = 2 if isinstance(net.output, RegressionHead) else 4
            assert raw.color.shape[2:] == (size[0] // scale, size[1] // scale)
            assert net.predict_ab(L[..., 1:, 3:]).shape == (2, 2, size[0] - 1, size[1] - 3)


def test_losses_against_their_definition() -> None:
    data = batch()
    net = joint(alpha=0.25)
    lab = torch.from_numpy(rgb2lab(data["rgb"].movedim(1, -1).numpy())).movedim(-1, 1).float()
    found = net.eval().loss(data)
    raw = net(lab[:, :1])
    small = F.avg_pool2d(lab[:, 1:], 2)
    color = ((raw.color * 110 - small) ** 2).sum(1).mean() / 2 / 110**2
    label = F.cross_entropy(raw.classes, data["label"])
    assert float(found["color_loss"].detach()) == pytest.approx(float(color.detach()), rel=1e-4)
    assert float(found["class_loss"].detach()) == pytest.approx(float(label.detach()), rel=1e-5)
    total = float(found["loss"].detach())
    assert total == pytest.approx(float((color + 0.25 * label).detach()), rel=1e-4)
    assert JointModel(CLASSES, **NARROW).alpha == pytest.approx(1 / 300)


def test_the_parts_are_the_same_parts() -> None:
    both = joint().eval()
    weights = both.state_dict()
    L = torch.rand(2, 1, 24, 24) * 100
    color = ColorizationOnlyModel(**NARROW)
    label = ClassificationOnlyModel(CLASSES, **NARROW)
    for part, branch in ((color, "class_branch"), (label, "color_branch")):
        own = {k: v for k, v in weights.items() if not k.startswith(branch)}
        assert own.keys() == part.state_dict().keys()
        part.load_state_dict(own)
        part.eval()
    assert torch.equal(color.predict_ab(L), both.predict_ab(L))
    assert torch.equal(label(L).classes, both(L).classes)


def test_global_features_reach_every_position() -> None:
    """A change in one corner changes the color in the far one, beyond the convolutions' reach."""
    net = joint().eval()
    initialise(net, "kaiming")
    L = torch.full((1, 1, 256, 256), 50.0)
    other = L.clone()
    other[..., :32, :32] = 100.0
    a, b = net(L).color, net(other).color
    assert not torch.equal(a[..., -1, -1], b[..., -1, -1])
    with torch.no_grad():
        for layer in net.color_branch.vector.modules():
            if isinstance(layer, nn.Linear | nn.BatchNorm1d):
                for p in layer.parameters():
                    p.zero_()
    a, b = net(L).color, net(other).color
    assert torch.equal(a[..., -1, -1], b[..., -1, -1])


def test_a_residual_block_whose_body_is_zero_is_its_shortcut() -> None:
    block = joint(residual=True).eval().trunk.low[0]
    with torch.no_grad():
        for p in list(block.body.parameters())[-2:]:  # scale and shift of the last batch norm
            p.zero_()
    x = torch.randn(1, 1, 16, 16)
    assert torch.allclose(block(x), F.relu(block.shortcut(x)))


def test_dropout_is_on_in_training_only() -> None:
    net = joint(dropout=0.5, batch_norm=False)
    L = torch.rand(2, 1, 16, 16) * 100
    net.train()
    assert not torch.equal(net(L).classes, net(L).classes)
    net.eval()
    assert torch.equal(net(L).classes, net(L).classes)
    assert not any(isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d) for m in net.modules())


def _labels(net: Colorizer, data: dict[str, Tensor]) -> Tensor:
    classes = net(net.inputs(data)[0]).classes
    assert classes is not None
    return classes


def test_a_classifier_of_color_pictures_sees_color() -> None:
    data = batch()
    torch.manual_seed(0)
    seeing = ClassificationOnlyModel(CLASSES, in_channels=3, **NARROW).eval()
    blind = ClassificationOnlyModel(CLASSES, **NARROW).eval()
    for net in (seeing, blind):
        initialise(net, "kaiming")
    hue = {**data, "rgb": data["rgb"].roll(1, 1)}
    assert not torch.allclose(_labels(seeing, data), _labels(seeing, hue))
    lightness = {**data, "L": rgb_to_lab(data["rgb"])[:, :1]}
    assert torch.equal(
        _labels(blind, data),
        _labels(blind, {**lightness, "rgb": hue["rgb"]}),
    )
    shown = {**data, "L": torch.full((6, 1, 32, 32), 30.0)}
    assert torch.equal(_labels(blind, shown)[0], _labels(blind, shown)[1])
    assert not torch.equal(_labels(seeing, shown)[0], _labels(seeing, shown)[1])


@pytest.mark.parametrize("options", [v for v in VARIANTS if v.get("dropout") != 0.5], ids=str)
def test_a_net_learns_one_batch(options: dict[str, Any]) -> None:
    """Color and label of six pictures, far better than the best constant answers."""
    data = batch()
    # A tint for each label: more color to learn than the photograph has.
    tint = torch.tensor([[1, 0.3, 0.3], [0.3, 1, 0.3], [0.3, 0.3, 1]])[data["label"]]
    data["rgb"] = (data["rgb"] * tint[..., None, None]).to(torch.uint8)
    net = joint(alpha=0.3, **options)
    initialise(net, "kaiming")
    learned = tiny.learn(net, data, steps=120, lr=1e-3)
    ab = F.avg_pool2d(rgb_to_lab(data["rgb"])[:, 1:], 2) / 110
    constant = float((ab - ab.mean((0, 2, 3), keepdim=True)).square().sum(1).mean() / 2)
    color = math.log(313) if "color" in options else constant
    assert learned["color_loss"] < 0.8 * color
    assert learned["class_loss"] < 0.8 * math.log(CLASSES)


def test_a_checkpoint_builds_the_same_net(tmp_path: Path) -> None:
    for net in (*every_net(), joint(class_names=["Apple", "Banana", "Cherry"])):
        loaded: Any = load_checkpoint(save_checkpoint(net.eval(), tmp_path / "net.safetensors"))
        assert type(loaded) is type(net) and loaded.config == net.config
        assert loaded.class_names == net.class_names
        x = torch.rand(1, net.in_channels, 16, 16) * 100
        for ours, theirs in zip(loaded(x), net(x), strict=True):
            assert ours is theirs is None or torch.equal(ours, theirs)


def test_bins_are_rebalanced_as_everywhere() -> None:
    weights = torch.linspace(0.5, 1.5, len(published_bin_centers()))
    net = joint(color="classification", class_weights=weights).eval()
    plain = joint(color="classification").eval()
    plain.load_state_dict({**net.state_dict(), "output.class_weights": torch.ones_like(weights)})
    data = batch()
    assert net.loss(data)["color_loss"] != plain.loss(data)["color_loss"]
    with pytest.raises(InputError, match="class_weights"):
        joint(class_weights=weights)


def test_bad_arguments() -> None:
    wrong: dict[str, list[Any]] = {
        "dropout": [1.0, -0.1, "half"],
        "alpha": [-1, float("nan")],
        "color": ["sepia"],
        "class_names": [["one"]],
        "width": [0],
        "in_channels": [2, 3],
        "class_weights": [torch.ones(313)],
    }
    for option, values in wrong.items():
        for value in values:
            with pytest.raises(InputError, match=option):
                joint(**{option: value})
    for number in (1, "3"):
        with pytest.raises(InputError, match="num_classes"):
            JointModel(number, **NARROW)
    with pytest.raises(InputError, match="in_channels"):
        ClassificationOnlyModel(2, in_channels=2, **NARROW)
