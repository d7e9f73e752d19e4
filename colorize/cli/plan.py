"""Find the photos that a command line names. Imports no torch."""

from __future__ import annotations

import glob
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from colorize import storage
from colorize.data.sources import FolderSource, Rejected
from colorize.errors import DataError, InputError
from colorize.photo import record

# Kinds of photos that are read by a package or not at all, which is said of each file.
_OTHER_PHOTOS = (
    *(".heic", ".heif", ".hif", ".jxl", ".psd", ".dng", ".cr2", ".cr3", ".crw", ".nef", ".nrw"),
    *(".arw", ".sr2", ".orf", ".raf", ".rw2", ".pef", ".srw", ".x3f", ".3fr", ".iiq", ".erf"),
)
PIPE = "-"
"""Standard input or output, in place of a file name."""


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


@dataclass
class Inputs:
    """What a command line names.

    Attributes:
        photos: in the order of the command line, each file once.
        problems: error messages about what cannot be colored.
        left_out: files in folders that are not colored, with reasons.
    """

    photos: list[InputPhoto] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    left_out: list[Rejected] = field(default_factory=list)


def find_inputs(arguments: Sequence[str]) -> Inputs:
    """Find the photos that files, folders and patterns name."""
    inputs = Inputs()
    by_file: dict[str, InputPhoto] = {}
    for photo in _find(arguments, inputs):
        first = by_file.setdefault(os.path.realpath(photo.path), photo)
        if first is photo:
            inputs.photos.append(photo)
        elif photo.path.absolute() != first.path.absolute():
            inputs.left_out.append(Rejected(str(photo.path), f"the same file as {first.path}"))
    return inputs


def names_several(arguments: Sequence[str]) -> bool:
    """Whether arguments may name more than one photo, and results have to go into a folder."""
    return len(arguments) > 1 or is_folder(arguments[0]) or _is_pattern(arguments[0])


def is_folder(path: str | Path) -> bool:
    """Whether a path is that of a folder; never raises, unlike pathlib."""
    return os.path.isdir(path)  # noqa: PTH112


def _find(arguments: Sequence[str], inputs: Inputs) -> Iterator[InputPhoto]:
    for argument in arguments:
        if not argument:
            raise InputError(
                "photo: expected a file, folder or pattern, got an empty name; is a variable of "
                "the shell not set?"
            )
        if argument == PIPE:
            yield InputPhoto(Path("stdin"), piped=True)
            continue
        if "://" in argument and not os.path.lexists(argument):
            inputs.problems.append(
                f"{argument}: expected a file of this machine; download it first"
            )
            continue
        # The shell of Windows leaves patterns to the program.
        names = [argument]
        if _is_pattern(argument):
            names = sorted(glob.glob(argument, recursive=True))  # noqa: PTH207
            if not names:
                inputs.problems.append(f"{argument}: no such file")
        for name in names:
            yield from _find_named(Path(name), inputs)


def _find_named(path: Path, inputs: Inputs) -> Iterator[InputPhoto]:
    try:
        mode = path.stat().st_mode
    except (OSError, RuntimeError) as error:  # RuntimeError: links in a circle, before Python 3.13
        inputs.problems.append(f"{path}: {_reason(path, error)}")
        return
    if stat.S_ISREG(mode):
        yield InputPhoto(path)
        return
    if not stat.S_ISDIR(mode):  # it can be read once only, or never ends
        inputs.problems.append(
            f"{path}: expected a file, got a pipe or device; - reads standard input"
        )
        return
    try:
        listing = FolderSource(path).listing()
    except DataError as error:
        inputs.problems.append(str(error))
        return
    names = list(listing.images)
    for name, reason in listing.rejected:
        if Path(name).suffix.lower() in _OTHER_PHOTOS and reason.startswith("not an image"):
            names.append(name)
        elif "readable" in reason or "cannot be listed" in reason:
            inputs.problems.append(f"{path / name}: {reason}")
        elif not _is_of_this_command(Path(name).name):
            inputs.left_out.append(Rejected(str(path / name), reason))
    if not names:
        inputs.problems.append(f"{path}: this folder holds no image")
    for name in sorted(names):
        yield InputPhoto(path / name, path)


def _reason(path: Path, error: OSError | RuntimeError) -> str:
    if isinstance(error, FileNotFoundError):
        return "a broken link" if path.is_symlink() else "no such file"
    return getattr(error, "strerror", None) or str(error)


def _is_of_this_command(name: str) -> bool:
    return name == record.FILE_NAME or storage.TEMPORARY.match(name) is not None


def _is_pattern(argument: str) -> bool:
    return any(sign in argument for sign in "*?[") and not os.path.lexists(argument)
