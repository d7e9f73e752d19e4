"""Images for ``fit``: whatever a caller has becomes items that depend on (index, seed) alone."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset, Subset

from colorize.color.lab import to_uint8
from colorize.data.dataset import ColorizationDataset, ImageDataset
from colorize.data.generators import seeded
from colorize.data.image_dataset import Key
from colorize.data.splits import Split
from colorize.data.transforms import crop_bits
from colorize.errors import DataError, InputError
from colorize.evaluation.examples import spread_indices

PROBE = -1
"""Seed of the crops that are looked at before a run; no step of a run has it."""

_PROBED = 64
_EXPECTED = (
    "expected a data set whose items are dicts with rgb, (3, H, W) uint8, and a label where the "
    "model classifies: a ColorizationDataset, any torch Dataset, a list, or the path of a folder "
    "or .zip"
)

Images = Any
"""What ``fit`` takes for a data set: see ``as_images``."""


class KeyedImages(Dataset[dict[str, Tensor]]):
    """Any data set, as a training run needs it.

    What a data set draws from the global generators becomes a function of the key, so that a run
    can be resumed, and workers change nothing.

    Attributes:
        what: "train_set" or "val_set", for errors.
        names: one per image.
        cached: whether an image costs little, so that no other process need load it.
    """

    def __init__(self, source: Any, what: str) -> None:
        self.source, self.what = source, what
        self.names = _names(source)
        self.cached = isinstance(source, list | tuple) or bool(getattr(source, "cached", False))
        self._shape: tuple[int, ...] | None = None
        self._shape = tuple(self[0]["rgb"].shape)

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, key: Key) -> dict[str, Tensor]:
        index, seed = key if isinstance(key, tuple) else (key, 0)
        if not 0 <= index < len(self):
            raise IndexError(f"expected an index below {len(self)}, got {index}")
        with seeded(crop_bits(seed, index)):
            raw = self.source[index]
        item = self._read(raw, f"{self.what}[{index}]")
        item["index"] = torch.tensor(index)
        if self._shape is not None and tuple(item["rgb"].shape) != self._shape:
            raise DataError(
                f"{self.what}: expected images of one size, got {self._shape[1:]} and "
                f"{tuple(item['rgb'].shape[1:])} ({self.names[index]}); crop them alike, or pass "
                "the folder's path, and fit crops them"
            )
        return item

    def _read(self, raw: Any, place: str) -> dict[str, Tensor]:
        if isinstance(raw, Mapping):
            if "rgb" not in raw:
                raise InputError(
                    f"{place}: {_EXPECTED}; got a dict with {', '.join(map(str, raw))}"
                )
            rest = {name: raw[name] for name in ("label", "L") if name in raw}
            rgb = raw["rgb"]
        elif isinstance(raw, list | tuple) and len(raw) == 2:
            rgb, rest = raw[0], {"label": raw[1]}
        else:
            rgb, rest = raw, {}
        item = {"rgb": _as_rgb(rgb, place)}
        if rest.get("label") is not None:
            item["label"] = _as_label(rest["label"], place)
        if "L" in rest:
            item["L"] = torch.as_tensor(rest["L"])
        return item


def as_images(
    source: Images, what: str, size: int, split: Split | None = None
) -> ImageDataset | KeyedImages:
    """Make a data set of what a caller has.

    Args:
        source: an ``ImageDataset``, as it is. Another map-style ``Dataset``, a ``Subset`` or a
            list, whose items are dicts with ``rgb`` (and ``label``), pairs of image and label as
            torchvision's ``ImageFolder`` has them, or images; an image is (3, H, W) uint8 or float
            in 0..1, an array (H, W, 3) uint8, or a PIL image, all of one size. Or the path of a
            folder or .zip, or several: crops of ``size``, out of images reduced to 9/8 of it.
        what: "train_set" or "val_set".
        split: of the images below a path; None for all.
    """
    if is_path(source):
        train = what == "train_set"
        return ColorizationDataset(source, size, train, split=split, resize=round(size * 9 / 8))
    if isinstance(source, ImageDataset):
        return source
    if isinstance(source, DataLoader):
        raise InputError(f"{what}: {_EXPECTED}; got a DataLoader: pass its dataset")
    if isinstance(source, IterableDataset | Mapping | type) or not (
        hasattr(source, "__getitem__") and hasattr(source, "__len__")
    ):
        raise InputError(f"{what}: {_EXPECTED}; got {type(source).__name__}")
    if len(source) == 0:
        raise DataError(f"{what}: expected at least one image, got none")
    return KeyedImages(source, what)


def is_path(source: Images) -> bool:
    """Whether a data set is given as the path of a folder or .zip, or several."""
    several = source if isinstance(source, list | tuple) and source else [source]
    return all(isinstance(one, str | os.PathLike) for one in several)


def side(images: ImageDataset | KeyedImages) -> int:
    """Short side of the images, in pixels."""
    return min(images[0, PROBE]["rgb"].shape[1:])


def images_identity(images: ImageDataset | KeyedImages) -> dict[str, Any]:
    """What tells a data set from another one: names, contents, and how some crops come out."""
    digest = hashlib.sha256()
    # The contents of an ImageDataset are told below; to load all of another one takes an epoch.
    whole = images.cached and not isinstance(images, ImageDataset)
    for index in spread_indices(len(images), len(images) if whole else _PROBED):
        item = images[index, PROBE]
        for name in sorted(item):
            digest.update(item[name].contiguous().numpy().tobytes())
    described: dict[str, Any] = {"names": list(images.names), "crops": digest.hexdigest()}
    if isinstance(images, ImageDataset):
        described |= {
            "labels": list(map(int, images.labels)),
            "content": images.content_sha256,
            "train": images.train,
        }
    return described


def _names(source: Any) -> list[str]:
    if isinstance(source, Subset):
        names = _names(source.dataset)
        return [names[int(index)] for index in source.indices]
    own = getattr(source, "names", None)
    if isinstance(own, Sequence) and len(own) == len(source):
        return [str(name) for name in own]
    return [f"image {index}" for index in range(len(source))]


def _as_label(label: Any, place: str) -> Tensor:
    try:
        number = torch.as_tensor(label)
    except (TypeError, ValueError, RuntimeError):
        number = torch.tensor(torch.nan)
    if not bool((number == number.long()).all()):
        raise InputError(f"{place}: expected a label as a whole number, got {label!r:.80}")
    return number.long()


def _as_rgb(image: Any, place: str) -> Tensor:
    if isinstance(image, Image.Image):
        image = np.asarray(image.convert("RGB"))
    if isinstance(image, np.ndarray) and image.ndim == 3 and image.shape[2] == 3:
        image = image.transpose(2, 0, 1)
    if isinstance(image, np.ndarray):
        image = torch.from_numpy(np.ascontiguousarray(image))
    if not isinstance(image, Tensor) or image.dim() != 3 or image.shape[0] != 3:
        came = tuple(image.shape) if isinstance(image, Tensor) else type(image).__name__
        raise InputError(f"{place}: {_EXPECTED}; got {came}")
    if image.is_floating_point():
        low, high = float(image.min()), float(image.max())
        if not (low >= -1e-3 and high <= 1 + 1e-3):
            raise InputError(
                f"{place}: expected rgb as uint8, or float in 0..1; got float from {low:g} to "
                f"{high:g}"
            )
        return to_uint8(image[None])[0]
    if image.dtype != torch.uint8:
        raise InputError(f"{place}: expected rgb as uint8, or float in 0..1; got {image.dtype}")
    return image
