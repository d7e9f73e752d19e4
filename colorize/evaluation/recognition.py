"""Whether an off-the-shelf ImageNet classifier recognises what is in a picture.

Zhang 2016, section 3.1, "semantic interpretability": colors that help a net which has only ever
seen true color are plausible ones. It is measured on grey, colored and true pictures alike.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import torch
from timm.data import ImageNetInfo
from torch import Tensor
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as transforms

from colorize.errors import DataError
from colorize.evaluation.batches import ColoredBatch
from colorize.evaluation.metrics import topk_correct
from colorize.models.pretrained import imagenet_classifier


class Recognizer:
    """Top-1 recognition of a data set whose classes are classes of ImageNet-1k.

    Pictures are brought to the classifier's input size by bicubic interpolation with antialiasing,
    the short side to that size and the centre cut out: a square picture is seen whole, where the
    usual evaluation cuts off a border. They are normalised as in the classifier's pretraining.

    Args:
        classes: the data set's class names in the order of its labels, each a WordNet id or
            beginning with one: ``n02085620`` (Tiny ImageNet), ``n02085620-Chihuahua`` (Stanford
            Dogs).

    Attributes:
        indices: (C,) int64, the data set's classes among the classifier's.

    Raises:
        DataError: when a class is none of ImageNet-1k, or occurs twice.
        MissingPackageError: when the package with the pretrained classifier is not installed.
    """

    def __init__(self, classes: Sequence[str]) -> None:
        self.indices = torch.tensor(imagenet_indices(classes))
        net: Any = imagenet_classifier()
        # Convolutions of single channels are slow in the other layout.
        self._net = net.eval().to(memory_format=torch.channels_last)
        config = net.pretrained_cfg
        self._size: int = config["input_size"][-1]
        self._mean, self._std = list(config["mean"]), list(config["std"])

    @torch.no_grad()
    def logits(self, rgb: Tensor) -> Tensor:
        """(N, 3, H, W) uint8 images to (N, 1000), on the device where they are."""
        return self._net.to(rgb.device)(self._prepared(rgb))

    def correct(self, rgb: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Find the images whose label the classifier names, in one pass.

        Args:
            rgb: (N, 3, H, W) uint8. labels: (N,) integers, pointing into ``classes``.

        Returns:
            Two of (N,) bool: whether the label is the most probable of the classifier's 1000
            classes, and whether it is the most probable of the data set's own.
        """
        logits = self.logits(rgb)
        own = self.indices.to(logits.device)
        # First among the own classes: this is where labels that are none are found.
        among_own = topk_correct(logits[:, own], labels, 1)
        return topk_correct(logits, own[labels], 1), among_own

    def _prepared(self, rgb: Tensor) -> Tensor:
        size = [self._size]
        images = transforms.resize(
            rgb.float() / 255, size, InterpolationMode.BICUBIC, antialias=True
        )
        # Bicubic interpolation overshoots at edges, which bytes could not.
        images = transforms.center_crop(images, size).clamp(0, 1)
        images = transforms.normalize(images, self._mean, self._std)
        return images.contiguous(memory_format=torch.channels_last)


def measure_recognition(
    images: ColoredBatch, recognizer: Recognizer, *, truth: bool
) -> dict[str, Tensor]:
    """Measure ``recognized`` and ``recognized_own`` of each image, 0 or 1: whether the classifier
    names its class, of its 1000 and of those of the data set.

    With ``truth`` also ``recognized_truth`` and ``recognized_own_truth``, of the true image.
    """
    values = {}
    versions = {"": images.rgb, "_truth": images.truth} if truth else {"": images.rgb}
    for suffix, rgb in versions.items():
        among_all, among_own = recognizer.correct(rgb, images.batch["label"])
        values[f"recognized{suffix}"] = among_all.float()
        values[f"recognized_own{suffix}"] = among_own.float()
    return values


def imagenet_indices(classes: Sequence[str]) -> list[int]:
    """Where classes whose names begin with a WordNet id stand among those of ImageNet-1k.

    Raises:
        DataError: when a class is none of them, or occurs twice.
    """
    wnids = ImageNetInfo("imagenet-1k").label_names()
    index_of = {wnid: index for index, wnid in enumerate(wnids)}
    matches = [re.match(r"n\d{8}(?!\d)", name) for name in classes]
    indices = [index_of.get(match[0]) if match else None for match in matches]
    unknown = [name for name, index in zip(classes, indices, strict=True) if index is None]
    if unknown or not classes:
        raise DataError(
            "recognition: expected classes named by WordNet ids of ImageNet-1k, such as n02085620 "
            f"or n02085620-Chihuahua; got {', '.join(unknown) or 'no class'}"
        )
    known = [index for index in indices if index is not None]
    if len(set(known)) < len(known):
        raise DataError(f"recognition: expected every class once, got {', '.join(classes)}")
    return known
