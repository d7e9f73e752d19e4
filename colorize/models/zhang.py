"""The nets of study A: Zhang et al. 2016, its Euclidean twin, and a simplified one."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn

from colorize.models.base import Colorizer, ModelOutput, records_arguments, scale_channels
from colorize.models.heads import BinHead, RegressionHead


class Block(NamedTuple):
    """3x3 convolutions with ReLU, then batch norm; the last convolution may have a stride."""

    channels: int
    convolutions: int
    stride: int = 1
    dilation: int = 1


# The released nets: blocks 7 and 8 have 512 and 256 channels (the paper's table says 256 and 128).
_FULL = (
    Block(64, 2, stride=2),
    Block(128, 2, stride=2),
    Block(256, 3, stride=2),
    Block(512, 3),
    Block(512, 3, dilation=2),
    Block(512, 3, dilation=2),
    Block(512, 3),
)
_FULL_LAST = Block(256, 2)

# Study A's: at most two convolutions a block and at most 416 channels.
_SIMPLIFIED = (
    Block(64, 2, stride=2),
    Block(128, 2, stride=2),
    Block(256, 2, stride=2),
    Block(416, 2),
    Block(416, 2, dilation=2),
    Block(416, 2, dilation=2),
    Block(416, 2),
)
_SIMPLIFIED_LAST = Block(256, 1)


class ZhangModel(Colorizer):
    """Seven blocks at falling resolution, one transposed convolution, a head at 1/4 resolution."""

    blocks = _FULL
    last = _FULL_LAST

    def __init__(self, output: BinHead | RegressionHead, width: float) -> None:
        super().__init__()
        self.output = output
        layers: list[nn.Module] = []
        before = 1
        for block in self.blocks:
            after = scale_channels(block.channels, width)
            layers += convolutions(before, after, block)
            before = after
        after = scale_channels(self.last.channels, width)
        layers += [nn.ConvTranspose2d(before, after, 4, stride=2, padding=1), nn.ReLU(inplace=True)]
        for _ in range(self.last.convolutions):
            layers += [nn.Conv2d(after, after, 3, padding=1), nn.ReLU(inplace=True)]
        self.trunk = nn.Sequential(*layers)
        self.head = nn.Conv2d(after, output.channels, 1)

    def forward(self, L: Tensor) -> ModelOutput:
        """(N, 1, H, W) lightness in 0..100 to (N, channels, H/4, W/4) raw color."""
        return ModelOutput(self.head(self.trunk((L - 50) / 100)), None)


class _ZhangClassifier(ZhangModel):
    @records_arguments
    def __init__(
        self,
        *,
        target: str = "soft",
        class_weights: Tensor | None = None,
        temperature: float = 0.38,
        k: int = 5,
        sigma: float = 5.0,
        bin_centers: Tensor | None = None,
        width: float = 1.0,
    ) -> None:
        output = BinHead(
            target=target,
            class_weights=class_weights,
            temperature=temperature,
            k=k,
            sigma=sigma,
            bin_centers=bin_centers,
        )
        super().__init__(output, width)


class ClassificationModel(_ZhangClassifier):
    """Zhang et al. 2016: logits over the ab bins at 1/4 resolution; 32,235,385 parameters.

    Args:
        target: ``"soft"`` (k nearest bins) or ``"onehot"`` (the nearest).
        class_weights: (Q,), for rebalancing; None for none. Stored with the weights.
        temperature: default of the annealed mean, 0 for the mode.
        k, sigma: of the soft encoding; 5 and 5 as in the paper's text.
        bin_centers: (Q, 2) ab of the bins; None for the published table.
        width: scales the channels of every layer; 1.0 is the paper's.
    """


class SimplifiedModel(_ZhangClassifier):
    """Study A's smaller net, same arguments and output; 15,387,513 parameters."""

    blocks = _SIMPLIFIED
    last = _SIMPLIFIED_LAST


class EuclideanModel(ZhangModel):
    """The trunk of ``ClassificationModel`` with two channels, trained by the L2 loss."""

    @records_arguments
    def __init__(self, *, width: float = 1.0) -> None:
        super().__init__(RegressionHead(), width)


def convolutions(before: int, after: int, block: Block) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for i in range(block.convolutions):
        stride = block.stride if i == block.convolutions - 1 else 1
        layers += [
            nn.Conv2d(
                before, after, 3, stride=stride, padding=block.dilation, dilation=block.dilation
            ),
            nn.ReLU(inplace=True),
        ]
        before = after
    return [*layers, nn.BatchNorm2d(after)]
