"""What every data set of the project gives: uint8 RGB crops with label and index."""

from __future__ import annotations

import operator
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from colorize.checks import require_choice
from colorize.data.cache import CacheBuilder, PixelCache
from colorize.data.sources import Rejected
from colorize.data.transforms import RandomCrop, scramble
from colorize.errors import DataError, InputError

Key = int | tuple[int, int]
"""An index, or (index, seed)."""

_WORD = 2**64 - 1
_CLASSES_IN_SUMMARY = 24
_LINES_IN_SUMMARY = 6


class Scanned(NamedTuple):
    """One image after the scan; without pixels when it cannot be used or is not kept in memory."""

    name: str
    label: int
    grey: bool = False
    pixels: np.ndarray | None = None  # (H, W, 3)
    problem: str | None = None


class ImageDataset(Dataset[dict[str, Tensor]]):
    """Images that were scanned once, given as crops of one size.

    An item is ``{"rgb": (3, size, size) uint8, "label": () int64, "index": () int64}``. Its key is
    an index, and a random crop then draws from torch's global generator, or a pair (index, seed),
    and all that is random in the crop then depends on nothing else.

    Args:
        origin: where the images come from, in a few words.
        size: side of the crop, in pixels.
        train: whether crops are random and every other one is flipped.
        classes: all there are.
        grey: ``"drop"`` to leave out grey images, or ``"keep"``.
        rotation: when training, the largest angle by which a crop is turned to either side, as
            share of a full turn; 0.1 is 36 degrees. No corner is black (see ``RandomCrop``).
        zoom: when training, smallest and largest side of the crop as share of the image's short
            side, brought to ``size``; None to take ``size`` pixels as they are.

    Attributes:
        classes: names, sorted; ``labels`` point into it.
        class_to_index: the reverse.
        labels: one per image.
        names: one per image, relative to the root.
        grey: names of grey images that were left out.
        rejected: files that cannot be used, with reasons.

    Raises:
        InputError: when an argument is out of its range.
    """

    def __init__(
        self,
        origin: str,
        size: int,
        train: bool,
        *,
        classes: Iterable[str] = (),
        grey: str,
        rotation: float = 0.0,
        zoom: tuple[float, float] | None = None,
    ) -> None:
        if isinstance(size, bool) or not isinstance(size, int) or size < 1:
            raise InputError(f"size: expected a whole number of pixels above 0, got {size!r}")
        require_choice(grey, "grey", ("drop", "keep"))
        self.origin = origin
        self.size = size
        self.train = train
        self.random_crop = RandomCrop(size, rotation, zoom)
        self._set_classes(classes)
        self.labels: list[int] = []
        self.names: list[str] = []
        self.grey: list[str] = []
        self.rejected: list[Rejected] = []
        self._drop_grey = grey == "drop"
        self._cache: PixelCache | None = None

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, key: Key) -> dict[str, Tensor]:
        index, seed = key if isinstance(key, tuple) else (key, None)
        index = self._position(index)
        pixels = self._pixels(index)
        if self.train:
            draw = int(torch.randint(_WORD >> 1, ())) if seed is None else operator.index(seed)
            crop = self.random_crop(pixels, scramble(scramble(draw & _WORD) ^ index))
        else:
            _, height, width = pixels.shape
            top, left = (height - self.size) // 2, (width - self.size) // 2
            crop = pixels[:, top : top + self.size, left : left + self.size]
        return {
            "rgb": torch.from_numpy(crop.copy()),
            "label": torch.tensor(self.labels[index]),
            "index": torch.tensor(index),
        }

    def image(self, index: int) -> np.ndarray:
        """The whole image, (H, W, 3) uint8."""
        return np.ascontiguousarray(self._pixels(self._position(index)).transpose(1, 2, 0))

    def adopt(self, images: Iterable[Scanned], cache_limit: float = float("inf")) -> None:
        """Take the images of a scan into the lists and, while they fit, into memory.

        Args:
            images: all that the data set is to hold.
            cache_limit: bytes of pixels; when there are more, none are kept.

        Raises:
            DataError: when there is none that can be used.
        """
        builder: CacheBuilder | None = CacheBuilder(cache_limit) if cache_limit > 0 else None
        for image in images:
            if image.problem is not None:
                self.rejected.append(Rejected(image.name, image.problem))
            elif image.grey and self._drop_grey:
                self.grey.append(image.name)
            else:
                self.names.append(image.name)
                self.labels.append(image.label)
                if builder and (image.pixels is None or not builder.add(image.pixels)):
                    builder = None
        if not self.names:
            counts = "; ".join(_by_reason(self.rejected)) or "no file at all"
            raise DataError(
                f"{self.origin}: expected images, got none that can be used: {len(self.grey)} "
                f"grey, {len(self.rejected)} rejected ({counts})"
            )
        self._cache = builder.build() if builder else None

    @property
    def cached(self) -> bool:
        """Whether the pixels are kept in memory."""
        return self._cache is not None

    def summary(self) -> str:
        """What was found, in a few lines: images by class, grey ones, rejected ones by reason."""
        lines = [repr(self), "  " + self._class_line()]
        if self.grey:
            lines.append(f"  grey, left out: {_first(self.grey)}")
        if self.rejected:
            lines.append(f"  rejected: {len(self.rejected)}")
            lines += [f"    {line}" for line in _by_reason(self.rejected)]
        return "\n".join(lines)

    def __repr__(self) -> str:
        crops = "random" if self.train else "center"
        held = f", {self._cache.nbytes / 2**20:.1f} MiB in memory" if self._cache else ""
        return (
            f"{type(self).__name__}({self.origin}: {_count(len(self), 'image')} of "
            f"{_count(len(self.classes), 'class')}, {crops} crops of {self.size} px{held})"
        )

    def _pixels(self, index: int) -> np.ndarray:
        """(3, H, W) uint8, H and W at least ``size``; a view that is not to be changed."""
        if self._cache is None:
            raise DataError(f"{self.origin}: expected images in memory, got none; call adopt")
        return self._cache[index]

    def _set_classes(self, names: Iterable[str]) -> None:
        self.classes = sorted(names)
        self.class_to_index = {name: index for index, name in enumerate(self.classes)}

    def _position(self, index: int) -> int:
        position = operator.index(index)
        if position < 0:
            position += len(self)
        if not 0 <= position < len(self):
            raise IndexError(f"expected an index below {len(self)}, got {index}")
        return position

    def _class_line(self) -> str:
        counts = np.bincount(self.labels, minlength=len(self.classes))
        if len(self.classes) > _CLASSES_IN_SUMMARY:
            return f"{len(self.classes)} classes of {counts.min()} to {counts.max()} images"
        pairs = list(zip(self.classes, counts, strict=True))
        line = ", ".join(f"{name} {count}" for name, count in pairs if count)
        empty = [name for name, count in pairs if not count]
        return f"{line}; none of {', '.join(empty)}" if empty else line


def _count(number: int, noun: str) -> str:
    plural = noun + ("es" if noun.endswith("s") else "s")
    return f"{number} {noun if number == 1 else plural}"


def _first(names: Sequence[str]) -> str:
    return f"{len(names)} ({', '.join(names[:3])}{', ...' if len(names) > 3 else ''})"


def _by_reason(rejected: Sequence[Rejected]) -> list[str]:
    counts = Counter(item.reason for item in rejected)
    example = {item.reason: item.name for item in reversed(rejected)}
    most = counts.most_common(_LINES_IN_SUMMARY)
    lines = [f"{count} x {reason} ({example[reason]})" for reason, count in most]
    if len(counts) > len(most):
        rest = len(rejected) - sum(count for _, count in most)
        lines.append(f"{rest} for other reasons: see .rejected")
    return lines
