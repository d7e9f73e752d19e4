"""Real photographs that come with the project's dependencies: no download, no internet."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal

import numpy as np

from colorize.checks import require_choice
from colorize.data.decode import decode_rgb, is_grey
from colorize.data.items import ImageDataset, Scanned
from colorize.data.splits import SPLITS, assign_splits, content_digest
from colorize.errors import DataError, InputError

# name: package, its distribution, file inside the package
_PHOTOGRAPHS = {
    "astronaut": ("skimage", "scikit-image", "data/astronaut.png"),
    "chelsea": ("skimage", "scikit-image", "data/chelsea.png"),
    "china": ("sklearn", "scikit-learn", "datasets/images/china.jpg"),
    "coffee": ("skimage", "scikit-image", "data/coffee.png"),
    "flower": ("sklearn", "scikit-learn", "datasets/images/flower.jpg"),
    "grace_hopper": ("matplotlib", "matplotlib", "mpl-data/sample_data/grace_hopper.jpg"),
    "motorcycle": ("skimage", "scikit-image", "data/motorcycle_left.png"),
    "rocket": ("skimage", "scikit-image", "data/rocket.jpg"),
}
# What the held-out ones show occurs in training too: skin and a flag (astronaut), blue sky (china),
# brown wood and red lacquer (coffee, china).
BUNDLED_SPLITS = {
    "train": ("astronaut", "chelsea", "china", "coffee", "flower"),
    "val": ("motorcycle",),
    "test": ("grace_hopper", "rocket"),
}
"""Which photographs are for training, validation and test."""


def bundled_photographs() -> dict[str, Path]:
    """Eight color photographs inside the packages scikit-image, scikit-learn and matplotlib.

    Returns:
        name -> file, sorted by name.

    Raises:
        DataError: when a package does not bring its photograph, and how to get it.
    """
    found: dict[str, Path] = {}
    for name, (package, distribution, file) in _PHOTOGRAPHS.items():
        spec = importlib.util.find_spec(package)
        if spec is None or spec.origin is None:
            raise DataError(
                f"{name}: expected the package {distribution}, which brings this photograph, got "
                f"none; install it with: pip install {distribution}"
            )
        found[name] = Path(spec.origin).parent / file
        if not found[name].is_file():
            raise DataError(
                f"{found[name]}: expected a photograph that comes with {distribution}, got no "
                f"file; install it again with: pip install --force-reinstall {distribution}"
            )
    return found


def bundled_dataset(
    size: int = 64,
    train: bool = False,
    *,
    split: Literal["train", "val", "test"] | None = None,
    split_by: Literal["photograph", "patch"] = "photograph",
    seed: int = 0,
    short_side: int = 256,
    grey: Literal["drop", "keep"] = "drop",
    rotation: float = 0.0,
    zoom: tuple[float, float] | None = None,
) -> ImageDataset:
    """The bundled photographs, cut into patches that do not overlap, in memory.

    The label of a patch is its photograph; ``classes`` names all of them in every split.

    Args:
        size: side of a patch, in pixels; at most ``short_side``.
        train: flip every other patch.
        split: ``"train"``, ``"val"`` or ``"test"``; None for all photographs.
        split_by: ``"photograph"``: no patch of a photograph that was trained on is ever tested
            (``BUNDLED_SPLITS``). ``"patch"`` divides the patches of each one, so that a classifier
            meets all labels in training; its colors are then tested on what it knows.
        seed: of the division by patch.
        short_side: to which each photograph is reduced first, in pixels (bicubic, antialiased).
        grey: ``"drop"`` or ``"keep"`` patches without color.
        rotation, zoom: as in ``ImageDataset``, inside each patch.

    Raises:
        DataError: when a photograph is missing from its package.
        InputError: when an argument is out of its range.
    """
    origin = "bundled photographs"
    photographs = bundled_photographs()
    chosen: Iterable[str] = photographs
    by_patch = require_choice(split_by, "split_by", ("photograph", "patch")) == "patch"
    if split is not None:
        require_choice(split, "split", SPLITS)
        chosen = chosen if by_patch else BUNDLED_SPLITS[split]
        origin += f", split {split} by patch" if by_patch else f", split {split}"
    dataset = ImageDataset(
        origin, size, train, classes=photographs, grey=grey, rotation=rotation, zoom=zoom
    )
    if size > short_side:
        raise InputError(f"size: expected at most short_side ({short_side}), got {size}")
    found = [
        Scanned(f"{name}-{position}", dataset.class_to_index[name], is_grey(patch), patch)
        for name in chosen
        for position, patch in _patches(photographs[name], name, size, short_side)
    ]
    if by_patch and split is not None:
        digests = [content_digest(patch.name.encode()) for patch in found]
        labels = [dataset.classes[patch.label] for patch in found]
        split_of = assign_splits(digests, labels, seed)
        found = [p for p, own in zip(found, split_of, strict=True) if own == split]
    dataset.adopt(found)
    return dataset


def _patches(path: Path, name: str, size: int, short_side: int) -> Iterator[tuple[str, np.ndarray]]:
    """Name (row, then column, in pixels) and pixels of each patch of a centered grid."""
    rgb = decode_rgb(path, name, resize=short_side)
    height, width, _ = rgb.shape
    for top in range(height % size // 2, height - size + 1, size):
        for left in range(width % size // 2, width - size + 1, size):
            yield f"{top}-{left}", rgb[top : top + size, left : left + size]
