"""The command without a name: color photos."""

from __future__ import annotations

import argparse
import io
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from colorize.cli.plan import PIPE, Plan, Task, choose_destination, make_plan
from colorize.errors import ImageError, InputError
from colorize.photo.formats import OutputError

if TYPE_CHECKING:
    import numpy as np

    from colorize.models import Colorizer
    from colorize.photo.files import Photo

_HELP = """Color photos:
  colorize photo.jpg                    writes photo-color.png beside it
  colorize photo.jpg -o out.jpg         the ending chooses the format
  colorize *.jpg -o colored             several photos: into a folder
  colorize photos -o colored            a folder and all below it; without -o into photos-color
  colorize - < photo.jpg > out.png      standard input to standard output

Results are 8-bit sRGB, also of 16-bit photos. EXIF, transparency and an sRGB profile are kept if
the format can hold them; pixels with another profile are converted to sRGB. Results that exist
already are not made again, so an interrupted run can be repeated.

Other commands:    colorize train EXPERIMENT ..., colorize evaluate MODEL ...,
                   colorize export MODEL out.onnx, colorize notebook, colorize models,
                   colorize results
(each has its own --help)"""
_SETTINGS = ("temperature", "saturation", "size", "upsampling", "samples", "seed")


def color_photos(arguments: list[str]) -> int:
    """Color the photos that the command line names; give 1 when one of them failed."""
    options = _parser().parse_args(arguments)
    suffix = f".{options.format.lower().lstrip('.')}" if options.format else None
    if options.samples is not None and options.samples < 1:
        raise InputError(f"--samples: expected at least 1, got {options.samples}")
    if options.output == PIPE or (options.photos == [PIPE] and options.output is None):
        _to_stdout(options, suffix or ".png")
        return 0
    destination = choose_destination(options.photos, options.output, suffix, options.samples)
    todo = make_plan(options.photos, destination, overwrite=options.overwrite)
    if options.hint and len(todo.tasks) > 1:
        raise InputError(f"--hint: expected one photo to color, got {len(todo.tasks)}")
    for problem in todo.problems:
        _say(problem)
    failed = len(todo.problems) + (_color_files(todo.tasks, options) if todo.tasks else 0)
    _say_what_was_skipped(todo)
    return 1 if failed else 0


def _color_files(tasks: list[Task], options: argparse.Namespace) -> int:
    """Color and write photos; give the number of those that failed."""
    model = _load(options)
    failed = 0
    # None: no bar when standard error is no terminal.
    for task in tqdm(tasks, unit="photo", disable=True if len(tasks) == 1 else None):
        try:
            notes = _color_file(task, model, options)
        except ImageError as error:
            # A file that cannot be colored does not stop the others.
            _say(str(error))
            failed += 1
        except OutputError as error:
            _say(f"{task.photo.path}: {error}")
            failed += 1
        else:
            for note in notes:
                _say(f"{task.photo.path}: {note}")
    return failed


def _color_file(task: Task, model: Colorizer, options: argparse.Namespace) -> list[str]:
    from colorize.photo.files import read_photo, write_photo

    path = task.photo.path
    photo = read_photo(sys.stdin.buffer.read() if task.photo.piped else path, str(path))
    notes = list(photo.notes)
    for target, rgb in zip(task.targets, _color(photo, model, options), strict=True):
        if target in task.missing:
            notes += write_photo(rgb, photo, target, target.suffix)
            tqdm.write(str(target), file=sys.stdout)
    return list(dict.fromkeys(notes))


def _to_stdout(options: argparse.Namespace, suffix: str) -> None:
    """Write one photo to standard output, and nothing else."""
    if len(options.photos) != 1 or options.samples is not None:
        raise InputError("standard output takes one photo, without --samples")
    if sys.stdout.isatty():
        raise InputError("expected standard output to go to a file or program, got the terminal")
    (name,) = options.photos
    if name != PIPE and not Path(name).exists():
        raise InputError(f"{name}: no such file")

    from colorize.photo.files import read_photo, write_photo

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
    from colorize.photo.prediction import DEFAULT_MODEL, find_device

    model = fuse_conv_bn(load_model(options.model or DEFAULT_MODEL, weights=options.weights))
    return model.to(find_device(options.device))


def _color(photo: Photo, model: Colorizer, options: argparse.Namespace) -> list[np.ndarray]:
    from colorize.photo.colorize import colorize_image

    given = {name: getattr(options, name) for name in _SETTINGS}
    settings: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    if options.hint:
        settings["hints"] = options.hint
    colored = colorize_image(photo.rgb, model, **settings)
    return [colored] if options.samples is None else [*colored]


def _say(message: str) -> None:
    tqdm.write(f"colorize: {message}", file=sys.stderr)


def _say_what_was_skipped(todo: Plan) -> None:
    for reason, count in sorted(todo.left_out.items()):
        _say(f"left out of the folder: {count} ({reason})")
    if todo.done:
        _say(f"{len(todo.done)} colored already (--overwrite colors again)")
    if todo.results:
        _say(f"left out: {len(todo.results)} results of an earlier run")


def _hint(text: str) -> tuple[int, int, tuple[int, int, int]]:
    match = re.fullmatch(r"(\d+),(\d+),#?([0-9a-fA-F]{6})", text)
    if match is None:
        raise argparse.ArgumentTypeError(f"expected x,y,#rrggbb, got {text!r}")
    x, y, color = match.groups()
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
    add("--overwrite", action="store_true", help="replace results that exist")
    add("--model", help="name (see colorize models) or checkpoint; default: photo")
    add("--weights", type=Path, help="file with the weights of eccv16 or siggraph17")
    add("--temperature", type=float, help="0 is vivid, 1 is careful; default: the model's own")
    add("--saturation", type=float, help="factor of color: 0 is grey, 1 is the default")
    add("--samples", type=int, help="number of alternatives, likeliest first: NAME-1, NAME-2, ...")
    add("--seed", type=int, help="of the samples; default: 0")
    add(
        "--hint",
        action="append",
        type=_hint,
        metavar="X,Y,#RRGGBB",
        help="color of a pixel of the upright photo; may be repeated",
    )
    add("--size", type=int, help="short side in pixels to which the net's input is reduced")
    add("--upsampling", help="of color: bilateral (default) or bilinear")
    add("--device", help="cuda, mps or cpu; default: the first of them that is here")
    return parser
