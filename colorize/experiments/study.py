"""Many experiments at once: what was trained is loaded, what is missing is trained or named."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from colorize.errors import CheckpointError, MissingPriorError
from colorize.evaluation.results import load_results
from colorize.experiments.experiment import Experiment
from colorize.experiments.run import Splits, is_trained, load_splits, run_experiment, run_folder
from colorize.experiments.study_a import REPEATED, STUDY_A, STUDY_A_VARIANTS
from colorize.experiments.study_b import SEEDS
from colorize.models import Colorizer
from colorize.models.checkpoint import SUFFIX, load_checkpoint
from colorize.training.config import FitOptions


@dataclass(frozen=True)
class Study:
    """What there is of some experiments at one scale.

    Attributes:
        experiments: all of them, scaled, by the name of the run.
        results: of those that were trained.
        missing: why the others have none.
    """

    experiments: dict[str, Experiment]
    results: dict[str, dict[str, Any]]
    missing: dict[str, str]

    def model(self, name: str) -> Colorizer:
        """The trained model of a run."""
        return load_checkpoint(run_folder(self.experiments[name]) / f"{name}{SUFFIX}")


def run_study(
    scale: str,
    root: Path | Mapping[str, Path] | None = None,
    *,
    train: bool,
    experiments: Mapping[str, Experiment] = STUDY_A,
    seeds: Sequence[int] = (0,),
    options: FitOptions | None = None,
    known: Splits | None = None,
) -> Study:
    """Load the results of experiments at a scale; with ``train``, train what has none.

    An experiment whose needs are not met (the ImageNet prior was not fetched, its starting point
    was not trained) is named in ``missing`` with the reason; any other error is raised.

    Args:
        root: as of ``run_experiment``; or by the name of the data set, where there are several.
        seeds: all experiments are run with the first one, then all with the next.
        known: the images of ``simplified``, when they are loaded already.
    """
    scaled = [e.scaled(scale) for e in experiments.values()]
    runs = [replace(e, seed=seed) for seed in seeds for e in scaled]
    return _run(runs, root, train, options, _loaded(known, scale))


def run_study_a(
    scale: str,
    root: Path | None = None,
    *,
    train: bool,
    options: FitOptions | None = None,
    known: Splits | None = None,
) -> Study:
    """All of study A, as ``run_study``: the nine experiments, then the variants, then other seeds
    of those that are repeated.
    """
    first = [e.scaled(scale) for e in (*STUDY_A.values(), *STUDY_A_VARIANTS.values())]
    again = [
        replace(STUDY_A[name].scaled(scale), seed=seed) for seed in SEEDS[1:] for name in REPEATED
    ]
    return _run([*first, *again], root, train, options, _loaded(known, scale))


def _run(
    runs: Iterable[Experiment],
    root: Path | Mapping[str, Path] | None,
    train: bool,
    options: FitOptions | None,
    loaded: dict[object, Splits],
) -> Study:
    study = Study({run.run: run for run in runs}, {}, {})
    for name, experiment in study.experiments.items():
        if is_trained(experiment):
            study.results[name] = load_results(run_folder(experiment) / f"{name}.json")
        elif not train:
            study.missing[name] = (
                f"not trained yet: python -m colorize train {experiment.name} --scale "
                f"{experiment.scale}" + (f" --seed {experiment.seed}" if experiment.seed else "")
            )
        else:
            if _images_of(experiment) not in loaded:
                own = root.get(experiment.data.name) if isinstance(root, Mapping) else root
                loaded = {_images_of(experiment): load_splits(experiment, own)}
            try:
                study.results[name] = run_experiment(
                    experiment,
                    splits=loaded[_images_of(experiment)],
                    resume=True,
                    options=options,
                )
            except (MissingPriorError, CheckpointError) as error:
                study.missing[name] = str(error)
    return study


def _loaded(known: Splits | None, scale: str) -> dict[object, Splits]:
    simplified = STUDY_A["simplified"].scaled(scale)
    return {} if known is None else {_images_of(simplified): known}


def _images_of(experiment: Experiment) -> object:
    """What two experiments must have in common to share their images."""
    recipe, seed = experiment.recipe, experiment.seed if experiment.data.reseed else 0
    return experiment.data, seed, recipe.crop, recipe.test_crop, recipe.rotation, recipe.zoom
