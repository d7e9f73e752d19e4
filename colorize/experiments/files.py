"""Where the files of a run lie; their names are spelled here alone."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from colorize import paths
from colorize.evaluation.results import load_results
from colorize.experiments.experiment import ResolvedExperiment
from colorize.models.checkpoint import SUFFIX
from colorize.training.state import state_path


class RunFiles(NamedTuple):
    """The files of one run.

    Attributes:
        best: weights that were best on validation. last: those of the last step.
        tested: the one of the two that the results are of.
        state: of an unfinished run. results: JSON. card: Markdown.
    """

    best: Path
    last: Path
    tested: Path
    state: Path
    results: Path
    card: Path


def scale_folder(folder: Path, scale: str) -> Path:
    """Small results lie in the folder itself; those of another scale in one named after it."""
    return folder if scale == "small" else folder / scale


def run_files(experiment: ResolvedExperiment, checkpoints: Path | None = None) -> RunFiles:
    """The files of a run below CHECKPOINTS, or below another such folder."""
    folder = scale_folder(checkpoints or paths.checkpoints(), experiment.scale) / experiment.folder
    best, last = (folder / f"{experiment.run}{end}{SUFFIX}" for end in ("", "-last"))
    return RunFiles(
        best=best,
        last=last,
        tested=last if experiment.tested == "last" else best,
        state=state_path(folder, experiment.run),
        results=folder / f"{experiment.run}.json",
        card=folder / f"{experiment.run}.md",
    )


def is_trained(experiment: ResolvedExperiment) -> bool:
    """Whether a run was finished and tested: its results are there, and no state is left."""
    return _is_finished(run_files(experiment))


def finished_files(experiment: ResolvedExperiment) -> RunFiles | None:
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


def _is_finished(files: RunFiles) -> bool:
    return files.results.is_file() and not files.state.is_file()
