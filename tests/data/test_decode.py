"""decode_rgb against expectations worked out with numpy, is_grey against scikit-image."""

from __future__ import annotations

import io
import struct
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skimage.data
import tifffile
from helpers.icc import SRGB, grey_profile, png_chunk, rgb_profile, with_chunks
from helpers.images import encode, grey3, noise
from PIL import ExifTags, Image, ImageCms, features
from PIL.PngImagePlugin import PngInfo
from skimage.color import rgb2lab

from colorize.data.decode import decode, decode_rgb
from colorize.data.grey import is_grey
from colorize.errors import ImageError


def over_white(color: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    weight = alpha[..., None] / 255.0
    return color * weight + 255 * (1 - weight)


def close(decoded: np.ndarray, expected: np.ndarray, within: float) -> bool:
    assert decoded.dtype == np.uint8 and decoded.shape == expected.shape
    return float(np.abs(decoded - expected.astype(float)).max()) <= within


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "PPM", "TGA", "PCX", "SGI"])
def test_color_grey_and_black_and_white_are_exact(kind: str) -> None:
    rgb, grey = noise(7, 5, 3), noise(7, 5)
    np.testing.assert_array_equal(decode_rgb(encode(rgb, kind), "x"), rgb)
    np.testing.assert_array_equal(decode_rgb(encode(grey, kind), "x"), grey3(grey))
    if kind == "SGI":
        return  # which has no black and white
    bits = encode(Image.fromarray(grey > 127), kind)
    np.testing.assert_array_equal(decode_rgb(bits, "x"), grey3(np.where(grey > 127, 255, 0)))


def test_every_way_to_hand_over_an_image(tmp_path: Path) -> None:
    rgb = noise(7, 5, 3)
    path = tmp_path / "a.png"
    path.write_bytes(encode(rgb, "PNG"))
    held = Image.fromarray(rgb)
    with path.open("rb") as file:
        for source in (path, str(path), path.read_bytes(), file, held, Image.open(path)):
            decoded = decode_rgb(source, "a.png")
            np.testing.assert_array_equal(decoded, rgb)
            decoded[:] = 0
        assert not file.closed
    np.testing.assert_array_equal(np.asarray(held), rgb)


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
def test_alpha_is_laid_over_white(kind: str) -> None:
    rgba = noise(9, 8, 4)
    rgba[0, :3, 3] = 0, 255, 128
    options = {"lossless": True, "exact": True} if kind == "WEBP" else {}
    decoded = decode_rgb(encode(rgba, kind, **options), "x")
    assert close(decoded, over_white(rgba[..., :3], rgba[..., 3]), 1)
    assert tuple(decoded[0, 0]) == (255, 255, 255)
    if kind != "WEBP":
        decoded = decode_rgb(encode(np.ascontiguousarray(rgba[..., 2:]), kind), "x")
        assert close(decoded, over_white(grey3(rgba[..., 2]), rgba[..., 3]), 1)


def palette_image() -> tuple[Image.Image, np.ndarray, np.ndarray]:
    """Image of mode P, its palette (16, 3), and its indices."""
    palette, index = noise(16, 3, seed=1), noise(6, 9) % 16
    image = Image.new("P", (9, 6))
    image.putdata(index.flatten().tolist())
    image.putpalette(palette.flatten().tolist())
    return image, palette, index


def test_palette() -> None:
    image, palette, index = palette_image()
    for kind in ("PNG", "GIF", "BMP", "TIFF"):
        np.testing.assert_array_equal(decode_rgb(encode(image, kind), "x"), palette[index])


def test_palette_with_transparency() -> None:
    image, palette, index = palette_image()
    for kind in ("PNG", "GIF"):
        one = np.where((index == 3)[..., None], 255, palette[index])
        decoded = decode_rgb(encode(image, kind, transparency=3), "x")
        np.testing.assert_array_equal(decoded, one)
    alpha = noise(16, seed=2)
    decoded = decode_rgb(encode(image, "PNG", transparency=alpha.tobytes()), "x")
    assert close(decoded, over_white(palette[index], alpha[index]), 1)
    decoded = decode_rgb(image.convert("PA"), "x")
    np.testing.assert_array_equal(decoded, palette[index])


@pytest.mark.parametrize("kind", ["RGB", "L", "I;16"])
def test_one_transparent_color(kind: str) -> None:
    if kind == "RGB":
        pixels = noise(5, 6, 3)
        key, expected = tuple(int(v) for v in pixels[2, 3]), pixels.copy()
    elif kind == "L":
        pixels = noise(5, 6)
        key, expected = int(pixels[2, 3]), grey3(pixels)
    else:
        pixels = noise(5, 6, dtype=np.uint16)
        key, expected = int(pixels[2, 3]), grey3(np.rint(pixels / 257))
    expected[2, 3] = 255
    decoded = decode_rgb(encode(pixels, "PNG", transparency=key), "x")
    np.testing.assert_array_equal(decoded, expected)


def plain_cmyk(cmyk: tuple[int, ...]) -> np.ndarray:
    c, m, y, k = (value / 255 for value in cmyk)
    return 255 * np.array([(1 - c) * (1 - k), (1 - m) * (1 - k), (1 - y) * (1 - k)])


@pytest.mark.parametrize("cmyk", [(0, 0, 0, 0), (200, 30, 90, 40), (10, 220, 130, 100)])
def test_cmyk(cmyk: tuple[int, int, int, int]) -> None:
    image = Image.new("CMYK", (16, 16), cmyk)
    expected = np.broadcast_to(plain_cmyk(cmyk), (16, 16, 3))
    assert close(decode_rgb(encode(image, "TIFF"), "x"), expected, 2)
    assert close(decode_rgb(encode(image, "JPEG", quality=100), "x"), expected, 3)


@pytest.mark.parametrize("cmyk", [(200, 30, 90, 40), (10, 220, 130, 100)])
def test_ycck_jpeg(cmyk: tuple[int, int, int, int]) -> None:
    # Adobe inverts all four inks and libjpeg's YCCK inverts the first three again: YCbCr of CMY as
    # if it were RGB, and 255 - K. Pillow writes plain inverted CMYK only: give it planes that hold
    # YCCK already, and let the Adobe marker say so (2 in its last byte).
    r, g, b = cmyk[:3]
    y = 0.299 * r + 0.587 * g + 0.114 * b
    planes = (y, 128 + (b - y) / 1.772, 128 + (r - y) / 1.402, 255 - cmyk[3])
    stored = Image.new("CMYK", (16, 16), tuple(255 - round(v) for v in planes))
    raw = encode(stored, "JPEG", quality=100)
    end = raw.index(b"Adobe") + len(b"Adobe") + 6
    assert raw[end] == 0
    decoded = decode_rgb(raw[:end] + b"\x02" + raw[end + 1 :], "x")
    assert close(decoded, np.broadcast_to(plain_cmyk(cmyk), (16, 16, 3)), 4)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_16_bit_grey_is_scaled_not_cut(kind: str) -> None:
    grey = noise(20, 30, dtype=np.uint16)
    grey[0, :4] = 0, 128, 129, 65535
    decoded = decode_rgb(encode(grey, kind), "x")
    np.testing.assert_array_equal(decoded, grey3(np.rint(grey / 257)))
    as_int32 = Image.fromarray(grey.astype(np.int32))
    assert as_int32.mode == "I"
    np.testing.assert_array_equal(decode_rgb(as_int32, "x"), grey3(np.rint(grey / 257)))


def tiff(samples: bytes, shape: tuple[int, int], bits: int, *, white_is_zero: bool) -> bytes:
    """A TIFF written by hand: uncompressed grey, little-endian, one strip."""
    height, width = shape
    tags = {256: width, 257: height, 258: bits, 259: 1, 262: int(not white_is_zero)}
    tags |= {273: 8, 277: 1, 278: height, 279: len(samples)}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    directory = struct.pack("<H", len(tags)) + entries + bytes(4)
    return struct.pack("<2sHI", b"II", 42, 8 + len(samples)) + samples + directory


def test_tiff_with_white_as_zero_and_12_bits() -> None:
    grey = noise(4, 6, dtype=np.uint16)
    inverted = tiff(grey.astype("<u2").tobytes(), (4, 6), 16, white_is_zero=True)
    np.testing.assert_array_equal(decode_rgb(inverted, "x"), grey3(np.rint(255 - grey / 257)))
    small = grey >> 4
    bits = np.unpackbits(small.astype(">u2").view(np.uint8).reshape(-1, 2), axis=1)[:, 4:]
    packed = tiff(np.packbits(bits).tobytes(), (4, 6), 12, white_is_zero=False)
    np.testing.assert_array_equal(decode_rgb(packed, "x"), grey3(np.rint(small / 4095 * 255)))


def png16(pixels: np.ndarray, more: bytes = b"") -> bytes:
    """A PNG of 16 bits a channel, written by hand: Pillow writes only grey ones."""
    height, width, channels = pixels.shape
    kind = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    header = struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, 0)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    body = png_chunk(b"IHDR", header) + more + png_chunk(b"IDAT", zlib.compress(rows))
    return b"\x89PNG\r\n\x1a\n" + body + png_chunk(b"IEND", b"")


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_16_bits_of_a_png(channels: int) -> None:
    pixels = noise(5, 6, channels, dtype=np.uint16)
    color, alpha = (pixels, None) if channels % 2 else (pixels[..., :-1], pixels[..., -1])
    deep = decode(png16(pixels), "x", depth=16)
    np.testing.assert_array_equal(deep.pixels, color)
    np.testing.assert_array_equal(deep.alpha, alpha)
    shallow = decode(png16(pixels), "x")
    np.testing.assert_array_equal(shallow.rgb, np.broadcast_to(np.rint(color / 257), (5, 6, 3)))
    expected = color / 257 if alpha is None else over_white(color / 257, alpha / 257)
    assert close(decode_rgb(png16(pixels), "x"), np.broadcast_to(expected, (5, 6, 3)), 1)


@pytest.mark.parametrize("mode", ["La", "RGBa", "LAB", "HSV", "YCbCr", "RGBX"])
def test_modes_that_only_pillow_has(mode: str) -> None:
    rgb = grey3(np.arange(256, dtype=np.uint8).reshape(16, 16))
    image = Image.fromarray(rgb)
    if mode == "LAB":
        image = ImageCms.profileToProfile(
            image, ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), outputMode="LAB"
        )
    for step in {"La": ("LA",), "RGBa": ("RGBA",)}.get(mode, ()):
        image = image.convert(step)
    decoded = decode(image if mode == "LAB" else image.convert(mode), "x")
    assert not decoded.notes and close(decoded.rgb, rgb, 2)


def test_16_bits_with_a_transparent_color() -> None:
    pixels = noise(5, 6, 3, dtype=np.uint16)
    pixels[1, 1] = pixels[2, 3] ^ 1  # the same color in 8 bits
    key = png_chunk(b"tRNS", pixels[2, 3].astype(">u2").tobytes())
    decoded = decode(png16(pixels, key), "x", depth=16)
    np.testing.assert_array_equal(decoded.pixels, pixels)
    assert decoded.alpha is not None and np.argwhere(decoded.alpha == 0).tolist() == [[2, 3]]


TIFFS: dict[str, dict[str, Any]] = {
    "grey": {"photometric": "minisblack"},
    "white is zero": {"photometric": "miniswhite"},
    "color": {"photometric": "rgb", "byteorder": ">", "compression": "zlib", "predictor": True},
    "planes": {"photometric": "rgb", "planarconfig": "separate"},
    "grey and alpha": {"photometric": "minisblack", "extrasamples": ["unassalpha"]},
    "color and alpha": {"photometric": "rgb", "extrasamples": ["unassalpha"]},
    "premultiplied": {"photometric": "rgb", "extrasamples": ["assocalpha"]},
    "something else": {"photometric": "rgb", "extrasamples": ["unspecified"]},
}


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("case", TIFFS)
def test_tiffs_of_8_and_16_bits(case: str, dtype: Any) -> None:
    options = TIFFS[case]
    color, extra = 3 if options["photometric"] == "rgb" else 1, len(options.get("extrasamples", ""))
    pixels = noise(20, 30, color + extra, dtype=dtype)
    expected, top = pixels[..., :color], np.iinfo(dtype).max
    stored = np.moveaxis(pixels, -1, 0) if "planarconfig" in options else pixels.squeeze()
    if case == "white is zero":
        stored = top - stored
    if case == "premultiplied":
        pixels[..., 3] |= top // 2 + 1
        stored = pixels.copy()
        stored[..., :3] = np.rint(pixels[..., :3] * (pixels[..., 3:] / top))
    file = io.BytesIO()
    tifffile.imwrite(file, np.ascontiguousarray(stored), **options)
    decoded = decode(file.getvalue(), "x", depth=16)
    assert decoded.pixels.dtype == dtype
    apart = np.abs(decoded.pixels.astype(int) - expected)
    assert apart.max() <= (2 if case == "premultiplied" else 0)
    alpha = pixels[..., -1] if extra and case != "something else" else None
    np.testing.assert_array_equal(decoded.alpha, alpha)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("case", TIFFS)
def test_a_tiff_of_floats_is_read_like_that_of_16_bits(case: str, dtype: Any) -> None:
    options = TIFFS[case]
    color, extra = 3 if options["photometric"] == "rgb" else 1, len(options.get("extrasamples", ""))
    pixels = noise(20, 30, color + extra, dtype=np.uint16)
    stored = np.moveaxis(pixels, -1, 0) if "planarconfig" in options else pixels.squeeze()
    icc = rgb_profile(SRGB, 1.0) if color == 3 else grey_profile(1.0)
    for declared in ({}, {"iccprofile": icc}):
        whole, floats = (
            decode(written(np.ascontiguousarray(array), **options, **declared), "x", depth=16)
            for array in (stored, (stored / 65535).astype(dtype))
        )
        np.testing.assert_array_equal(floats.pixels, whole.pixels)
        np.testing.assert_array_equal(floats.alpha, whole.alpha)
        assert whole.notes == () and bool(floats.notes) is not bool(declared)


WEBP_TIFF = {"compression": "webp", "compressionargs": {"lossless": True}}


@pytest.mark.parametrize("options", [{"planarconfig": "separate"}, WEBP_TIFF])
def test_a_tiff_that_pillow_cannot_read_names_the_package_that_can(
    options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    planes = "planarconfig" in options
    pixels = noise(20, 30, 3, dtype=np.uint16 if planes else np.uint8)
    stored = np.moveaxis(pixels, -1, 0) if planes else pixels
    raw = written(np.ascontiguousarray(stored), photometric="rgb", **options)
    np.testing.assert_array_equal(decode(raw, "x", depth=16).pixels, pixels)

    def fail(page: object) -> np.ndarray:
        raise MemoryError

    with monkeypatch.context() as patched, pytest.raises(MemoryError):  # no fault of the file
        patched.setattr(tifffile.TiffPage, "asarray", fail)
        decode(raw, "x")
    monkeypatch.setitem(sys.modules, "tifffile", None)
    with pytest.raises(ImageError, match="pip install tifffile"):
        decode(raw, "x")


def test_the_page_is_taken_that_is_no_reduced_copy() -> None:
    rgb, file = noise(20, 30, 3), io.BytesIO()
    with tifffile.TiffWriter(file) as writer:
        writer.write(rgb[::4, ::4], photometric="rgb", subfiletype=1)
        writer.write(rgb, photometric="rgb")
    decoded = decode(file.getvalue(), "x")
    np.testing.assert_array_equal(decoded.rgb, rgb)
    assert len(decoded.notes) == 1 and "page 2" in decoded.notes[0]
    np.testing.assert_array_equal(decode_rgb(file.getvalue(), "x"), rgb)
    alone = decode(written(rgb, photometric="rgb", subfiletype=1), "x")
    np.testing.assert_array_equal(alone.rgb, rgb)
    assert len(alone.notes) == 1


# EXIF 2.3, tag 274: on which side of the picture the stored first row and first column lie.
SIDES = {
    1: ("top", "left"),
    2: ("top", "right"),
    3: ("bottom", "right"),
    4: ("bottom", "left"),
    5: ("left", "top"),
    6: ("right", "top"),
    7: ("right", "bottom"),
    8: ("left", "bottom"),
}


def stored_as(upright: np.ndarray, orientation: int) -> np.ndarray:
    row, column = SIDES[orientation]
    turned = upright.swapaxes(0, 1) if row in ("left", "right") else upright
    turned = turned[::-1] if row in ("bottom", "right") else turned
    return np.ascontiguousarray(turned[:, ::-1] if column in ("bottom", "right") else turned)


@pytest.mark.parametrize("orientation", SIDES)
@pytest.mark.parametrize("kind", ["PNG", "TIFF", "JPEG", "16-bit TIFF"])
def test_exif_orientation(kind: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[274] = orientation
    if kind == "JPEG":
        upright = np.zeros((32, 48, 3), np.uint8)
        upright[:16, :16] = 250, 40, 40
        upright[16:, :16] = 40, 40, 250
        raw = encode(stored_as(upright, orientation), kind, quality=95, subsampling=0, exif=exif)
        assert close(decode_rgb(raw, "x"), upright, 30)
    elif kind.startswith("16"):
        grey = noise(5, 8, dtype=np.uint16)
        raw = encode(stored_as(grey, orientation), kind.split()[1], exif=exif)
        np.testing.assert_array_equal(decode_rgb(raw, "x"), grey3(np.rint(grey / 257)))
    else:
        upright = noise(5, 8, 3)
        raw = encode(stored_as(upright, orientation), kind, exif=exif)
        np.testing.assert_array_equal(decode_rgb(raw, "x"), upright)
        np.testing.assert_array_equal(decode_rgb(Image.open(io.BytesIO(raw)), "x"), upright)


@pytest.mark.filterwarnings("ignore:Tag data larger than file")
def test_odd_exif_does_not_cost_the_image() -> None:
    exif = Image.Exif()
    exif[271], exif[274] = "maker", 6
    upright = noise(5, 8, 3)
    raw = encode(stored_as(upright, 6), "JPEG", quality=95, exif=exif)
    big, small = struct.pack(">HH", 271, 2), struct.pack("<HH", 271, 2)
    assert big in raw or small in raw
    # The maker's name now claims to be a fraction.
    broken = raw.replace(big, struct.pack(">HH", 271, 5)).replace(small, struct.pack("<HH", 271, 5))
    # Pillow before 13 reads no tag after the broken one, and does not turn the picture.
    assert decode_rgb(broken, "x").shape in {(5, 8, 3), (8, 5, 3)}


BIG = np.ascontiguousarray(skimage.data.chelsea())


@pytest.mark.parametrize(
    ("shape", "resize", "at_least", "expected"),
    [
        ((20, 40), None, 1, (20, 40)),
        ((20, 40), None, 30, (30, 60)),
        ((20, 40), 10, 8, (10, 20)),
        ((20, 40), 60, 8, (60, 120)),
        ((300, 451), 32, 32, (32, 48)),
    ],
)
def test_size(
    shape: tuple[int, int], resize: int | None, at_least: int, expected: tuple[int, int]
) -> None:
    for kind in ("PNG", "JPEG"):
        raw = encode(noise(*shape, 3), kind)
        assert decode_rgb(raw, "x", resize=resize, at_least=at_least).shape == (*expected, 3)


def test_reduction_is_antialiased_and_a_reduced_jpeg_like_the_whole() -> None:
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2] = 255
    reduced = decode_rgb(encode(stripes, "PNG"), "x", resize=16)
    assert np.abs(reduced[:, 2:-2].astype(int) - 127).max() <= 3
    smooth = Image.fromarray(BIG).resize((1600, 1200))
    raw = encode(smooth, "JPEG", quality=95)
    whole = Image.open(io.BytesIO(raw)).convert("RGB")
    # Means of 8x8 blocks, an independent way to reduce.
    blocks = np.asarray(whole, dtype=float).reshape(150, 8, 200, 8, 3).mean((1, 3))
    assert np.abs(decode_rgb(raw, "x", resize=150) - blocks).mean() < 1


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_orientation_of_xmp_alone_turns_nothing(kind: str) -> None:
    """No viewer turns by it; Pillow does."""
    packet = b'<rdf:Description tiff:Orientation="6"/>'
    text, tags, exif = PngInfo(), Image.Exif(), Image.Exif()
    text.add_itxt("XML:com.adobe.xmp", packet.decode())
    exif[ExifTags.Base.XResolution], tags[700] = 300.0, packet
    options = {"PNG": {"pnginfo": text}, "TIFF": {"exif": tags}}.get(kind, {"xmp": packet})
    for around in (options, {"exif": exif, **options}):
        raw = encode(BIG, kind, **around)
        assert b"Orientation" in raw
        assert decode(raw, "x").pixels.shape == decode_rgb(raw, "x").shape == BIG.shape


@pytest.mark.parametrize("orientation", [3, 6])
def test_an_uncompressed_tiff_is_turned_as_from_memory(tmp_path: Path, orientation: int) -> None:
    """Pillow maps such a file into memory, and would take the turned size for that of its rows."""
    rgb = np.random.default_rng(0).integers(0, 256, (12, 20, 3), dtype=np.uint8)
    path = tmp_path / "scan.tif"
    Image.fromarray(rgb).save(path, tiffinfo={274: orientation})
    found = decode_rgb(path, "scan.tif")
    np.testing.assert_array_equal(found, decode_rgb(path.read_bytes(), "scan.tif"))
    assert found.shape == ((12, 20, 3) if orientation < 5 else (20, 12, 3))
    assert sorted(found.reshape(-1, 3).tolist()) == sorted(rgb.reshape(-1, 3).tolist())


def damaged_avif() -> bytes:
    if not features.check("avif"):
        pytest.skip("this Pillow has no AVIF")
    raw = encode(BIG, "AVIF")
    start = raw.index(b"mdat") + 4
    return raw[:start] + bytes(len(raw) - start)


def written(array: np.ndarray, **options: Any) -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(file, array, **options)
    return file.getvalue()


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
    "float tiff": lambda: encode(BIG[..., 0].astype(np.float32), "TIFF"),
    "float tiff of color": lambda: written(BIG.astype(np.float32) / 200, photometric="rgb"),
    "float tiff with NaN": lambda: written(np.full((9, 9), np.nan, np.float32)),
    "32-bit tiff": lambda: encode(BIG[..., 0].astype(np.int32) * 1000, "TIFF"),
    "signed tiff": lambda: written(BIG[..., 0].astype(np.int16)),
    "signed tiff of 8 bits": lambda: written((BIG[..., 0] // 2).astype(np.int8)),
    "signed tiff of color": lambda: written((BIG // 2).astype(np.int8), photometric="rgb"),
    "negative tiff": lambda: encode(BIG[..., 0].astype(np.int32) - 100, "TIFF"),
}


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
@pytest.mark.parametrize("damage", DAMAGED)
def test_what_cannot_be_used_is_named(damage: str, tmp_path: Path) -> None:
    raw = DAMAGED[damage]()
    path = tmp_path / "file.jpg"
    path.write_bytes(raw)
    for source in (raw, path):
        with pytest.raises(ImageError, match=r"^my cat:"):
            decode_rgb(source, "my cat")


def test_bad_sources_are_named(tmp_path: Path) -> None:
    (tmp_path / "folder.jpg").mkdir()
    closed, empty = Image.new("RGB", (4, 4)), Image.new("RGB", (0, 4))
    closed.close()
    eight = Image.new("L", (4, 4), 200).convert("I")  # not what 16 bits mean
    paths = (tmp_path / "no.jpg", tmp_path / "folder.jpg")
    for source in (*paths, io.StringIO("text"), 3, None, empty, closed, eight):
        with pytest.raises(ImageError, match=r"^a cat:"):
            decode_rgb(source, "a cat")  # type: ignore[arg-type]


def camera_raw(make: str, big: bool = False) -> bytes:
    """What a camera writes: a thumbnail first, and what the sensor saw below it."""
    file = io.BytesIO()
    with tifffile.TiffWriter(file, bigtiff=big) as writer:
        tags = [(271, 2, 0, make, True)]
        writer.write(noise(9, 12, 3), photometric="rgb", subfiletype=1, subifds=1, extratags=tags)
        mosaic = [(33421, 3, 2, (2, 2), True), (33422, 1, 4, bytes((0, 1, 1, 2)), True)]
        writer.write(noise(90, 120, dtype=np.uint16), photometric=32803, extratags=mosaic)
    return file.getvalue()


def brand(name: bytes, *more: bytes) -> bytes:
    box = b"ftyp" + name + bytes(4) + b"".join(more)
    return struct.pack(">I", len(box) + 4) + box + bytes(100)


FOREIGN: dict[str, tuple[Callable[[], bytes], str]] = {
    "nef": (lambda: camera_raw("NIKON CORPORATION"), "raw.*rawpy"),
    "big nef": (lambda: camera_raw("NIKON CORPORATION", big=True), "raw.*rawpy"),
    "dng": (lambda: written(noise(9, 9), extratags=[(50706, 1, 4, bytes(4), True)]), "raw.*rawpy"),
    "cr2": (lambda: b"II*\0\x10\0\0\0CR\2\0" + bytes(99), "raw.*rawpy"),
    "cr3": (lambda: brand(b"crx ", b"isom"), "raw.*rawpy"),
    "raf": (lambda: b"FUJIFILMCCD-RAW 0201" + bytes(99), "raw.*rawpy"),
    "orf": (lambda: b"IIRO\x08\0\0\0" + bytes(99), "raw.*rawpy"),
    "heic": (lambda: brand(b"mif1", b"heic"), "pillow-heif"),
    "jxl": (lambda: b"\xff\x0a" + bytes(99), "pillow-jxl"),
    "psd": (lambda: b"8BPS\0\1" + bytes(99), "Photoshop"),
    "pdf": (lambda: b"%PDF-1.7\n", "PDF"),
    "svg": (lambda: b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"/>', "SVG"),
    "mp4": (lambda: brand(b"isom", b"mp42"), "video"),
    "html": (lambda: b"<!DOCTYPE html><html>", "HTML"),
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_other_formats_are_named_by_content(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    make, message = FOREIGN[kind]
    for plugin, module in (("HEIF", "pillow_heif"), ("JXL", "pillow_jxl")):
        monkeypatch.delitem(Image.OPEN, plugin, raising=False)
        monkeypatch.setitem(sys.modules, module, None)
    for read in (decode, decode_rgb):
        with pytest.raises(ImageError, match=f"^a.jpg: .*{message}"):
            read(make(), "a.jpg")


def test_heif_by_a_package_that_is_installed() -> None:
    heif = pytest.importorskip("pillow_heif")
    smooth, file = BIG[:64, :64], io.BytesIO()
    heif.from_pillow(Image.fromarray(smooth)).save(file, quality=95)
    assert np.abs(decode_rgb(file.getvalue(), "x").astype(int) - smooth).mean() < 4


def test_damage_of_a_png_that_costs_no_pixels() -> None:
    rgb = noise(9, 8, 3)
    raw = with_chunks(encode(rgb, "PNG"), {b"pHYs": bytes(9)})
    broken = raw.replace(png_chunk(b"pHYs", bytes(9)), png_chunk(b"pHYs", bytes(9))[:-1] + b"!")
    assert broken != raw
    decoded = decode(broken, "x")
    np.testing.assert_array_equal(decoded.rgb, rgb)
    assert "pHYs" in decoded.notes[0]
    with pytest.warns(UserWarning, match="pHYs"):
        np.testing.assert_array_equal(decode_rgb(broken, "x"), rgb)


def test_a_jpeg_that_was_cut_is_taken_on_demand() -> None:
    raw = encode(BIG, "JPEG", quality=90)
    whole = decode(raw, "x").rgb
    for end in (len(raw) - 2, len(raw) // 2):
        with pytest.raises(ImageError, match="truncated=True"):
            decode(raw[:end], "x")
        decoded = decode(raw[:end], "x", truncated=True)
        np.testing.assert_array_equal(decoded.rgb[:100], whole[:100])
        assert "cut off" in decoded.notes[0]


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_a_jpeg_that_lost_data_without_an_error_of_libjpeg(mode: str) -> None:
    image = Image.fromarray(BIG).convert(mode)
    for options in ({"quality": 90}, {"restart_marker_rows": 1}, {"progressive": True}):
        raw = encode(image, "JPEG", **options)
        assert decode(raw, "x").notes == ()
        start = raw.index(b"\xff\xda")
        place = start + (len(raw) - start) * 2 // 3
        zeros = raw[:place] + bytes(1024) + raw[place + 1024 :]
        hole, cut = raw[:place] + raw[place + 6000 :], raw[:place] + b"\xff\xd9"
        # What follows a hole in a progressive one may end by chance where it should.
        for damaged in (zeros, cut) if "progressive" in options else (zeros, cut, hole):
            for read in (decode, decode_rgb):
                with pytest.raises(ImageError, match=r"^x: .*truncated=True"):
                    read(damaged, "x")
            taken = decode(damaged, "x", truncated=True)
            assert taken.rgb.shape == BIG.shape and "damaged" in taken.notes[0]


def test_flat_jpegs_are_whole() -> None:
    """Their data may be zeros, and their end of the grey of missing data."""
    half = BIG.copy()
    half[150:] = 128
    for pixels in (np.full((3000, 3000), 255, np.uint8), np.full((99, 99, 3), 128, np.uint8), half):
        for options in ({}, {"optimize": True}, {"progressive": True}, {"restart_marker_rows": 1}):
            raw = encode(pixels, "JPEG", **options)
            assert decode(raw, "x").notes == ()
        assert len(pixels) < 3000 or bytes(512) in encode(pixels, "JPEG", optimize=True)


def test_decompression_bomb(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = encode(np.zeros((200, 200, 3), np.uint8), "PNG")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10_000)
    with pytest.raises(ImageError, match=r"^x:.*size"):
        decode_rgb(raw, "x")
    assert decode(raw, "x", max_pixels=40_000).rgb.shape == (200, 200, 3)
    with pytest.raises(ImageError, match=r"^x:.*size"):
        decode(raw, "x", max_pixels=39_999)
    assert Image.MAX_IMAGE_PIXELS == 10_000


def test_a_size_that_the_file_cannot_hold_is_refused_whatever_is_allowed() -> None:
    header = struct.pack(">IIBBBBB", 20_000, 20_000, 8, 0, 0, 0, 0)
    raw = encode(noise(100, 200), "PNG")
    raw = raw[:8] + png_chunk(b"IHDR", header) + raw[33:]
    for limit in (None, 10**9):
        with pytest.raises(ImageError, match=r"^x:.*size"):
            decode(raw, "x", max_pixels=limit)


def test_a_sliver_is_not_enlarged_to_gigabytes() -> None:
    with pytest.raises(ImageError, match=r"^x:.*5000x1"):
        decode_rgb(encode(noise(1, 5000, 3), "PNG"), "x", at_least=256)


def colors_by_spread(low: int, high: int, step: int) -> np.ndarray:
    """All 8-bit colors, in steps, whose channels differ by low..high at most: (n, 3)."""
    smallest, x, y = (
        axis.flatten()
        for axis in np.meshgrid(
            np.arange(0, 256, step), np.arange(high + 1), np.arange(high + 1), indexing="ij"
        )
    )
    keep = (np.maximum(x, y) >= low) & (smallest + np.maximum(x, y) <= 255)
    s, x, y = smallest[keep], x[keep], y[keep]
    orders = [(s, s + x, s + y), (s + x, s, s + y), (s + x, s + y, s)]
    return np.concatenate([np.stack(order, 1) for order in orders]).astype(np.uint8)


def test_grey_agrees_with_scikit_image_color_by_color() -> None:
    """The bounds on the spread of channels, which spare most images the conversion."""
    for colors, step in ((colors_by_spread(0, 7, 1), 7), (colors_by_spread(20, 30, 3), 53)):
        colored = (np.abs(rgb2lab(colors[None])[0, :, 1:]) > 5).any(1)
        spread = np.ptp(colors, axis=1)
        assert not colored[spread <= 6].any()
        assert colored[spread >= 25].all()
        for pixel, is_colored in zip(colors[::step], colored[::step], strict=True):
            assert is_grey(pixel[None, None]) is not bool(is_colored)
    assert (np.abs(rgb2lab(colors_by_spread(25, 255, 9)[None])[..., 1:]) > 5).any(-1).all()


def test_one_colored_pixel_makes_an_image_colored() -> None:
    image = grey3(noise(50, 60))
    assert is_grey(image)
    image[31, 17] = 200, 90, 90
    assert not is_grey(image)


def test_a_png_with_a_text_that_is_too_long_keeps_its_pixels() -> None:
    rgb = noise(7, 5, 3)
    long = zlib.compress(bytes(2**24))
    texts = {b"zTXt": b"Comment\0\0" + long, b"iTXt": b"Comment\0\1\0en\0extra\0" + long}
    for kind, text in texts.items():
        encoded = with_chunks(encode(rgb, "PNG"), {kind: text})
        decoded = decode(encoded, "a.png")
        np.testing.assert_array_equal(decoded.rgb, rgb)
        assert any(kind.decode() in note for note in decoded.notes)


def test_bits_that_pillow_cuts_are_told_where_16_are_asked_for() -> None:
    rgb = noise(7, 5, 3)
    deep = (rgb * np.uint16(257)).astype(">u2").tobytes()
    for encoded in (encode(rgb, "SGI", bpc=2), b"P6 # made\n5 7 65535\n" + deep):
        decoded = decode(encoded, "x", depth=16)
        np.testing.assert_array_equal(decoded.rgb, rgb)
        assert decoded.notes and not decode(encoded, "x").notes


@pytest.mark.parametrize("options", [{}, {"no_jp2": True}], ids=str)
def test_jpeg_2000_of_color_above_8_bits_is_refused(options: dict[str, Any]) -> None:
    """Pillow makes white black there."""
    encoded = bytearray(encode(noise(7, 5, 3), "JPEG2000", **options))
    assert decode(bytes(encoded), "x").rgb.shape == (7, 5, 3)
    encoded[42 if options else encoded.index(b"ihdr") + 14] = 16 - 1
    for read in (decode, decode_rgb):
        with pytest.raises(ImageError, match="16 bits"):
            read(bytes(encoded), "x")


def test_samples_that_fill_12_of_16_bits_are_told() -> None:
    grey = noise(7, 5).astype(np.uint16) << 4
    grey[0, 0] = 4095
    assert any("4095" in note for note in decode(encode(grey, "TIFF"), "a.tif").notes)
    assert not decode(encode(grey << 4, "TIFF"), "a.tif").notes
    color = np.stack([grey] * 3, 2)
    for planes in ("contig", "separate"):  # Pillow reads the one, tifffile the other
        stream = io.BytesIO()
        tifffile.imwrite(
            stream,
            color if planes == "contig" else color.transpose(2, 0, 1),
            photometric="rgb",
            planarconfig=planes,
        )
        assert any("4095" in note for note in decode(stream.getvalue(), "a.tif").notes), planes
