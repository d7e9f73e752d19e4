"""The nine experiments of study A: Zhang et al. 2016 on vehicles."""

from __future__ import annotations

from colorize.experiments.experiment import Experiment, by_name

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
        parent="euclidean",
    ),
    Experiment(
        "unbalanced",
        "Soft targets over the nearest bins let the net learn which colors are neighbors.",
        options={"target": "soft"},
        parent="unbalanced-onehot",
    ),
    Experiment(
        "rebalanced",
        "Class rebalancing with ImageNet's prior brings back the rare, saturated colors.",
        options={"target": "soft"},
        prior="imagenet",
        parent="unbalanced",
    ),
    Experiment(
        "rebalanced-smooth",
        "Smoothing the prior over the ab plane does not hurt (the study smoothed along the index, "
        "and found that it does).",
        options={"target": "soft"},
        prior="imagenet",
        smoothing="ab",
        parent="rebalanced",
    ),
    Experiment(
        "rebalanced-ours",
        "The prior of the training set itself fits a narrow subject better than ImageNet's.",
        options={"target": "soft"},
        prior="train",
        smoothing="ab",
        parent="rebalanced-smooth",
    ),
    Experiment(
        "simplified",
        "At most two convolutions a block and 416 channels: half the parameters, nearly the same "
        "pictures.",
        model="SimplifiedModel",
        options={"target": "soft"},
        prior="train",
        smoothing="ab",
        parent="rebalanced-ours",
    ),
    Experiment(
        "rebalanced-ours-final",
        "More classes and a longer training, from scratch, generalise further.",
        options={"target": "soft"},
        prior="train",
        smoothing="ab",
        parent="rebalanced-ours",
        subject="vehicles-final",
    ),
    Experiment(
        "simplified-final",
        "Fine-tuning the simplified net on more classes reaches as far as training from scratch.",
        model="SimplifiedModel",
        options={"target": "soft"},
        prior="train",
        smoothing="ab",
        parent="simplified",
        start_from="simplified",
        subject="vehicles-final",
    ),
)
