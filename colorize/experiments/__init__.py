"""The experiments as data: every one differs from its parent by the thing it studies.

Nothing here imports torch. ``colorize.runner`` turns an experiment into data sets, a model and a
training run.
"""

from __future__ import annotations

from colorize.errors import InputError
from colorize.experiments.experiment import Experiment
from colorize.experiments.photo import PHOTO
from colorize.experiments.settings import (
    FAST,
    MORE_VEHICLES,
    PAPER,
    RECIPES,
    SCALES,
    SETTINGS,
    TINY_DOGS,
    TINY_VEHICLES,
    VEHICLES,
)
from colorize.experiments.spec import DataSpec, Recipe, Setting
from colorize.experiments.study_a import REPEATED, STUDY_A, STUDY_A_VARIANTS
from colorize.experiments.study_b import ALPHA, JOINT, SEEDS, STUDY_B, SUBJECTS

EXPERIMENTS: dict[str, Experiment] = {**STUDY_A, **STUDY_A_VARIANTS, **STUDY_B, **JOINT, **PHOTO}


def get_experiment(name: str, scale: str = "paper") -> Experiment:
    """The experiment of that name at that scale.

    Raises:
        InputError: when there is no such experiment or scale.
    """
    if name not in EXPERIMENTS:
        raise InputError(f"experiment: expected one of {', '.join(EXPERIMENTS)}; got {name!r}")
    return EXPERIMENTS[name].scaled(scale)


__all__ = [
    "ALPHA",
    "DataSpec",
    "EXPERIMENTS",
    "Experiment",
    "FAST",
    "JOINT",
    "MORE_VEHICLES",
    "PAPER",
    "PHOTO",
    "RECIPES",
    "REPEATED",
    "Recipe",
    "SCALES",
    "SEEDS",
    "SETTINGS",
    "STUDY_A",
    "STUDY_A_VARIANTS",
    "STUDY_B",
    "SUBJECTS",
    "Setting",
    "TINY_DOGS",
    "TINY_VEHICLES",
    "VEHICLES",
    "get_experiment",
]
