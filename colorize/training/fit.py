"""One training loop for every model, resumable to the same bits.

Everything random is a function of the seed and the step (order, crops, flips), or of a generator
whose state is saved (dropout). So a run that was killed goes on as if nothing had happened.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from colorize.checks import checks_flags, require_path
from colorize.data.generators import kept_generators
from colorize.data.transforms import age_lightness, paint_grey
from colorize.errors import TrainingError
from colorize.models import Colorizer
from colorize.models.checkpoint import load_weights, save_checkpoint
from colorize.training.checks import check_name
from colorize.training.claim import RunFiles, claimed
from colorize.training.config import FitOptions, Recipe
from colorize.training.curve import CURVE_METRICS, mean_losses, read_values, score, validate
from colorize.training.images import Images, images_identity
from colorize.training.job import (
    FitResult,
    Job,
    batch_norm_parts,
    describe_best,
    describe_failure,
    load_steps,
    prepare,
    say,
)
from colorize.training.optim import (
    build_optimizer,
    kept_gradients,
    make_average,
    set_learning_rate,
    set_train_mode,
)
from colorize.training.sampler import StepSampler, interruptible, step_generator
from colorize.training.state import Progress, RunState, run_identity
from colorize.training.tensorboard import log_validation


@checks_flags
@kept_generators(devices=True)
def fit(
    model: Colorizer,
    train_set: Images,
    val_set: Images,
    recipe: Recipe | None = None,
    *,
    name: str,
    folder: str | os.PathLike[str] | None = None,
    resume: bool = False,
    overwrite: bool = False,
    seed: int = 0,
    options: FitOptions | None = None,
    metadata: Mapping[str, Any] | None = None,
    best_by: str = "auto",
    keep_state: bool = False,
) -> FitResult:
    """Train a model; keep the best on validation as ``<name>.safetensors``, and the last.

    The files are written to ``folder`` (the working folder when None). While the run is unfinished
    its state lies beside them as ``<name>.state.pt``; Ctrl-C saves it at the end of the step.
    Weights that another run made are not replaced, unless ``overwrite`` says so. The caller's
    random generators are afterwards as they were.

    Args:
        model: trained in place from the weights it has (``colorize.training.optim.initialise`` sets
            those of a new one); holds the last weights (or their average) afterwards. Its
            ``input_size`` becomes that of the training images.
        train_set, val_set: a ``ColorizationDataset``; any other data set or list of items with
            ``rgb`` (and ``label``); or the path of a folder or .zip, or several: the same path for
            both is divided by content, as by ``split="train"`` and ``"val"``. See
            ``colorize.training.images.as_images``.
        resume: continue the unfinished run of that name; when there is none, start it; when it is
            finished, load its last weights and give its result again.
        overwrite: replace weights of that name, whoever made them.
        metadata: more entries for the checkpoints, anything JSON can hold.
        best_by: what tells the best weights: "loss" of validation, "color" (the mean accuracy of
            the colors that occur, ``CellAccuracy``), or "auto", color where the loss is rebalanced,
            since such a loss may rise while the colors improve.
        keep_state: leave the state of the finished run for the caller to delete, who has more to
            do before the run counts as done; resuming it then only gives its result again.

    Raises:
        TrainingError: when the loss is not finite (it names the images); when an unfinished run is
            there and ``resume`` is off; when it was another run than this; when weights of another
            run are there; when another process trains under that name.
        DataError: when the training set does not fill one batch.
        KeyboardInterrupt: after the state was saved.
    """
    folder = require_path("." if folder is None else folder, "folder").absolute()
    job = prepare(
        model,
        train_set,
        val_set,
        Recipe() if recipe is None else recipe,
        FitOptions() if options is None else options,
        files=RunFiles(folder, check_name(name)),
        seed=seed,
        metadata=metadata,
        best_by=best_by,
    )
    claim: Any = claimed(job.files) if job.accelerator.is_main_process else contextlib.nullcontext()
    with claim, kept_gradients(model):
        return _run(model, job, resume=resume, overwrite=overwrite, keep_state=keep_state)


def _run(
    model: Colorizer, job: Job, *, resume: bool, overwrite: bool, keep_state: bool
) -> FitResult:
    files, recipe, options, steps = job.files, job.recipe, job.options, job.steps
    accelerator, train_set, seed = job.accelerator, job.train_set, job.seed
    main = accelerator.is_main_process
    parts = batch_norm_parts(model, job)
    images = [images_identity(dataset) for dataset in (train_set, job.val_set)]
    identity = run_identity(model, recipe, seed, images, job.best_by, parts)

    model.input_size = recipe.crop

    # --- what lies there from an earlier run
    unfinished = files.state.exists()
    if unfinished and not resume:
        raise TrainingError(
            f"An unfinished run of {files.name!r} is there: resume it (--resume, resume=True), "
            f"or delete {files.state} to start again"
        )
    if not unfinished and not overwrite and (noted := files.finished(identity)):
        if not resume:
            raise TrainingError(
                f"This run is finished already: {files.best}. resume=True gives its result again; "
                "train anew under another name, or replace it (--again, overwrite=True)"
            )
        load_weights(model.eval(), files.last)
        return FitResult(noted["curve"], steps, files.best, files.last, main, job.best_by)
    say(job, f"weights go to {files.best}; {describe_best(model, job)}")

    # --- the model and what trains it, as new or as the saved state says
    torch.manual_seed(seed)
    average = make_average(model, recipe.ema) if recipe.ema else None
    trained = model if average is None else cast(Colorizer, average.module)
    # Accelerate replaces the forward of what it is given; the model inside keeps its own.
    net, optimizer = accelerator.prepare(nn.Sequential(model), build_optimizer(model, recipe))
    state = RunState(identity, model, average, optimizer, accelerator.scaler, overwrite)
    if unfinished:
        state.load(files.state)
    if not state.overwrite:
        files.require_own(identity)
    run = state.progress
    if options.log_dir:
        accelerator.init_trackers(files.name)

    def save_weights(path: Path, **more: Any) -> None:
        save_checkpoint(
            trained,
            path,
            half=options.half,
            step=run.step,
            steps=steps,
            validation=run.curve[-1],
            recipe=dataclasses.asdict(recipe),
            run=identity,
            best_by=job.best_by,
            **more,
            **job.metadata,
        )

    # --- the loop
    sampler = StepSampler(
        len(train_set), recipe.batch_size, seed, run.step, steps, options.accumulate
    )
    loader = load_steps(job, sampler)
    validate_every = max(10, steps // 20)
    set_train_mode(model, recipe)
    with (
        _make_bar(job, run) as bar,
        interruptible(accelerator.num_processes) as interrupted,
    ):
        mark = time.perf_counter()
        for batch in loader:
            set_learning_rate(optimizer, recipe, run.step, steps)
            part = len(run.losses) % options.accumulate
            key = (seed, run.step, part, accelerator.process_index)
            with accelerator.accumulate(net):
                x, ab = _augmented(model, batch, recipe, key)
                output = net(x)
                losses = model.losses(output, ab, batch)
                values = read_values(losses, output, batch)
                if not math.isfinite(values["loss"]):
                    raise TrainingError(describe_failure(values, batch, job, run))
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

            early = run.step <= options.early_steps and run.step % 10 == 0
            if early or run.step % validate_every == 0 or run.step == steps:
                train_means = mean_losses(run, accelerator)
                if main:
                    point = validate(trained, job.val_set, recipe, run, train_means, job.best_by)
                    if early:
                        raw = validate(model, job.val_set, recipe, run, train_means, job.best_by)
                        point |= {f"raw_{name}": raw[name] for name in CURVE_METRICS if name in raw}
                    run.curve.append(point)
                    if options.log_dir:
                        datasets = {"training": train_set, "validation": job.val_set}
                        log_validation(accelerator, point, trained, datasets, seed)
                    if (its_score := score(point, job.best_by)) < run.best:
                        run.best = its_score
                        save_weights(files.best)
                set_train_mode(model, recipe)

            stop = interrupted.is_set()
            due = stop or run.step % options.save_every == 0 or run.step == steps
            if due and main:
                state.save(files.state)
            if stop:
                raise KeyboardInterrupt(
                    f"Stopped after step {run.step} of {steps}; the state is saved in "
                    f"{files.state}. To continue, do the same again with --resume (resume=True)"
                )
            mark = time.perf_counter()

    # --- the averaged weights stay in the model, and lie beside the best
    if average is not None:
        model.load_state_dict(trained.state_dict())
    model.eval()
    if main:
        save_weights(files.last, curve=run.curve)
    if options.log_dir:
        accelerator.end_training()
    accelerator.wait_for_everyone()
    if main and not keep_state:
        files.state.unlink(missing_ok=True)
    return FitResult(run.curve, steps, files.best, files.last, main, job.best_by)


def _make_bar(job: Job, run: Progress) -> tqdm:
    return tqdm(
        total=job.steps,
        initial=run.step,
        desc=job.files.name,
        unit="step",
        mininterval=1.0,
        disable=not job.accelerator.is_main_process,
    )


def _augmented(
    model: Colorizer, batch: dict[str, Tensor], recipe: Recipe, key: tuple[int, ...]
) -> tuple[Tensor, Tensor]:
    """What the net is shown of a batch, and the true ab; what is drawn depends on the key."""
    if not (recipe.neutral or recipe.aging):
        return model.inputs(batch)
    generator = step_generator(key, batch["rgb"].device)
    if recipe.neutral:
        batch["rgb"] = paint_grey(batch["rgb"], generator, recipe.neutral)
    x, ab = model.inputs(batch)
    if recipe.aging:
        aged = age_lightness(x[:, :1].contiguous(), generator, share=float(recipe.aging))
        x = torch.cat((aged, x[:, 1:]), 1)
    return x, ab


def _show(bar: tqdm, run: Progress, recipe: Recipe) -> None:
    if run.step % 10 == 0 and not bar.disable:
        recent = [values["loss"] for values in run.losses[-50:]]
        rate = (bar.format_dict["rate"] or 0.0) * recipe.batch_size
        text = {"loss": f"{sum(recent) / len(recent):.3f}", "images/s": f"{rate:.1f}"}
        bar.set_postfix(text, refresh=False)
    bar.update()
