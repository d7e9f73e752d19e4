"""The losses of study A at photo scale: its experiments on the U-Net of the photo model.

It is not the net of 2016. There no net had less error than grey by much, so the losses are compared
where nets may learn more.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import chain

from colorize.experiments.experiment import Experiment, by_name
from colorize.experiments.study_a import STUDY_A_ALL

PHOTO_LOSS_SEEDS = (0, 1)
"""Every one of ``PHOTO_LOSSES`` is run with these."""


def _on_photos(experiment: Experiment) -> Experiment:
    regression = experiment.name == "euclidean"
    return replace(
        experiment,
        name=f"photo-{experiment.name}",
        model="UNetModel",
        options={
            "attention": True,
            "color": "regression" if regression else "classification",
            **experiment.options,
        },
        baseline=experiment.baseline and f"photo-{experiment.baseline}",
        pretrained=True,
        preset="photo-losses",
        scales=("small", "quick"),
        folder="ablation",
    )


PHOTO_LOSSES: dict[str, Experiment] = by_name(
    *(
        _on_photos(STUDY_A_ALL[name])
        for name in (
            "euclidean",
            "unbalanced-onehot",
            "unbalanced",
            "rebalanced",
            "rebalanced-ours",
            # Smoothed at equal width: 8 % of a bin's mass stays in its place.
            "rebalanced-smooth-index",
            "rebalanced-smooth-ab-wide",
        )
    )
)

PHOTO_LOSS_PAIRS = [
    *dict.fromkeys(
        chain.from_iterable(
            ((name, experiment.baseline), (name, "photo-euclidean"))
            for name, experiment in PHOTO_LOSSES.items()
            if experiment.baseline
        )
    ),
    ("photo-rebalanced-smooth-ab-wide", "photo-rebalanced"),
]
"""What is compared: each with its baseline and with regression, and the second way to smooth with
no smoothing, as the first."""
