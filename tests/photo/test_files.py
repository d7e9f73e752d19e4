"""Photographs as people have them: real files of every kind, through the command and back."""

from __future__ import annotations

import io
import itertools
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import skimage.color
from helpers import tiny
from helpers.icc import ADOBE, SRGB, cmyk_profile, grey_profile, rgb_profile
from helpers.tiny import light as light
from PIL import ExifTags, Image, ImageCms, PngImagePlugin, TiffImagePlugin, features

from colorize.cli import main
from colorize.errors import ImageError
from colorize.photo.exif import upright_exif
from colorize.photo.files import Photo, read_photo, write_photo
from colorize.photo.formats import OutputError, writable_suffixes
from colorize.photo.metadata import read_made
from colorize.photo.record import Made

pytestmark = pytest.mark.usefixtures("light")

HEIGHT, WIDTH = 24, 40
AVIF = pytest.mark.skipif(not features.check("avif"), reason="this Pillow has no AVIF")


@pytest.fixture
def folder(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, where ``main`` finds a tiny model."""
    tiny.save_tiny(home / "CHECKPOINTS" / "photo.safetensors", tiny.vivid_model(0))
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    return work


def rgb_image() -> Image.Image:
    return Image.fromarray(tiny.patches(1, 60)[0][:HEIGHT, :WIDTH])


def grey_image() -> Image.Image:
    return rgb_image().convert("L")


def ramp() -> np.ndarray:
    """(HEIGHT, WIDTH) alpha from transparent to opaque."""
    return np.tile(np.linspace(0, 255, WIDTH).astype(np.uint8), (HEIGHT, 1))


def opened(path: Path | str) -> Image.Image:
    with Image.open(path) as image:
        image.load()
        return image


def lightness(rgb: np.ndarray | Image.Image) -> np.ndarray:
    """L by scikit-image."""
    return skimage.color.rgb2lab(np.asarray(rgb)[..., :3])[..., 0]


def grey_lightness(values: np.ndarray) -> np.ndarray:
    """L of grey sRGB levels, 0..1, by scikit-image."""
    return skimage.color.rgb2lab(np.repeat(values[..., None], 3, axis=-1))[..., 0]


def is_colored(rgb: np.ndarray | Image.Image) -> bool:
    lab = skimage.color.rgb2lab(np.asarray(rgb)[..., :3])
    return float(np.abs(lab[..., 1:]).mean()) > 3


# --- kinds of files ----------------------------------------------------------------------------


def _png_grey(path: Path) -> np.ndarray:
    grey_image().save(path)
    return np.asarray(grey_image()) / 255


def _png_bits(path: Path) -> np.ndarray:
    image = grey_image().convert("1")
    image.save(path)
    return np.asarray(image).astype(float)


def _grey16(path: Path) -> np.ndarray:
    values = np.asarray(grey_image()).astype(np.uint16) * 251 + 77
    Image.fromarray(values).save(path)
    return values / 65535


def _tiff16_big_endian(path: Path) -> np.ndarray:
    values = np.asarray(grey_image()).astype(">u2") * 251 + 77
    Image.frombytes("I;16B", (WIDTH, HEIGHT), values.astype(">u2").tobytes()).save(path)
    return values / 65535


def _tiff_pages(path: Path) -> np.ndarray:
    grey_image().save(path, save_all=True, append_images=[Image.new("L", (9, 9))] * 2)
    return np.asarray(grey_image()) / 255


def _gif_frames(path: Path) -> np.ndarray:
    black = Image.new("L", (WIDTH, HEIGHT))
    grey_image().save(path, save_all=True, append_images=[black], duration=50)
    return np.asarray(opened(path).convert("L")) / 255


def _phone(path: Path) -> np.ndarray:
    """With a preview as a second image, which is no page."""
    grey_image().save(path, "MPO", save_all=True, append_images=[grey_image()], quality=95)
    return np.asarray(opened(path)) / 255


def _palette(path: Path) -> np.ndarray:
    grey_image().convert("P").save(path)
    return np.asarray(grey_image()) / 255


KINDS: dict[str, tuple[Callable[[Path], np.ndarray], str]] = {
    "grey.png": (_png_grey, ""),
    "bits.png": (_png_bits, ""),
    "grey.bmp": (_png_grey, ""),
    "grey.pgm": (_png_grey, ""),
    "grey.jp2": (_png_grey, ""),
    "palette.png": (_palette, ""),
    "grey16.png": (_grey16, ""),
    "grey16.tif": (_grey16, ""),
    "big16.tif": (_tiff16_big_endian, ""),
    "pages.tif": (_tiff_pages, "first of its pages or frames"),
    "moving.gif": (_gif_frames, "first of its pages or frames"),
    "phone.jpg": (_phone, ""),
}


@pytest.mark.parametrize("name", KINDS)
def test_grey_of_every_kind_keeps_its_lightness(
    name: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make, note = KINDS[name]
    values = make(folder / name)
    assert main([name, "-o", "out.png"]) == 0
    output = capsys.readouterr()
    assert output.out == "out.png\n" and note in output.err
    assert output.err.count("\n") == (2 if note else 1), "a note and the summary"
    found = opened("out.png")
    assert (found.mode, found.size) == ("RGB", (WIDTH, HEIGHT))
    # Half an 8-bit level is 0.2 to 0.5 L; black that has 16 bits is the steepest.
    assert np.abs(lightness(found) - grey_lightness(values)).max() < 0.4
    assert name == "bits.png" or is_colored(found)


@pytest.mark.parametrize("name", ["cmyk.jpg", "cmyk.tif"])
def test_cmyk(name: str, folder: Path) -> None:
    rgb_image().convert("CMYK").save(name)
    assert main([name, "-o", "out.png"]) == 0
    cyan, magenta, yellow, black = np.moveaxis(np.asarray(opened(name)) / 255, -1, 0)
    plain = np.stack([(1 - ink) * (1 - black) for ink in (cyan, magenta, yellow)], -1)
    assert np.abs(lightness(opened("out.png")) - lightness(plain)).max() < 1


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif", "webp", "bmp", "ppm", "jp2",
                                    pytest.param("avif", marks=AVIF)])  # fmt: skip
def test_results_in_every_format(suffix: str, folder: Path) -> None:
    grey_image().save("in.png")
    assert main(["in.png", "-o", f"out.{suffix}"]) == 0
    assert main(["in.png", "-o", "reference.png"]) == 0
    found = opened(f"out.{suffix}")
    difference = np.asarray(found).astype(int) - np.asarray(opened("reference.png")).astype(int)
    if suffix in ("jpg", "avif"):
        apart = np.abs(lightness(found) - grey_lightness(np.asarray(grey_image()) / 255))
        assert apart.mean() < 1 and np.abs(difference).mean() < 4
    else:
        assert not difference.any(), "a format that loses nothing lost something"


def test_every_suffix_is_written_in_the_format_of_its_name(folder: Path) -> None:
    Image.init()
    rgb = np.asarray(rgb_image())
    for suffix in writable_suffixes():
        path = Path(f"out{suffix}")
        assert not any("left out" in note for note in write_photo(rgb, Photo(rgb), path, suffix))
        assert opened(path).format == Image.registered_extensions()[suffix]
    long = np.zeros((2, 16384, 3), np.uint8)
    for pixels, suffix, message in ((rgb, ".gif", "format"), (long, ".webp", "16383 pixels")):
        with pytest.raises(OutputError, match=message):
            write_photo(pixels, Photo(pixels), Path(f"not{suffix}"), suffix)
    assert not list(folder.glob("not*"))


# --- alpha -------------------------------------------------------------------------------------


def _with_alpha(image: Image.Image) -> Image.Image:
    image.putalpha(Image.fromarray(ramp()))
    return image


@pytest.mark.parametrize("source", ["rgba.png", "la.png", "rgba.tif", "rgba.webp", "rgba.jp2"])
@pytest.mark.parametrize("target", ["out.png", "out.tif", "out.webp"])
def test_alpha_is_kept(source: str, target: str, folder: Path) -> None:
    image = _with_alpha(grey_image() if source == "la.png" else rgb_image())
    image.save(source, **({"lossless": True, "exact": True} if "webp" in source else {}))
    assert main([source, "-o", target]) == 0
    found = opened(target)
    assert found.mode == "RGBA"
    np.testing.assert_array_equal(np.asarray(found)[..., 3], ramp())
    # Also under what is transparent: whoever takes the alpha away sees the picture.
    original = image.convert("RGB")
    assert np.abs(lightness(found) - lightness(original)).max() < 0.4


@pytest.mark.parametrize("target", ["out.jpg", "out.bmp", "out.ppm"])
def test_alpha_is_laid_over_white_where_there_is_none(
    target: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _with_alpha(grey_image()).save("la.png")
    assert main(["la.png", "-o", target]) == 0
    assert "la.png: its transparency was laid over white" in capsys.readouterr().err
    found = opened(target)
    assert found.mode == "RGB"
    assert np.asarray(found)[:, 0].min() > 250
    share = ramp() / 255
    expected = np.asarray(grey_image()) * share + 255 * (1 - share)
    apart = np.abs(lightness(found) - grey_lightness(expected / 255))
    # Mixing goes by sRGB levels and not by L; color that is mixed with white is a little off.
    assert apart.mean() < 2.5


def test_transparent_colors_of_palettes_and_of_grey(folder: Path) -> None:
    grey_image().convert("P").save("palette.png", transparency=77)
    values = np.asarray(grey_image()).astype(np.uint16) * 257
    level = int(values[3, 4])
    # By hand, as early versions of Pillow read this and do not write it.
    Image.fromarray(values).save("grey16.png")
    whole, chunk = Path("grey16.png").read_bytes(), b"tRNS" + level.to_bytes(2, "big")
    chunk = struct.pack(">I", 2) + chunk + struct.pack(">I", zlib.crc32(chunk))
    Path("grey16.png").write_bytes(whole[:33] + chunk + whole[33:])
    Image.fromarray(np.asarray(grey_image())).save("grey.png", transparency=level // 257)
    palette = np.asarray(opened("palette.png")) == 77
    for name, hidden in (
        ("palette.png", palette),
        ("grey16.png", values == level),
        ("grey.png", values == level),
    ):
        photo = read_photo(Path(name), name)
        assert photo.alpha is not None
        np.testing.assert_array_equal(photo.alpha, np.where(hidden, 0, 255))


# --- EXIF and orientation ----------------------------------------------------------------------

MAKER_NOTE = b"private \0\1\2 of the camera"


def exif(orientation: int | None = None, more: dict[int, object] | None = None) -> Image.Exif:
    block = Image.Exif()
    block[ExifTags.Base.Make] = "Box camera"
    block[ExifTags.Base.Copyright] = "nobody"
    if orientation is not None:
        block[ExifTags.Base.Orientation] = orientation
    block[ExifTags.IFD.Exif] = {
        ExifTags.Base.DateTimeOriginal: "1907:05:31 12:00:00",
        ExifTags.Base.MakerNote: MAKER_NOTE,
        **(more or {}),
    }
    block[ExifTags.IFD.GPSInfo] = {ExifTags.GPS.GPSAltitude: 1234.5}
    # As read from a file: Pillow writes the inner directories of no other to a TIFF.
    read = Image.Exif()
    read.load(block.tobytes())
    return read


def assert_described(image: Image.Image) -> None:
    found = image.getexif()
    assert found[ExifTags.Base.Make] == "Box camera"
    assert found[ExifTags.Base.Copyright] == "nobody"
    assert found.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.DateTimeOriginal].startswith("1907")
    assert bytes(found.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.MakerNote]) == MAKER_NOTE
    assert float(found.get_ifd(ExifTags.IFD.GPSInfo)[ExifTags.GPS.GPSAltitude]) == 1234.5


ENDINGS = ["jpg", "png", "tif", "webp", pytest.param("avif", marks=AVIF)]


@pytest.mark.parametrize("target", ENDINGS)
@pytest.mark.parametrize("source", ENDINGS)
def test_exif_is_kept_and_says_that_the_picture_is_upright(
    source: str, target: str, folder: Path
) -> None:
    grey = grey_image()
    grey.save(f"in.{source}", exif=exif(6))
    assert main([f"in.{source}", "-o", f"out.{target}"]) == 0
    found = opened(f"out.{target}")
    assert found.size == (HEIGHT, WIDTH)
    assert found.getexif().get(ExifTags.Base.Orientation, 1) == 1
    assert_described(found)
    upright = grey.transpose(Image.Transpose.ROTATE_270)
    apart = np.abs(lightness(found) - grey_lightness(np.asarray(upright) / 255))
    assert apart.mean() < 2, "turned twice, or not at all"


TURNED: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    1: lambda stored: stored,
    2: np.fliplr,
    3: lambda stored: np.rot90(stored, 2),
    4: np.flipud,
    5: lambda stored: stored.swapaxes(0, 1),
    6: lambda stored: np.rot90(stored, -1),
    7: lambda stored: np.rot90(stored.swapaxes(0, 1), 2),
    8: np.rot90,
}


@pytest.mark.parametrize("orientation", TURNED)
@pytest.mark.parametrize("source", ["in.jpg", "in.tif", "in.png"])
def test_every_orientation_is_applied_once(source: str, orientation: int, folder: Path) -> None:
    """To the alpha too, and not again to what is written."""
    image = grey_image() if source == "in.jpg" else _with_alpha(rgb_image())
    image.save(source, exif=exif(orientation))
    turn = TURNED[orientation]
    photo = read_photo(Path(source), source)
    stored = opened(source) if source == "in.jpg" else image
    np.testing.assert_array_equal(photo.rgb, turn(np.asarray(stored.convert("RGB"))))
    if photo.alpha is not None:
        np.testing.assert_array_equal(photo.alpha, turn(ramp()))
    else:
        assert source == "in.jpg"
    written = io.BytesIO()
    write_photo(photo.rgb, photo, written, ".png")
    again = read_photo(written.getvalue(), "again")
    np.testing.assert_array_equal(again.rgb, photo.rgb)


def test_only_the_orientation_and_the_thumbnail_of_a_block_change() -> None:
    """A maker's note keeps its place: what it holds counts from the beginning of the block."""
    for order in ("<", ">"):
        block = raw_exif(order)
        image = Image.new("L", (2, 2))
        image.info["exif"] = block
        changed = upright_exif(image, image.size)
        assert changed is not None and len(changed) == len(block)
        different = [i for i, (x, y) in enumerate(zip(block, changed, strict=True)) if x != y]
        # 6 of marker, 8 of header, 2 of count: the one entry's value, then the next directory.
        value, following = 6 + 8 + 2 + 8, 6 + 8 + 2 + 12
        assert set(different) <= {*range(value, value + 2), *range(following, following + 4)}
        read = Image.Exif()
        read.load(changed)
        assert read[ExifTags.Base.Orientation] == 1
        assert not read.get_ifd(ExifTags.IFD.IFD1)
        read.load(block)
        assert read[ExifTags.Base.Orientation] == 8 and read.get_ifd(ExifTags.IFD.IFD1)


def raw_exif(order: str) -> bytes:
    """Orientation 8, and a second directory with the compression of a thumbnail."""
    mark = {"<": b"II", ">": b"MM"}[order]
    first = struct.pack(order + "HHHIHHI", 1, 0x112, 3, 1, 8, 0, 26)
    second = struct.pack(order + "HHHIHHI", 1, 0x103, 3, 1, 6, 0, 0)
    return b"Exif\0\0" + mark + struct.pack(order + "HI", 42, 8) + first + second


def test_damaged_exif_costs_the_exif_and_not_the_photograph(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for i, block in enumerate((b"Exif\0\0nothing", b"Exif\0\0II*\0\xff\xff\0\0", b"Exif\0\0MM")):
        grey_image().save(f"{i}.jpg", exif=block)
        assert main([f"{i}.jpg", "-o", f"out{i}.jpg"]) == 0
        error = capsys.readouterr().err
        assert f"{i}.jpg: its EXIF is damaged and was left out" in error
        assert "exif" not in opened(f"out{i}.jpg").info


@pytest.mark.parametrize("target", ["out.webp", "out.avif"])
def test_exif_that_cannot_be_written_anew_is_left_out(
    target: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of 4,000 blocks with changed bytes these were the kinds at which Pillow raised."""
    block = exif(more={ExifTags.Base.XResolution: 600.0}).tobytes()
    blocks = [block.replace(b"MM\0*", b"MM\xa8*").replace(b"II*\0", b"II\xa8\0")]
    place = block.index(b"\x01\x1a" if b"MM" in block else b"\x1a\x01")
    wrong_type = bytearray(block)
    wrong_type[place + 2 : place + 4] = b"\0\x02" if b"MM" in block else b"\x02\0"
    for i, damaged in enumerate((*blocks, bytes(wrong_type))):
        grey_image().save(f"{i}.jpg", exif=damaged, dpi=(300, 300))
        assert main([f"{i}.jpg", "-o", target, "--overwrite"]) == 0
        opened(target).load()
    assert "its EXIF" in capsys.readouterr().err


def test_exif_that_its_format_cannot_hold(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    large = exif(more={ExifTags.Base.UserComment: bytes(70_000)})
    grey_image().save("in.png", exif=large)
    for target in ("out.jpg", "out.bmp"):
        assert main(["in.png", "-o", target]) == 0
        assert "EXIF" in capsys.readouterr().err
        assert "exif" not in opened(target).info
    assert main(["in.png", "-o", "out.tif"]) == 0
    assert_described(opened("out.tif"))


def test_exif_of_adobe_rgb_says_srgb_and_the_size_of_the_upright_picture(folder: Path) -> None:
    for i, (source, target) in enumerate(itertools.product(("jpg", "tif"), ("jpg", "png"))):
        size = {ExifTags.Base.ExifImageWidth: WIDTH, ExifTags.Base.ExifImageHeight: HEIGHT}
        adobe = {ExifTags.Base.ColorSpace: 65535, ExifTags.IFD.Interop: {1: "R03"}}
        grey_image().save(f"in{i}.{source}", exif=exif(6, {**size, **adobe}))
        photo = read_photo(Path(f"in{i}.{source}"), "in")
        write_photo(photo.rgb, photo, Path(f"out{i}.{target}"), f".{target}")
        found = opened(f"out{i}.{target}").getexif()
        inner = found.get_ifd(ExifTags.IFD.Exif)
        assert inner[ExifTags.Base.ColorSpace] == 1
        assert inner[ExifTags.Base.ExifImageWidth] == HEIGHT
        assert b"R03" not in Path(f"out{i}.{target}").read_bytes()


def test_a_big_tiff_keeps_its_description(folder: Path) -> None:
    tags = {ExifTags.Base.ImageDescription: "Grandmother", ExifTags.Base.PageName: "page 7"}
    info = TiffImagePlugin.ImageFileDirectory_v2()
    for tag, value in {**tags, 65000: "private"}.items():
        info[tag] = value
    info.tagtype[65000] = 2
    grey_image().save("big.tif", tiffinfo=info, big_tiff=True)
    photo = read_photo(Path("big.tif"), "big.tif")
    (note,) = photo.notes
    assert "65000" in note and "PageName" not in note
    for target in ("out.tif", "out.png"):
        write_photo(photo.rgb, photo, Path(target), Path(target).suffix)
        found = opened(target).getexif()
        assert {tag: found.get(tag) for tag in tags} == tags


# --- what else surrounds the pixels ------------------------------------------------------------

XMP = b"""<?xpacket begin="\xef\xbb\xbf" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description xmlns:dc="http://purl.org/dc/elements/1.1/" rdf:about="uuid:7"
xmlns:ext="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" ext:DigitalSourceType="negativeFilm"
xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="1"><dc:title>Gro\xc3\x9fmutter
</dc:title></rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end="w"?>\0\0"""
IPTC = b"\x1c\x02\x78\0\x07Caption"
RESOURCE = b"8BIM\x04\x04\0\0" + struct.pack(">I", len(IPTC)) + IPTC
MADE = Made("../r1/Gro\u00df \udcff<1>.jpg", "ab" * 32, {"model": "photo", "version": "7"})


def described(path: Path | str) -> tuple[bytes, list[float]]:
    """XMP and resolution, rounded, as Pillow reads them."""
    found = opened(path)
    tags = getattr(found, "tag_v2", {})
    xmp = found.info.get("xmp") or tags.get(700) or b""
    dpi = found.info.get("dpi") or [found.getexif().get(tag, 0) for tag in (282, 283)]
    return xmp, [round(float(value), 2) for value in dpi]


def _rich(path: Path, orientation: int = 1) -> None:
    """A photo with all that Pillow writes into its format; JPEG gets its IPTC by hand."""
    block = Image.Exif()
    block[ExifTags.Base.Orientation] = orientation
    block[ExifTags.Base.XResolution], block[ExifTags.Base.YResolution] = 600.0, 300.0
    info = PngImagePlugin.PngInfo()
    info.add_itxt("XML:com.adobe.xmp", XMP.strip(b"\0").decode())
    info.add_itxt("Title", "Gro\u00dfmutter")
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[700], tags[33723], tags[274] = XMP, IPTC, orientation
    around = {
        ".png": {"pnginfo": info, "exif": block},
        ".jpg": {"xmp": XMP, "comment": b"by hand", "exif": block,
                 "extra": b"\xff\xed" + struct.pack(">H", 16 + len(RESOURCE)) + b"Photoshop 3.0\0"
                 + RESOURCE},
        ".tif": {"tiffinfo": tags},
        ".bmp": {},
    }  # fmt: skip
    grey_image().save(path, dpi=(600, 300), **around[path.suffix])


@pytest.mark.parametrize("target", ENDINGS)
@pytest.mark.parametrize("source", ["png", "jpg", "tif", "bmp"])
def test_what_surrounds_the_pixels_is_kept_or_named(source: str, target: str, folder: Path) -> None:
    orientation = 6 if source in ("jpg", "tif") else 1
    _rich(Path(f"in.{source}"), orientation)
    photo = read_photo(Path(f"in.{source}"), "in")
    path = Path(f"out.{target}")
    notes = " ".join(write_photo(photo.rgb, photo, path, path.suffix, made=MADE))
    xmp, dpi = described(path)
    assert dpi == pytest.approx([300, 600] if orientation == 6 else [600, 300], abs=0.02)
    exif = opened(path).getexif()
    of_exif = [float(exif.get(tag, value)) for tag, value in zip((282, 283), dpi, strict=True)]
    assert of_exif == pytest.approx(dpi, abs=0.02)
    text = xmp.decode()
    assert ("Gro\u00dfmutter" in text) == (source != "bmp")
    assert "negativeFilm" not in text and "Orientation" not in text
    assert "digitalsourcetype/compositeWithTrainedAlgorithmicMedia" in text
    # The mark is read again, whatever the file's name is made of.
    made = read_made(path)
    assert made is not None and made.makes_the_same(MADE)
    if source in ("jpg", "tif"):
        whole = path.read_bytes()
        packed = getattr(opened(path), "text", {}).get("Raw profile type iptc", "")
        kept = IPTC in whole or IPTC.hex() in packed.replace("\n", "")
        assert kept == (target in ("jpg", "tif", "png")) == ("IPTC" not in notes)
    if source == "png":
        assert (getattr(opened(path), "text", {}).get("Title") == "Gro\u00dfmutter") == (
            "Title" not in notes
        )
    if source == "jpg":
        info = opened(path).info
        assert ("by hand" in str(info.get("comment", info.get("Comment")))) == (
            "comment" not in notes
        )


def test_xmp_that_is_damaged_or_too_long_is_named(folder: Path) -> None:
    for packet in (b"<x:xmpmeta>", XMP.replace(b"Gro", b"o" * 70_000)):
        grey_image().save("in.webp", xmp=packet, lossless=True)
        photo = read_photo(Path("in.webp"), "in.webp")
        (note,) = write_photo(photo.rgb, photo, Path("out.jpg"), ".jpg", made=MADE)
        assert "XMP" in note and read_made(Path("out.jpg")) is not None


@pytest.mark.parametrize("ending", [".bmp", ".ppm", ".jp2"])
def test_a_format_that_cannot_say_that_color_is_computed_is_named(ending: str) -> None:
    rgb = np.asarray(rgb_image())
    notes = write_photo(rgb, Photo(rgb), io.BytesIO(), ending, made=MADE)
    assert any("computed" in note for note in notes)


# --- color profiles ----------------------------------------------------------------------------


def _from_y(y: np.ndarray) -> np.ndarray:
    """CIE lightness of luminance 0..1."""
    return np.where(y > (6 / 29) ** 3, 116 * np.cbrt(y) - 16, (29 / 3) ** 3 * y)


def result_profile(path: Path | str) -> str:
    embedded = opened(path).info["icc_profile"]
    read = ImageCms.ImageCmsProfile(io.BytesIO(embedded))
    assert read.profile.xcolor_space.strip() == "RGB"
    return ImageCms.getProfileDescription(read)


@pytest.mark.parametrize("target", ["out.png", "out.jpg", "out.tif", "out.webp"])
@pytest.mark.parametrize("source", ["in.png", "in.tif", "in16.tif"])
def test_a_grey_profile_is_applied_and_not_attached_to_the_result(
    source: str, target: str, folder: Path
) -> None:
    values = np.asarray(grey_image())
    stored = values.astype(np.uint16) * 257 if "16" in source else values
    Image.fromarray(stored).save(source, icc_profile=grey_profile(2.0))
    assert main([source, "-o", target]) == 0
    apart = np.abs(lightness(opened(target)) - _from_y((values / 255) ** 2))
    # An 8-bit level of sRGB is up to 0.5 L in the dark.
    assert apart.max() < 0.6 if target != "out.jpg" else apart.mean() < 1
    assert "sRGB" in result_profile(target)


@pytest.mark.parametrize("gamma", [1.0, 1.8, 2.2])
def test_adobes_primaries_give_the_lightness_that_the_photographer_saw(
    gamma: float, folder: Path
) -> None:
    levels = np.linspace(60, 200, 6).astype(np.uint8)
    # Soft colors: those that sRGB does not have are cut, which no conversion can avoid.
    grid = np.stack(np.meshgrid(levels, levels, levels), -1).reshape(12, 18, 3)
    grid = (grid.astype(float) * 0.3 + grid.mean(-1, keepdims=True) * 0.7).astype(np.uint8)
    Image.fromarray(grid).save("in.png", icc_profile=rgb_profile(ADOBE, gamma))
    exact = round(gamma * 256) / 256
    luminance = ((grid / 255) ** exact) @ np.array([column[1] for column in ADOBE])
    photo = read_photo(Path("in.png"), "in.png")
    assert np.abs(lightness(photo.rgb) - _from_y(luminance)).max() < 0.8
    assert np.abs(lightness(grid) - _from_y(luminance)).max() > (2 if gamma != 2.2 else 0.5)
    assert main(["in.png", "-o", "out.png"]) == 0
    assert np.abs(lightness(opened("out.png")) - _from_y(luminance)).max() < 1
    assert "sRGB" in result_profile("out.png")


def test_a_profile_is_applied_to_upright_pixels_and_beside_alpha(folder: Path) -> None:
    swapped = rgb_profile(SRGB[::-1], 2.2)
    plain = rgb_profile(SRGB, 2.2)
    image = _with_alpha(rgb_image())
    image.save("swapped.png", icc_profile=swapped, exif=exif(6))
    red, green, blue, alpha = image.split()
    mirrored = Image.merge("RGBA", (blue, green, red, alpha))
    mirrored.save("plain.png", icc_profile=plain, exif=exif(6))
    one, other = (read_photo(Path(name), name) for name in ("swapped.png", "plain.png"))
    assert np.abs(one.rgb.astype(int) - other.rgb).max() <= 1
    assert one.alpha is not None and other.alpha is not None
    np.testing.assert_array_equal(one.alpha, np.rot90(ramp(), -1))


def test_srgb_by_any_name_leaves_the_pixels_alone(folder: Path) -> None:
    made = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    rgb_image().save("in.png", icc_profile=made)
    photo = read_photo(Path("in.png"), "in.png")
    np.testing.assert_array_equal(photo.rgb, np.asarray(rgb_image()))
    assert photo.icc == made
    assert main(["in.png", "-o", "out.jpg"]) == 0
    assert opened("out.jpg").info["icc_profile"] == made


@pytest.mark.parametrize("name", ["in.jpg", "in.tif"])
def test_a_cmyk_profile_is_applied(name: str, folder: Path) -> None:
    inks = np.zeros((HEIGHT, WIDTH, 4), np.uint8)
    inks[..., 3] = np.linspace(0, 255, WIDTH).astype(np.uint8)
    more = {"quality": 100, "exif": exif(3)} if name == "in.jpg" else {}
    Image.fromarray(inks, "CMYK").save(name, icc_profile=cmyk_profile(), **more)
    assert main([name, "-o", "out.png"]) == 0
    expected = 100 * (1 - inks[..., 3] / 255)
    expected = expected[::-1, ::-1] if name == "in.jpg" else expected
    assert np.abs(lightness(opened("out.png")) - expected).max() < 1
    # The plain formula, without the profile, is far from it.
    plain = grey_lightness(1 - inks[..., 3] / 255)
    assert np.abs(plain - 100 * (1 - inks[..., 3] / 255)).max() > 3
    assert "sRGB" in result_profile("out.png")


@pytest.mark.parametrize(
    ("block", "message"),
    [
        (b"nonsense", "color profile is damaged"),
        (grey_profile(2.0), "its GRAY color profile does not fit"),
        (cmyk_profile(), "its CMYK color profile does not fit"),
    ],
    ids=["damaged", "grey", "cmyk"],
)
def test_a_profile_that_cannot_be_used_is_told(
    block: bytes, message: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rgb_image().save("in.png", icc_profile=block)
    assert main(["in.png", "-o", "out.png"]) == 0
    assert message in capsys.readouterr().err
    assert "icc_profile" not in opened("out.png").info
    assert np.abs(lightness(opened("out.png")) - lightness(rgb_image())).max() < 0.4


# --- reading -----------------------------------------------------------------------------------


def _damaged(whole: bytes) -> Iterator[bytes]:
    """The file cut at sixty places, and with wrong bytes in it a hundred times."""
    for end in range(0, len(whole), max(1, len(whole) // 60)):
        yield whole[:end]
    rng = np.random.default_rng(0)
    for _ in range(100):
        content = bytearray(whole)
        for place in rng.integers(0, len(content), 3):
            content[place] = rng.integers(0, 256)
        yield bytes(content)


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif", "gif", "webp"])
def test_a_damaged_file_is_read_or_refused(suffix: str) -> None:
    """Never another error than the library's own."""
    written = io.BytesIO()
    pages = {"save_all": True, "append_images": [rgb_image()]} if suffix in ("tif", "gif") else {}
    form = {"jpg": "JPEG", "tif": "TIFF"}.get(suffix, suffix.upper())
    around = {} if suffix == "gif" else {"exif": exif(6), "icc_profile": rgb_profile(ADOBE, 2.2)}
    rgb_image().save(written, form, **pages, **around)
    whole = written.getvalue()
    assert read_photo(whole, "whole").rgb.shape[2] == 3
    for content in _damaged(whole):
        try:
            photo = read_photo(content, "damaged")
        except ImageError:
            continue
        assert photo.rgb.dtype == np.uint8 and photo.rgb.shape[2] == 3


def test_a_hundred_megapixels_are_not_taken_for_an_attack(
    monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder
) -> None:
    written = io.BytesIO()
    rgb_image().save(written, "PNG")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", HEIGHT * WIDTH - 1)
    assert read_photo(written.getvalue(), "large").rgb.shape == (HEIGHT, WIDTH, 3)
    assert not recwarn.list
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", HEIGHT * WIDTH // 3)
    with pytest.raises(ImageError, match="large"):
        read_photo(written.getvalue(), "large")
