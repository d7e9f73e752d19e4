"""The model for photographs of anything, in two stages: most of the training is at a size where
steps are cheap, the end at a larger one, for nets look best slightly above the size of training.
"""

from __future__ import annotations

from dataclasses import replace

from colorize.experiments.experiment import Experiment, by_name

_SMALL = Experiment(
    "photo-128px",
    "An encoder that knows what things are learns their colors on small crops, which is cheap.",
    model="UNetModel",
    options={"attention": True},
    prior="train",
    smoothing="ab",
    lam=0.6,
    pretrained=True,
    preset="photos",
)
PHOTO = by_name(
    _SMALL,
    replace(
        _SMALL,
        name="photo",
        claim="The same on larger crops: a model for photographs of anything, old ones too.",
        pretrained=False,
        init_from="photo-128px",
        recipe_changes={"crop": 160, "lr": 1.6e-3, "epochs": 1.03},
        choose_temperature=True,
        tested="best",
        limits=(
            "What can have any color (vehicles, cups, clothes) comes out brown, grey or in a color "
            "of its surroundings. Color bleeds at the borders of small things, for it comes at a "
            "quarter of the 160 px at which the net looks. Three of its failures are in "
            "[strip.png](../GRAPHS/strip.png): the suit, the flower and the motorcycle."
        ),
    ),
)
