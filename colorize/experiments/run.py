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
from colorize.data.dataset import ColorizationDataset, Split, SplitBy
from colorize.data.items import ImageDataset
from colorize.data.spec import DataSpec
from colorize.errors import CheckpointError
from colorize.evaluation.dataset_metrics import field_judges, rebalanced_accuracy
from colorize.evaluation.evaluate import SWEEP, GreyBaseline, Recolored, evaluate, sweep
from colorize.evaluation.results import load_results, machine, save_results
from colorize.experiments.catalog import get_experiment
from colorize.experiments.experiment import Experiment
from colorize.experiments.presets import RECIPES
from colorize.models import MODEL_CLASSES, BinHead, Colorizer, UNetModel
from colorize.models.checkpoint import SUFFIX, load_checkpoint, load_weights, set_temperature
from colorize.models.pretrained import encoder_weights
from colorize.report.cards import write_card
from colorize.training.config import FitOptions
from colorize.training.fit import fit, state_path
from colorize.training.optim import initialise

PRECISIONS = {"no": "float32", "bf16": "bfloat16", "fp16": "float16"}


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

    Weights are asked for only where they are kept (``Experiment.keeps_weights``).
    """
    folder = run_folder(experiment)
    kept = (SUFFIX, ".json") if experiment.keeps_weights else (".json",)
    there = [(folder / f"{experiment.run}{end}").is_file() for end in kept]
    return all(there) and not state_path(folder, experiment.run).is_file()


def command(experiment: Experiment) -> str:
    """The command that trains an experiment as it is."""
    name, scale, recipe = experiment.name, experiment.scale, experiment.recipe
    words = [f"python -m colorize train {name} --scale {scale} --seed {experiment.seed}"]
    standard = get_experiment(name, scale).recipe
    if recipe.optimizer != standard.optimizer:
        words += [f"--recipe {n}" for n, r in RECIPES.items() if r.optimizer == recipe.optimizer]
    if recipe.epochs != standard.epochs:
        words.append(f"--epochs {recipe.epochs:g}")
    return " ".join(words)


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
                split_by="patch" if spec.split_by == "patch" else "photograph",
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
            split_by=cast(SplitBy, spec.split_by),
            seed=seed,
            progress=progress,
            rotation=recipe.rotation,
            zoom=recipe.zoom,
        )

    return Splits(load("train"), load("val"), load("test"))


def names_digest(dataset: ImageDataset) -> str:
    """SHA-256 of the sorted names of the images, to know whether two sets are the same."""
    return hashlib.sha256("\n".join(sorted(dataset.names)).encode()).hexdigest()


def training_prior(spec: DataSpec, train_set: ImageDataset, folder: Path) -> Tensor:
    """The prior of a training set: counted once, kept in ``folder``, then read from there.

    Its record says which images were counted; when the training set is another one, it is counted
    again.
    """
    path = folder / f"prior-{spec.label}.json"
    identity = names_digest(train_set)
    counted = path.is_file() and path.with_suffix(".npy").is_file()
    if not (counted and load_results(path).get("names_sha256") == identity):
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
            "names_sha256": identity,
        }
        save_prior(found.counts, spec.label, record, folder=folder)
    return load_prior(spec.label, folder=folder)


def training_priors(spec: DataSpec, train_set: ImageDataset, folder: Path) -> dict[str, Tensor]:
    """``training_prior`` as it is ("plain"), smoothed over the plane ("ab") and along the index of
    the bins ("index"); all are kept in ``folder`` with their records.
    """
    plain = training_prior(spec, train_set, folder)
    kinds = ("ab", "index")
    return {"plain": plain} | {k: _smoothed(plain, spec.label, k, folder) for k in kinds}


def _smoothed(prior: Tensor, name: str, kind: str, folder: Path) -> Tensor:
    if kind == "ab":
        smooth = smooth_prior(prior, published_bin_centers())
    else:
        smooth = smooth_prior_along_index(prior)
    record = {"of": f"prior-{name}", "smoothing": kind, "sigma": 5.0}
    save_prior(smooth, f"{name}-smooth-{kind}", record, folder=folder)
    return smooth


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
        prior = _smoothed(prior, name, experiment.smoothing, folder)
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
    model.input_size = experiment.recipe.crop
    initialise(model, experiment.recipe.init)
    if experiment.pretrained and isinstance(model, UNetModel):
        model.load_encoder(encoder_weights(model.config["encoder"]))
    if experiment.init_from is not None:
        start = folder / f"{experiment.init_from}{SUFFIX}"
        if not start.is_file():
            raise CheckpointError(
                f"{experiment.name} starts from {experiment.init_from}, and {start} does not "
                f"exist; train it first: python -m colorize train {experiment.init_from} "
                f"--scale {experiment.scale}"
            )
        load_weights(model, start)
        if weights is not None and isinstance(model.output, BinHead):
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
    options = options or FitOptions()
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
        "command": command(experiment),
        "steps": fitted.steps,
        "images_seen": fitted.steps * recipe.batch_size,
        "seconds": fitted.curve[-1]["seconds"],
        "precision": PRECISIONS[options.mixed_precision],
        "curve": fitted.curve,
        **run_test(experiment, splits),
    }
    save_results(results, folder / f"{experiment.run}.json")
    if experiment.keeps_weights:
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
    if experiment.keeps_weights:
        write_card(results, folder / f"{experiment.run}.md")
    return results


def run_test(experiment: Experiment, splits: Splits) -> dict[str, Any]:
    """Test a trained experiment on the same images: its weights at their own temperature and at
    those of the sweep, the last weights where they are kept, and grey for comparison.

    A tempered experiment is given its temperature first. A classifier of color pictures is tested
    on grey ones as well, and on those that the nets of ``experiment.colored_by`` color.
    """
    folder = run_folder(experiment)
    last = folder / f"{experiment.run}-last{SUFFIX}"
    best = folder / f"{experiment.run}{SUFFIX}"
    tested = last if experiment.tested == "last" else best
    model = load_checkpoint(tested)
    found: dict[str, Any] = {"validation_sweep": []}
    if isinstance(model.output, BinHead):
        judges = [[rebalanced_accuracy()] for _ in SWEEP]
        # Temperatures are chosen on images that are not those of the test.
        found["validation_sweep"] = sweep(model, splits.val, SWEEP, judges=judges)
        if experiment.choose_temperature:
            temperature = _choose_temperature(found["validation_sweep"])
            for path in (best, last):
                if path.is_file():
                    set_temperature(path, temperature)
            model = load_checkpoint(tested)
    return {
        "data": {
            name: {
                "images": len(part),
                "grey_left_out": len(part.grey),
                "rejected": len(part.rejected),
                "names_sha256": names_digest(part),
            }
            for name, part in (("train", splits.train), ("val", splits.val), ("test", splits.test))
        },
        "test_last": None,
        **measure(model, splits.test),
        **found,
        **_test_others(experiment, model, splits.test),
    }


def _choose_temperature(points: Sequence[Mapping[str, Any]]) -> float:
    """Of a sweep, the temperature with the best rebalanced accuracy among those whose colorfulness
    is within 5 % of the truth's; where that accuracy was not measured, or none is so near, the one
    that is nearest to the truth's colorfulness.
    """

    def gap(point: Mapping[str, Any]) -> float:
        return abs(point["colorfulness"]["mean"] / point["colorfulness_truth"]["mean"] - 1)

    near = [p for p in points if gap(p) <= 0.05 and "value" in p["auc_rebalanced"]]
    best = max(near, key=lambda p: p["auc_rebalanced"]["value"]) if near else min(points, key=gap)
    return float(best["temperature"])


def _test_others(experiment: Experiment, model: Colorizer, test: ImageDataset) -> dict[str, Any]:
    """What only some experiments are tested for."""
    last = run_folder(experiment) / f"{experiment.run}-last{SUFFIX}"
    found: dict[str, Any] = {"inputs": {}}
    if experiment.tested == "best" and last.is_file():
        found["test_last"] = evaluate(load_checkpoint(last), test)
    if experiment.colored_by:
        found["inputs"] = _test_inputs(experiment, model, test)
    others = [get_experiment(name, experiment.scale) for name in experiment.beside]
    # On the same images their own results are all there is to say.
    beside = {e.name: _test_beside(e, test) for e in others if e.data != experiment.data}
    return found | {"beside": beside}


def _test_inputs(experiment: Experiment, model: Colorizer, test: ImageDataset) -> dict[str, Any]:
    """A classifier of color pictures on grey ones, and on those that other nets color."""
    inputs = {"grey": evaluate(model, Recolored(test, GreyBaseline()))}
    for name in experiment.colored_by:
        run = replace(experiment, name=name).run
        path = run_folder(experiment) / f"{run}-last{SUFFIX}"
        if not path.is_file():
            raise CheckpointError(
                f"{experiment.run} is tested on pictures that {run} colored, and {path} does not "
                f"exist; train it first: python -m colorize train {name} --scale "
                f"{experiment.scale} --seed {experiment.seed} --again"
            )
        inputs[name] = evaluate(model, Recolored(test, load_checkpoint(path)))
    return inputs


def _test_beside(other: Experiment, test: ImageDataset) -> dict[str, Any]:
    path = run_folder(other) / f"{other.run}{SUFFIX}"
    if not path.is_file():
        return {"missing": f"{other.run} was not trained yet"}
    judges = field_judges(test.classes, truth=False)
    return evaluate(load_checkpoint(path), test, judges=judges, per_image=True)


def measure(model: Colorizer, dataset: ImageDataset) -> dict[str, Any]:
    """A model at its own temperature and at those of the sweep, and grey, on the same images."""
    temperatures = SWEEP if isinstance(model.output, BinHead) else ()
    colors = model.output is not None
    judges = [field_judges(dataset.classes) if colors else []]
    judges += [[rebalanced_accuracy()] for _ in temperatures]
    test, *swept = sweep(model, dataset, [None, *temperatures], judges=judges, per_image=colors)
    test.setdefault("images", {})
    grey = field_judges(dataset.classes, truth=False)
    return {
        "parameters": sum(p.numel() for p in model.parameters()),
        "temperature": getattr(model.output, "temperature", None),
        "test": test,
        "sweep": swept,
        "grey": evaluate(GreyBaseline(), dataset, judges=grey, per_image=True),
        "machine": machine(),
    }
