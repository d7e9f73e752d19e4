"""The experiments as data: what each changes, at every scale at which it exists."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
import torch

from colorize import paths
from colorize.color.bins import published_bin_centers
from colorize.color.prior import smooth_prior, smooth_prior_along_index
from colorize.errors import InputError
from colorize.evaluation.results import load_results
from colorize.experiments.catalog import EXPERIMENTS, get_experiment
from colorize.experiments.experiment import ResolvedExperiment
from colorize.experiments.photo_losses import PHOTO_LOSSES
from colorize.experiments.presets import RECIPES, SCALES
from colorize.experiments.run import differences
from colorize.experiments.study_a import STUDY_A
from colorize.experiments.study_b import JOINT, STUDY_B, STUDY_B_FOLDS, STUDY_B_WOOF
from colorize.training.config import FitOptions

# What the baseline does not share, beside the name; the last part of the names of study B.
STUDIED = {
    "unbalanced-onehot": {"model", "options.target"},
    "photo-unbalanced-onehot": {"options.color", "options.target"},
    "unbalanced": {"options.target"},
    "rebalanced": {"prior"},
    "rebalanced-smooth-ab": {"smoothing"},
    "rebalanced-smooth-index": {"smoothing"},
    "rebalanced-smooth-ab-wide": {"smoothing", "sigma"},
    "rebalanced-smooth-index-narrow": {"smoothing", "sigma"},
    "rebalanced-ours": {"prior"},
    "rebalanced-ours-smooth-ab": {"smoothing"},
    "rebalanced-ours-longer": {"recipe.epochs"},
    "simplified": {"model"},
    "simplified-longer": {"recipe.epochs", "init_from"},
    "simplified-patches": {"recipe.crop"},
    "simplified-paper-recipe": {
        f"recipe.{key}"
        for key in ("optimizer", "lr", "weight_decay", "schedule", "warmup", "ema", "init", "clip")
    },
    "class": {"model", "options.alpha"},
    "joint": {"model", "options.alpha"},
    **{f"alpha-{value}": {"options.alpha"} for value in ("0", "1-30", "1-3", "1")},
    "residual": {"options.residual"},
    "dropout-20": {"options.dropout"},
    "dropout-50": {"options.dropout"},
    "adam": {"recipe.optimizer", "recipe.weight_decay"},
    "sgd": {"recipe.optimizer", "recipe.lr"},
    "adadelta": {"recipe.optimizer", "recipe.lr"},
    "bins": {"options.color"},
    "class-true": {"options.in_channels", "colored_by"},
    "tail": {"data.split_by", "data.reseed"},
}
RUNS = [(name, scale) for name, e in EXPERIMENTS.items() for scale in e.scales]


def _flat(experiment: ResolvedExperiment) -> dict[str, Any]:
    """What is trained and tested, the fields of options, recipe and data one by one."""
    fields = dataclasses.asdict(experiment)
    words = ("name", "claim", "baseline", "folder", "limits", "scales")
    for key in (*words, "preset", "recipe_changes", "data_changes"):
        del fields[key]
    parts = {key: fields.pop(key) for key in ("options", "recipe", "data")}
    return fields | {f"{part}.{k}": v for part, values in parts.items() for k, v in values.items()}


@pytest.mark.parametrize(("name", "scale"), RUNS)
def test_each_differs_from_its_baseline_by_what_it_studies(name: str, scale: str) -> None:
    experiment = EXPERIMENTS[name]
    baseline = experiment.baseline
    if baseline is None or name in JOINT or scale not in EXPERIMENTS[baseline].scales:
        return
    one = _flat(get_experiment(name, scale))
    other = _flat(get_experiment(baseline, scale))
    differing = {key for key in one.keys() | other.keys() if one.get(key) != other.get(key)}
    if "-final" in name:
        # Other classes for as many steps, of which a set of more images has fewer epochs.
        classes = {"data.name", "data.prior_name", "data.classes", "recipe.epochs", "also_test"}
        assert {"data.classes"} <= differing <= classes
    else:
        prefixed = {**STUDY_B, **STUDY_B_FOLDS, **STUDY_B_WOOF, **PHOTO_LOSSES}
        short = name.partition("-")[2] if name in prefixed else name
        assert differing == STUDIED[name if name == "photo-unbalanced-onehot" else short]


@pytest.mark.parametrize("scale", SCALES)
def test_no_two_experiments_are_the_same_at_a_scale(scale: str) -> None:
    runs = [_flat(get_experiment(n, scale)) for n, e in EXPERIMENTS.items() if scale in e.scales]
    keys = [json.dumps(run, sort_keys=True) for run in runs]
    assert len(set(keys)) == len(keys)


def test_a_scale_that_says_nothing_new_is_refused() -> None:
    for name, scale in (("simplified-patches", "paper"), ("dogs-joint", "quick")):
        with pytest.raises(InputError, match=rf"{name}.* {scale} scale"):
            get_experiment(name, scale)


def test_names_that_are_unknown() -> None:
    with pytest.raises(InputError, match="'rebalance'"):
        get_experiment("rebalance")
    with pytest.raises(InputError, match="'tiny'"):
        get_experiment("simplified", "tiny")
    with pytest.raises(InputError, match="'slow'"):
        get_experiment("simplified").with_recipe("slow")


def test_baselines_end_somewhere() -> None:
    for name in EXPERIMENTS:
        walked = [name]
        while (baseline := EXPERIMENTS[walked[-1]].baseline) is not None:
            assert baseline in EXPERIMENTS and baseline not in walked
            walked.append(baseline)


def test_both_subjects_have_the_same_ablation() -> None:
    fruit, dogs = (
        [name.removeprefix(f"{prefix}-") for name in STUDY_B if name.startswith(prefix)]
        for prefix in ("ncd", "dogs")
    )
    assert fruit == dogs and set(fruit) - {"color"} <= set(STUDIED)


@pytest.mark.parametrize("name", STUDY_A)
def test_paper_scale_is_the_papers(name: str) -> None:
    experiment = get_experiment(name, "paper")
    recipe = experiment.recipe
    assert (recipe.crop, recipe.test_crop, recipe.batch_size, recipe.epochs) == (176, 256, 32, 100)
    assert (recipe.optimizer, recipe.lr, recipe.weight_decay) == ("adam", 3.16e-5, 1e-3)
    assert (recipe.schedule, recipe.ema, recipe.clip) == ("constant", 0, 0)
    assert "width" not in experiment.options


def test_weights_are_kept_of_the_first_run_of_what_is_no_ablation() -> None:
    assert get_experiment("photo").keeps_weights
    assert not get_experiment("photo", seed=1).keeps_weights
    assert not get_experiment("ncd-joint").keeps_weights


def test_a_start_fits_what_starts_from_it() -> None:
    for scale in SCALES:
        experiment = get_experiment("simplified-final", scale)
        start = get_experiment(experiment.init_from or "", scale)
        assert (start.model, start.options) == (experiment.model, experiment.options)


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_recipe_keeps_the_size_of_the_run(recipe: str) -> None:
    before = get_experiment("photo", "small")
    after = before.with_recipe(recipe).recipe
    for key in ("epochs", "batch_size", "crop", "test_crop", "zoom", "aging"):
        assert getattr(after, key) == getattr(before.recipe, key)
    assert (after.optimizer, after.lr) == (RECIPES[recipe].optimizer, RECIPES[recipe].lr)


def test_the_committed_results_are_of_the_experiments_as_they_are_defined() -> None:
    for path in sorted(paths.shipped_checkpoints().rglob("*.json")):
        results = load_results(path)
        if "experiment" in results:
            described = results["experiment"]
            run = get_experiment(described["name"], described["scale"], described["seed"])
            # What was trained before there was one rule says so in every table.
            assert set(differences(run, results, FitOptions())) <= {"precision", "tested"}, path
            assert f"--precision {results['precision']}" in results["command"]


@pytest.mark.parametrize(("ab", "index", "kept"), [(5.0, 0.64, 0.62), (14.1, 5.0, 0.08)])
def test_smoothing_is_compared_at_equal_mass(ab: float, index: float, kept: float) -> None:
    compared = {
        (e.smoothing, e.sigma)
        for name, e in EXPERIMENTS.items()
        if name.startswith("rebalanced-smooth")
    }
    assert {("ab", ab), ("index", index)} <= compared
    bin_centers = published_bin_centers()
    grey = int(bin_centers.norm(dim=1).argmin())
    only_grey = torch.eye(len(bin_centers), dtype=torch.float64)[grey]
    masses = [
        float(smooth[grey])
        for smooth in (
            smooth_prior(only_grey, bin_centers, ab),
            smooth_prior_along_index(only_grey, index),
        )
    ]
    assert masses == pytest.approx([kept, kept], abs=0.005)
