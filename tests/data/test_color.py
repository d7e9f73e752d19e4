"""Color spaces of files against closed forms: what a file declares is what is decoded."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
import pytest
import skimage.color
import tifffile
from helpers.icc import (
    ADOBE,
    SRGB,
    cmyk_profile,
    exif_of_adobe_rgb,
    grey_profile,
    profile,
    rgb_profile,
    with_chunks,
)
from helpers.images import encode, grey3, noise
from PIL import Image, features

from colorize.data.dataset import ColorizationDataset
from colorize.data.decode import decode, decode_over_white, decode_rgb

# Linear light of P3 (D65) to that of sRGB, as published with CSS Color 4.
P3_TO_SRGB = np.array(
    (
        (1.2249401762805598, -0.22494017628055996, 0.0),
        (-0.042056954709688163, 1.0420569547096881, 0.0),
        (-0.019637554590334432, -0.078636045550631889, 1.0982736001409663),
    )
)
ADOBE_TO_SRGB = np.linalg.inv(np.array(SRGB).T) @ np.array(ADOBE).T


def encoded(linear: np.ndarray) -> np.ndarray:
    linear = np.clip(linear, 0, 1)
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


def linear(levels: np.ndarray) -> np.ndarray:
    return np.where(levels <= 0.04045, levels / 12.92, ((levels + 0.055) / 1.055) ** 2.4)


def soft(shape: tuple[int, int] = (20, 30)) -> np.ndarray:
    """Colors that all of the spaces hold, 8 bits."""
    return (noise(*shape, 3) * 0.4 + 90).astype(np.uint8)


def chrm(*values: float) -> bytes:
    return struct.pack(">8I", *(round(value * 100_000) for value in values))


OF_SRGB = chrm(0.3127, 0.3290, 0.64, 0.33, 0.30, 0.60, 0.15, 0.06)
OF_ADOBE = chrm(0.3127, 0.3290, 0.64, 0.33, 0.21, 0.71, 0.15, 0.06)


def gama(exponent: float) -> bytes:
    return struct.pack(">I", round(exponent * 100_000))


PLAIN = np.eye(3)
CHUNKS = {
    "linear": ({b"gAMA": gama(1)}, PLAIN, 1.0),
    "gamma 1.8": ({b"gAMA": gama(1 / 1.8)}, PLAIN, 1.8),
    "Adobe RGB": ({b"gAMA": gama(256 / 563), b"cHRM": OF_ADOBE}, ADOBE_TO_SRGB, 563 / 256),
    "primaries alone": ({b"cHRM": OF_ADOBE}, ADOBE_TO_SRGB, None),
    "P3": ({b"cICP": bytes((12, 13, 0, 1))}, P3_TO_SRGB, None),
    "cICP above all": (
        {b"cICP": bytes((12, 13, 0, 1)), b"sRGB": b"\0", b"gAMA": gama(1)},
        P3_TO_SRGB,
        None,
    ),
}


@pytest.mark.parametrize("case", CHUNKS)
def test_chunks_of_a_png(case: str) -> None:
    chunks, matrix, gamma = CHUNKS[case]
    rgb = soft()
    levels = rgb / 255
    light = linear(levels) if gamma is None else levels**gamma
    decoded = decode(with_chunks(encode(rgb, "PNG"), chunks), "x")
    assert np.abs(decoded.rgb - 255 * encoded(light @ matrix.T)).max() < 0.6
    assert decoded.icc is not None and not decoded.notes
    grey = rgb[..., 0]
    decoded = decode(with_chunks(encode(grey, "PNG"), chunks), "x")
    assert np.abs(decoded.rgb - 255 * encoded(grey3(light[..., 0]))).max() < 0.6


@pytest.mark.parametrize(
    "chunks",
    [
        {b"sRGB": b"\0", b"gAMA": gama(1), b"cHRM": OF_ADOBE},
        {b"gAMA": struct.pack(">I", 45455), b"cHRM": OF_SRGB},
        {b"gAMA": struct.pack(">I", 45455)},
        {b"cICP": bytes((1, 13, 0, 1)), b"gAMA": gama(1)},
    ],
)
def test_chunks_that_mean_srgb_leave_the_pixels_alone(chunks: dict[bytes, bytes]) -> None:
    rgb = noise(9, 8, 3)
    np.testing.assert_array_equal(decode(with_chunks(encode(rgb, "PNG"), chunks), "x").rgb, rgb)


def test_chunks_that_mean_nothing_are_told() -> None:
    rgb = noise(9, 8, 3)
    for chunk in ({b"gAMA": bytes(4)}, {b"cHRM": bytes(32)}, {b"cICP": bytes((9, 16, 0, 1))}):
        decoded = decode(with_chunks(encode(rgb, "PNG"), chunk), "x")
        np.testing.assert_array_equal(decoded.rgb, rgb)
        assert len(decoded.notes) == 1
        with pytest.warns(UserWarning, match="x: its"):
            decode_rgb(with_chunks(encode(rgb, "PNG"), chunk), "x")


def test_adobe_rgb_by_the_exif_of_a_camera() -> None:
    rgb = soft((16, 16))
    raw = encode(rgb, "PNG", exif=exif_of_adobe_rgb())
    expected = 255 * encoded((rgb / 255) ** (563 / 256) @ ADOBE_TO_SRGB.T)
    assert np.abs(decode(raw, "x").rgb - expected).max() < 0.6
    uncalibrated = encode(rgb, "PNG", exif=exif_of_adobe_rgb().replace(b"R03", b"R98"))
    np.testing.assert_array_equal(decode(uncalibrated, "x").rgb, rgb)


@pytest.mark.skipif(not features.check("avif"), reason="this Pillow has no AVIF")
def test_an_avif_declares_its_space_by_numbers() -> None:
    raw = encode(soft((32, 32)), "AVIF", quality=100, subsampling="4:4:4")
    place = raw.index(b"colrnclx") + 8
    p3 = raw[:place] + struct.pack(">HH", 12, 13) + raw[place + 4 :]
    plain = decode(raw, "x").rgb
    expected = 255 * encoded(linear(plain / 255) @ P3_TO_SRGB.T)
    assert np.abs(decode(p3, "x").rgb - expected).max() < 0.6
    assert np.abs(expected - plain).max() > 3


def test_the_profile_of_a_jpeg_2000() -> None:
    rgb, icc = soft(), rgb_profile(ADOBE, 2.2)
    raw = encode(rgb, "JPEG2000")
    start, place = raw.index(b"jp2h") - 4, raw.index(b"colr") - 4
    size = 11 + len(icc)
    outer, inner = (struct.unpack_from(">I", raw, at)[0] for at in (start, place))
    boxes = struct.pack(">I", outer - inner + size) + raw[start + 4 : place]
    boxes += struct.pack(">I4sBBB", size, b"colr", 2, 0, 0) + icc
    decoded = decode(raw[:start] + boxes + raw[place + inner :], "x")
    assert np.abs(decoded.rgb - 255 * encoded((rgb / 255) ** 2.2 @ ADOBE_TO_SRGB.T)).max() < 0.6


def test_every_way_in_gives_the_same(tmp_path: Path) -> None:
    rgb = np.kron(noise(8, 8, 3, seed=3) // 2 + 60, np.ones((8, 8, 1), np.uint8))
    place = tmp_path / "photos" / "a"
    place.mkdir(parents=True)
    path = place / "p.jpg"
    path.write_bytes(encode(rgb, "JPEG", quality=100, icc_profile=rgb_profile(ADOBE, 2.2)))
    decoded = decode(path, "p").rgb
    stored = np.asarray(Image.open(path)) / 255
    assert np.abs(decoded - 255 * encoded(stored**2.2 @ ADOBE_TO_SRGB.T)).max() < 2.5
    data = ColorizationDataset(tmp_path / "photos", 64)
    for other in (
        decode_rgb(path, "p"),
        decode_over_white(path, "p"),
        decode_rgb(Image.open(path), "p"),
        data.image(0),
        data[0]["rgb"].permute(1, 2, 0),
    ):
        np.testing.assert_array_equal(other, decoded)


# --- 16 bits -----------------------------------------------------------------------------------


def tiff16(pixels: np.ndarray, icc: bytes, **options: object) -> bytes:
    file = io.BytesIO()
    kind = "rgb" if pixels.ndim == 3 else "minisblack"
    tifffile.imwrite(file, pixels, photometric=kind, iccprofile=icc, **options)
    return file.getvalue()


def test_a_linear_scan_keeps_its_16_bits_through_the_profile() -> None:
    grey = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    expected = 65535 * encoded(grey / 65535)
    raw = tiff16(grey, grey_profile(1.0))
    decoded = decode(raw, "x", depth=16).pixels
    assert decoded.dtype == np.uint16 and np.abs(decoded[..., 0] - expected).max() <= 1
    assert np.abs(decode(raw, "x").rgb[..., 0] - expected / 257).max() < 0.51
    rgb = np.stack((grey, grey.T, grey[::-1]), -1)
    decoded = decode(tiff16(rgb, rgb_profile(SRGB, 1.0)), "x", depth=16).pixels
    # The published columns are rounded. With 8 bits dark levels would be off by thousands.
    assert np.abs(decoded - 65535 * encoded(rgb / 65535)).max() < 200


@pytest.mark.parametrize("kind", [0, 3])
def test_parametric_curves(kind: int) -> None:
    numbers = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045) if kind == 3 else (1.8,)
    fixed = struct.pack(f">{len(numbers)}i", *(round(n * 65536) for n in numbers))
    curve = b"para\0\0\0\0" + struct.pack(">HH", kind, 0) + fixed
    grey = np.arange(0, 65536, 16, dtype=np.uint16).reshape(64, 64)
    decoded = decode(tiff16(grey, profile(b"GRAY", {b"kTRC": curve})), "x", depth=16).pixels
    if kind == 3:
        np.testing.assert_array_equal(decoded[..., 0], grey)  # sRGB by another name
    else:
        assert np.abs(decoded[..., 0] - 65535 * encoded((grey / 65535) ** 1.8)).max() <= 4


def test_a_profile_of_tables_is_applied_to_8_bits_and_told() -> None:
    grey = noise(5, 6, dtype=np.uint16)
    for icc in (cmyk_profile(), b"\0" * 200):
        decoded = decode(tiff16(grey, icc), "x", depth=16)
        np.testing.assert_array_equal(decoded.pixels[..., 0], grey)
        assert len(decoded.notes) == 1 and decoded.icc is None


# --- which pixels a profile fits -----------------------------------------------------------------


def test_a_grey_profile_fits_rgb_whose_pixels_are_grey() -> None:
    grey = noise(9, 8)
    raw = encode(grey3(grey), "PNG", icc_profile=grey_profile(1.8))
    exact = round(1.8 * 256) / 256
    assert np.abs(decode(raw, "x").rgb[..., 0] - 255 * encoded((grey / 255) ** exact)).max() < 0.6
    colored = grey3(grey)
    colored[2, 3] = 1, 2, 3
    decoded = decode(encode(colored, "PNG", icc_profile=grey_profile(1.8)), "x")
    np.testing.assert_array_equal(decoded.rgb, colored)
    assert "does not fit" in decoded.notes[0]


def test_a_color_space_that_is_no_ascii_is_told() -> None:
    rgb = noise(9, 8, 3)
    broken = rgb_profile(SRGB, 1.0).replace(b"RGB ", b"\xff\xfe\x80 ", 1)
    decoded = decode(encode(rgb, "PNG", icc_profile=broken), "x")
    np.testing.assert_array_equal(decoded.rgb, rgb)
    assert len(decoded.notes) == 1


def test_cmyk_of_a_jpeg_is_inverted_by_adobes_marker() -> None:
    inks = np.full((16, 16, 4), (200, 30, 90, 40), np.uint8)
    plain = (255 - inks[..., :3].astype(float)) * (255 - inks[..., 3:]) / 255
    # Pillow writes inks inverted, as Adobe does, with the marker.
    marked = encode(Image.fromarray(inks, "CMYK"), "JPEG", quality=100)
    inverted = encode(Image.fromarray(255 - inks, "CMYK"), "JPEG", quality=100)
    start = inverted.index(b"\xff\xee")
    (length,) = struct.unpack_from(">H", inverted, start + 2)
    without = inverted[:start] + inverted[start + 2 + length :]
    for raw in (marked, without):
        assert np.abs(decode(raw, "x").rgb - plain).max() < 4


def test_cielab() -> None:
    lightness = skimage.color.rgb2lab(grey3(np.arange(256, dtype=np.uint8).reshape(16, 16)))
    samples = np.rint(lightness * (2.55, 0, 0)).astype(np.uint8)
    file = io.BytesIO()
    tifffile.imwrite(file, samples, photometric="cielab")
    decoded = skimage.color.rgb2lab(decode(file.getvalue(), "x").rgb)
    assert np.abs(decoded - lightness).max() < 1
