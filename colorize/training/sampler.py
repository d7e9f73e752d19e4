"""The steps of a training run: which images each one sees, and how it is interrupted."""

from __future__ import annotations

import hashlib
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Sampler

from colorize.data.dataset import ImageDataset
from colorize.errors import DataError
from colorize.training.config import Recipe
from colorize.training.images import KeyedImages


class StepSampler(Sampler[list[tuple[int, int]]]):
    """Batches of (index, seed) keys for all steps of a run, each a function of (seed, step) alone.

    A step's batch comes in ``parts`` when gradients are accumulated. An epoch is a permutation;
    what is left at its end and fills no batch is dropped, and differs from epoch to epoch.
    """

    def __init__(
        self, length: int, whole_batch: int, seed: int, start: int, stop: int, parts: int = 1
    ) -> None:
        self.length, self.whole_batch, self.seed = length, whole_batch, seed
        self.start, self.stop, self.parts = start, stop, parts
        # Accelerate reads these two to share a batch among processes.
        self.batch_size, self.drop_last = whole_batch // parts, True

    def __len__(self) -> int:
        return (self.stop - self.start) * self.parts

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        per_epoch = self.length // self.whole_batch
        order, current = torch.empty(0, dtype=torch.int64), -1
        for step in range(self.start, self.stop):
            epoch, place = divmod(step, per_epoch)
            if epoch != current:
                generator = torch.Generator().manual_seed((self.seed << 20) + epoch)
                order, current = torch.randperm(self.length, generator=generator), epoch
            for part in range(self.parts):
                first = place * self.whole_batch + part * self.batch_size
                chosen = order[first : first + self.batch_size].tolist()
                yield [(index, (self.seed << 32) + epoch) for index in chosen]


def make_loader(
    dataset: ImageDataset | KeyedImages,
    sampler: StepSampler,
    workers: int | None,
    device: torch.device,
) -> DataLoader[dict[str, Tensor]]:
    """Load the batches of a sampler; by how many processes does not change them."""
    if workers is None:
        workers = 0 if dataset.cached else min(4, os.cpu_count() or 1)
    return DataLoader(
        dataset,
        batch_sampler=sampler,
        num_workers=workers,
        pin_memory=device.type == "cuda",
        # Without a generator of its own the loader would draw from the state that dropout uses.
        generator=torch.Generator().manual_seed(sampler.seed),
    )


def step_generator(key: tuple[int, ...], device: torch.device) -> torch.Generator:
    """Make a generator whose numbers are a function of the key alone."""
    digest = hashlib.sha256(str(key).encode()).digest()
    return torch.Generator(device).manual_seed(int.from_bytes(digest[:7], "big"))


def count_steps(images: int, recipe: Recipe) -> int:
    """Steps of a run: full batches in an epoch, times the epochs.

    Raises:
        DataError: when the training set does not fill one batch.
    """
    per_epoch = images // recipe.batch_size
    if per_epoch == 0:
        raise DataError(
            f"training: expected at least one batch of {recipe.batch_size} images, "
            f"got {images} images"
        )
    return max(1, round(per_epoch * recipe.epochs))


@contextmanager
def interruptible(processes: int) -> Iterator[threading.Event]:
    """Turn the first Ctrl-C into a flag that is looked at between steps; the second interrupts.

    Only in the main thread of a single process: elsewhere Python has no say over signals, and one
    process of several that stopped by itself would leave the others waiting.
    """
    flag = threading.Event()
    if processes > 1 or threading.current_thread() is not threading.main_thread():
        yield flag
        return

    def note(number: int, frame: FrameType | None) -> None:
        if flag.is_set():
            raise KeyboardInterrupt
        flag.set()

    before = signal.signal(signal.SIGINT, note)
    try:
        yield flag
    finally:
        signal.signal(signal.SIGINT, before)
