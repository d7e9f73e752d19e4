"""Which images an experiment uses, as data."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from colorize import paths
from colorize.data.splits import SplitBy


@dataclass(frozen=True)
class DataSpec:
    """Which images.

    Attributes:
        name: a folder or .zip in DATA, or "bundled".
        prior_name: of the prior of its training images.
        classes: those kept; all when empty.
        resize: short side to which images are brought before they are cropped; None keeps them.
        sources: folders or .zips in DATA, where the data set is made of several.
        reseed: another seed of the run also is another division into training and test images.
    """

    name: str
    prior_name: str
    classes: tuple[str, ...] = ()
    resize: int | None = None
    split_by: SplitBy = "content"
    reseed: bool = False
    sources: tuple[str, ...] = ()

    @property
    def roots(self) -> list[Path]:
        """Where the images lie by default."""
        return [paths.data() / name for name in self.sources or (self.name,)]
