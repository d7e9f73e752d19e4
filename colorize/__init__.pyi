from .app import app as app
from .color.bins import annealed_mean as annealed_mean
from .color.bins import published_bin_centers as published_bin_centers
from .color.bins import soft_encode as soft_encode
from .color.lab import lab_to_rgb as lab_to_rgb
from .color.lab import rgb_to_lab as rgb_to_lab
from .data.dataset import ColorizationDataset as ColorizationDataset
from .errors import ColorizeError as ColorizeError
from .evaluation.evaluate import evaluate as evaluate
from .experiments.catalog import EXPERIMENTS as EXPERIMENTS
from .experiments.catalog import get_experiment as get_experiment
from .experiments.run import run_experiment as run_experiment
from .models import ClassificationModel as ClassificationModel
from .models import ClassificationOnlyModel as ClassificationOnlyModel
from .models import ColorizationOnlyModel as ColorizationOnlyModel
from .models import Colorizer as Colorizer
from .models import ECCV16Model as ECCV16Model
from .models import EuclideanModel as EuclideanModel
from .models import JointModel as JointModel
from .models import SIGGRAPH17Model as SIGGRAPH17Model
from .models import SimplifiedModel as SimplifiedModel
from .models import UNetModel as UNetModel
from .models.checkpoint import save_checkpoint as save_checkpoint
from .models.hub import list_models as list_models
from .models.hub import load_model as load_model
from .photo.colorize import classify_image as classify_image
from .photo.colorize import colorize_image as colorize_image
from .photo.colorize import uncertainty as uncertainty
from .photo.prediction import Prediction as Prediction
from .photo.prediction import predict as predict
from .training.config import FitOptions as FitOptions
from .training.config import Recipe as Recipe
from .training.finetune import finetune as finetune
from .training.fit import fit as fit

__version__: str
__all__: list[str]
