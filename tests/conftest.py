"""What every test of colorize can ask for."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

# Read when torch is loaded: on busy cores, threads that spin while they wait double the time.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import pytest
import skimage.data
import torch
from torch import Tensor

from colorize import paths


def pytest_configure() -> None:
    # Two threads everywhere, so that a large machine sums in the same order as a small one.
    torch.set_num_threads(2)


@pytest.fixture(autouse=True)
def seeded() -> Iterator[None]:
    """Models start from the global random state: every test gets the same one, in any order."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A temporary COLORIZE_HOME, not made yet; nothing that comes with the project is found."""
    folder = tmp_path / "home"
    monkeypatch.setenv("COLORIZE_HOME", str(folder))
    monkeypatch.setattr(paths, "shipped_checkpoints", lambda: tmp_path / "shipped")
    monkeypatch.setattr(paths, "shipped_precalculated", lambda: tmp_path / "shipped")
    return folder


@pytest.fixture(scope="session")
def photo() -> Tensor:
    """A real photograph, (1, 3, 512, 512) uint8 rgb. Take a clone before changing it."""
    return torch.from_numpy(skimage.data.astronaut()).permute(2, 0, 1)[None].contiguous()
