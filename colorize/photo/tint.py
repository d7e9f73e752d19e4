"""Tell color photos from grey ones, which may be toned: sepia, cyanotype, a yellowed print."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image

from colorize.color.lab import rgb_to_lab

_SHORT_SIDE = 128
_LEVELS = 20
_MOST_OFF_HUE, _MOST_ALONG = 7.0, 14.0  # ab units
_MOST_PIXELS = 0.01
_LEAST_TINT = 3.0


def has_color(rgb: np.ndarray) -> bool:
    """Whether (H, W, 3) uint8 or uint16 has more colors than one tint.

    In a toned photo ab depends on lightness. What paper and age add varies in strength and hardly
    in hue, so differences along the hue of the tint may be twice those across it. Of Tiny ImageNet,
    which has grey images too, 6 % count as grey; of the same images toned and yellowed all do.
    """
    small = Image.fromarray(rgb if rgb.dtype == np.uint8 else (rgb >> 8).astype(np.uint8))
    small = small.reduce(max(1, min(small.size) // _SHORT_SIDE))
    pixels = torch.from_numpy(np.array(small)).movedim(-1, 0)[None]
    lab = rgb_to_lab(pixels)[0].flatten(1).double().numpy()
    level, ab = (lab[0] * _LEVELS / 100.001).astype(int).clip(0), lab[1:].T
    rest = ab.copy()
    for value in np.unique(level):
        rest[level == value] -= np.median(ab[level == value], axis=0)
    tint = ab.mean(0)
    strength = float(np.hypot(*tint))
    hue = tint / strength if strength > _LEAST_TINT else np.zeros(2)
    along = rest @ hue
    across = np.hypot(*(rest - along[:, None] * hue).T)
    shares = (across > _MOST_OFF_HUE).mean(), (np.abs(along) > _MOST_ALONG).mean()
    return max(shares) > _MOST_PIXELS
