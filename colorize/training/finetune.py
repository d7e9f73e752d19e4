"""Train a model further on photos of one's own, and measure it beside the model it came from."""

from __future__ import annotations

import copy
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn
from tqdm.auto import tqdm

from colorize.checks import checks_flags, require_path, require_whole
from colorize.color.prior import class_weights, count_bins, smooth_prior
from colorize.data.dataset import ColorizationDataset
from colorize.data.joined import Roots
from colorize.data.splits import SPLITS, Split, SplitBy
from colorize.errors import DataError, InputError, TrainingError
from colorize.evaluation.baselines import GreyBaseline
from colorize.evaluation.dataset_metrics import CellAccuracy
from colorize.evaluation.evaluate import evaluate
from colorize.evaluation.results import describe_images, machine, save_results
from colorize.models import BinHead, Colorizer, unwrap
from colorize.models.checkpoint import load_checkpoint
from colorize.models.hub import load_model
from colorize.training.checks import check_name, check_recipe
from colorize.training.claim import RunFiles
from colorize.training.config import FitOptions, Recipe
from colorize.training.curve import rebalanced
from colorize.training.fit import FitResult, fit

SHOWN = ("rmse_ab", "psnr", "ssim", "auc", "auc_cells", "colorfulness")
"""Measures of the held-out photos: the first is better when it is less, the last when it is near
that of the truth."""

_LAMBDA = 0.6
_FEWEST = 10
_EXPECTED = f"at least {_FEWEST} color photos, and three in one of the sub-folders if there are any"


@dataclass
class Finetuned:
    """A fine-tuned model beside its parent.

    Attributes:
        fitted: of ``fit``; ``fitted.best`` is the checkpoint.
        results: JSON beside it: photos, recipe, and the measures below.
        measures: of the held-out photos: "parent", "finetuned", "grey" and "truth", each a number
            by name of ``SHOWN``.
        photos: how many for training, validation and test.
    """

    fitted: FitResult
    results: Path
    measures: dict[str, dict[str, float]]
    photos: dict[str, int]

    @property
    def better(self) -> bool:
        """Whether the colors of the held-out photos are more often right than the parent's."""
        return self.measures["finetuned"]["auc_cells"] > self.measures["parent"]["auc_cells"]


@checks_flags
def finetune(
    parent: str | Path | nn.Module,
    data: Roots,
    *,
    name: str | None = None,
    folder: str | os.PathLike[str] | None = None,
    recipe: Recipe | None = None,
    size: int | None = None,
    split_by: SplitBy = "content",
    keep_class_weights: bool = False,
    resume: bool = False,
    overwrite: bool = False,
    seed: int = 0,
    options: FitOptions | None = None,
) -> Finetuned:
    """Train a model further on color photos, and measure both on those that were held out.

    The weights that color the validation photos best are kept as ``<name>.safetensors``, with
    ``<name>.json`` beside them: the numbers of the model and of its parent on the same test photos.

    Args:
        parent: name or path of a trained model, or the model itself, which stays as it is.
        data: a folder or .zip of color photos, or several; a tenth is held out for validation and
            a tenth for the test.
        name: of the files; None for ``<parent>-finetuned``, with the class of a model itself.
        folder: None for the working folder.
        recipe: None for ``finetune_recipe``.
        size: side of the crops in pixels; None for that at which the parent was trained.
        split_by: as of ``ColorizationDataset``.
        keep_class_weights: weigh rare colors as the parent's own photos asked for; otherwise by
            those of the new training photos.
        resume, overwrite, seed, options: as of ``fit``.
    """
    if isinstance(parent, nn.Module):
        model = copy.deepcopy(unwrap(parent))
        parent = type(model).__name__
    else:
        model = load_model(parent)
    if not model.colors:
        raise InputError(f"{parent}: expected a model that colors, got a {type(model).__name__}")
    recipe = finetune_recipe(model) if recipe is None else check_recipe(recipe)
    size = model.input_size if size is None else require_whole(size, "size", 1)
    photos = {split: _photos(data, size, split, split_by) for split in SPLITS}
    counts: dict[str, int] = {split: len(part) for split, part in photos.items()}
    if sum(counts.values()) < _FEWEST:
        raise DataError(f"{data}: expected {_EXPECTED}; got {sum(counts.values())}")
    for part in photos.values():
        tqdm.write(part.summary(), file=sys.stderr)
    before = copy.deepcopy(model)
    if rebalanced(model) and not keep_class_weights:
        _weigh_colors(model, photos["train"])
    name = check_name(f"{Path(parent).stem}-finetuned" if name is None else name)
    files = RunFiles(require_path("." if folder is None else folder, "folder"), name)
    results = files.best.with_name(f"{name}.json")
    # fit looks after the weights.
    if results.exists() and not (overwrite or files.best.exists()):
        raise TrainingError(
            f"{results} is there already, and no run of this name made it: choose another name or "
            "folder, or replace it (--again, overwrite=True)"
        )
    # Few photos are one batch.
    recipe = replace(recipe, batch_size=min(recipe.batch_size, len(photos["train"])))
    fitted = fit(
        model,
        photos["train"],
        photos["val"],
        recipe,
        name=name,
        folder=folder,
        resume=resume,
        overwrite=overwrite,
        seed=seed,
        options=options,
        metadata={"parent": str(parent)},
        best_by="color",
        keep_state=True,
    )
    done = Finetuned(fitted, results, {}, counts)
    if fitted.main_process:
        tqdm.write("Testing the original and the fine-tuned model", sys.stderr)
        done.measures = _measure(before, load_checkpoint(fitted.best), photos["test"])
        _save(done, photos, parent=str(parent), own_weights=not keep_class_weights)
        files.state.unlink(missing_ok=True)
    return done


def finetune_recipe(model: Colorizer) -> Recipe:
    """The recipe of ``finetune``: a low rate, less of it for a pretrained encoder, and batch norm
    as it is, since the statistics of few photos are poor."""
    encoder = any(key.startswith("encoder.") for key, _ in model.named_parameters())
    return Recipe(
        lr=3e-4,
        lr_scale={"encoder": 0.15} if encoder else {},
        warmup=0.1,
        epochs=10,
        batch_size=16,
        ema=0.99,
        freeze_batchnorm=True,
    )


def _photos(data: Roots, size: int, split: Split, split_by: SplitBy) -> ColorizationDataset:
    train = split == "train"
    try:
        return ColorizationDataset(
            data,
            size,
            train,
            split=split,
            split_by=split_by,
            resize=size * 3 // 2 if train else size,
            zoom=(0.6, 1.0) if train else None,
        )
    except DataError as error:
        raise DataError(f"{error}; expected {_EXPECTED}") from error


def _weigh_colors(model: Colorizer, photos: ColorizationDataset) -> None:
    head = model.output
    assert isinstance(head, BinHead)
    tqdm.write(f"Counting the colors of {len(photos)} photos for the class weights", sys.stderr)
    images = (torch.from_numpy(photos.image(i)).movedim(-1, 0)[None] for i in range(len(photos)))
    counts = count_bins(images, head.bin_centers).counts.double()
    prior = smooth_prior(counts / counts.sum(), head.bin_centers)
    head.class_weights.copy_(class_weights(prior, _LAMBDA))


def _measure(
    parent: Colorizer, finetuned: Colorizer, photos: ColorizationDataset
) -> dict[str, dict[str, float]]:
    measures: dict[str, dict[str, float]] = {}
    colorfulness = 0.0
    models = {"parent": parent, "finetuned": finetuned, "grey": GreyBaseline()}
    for name, model in models.items():
        cells = CellAccuracy.of_set(len(photos) * photos.size**2)
        measured = evaluate(model, photos, metrics=[cells])
        colorfulness = measured["colorfulness_truth"]["mean"]
        measures[name] = {
            key: measured[key].get("mean", measured[key].get("value")) for key in SHOWN
        }
    return {**measures, "truth": {"colorfulness": colorfulness}}


def _save(
    done: Finetuned, photos: Mapping[Split, ColorizationDataset], *, parent: str, own_weights: bool
) -> None:
    info: dict[str, Any] = {
        "parent": parent,
        "data": {split: describe_images(part) for split, part in photos.items()},
        "class_weights": "of the new photos" if own_weights else "of the parent",
        "test": done.measures,
        "steps": done.fitted.steps,
        "seconds": done.fitted.curve[-1]["seconds"],
        "curve": done.fitted.curve,
        "machine": machine(),
    }
    save_results(info, done.results)
