"""What an evaluation leaves: results as JSON, and the machine that they were measured on."""

from __future__ import annotations

import json
import math
import os
import platform
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypedDict, cast

import accelerate
import numpy as np
import torch

from colorize.data.dataset import ImageDataset
from colorize.errors import DataError
from colorize.storage import atomic_write

Measured = dict[str, Any]
"""What ``evaluate`` returns, with ``{"missing": reason}`` for what cannot be measured here."""


class Machine(TypedDict):
    """What the numbers were measured on."""

    platform: str
    cores: int | None
    gpu: str | None
    python: str
    torch: str
    numpy: str
    accelerate: str


class SplitRecord(TypedDict):
    """How many images of a part of the data set were used, and why others were not."""

    images: int
    grey_left_out: int
    rejected: int
    content_sha256: str


class ModelResults(TypedDict):
    """A model on a test set, beside grey.

    Attributes:
        temperature: of the model; None for one without.
        test: with ``images``, the values of single images by metric.
        sweep: the same images at other temperatures.
        baselines: what knows nothing, on the same images: "mean", "constant" and "shuffled" of
            ``evaluation.baselines``; empty where they were not measured.
        borders: the sharpness of color borders by temperature, on the same images; empty where it
            was not measured.
    """

    parameters: int
    temperature: float | None
    test: Measured
    sweep: list[Measured]
    grey: Measured
    baselines: dict[str, Measured]
    borders: list[Measured]
    machine: Machine


class Results(ModelResults):
    """The file ``CHECKPOINTS/<name>.json`` of a run.

    Attributes:
        experiment: the fields of ``ResolvedExperiment``.
        curve: the points of the learning curve.
        data: by split: train, val, test.
        validation_sweep: temperatures on the images that choose one.
        test_last: the last weights on the test images; None where they are the tested ones.
        inputs: a classifier on images of other colors, by who colored them.
        also_tested: other models on these test images, by experiment.
    """

    experiment: dict[str, Any]
    command: str
    steps: int
    images_seen: int
    seconds: float
    precision: str
    curve: list[dict[str, float]]
    weights_sha256: str
    data: dict[str, SplitRecord]
    validation_sweep: list[Measured]
    test_last: Measured | None
    inputs: dict[str, Measured]
    also_tested: dict[str, Measured]


_NUMBERS = re.compile(r"\[\n[-+.,eE\d\snul]+\]")


def machine() -> Machine:
    """Describe this machine: processor, cores, GPU, versions."""
    return {
        "platform": f"{platform.system()} {platform.machine()}",
        "cores": os.cpu_count(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "accelerate": accelerate.__version__,
    }


def describe_images(dataset: ImageDataset) -> SplitRecord:
    """Say which images of a part of a data set were used, and how many others were not."""
    return {
        "images": len(dataset),
        "grey_left_out": len(dataset.grey),
        "rejected": len(dataset.rejected),
        "content_sha256": dataset.content_sha256,
    }


def save_results(results: Mapping[str, Any], path: Path) -> Path:
    """Write results as JSON, a whole file or none; what is not finite becomes null."""
    text = json.dumps(_finite(results), indent=1, allow_nan=False)
    # A list of numbers is read, and compared in git, as one thing.
    text = _NUMBERS.sub(lambda match: " ".join(match[0].split()), text)
    with atomic_write(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")
    return path


def load_results(path: Path) -> Results:
    """Read the results of a run."""
    try:
        return cast(Results, json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError as error:
        raise DataError(f"There are no results {path}; train the experiment first") from error
    except json.JSONDecodeError as error:
        raise DataError(f"{path} is not readable as JSON: {error}") from error


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
