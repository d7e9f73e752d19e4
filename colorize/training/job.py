"""What a run is asked for, checked as a whole, and what is to be said of it."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from accelerate import Accelerator, DataLoaderConfiguration
from accelerate.state import AcceleratorState
from torch import Tensor, nn
from tqdm.auto import tqdm

from colorize.data.dataset import ImageDataset
from colorize.errors import InputError
from colorize.models import Colorizer
from colorize.training.checks import (
    check_first_step,
    check_images,
    check_metadata,
    check_model,
    check_options,
    check_recipe,
    check_seed,
)
from colorize.training.claim import RunFiles
from colorize.training.config import FitOptions, Recipe
from colorize.training.curve import BestBy, choose_best_by, rebalanced
from colorize.training.device_images import DeviceImages, DeviceLoader
from colorize.training.images import Images, KeyedImages
from colorize.training.optim import set_train_mode
from colorize.training.sampler import StepSampler, count_steps, make_loader
from colorize.training.state import Progress


@dataclass(frozen=True)
class Job:
    """What a run is asked for, checked."""

    files: RunFiles
    train_set: ImageDataset | KeyedImages
    val_set: ImageDataset | KeyedImages
    recipe: Recipe
    options: FitOptions
    steps: int
    seed: int
    metadata: dict[str, Any]
    best_by: BestBy
    accelerator: Accelerator


@dataclass
class FitResult:
    """What a run left behind; of several processes only the main one has the curve.

    ``best_by`` tells the best: validation's "loss", or "color" (``auc_cells`` of the curve).
    """

    curve: list[dict[str, float]]
    steps: int
    best: Path
    last: Path
    main_process: bool
    best_by: str = "loss"


def prepare(
    model: Colorizer,
    train_set: Images,
    val_set: Images,
    recipe: Recipe,
    options: FitOptions,
    *,
    files: RunFiles,
    seed: int,
    metadata: Mapping[str, Any] | None,
    best_by: str,
) -> Job:
    """Check all that a run is asked for, and move the model to where it is trained."""
    recipe = check_recipe(recipe)
    options = check_options(options, recipe)
    check_model(model)
    train, val, recipe = check_images(train_set, val_set, recipe, model)
    job = Job(
        files,
        train,
        val,
        recipe,
        options,
        steps=count_steps(len(train), recipe),
        seed=check_seed(seed),
        metadata=check_metadata(metadata),
        best_by=choose_best_by(best_by, model),
        accelerator=_make_accelerator(options),
    )
    model.to(memory_format=torch.channels_last).to(job.accelerator.device)
    check_first_step(model, train, val)
    return job


def _make_accelerator(options: FitOptions) -> Accelerator:
    # A notebook may train at one precision and then at another; Accelerate keeps the first.
    AcceleratorState._reset_state()
    try:
        return Accelerator(
            mixed_precision=options.mixed_precision,
            gradient_accumulation_steps=options.accumulate,
            cpu=options.cpu,
            dynamo_backend="inductor" if options.compile else None,
            dataloader_config=DataLoaderConfiguration(split_batches=True),
            log_with="tensorboard" if options.log_dir else None,
            project_dir=options.log_dir,
        )
    except ValueError as error:
        raise InputError(f"mixed_precision: not possible on this device: {error}") from error


def batch_norm_parts(model: nn.Module, job: Job) -> int:
    """In how many parts batch norm sees a batch: 1 where it takes no statistics."""
    parts = job.options.accumulate * job.accelerator.num_processes
    set_train_mode(model, job.recipe)
    if not any(
        m.training for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)
    ):
        return 1
    if parts > 1:
        warnings.warn(
            f"Batch norm takes its statistics from {job.recipe.batch_size // parts} images at a "
            f"time, not from the batch of {job.recipe.batch_size}: this is not the same training "
            "(Recipe.freeze_batchnorm keeps the statistics that the model has)",
            stacklevel=4,
        )
    return parts


def load_steps(job: Job, sampler: StepSampler) -> Iterable[dict[str, Tensor]]:
    """Load the batches of a sampler onto the training device."""
    accelerator = job.accelerator
    if job.options.data_on_device:
        images = DeviceImages(job.train_set, accelerator.device)
        return DeviceLoader(images, sampler, accelerator.process_index, accelerator.num_processes)
    loader = make_loader(job.train_set, sampler, job.options.workers, accelerator.device)
    return cast(Iterable[dict[str, Tensor]], accelerator.prepare(loader))


def describe_best(model: Colorizer, job: Job) -> str:
    """Say how colors are weighed, and what tells the best weights."""
    weighing = (
        "the loss gives rare colors a larger weight (class weights)"
        if rebalanced(model)
        else "the loss weighs all colors alike"
    )
    measure = "the color accuracy" if job.best_by == "color" else "the loss"
    return f"{weighing}, and {measure} of validation chooses the best"


def describe_failure(
    values: Mapping[str, float], batch: Mapping[str, Tensor], job: Job, run: Progress
) -> str:
    """Name the images of a batch whose loss is no number."""
    names = ", ".join(job.train_set.names[int(i)] for i in batch["index"])
    return (
        f"The loss of step {run.step + 1} is {values['loss']}; the last saved state is kept. Start "
        f"again with a learning rate below {job.recipe.lr}, or look at the images of this batch: "
        f"{names}"
    )


def say(job: Job, text: str) -> None:
    """Print a line about the run, of several processes once."""
    if job.accelerator.is_main_process:
        tqdm.write(f"{job.files.name}: {text}", file=sys.stderr)
