"""From an experiment to results: a whole quick run, what it leaves, and what it tests."""

from __future__ import annotations

import copy
import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers import tiny
from helpers.tiny import light as light

from colorize.color.prior import load_prior
from colorize.data.dataset import ImageDataset
from colorize.errors import CheckpointError, DataError, InputError, TrainingError
from colorize.evaluation.baselines import GreyBaseline
from colorize.evaluation.evaluate import evaluate
from colorize.evaluation.results import load_results, save_results
from colorize.evaluation.temperature import BORDERS_AT, SWEEP, choose_temperature
from colorize.experiments import run as r
from colorize.experiments.build import Splits, load_splits
from colorize.experiments.catalog import EXPERIMENTS, get_experiment
from colorize.experiments.experiment import ResolvedExperiment
from colorize.experiments.files import is_trained, run_files
from colorize.experiments.photo_losses import PHOTO_LOSSES
from colorize.experiments.study_a import STUDY_A, STUDY_A_VARIANTS
from colorize.models import SimplifiedModel
from colorize.models.checkpoint import load_checkpoint, read_info, save_checkpoint, set_temperature
from colorize.models.hub import load_model
from colorize.training.config import FitOptions

pytestmark = pytest.mark.usefixtures("light")

# Of study B one experiment of each kind; the others are variants of the same net.
OTHERS = [f"ncd-{kind}" for kind in ("color", "class", "joint", "bins", "adadelta")]


def _is_quick(name: str) -> bool:
    return "quick" in EXPERIMENTS[name].scales


def _with(experiment: ResolvedExperiment, **changes: Any) -> ResolvedExperiment:
    return dataclasses.replace(experiment, recipe=dataclasses.replace(experiment.recipe, **changes))


def _one_step(name: str, seed: int = 0) -> ResolvedExperiment:
    # The images are those of another experiment: 0 takes the crops that they have.
    crops = {"crop": 0, "test_crop": 0, "rotation": 0.0, "zoom": None}
    experiment = _with(get_experiment(name, "quick", seed), epochs=1, batch_size=2, **crops)
    # Nothing is fetched.
    return dataclasses.replace(experiment, pretrained=False)


def _assert_tested(found: dict[str, Any], model: Any, images: ImageDataset) -> None:
    """The numbers of ``evaluate`` are among them, with the values of single images."""
    plain = evaluate(model, images)
    assert {key: found[key] for key in plain} == plain
    assert {"auc_rebalanced", "lpips", "fid", "recognized"} <= found.keys()
    for name in ("rmse_ab", "psnr", "colorfulness"):
        values = found["images"][name]
        assert len(values) == len(images)
        assert np.mean(values) == pytest.approx(found[name]["mean"], rel=1e-3)


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, dict[str, Any]]]:
    """``simplified`` at quick scale for one epoch on the bundled photographs: home and results."""
    home = tmp_path_factory.mktemp("quick")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLORIZE_HOME", str(home))
        with tiny.lightly():
            experiment = _with(get_experiment("simplified", "quick"), epochs=1)
            results = r.run_experiment(experiment)
        yield home, results


def test_a_quick_run_leaves_its_files(quick: tuple[Path, dict[str, Any]]) -> None:
    home, results = quick
    files = {str(p.relative_to(home).as_posix()) for p in home.rglob("*") if p.is_file()}
    ends = ("-last.safetensors", ".safetensors", ".json", ".md")
    assert {f"CHECKPOINTS/quick/simplified{end}" for end in ends} <= files
    assert {"PRECALCULATED/quick/prior-bundled.npy", "PRECALCULATED/quick/q_to_ab.npy"} <= files
    assert not [name for name in files if "state" in name or "tmp" in name]
    path = home / "CHECKPOINTS" / "quick" / "simplified.json"
    assert load_results(path) == json.loads(json.dumps(results))
    assert f"n = {results['test']['n']}" in path.with_suffix(".md").read_text(encoding="utf-8")
    info = read_info(path.with_suffix(".safetensors"))
    assert (info.extra["experiment"], info.extra["scale"]) == ("simplified", "quick")
    prior = load_prior("bundled", folder=home / "PRECALCULATED" / "quick")
    weights = tiny.weights(path.with_suffix(".safetensors"))["output.class_weights"].double()
    assert float((prior * weights).sum()) == pytest.approx(1, rel=1e-5)


def test_the_results_say_what_was_measured(quick: tuple[Path, dict[str, Any]]) -> None:
    home, results = quick
    splits = load_splits(get_experiment("simplified", "quick"))
    n = len(splits.train)
    assert results["steps"] == n // 16 and results["images_seen"] == 16 * (n // 16)
    words = "train simplified --scale quick --seed 0 --epochs 1 --precision float32"
    assert results["command"].endswith(words)
    otherwise = FitOptions(mixed_precision="bf16", accumulate=2, early_steps=20)
    words = "--seed 0 --precision bfloat16 --accumulate 2 --early-steps 20"
    assert r.command(get_experiment("simplified", "quick"), otherwise).endswith(words)
    assert results["curve"][-1]["step"] == results["steps"] and results["seconds"] > 0
    for name, part in vars(splits).items():
        assert results["data"][name]["images"] == len(part) > 0
        assert results["data"][name]["content_sha256"] == part.content_sha256
    folder = home / "CHECKPOINTS" / "quick"
    model = load_model(folder / "simplified-last.safetensors")
    assert results["parameters"] == sum(p.numel() for p in model.parameters())
    _assert_tested(results["test"], model, splits.test)
    _assert_tested(results["grey"], GreyBaseline(), splits.test)
    assert results["test_last"] is None
    shuffled = results["baselines"]["shuffled"]
    assert shuffled["colorfulness"] == pytest.approx(results["test"]["colorfulness"], rel=0.2)
    assert results["baselines"]["mean"]["rmse_ab"]["mean"] < results["grey"]["rmse_ab"]["mean"]
    for name in ("sweep", "validation_sweep"):
        assert [point["temperature"] for point in results[name]] == list(SWEEP)
    assert results["validation_sweep"][0]["n"] == len(splits.val) != len(splits.test)
    assert [point["temperature"] for point in results["borders"]] == list(BORDERS_AT)
    for point in results["borders"]:
        other = results["sweep"][SWEEP.index(point["temperature"])]
        assert point["colorfulness"] == other["colorfulness"]
        assert len(point["images"]["border_sharpness"]) == len(splits.test)
    own = results["sweep"][SWEEP.index(0.38)]
    assert own["rmse_ab"]["mean"] == pytest.approx(results["test"]["rmse_ab"]["mean"], rel=1e-6)


def test_null_baselines_are_added_to_results(quick: tuple[Path, dict[str, Any]]) -> None:
    path = quick[0] / "CHECKPOINTS" / "quick" / "simplified.json"
    before = json.loads(path.read_text(encoding="utf-8"))
    save_results({**before, "baselines": {}, "borders": []}, path)
    r.add_baselines(get_experiment("simplified", "quick"))
    assert json.loads(path.read_text(encoding="utf-8")) == before
    other = copy.deepcopy(before)
    other["data"]["test"]["content_sha256"] = "0" * 64
    save_results(other, path)
    with pytest.raises(DataError, match="test images"):
        r.add_baselines(get_experiment("simplified", "quick"))
    save_results(before, path)


def test_what_a_finished_run_would_have_otherwise_now(
    quick: tuple[Path, dict[str, Any]],
) -> None:
    experiment = _with(get_experiment("simplified", "quick"), epochs=1)
    results = json.loads(json.dumps(quick[1]))
    assert r.differences(experiment, results, FitOptions()) == []
    changed = dataclasses.replace(_with(experiment, lr=0.5), smoothing="ab")
    options = FitOptions(mixed_precision="bf16")
    assert r.differences(changed, results, options) == ["smoothing", "lr", "precision"]


def test_fine_tuning_starts_where_the_first_training_ended(
    quick: tuple[Path, dict[str, Any]], few: Splits
) -> None:
    folder = quick[0] / "CHECKPOINTS" / "quick"
    experiment = _with(_one_step("simplified-final"), lr=0.0, freeze_batchnorm=True)
    assert r.run_experiment(experiment, splits=few)["steps"] == 1
    # At a rate of 0 nothing moves; had it been initialised anew, all would be different.
    before, after = (
        tiny.weights(folder / f"{name}-last.safetensors")
        for name in ("simplified", "simplified-final")
    )
    for weights in (before, after):
        del weights["output.class_weights"]
    tiny.assert_same_bits(after, before)


@pytest.mark.parametrize(
    "name", [n for n in (*STUDY_A, *STUDY_A_VARIANTS, *PHOTO_LOSSES, *OTHERS) if _is_quick(n)]
)
def test_every_experiment_makes_a_step_at_quick_scale(
    name: str, home: Path, imagenet: np.ndarray, few: Splits
) -> None:
    experiment = _one_step(name)
    if experiment.init_from:
        start = run_files(get_experiment(experiment.init_from, "quick")).tested
        save_checkpoint(SimplifiedModel(**experiment.options), start)
    results = r.run_experiment(experiment, splits=few)
    assert results["steps"] == 1 and results["test"]["n"] == 3
    model = load_checkpoint(run_files(experiment).tested)
    assert type(model).__name__ == experiment.model
    bins = name == "ncd-bins" or not (name in OTHERS or name.endswith("euclidean"))
    assert len(results["sweep"]) == len(results["validation_sweep"]) == len(SWEEP) * bins
    assert ("top1" in results["test"]) == (name in OTHERS and name != "ncd-color")
    assert ("psnr" in results["test"]) == (name != "ncd-class")
    assert run_files(experiment).card.is_file() == (not experiment.folder)
    if bins:
        weights = model.state_dict()["output.class_weights"]
        assert torch.equal(weights, torch.ones(313)) == (experiment.prior is None)


def test_a_run_that_died_before_its_results_were_written_only_writes_them(
    home: Path, few: Splits, monkeypatch: pytest.MonkeyPatch
) -> None:
    experiment = _one_step("euclidean")
    files = run_files(experiment)

    def full_disk(*arguments: Any) -> None:
        raise OSError("No space left on device")

    with monkeypatch.context() as patch, pytest.raises(OSError, match="No space"):
        patch.setattr(r, "save_results", full_disk)
        r.run_experiment(experiment, splits=few)
    assert not is_trained(experiment)
    with pytest.raises(TrainingError, match="unfinished run"):
        r.run_experiment(experiment, splits=few)
    weights = files.last.read_bytes()
    results = r.run_experiment(experiment, splits=few, resume=True)
    assert is_trained(experiment) and files.last.read_bytes() == weights
    assert load_results(files.results) == json.loads(json.dumps(results))
    again = r.run_experiment(experiment, splits=few, train=False)
    assert json.dumps(again, sort_keys=True) == json.dumps(results, sort_keys=True)


def test_another_seed_leaves_the_files_of_the_first_alone(home: Path, few: Splits) -> None:
    first, second = _one_step("euclidean"), _one_step("euclidean", seed=1)
    r.run_experiment(first, splits=few)
    before = {path: path.read_bytes() for path in home.rglob("euclidean*")}
    r.run_experiment(second, splits=few)
    assert all(path.read_bytes() == content for path, content in before.items())
    # Of more seeds the numbers are kept, not the weights and the card.
    files = run_files(second)
    assert not files.card.exists()
    one, other = tiny.weights(run_files(first).best), tiny.weights(files.best)
    assert tiny.largest_difference(one, other) > 0.01
    assert is_trained(second) and is_trained(first)
    files.state.write_bytes(b"of an unfinished run")
    assert not is_trained(second)


def test_a_temperature_that_is_chosen_is_that_of_validation(home: Path, few: Splits) -> None:
    experiment = dataclasses.replace(_one_step("simplified"), choose_temperature=True)
    files = run_files(experiment)
    for train in (True, False):
        results = r.run_experiment(experiment, splits=few, train=train)
        chosen = choose_temperature(results["validation_sweep"])
        for path in (files.best, files.last):
            assert load_checkpoint(path).config["temperature"] == chosen
        own = results["sweep"][SWEEP.index(chosen)]
        assert results["test"]["rmse_ab"]["mean"] == pytest.approx(own["rmse_ab"]["mean"])
        # As if the default had been another one: it is chosen again.
        set_temperature(files.tested, 0.7)


def test_a_net_of_other_images_is_tested_on_these_as_well(home: Path, few: Splits) -> None:
    experiment = get_experiment("simplified-final", "quick")
    assert not r._test_others(experiment, tiny.vivid_model(), few.test)["also_tested"]
    other = dataclasses.replace(experiment.data, classes=("others",))
    experiment = dataclasses.replace(experiment, data=other)
    found = r._test_others(experiment, tiny.vivid_model(), few.test)["also_tested"]
    assert "missing" in found["simplified"]
    path = tiny.save_tiny(run_files(get_experiment("simplified", "quick")).tested)
    found = r._test_others(experiment, tiny.vivid_model(), few.test)["also_tested"]
    _assert_tested(found["simplified"], load_model(path), few.test)


def test_what_must_be_trained_before(home: Path, few: Splits) -> None:
    with pytest.raises(CheckpointError, match="train simplified --scale quick"):
        r.run_experiment(_one_step("simplified-final"), splits=few)
    with pytest.raises(CheckpointError, match="train ncd-color --scale quick --seed 0 --again"):
        r.run_experiment(_one_step("ncd-class-true"), splits=few)
    assert not run_files(_one_step("simplified-final")).best.exists()


def test_an_experiment_has_to_be_at_a_scale() -> None:
    with pytest.raises(InputError, match="get_experiment"):
        r.run_experiment(EXPERIMENTS["simplified"])  # type: ignore[arg-type]
