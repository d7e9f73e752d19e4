"""Automatic image colorization in PyTorch.

``from colorize import ...`` gives the public names below. They are imported when first asked for,
so that importing the package stays quick and does nothing else.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from colorize.color.bins import annealed_mean as annealed_mean
    from colorize.color.bins import published_bin_centers as published_bin_centers
    from colorize.color.bins import soft_encode as soft_encode
    from colorize.color.lab import lab_to_rgb as lab_to_rgb
    from colorize.color.lab import rgb_to_lab as rgb_to_lab
    from colorize.data.dataset import ColorizationDataset as ColorizationDataset
    from colorize.errors import ColorizeError as ColorizeError
    from colorize.evaluation.evaluate import evaluate as evaluate
    from colorize.experiments.catalog import EXPERIMENTS as EXPERIMENTS
    from colorize.experiments.catalog import get_experiment as get_experiment
    from colorize.experiments.run import run_experiment as run_experiment
    from colorize.models import ClassificationModel as ClassificationModel
    from colorize.models import ClassificationOnlyModel as ClassificationOnlyModel
    from colorize.models import ColorizationOnlyModel as ColorizationOnlyModel
    from colorize.models import Colorizer as Colorizer
    from colorize.models import ECCV16Model as ECCV16Model
    from colorize.models import EuclideanModel as EuclideanModel
    from colorize.models import JointModel as JointModel
    from colorize.models import SIGGRAPH17Model as SIGGRAPH17Model
    from colorize.models import SimplifiedModel as SimplifiedModel
    from colorize.models import UNetModel as UNetModel
    from colorize.models.checkpoint import save_checkpoint as save_checkpoint
    from colorize.models.hub import list_models as list_models
    from colorize.models.hub import load_model as load_model
    from colorize.photo.classify import classify_image as classify_image
    from colorize.photo.colorize import colorize_image as colorize_image
    from colorize.photo.colorize import uncertainty as uncertainty
    from colorize.training.config import FitOptions as FitOptions
    from colorize.training.config import Recipe as Recipe
    from colorize.training.fit import fit as fit

_HOMES = {
    "colorize.models.hub": ("list_models", "load_model"),
    "colorize.models.checkpoint": ("save_checkpoint",),
    "colorize.photo.classify": ("classify_image",),
    "colorize.color.lab": ("lab_to_rgb", "rgb_to_lab"),
    "colorize.data.dataset": ("ColorizationDataset",),
    "colorize.errors": ("ColorizeError",),
    "colorize.evaluation.evaluate": ("evaluate",),
    "colorize.experiments.catalog": ("EXPERIMENTS", "get_experiment"),
    "colorize.photo.colorize": ("colorize_image", "uncertainty"),
    "colorize.models": (
        "ClassificationModel",
        "ClassificationOnlyModel",
        "ColorizationOnlyModel",
        "Colorizer",
        "ECCV16Model",
        "EuclideanModel",
        "JointModel",
        "SIGGRAPH17Model",
        "SimplifiedModel",
        "UNetModel",
    ),
    "colorize.color.bins": ("annealed_mean", "published_bin_centers", "soft_encode"),
    "colorize.experiments.run": ("run_experiment",),
    "colorize.training.config": ("FitOptions", "Recipe"),
    "colorize.training.fit": ("fit",),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}
__all__ = sorted(_HOME_OF)


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOME_OF[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
