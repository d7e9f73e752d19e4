"""Decoded pixels in memory, in one tensor that the workers of a DataLoader share."""

from __future__ import annotations

import numpy as np
import torch

_BLOCK = 2**26


class PixelCache:
    """Images of any sizes, one after the other, as (3, H, W) in one flat uint8 tensor.

    A tensor rather than arrays, since a DataLoader hands a tensor to spawned workers in shared
    memory, and forked ones share its pages.

    Attributes:
        pixels: of all images, flat.
        heights, widths: one per image.
        starts: where each image begins, and the end.
    """

    def __init__(self, pixels: torch.Tensor, heights: np.ndarray, widths: np.ndarray) -> None:
        self.pixels = pixels
        self.heights = heights
        self.widths = widths
        self.starts = np.concatenate(([0], np.cumsum(3 * heights * widths)))

    def __len__(self) -> int:
        return len(self.heights)

    @property
    def nbytes(self) -> int:
        """Bytes of pixels."""
        return self.pixels.numel()

    def __getitem__(self, index: int) -> np.ndarray:
        """(3, H, W) uint8, a view: copy it before it is changed or leaves the process."""
        # The view of the whole is made anew each time: when a tensor moves to shared memory, an
        # array made before would look at memory that is no longer there.
        pixels = self.pixels.numpy()[self.starts[index] : self.starts[index + 1]]
        return pixels.reshape(3, self.heights[index], self.widths[index])


class CacheBuilder:
    """Collects images for a ``PixelCache`` with no more than one block of memory in excess."""

    def __init__(self, limit: float = float("inf")) -> None:
        self.limit = limit
        self.nbytes = 0
        self._full: list[np.ndarray] = []
        self._block = np.empty(0, np.uint8)
        self._used = 0
        self._sizes: list[tuple[int, int]] = []

    def add(self, rgb: np.ndarray) -> bool:
        """Append (H, W, 3) uint8; False when the limit is passed, which empties the builder."""
        self.nbytes += rgb.size
        if self.nbytes > self.limit:
            self._full, self._block = [], np.empty(0, np.uint8)
            return False
        if self._used + rgb.size > len(self._block):
            self._full.append(self._block[: self._used])
            self._block, self._used = np.empty(max(_BLOCK, rgb.size), np.uint8), 0
        height, width, _ = rgb.shape
        target = self._block[self._used : self._used + rgb.size].reshape(3, height, width)
        target[:] = rgb.transpose(2, 0, 1)
        self._used += rgb.size
        self._sizes.append((height, width))
        return True

    def build(self) -> PixelCache:
        """The cache; the builder is empty afterwards."""
        self._full.append(self._block[: self._used])
        self._block = np.empty(0, np.uint8)
        pixels = torch.empty(self.nbytes, dtype=torch.uint8)
        end = self.nbytes
        while self._full:
            block = self._full.pop()
            pixels[end - len(block) : end] = torch.from_numpy(block)
            end -= len(block)
        sizes = np.array(self._sizes, dtype=np.int64).reshape(-1, 2)
        return PixelCache(pixels, sizes[:, 0], sizes[:, 1])
