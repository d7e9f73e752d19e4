"""What became of a photo, in words. Imports no torch."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from colorize.cli.plan import InputPhoto
from colorize.errors import ColorizeError

_MOST_NAMES = 10
SUMMARY = {
    "colored": "colored",
    "done": "colored already",
    "result": "left out as result of an earlier run",
    "color": "left alone as color photo",
    "failed": "failed",
    "not tried": "not tried",
}


@dataclass
class Outcome:
    """What became of a photo; ``status`` is a key of ``SUMMARY``."""

    photo: str
    status: str
    results: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    error: str | None = None


def explain(error: Exception, photo: InputPhoto) -> str:
    """Say in one line what an error means for a photo."""
    if isinstance(error, ColorizeError):
        return str(error).removeprefix(f"{photo.path}: ")
    if lacks_memory(error):
        return "there is not enough memory for it"
    if isinstance(error, OSError) and error.strerror:
        other = error.filename and str(error.filename) != str(photo.path)
        return f"{error.filename}: {error.strerror}" if other else error.strerror
    text = str(error).splitlines()[0] if str(error) else "no message"
    return f"{type(error).__name__}: {text}"


def lacks_memory(error: Exception) -> bool:
    """Whether an error says that there is no memory left, by Python or by torch."""
    return isinstance(error, MemoryError) or "memory" in str(error)


def is_full(error: Exception, folder: Path) -> bool:
    """Whether an error comes from a full disk, which ends a run."""
    if not isinstance(error, OSError):
        return False
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return True
    # Pillow's encoders give no number.
    return error.errno is None and folder.is_dir() and shutil.disk_usage(folder).free < 1 << 16


def listed(names: Iterable[str]) -> str:
    """List names, the first of them when there are many."""
    names = list(names)
    more = len(names) - _MOST_NAMES
    return ", ".join(names[:_MOST_NAMES]) + (f" and {more} more" if more > 0 else "")
