"""The state of a run: what changes from step to step, its file, and which run it belongs to."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch.optim.swa_utils import AveragedModel

from colorize import storage
from colorize.errors import TrainingError
from colorize.models import Colorizer
from colorize.training.config import Recipe


@dataclass
class Progress:
    """The numbers of a run.

    Attributes:
        step: steps that are done.
        seconds: time in which it learned, without validation.
        best: least score of a validation.
        curve: one point for each validation.
        losses: of each micro-batch since the last validation.
    """

    step: int = 0
    seconds: float = 0.0
    best: float = math.inf
    curve: list[dict[str, float]] = field(default_factory=list)
    losses: list[dict[str, float]] = field(default_factory=list)


@dataclass
class RunState:
    """Everything that makes a run go on to the same bits.

    Attributes:
        identity: of ``run_identity``.
        average: the moving average of the model; None for none.
        optimizer: as Accelerate prepared it.
        scaler: of the gradients in half precision; None for none.
        overwrite: whether the run may replace weights that another one made.
    """

    identity: str
    model: Colorizer
    average: AveragedModel | None
    optimizer: Any
    scaler: Any
    overwrite: bool = False
    progress: Progress = field(default_factory=Progress)

    def save(self, path: Path) -> None:
        """Write the state; a whole file or none."""
        state = {
            "identity": self.identity,
            "overwrite": self.overwrite,
            "model": self.model.state_dict(),
            "average": self.average.state_dict() if self.average else None,
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict() if self.scaler else None,
            "cpu_rng": torch.get_rng_state(),
            "cuda_rng": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
            "progress": dataclasses.asdict(self.progress),
        }
        with storage.atomic_write(path) as temporary:
            try:
                torch.save(state, temporary)
            except RuntimeError as error:
                # That of a full disk tells of positions in the file.
                raise TrainingError(
                    f"{path} cannot be written; is there room on its disk? The state that was "
                    f"saved before is kept ({str(error).splitlines()[0]})"
                ) from error

    def load(self, path: Path) -> None:
        """Go back to a saved state; that of another run is refused."""
        try:
            state = torch.load(path, map_location="cpu", weights_only=True)
        except (RuntimeError, EOFError, OSError, UnpicklingError) as error:
            # What torch says advises to load it without weights_only, which would run its code.
            raise TrainingError(
                f"{path} cannot be read ({type(error).__name__}); delete it to start the run again"
            ) from error
        if not isinstance(state, dict) or state.get("identity") != self.identity:
            raise TrainingError(
                f"{path} belongs to another run: model, recipe, seed or images differ. "
                "Go back to what they were, or delete the file to start again"
            )
        self.overwrite |= state["overwrite"]
        self.model.load_state_dict(state["model"])
        if self.average is not None:
            self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.scaler and state["scaler"]:
            self.scaler.load_state_dict(state["scaler"])
        self.progress = Progress(**state["progress"])
        torch.set_rng_state(state["cpu_rng"])
        if torch.cuda.is_available() and state["cuda_rng"]:
            torch.cuda.set_rng_state_all(state["cuda_rng"])


def run_identity(
    model: Colorizer,
    recipe: Recipe,
    seed: int,
    images: Sequence[Mapping[str, Any]],
    best_by: str,
    parts: int,
) -> str:
    """Digest of all that decides what a run learns, but for the weights that it starts from.

    Args:
        images: of ``images_identity``, those for training and for validation.
        parts: in which batch norm sees a batch.
    """
    # What no training changes, the class weights above all, is not in the config.
    constants = [
        [name, hashlib.sha256(value.double().cpu().numpy().tobytes()).hexdigest()]
        for name, value in model.named_buffers()
        if name.startswith("output.")
    ]
    frozen = [name for name, parameter in model.named_parameters() if not parameter.requires_grad]
    described = {
        "recipe": dataclasses.asdict(recipe),
        "model": [type(model).__name__, model.config, constants, frozen],
        "seed": seed,
        "images": list(images),
        "best_by": best_by,
        "parts": parts,
    }
    return hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()
