"""The models. Each is an ``nn.Module`` and only that; see ``colorize.models.base``."""

from colorize.models.base import Colorizer, evaluating
from colorize.models.outputs import EuclideanOutput, QuantizedOutput
from colorize.models.unet import UNetModel
from colorize.models.zhang import ClassificationModel, EuclideanModel, SimplifiedModel

MODEL_CLASSES: dict[str, type[Colorizer]] = {
    cls.__name__: cls for cls in (ClassificationModel, EuclideanModel, SimplifiedModel, UNetModel)
}

__all__ = [
    "MODEL_CLASSES",
    "ClassificationModel",
    "Colorizer",
    "EuclideanModel",
    "EuclideanOutput",
    "QuantizedOutput",
    "SimplifiedModel",
    "UNetModel",
    "evaluating",
]
