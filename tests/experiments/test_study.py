"""Many experiments at once: their order, what is loaded, what is trained and what is named."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from helpers import tiny
from helpers.tiny import light as light

from colorize.errors import DataError
from colorize.evaluation.results import load_results, save_results
from colorize.experiments import study as s
from colorize.experiments.catalog import get_experiment
from colorize.experiments.experiment import Experiment
from colorize.experiments.run import Splits, run_folder
from colorize.experiments.study_a import REPEATED, STUDY_A, STUDY_A_VARIANTS
from colorize.models.checkpoint import SUFFIX
from colorize.training.config import FitOptions

pytestmark = pytest.mark.usefixtures("light")

NAMES = [
    *STUDY_A,
    *STUDY_A_VARIANTS,
    *(f"{name}-seed{seed}" for seed in (1, 2) for name in REPEATED),
]
QUIET = FitOptions(progress=False)
# What needs the prior of ImageNet, which is not here.
IMAGENETS = ("rebalanced", "rebalanced-smooth", "rebalanced-smooth-index")


def _few() -> Splits:
    """Patches of 64 px as the images of quick scale."""
    train, val, test = (
        tiny.dataset(n, first=first, train=first == 0, size=64, side=64)
        for n, first in ((2, 0), (1, 20), (2, 40))
    )
    return Splits(train, val, test)


def _leave(experiment: Experiment) -> dict[str, object]:
    """Results of a run, and weights where they are kept."""
    found = {"experiment": {"name": experiment.name, "seed": experiment.seed}}
    folder = run_folder(experiment)
    path = save_results(found, folder / f"{experiment.run}.json")
    if experiment.keeps_weights:
        tiny.save_tiny(folder / f"{experiment.run}{SUFFIX}")
    return load_results(path)


def _runs() -> list[Experiment]:
    """All of study A at quick scale, written out."""
    once = [*STUDY_A, *STUDY_A_VARIANTS]
    runs = [get_experiment(name, "quick") for name in once]
    again = [(seed, name) for seed in (1, 2) for name in ("rebalanced-ours", "simplified")]
    return [*runs, *(replace(get_experiment(name, "quick"), seed=seed) for seed, name in again)]


def test_study_a_in_its_order(home: Path) -> None:
    study = s.run_study_a("quick", train=False)
    assert list(study.experiments) == list(study.missing) == NAMES
    assert NAMES[-4:] == [
        *("rebalanced-ours-seed1", "simplified-seed1"),
        *("rebalanced-ours-seed2", "simplified-seed2"),
    ]
    assert list(study.experiments.values()) == _runs()
    assert not study.results and not home.exists()
    for name, reason in study.missing.items():
        plain, _, seed = name.partition("-seed")
        command = f"python -m colorize train {plain} --scale quick"
        assert reason == f"not trained yet: {command}" + (f" --seed {seed}" if seed else "")


def test_study_a_loads_what_is_there(home: Path) -> None:
    names = ("simplified-patches", "simplified-seed2", "simplified", "euclidean")
    saved = {run.run: _leave(run) for run in _runs() if run.run in names}
    study = s.run_study_a("quick", train=False)
    assert study.results == saved
    # In the order of the study, whatever was trained first.
    assert list(study.results) == ["euclidean", "simplified", "simplified-patches", names[1]]
    assert list(study.missing) == [name for name in NAMES if name not in names]
    weights = run_folder(study.experiments["simplified"]) / f"simplified{SUFFIX}"
    tiny.assert_same_bits(study.model("simplified").state_dict(), tiny.weights(weights))
    weights.unlink()
    assert "simplified" in s.run_study_a("quick", train=False).missing


def test_study_a_names_what_it_cannot_train_and_goes_on(home: Path) -> None:
    saved = {run.run: _leave(run) for run in _runs() if run.run not in IMAGENETS}
    before = {path: path.stat().st_mtime_ns for path in home.rglob("*.json")}
    study = s.run_study_a("quick", train=True, options=QUIET, known=_few())
    assert study.results == saved and list(study.missing) == list(IMAGENETS)
    for reason in study.missing.values():
        assert "python DOWNLOADER/download.py imagenet-prior" in reason
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_a_study_trains_what_is_missing_once(home: Path) -> None:
    short = {"epochs": 1, "batch_size": 2}
    experiments = {
        name: replace(STUDY_A[name], recipe_changes=short) for name in ("euclidean", "rebalanced")
    }
    known = _few()

    def run() -> s.Study:
        return s.run_study(
            "quick",
            train=True,
            experiments=experiments,
            seeds=(0, 1),
            options=QUIET,
            known=known,
        )

    study = run()
    # All with the first seed, then all with the next.
    runs = ["euclidean", "rebalanced", "euclidean-seed1", "rebalanced-seed1"]
    assert list(study.experiments) == runs
    assert list(study.results) == runs[::2] and list(study.missing) == runs[1::2]
    for name, found in study.results.items():
        assert found["test"]["n"] == 2 and found["steps"] == 1
        assert found["data"]["train"]["images"] == 2, "the known images"
        assert found["experiment"]["seed"] == (1 if name.endswith("1") else 0)
    folder = home / "CHECKPOINTS" / "quick"
    assert (folder / "euclidean.md").is_file() and not (folder / "euclidean-seed1.md").exists()
    weights = (folder / "euclidean.safetensors").read_bytes()
    again = run()
    assert again.results == json.loads(json.dumps(study.results))
    assert (folder / "euclidean.safetensors").read_bytes() == weights


def test_what_is_no_fault_of_one_experiment_is_raised(home: Path) -> None:
    with pytest.raises(DataError, match=r"DOWNLOADER/download\.py"):
        s.run_study("small", train=True, experiments={"euclidean": STUDY_A["euclidean"]})
