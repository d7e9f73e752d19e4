"""Choose the names of results so that nothing is lost. Imports no torch.

A name is free for a photo when no file has it, or a result of the same photo. Other files are never
overwritten without ``--overwrite``, and input photos not even then.
"""

from __future__ import annotations

import argparse
import itertools
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from colorize import storage
from colorize.cli.plan import InputPhoto, is_folder
from colorize.errors import InputError
from colorize.photo.formats import OutputError, deep_suffixes, writable_suffixes
from colorize.photo.metadata import read_made
from colorize.photo.record import Made, Record

_MARK = "-color"
_LONGEST_NAME = 255  # bytes


@dataclass(frozen=True)
class Destination:
    """Where colored photos go.

    Attributes:
        output: the named folder or file; None for a place beside each photo.
        is_folder: whether ``output`` is a folder, which need not exist yet.
        suffix: of file names that are chosen here.
        samples: number of results of each photo; None for a single one.
        compare: whether a comparison with the photo is written as well.
    """

    output: Path | None = None
    is_folder: bool = False
    suffix: str = ".png"
    samples: int | None = None
    compare: bool = False

    @property
    def is_file(self) -> bool:
        """Whether the name of the result was given."""
        return self.output is not None and not self.is_folder

    def candidates(self, photo: InputPhoto) -> Iterator[list[Path]]:
        """Yield the paths of a photo's results: as wanted, then with -2, -3, ... in the names."""
        folder, stem = self._place(photo)
        endings = [""] if self.samples is None else [f"-{i}" for i in range(1, self.samples + 1)]
        endings += ["-compare"] if self.compare else []
        for number in itertools.count(1):
            again = "" if number == 1 else f"-{number}"
            yield [folder / _join(stem, again + ending + self.suffix) for ending in endings]
            if self.is_file:
                return

    def root(self, folder: Path) -> Path:
        """Give the folder that takes the results of an input folder, with the same structure."""
        if self.output is not None:
            return self.output
        named = folder if folder.name not in ("", "..") else folder.resolve()
        return named.parent / _join(named.name, _MARK)

    def _place(self, photo: InputPhoto) -> tuple[Path, str]:
        """Give the folder of a photo's results, and the name without number and ending."""
        stem = photo.path.stem
        if photo.folder is not None:
            return (self.root(photo.folder) / photo.path.relative_to(photo.folder)).parent, stem
        if self.output is None:
            return photo.path.parent, stem + _MARK
        if not self.is_folder:
            return self.output.parent, self.output.stem
        beside = os.path.realpath(self.output) == os.path.realpath(photo.path.parent)
        return self.output, stem + _MARK if beside else stem


def choose_destination(options: argparse.Namespace, *, several: bool) -> Destination:
    """Interpret the options that decide about names, for one photo or for several."""
    output, suffix, rest = options.output, options.suffix, (options.samples, options.compare)
    if suffix is not None and suffix not in writable_suffixes():
        known = ", ".join(known[1:] for known in writable_suffixes())
        raise InputError(f"--format: expected one of {known}, got {suffix[1:] or 'nothing'}")
    if output is None:
        return Destination(None, False, suffix or ".png", *rest)
    if not output:
        raise InputError("-o: expected a file or folder, got an empty name")
    path = Path(output)
    if several or is_folder(path) or output.endswith(("/", os.sep)):
        if os.path.lexists(path) and not is_folder(path):
            raise InputError(f"{path}: expected a folder for several photos, got a file")
        if several and path.suffix.lower() in writable_suffixes() and not is_folder(path):
            raise InputError(
                f"{path}: expected a folder for several photos, got the name of a file; if the "
                "folder is to be called so, make it first"
            )
        return Destination(path, True, suffix or ".png", *rest)
    if path.suffix.lower() not in writable_suffixes():
        raise InputError(
            f"{path}: expected a name ending in {', '.join(writable_suffixes())}, or an existing "
            "folder, or a folder's name with a slash at its end"
        )
    if suffix is not None and suffix != path.suffix.lower():
        raise InputError(f"{path}: expected an ending of --format {suffix[1:]}; leave one out")
    return Destination(path, False, path.suffix, *rest)


def check_depth(suffix: str, depth: int | None) -> None:
    """Refuse 16 bits in a format that holds 8."""
    if depth == 16 and suffix.lower() not in deep_suffixes():
        raise InputError(f"--depth 16: expected {', '.join(deep_suffixes())}, got {suffix}")


@dataclass
class Targets:
    """The results of one photo.

    Attributes:
        paths: of all of them.
        missing: those that have to be written.
        absent: those of them that no file has, to be told from those to be replaced.
        made: what makes them.
    """

    paths: list[Path]
    missing: list[Path]
    absent: set[Path]
    made: Made


@dataclass
class Chooser:
    """Chooses the targets of one photo after the other.

    Attributes:
        inputs: the photos that the command line names; none is ever overwritten.
        overwrite: whether other files than results of the same photo may be.
    """

    destination: Destination
    inputs: Sequence[InputPhoto]
    overwrite: bool
    _taken: set[str] = field(default_factory=set)
    _records: dict[Path, Record] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._untouchable = {_identity(photo.path) for photo in self.inputs if not photo.piped}
        for folder in {photo.folder for photo in self.inputs if photo.folder is not None}:
            if os.path.realpath(self.destination.root(folder)) == os.path.realpath(folder):
                raise InputError(
                    f"{folder}: would be written into itself; name another folder by -o"
                )

    def choose(self, photo: InputPhoto, sha256: str, settings: dict[str, Any]) -> Targets:
        """Choose names, and find which of the results are there already."""
        reason = ""
        for paths in self.destination.candidates(photo):
            made = Made(_source(photo, paths[0].parent), sha256, settings)
            reason = next(filter(None, (self._reason_against(path, made) for path in paths)), "")
            if not reason:
                self._taken.update(map(_key, paths))
                missing = [
                    path for path in paths if self.overwrite or not self._is_done(path, made)
                ]
                absent = {path for path in missing if not os.path.lexists(path)}
                return Targets(paths, missing, absent, made)
        raise OutputError(reason)

    def choose_again(self, photo: InputPhoto, targets: Targets) -> Targets:
        """Choose anew, after another process has taken names that were free."""
        self._records.clear()
        self._taken.difference_update(map(_key, targets.paths))
        return self.choose(photo, targets.made.sha256, targets.made.settings)

    def leftovers(self, targets: Targets) -> list[Path]:
        """Find the samples of an earlier run that drew more of them."""
        count, first = self.destination.samples, targets.paths[0]
        found: list[Path] = []
        for number in itertools.count((count or 0) + 1):
            path = first.with_name(f"{first.stem[:-1]}{number}{first.suffix}")
            known = self.find_made(path) if count and _holds_something(path) else None
            if known is None or not known.is_of_same_photo(targets.made):
                return found
            found.append(path)
        return found

    def record(self, folder: Path) -> Record:
        """Give the record of a folder, which is read once."""
        if folder not in self._records:
            self._records[folder] = Record(folder)
            storage.clear_temporaries(folder)
        return self._records[folder]

    def find_made(self, path: Path) -> Made | None:
        """Find what made a file; None when it is none of our results, as it is now."""
        return self.record(path.parent).find(path.name, storage.sha256_file(path))

    def _is_done(self, path: Path, made: Made) -> bool:
        """Whether a result is there, perhaps one that was copied, or retouched since."""
        if not _holds_something(path):
            return False
        known = self.find_made(path) or read_made(path)
        return known is not None and known.makes_the_same(made)

    def _reason_against(self, path: Path, made: Made) -> str | None:
        """Say why a path cannot take a result; None when it can."""
        if path.exists() and not path.is_file():
            return f"{path} is a folder or device; choose another output"
        if _key(path) in self._taken:
            return f"{path} was written for another photo; choose another output"
        if not _holds_something(path):
            return None
        known = self.find_made(path)
        if known is not None and known.is_of_same_photo(made):
            return None
        if not self.overwrite and self._is_done(path, made):
            return None
        if _identity(path) in self._untouchable:
            return f"{path} is an input photo itself; choose another output"
        if known is not None and not (self.overwrite and self.destination.is_file):
            return f"{path} is the result of another photo, {known.source or 'a piped one'}"
        return None if self.overwrite else f"{path} exists already; --overwrite replaces it"


def _join(stem: str, tail: str) -> str:
    """Join parts of a file name; the stem is shortened where the name would get too long."""
    room = _LONGEST_NAME - len(os.fsencode(tail))
    shortened = os.fsencode(stem)[:room].decode(errors="ignore")
    return (stem if len(os.fsencode(stem)) <= room else shortened) + tail


def _holds_something(path: Path) -> bool:
    try:
        return path.stat().st_size > 0
    except (OSError, RuntimeError):
        return False


def _identity(path: Path) -> object:
    """Identify a file whatever its path: through links, and in upper or lower case."""
    try:
        status = path.stat()
    except (OSError, RuntimeError):
        return os.path.realpath(path)
    return status.st_dev, status.st_ino


def _key(target: Path) -> str:
    return os.path.normcase(Path(os.path.realpath(target.parent), target.name))


def _source(photo: InputPhoto, folder: Path) -> str | None:
    """Give the path of a photo from the folder of its result: both may move together."""
    if photo.piped:
        return None
    path = os.path.realpath(photo.path)
    try:
        return os.path.relpath(path, os.path.realpath(folder))
    except ValueError:  # another drive of Windows
        return path
