"""Dominant colors of images and of data sets: k-means in CIELAB.

Study B's color analysis. ``dominant_colors`` gives each image its k colors with their shares,
``class_palettes`` each class its own, and ``common_colors`` counts the colors of a whole data set.
``colorize.analysis.palettes`` draws all three.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sized
from dataclasses import dataclass

import numpy as np
import torch
from sklearn.cluster import KMeans
from torch import Tensor
from tqdm.auto import tqdm

from colorize.checks import require_positive, require_rgb, require_tensor
from colorize.color.bins import GRID
from colorize.color.lab import lab_to_rgb, rgb_to_lab, to_uint8
from colorize.data.dataset import ImageDataset
from colorize.errors import InputError

GREY_CHROMA = 10.0
"""A dominant color of less chroma is called grey: its hue says little, to the eye and in numbers.
Not the limit of ``colorize.data.decode.is_grey``, which asks for images without one colored
pixel."""

_STARTS = 4


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

    def of_class(self, name: str) -> DominantColors:
        """Those of the images of one class.

        Raises:
            InputError: when there is no such class or it has no image.
        """
        if name not in self.classes:
            known = ", ".join(self.classes) or "none: the images came without classes"
            raise InputError(f"class: expected one of {known}; got {name!r}")
        label = self.classes.index(name)
        places = [i for i, own in enumerate(self.labels) if own == label]
        if not places:
            raise InputError(f"class: expected one that has images, got {name!r}, which has none")
        own = (label,) * len(places)
        return DominantColors(self.lab[places], self.share[places], own, self.classes)


@dataclass(frozen=True)
class CommonColors:
    """The colors of a data set, the most common first: rank 1 is row 0."""

    lab: Tensor  # (M, 3) float32
    share: Tensor  # (M,) float32, of the pixels when every image counts the same
    count: Tensor  # (M,) int64, how many dominant colors were counted as this one

    def __len__(self) -> int:
        return len(self.lab)

    @property
    def rgb(self) -> Tensor:
        """(M, 3) uint8 sRGB."""
        return _to_rgb(self.lab)

    def ranks(self, first: int, last: int) -> CommonColors:
        """The colors of the ranks first to last, both included; fewer when there are not so many.

        ``ranks(1, 100)`` are study B's 100 most common, ``ranks(50, 150)`` its middle ground. The
        shares stay those in the whole.

        Raises:
            InputError: when first is not in 1..last, or there is no color of that rank.
        """
        if not 1 <= first <= last:
            raise InputError(f"ranks: expected 1 <= first <= last, got {first} and {last}")
        if first > len(self):
            raise InputError(
                f"ranks: expected a first rank of at most {len(self)} (the number of colors), "
                f"got {first}; count in finer steps to have more colors"
            )
        chosen = slice(first - 1, last)
        return CommonColors(self.lab[chosen], self.share[chosen], self.count[chosen])


def dominant_colors(
    images: ImageDataset | Iterable[np.ndarray | Tensor],
    k: int = 3,
    *,
    seed: int = 0,
    pixels: int = 4096,
    progress: bool = False,
) -> DominantColors:
    """Find the dominant colors of every image by k-means in CIELAB.

    An image with more than ``pixels`` pixels is sampled at the points of a regular grid: taken as
    they are, since averages would bring in colors that are not in the image. The best of four
    k-means++ starts is kept. The result of an image does not depend on the others.

    Args:
        images: a data set, of which whole images are taken, not crops; or (H, W, 3) uint8 arrays;
            or (3, H, W) tensors, uint8 or float in 0..1. Sizes may differ.
        k: colors of each image.
        seed: of the k-means++ starts; torch's global generator is not used.
        pixels: at most so many of each image.
        progress: show a progress bar.

    Raises:
        InputError: when there is no image, one is of another shape or type or not finite, or an
            argument is out of range.
    """
    _require_whole(k, "k")
    _require_whole(pixels, "pixels")
    total = len(images) if isinstance(images, Sized) else None
    if isinstance(images, ImageDataset):
        dataset = images
        images = (dataset.image(i) for i in range(len(dataset)))
        labels, classes = tuple(dataset.labels), tuple(dataset.classes)
    else:
        labels, classes = (), ()
    found = []
    for i, image in enumerate(tqdm(images, "colors", total, disable=not progress)):
        found.append(_kmeans(*_distinct_colors(image, f"images[{i}]", pixels), k, seed))
    if not found:
        raise InputError("images: expected at least one, got none")
    lab, share = (torch.stack(parts) for parts in zip(*found, strict=True))
    return DominantColors(lab, share, labels, classes)


def class_palettes(
    dominant: DominantColors, k: int = 6, *, greys: bool = True, seed: int = 0
) -> DominantColors:
    """The dominant colors of every class: k-means over those of its images, weighted by share.

    Every image of a class counts the same. Row i is the class ``classes[i]``; classes without an
    image are left out.

    Args:
        k: colors of each class.
        greys: whether colors of less chroma than ``GREY_CHROMA`` count too. Pictures on white
            paper have little else.
        seed: of the k-means++ starts.

    Raises:
        InputError: when the images came without classes, k is below 1, or a class is to be without
            greys and has nothing else.
    """
    _require_whole(k, "k")
    present = sorted(set(dominant.labels))
    if not present:
        raise InputError("dominant: expected colors of images with classes, got none with a class")
    labels = torch.tensor(dominant.labels)
    share = dominant.share if greys else dominant.share * ~is_grey_color(dominant.lab)
    found = []
    for label in present:
        own = labels == label
        used = own[:, None] & (share > 0)
        if not bool(used.any()):
            name = dominant.classes[label]
            raise InputError(f"class {name!r}: expected colors, got only greys; pass greys=True")
        points, place = torch.unique(dominant.lab[used], dim=0, return_inverse=True)
        weights = torch.zeros(len(points)).index_add(0, place, share[used])
        found.append(_kmeans(points, weights, k, seed))
    lab, share = (torch.stack(parts) for parts in zip(*found, strict=True))
    names = tuple(dominant.classes[label] for label in present)
    return DominantColors(lab, share, tuple(range(len(names))), names)


def common_colors(dominant: DominantColors, *, step: float = GRID) -> CommonColors:
    """Count the dominant colors of a data set.

    Hardly any two of them are equal to the last digit, so those count as the same color that have
    the same nearest point in a grid of ``step`` units in L, a and b: in ab the grid of the 313
    bins, and neutral greys are in the middle of a cell. A color is as common as the sum of its
    shares over all images, divided by their number: the share of the pixels if all images had
    equally many. It is drawn as the mean of what was counted, weighted by share, not as the grid's
    point.

    Raises:
        InputError: when step is not above 0.
    """
    require_positive(step, "step")
    used = dominant.share > 0
    lab, share = dominant.lab[used].double(), dominant.share[used].double() / len(dominant)
    cells, cell_of = torch.unique((lab / step).round().long(), dim=0, return_inverse=True)
    summed = torch.zeros(len(cells), dtype=torch.float64).index_add(0, cell_of, share)
    means = torch.zeros(len(cells), 3, dtype=torch.float64)
    means = means.index_add(0, cell_of, lab * share[:, None]) / summed[:, None]
    order = summed.argsort(descending=True, stable=True)
    count = torch.bincount(cell_of, minlength=len(cells))
    return CommonColors(means[order].float(), summed[order].float(), count[order])


def is_grey_color(lab: Tensor) -> Tensor:
    """Whether the chroma of (..., 3) Lab colors is below ``GREY_CHROMA``: (...) bool."""
    return lab[..., 1:].norm(dim=-1) < GREY_CHROMA


def _require_whole(value: int, name: str) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InputError(f"{name}: expected a whole number above 0, got {value!r}")


def _to_rgb(lab: Tensor) -> Tensor:
    flat = lab.reshape(1, -1, 3, 1).movedim(2, 1)
    return to_uint8(lab_to_rgb(flat, gamut="chroma")).movedim(1, 2).reshape(lab.shape)


def _distinct_colors(image: np.ndarray | Tensor, name: str, pixels: int) -> tuple[Tensor, Tensor]:
    """Lab colors (P, 3) among at most so many pixels of an image, and how many have each (P,)."""
    rgb = _channels_first(image, name)
    height, width = rgb.shape[1:]
    if not height or not width:
        raise InputError(f"{name}: expected at least one pixel, got a size of {height}x{width}")
    scale = min(1.0, math.sqrt(pixels / (height * width)))
    rows = min(max(1, int(height * scale)), pixels)
    columns = min(width, pixels // rows)
    grid = rgb[:, _places(height, rows)][:, :, _places(width, columns)]
    red, green, blue = grid.int()
    codes, counts = torch.unique(red << 16 | green << 8 | blue, return_counts=True)
    colors = torch.stack((codes >> 16, codes >> 8 & 255, codes & 255)).to(torch.uint8)
    return rgb_to_lab(colors[None, :, :, None])[0, :, :, 0].T, counts


def _channels_first(image: np.ndarray | Tensor, name: str) -> Tensor:
    """(3, H, W) uint8 of an image in any of the forms that are taken."""
    if isinstance(image, np.ndarray):
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            raise InputError(
                f"{name}: expected (H, W, 3) uint8, got {image.shape} {image.dtype}; make it RGB"
            )
        return torch.from_numpy(np.ascontiguousarray(image)).movedim(-1, 0)
    rgb = require_tensor(image, name, shape=(3, None, None)).detach().cpu()
    rgb = require_rgb(rgb[None], name)[0]
    if rgb.dtype == torch.uint8:
        return rgb
    # A comparison with NaN is false, so that it is caught here as well.
    if not bool(((rgb >= 0) & (rgb <= 1)).all()):
        raise InputError(f"{name}: expected float in 0..1, got {rgb.min():.4g}..{rgb.max():.4g}")
    return to_uint8(rgb)


def _places(length: int, count: int) -> Tensor:
    """The middles of so many equal parts of 0..length-1."""
    return torch.div((2 * torch.arange(count) + 1) * length, 2 * count, rounding_mode="floor")


def _kmeans(points: Tensor, weights: Tensor, k: int, seed: int) -> tuple[Tensor, Tensor]:
    """Centers (k, 3) and shares (k,), the largest first, of distinct points with weights above 0.

    Args:
        points: (P, 3).
        weights: (P,).
    """
    weights = weights.double() / weights.sum()
    if len(points) > k:
        # In float64, so that the order in which threads add up is not seen in the result.
        means = KMeans(k, n_init=_STARTS, random_state=seed)
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
