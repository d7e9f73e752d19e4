"""Which photographs a command line means, and where the colored ones go.

Nothing of the user's is overwritten: no photograph that is read, and no other file unless it is
asked for.
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
from colorize.photo.files import writable_suffixes

PIPE = "-"
"""Standard input or output, in place of a file's name."""

_MARK = "-color"


@dataclass(frozen=True)
class Source:
    """A photograph.

    Attributes:
        path: of the file; a name to go by when it comes from standard input.
        folder: the folder that was named on the command line, when it lies in one.
        piped: whether it comes from standard input.
    """

    path: Path
    folder: Path | None = None
    piped: bool = False


@dataclass(frozen=True)
class Task:
    """A photograph to color, where its results go, and which of them are to be written."""

    source: Source
    targets: list[Path]
    missing: list[Path]


@dataclass(frozen=True)
class Destination:
    """Where colored photographs go.

    Attributes:
        output: the folder or the file that was named; None for a place beside the photographs.
        is_folder: whether ``output`` is a folder, which need not be there yet.
        suffix: of the names that are made up here.
        samples: how many alternatives each photograph gets; None for a single result.
    """

    output: Path | None = None
    is_folder: bool = False
    suffix: str = ".png"
    samples: int | None = None

    def targets(self, source: Source) -> list[Path]:
        """Where a photograph goes: one path, or as many as there are samples."""
        base = self._base(source)
        if self.samples is None:
            return [base]
        numbers = range(1, self.samples + 1)
        return [base.with_name(f"{base.stem}-{number}{base.suffix}") for number in numbers]

    @property
    def is_file(self) -> bool:
        """Whether one file was named for one result."""
        return self.output is not None and not self.is_folder and self.samples is None

    def is_beside(self, source: Source) -> bool:
        """Whether a photograph and its colored version lie in one folder, apart by a mark."""
        if source.folder is not None:
            return False
        return self.output is None or (
            self.is_folder and self.output.resolve() == source.path.resolve().parent
        )

    def _base(self, source: Source) -> Path:
        if source.folder is not None:
            name = source.path.relative_to(source.folder).with_suffix(self.suffix)
            return self.root(source.folder) / name
        mark = _MARK if self.is_beside(source) else ""
        own = f"{source.path.stem}{mark}{self.suffix}"
        if self.output is None:
            return source.path.with_name(own)
        return self.output / own if self.is_folder else self.output

    def root(self, folder: Path) -> Path:
        """Where what lies in a folder goes, with the structure that it has there."""
        if self.output is not None:
            return self.output
        named = folder if folder.name not in ("", "..") else folder.resolve()
        return named.parent / f"{named.name}{_MARK}"


@dataclass
class Plan:
    """What there is to do, and what is not done and why.

    Attributes:
        tasks: in the order of the command line.
        done: photographs whose results are there already.
        results: files that were found among the photographs and are taken for results.
        problems: what cannot be done, in words.
        left_out: how many files in folders are no photographs, by the reason.
    """

    tasks: list[Task] = field(default_factory=list)
    done: list[Source] = field(default_factory=list)
    results: list[Source] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)


def choose_destination(
    arguments: Sequence[str], output: str | None, suffix: str | None, samples: int | None
) -> Destination:
    """Understand ``-o`` and ``--format``.

    Raises:
        InputError: when nothing could be written there, or several photographs would go into one
            file.
    """
    if suffix is not None and suffix not in writable_suffixes():
        known = ", ".join(known[1:] for known in writable_suffixes())
        raise InputError(f"--format: expected one of {known}, got {suffix[1:]}")
    if output is None:
        return Destination(None, False, suffix or ".png", samples)
    path = Path(output)
    several = len(arguments) > 1 or Path(arguments[0]).is_dir() or _is_pattern(arguments[0])
    if several or path.is_dir() or output.endswith(("/", os.sep)):
        if path.exists() and not path.is_dir():
            raise InputError(f"{path}: expected a folder for several photographs, got a file")
        return Destination(path, True, suffix or ".png", samples)
    if path.suffix.lower() not in writable_suffixes():
        raise InputError(
            f"{path}: expected a name ending in {', '.join(writable_suffixes())}, or an existing "
            "folder, or a folder's name with a slash at its end"
        )
    if suffix is not None and suffix != path.suffix.lower():
        raise InputError(f"{path}: expected an ending of --format {suffix[1:]}; leave one away")
    return Destination(path, False, path.suffix, samples)


def plan(arguments: Sequence[str], destination: Destination, *, overwrite: bool) -> Plan:
    """Find the photographs that files, folders and patterns name, and say where each goes.

    Of those whose results are there already only the missing ones are done, without ``overwrite``.

    Raises:
        InputError: when a folder would be written into itself.
        DataError: when a folder cannot be listed.
    """
    made = Plan()
    sources: dict[Path, Source] = {}
    for source in _find(arguments, made):
        sources.setdefault(source.path.resolve(), source)
    below, marked = _below_outputs(sources, destination), _marked(sources, destination)
    made.results = [source for path, source in sources.items() if path in below | marked]
    kept = {path: s for path, s in sources.items() if path not in below | marked}
    # What is marked may be the user's own all the same.
    untouchable = {_identity(path) for path in {*kept, *(marked if overwrite else ())}}
    taken: dict[str, Source] = {}
    for source in kept.values():
        targets = destination.targets(source)
        missing = [target for target in targets if overwrite or not os.path.lexists(target)]
        problem = _problem(source, targets, untouchable, taken)
        if problem is None and not missing and destination.is_file:
            problem = f"{targets[0]} is there already; --overwrite replaces it"
        if problem is not None:
            made.problems.append(problem)
        elif missing:
            made.tasks.append(Task(source, targets, missing))
        else:
            made.done.append(source)
        for target in targets:
            taken.setdefault(_key(target), source)
    return made


def _find(arguments: Sequence[str], made: Plan) -> Iterator[Source]:
    for argument in arguments:
        path = Path(argument)
        if argument == PIPE:
            yield Source(Path("stdin"), piped=True)
            continue
        if not _is_pattern(argument):
            yield from _named(path, made)
            continue
        # The shell of Windows leaves patterns to the program.
        matches = sorted(glob.glob(argument, recursive=True))  # noqa: PTH207
        if not matches:
            made.problems.append(f"{argument}: there is no such file")
        for match in matches:
            yield from _named(Path(match), made)


def _named(path: Path, made: Plan) -> Iterator[Source]:
    if not path.is_dir():
        yield Source(path)
        return
    listing = FolderSource(path).listing()
    made.left_out.update(rejected.reason for rejected in listing.rejected)
    if not listing.images:
        made.problems.append(f"{path}: there is no image in this folder")
    for name in listing.images:
        yield Source(path / name, path)


def _below_outputs(sources: Mapping[Path, Source], destination: Destination) -> set[Path]:
    """What lies in the output folder of a folder that is read with all that is in it."""
    found: set[Path] = set()
    for folder in {source.folder for source in sources.values() if source.folder is not None}:
        root, read = destination.root(folder).resolve(), folder.resolve()
        if root == read:
            raise InputError(f"{folder}: would be written into itself; name another folder by -o")
        if read in root.parents:
            found.update(path for path in sources if root in path.parents)
    return found


def _marked(sources: Mapping[Path, Source], destination: Destination) -> set[Path]:
    """What an earlier run of the same command wrote: `colorize *.png` finds its own results."""
    found: set[Path] = set()
    for path, source in sources.items():
        if destination.output is None or destination.is_beside(source):
            found.update({target.resolve() for target in destination.targets(source)} - {path})
    return found & set(sources)


def _problem(
    source: Source, targets: Sequence[Path], untouchable: set[object], taken: dict[str, Source]
) -> str | None:
    for target in targets:
        if _identity(target) in untouchable:
            return f"{source.path}: {target} is a photograph itself; choose another output"
        if target.is_dir():
            return f"{source.path}: {target} is a folder; choose another output"
        if _key(target) in taken:
            other = taken[_key(target)].path
            return f"{source.path}: {other} goes to {target} already; use different folders"
    return None


def _identity(path: Path) -> object:
    """What all paths of a file have in common: links to it, and names in capitals or not."""
    try:
        found = path.stat()
    except OSError:
        return path.resolve()
    return found.st_dev, found.st_ino


def _key(target: Path) -> str:
    return os.path.normcase(target.resolve())


def _is_pattern(argument: str) -> bool:
    return any(sign in argument for sign in "*?[") and not Path(argument).exists()
