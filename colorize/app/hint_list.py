"""The hints of a photo as one edits them: add, recolor, remove, undo."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import numpy as np
from PIL import Image, ImageDraw

from colorize.photo.hints import Hint

Color = tuple[int, int, int]


def parse_color(text: str) -> Color:
    """Read what a browser's color picker gives: "#rrggbb" or "rgba(r, g, b, alpha)"."""
    if text.startswith("#"):
        red, green, blue = bytes.fromhex(text[1:7])
    else:
        red, green, blue = (round(float(n)) for n in re.findall(r"[\d.]+", text)[:3])
    return red, green, blue


@dataclass
class HintList:
    """Hints in the order of their making.

    Attributes:
        selected: number of the hint that ``recolor`` and ``remove`` change; None without hints.
    """

    hints: tuple[Hint, ...] = ()
    selected: int | None = None
    _earlier: list[tuple[Hint, ...]] = field(default_factory=list)

    def add(self, x: float, y: float, color: Color) -> None:
        """Add a hint and select it."""
        self._change((*self.hints, (x, y, color)), len(self.hints))

    def recolor(self, color: Color) -> None:
        """Give the selected hint another color."""
        if self.selected is not None:
            x, y, _ = self.hints[self.selected]
            before, after = self.hints[: self.selected], self.hints[self.selected + 1 :]
            self._change((*before, (x, y, color), *after), self.selected)

    def remove(self) -> None:
        """Remove the selected hint and select the last of the others."""
        if self.selected is not None:
            left = self.hints[: self.selected] + self.hints[self.selected + 1 :]
            self._change(left, len(left) - 1)

    def clear(self) -> None:
        """Remove all hints."""
        self._change((), -1)

    def undo(self) -> None:
        """Take back the last change."""
        if self._earlier:
            self.hints = self._earlier.pop()
            self.selected = len(self.hints) - 1 if self.hints else None

    def labels(self) -> list[str]:
        """Describe each hint in a few words."""
        return [
            f"{number}: #{bytes(color).hex()} at {x:.0f}, {y:.0f}"
            for number, (x, y, color) in enumerate(self.hints, 1)
        ]

    def scaled(self, old: tuple[int, ...], new: tuple[int, ...]) -> list[Hint]:
        """Convert hints from an image of height and width ``old`` to one of ``new``."""
        down, across = new[0] / old[0], new[1] / old[1]
        return [
            ((x + 0.5) * across - 0.5, (y + 0.5) * down - 0.5, color) for x, y, color in self.hints
        ]

    def mark(self, rgb: np.ndarray) -> np.ndarray:
        """Draw a numbered dot at each hint on a copy of (h, w, 3) uint8."""
        image = Image.fromarray(rgb)
        draw = ImageDraw.Draw(image)
        radius = max(image.size) // 70
        for number, (x, y, color) in enumerate(self.hints):
            box = (x - radius, y - radius, x + radius, y + radius)
            draw.ellipse(box, fill=color, outline="black", width=4)
            ring = "white" if number == self.selected else "silver"
            draw.ellipse(box, outline=ring, width=3 if number == self.selected else 2)
            draw.text(
                (x + radius + 2, y - radius),
                str(number + 1),
                "white",
                font_size=2 * radius,
                stroke_width=2,
                stroke_fill="black",
            )
        return np.asarray(image)

    def _change(self, hints: tuple[Hint, ...], selected: int) -> None:
        self._earlier.append(self.hints)
        self.hints, self.selected = hints, selected if hints else None
