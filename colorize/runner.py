"""From an experiment to a trained, tested model with its results and card."""

from __future__ import annotations

import dataclasses
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from colorize import paths
from colorize.cards import write_card
from colorize.checkpoint import SUFFIX, load_checkpoint, load_weights
from colorize.data import ColorizationDataset, ImageDataset, Split, bundled_dataset
from colorize.errors import CheckpointError, MissingPriorError
from colorize.evaluation import (
    SWEEP,
    GreyBaseline,
    evaluate,
    load_results,
    machine,
    save_results,
    sweep,
)
from colorize.experiments import EXPERIMENTS, DataSpec, Experiment
from colorize.models import MODEL_CLASSES, Colorizer, QuantizedOutput
from colorize.optim import initialise
from colorize.prior import (
    class_weights,
    count_bins,
    load_prior,
    save_prior,
    smooth_prior,
    smooth_prior_along_index,
)
from colorize.quantization import FILE_NAME, published_bin_centers, save_bin_centers
from colorize.training import FitOptions, fit, state_path


@dataclass(frozen=True)
class Splits:
    """Training, validation and test images of one data set; no image is in two of them."""

    train: ImageDataset
    val: ImageDataset
    test: ImageDataset


def scale_folder(folder: Path, scale: str) -> Path:
    """Small results lie in the folder itself; those of another scale in one named after it."""
    return folder if scale == "small" else folder / scale


def is_trained(experiment: Experiment) -> bool:
    """Whether a run was finished and tested: weights and results are there, no state is left."""
    folder = scale_folder(paths.checkpoints(), experiment.scale)
    there = [(folder / f"{experiment.run}{end}").is_file() for end in (SUFFIX, ".json")]
    return all(there) and not state_path(folder, experiment.run).is_file()


def load_splits(
    experiment: Experiment, root: Path | None = None, *, progress: bool = False
) -> Splits:
    """The images of an experiment.

    Args:
        root: a folder or .zip with the data set; None for ``DATA/<name>``.

    Raises:
        DataError: when the data set is missing (the message says how to get it) or empty.
    """
    spec = experiment.data
    root = paths.data() / spec.name if root is None else root

    def load(split: Split) -> ImageDataset:
        train = split == "train"
        size = experiment.recipe.crop if train else experiment.recipe.test_crop
        if spec.name == "bundled":
            return bundled_dataset(size, train, split=split)
        classes = spec.classes or None
        return ColorizationDataset(
            root, size, train, split=split, classes=classes, progress=progress
        )

    return Splits(load("train"), load("val"), load("test"))


def training_prior(spec: DataSpec, train_set: ImageDataset, folder: Path) -> Tensor:
    """The prior of a training set: counted once, kept in ``folder``, then read from there.

    Its record says which images were counted; when the training set is another one, it is counted
    again.
    """
    path = folder / f"prior-{spec.label}.json"
    names = "\n".join(sorted(train_set.names))
    identity = hashlib.sha256(names.encode()).hexdigest()
    counted = path.is_file() and path.with_suffix(".npy").is_file()
    if not (counted and load_results(path).get("images_sha256") == identity):
        whole = (
            torch.from_numpy(train_set.image(i)).movedim(-1, 0)[None] for i in range(len(train_set))
        )
        found = count_bins(whole, published_bin_centers())
        record = {
            "data_set": spec.name,
            "classes": list(spec.classes),
            "split": "train",
            "images": found.images,
            "pixels": found.pixels,
            "grid": f"{FILE_NAME}, nearest bin",
            "images_sha256": identity,
        }
        save_prior(found.counts, spec.label, record, folder=folder)
    return load_prior(spec.label, folder=folder)


def experiment_weights(
    experiment: Experiment, train_set: ImageDataset, folder: Path
) -> Tensor | None:
    """The class weights of an experiment; None when it does not rebalance.

    A smoothed prior is written beside the plain one.

    Raises:
        MissingPriorError: when the ImageNet prior is wanted and not there; it says what to do.
    """
    if experiment.prior is None:
        return None
    if experiment.prior == "train":
        name, prior = experiment.data.label, training_prior(experiment.data, train_set, folder)
    else:
        # The authors' file is the same at every scale.
        name, prior = experiment.prior, load_prior(experiment.prior)
    if experiment.smoothing is not None:
        if experiment.smoothing == "ab":
            prior = smooth_prior(prior, published_bin_centers())
        else:
            prior = smooth_prior_along_index(prior)
        record = {"of": f"prior-{name}", "smoothing": experiment.smoothing, "sigma": 5.0}
        save_prior(prior, f"{name}-smooth-{experiment.smoothing}", record, folder=folder)
    return class_weights(prior, experiment.lam)


def build_model(experiment: Experiment, weights: Tensor | None, folder: Path) -> Colorizer:
    """The untrained model of an experiment, or the trained one that it starts from.

    Raises:
        CheckpointError: when the experiment to start from was not trained yet.
    """
    torch.manual_seed(experiment.seed)
    extra = {} if weights is None else {"class_weights": weights}
    model = MODEL_CLASSES[experiment.model](**experiment.options, **extra)
    model.look_size = experiment.recipe.crop
    initialise(model, experiment.recipe.init)
    if experiment.start_from is not None:
        start = folder / f"{experiment.start_from}{SUFFIX}"
        if not start.is_file():
            raise CheckpointError(
                f"{experiment.name} starts from {experiment.start_from}, and {start} does not "
                f"exist; train it first: python -m colorize train {experiment.start_from} "
                f"--scale {experiment.scale}"
            )
        load_weights(model, start)
        if weights is not None and isinstance(model.output, QuantizedOutput):
            model.output.class_weights.copy_(weights)
    return model


def run_experiment(
    experiment: Experiment,
    root: Path | None = None,
    *,
    splits: Splits | None = None,
    resume: bool = False,
    options: FitOptions | None = None,
) -> dict[str, Any]:
    """Train an experiment, test its best checkpoint, and write results and card beside it.

    Args:
        root: the data set's folder or .zip; None for ``DATA/<name>``.
        splits: the images when they are loaded already.
        resume: continue an unfinished run.

    Returns:
        The results, as written to ``CHECKPOINTS/<name>.json``; of several processes only the main
        one has them, the others get an empty dict.
    """
    splits = load_splits(experiment, root) if splits is None else splits
    folder = scale_folder(paths.checkpoints(), experiment.scale)
    priors = scale_folder(paths.precalculated(), experiment.scale)
    save_bin_centers(priors / FILE_NAME)
    weights = experiment_weights(experiment, splits.train, priors)
    recipe = experiment.recipe
    fitted = fit(
        build_model(experiment, weights, folder),
        splits.train,
        splits.val,
        recipe,
        name=experiment.run,
        folder=folder,
        resume=resume,
        seed=experiment.seed,
        options=options,
        metadata={"experiment": experiment.name, "scale": experiment.scale},
        keep_state=True,
    )
    if not fitted.main_process:
        return {}
    results = {
        "experiment": dataclasses.asdict(experiment),
        "steps": fitted.steps,
        "images_seen": fitted.steps * recipe.batch_size,
        "seconds": fitted.curve[-1]["seconds"],
        "curve": fitted.curve,
        **run_test(experiment, splits),
    }
    save_results(results, folder / f"{experiment.run}.json")
    write_card(results, folder / f"{experiment.run}.md")
    state_path(folder, experiment.run).unlink(missing_ok=True)
    return results


def test_again(
    experiment: Experiment, root: Path | None = None, *, splits: Splits | None = None
) -> dict[str, Any]:
    """Test a trained experiment again, and write its results and card again.

    Raises:
        DataError: when it was not trained.
    """
    folder = scale_folder(paths.checkpoints(), experiment.scale)
    results = load_results(folder / f"{experiment.run}.json")
    splits = load_splits(experiment, root) if splits is None else splits
    results.update(run_test(experiment, splits))
    save_results(results, folder / f"{experiment.run}.json")
    write_card(results, folder / f"{experiment.run}.md")
    return results


def run_test(experiment: Experiment, splits: Splits) -> dict[str, Any]:
    """Test a trained experiment on the same images: its best weights at their own temperature and
    at those of the sweep, the last weights where they are kept, and grey for comparison.
    """
    folder = scale_folder(paths.checkpoints(), experiment.scale)
    model = load_checkpoint(folder / f"{experiment.run}{SUFFIX}")
    last = folder / f"{experiment.run}-last{SUFFIX}"
    return {
        "data": {
            name: {
                "images": len(part),
                "grey_left_out": len(part.grey),
                "rejected": len(part.rejected),
            }
            for name, part in (("train", splits.train), ("val", splits.val), ("test", splits.test))
        },
        "test_last": evaluate(load_checkpoint(last), splits.test) if last.is_file() else None,
        **measure(model, splits.test),
    }


def measure(model: Colorizer, dataset: ImageDataset) -> dict[str, Any]:
    """A model at its own temperature and at those of the sweep, and grey, on the same images."""
    temperatures = SWEEP if isinstance(model.output, QuantizedOutput) else ()
    test, *swept = sweep(model, dataset, [None, *temperatures])
    return {
        "parameters": sum(p.numel() for p in model.parameters()),
        "test": test,
        "sweep": swept,
        "grey": evaluate(GreyBaseline(), dataset),
        "machine": machine(),
    }


@dataclass(frozen=True)
class Study:
    """What there is of study A at one scale.

    Attributes:
        experiments: all nine, scaled.
        results: of those that were trained, by name.
        missing: why the others have none, by name.
    """

    experiments: dict[str, Experiment]
    results: dict[str, dict[str, Any]]
    missing: dict[str, str]

    def model(self, name: str) -> Colorizer:
        """The trained model of an experiment."""
        folder = scale_folder(paths.checkpoints(), self.experiments[name].scale)
        return load_checkpoint(folder / f"{name}{SUFFIX}")


def run_study(
    scale: str,
    root: Path | None = None,
    *,
    train: bool,
    options: FitOptions | None = None,
    known: Splits | None = None,
) -> Study:
    """Load the results of all experiments at a scale; with ``train``, train what has none.

    An experiment whose needs are not met (the ImageNet prior was not fetched, its starting point
    was not trained) is named in ``missing`` with the reason; any other error is raised.

    Args:
        known: the images of the experiments that are not final, when they are loaded already.
    """
    study = Study({name: e.scaled(scale) for name, e in EXPERIMENTS.items()}, {}, {})
    folder = scale_folder(paths.checkpoints(), scale)
    loaded: dict[DataSpec, Splits] = {}
    if known is not None:
        loaded[study.experiments["simplified"].data] = known
    for name, experiment in study.experiments.items():
        if is_trained(experiment):
            study.results[name] = load_results(folder / f"{name}.json")
        elif not train:
            study.missing[name] = (
                f"not trained yet: python -m colorize train {name} --scale {scale}"
            )
        else:
            if experiment.data not in loaded:
                loaded[experiment.data] = load_splits(experiment, root)
            try:
                study.results[name] = run_experiment(
                    experiment, splits=loaded[experiment.data], resume=True, options=options
                )
            except (MissingPriorError, CheckpointError) as error:
                study.missing[name] = str(error)
    return study
