"""The app, driven without a browser: values set, buttons pressed, what it shows read."""

from __future__ import annotations

import base64
import html
import io
import re
import sys
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import skimage.data
from helpers import tiny
from helpers.tiny import light as light
from PIL import Image

from colorize.app import demo
from colorize.app.demo import PhotoDemo, PlainDemo, photo_demo
from colorize.models import Colorizer, EuclideanModel
from colorize.photo.colorize import colorize_image

pytest.importorskip("ipywidgets", reason="needs pip install ipywidgets")
pytestmark = pytest.mark.usefixtures("light")


@pytest.fixture
def net(home: Path) -> Colorizer:
    """The default model of this test's home."""
    made = tiny.vivid_model()
    tiny.save_tiny(home / "CHECKPOINTS" / "photo.safetensors", made, input_size=64)
    return made


@pytest.fixture
def app(net: Colorizer) -> PhotoDemo:
    return PhotoDemo("photo")


def _grey(height: int = 90, width: int = 120) -> np.ndarray:
    return np.asarray(Image.fromarray(skimage.data.camera()).resize((width, height)))


def _encoded(pixels: np.ndarray, kind: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind, **options)
    return file.getvalue()


def _upload(app: PhotoDemo, content: bytes, name: str = "old.png") -> None:
    about = {"name": name, "type": "", "size": len(content), "last_modified": datetime.now()}
    # In place of the widget, whose value only ipywidgets 8 lets one set.
    app.upload = SimpleNamespace(value=({**about, "content": memoryview(content)},))


def _downloaded(app: PhotoDemo) -> tuple[str, Image.Image]:
    found = re.search(r'download="(.*?)" .*href="data:[^,]*;base64,(.*?)"', app.download.value)
    assert found, app.download.value
    return html.unescape(found[1]), Image.open(io.BytesIO(base64.b64decode(found[2])))


def _shown(picture: Any) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(picture.value)))


def test_upload_choose_color_download(app: PhotoDemo, net: Colorizer) -> None:
    assert app.result.layout.display == "none"
    assert app.temperature.value == 0.38 and not app.temperature.disabled
    _upload(app, _encoded(_grey()))
    app.temperature.value, app.saturation.value, app.size.value = 0.1, 0.6, 128
    app.upsampling.value = "bilinear"
    app.button.click()
    expected = colorize_image(
        _grey(), net, temperature=0.1, saturation=0.6, size=128, upsampling="bilinear"
    )
    name, image = _downloaded(app)
    assert name == "old-color.png"
    # The app folds batch norm, which rounds differently.
    assert isinstance(expected, np.ndarray)
    assert np.abs(np.asarray(image).astype(int) - expected).max() <= 1
    assert (_shown(app.after) == np.asarray(image)).all()
    assert (_shown(app.before) == _grey()[..., None]).all()
    assert app.status.value == "" and app.result.layout.display == ""
    assert not app.button.disabled
    app.saturation.value = 0
    app.button.click()
    assert np.ptp(_downloaded(app)[1].convert("RGB"), axis=2).max() <= 1


def test_a_large_photo_is_shown_small_and_downloaded_whole(app: PhotoDemo) -> None:
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "grandmother"
    _upload(app, _encoded(_grey(900, 1200), "JPEG", exif=exif), "old.JPG")
    app.button.click()
    name, image = _downloaded(app)
    assert name == "old-color.jpg" and image.format == "JPEG"
    assert image.size == (900, 1200)
    assert image.getexif()[0x010E] == "grandmother"
    assert _shown(app.after).shape == _shown(app.before).shape == (640, 480, 3)


def test_what_colab_hands_over(app: PhotoDemo) -> None:
    """ipywidgets 7 has a dict by name."""
    content = _encoded(_grey())
    old = {"metadata": {"name": "old.webp"}, "content": content}
    app.upload = SimpleNamespace(value={"old.webp": old})
    app.button.click()
    assert _downloaded(app)[0] == "old-color.webp"
    app.upload = SimpleNamespace(value={})
    app.button.click()
    assert "expected an upload or a path" in app.status.value


@pytest.mark.parametrize("content", [b"no picture", b"", _encoded(_grey())[:-2000]])
def test_a_bad_upload_is_said_in_the_app(content: bytes, app: PhotoDemo) -> None:
    _upload(app, _encoded(_grey()))
    app.button.click()
    _upload(app, content, "bad<b>.png")
    app.button.click()
    assert "bad&lt;b&gt;.png" in app.status.value
    # The image before is not passed off as the result.
    assert app.result.layout.display == "none" and not app.download.value
    assert app.after.value == b"" and not app.button.disabled


def test_choosing_a_model(net: Colorizer, home: Path) -> None:
    tiny.save_tiny(home / "CHECKPOINTS" / "flat.safetensors", EuclideanModel(width=0.02).eval())
    other = tiny.model(3, temperature=1.5)
    tiny.save_tiny(home / "CHECKPOINTS" / "warm.safetensors", other.eval())
    (home / "CHECKPOINTS" / "broken.safetensors").write_bytes(b"nothing")
    app = PhotoDemo("photo")
    assert {"broken", "flat", "photo", "warm"} <= set(app.model.options)
    _upload(app, _encoded(_grey()))
    app.model.value = "flat"
    assert app.temperature.disabled
    app.button.click()
    assert app.status.value == "" and _downloaded(app)
    app.model.value = "warm"
    assert app.temperature.value == 1.5 and not app.temperature.disabled
    app.model.value = "broken"
    assert "not a readable safetensors file" in app.status.value
    app.button.click()
    assert "not a readable safetensors file" in app.status.value
    assert app.result.layout.display == "none"
    app.model.value = "photo"
    assert app.status.value == "" and app.temperature.value == 0.38


@pytest.mark.parametrize("kernel", [None, SimpleNamespace(), SimpleNamespace(kernel=object())])
def test_plain(
    kernel: object, net: Colorizer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(demo, "get_ipython", lambda: kernel)
    if hasattr(kernel, "kernel"):
        assert isinstance(photo_demo(), PhotoDemo)
        monkeypatch.setitem(sys.modules, "ipywidgets", None)
    plain = photo_demo()
    assert isinstance(plain, PlainDemo)
    path = tmp_path / "old.png"
    path.write_bytes(_encoded(_grey()))
    before, after = (axes.get_images()[0].get_array() for axes in plain(path, size=32).axes)
    np.testing.assert_array_equal(after, colorize_image(path, net, size=32))
    np.testing.assert_array_equal(before, np.repeat(_grey()[..., None], 3, 2))
