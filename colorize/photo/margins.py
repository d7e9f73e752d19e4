"""Find the uniform margin around an image: a mount, a border of white or black, a letterbox."""

from __future__ import annotations

from math import ceil
from typing import NamedTuple

import numpy as np

from colorize.photo.image import Box, InputImage

# Levels of L differ from a margin's own when they are farther from it than grain of paper.
_NEAR, _GRAIN_SIGMAS, _NEAR_AT_MOST = 4.0, 4.0, 10.0
# Share of a line of the margin that dust and scratches may cover.
_DUST = 0.02
# White and black, of paper and of scanners too.
_BLACK, _WHITE = 8.0, 90.0
# Share of the border at which the image must stand out from its margin.
_BARS, _ONE_SIDE, _MOUNT = 0.25, 0.8, 0.4
# The image begins within so many lines, with this share at least; more slowly only where it stands
# out all along, and is askew on its paper.
_SHARP, _ABRUPT, _ASKEW = 3, 0.45, 0.75
# A faint edge: units of L, and the share of its length that steps in its direction.
_LEAST_STEP, _STEP_ALIKE = 1.0, 0.6
_NESTED = 3
_LEAST_SIDE = 16


class _Side(NamedTuple):
    """A side with a margin: its width in pixels, L, and the share in which the image stands out."""

    width: int
    L: float
    contrast: float


def find_margins(image: InputImage) -> Box | None:
    """Find the part of an image inside of its margins; None when it has no margin.

    A margin is uniform up to grain and ends in a straight line along which the image stands out.
    A sky or a studio background ends along what stands before it, so it is none.
    """
    box = image.box
    for _ in range(_NESTED):
        inner = _peel(image.crop(box))
        if inner is None:
            break
        top, bottom, left, right = inner
        box = Box(box.top + top, box.top + bottom, box.left + left, box.left + right)
    return None if box == image.box else box


def _peel(image: InputImage) -> Box | None:
    """Take off one margin."""
    h, w = image.size
    if min(h, w) < _LEAST_SIDE:
        return None
    # The border alone tells of most images that they have none, before all of it is read.
    lines = [
        _read(image.crop(Box(*line)))
        for line in ((0, 1, 0, w), (h - 1, h, 0, w), (0, h, 0, 1), (0, h, w - 1, w))
    ]
    levels = [_uniform(line.ravel()) for line in lines]
    if all(level is None for level in levels):
        return None
    L = _read(image)
    sides = _measure_sides(L, levels)
    kept = _keep_margins(sides)
    top, bottom, left, right = (0 if side is None else side.width for side in kept)
    box = Box(top, h - bottom, left, w - right)
    large = min(box.bottom - box.top, box.right - box.left) >= _LEAST_SIDE
    return box if any(kept) and large else None


def _read(image: InputImage) -> np.ndarray:
    """Read (H, W) lightness as uint8 in half units."""
    levels = np.empty(image.size, np.uint8)
    for first, L in image.bands():
        levels[first : first + L.shape[2]] = (L[0, 0] * 2).round().cpu().numpy()
    return levels


def _uniform(line: np.ndarray) -> tuple[int, float] | None:
    """Give the level of a line and how far grain may be from it; None when it is not uniform."""
    middle = int(np.median(line))
    off = np.abs(line.astype(np.int16) - middle)
    # The share of a normal distribution within one standard deviation.
    sigma = float(np.quantile(off, 0.683))
    near = 2 * min(_NEAR_AT_MOST, max(_NEAR, _GRAIN_SIGMAS * sigma / 2))
    return (middle, near) if (off > near).mean() <= _DUST else None


def _measure_sides(L: np.ndarray, levels: list[tuple[int, float] | None]) -> list[_Side | None]:
    """Measure top, bottom, left and right, each against its own level."""
    # Every side as the top of a turned view: of its lines, and of what lies across.
    views = (L, L[::-1], L.T, L[:, ::-1].T)
    rough = [
        0 if level is None else _depth(v, level) for v, level in zip(views, levels, strict=True)
    ]
    sides: list[_Side | None] = []
    for i, (view, level) in enumerate(zip(views, levels, strict=True)):
        # Across the two other sides, without what may be their margins.
        start, stop = (rough[2], rough[3]) if i < 2 else (rough[0], rough[1])
        across = view[:, start : view.shape[1] - stop]
        found = None
        if level is not None and 0 < rough[i] < len(view) and across.shape[1] >= _LEAST_SIDE:
            found = _find_edge(across, rough[i], level)
        sides.append(found)
    return sides


def _depth(view: np.ndarray, level: tuple[int, float]) -> int:
    """Count the lines from the top that belong to a margin of a level."""
    middle, near = level
    step = max(1, 2**18 // view.shape[1])
    for first in range(0, len(view), step):
        off = np.abs(view[first : first + step].astype(np.int16) - middle) > near
        ends = np.flatnonzero(off.mean(1) > _DUST)
        if len(ends):
            return first + int(ends[0])
    return len(view)


def _find_edge(view: np.ndarray, rough: int, level: tuple[int, float]) -> _Side | None:
    """Find the line at which the image stands out at once; None when it does so bit by bit."""
    middle, near = level
    # The ringing of a JPEG, or a print that lies askew by half a degree.
    blur = max(9, ceil(0.01 * max(view.shape)))
    lines = view[rough : rough + 2 * blur].astype(np.int16)
    # Shading of a background leaves the level slowly.
    share = (np.abs(lines - middle) > near + 2 * _NEAR).mean(1)
    contrast = float(np.quantile(share, 0.75))
    edge = int(np.argmax(share >= contrast / 2))
    below = np.flatnonzero(share[:edge] <= 0.3 * contrast)
    begin = below[-1] + 1 if len(below) else 0
    abrupt = share[begin : begin + _SHARP].max() >= min(0.8 * contrast, _ABRUPT)
    sharp = abrupt or contrast >= _ASKEW
    if contrast < _BARS or edge > blur or not sharp:
        return _find_step(view[: rough + 2 * blur], middle / 2)
    return _Side(rough + edge, middle / 2, contrast)


def _find_step(view: np.ndarray, level: float) -> _Side | None:
    """Find a faint edge, of a white sky on paper: a step of the mean from one line to the next."""
    steps = np.diff(view.mean(1) / 2)
    size = np.abs(steps)
    edge = int(size.argmax())
    if size[edge] < max(_LEAST_STEP, 8 * float(np.median(size))):
        return None
    alike = np.sign(view[edge + 1].astype(np.int16) - view[edge]) == np.sign(steps[edge])
    # Enough for one of two bars only.
    return _Side(edge + 1, level, _BARS) if alike.mean() >= _STEP_ALIKE else None


def _keep_margins(sides: list[_Side | None]) -> list[_Side | None]:
    """Keep the sides whose margin is no part of the image."""
    kept: list[_Side | None] = []
    # Of the four sides of a mount one may be hard to tell from the image.
    contrasts = sorted(side.contrast if side else 0.0 for side in sides)
    whole = contrasts[0] >= _BARS and contrasts[1] >= _MOUNT
    for side, other in zip(sides, (sides[1], sides[0], sides[3], sides[2]), strict=True):
        if side is None:
            kept.append(None)
            continue
        pure = side.L <= _BLACK or side.L >= _WHITE
        bars = pure and other is not None and max(side.contrast, other.contrast) > _BARS
        alone = pure and side.contrast >= _ONE_SIDE
        kept.append(side if whole or bars or alone else None)
    return kept
