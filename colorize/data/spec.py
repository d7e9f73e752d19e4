"""Which images an experiment uses, as data."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class DataSpec:
    """Which images.

    Attributes:
        name: a set that DOWNLOADER knows, or "bundled".
        label: names the prior of its training images.
        classes: those kept; all when empty.
        subfolder: only what lies below it; None for all.
        resize: short side to which images are brought before they are cropped; None keeps them.
        split_by: "content"; "folders" for that of the data set itself; "tail" for study B's
            flawed one, the last of the sorted files; "patch" of the bundled photographs.
        reseed: another seed of the run also is another division into training and test images.
    """

    name: str
    label: str
    classes: tuple[str, ...] = ()
    subfolder: str | None = None
    resize: int | None = None
    split_by: str = "content"
    reseed: bool = False
