"""Which images are grey, and so teach nothing about color."""

from __future__ import annotations

import numpy as np
import torch

from colorize.color.lab import rgb_to_lab

GREY_LIMIT = 5.0
"""The authors' rule: an image is grey when no pixel has |a| or |b| above this."""

# Difference of the largest and the smallest channel. In the whole 8-bit cube no color above the
# first is grey in the sense of GREY_LIMIT and none up to the second is not (a test enumerates it);
# only in between does it take CIELAB, which costs more than decoding.
_SURELY_COLORED = 24
_SURELY_GREY = 6


def is_grey(rgb: np.ndarray) -> bool:
    """Whether no pixel of (H, W, 3) uint8 has |a| or |b| above ``GREY_LIMIT``."""
    red, green, blue = rgb[..., 0], rgb[..., 1], rgb[..., 2]
    spread = np.maximum(np.maximum(red, green), blue) - np.minimum(np.minimum(red, green), blue)
    if bool((spread > _SURELY_COLORED).any()):
        return False
    doubtful = rgb[spread > _SURELY_GREY].astype(np.int32)
    if len(doubtful) == 0:
        return True
    codes = np.unique(doubtful[:, 0] << 16 | doubtful[:, 1] << 8 | doubtful[:, 2])
    colors = np.stack((codes >> 16, codes >> 8 & 255, codes & 255)).astype(np.uint8)
    lab = rgb_to_lab(torch.from_numpy(colors)[None, :, :, None])
    return not bool((lab[:, 1:].abs() > GREY_LIMIT).any())
