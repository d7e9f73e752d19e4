"""The experiments of study A, as data: every one differs from its parent by the thing it studies.

Nothing here imports torch. ``colorize.runner`` turns an experiment into data sets, a model and a
training run.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from colorize.errors import InputError

SCALES = ("paper", "small", "quick")

VEHICLES = ("n06255081", "n02739889", "n03351262", "n02691156", "n02918964")
MORE_VEHICLES = ("n00449695", "n00449517", "n00449295", "n00451635", "n00451563")
TINY_VEHICLES = (
    *("n02814533", "n02917067", "n03100240", "n03393912", "n03444034"),
    *("n03447447", "n03599486", "n03662601", "n03670208", "n03796401"),
    *("n03977966", "n04146614", "n04285008", "n04465501", "n04487081"),
)
TINY_DOGS = ("n02085620", "n02094433", "n02099601", "n02099712", "n02106662", "n02113799")


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


# Zhang 2016 trained with Adam at these rates; study A kept them for its own data.
PAPER = Recipe(
    optimizer="adam",
    lr=3.16e-5,
    weight_decay=1e-3,
    schedule="constant",
    warmup=0,
    epochs=100,
    crop=176,
    test_crop=256,
    ema=0,
    init="default",
    clip=0,
)
FAST = Recipe()
RECIPES = {"paper": PAPER, "fast": FAST}


@dataclass(frozen=True)
class DataSpec:
    """Which images.

    Attributes:
        name: a set that DOWNLOADER knows, or "bundled".
        label: names the prior of its training images.
        classes: those kept; all when empty.
    """

    name: str
    label: str
    classes: tuple[str, ...] = ()


_PAPER_DATA = DataSpec("vehicles", "vehicles", VEHICLES)
_PAPER_FINAL = DataSpec("vehicles-final", "vehicles-final", VEHICLES + MORE_VEHICLES)
_SMALL_DATA = DataSpec("tiny-imagenet", "tiny-vehicles", TINY_VEHICLES)
_SMALL_FINAL = DataSpec("tiny-imagenet", "tiny-vehicles-dogs", TINY_VEHICLES + TINY_DOGS)
_QUICK_DATA = DataSpec("bundled", "bundled")


@dataclass(frozen=True)
class Experiment:
    """One trained model of the study.

    Attributes:
        name: with the seed, where it is not 0, the name of its checkpoint.
        claim: what the paper or the study says, which this run tests.
        model: name of the model class.
        options: its constructor arguments.
        prior: None for no rebalancing, "imagenet" for the authors', "train" for the training set's.
        smoothing: of the prior: None, "ab" (over the plane) or "index" (as the study did).
        lam: share of the uniform distribution in the rebalancing, equation 4.
        parent: the experiment that differs from this one by one thing.
        start_from: the experiment whose trained weights are the start.
        final: more classes, and longer.
    """

    name: str
    claim: str
    model: str = "ClassificationModel"
    options: Mapping[str, Any] = field(default_factory=dict)
    prior: str | None = None
    smoothing: str | None = None
    lam: float = 0.5
    parent: str | None = None
    start_from: str | None = None
    final: bool = False
    data: DataSpec = _PAPER_DATA
    recipe: Recipe = PAPER
    scale: str = "paper"
    seed: int = 0

    @property
    def run(self) -> str:
        """Name of the files of a run: another seed leaves those of the first one alone."""
        return self.name if self.seed == 0 else f"{self.name}-seed{self.seed}"

    def scaled(self, scale: str) -> Experiment:
        """The same experiment on another scale: ``"paper"``, ``"small"`` or ``"quick"``.

        Raises:
            InputError: when there is no such scale.
        """
        if scale == "paper":
            options = {key: value for key, value in self.options.items() if key != "width"}
            data = _PAPER_FINAL if self.final else _PAPER_DATA
            return replace(self, options=options, data=data, recipe=PAPER, scale=scale)
        if scale == "small":
            return replace(
                self,
                options={**self.options, "width": 0.5},
                data=_SMALL_FINAL if self.final else _SMALL_DATA,
                recipe=replace(FAST, epochs=30 if self.final else 20),
                scale=scale,
            )
        if scale == "quick":
            return replace(
                self,
                options={**self.options, "width": 0.25},
                data=_QUICK_DATA,
                recipe=replace(FAST, epochs=15 if self.final else 10, batch_size=16, ema=0.98),
                scale=scale,
            )
        raise InputError(f"scale: expected one of {', '.join(SCALES)}; got {scale!r}")

    def with_recipe(self, name: str) -> Experiment:
        """The same run by the optimizer settings of ``"paper"`` or ``"fast"``, at its own size.

        Raises:
            InputError: when there is no such recipe.
        """
        if name not in RECIPES:
            raise InputError(f"recipe: expected one of {', '.join(RECIPES)}; got {name!r}")
        kept = ("epochs", "batch_size", "crop", "test_crop")
        own = {key: getattr(self.recipe, key) for key in kept}
        return replace(self, recipe=replace(RECIPES[name], **own))


def get_experiment(name: str, scale: str = "paper") -> Experiment:
    """The experiment of that name at that scale.

    Raises:
        InputError: when there is no such experiment or scale.
    """
    if name not in EXPERIMENTS:
        raise InputError(f"experiment: expected one of {', '.join(EXPERIMENTS)}; got {name!r}")
    return EXPERIMENTS[name].scaled(scale)


def _by_name(*experiments: Experiment) -> dict[str, Experiment]:
    return {experiment.name: experiment for experiment in experiments}


EXPERIMENTS: dict[str, Experiment] = _by_name(
    Experiment(
        "euclidean",
        "An L2 loss averages over the plausible colors: the best RMSE, and the greyest pictures.",
        model="EuclideanModel",
    ),
    Experiment(
        "unbalanced-onehot",
        "Classification over bins instead of regression; one-hot targets treat a near miss as "
        "wrong as a far one.",
        options={"target": "onehot"},
        parent="euclidean",
    ),
    Experiment(
        "unbalanced",
        "Soft targets over the nearest bins let the net learn which colors are neighbors.",
        options={"target": "soft"},
        parent="unbalanced-onehot",
    ),
    Experiment(
        "rebalanced",
        "Class rebalancing with ImageNet's prior brings back the rare, saturated colors.",
        options={"target": "soft"},
        prior="imagenet",
        parent="unbalanced",
    ),
    Experiment(
        "rebalanced-smooth",
        "Smoothing the prior over the ab plane does not hurt (the study smoothed along the index, "
        "and found that it does).",
        options={"target": "soft"},
        prior="imagenet",
        smoothing="ab",
        parent="rebalanced",
    ),
    Experiment(
        "rebalanced-ours",
        "The prior of the training set itself fits a narrow subject better than ImageNet's.",
        options={"target": "soft"},
        prior="train",
        smoothing="ab",
        parent="rebalanced-smooth",
    ),
    Experiment(
        "simplified",
        "At most two convolutions a block and 416 channels: half the parameters, nearly the same "
        "pictures.",
        model="SimplifiedModel",
        options={"target": "soft"},
        prior="train",
        smoothing="ab",
        parent="rebalanced-ours",
    ),
    Experiment(
        "rebalanced-ours-final",
        "More classes and a longer training, from scratch, generalise further.",
        options={"target": "soft"},
        prior="train",
        smoothing="ab",
        parent="rebalanced-ours",
        final=True,
        data=_PAPER_FINAL,
    ),
    Experiment(
        "simplified-final",
        "Fine-tuning the simplified net on more classes reaches as far as training from scratch.",
        model="SimplifiedModel",
        options={"target": "soft"},
        prior="train",
        smoothing="ab",
        parent="simplified",
        start_from="simplified",
        final=True,
        data=_PAPER_FINAL,
    ),
)
