"""The files of a run: where they lie, that no other run writes them, and that none is lost."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from colorize.errors import CheckpointError, TrainingError
from colorize.models.checkpoint import SUFFIX, read_info
from colorize.training.checks import LAST


@dataclass(frozen=True)
class RunFiles:
    """Where a run writes: its best and last weights, and its state while it is unfinished."""

    folder: Path
    name: str

    @property
    def best(self) -> Path:
        """The best weights on validation."""
        return self.folder / f"{self.name}{SUFFIX}"

    @property
    def last(self) -> Path:
        """The weights of the last step."""
        return self.folder / f"{self.name}{LAST}{SUFFIX}"

    @property
    def state(self) -> Path:
        """What an unfinished run goes on from."""
        return self.folder / f"{self.name}.state.pt"

    def finished(self, identity: str) -> dict[str, Any] | None:
        """What the last weights note, when the run of this identity wrote them."""
        noted = _noted(self.last)
        return noted if noted.get("run") == identity and "curve" in noted else None

    def require_own(self, identity: str) -> None:
        """Refuse to go on where weights would be replaced that another run made."""
        for path in (self.best, self.last):
            if os.path.lexists(path) and _noted(path).get("run") != identity:
                raise TrainingError(
                    f"{path} is there already, and another run made it: choose another name or "
                    "folder, or replace it (--again, overwrite=True)"
                )


@contextlib.contextmanager
def claimed(files: RunFiles) -> Iterator[None]:
    """Keep all other processes from training under this name in this folder."""
    lock = FileLock(files.folder / f".{files.name}.lock", timeout=0)
    try:
        files.folder.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout as error:
        raise TrainingError(
            f"Another process trains {files.name!r} in {files.folder} right now: wait for it, or "
            "choose another name or folder"
        ) from error
    except OSError as error:
        raise TrainingError(
            f"{files.folder}: expected a folder that can be written, got: {error.strerror}"
        ) from error
    try:
        yield
    finally:
        # While it is still held; Windows does so itself, and lets nobody delete an open file.
        with contextlib.suppress(OSError):
            os.unlink(lock.lock_file)  # noqa: PTH108
        lock.release()


def _noted(path: Path) -> dict[str, Any]:
    try:
        return read_info(path).extra
    except CheckpointError:
        return {}
