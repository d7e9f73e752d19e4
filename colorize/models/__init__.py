"""The models. Each is an ``nn.Module`` and only that; see ``colorize.models.base``."""

from colorize.models.base import Colorizer, ModelOutput, eval_mode, unwrap
from colorize.models.heads import BinHead, RegressionHead
from colorize.models.iizuka import ClassificationOnlyModel, ColorizationOnlyModel, JointModel
from colorize.models.registry import MODEL_CLASSES, register_model
from colorize.models.unet import UNetModel
from colorize.models.zhang import ClassificationModel, EuclideanModel, SimplifiedModel
from colorize.models.zhang_released import ECCV16Model, SIGGRAPH17Model

__all__ = [
    "MODEL_CLASSES",
    "ClassificationModel",
    "ClassificationOnlyModel",
    "ColorizationOnlyModel",
    "Colorizer",
    "ECCV16Model",
    "EuclideanModel",
    "RegressionHead",
    "JointModel",
    "ModelOutput",
    "BinHead",
    "SIGGRAPH17Model",
    "SimplifiedModel",
    "UNetModel",
    "eval_mode",
    "register_model",
    "unwrap",
]
