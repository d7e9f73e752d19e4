"""Batches of a data set, and their images as a model colors them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, default_collate

from colorize.checks import require_whole
from colorize.color.lab import lab_to_rgb, to_uint8
from colorize.errors import InputError

_EXPECTED = "expected a data set (or list) whose items are dicts with rgb, (3, H, W) uint8"

Images = Dataset[dict[str, Tensor]]


class ColoredBatch(NamedTuple):
    """A batch, and its images in the colors of a model.

    Attributes:
        batch: of the data set: ``rgb``, (N, 3, H, W) uint8, and what else there is.
        lab: (N, 3, H, W) of the true images.
        ab: (N, 2, H, W) of the model, CIELAB units.
        rgb: (N, 3, H, W) uint8, the true lightness with this ab.
    """

    batch: Mapping[str, Tensor]
    lab: Tensor
    ab: Tensor
    rgb: Tensor

    @property
    def truth(self) -> Tensor:
        """(N, 3, H, W) uint8."""
        return self.batch["rgb"]


def load_batches(
    dataset: Images, batch_size: int, device: torch.device
) -> Iterator[dict[str, Tensor]]:
    """Load a data set in its order, onto a device."""
    if not hasattr(dataset, "__getitem__"):
        raise InputError(f"dataset: {_EXPECTED}, got a {type(dataset).__name__}")
    require_whole(batch_size, "batch_size", 1)
    # A generator of its own: a loader without one would draw from the global random state, and a
    # training run that validates would not resume to the same bits.
    generator = torch.Generator().manual_seed(0)
    loader = DataLoader(dataset, batch_size, generator=generator, collate_fn=_collate)
    for batch in loader:
        if not isinstance(batch, Mapping) or "rgb" not in batch:
            raise InputError(f"dataset: {_EXPECTED}, got {type(dataset[0]).__name__}")
        yield {n: value.to(device) for n, value in batch.items() if isinstance(value, Tensor)}


def _collate(items: list[Any]) -> Any:
    try:
        return default_collate(items)
    except (RuntimeError, TypeError) as error:
        raise InputError(
            f"dataset: expected items that are alike ({error}); batch_size=1 takes any size"
        ) from error


def join_rgb(lab: Tensor, ab: Tensor) -> Tensor:
    """Make (N, 3, H, W) uint8 images of the lightness of lab and another ab."""
    return to_uint8(lab_to_rgb(torch.cat((lab[:, :1], ab), 1)))
