"""What every colorization model is."""

from __future__ import annotations

import functools
import inspect
import threading
from collections import ChainMap
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple, ParamSpec
from weakref import WeakKeyDictionary

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from colorize.checks import (
    checks_flags,
    require_finite,
    require_images,
    require_lightness,
    require_positive,
    require_rgb,
    require_tensor,
)
from colorize.color.lab import rgb_to_lab
from colorize.errors import InputError
from colorize.losses import colorization_losses
from colorize.models.heads import BinHead, RegressionHead

P = ParamSpec("P")
# Arguments that only say what the weights of a new model are.
IN_THE_WEIGHTS = ("class_weights", "pretrained")


class ModelOutput(NamedTuple):
    """What every ``forward`` returns; None for a branch that the model lacks."""

    color: Tensor | None
    classes: Tensor | None


def records_arguments(init: Callable[P, None]) -> Callable[P, None]:
    """Decorate a model's ``__init__``: keep its arguments, defaults included, for ``config``."""
    init, signature = checks_flags(init), inspect.signature(init)
    kinds = {p.kind: name for name, p in signature.parameters.items()}
    if inspect.Parameter.VAR_POSITIONAL in kinds:
        raise InputError(f"{init.__qualname__}: expected arguments with names, got *arguments")
    further = kinds.get(inspect.Parameter.VAR_KEYWORD)

    @functools.wraps(init)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> None:
        init(*args, **kwargs)
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        (_, model), *others = bound.arguments.items()
        arguments = dict(others)
        if further:
            arguments |= arguments.pop(further, {})
        model._arguments, attributes = arguments, model._attributes()
        # An attribute that says something else has only the name in common with the argument.
        model._options = {
            name
            for name, value in arguments.items()
            if name in attributes and _as_json(attributes[name]) == _as_json(value)
        }

    wrapper.records_arguments = True  # type: ignore[attr-defined]
    return wrapper


class _Config(dict[str, Any]):
    def _refuse(self, *args: Any, **values: Any) -> Any:
        raise InputError(
            "config: expected no changes; set the attribute of the model or of its output, such as "
            "model.output.temperature"
        )

    __setitem__ = __delitem__ = __ior__ = _refuse
    update = setdefault = pop = popitem = clear = _refuse

    def __reduce__(self) -> Any:
        return dict, (dict(self),)  # what is copied may be changed


class Colorizer(nn.Module):
    """A net from lightness to color.

    A subclass sets ``output`` (what its last channels mean; None when it does not color) and
    ``forward``, and has ``@records_arguments`` at its ``__init__``.

    Attributes:
        in_channels: channels that ``forward`` takes: 1 for L, 3 for Lab.
        size_divisor: height and width that ``forward`` takes must be multiples of this.
        input_size: short side in pixels of the images it was trained on; ``load_model`` sets it.
        alpha: weight of the class loss beside the color loss.
    """

    in_channels = 1
    size_divisor = 8
    input_size = 256
    alpha = 1.0
    output: BinHead | RegressionHead | None
    _arguments: dict[str, Any]
    _options: set[str]

    def __init__(self) -> None:
        super().__init__()
        self._arguments, self._options = {}, set()
        self.register_forward_hook(_require_output)

    @property
    def config(self) -> dict[str, Any]:
        """Arguments that build the same model again, apart from what is among its weights.

        An argument that is an attribute of the model or of its ``output`` as well, such as
        ``model.output.temperature``, is what the attribute says now. What is None is left out.
        """
        attributes = self._attributes()
        live = {name: attributes[name] for name in self._options if name in attributes}
        values = {name: _as_json(value) for name, value in {**self._arguments, **live}.items()}
        return _Config(
            {n: v for n, v in values.items() if v is not None and n not in IN_THE_WEIGHTS}
        )

    @config.setter
    def config(self, arguments: Mapping[str, Any]) -> None:
        self._arguments, self._options = dict(arguments), set()

    def _attributes(self) -> Mapping[str, Any]:
        head = vars(self.output) if isinstance(getattr(self, "output", None), nn.Module) else {}
        return ChainMap(vars(self), head)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Colorizer:
        """Move or convert all tensors, but none of bins or batch norm to half precision.

        It rounds the colors of bins, and the variances of trained nets leave the range of float16.
        """

        def wide(tensor: Tensor) -> Tensor:
            moved = fn(tensor)
            half = moved.dtype in (torch.float16, torch.bfloat16)
            return tensor.to(moved.device) if half else moved

        super()._apply(fn, recurse=False)
        for module in list(self.modules())[1:] if recurse else ():
            kept = isinstance(module, nn.modules.batchnorm._BatchNorm | BinHead)
            module._apply(wide if kept else fn, recurse=False)
        return self

    @property
    def device(self) -> torch.device:
        """Where the weights are; torch's default for a model without any."""
        return self._weight().device

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
        if not isinstance(batch, Mapping) or "rgb" not in batch:
            came = (
                ", ".join(map(str, batch)) if isinstance(batch, Mapping) else type(batch).__name__
            )
            raise InputError(f"batch: expected a dict with rgb, got {came}")
        rgb = require_images(require_rgb(batch["rgb"], 'batch["rgb"]'), 'batch["rgb"]')
        if rgb.shape[2] % self.size_divisor or rgb.shape[3] % self.size_divisor:
            raise InputError(
                f'batch["rgb"]: expected height and width in multiples of {self.size_divisor}, '
                f"got {tuple(rgb.shape[2:])}; choose such a crop"
            )
        lab = rgb_to_lab(rgb)
        n, _, h, w = rgb.shape
        x = lab[:, : self.in_channels]
        if "L" in batch:
            L = require_tensor(batch["L"], 'batch["L"]', shape=(n, 1, h, w), floating=True)
            x = torch.cat((require_lightness(L, 'batch["L"]').to(lab.dtype), x[:, 1:]), 1)
        # The truth stays as it is: half precision would round it by up to half a unit.
        return x.to(self._dtype()), lab[:, 1:]

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
        if not torch.compiler.is_compiling():
            require_lightness(require_images(L, "L")[:, :1], "L")
            require_finite(L[:, 1:], "L")
        h, w = L.shape[2:]
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
        return self._weight().dtype

    def _weight(self) -> Tensor:
        """The first of its weights; for a model without any one of torch's default device."""
        weight = next(self.parameters(), None)
        if weight is None:
            return torch.empty(0, dtype=torch.float32)
        if weight.device.type == "meta":
            raise InputError(
                "model: expected weights, got a model on the meta device, which has none; build it "
                "on another, or load_model() one"
            )
        return weight


_in_eval_mode: WeakKeyDictionary[nn.Module, tuple[int, list[tuple[nn.Module, bool]]]]
_in_eval_mode = WeakKeyDictionary()
_eval_lock = threading.Lock()


@contextmanager
def eval_mode(model: nn.Module) -> Iterator[None]:
    """Put a model in eval mode, and each of its parts back into the mode it was in.

    Where several threads do so at once, the last one to leave puts them back.
    """
    with _eval_lock:
        users, modes = _in_eval_mode.get(model) or (0, [(m, m.training) for m in model.modules()])
        _in_eval_mode[model] = (users + 1, modes)
        model.eval()
    try:
        yield
    finally:
        with _eval_lock:
            users, modes = _in_eval_mode.pop(model)
            if users > 1:
                _in_eval_mode[model] = (users - 1, modes)
            else:
                for module, training in modes:
                    module.training = training


def unwrap(model: object) -> Colorizer:
    """Give the model inside what ``torch.compile`` or ``DataParallel`` made of it."""
    inner = model
    while isinstance(inner, nn.Module) and not isinstance(inner, Colorizer):
        inner = getattr(inner, "_orig_mod", None) or getattr(inner, "module", None)
    if not isinstance(inner, Colorizer):
        raise InputError(f"model: expected a colorize.Colorizer, got {type(model).__name__}")
    if not hasattr(inner, "output"):
        raise InputError(
            f"model: expected {type(inner).__name__} to set its output: a BinHead, a "
            "RegressionHead, or None"
        )
    inner._weight()
    return inner


def _require_output(model: nn.Module, args: Any, output: object) -> None:
    if not isinstance(output, ModelOutput):
        raise InputError(
            f"{type(model).__name__}.forward: expected a ModelOutput(color, classes), got "
            f"{type(output).__name__}"
        )


def scale_channels(channels: int, width: float) -> int:
    """Channels of a layer in a net of another width: a multiple of 8, at least 8."""
    if require_positive(width, "width") > 4:
        raise InputError(f"width: expected a number above 0 and at most 4, got {width}")
    return channels if width == 1 else max(8, 8 * round(channels * width / 8))


def _as_json(value: Any) -> Any:
    # Of tensors, arrays and numpy's numbers.
    if hasattr(value, "tolist"):
        return value.tolist()
    return list(value) if isinstance(value, tuple) else value
