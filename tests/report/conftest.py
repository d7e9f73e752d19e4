"""The committed results, which every table and figure is made of."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from colorize import paths
from colorize.evaluation.results import load_results

Results = dict[str, dict[str, Any]]


@pytest.fixture(scope="session")
def _committed() -> Results:
    files = sorted(paths.shipped_checkpoints().rglob("*.json"))
    return {path.stem: load_results(path) for path in files}


@pytest.fixture
def results(_committed: Results) -> Results:
    """All runs by name, free to be changed."""
    return copy.deepcopy(_committed)


@pytest.fixture
def study_a(results: Results) -> Results:
    """Four runs of study A, two of them of one experiment, on the same test images."""
    names = ("euclidean", "unbalanced", "rebalanced-ours", "simplified", "simplified-seed1")
    return {name: results[name] for name in names}


@pytest.fixture
def fruit(results: Results) -> Results:
    """All runs of study B on fruit."""
    return {name: result for name, result in results.items() if name.startswith("ncd-")}
