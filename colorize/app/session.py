"""What one visitor of the app works on. Knows nothing of Gradio."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple
from weakref import WeakValueDictionary

import numpy as np
from PIL import Image

from colorize import storage
from colorize.app.hint_list import Color, HintList
from colorize.errors import InputError
from colorize.models import Colorizer
from colorize.models.fuse import fuse_conv_bn
from colorize.models.hub import find_device, load_model
from colorize.photo.files import Photo, read_photo, write_photo
from colorize.photo.formats import deep_suffixes, writable_suffixes
from colorize.photo.hints import Hint
from colorize.photo.prediction import DEFAULT_MODEL, Prediction, predict
from colorize.photo.record import Made
from colorize.photo.sheet import sheet
from colorize.version import __version__

SAMPLES = 4
# Longest side of what is shown; what is downloaded has the photo's own size.
SHOWN_SIDE = 800
# Bytes of pixels. Gradio keeps what a visitor who left had open for an hour.
MOST_HELD = 2**30
# Dark blue, teal and yellow, for uncertainty that rises.
_RAMP = np.array([(35, 25, 80), (35, 140, 140), (250, 230, 60)], np.float32)


class Adjustments(NamedTuple):
    """The values of the two sliders."""

    temperature: float
    saturation: float = 1.0


class OpenPhoto(NamedTuple):
    """A photo as it was uploaded, and (h, w, 3) uint8 as it is shown."""

    name: str
    sha256: str
    photo: Photo
    shown: np.ndarray


@lru_cache(maxsize=2)
def load_net(name: str) -> Colorizer:
    """Load a model for use; each takes up to 130 MB, so two are kept."""
    return fuse_conv_bn(load_model(name)).to(find_device())


@dataclass
class Session:
    """One photo with its predictions, hints and chosen sample.

    Attributes:
        model: name of the model in use.
        tab: name of the open tab.
        hints: in pixels of what is shown.
        seed: of the samples.
        sample: number of the chosen sample; None for the default prediction.
    """

    model: str = DEFAULT_MODEL
    tab: str = "compare"
    hints: HintList = field(default_factory=HintList)
    seed: int = 0
    sample: int | None = None
    _opened: OpenPhoto | None = None
    _predictions: dict[str, Prediction] = field(default_factory=dict)
    _sheets: dict[str, np.ndarray] = field(default_factory=dict)
    _folder: tempfile.TemporaryDirectory[str] | None = None

    @property
    def opened(self) -> OpenPhoto:
        """The open photo."""
        if self._opened is None:
            raise InputError("There is no photo open. Upload one, or click an example.")
        return self._opened

    def close_photo(self) -> None:
        """Forget the photo and all that belongs to it."""
        self.hints, self.seed, self.sample = HintList(), 0, None
        self._opened = None
        self._predictions.clear()
        self._sheets.clear()

    def open_photo(self, path: Path, name: str, *, as_grey: bool = False) -> None:
        """Read a photo in place of the one before."""
        self.close_photo()
        photo = read_photo(path, name, depth=16)
        if as_grey:
            grey = np.asarray(Image.fromarray(photo.rgb).convert("L"))
            photo = replace(photo, rgb=np.repeat(grey[..., None], 3, 2))
        rgb = photo.rgb if photo.rgb.dtype == np.uint8 else (photo.rgb >> 8).astype(np.uint8)
        height, width = rgb.shape[:2]
        scale = SHOWN_SIDE / max(height, width)
        size = max(1, round(width * scale)), max(1, round(height * scale))
        shown = Image.fromarray(rgb).resize(size, Image.Resampling.LANCZOS, reducing_gap=2.0)
        self._opened = OpenPhoto(name, storage.sha256_file(path), photo, np.asarray(shown))
        self._close_older()

    def predict(self) -> Prediction:
        """Run the model on the photo, unless it has run."""
        photo = self.opened.photo
        if self.model not in self._predictions:
            self._predictions[self.model] = predict(photo.rgb, load_net(self.model))
        return self._predictions[self.model]

    def add_hint(self, x: float, y: float, color: Color) -> None:
        """Add a hint at a point of what is shown."""
        top, bottom, left, right = self._shown_prediction().inside
        if not (top <= y < bottom and left <= x < right):
            raise InputError("This point lies in the margin of the photo, which gets no color.")
        self.hints.add(x, y, color)

    def colored(self, adjustments: Adjustments) -> np.ndarray:
        """Color what is shown: (h, w, 3) uint8."""
        return self._chosen(self._shown_prediction(), self.hints.hints, adjustments)

    def marked(self, adjustments: Adjustments) -> np.ndarray:
        """Color what is shown and mark the hints on it."""
        return self.hints.mark(self.colored(adjustments))

    def samples(self, adjustments: Adjustments) -> np.ndarray:
        """Draw colorings of what is shown, the likeliest first: (SAMPLES, h, w, 3) uint8."""
        return self._shown_prediction().colorize(**self._drawn(adjustments), hints=self.hints.hints)

    def uncertainty(self) -> np.ndarray:
        """Picture how undecided the model is: (h, w, 3) uint8; dark is sure, yellow is not."""
        entropy = self._shown_prediction().uncertainty()
        level = entropy / max(float(entropy.max()), 1e-6)
        steps = np.linspace(0, 1, len(_RAMP))
        return np.stack([np.interp(level, steps, c) for c in _RAMP.T], -1).astype(np.uint8)

    def sheet(self) -> np.ndarray:
        """Color the photo with many settings on one labelled picture, unless that is done."""
        if self.model not in self._sheets:
            self._sheets[self.model] = sheet(self.opened.photo.rgb, load_net(self.model))
        return self._sheets[self.model]

    def save(self, adjustments: Adjustments) -> tuple[Path, list[str]]:
        """Write the result at full size with the photo's metadata; notes on what was lost."""
        name, sha256, photo, shown = self.opened
        hints = self.hints.scaled(shown.shape[:2], photo.rgb.shape[:2])
        depth = 8 * photo.rgb.itemsize
        colored = self._chosen(self.predict(), hints, adjustments, depth)
        fitting = deep_suffixes() if depth == 16 else writable_suffixes()
        suffix = Path(name).suffix.lower()
        suffix = suffix if suffix in fitting else ".png"
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix="colorize-")
        path = Path(self._folder.name) / f"{Path(name).stem}-color{suffix}"
        made = Made(name, sha256, self._settings(hints, adjustments))
        return path, write_photo(colored, photo, path, suffix, made=made)

    def _close_older(self) -> None:
        """Close what others opened longest ago, where all photos together take too much memory."""
        _OPEN.pop(id(self), None)
        _OPEN[id(self)] = self
        held = 0
        for session in reversed([*_OPEN.values()]):
            held += 0 if session._opened is None else session._opened.photo.rgb.nbytes
            if held > MOST_HELD and session is not self:
                session.close_photo()

    def _shown_prediction(self) -> Prediction:
        return self.predict().resized(self.opened.shown)

    def _settings(self, hints: Sequence[Hint], adjustments: Adjustments) -> dict[str, Any]:
        """Give all that decides how the result looks, as values of JSON."""
        settings = {"model": self.model, "version": __version__, **adjustments._asdict()}
        if hints:
            settings["hints"] = hints
        if self.sample is not None:
            settings |= {"samples": SAMPLES, "seed": self.seed, "sample": self.sample + 1}
        return settings

    def _chosen(
        self,
        prediction: Prediction,
        hints: Sequence[Hint],
        adjustments: Adjustments,
        depth: int = 8,
    ) -> np.ndarray:
        if self.sample is not None:
            options = {**self._drawn(adjustments), "sample": self.sample}
        elif load_net(self.model).has_distribution:
            options = adjustments._asdict()
        else:  # a model of one color takes no temperature
            options = {"saturation": adjustments.saturation}
        return prediction.colorize(**options, hints=hints, depth=depth)

    def _drawn(self, adjustments: Adjustments) -> dict[str, Any]:
        return {**adjustments._asdict(), "samples": SAMPLES, "seed": self.seed}


_OPEN: WeakValueDictionary[int, Session] = WeakValueDictionary()
