"""Model classes by the name that checkpoints and experiments give them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import torch

from colorize.errors import InputError
from colorize.models.base import IN_THE_WEIGHTS, Colorizer, records_arguments
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


C = TypeVar("C", bound=type[Colorizer])


def register_model(cls: C) -> C:
    """Decorate a class of your own, so that its models can be saved, and loaded by its name.

    The arguments of its ``__init__`` go into the checkpoint, so they must be what JSON can hold, or
    tensors. Before a checkpoint is loaded, the module that defines the class must be imported.
    """
    if not (isinstance(cls, type) and issubclass(cls, Colorizer)):
        raise InputError(f"register_model: expected a subclass of Colorizer, got {cls!r}")
    known = MODEL_CLASSES.get(cls.__name__)
    # A notebook's cell that is run again defines its class again.
    if known and (known.__module__, known.__qualname__) != (cls.__module__, cls.__qualname__):
        raise InputError(f"register_model: there is another {cls.__name__}, of {known.__module__}")
    if not hasattr(cls.__init__, "records_arguments"):
        cls.__init__ = records_arguments(cls.__init__)  # type: ignore[method-assign]
    MODEL_CLASSES[cls.__name__] = cls
    return cls


def build_from_config(name: str, config: Mapping[str, Any]) -> Colorizer:
    """Build the model of a checkpoint's class and config.

    The caller's random numbers stay as they are, and nothing is fetched.
    """
    arguments = {key: value for key, value in config.items() if key not in IN_THE_WEIGHTS}
    with torch.random.fork_rng():
        return MODEL_CLASSES[name](**arguments)
