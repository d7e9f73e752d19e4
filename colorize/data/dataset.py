"""Photographs in a folder or .zip as training and test crops."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Literal, TypeVar

import numpy as np
from tqdm.auto import tqdm

from colorize.checks import require_choice
from colorize.data.decode import decode_rgb, is_grey
from colorize.data.items import ImageDataset, Scanned
from colorize.data.labels import around_splits, classes_from_folders, read_annotations
from colorize.data.sources import Rejected, open_source
from colorize.data.splits import (
    SPLIT_BY,
    SPLITS,
    assign_splits,
    assign_splits_by_folder,
    assign_splits_by_name,
    content_digest,
)
from colorize.errors import DataError, ImageError, InputError

Split = Literal["train", "val", "test"]
SplitBy = Literal["content", "tail", "folders"]

T = TypeVar("T")

_AUTO_CACHE_BYTES = 2 * 2**30
_MOST_WORKERS = 8
_AHEAD = 4
_READ_TOGETHER = 64


class ColorizationDataset(ImageDataset):
    """Images below a folder or inside a .zip, labelled by their folders.

    Everything is opened and decoded once when the object is made: what cannot be used goes to
    ``rejected`` with its reason, what is grey to ``grey``. See ``ImageDataset`` for items and
    attributes, and ``colorize.data.labels`` for which folder is the class.

    Args:
        root: a folder or a .zip, which is read as it is.
        size: side of the square crop, in pixels. An image whose short side is smaller is enlarged
            to it (bicubic).
        train: random crops, and every other one flipped, in place of the center crop.
        rotation, zoom: as in ``ImageDataset``.
        split: ``"train"``, ``"val"`` or ``"test"`` of the division; None for all. It depends on
            what lies below ``subfolder``, not on ``classes`` (but for ``"tail"``). Files of another
            split are not decoded, so the damaged ones among them are not in ``rejected``.
        split_by: ``"content"`` divides each class into 80, 10 and 10 % by the content of the
            files. ``"folders"`` goes by those named train, val and test. ``"tail"`` is study B's,
            kept to show what is wrong with it: the last 10 % of the files, sorted by class and
            name, are for testing, and so hold only the last classes.
        classes: names of the classes to keep; None for all. Sorted, they are the labels.
        subfolder: take only what lies below this folder inside the root. Below a ``train`` folder
            the classes are those of its neighbors ``val`` and ``test`` too, so that labels agree.
        resize: short side, in pixels, to which every image is brought before it is cropped
            (bicubic, antialiased); at least ``size``. None keeps the sizes.
        seed: of the division by content.
        grey: ``"drop"`` leaves out images without a pixel whose |a| or |b| is above 5, as the
            authors did; ``"keep"`` keeps them.
        cache: whether decoded pixels stay in memory; ``"auto"`` when they take at most 2 GiB.
        workers: threads of the scan; None for one per core, at most 8.
        progress: show a progress bar during the scan.

    Raises:
        DataError: when the root does not exist, is damaged or holds no image that can be used, or
            when a class or subfolder is not in it.
        InputError: when an argument is out of its range.
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        size: int,
        train: bool = False,
        *,
        split: Split | None = None,
        split_by: SplitBy = "content",
        classes: Sequence[str] | None = None,
        subfolder: str | os.PathLike[str] | None = None,
        resize: int | None = None,
        seed: int = 0,
        grey: Literal["drop", "keep"] = "drop",
        cache: bool | Literal["auto"] = "auto",
        workers: int | None = None,
        progress: bool = False,
        rotation: float = 0.0,
        zoom: tuple[float, float] | None = None,
    ) -> None:
        self.root = os.fspath(root)
        self.subfolder = None if subfolder is None else os.fspath(subfolder)
        self.split = split
        self.split_by = split_by
        self.resize = resize
        super().__init__(
            _origin(Path(root).name or self.root, self.subfolder, split, split_by),
            size,
            train,
            grey=grey,
            rotation=rotation,
            zoom=zoom,
        )
        _check_arguments(size, split, split_by, resize, cache, workers)
        self._workers = workers or min(_MOST_WORKERS, os.cpu_count() or 1)
        self._source = open_source(root)
        class_of = self._wanted(self._label(), classes, seed)
        limit = _AUTO_CACHE_BYTES if cache == "auto" else float("inf") if cache else 0

        def scan(name: str) -> Scanned:
            return self._scan(name, self.class_to_index[class_of[name]], keep=limit > 0)

        scanned = self._parallel(scan, class_of)
        hidden = not progress
        self.adopt(tqdm(scanned, self.origin, len(class_of), disable=hidden, unit="image"), limit)
        self.rejected.sort()

    def image(self, index: int) -> np.ndarray:
        """The whole image as it was taken, (H, W, 3) uint8: neither resized nor cropped.

        Raises:
            ImageError: when the file is gone or was changed since the scan.
        """
        name = self.names[self._position(index)]
        return decode_rgb(self._source.read(name), name)

    def _pixels(self, index: int) -> np.ndarray:
        if self.cached:
            return super()._pixels(index)
        return self._decode(self.names[index]).transpose(2, 0, 1)

    def _decode(self, name: str) -> np.ndarray:
        data = self._source.read(name)
        return decode_rgb(data, name, resize=self.resize, at_least=self.size)

    def _scan(self, name: str, label: int, keep: bool) -> Scanned:
        try:
            rgb = self._decode(name)
        except ImageError as error:
            return Scanned(name, label, problem=_reason(error, name))
        return Scanned(name, label, is_grey(rgb), rgb if keep else None)

    def _label(self) -> dict[str, str]:
        """The class of every file that may be an image; the others go to ``rejected``."""
        everything = self._source.listing()
        taken = everything if self.subfolder is None else everything.below(self.subfolder)
        # Classes are those of all splits side by side, so that the labels of train and val agree.
        around = (
            everything
            if self.subfolder is None
            else everything.below(around_splits(self.subfolder))
        )
        annotations = read_annotations([r.name for r in everything.rejected], self._source)
        labelled = classes_from_folders(around.images, self._source.name, annotations)
        self._set_classes(set(labelled.class_of.values()))
        inside = set(taken.images)
        self.rejected = [*taken.rejected, *(r for r in labelled.rejected if r.name in inside)]
        return {name: label for name, label in labelled.class_of.items() if name in inside}

    def _wanted(
        self, class_of: dict[str, str], classes: Sequence[str] | None, seed: int
    ) -> dict[str, str]:
        """The files, with their class, that are in the classes to keep and in the split."""
        if classes is not None and self.classes:
            self._set_classes(_checked_classes(classes, self.classes))
        kept = {name: label for name, label in class_of.items() if label in self.class_to_index}
        if self.split is None:
            return kept
        if self.split_by == "tail":
            # By class first, as in a data set whose files lie below their classes.
            by_class = [f"{label}/{name}" for name, label in kept.items()]
            split_of = dict(zip(kept, assign_splits_by_name(by_class), strict=True))
        else:
            # All classes are divided, so that the division does not depend on which are kept.
            split_of = self._divide(class_of, seed)
        return {name: kept[name] for name in kept if split_of.get(name) == self.split}

    def _divide(self, class_of: dict[str, str], seed: int) -> dict[str, str]:
        """The split of every file that can be read; the others go to ``rejected``."""
        names, digests = [], []
        found = self._parallel(self._digest, class_of, together=_READ_TOGETHER)
        for name, digest in zip(class_of, found, strict=True):
            if isinstance(digest, Rejected):
                self.rejected.append(digest)
            else:
                names.append(name)
                digests.append(digest)
        if self.split_by == "folders":
            splits = assign_splits_by_folder(names, digests)
        else:
            splits = assign_splits(digests, [class_of[name] for name in names], seed)
        return dict(zip(names, splits, strict=True))

    def _digest(self, name: str) -> bytes | Rejected:
        try:
            return content_digest(self._source.read(name))
        except ImageError as error:
            return Rejected(name, _reason(error, name))

    def _parallel(
        self, function: Callable[[str], T], names: Iterable[str], *, together: int = 1
    ) -> Iterator[T]:
        """Map in threads (Pillow releases the interpreter lock), in order, a few tasks ahead."""

        def task(group: Sequence[str]) -> list[T]:
            return [function(name) for name in group]

        names = list(names)
        waiting: deque[Future[list[T]]] = deque()
        with ThreadPoolExecutor(self._workers) as pool:
            for start in range(0, len(names), together):
                waiting.append(pool.submit(task, names[start : start + together]))
                if len(waiting) > _AHEAD * self._workers:
                    yield from waiting.popleft().result()
            while waiting:
                yield from waiting.popleft().result()


def _origin(root: str, subfolder: str | None, split: str | None, split_by: str) -> str:
    below = f", below {subfolder}" if subfolder else ""
    how = {"tail": " by name", "folders": " by folder"}.get(split_by, "")
    return root + below + (f", split {split}{how}" if split else "")


def _reason(error: ImageError, name: str) -> str:
    return str(error).removeprefix(f"{name}: ")


def _checked_classes(classes: Sequence[str], available: Sequence[str]) -> set[str]:
    unknown = sorted(set(classes) - set(available))
    if unknown:
        raise DataError(
            f"classes: expected some of {', '.join(available)}; got {', '.join(unknown)}"
        )
    return set(classes)


def _check_arguments(
    size: int,
    split: str | None,
    split_by: str,
    resize: int | None,
    cache: object,
    workers: int | None,
) -> None:
    require_choice(split_by, "split_by", SPLIT_BY)
    if split is not None:
        require_choice(split, "split", SPLITS)
    if resize is not None and resize < size:
        raise InputError(f"resize: expected at least the size of the crop ({size}), got {resize}")
    if cache not in (True, False, "auto"):
        raise InputError(f"cache: expected True, False or 'auto', got {cache!r}")
    if workers is not None and workers < 1:
        raise InputError(f"workers: expected at least 1 thread, got {workers}")
