"""Several folders and archives as one data set, and how their own divisions are joined."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Sequence

from colorize.data.sources import FolderSource, ZipSource, open_source
from colorize.errors import InputError

Roots = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]
"""A folder or .zip, or several of them."""


class JoinedSource:
    """Several sources as one: the name of a file begins with that of its source.

    Two sources of one name are told apart by a number: ``photos`` and ``photos-2``.
    """

    def __init__(self, sources: Sequence[FolderSource | ZipSource]) -> None:
        self.parts: dict[str, FolderSource | ZipSource] = {}
        for source in sources:
            name, number = source.name, 1
            while name in self.parts:
                number += 1
                name = f"{source.name}-{number}"
            self.parts[name] = source

    def read(self, name: str) -> bytes:
        """The bytes of one file. Raises ImageError when it cannot be read."""
        part, _, inside = name.partition("/")
        return self.parts[part].read(inside)


Source = FolderSource | ZipSource | JoinedSource


def listed_roots(root: Roots) -> list[str | os.PathLike[str]]:
    """The one root, or all of them, as a list."""
    roots = list(root) if isinstance(root, Iterable) and not isinstance(root, str) else [root]
    if not roots or not all(isinstance(one, str | os.PathLike) for one in roots):
        raise InputError(f"root: expected a folder or .zip, or several, got {root!r:.80}")
    return roots


def open_roots(root: Roots) -> Source:
    """Open a folder or .zip, or several as one. Raises DataError, as ``open_source``."""
    opened = [open_source(one) for one in listed_roots(root)]
    return opened[0] if len(opened) == 1 else JoinedSource(opened)


def join_folder_splits(
    split_of: dict[str, str | None], digests: dict[str, bytes]
) -> tuple[dict[str, str], list[str]]:
    """Join the divisions that several sources come with into one, and say what was taken.

    Validation and test images come from the sources that have both, if there are any: the others
    give their training images only. A source without any such folder is for training. Nothing is
    trained on that a source holds out for validation or test.

    Args:
        split_of: split of each file by the folders of its source; None for no such folder.
        digests: ``content_digest`` of each file.
    """
    members: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for name, split in split_of.items():
        members[name.partition("/")[0]][split or "train"].append(name)
    whole = [source for source, splits in members.items() if {"val", "test"} <= set(splits)]
    taken: dict[str, str] = {}
    unused: dict[str, list[str]] = {}
    for source, splits in members.items():
        for split, names in splits.items():
            if split == "train" or not whole or source in whole:
                taken |= dict.fromkeys(names, split)
            else:
                unused.setdefault(source, []).append(f"{len(names)} of {split}/")
    notes = [f"training images of {', '.join(s for s in members if members[s]['train'])}"]
    for split in ("val", "test"):
        sources = sorted({name.partition("/")[0] for name, s in taken.items() if s == split})
        notes += [f"{split} images of {', '.join(sources)}"] if sources else []
    held_out = {digests[name] for name, split in taken.items() if split != "train"}
    twins = [n for n, split in taken.items() if split == "train" and digests[n] in held_out]
    for name in twins:
        del taken[name]
    notes += [f"not used of {source}: {', '.join(counts)}" for source, counts in unused.items()]
    if twins:
        notes.append(f"not trained on, since held out elsewhere: {len(twins)} ({twins[0]})")
    return taken, notes
