"""How long a photograph takes on this machine, and how much memory.

    python benchmarks/photo.py [--threads 2] [--output benchmarks/photo.json] [--models NAME ...]

For every model that is here: milliseconds a photo at 256 px, lightness to ab, by torch as loaded,
by torch with batch norm folded and channels_last, and by ONNX. Then ``colorize_image`` of 12
megapixels, with the peak memory of a process of its own, and the processor time of the command for
its first photo of that size, beside that of ``import torch``. All in one run; compare the ratios,
not the milliseconds. Nothing else should be running. ONNX needs the packages onnx, onnxruntime and
onnxscript.
"""

from __future__ import annotations

import argparse
import importlib
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from timing import (
    alternating_medians,
    median_seconds,
    peak_gib,
    processor_seconds,
    run_alone,
)

from colorize.data.bundled import bundled_photographs
from colorize.evaluation.results import machine, save_results
from colorize.models import Colorizer
from colorize.models.fuse import fuse_conv_bn
from colorize.models.hub import list_models, load_model
from colorize.photo.colorize import colorize_image
from colorize.photo.export import example_lightness, export_onnx, run_session, start_session
from colorize.photo.prediction import DEFAULT_MODEL

SIDE = 256
LARGE = (3000, 4000)
REPEATS = 15


def photo_times(model: Colorizer, repeats: int) -> dict[str, float]:
    """Milliseconds a photo at 256 px by each way; ``fold`` is what folding takes, once."""
    L = example_lightness((1, SIDE, SIDE))
    start = time.perf_counter()
    folded = fuse_conv_bn(model)
    fold = 1000 * (time.perf_counter() - start)
    runtime = importlib.import_module("onnxruntime")
    with tempfile.TemporaryDirectory() as folder:
        report = export_onnx(model, Path(folder) / "model.onnx")
        session = start_session(runtime, report.path)
        with torch.inference_mode():
            runs: dict[str, Callable[[], object]] = {
                "torch": lambda: model.predict_ab(L),
                "folded": lambda: folded.predict_ab(L),
                "onnx": lambda: run_session(session, L),
            }
            seconds = alternating_medians(runs, repeats)
    return {**{name: 1000 * value for name, value in seconds.items()}, "fold": fold}


def large_photo() -> Image.Image:
    """A grey photograph of 12 megapixels."""
    height, width = LARGE
    with Image.open(next(iter(bundled_photographs().values()))) as photo:
        return photo.convert("L").resize((width, height), Image.Resampling.BICUBIC)


def first_photo(repeats: int) -> dict[str, float]:
    """Processor seconds of the command that colors one JPEG, and what of it is the import."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "photo.jpg"
        large_photo().save(path, quality=90)
        return {
            "command": processor_seconds(
                *("-m", "colorize", str(path), "-q", "-o", "-"), repeats=repeats
            ),
            "import_torch": processor_seconds("-c", "import torch", repeats=repeats),
        }


def color_large(name: str, repeats: int) -> dict[str, float]:
    """Seconds and peak memory to color 12 megapixels, in this process and nothing else in it."""
    grey = np.asarray(large_photo())
    model = fuse_conv_bn(load_model(name))
    before = peak_gib()
    seconds = median_seconds(lambda: colorize_image(grey, model), repeats)
    return {"seconds": seconds, "peak_gib": peak_gib(), "before_gib": before}


def measure(models: list[str], threads: int, repeats: int) -> dict[str, Any]:
    """All figures."""
    options = ("--threads", threads, "--repeats", min(repeats, 5))
    large = {
        "model": DEFAULT_MODEL,
        "megapixels": LARGE[0] * LARGE[1] / 1e6,
        **run_alone(__file__, "--large", DEFAULT_MODEL, *options),
        "first": first_photo(min(repeats, 5)),
    }
    results: dict[str, Any] = {
        "photos": {},
        "threads": threads,
        "repeats": repeats,
        "large": large,
    }
    for name in models:
        model = load_model(name)
        if not model.colors:
            print(f"{name}: classifies only, left out")
            continue
        results["photos"][name] = photo_times(model, repeats)
        print(f"{name}: done", flush=True)
    results["machine"] = {**machine(), "onnxruntime": _version("onnxruntime")}
    return results


def _version(package: str) -> str:
    return str(importlib.import_module(package).__version__)


def show(results: dict[str, Any]) -> None:
    """Print the figures as a table."""
    print(f"\nms a photo at {SIDE} px, {results['threads']} threads; in brackets shares of torch")
    print(f"{'model':28} {'torch':>8} {'folded, channels_last':>22} {'ONNX':>15} {'folding':>9}")
    for name, found in results["photos"].items():
        plain, folded, onnx = (found[way] for way in ("torch", "folded", "onnx"))
        print(
            f"{name:28} {plain:8.1f} {folded:14.1f} ({folded / plain:4.0%}) "
            f"{onnx:8.1f} ({onnx / plain:4.0%}) {found['fold']:9.1f}"
        )
    large = results["large"]
    print(
        f"\n{large['megapixels']:.0f} megapixels, {large['model']}: {large['seconds']:.2f} s, peak "
        f"memory {large['peak_gib']:.2f} GiB ({large['before_gib']:.2f} before the first photo)"
    )
    first = large["first"]
    print(
        f"by the command, a new process: {first['command']:.2f} s of processor time, import torch "
        f"alone {first['import_torch']:.2f} s"
    )


def main() -> None:
    """Measure, print and save."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=REPEATS, help="calls that a median is of")
    parser.add_argument("--output", type=Path, default=Path(__file__).with_suffix(".json"))
    parser.add_argument("--models", nargs="+", help="only these (default: all that are here)")
    parser.add_argument("--large", help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.large:
        print(json.dumps(color_large(options.large, options.repeats)))
        return
    results = measure(options.models or list_models(), options.threads, options.repeats)
    show(results)
    save_results(results, options.output)
    print(f"written: {options.output}")


if __name__ == "__main__":
    main()
