"""From an experiment to a trained, tested model with its results and card."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

from colorize import storage
from colorize.checks import checks_flags
from colorize.data.dataset import ImageDataset
from colorize.data.joined import Roots
from colorize.errors import CheckpointError, DataError, InputError, TrainingError
from colorize.evaluation.baselines import GreyBaseline
from colorize.evaluation.evaluate import evaluate
from colorize.evaluation.examples import RecoloredDataset
from colorize.evaluation.measure import measure, measure_baselines, measure_colors
from colorize.evaluation.results import describe_images, load_results, save_results
from colorize.evaluation.temperature import choose_temperature, measure_borders, sweep
from colorize.experiments.build import (
    Splits,
    build_model,
    experiment_class_weights,
    load_splits,
)
from colorize.experiments.catalog import EXPERIMENTS, get_experiment
from colorize.experiments.experiment import ResolvedExperiment
from colorize.experiments.files import is_trained, run_files, tested_weights
from colorize.experiments.presets import PRECISIONS, RECIPES
from colorize.models import Colorizer
from colorize.models.checkpoint import load_checkpoint, set_temperature
from colorize.report.cards import write_card
from colorize.training.config import FitOptions
from colorize.training.fit import FitResult, fit

_PRECISION_OF = {mode: name for name, mode in PRECISIONS.items()}
_OF_TRAINING = ("experiment", "command", "steps", "images_seen", "seconds", "precision", "curve")
# What of an experiment, beside images and recipe, decides what is learned and tested.
_OF_LEARNING = (
    *("model", "options", "prior", "smoothing", "sigma", "lam", "init_from", "pretrained"),
    "tested",
)


@checks_flags
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
        # Its numbers stay those of the weights that they were of.
        experiment = replace(experiment, tested=before["experiment"]["tested"])
        files = run_files(experiment)
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
        "data": {name: describe_images(part) for name, part in vars(splits).items()},
        "validation_sweep": validation_sweep,
        **measure(model, splits.test, splits.train),
        **_test_others(experiment, model, splits.test),
    }
    save_results(results, files.results)
    if experiment.keeps_weights:
        write_card(results, files.card)
    files.state.unlink(missing_ok=True)
    return results


def add_baselines(experiment: ResolvedExperiment, root: Roots | None = None) -> dict[str, Any]:
    """Measure what the results of a trained experiment lack of what is measured now: what knows
    nothing, the borders at other temperatures, and other nets that it is now compared with. What
    they have stays as it is.

    Args:
        root: as of ``run_experiment``.
    """
    results: dict[str, Any] = dict(load_results(run_files(experiment).results))
    splits = load_splits(experiment, root)
    if describe_images(splits.test) != results["data"]["test"]:
        raise DataError(f"{experiment.run}: expected the test images that it was tested on")
    model = load_checkpoint(tested_weights(experiment))
    if not results["baselines"]:
        results["baselines"] = measure_baselines(model, splits.test, splits.train)
    if not results["borders"]:
        results["borders"] = measure_borders(model, splits.test)
    for other in _others(experiment):
        if "n" not in results["also_tested"].get(other.name, {}):
            results["also_tested"][other.name] = _test_other(other, splits.test)
    save_results(results, run_files(experiment).results)
    return results


def differences(
    experiment: ResolvedExperiment, results: Mapping[str, Any], options: FitOptions
) -> list[str]:
    """Name what a finished run was trained or tested with that would be otherwise now."""
    before, now = results["experiment"], json.loads(json.dumps(asdict(experiment)))
    different = [name for name in _OF_LEARNING if before[name] != now[name]]
    for part in ("data", "recipe"):
        # What a recipe did not have yet changed nothing.
        known = before[part].keys() & now[part].keys()
        different += sorted(name for name in known if before[part][name] != now[part][name])
    if results["precision"] != _PRECISION_OF[options.mixed_precision]:
        different.append("precision")
    return different


def command(experiment: ResolvedExperiment, options: FitOptions | None = None) -> str:
    """The command that trains an experiment as it is, with the options that change its results."""
    options = options or FitOptions()
    name, scale, recipe = experiment.name, experiment.scale, experiment.recipe
    words = [f"python -m colorize train {name} --scale {scale} --seed {experiment.seed}"]
    standard = get_experiment(name, scale).recipe
    if recipe.optimizer != standard.optimizer:
        words += [f"--recipe {n}" for n, r in RECIPES.items() if r.optimizer == recipe.optimizer]
    if recipe.epochs != standard.epochs:
        words.append(f"--epochs {recipe.epochs:g}")
    if recipe.freeze_batchnorm and not standard.freeze_batchnorm:
        words.append("--freeze-batchnorm")
    words.append(f"--precision {_PRECISION_OF[options.mixed_precision]}")
    if options.accumulate != 1:
        words.append(f"--accumulate {options.accumulate}")
    if options.early_steps:
        words.append(f"--early-steps {options.early_steps}")
    return " ".join(words)


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
        "command": command(experiment, options),
        "steps": fitted.steps,
        "images_seen": fitted.steps * experiment.recipe.batch_size,
        "seconds": fitted.curve[-1]["seconds"],
        "precision": _PRECISION_OF[options.mixed_precision],
        "curve": fitted.curve,
    }


def _test_others(
    experiment: ResolvedExperiment, model: Colorizer, test_set: ImageDataset
) -> dict[str, Any]:
    """Test what is compared with an experiment: its last weights, other inputs, other nets."""
    files = run_files(experiment)
    last = experiment.tested == "best" and files.last.is_file()
    return {
        "test_last": evaluate(load_checkpoint(files.last), test_set) if last else None,
        "inputs": _test_inputs(experiment, model, test_set) if experiment.colored_by else {},
        "also_tested": {other.name: _test_other(other, test_set) for other in _others(experiment)},
    }


def _others(experiment: ResolvedExperiment) -> list[ResolvedExperiment]:
    """Those to be tested on an experiment's images as well, which are not theirs."""
    names = [n for n in experiment.also_test if experiment.scale in EXPERIMENTS[n].scales]
    others = [get_experiment(name, experiment.scale) for name in names]
    return [other for other in others if other.data != experiment.data]


def _test_inputs(
    experiment: ResolvedExperiment, model: Colorizer, test_set: ImageDataset
) -> dict[str, Any]:
    """Test a classifier of color images on grey ones, and on those that other nets color."""
    inputs = {"grey": evaluate(model, RecoloredDataset(test_set, GreyBaseline()))}
    for name in experiment.colored_by:
        other = replace(experiment, name=name)
        path = run_files(other).tested
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
    path = tested_weights(other)
    if not path.is_file():
        return {"missing": f"{other.run} was not trained yet"}
    return measure_colors(load_checkpoint(path), test_set)
