"""Encoders of ``UNetModel``: EfficientNet-Lite0, written out here, and those of timm.

Lite0 has the tensor names, numbers and random draws of timm's ``tf_efficientnet_lite0``. It is here
because the import of timm takes longer than a photo does, and the committed model has this encoder.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from colorize.errors import InputError
from colorize.extras import import_extra

LITE0 = "tf_efficientnet_lite0"


class Encoder(NamedTuple):
    """A net that gives a list of features, their strides and channels, and how it was trained."""

    net: nn.Module
    strides: Sequence[int]
    channels: Sequence[int]
    mean: Sequence[float]
    std: Sequence[float]


def create_encoder(name: str, *, pretrained: bool = False) -> Encoder:
    """Create the encoder of a name, its weights random unless ``pretrained`` lets timm fetch them.

    Raises:
        InputError: when timm has no model of that name.
    """
    if name == LITE0 and not pretrained:
        return Encoder(_Lite0(), (2, 4, 8, 16, 32), _Lite0.channels, (0.5,) * 3, (0.5,) * 3)
    timm: Any = import_extra("timm", "train")
    # Names such as hf_hub:... would be looked up in the network.
    if not name.replace("_", "").replace(".", "").isalnum() or not timm.is_model(name):
        raise InputError(f"encoder: expected the name of a timm model, got {name!r}")
    net = timm.create_model(name, features_only=True, pretrained=pretrained)
    info, trained = net.feature_info, net.pretrained_cfg
    return Encoder(net, info.reduction(), info.channels(), trained["mean"], trained["std"])


class _Stage(NamedTuple):
    blocks: int
    kernel: int
    stride: int
    channels: int


class _Lite0(nn.Module):
    stem = 32
    first = 16
    stages = (
        *(_Stage(2, 3, 2, 24), _Stage(2, 5, 2, 40), _Stage(3, 3, 2, 80), _Stage(3, 5, 1, 112)),
        *(_Stage(4, 5, 2, 192), _Stage(1, 3, 1, 320)),
    )
    channels = (16, 24, 40, 112, 320)
    # Of the stages, the last ones at each stride.
    given = (0, 1, 2, 4, 6)

    def __init__(self) -> None:
        super().__init__()
        self.conv_stem = _convolution(3, self.stem, 3, stride=2)
        self.bn1 = _norm(self.stem)
        # timm tries two such layers here. A seed gives the weights that it gave with timm.
        nn.Conv2d(8, 8, 1), nn.Conv2d(8, 8, 1)
        blocks: list[nn.Module] = [nn.Sequential(_Separable(self.stem, self.first))]
        before = self.first
        for stage in self.stages:
            layers = []
            for i in range(stage.blocks):
                stride = stage.stride if i == 0 else 1
                layers.append(_Inverted(before, stage.channels, stage.kernel, stride))
                before = stage.channels
            blocks.append(nn.Sequential(*layers))
        self.blocks = nn.Sequential(*blocks)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                outputs = math.prod(module.kernel_size) * module.out_channels // module.groups
                nn.init.normal_(module.weight, 0, math.sqrt(2 / outputs))

    def forward(self, x: Tensor) -> list[Tensor]:
        """(N, 3, H, W) to features at strides 2, 4, 8, 16 and 32."""
        x = F.relu6(self.bn1(self.conv_stem(x)), inplace=True)
        features = []
        for i, block in enumerate(self.blocks):
            x = block(x)
            if i in self.given:
                features.append(x)
        return features


class _Separable(nn.Module):
    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.conv_dw = _convolution(before, before, 3, groups=before)
        self.bn1 = _norm(before)
        self.conv_pw = _convolution(before, after, 1)
        self.bn2 = _norm(after)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu6(self.bn1(_depthwise(self.conv_dw, x)), inplace=True)
        return self.bn2(self.conv_pw(x))


class _Inverted(nn.Module):
    def __init__(self, before: int, after: int, kernel: int, stride: int) -> None:
        super().__init__()
        wide = 6 * before
        self.residual = stride == 1 and before == after
        self.conv_pw = _convolution(before, wide, 1)
        self.bn1 = _norm(wide)
        self.conv_dw = _convolution(wide, wide, kernel, stride=stride, groups=wide)
        self.bn2 = _norm(wide)
        self.conv_pwl = _convolution(wide, after, 1)
        self.bn3 = _norm(after)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu6(self.bn1(self.conv_pw(x)), inplace=True)
        y = F.relu6(self.bn2(_depthwise(self.conv_dw, y)), inplace=True)
        y = self.bn3(self.conv_pwl(y))
        return y + x if self.residual else y


class _SamePadding(nn.Conv2d):
    """TensorFlow's padding of a convolution with stride 2 for even sizes: one more at the end."""

    def forward(self, x: Tensor) -> Tensor:
        total = self.kernel_size[0] - 2
        before, after = total // 2, total - total // 2
        return super().forward(F.pad(x, (before, after, before, after)))


def _depthwise(layer: nn.Module, x: Tensor) -> Tensor:
    """Apply a depthwise convolution, under the CPU's autocast in float32.

    In bfloat16 its backward pass takes a third of the processor time of a training step.
    """
    if not torch.is_autocast_enabled("cpu"):
        return layer(x)
    with torch.autocast("cpu", enabled=False):
        return layer(x.float()).to(x.dtype)


def _convolution(
    before: int, after: int, kernel: int, *, stride: int = 1, groups: int = 1
) -> nn.Conv2d:
    if stride == 2:
        return _SamePadding(before, after, kernel, stride, groups=groups, bias=False)
    return nn.Conv2d(before, after, kernel, 1, kernel // 2, groups=groups, bias=False)


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=1e-3)
