"""All training images in the memory of the training device, and their crops made there."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from colorize.data.dataset import ImageDataset
from colorize.data.transforms import crop_bits
from colorize.errors import InputError
from colorize.training.images import KeyedImages
from colorize.training.sampler import StepSampler


class DeviceImages:
    """The random crops of a data set, made in batches on a device.

    They are those of ``RandomCrop``: to the bit without zoom, else but for the rounding of one
    level in few pixels.

    Args:
        images: a data set with its pixels in memory, whose crops are random and not turned.
    """

    def __init__(self, images: ImageDataset | KeyedImages, device: torch.device) -> None:
        if not isinstance(images, ImageDataset) or images.cache is None:
            raise InputError(
                "data_on_device: expected a data set with its pixels in memory: a "
                "ColorizationDataset(..., cache=True)"
            )
        crop = images.random_crop
        if not images.train or crop.rotation or images.transform is not None:
            raise InputError(
                "data_on_device: expected random crops (train=True) without rotation and transform"
            )
        self.crop, self.cache, self.device = crop, images.cache, device
        self.pixels = images.cache.pixels.to(device)
        self.labels = torch.tensor(images.labels, device=device)

    def batch(self, keys: list[tuple[int, int]]) -> dict[str, Tensor]:
        """Make the items of (index, seed) keys as a batch."""
        bits = [crop_bits(seed, index) for index, seed in keys]
        indices = [index for index, _ in keys]
        sizes = [(int(self.cache.heights[i]), int(self.cache.widths[i])) for i in indices]
        boxes = [self.crop.box(h, w, b)[:3] for (h, w), b in zip(sizes, bits, strict=True)]
        left, top, side = torch.tensor(boxes, device=self.device, dtype=torch.float32).T
        height, width = torch.tensor(sizes, device=self.device).T
        starts = torch.from_numpy(self.cache.starts[indices]).to(self.device)
        if self.crop.zoom is None:
            steps = torch.arange(self.crop.size, device=self.device)
            rows, columns = top.long()[:, None] + steps, left.long()[:, None] + steps
            rgb = self._gather(starts, height, width, rows, columns)
        else:
            rows, down = _reduction(top, side, height, self.crop.size)
            columns, along = _reduction(left, side, width, self.crop.size)
            region = self._gather(starts, height, width, rows, columns).float()
            # Rounded after each direction, as Pillow does.
            narrow = (region @ along[:, None].mT).round().clamp(0, 255)
            rgb = (down[:, None] @ narrow).round().clamp(0, 255).to(torch.uint8)
        flipped = torch.tensor([b & 1 for b in bits], device=self.device, dtype=torch.bool)
        index = torch.tensor(indices, device=self.device)
        rgb = torch.where(flipped[:, None, None, None], rgb.flip(3), rgb)
        return {"rgb": rgb, "label": self.labels[index], "index": index}

    def _gather(
        self, starts: Tensor, height: Tensor, width: Tensor, rows: Tensor, columns: Tensor
    ) -> Tensor:
        """(N, 3, R, C) uint8 at the rows (N, R) and columns (N, C) of each image."""
        channel = (
            torch.arange(3, device=self.device)[:, None, None]
            * (height * width)[:, None, None, None]
        )
        inside = rows[:, None, :, None] * width[:, None, None, None] + columns[:, None, None, :]
        return self.pixels[starts[:, None, None, None] + channel + inside]


class DeviceLoader:
    """The batches of a sampler from ``DeviceImages``; of several processes each gets its share."""

    def __init__(
        self, images: DeviceImages, sampler: StepSampler, process: int, processes: int
    ) -> None:
        self.images, self.sampler = images, sampler
        self.process, self.processes = process, processes

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        for keys in self.sampler:
            share = len(keys) // self.processes
            yield self.images.batch(keys[self.process * share : (self.process + 1) * share])


def _reduction(start: Tensor, side: Tensor, length: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Pillow's bicubic resampling of a stretch of each image as a matrix.

    Args:
        start, side: (N,) of the stretch, in pixels.
        length: (N,) of the image.
        size: of the result.

    Returns:
        (N, C) positions, and (N, size, C) weights of the pixels there.
    """
    scale = side / size
    widened = scale.clamp(min=1)[:, None, None]
    first = (start - 2 * widened[:, 0, 0]).floor().clamp(min=0)
    count = int((side + 4 * widened[:, 0, 0]).max().ceil()) + 2
    positions = first[:, None] + torch.arange(count, device=start.device)
    centers = start[:, None] + (torch.arange(size, device=start.device) + 0.5) * scale[:, None]
    x = ((positions[:, None] + 0.5 - centers[..., None]) / widened).abs()
    # The cubic of a = -1/2.
    near = (1.5 * x - 2.5) * x * x + 1
    far = ((-0.5 * x + 2.5) * x - 4) * x + 2
    weights = torch.where(x < 1, near, torch.where(x < 2, far, 0.0))
    weights = weights * (positions < length[:, None])[:, None]
    last = (length - 1)[:, None]
    return positions.long().minimum(last), weights / weights.sum(2, keepdim=True)
