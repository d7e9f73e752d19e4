"""The models. Each is an ``nn.Module`` and only that; see ``colorize.models.base``."""

from colorize.models.base import Colorizer, evaluating
from colorize.models.iizuka import ClassificationOnlyModel, ColorizationOnlyModel, JointModel
from colorize.models.outputs import EuclideanOutput, QuantizedOutput
from colorize.models.published import ECCV16Model, SIGGRAPH17Model
from colorize.models.unet import UNetModel
from colorize.models.zhang import ClassificationModel, EuclideanModel, SimplifiedModel

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

__all__ = [
    "MODEL_CLASSES",
    "ClassificationModel",
    "ClassificationOnlyModel",
    "ColorizationOnlyModel",
    "Colorizer",
    "ECCV16Model",
    "EuclideanModel",
    "EuclideanOutput",
    "JointModel",
    "QuantizedOutput",
    "SIGGRAPH17Model",
    "SimplifiedModel",
    "UNetModel",
    "evaluating",
]
