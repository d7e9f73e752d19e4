"""One training loop for every model, resumable to the same bits.

Everything random is a function of the seed and the step (order, crops, flips), or of a generator
whose state is saved (dropout). So a run that was killed goes on as if nothing had happened.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from accelerate import Accelerator, DataLoaderConfiguration
from accelerate.state import AcceleratorState
from torch import Tensor, nn
from torch.utils.data import Subset
from tqdm.auto import tqdm

from colorize import paths
from colorize.checks import require_choice, require_positive
from colorize.color.lab import rgb_to_L
from colorize.data.dataset import ImageDataset
from colorize.data.transforms import age_lightness, paint_grey
from colorize.errors import InputError, TrainingError
from colorize.evaluation.evaluate import class_metrics, evaluate
from colorize.evaluation.examples import spread_indices
from colorize.models import Colorizer, ModelOutput
from colorize.models.checkpoint import SUFFIX, save_checkpoint
from colorize.training.config import FitOptions, Recipe
from colorize.training.optim import (
    build_optimizer,
    make_average,
    set_learning_rate,
    set_train_mode,
)
from colorize.training.sampler import (
    StepSampler,
    count_steps,
    interruptible,
    make_loader,
    step_generator,
)
from colorize.training.state import Progress, RunState, run_identity, state_path
from colorize.training.tensorboard import log_validation

# Of validation, those that are measured of a model.
CURVE_METRICS = ("rmse_ab", "psnr", "colorfulness", "colorfulness_truth")
_PART_METRICS = ("color_loss", "class_loss", "top1", "top5")
# The same ones each time, evenly spread over the validation set.
VALIDATION_IMAGES = 512


@dataclass
class FitResult:
    """What a run left behind; of several processes only the main one has the curve."""

    curve: list[dict[str, float]]
    steps: int
    best: Path
    last: Path
    main_process: bool


def fit(
    model: Colorizer,
    train_set: ImageDataset,
    val_set: ImageDataset,
    recipe: Recipe | None = None,
    *,
    name: str,
    folder: Path | None = None,
    resume: bool = False,
    seed: int = 0,
    options: FitOptions | None = None,
    metadata: Mapping[str, Any] | None = None,
    keep_state: bool = False,
) -> FitResult:
    """Train a model; keep the best on validation as ``<name>.safetensors``, and the last.

    The files are written to ``folder`` (CHECKPOINTS when None). While the run is unfinished its
    state lies beside them as ``<name>.state.pt``; Ctrl-C saves it at the end of the step.

    Args:
        model: trained in place from the weights it has (``colorize.training.optim.initialise`` sets
            those of ``recipe.init``); holds the last weights (or their average) afterwards.
        resume: continue the unfinished run of that name; when there is none, start it.
        metadata: more entries for the checkpoints, anything JSON can hold.
        keep_state: leave the state of the finished run for the caller to delete, who has more to
            do before the run counts as done; resuming it then only gives its result again.

    Raises:
        TrainingError: when the loss is not finite (it names the images); when an unfinished run is
            there and ``resume`` is off; when it was another run than this.
        DataError: when the training set does not fill one batch.
        KeyboardInterrupt: after the state was saved.
    """
    recipe, options, folder = (
        recipe or Recipe(),
        options or FitOptions(),
        folder or paths.checkpoints(),
    )
    best, last = folder / f"{name}{SUFFIX}", folder / f"{name}-last{SUFFIX}"
    state_file = state_path(folder, name)
    steps = count_steps(len(train_set), recipe)
    accelerator = _make_accelerator(recipe, options)

    # --- the model and what trains it, as new or as the saved state says
    unfinished = state_file.is_file()
    if unfinished and not resume:
        raise TrainingError(
            f"An unfinished run of {name!r} is there: resume it (--resume, resume=True), "
            f"or delete {state_file} to start again"
        )
    torch.manual_seed(seed)
    model.to(memory_format=torch.channels_last).to(accelerator.device)
    average = make_average(model, recipe.ema) if recipe.ema else None
    trained = model if average is None else cast(Colorizer, average.module)
    # Accelerate replaces the forward of what it is given; the model inside keeps its own.
    net, optimizer = accelerator.prepare(nn.Sequential(model), build_optimizer(model, recipe))
    identity = run_identity(model, recipe, seed, train_set.names)
    state = RunState(identity, model, average, optimizer, accelerator.scaler)
    if unfinished:
        state.load(state_file)
    run = state.progress
    if options.log_dir:
        accelerator.init_trackers(name)

    def save_weights(path: Path) -> None:
        save_checkpoint(
            trained,
            path,
            half=options.half,
            step=run.step,
            steps=steps,
            validation=run.curve[-1],
            recipe=dataclasses.asdict(recipe),
            **dict(metadata or {}),
        )

    # --- the loop
    sampler = StepSampler(
        len(train_set), recipe.batch_size, seed, run.step, steps, options.accumulate
    )
    loader = accelerator.prepare(
        make_loader(train_set, sampler, options.workers, accelerator.device)
    )
    validate_every = max(10, steps // 20)
    set_train_mode(model, recipe)
    with (
        _make_bar(name, run, steps, accelerator) as bar,
        interruptible(accelerator.num_processes) as interrupted,
    ):
        mark = time.perf_counter()
        for batch in loader:
            set_learning_rate(optimizer, recipe, run.step, steps)
            part = len(run.losses) % options.accumulate
            key = (seed, run.step, part, accelerator.process_index)
            _augment(batch, recipe, step_generator(key, accelerator.device))
            with accelerator.accumulate(net):
                x, ab = model.inputs(batch)
                output = net(x)
                losses = model.losses(output, ab, batch)
                values = _read_values(losses, output, batch)
                if not math.isfinite(values["loss"]):
                    raise TrainingError(_describe_failure(values, batch, train_set, recipe, run))
                accelerator.backward(losses["loss"])
                if recipe.clip and accelerator.sync_gradients:
                    accelerator.clip_grad_norm_(net.parameters(), recipe.clip)
                optimizer.step()
                optimizer.zero_grad()
            run.losses.append(values)
            if not accelerator.sync_gradients:
                continue  # a part of a batch whose other parts follow

            run.step += 1
            if average is not None:
                average.update_parameters(model)
            run.seconds += time.perf_counter() - mark
            _show(bar, run, recipe)

            if run.step % validate_every == 0 or run.step == steps:
                train_means = _mean_losses(run, accelerator)
                if accelerator.is_main_process:
                    point = _validate(trained, val_set, recipe, run, train_means)
                    run.curve.append(point)
                    if options.log_dir:
                        datasets = {"training": train_set, "validation": val_set}
                        log_validation(accelerator, point, trained, datasets, seed)
                    if point["val_loss"] < run.best:
                        run.best = point["val_loss"]
                        save_weights(best)
                set_train_mode(model, recipe)

            stop = interrupted.is_set()
            due = stop or run.step % options.save_every == 0 or run.step == steps
            if due and accelerator.is_main_process:
                state.save(state_file)
            if stop:
                raise KeyboardInterrupt(
                    f"Stopped after step {run.step} of {steps}. The state is saved in "
                    f"{state_file}; resume continues from there."
                )
            mark = time.perf_counter()

    # --- the averaged weights stay in the model, and lie beside the best
    if average is not None:
        model.load_state_dict(trained.state_dict())
    model.eval()
    if accelerator.is_main_process:
        save_weights(last)
    if options.log_dir:
        accelerator.end_training()
    accelerator.wait_for_everyone()
    if accelerator.is_main_process and not keep_state:
        state_file.unlink(missing_ok=True)
    return FitResult(run.curve, steps, best, last, accelerator.is_main_process)


def _make_accelerator(recipe: Recipe, options: FitOptions) -> Accelerator:
    if options.accumulate < 1 or recipe.batch_size % options.accumulate:
        raise InputError(
            f"accumulate: expected a divisor of the batch of {recipe.batch_size}, "
            f"got {options.accumulate}"
        )
    require_positive(options.save_every, "save_every")
    require_choice(options.mixed_precision, "mixed_precision", ("no", "fp16", "bf16"))
    # A notebook may train at one precision and then at another; Accelerate keeps the first.
    AcceleratorState._reset_state()
    return Accelerator(
        mixed_precision=options.mixed_precision,
        gradient_accumulation_steps=options.accumulate,
        cpu=options.cpu,
        dynamo_backend="inductor" if options.compile else None,
        dataloader_config=DataLoaderConfiguration(split_batches=True),
        log_with="tensorboard" if options.log_dir else None,
        project_dir=options.log_dir,
    )


def _make_bar(name: str, run: Progress, steps: int, accelerator: Accelerator) -> tqdm:
    hidden = not accelerator.is_main_process
    return tqdm(
        total=steps, initial=run.step, desc=name, unit="step", mininterval=1.0, disable=hidden
    )


def _augment(batch: dict[str, Tensor], recipe: Recipe, generator: torch.Generator) -> None:
    if recipe.neutral:
        batch["rgb"] = paint_grey(batch["rgb"], generator, recipe.neutral)
    if recipe.aging:
        L = rgb_to_L(batch["rgb"])
        batch["L"] = age_lightness(L, generator, share=float(recipe.aging))


def _read_values(
    losses: Mapping[str, Tensor], output: ModelOutput, batch: Mapping[str, Tensor]
) -> dict[str, float]:
    """Losses and shares of right labels as numbers, by one copy from the device."""
    tensors = dict(losses)
    if output.classes is not None:
        metrics = class_metrics(output.classes.detach(), batch["label"])
        tensors |= {name: metrics[name].mean() for name in ("top1", "top5")}
    numbers = torch.stack([value.detach().float() for value in tensors.values()]).tolist()
    return dict(zip(tensors, numbers, strict=True))


def _describe_failure(
    values: Mapping[str, float],
    batch: Mapping[str, Tensor],
    train_set: ImageDataset,
    recipe: Recipe,
    run: Progress,
) -> str:
    names = ", ".join(train_set.names[int(i)] for i in batch["index"])
    return (
        f"The loss of step {run.step + 1} is {values['loss']}; the last saved state is kept. Start "
        f"again with a learning rate below {recipe.lr}, or look at the images of this batch: "
        f"{names}"
    )


def _show(bar: tqdm, run: Progress, recipe: Recipe) -> None:
    if run.step % 10 == 0 and not bar.disable:
        recent = [values["loss"] for values in run.losses[-50:]]
        rate = (bar.format_dict["rate"] or 0.0) * recipe.batch_size
        text = {"loss": f"{sum(recent) / len(recent):.3f}", "images/s": f"{rate:.1f}"}
        bar.set_postfix(text, refresh=False)
    bar.update()


def _mean_losses(run: Progress, accelerator: Accelerator) -> dict[str, float]:
    """Average what was noted since the last validation, over all processes, and forget it."""
    names = list(run.losses[0])
    sums = [sum(values[name] for values in run.losses) for name in names]
    means = torch.tensor(sums, device=accelerator.device) / len(run.losses)
    reduced = cast(Tensor, accelerator.reduce(means, reduction="mean"))
    run.losses = []
    return dict(zip(names, reduced.tolist(), strict=True))


def _validate(
    model: Colorizer,
    val_set: ImageDataset,
    recipe: Recipe,
    run: Progress,
    train_means: Mapping[str, float],
) -> dict[str, float]:
    """Measure a point of the learning curve."""
    images = Subset(val_set, spread_indices(len(val_set), VALIDATION_IMAGES))
    metrics = evaluate(model, images, batch_size=recipe.batch_size, with_loss=True)
    if not math.isfinite(val_loss := metrics["loss"]["mean"]):
        raise TrainingError(
            f"The validation loss after step {run.step} is {val_loss}; the last saved state is "
            f"kept. Start again with a learning rate below {recipe.lr}"
        )
    return {
        "step": run.step,
        "images": run.step * recipe.batch_size,
        "seconds": round(run.seconds, 2),
        "train_loss": train_means["loss"],
        "val_loss": val_loss,
        **{f"train_{name}": value for name, value in train_means.items() if name != "loss"},
        **{n: metrics[n]["mean"] for n in (*CURVE_METRICS, *_PART_METRICS) if n in metrics},
    }
