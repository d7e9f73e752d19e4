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
        choose_temperature=True,
        limits=(
            "Trained on 128 px crops of some twenty thousand photographs: landscapes, cats, "
            "dogs, pandas, flowers, clothes, the objects of Caltech-101. What can have any "
            "color (vehicles, cups, clothes) comes out brown, grey or in a color of its "
            "surroundings; plain walls and studio backgrounds may take a tint; skin is pale; "
            "carrots came out blue; winter trees and snow in a green picture turn greenish; "
            "color bleeds at the borders of small things, for it comes at a quarter of the 128 "
            "px at which the net looks. What was tried on the way is in photo-record.md."
        ),
        preset="photos",
        tested="best",
    ),
)
