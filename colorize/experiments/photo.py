"""The model for photographs of anything."""

from __future__ import annotations

from colorize.experiments.experiment import Experiment, by_name

PHOTO = by_name(
    Experiment(
        "photo",
        "An encoder that knows what things are colors photographs of anything, and old ones too.",
        model="UNetModel",
        prior="train",
        smoothing="ab",
        lam=0.6,
        pretrained=True,
        tempered=True,
        subject="photos",
    ),
)
