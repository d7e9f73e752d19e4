"""The experiments as data: their names, what each changes, and the sizes of each scale."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from typing import Any

import pytest

from colorize.errors import InputError
from colorize.experiments.catalog import EXPERIMENTS, get_experiment
from colorize.experiments.experiment import Experiment
from colorize.experiments.presets import RECIPES, SCALES
from colorize.experiments.study_a import REPEATED, STUDY_A, STUDY_A_VARIANTS
from colorize.experiments.study_b import ALPHA, SEEDS, STUDY_B, SUBJECTS
from colorize.training.config import Recipe

# Name, parent, and what it studies: the fields in which it may differ from its parent.
STUDIED: dict[str, tuple[str | None, set[str]]] = {
    "euclidean": (None, set()),
    "unbalanced-onehot": ("euclidean", {"model", "options.target"}),
    "unbalanced": ("unbalanced-onehot", {"options.target"}),
    "rebalanced": ("unbalanced", {"prior"}),
    "rebalanced-smooth": ("rebalanced", {"smoothing"}),
    "rebalanced-ours": ("rebalanced-smooth", {"prior"}),
    "simplified": ("rebalanced-ours", {"model"}),
    "rebalanced-ours-final": ("rebalanced-ours", {"preset"}),
    "simplified-final": ("simplified", {"preset", "init_from"}),
}
NAMES = list(STUDIED)
# The same of study B, whose experiments have one of two parents, on fruit and on dogs.
STUDIED_B: dict[str, set[str]] = {
    "color": {"model", "options.alpha"},
    "class": {"model", "options.alpha"},
    "joint": {"model", "options.alpha"},
    **{f"alpha-{value}": {"options.alpha"} for value in ("0", "1-30", "1-3", "1")},
    "residual": {"options.residual"},
    "dropout-20": {"options.dropout"},
    "dropout-50": {"options.dropout"},
    "adam": {"recipe.optimizer", "recipe.weight_decay"},
    "sgd": {"recipe.optimizer", "recipe.lr", "recipe.weight_decay"},
    "adadelta": {"recipe.optimizer", "recipe.lr", "recipe.weight_decay"},
    "bins": {"options.color"},
    "class-true": {"options.sees", "colored_by"},
    "tail": {"data"},
}
# What follows from a further subject, at the scales where the two differ in it.
OF_FINAL = {"data", "recipe.epochs", "beside"}
IDENTITY = {"name", "claim", "baseline"}
# The list, and the study's further classes.
SYNSETS = ("n06255081", "n02739889", "n03351262", "n02691156", "n02918964")
FINAL_SYNSETS = ("n00449695", "n00449517", "n00449295", "n00451635", "n00451563")
TINY = (
    *("n02814533", "n02917067", "n03100240", "n03393912", "n03444034"),
    *("n03447447", "n03599486", "n03662601", "n03670208", "n03796401"),
    *("n03977966", "n04146614", "n04285008", "n04465501", "n04487081"),
)
TINY_DOGS = ("n02085620", "n02094433", "n02099601", "n02099712", "n02106662", "n02113799")


def _final(experiment: Experiment) -> bool:
    return experiment.preset == "vehicles-final"


def _flat(experiment: Experiment) -> dict[str, Any]:
    """Every field by name, those of options and recipe one by one."""
    fields = {f.name: getattr(experiment, f.name) for f in dataclasses.fields(experiment)}
    options, recipe = fields.pop("options"), dataclasses.asdict(fields.pop("recipe"))
    # What they change shows in the recipe and the data.
    del fields["recipe_changes"], fields["data_changes"]
    return {
        **fields,
        **{f"options.{key}": value for key, value in options.items()},
        **{f"recipe.{key}": value for key, value in recipe.items()},
    }


def _differing(one: Experiment, other: Experiment) -> set[str]:
    a, b = _flat(one), _flat(other)
    return {key for key in a.keys() | b.keys() if a.get(key) != b.get(key)} - IDENTITY


def test_the_nine_in_their_order() -> None:
    assert list(STUDY_A) == NAMES
    assert [e.name for e in STUDY_A.values()] == NAMES
    assert {**STUDY_A, **STUDY_B}.items() <= EXPERIMENTS.items()


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("name", NAMES)
def test_each_differs_from_its_parent_by_what_it_studies(name: str, scale: str) -> None:
    parent, studied = STUDIED[name]
    experiment = get_experiment(name, scale)
    assert experiment.baseline == parent
    if parent is None:
        return
    assert NAMES.index(parent) < NAMES.index(name)
    found = _differing(experiment, get_experiment(parent, scale))
    if "preset" in studied:
        # The bundled photographs have no further classes to add.
        assert ("data" in found) == (scale != "quick")
        found -= OF_FINAL
    assert found == studied


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("name", STUDY_B)
def test_each_of_study_b_differs_by_what_its_name_says(name: str, scale: str) -> None:
    experiment = get_experiment(name, scale)
    prefix, _, variant = name.partition("-")
    assert experiment.preset == {"ncd": "fruit", "dogs": "dogs"}[prefix]
    if variant == "color":
        assert experiment.baseline == f"{prefix}-joint"
    assert experiment.baseline is not None and experiment.baseline.startswith(prefix)
    found = _differing(experiment, get_experiment(experiment.baseline, scale))
    assert found == STUDIED_B[variant]


def test_both_subjects_have_the_same_ablation() -> None:
    by_subject = {
        prefix: [n.removeprefix(f"{prefix}-") for n in STUDY_B if n.startswith(prefix)]
        for prefix in SUBJECTS
    }
    assert by_subject["ncd"] == by_subject["dogs"] == list(STUDIED_B)
    alphas = [e.options["alpha"] for n, e in STUDY_B.items() if n.startswith("ncd-alpha")]
    assert alphas == [0.0, 1 / 30, 1 / 3, 1.0]
    assert STUDY_B["ncd-joint"].options["alpha"] == ALPHA == 1 / 300
    assert len(SEEDS) == 3


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_each_says_what_it_tests(name: str) -> None:
    experiment = EXPERIMENTS[name]
    assert len(experiment.claim) > 20 and experiment.claim.endswith(".")
    same = [e for e in EXPERIMENTS.values() if e.preset == experiment.preset]
    assert [e.claim for e in same].count(experiment.claim) == 1


def test_models_and_priors() -> None:
    def fields(name: str) -> tuple[Any, ...]:
        e = EXPERIMENTS[name]
        return e.model, e.options.get("target"), e.prior, e.smoothing, _final(e), e.init_from

    classification, simplified = "ClassificationModel", "SimplifiedModel"
    assert {name: fields(name) for name in NAMES} == {
        "euclidean": ("EuclideanModel", None, None, None, False, None),
        "unbalanced-onehot": (classification, "onehot", None, None, False, None),
        "unbalanced": (classification, "soft", None, None, False, None),
        "rebalanced": (classification, "soft", "imagenet", None, False, None),
        "rebalanced-smooth": (classification, "soft", "imagenet", "ab", False, None),
        "rebalanced-ours": (classification, "soft", "train", "ab", False, None),
        "simplified": (simplified, "soft", "train", "ab", False, None),
        "rebalanced-ours-final": (classification, "soft", "train", "ab", True, None),
        "simplified-final": (simplified, "soft", "train", "ab", True, "simplified"),
    }
    assert {e.lam for e in STUDY_A.values()} == {0.5}
    assert len({e.seed for e in EXPERIMENTS.values()}) == 1


# What a variant leaves open changes, and nothing else; its runs keep their numbers only.
VARIANTS: dict[str, tuple[str, set[str]]] = {
    "rebalanced-smooth-index": ("rebalanced-smooth", {"smoothing"}),
    "simplified-patches": ("simplified", {"recipe.crop"}),
    "simplified-paper-recipe": (
        "simplified",
        {f"recipe.{key}" for key in ("optimizer", "lr", "weight_decay", "schedule")}
        | {f"recipe.{key}" for key in ("warmup", "ema", "init", "clip")},
    ),
}


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("name", VARIANTS)
def test_a_variant_differs_by_what_it_is_named_after(name: str, scale: str) -> None:
    of, expected = VARIANTS[name]
    variant, plain = get_experiment(name, scale), get_experiment(of, scale)
    found = _differing(variant, plain) - {"folder", "preset"}
    if scale == "paper" and name != "rebalanced-smooth-index":
        # There the recipe is the paper's anyway, and its crops are patches.
        assert found == set()
    else:
        assert found == expected
    assert variant.folder == "ablation" and variant.name not in STUDY_A
    if name == "simplified-patches":
        assert variant.recipe.crop < variant.recipe.test_crop == plain.recipe.test_crop
        # The nets' grid is of 8 pixels.
        assert variant.recipe.crop % 8 == 0
    if name == "simplified-paper-recipe":
        assert (variant.recipe.optimizer, variant.recipe.lr) == ("adam", 3.16e-5)


def test_the_variants_and_what_is_repeated() -> None:
    assert list(STUDY_A_VARIANTS) == list(VARIANTS)
    assert STUDY_A_VARIANTS.items() <= EXPERIMENTS.items()
    assert set(REPEATED) <= set(STUDY_A) and len(SEEDS) == 3 and SEEDS[0] == 0
    assert {e.baseline for e in STUDY_A_VARIANTS.values()} <= set(STUDY_A)


def test_weights_are_kept_of_the_first_run_of_what_is_no_ablation() -> None:
    for experiment in EXPERIMENTS.values():
        assert experiment.keeps_weights == (not experiment.folder)
        assert not dataclasses.replace(experiment, seed=1).keeps_weights
    assert EXPERIMENTS["photo"].keeps_weights and EXPERIMENTS["joint-ncd"].keeps_weights
    assert not EXPERIMENTS["ncd-joint"].keeps_weights


@pytest.mark.parametrize("name", NAMES)
def test_paper_scale(name: str) -> None:
    experiment = get_experiment(name, "paper")
    recipe = experiment.recipe
    assert (recipe.crop, recipe.test_crop, recipe.batch_size, recipe.epochs) == (176, 256, 32, 100)
    assert (recipe.optimizer, recipe.lr, recipe.betas) == ("adam", 3.16e-5, (0.9, 0.99))
    assert (recipe.weight_decay, recipe.schedule, recipe.warmup) == (1e-3, "constant", 0)
    assert (recipe.ema, recipe.clip, recipe.init) == (0, 0, "default")
    assert experiment.options.get("width", 1.0) == 1.0 and experiment.scale == "paper"
    expected = SYNSETS + FINAL_SYNSETS if _final(experiment) else SYNSETS
    assert experiment.data.classes == expected
    # One download for each set of classes.
    assert experiment.data.name == ("vehicles-final" if _final(experiment) else "vehicles")


@pytest.mark.parametrize("name", NAMES)
def test_small_and_quick_scale(name: str) -> None:
    small, quick = get_experiment(name, "small"), get_experiment(name, "quick")
    final = _final(small)
    assert (small.data.name, quick.data.name) == ("tiny-imagenet", "bundled")
    assert small.data.classes == (TINY + TINY_DOGS if final else TINY)
    assert quick.data.classes == ()
    for experiment in (small, quick):
        assert experiment.recipe.crop == experiment.recipe.test_crop == 64
        assert 0 < experiment.options["width"] < 1
        other = get_experiment("rebalanced-ours", experiment.scale)
        assert (experiment.recipe.epochs > other.recipe.epochs) == final
    assert {small.scale, quick.scale} == {"small", "quick"}
    # A prior is named after its classes: that of more classes does not replace the other.
    assert (small.data.label == get_experiment("simplified", "small").data.label) == (not final)


@pytest.mark.parametrize("scale", SCALES)
def test_a_start_fits_what_starts_from_it(scale: str) -> None:
    for experiment in (get_experiment(name, scale) for name in NAMES):
        if experiment.init_from:
            start = get_experiment(experiment.init_from, scale)
            assert (start.model, start.options) == (experiment.model, experiment.options)
            assert NAMES.index(start.name) < NAMES.index(experiment.name)


@pytest.mark.parametrize("name", NAMES)
def test_the_listed_experiment_is_the_one_of_its_scale(name: str) -> None:
    listed = EXPERIMENTS[name]
    assert listed.scale == "paper"
    assert listed == get_experiment(name) == get_experiment(name, "paper")


@pytest.mark.parametrize("start", SCALES)
@pytest.mark.parametrize("scale", SCALES)
def test_a_scale_does_not_depend_on_the_one_before(start: str, scale: str) -> None:
    for name in NAMES:
        assert get_experiment(name, start).scaled(scale) == get_experiment(name, scale)


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("recipe", ["paper", "fast"])
def test_a_recipe_keeps_the_size_of_the_run(scale: str, recipe: str) -> None:
    before = get_experiment("simplified", scale)
    after = before.with_recipe(recipe)
    size = ("epochs", "batch_size", "crop", "test_crop", "rotation", "zoom", "aging")
    for field in dataclasses.fields(Recipe):
        source = before.recipe if field.name in size else RECIPES[recipe]
        assert getattr(after.recipe, field.name) == getattr(source, field.name), field.name
    assert dataclasses.replace(after, recipe=before.recipe) == before


def test_names_that_are_unknown() -> None:
    with pytest.raises(InputError, match=r"expected one of euclidean, .*; got 'rebalance'"):
        get_experiment("rebalance")
    with pytest.raises(InputError, match="expected one of paper, small, quick; got 'tiny'"):
        get_experiment("simplified", "tiny")
    with pytest.raises(InputError, match="expected one of paper, fast; got 'slow'"):
        EXPERIMENTS["simplified"].with_recipe("slow")


def test_an_experiment_is_frozen_and_is_json() -> None:
    for name in NAMES:
        experiment = get_experiment(name, "small")
        with pytest.raises(dataclasses.FrozenInstanceError):
            experiment.seed = 1  # type: ignore[misc]
        described = dataclasses.asdict(experiment)
        assert json.loads(json.dumps(described))["recipe"]["lr"] == experiment.recipe.lr


def test_it_needs_no_torch() -> None:
    script = "import sys, colorize.experiments; print('torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "False"
