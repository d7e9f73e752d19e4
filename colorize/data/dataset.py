"""Images as training and test crops: in memory, or read from a folder or .zip."""

from __future__ import annotations

import hashlib
import operator
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset
from tqdm.auto import tqdm

from colorize.checks import require_choice
from colorize.data.cache import CacheBuilder, PixelCache
from colorize.data.decode import decode_rgb, is_grey
from colorize.data.joined import Roots, listed_roots, open_roots
from colorize.data.labels import list_images
from colorize.data.sources import Rejected, in_threads
from colorize.data.splits import SPLITS, Split, SplitBy, content_digest, split_images
from colorize.data.summary import by_class, by_reason, count, listed
from colorize.data.transforms import RandomCrop, scramble
from colorize.errors import DataError, ImageError, InputError

Key = int | tuple[int, int]
"""An index, or (index, seed)."""

_WORD = 2**64 - 1
_AUTO_CACHE_BYTES = 2 * 2**30


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
        rotation, zoom: of ``RandomCrop``, when training.

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
            counts = "; ".join(by_reason(self.rejected)) or "no file at all"
            raise DataError(
                f"{self.origin}: expected images, got none that can be used: {len(self.grey)} "
                f"grey, {len(self.rejected)} rejected ({counts})"
            )
        self._cache = builder.build() if builder else None

    @property
    def cached(self) -> bool:
        """Whether the pixels are kept in memory."""
        return self._cache is not None

    @property
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


class ColorizationDataset(ImageDataset):
    """Images below folders or inside .zips, labelled by their folders.

    Everything is opened and decoded once when the object is made: what cannot be used goes to
    ``rejected`` with its reason, what is grey to ``grey``. See ``ImageDataset`` for items and
    attributes, and ``colorize.data.labels`` for which folder is the class.

    Args:
        root: a folder or a .zip, which is read as it is; or several in a list. The names of their
            images then begin with those of the sources; classes of one name are one class.
        size: side of the square crop, in pixels. An image whose short side is smaller is enlarged
            to it (bicubic).
        train: random crops, and every other one flipped, in place of the center crop.
        split: ``"train"``, ``"val"`` or ``"test"`` of the division; None for all. Files of another
            split are not decoded, so the damaged ones among them are not in ``rejected``.
        split_by: ``"content"`` divides each class into 80, 10 and 10 % by the content of the
            files. ``"folders"`` goes by those named train, val and test; of several roots, those
            that lack val or test give training images only, if another has both, and so do those
            that have no such folder (``summary`` says what was taken). ``"tail"`` is study B's,
            kept to show what is wrong with it: the last 10 % of the files, sorted by class and
            name, are for testing, and so hold only the last classes.
        classes: names of the classes to keep; None for all. Sorted, they are the labels. The
            division does not depend on them (but for ``"tail"``).
        resize: short side, in pixels, to which every image is brought before it is cropped
            (bicubic, antialiased); at least ``size``. None keeps the sizes.
        seed: of the division by content.
        grey: ``"drop"`` leaves out images without a pixel whose |a| or |b| is above 5, as the
            authors did; ``"keep"`` keeps them.
        cache: whether decoded pixels stay in memory; ``"auto"`` when they take at most 2 GiB.
        progress: show a progress bar during the scan.
        rotation, zoom: of ``RandomCrop``, when training.
    """

    def __init__(
        self,
        root: Roots,
        size: int,
        train: bool = False,
        *,
        split: Split | None = None,
        split_by: SplitBy = "content",
        classes: Sequence[str] | None = None,
        resize: int | None = None,
        seed: int = 0,
        grey: Literal["drop", "keep"] = "drop",
        cache: bool | Literal["auto"] = "auto",
        progress: bool = False,
        rotation: float = 0.0,
        zoom: tuple[float, float] | None = None,
    ) -> None:
        origin = " + ".join(Path(one).name or os.fspath(one) for one in listed_roots(root))
        if split is not None:
            how = {"tail": " by name", "folders": " by folder"}.get(split_by, "")
            origin += f", split {require_choice(split, 'split', SPLITS)}{how}"
        require_choice(split_by, "split_by", ("content", "folders", "tail"))
        if resize is not None and resize < size:
            raise InputError(f"resize: expected at least the crop's size ({size}), got {resize}")
        if cache not in (True, False, "auto"):
            raise InputError(f"cache: expected True, False or 'auto', got {cache!r}")
        super().__init__(origin, size, train, grey=grey, rotation=rotation, zoom=zoom)
        self.resize = resize
        self._source = open_roots(root)
        self._digests: dict[str, bytes] = {}
        class_of, self.rejected = list_images(self._source)
        self._set_classes(_kept_classes(classes, set(class_of.values())))
        kept = {name: label for name, label in class_of.items() if label in self.class_to_index}
        if split is not None:
            kept = self._in_split(split, split_by, seed, class_of, kept)
        self._scan(kept, cache, progress)
        self.rejected.sort()

    def image(self, index: int) -> np.ndarray:
        """The whole image as it was taken, (H, W, 3) uint8: neither resized nor cropped."""
        name = self.names[self._position(index)]
        return decode_rgb(self._source.read(name), name)

    def _in_split(
        self,
        split: str,
        split_by: SplitBy,
        seed: int,
        class_of: dict[str, str],
        kept: dict[str, str],
    ) -> dict[str, str]:
        # All classes are divided by content, so that the division depends on none that is kept.
        divided = kept if split_by == "tail" else class_of
        division = split_images(self._source, divided, split_by, seed)
        self.rejected += division.rejected
        self.notes += division.notes
        kept = {name: kept[name] for name in kept if division.split_of.get(name) == split}
        self._digests = {name: division.digests[name] for name in kept if name in division.digests}
        return kept

    def _scan(
        self, class_of: Mapping[str, str], cache: bool | Literal["auto"], progress: bool
    ) -> None:
        limit = _AUTO_CACHE_BYTES if cache == "auto" else float("inf") if cache else 0

        def scan(name: str) -> Scanned:
            label = self.class_to_index[class_of[name]]
            try:
                rgb = self._decode(name)
            except ImageError as error:
                return Scanned(name, label, problem=Rejected.because(name, error).reason)
            return Scanned(name, label, is_grey(rgb), rgb if limit > 0 else None)

        images = in_threads(scan, class_of)
        bar = tqdm(images, self.origin, len(class_of), disable=not progress, unit="image")
        self.adopt(bar, limit)

    def _pixels(self, index: int) -> np.ndarray:
        if self.cached:
            return super()._pixels(index)
        return self._decode(self.names[index]).transpose(2, 0, 1)

    def _decode(self, name: str) -> np.ndarray:
        data = self._source.read(name)
        return decode_rgb(data, name, resize=self.resize, at_least=self.size)

    def _content_digest(self, index: int) -> bytes:
        name = self.names[index]
        return self._digests.get(name) or content_digest(self._source.read(name))


def _kept_classes(classes: Sequence[str] | None, available: set[str]) -> set[str]:
    if classes is None or not available:
        return available
    unknown = sorted(set(classes) - available)
    if unknown:
        raise DataError(
            f"classes: expected some of {', '.join(sorted(available))}; got {', '.join(unknown)}"
        )
    return set(classes)
