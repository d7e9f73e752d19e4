"""Color a photograph in a notebook: an app of widgets, or a figure where widgets do not run."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from IPython import get_ipython
from IPython.display import display
from matplotlib.figure import Figure
from PIL import Image

from colorize.errors import ColorizeError, InputError
from colorize.models import BinHead, Colorizer
from colorize.models.fuse import fuse_conv_bn
from colorize.models.hub import list_models, load_model
from colorize.photo.colorize import colorize_image
from colorize.photo.files import Photo, read_photo, write_photo
from colorize.photo.formats import writable_suffixes
from colorize.photo.prediction import DEFAULT_MODEL
from colorize.photo.upsampling import METHODS
from colorize.report.panels import comparison_grid

# What is shown; what is downloaded has the photograph's own size.
_SHOWN_PIXELS = 640
_AS_TRAINED = 0  # None would show no choice at all.
_SIZES = (128, 176, 256, 384, 512)
_NO_WIDGETS = (
    "Widgets do not run here ({reason}). Color a photograph with: photo_demo()('photo.jpg')"
)


def photo_demo(model: str = DEFAULT_MODEL) -> PhotoDemo | PlainDemo:
    """An app that colors photographs; make it the last line of a notebook's cell.

    Args:
        model: name out of ``list_models()`` that is chosen first.

    Returns:
        Widgets in a notebook. Elsewhere, or without the package ipywidgets, what says why there are
        none and makes a figure when it is called with a path.

    Raises:
        CheckpointError: when there is no such model.
    """
    if find_spec("ipywidgets") is None:
        return PlainDemo(model, "no ipywidgets; pip install ipywidgets")
    if not hasattr(get_ipython(), "kernel"):
        return PlainDemo(model, "no notebook")
    return PhotoDemo(model)


def compare_photo(
    path: str | Path, model: Colorizer | str = DEFAULT_MODEL, **options: Any
) -> Figure:
    """Color a photograph and put it beside the original.

    Args:
        path: the photograph's.
        model, options: of ``colorize_image``, except ``samples`` and ``depth``.

    Raises:
        ColorizeError: as ``colorize_image``.
    """
    photo = read_photo(Path(path), str(path))
    after = colorize_image(photo.rgb, model, **options)
    shown = [np.asarray(_reduced(pixels)) for pixels in (photo.rgb, after)]
    return comparison_grid({"": shown}, ["before", "after"], side=4)


class PlainDemo:
    """The demo where widgets do not run: call it with a path for a figure of before and after."""

    def __init__(self, model: str, reason: str) -> None:
        self.model, self.reason = model, reason

    def __call__(self, path: str | Path, **options: Any) -> Figure:
        """``compare_photo`` with the model that was asked for."""
        return compare_photo(path, self.model, **options)

    def __repr__(self) -> str:
        return _NO_WIDGETS.format(reason=self.reason)


class PhotoDemo:
    """The app. Its widgets are attributes; ``box`` holds them all."""

    def __init__(self, model: str) -> None:
        w = import_module("ipywidgets")
        self._loaded = model, _load(model)
        wide, label = w.Layout(width="auto"), {"description_width": "90px"}
        self.upload = w.FileUpload(
            accept="image/*", multiple=False, description="Upload a photo", layout=wide
        )
        # Jupyter's connection takes no message above some 10 MB.
        self.path = w.Text(
            placeholder="or its path, for large files", description="Path", style=label
        )
        names = sorted({model, *list_models()})
        self.model = w.Dropdown(options=names, value=model, description="Model", style=label)
        self.temperature = w.FloatSlider(max=1, step=0.02, description="Temperature", style=label)
        self.saturation = w.FloatSlider(
            value=1, max=2, step=0.05, description="Saturation", style=label
        )
        sizes = [("as trained", _AS_TRAINED), *((f"{side} px", side) for side in _SIZES)]
        self.size = w.Dropdown(options=sizes, description="Looks at", style=label)
        self.upsampling = w.Dropdown(options=METHODS, description="Upsampling", style=label)
        self.button = w.Button(description="Color it", button_style="primary", icon="paint-brush")
        self.status, self.download = w.HTML(), w.HTML()
        self.before, self.after = w.Image(format="png"), w.Image(format="png")
        self.result = w.VBox([self._side_by_side(w), self.download])
        wrapping = w.Layout(flex_flow="row wrap")
        self.box = w.VBox(
            [
                w.HBox([self.upload, self.path], layout=wrapping),
                w.HBox([self.model, self.temperature, self.saturation], layout=wrapping),
                w.HBox([self.size, self.upsampling, self.button], layout=wrapping),
                self.status,
                self.result,
            ]
        )
        self._hide_result()
        self._show_temperature()
        self.model.observe(lambda _: self._guarded("Loading …", self._show_temperature), "value")
        self.button.on_click(lambda _: self._guarded("Coloring …", self._color))

    def _side_by_side(self, widgets: Any) -> Any:
        half = widgets.Layout(flex="1 1 0", min_width="0")
        titled = (("before", self.before), ("after", self.after))
        columns = [
            widgets.VBox([widgets.HTML(f"<b>{title}</b>"), picture], layout=half)
            for title, picture in titled
        ]
        return widgets.HBox(columns)

    def _ipython_display_(self) -> None:
        display(self.box)

    def _net(self) -> Colorizer:
        """The chosen model. One is kept, as each takes up to 130 MB."""
        name = self.model.value
        if self._loaded[0] != name:
            self._loaded = name, _load(name)
        return self._loaded[1]

    def _show_temperature(self) -> str:
        output = self._net().output
        self.temperature.disabled = not isinstance(output, BinHead)
        if isinstance(output, BinHead):
            self.temperature.max = max(1.0, output.temperature)
            self.temperature.value = output.temperature
        return ""

    def _guarded(self, doing: str, run: Callable[[], str]) -> None:
        """Run with the button locked; show what it says, or what is wrong with the input."""
        self.button.disabled = True
        self.status.value = doing
        try:
            self.status.value = html.escape(run())
        except ColorizeError as error:
            self._hide_result()
            self.status.value = f'<span style="color: #b00020">{html.escape(str(error))}</span>'
        finally:
            self.button.disabled = False

    def _color(self) -> str:
        net = self._net()
        name, photo = self._photo()
        temperature = None if self.temperature.disabled else self.temperature.value
        colored = colorize_image(
            photo.rgb,
            net,
            temperature=temperature,
            saturation=self.saturation.value,
            size=self.size.value or None,
            upsampling=self.upsampling.value,
        )
        self.before.value, self.after.value = _png(photo.rgb), _png(colored)
        self.download.value, notes = _download_link(colored, photo, name)
        self.result.layout.display = ""
        return "; ".join((*photo.notes, *notes))

    def _photo(self) -> tuple[str, Photo]:
        path = self.path.value.strip()
        if path:
            return Path(path).name, read_photo(Path(path).expanduser(), path)
        # A dict by name in ipywidgets 7, which Colab has; a tuple since 8.
        value = self.upload.value
        files = list(value.values() if isinstance(value, dict) else value)
        if not files:
            raise InputError("photo: expected an upload or a path, got neither")
        name = files[-1].get("metadata", files[-1])["name"]
        return name, read_photo(bytes(files[-1]["content"]), name)

    def _hide_result(self) -> None:
        self.result.layout.display = "none"
        self.before.value = self.after.value = b""
        self.download.value = ""


def _load(name: str) -> Colorizer:
    return fuse_conv_bn(load_model(name))


def _reduced(pixels: np.ndarray) -> Image.Image:
    image = Image.fromarray(pixels)
    image.thumbnail((_SHOWN_PIXELS, _SHOWN_PIXELS))
    return image


def _png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    _reduced(pixels).save(file, "PNG")
    return file.getvalue()


def _download_link(colored: np.ndarray, photo: Photo, name: str) -> tuple[str, list[str]]:
    """A link that holds the file, as the kernel may be on another machine than the browser; and
    what the format cannot hold.
    """
    suffix = Path(name).suffix.lower()
    suffix = suffix if suffix in writable_suffixes() else ".png"
    file = io.BytesIO()
    notes = write_photo(colored, photo, file, suffix)
    data = base64.b64encode(file.getvalue()).decode()
    target = html.escape(f"{Path(name).stem}-color{suffix}")
    link = (
        f'<a download="{target}" style="text-decoration: underline" '
        f'href="data:application/octet-stream;base64,{data}">Download {target}</a>'
    )
    return link, notes
