"""Division into training, validation and test images."""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath
from typing import Literal, NamedTuple, get_args

from colorize.data.joined import JoinedSource, Source, join_folder_splits
from colorize.data.sources import Rejected, in_threads
from colorize.errors import DataError, ImageError, InputError

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)

SplitBy = Literal["content", "folds", "folders", "tail", "patch"]
"""How images are divided. By their ``"content"``, at random or into ``"folds"`` of which each image
is in one; by the ``"folders"`` of the data set; by the ``"tail"`` of the sorted names, study B's
flawed way; or by ``"patch"`` of the bundled photographs.
"""
FOLDS = 5
# COCO has the year in the names of its folders.
_SPLIT_FOLDER = re.compile(rf"({'|'.join(SPLITS)})(20\d\d)?", re.IGNORECASE)


class Division(NamedTuple):
    """The split of every file that is used, digests of those read, the rest, and what was taken."""

    split_of: dict[str, str]
    digests: dict[str, bytes]
    rejected: list[Rejected]
    notes: list[str]


def split_images(
    source: Source, class_of: dict[str, str], split_by: SplitBy = "content", seed: int = 0
) -> Division:
    """Divide the files of a source; all but ``"tail"`` read each of them once.

    Args:
        class_of: of ``list_images``: file to class.
        seed: another seed, another division by content; of ``"folds"`` the fold that is tested.
    """
    names = list(class_of)
    if split_by == "tail":
        # By class first, as in a data set whose files lie below their classes.
        splits = assign_splits_by_name([f"{label}/{name}" for name, label in class_of.items()])
        return Division(dict(zip(names, splits, strict=True)), {}, [], [])

    def digest(name: str) -> bytes | Rejected:
        try:
            return content_digest(source.read(name))
        except ImageError as error:
            return Rejected.because(name, error)

    digests: dict[str, bytes] = {}
    rejected: list[Rejected] = []
    for name, result in zip(names, in_threads(digest, names), strict=True):
        if isinstance(result, Rejected):
            rejected.append(result)
        else:
            digests[name] = result
    notes: list[str] = []
    if split_by == "folders" and isinstance(source, JoinedSource):
        split_of, notes = join_folder_splits(_splits_by_source(digests), digests)
        splits = _with_test(list(split_of.values()), [digests[name] for name in split_of])
        split_of = dict(zip(split_of, splits, strict=True))
    elif split_by == "folders":
        splits = assign_splits_by_folder(list(digests), list(digests.values()))
        split_of = dict(zip(digests, splits, strict=True))
    else:
        classes = [class_of[name] for name in digests]
        assign = assign_folds if split_by == "folds" else assign_splits
        splits = assign(list(digests.values()), classes, seed)
        split_of = dict(zip(digests, splits, strict=True))
    return Division(split_of, digests, rejected, notes)


def content_digest(data: bytes) -> bytes:
    """16 bytes that tell files of different content apart."""
    return hashlib.blake2b(data, digest_size=16).digest()


def assign_splits(digests: Sequence[bytes], classes: Sequence[str], seed: int = 0) -> list[str]:
    """Give every file to ``"train"``, ``"val"`` or ``"test"``: 80, 10 and 10 % of each class.

    What decides is the content, so neither names nor the order of files matter, and files with the
    same bytes come into the same split, also when they lie in several classes (they are dealt with
    the class that comes first). Every class is divided for itself: classes that are added to a data
    set leave the others as they were, but for files that they share. A class
    with three files or more has all splits.

    Args:
        digests: ``content_digest`` of each file.
        classes: class of each file.
        seed: another seed, another division.
    """
    split_of: dict[bytes, str] = {}
    for contents in _shuffled_classes(digests, classes, seed):
        tenth = _tenth(len(contents))
        for position, digest in enumerate(contents):
            held_out = "val" if position < 2 * tenth else "train"
            split_of[digest] = "test" if position < tenth else held_out
    return [split_of[digest] for digest in digests]


def assign_folds(digests: Sequence[bytes], classes: Sequence[str], fold: int) -> list[str]:
    """Divide as ``assign_splits``, but so that each image is in the test set of one fold.

    The test set is a fifth of each class; half of the next fifth validates.

    Args:
        fold: which is tested, 0 to 4.
    """
    if not 0 <= fold < FOLDS:
        raise InputError(f"seed: expected the fold to test, 0 to {FOLDS - 1}, got {fold}")
    split_of: dict[bytes, str] = {}
    # Every class goes on where the one before it stopped, so that the folds are equally large.
    position = 0
    for contents in _shuffled_classes(digests, classes, 0):
        for digest in contents:
            turn, of_fold = divmod(position, FOLDS)
            held_out = "val" if (of_fold - fold) % FOLDS == 1 and turn % 2 == 0 else "train"
            split_of[digest] = "test" if of_fold == fold else held_out
            position += 1
    return [split_of[digest] for digest in digests]


def assign_splits_by_name(names: Sequence[str]) -> list[str]:
    """Study B's division: of the sorted names the last 10 % test, the 10 % before them validate.

    Names begin with their class, so the test set holds only the last classes, and training hardly
    any image of them: an accuracy on it says nothing. It is here so that one row of the ablation
    can show that; divide by ``assign_splits`` for everything else.

    Args:
        names: of all files, in any order, each once.
    """
    tenth = _tenth(len(names))
    ends = {name: len(names) - position for position, name in enumerate(sorted(names))}
    return [
        "test" if ends[name] <= tenth else "val" if ends[name] <= 2 * tenth else "train"
        for name in names
    ]


def assign_splits_by_folder(names: Sequence[str], digests: Sequence[bytes]) -> list[str]:
    """The division that a data set comes with: by its folders ``train``, ``val`` and ``test``,
    which may have a year behind them, as COCO's ``train2017``.

    Without a ``test`` folder, ``val`` is halved by content.

    Args:
        names: of all files, with forward slashes.
        digests: ``content_digest`` of each.
    """
    splits: list[str] = []
    for name in names:
        split = _folder_split(name)
        if split is None:
            raise _outside_folders(name)
        splits.append(split)
    return _with_test(splits, digests)


def _splits_by_source(names: Iterable[str]) -> dict[str, str | None]:
    """The split that each file of several sources has in its own; None in one without any.

    A source may be such a folder itself.
    """
    split_of: dict[str, str | None] = {}
    for name in names:
        source, _, inside = name.partition("/")
        split_of[name] = _folder_split(inside) or _folder_split(f"{source}/x")
    divided = {name.partition("/")[0] for name, split in split_of.items() if split}
    outside = [name for name, split in split_of.items() if split is None]
    for name in outside:
        if not divided or name.partition("/")[0] in divided:
            raise _outside_folders(name)
    return split_of


def _folder_split(name: str) -> str | None:
    found = map(_SPLIT_FOLDER.fullmatch, PurePosixPath(name).parts[:-1])
    return next((match[1].lower() for match in found if match), None)


def _outside_folders(name: str) -> DataError:
    return DataError(
        f"{name}: expected all images below folders train, val or test, as "
        'split_by="folders" has it; move them into such folders, or use split_by="content"'
    )


def _with_test(splits: Sequence[str], digests: Sequence[bytes]) -> list[str]:
    """Halve ``val`` by content where there is no ``test``."""
    if "test" in splits:
        return list(splits)
    held_out = sorted({d for d, s in zip(digests, splits, strict=True) if s == "val"})
    tested = set(held_out[::2])
    return [
        "test" if split == "val" and digest in tested else split
        for split, digest in zip(splits, digests, strict=True)
    ]


def _shuffled_classes(
    digests: Sequence[bytes], classes: Sequence[str], seed: int
) -> list[list[bytes]]:
    """The contents of each class in an order that the seed decides, each content once."""
    first_class: dict[bytes, str] = {}
    for digest, name in zip(digests, classes, strict=True):
        first_class[digest] = min(name, first_class.get(digest, name))
    members: dict[str, list[bytes]] = defaultdict(list)
    for digest, name in first_class.items():
        members[name].append(digest)
    return [
        sorted(members[name], key=lambda digest: _shuffled(digest, seed))
        for name in sorted(members)
    ]


def _tenth(number: int) -> int:
    return max(int(number / 10 + 0.5), int(number >= 3))


def _shuffled(digest: bytes, seed: int) -> bytes:
    return hashlib.blake2b(digest + str(seed).encode(), digest_size=16).digest()
