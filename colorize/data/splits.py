"""Division into training, validation and test images."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Sequence

SPLITS = ("train", "val", "test")


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
    first_class: dict[bytes, str] = {}
    for digest, name in zip(digests, classes, strict=True):
        first_class[digest] = min(name, first_class.get(digest, name))
    members: dict[str, list[bytes]] = defaultdict(list)
    for digest, name in first_class.items():
        members[name].append(digest)
    split_of: dict[bytes, str] = {}
    for contents in members.values():
        contents.sort(key=lambda digest: _shuffled(digest, seed))
        tenth = max(int(len(contents) / 10 + 0.5), int(len(contents) >= 3))
        for position, digest in enumerate(contents):
            held_out = "val" if position < 2 * tenth else "train"
            split_of[digest] = "test" if position < tenth else held_out
    return [split_of[digest] for digest in digests]


def _shuffled(digest: bytes, seed: int) -> bytes:
    return hashlib.blake2b(digest + str(seed).encode(), digest_size=16).digest()
