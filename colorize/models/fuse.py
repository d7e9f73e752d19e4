"""Batch norm folded into the convolutions before it: the same net with fewer steps."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torch.overrides import TorchFunctionMode

from colorize.models.base import Colorizer


@torch.inference_mode(False)
def fuse_conv_bn(model: Colorizer) -> Colorizer:
    """Copy a model for inference, with batch norm folded into convolutions wherever it is exact.

    That is where batch norm takes the result of a convolution and nothing else takes it, in
    whatever order the modules are written. In Zhang's nets batch norm comes after the ReLU. There
    it stays: folded forward into the next convolution it would change the border, since that
    convolution pads with zeros, which batch norm moves.

    Args:
        model: is left as it is, in its mode and on its device.

    Returns:
        A copy in eval mode and channels_last, whose output is the same to rounding. It is not made
        for training, and a checkpoint of it does not fit the class.
    """
    folded = copy.deepcopy(model).eval()
    for conv_name, norm_name in _foldable(folded):
        conv, norm = folded.get_submodule(conv_name), folded.get_submodule(norm_name)
        assert isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d)
        folded.set_submodule(conv_name, fuse_conv_bn_eval(conv, norm))
        folded.set_submodule(norm_name, _without_norm(norm))
    return folded.eval().requires_grad_(False).to(memory_format=torch.channels_last)


class _Recorder(TorchFunctionMode):
    """Keeps every call of a torch function that gives tensors: function, what went in, came out."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Callable[..., Any], list[Tensor], list[Tensor]]] = []

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        made = list(_tensors(result))
        if made:
            self.calls.append((func, list(_tensors((args, kwargs or {}))), made))
        return result


@torch.no_grad()
def _foldable(model: Colorizer) -> list[tuple[str, str]]:
    """Names of convolutions and of the batch norm that alone takes what each gives.

    Read off one run of the net on a tiny picture, as the order of attributes proves nothing.
    """
    convs = {id(m.weight): name for name, m in model.named_modules() if isinstance(m, nn.Conv2d)}
    norms = {
        id(m.running_mean): name
        for name, m in model.named_modules()
        if (type(m) is nn.BatchNorm2d or _is_timm_norm(m)) and m.running_mean is not None
    }
    side = model.size_divisor
    weight = next(model.parameters())
    L = torch.full(
        (1, model.in_channels, side, side), 50.0, dtype=weight.dtype, device=weight.device
    )
    with _Recorder() as recorder:
        returned = model(L)
    uses = Counter(id(t) for _, given, _ in recorder.calls for t in given)
    uses.update(id(t) for t in _tensors(returned))
    found: list[tuple[str, str]] = []
    made_by: dict[int, str] = {}
    for func, given, made in recorder.calls:
        taken = [id(t) for t in given]
        if func is F.conv2d:
            made_by |= {id(made[0]): convs[t] for t in taken if t in convs and uses[t] == 1}
        elif func is F.batch_norm:
            sources = [made_by[t] for t in taken if t in made_by and uses[t] == 1]
            found += [(s, norms[t]) for s in sources for t in taken if t in norms and uses[t] == 1]
    return found


def _without_norm(norm: Any) -> nn.Module:
    return nn.Sequential(norm.drop, norm.act) if _is_timm_norm(norm) else nn.Identity()


def _is_timm_norm(module: nn.Module) -> bool:
    """Whether this is timm's batch norm and activation in one; timm takes long to import."""
    return type(module).__name__ == "BatchNormAct2d"


def _tensors(value: object) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, dict):
        yield from _tensors(list(value.values()))
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _tensors(part)
