"""What every colorization model is."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple, ParamSpec

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from colorize.checks import require_rgb, require_tensor
from colorize.color.lab import rgb_to_lab
from colorize.errors import InputError
from colorize.losses import colorization_losses
from colorize.models.heads import BinHead, RegressionHead

P = ParamSpec("P")
# Arguments that only say what the weights of a new model are.
_IN_THE_WEIGHTS = ("class_weights", "pretrained")


class ModelOutput(NamedTuple):
    """What every ``forward`` returns; None for a branch that the model lacks."""

    color: Tensor | None
    classes: Tensor | None


def records_arguments(init: Callable[P, None]) -> Callable[P, None]:
    """Decorate a model's ``__init__``: keep its arguments in ``config``, defaults included.

    What is None is left out, and so is what a checkpoint holds among its weights.
    """
    signature = inspect.signature(init)

    @functools.wraps(init)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> None:
        init(*args, **kwargs)
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        (_, model), *arguments = bound.arguments.items()
        model.config = {
            name: _as_json(value)
            for name, value in arguments
            if value is not None and name not in _IN_THE_WEIGHTS
        }

    return wrapper


class Colorizer(nn.Module):
    """A net from lightness to color.

    A subclass sets ``output`` (what its last channels mean; None when it does not color) and
    ``forward``, and has ``@records_arguments`` at its ``__init__``.

    Attributes:
        in_channels: channels that ``forward`` takes: 1 for L, 3 for Lab.
        size_divisor: height and width that ``forward`` takes must be multiples of this.
        input_size: short side in pixels of the images it was trained on; ``load_model`` sets it.
        alpha: weight of the class loss beside the color loss.
        config: arguments that build the same model again, apart from the buffers in its weights.
    """

    in_channels = 1
    size_divisor = 8
    input_size = 256
    alpha = 1.0
    output: BinHead | RegressionHead | None
    config: dict[str, Any]

    @property
    def device(self) -> torch.device:
        """Where the weights are; torch's default for a model without any."""
        return next((p.device for p in self.parameters()), torch.get_default_device())

    @property
    def colors(self) -> bool:
        """Whether it gives color."""
        return self.output is not None

    @property
    def classifies(self) -> bool:
        """Whether it gives the class of an image."""
        return False

    @property
    def has_distribution(self) -> bool:
        """Whether its color is a distribution over bins, which has a temperature."""
        return isinstance(self.output, BinHead)

    def forward(self, L: Tensor) -> ModelOutput:
        """(N, 1, H, W) lightness in 0..100 to raw color at a fraction of the size."""
        raise TypeError(f"{type(self).__name__} must define forward")

    def loss(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Compute the loss of a batch; colors are converted on the model's device.

        Args:
            batch: ``rgb``, (N, 3, H, W) uint8 or float, H and W multiples of ``size_divisor``. An
                optional ``L``, (N, 1, H, W), is what the net is shown in place of the lightness of
                ``rgb`` (augmentation: faded, grainy, blurred). ``label``, (N,) int64, for a model
                that classifies.

        Returns:
            ``"loss"`` is to be minimised; further entries are worth logging.
        """
        x, ab = self.inputs(batch)
        return self.losses(self(x), ab, batch)

    def inputs(self, batch: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """What ``forward`` is shown of a batch, (N, in_channels, H, W), and the true ab."""
        rgb = require_rgb(batch["rgb"], 'batch["rgb"]')
        if rgb.shape[2] % self.size_divisor or rgb.shape[3] % self.size_divisor:
            raise InputError(
                f'batch["rgb"]: expected height and width in multiples of {self.size_divisor}, '
                f"got {tuple(rgb.shape[2:])}; choose such a crop"
            )
        lab = rgb_to_lab(rgb).to(self._dtype())
        n, _, h, w = rgb.shape
        x = lab[:, : self.in_channels]
        if "L" in batch:
            L = require_tensor(batch["L"], 'batch["L"]', shape=(n, 1, h, w), floating=True)
            x = torch.cat((L.to(lab.dtype), x[:, 1:]), 1)
        return x, lab[:, 1:]

    def losses(
        self, output: ModelOutput, ab: Tensor, batch: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        """Compute the loss of an output that is there already; ab as from ``inputs``."""
        encoder = self.output if isinstance(self.output, BinHead) else None
        label = batch.get("label")
        return colorization_losses(output, ab, label, encoder=encoder, alpha=self.alpha)

    @torch.no_grad()
    def predict_ab(self, L: Tensor, *, temperature: float | None = None) -> Tensor:
        """Predict color for lightness of any size.

        Args:
            L: (N, 1, H, W), 0..100.
            temperature: of the annealed mean; None for the model's own.

        Returns:
            ab: (N, 2, H, W) float32, CIELAB units.
        """
        return self.decode(self(self.pad(L)), L, temperature=temperature)

    def decode(self, output: ModelOutput, L: Tensor, *, temperature: float | None = None) -> Tensor:
        """(N, 2, H, W) ab at the size of L out of what ``forward`` gave for the padded L."""
        if self.output is None or output.color is None:
            raise InputError(f"{type(self).__name__} classifies; it has no color to give")
        return self.resize_ab(self.output.decode(output.color, temperature), L)

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


def _as_json(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.tolist()
    return list(value) if isinstance(value, tuple) else value
