"""Real photographs that come with the project's dependencies: no download, no internet."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from colorize.checks import require_choice
from colorize.data.dataset import ImageDataset, Scanned
from colorize.data.decode import decode_rgb
from colorize.data.grey import is_grey
from colorize.data.splits import SPLITS, Split, SplitBy, assign_splits, content_digest
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

_SHORT_SIDE = 256


def bundled_photographs() -> dict[str, Path]:
    """Eight color photographs inside the packages scikit-image, scikit-learn and matplotlib.

    Returns:
        name -> file, sorted by name.
    """
    files: dict[str, Path] = {}
    for name, (package, distribution, file) in _PHOTOGRAPHS.items():
        spec = importlib.util.find_spec(package)
        if spec is None or spec.origin is None:
            raise DataError(
                f"{name}: expected the package {distribution}, which brings this photograph, got "
                f"none; install it with: pip install {distribution}"
            )
        files[name] = Path(spec.origin).parent / file
        if not files[name].is_file():
            raise DataError(
                f"{files[name]}: expected a photograph that comes with {distribution}, got no "
                f"file; install it again with: pip install --force-reinstall {distribution}"
            )
    return files


def bundled_dataset(
    size: int = 64,
    train: bool = False,
    *,
    split: Split | None = None,
    split_by: SplitBy = "content",
    seed: int = 0,
    rotation: float = 0.0,
    zoom: tuple[float, float] | None = None,
) -> ImageDataset:
    """The bundled photographs, cut into patches that do not overlap, in memory.

    The label of a patch is its photograph; ``classes`` names all of them in every split.

    Args:
        size: side of a patch, in pixels; at most 256, the short side of the reduced photographs.
        train: flip every other patch.
        split: ``"train"``, ``"val"`` or ``"test"``; None for all photographs.
        split_by: ``"content"``: no patch of a photograph that was trained on is ever tested
            (``BUNDLED_SPLITS``). ``"patch"`` divides the patches of each one, so that a classifier
            meets all labels in training; its colors are then tested on what it knows.
        seed: of the division by patch.
        rotation, zoom: of ``RandomCrop``, inside each patch.
    """
    origin = "bundled photographs"
    photographs = bundled_photographs()
    chosen: Iterable[str] = photographs
    by_patch = require_choice(split_by, "split_by", ("content", "patch")) == "patch"
    if split is not None:
        require_choice(split, "split", SPLITS)
        chosen = chosen if by_patch else BUNDLED_SPLITS[split]
        origin += f", split {split} by patch" if by_patch else f", split {split}"
    dataset = ImageDataset(origin, size, train, classes=photographs, rotation=rotation, zoom=zoom)
    if size > _SHORT_SIDE:
        raise InputError(f"size: expected at most {_SHORT_SIDE}, got {size}")
    patches = [
        Scanned(f"{name}-{position}", dataset.class_to_index[name], is_grey(patch), patch)
        for name in chosen
        for position, patch in _patches(photographs[name], name, size)
    ]
    if by_patch and split is not None:
        digests = [content_digest(patch.name.encode()) for patch in patches]
        labels = [dataset.classes[patch.label] for patch in patches]
        split_of = assign_splits(digests, labels, seed)
        patches = [p for p, part in zip(patches, split_of, strict=True) if part == split]
    dataset.adopt(patches)
    return dataset


def _patches(path: Path, name: str, size: int) -> Iterator[tuple[str, np.ndarray]]:
    """Name (row, then column, in pixels) and pixels of each patch of a centered grid."""
    with Image.open(path) as image:
        # The rocket is in Adobe RGB. Weights and results were made of its levels as stored.
        image.info.pop("icc_profile", None)
        rgb = decode_rgb(image, name, resize=_SHORT_SIDE)
    height, width, _ = rgb.shape
    for top in range(height % size // 2, height - size + 1, size):
        for left in range(width % size // 2, width - size + 1, size):
            yield f"{top}-{left}", rgb[top : top + size, left : left + size]
