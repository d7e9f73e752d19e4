"""All experiments by name."""

from __future__ import annotations

from colorize.errors import InputError
from colorize.experiments.experiment import Experiment, ResolvedExperiment, resolve
from colorize.experiments.photo_losses import PHOTO_LOSSES
from colorize.experiments.photo_model import PHOTO
from colorize.experiments.study_a import STUDY_A_ALL
from colorize.experiments.study_b import JOINT, STUDY_B, STUDY_B_FOLDS, STUDY_B_WOOF

EXPERIMENTS: dict[str, Experiment] = {
    **STUDY_A_ALL,
    **STUDY_B,
    **STUDY_B_FOLDS,
    **STUDY_B_WOOF,
    **JOINT,
    **PHOTO,
    **PHOTO_LOSSES,
}


def get_experiment(name: str, scale: str = "paper", seed: int = 0) -> ResolvedExperiment:
    """The experiment of that name at a scale, ready for ``run_experiment``."""
    if name not in EXPERIMENTS:
        raise InputError(f"experiment: expected one of {', '.join(EXPERIMENTS)}; got {name!r}")
    return resolve(EXPERIMENTS[name], scale, seed)
