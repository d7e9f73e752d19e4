"""How a model is trained, as data. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


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
        aging: share of the images that the net is shown as an old photograph has their lightness.
        neutral: share of the images that become a grey field or get grey margins.
        frozen: beginnings of the names of parameters and modules that stay as they are.
        freeze_batchnorm: whether batch norm keeps the statistics that it has.
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
    aging: float = 0.0
    neutral: float = 0.0
    frozen: tuple[str, ...] = ()
    freeze_batchnorm: bool = False


@dataclass(frozen=True)
class FitOptions:
    """How a run is executed; what is learned changes by rounding only.

    Attributes:
        workers: processes that load images; None for none when the pixels are cached, else up to 4.
        mixed_precision: "no", "fp16" or "bf16", by Accelerate.
        accumulate: parts in which a batch is computed, for small memories.
        compile: torch.compile through Accelerate.
        save_every: steps between two saves of the training state.
        log_dir: folder for TensorBoard; None for none.
        cpu: stay on the CPU although there is a GPU.
        half: store checkpoints in half precision.
    """

    workers: int | None = None
    mixed_precision: str = "no"
    accumulate: int = 1
    compile: bool = False
    save_every: int = 200
    log_dir: Path | None = None
    cpu: bool = False
    half: bool = False
