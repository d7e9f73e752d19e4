"""The record of what made the results in a folder. Imports no torch.

It is a file beside the results, with one line of JSON for each. The line is written before its
result appears, so that a run that is killed leaves no result that nobody knows.
"""

from __future__ import annotations

import contextlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

FILE_NAME = ".colorize.jsonl"


@dataclass(frozen=True)
class Made:
    """What made a result.

    Attributes:
        source: path of the photo, relative to the folder of the result; None for standard input.
        sha256: of the photo's content.
        settings: version, model, its weights, and the options that were given; values of JSON.
    """

    source: str | None
    sha256: str
    settings: dict[str, Any]

    @property
    def source_name(self) -> str:
        """The name of the photo's file."""
        return "standard input" if self.source is None else Path(self.source).name

    def is_of_same_photo(self, other: Made) -> bool:
        """Whether both are of one photo, which may have changed under its name."""
        same_name = self.source is not None and self.source == other.source
        return same_name or self.sha256 == other.sha256

    def makes_the_same(self, other: Made) -> bool:
        """Whether both give the same result."""
        return (self.sha256, self.settings) == (other.sha256, other.settings)


class Record:
    """The record of one folder, which need not exist."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE_NAME
        self._made: dict[tuple[str, str], Made] = {}
        content = b""
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            content = self._path.read_bytes()
        self._is_cut = bool(content) and not content.endswith(b"\n")
        for line in content.splitlines():
            # Of a run that was killed while it wrote.
            with contextlib.suppress(ValueError, TypeError, KeyError):
                entry = json.loads(line)
                key = (entry.pop("result"), entry.pop("result_sha256"))
                self._made[key] = Made(**entry)

    def find(self, name: str, sha256: str) -> Made | None:
        """Find what made the file of a name and content; None when nothing here did."""
        return self._made.get((name, sha256))

    def add(self, name: str, sha256: str, made: Made) -> None:
        """Write down what makes the result that is about to get this name."""
        entry = {"result": name, "result_sha256": sha256, **asdict(made)}
        with self._path.open("ab") as file:
            file.write((b"\n" if self._is_cut else b"") + json.dumps(entry).encode() + b"\n")
        self._is_cut = False
        self._made[name, sha256] = made
