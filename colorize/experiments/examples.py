"""Images to show models on: those of an experiment's test set, or bundled photographs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from colorize.data.bundled import bundled_dataset
from colorize.data.dataset import ImageDataset
from colorize.evaluation.examples import spread_indices
from colorize.experiments.build import load_split
from colorize.experiments.catalog import get_experiment


class Examples(NamedTuple):
    """Images to show.

    Attributes:
        dataset: the test set, or patches of the bundled photographs.
        indices: evenly spaced, not chosen by hand.
        classes: of the chosen images.
        source: where they come from, in words.
        suffix: for the names of figures that do not show the data set itself.
    """

    dataset: ImageDataset
    indices: list[int]
    classes: list[str]
    source: str
    suffix: str


def example_images(name: str, scale: str, root: str | Path | None, n: int) -> Examples:
    """Choose ``n`` images for the models of an experiment.

    Args:
        root: the data set's folder or .zip; None or empty for ``DATA/<name>``. Where that is not
            there, patches of the bundled photographs take its place, and ``source`` says so.

    Raises:
        DataError: when a root was given and is not there, or the data set cannot be read.
    """
    experiment = get_experiment(name, scale)
    places = experiment.data.roots
    here = all(p.exists() or p.with_name(f"{p.name}.zip").exists() for p in places)
    if root or here or experiment.data.name == "bundled":
        dataset = load_split(experiment, "test", Path(root) if root else None)
        source = f"Test images of {experiment.data.name}, evenly spaced."
        suffix = ""
    else:
        dataset = bundled_dataset(experiment.recipe.test_crop, split=None)
        source = (
            f"The data set {experiment.data.name} is not here: these are patches of photographs "
            "that come with our dependencies."
        )
        suffix = "-bundled"
    indices = spread_indices(len(dataset), n)
    labels = [int(dataset[i]["label"]) for i in indices]
    return Examples(dataset, indices, [dataset.classes[label] for label in labels], source, suffix)


def as_paths(roots: Mapping[str, str]) -> dict[str, Path]:
    """Roots by the name of the data set, without those that are empty."""
    return {name: Path(root) for name, root in roots.items() if root}
