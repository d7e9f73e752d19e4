"""Dominant colors of images and of data sets: k-means in CIELAB.

Study B's color analysis. ``dominant_colors`` gives each image its k colors with their shares,
``class_palettes`` each class its own, and ``common_colors`` counts the colors of a whole data set.
``colorize.analysis.palettes`` draws all three.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from sklearn.cluster import KMeans
from torch import Tensor

from colorize.color.bins import GRID
from colorize.color.lab import lab_to_rgb, rgb_to_lab, to_uint8
from colorize.data.dataset import ImageDataset
from colorize.errors import InputError

GREY_CHROMA = 10.0
"""A dominant color of less chroma is called grey: its hue says little, to the eye and in numbers.
Not the limit of ``colorize.data.grey.is_grey``, which asks for images without one colored
pixel."""

_STARTS = 4
_PIXELS = 4096


@dataclass(frozen=True)
class DominantColors:
    """The k colors of each of N images (or classes), the largest share first.

    Where an image has fewer than k distinct colors, the colors left over have a share of 0 and
    repeat its largest one.
    """

    lab: Tensor  # (N, k, 3) float32
    share: Tensor  # (N, k) float32, rows sum to 1
    labels: tuple[int, ...] = ()  # the class of each image; empty when there are no classes
    classes: tuple[str, ...] = ()  # names that the labels point into

    def __len__(self) -> int:
        return len(self.lab)

    @property
    def rgb(self) -> Tensor:
        """(N, k, 3) uint8 sRGB."""
        return _to_rgb(self.lab)


@dataclass(frozen=True)
class CommonColors:
    """The colors of a data set, the most common first: rank 1 is row 0."""

    lab: Tensor  # (M, 3) float32
    share: Tensor  # (M,) float32, of the pixels when every image counts the same

    def __len__(self) -> int:
        return len(self.lab)

    @property
    def rgb(self) -> Tensor:
        """(M, 3) uint8 sRGB."""
        return _to_rgb(self.lab)


def dominant_colors(images: ImageDataset | Iterable[np.ndarray], k: int = 3) -> DominantColors:
    """Find the dominant colors of every image by k-means in CIELAB.

    An image with more than 4,096 pixels is sampled at the points of a regular grid: taken as
    they are, since averages would bring in colors that are not in the image. The best of four
    k-means++ starts is kept. The result of an image does not depend on the others.

    Args:
        images: a data set, of which whole images are taken, not crops; or (H, W, 3) uint8 arrays.
            Sizes may differ.
        k: colors of each image.
    """
    _check_k(k)
    if isinstance(images, ImageDataset):
        dataset = images
        images = (dataset.image(i) for i in range(len(dataset)))
        labels, classes = tuple(dataset.labels), tuple(dataset.classes)
    else:
        labels, classes = (), ()
    colors = [_kmeans(*_distinct_colors(image, i), k) for i, image in enumerate(images)]
    if not colors:
        raise InputError("images: expected at least one, got none")
    lab, share = (torch.stack(parts) for parts in zip(*colors, strict=True))
    return DominantColors(lab, share, labels, classes)


def class_palettes(dominant: DominantColors, k: int = 6, *, greys: bool = True) -> DominantColors:
    """The dominant colors of every class: k-means over those of its images, weighted by share.

    Every image of a class counts the same. Row i is the class ``classes[i]``; classes without an
    image are left out.

    Args:
        k: colors of each class.
        greys: whether colors of less chroma than ``GREY_CHROMA`` count too. Images on white paper
            have little else.
    """
    _check_k(k)
    present = sorted(set(dominant.labels))
    if not present:
        raise InputError("dominant: expected colors of images with classes, got none with a class")
    labels = torch.tensor(dominant.labels)
    share = dominant.share if greys else dominant.share * ~is_grey_color(dominant.lab)
    palettes = []
    for label in present:
        used = (labels == label)[:, None] & (share > 0)
        if not bool(used.any()):
            name = dominant.classes[label]
            raise InputError(f"class {name!r}: expected colors, got only greys; pass greys=True")
        points, place = torch.unique(dominant.lab[used], dim=0, return_inverse=True)
        weights = torch.zeros(len(points)).index_add(0, place, share[used])
        palettes.append(_kmeans(points, weights, k))
    lab, share = (torch.stack(parts) for parts in zip(*palettes, strict=True))
    names = tuple(dominant.classes[label] for label in present)
    return DominantColors(lab, share, tuple(range(len(names))), names)


def common_colors(dominant: DominantColors) -> CommonColors:
    """Count the dominant colors of a data set.

    Hardly any two of them are equal to the last digit, so those count as the same color that have
    the same nearest point in a grid of 10 units in L, a and b: in ab the grid of the 313 bins, and
    neutral greys are in the middle of a cell. A color is as common as the sum of its
    shares over all images, divided by their number: the share of the pixels if all images had
    equally many. It is drawn as the mean of what was counted, weighted by share, not as the grid's
    point.
    """
    used = dominant.share > 0
    lab, share = dominant.lab[used].double(), dominant.share[used].double() / len(dominant)
    cells, cell_of = torch.unique((lab / GRID).round().long(), dim=0, return_inverse=True)
    summed = torch.zeros(len(cells), dtype=torch.float64).index_add(0, cell_of, share)
    means = torch.zeros(len(cells), 3, dtype=torch.float64)
    means = means.index_add(0, cell_of, lab * share[:, None]) / summed[:, None]
    order = summed.argsort(descending=True, stable=True)
    return CommonColors(means[order].float(), summed[order].float())


def is_grey_color(lab: Tensor) -> Tensor:
    """Whether the chroma of (..., 3) Lab colors is below ``GREY_CHROMA``: (...) bool."""
    return lab[..., 1:].norm(dim=-1) < GREY_CHROMA


def _check_k(k: int) -> None:
    if k < 1:
        raise InputError(f"k: expected at least one color, got {k}")


def _to_rgb(lab: Tensor) -> Tensor:
    flat = lab.reshape(1, -1, 3, 1).movedim(2, 1)
    return to_uint8(lab_to_rgb(flat, gamut="chroma")).movedim(1, 2).reshape(lab.shape)


def _distinct_colors(image: np.ndarray, index: int) -> tuple[Tensor, Tensor]:
    """Lab colors (P, 3) among at most 4,096 pixels of an image, and how many have each (P,)."""
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
        raise InputError(
            f"images[{index}]: expected (H, W, 3) uint8, got {image.shape} {image.dtype}"
        )
    height, width, _ = image.shape
    scale = min(1.0, math.sqrt(_PIXELS / (height * width)))
    rows = min(max(1, int(height * scale)), _PIXELS)
    columns = min(width, _PIXELS // rows)
    sample = image[_places(height, rows)][:, _places(width, columns)].reshape(-1, 3)
    colors, counts = np.unique(sample, axis=0, return_counts=True)
    rgb = torch.from_numpy(colors).T[None, :, :, None]
    return rgb_to_lab(rgb)[0, :, :, 0].T, torch.from_numpy(counts)


def _places(length: int, count: int) -> np.ndarray:
    """The middles of so many equal parts of 0..length-1."""
    return (2 * np.arange(count) + 1) * length // (2 * count)


def _kmeans(points: Tensor, weights: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Centers (k, 3) and shares (k,), the largest first, of distinct points with weights above 0.

    Args:
        points: (P, 3).
        weights: (P,).
    """
    weights = weights.double() / weights.sum()
    if len(points) > k:
        # In float64, so that the order in which threads add up is not seen in the result.
        means = KMeans(k, n_init=_STARTS, random_state=0)
        means.fit(points.double().numpy(), sample_weight=weights.numpy())
        nearest = torch.from_numpy(means.labels_).long()
        centers = torch.from_numpy(means.cluster_centers_)
    else:
        nearest, centers = torch.arange(len(points)), points.double()
    share = torch.zeros(len(centers), dtype=torch.float64).index_add(0, nearest, weights)
    # Of equal shares the lighter color goes first: sort by lightness, then stably by share.
    order = centers[:, 0].argsort(descending=True, stable=True)
    order = order[share[order].argsort(descending=True, stable=True)]
    missing = k - len(order)
    centers = torch.cat((centers[order], centers[order[:1]].expand(missing, 3)))
    return centers.float(), torch.nn.functional.pad(share[order], (0, missing)).float()
