"""What an experiment is: as it is written, and as it is at one scale."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from colorize.data.spec import DataSpec
from colorize.errors import InputError
from colorize.experiments.presets import RECIPES, SCALES, SETTINGS
from colorize.training.config import Recipe


@dataclass(frozen=True)
class Experiment:
    """One trained model of the studies, as it is written; ``resolve`` gives what follows from it.

    Attributes:
        name: with the seed, where it is not 0, the name of its checkpoint.
        claim: what the paper or the study says, which this run tests.
        model: name of the model class.
        options: its constructor arguments.
        prior: None for no rebalancing, "imagenet" for the authors', "train" for the training set's.
        smoothing: of the prior: None, "ab" (over the plane) or "index" (as the study did).
        sigma: of the smoothing, in ab units or in indices.
        lam: share of the uniform distribution in the rebalancing, equation 4.
        baseline: the experiment that this one is compared with; they differ by one thing.
        init_from: the experiment whose trained weights are the start.
        pretrained: whether the encoder starts from its ImageNet weights.
        preset: what is on the images; ``SETTINGS`` has its images and recipe for each scale.
        scales: at which it says something that no other experiment says.
        recipe_changes: what differs from the preset's recipe.
        data_changes: what differs from the preset's choice of images.
        folder: below CHECKPOINTS, for runs of which there are many.
        colored_by: experiments whose colors a classifier of color images is tested on.
        also_test: experiments of other images, tested on this one's as well for comparison.
        choose_temperature: whether the temperature is chosen on the validation images.
        limits: where its colors are not to be trusted, for its card.
        best_by: what tells the weights that are best on validation, their "loss" or their "color".
        tested: the weights that all its results are of. Of the studies, which compare, the "last",
            averaged as the recipe says; of a model to use, those "best" on validation.
    """

    name: str
    claim: str
    model: str = "ClassificationModel"
    options: Mapping[str, Any] = field(default_factory=dict)
    prior: str | None = None
    smoothing: str | None = None
    sigma: float = 5.0
    lam: float = 0.5
    baseline: str | None = None
    init_from: str | None = None
    pretrained: bool = False
    preset: str = "vehicles"
    scales: tuple[str, ...] = SCALES
    recipe_changes: Mapping[str, Any] = field(default_factory=dict)
    data_changes: Mapping[str, Any] = field(default_factory=dict)
    folder: str = ""
    colored_by: tuple[str, ...] = ()
    also_test: tuple[str, ...] = ()
    choose_temperature: bool = False
    limits: str = ""
    best_by: str = "loss"
    tested: str = "last"


@dataclass(frozen=True, kw_only=True)
class ResolvedExperiment(Experiment):
    """An experiment at one scale, with one seed: all that training and testing need.

    ``options`` have the width of the scale; ``recipe`` and ``data`` have the changes.
    """

    data: DataSpec
    recipe: Recipe
    scale: str
    seed: int = 0

    @property
    def run(self) -> str:
        """Name of the files of a run: another seed leaves those of the first one alone."""
        return self.name if self.seed == 0 else f"{self.name}-seed{self.seed}"

    @property
    def keeps_weights(self) -> bool:
        """Whether weights and card belong to the results; of an ablation, and of more seeds, only
        the numbers do."""
        return not self.folder and self.seed == 0

    def with_recipe(self, name: str) -> ResolvedExperiment:
        """The same run by the optimizer settings of ``"paper"`` or ``"fast"``, at its own size."""
        if name not in RECIPES:
            raise InputError(f"recipe: expected one of {', '.join(RECIPES)}; got {name!r}")
        kept = ("epochs", "batch_size", "crop", "test_crop", "rotation", "zoom", "aging")
        size = {key: getattr(self.recipe, key) for key in kept}
        return replace(self, recipe=replace(RECIPES[name], **size))


def resolve(experiment: Experiment, scale: str, seed: int = 0) -> ResolvedExperiment:
    """Give an experiment the images, the recipe and the width of a scale."""
    if scale not in SCALES:
        raise InputError(f"scale: expected one of {', '.join(SCALES)}; got {scale!r}")
    if scale not in experiment.scales:
        raise InputError(
            f"{experiment.name}: at {scale} scale it would repeat another experiment; expected "
            f"the scale {' or '.join(experiment.scales)}"
        )
    setting = SETTINGS[experiment.preset][scale]
    width = {} if setting.width is None else {"width": setting.width}
    return ResolvedExperiment(
        **{
            **vars(experiment),
            "options": {**experiment.options, **width},
            "data": replace(setting.data, **experiment.data_changes),
            "recipe": replace(setting.recipe, **experiment.recipe_changes),
            "scale": scale,
            "seed": seed,
        }
    )


def by_name(*experiments: Experiment) -> dict[str, Experiment]:
    """Experiments in their order, by name."""
    return {experiment.name: experiment for experiment in experiments}
