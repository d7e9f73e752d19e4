"""Initial weights, optimizer, rate and average against closed forms and float64 recursions."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest
import torch
from helpers import tiny
from helpers.tiny import light as light
from torch import nn

from colorize.errors import InputError
from colorize.experiments.presets import FAST
from colorize.models import SimplifiedModel
from colorize.training import optim as o
from colorize.training.config import Recipe

pytestmark = pytest.mark.usefixtures("light")


def _recipe(**changes: Any) -> Recipe:
    return dataclasses.replace(FAST, **changes)


@pytest.mark.parametrize("shape", ["conv", "dilated", "transposed"])
def test_kaiming_doubles_the_mean_square_of_any_layer(shape: str) -> None:
    """He 2015: Var[y] = fan Var[w] E[x^2] = 2 E[x^2], of which the ReLU leaves E[x^2]."""
    layers: dict[str, nn.Module] = {
        "conv": nn.Conv2d(48, 64, 3),
        "dilated": nn.Conv2d(48, 64, 3, dilation=2),
        "transposed": nn.ConvTranspose2d(48, 64, 4, stride=2, padding=1),
    }
    layer = layers[shape]
    o.initialise(nn.Sequential(layer, nn.Conv2d(64, 2, 1)), "kaiming")
    x = torch.randn(4, 48, 24, 24)
    out = layer(x).detach()[:, :, 2:-2, 2:-2]
    assert float(out.square().mean()) == pytest.approx(2, rel=0.05)


@pytest.mark.parametrize("name", o.OPTIMIZERS)
def test_every_parameter_is_trained_once(name: str) -> None:
    model = tiny.model()
    recipe = _recipe(optimizer=name, lr_scale={"trunk.0": 0.1, "head": 2.0}, betas=(0.8, 0.95))
    optimizer = o.build_optimizer(model, recipe)
    classes = {"adam": "Adam", "adamw": "AdamW", "sgd": "SGD", "adadelta": "Adadelta"}
    assert type(optimizer).__name__ == classes[name]
    owned = [id(p) for group in optimizer.param_groups for p in group["params"]]
    assert sorted(owned) == sorted(id(p) for p in model.parameters())
    rate = {id(p): g["lr"] for g in optimizer.param_groups for p in g["params"]}
    for parameter_name, p in model.named_parameters():
        layer = parameter_name.rpartition(".")[0]
        factor = {"trunk.0": 0.1, "head": 2.0}.get(layer, 1.0)
        assert rate[id(p)] == pytest.approx(recipe.lr * factor), parameter_name
    for group in optimizer.param_groups:
        assert group["weight_decay"] == recipe.weight_decay
        if name in ("adam", "adamw"):
            assert group["betas"] == (0.8, 0.95)
        if name == "sgd":
            assert group["momentum"] == 0.8


def test_recipes_that_make_no_sense() -> None:
    with pytest.raises(InputError, match="lr_scale: no parameter's name starts with encoder"):
        o.build_optimizer(tiny.model(), _recipe(lr_scale={"encoder": 0.1, "head": 0.1}))


def _rates(recipe: Recipe, steps: int) -> list[float]:
    optimizer = o.build_optimizer(nn.Linear(1, 1), recipe)
    found = []
    for step in range(steps):
        rate = o.set_learning_rate(optimizer, recipe, step, steps)
        assert optimizer.param_groups[0]["lr"] == rate
        found.append(rate)
    return found


@pytest.mark.parametrize(("steps", "warmup"), [(40, 0.25), (200, 0.05), (7, 1.0), (37, 0)])
@pytest.mark.parametrize("schedule", o.SCHEDULES)
def test_warm_up_rises_linearly_to_the_peak(schedule: str, steps: int, warmup: float) -> None:
    rates = _rates(_recipe(lr=2.0, schedule=schedule, warmup=warmup), steps)
    warm = round(steps * warmup)
    assert rates[:warm] == pytest.approx([2.0 * (i + 1) / warm for i in range(warm)])
    rest = rates[warm:]
    if schedule == "constant":
        assert rest == [2.0] * (steps - warm)
    elif rest:
        n = len(rest)
        expected = [1 + math.cos(math.pi * i / n) for i in range(n)]
        assert rest == pytest.approx(expected)
        assert rest[0] == 2.0 and rest[-1] > 0
    assert max(rates) == pytest.approx(2.0)


def test_the_rate_is_a_function_of_the_step_alone() -> None:
    recipe = _recipe(lr_scale={"weight": 0.1})
    optimizer = o.build_optimizer(nn.Linear(1, 1), recipe)
    forward = [
        (o.set_learning_rate(optimizer, recipe, i, 30), [g["lr"] for g in optimizer.param_groups])
        for i in range(30)
    ]
    for i in (29, 3, 3, 0, 17):
        rate = o.set_learning_rate(optimizer, recipe, i, 30)
        assert (rate, [g["lr"] for g in optimizer.param_groups]) == forward[i]


def test_the_average_is_the_recursion_in_float64() -> None:
    model = tiny.model()
    average = o.make_average(model, 0.9)
    floats = {n: v for n, v in model.state_dict().items() if v.is_floating_point()}
    expected = {name: value.double().clone() for name, value in floats.items()}
    generator = torch.Generator().manual_seed(0)
    for update in range(25):
        with torch.no_grad():
            for p in model.parameters():
                p.add_(torch.randn(p.shape, generator=generator))
            for name, buffer in model.named_buffers():
                if "running" in name:
                    buffer.add_(torch.rand(buffer.shape, generator=generator))
                if "tracked" in name:
                    buffer.add_(1)
        average.update_parameters(model)
        # 0.1 at the start, as in TensorFlow's moving average; the first update is a copy.
        decay = 0.0 if update == 0 else min(0.9, (1 + update) / (10 + update))
        for name, value in model.state_dict().items():
            if name in expected:
                expected[name] = decay * expected[name] + (1 - decay) * value.double()
    found = average.module.state_dict()
    for name, value in expected.items():
        torch.testing.assert_close(found[name].double(), value, rtol=1e-5, atol=1e-5)
    counts = [value for name, value in found.items() if "tracked" in name]
    assert counts and all(int(count) == 25 for count in counts)


def test_what_never_changes_does_not_drift() -> None:
    class_weights = torch.rand(313) + 0.1
    model = SimplifiedModel(width=0.02, class_weights=class_weights)
    average = o.make_average(model, 0.998)
    for _ in range(50):
        average.update_parameters(model)
    tiny.assert_same_bits(average.module.state_dict(), model.state_dict())
