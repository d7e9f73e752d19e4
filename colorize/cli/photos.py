"""The command without a name: color photographs."""

from __future__ import annotations

import argparse
import io
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from colorize.errors import ImageError, InputError

if TYPE_CHECKING:
    import numpy as np

    from colorize.cli.plan import Plan, Task
    from colorize.models import Colorizer
    from colorize.photo.files import Photo

_HELP = """Color photographs:
  colorize photo.jpg                    writes photo-color.png beside it
  colorize photo.jpg -o out.jpg         the format goes by the ending
  colorize *.jpg -o colored             several: into a folder
  colorize photos -o colored            a folder and all below it; without -o into photos-color
  colorize - < photo.jpg > out.png      standard input to standard output

Results are 8-bit sRGB, of 16-bit photographs too. EXIF, transparency and color profile are kept
where the format holds them; a profile other than sRGB is applied and replaced by sRGB. What is
there already is not colored again, so a run that was cut goes on where it was.

Other commands:    colorize train EXPERIMENT ..., colorize evaluate MODEL ...,
                   colorize export MODEL out.onnx, colorize notebook, colorize models,
                   colorize tables
(each has its own --help)"""
_SETTINGS = ("temperature", "saturation", "size", "upsampling", "samples", "seed")


def color_photos(arguments: list[str]) -> int:
    """Color what the command line names; 1 when something of it could not be done."""
    options = _parser().parse_args(arguments)

    from colorize.cli.plan import PIPE, choose_destination, plan

    suffix = f".{options.format.lower().lstrip('.')}" if options.format else None
    if options.samples is not None and options.samples < 1:
        raise InputError(f"--samples: expected at least 1, got {options.samples}")
    if options.output == PIPE or (options.photos == [PIPE] and options.output is None):
        _to_stdout(options, suffix or ".png")
        return 0
    destination = choose_destination(options.photos, options.output, suffix, options.samples)
    todo = plan(options.photos, destination, overwrite=options.overwrite)
    if options.hint and len(todo.tasks) > 1:
        raise InputError(f"--hint: expected one photograph to color, got {len(todo.tasks)}")
    for problem in todo.problems:
        _say(problem)
    failed = len(todo.problems) + (_color_files(todo.tasks, options) if todo.tasks else 0)
    _say_what_was_skipped(todo)
    return 1 if failed else 0


def _color_files(tasks: list[Task], options: argparse.Namespace) -> int:
    """Color and write; how many photographs could not be."""
    from colorize.photo.files import OutputError

    model = _load(options)
    failed = 0
    # By itself the bar stays away when standard error is no terminal.
    for task in tqdm(tasks, unit="photo", disable=True if len(tasks) == 1 else None):
        try:
            notes = _color_file(task, model, options)
        except ImageError as error:
            # A file that cannot be colored does not keep the others from it.
            _say(str(error))
            failed += 1
        except OutputError as error:
            _say(f"{task.source.path}: {error}")
            failed += 1
        else:
            for note in notes:
                _say(f"{task.source.path}: {note}")
    return failed


def _color_file(task: Task, model: Colorizer, options: argparse.Namespace) -> list[str]:
    from colorize.photo.files import read_photo, write_photo

    path = task.source.path
    photo = read_photo(sys.stdin.buffer.read() if task.source.piped else path, str(path))
    notes = list(photo.notes)
    for target, rgb in zip(task.targets, _color(photo, model, options), strict=True):
        if target in task.missing:
            notes += write_photo(rgb, photo, target, target.suffix)
            tqdm.write(str(target), file=sys.stdout)
    return list(dict.fromkeys(notes))


def _to_stdout(options: argparse.Namespace, suffix: str) -> None:
    """One photograph, and nothing but its bytes."""
    from colorize.cli.plan import PIPE
    from colorize.photo.files import read_photo, write_photo

    if len(options.photos) != 1 or options.samples is not None:
        raise InputError("standard output takes one photograph, without --samples")
    if sys.stdout.isatty():
        raise InputError("expected standard output to go to a file or program, got the terminal")
    (name,) = options.photos
    photo = read_photo(sys.stdin.buffer.read() if name == PIPE else Path(name), name)
    (rgb,) = _color(photo, _load(options), options)
    encoded = io.BytesIO()
    for note in [*photo.notes, *write_photo(rgb, photo, encoded, suffix)]:
        _say(f"{name}: {note}")
    sys.stdout.buffer.write(encoded.getbuffer())
    sys.stdout.buffer.flush()


def _load(options: argparse.Namespace) -> Colorizer:
    from colorize.models.fuse import fuse_conv_bn
    from colorize.models.hub import load_model
    from colorize.photo.colorize import DEFAULT_MODEL, find_device

    model = fuse_conv_bn(load_model(options.model or DEFAULT_MODEL, weights=options.weights))
    return model.to(find_device(options.device))


def _color(photo: Photo, model: Colorizer, options: argparse.Namespace) -> list[np.ndarray]:
    from colorize.photo.colorize import colorize_image

    given = {name: getattr(options, name) for name in _SETTINGS}
    settings: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    if options.hint:
        settings["hints"] = options.hint
    colored = colorize_image(photo.rgb, model, **settings)
    return colored if isinstance(colored, list) else [colored]


def _say(message: str) -> None:
    tqdm.write(f"colorize: {message}", file=sys.stderr)


def _say_what_was_skipped(todo: Plan) -> None:
    for reason, count in sorted(todo.left_out.items()):
        _say(f"left out of the folder: {count} ({reason})")
    if todo.done:
        _say(f"{len(todo.done)} colored already (--overwrite colors again)")
    if todo.results:
        _say(f"left out: {len(todo.results)} that an earlier run wrote")


def _hint(text: str) -> tuple[int, int, tuple[int, int, int]]:
    found = re.fullmatch(r"(\d+),(\d+),#?([0-9a-fA-F]{6})", text)
    if found is None:
        raise argparse.ArgumentTypeError(f"expected x,y,#rrggbb, got {text!r}")
    x, y, color = found.groups()
    red, green, blue = bytes.fromhex(color)
    return int(x), int(y), (red, green, blue)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="colorize", description=_HELP, formatter_class=argparse.RawTextHelpFormatter
    )
    add = parser.add_argument
    add("photos", nargs="+", metavar="photo", help="image files, folders, patterns, or -")
    add("-o", "--output", help="file, or folder for several photos, or -")
    add("--format", help="png, jpg, tif, webp, avif, jp2, bmp, ppm (default: png)")
    add("--overwrite", action="store_true", help="color again what is there already")
    add("--model", help="name or checkpoint (colorize models; default: photo)")
    add("--weights", type=Path, help="file with the weights of eccv16 or siggraph17")
    add("--temperature", type=float, help="0 is vivid, 1 is careful (default: the model's)")
    add("--saturation", type=float, help="0 is grey, 1 as the model has it, above is more")
    add("--samples", type=int, help="so many alternatives, likeliest first: NAME-1, NAME-2, ...")
    add("--seed", type=int, help="other samples (default: 0)")
    add(
        "--hint",
        action="append",
        type=_hint,
        metavar="X,Y,#RRGGBB",
        help="the color at a pixel of the upright photograph; may be repeated",
    )
    add("--size", type=int, help="short side at which the net looks")
    add("--upsampling", help="of color to full size: bilateral (default) or bilinear")
    add("--device", default="cpu", help="cpu, cuda, mps (default: cpu)")
    return parser
