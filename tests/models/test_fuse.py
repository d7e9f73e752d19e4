"""Folding batch norm: the same output, fewer layers, and nothing folded that must not be."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from helpers import tiny
from helpers.tiny import light as light
from torch import Tensor, nn

from colorize.models import (
    ClassificationModel,
    Colorizer,
    EuclideanModel,
    ModelOutput,
    RegressionHead,
    SIGGRAPH17Model,
    UNetModel,
)
from colorize.models.fuse import fuse_conv_bn

pytestmark = pytest.mark.usefixtures("light")


def _unet(encoder: str) -> UNetModel:
    return UNetModel(encoder=encoder, decoder=(24, 16, 16, 16))


# How many batch norms each has, and how many must stay.
NETS: dict[str, tuple[Callable[[], Colorizer], int, int]] = {
    "classification": (lambda: ClassificationModel(width=0.05), 7, 7),
    "euclidean": (lambda: EuclideanModel(width=0.05), 7, 7),
    "simplified": (lambda: tiny.model(), 7, 7),
    "siggraph17": (SIGGRAPH17Model, 9, 9),
    # Activations are part of timm's batch norm there, of three kinds.
    "lite0": (lambda: _unet("tf_efficientnet_lite0"), 53, 0),
    "mobilenet": (lambda: _unet("mobilenetv3_small_050"), 39, 0),
    "resnet": (lambda: _unet("resnet10t"), 19, 0),
}


def _stir(model: nn.Module) -> None:
    """Statistics as of a trained net: nothing is 0 or 1, signs differ."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            if module.running_mean is not None and module.running_var is not None:
                nn.init.uniform_(module.running_mean, -0.5, 0.5)
                nn.init.uniform_(module.running_var, 0.5, 2)
            nn.init.uniform_(module.weight, -1.5, 1.5)
            nn.init.uniform_(module.bias, -0.5, 0.5)


def _count(model: nn.Module) -> int:
    return sum(isinstance(module, nn.BatchNorm2d) for module in model.modules())


def _assert_same_output(model: Colorizer, folded: Colorizer) -> None:
    L = torch.rand(2, 1, 32, 64) * 100
    with torch.no_grad():
        expected, found = model.eval()(L).color, folded(L).color
    assert float((found - expected).abs().max() / expected.abs().max()) < 1e-4
    assert float(expected.std()) > 0


@pytest.mark.parametrize("name", NETS)
def test_same_output(name: str) -> None:
    make, norms, left = NETS[name]
    model = make()
    _stir(model)
    folded = fuse_conv_bn(model)
    assert type(folded) is type(model) and folded.input_size == model.input_size
    assert (_count(model), _count(folded)) == (norms, left)
    _assert_same_output(model, folded)


def test_the_model_is_left_as_it_was() -> None:
    model = _unet("resnet10t").train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    folded = fuse_conv_bn(model)
    tiny.assert_same_bits(model.state_dict(), before)
    assert all(module.training for module in model.modules())
    assert all(p.requires_grad for p in model.parameters())
    assert not any(module.training for module in folded.modules())
    assert not any(p.requires_grad for p in folded.parameters())
    kernels = [p for p in folded.parameters() if p.dim() == 4 and min(p.shape[1:]) > 1]
    assert kernels
    assert all(p.is_contiguous(memory_format=torch.channels_last) for p in kernels)


def test_made_in_inference_mode_it_serves_outside() -> None:
    model = _unet("resnet10t")
    with torch.inference_mode():
        folded = fuse_conv_bn(model)
    L = (torch.rand(1, 1, 32, 32) * 100).requires_grad_()
    folded(L).color.sum().backward()
    assert L.grad is not None


class _Traps(Colorizer):
    """Convolutions and batch norms in every arrangement; only the first pair can be folded."""

    def __init__(self) -> None:
        super().__init__()
        self.config = {}
        self.output = RegressionHead()
        self.good = nn.Conv2d(1, 4, 3, padding=1)
        self.good_norm = nn.BatchNorm2d(4)
        # Written one after the other, but not connected so.
        self.far = nn.Conv2d(4, 4, 3, padding=1)
        self.near_norm = nn.BatchNorm2d(4)
        self.branch = nn.Conv2d(4, 4, 1)
        self.branch_norm = nn.BatchNorm2d(4)
        self.shared = nn.Conv2d(4, 4, 1)
        self.shared_norm = nn.BatchNorm2d(4)
        self.returned = nn.Conv2d(4, 4, 1)
        self.returned_norm = nn.BatchNorm2d(4)
        self.blind = nn.Conv2d(4, 4, 1)
        self.blind_norm = nn.BatchNorm2d(4, track_running_stats=False)
        self.inner = nn.Conv2d(4, 4, 1)
        self.twice_norm = nn.BatchNorm2d(4)
        self.last = nn.Conv2d(4, 2, 1)

    def forward(self, L: Tensor) -> ModelOutput:
        x = self.good_norm(self.good(L))
        x = self.near_norm(self.far(x).relu_())
        branch = self.branch(x)
        x = self.branch_norm(branch) + branch
        x = self.shared_norm(self.shared(self.shared(x)))
        returned = self.returned(x)
        x = self.blind_norm(self.blind(self.returned_norm(returned)))
        x = self.twice_norm(self.twice_norm(self.inner(x)))
        return ModelOutput(self.last(x), returned)


def test_only_what_alone_takes_a_convolution_is_folded() -> None:
    model = _Traps()
    _stir(model)
    folded = fuse_conv_bn(model)
    gone = {
        name
        for name, module in model.named_modules()
        if isinstance(module, nn.BatchNorm2d)
        and not isinstance(folded.get_submodule(name), nn.BatchNorm2d)
    }
    assert gone == {"good_norm"}
    L = torch.rand(2, 1, 16, 24) * 100
    with torch.no_grad():
        for found, expected in zip(folded(L), model.eval()(L), strict=True):
            torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
