"""The learning curve: what is noted of each step, measured at each validation, and best of all."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal, cast

import torch
from accelerate import Accelerator
from torch import Tensor
from torch.utils.data import Dataset, Subset

from colorize.checks import require_choice
from colorize.errors import InputError, TrainingError
from colorize.evaluation.dataset_metrics import CellAccuracy
from colorize.evaluation.evaluate import class_metrics, evaluate
from colorize.evaluation.examples import spread_indices
from colorize.models import BinHead, Colorizer, ModelOutput
from colorize.training.config import Recipe
from colorize.training.state import Progress

# Of validation, those that are measured of a model.
CURVE_METRICS = ("rmse_ab", "psnr", "colorfulness", "colorfulness_truth")
_PART_METRICS = ("color_loss", "class_loss", "top1", "top5")
# The same ones each time, evenly spread over the validation set.
VALIDATION_IMAGES = 512

BestBy = Literal["loss", "color"]


def choose_best_by(best_by: str, model: Colorizer) -> BestBy:
    """By what the best weights are told: ``"auto"`` is color where the loss is rebalanced.

    A rebalanced loss rises while the colors improve, so it says little of them.
    """
    require_choice(best_by, "best_by", ("auto", "loss", "color"))
    if best_by == "color" and not model.colors:
        raise InputError(f"best_by: {type(model).__name__} has no color; expected loss")
    if best_by == "auto":
        return "color" if rebalanced(model) else "loss"
    return cast(BestBy, best_by)


def rebalanced(model: Colorizer) -> bool:
    """Whether rare colors weigh more in the loss of a model."""
    return isinstance(model.output, BinHead) and len(model.output.class_weights.unique()) > 1


def score(point: Mapping[str, float], best_by: BestBy) -> float:
    """What is least at the best validation."""
    return point["val_loss"] if best_by == "loss" else -point["auc_cells"]


def read_values(
    losses: Mapping[str, Tensor], output: ModelOutput, batch: Mapping[str, Tensor]
) -> dict[str, float]:
    """Losses and shares of right labels as numbers, by one copy from the device."""
    tensors = dict(losses)
    if output.classes is not None:
        metrics = class_metrics(output.classes.detach(), batch["label"])
        tensors |= {name: metrics[name].mean() for name in ("top1", "top5")}
    numbers = torch.stack([value.detach().float() for value in tensors.values()]).tolist()
    return dict(zip(tensors, numbers, strict=True))


def mean_losses(run: Progress, accelerator: Accelerator) -> dict[str, float]:
    """Average what was noted since the last validation, over all processes, and forget it."""
    names = list(run.losses[0])
    sums = [sum(values[name] for values in run.losses) for name in names]
    means = torch.tensor(sums, device=accelerator.device) / len(run.losses)
    reduced = cast(Tensor, accelerator.reduce(means, reduction="mean"))
    run.losses = []
    return dict(zip(names, reduced.tolist(), strict=True))


def validate(
    model: Colorizer,
    val_set: Dataset[dict[str, Tensor]],
    recipe: Recipe,
    run: Progress,
    train_means: Mapping[str, float],
    best_by: BestBy,
) -> dict[str, float]:
    """Measure a point of the learning curve."""
    indices = spread_indices(len(val_set), VALIDATION_IMAGES)  # type: ignore[arg-type]
    pixels = len(indices) * recipe.test_crop**2
    cells = [CellAccuracy.of_set(pixels)] if best_by == "color" else []
    metrics = evaluate(
        model,
        Subset(val_set, indices),
        batch_size=recipe.batch_size,
        with_loss=True,
        metrics=cells,
    )
    if not math.isfinite(val_loss := metrics["loss"]["mean"]):
        raise TrainingError(
            f"The validation loss after step {run.step} is {val_loss}; the last saved state is "
            f"kept. Start again with a learning rate below {recipe.lr}"
        )
    point = {
        "step": run.step,
        "images": run.step * recipe.batch_size,
        "seconds": round(run.seconds, 2),
        "train_loss": train_means["loss"],
        "val_loss": val_loss,
        **{f"train_{name}": value for name, value in train_means.items() if name != "loss"},
        **{n: metrics[n]["mean"] for n in (*CURVE_METRICS, *_PART_METRICS) if n in metrics},
    }
    if cells:
        point["auc_cells"] = metrics["auc_cells"]["value"]
    return point
