"""The nets of study B: Iizuka et al. 2016, which color, classify, or do both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from colorize.checks import require_choice, require_tensor
from colorize.errors import InputError
from colorize.models.base import Colorizer, scale_channels
from colorize.models.heads import BinHead, RegressionHead


class Prediction(NamedTuple):
    """Raw output of both branches; that of a branch that a model lacks is None."""

    color: Tensor | None
    classes: Tensor | None


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
    """What the three nets share: trunk, branches, and a loss for each branch.

    Args:
        num_classes: of the class branch; None for a net without one.
        class_names: their names, in the order of the labels; None where they have none.
        output: what the color branch says; None for a net without one.
        alpha: weight of the classification loss.
        style: of the layers.
        in_channels: channels of the input, 1 for L, 3 for Lab.
        config: the constructor arguments that are not among these.
    """

    def __init__(
        self,
        *,
        num_classes: int | None,
        class_names: Sequence[str] | None,
        output: BinHead | RegressionHead | None,
        alpha: float,
        style: _Style,
        in_channels: int,
        config: dict[str, Any],
    ) -> None:
        super().__init__()
        if not 0 <= style.dropout < 1:
            raise InputError(f"dropout: expected a share of 0 up to 1, got {style.dropout}")
        if not 0 <= alpha < float("inf"):
            raise InputError(f"alpha: expected a number of 0 or above, got {alpha}")
        if num_classes is not None and num_classes < 2:
            raise InputError(f"num_classes: expected at least 2, got {num_classes}")
        if class_names is not None and len(class_names) != num_classes:
            raise InputError(f"class_names: expected {num_classes} names, got {len(class_names)}")
        self.in_channels = in_channels
        self.alpha = alpha
        self.output = output
        self.class_names = None if class_names is None else list(class_names)
        self.config = {**config, **style._asdict()}
        if num_classes is not None:
            self.config |= {"num_classes": num_classes, "class_names": self.class_names}
        c = style.channels
        self.trunk = _Trunk(in_channels, style)
        self.class_branch = (
            None
            if num_classes is None
            else nn.Sequential(*style.linear(c(512), c(256)), nn.Linear(c(256), num_classes))
        )
        self.color_branch = None
        if output is not None:
            quantized = isinstance(output, BinHead)
            self.color_branch = _ColorBranch(output.channels, quantized, style)

    def forward(self, x: Tensor) -> Prediction:
        """(N, in_channels, H, W) L, or lab, to raw color (N, channels, H/2, W/2) and class logits.

        H and W are multiples of 8; logits over bins are (N, Q, H/4, W/4).
        """
        scaled = (x[:, :1] - 50) / 100
        if self.in_channels == 3:
            scaled = torch.cat((scaled, x[:, 1:] / 110), 1)
        low, features = self.trunk(scaled)
        color = self.color_branch(low, features) if self.color_branch is not None else None
        classes = self.class_branch(features) if self.class_branch is not None else None
        return Prediction(color, classes)

    def raw_color(self, raw: Prediction) -> Any:
        """The color branch's part of what ``forward`` gave."""
        return raw.color

    def class_logits(self, raw: Prediction) -> Tensor | None:
        """(N, classes) logits, the class branch's part of what ``forward`` gave."""
        return raw.classes

    def losses(
        self, raw: Prediction, lab: Tensor, batch: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        """``color_loss + alpha * class_loss`` (section 3.5 of the paper), and both for themselves.

        Raises:
            InputError: when the batch has no labels, or some outside the classes.
        """
        found: dict[str, Tensor] = {}
        if raw.color is not None:
            found["color_loss"] = super().losses(raw, lab, batch)["loss"]
        if raw.classes is not None:
            found["class_loss"] = F.cross_entropy(
                raw.classes.float(), _labels(batch, raw.classes.shape[1])
            )
        if len(found) == 2:
            total = found["color_loss"] + self.alpha * found["class_loss"]
        else:
            total = next(iter(found.values()))
        return {"loss": total, **found}


class JointModel(IizukaModel):
    """Colors and classifies: ``loss = color + alpha * class``.

    Args:
        num_classes: of the labels.
        class_names: their names; ``colorize.classify_image`` gives them.
        alpha: weight of the classification loss; 1/300 in the paper. The Euclidean color loss is
            that of ``RegressionHead``, in units of 110.
        residual: a shortcut around every two convolutions of the trunk.
        dropout: share of the linear layers' outputs that is dropped in training.
        batch_norm: after every convolution and linear layer but the last ones.
        color: ``"euclidean"`` as in the paper, over the full range of ab without a sigmoid; or
            ``"classification"``, logits over the ab bins.
        class_weights, temperature: of the bins, as in ``ClassificationModel``.
        width: scales the channels of every layer; 1.0 is the paper's.
    """

    def __init__(
        self,
        num_classes: int,
        *,
        class_names: Sequence[str] | None = None,
        alpha: float = 1 / 300,
        residual: bool = False,
        dropout: float = 0.0,
        batch_norm: bool = True,
        color: str = "euclidean",
        class_weights: Tensor | None = None,
        temperature: float = 0.38,
        width: float = 1.0,
    ) -> None:
        output, settings = _output(color, class_weights, temperature)
        super().__init__(
            num_classes=num_classes,
            class_names=class_names,
            output=output,
            alpha=alpha,
            style=_Style(width, residual, batch_norm, dropout),
            in_channels=1,
            config={"alpha": alpha, **settings},
        )


class ColorizationOnlyModel(IizukaModel):
    """The joint net without its class branch; same arguments."""

    def __init__(
        self,
        *,
        residual: bool = False,
        dropout: float = 0.0,
        batch_norm: bool = True,
        color: str = "euclidean",
        class_weights: Tensor | None = None,
        temperature: float = 0.38,
        width: float = 1.0,
    ) -> None:
        output, settings = _output(color, class_weights, temperature)
        super().__init__(
            num_classes=None,
            class_names=None,
            output=output,
            alpha=0.0,
            style=_Style(width, residual, batch_norm, dropout),
            in_channels=1,
            config=settings,
        )


class ClassificationOnlyModel(IizukaModel):
    """The joint net without its color branch: low-level and global features, class branch.

    Args:
        sees: ``"L"``, or ``"lab"`` for a classifier of color pictures.
        num_classes, class_names, residual, dropout, batch_norm, width: as in ``JointModel``.
    """

    def __init__(
        self,
        num_classes: int,
        *,
        class_names: Sequence[str] | None = None,
        sees: str = "L",
        residual: bool = False,
        dropout: float = 0.0,
        batch_norm: bool = True,
        width: float = 1.0,
    ) -> None:
        super().__init__(
            num_classes=num_classes,
            class_names=class_names,
            output=None,
            alpha=1.0,
            style=_Style(width, residual, batch_norm, dropout),
            in_channels=len(require_choice(sees, "sees", ("L", "lab"))),
            config={"sees": sees},
        )


def _output(
    color: str, class_weights: Tensor | None, temperature: float
) -> tuple[BinHead | RegressionHead, dict[str, Any]]:
    """The color branch's output, and what a model's config says of it."""
    if require_choice(color, "color", ("euclidean", "classification")) == "classification":
        output = BinHead(class_weights=class_weights, temperature=temperature)
        return output, {"color": color, "temperature": temperature}
    if class_weights is not None:
        raise InputError('class_weights: only color="classification" has classes to weigh')
    return RegressionHead(), {"color": color}


def _labels(batch: Mapping[str, Tensor], classes: int) -> Tensor:
    if "label" not in batch:
        raise InputError('batch["label"]: expected class labels for the class branch, got none')
    n = len(batch["rgb"])
    label = require_tensor(batch["label"], 'batch["label"]', shape=(n,))
    if bool(((label < 0) | (label >= classes)).any()):
        raise InputError(
            f'batch["label"]: expected 0..{classes - 1}, got {int(label.min())}..{int(label.max())}'
        )
    return label
