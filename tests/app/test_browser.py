"""The app in a real JupyterLab, in a real browser. ``COLORIZE_SCREENSHOTS`` keeps its pictures."""

from __future__ import annotations

import io
import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pytest
import requests
import skimage.data
from PIL import Image

ROOT = Path(__file__).parents[2]
CHROMIUM = shutil.which("chromium")
PATIENCE = 90  # seconds

playwright_api = pytest.importorskip(
    "playwright.sync_api", reason="needs the package playwright: pip install playwright"
)
pytest.importorskip("ipywidgets", reason='needs pip install "colorize-study[demo]"')
pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="needs Debian's chromium: apt-get install chromium"
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """What the user has: a notebook, an old photograph and a file that is none."""
    cell = "from colorize.app.demo import photo_demo\n\nphoto_demo()"
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(cell)],
        metadata={"kernelspec": {"name": "python3", "display_name": "Python 3"}},
    )
    made = tmp_path / "notebooks"
    made.mkdir()
    nbformat.write(notebook, made / "demo.ipynb")
    grey = Image.fromarray(skimage.data.astronaut()).convert("L").crop((0, 0, 512, 384))
    grey.save(tmp_path / "old.jpg", quality=95)
    (tmp_path / "letter.jpg").write_text("Dear Sir or Madam", encoding="utf-8")
    return made


@pytest.fixture
def lab(folder: Path, tmp_path: Path) -> Iterator[str]:
    """The address of a JupyterLab with settings and homes of its own, reachable from here only."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    token = secrets.token_hex(16)
    own = {
        name: str(tmp_path / name.lower())
        for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR",
                     "JUPYTERLAB_SETTINGS_DIR", "JUPYTERLAB_WORKSPACES_DIR", "COLORIZE_HOME")
    }  # fmt: skip
    options = [
        f"--ServerApp.port={port}",
        "--ServerApp.ip=127.0.0.1",
        f"--IdentityProvider.token={token}",
        f"--ServerApp.root_dir={folder}",
        "--ServerApp.open_browser=False",
        "--ServerApp.allow_root=True",
        # Nothing is to be asked of the internet.
        "--LabApp.news_url=",
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
    ]
    log = tmp_path / "lab.log"
    with log.open("w", encoding="utf-8") as file:
        server = subprocess.Popen(
            [sys.executable, "-m", "jupyterlab", *options],
            env={**os.environ, **own, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
            stdout=file,
            stderr=subprocess.STDOUT,
        )
        try:
            _wait_for(f"http://127.0.0.1:{port}/api/status?token={token}", server, log)
            yield f"http://127.0.0.1:{port}/lab/tree/demo.ipynb?token={token}"
        finally:
            server.terminate()
            server.wait(60)


def _wait_for(address: str, server: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end and server.poll() is None:
        try:
            if requests.get(address, timeout=5).ok:
                return
        except requests.ConnectionError:
            pass
        time.sleep(0.2)
    pytest.fail(f"JupyterLab did not start:\n{log.read_text(encoding='utf-8')}")


@pytest.fixture
def shots(tmp_path: Path) -> Path:
    return Path(os.environ.get("COLORIZE_SCREENSHOTS", tmp_path))


@pytest.fixture
def page(shots: Path) -> Iterator[Any]:
    options = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
               "--disable-background-networking", "--disable-component-update",
               "--disable-sync"]  # fmt: skip
    with playwright_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=options)
        opened = browser.new_page(viewport={"width": 1280, "height": 960})
        opened.set_default_timeout(PATIENCE * 1000)
        yield opened
        # The last state of a test that failed, too.
        opened.screenshot(path=shots / "demo-end.png")
        browser.close()


def _upload(page: Any, path: Path) -> None:
    with page.expect_file_chooser() as chooser:
        page.locator("button.widget-upload").click()
    chooser.value.set_files(path)
    page.locator("button.widget-upload", has_text="(1)").wait_for()


def _pixels(picture: Any) -> np.ndarray:
    """What the browser shows, as int (H, W, 3)."""
    return np.asarray(Image.open(io.BytesIO(picture.screenshot())).convert("RGB")).astype(int)


def _colorfulness(pixels: np.ndarray) -> float:
    return float(np.ptp(pixels, axis=2).mean())


def test_a_photo_is_colored_in_the_browser(
    lab: str, page: Any, shots: Path, tmp_path: Path
) -> None:
    page.goto(lab)
    page.locator(".jp-Notebook .jp-CodeCell").wait_for()
    # What is run before there is a kernel is dropped.
    page.get_by_text("| Idle").wait_for()
    page.locator(".lm-MenuBar-itemLabel", has_text=re.compile("^Run$")).click()
    page.locator(".lm-Menu-itemLabel", has_text=re.compile("^Run All Cells$")).click()
    button = page.get_by_role("button", name="Color it")
    button.wait_for()
    pictures = page.locator("img.widget-image:visible")

    _upload(page, tmp_path / "letter.jpg")
    button.click()
    page.get_by_text("letter.jpg: expected an image").wait_for()
    assert pictures.count() == 0

    _upload(page, tmp_path / "old.jpg")
    button.click()
    link = page.get_by_role("link", name="Download old-color.jpg")
    link.wait_for()
    assert page.get_by_text("expected an image").count() == 0
    assert pictures.count() == 2
    before, after = pictures.nth(0), pictures.nth(1)
    assert before.bounding_box()["y"] == after.bounding_box()["y"], "they are not side by side"
    page.screenshot(path=shots / "demo.png")
    assert _colorfulness(_pixels(before)) < 1
    assert _colorfulness(_pixels(after)) > 10

    with page.expect_download() as download:
        link.click()
    assert download.value.suggested_filename == "old-color.jpg"
    download.value.save_as(tmp_path / "old-color.jpg")
    with Image.open(tmp_path / "old-color.jpg") as colored, Image.open(tmp_path / "old.jpg") as old:
        assert colored.format == "JPEG" and colored.size == old.size
        lightness = np.asarray(colored.convert("L")).astype(int) - np.asarray(old)
        assert _colorfulness(np.asarray(colored).astype(int)) > 10
    # A JPEG rounds; the picture is still the one that was uploaded.
    assert np.abs(lightness).mean() < 3

    # Another setting, through the page: without saturation nothing is left of the color.
    slider = page.locator(".widget-slider", has_text="Saturation").locator(".widget-readout")
    slider.fill("0")
    slider.press("Enter")
    button.click()
    page.wait_for_function(
        "old => document.querySelector('a[download]')?.href !== old && "
        "document.querySelector('a[download]')",
        arg=link.get_attribute("href"),
    )
    assert _colorfulness(_pixels(after)) < 3
