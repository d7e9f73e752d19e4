"""Arguments that are images: what their values mean, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from helpers.images import noise
from PIL import Image

from colorize.errors import ImageError
from colorize.models import SimplifiedModel
from colorize.photo.colorize import colorize_image
from colorize.photo.image import InputImage
from colorize.photo.prediction import predict

CPU = torch.device("cpu")
GREY = noise(6, 8)


def lightness(image: Any) -> torch.Tensor:
    return torch.cat([band for _, band in InputImage(image, CPU).bands()], 2)


def test_a_file_of_16_bits_is_the_array_that_it_holds(tmp_path: Path) -> None:
    deep = noise(40, 50, dtype=np.uint16)
    tifffile.imwrite(tmp_path / "deep.tif", deep)
    torch.testing.assert_close(lightness(tmp_path / "deep.tif"), lightness(deep), rtol=0, atol=0)


def test_a_cut_file_and_a_large_one_are_taken_on_demand(tmp_path: Path) -> None:
    path = tmp_path / "cut.jpg"
    Image.fromarray(noise(64, 80)).save(path, quality=95)
    path.write_bytes(path.read_bytes()[:-300])
    for options in ({}, {"truncated": True, "max_pixels": 64 * 80 - 1}):
        with pytest.raises(ImageError):
            predict(path, SimplifiedModel(), **options)
    predicted = predict(path, SimplifiedModel(), truncated=True, max_pixels=64 * 80)
    predicted.save(tmp_path / "whole.png")
    colored = colorize_image(path, SimplifiedModel(), truncated=True)
    assert colored.shape == np.asarray(Image.open(tmp_path / "whole.png")).shape == (64, 80, 3)


def test_arrays_that_mean_the_same() -> None:
    expected = lightness(GREY)
    same = {
        "other byte order": GREY.astype(">u2") * 257,
        "floats of the other order": (GREY / 255).astype(">f4"),
        "nothing masked": np.ma.array(GREY, mask=False),
        "a matrix": GREY.view(np.matrix),
        "beyond by rounding": np.where(GREY.max() == GREY, GREY / 255 + 1e-6, GREY / 255),
        "a file in memory": Image.fromarray(GREY),
    }
    for kind, image in same.items():
        np.testing.assert_allclose(lightness(image), expected, atol=2e-3, err_msg=kind)


def _nan() -> np.ndarray:
    floats = GREY / 255
    floats[2, 5] = np.nan
    return floats


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.ma.masked_greater(GREY, 100), "masked"),
        (_nan(), "row 2, column 5"),
        (GREY / 100, r"0\.\.1"),
        (GREY.astype(np.int16), "uint16"),
        (np.moveaxis(noise(6, 8, 3), -1, 0), "transpose"),
        (torch.zeros(2, 3, 6, 8), r"\(2, 3, 6, 8\).*list\(batch\)"),
        (torch.zeros(6, 8, 3), "movedim"),
        (torch.zeros(6, 8).to_sparse(), "to_dense"),
        (torch.zeros(3, 6, 8, device="meta"), "meta"),
        (torch.nested.nested_tensor([torch.zeros(6, 8)]), "unbind"),
        ("", "empty"),
        (GREY.tolist(), "array.*list"),
        (None, "array.*NoneType"),
    ],
)
def test_what_has_no_known_meaning_is_refused(image: Any, message: str) -> None:
    with pytest.raises(ImageError, match=message):
        InputImage(image, CPU)
