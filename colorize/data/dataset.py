"""Images below folders or inside .zips as training and test crops."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image
from tqdm.auto import tqdm

from colorize.checks import checks_flags, require_choice, require_whole
from colorize.data.decode import decode_rgb
from colorize.data.grey import is_grey
from colorize.data.image_dataset import ImageDataset, Scanned, Transform
from colorize.data.joined import Roots, listed_roots, open_roots
from colorize.data.labels import list_images
from colorize.data.sources import Rejected, in_threads
from colorize.data.splits import SPLITS, Split, SplitBy, content_digest, split_images
from colorize.errors import DataError, ImageError, InputError

_AUTO_CACHE_BYTES = 2 * 2**30


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
            files; ``"folds"`` so that seeds 0 to 4 test every image once. ``"folders"`` goes by
            those named train, val and test; of several roots, those that lack val or test give
            training images only, if another has both, and so do those that have no such folder
            (``summary`` says what was taken). ``"tail"`` is study B's, kept to show what is wrong
            with it: the last 10 % of the files, sorted by class and name, are for testing, and so
            hold only the last classes.
        classes: names of the classes to keep; None for all. Sorted, they are the labels. The
            division does not depend on them (but for ``"tail"``).
        resize: short side, in pixels, to which every image is brought before it is cropped
            (bicubic, antialiased); at least ``size``. None keeps the sizes. ``"auto"`` reduces
            images whose short side is above 3/2 of ``size`` to that, so that a crop shows a good
            part of a photograph; with ``zoom``, which sees to that, it keeps the sizes.
        seed: of the division by content.
        grey: ``"drop"`` leaves out images without a pixel whose |a| or |b| is above 5, as the
            authors did; ``"keep"`` keeps them.
        cache: whether decoded pixels stay in memory; ``"auto"`` when they take at most 2 GiB.
        progress: show a progress bar during the scan.
        rotation, zoom: of ``RandomCrop``, when training.
        transform: called with each crop, (3, size, size) uint8, gives another one.
    """

    @checks_flags
    def __init__(
        self,
        root: Roots,
        size: int,
        train: bool = False,
        *,
        split: Split | None = None,
        split_by: SplitBy = "content",
        classes: Sequence[str] | None = None,
        resize: int | Literal["auto"] | None = "auto",
        seed: int = 0,
        grey: Literal["drop", "keep"] = "drop",
        cache: bool | Literal["auto"] = "auto",
        progress: bool = False,
        rotation: float = 0.0,
        zoom: tuple[float, float] | None = None,
        transform: Transform | None = None,
    ) -> None:
        require_choice(split_by, "split_by", ("content", "folds", "folders", "tail"))
        require_choice(cache, "cache", (True, False, "auto"))
        origin = " + ".join(Path(one).name or os.fspath(one) for one in listed_roots(root))
        if split is not None:
            how = {"tail": " by name", "folders": " by folder"}.get(split_by, "")
            origin += f", split {require_choice(split, 'split', SPLITS)}{how}"
        size, seed = require_whole(size, "size", 1), require_whole(seed, "seed", 0)
        if isinstance(resize, str):
            require_choice(resize, "resize", ("auto",))
        elif resize is not None:
            resize = require_whole(resize, "resize", size)
        super().__init__(
            origin, size, train, grey=grey, rotation=rotation, zoom=zoom, transform=transform
        )
        self.resize = None if resize == "auto" else resize
        self._at_most = size * 3 // 2 if resize == "auto" and zoom is None else None
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
            pixels = rgb if limit > 0 else None
            return Scanned(name, label, is_grey(rgb), pixels, min(rgb.shape[:2]))

        images = in_threads(scan, class_of)
        bar = tqdm(images, self.origin, len(class_of), disable=not progress, unit="image")
        self.adopt(bar, limit)

    def _pixels(self, index: int) -> np.ndarray:
        if self.cached:
            return super()._pixels(index)
        return self._decode(self.names[index]).transpose(2, 0, 1)

    def _decode(self, name: str) -> np.ndarray:
        data = self._source.read(name)
        rgb = decode_rgb(data, name, resize=self.resize, at_least=self.size)
        if self._at_most is not None and min(rgb.shape[:2]) > self._at_most:
            rgb = decode_rgb(Image.fromarray(rgb), name, resize=self._at_most)
        return rgb

    def _content_digest(self, index: int) -> bytes:
        name = self.names[index]
        return self._digests.get(name) or content_digest(self._source.read(name))


def _kept_classes(classes: Sequence[str] | None, available: set[str]) -> set[str]:
    if classes is None or not available:
        return available
    if isinstance(classes, str) or not isinstance(classes, Iterable):
        raise InputError(f"classes: expected several names in a list, got {classes!r}")
    unknown = sorted(set(classes) - available)
    if unknown:
        raise DataError(
            f"classes: expected some of {', '.join(sorted(available))}; got {', '.join(unknown)}"
        )
    return set(classes)
