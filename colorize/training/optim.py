"""What a recipe says, as torch objects: initial weights, optimizer, learning rate, average."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from colorize.checks import require_choice
from colorize.errors import InputError
from colorize.training.config import Recipe

OPTIMIZERS = ("adam", "adamw", "sgd", "adadelta")
INITS = ("default", "kaiming")
SCHEDULES = ("constant", "cosine")


def initialise(model: nn.Module, scheme: str) -> None:
    """Set the initial weights: ``"default"`` leaves them as they come.

    ``"kaiming"`` is He et al. 2015 for ReLU with zero biases, which keeps the signal's size through
    a deep stack of convolutions that has batch norm only once a block. The last layer starts small,
    so that the first prediction is the same for all colors.

    Raises:
        InputError: when there is no such scheme.
    """
    if require_choice(scheme, "init", INITS) == "default":
        return
    convolutions = [m for m in model.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)]
    for layer in convolutions:
        # A transposed convolution of stride 2 sums a quarter of its kernel at each position.
        fan = layer.weight[0].numel() if isinstance(layer, nn.Conv2d) else _fan_up(layer)
        nn.init.normal_(layer.weight, std=math.sqrt(2 / fan))
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
    if convolutions:
        nn.init.normal_(convolutions[-1].weight, std=0.01)


def build_optimizer(model: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """The optimizer of a recipe, with a group of parameters for each factor of the rate.

    Frozen parameters are in no group, and need no gradient until ``kept_gradients`` is left.

    Raises:
        InputError: when a prefix in ``lr_scale`` or ``frozen`` names nothing.
    """
    groups: dict[float, list[nn.Parameter]] = {}
    unused = set(recipe.lr_scale)
    for start in recipe.frozen:
        if not any(name.startswith(start) for name, _ in model.named_parameters()):
            raise InputError(f"frozen: no parameter's name starts with {start}")
    for name, parameter in model.named_parameters():
        if name.startswith(tuple(recipe.frozen)):
            parameter.requires_grad_(False)
            continue
        prefix = next((p for p in recipe.lr_scale if name.startswith(p)), None)
        unused.discard(prefix or "")
        factor = 1.0 if prefix is None else recipe.lr_scale[prefix]
        groups.setdefault(factor, []).append(parameter)
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise InputError("frozen: expected parameters to train, all of the model are frozen")
    if unused:
        raise InputError(f"lr_scale: no parameter's name starts with {', '.join(sorted(unused))}")
    settings = [
        {"params": parameters, "lr": recipe.lr * factor, "peak": recipe.lr * factor}
        for factor, parameters in groups.items()
    ]
    decay = recipe.weight_decay
    if recipe.optimizer == "adam":
        return torch.optim.Adam(settings, betas=recipe.betas, weight_decay=decay, fused=True)
    if recipe.optimizer == "adamw":
        return torch.optim.AdamW(settings, betas=recipe.betas, weight_decay=decay, fused=True)
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(settings, momentum=recipe.betas[0], weight_decay=decay, fused=True)
    return torch.optim.Adadelta(settings, weight_decay=decay)


def set_learning_rate(
    optimizer: torch.optim.Optimizer, recipe: Recipe, step: int, steps: int
) -> float:
    """Set the rate for one step (0 is the first) and return it; a function of the step alone."""
    warm = recipe.warmup * steps
    factor = min(1.0, (step + 1) / warm) if warm else 1.0
    if recipe.schedule == "cosine" and step >= warm:
        factor = 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1.0, steps - warm)))
    for group in optimizer.param_groups:
        group["lr"] = group["peak"] * factor
    return recipe.lr * factor


@contextlib.contextmanager
def kept_gradients(model: nn.Module) -> Iterator[None]:
    """What a recipe freezes is free again afterwards."""
    before = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    try:
        yield
    finally:
        for parameter, wanted in before:
            parameter.requires_grad_(wanted)


def make_average(model: nn.Module, decay: float) -> AveragedModel:
    """An exponential moving average of weights and batch statistics.

    The decay grows from 0.1 to its value, so that a short run is not an average of its beginning.
    """

    def blend(average: Tensor, value: Tensor, count: Tensor | int) -> Tensor:
        if not value.is_floating_point():
            return value
        now = min(decay, (1 + int(count)) / (10 + int(count)))
        # lerp of two equal numbers is that number: constant buffers don't drift.
        return average.lerp(value, 1 - now)

    return AveragedModel(model, avg_fn=blend, use_buffers=True)


def set_train_mode(model: nn.Module, recipe: Recipe) -> None:
    """Put a model in training mode, all but a batch norm that keeps its statistics."""
    model.train()
    for name, module in model.named_modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.train(not recipe.freeze_batchnorm and not name.startswith(tuple(recipe.frozen)))


def _fan_up(layer: nn.ConvTranspose2d) -> float:
    height, width = layer.stride[0], layer.stride[1]
    return layer.in_channels * layer.weight[0, 0].numel() / (height * width)
