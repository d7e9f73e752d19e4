"""Study A: Zhang et al. 2016 on vehicles, the nine experiments and what they leave open."""

from __future__ import annotations

from dataclasses import replace
from itertools import chain

from colorize.experiments.experiment import Experiment, by_name
from colorize.experiments.presets import RECIPES

REPEATED = ("euclidean", "unbalanced", "rebalanced", "rebalanced-ours", "simplified")
"""Those that are trained with all ``SEEDS``, to know how far chance goes."""

STUDY_A: dict[str, Experiment] = by_name(
    Experiment(
        "euclidean",
        "An L2 loss averages over the plausible colors: the best RMSE, and the greyest pictures.",
        model="EuclideanModel",
    ),
    Experiment(
        "unbalanced-onehot",
        "Classification over bins instead of regression; one-hot targets treat a near miss as "
        "wrong as a far one.",
        options={"target": "onehot"},
        baseline="euclidean",
    ),
    Experiment(
        "unbalanced",
        "Soft targets over the nearest bins let the net learn which colors are neighbors.",
        baseline="unbalanced-onehot",
    ),
    Experiment(
        "rebalanced",
        "Class rebalancing with ImageNet's prior brings back the rare, saturated colors.",
        prior="imagenet",
        baseline="unbalanced",
    ),
    Experiment(
        "rebalanced-smooth-index",
        "A smoothed prior hurts (the study smoothed it along the index of the bins).",
        prior="imagenet",
        smoothing="index",
        baseline="rebalanced",
    ),
    Experiment(
        "rebalanced-ours",
        "The prior of the training set itself fits a narrow subject better than ImageNet's.",
        prior="train",
        baseline="rebalanced",
    ),
    Experiment(
        "simplified",
        "At most two convolutions a block and 416 channels: half the parameters, nearly the same "
        "pictures.",
        model="SimplifiedModel",
        prior="train",
        baseline="rebalanced-ours",
    ),
    Experiment(
        "rebalanced-ours-final",
        "More classes and a longer training, from scratch, generalise further.",
        prior="train",
        baseline="rebalanced-ours-longer",
        also_test=("rebalanced-ours-longer", "rebalanced-ours", "euclidean"),
        preset="vehicles-final",
    ),
    Experiment(
        "simplified-final",
        "Fine-tuning the simplified net on more classes makes the best net, above `euclidean`.",
        model="SimplifiedModel",
        prior="train",
        baseline="simplified-longer",
        init_from="simplified",
        also_test=("simplified-longer", "simplified", "euclidean"),
        preset="vehicles-final",
    ),
)

_PAPER_OPTIMIZER = {
    key: getattr(RECIPES["paper"], key)
    for key in ("optimizer", "lr", "weight_decay", "schedule", "warmup", "ema", "init", "clip")
}


def _longer(name: str, init_from: str | None = None) -> Experiment:
    return replace(
        STUDY_A[name],
        name=f"{name}-longer",
        claim="As many steps as the final net, on the classes of the first: length alone.",
        baseline=name,
        preset="vehicles-longer",
        # At quick scale the final nets have no other classes.
        scales=("paper", "small"),
        init_from=init_from,
    )


# Smoothing is compared where it leaves as much of a bin's mass in its place: 8 % by 5 indices and
# by 14.1 ab units, 62 % by 0.64 indices and by 5 ab units.
STUDY_A_VARIANTS: dict[str, Experiment] = by_name(
    replace(
        STUDY_A["rebalanced"],
        name="rebalanced-smooth-ab",
        claim="Smoothing the prior over the ab plane does not hurt.",
        smoothing="ab",
        baseline="rebalanced",
    ),
    replace(
        STUDY_A["rebalanced-ours"],
        name="rebalanced-ours-smooth-ab",
        claim="Smoothing the own prior over the ab plane does not hurt.",
        smoothing="ab",
        baseline="rebalanced-ours",
    ),
    replace(
        STUDY_A["rebalanced-smooth-index"],
        name="rebalanced-smooth-ab-wide",
        claim="Smoothed over the plane as strongly as the study did along the index.",
        smoothing="ab",
        sigma=14.1,
        baseline="rebalanced-smooth-index",
    ),
    replace(
        STUDY_A["rebalanced-smooth-index"],
        name="rebalanced-smooth-index-narrow",
        claim="Smoothed along the index as weakly as by 5 units over the plane.",
        sigma=0.64,
        baseline="rebalanced-smooth-ab",
    ),
    _longer("rebalanced-ours"),
    _longer("simplified", init_from="simplified"),
    replace(
        STUDY_A["simplified"],
        name="simplified-patches",
        claim="Training on patches of the pictures holds overfitting back.",
        baseline="simplified",
        preset="vehicles-patches",
        # At the paper's scale every run is on patches.
        scales=("small", "quick"),
        folder="ablation",
    ),
    replace(
        STUDY_A["simplified"],
        name="simplified-paper-recipe",
        claim="The optimizer settings of the paper, in place of ours.",
        baseline="simplified",
        recipe_changes=_PAPER_OPTIMIZER,
        # At the paper's scale every run has them.
        scales=("small", "quick"),
        folder="ablation",
    ),
)

STUDY_A_ALL = {**STUDY_A, **STUDY_A_VARIANTS}
"""All of study A, in this order."""
FINALS = [name for name in STUDY_A_ALL if "-final" in name]
"""Those that are trained and tested on dogs too."""
_ONCE_SMOOTHED = (
    "rebalanced-smooth-index",
    "rebalanced-smooth-ab-wide",
    "rebalanced-smooth-ab",
    "rebalanced-smooth-index-narrow",
)

STUDY_A_PAIRS: dict[str, list[tuple[str, str]]] = {
    "differences": [(name, e.baseline) for name, e in STUDY_A_ALL.items() if e.baseline],
    "smoothing": [
        *((name, "rebalanced") for name in _ONCE_SMOOTHED),
        ("rebalanced-smooth-ab-wide", "rebalanced-smooth-ab"),
        ("rebalanced-smooth-index", "rebalanced-smooth-index-narrow"),
    ],
    "regression": [(name, "euclidean") for name in ("unbalanced-onehot", *REPEATED[1:])],
    "longer": [(n, o) for n in FINALS for o in STUDY_A_ALL[n].also_test if o != "euclidean"],
    "headline": [(name, "euclidean") for name in FINALS],
}
"""What is compared, by question: experiment and baseline."""
STUDY_A_JUDGED = list(chain.from_iterable(STUDY_A_PAIRS.values()))
"""All of them: they are judged together."""
