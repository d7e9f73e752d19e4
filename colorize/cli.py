"""The command line: color photographs, train experiments, execute the notebook."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

from colorize import paths
from colorize.errors import CheckpointError, ColorizeError, ImageError, MissingPriorError
from colorize.experiments import EXPERIMENTS, RECIPES, SCALES, Experiment, get_experiment

_COLOR_HELP = """Color photographs: colorize photo.jpg -o out.png
Other commands:    colorize train EXPERIMENT ..., colorize evaluate MODEL ...,
                   colorize notebook, colorize models, colorize tables
(each has its own --help)"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; the exit status is 0 when all of it was done, 1 otherwise, 130 for Ctrl-C."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    commands = {
        "train": _train,
        "evaluate": _evaluate,
        "notebook": _notebook,
        "models": _models,
        "tables": _tables,
    }
    try:
        if arguments and arguments[0] in commands:
            return commands[arguments[0]](arguments[1:])
        return _color(arguments)
    except (ColorizeError, OSError) as error:
        print(f"colorize: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt as interrupt:
        print(f"\ncolorize: {interrupt or 'interrupted'}", file=sys.stderr)
        return 130


def _color(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="colorize", description=_COLOR_HELP, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("photos", nargs="+", type=Path, help="image files")
    parser.add_argument("-o", "--output", type=Path, help="file, or folder for several photos")
    parser.add_argument("--model", default=None, help="name or checkpoint (colorize models)")
    parser.add_argument("--temperature", type=float, help="0 is vivid, 1 is careful")
    parser.add_argument("--size", type=int, help="short side at which the net looks")
    parser.add_argument("--device", default="cpu", help="cpu, cuda, mps (default: cpu)")
    options = parser.parse_args(arguments)

    from colorize.checkpoint import load_model
    from colorize.inference import DEFAULT_MODEL, colorize_image, find_device
    from colorize.photos import OutputError, check_output, choose_target, write_image

    check_output(options.photos, options.output)
    model = load_model(options.model or DEFAULT_MODEL).to(find_device(options.device))
    failed = 0
    for photo in options.photos:
        try:
            target = choose_target(photo, options.photos, options.output)
            colored = colorize_image(
                photo, model, temperature=options.temperature, size=options.size
            )
        except (ImageError, OutputError) as error:
            # A file that cannot be colored does not keep the others from it.
            print(f"colorize: {error}", file=sys.stderr)
            failed += 1
            continue
        write_image(colored, target)
        print(target)
    return 1 if failed else 0


def _train(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="colorize train", description="Train and test experiments of study A."
    )
    parser.add_argument("experiments", nargs="+", help=f"all, or of: {', '.join(EXPERIMENTS)}")
    parser.add_argument("--scale", choices=SCALES, default="small")
    parser.add_argument("--data", type=Path, help="folder or .zip (default: DATA/<set>)")
    parser.add_argument("--recipe", choices=sorted(RECIPES), help="default: that of the scale")
    parser.add_argument("--epochs", type=float, help="default: that of the scale")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--resume", action="store_true", help="continue an unfinished run")
    parser.add_argument("--again", action="store_true", help="train anew what is trained already")
    parser.add_argument("--test", action="store_true", help="only test what is trained, again")
    parser.add_argument("--precision", choices=("no", "fp16", "bf16"), default="no")
    parser.add_argument("--accumulate", type=int, default=1, help="parts of a batch")
    parser.add_argument("--workers", type=int, help="image loading processes")
    parser.add_argument("--compile", action="store_true", help="torch.compile")
    parser.add_argument("--freeze-batchnorm", action="store_true")
    parser.add_argument("--save-every", type=int, default=200, help="steps between saves")
    parser.add_argument("--full-precision", action="store_true", help="checkpoints in float32")
    parser.add_argument("--cpu", action="store_true", help="stay on the CPU")
    options = parser.parse_args(arguments)
    names = list(EXPERIMENTS) if options.experiments == ["all"] else options.experiments
    chosen = [get_experiment(name, options.scale) for name in names]

    failed = 0
    for experiment in chosen:
        try:
            _train_one(experiment, options)
        except (MissingPriorError, CheckpointError) as error:
            # What one experiment lacks does not stop the others.
            print(f"colorize: {experiment.name}: {error}", file=sys.stderr)
            failed += 1
    return 1 if failed else 0


def _train_one(experiment: Experiment, options: argparse.Namespace) -> None:
    from colorize.cards import metrics_table
    from colorize.runner import is_trained, run_experiment, scale_folder, test_again
    from colorize.training import FitOptions

    if options.recipe:
        experiment = experiment.with_recipe(options.recipe)
    epochs = experiment.recipe.epochs if options.epochs is None else options.epochs
    experiment = replace(
        experiment, recipe=replace(experiment.recipe, epochs=epochs), seed=options.seed
    )
    if options.test:
        print(metrics_table({experiment.run: test_again(experiment, options.data)}))
        return
    if is_trained(experiment) and not options.again:
        print(f"{experiment.run} is trained already; --again trains it anew")
        return
    settings = FitOptions(
        workers=options.workers,
        mixed_precision=options.precision,
        accumulate=options.accumulate,
        compile=options.compile,
        freeze_batchnorm=options.freeze_batchnorm,
        save_every=options.save_every,
        log_dir=scale_folder(paths.runs(), experiment.scale),
        cpu=options.cpu,
        half=not options.full_precision,
    )
    results = run_experiment(experiment, options.data, resume=options.resume, options=settings)
    if results:
        print(metrics_table({experiment.run: results}))


def _evaluate(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="colorize evaluate",
        description="Measure a trained model on a folder or .zip of color images.",
    )
    parser.add_argument("model", help="name or checkpoint (colorize models)")
    parser.add_argument("--data", type=Path, required=True, help="folder or .zip")
    parser.add_argument("--subfolder", help="only what lies below this folder in it")
    parser.add_argument("--size", type=int, help="side of the center crop; default: as trained")
    parser.add_argument("-o", "--output", type=Path, help="write the results as JSON")
    parser.add_argument("--card", type=Path, help="put the table between the marks of this card")
    options = parser.parse_args(arguments)

    from colorize.cards import metrics_table, protocol, replace_section
    from colorize.checkpoint import load_model
    from colorize.data import ColorizationDataset
    from colorize.evaluation import save_results
    from colorize.runner import measure

    model = load_model(options.model)
    size = options.size or model.look_size
    dataset = ColorizationDataset(
        options.data, size, subfolder=options.subfolder, resize=size, progress=True
    )
    results = measure(model, dataset)
    name = Path(options.model).stem
    text = f"{metrics_table({name: results})}\n\n{protocol({name: results})}"
    print(text)
    if options.output:
        save_results(results, options.output)
    if options.card:
        card = replace_section(options.card.read_text(encoding="utf-8"), "results", text)
        with paths.replacing(options.card) as temporary:
            temporary.write_text(card, encoding="utf-8")
    return 0


def _models(arguments: list[str]) -> int:
    argparse.ArgumentParser(
        prog="colorize models", description="List the trained models."
    ).parse_args(arguments)

    from colorize.checkpoint import list_models

    print("\n".join(list_models()) or "none yet; train one with: colorize train EXPERIMENT")
    return 0


def _tables(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="colorize tables",
        description="Write the tables of a README again, from the results in CHECKPOINTS.",
    )
    parser.add_argument("readme", type=Path)
    readme = parser.parse_args(arguments).readme

    from colorize.cards import readme_sections, replace_section
    from colorize.runner import run_study

    study = run_study("small", train=False)
    described = {name: asdict(e) for name, e in study.experiments.items()}
    text = readme.read_text(encoding="utf-8")
    for name, content in readme_sections(described, study.results).items():
        text = replace_section(text, name, content)
    with paths.replacing(readme) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return 0


def _notebook(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="colorize notebook",
        description="Execute colorization.ipynb; its figures go to GRAPHS.",
    )
    parser.add_argument("--scale", choices=SCALES, default="quick")
    parser.add_argument("--data", type=Path, help="folder or .zip (default: DATA/<set>)")
    parser.add_argument("--train", action="store_true", help="train what has no checkpoint yet")
    parser.add_argument("--fetch", action="store_true", help="download its data sets first")
    parser.add_argument("--output", type=Path, help="default: RUNS/colorization-<scale>.ipynb")
    options = parser.parse_args(arguments)

    from colorize.notebook import execute

    output = options.output or paths.runs() / f"colorization-{options.scale}.ipynb"
    print(execute(options.scale, options.data, output, train=options.train, fetch=options.fetch))
    return 0
