"""What every colorization model is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from colorize.checks import require_rgb, require_tensor
from colorize.color.lab import rgb_to_lab
from colorize.errors import InputError
from colorize.models.heads import BinHead, RegressionHead


class Colorizer(nn.Module):
    """A net from lightness to color.

    A subclass sets ``output`` (what its last channels mean; None when it does not color),
    ``config`` (its constructor arguments, written into checkpoints) and ``forward``.

    Attributes:
        in_channels: channels that ``forward`` takes: 1 for L, 3 for Lab.
        size_divisor: height and width that ``forward`` takes must be multiples of this.
        input_size: short side in pixels of the pictures it was trained on; ``load_model`` sets it.
        config: arguments that build the same model again, apart from the buffers in its weights.
    """

    in_channels = 1
    size_divisor = 8
    input_size = 256
    output: BinHead | RegressionHead | None
    config: dict[str, Any]

    def forward(self, L: Tensor) -> Any:
        """(N, 1, H, W) lightness in 0..100 to raw output at a fraction of the size."""
        raise TypeError(f"{type(self).__name__} must define forward")

    def loss(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The loss of a batch, colors converted and targets encoded on the model's device.

        Args:
            batch: ``rgb``, (N, 3, H, W) uint8 or float, H and W multiples of ``size_divisor``. An
                optional ``L``, (N, 1, H, W), is what the net sees in place of the lightness of
                ``rgb`` (augmentation: faded, grainy, blurred).

        Returns:
            ``"loss"`` is to be minimised; further entries are worth logging.

        Raises:
            InputError: when a shape does not fit.
        """
        return self.loss_and_output(batch)[0]

    def loss_and_output(self, batch: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], Any]:
        """``loss`` together with the raw output that it was computed from."""
        rgb = require_rgb(batch["rgb"], 'batch["rgb"]')
        if rgb.shape[2] % self.size_divisor or rgb.shape[3] % self.size_divisor:
            raise InputError(
                f'batch["rgb"]: expected height and width in multiples of {self.size_divisor}, '
                f"got {tuple(rgb.shape[2:])}; choose such a crop"
            )
        lab = rgb_to_lab(rgb).to(self._dtype())
        n, _, h, w = rgb.shape
        seen = lab[:, : self.in_channels]
        if "L" in batch:
            L = require_tensor(batch["L"], 'batch["L"]', shape=(n, 1, h, w), floating=True)
            seen = torch.cat((L.to(lab.dtype), seen[:, 1:]), 1)
        raw = self(seen)
        return self.losses(raw, lab, batch), raw

    def losses(self, raw: Any, lab: Tensor, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The losses of raw output for (N, 3, H, W) lab, in the type of the model's weights."""
        color = self.raw_color(raw)
        target = F.adaptive_avg_pool2d(lab[:, 1:], (color.shape[2], color.shape[3]))
        return {"loss": self._output().loss(color, target)}

    def raw_color(self, raw: Any) -> Tensor:
        """The part of what ``forward`` gave that ``output`` decodes."""
        return raw

    def class_logits(self, raw: Any) -> Tensor | None:
        """(N, classes) logits out of what ``forward`` gave; None of a model that only colors."""
        return None

    @torch.no_grad()
    def predict_ab(self, L: Tensor, *, temperature: float | None = None) -> Tensor:
        """Predict color for lightness of any size.

        Args:
            L: (N, 1, H, W), 0..100.
            temperature: of the annealed mean; None for the model's own.

        Returns:
            ab: (N, 2, H, W) float32, CIELAB units.

        Raises:
            InputError: when the shape does not fit, or the model has no temperature or no color.
        """
        return self.decode(self(self.pad(L)), L, temperature=temperature)

    def decode(self, raw: Any, L: Tensor, *, temperature: float | None = None) -> Tensor:
        """(N, 2, H, W) ab at the size of L out of what ``forward`` gave for the padded L."""
        return self.resize_ab(self._output().decode(self.raw_color(raw), temperature), L)

    def pad(self, L: Tensor) -> Tensor:
        """Repeat the last row and column of (N, in_channels, H, W) up to the next multiple of
        ``size_divisor``; in the type of the model's weights.
        """
        L = require_tensor(L, "L", shape=(None, self.in_channels, None, None), floating=True)
        h, w = L.shape[2:]
        if h == 0 or w == 0:
            raise InputError(f"L: expected at least one pixel, got {tuple(L.shape)}")
        return F.pad(
            L.to(self._dtype()),
            (0, -w % self.size_divisor, 0, -h % self.size_divisor),
            mode="replicate",
        )

    def resize_ab(self, ab: Tensor, L: Tensor) -> Tensor:
        """Bring the ab of a padded L to the size of L."""
        h, w = L.shape[2:]
        padded = (h + -h % self.size_divisor, w + -w % self.size_divisor)
        full = F.interpolate(ab, padded, mode="bilinear", align_corners=False)
        return full[:, :, :h, :w]

    def _output(self) -> BinHead | RegressionHead:
        if self.output is None:
            raise InputError(f"{type(self).__name__} classifies; it has no color to give")
        return self.output

    def _dtype(self) -> torch.dtype:
        return next((p.dtype for p in self.parameters()), torch.float32)


@contextmanager
def eval_mode(model: nn.Module) -> Iterator[None]:
    """Put a model in eval mode, and each of its parts back into the mode it was in."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


def scale_channels(channels: int, width: float) -> int:
    """Channels of a layer in a net of another width: a multiple of 8, at least 8."""
    if not 0 < width <= 4:
        raise InputError(f"width: expected a number above 0 and at most 4, got {width}")
    return channels if width == 1 else max(8, 8 * round(channels * width / 8))
