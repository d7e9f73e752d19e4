"""Model classes by the name that checkpoints and experiments give them."""

from __future__ import annotations

from typing import Any

from colorize.models.base import Colorizer
from colorize.models.iizuka import ClassificationOnlyModel, ColorizationOnlyModel, JointModel
from colorize.models.unet import UNetModel
from colorize.models.zhang import ClassificationModel, EuclideanModel, SimplifiedModel
from colorize.models.zhang_released import ECCV16Model, SIGGRAPH17Model

MODEL_CLASSES: dict[str, type[Colorizer]] = {
    cls.__name__: cls
    for cls in (
        ClassificationModel,
        EuclideanModel,
        SimplifiedModel,
        JointModel,
        ColorizationOnlyModel,
        ClassificationOnlyModel,
        UNetModel,
        ECCV16Model,
        SIGGRAPH17Model,
    )
}


def build_from_config(name: str, config: dict[str, Any]) -> Colorizer:
    """Build the model of a checkpoint's class and config, also of those by older names."""
    arguments = dict(config)
    if "sees" in arguments:
        arguments["in_channels"] = len(arguments.pop("sees"))  # "L" or "lab"
    return MODEL_CLASSES[name](**arguments)
