"""Images that cannot be used: every one gets an ImageError that names it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import skimage.data
from helpers.images import encode, noise
from PIL import Image, features

from colorize.data.decode import decode_rgb
from colorize.errors import ImageError

BIG = np.ascontiguousarray(skimage.data.chelsea())


def damaged_avif() -> bytes:
    if not features.check("avif"):
        pytest.skip("this Pillow has no AVIF")
    raw = encode(BIG, "AVIF")
    start = raw.index(b"mdat") + 4
    return raw[:start] + bytes(len(raw) - start)


DAMAGED: dict[str, Callable[[], bytes]] = {
    "empty": lambda: b"",
    "text": lambda: b"<html>404 Not Found</html>" * 20,
    "cut jpeg": lambda: encode(BIG, "JPEG")[:5000],
    "cut png": lambda: encode(BIG, "PNG")[:5000],
    "cut gif": lambda: encode(BIG, "GIF")[:5000],
    "cut tiff": lambda: encode(BIG, "TIFF", compression="tiff_lzw")[:5000],
    "cut bmp": lambda: encode(BIG, "BMP")[:5000],
    "cut webp": lambda: encode(BIG, "WEBP")[:5000],
    "damaged avif": damaged_avif,
    "cut header": lambda: encode(BIG, "PNG")[:20],
    "flipped bits": lambda: encode(BIG, "PNG").replace(b"IDAT", b"IDAU", 1),
    "postscript": lambda: encode(BIG, "EPS"),
    "float tiff": lambda: encode(BIG[..., 0].astype(np.float32) / 255, "TIFF"),
    "lab tiff": lambda: encode(Image.new("LAB", (8, 8)), "TIFF"),
    "32-bit tiff": lambda: encode(BIG[..., 0].astype(np.int32) * 1000, "TIFF"),
    "negative tiff": lambda: encode(BIG[..., 0].astype(np.int32) - 100, "TIFF"),
}


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
@pytest.mark.parametrize("damage", DAMAGED)
def test_what_cannot_be_used_is_named(damage: str, tmp_path: Path) -> None:
    raw = DAMAGED[damage]()
    path = tmp_path / "file.jpg"
    path.write_bytes(raw)
    for source in (raw, path):
        with pytest.raises(ImageError, match=r"^my cat: expected .*, got") as caught:
            decode_rgb(source, "my cat")
    wanted = {"float tiff": "floating point", "empty": "0 bytes", "32-bit tiff": "2000..215000"}
    assert wanted.get(damage, "expected") in str(caught.value)


def test_bad_sources_are_named(tmp_path: Path) -> None:
    (tmp_path / "folder.jpg").mkdir()
    for source in (tmp_path / "no.jpg", tmp_path / "folder.jpg", 3, None, Image.new("RGB", (0, 4))):
        with pytest.raises(ImageError, match=r"^a cat: expected"):
            decode_rgb(source, "a cat")  # type: ignore[arg-type]


def test_decompression_bomb(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = encode(np.zeros((200, 200, 3), np.uint8), "PNG")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10_000)
    with pytest.raises(ImageError, match=r"^x: expected an image of ordinary size, got.*40000"):
        decode_rgb(raw, "x")


def test_a_sliver_is_not_enlarged_to_gigabytes() -> None:
    with pytest.raises(ImageError, match=r"^x: expected an image that can be enlarged.*5000x1"):
        decode_rgb(encode(noise(1, 5000, 3), "PNG"), "x", at_least=256)
