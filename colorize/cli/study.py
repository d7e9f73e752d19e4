"""The commands of training: train (and fine-tune), evaluate, models."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from pprint import pprint

from colorize import paths
from colorize.errors import CheckpointError, MissingPriorError
from colorize.experiments.catalog import EXPERIMENTS, get_experiment
from colorize.experiments.experiment import ResolvedExperiment
from colorize.experiments.photo_losses import PHOTO_LOSSES
from colorize.experiments.presets import PRECISIONS, RECIPES, SCALES
from colorize.experiments.study_a import REPEATED, STUDY_A, STUDY_A_VARIANTS
from colorize.experiments.study_b import STUDY_B, STUDY_B_FOLDS, STUDY_B_WOOF, SUBJECTS
from colorize.training.config import FitOptions

GROUPS = {
    "all": tuple(EXPERIMENTS),
    "study-a": tuple(STUDY_A),
    "study-a-variants": tuple(STUDY_A_VARIANTS),
    "study-a-repeated": REPEATED,
    "study-b": tuple(STUDY_B),
    "fruit": tuple(STUDY_B_FOLDS),
    "woof": tuple(STUDY_B_WOOF),
    "photo-losses": tuple(PHOTO_LOSSES),
    **{p: tuple(name for name in STUDY_B if name.startswith(p)) for p in SUBJECTS},
}
"""What stands for several experiments on the command line."""


def train(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="colorize train",
        description="Train and test experiments of the studies, or fine-tune a trained model.",
    )
    parser.add_argument(
        "experiments",
        nargs="*",
        help=f"{', '.join(GROUPS)} (groups), or of: {', '.join(EXPERIMENTS)}",
    )
    tuning = parser.add_argument_group("fine-tuning, in place of experiments (docs/finetune.md)")
    tuning.add_argument("--finetune", metavar="MODEL", help="name or path of a trained model")
    tuning.add_argument("--name", help="of the new weights; default: MODEL-finetuned")
    tuning.add_argument(
        "--output", type=Path, help="folder of the new weights; default: the working folder"
    )
    tuning.add_argument("--size", type=int, help="side of the crops; default: the model's")
    tuning.add_argument(
        "--keep-class-weights",
        action="store_true",
        help="keep the model's class weights instead of computing new ones",
    )
    parser.add_argument("--scale", choices=SCALES, default="small")
    parser.add_argument(
        "--data", type=Path, nargs="+", help="folders or .zips (default: those in DATA)"
    )
    parser.add_argument("--recipe", choices=sorted(RECIPES), help="default: that of the scale")
    parser.add_argument("--epochs", type=float, help="default: that of the scale")
    parser.add_argument(
        "--seed", type=int, nargs="+", default=[0], help="one run of each experiment for each seed"
    )
    parser.add_argument("--resume", action="store_true", help="continue an unfinished run")
    parser.add_argument(
        "--again", action="store_true", help="train again even if results exist; replaces them"
    )
    parser.add_argument(
        "--stale",
        action="store_true",
        help="train again if the settings or the test have changed since",
    )
    parser.add_argument("--show", action="store_true", help="only print the runs, train nothing")
    parser.add_argument(
        "--test", action="store_true", help="train nothing; test the trained models again"
    )
    parser.add_argument(
        "--baselines",
        action="store_true",
        help="train nothing; only measure what older results lack: baselines, color borders",
    )
    parser.add_argument("--precision", choices=tuple(PRECISIONS), default="float32")
    parser.add_argument(
        "--accumulate", type=int, default=1, help="gradient accumulation: parts of a batch"
    )
    parser.add_argument("--workers", type=int, help="number of processes that load images")
    parser.add_argument(
        "--data-on-device", action="store_true", help="keep and crop the images on the GPU"
    )
    parser.add_argument("--compile", action="store_true", help="torch.compile")
    parser.add_argument("--freeze-batchnorm", action="store_true")
    parser.add_argument("--save-every", type=int, default=200, help="steps between saves")
    parser.add_argument(
        "--early-steps",
        type=int,
        default=0,
        help="validate every 10 steps up to this step, with raw and averaged weights",
    )
    parser.add_argument("--full-precision", action="store_true", help="save weights in float32")
    parser.add_argument("--cpu", action="store_true", help="train on the CPU")
    options = parser.parse_args(arguments)
    if bool(options.experiments) == bool(options.finetune):
        parser.error("expected experiments or --finetune MODEL")
    if options.finetune:
        if not options.data or len(options.seed) > 1:
            parser.error("--finetune: expected --data, and one --seed")
        return _finetune(options)
    if options.data and options.scale == "quick":
        parser.error("--data: quick scale takes the photographs of the dependencies; use --scale")
    names = [name for word in options.experiments for name in _names(word, options.scale)]
    chosen = [get_experiment(name, options.scale, s) for s in options.seed for name in names]

    failed = 0
    for experiment in map(partial(_changed, options=options), chosen):
        try:
            if options.show:
                pprint(experiment)
            else:
                _train_one(experiment, options)
        except (MissingPriorError, CheckpointError) as error:
            # What one experiment lacks does not stop the others.
            print(f"colorize: {experiment.run}: {error}", file=sys.stderr)
            failed += 1
    return 1 if failed else 0


def _names(word: str, scale: str) -> list[str]:
    """Of a group those experiments that exist at the scale; a single name as it is."""
    if word not in GROUPS:
        return [word]
    return [name for name in GROUPS[word] if scale in EXPERIMENTS[name].scales]


def _changed(experiment: ResolvedExperiment, options: argparse.Namespace) -> ResolvedExperiment:
    """The experiment with the recipe and the length that were asked for."""
    if options.recipe:
        experiment = experiment.with_recipe(options.recipe)
    epochs = experiment.recipe.epochs if options.epochs is None else options.epochs
    freeze = options.freeze_batchnorm or experiment.recipe.freeze_batchnorm
    recipe = replace(experiment.recipe, epochs=epochs, freeze_batchnorm=freeze)
    return replace(experiment, recipe=recipe)


def _train_one(experiment: ResolvedExperiment, options: argparse.Namespace) -> None:
    from colorize.evaluation.results import load_results
    from colorize.experiments.build import load_splits
    from colorize.experiments.files import is_trained, run_files, scale_folder
    from colorize.experiments.run import add_baselines, command, differences, run_experiment
    from colorize.report.tables import baselines_table, metrics_table

    if options.baselines:
        if not is_trained(experiment):
            raise CheckpointError(f"not trained yet; train it first: {command(experiment)}")
        print(baselines_table({experiment.run: add_baselines(experiment, options.data)}))
        return
    settings = _fit_options(
        options, scale_folder(paths.runs(), experiment.scale) / experiment.folder
    )
    trained = is_trained(experiment)
    if trained and not (options.again or options.test):
        different = differences(experiment, load_results(run_files(experiment).results), settings)
        if not (different and options.stale):
            otherwise = f" ({', '.join(different)} would differ now)" if different else ""
            print(f"{experiment.run} is trained already{otherwise}; --again trains it anew")
            return
    splits = load_splits(experiment, options.data, progress=sys.stderr.isatty())
    for part in vars(splits).values():
        print(part.summary())
    results = run_experiment(
        experiment,
        splits=splits,
        train=not options.test,
        resume=options.resume,
        overwrite=options.again or trained,
        options=settings,
    )
    if results:
        print(metrics_table({experiment.run: results}))


def _fit_options(options: argparse.Namespace, log_dir: Path | None = None) -> FitOptions:
    return FitOptions(
        workers=options.workers,
        mixed_precision=PRECISIONS[options.precision],
        accumulate=options.accumulate,
        compile=options.compile,
        save_every=options.save_every,
        early_steps=options.early_steps,
        log_dir=log_dir,
        cpu=options.cpu,
        half=not options.full_precision,
        data_on_device=options.data_on_device,
    )


def _finetune(options: argparse.Namespace) -> int:
    from colorize.models.hub import load_model
    from colorize.training.finetune import SHOWN, finetune, finetune_recipe

    recipe = finetune_recipe(load_model(options.finetune))
    if options.epochs is not None:
        recipe = replace(recipe, epochs=options.epochs)
    done = finetune(
        options.finetune,
        options.data,
        name=options.name,
        folder=options.output,
        recipe=recipe,
        size=options.size,
        keep_class_weights=options.keep_class_weights,
        resume=options.resume,
        overwrite=options.again,
        seed=options.seed[0],
        options=_fit_options(options),
    )
    if not done.measures:
        return 0
    print(f"Both models on {done.photos['test']} test photos, not used in this training:")
    print(f"{'':10}" + "".join(f"{name:>14}" for name in SHOWN))
    for model, values in done.measures.items():
        cells = (f"{values[name]:.3f}" if name in values else "" for name in SHOWN)
        print(f"{model:10}" + "".join(f"{cell:>14}" for cell in cells))
    print("rmse_ab is better when lower, colorfulness when near the truth's, all else when higher.")
    if done.better:
        print("The fine-tuned model has the better colors (auc_cells).")
    else:
        print("The fine-tuned model does not have better colors (auc_cells): keep the original.")
    print(f"Weights: {done.fitted.best}; numbers: {done.results}")
    return 0


def evaluate(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="colorize evaluate",
        description="Measure a trained model on a folder or .zip of color images.",
    )
    parser.add_argument("model", help="name or checkpoint (colorize models)")
    parser.add_argument("--data", type=Path, required=True, help="folder or .zip")
    parser.add_argument("--split", choices=("train", "val", "test"), help="default: all images")
    parser.add_argument("--split-by", choices=("content", "folders"), default="content")
    parser.add_argument(
        "--size", type=int, help="side of the center crop in pixels; default: as trained"
    )
    parser.add_argument(
        "--whole",
        action="store_true",
        help="measure whole images, brought to SIZE x SIZE (default: 256) and colored as the "
        "command colors photos, as most publications do",
    )
    parser.add_argument("-o", "--output", type=Path, help="write the results as JSON")
    options = parser.parse_args(arguments)
    if options.output and options.output.is_dir():
        parser.error(f"-o: expected the name of a file, got the folder {options.output}")

    from colorize.data.dataset import ColorizationDataset
    from colorize.evaluation.measure import measure, measure_whole
    from colorize.evaluation.results import describe_images, save_results
    from colorize.models.hub import load_model
    from colorize.photo.colorize import colorize_image
    from colorize.report.tables import field_table, metrics_table, protocol

    model = load_model(options.model)
    size = options.size
    if size is None:
        size = 256 if options.whole else model.input_size
    dataset = ColorizationDataset(
        options.data,
        size,
        split=options.split,
        split_by=options.split_by,
        resize=size,
        progress=True,
    )
    if options.whole:
        results = measure_whole(partial(colorize_image, model=model), model, dataset)
        how = f"whole images, brought to {size} x {size} px"
    else:
        results, how = measure(model, dataset), f"center crops of {size} px"
    if options.output:
        record = {"model": options.model, "images": how, "data": describe_images(dataset)}
        save_results({**results, **record}, options.output)
    named = {Path(options.model).stem: results}
    print("\n\n".join((metrics_table(named), field_table(named), protocol(named, how))))
    for metric, value in results["test"].items():
        if isinstance(value, dict) and "missing" in value:
            print(f"{metric} was not measured: {value['missing']}")
    return 0


def models(arguments: list[str]) -> int:
    argparse.ArgumentParser(
        prog="colorize models", description="List the trained models."
    ).parse_args(arguments)

    from colorize.models.hub import list_models

    print("\n".join(list_models()) or "none yet; train one with: colorize train EXPERIMENT")
    return 0
