"""Curves and images of a run for TensorBoard."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from accelerate import Accelerator

from colorize.data.dataset import ImageDataset
from colorize.evaluation.examples import compare_images, spread_indices
from colorize.models import Colorizer
from colorize.training.images import KeyedImages

_PANELS = 4


def log_validation(
    accelerator: Accelerator,
    point: Mapping[str, float],
    model: Colorizer,
    datasets: Mapping[str, ImageDataset | KeyedImages],
    seed: int,
) -> None:
    """Write a point of the learning curve, and a few images: grey, colored, truth."""
    step = int(point["step"])
    accelerator.log(dict(point), step=step)
    if not model.colors:
        return
    writer = accelerator.get_tracker("tensorboard", unwrap=True)
    for name, dataset in datasets.items():
        # A key with a seed: a crop must not draw from the generator that dropout uses.
        keys = [(i, seed) for i in spread_indices(len(dataset), _PANELS)]
        rows = compare_images({"colored": model}, dataset, keys)
        panel = np.concatenate([np.concatenate(row, axis=1) for row in rows.values()])
        writer.add_image(f"{name}: grey, colored, truth", panel, step, dataformats="HWC")
