"""Many experiments at once: their order, what is loaded, what is trained and what is named."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from helpers import tiny
from helpers.tiny import light as light

from colorize import paths
from colorize.errors import DataError
from colorize.evaluation.results import save_results
from colorize.experiments import study as s
from colorize.experiments.build import Splits, build_model, load_splits
from colorize.experiments.catalog import get_experiment
from colorize.experiments.files import run_files
from colorize.experiments.study_a import REPEATED, STUDY_A, STUDY_A_ALL
from colorize.experiments.study_b import CLASSES, STUDY_B

pytestmark = pytest.mark.usefixtures("light")

NAMES = [
    *(name for name, experiment in STUDY_A_ALL.items() if "quick" in experiment.scales),
    *(f"{name}-seed{seed}" for seed in (1, 2) for name in REPEATED),
]


def test_a_study_loads_what_is_there_and_names_the_rest(home: Path) -> None:
    experiments = s.run_study_a("quick", train=False).experiments
    assert list(experiments) == NAMES and not home.exists()
    there = ("simplified-seed2", "simplified", "euclidean")
    for name in there:
        files = run_files(experiments[name])
        save_results({"run": name, "experiment": {"tested": "last"}}, files.results)
        tiny.save_tiny(files.last)
    study = s.run_study_a("quick", train=False)
    # In the order of the study, whatever was trained first.
    assert list(study.results) == list(reversed(there))
    assert study.results["simplified"]["run"] == "simplified"
    assert list(study.missing) == [name for name in NAMES if name not in there]
    assert "train rebalanced-ours --scale quick --seed 1" in study.missing["rebalanced-ours-seed1"]
    last = run_files(experiments["simplified"]).last
    tiny.assert_same_bits(study.model("simplified").state_dict(), tiny.weights(last))


def test_a_study_has_only_the_experiments_of_its_scale() -> None:
    runs = s.run_study("quick", train=False, experiments=STUDY_B).experiments
    assert "ncd-joint" in runs and not [name for name in runs if name.startswith("dogs")]
    assert "simplified-patches" not in s.run_study_a("paper", train=False).experiments


def test_the_data_sets_of_a_scale_are_those_of_its_experiments() -> None:
    names = ["imagenet-prior", "imagewoof", "ncd", "tiny-imagenet"]
    assert s.data_sets("small") == names and s.data_sets("quick") == []


def test_the_level_of_chance_is_that_of_the_classes_there_are() -> None:
    splits = load_splits(get_experiment("ncd-joint", "quick"))
    assert len(splits.train.classes) == CLASSES["quick"]["ncd"]
    assert CLASSES["small"]["dogs"] == len(get_experiment("dogs-joint", "small").data.classes)


def test_a_study_trains_what_is_missing_once(
    home: Path, few: Splits, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s, "load_splits", lambda *_: few)
    short = {"epochs": 1, "batch_size": 2}
    experiments = {
        name: replace(STUDY_A[name], recipe_changes=short) for name in ("euclidean", "rebalanced")
    }

    def run() -> s.Study:
        return s.run_study("quick", train=True, experiments=experiments, seeds=(0, 1))

    study = run()
    # All with the first seed, then all with the next; "rebalanced" needs the prior of ImageNet.
    assert list(study.experiments) == ["euclidean", "rebalanced"] + [
        f"{name}-seed1" for name in ("euclidean", "rebalanced")
    ]
    assert list(study.results) == ["euclidean", "euclidean-seed1"]
    assert all("imagenet-prior" in reason for reason in study.missing.values())
    stamps = {path: path.stat().st_mtime_ns for path in home.rglob("*") if path.is_file()}
    assert run().results == json.loads(json.dumps(study.results))
    assert {path: path.stat().st_mtime_ns for path in stamps} == stamps


def test_what_is_no_fault_of_one_experiment_is_raised(home: Path) -> None:
    with pytest.raises(DataError, match=r"DOWNLOADER/download\.py"):
        s.run_study("small", train=True, experiments={"euclidean": STUDY_A["euclidean"]})


def test_results_that_come_with_the_project_are_shown_from_another_home(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """COLORIZE_HOME may be an empty folder on Drive."""
    checkpoints = Path(__file__).parents[2] / "CHECKPOINTS"
    monkeypatch.setattr(paths, "shipped_checkpoints", lambda: checkpoints)
    numbers_only = "ncd-color"
    shown = {**STUDY_A, numbers_only: STUDY_B[numbers_only]}
    study = s.run_study("small", train=False, experiments=shown)
    assert study.results["euclidean"]["test"]["n"] == 812
    assert study.model("euclidean").config["width"] == 0.5
    assert list(study.models([numbers_only, "unbalanced"])) == ["unbalanced"]
    assert not study.missing, "all nine were trained"
    # One that starts from another begins with the weights that come along.
    final = s.resolve(STUDY_A["simplified-final"], "small")
    begun, start = build_model(final, torch.ones(313), ("a",)), study.model("simplified")
    assert all(
        torch.equal(x, y) for x, y in zip(begun.parameters(), start.parameters(), strict=True)
    )
