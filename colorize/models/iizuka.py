"""The nets of study B: Iizuka et al. 2016, which color, classify, or do both."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from colorize.checks import require_choice, require_non_negative, require_share, require_whole
from colorize.errors import InputError
from colorize.models.base import Colorizer, ModelOutput, records_arguments, scale_channels
from colorize.models.heads import BinHead, RegressionHead


class _Style(NamedTuple):
    """What all layers of a net have in common."""

    width: float
    residual: bool
    batch_norm: bool
    dropout: float

    def channels(self, channels: int) -> int:
        return scale_channels(channels, self.width)

    def convolution(
        self, before: int, after: int, *, kernel: int = 3, stride: int = 1
    ) -> list[nn.Module]:
        layer = nn.Conv2d(before, after, kernel, stride, kernel // 2, bias=not self.batch_norm)
        return [layer, nn.BatchNorm2d(after)] if self.batch_norm else [layer]

    def linear(self, before: int, after: int) -> list[nn.Module]:
        layers: list[nn.Module] = [nn.Linear(before, after, bias=not self.batch_norm)]
        if self.batch_norm:
            layers.append(nn.BatchNorm1d(after))
        return [*layers, nn.ReLU(inplace=True), nn.Dropout(self.dropout)]


class _Pair(nn.Module):
    """Two 3x3 convolutions, the first with the stride; around them a shortcut when residual."""

    def __init__(self, before: int, middle: int, after: int, stride: int, style: _Style) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *style.convolution(before, middle, stride=stride),
            nn.ReLU(inplace=True),
            *style.convolution(middle, after),
        )
        self.shortcut = (
            nn.Sequential(*style.convolution(before, after, kernel=1, stride=stride))
            if style.residual
            else None
        )

    def forward(self, x: Tensor) -> Tensor:
        y = self.body(x)
        return F.relu(y if self.shortcut is None else y + self.shortcut(x))


class _Trunk(nn.Module):
    """Low-level and global features (figure 2 of the paper).

    The paper flattens a map of fixed size into the first linear layer. Here its mean over the
    positions goes there, so the input may have any size.
    """

    def __init__(self, in_channels: int, style: _Style) -> None:
        super().__init__()
        c = style.channels
        self.low = nn.Sequential(
            _Pair(in_channels, c(64), c(128), 2, style),
            _Pair(c(128), c(128), c(256), 2, style),
            _Pair(c(256), c(256), c(512), 2, style),
        )
        self.whole = nn.Sequential(
            _Pair(c(512), c(512), c(512), 2, style),
            _Pair(c(512), c(512), c(512), 2, style),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            *style.linear(c(512), c(1024)),
            *style.linear(c(1024), c(512)),
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        low = self.low(x)
        return low, self.whole(low)


class _ColorBranch(nn.Module):
    """Mid-level features, fused with the global ones, to raw color at 1/2 resolution.

    The paper's last step up, to full resolution, is the model's bilinear one. Logits over bins are
    given at 1/4, as in Zhang 2016: hundreds of channels at 1/2 would cost more than all the rest.
    """

    def __init__(self, channels: int, quantized: bool, style: _Style) -> None:
        super().__init__()
        c = style.channels
        relu = nn.ReLU(inplace=True)
        self.mid = _Pair(c(512), c(512), c(256), 1, style)
        self.vector = nn.Sequential(*style.linear(c(512), c(256)))
        self.fusion = nn.Sequential(*style.convolution(2 * c(256), c(256), kernel=1), relu)
        layers = [
            *(*style.convolution(c(256), c(128)), relu, nn.Upsample(scale_factor=2)),
            *(*style.convolution(c(128), c(64)), relu),
            *(*style.convolution(c(64), c(64)), relu),
        ]
        last = c(64)
        if not quantized:
            layers += [nn.Upsample(scale_factor=2), *style.convolution(c(64), c(32)), relu]
            last = c(32)
        self.color = nn.Sequential(*layers, nn.Conv2d(last, channels, 3, padding=1))

    def forward(self, low: Tensor, features: Tensor) -> Tensor:
        mid = self.mid(low)
        vector = self.vector(features)[:, :, None, None].expand(-1, -1, *mid.shape[2:])
        return self.color(self.fusion(torch.cat((mid, vector), 1)))


class IizukaModel(Colorizer):
    """One net that colors, classifies, or does both; its loss is ``color + alpha * class``.

    Args:
        num_classes: of the labels; None for a net without class branch.
        class_names: their names, in the order of the labels, as ``classify_image`` gives them.
        color: ``"euclidean"`` as in the paper, over the full range of ab without a sigmoid;
            ``"classification"``, logits over the ab bins; None for a net without color branch.
        in_channels: 1 for a net that is shown L, 3 for a classifier of color images.
        alpha: weight of the classification loss; 1/300 in the paper. The Euclidean color loss is
            in units of 110.
        residual: a shortcut around every two convolutions of the trunk.
        dropout: share of the linear layers' outputs that is dropped in training.
        batch_norm: after every convolution and linear layer but the last ones.
        class_weights, temperature, bin_centers: of the bins, as in ``ClassificationModel``.
        width: scales the channels of every layer; 1.0 is the paper's.
    """

    output: BinHead | RegressionHead | None

    @records_arguments
    def __init__(
        self,
        num_classes: int | None = None,
        *,
        class_names: Sequence[str] | None = None,
        color: str | None = "euclidean",
        in_channels: int = 1,
        alpha: float = 1 / 300,
        residual: bool = False,
        dropout: float = 0.0,
        batch_norm: bool = True,
        class_weights: Tensor | None = None,
        temperature: float = 0.38,
        bin_centers: Tensor | None = None,
        width: float = 1.0,
    ) -> None:
        super().__init__()
        require_share(dropout, "dropout", closed=False)
        require_non_negative(alpha, "alpha")
        if num_classes is not None:
            require_whole(num_classes, "num_classes", 2)
        if class_names is not None and len(class_names) != num_classes:
            raise InputError(f"class_names: expected {num_classes} names, got {len(class_names)}")
        if in_channels != 1 and (in_channels != 3 or color is not None):
            raise InputError(
                "in_channels: expected 1 (L), or 3 (Lab) for a net that only classifies; "
                f"got {in_channels}"
            )
        if class_weights is not None and color != "classification":
            raise InputError('class_weights: only color="classification" has classes to weigh')
        self.in_channels = in_channels
        self.alpha = alpha
        self.class_names = None if class_names is None else list(class_names)
        if color is None:
            self.output = None
        elif require_choice(color, "color", ("euclidean", "classification")) == "euclidean":
            self.output = RegressionHead()
        else:
            self.output = BinHead(
                class_weights=class_weights, temperature=temperature, bin_centers=bin_centers
            )
        style = _Style(width, residual, batch_norm, dropout)
        c = style.channels
        self.trunk = _Trunk(in_channels, style)
        self.class_branch = (
            None
            if num_classes is None
            else nn.Sequential(*style.linear(c(512), c(256)), nn.Linear(c(256), num_classes))
        )
        self.color_branch = (
            None
            if self.output is None
            else _ColorBranch(self.output.channels, self.has_distribution, style)
        )

    @property
    def classifies(self) -> bool:
        """Whether it has a class branch."""
        return self.class_branch is not None

    def forward(self, x: Tensor) -> ModelOutput:
        """(N, in_channels, H, W) L, or lab, to raw color (N, channels, H/2, W/2) and logits.

        H and W are multiples of 8; logits over bins are (N, Q, H/4, W/4), of labels (N, classes).
        """
        scaled = (x[:, :1] - 50) / 100
        if self.in_channels == 3:
            scaled = torch.cat((scaled, x[:, 1:] / 110), 1)
        low, features = self.trunk(scaled)
        color = self.color_branch(low, features) if self.color_branch is not None else None
        classes = self.class_branch(features) if self.class_branch is not None else None
        return ModelOutput(color, classes)


class JointModel(IizukaModel):
    """Colors and classifies; the arguments are those of ``IizukaModel``."""

    def __init__(self, num_classes: int, **options: Any) -> None:
        super().__init__(num_classes, **options)


class ColorizationOnlyModel(IizukaModel):
    """The joint net without its class branch; same arguments but for those of the classes."""

    def __init__(self, **options: Any) -> None:
        super().__init__(None, **options)


class ClassificationOnlyModel(IizukaModel):
    """The joint net without its color branch; same arguments but for those of color."""

    def __init__(self, num_classes: int, **options: Any) -> None:
        super().__init__(num_classes, color=None, **options)
