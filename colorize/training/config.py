"""How a model is trained, as data. Imports no torch."""

from __future__ import annotations

import os
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
        crop: side of the training crop in pixels; 0 for that of the training set, which any other
            number must agree with.
        test_crop: side of the centre crop of validation and test; 0 for that of the validation set.
        ema: decay of the moving average of the weights; 0 for none.
        init: of a new model by ``run_experiment``; ``fit`` takes a model as it is, and nothing
            but "default". "kaiming" is He et al. 2015 for ReLU with zero biases.
        clip: largest norm of the gradient; 0 for no limit.
        lr_scale: factor of the rate for parameters whose name starts so.
        rotation: largest rotation of a training crop, as share of a full turn; the training set
            does it, so 0 stands for what the set does, as for ``crop``.
        zoom: side of a training crop as share of the image's short side, from and to; None takes
            crops at the image's own scale, or as the training set does.
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
    crop: int = 0
    test_crop: int = 0
    ema: float = 0.998
    init: str = "default"
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
    """How a run is executed. What is learned changes by rounding only, with one exception: batch
    norm takes its statistics from each part of a batch, and from each process's share of it, by
    itself, so ``accumulate`` and several processes change what such a net learns, as a smaller
    batch would (``Recipe.freeze_batchnorm`` rules that out).

    Attributes:
        workers: processes that load images; None for none when the pixels are cached, else up to 4.
        mixed_precision: "no", "fp16" or "bf16", by Accelerate.
        accumulate: parts in which a batch is computed, for small memories.
        compile: torch.compile through Accelerate.
        save_every: steps between two saves of the training state.
        early_steps: at the beginning, up to which every tenth is validated as well, and so are the
            weights before they are averaged (``raw_`` in the curve).
        log_dir: folder for TensorBoard; None for none.
        cpu: stay on the CPU although there is a GPU.
        half: store checkpoints in half precision.
        data_on_device: keep all training images on the training device, and crop them there.
    """

    workers: int | None = None
    mixed_precision: str = "no"
    accumulate: int = 1
    compile: bool = False
    save_every: int = 200
    early_steps: int = 0
    log_dir: str | os.PathLike[str] | None = None
    cpu: bool = False
    half: bool = False
    data_on_device: bool = False
