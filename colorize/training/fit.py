"""One training loop for every model, resumable to the same bits.

Everything random is a function of the seed and the step (order, crops, flips), or of a generator
whose state is saved (dropout). So a run that was killed goes on as if nothing had happened.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, cast

import numpy as np
import torch
from accelerate import Accelerator, DataLoaderConfiguration
from accelerate.state import AcceleratorState
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel
from torch.utils.data import DataLoader, Subset
from tqdm.auto import tqdm

from colorize import paths, storage
from colorize.checks import require_choice, require_positive
from colorize.color.lab import rgb_to_L
from colorize.data.aging import age_lightness
from colorize.data.items import ImageDataset
from colorize.errors import InputError, TrainingError
from colorize.evaluation.evaluate import class_metrics, compare_images, evaluate, spread_indices
from colorize.models import Colorizer
from colorize.models.checkpoint import SUFFIX, save_checkpoint
from colorize.training.config import FitOptions, Recipe
from colorize.training.optim import build_optimizer, make_average, set_learning_rate
from colorize.training.sampler import StepSampler, count_steps, interruptible

_PLAIN_STATE = ("step", "seconds", "best", "curve", "losses")
CURVE_METRICS = ("rmse_ab", "psnr", "colorfulness", "colorfulness_truth")
_LABEL_METRICS = ("color_loss", "class_loss", "top1", "top5")
_PANELS = 4


@dataclass
class FitResult:
    """What a run left behind; of several processes only the main one has the curve."""

    curve: list[dict[str, float]]
    steps: int
    best: Path
    last: Path
    main_process: bool


def state_path(folder: Path, name: str) -> Path:
    """Where an unfinished run keeps its state."""
    return folder / f"{name}.state.pt"


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
        model: trained in place from the weights it has (``training.optim.initialise`` sets those of
            ``recipe.init``); holds the last weights (or their average) afterwards.
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
    run = _Run(
        model,
        (train_set, val_set),
        recipe or Recipe(),
        options or FitOptions(),
        (name, folder or paths.checkpoints()),
        seed,
        dict(metadata or {}),
    )
    run.begin(resume)
    run.loop()
    result = run.finish()
    if result.main_process and not keep_state:
        run.state_path.unlink(missing_ok=True)
    return result


class _Loss(nn.Module):
    """Data parallel and autocast work on ``forward``, so the loss has to be one."""

    def __init__(self, model: Colorizer) -> None:
        super().__init__()
        self.model = model

    def forward(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        losses, raw = self.model.loss_and_output(batch)
        logits = self.model.class_logits(raw)
        if logits is not None:
            found = class_metrics(logits.detach(), batch["label"])
            losses |= {name: found[name].mean() for name in ("top1", "top5")}
        return losses


class _Run:
    """One run of ``fit``: what changes from step to step, and what is saved of it."""

    def __init__(
        self,
        model: Colorizer,
        data: tuple[ImageDataset, ImageDataset],
        recipe: Recipe,
        options: FitOptions,
        place: tuple[str, Path],
        seed: int,
        metadata: dict[str, Any],
    ) -> None:
        if options.accumulate < 1 or recipe.batch_size % options.accumulate:
            raise InputError(
                f"accumulate: expected a divisor of the batch of {recipe.batch_size}, "
                f"got {options.accumulate}"
            )
        self.model, self.recipe, self.options, self.seed = model, recipe, options, seed
        self.train_set, self.val_set = data
        self.name, self.folder = place
        self.metadata = metadata
        self.steps = count_steps(len(self.train_set), recipe)
        self.state_path = state_path(self.folder, self.name)
        self.step, self.seconds, self.best = 0, 0.0, math.inf
        self.curve: list[dict[str, float]] = []
        self.losses: list[dict[str, float]] = []
        self.average: AveragedModel | None = None
        for key in ("save_every", "validate_every", "validate_images"):
            value = getattr(options, key)
            if value is not None:
                require_positive(value, key)
        require_choice(options.mixed_precision, "mixed_precision", ("no", "fp16", "bf16"))
        # A notebook may train at one precision and then at another; Accelerate keeps the first.
        AcceleratorState._reset_state()
        self.accelerator = Accelerator(
            mixed_precision=options.mixed_precision,
            gradient_accumulation_steps=options.accumulate,
            cpu=options.cpu,
            dynamo_backend="inductor" if options.compile else None,
            dataloader_config=DataLoaderConfiguration(split_batches=True),
            log_with="tensorboard" if options.log_dir else None,
            project_dir=options.log_dir,
        )

    def begin(self, resume: bool) -> None:
        """Make the optimizer, either fresh or as the saved state says."""
        unfinished = self.state_path.is_file()
        if unfinished and not resume:
            raise TrainingError(
                f"An unfinished run of {self.name!r} is there: resume it (--resume, resume=True), "
                f"or delete {self.state_path} to start again"
            )
        torch.manual_seed(self.seed)
        if self.options.channels_last:
            self.model.to(memory_format=torch.channels_last)
        self.model.to(self.accelerator.device)
        if self.recipe.ema:
            self.average = make_average(self.model, self.recipe.ema)
        self.loss, self.optimizer = self.accelerator.prepare(
            _Loss(self.model), build_optimizer(self.model, self.recipe)
        )
        if self.options.log_dir:
            self.accelerator.init_trackers(self.name)
        if unfinished:
            self._load_state()

    def loop(self) -> None:
        """Train until the last step, validating and saving on the way."""
        every = self.options.validate_every or max(10, self.steps // 20)
        self._train_mode()
        with self._bar() as bar, interruptible(self.accelerator.num_processes) as interrupted:
            mark = time.perf_counter()
            for part, batch in enumerate(self._loader(), 1):
                self._learn(batch)
                if part % self.options.accumulate:
                    continue
                self.step += 1
                if self.average is not None:
                    self.average.update_parameters(self.model)
                self.seconds += time.perf_counter() - mark
                self._show(bar)
                if self.step % every == 0 or self.step == self.steps:
                    self._validate()
                stop = interrupted.is_set()
                if stop or self.step % self.options.save_every == 0 or self.step == self.steps:
                    self._save_state()
                if stop:
                    raise KeyboardInterrupt(
                        f"Stopped after step {self.step} of {self.steps}. The state is saved in "
                        f"{self.state_path}; resume continues from there."
                    )
                mark = time.perf_counter()

    def finish(self) -> FitResult:
        """Leave the averaged weights in the model, and the last ones beside the best."""
        if self.average is not None:
            self.model.load_state_dict(self.average.module.state_dict())
        self.model.eval()
        last = self.folder / f"{self.name}-last{SUFFIX}"
        if self.accelerator.is_main_process:
            self._save_checkpoint(last)
        if self.options.log_dir:
            self.accelerator.end_training()
        self.accelerator.wait_for_everyone()
        best = self.folder / f"{self.name}{SUFFIX}"
        main_process = self.accelerator.is_main_process
        return FitResult(self.curve, self.steps, best, last, main_process)

    def _learn(self, batch: dict[str, Tensor]) -> None:
        set_learning_rate(self.optimizer, self.recipe, self.step, self.steps)
        if self.recipe.aging:
            batch["L"] = age_lightness(rgb_to_L(batch["rgb"]), self._generator())
        with self.accelerator.accumulate(self.loss):
            losses = self.loss(batch)
            # One copy from the device for all of them.
            values = torch.stack([v.detach().float() for v in losses.values()]).tolist()
            found = dict(zip(losses, values, strict=True))
            if not math.isfinite(value := found["loss"]):
                names = ", ".join(self.train_set.names[int(i)] for i in batch["index"])
                raise TrainingError(
                    f"The loss of step {self.step + 1} is {value}; the last saved state is kept. "
                    f"Start again with a learning rate below {self.recipe.lr}, or look at the "
                    f"images of this batch: {names}"
                )
            self.accelerator.backward(losses["loss"])
            if self.recipe.clip and self.accelerator.sync_gradients:
                self.accelerator.clip_grad_norm_(self.loss.parameters(), self.recipe.clip)
            self.optimizer.step()
            self.optimizer.zero_grad()
        self.losses.append(found)

    def _generator(self) -> torch.Generator:
        """Of this step's randomness on this process, a function of nothing else."""
        part = len(self.losses) % self.options.accumulate
        seed = (self.seed, self.step, part, self.accelerator.process_index)
        digest = hashlib.sha256(str(seed).encode()).digest()
        generator = torch.Generator(self.accelerator.device)
        return generator.manual_seed(int.from_bytes(digest[:7], "big"))

    def _validate(self) -> None:
        sums = [sum(found[name] for found in self.losses) for name in self.losses[0]]
        means = torch.tensor(sums, device=self.accelerator.device) / len(self.losses)
        reduced = self.accelerator.reduce(means, reduction="mean")
        train = dict(zip(self.losses[0], cast(Tensor, reduced).tolist(), strict=True))
        self.losses = []
        if self.accelerator.is_main_process:
            chosen = spread_indices(len(self.val_set), self.options.validate_images)
            some = Subset(self.val_set, chosen)
            found = evaluate(
                self._trained(), some, batch_size=self.recipe.batch_size, with_loss=True
            )
            measured = [k for k in (*CURVE_METRICS, *_LABEL_METRICS) if k in found]
            point = {
                "step": self.step,
                "images": self.step * self.recipe.batch_size,
                "seconds": round(self.seconds, 2),
                "train_loss": train.pop("loss"),
                "val_loss": found["loss"]["mean"],
                **{f"train_{name}": value for name, value in train.items()},
                **{name: found[name]["mean"] for name in measured},
            }
            if not math.isfinite(point["val_loss"]):
                raise TrainingError(
                    f"The validation loss after step {self.step} is {point['val_loss']}; the last "
                    f"saved state is kept. Start again with a learning rate below {self.recipe.lr}"
                )
            self.curve.append(point)
            if self.options.log_dir:
                self._log(point)
            if point["val_loss"] < self.best:
                self.best = point["val_loss"]
                self._save_checkpoint(self.folder / f"{self.name}{SUFFIX}")
        self._train_mode()

    def _log(self, point: dict[str, float]) -> None:
        self.accelerator.log(point, step=self.step)
        model = self._trained()
        if model.output is None:
            return
        writer = self.accelerator.get_tracker("tensorboard", unwrap=True)
        for name, images in (("training", self.train_set), ("validation", self.val_set)):
            # A key with a seed: a crop must not draw from the generator that dropout uses.
            some = [(i, self.seed) for i in spread_indices(len(images), _PANELS)]
            rows = compare_images({"colored": model}, images, some)
            panel = np.concatenate([np.concatenate(row, axis=1) for row in rows.values()])
            tag = f"{name}: grey, colored, truth"
            writer.add_image(tag, panel, self.step, dataformats="HWC")

    def _trained(self) -> Colorizer:
        if self.average is None:
            return self.model
        return cast(Colorizer, self.average.module)

    def _train_mode(self) -> None:
        self.model.train()
        if self.options.freeze_batchnorm:
            for module in self.model.modules():
                if isinstance(module, nn.modules.batchnorm._BatchNorm):
                    module.eval()

    def _loader(self) -> Any:
        options, accumulate = self.options, self.options.accumulate
        workers = options.workers
        if workers is None:
            workers = 0 if self.train_set.cached else min(4, os.cpu_count() or 1)
        images, batch = len(self.train_set), self.recipe.batch_size
        sampler = StepSampler(images, batch, self.seed, self.step, self.steps, accumulate)
        loader = DataLoader(
            self.train_set,
            batch_sampler=sampler,
            num_workers=workers,
            pin_memory=self.accelerator.device.type == "cuda",
            # Without a generator of its own the loader would draw from the state that dropout uses.
            generator=torch.Generator().manual_seed(self.seed),
        )
        return self.accelerator.prepare(loader)

    def _bar(self) -> tqdm:
        return tqdm(
            total=self.steps,
            initial=self.step,
            desc=self.name,
            unit="step",
            mininterval=1.0,
            disable=not (self.options.progress and self.accelerator.is_main_process),
        )

    def _show(self, bar: tqdm) -> None:
        if self.step % 10 == 0 and not bar.disable:
            recent = self.losses[-50:]
            rate = bar.format_dict["rate"] or 0.0
            bar.set_postfix(
                {
                    "loss": f"{sum(r['loss'] for r in recent) / len(recent):.3f}",
                    "images/s": f"{rate * self.recipe.batch_size:.1f}",
                },
                refresh=False,
            )
        bar.update()

    def _save_checkpoint(self, path: Path) -> None:
        save_checkpoint(
            self._trained(),
            path,
            half=self.options.half,
            step=self.step,
            steps=self.steps,
            validation=self.curve[-1],
            recipe=dataclasses.asdict(self.recipe),
            **self.metadata,
        )

    def _identity(self) -> str:
        """What makes this run this run: a state of another one must not be continued."""
        # What no training changes, the class weights above all, is not in the config.
        constants = [
            [name, hashlib.sha256(value.double().cpu().numpy().tobytes()).hexdigest()]
            for name, value in self.model.named_buffers()
            if name.startswith("output.")
        ]
        described = {
            "recipe": dataclasses.asdict(self.recipe),
            "model": [type(self.model).__name__, self.model.config, constants],
            "seed": self.seed,
            "images": self.train_set.names,
        }
        return hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()

    def _save_state(self) -> None:
        if not self.accelerator.is_main_process:
            return
        scaler = self.accelerator.scaler
        state = {
            "identity": self._identity(),
            "model": self.model.state_dict(),
            "average": self.average.state_dict() if self.average else None,
            "optimizer": self.optimizer.state_dict(),
            "scaler": scaler.state_dict() if scaler else None,
            "cpu_rng": torch.get_rng_state(),
            "cuda_rng": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
            **{key: getattr(self, key) for key in _PLAIN_STATE},
        }
        with storage.atomic_write(self.state_path) as temporary:
            torch.save(state, temporary)

    def _load_state(self) -> None:
        try:
            state = torch.load(self.state_path, map_location="cpu", weights_only=True)
        except (RuntimeError, EOFError, OSError, UnpicklingError) as error:
            raise TrainingError(
                f"{self.state_path} cannot be read ({error}); delete it to start the run again"
            ) from error
        if state["identity"] != self._identity():
            raise TrainingError(
                f"{self.state_path} belongs to another run: model, recipe, seed or training images "
                "differ. Go back to what they were, or delete the file to start again"
            )
        self.model.load_state_dict(state["model"])
        if self.average is not None:
            self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.accelerator.scaler and state["scaler"]:
            self.accelerator.scaler.load_state_dict(state["scaler"])
        for key in _PLAIN_STATE:
            setattr(self, key, state[key])
        torch.set_rng_state(state["cpu_rng"].cpu())
        if torch.cuda.is_available() and state["cuda_rng"]:
            torch.cuda.set_rng_state_all([s.cpu() for s in state["cuda_rng"]])
