"""The Python of README.md and docs/library.md runs as it stands, from top to bottom."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import skimage.data
import torch
from PIL import Image

ROOT = Path(__file__).parents[1]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a photo, and photos to train on, one of them grey."""
    photo = skimage.data.chelsea()
    Image.fromarray(photo[:96, :128]).save(tmp_path / "photo.jpg")
    (tmp_path / "photos").mkdir()
    rng = np.random.default_rng(0)
    for i in range(48):
        top, left = rng.integers(0, 200), rng.integers(0, 300)
        Image.fromarray(photo[top : top + 90, left : left + 120]).save(
            tmp_path / "photos" / f"{i}.png"
        )
    Image.fromarray(photo[..., 0]).save(tmp_path / "photos" / "grey.png")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLORIZE_HOME", str(tmp_path / "home"))
    return tmp_path


def _blocks(document: str) -> list[str]:
    text = (ROOT / document).read_text(encoding="utf-8")
    return re.findall(r"^```python\n(.*?)^```", text, re.M | re.S)


@pytest.mark.parametrize("document", ["README.md", "docs/library.md"])
def test_the_python_of_the_document_runs(document: str, folder: Path) -> None:
    threads = torch.get_num_threads()
    namespace: dict[str, object] = {}
    blocks = _blocks(document)
    assert len(blocks) >= 2
    for block in blocks:
        exec(compile(block, document, "exec"), namespace)
    torch.set_num_threads(threads)


def test_links_lead_somewhere() -> None:
    for document in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")):
        text = document.read_text(encoding="utf-8")
        for target in re.findall(r"\]\((?!http|#)([^)#]+)", text):
            assert (document.parent / target).exists(), f"{document.name}: {target}"
