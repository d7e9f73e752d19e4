"""The app, driven without a browser: values set, buttons pressed, what it shows read."""

from __future__ import annotations

import base64
import html
import io
import re
import sys
from collections.abc import Callable
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
from colorize.app.demo import PhotoDemo, PlainDemo, compare_photo, photo_demo
from colorize.errors import CheckpointError, ImageError, InputError
from colorize.models import Colorizer, EuclideanModel
from colorize.photo.colorize import colorize_image

pytest.importorskip("ipywidgets", reason='needs pip install "colorize-study[demo]"')
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
    app.upload.value = ({**about, "content": memoryview(content)},)


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


def test_what_was_left_out_is_said(app: PhotoDemo) -> None:
    frames = [Image.fromarray(_grey()), Image.fromarray(255 - _grey())]
    file = io.BytesIO()
    frames[0].save(file, "TIFF", save_all=True, append_images=frames[1:])
    _upload(app, file.getvalue(), "pages.tif")
    app.button.click()
    assert "the first of its pages" in app.status.value
    assert _downloaded(app)[1].format == "TIFF"


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


def test_a_path_goes_before_an_upload(app: PhotoDemo, tmp_path: Path) -> None:
    (tmp_path / "here.gif").write_bytes(_encoded(_grey(30, 40), "GIF"))
    _upload(app, _encoded(_grey()))
    app.path.value = f" {tmp_path / 'here.gif'} "
    app.button.click()
    # Of a format that cannot hold it comes a PNG.
    name, image = _downloaded(app)
    assert name == "here-color.png" and image.size == (40, 30)


BAD: dict[str, tuple[bytes, str]] = {
    "text": (b"no picture", "expected an image"),
    "empty": (b"", "empty file"),
    "cut": (_encoded(_grey())[:-2000], "bad&lt;b&gt;.png"),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_upload_is_said_in_the_app(kind: str, app: PhotoDemo) -> None:
    content, message = BAD[kind]
    _upload(app, _encoded(_grey()))
    app.button.click()
    _upload(app, content, "bad<b>.png")
    app.button.click()
    assert message in app.status.value and "<b>" not in app.status.value
    # The picture before is not passed off as the result.
    assert app.result.layout.display == "none" and not app.download.value
    assert app.after.value == b"" and not app.button.disabled
    _upload(app, _encoded(_grey()))
    app.button.click()
    assert app.status.value == "" and app.result.layout.display == ""


def test_nothing_uploaded(app: PhotoDemo) -> None:
    app.button.click()
    assert "expected an upload or a path, got neither" in app.status.value


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


def test_an_error_of_the_program_is_no_bad_upload(
    app: PhotoDemo, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(demo, "colorize_image", fail)
    _upload(app, _encoded(_grey()))
    with pytest.raises(RuntimeError, match="a bug"):
        app._guarded("", app._color)
    assert not app.button.disabled


# --- where widgets do not run ------------------------------------------------------------------


def _without_widgets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    monkeypatch.setattr(demo, "get_ipython", lambda: SimpleNamespace(kernel=object()))


def _without_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "get_ipython", lambda: None)


def _in_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "get_ipython", lambda: SimpleNamespace())


@pytest.mark.parametrize(
    ("without", "reason"),
    [
        (_without_widgets, "no ipywidgets; pip install"),
        (_without_kernel, "no notebook"),
        (_in_terminal, "no notebook"),
    ],
)
def test_plain(
    without: Callable[[pytest.MonkeyPatch], None],
    reason: str,
    net: Colorizer,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    without(monkeypatch)
    plain = photo_demo()
    assert isinstance(plain, PlainDemo)
    assert reason in repr(plain) and "photo_demo()('photo.jpg')" in repr(plain)
    path = tmp_path / "old.png"
    path.write_bytes(_encoded(_grey()))
    figure = plain(path, temperature=0.1)
    before, after = (axes.get_images()[0].get_array() for axes in figure.axes)
    np.testing.assert_array_equal(after, colorize_image(path, net, temperature=0.1))
    np.testing.assert_array_equal(before, np.repeat(_grey()[..., None], 3, 2))
    assert [axes.get_title() for axes in figure.axes] == ["before", "after"]


def test_widgets_in_a_kernel(net: Colorizer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "get_ipython", lambda: SimpleNamespace(kernel=object()))
    shown: list[object] = []
    monkeypatch.setattr(demo, "display", shown.append)
    made = photo_demo()
    assert isinstance(made, PhotoDemo)
    made._ipython_display_()
    assert shown == [made.box]


def test_arguments(net: Colorizer, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no trained model 'dull'"):
        PhotoDemo("dull")
    with pytest.raises(ImageError, match=r"none\.png"):
        compare_photo(tmp_path / "none.png")
    (tmp_path / "old.png").write_bytes(_encoded(_grey()))
    with pytest.raises(InputError, match="saturation"):
        compare_photo(str(tmp_path / "old.png"), net, saturation=-1)
