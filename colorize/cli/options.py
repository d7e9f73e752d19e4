"""The options of the command that colors photos, checked before anything heavy is imported."""

from __future__ import annotations

import argparse
import json
import math
import re
from functools import partial
from pathlib import Path
from typing import Any

from colorize import paths, storage
from colorize.cli.plan import is_folder
from colorize.errors import InputError
from colorize.version import __version__

HELP = """Color photos:
  colorize photo.jpg                    writes photo-color.png beside it
  colorize photo.jpg -o out.jpg         the suffix chooses the format
  colorize *.jpg -o colored             several photos: into a folder
  colorize photos -o colored            a folder with its sub-folders; default: into photos-color
  colorize - < photo.jpg > out.png      standard input to standard output

Results are sRGB with 8 bits, or 16 with --depth 16. Transparency, resolution, EXIF, XMP, IPTC,
texts and an sRGB profile are kept if the format can store them; pixels with another profile are
converted to sRGB. The XMP metadata says that the color is computed, with model and settings.

Running the command again skips photos that are done. A result is replaced if its photo, the model,
an option or the version of colorize has changed; the file .colorize.jsonl beside the results
records these. Other files are never overwritten: the result is then called NAME-2, NAME-3, ..., and
a name given with -o is an error. Results among the input photos are skipped. If a photo fails, the
others are still colored, and the exit status is 1.

Other commands:    colorize train EXPERIMENT ..., colorize evaluate MODEL ...,
                   colorize export MODEL out.onnx, colorize notebook, colorize models,
                   colorize results, colorize app, colorize sheet photo.jpg
(each has its own --help)"""

_SETTINGS = ("temperature", "saturation", "size", "upsampling", "samples", "seed", "depth")
_DEFAULTS = {"saturation": 1.0, "upsampling": "bilateral", "depth": 8}


def parse(arguments: list[str]) -> argparse.Namespace:
    """Read the command line; what is wrong in it ends the program with status 2."""
    options = _parser().parse_args(arguments)
    options.suffix = None
    if options.format is not None:
        options.suffix = f".{options.format.lower().lstrip('.')}"
    return options


def prediction_settings(options: argparse.Namespace) -> dict[str, Any]:
    """Give the arguments of ``colorize_image`` that were named."""
    named = {name: getattr(options, name) for name in _SETTINGS}
    if options.hint:
        named["hints"] = options.hint
    if options.as_is:
        named["adapt"] = False
    return {name: value for name, value in named.items() if value is not None}


def recorded_settings(options: argparse.Namespace) -> dict[str, Any]:
    """Give all that decides how a result looks, besides its photo, as values of JSON."""
    settings = prediction_settings(options)
    if options.samples is None:
        settings.pop("seed", None)
    else:
        settings.setdefault("seed", 0)
    settings = {k: v for k, v in settings.items() if _DEFAULTS.get(k) != v}
    if options.compare:
        settings["compare"] = True
    if options.mask is not None:
        settings["mask"] = storage.sha256_file(options.mask)
    settings |= {"model": Path(options.model).stem, "version": __version__}
    weights = options.weights or _checkpoint(options.model)
    if weights is not None:
        settings["weights"] = storage.sha256_file(weights)
    decoded: dict[str, Any] = json.loads(json.dumps(settings))
    return decoded


def _checkpoint(model: str) -> Path | None:
    """Find the file of a model; None for published weights, and for a name that is not known."""
    if not model.endswith(".safetensors"):
        return paths.trained_checkpoints().get(model)
    if not Path(model).is_file():
        raise InputError(f"--model: {model}: no such file")
    return Path(model)


def read_number(kind: type[float], least: float, end: float, expected: str, text: str) -> float:
    """Read a number of an option, from ``least`` to less than ``end``."""
    try:
        value = kind(text)
    except ValueError:
        value = math.nan
    if not least <= value < end:
        raise argparse.ArgumentTypeError(f"expected {expected}, got {text!r}")
    return value


_number = partial(read_number, float, 0, math.inf, "a number of 0 or above")
_count = partial(read_number, int, 1, math.inf, "a whole number of 1 or above")
_seed = partial(read_number, int, 0, 2**63, "a whole number of 0 to 2^63 - 1")


def _file(text: str) -> Path:
    if not Path(text).is_file():
        reason = "expected a file, got a folder" if is_folder(text) else "no such file"
        raise argparse.ArgumentTypeError(f"{text or 'an empty name'}: {reason}")
    return Path(text)


def _hint(text: str) -> tuple[int, int, tuple[int, int, int]]:
    match = re.fullmatch(r"(\d+),(\d+),#?([0-9a-fA-F]{6})", text)
    if match is None:
        raise argparse.ArgumentTypeError(f"expected x,y,#rrggbb, got {text!r}")
    x, y, color = match.groups()
    red, green, blue = bytes.fromhex(color)
    return int(x), int(y), (red, green, blue)


def _name(text: str) -> str:
    if not text:
        raise argparse.ArgumentTypeError("expected a name, got an empty one")
    return text


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="colorize",
        description=HELP,
        formatter_class=argparse.RawTextHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("photos", nargs="+", metavar="photo", help="image files, folders, patterns, or -")
    add("-o", "--output", help="file, or folder for several photos, or -")
    add("--format", type=_name, help="png, jpg, tif, webp, avif, jp2, bmp, ppm (default: png)")
    add(
        "--overwrite",
        action="store_true",
        help="color again what is done, and replace other files of that name",
    )
    add("--model", type=_name, default="photo", help="name (see colorize models) or checkpoint")
    add("--weights", type=_file, help="file with the weights of eccv16 or siggraph17")
    add(
        "--temperature",
        type=_number,
        help="lower is more vivid, higher is paler; default: the model's own",
    )
    add("--saturation", type=_number, help="multiplies the color: 0 is grey, 1 is the default")
    add("--samples", type=_count, help="number of colorings, most likely first: NAME-1, NAME-2")
    add("--seed", type=_seed, help="random seed of the samples; default: 0")
    add(
        "--hint",
        action="append",
        type=_hint,
        metavar="X,Y,#RRGGBB",
        help="color of a pixel of the upright photo; may be repeated",
    )
    add(
        "--mask",
        type=_file,
        help="image of the size of the photo: white is colored, black keeps its own color",
    )
    add(
        "--size",
        type=_count,
        help="short side of the network's input in pixels; default: as trained",
    )
    add("--as-is", action="store_true", help="do not adapt faded or framed photos for the network")
    add("--upsampling", choices=("bilateral", "bilinear"), help="of color; default: bilateral")
    add("--depth", type=int, choices=(8, 16), help="bits a channel; 16 for PNG and TIFF")
    add("--compare", action="store_true", help="write before and after side by side: NAME-compare")
    add(
        "--truncated",
        action="store_true",
        help="also color a JPEG file that lost a part of its data",
    )
    add("--max-pixels", type=_count, help="refuse larger photos; default: 178956970")
    add("--only-grey", action="store_true", help="leave color photos alone; sepia counts as grey")
    add(
        "--device",
        type=_name,
        default="auto",
        help="cuda, mps or cpu; auto (default): the first that is available",
    )
    add("--json", action="store_true", help="print a report as JSON instead of the file names")
    add("-q", "--quiet", action="store_true", help="print errors only")
    add("--version", action="version", version=f"colorize {__version__}")
    return parser
