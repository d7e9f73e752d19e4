"""The authors' published nets: Zhang et al. 2016 (eccv16) and Zhang et al. 2017 (siggraph17).

Their parts are named as in the published PyTorch weights, so a state dict of those loads as it is,
and gives the colors that the authors' code gives. ``load_model`` brings the weights.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from colorize.checks import require_tensor
from colorize.color.bins import published_bin_centers
from colorize.errors import InputError
from colorize.losses import AB_SCALE
from colorize.models.base import Colorizer, ModelOutput, records_arguments
from colorize.models.heads import RegressionHead
from colorize.models.zhang import Block, ClassificationModel, convolutions

# siggraph17 classifies over the whole square of ab from -110 to 110 in steps of 10.
_GRID = 23
# Beyond every sRGB color.
_MOST_AB = 128.0


class ECCV16Model(Colorizer):
    """Zhang et al. 2016 as released for PyTorch; 32,236,011 parameters.

    The trunk and head of ``ClassificationModel`` and, in place of the annealed mean, a learned
    linear map from the softmax to one color, so there is no temperature. The loss is that of this
    color, equation 1 of the paper; what the authors trained by was the rebalanced classification
    of ``ClassificationModel``.
    """

    output: RegressionHead

    @records_arguments
    def __init__(self) -> None:
        super().__init__()
        self.output = RegressionHead()
        before = _add_blocks(self, 1, strides=True)
        last, bins = ClassificationModel.last, published_bin_centers().shape[0]
        layers: list[nn.Module] = [_upward(before, last.channels), nn.ReLU(inplace=True)]
        for _ in range(last.convolutions):
            layers += [_flat(last.channels, last.channels), nn.ReLU(inplace=True)]
        self.model8 = nn.Sequential(*layers, nn.Conv2d(last.channels, bins, 1))
        self.model_out = nn.Conv2d(bins, self.output.channels, 1, bias=False)

    def forward(self, L: Tensor) -> ModelOutput:
        """(N, 1, H, W) lightness in 0..100 to (N, 2, H/4, W/4) ab / 110."""
        x = (L - 50) / 100
        for number in range(1, 9):
            x = self.get_submodule(f"model{number}")(x)
        return ModelOutput(self.model_out(x.softmax(1)), None)


class SIGGRAPH17Model(Colorizer):
    """Zhang et al. 2017, which takes points of color from a user; 34,187,027 parameters.

    A U-Net that regresses ab at full resolution through a tanh, so there is no temperature. The
    loss is equation 1 of Zhang 2016 on that, without hints; it trains all but the class branch.
    """

    output: RegressionHead

    @records_arguments
    def __init__(self) -> None:
        super().__init__()
        self.output = RegressionHead()
        before = _add_blocks(self, 4, strides=False)
        self.model8up = nn.Sequential(_upward(before, 256))
        self.model3short8 = nn.Sequential(_flat(256, 256))
        self.model8 = nn.Sequential(nn.ReLU(inplace=True), *convolutions(256, 256, Block(256, 2)))
        self.model9up = nn.Sequential(_upward(256, 128))
        self.model2short9 = nn.Sequential(_flat(128, 128))
        self.model9 = nn.Sequential(nn.ReLU(inplace=True), *convolutions(128, 128, Block(128, 1)))
        self.model10up = nn.Sequential(_upward(128, 128))
        self.model1short10 = nn.Sequential(_flat(64, 128))
        self.model10 = nn.Sequential(
            nn.ReLU(inplace=True), _flat(128, 128), nn.LeakyReLU(0.2, inplace=True)
        )
        self.model_class = nn.Sequential(nn.Conv2d(256, _GRID**2, 1))
        self.model_out = nn.Sequential(nn.Conv2d(128, self.output.channels, 1), nn.Tanh())

    def forward(
        self, L: Tensor, hints_ab: Tensor | None = None, hints_mask: Tensor | None = None
    ) -> ModelOutput:
        """(N, 1, H, W) lightness in 0..100 to (N, 2, H, W) ab / 110.

        Args:
            hints_ab: (N, 2, H, W) CIELAB units, zero where there is no hint; None for no hints.
            hints_mask: (N, 1, H, W), 1 where there is a hint and 0 elsewhere. The authors' PyTorch
                code for these weights subtracts nothing from it.
        """
        n, _, h, w = L.shape
        ab = L.new_zeros(n, 2, h, w) if hints_ab is None else hints_ab
        mask = torch.zeros_like(L) if hints_mask is None else hints_mask
        x = torch.cat(((L - 50) / 100, ab / AB_SCALE, mask), 1)
        kept = []
        for number in range(1, 8):
            x = self.get_submodule(f"model{number}")(x)
            if number < 4:
                kept.append(x)
                x = x[:, :, ::2, ::2]
        first, second, third = kept
        eighth = self.model8(self.model8up(x) + self.model3short8(third))
        ninth = self.model9(self.model9up(eighth) + self.model2short9(second))
        tenth = self.model10(self.model10up(ninth) + self.model1short10(first))
        return ModelOutput(self.model_out(tenth), None)

    @torch.no_grad()
    def predict_ab(
        self,
        L: Tensor,
        *,
        temperature: float | None = None,
        hints_ab: Tensor | None = None,
        hints_mask: Tensor | None = None,
    ) -> Tensor:
        """Predict color for lightness of any size, and for colors that a user gave.

        Args:
            L: (N, 1, H, W), 0..100.
            temperature: None; there is none.
            hints_ab: (N, 2, H, W) of L's size, the colors given, in CIELAB units (-110..110).
            hints_mask: (N, 1, H, W) in 0..1 or bool, where they are given: what ``hints_ab`` says
                where this is 0 does not count. The net was made for squares of 1 to 9 pixels in a
                picture of 256.

        Returns:
            ab: (N, 2, H, W) float32, CIELAB units.

        Raises:
            InputError: when a shape or range does not fit, only one of the hints is given, or a
                temperature is.
        """
        padded = self.pad(L)
        if hints_ab is None and hints_mask is None:
            raw = self(padded)
        else:
            raw = self(padded, *self._checked_hints(L, padded, hints_ab, hints_mask))
        return self.decode(raw, L, temperature=temperature)

    def _checked_hints(
        self, L: Tensor, padded: Tensor, hints_ab: object, hints_mask: object
    ) -> tuple[Tensor, Tensor]:
        """Hints in type and size of the padded L; none lie in what was padded."""
        n, _, h, w = L.shape
        ab = require_tensor(hints_ab, "hints_ab", shape=(n, 2, h, w), floating=True).to(padded)
        mask = require_tensor(hints_mask, "hints_mask", shape=(n, 1, h, w)).to(padded)
        if not bool(((mask >= 0) & (mask <= 1)).all()):
            raise InputError("hints_mask: expected 0..1 (1 where a color is given), got beyond")
        ab = torch.where(mask > 0, ab, 0)
        if not bool((ab.abs() <= _MOST_AB).all()):
            raise InputError(
                f"hints_ab: expected CIELAB units of at most {_MOST_AB:g}, got beyond; "
                "rgb_to_lab gives them"
            )
        beyond = (0, padded.shape[3] - w, 0, padded.shape[2] - h)
        return nn.functional.pad(ab, beyond), nn.functional.pad(mask, beyond)


def _add_blocks(model: nn.Module, before: int, *, strides: bool) -> int:
    """Add the trunk of 2016 as model1 to model7; returns its channels.

    Without strides, what calls the blocks takes every other row and column between them.
    """
    for number, block in enumerate(ClassificationModel.blocks, 1):
        layers = convolutions(
            before, block.channels, block if strides else block._replace(stride=1)
        )
        model.add_module(f"model{number}", nn.Sequential(*layers))
        before = block.channels
    return before


def _flat(before: int, after: int) -> nn.Conv2d:
    return nn.Conv2d(before, after, 3, padding=1)


def _upward(before: int, after: int) -> nn.ConvTranspose2d:
    return nn.ConvTranspose2d(before, after, 4, stride=2, padding=1)
