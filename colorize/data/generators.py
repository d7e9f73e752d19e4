"""The global random generators: put back as they were, or made to depend on a seed alone."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


@contextmanager
def kept_generators(*, devices: bool = False) -> Iterator[None]:
    """Put the global generators of torch, numpy and Python back as they were.

    Args:
        devices: whether those of all CUDA devices are put back as well.
    """
    python, legacy, cpu = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002
    cuda = torch.cuda.get_rng_state_all() if devices and torch.cuda.is_available() else []
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(legacy)  # noqa: NPY002
        torch.set_rng_state(cpu)
        if cuda:
            torch.cuda.set_rng_state_all(cuda)


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Let all that draws from the global generators depend on a 64-bit seed alone."""
    with kept_generators():
        random.seed(seed)
        np.random.seed(seed & 0xFFFFFFFF)  # noqa: NPY002
        # Not torch.manual_seed, which seeds the devices too.
        torch.default_generator.manual_seed(seed)
        yield
