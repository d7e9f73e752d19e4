"""From an experiment to a trained, tested model with its results and card."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

from colorize import storage
from colorize.data.dataset import ImageDataset
from colorize.data.joined import Roots
from colorize.errors import CheckpointError, InputError, TrainingError
from colorize.evaluation.baselines import GreyBaseline
from colorize.evaluation.evaluate import evaluate
from colorize.evaluation.examples import RecoloredDataset
from colorize.evaluation.protocol import MetricChoice, choose_metrics
from colorize.evaluation.results import (
    ModelResults,
    SplitRecord,
    load_results,
    machine,
    save_results,
)
from colorize.evaluation.temperature import choose_temperature, sweep
from colorize.experiments.build import (
    Splits,
    build_model,
    experiment_class_weights,
    load_splits,
    names_digest,
)
from colorize.experiments.catalog import get_experiment
from colorize.experiments.experiment import ResolvedExperiment
from colorize.experiments.files import is_trained, run_files
from colorize.experiments.presets import RECIPES
from colorize.models import Colorizer
from colorize.models.checkpoint import load_checkpoint, set_temperature
from colorize.report.cards import write_card
from colorize.training.config import FitOptions
from colorize.training.fit import FitResult, fit

PRECISIONS = {"no": "float32", "bf16": "bfloat16", "fp16": "float16"}
_OF_TRAINING = (
    *("experiment", "command", "steps", "images_seen", "seconds", "precision", "curve"),
)


def run_experiment(
    experiment: ResolvedExperiment,
    root: Roots | None = None,
    *,
    splits: Splits | None = None,
    train: bool = True,
    resume: bool = False,
    overwrite: bool = False,
    options: FitOptions | None = None,
) -> dict[str, Any]:
    """Train an experiment, test its weights, and write results and card beside them.

    Args:
        experiment: of ``get_experiment``.
        root: the data set's folder or .zip, or several; None for those in DATA.
        splits: the images when they are loaded already.
        train: False tests a trained experiment again.
        resume: continue an unfinished run.
        overwrite: train anew what is trained already, and replace its files.

    Returns:
        The results, as written to ``CHECKPOINTS/<name>.json``; of several processes only the main
        one has them, the others get an empty dict.
    """
    if not isinstance(experiment, ResolvedExperiment):
        raise InputError("experiment: expected one at a scale, as get_experiment gives it")
    files, options = run_files(experiment), options or FitOptions()
    if train and not overwrite and is_trained(experiment):
        raise TrainingError(
            f"{experiment.run} is trained already: {files.results}; train it anew and replace its "
            "files (--again, overwrite=True)"
        )
    splits = load_splits(experiment, root) if splits is None else splits
    if train:
        fitted = _train(experiment, splits, options, resume=resume, overwrite=overwrite)
        if not fitted.main_process:
            return {}
        results = _describe_training(experiment, fitted, options)
    else:
        before: Mapping[str, Any] = load_results(files.results)
        results = {key: before[key] for key in _OF_TRAINING}
    model = load_checkpoint(files.tested)
    validation_sweep = sweep(model, splits.val)
    if experiment.choose_temperature:
        temperature = choose_temperature(validation_sweep)
        for path in (files.best, files.last):
            if path.is_file():
                set_temperature(path, temperature)
        model = load_checkpoint(files.tested)
    results |= {
        "weights_sha256": storage.sha256_file(files.tested),
        "data": _describe_images(splits),
        "validation_sweep": validation_sweep,
        **measure(model, splits.test),
        **_test_others(experiment, model, splits.test),
    }
    save_results(results, files.results)
    if experiment.keeps_weights:
        write_card(results, files.card)
    files.state.unlink(missing_ok=True)
    return results


def command(experiment: ResolvedExperiment) -> str:
    """The command that trains an experiment as it is."""
    name, scale, recipe = experiment.name, experiment.scale, experiment.recipe
    words = [f"python -m colorize train {name} --scale {scale} --seed {experiment.seed}"]
    standard = get_experiment(name, scale).recipe
    if recipe.optimizer != standard.optimizer:
        words += [f"--recipe {n}" for n, r in RECIPES.items() if r.optimizer == recipe.optimizer]
    if recipe.epochs != standard.epochs:
        words.append(f"--epochs {recipe.epochs:g}")
    if recipe.freeze_batchnorm and not standard.freeze_batchnorm:
        words.append("--freeze-batchnorm")
    return " ".join(words)


def measure(model: Colorizer, dataset: ImageDataset) -> ModelResults:
    """Measure a model at its own temperature and at those of the sweep, and grey, on one set."""
    own = choose_metrics(dataset) if model.colors else MetricChoice([], {})
    test, *swept = sweep(model, dataset, own)
    return {
        "parameters": sum(p.numel() for p in model.parameters()),
        "temperature": getattr(model.output, "temperature", None),
        "test": test,
        "sweep": swept,
        "grey": _evaluate(GreyBaseline(), dataset),
        "machine": machine(),
    }


def _train(
    experiment: ResolvedExperiment,
    splits: Splits,
    options: FitOptions,
    *,
    resume: bool,
    overwrite: bool,
) -> FitResult:
    class_weights = experiment_class_weights(experiment, splits.train)
    return fit(
        build_model(experiment, class_weights, splits.train.classes),
        splits.train,
        splits.val,
        replace(experiment.recipe, init="default"),  # build_model did that
        name=experiment.run,
        folder=run_files(experiment).best.parent,
        resume=resume,
        overwrite=overwrite,
        seed=experiment.seed,
        options=options,
        metadata={
            "experiment": experiment.name,
            "scale": experiment.scale,
            "init": experiment.recipe.init,
        },
        best_by=experiment.best_by,
        keep_state=True,
    )


def _describe_training(
    experiment: ResolvedExperiment, fitted: FitResult, options: FitOptions
) -> dict[str, Any]:
    return {
        "experiment": asdict(experiment),
        "command": command(experiment),
        "steps": fitted.steps,
        "images_seen": fitted.steps * experiment.recipe.batch_size,
        "seconds": fitted.curve[-1]["seconds"],
        "precision": PRECISIONS[options.mixed_precision],
        "curve": fitted.curve,
    }


def _describe_images(splits: Splits) -> dict[str, SplitRecord]:
    return {
        name: {
            "images": len(part),
            "grey_left_out": len(part.grey),
            "rejected": len(part.rejected),
            "names_sha256": names_digest(part),
        }
        for name, part in vars(splits).items()
    }


def _test_others(
    experiment: ResolvedExperiment, model: Colorizer, test_set: ImageDataset
) -> dict[str, Any]:
    """Test what is compared with an experiment: its last weights, other inputs, other nets."""
    files = run_files(experiment)
    last = experiment.tested == "best" and files.last.is_file()
    others = [get_experiment(name, experiment.scale) for name in experiment.also_test]
    return {
        "test_last": evaluate(load_checkpoint(files.last), test_set) if last else None,
        "inputs": _test_inputs(experiment, model, test_set) if experiment.colored_by else {},
        # On the same images their own results are all there is to say.
        "also_tested": {
            other.name: _test_other(other, test_set)
            for other in others
            if other.data != experiment.data
        },
    }


def _test_inputs(
    experiment: ResolvedExperiment, model: Colorizer, test_set: ImageDataset
) -> dict[str, Any]:
    """Test a classifier of color images on grey ones, and on those that other nets color."""
    inputs = {"grey": evaluate(model, RecoloredDataset(test_set, GreyBaseline()))}
    for name in experiment.colored_by:
        other = replace(experiment, name=name)
        path = run_files(other).last
        if not path.is_file():
            raise CheckpointError(
                f"{experiment.run} is tested on images that {other.run} colored, and {path} does "
                f"not exist; train it first: python -m colorize train {name} --scale "
                f"{experiment.scale} --seed {experiment.seed} --again"
            )
        colored = RecoloredDataset(test_set, load_checkpoint(path))
        inputs[name] = evaluate(model, colored)
    return inputs


def _test_other(other: ResolvedExperiment, test_set: ImageDataset) -> dict[str, Any]:
    path = run_files(other).best
    if not path.is_file():
        return {"missing": f"{other.run} was not trained yet"}
    return _evaluate(load_checkpoint(path), test_set)


def _evaluate(model: Colorizer, dataset: ImageDataset) -> dict[str, Any]:
    """Measure what depends on the model and can be measured here; say why the rest cannot."""
    metrics, missing = choose_metrics(dataset, truth=False)
    return evaluate(model, dataset, metrics=metrics, per_image=True) | missing
