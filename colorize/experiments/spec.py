"""What an experiment is made of: a recipe of training, a choice of images, a setting of both."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Recipe:
    """How a model is trained.

    Attributes:
        optimizer: "adam", "adamw", "sgd" or "adadelta".
        lr: peak learning rate.
        betas: of Adam and AdamW; the first is SGD's momentum.
        weight_decay: of the optimizer.
        schedule: "constant", or "cosine" down to 0 at the end.
        warmup: share of the steps over which the rate rises linearly from 0.
        epochs: passes over the training set.
        batch_size: images for each step, over all processes and accumulated parts.
        crop: side of the training crop in pixels.
        test_crop: side of the centre crop of validation and test.
        ema: decay of the moving average of the weights; 0 for none.
        init: of a new model by ``run_experiment``; ``fit`` takes a model as it is. "default" is
            PyTorch's, "kaiming" is He et al. 2015 for ReLU with zero biases.
        clip: largest norm of the gradient; 0 for no limit.
        lr_scale: factor of the rate for parameters whose name starts so.
        rotation: largest rotation of a training crop, as share of a full turn.
        zoom: side of a training crop as share of the image's short side, from and to; None takes
            crops at the image's own scale.
        ageing: whether the net is shown the lightness as an old photograph has it.
    """

    optimizer: str = "adamw"
    lr: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.99)
    weight_decay: float = 1e-2
    schedule: str = "cosine"
    warmup: float = 0.05
    epochs: float = 20
    batch_size: int = 32
    crop: int = 64
    test_crop: int = 64
    ema: float = 0.998
    init: str = "kaiming"
    clip: float = 1.0
    lr_scale: Mapping[str, float] = field(default_factory=dict)
    rotation: float = 0.0
    zoom: tuple[float, float] | None = None
    ageing: bool = False


@dataclass(frozen=True)
class DataSpec:
    """Which images.

    Attributes:
        name: a set that DOWNLOADER knows, or "bundled".
        label: names the prior of its training images.
        classes: those kept; all when empty.
        subfolder: only what lies below it; None for all.
        resize: short side to which images are brought before they are cropped; None keeps them.
        division: "content"; "folders" for that of the data set itself; "tail" for study B's
            flawed one, the last of the sorted files; "patch" of the bundled photographs.
        reseed: another seed of the run also is another division into training and test images.
    """

    name: str
    label: str
    classes: tuple[str, ...] = ()
    subfolder: str | None = None
    resize: int | None = None
    division: str = "content"
    reseed: bool = False


@dataclass(frozen=True)
class Setting:
    """A subject at one scale: its images, how long to train, and the width of the nets.

    Attributes:
        width: of the models; None for their own default, the paper's.
    """

    data: DataSpec
    recipe: Recipe
    width: float | None = None
