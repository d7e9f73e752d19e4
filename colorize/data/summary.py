"""What a scan found, in a few lines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from colorize.data.sources import Rejected

_MOST_CLASSES = 24
_MOST_REASONS = 6


def count(number: int, noun: str) -> str:
    """``1 class``, ``2 classes``, ``1 image``, ``2 images``."""
    plural = noun + ("es" if noun.endswith("s") else "s")
    return f"{number} {noun if number == 1 else plural}"


def listed(names: Sequence[str]) -> str:
    """The number of names, and the first three."""
    return f"{len(names)} ({', '.join(names[:3])}{', ...' if len(names) > 3 else ''})"


def by_class(labels: Sequence[int], classes: Sequence[str]) -> str:
    """The number of images of each class, in one line."""
    counts = [0] * len(classes)
    for label in labels:
        counts[label] += 1
    if len(classes) > _MOST_CLASSES:
        return f"{len(classes)} classes of {min(counts)} to {max(counts)} images"
    pairs = list(zip(classes, counts, strict=True))
    line = ", ".join(f"{name} {number}" for name, number in pairs if number)
    empty = [name for name, number in pairs if not number]
    return f"{line}; none of {', '.join(empty)}" if empty else line


def by_reason(rejected: Sequence[Rejected]) -> list[str]:
    """The number of rejected files for each of the most frequent reasons, with an example."""
    counts = Counter(item.reason for item in rejected)
    example = {item.reason: item.name for item in reversed(rejected)}
    most = counts.most_common(_MOST_REASONS)
    lines = [f"{number} x {reason} ({example[reason]})" for reason, number in most]
    if len(counts) > len(most):
        rest = len(rejected) - sum(number for _, number in most)
        lines.append(f"{rest} for other reasons: see .rejected")
    return lines
