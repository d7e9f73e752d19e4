"""The app: what a visitor works on, the server over loopback, and the page in a browser."""

from __future__ import annotations

import base64
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skimage.data
from helpers import tiny
from helpers.tiny import light as light
from PIL import Image

import colorize
from colorize.app import session as session_module
from colorize.app.hint_list import HintList, parse_color
from colorize.app.session import Adjustments, Session, load_net
from colorize.errors import ColorizeError, ImageError, InputError
from colorize.models import EuclideanModel
from colorize.photo.colorize import colorize_image
from colorize.photo.files import read_photo

pytestmark = pytest.mark.usefixtures("light")
OWN = Adjustments(0.38)
DESCRIPTION = 0x010E
# What the browser does at Ctrl-V with an image in the clipboard.
PASTE = """data => {
  const bytes = Uint8Array.from(atob(data), c => c.charCodeAt(0)), pasted = new DataTransfer()
  pasted.items.add(new File([bytes], 'pasted.jpg', {type: 'image/jpeg'}))
  document.dispatchEvent(new ClipboardEvent('paste', {clipboardData: pasted}))
}"""


@pytest.fixture(autouse=True)
def nets(home: Path) -> None:
    """The models of this test's home: two over bins, one of one color, one damaged."""
    load_net.cache_clear()
    folder = home / "CHECKPOINTS"
    tiny.save_tiny(folder / "photo.safetensors", tiny.vivid_model(), input_size=64)
    tiny.save_tiny(folder / "warm.safetensors", tiny.model(3, temperature=1.5).eval())
    tiny.save_tiny(folder / "flat.safetensors", EuclideanModel(width=0.02).eval())
    (folder / "broken.safetensors").write_bytes(b"nothing")


@pytest.fixture
def old_photo(tmp_path: Path) -> Path:
    """A grey JPEG that is stored on its side, larger than what is shown."""
    exif = Image.Exif()
    exif[0x0112], exif[DESCRIPTION] = 6, "grandmother"
    path = tmp_path / "old.JPG"
    Image.fromarray(skimage.data.camera()).resize((1200, 900)).save(path, exif=exif)
    return path


@pytest.fixture
def visitor(old_photo: Path, monkeypatch: pytest.MonkeyPatch) -> Session:
    monkeypatch.setattr(session_module, "SHOWN_SIDE", 200)
    session = Session()
    session.open_photo(old_photo, "old.JPG")
    return session


def test_the_download_is_what_the_library_gives(visitor: Session, old_photo: Path) -> None:
    visitor.add_hint(49.5, 24.5, (200, 30, 30))
    assert visitor.colored(OWN).shape == visitor.opened.shown.shape == (200, 150, 3)
    path, _ = visitor.save(Adjustments(0.38, 0.7))
    image = Image.open(path)
    assert path.name == "old-color.jpg" and image.getexif()[DESCRIPTION] == "grandmother"
    expected = colorize_image(
        old_photo, temperature=0.38, saturation=0.7, hints=[(299.5, 149.5, (200, 30, 30))]
    )
    assert image.size == (900, 1200)
    difference = np.abs(np.asarray(image).astype(float) - expected)
    # The file is a JPEG, and the app folds batch norm, which rounds differently.
    assert difference.mean() < 3 < np.abs(expected - visitor.opened.photo.rgb.astype(float)).mean()


def test_the_net_runs_once_for_photo_and_model(
    visitor: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = []
    predict = session_module.predict

    def counted(*given: Any) -> Any:
        runs.append(given)
        return predict(*given)

    monkeypatch.setattr(session_module, "predict", counted)
    plain = visitor.colored(OWN)
    assert (
        np.abs(visitor.colored(Adjustments(0.38, 0)).astype(int) - visitor.opened.shown).max() <= 2
    )
    visitor.add_hint(75, 100, (200, 30, 30))
    assert np.abs(visitor.colored(OWN).astype(int) - plain)[100, 75].max() > 5
    four = visitor.samples(OWN)
    visitor.sample = 2
    assert (visitor.colored(OWN) == four[2]).all()
    assert visitor.uncertainty().shape == plain.shape
    assert visitor.sheet() is visitor.sheet()
    visitor.save(OWN)
    assert len(runs) == 1
    visitor.model, visitor.sample = "flat", None
    assert (visitor.colored(OWN) != plain).any()
    with pytest.raises(InputError, match="samples"):
        visitor.samples(OWN)
    assert len(runs) == 2


def test_the_download_keeps_16_bits(tmp_path: Path) -> None:
    levels = np.linspace(1000, 60000, 96 * 96).reshape(96, 96).astype(np.uint16)
    session = Session()
    for name, written in (("deep.png", "deep-color.png"), ("deep.pgm", "deep-color.png")):
        Image.fromarray(levels).save(tmp_path / name)
        session.open_photo(tmp_path / name, name)
        session.sample = 1
        assert session.colored(OWN).dtype == np.uint8
        path, _ = session.save(OWN)
        assert path.name == written
        back = read_photo(path, path.name, depth=16).rgb.astype(np.float32)
        assert len(np.unique(back.mean(2))) > 4 * 256


def test_a_photo_that_cannot_be_read_leaves_none(visitor: Session, tmp_path: Path) -> None:
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"no picture")
    with pytest.raises(ImageError, match=r"bad\.png"):
        visitor.open_photo(bad, "bad.png")
    with pytest.raises(InputError, match="no photo"):
        visitor.colored(OWN)


def test_photos_of_those_who_left_make_room(
    visitor: Session, old_photo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other, third = Session(), Session()
    other.open_photo(old_photo, "old.JPG")
    monkeypatch.setattr(session_module, "MOST_HELD", 2 * visitor.opened.photo.rgb.nbytes)
    third.open_photo(old_photo, "old.JPG")
    with pytest.raises(InputError, match="no photo"):
        visitor.colored(OWN)
    assert other.opened.shown.shape == third.opened.shown.shape
    monkeypatch.setattr(session_module, "MOST_HELD", 1)
    third.open_photo(old_photo, "old.JPG")
    assert third.opened


def test_a_margin_takes_no_hint(tmp_path: Path) -> None:
    """What is shown has the margin of the photo at its own scale."""
    framed = np.full((1200, 900), 255, np.uint8)
    framed[150:-150, 150:-150] = skimage.data.camera()[:450, :300].repeat(2, 0).repeat(2, 1)
    Image.fromarray(framed).save(tmp_path / "framed.png")
    session = Session()
    session.open_photo(tmp_path / "framed.png", "framed.png")
    with pytest.raises(InputError, match="margin"):
        session.add_hint(50, 400, (200, 30, 30))
    session.add_hint(140, 400, (200, 30, 30))
    colored = session.colored(OWN)
    assert (
        np.ptp(colored[:90], axis=2).max() <= 1 < np.ptp(colored[110:-110, 110:-110], axis=2).max()
    )


def test_hints_are_edited_and_undone() -> None:
    hints = HintList()
    hints.undo()
    hints.remove()
    hints.add(1, 2, (255, 0, 0))
    hints.add(3, 4, (0, 255, 0))
    hints.selected = 0
    hints.recolor((0, 0, 255))
    assert hints.hints == ((1, 2, (0, 0, 255)), (3, 4, (0, 255, 0)))
    hints.remove()
    assert hints.hints == ((3, 4, (0, 255, 0)),) and hints.selected == 0
    hints.clear()
    assert hints.hints == () and hints.selected is None
    for count in (1, 2, 2, 1, 0):
        hints.undo()
        assert len(hints.hints) == count
    for text in ("#0a64ff", "rgba(10, 99.7, 255, 1)"):
        assert parse_color(text) == (10, 100, 255)


def test_the_app_says_which_package_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gradio", None)
    with pytest.raises(ColorizeError, match=r"gradio.*\[app\]"):
        colorize.app()


@pytest.fixture
def address(nets: None) -> Iterator[str]:
    """The address of a running app."""
    pytest.importorskip("gradio", reason="needs the extra app")
    from colorize.app.launch import start

    page = start(server_name="127.0.0.1", inline=False)
    yield page.local_url
    page.close()


def test_in_a_notebook_it_returns_and_says_only_where_it_runs(
    nets: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    gradio = pytest.importorskip("gradio", reason="needs the extra app")
    monkeypatch.setattr(sys, "ps1", ">>> ", raising=False)
    colorize.app()
    gradio.close_all(verbose=False)
    (line,) = capsys.readouterr().out.splitlines()
    assert "http://127.0.0.1:" in line


def test_two_visitors_do_not_mix(address: str, old_photo: Path, tmp_path: Path) -> None:
    from gradio_client import Client, handle_file
    from gradio_client.exceptions import AppError

    small, bad = tmp_path / "small.png", tmp_path / "bad<b>.png"
    Image.fromarray(skimage.data.camera()[::8, ::8]).save(small)
    bad.write_bytes(b"no picture")
    one, other = (
        Client(address, verbose=False, download_files=str(tmp_path / name)) for name in "ab"
    )
    with pytest.raises(AppError, match="no photo"):
        one.predict(0.38, 1, api_name="/show")
    about, slider, _ = one.predict(handle_file(old_photo), api_name="/open_upload")
    assert "old.JPG" in about and "900 × 1200" in about and slider["value"] == 0.38
    other.predict(handle_file(small), api_name="/open_upload")
    assert other.predict("warm", api_name="/choose_model")[0]["value"] == 1.5
    for client, size in ((one, (600, 800)), (other, (800, 800))):
        before, after = client.predict(0.38, 1, api_name="/show")[0]
        assert Image.open(before).size == Image.open(after).size == size
    for client, name, size in (
        (one, "old-color.jpg", (900, 1200)),
        (other, "small-color.png", (64, 64)),
    ):
        file = Path(client.predict(0.38, 1, api_name="/download"))
        assert file.name == name and Image.open(file).size == size
    with pytest.raises(AppError, match=r"bad.*\.png"):
        one.predict(handle_file(bad), api_name="/open_upload")
    with pytest.raises(AppError, match="broken"):
        other.predict("broken", api_name="/choose_model")


@pytest.fixture
def browser_page() -> Iterator[Any]:
    """A page of Chromium without a window, at the width of a phone."""
    playwright = pytest.importorskip("playwright.sync_api", reason="needs the package playwright")
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("needs Chromium")
    quiet = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    with playwright.sync_playwright() as player:
        browser = player.chromium.launch(executable_path=chromium, args=quiet)
        page = browser.new_page(viewport={"width": 390, "height": 844})
        page.set_default_timeout(120_000)
        yield page
        browser.close()


def test_in_a_browser(address: str, browser_page: Any, old_photo: Path, tmp_path: Path) -> None:
    """Upload, compare, click a point, choose a sample, download; then a file that is no photo."""
    page, asked_for = browser_page, []
    page.on("request", lambda request: asked_for.append(request.url))
    page.goto(address)
    upload = page.locator("#upload input[type=file]")
    upload.set_input_files(old_photo)
    page.locator("#compared img").nth(1).wait_for()
    # Nothing sticks out to the right.
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    page.get_by_role("tab", name="Correct colors").click()
    page.locator("#marked img").click(position={"x": 60, "y": 90})
    page.get_by_text("1: #b03020").wait_for()
    page.get_by_role("tab", name="Alternatives").click()
    page.locator("#samples img").nth(2).click()
    page.get_by_text("now sample 3").wait_for()
    with page.expect_download() as download:
        page.locator("#download").click()
    download.value.save_as(tmp_path / "saved.jpg")
    assert download.value.suggested_filename == "old-color.jpg"
    assert Image.open(tmp_path / "saved.jpg").size == (900, 1200)
    # It holds the result of this moment, and would still when another photo is open.
    assert page.locator("#file").is_hidden()
    page.get_by_role("tab", name="Compare settings").click()
    page.locator("#sheet img").wait_for()
    page.evaluate(PASTE, base64.b64encode(old_photo.read_bytes()).decode())
    page.get_by_text("pasted.jpg").wait_for()
    # In this order: while it is sent there is no picture in the field either.
    page.locator("#chosen", has_text="default prediction").wait_for(state="attached")
    page.locator("#upload img").wait_for(state="detached")
    old_photo.write_bytes(b"no picture")
    upload.set_input_files(old_photo)
    page.get_by_text("old.JPG: ").wait_for()
    page.locator("#results").wait_for(state="hidden")
    page.locator("#upload img").wait_for(state="detached")
    page.locator("#examples img").first.click()
    page.get_by_text("old.JPG: ").wait_for(state="detached")
    page.locator("#results").wait_for()
    assert all(url.startswith((address, "data:", "blob:")) for url in asked_for)
