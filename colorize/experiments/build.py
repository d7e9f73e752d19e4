"""What a run starts from: images, the prior of their colors, class weights, the untrained model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from inspect import signature
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from colorize import paths
from colorize.color.bins import FILE_NAME, published_bin_centers, save_bin_centers
from colorize.color.prior import (
    class_weights,
    count_bins,
    load_prior,
    save_prior,
    smooth_prior,
    smooth_prior_along_index,
)
from colorize.data.bundled import bundled_dataset
from colorize.data.dataset import ColorizationDataset, ImageDataset
from colorize.data.joined import Roots
from colorize.data.spec import DataSpec
from colorize.data.splits import SPLITS, Split
from colorize.errors import CheckpointError
from colorize.evaluation.results import load_results
from colorize.experiments.catalog import get_experiment
from colorize.experiments.experiment import ResolvedExperiment
from colorize.experiments.files import scale_folder, tested_weights
from colorize.models import MODEL_CLASSES, BinHead, Colorizer, UNetModel
from colorize.models.checkpoint import load_weights
from colorize.models.pretrained import encoder_weights
from colorize.training.optim import initialise


@dataclass(frozen=True)
class Splits:
    """Training, validation and test images of one data set; no image is in two of them."""

    train: ImageDataset
    val: ImageDataset
    test: ImageDataset


def load_splits(
    experiment: ResolvedExperiment, root: Roots | None = None, *, progress: bool = False
) -> Splits:
    """Load the images of an experiment, as ``load_split``."""
    return Splits(*(load_split(experiment, split, root, progress=progress) for split in SPLITS))


def load_split(
    experiment: ResolvedExperiment,
    split: Split,
    root: Roots | None = None,
    *,
    progress: bool = False,
) -> ImageDataset:
    """Load the training, validation or test images of an experiment.

    Args:
        root: a folder or .zip with the data set, or several; None for those in DATA.
        progress: whether to show a progress bar.
    """
    spec, recipe = experiment.data, experiment.recipe
    train = split == "train"
    size = recipe.crop if train else recipe.test_crop
    seed = experiment.seed if spec.reseed else 0
    if spec.name == "bundled":
        return bundled_dataset(
            size,
            train,
            split=split,
            split_by=spec.split_by,
            seed=seed,
            rotation=recipe.rotation,
            zoom=recipe.zoom,
        )
    return ColorizationDataset(
        spec.roots if root is None else root,
        size,
        train,
        split=split,
        classes=spec.classes or None,
        resize=spec.resize,
        split_by=spec.split_by,
        seed=seed,
        rotation=recipe.rotation,
        zoom=recipe.zoom,
        progress=progress,
    )


def training_prior(spec: DataSpec, train_set: ImageDataset, folder: Path) -> Tensor:
    """Count the prior of a training set once, keep it in ``folder``, and read it from there.

    Its record says which images were counted; those of another training set are counted again.
    """
    path = folder / f"prior-{spec.prior_name}.json"
    identity = train_set.content_sha256
    counted = path.is_file() and path.with_suffix(".npy").is_file()
    if not (counted and load_results(path).get("content_sha256") == identity):
        indices = tqdm(range(len(train_set)), "prior", unit="image", disable=None)
        images = (torch.from_numpy(train_set.image(i)).movedim(-1, 0)[None] for i in indices)
        count = count_bins(images, published_bin_centers())
        record = {
            "data_set": spec.name,
            "classes": list(spec.classes),
            "split": "train",
            "images": count.images,
            "pixels": count.pixels,
            "grid": f"{FILE_NAME}, nearest bin",
            "content_sha256": identity,
        }
        save_bin_centers(folder / FILE_NAME)
        save_prior(count.counts, spec.prior_name, record, folder=folder)
    return load_prior(spec.prior_name, folder=folder)


def _smoothed(prior: Tensor, name: str, kind: str, sigma: float, folder: Path) -> Tensor:
    if kind == "ab":
        smooth = smooth_prior(prior, published_bin_centers(), sigma)
    else:
        smooth = smooth_prior_along_index(prior, sigma)
    record = {"of": f"prior-{name}", "smoothing": kind, "sigma": sigma}
    width = "" if sigma == 5 else f"-{sigma:g}"
    save_prior(smooth, f"{name}-smooth-{kind}{width}", record, folder=folder)
    return smooth


def experiment_class_weights(
    experiment: ResolvedExperiment, train_set: ImageDataset
) -> Tensor | None:
    """The (Q,) class weights of an experiment; None where it does not rebalance.

    The priors are kept in PRECALCULATED.
    """
    if experiment.prior is None:
        return None
    folder = scale_folder(paths.precalculated(), experiment.scale)
    if experiment.prior == "train":
        name, prior = experiment.data.prior_name, training_prior(experiment.data, train_set, folder)
    else:
        # The authors' file is the same at every scale.
        name, prior = experiment.prior, load_prior(experiment.prior)
    if experiment.smoothing is not None:
        prior = _smoothed(prior, name, experiment.smoothing, experiment.sigma, folder)
    return class_weights(prior, experiment.lam)


def build_model(
    experiment: ResolvedExperiment, class_weights: Tensor | None, classes: Sequence[str] = ()
) -> Colorizer:
    """Build the untrained model of an experiment, or the trained one that it starts from.

    Args:
        class_weights: (Q,) of the bins, for rebalancing.
        classes: names of the labels, for the models that classify.
    """
    torch.manual_seed(experiment.seed)
    extra: dict[str, Any] = {} if class_weights is None else {"class_weights": class_weights}
    kind = MODEL_CLASSES[experiment.model]
    if "num_classes" in signature(kind).parameters:
        extra |= {"num_classes": len(classes), "class_names": list(classes)}
    model = kind(**experiment.options, **extra)
    if experiment.recipe.crop:  # 0 leaves the size to the data set
        model.input_size = experiment.recipe.crop
    initialise(model, experiment.recipe.init)
    if experiment.pretrained and isinstance(model, UNetModel):
        model.load_encoder(encoder_weights(model.config["encoder"]))
    if experiment.init_from is not None:
        load_weights(model, _trained_start(experiment, experiment.init_from))
        if class_weights is not None and isinstance(model.output, BinHead):
            model.output.class_weights.copy_(class_weights)
    return model


def _trained_start(experiment: ResolvedExperiment, name: str) -> Path:
    path = tested_weights(get_experiment(name, experiment.scale))
    if not path.is_file():
        raise CheckpointError(
            f"{experiment.name} starts from {name}, and {path} does not exist; train it first: "
            f"python -m colorize train {name} --scale {experiment.scale}"
        )
    return path
