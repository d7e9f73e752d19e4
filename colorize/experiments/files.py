"""Where the files of a run lie."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from colorize import paths
from colorize.evaluation.results import load_results
from colorize.experiments.experiment import ResolvedExperiment
from colorize.training.claim import RunFiles


@dataclass(frozen=True)
class ExperimentFiles(RunFiles):
    """The files of one run of an experiment.

    Attributes:
        tests_last: whether its results are those of the last weights, not of the best.
    """

    tests_last: bool

    @property
    def tested(self) -> Path:
        """The weights that the results are of."""
        return self.last if self.tests_last else self.best

    @property
    def results(self) -> Path:
        """Its results, JSON."""
        return self.folder / f"{self.name}.json"

    @property
    def card(self) -> Path:
        """Its card, Markdown."""
        return self.folder / f"{self.name}.md"


def scale_folder(folder: Path, scale: str) -> Path:
    """Small results lie in the folder itself; those of another scale in one named after it."""
    return folder if scale == "small" else folder / scale


def run_files(experiment: ResolvedExperiment, checkpoints: Path | None = None) -> ExperimentFiles:
    """The files of a run below CHECKPOINTS, or below another such folder."""
    folder = scale_folder(checkpoints or paths.checkpoints(), experiment.scale) / experiment.folder
    return ExperimentFiles(folder, experiment.run, tests_last=experiment.tested == "last")


def is_trained(experiment: ResolvedExperiment) -> bool:
    """Whether a run was finished and tested: its results are there, and no state is left."""
    return _is_finished(run_files(experiment))


def finished_files(experiment: ResolvedExperiment) -> ExperimentFiles | None:
    """The files of a finished run: those made here, else those that come with the project."""
    for folder in (paths.checkpoints(), paths.shipped_checkpoints()):
        if _is_finished(files := run_files(experiment, folder)):
            return files
    return None


def tested_weights(experiment: ResolvedExperiment) -> Path:
    """The weights that the results of a run are of; of a run without results, those to test."""
    files = finished_files(experiment)
    if files is None:
        return run_files(experiment).tested
    tested = load_results(files.results)["experiment"]["tested"]
    return files.last if tested == "last" else files.best


def _is_finished(files: ExperimentFiles) -> bool:
    return files.results.is_file() and not files.state.is_file()
