"""From an experiment to a trained, tested model with its results and card."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from inspect import signature
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from colorize import paths
from colorize.cards import write_card
from colorize.checkpoint import SUFFIX, load_checkpoint, load_weights
from colorize.data import (
    ColorizationDataset,
    Division,
    ImageDataset,
    Split,
    bundled_dataset,
)
from colorize.encoders import encoder_weights
from colorize.errors import CheckpointError, MissingPriorError
from colorize.evaluation import (
    SWEEP,
    GreyBaseline,
    Recolored,
    evaluate,
    load_results,
    machine,
    save_results,
    sweep,
)
from colorize.experiments import STUDY_A, DataSpec, Experiment
from colorize.models import MODEL_CLASSES, Colorizer, QuantizedOutput, UNetModel
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


def run_folder(experiment: Experiment) -> Path:
    """Where a run's weights and results lie."""
    return scale_folder(paths.checkpoints(), experiment.scale) / experiment.folder


def is_trained(experiment: Experiment) -> bool:
    """Whether a run was finished and tested: its results are there, and no state is left.

    Of the many runs of an ablation the results are kept, the weights only where they were trained.
    """
    folder = run_folder(experiment)
    kept = (".json",) if experiment.folder else (SUFFIX, ".json")
    there = [(folder / f"{experiment.run}{end}").is_file() for end in kept]
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
    spec, recipe = experiment.data, experiment.recipe
    root = paths.data() / spec.name if root is None else root
    seed = experiment.seed if spec.reseed else 0

    def load(split: Split) -> ImageDataset:
        train = split == "train"
        size = recipe.crop if train else recipe.test_crop
        if spec.name == "bundled":
            return bundled_dataset(
                size,
                train,
                split=split,
                division="patch" if spec.division == "patch" else "photograph",
                seed=seed,
                rotation=recipe.rotation,
                zoom=recipe.zoom,
            )
        return ColorizationDataset(
            root,
            size,
            train,
            split=split,
            classes=spec.classes or None,
            subfolder=spec.subfolder,
            resize=spec.resize,
            division=cast(Division, spec.division),
            seed=seed,
            progress=progress,
            rotation=recipe.rotation,
            zoom=recipe.zoom,
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


def build_model(
    experiment: Experiment,
    weights: Tensor | None,
    folder: Path,
    classes: Sequence[str] = (),
) -> Colorizer:
    """The untrained model of an experiment, or the trained one that it starts from.

    Args:
        weights: of the bins, for rebalancing.
        folder: has the weights to start from.
        classes: names of the labels, for the models that classify.

    Raises:
        CheckpointError: when the experiment to start from was not trained yet.
    """
    torch.manual_seed(experiment.seed)
    extra: dict[str, Any] = {} if weights is None else {"class_weights": weights}
    kind = MODEL_CLASSES[experiment.model]
    if "num_classes" in signature(kind).parameters:
        extra |= {"num_classes": len(classes), "class_names": list(classes)}
    model = kind(**experiment.options, **extra)
    model.look_size = experiment.recipe.crop
    initialise(model, experiment.recipe.init)
    if experiment.pretrained and isinstance(model, UNetModel):
        model.load_encoder(encoder_weights(model.config["encoder"]))
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
    folder = run_folder(experiment)
    priors = scale_folder(paths.precalculated(), experiment.scale)
    save_bin_centers(priors / FILE_NAME)
    weights = experiment_weights(experiment, splits.train, priors)
    recipe = experiment.recipe
    fitted = fit(
        build_model(experiment, weights, folder, splits.train.classes),
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
    if not experiment.folder:
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
    folder = run_folder(experiment)
    results = load_results(folder / f"{experiment.run}.json")
    splits = load_splits(experiment, root) if splits is None else splits
    results.update(run_test(experiment, splits))
    save_results(results, folder / f"{experiment.run}.json")
    if not experiment.folder:
        write_card(results, folder / f"{experiment.run}.md")
    return results


def run_test(experiment: Experiment, splits: Splits) -> dict[str, Any]:
    """Test a trained experiment on the same images: its weights at their own temperature and at
    those of the sweep, the last weights where they are kept, and grey for comparison.

    A classifier of color pictures is tested on grey ones as well, and on those that the nets of
    ``experiment.colored_by`` color.
    """
    folder = run_folder(experiment)
    last = folder / f"{experiment.run}-last{SUFFIX}"
    best = folder / f"{experiment.run}{SUFFIX}"
    model = load_checkpoint(last if experiment.tested == "last" else best)
    return {
        "data": {
            name: {
                "images": len(part),
                "grey_left_out": len(part.grey),
                "rejected": len(part.rejected),
            }
            for name, part in (("train", splits.train), ("val", splits.val), ("test", splits.test))
        },
        "test_last": None,
        **measure(model, splits.test),
        **_test_others(experiment, model, splits.test),
    }


def _test_others(experiment: Experiment, model: Colorizer, test: ImageDataset) -> dict[str, Any]:
    """What only some experiments are tested for."""
    folder = run_folder(experiment)
    last = folder / f"{experiment.run}-last{SUFFIX}"
    if experiment.tested == "best" and last.is_file():
        return {"test_last": evaluate(load_checkpoint(last), test)}
    if not experiment.colored_by:
        return {}
    inputs = {"grey": evaluate(model, Recolored(test, GreyBaseline()))}
    for name in experiment.colored_by:
        run = replace(experiment, name=name).run
        path = folder / f"{run}-last{SUFFIX}"
        if not path.is_file():
            raise CheckpointError(
                f"{experiment.run} is tested on pictures that {run} colored, and {path} does not "
                f"exist; train it first: python -m colorize train {name} --scale "
                f"{experiment.scale} --seed {experiment.seed} --again"
            )
        inputs[name] = evaluate(model, Recolored(test, load_checkpoint(path)))
    return {"inputs": inputs}


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
    """What there is of some experiments at one scale.

    Attributes:
        experiments: all of them, scaled, by the name of the run.
        results: of those that were trained.
        missing: why the others have none.
    """

    experiments: dict[str, Experiment]
    results: dict[str, dict[str, Any]]
    missing: dict[str, str]

    def model(self, name: str) -> Colorizer:
        """The trained model of a run."""
        return load_checkpoint(run_folder(self.experiments[name]) / f"{name}{SUFFIX}")


def run_study(
    scale: str,
    root: Path | Mapping[str, Path] | None = None,
    *,
    train: bool,
    experiments: Mapping[str, Experiment] = STUDY_A,
    seeds: Sequence[int] = (0,),
    options: FitOptions | None = None,
    known: Splits | None = None,
) -> Study:
    """Load the results of experiments at a scale; with ``train``, train what has none.

    An experiment whose needs are not met (the ImageNet prior was not fetched, its starting point
    was not trained) is named in ``missing`` with the reason; any other error is raised.

    Args:
        root: as of ``run_experiment``; or by the name of the data set, where there are several.
        seeds: all experiments are run with the first one, then all with the next.
        known: the images of ``simplified``, when they are loaded already.
    """
    scaled = [e.scaled(scale) for e in experiments.values()]
    runs = [replace(e, seed=seed) for seed in seeds for e in scaled]
    study = Study({run.run: run for run in runs}, {}, {})
    loaded: dict[object, Splits] = {}
    if known is not None:
        loaded[_images_of(STUDY_A["simplified"].scaled(scale))] = known
    for name, experiment in study.experiments.items():
        if is_trained(experiment):
            study.results[name] = load_results(run_folder(experiment) / f"{name}.json")
        elif not train:
            study.missing[name] = (
                f"not trained yet: python -m colorize train {experiment.name} --scale {scale}"
                + (f" --seed {experiment.seed}" if experiment.seed else "")
            )
        else:
            if _images_of(experiment) not in loaded:
                own = root.get(experiment.data.name) if isinstance(root, Mapping) else root
                loaded = {_images_of(experiment): load_splits(experiment, own)}
            try:
                study.results[name] = run_experiment(
                    experiment,
                    splits=loaded[_images_of(experiment)],
                    resume=True,
                    options=options,
                )
            except (MissingPriorError, CheckpointError) as error:
                study.missing[name] = str(error)
    return study


def _images_of(experiment: Experiment) -> object:
    """What two experiments must have in common to share their images."""
    recipe, seed = experiment.recipe, experiment.seed if experiment.data.reseed else 0
    return experiment.data, seed, recipe.crop, recipe.test_crop, recipe.rotation, recipe.zoom
