"""The command export: a trained model as one ONNX file."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from colorize.errors import InputError


def export(arguments: list[str]) -> int:
    """Write a model as ONNX, checked against torch, and print how the two compare."""
    parser = argparse.ArgumentParser(
        prog="colorize export",
        description="Write a model as one ONNX file: lightness of any size in, ab of it out.",
    )
    parser.add_argument("model", help="name or checkpoint (colorize models)")
    parser.add_argument("output", type=Path, help="file that ends in .onnx")
    parser.add_argument("--weights", type=Path, help="file with the weights of a published model")
    parser.add_argument("--overwrite", action="store_true", help="replace an existing file")
    options = parser.parse_args(arguments)
    if os.path.lexists(options.output) and not options.overwrite:
        raise InputError(f"{options.output} is there already; --overwrite replaces it")

    from colorize.models.hub import load_model
    from colorize.photo.export import export_onnx

    report = export_onnx(load_model(options.model, weights=options.weights), options.output)
    print(f"{report.path}: {report.size / 1e6:.1f} MB")
    print(f"differs from torch by at most {report.largest_difference:.1e} in ab")
    return 0
