"""is_grey against scikit-image."""

from __future__ import annotations

import numpy as np
import skimage.data
from helpers.images import grey3, noise
from skimage.color import rgb2lab

from colorize.data.decode import is_grey


def brute_grey(rgb: np.ndarray) -> bool:
    return not bool((np.abs(rgb2lab(rgb)[..., 1:]) > 5).any())


def colors_by_spread(low: int, high: int, step: int) -> np.ndarray:
    """All 8-bit colors, in steps, whose channels differ by low..high at most: (n, 3)."""
    smallest, x, y = (
        axis.flatten()
        for axis in np.meshgrid(
            np.arange(0, 256, step), np.arange(high + 1), np.arange(high + 1), indexing="ij"
        )
    )
    keep = (np.maximum(x, y) >= low) & (smallest + np.maximum(x, y) <= 255)
    s, x, y = smallest[keep], x[keep], y[keep]
    orders = [(s, s + x, s + y), (s + x, s, s + y), (s + x, s + y, s)]
    return np.concatenate([np.stack(order, 1) for order in orders]).astype(np.uint8)


def test_grey_agrees_with_scikit_image_color_by_color() -> None:
    """The bounds on the spread of channels, which spare most images the conversion."""
    for colors, step in ((colors_by_spread(0, 7, 1), 7), (colors_by_spread(20, 30, 3), 53)):
        colored = (np.abs(rgb2lab(colors[None])[0, :, 1:]) > 5).any(1)
        spread = np.ptp(colors, axis=1)
        assert not colored[spread <= 6].any()
        assert colored[spread >= 25].all()
        for pixel, is_colored in zip(colors[::step], colored[::step], strict=True):
            assert is_grey(pixel[None, None]) is not bool(is_colored)
    assert (np.abs(rgb2lab(colors_by_spread(25, 255, 9)[None])[..., 1:]) > 5).any(-1).all()


def test_grey_images() -> None:
    grey = grey3(noise(50, 60))
    assert is_grey(grey)
    one_pixel = grey.copy()
    one_pixel[31, 17] = 200, 90, 90
    assert not is_grey(one_pixel)
    found = []
    for seed in range(40):
        tint = noise(3, seed=seed) % (2 + seed // 2)
        tinted = np.clip(grey3(noise(6, 6, seed=seed)).astype(int) + tint, 0, 255).astype(np.uint8)
        assert is_grey(tinted) == brute_grey(tinted)
        found.append(is_grey(tinted))
    assert 5 < sum(found) < 35
    assert not is_grey(skimage.data.chelsea())
