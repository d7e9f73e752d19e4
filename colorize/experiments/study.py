"""Many experiments at once: what was trained is loaded, what is missing is trained or named."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from colorize.data.joined import Roots
from colorize.errors import CheckpointError, MissingPriorError
from colorize.evaluation.results import load_results
from colorize.experiments.build import Splits, load_splits
from colorize.experiments.experiment import Experiment, ResolvedExperiment, resolve
from colorize.experiments.files import finished_files, tested_weights
from colorize.experiments.run import command, run_experiment
from colorize.experiments.study_a import REPEATED, STUDY_A, STUDY_A_ALL
from colorize.experiments.study_b import SEEDS, STUDY_B, STUDY_B_FOLDS, STUDY_B_WOOF
from colorize.models import Colorizer
from colorize.models.checkpoint import load_checkpoint
from colorize.training.config import FitOptions


@dataclass(frozen=True)
class Study:
    """What there is of some experiments at one scale.

    Attributes:
        experiments: all of them by the name of the run.
        results: of those that were trained.
        missing: why the others have none.
    """

    experiments: dict[str, ResolvedExperiment]
    results: dict[str, Mapping[str, Any]]
    missing: dict[str, str]

    def model(self, name: str) -> Colorizer:
        """Load the trained model of a run, the weights that its results are of."""
        return load_checkpoint(tested_weights(self.experiments[name]))

    def models(self, names: Iterable[str]) -> dict[str, Colorizer]:
        """Load those of some runs whose weights are here. A wheel has the weights of few."""
        weights = {name: tested_weights(self.experiments[name]) for name in names}
        return {name: self.model(name) for name, path in weights.items() if path.is_file()}


def run_study(
    scale: str,
    root: Roots | Mapping[str, Roots] | None = None,
    *,
    train: bool,
    experiments: Mapping[str, Experiment] = STUDY_A,
    seeds: Sequence[int] = (0,),
    options: FitOptions | None = None,
) -> Study:
    """Load the results of the experiments that a scale has; with ``train``, train what has none.

    An experiment whose needs are not met (the ImageNet prior was not fetched, its starting point
    was not trained) is named in ``missing`` with the reason; any other error is raised.

    Args:
        root: as of ``run_experiment``; or by the name of the data set, where there are several.
        seeds: all experiments are run with the first one, then all with the next.
    """
    runs = [run for seed in seeds for run in _at_scale(experiments.values(), scale, seed)]
    return _run(runs, root, train, options)


def run_study_a(
    scale: str,
    root: Roots | None = None,
    *,
    train: bool,
    options: FitOptions | None = None,
) -> Study:
    """All of study A, as ``run_study``: the nine experiments, then the variants, then other seeds
    of those that are repeated.
    """
    runs = _at_scale(STUDY_A_ALL.values(), scale, 0)
    repeated = [STUDY_A[name] for name in REPEATED]
    runs += [run for seed in SEEDS[1:] for run in _at_scale(repeated, scale, seed)]
    return _run(runs, root, train, options)


def data_sets(scale: str) -> list[str]:
    """Names of what DOWNLOADER brings for the studies at a scale: images, and ImageNet's prior."""
    studies = (STUDY_A_ALL, STUDY_B, STUDY_B_FOLDS, STUDY_B_WOOF)
    experiments = [experiment for study in studies for experiment in study.values()]
    names = {run.data.name for run in _at_scale(experiments, scale, 0)} - {"bundled"}
    return sorted({*names, "imagenet-prior"}) if names else []


def _at_scale(experiments: Iterable[Experiment], scale: str, seed: int) -> list[ResolvedExperiment]:
    return [resolve(e, scale, seed) for e in experiments if scale in e.scales]


def _run(
    runs: Iterable[ResolvedExperiment],
    root: Roots | Mapping[str, Roots] | None,
    train: bool,
    options: FitOptions | None,
) -> Study:
    study = Study({run.run: run for run in runs}, {}, {})
    loaded: dict[object, Splits] = {}
    for name, experiment in study.experiments.items():
        if files := finished_files(experiment):
            study.results[name] = load_results(files.results)
        elif not train:
            study.missing[name] = f"not trained yet: {command(experiment)}"
        else:
            images = _images_of(experiment)
            if images not in loaded:
                folder = root.get(experiment.data.name) if isinstance(root, Mapping) else root
                loaded = {images: load_splits(experiment, folder)}
            try:
                study.results[name] = run_experiment(
                    experiment, splits=loaded[images], resume=True, options=options
                )
            except (MissingPriorError, CheckpointError) as error:
                study.missing[name] = str(error)
    return study


def _images_of(experiment: ResolvedExperiment) -> object:
    """What two experiments must have in common to share their images."""
    recipe, seed = experiment.recipe, experiment.seed if experiment.data.reseed else 0
    return experiment.data, seed, recipe.crop, recipe.test_crop, recipe.rotation, recipe.zoom
