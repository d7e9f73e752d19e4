"""Which images an experiment uses, as data."""

from __future__ import annotations

from dataclasses import dataclass

from colorize.data.splits import SplitBy


@dataclass(frozen=True)
class DataSpec:
    """Which images.

    Attributes:
        name: a folder or .zip in DATA, or "bundled".
        prior_name: of the prior of its training images.
        classes: those kept; all when empty.
        resize: short side to which images are brought before they are cropped; None keeps them.
        reseed: another seed of the run also is another division into training and test images.
    """

    name: str
    prior_name: str
    classes: tuple[str, ...] = ()
    resize: int | None = None
    split_by: SplitBy = "content"
    reseed: bool = False
