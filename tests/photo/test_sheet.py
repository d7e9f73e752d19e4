"""The contact sheet: as many cells as settings, and the command that writes it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skimage.data
from helpers import tiny
from helpers.tiny import light as light
from PIL import Image

from colorize.cli import main
from colorize.errors import InputError
from colorize.models import EuclideanModel
from colorize.photo.metadata import read_made
from colorize.photo.sheet import sheet

pytestmark = pytest.mark.usefixtures("light")

PHOTO = skimage.data.astronaut()[:200, :300]


def test_each_setting_adds_its_cell() -> None:
    net = tiny.vivid_model()
    net.input_size = 32
    one = sheet(PHOTO, net, sizes=[32], temperatures=[1.0], samples=0)
    assert one.dtype == np.uint8 and one.shape[2] == 3
    wide = sheet(PHOTO, net, sizes=[32], temperatures=[1.0, 0.2, 0.2], samples=0)
    tall = sheet(PHOTO, net, sizes=[32, 48], temperatures=[1.0], samples=1)
    assert wide.shape[0] == one.shape[0] and wide.shape[1] > 1.5 * one.shape[1]
    assert tall.shape[1] == one.shape[1] and tall.shape[0] > 2.5 * one.shape[0]
    framed = np.pad(PHOTO, ((40, 40), (40, 40), (0, 0)))
    assert len(sheet(framed, net, sizes=[32], temperatures=[1.0], samples=0)) > 1.5 * len(one)
    # Larger than the photo are no further sizes.
    capped = sheet(PHOTO, net, sizes=[400, 500], temperatures=[1.0], samples=0)
    assert capped.shape == one.shape
    assert sheet(PHOTO, EuclideanModel(width=0.02), sizes=[32]).shape == one.shape
    wrong: list[dict[str, Any]] = [{"sizes": ["32"]}, {"sizes": []}, {"sizes": 32}, {"samples": -1}]
    for bad in (*wrong, {"temperatures": [-1]}, {"temperatures": 0.5}):
        with pytest.raises(InputError):
            sheet(PHOTO, net, **bad)


def test_the_command(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tiny.save_tiny(home / "CHECKPOINTS" / "photo.safetensors")
    monkeypatch.chdir(tmp_path)
    Image.fromarray(PHOTO).save("photo.png")
    command = ["sheet", "photo.png", "--sizes", "24", "--samples", "0", "--device", "cpu"]
    assert main(command) == 0 and main(command) == 1
    assert main([*command, "--overwrite"]) == 0
    with Image.open("photo-sheet.png") as written:
        assert written.width > 400
    assert read_made(Path("photo-sheet.png")) is not None
    before = Path("photo.png").read_bytes()
    assert main([*command, "--overwrite", "-o", "photo.png"]) == 1
    assert Path("photo.png").read_bytes() == before
    assert main([*command, "--overwrite", "-o", "."]) == 1
    assert "got the folder" in capsys.readouterr().err
    assert main(["sheet", "none.png"]) == 1 and "none.png" in capsys.readouterr().err
