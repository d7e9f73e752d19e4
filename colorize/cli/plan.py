"""Decide which photos a command line names and where each colored one goes. Imports no torch.

No input photo is ever overwritten, and no other file without ``--overwrite``.
"""

from __future__ import annotations

import glob
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from colorize.data.sources import FolderSource
from colorize.errors import InputError
from colorize.photo.formats import writable_suffixes

PIPE = "-"
"""Standard input or output, in place of a file name."""

_MARK = "-color"


@dataclass(frozen=True)
class InputPhoto:
    """A photo to color.

    Attributes:
        path: of the file; "stdin" when it comes from standard input.
        folder: the folder on the command line that the photo lies in, if any.
        piped: whether it comes from standard input.
    """

    path: Path
    folder: Path | None = None
    piped: bool = False


@dataclass(frozen=True)
class Task:
    """A photo, the paths of all its results, and those of them that have to be written."""

    photo: InputPhoto
    targets: list[Path]
    missing: list[Path]


@dataclass(frozen=True)
class Destination:
    """Where colored photos go.

    Attributes:
        output: the named folder or file; None for a place beside each photo.
        is_folder: whether ``output`` is a folder, which need not exist yet.
        suffix: of file names that are chosen here.
        samples: number of results of each photo; None for a single one.
    """

    output: Path | None = None
    is_folder: bool = False
    suffix: str = ".png"
    samples: int | None = None

    def targets(self, photo: InputPhoto) -> list[Path]:
        """Give the paths of a photo's results: one, or one for each sample."""
        base = self._base(photo)
        if self.samples is None:
            return [base]
        numbers = range(1, self.samples + 1)
        return [base.with_name(f"{base.stem}-{number}{base.suffix}") for number in numbers]

    @property
    def is_file(self) -> bool:
        """Whether one file was named for one result."""
        return self.output is not None and not self.is_folder and self.samples is None

    def is_beside(self, photo: InputPhoto) -> bool:
        """Whether the result lies in the photo's own folder, told apart by a mark in its name."""
        if photo.folder is not None:
            return False
        return self.output is None or (
            self.is_folder and self.output.resolve() == photo.path.resolve().parent
        )

    def _base(self, photo: InputPhoto) -> Path:
        if photo.folder is not None:
            name = photo.path.relative_to(photo.folder).with_suffix(self.suffix)
            return self.root(photo.folder) / name
        mark = _MARK if self.is_beside(photo) else ""
        file_name = f"{photo.path.stem}{mark}{self.suffix}"
        if self.output is None:
            return photo.path.with_name(file_name)
        return self.output / file_name if self.is_folder else self.output

    def root(self, folder: Path) -> Path:
        """Give the folder that takes the results of an input folder, with the same structure."""
        if self.output is not None:
            return self.output
        named = folder if folder.name not in ("", "..") else folder.resolve()
        return named.parent / f"{named.name}{_MARK}"


@dataclass
class Plan:
    """What is to be done, and what is not done and why.

    Attributes:
        tasks: in the order of the command line.
        done: photos whose results exist already.
        results: files among the inputs that are taken for results of an earlier run.
        problems: error messages of what cannot be done.
        left_out: number of files in folders that are no photos, by reason.
    """

    tasks: list[Task] = field(default_factory=list)
    done: list[InputPhoto] = field(default_factory=list)
    results: list[InputPhoto] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)


def choose_destination(
    arguments: Sequence[str], output: str | None, suffix: str | None, samples: int | None
) -> Destination:
    """Interpret ``-o``, ``--format`` and ``--samples`` for the named photos."""
    if suffix is not None and suffix not in writable_suffixes():
        known = ", ".join(known[1:] for known in writable_suffixes())
        raise InputError(f"--format: expected one of {known}, got {suffix[1:]}")
    if output is None:
        return Destination(None, False, suffix or ".png", samples)
    path = Path(output)
    several = len(arguments) > 1 or Path(arguments[0]).is_dir() or _is_pattern(arguments[0])
    if several or path.is_dir() or output.endswith(("/", os.sep)):
        if path.exists() and not path.is_dir():
            raise InputError(f"{path}: expected a folder for several photos, got a file")
        return Destination(path, True, suffix or ".png", samples)
    if path.suffix.lower() not in writable_suffixes():
        raise InputError(
            f"{path}: expected a name ending in {', '.join(writable_suffixes())}, or an existing "
            "folder, or a folder's name with a slash at its end"
        )
    if suffix is not None and suffix != path.suffix.lower():
        raise InputError(f"{path}: expected an ending of --format {suffix[1:]}; leave one out")
    return Destination(path, False, path.suffix, samples)


def make_plan(arguments: Sequence[str], destination: Destination, *, overwrite: bool) -> Plan:
    """Find the photos that files, folders and patterns name, and choose the targets of each.

    Without ``overwrite`` only results that do not exist yet are to be written.
    """
    plan = Plan()
    photos: dict[Path, InputPhoto] = {}
    for photo in _find(arguments, plan):
        photos.setdefault(photo.path.resolve(), photo)
    below, marked = _below_outputs(photos, destination), _marked(photos, destination)
    plan.results = [photo for path, photo in photos.items() if path in below | marked]
    inputs = {path: photo for path, photo in photos.items() if path not in below | marked}
    # A file with the mark may be the user's own all the same.
    untouchable = {_identity(path) for path in {*inputs, *(marked if overwrite else ())}}
    taken: dict[str, InputPhoto] = {}
    for photo in inputs.values():
        targets = destination.targets(photo)
        missing = [target for target in targets if overwrite or not os.path.lexists(target)]
        problem = _find_problem(photo, targets, untouchable, taken)
        if problem is None and not missing and destination.is_file:
            problem = f"{targets[0]} exists already; --overwrite replaces it"
        if problem is not None:
            plan.problems.append(problem)
        elif missing:
            plan.tasks.append(Task(photo, targets, missing))
        else:
            plan.done.append(photo)
        for target in targets:
            taken.setdefault(_key(target), photo)
    return plan


def _find(arguments: Sequence[str], plan: Plan) -> Iterator[InputPhoto]:
    for argument in arguments:
        if argument == PIPE:
            yield InputPhoto(Path("stdin"), piped=True)
            continue
        # The shell of Windows leaves patterns to the program.
        names = [argument]
        if _is_pattern(argument):
            names = sorted(glob.glob(argument, recursive=True))  # noqa: PTH207
            if not names:
                plan.problems.append(f"{argument}: no such file")
        for name in names:
            yield from _find_named(Path(name), plan)


def _find_named(path: Path, plan: Plan) -> Iterator[InputPhoto]:
    if not path.exists():
        plan.problems.append(f"{path}: no such file")
    elif not path.is_dir():
        yield InputPhoto(path)
    else:
        listing = FolderSource(path).listing()
        plan.left_out.update(rejected.reason for rejected in listing.rejected)
        if not listing.images:
            plan.problems.append(f"{path}: this folder holds no image")
        for name in listing.images:
            yield InputPhoto(path / name, path)


def _below_outputs(photos: Mapping[Path, InputPhoto], destination: Destination) -> set[Path]:
    """Find the files in an output folder that lies inside the input folder."""
    below: set[Path] = set()
    for folder in {photo.folder for photo in photos.values() if photo.folder is not None}:
        root, source = destination.root(folder).resolve(), folder.resolve()
        if root == source:
            raise InputError(f"{folder}: would be written into itself; name another folder by -o")
        if source in root.parents:
            below.update(path for path in photos if root in path.parents)
    return below


def _marked(photos: Mapping[Path, InputPhoto], destination: Destination) -> set[Path]:
    """Find results of an earlier run: a second `colorize *.png` matches them as well."""
    targets: set[Path] = set()
    for path, photo in photos.items():
        if destination.output is None or destination.is_beside(photo):
            targets.update({target.resolve() for target in destination.targets(photo)} - {path})
    return targets & set(photos)


def _find_problem(
    photo: InputPhoto,
    targets: Sequence[Path],
    untouchable: set[object],
    taken: Mapping[str, InputPhoto],
) -> str | None:
    for target in targets:
        if _identity(target) in untouchable:
            return f"{photo.path}: {target} is an input photo itself; choose another output"
        if target.is_dir():
            return f"{photo.path}: {target} is a folder; choose another output"
        if _key(target) in taken:
            other = taken[_key(target)].path
            return f"{photo.path}: {other} goes to {target} already; use different folders"
    return None


def _identity(path: Path) -> object:
    """Identify a file whatever its path: through links, and in upper or lower case."""
    try:
        status = path.stat()
    except OSError:
        return path.resolve()
    return status.st_dev, status.st_ino


def _key(target: Path) -> str:
    return os.path.normcase(target.resolve())


def _is_pattern(argument: str) -> bool:
    return any(sign in argument for sign in "*?[") and not Path(argument).exists()
