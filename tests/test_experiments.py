"""The experiments as data: their names, what each changes, and the sizes of each scale."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from typing import Any

import pytest

from colorize import experiments as x
from colorize.errors import InputError

# Name, parent, and what it studies: the fields in which it may differ from its parent.
STUDIED: dict[str, tuple[str | None, set[str]]] = {
    "euclidean": (None, set()),
    "unbalanced-onehot": ("euclidean", {"model", "options.target"}),
    "unbalanced": ("unbalanced-onehot", {"options.target"}),
    "rebalanced": ("unbalanced", {"prior"}),
    "rebalanced-smooth": ("rebalanced", {"smoothing"}),
    "rebalanced-ours": ("rebalanced-smooth", {"prior"}),
    "simplified": ("rebalanced-ours", {"model"}),
    "rebalanced-ours-final": ("rebalanced-ours", {"subject"}),
    "simplified-final": ("simplified", {"subject", "start_from"}),
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
IDENTITY = {"name", "claim", "parent"}
# The list, and the study's further classes.
SYNSETS = ("n06255081", "n02739889", "n03351262", "n02691156", "n02918964")
FINAL_SYNSETS = ("n00449695", "n00449517", "n00449295", "n00451635", "n00451563")
TINY = (
    *("n02814533", "n02917067", "n03100240", "n03393912", "n03444034"),
    *("n03447447", "n03599486", "n03662601", "n03670208", "n03796401"),
    *("n03977966", "n04146614", "n04285008", "n04465501", "n04487081"),
)
TINY_DOGS = ("n02085620", "n02094433", "n02099601", "n02099712", "n02106662", "n02113799")


def _final(experiment: x.Experiment) -> bool:
    return experiment.subject == "vehicles-final"


def _flat(experiment: x.Experiment) -> dict[str, Any]:
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


def _differing(one: x.Experiment, other: x.Experiment) -> set[str]:
    a, b = _flat(one), _flat(other)
    return {key for key in a.keys() | b.keys() if a.get(key) != b.get(key)} - IDENTITY


def test_the_nine_in_their_order() -> None:
    assert list(x.STUDY_A) == NAMES
    assert [e.name for e in x.STUDY_A.values()] == NAMES
    assert {**x.STUDY_A, **x.STUDY_B}.items() <= x.EXPERIMENTS.items()


@pytest.mark.parametrize("scale", x.SCALES)
@pytest.mark.parametrize("name", NAMES)
def test_each_differs_from_its_parent_by_what_it_studies(name: str, scale: str) -> None:
    parent, studied = STUDIED[name]
    experiment = x.get_experiment(name, scale)
    assert experiment.parent == parent
    if parent is None:
        return
    assert NAMES.index(parent) < NAMES.index(name)
    found = _differing(experiment, x.get_experiment(parent, scale))
    if "subject" in studied:
        # The bundled photographs have no further classes to add.
        assert ("data" in found) == (scale != "quick")
        found -= OF_FINAL
    assert found == studied


@pytest.mark.parametrize("scale", x.SCALES)
@pytest.mark.parametrize("name", x.STUDY_B)
def test_each_of_study_b_differs_by_what_its_name_says(name: str, scale: str) -> None:
    experiment = x.get_experiment(name, scale)
    prefix, _, variant = name.partition("-")
    assert experiment.subject == {"ncd": "fruit", "dogs": "dogs"}[prefix]
    if variant == "color":
        assert experiment.parent == f"{prefix}-joint"
    assert experiment.parent is not None and experiment.parent.startswith(prefix)
    found = _differing(experiment, x.get_experiment(experiment.parent, scale))
    assert found == STUDIED_B[variant]


def test_both_subjects_have_the_same_ablation() -> None:
    by_subject = {
        prefix: [n.removeprefix(f"{prefix}-") for n in x.STUDY_B if n.startswith(prefix)]
        for prefix in x.SUBJECTS
    }
    assert by_subject["ncd"] == by_subject["dogs"] == list(STUDIED_B)
    alphas = [e.options["alpha"] for n, e in x.STUDY_B.items() if n.startswith("ncd-alpha")]
    assert alphas == [0.0, 1 / 30, 1 / 3, 1.0]
    assert x.STUDY_B["ncd-joint"].options["alpha"] == x.ALPHA == 1 / 300
    assert len(x.SEEDS) == 3


@pytest.mark.parametrize("name", x.EXPERIMENTS)
def test_each_says_what_it_tests(name: str) -> None:
    experiment = x.EXPERIMENTS[name]
    assert len(experiment.claim) > 20 and experiment.claim.endswith(".")
    same = [e for e in x.EXPERIMENTS.values() if e.subject == experiment.subject]
    assert [e.claim for e in same].count(experiment.claim) == 1


def test_models_and_priors() -> None:
    def fields(name: str) -> tuple[Any, ...]:
        e = x.EXPERIMENTS[name]
        return e.model, e.options.get("target"), e.prior, e.smoothing, _final(e), e.start_from

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
    assert {e.lam for e in x.STUDY_A.values()} == {0.5}
    assert len({e.seed for e in x.EXPERIMENTS.values()}) == 1


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


@pytest.mark.parametrize("scale", x.SCALES)
@pytest.mark.parametrize("name", VARIANTS)
def test_a_variant_differs_by_what_it_is_named_after(name: str, scale: str) -> None:
    of, expected = VARIANTS[name]
    variant, plain = x.get_experiment(name, scale), x.get_experiment(of, scale)
    found = _differing(variant, plain) - {"folder", "subject"}
    if scale == "paper" and name != "rebalanced-smooth-index":
        # There the recipe is the paper's anyway, and its crops are patches.
        assert found == set()
    else:
        assert found == expected
    assert variant.folder == "ablation" and variant.name not in x.STUDY_A
    if name == "simplified-patches":
        assert variant.recipe.crop < variant.recipe.test_crop == plain.recipe.test_crop
        # The nets' grid is of 8 pixels.
        assert variant.recipe.crop % 8 == 0
    if name == "simplified-paper-recipe":
        assert (variant.recipe.optimizer, variant.recipe.lr) == ("adam", 3.16e-5)


def test_the_variants_and_what_is_repeated() -> None:
    assert list(x.STUDY_A_VARIANTS) == list(VARIANTS)
    assert x.STUDY_A_VARIANTS.items() <= x.EXPERIMENTS.items()
    assert set(x.REPEATED) <= set(x.STUDY_A) and len(x.SEEDS) == 3 and x.SEEDS[0] == 0
    assert {e.parent for e in x.STUDY_A_VARIANTS.values()} <= set(x.STUDY_A)


def test_weights_are_kept_of_the_first_run_of_what_is_no_ablation() -> None:
    for experiment in x.EXPERIMENTS.values():
        assert experiment.keeps_weights == (not experiment.folder)
        assert not dataclasses.replace(experiment, seed=1).keeps_weights
    assert x.EXPERIMENTS["photo"].keeps_weights and x.EXPERIMENTS["joint-ncd"].keeps_weights
    assert not x.EXPERIMENTS["ncd-joint"].keeps_weights


@pytest.mark.parametrize("name", NAMES)
def test_paper_scale(name: str) -> None:
    experiment = x.get_experiment(name, "paper")
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
    small, quick = x.get_experiment(name, "small"), x.get_experiment(name, "quick")
    final = _final(small)
    assert (small.data.name, quick.data.name) == ("tiny-imagenet", "bundled")
    assert small.data.classes == (TINY + TINY_DOGS if final else TINY)
    assert quick.data.classes == ()
    for experiment in (small, quick):
        assert experiment.recipe.crop == experiment.recipe.test_crop == 64
        assert 0 < experiment.options["width"] < 1
        other = x.get_experiment("rebalanced-ours", experiment.scale)
        assert (experiment.recipe.epochs > other.recipe.epochs) == final
    assert {small.scale, quick.scale} == {"small", "quick"}
    # A prior is named after its classes: that of more classes does not replace the other.
    assert (small.data.label == x.get_experiment("simplified", "small").data.label) == (not final)


@pytest.mark.parametrize("scale", x.SCALES)
def test_a_start_fits_what_starts_from_it(scale: str) -> None:
    for experiment in (x.get_experiment(name, scale) for name in NAMES):
        if experiment.start_from:
            start = x.get_experiment(experiment.start_from, scale)
            assert (start.model, start.options) == (experiment.model, experiment.options)
            assert NAMES.index(start.name) < NAMES.index(experiment.name)


@pytest.mark.parametrize("name", NAMES)
def test_the_listed_experiment_is_the_one_of_its_scale(name: str) -> None:
    listed = x.EXPERIMENTS[name]
    assert listed.scale == "paper"
    assert listed == x.get_experiment(name) == x.get_experiment(name, "paper")


@pytest.mark.parametrize("start", x.SCALES)
@pytest.mark.parametrize("scale", x.SCALES)
def test_a_scale_does_not_depend_on_the_one_before(start: str, scale: str) -> None:
    for name in NAMES:
        assert x.get_experiment(name, start).scaled(scale) == x.get_experiment(name, scale)


@pytest.mark.parametrize("scale", x.SCALES)
@pytest.mark.parametrize("recipe", ["paper", "fast"])
def test_a_recipe_keeps_the_size_of_the_run(scale: str, recipe: str) -> None:
    before = x.get_experiment("simplified", scale)
    after = before.with_recipe(recipe)
    size = ("epochs", "batch_size", "crop", "test_crop", "rotation", "zoom", "ageing")
    for field in dataclasses.fields(x.Recipe):
        source = before.recipe if field.name in size else x.RECIPES[recipe]
        assert getattr(after.recipe, field.name) == getattr(source, field.name), field.name
    assert dataclasses.replace(after, recipe=before.recipe) == before


def test_names_that_are_unknown() -> None:
    with pytest.raises(InputError, match=r"expected one of euclidean, .*; got 'rebalance'"):
        x.get_experiment("rebalance")
    with pytest.raises(InputError, match="expected one of paper, small, quick; got 'tiny'"):
        x.get_experiment("simplified", "tiny")
    with pytest.raises(InputError, match="expected one of paper, fast; got 'slow'"):
        x.EXPERIMENTS["simplified"].with_recipe("slow")


def test_an_experiment_is_frozen_and_is_json() -> None:
    for name in NAMES:
        experiment = x.get_experiment(name, "small")
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
