"""The nine experiments of study A: Zhang et al. 2016 on vehicles."""

from __future__ import annotations

from dataclasses import replace

from colorize.experiments.experiment import Experiment, by_name
from colorize.experiments.presets import RECIPES

REPEATED = ("rebalanced-ours", "simplified")
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
        "rebalanced-smooth",
        "Smoothing the prior over the ab plane does not hurt (the study smoothed along the index, "
        "and found that it does).",
        prior="imagenet",
        smoothing="ab",
        baseline="rebalanced",
    ),
    Experiment(
        "rebalanced-ours",
        "The prior of the training set itself fits a narrow subject better than ImageNet's.",
        prior="train",
        smoothing="ab",
        baseline="rebalanced-smooth",
    ),
    Experiment(
        "simplified",
        "At most two convolutions a block and 416 channels: half the parameters, nearly the same "
        "pictures.",
        model="SimplifiedModel",
        prior="train",
        smoothing="ab",
        baseline="rebalanced-ours",
    ),
    Experiment(
        "rebalanced-ours-final",
        "More classes and a longer training, from scratch, generalise further.",
        prior="train",
        smoothing="ab",
        baseline="rebalanced-ours",
        also_test=("rebalanced-ours",),
        preset="vehicles-final",
    ),
    Experiment(
        "simplified-final",
        "Fine-tuning the simplified net on more classes reaches as far as training from scratch.",
        model="SimplifiedModel",
        prior="train",
        smoothing="ab",
        baseline="simplified",
        init_from="simplified",
        also_test=("simplified",),
        preset="vehicles-final",
    ),
)

_PAPER_OPTIMIZER = {
    key: getattr(RECIPES["paper"], key)
    for key in ("optimizer", "lr", "weight_decay", "schedule", "warmup", "ema", "init", "clip")
}

# What the nine leave open. Of these the numbers are kept, not the weights.
STUDY_A_VARIANTS: dict[str, Experiment] = by_name(
    replace(
        STUDY_A["rebalanced-smooth"],
        name="rebalanced-smooth-index",
        claim="Smoothing the prior along the index of the bins, as the study did.",
        smoothing="index",
        baseline="rebalanced-smooth",
        folder="ablation",
    ),
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
