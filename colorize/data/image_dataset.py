"""Images in memory as training and test crops."""

from __future__ import annotations

import hashlib
import operator
import statistics
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from colorize.checks import require_choice, require_whole
from colorize.data.cache import CacheBuilder, PixelCache
from colorize.data.generators import seeded
from colorize.data.sources import Rejected
from colorize.data.splits import content_digest
from colorize.data.summary import by_class, by_reason, count, listed
from colorize.data.transforms import RandomCrop, crop_bits
from colorize.errors import DataError, InputError

Key = int | tuple[int, int]
"""An index, or (index, seed)."""

Transform = Callable[[Tensor], Tensor]

_WORD = 2**64 - 1
# Short sides of an image in crops; above this a note is made.
_LARGEST_SHARE = 2


class Scanned(NamedTuple):
    """One image after the scan; without pixels when it cannot be used or is not kept in memory."""

    name: str
    label: int
    grey: bool = False
    pixels: np.ndarray | None = None  # (H, W, 3)
    short_side: int = 0
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
        rotation, zoom: of ``RandomCrop``, when training.
        transform: called with each crop, (3, size, size) uint8, gives another one. What it draws
            from the global generators depends on a pair (index, seed) alone.

    Attributes:
        classes: names, sorted; ``labels`` point into it.
        class_to_index: the reverse.
        labels: one per image.
        names: one per image, relative to the root.
        grey: names of grey images that were left out.
        rejected: files that cannot be used, with reasons.
        notes: what else is worth knowing, for ``summary``.
    """

    def __init__(
        self,
        origin: str,
        size: int,
        train: bool,
        *,
        classes: Iterable[str] = (),
        grey: str = "drop",
        rotation: float = 0.0,
        zoom: tuple[float, float] | None = None,
        transform: Transform | None = None,
    ) -> None:
        if transform is not None and not callable(transform):
            raise InputError(f"transform: expected a function of a crop, got {transform!r:.80}")
        require_choice(grey, "grey", ("drop", "keep"))
        self.origin = origin
        self.size = require_whole(size, "size", 1)
        self.train = train
        self.random_crop = RandomCrop(size, rotation, zoom)
        self.transform = transform
        self._set_classes(classes)
        self.labels: list[int] = []
        self.names: list[str] = []
        self.grey: list[str] = []
        self.rejected: list[Rejected] = []
        self.notes: list[str] = []
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
            crop = self.random_crop(pixels, crop_bits(draw, index))
        else:
            _, height, width = pixels.shape
            top, left = (height - self.size) // 2, (width - self.size) // 2
            crop = pixels[:, top : top + self.size, left : left + self.size]
        rgb = torch.from_numpy(crop.copy())
        if self.transform is not None:
            with nullcontext() if seed is None else seeded(crop_bits(seed, index)):
                rgb = self._transformed(rgb, self.transform)
        return {
            "rgb": rgb,
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
        """
        builder: CacheBuilder | None = CacheBuilder(cache_limit) if cache_limit > 0 else None
        short_sides: list[int] = []
        for image in images:
            if image.problem is not None:
                self.rejected.append(Rejected(image.name, image.problem))
            elif image.grey and self._drop_grey:
                self.grey.append(image.name)
            else:
                self.names.append(image.name)
                self.labels.append(image.label)
                short_sides.append(image.short_side)
                if builder and (image.pixels is None or not builder.add(image.pixels)):
                    builder = None
        if not self.names:
            counts = "; ".join(by_reason(self.rejected)) or "no file at all"
            raise DataError(
                f"{self.origin}: expected images, got none that can be used: {len(self.grey)} "
                f"grey, {len(self.rejected)} rejected ({counts})"
            )
        self._cache = builder.build() if builder else None
        vars(self).pop("content_sha256", None)
        self._note_small_share(statistics.median_low(short_sides))

    @property
    def cache(self) -> PixelCache | None:
        """The pixels in memory, if they are kept there."""
        return self._cache

    @property
    def cached(self) -> bool:
        """Whether the pixels are kept in memory."""
        return self._cache is not None

    @cached_property
    def content_sha256(self) -> str:
        """SHA-256 of what the images hold, whatever their names, order, crops and labels."""
        digests = sorted(self._content_digest(index) for index in range(len(self)))
        return hashlib.sha256(b"".join(digests)).hexdigest()

    def summary(self) -> str:
        """What was found, in a few lines: images by class, grey ones, rejected ones by reason."""
        lines = [repr(self), "  " + by_class(self.labels, self.classes)]
        if self.grey:
            lines.append(f"  grey, left out: {listed(self.grey)}")
        if self.rejected:
            lines.append(f"  rejected: {len(self.rejected)}")
            lines += [f"    {line}" for line in by_reason(self.rejected)]
        lines += [f"  {note}" for note in self.notes]
        return "\n".join(lines)

    def __repr__(self) -> str:
        crops = "random" if self.train else "center"
        held = f", {self._cache.nbytes / 2**20:.1f} MiB in memory" if self._cache else ""
        return (
            f"{type(self).__name__}({self.origin}: {count(len(self), 'image')} of "
            f"{count(len(self.classes), 'class')}, {crops} crops of {self.size} px{held})"
        )

    def _note_small_share(self, short_side: int) -> None:
        """A crop of a large photograph shows a patch of wall: a net learns grey from those."""
        if self.random_crop.zoom is None and short_side > _LARGEST_SHARE * self.size:
            share = 100 * (self.size / short_side) ** 2
            self.notes.append(
                f"a crop of {self.size} px shows less than {share:.2g} % of most images, whose "
                f"short side is {short_side} px; resize={round(self.size * 9 / 8)} shows more"
            )

    def _transformed(self, rgb: Tensor, transform: Transform) -> Tensor:
        result = transform(rgb)
        if not isinstance(result, Tensor) or (result.shape, result.dtype) != (rgb.shape, rgb.dtype):
            came = (tuple(result.shape), result.dtype) if isinstance(result, Tensor) else result
            raise InputError(f"transform: expected {tuple(rgb.shape)} uint8 back, got {came}")
        return result

    def _pixels(self, index: int) -> np.ndarray:
        """(3, H, W) uint8, H and W at least ``size``; a view that is not to be changed."""
        if self._cache is None:
            raise DataError(f"{self.origin}: expected images in memory, got none; call adopt")
        return self._cache[index]

    def _content_digest(self, index: int) -> bytes:
        return content_digest(self._pixels(index).tobytes())

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
