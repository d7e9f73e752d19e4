"""The command that colors photos: where results go, what is refused, pipes, Ctrl-C."""

from __future__ import annotations

import errno
import io
import itertools
import json
import os
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skimage.color
import skimage.data
import tifffile
import torch
from helpers import tiny
from helpers.tiny import light as light
from PIL import Image

from colorize import paths
from colorize.cli import main
from colorize.cli.console import put
from colorize.models import EuclideanModel
from colorize.models.fuse import fuse_conv_bn
from colorize.models.hub import load_model
from colorize.photo import record
from colorize.photo.colorize import colorize_image
from colorize.photo.files import read_photo
from colorize.photo.metadata import read_made

pytestmark = pytest.mark.usefixtures("light")


@pytest.fixture(autouse=True)
def models(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Checkpoints: the default one, another, and one without temperature; none that is shipped."""
    monkeypatch.setattr(paths, "shipped_checkpoints", lambda: tmp_path / "shipped")
    # The results are compared with those of the library on the CPU, to the bit.
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    folder = home / "CHECKPOINTS"
    tiny.save_tiny(folder / "photo.safetensors", tiny.vivid_model(0))
    tiny.save_tiny(folder / "other.safetensors", tiny.vivid_model(1))
    torch.manual_seed(0)
    tiny.save_tiny(folder / "euclidean.safetensors", EuclideanModel(width=0.02))
    return folder


@pytest.fixture(autouse=True)
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with three photos."""
    folder = tmp_path / "photos"
    folder.mkdir()
    monkeypatch.chdir(folder)
    for i, name in enumerate(PHOTOS):
        _save(name, 60 + i)
    return folder


PHOTOS = ["a.png", "b.jpg", "c.png"]


def _colorize(photo: Any, model: str = "photo", **settings: Any) -> np.ndarray:
    """The library's colors, by the net as the command has it: folding a batch norm rounds anew."""
    return colorize_image(photo, fuse_conv_bn(load_model(model)), **settings)


def _save(name: str, patch: int) -> None:
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(tiny.patches(1, patch)[0]).save(name)


def _pixels(path: Path | str) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


def _files(folder: Path | str = ".") -> list[str]:
    """All files but the records of results."""
    files = (p for p in Path(folder).rglob("*") if p.is_file() and p.name != record.FILE_NAME)
    return sorted(p.relative_to(folder).as_posix() for p in files)


def _error(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """What a command that fails prints; its status is 1, or 2 from argparse."""
    try:
        assert main(arguments) == 1
    except SystemExit as exit_:
        assert exit_.code == 2
    return capsys.readouterr().err


def _process(arguments: list[str], content: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    package = str(Path(paths.__file__).parents[1])
    environment = {**os.environ, "PYTHONPATH": package, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, *arguments]
    return subprocess.run(command, env=environment, input=content, capture_output=True, check=False)


# --- results -----------------------------------------------------------------------------------


def test_without_an_output_it_lies_beside_the_photo(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["b.jpg"]) == 0
    np.testing.assert_array_equal(_pixels("b-color.png"), _colorize("b.jpg", "photo"))
    assert _files() == ["a.png", "b-color.png", "b.jpg", "c.png"]
    assert main(["b.jpg", "out.jpg"]) == 1
    assert "-o out.jpg" in capsys.readouterr().err


def test_several_photos_into_a_folder(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*PHOTOS, str(Path("a.png").resolve()), "-o", "new/colored"]) == 0
    written = [Path("new", "colored", f"{stem}.png") for stem in "abc"]
    assert capsys.readouterr().out.splitlines() == [str(path) for path in written]
    for photo, path in zip(PHOTOS, written, strict=True):
        np.testing.assert_array_equal(_pixels(path), _colorize(photo, "photo"))


def test_options_reach_the_model(models: Path) -> None:
    red_and_blue = [(3, 4, (255, 0, 0)), (30, 31, (0, 0, 255))]
    plain = _colorize("a.png", "photo")
    for arguments, expected in (
        (["--model", str(models / "other.safetensors"), "--device", "cpu"], {"model": "other"}),
        (["--temperature", "0"], {"temperature": 0.0}),
        (["--saturation", "0.5"], {"saturation": 0.5}),
        (["--size", "16"], {"size": 16}),
        (["--upsampling", "bilinear"], {"upsampling": "bilinear"}),
        (["--hint", "3,4,#ff0000", "--hint", "30,31,0000FF"], {"hints": red_and_blue}),
    ):
        assert main(["a.png", "-o", "out.png", "--overwrite", *arguments]) == 0
        settings: dict[str, Any] = {"model": "photo", **expected}
        colored = _pixels("out.png")
        np.testing.assert_array_equal(colored, _colorize("a.png", **settings))
        assert (colored != plain).any(), arguments


def test_a_mask_keeps_the_colors_of_a_region() -> None:
    photo = _pixels("a.png")
    mask = np.zeros(photo.shape[:2], bool)
    mask[:, 10:] = True
    Image.fromarray(mask).save("mask.png")
    command = ["a.png", "-o", "out.png", "--mask", "mask.png"]
    assert main(command) == 0
    np.testing.assert_array_equal(_pixels("out.png")[:, :10], photo[:, :10])
    np.testing.assert_array_equal(_pixels("out.png"), _colorize("a.png", "photo", mask=mask))
    # Another mask in the file of that name is another setting.
    Image.fromarray(~mask).save("mask.png")
    assert main(command) == 0
    np.testing.assert_array_equal(_pixels("out.png")[:, 10:], photo[:, 10:])


def test_samples(capsys: pytest.CaptureFixture[str]) -> None:
    command = ["a.png", "-o", "out.png", "--samples", "3", "--seed", "5"]
    assert main(command) == 0
    names = [f"out-{number}.png" for number in (1, 2, 3)]
    assert capsys.readouterr().out.splitlines() == names
    expected = _colorize("a.png", "photo", samples=3, seed=5)
    np.testing.assert_array_equal(np.stack([_pixels(name) for name in names]), expected)
    # Only what is missing is written again, and it is the same image.
    stamp = Path("out-1.png").stat().st_mtime_ns
    Path("out-2.png").unlink()
    assert main(command) == 0
    assert capsys.readouterr().out == "out-2.png\n"
    np.testing.assert_array_equal(_pixels("out-2.png"), expected[1])
    assert Path("out-1.png").stat().st_mtime_ns == stamp


@pytest.mark.parametrize("suffix", ["jpg", ".webp", "TIF"])
def test_the_format_by_option(suffix: str) -> None:
    assert main(["a.png", "b.jpg", "--format", suffix]) == 0
    plain = suffix.lower().lstrip(".")
    for stem in "ab":
        with Image.open(f"{stem}-color.{plain}") as image:
            assert image.format == {"jpg": "JPEG", "webp": "WEBP", "tif": "TIFF"}[plain]


def _deep(path: Path) -> np.ndarray:
    """A PNG of 16 bits, as the library reads it."""
    photo = read_photo(path, str(path), depth=16)
    return photo.rgb if photo.alpha is None else np.dstack((photo.rgb, photo.alpha))


def test_depth_of_16_bits_keeps_alpha_and_description() -> None:
    values = np.arange(40 * 40, dtype=np.uint16).reshape(40, 40) * 40
    Image.fromarray(values).save("deep.png", dpi=(600, 600))
    picture = Image.fromarray(tiny.patches(1, 70)[0])
    picture.putalpha(Image.linear_gradient("L").resize(picture.size))
    picture.save("alpha.png", dpi=(600, 600))
    for name, suffix in itertools.product(("deep.png", "alpha.png"), (".png", ".tif")):
        assert main([name, "--depth", "16", "--format", suffix]) == 0
        path = Path(name).with_name(f"{Path(name).stem}-color{suffix}")
        alpha = None if name == "deep.png" else np.asarray(picture)[..., 3]
        found = tifffile.imread(path) if suffix == ".tif" else _deep(path)
        assert found.dtype == np.uint16 and found.shape == (40, 40, 3 if alpha is None else 4)
        # The same picture as in 8 bits, and more of it.
        assert main([name, "-o", "reference.png", "--overwrite"]) == 0
        apart = found[..., :3] / 257 - _pixels("reference.png")[..., :3].astype(float)
        assert np.abs(apart).mean() < 1 and (apart != 0).any()
        if alpha is not None:
            np.testing.assert_array_equal(found[..., 3], alpha.astype(np.uint16) * 257)
        with Image.open(path) as image:
            assert round(image.info["dpi"][0]) == 600
        assert read_made(path) is not None


def test_compare_is_the_photo_beside_its_results() -> None:
    assert main(["a.png", "--compare", "--samples", "2", "-o", "out/"]) == 0
    assert _files("out") == ["a-1.png", "a-2.png", "a-compare.png"]
    parts = [_pixels("a.png"), _pixels("out/a-1.png"), _pixels("out/a-2.png")]
    np.testing.assert_array_equal(_pixels("out/a-compare.png"), np.concatenate(parts, axis=1))


def _toned(name: str, strength: float) -> None:
    """A print in brown, more so to its edges, with grain, as a JPEG."""
    rng = np.random.default_rng(0)
    grey = skimage.color.rgb2gray(skimage.data.astronaut())
    edge = np.abs(np.linspace(-1, 1, 512))[:, None, None] * (0.02, 0.05, 0.12)
    brown = grey[..., None] * (1 + strength * np.array((0.07, -0.26, -0.57))) * (1 - edge)
    brown += rng.normal(0, 0.02, brown.shape)
    Image.fromarray((255 * brown.clip(0, 1)).astype(np.uint8)).save(name, quality=80)


def test_only_grey_leaves_color_photos_alone(capsys: pytest.CaptureFixture[str]) -> None:
    _toned("sepia.jpg", 1.0)
    _toned("yellowed.jpg", 0.3)
    Image.fromarray(skimage.data.astronaut()).save("color.jpg")
    Image.fromarray(skimage.data.chelsea()).save("cat.jpg")  # all of it is orange and brown
    photos = ["sepia.jpg", "yellowed.jpg", "color.jpg", "cat.jpg"]
    assert main([*photos, "-o", "out", "--only-grey"]) == 0
    assert _files("out") == ["sepia.png", "yellowed.png"]
    assert "cat.jpg" in capsys.readouterr().err
    # Without the option they are colored, and that is told.
    assert main([*photos, "-o", "out"]) == 0
    error = capsys.readouterr().err
    assert [f"{photo}: its own colors" in error for photo in photos] == [False, False, True, True]
    assert len(_files("out")) == 4


def test_json_tells_what_became_of_each_photo(capsys: pytest.CaptureFixture[str]) -> None:
    Path("text.jpg").write_text("no picture", encoding="utf-8")
    assert main(["a.png", "-o", "out/"]) == 0
    capsys.readouterr()
    assert main(["a.png", "c.png", "text.jpg", "nosuch", "-o", "out", "--json", "-q"]) == 1
    report = json.loads(capsys.readouterr().out)
    became = {photo["photo"]: photo["status"] for photo in report["photos"]}
    assert became == {"a.png": "done", "c.png": "colored", "text.jpg": "failed"}
    assert report["photos"][1]["results"] == [str(Path("out", "c.png"))]
    assert report["photos"][2]["results"] == []
    assert len(report["problems"]) == 1 and report["counts"]["failed"] == 2
    assert report["settings"]["model"] == "photo"


def test_quiet_prints_errors_only(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["a.png", "nosuch.png", "-o", "out", "-q"]) == 1
    output = capsys.readouterr()
    assert output.out == "" and output.err.count("\n") == 1 and "nosuch.png" in output.err


# --- what is refused ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "bad", ["text.jpg", "missing.png", "empty.png", "miss*.png", "none", "https://host/a.jpg"]
)
def test_a_bad_file_is_named_while_the_rest_goes_on(
    bad: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("text.jpg").write_text("no picture", encoding="utf-8")
    Path("empty.png").touch()
    Path("none").mkdir()
    assert main(["a.png", bad, "c.png", "-o", "out"]) == 1
    *lines, summary = capsys.readouterr().err.splitlines()
    assert sum(line.startswith("colorize: ") and bad in line for line in lines) == 1
    assert "2 colored" in summary and "1 failed" in summary
    assert _files("out") == ["a.png", "c.png"]


def test_a_missing_file_is_named_before_torch_is_imported() -> None:
    code = (
        "import sys; from colorize.cli import main; "
        "print(main(sys.argv[1:]), 'torch' in sys.modules)"
    )
    for more in ([], ["-o", "-"]):
        done = _process(["-c", code, "nosuch.jpg", "--model", "dream", *more])
        assert done.stdout == b"1 False\n" and b"nosuch.jpg" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "subject"),
    [
        (["-o", "out.txt"], "out.txt"),
        (["c.png", "-o", "out.png"], "expected a folder"),
        (["-o", "out.psd"], "out.psd"),  # Pillow reads these and cannot write them
        (["--size", "0"], "size"),
        (["--size", "256x256"], "expected a whole number"),
        (["--temperature", "low"], "expected a number"),
        (["--seed", str(2**70), "--samples", "2"], "seed"),
        (["--temperature", "nan"], "temperature"),
        (["--depth", "16", "--format", "jpg"], "--depth"),
        (["--model", ""], "--model"),
        (["--format", ""], "--format"),
        (["--temperature", "-1"], "temperature"),
        (["--model", "euclidean", "--temperature", "0.5"], "temperature"),
        (["--model", "dream"], "dream"),
        (["--model", "eccv16", "--weights", "missing.pth"], "missing.pth"),
        (["--device", "abacus"], "device"),
        (["--format", "gif"], "--format"),
        (["-o", "out.jpg", "--format", "png"], "--format"),
        (["--samples", "0"], "samples"),
        (["--samples", "2", "--model", "euclidean"], "samples"),
        (["--saturation", "-1"], "saturation"),
        (["--upsampling", "magic"], "upsampling"),
        (["--hint", "3,4,red"], "#rrggbb"),
        (["--hint", "40,4,#ff0000"], "hints"),
        (["b.jpg", "--hint", "3,4,#ff0000"], "--hint"),
        (["b.jpg", "--mask", "b.jpg"], "--mask"),
        (["--mask", "missing.png"], "missing.png"),
        (["--mask", "."], "folder"),
        (["b.jpg", "-o", "-"], "standard output"),
        (["-o", "-", "--samples", "2"], "standard output"),
    ],
    ids=str,
)
def test_what_cannot_be_done(
    arguments: list[str], subject: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert subject in _error(["a.png", *arguments], capsys)
    assert _files() == PHOTOS


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
def test_no_input_photo_is_overwritten() -> None:
    """``colorize *.png -o .`` is easily typed; a camera leaves b.jpg and b.png side by side."""
    Path("link.png").symlink_to("a.png")
    Path("hard.png").hardlink_to("b.jpg")
    _save("b.png", 90)
    before = {name: Path(name).read_bytes() for name in (*PHOTOS, "b.png")}
    for arguments in (
        ["a.png", "-o", "a.png", "--overwrite"],
        ["a.png", "c.png", "-o", "."],
        ["b.jpg", "-o", "."],
        ["a.png", "-o", "link.png", "--overwrite"],
        ["b.jpg", "-o", "hard.png", "--overwrite"],
    ):
        main(arguments)
        assert {name: Path(name).read_bytes() for name in before} == before


def test_no_other_file_is_overwritten(capsys: pytest.CaptureFixture[str]) -> None:
    Path("out.png").write_text("mine", encoding="utf-8")
    assert "--overwrite" in _error(["a.png", "-o", "out.png"], capsys)
    assert "out.png" in _error(["a.png", "c.png", "-o", "out.png"], capsys)
    assert Path("out.png").read_text(encoding="utf-8") == "mine"
    assert main(["a.png", "-o", "out.png", "--overwrite"]) == 0
    assert _pixels("out.png").shape == (40, 40, 3)


# --- what is done, and whose a file is ---------------------------------------------------------


@pytest.mark.parametrize("apart", [False, True], ids=["one run", "two runs"])
def test_two_photos_of_one_name_get_two_names(apart: bool) -> None:
    """scan0001.jpg lies in every folder of a scanner; samples are numbered like photos."""
    more = {"more/a.jpg": ("a", 90), "a-1.png": ("a-1", 91), "a.tif": ("a", 92)}
    for name, (_, patch) in more.items():
        _save(name, patch)
    photos = ["a.png", *more]
    for command in [[name] for name in photos] if apart else [photos]:
        for _ in range(2):
            assert main([*command, "-o", "out"] if not apart else [*command, "-o", "out/"]) == 0
    assert _files("out") == ["a-1.png", "a-2.png", "a-3.png", "a.png"]
    for name, result in zip(photos, ["a", "a-2", "a-1", "a-3"], strict=True):
        expected = _colorize(name, "photo")
        np.testing.assert_array_equal(_pixels(f"out/{result}.png"), expected)
    assert main(["a.png", "-o", "out/", "--samples", "2"]) == 0
    np.testing.assert_array_equal(_pixels("out/a-1.png"), _colorize("a-1.png", "photo"))


def test_another_process_that_takes_the_name_meanwhile_loses_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def meanwhile(*arguments: Any, **options: Any) -> np.ndarray:
        if not Path("out/a.png").exists():
            Path("out").mkdir()
            Path("out/a.png").write_bytes(b"of another process")
        return colorize_image(*arguments, **options)

    monkeypatch.setattr("colorize.photo.colorize.colorize_image", meanwhile)
    assert main(["a.png", "-o", "out/"]) == 0
    assert Path("out/a.png").read_bytes() == b"of another process"
    np.testing.assert_array_equal(_pixels("out/a-2.png"), _colorize("a.png", "photo"))


def _change_photo() -> None:
    stamp = Path("a.png").stat().st_mtime_ns
    _save("a.png", 99)
    os.utime("a.png", ns=(stamp, stamp))


@pytest.mark.parametrize(
    ("change", "more", "settings"),
    [
        (_change_photo, [], {}),
        (None, ["--saturation", "2"], {"saturation": 2.0}),
        (None, ["--temperature", "1"], {"temperature": 1.0}),
        (None, ["--size", "16"], {"size": 16}),
        (None, ["--model", "other"], {"model": "other"}),
        (lambda: Path("out/a.png").write_bytes(b""), [], {}),
        (lambda: (Path("out/a.png").unlink(), Path("out/a.png").symlink_to("nowhere")), [], {}),
    ],
    ids=["photo", "saturation", "temperature", "size", "model", "empty", "broken link"],
)
def test_what_is_not_the_same_is_colored_anew(
    change: Callable[[], object] | None, more: list[str], settings: dict[str, Any]
) -> None:
    command = ["a.png", "c.png", "-o", "out"]
    assert main(command) == 0
    if change:
        change()
    assert main([*command, *more]) == 0
    expected = _colorize("a.png", **{"model": "photo", **settings})
    np.testing.assert_array_equal(_pixels("out/a.png"), expected)
    assert _files("out") == ["a.png", "c.png"]


def test_retrained_weights_color_anew(models: Path) -> None:
    assert main(["a.png"]) == 0
    tiny.save_tiny(models / "photo.safetensors", tiny.vivid_model(1))
    assert main(["a.png"]) == 0
    np.testing.assert_array_equal(_pixels("a-color.png"), _colorize("a.png", "other"))


def test_other_samples_are_another_draw(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["a.png", "--samples", "4"]) == 0
    capsys.readouterr()
    assert main(["a.png", "--samples", "3"]) == 0
    assert "a-color-4.png" in capsys.readouterr().err, "it is of the other draw"
    expected = _colorize("a.png", "photo", samples=3)
    names = [f"a-color-{number}.png" for number in (1, 2, 3)]
    np.testing.assert_array_equal(np.stack([_pixels(name) for name in names]), expected)


def test_the_users_files_are_no_results(photos: Path) -> None:
    """Neither a file that was there before, nor a result that was retouched."""
    _save("album/x.jpg", 80)
    _save("album/best/x.png", 81)
    assert main(["album", "-o", "album/best"]) == 0
    assert main(["c.png"]) == 0
    Image.new("RGB", (8, 8), "red").save("c-color.png")
    before = {name: Path(name).read_bytes() for name in ("album/best/x.png", "c-color.png")}
    assert main(["album", "-o", "album/best", "--overwrite"]) == 0
    assert main(["c.png"]) == 0
    assert {name: Path(name).read_bytes() for name in before} == before
    names = ["best/best/x.png", "best/x-2.png", "best/x.png", "x.jpg"]
    assert _files("album") == names
    np.testing.assert_array_equal(_pixels("album/best/x-2.png"), _colorize("album/x.jpg", "photo"))
    assert Path("c-color-2.png").is_file()


def test_results_are_not_colored_again(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ["*.png", "*.jpg"]
    for more in ([], [], ["--saturation", "2"], ["--overwrite"]):
        assert main([*command, *more]) == 0
        assert _files() == ["a-color.png", "a.png", "b-color.png", "b.jpg", "c-color.png", "c.png"]
    capsys.readouterr()
    assert "a-color.png" in _error(["a-color.png", "-o", "again.png"], capsys)
    assert not Path("again.png").exists()
    # Also without the record, and where the record says nothing about this file.
    Path(record.FILE_NAME).unlink()
    # Nor where Pillow would not open so large a photo.
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 40 * 40 // 3)
    assert main(["*.png", "--max-pixels", "1600"]) == 0
    assert "a-color.png" in _error(["a-color.png", "-o", "again.png"], capsys)
    assert _files() == ["a-color.png", "a.png", "b-color.png", "b.jpg", "c-color.png", "c.png"]


def test_a_record_that_was_cut_is_gone_on_with() -> None:
    assert main(["a.png"]) == 0
    with Path(record.FILE_NAME).open("ab") as file:
        file.write(b'{"result": "a-co')
    assert main(["c.png"]) == 0
    stamp = Path("a-color.png").stat().st_mtime_ns
    assert main(["a.png", "c.png"]) == 0
    assert Path("a-color.png").stat().st_mtime_ns == stamp
    assert _files() == ["a-color.png", "a.png", "b.jpg", "c-color.png", "c.png"]


@pytest.mark.parametrize("arguments", [[""], ["a.png", ""], ["a.png", "-o", ""]], ids=str)
def test_an_empty_name_is_an_error(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert "empty" in _error(arguments, capsys)
    assert _files() == PHOTOS


# --- one bad photo does not end a batch --------------------------------------------------------


class Failing:
    """Stands for ``colorize_image``: an error for the second photo."""

    def __init__(self, error: Exception) -> None:
        self.error, self.calls = error, 0

    def __call__(self, *arguments: Any, **options: Any) -> np.ndarray:
        self.calls += 1
        if self.calls == 2:
            raise self.error
        return colorize_image(*arguments, **options)


@pytest.mark.parametrize(
    "error",
    [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory"), TypeError("bug"),
     SyntaxError(""), struct.error("unpack"), PermissionError(13, "Permission denied", "b.png")],
    ids=lambda error: type(error).__name__,
)  # fmt: skip
def test_any_error_of_one_photo_is_its_line(
    error: Exception, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("colorize.photo.colorize.colorize_image", Failing(error))
    assert main([*PHOTOS, "-o", "out"]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert sum(line.startswith("colorize: b.jpg: ") for line in lines) == 1
    assert "2 colored, 1 failed" in lines[-1]
    assert _files("out") == ["a.png", "c.png"]


def test_a_full_disk_ends_the_run_with_whole_files(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    full = OSError(errno.ENOSPC, "No space left on device")
    monkeypatch.setattr("colorize.photo.colorize.colorize_image", Failing(full))
    assert main([*PHOTOS, "-o", "out"]) == 1
    assert "1 colored, 1 failed, 1 not tried" in capsys.readouterr().err
    assert _files("out") == ["a.png"]


@pytest.mark.skipif(sys.platform == "win32", reason="names of bytes, links")
def test_names_of_every_kind_and_what_they_print(capfd: pytest.CaptureFixture[str]) -> None:
    names = [b"caf\xc3\xa9.png", b"bad\xff.png", b"new\nline.png", b"x" * 251 + b".png",
             "\u5199".encode() * 81 + b".png"]  # fmt: skip
    Path("odd").mkdir()
    for name in names:
        Path("odd", os.fsdecode(name)).write_bytes(Path("a.png").read_bytes())
    Path("loop.jpg").symlink_to("loop.jpg")
    Path("dead.jpg").symlink_to("nowhere")
    os.mkfifo("pipe.jpg")
    assert main(["odd", "loop.jpg", "dead.jpg", "pipe.jpg", "a.png", "-o", "out"]) == 1
    assert len(_files("out")) == 6
    output = capfd.readouterr()
    assert "loop.jpg" in output.err and "dead.jpg: a broken link" in output.err
    assert "pipe.jpg" in output.err
    for encoding in ("ascii", "cp1252", "utf-8"):
        stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="strict")
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(sys, "stdout", stream)
            for name in names:
                put(os.fsdecode(name))
        stream.seek(0)
        assert len(stream.read().splitlines()) == len(names)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
@pytest.mark.parametrize(
    ("arguments", "results"),
    [([*PHOTOS, "-o", "out", "--overwrite"], ["a.png", "b.png", "c.png"]), (["models"], [])],
)
def test_printing_ends_no_run_and_what_is_lost_is_told(
    arguments: list[str], results: list[str]
) -> None:
    read, write = os.pipe()
    os.close(read)
    for nowhere, status in ((write, 0), ("/dev/full", 1)):
        with open(nowhere, "w") as stream, pytest.MonkeyPatch.context() as patched:  # noqa: PTH123
            patched.setattr(sys, "stdout", stream)
            patched.setattr(sys, "stderr", None)
            assert main(arguments) == status
    assert _files("out") == results


# --- folders, patterns, and going on -----------------------------------------------------------

RESULTS = ["1907/may/three.png", "1907/two.png", "one.png"]


@pytest.fixture
def album() -> Path:
    """A folder with structure and with rubbish in it, in the working directory."""
    for i, place in enumerate(("one.png", "1907/two.jpg", "1907/may/three.tif")):
        _save(f"album/{place}", 70 + i)
    for place in ("notes.txt", ".hidden/four.png", "Thumbs.db"):
        path = Path("album", place)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("no picture", encoding="utf-8")
    return Path("album")


@pytest.mark.parametrize("output", ["new/deep/", None])
def test_a_folder_keeps_its_structure(
    output: str | None, album: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = _files(album)
    assert main(["album", *(["-o", output] if output else [])]) == 0
    root = Path(output or "album-color")
    assert _files(root) == RESULTS and _files(album) == before
    expected = _colorize(album / "1907" / "may" / "three.tif", "photo")
    np.testing.assert_array_equal(_pixels(root / "1907/may/three.png"), expected)
    printed = capsys.readouterr()
    assert sorted(printed.out.splitlines()) == sorted(str(root / name) for name in RESULTS)
    for reason, name in (("hidden", "four"), ("Windows", "Thumbs"), (".txt", "notes")):
        assert reason in printed.err and name in printed.err
    # A photo of a kind that is not read is no rubbish.
    Path(album, "1907", "phone.heic").write_bytes(b"\0\0\0\x18ftypheic" + bytes(99))
    assert main(["album", *(["-o", output] if output else [])]) == 1
    assert "phone.heic: " in capsys.readouterr().err


def test_what_is_done_is_not_done_again(
    album: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor when the whole tree was moved meanwhile."""
    command = ["album", "-o", "colored", "--format", "jpg"]
    assert main(command) == 0
    Path("new place").mkdir()
    for folder in ("album", "colored"):
        Path(folder).rename(f"new place/{folder}")
    monkeypatch.chdir("new place")
    stamps = {p: p.stat().st_mtime_ns for p in Path("colored").rglob("*.jpg")}
    Path("colored/1907/two.jpg").unlink()
    capsys.readouterr()
    assert main(command) == 0
    printed = capsys.readouterr()
    assert printed.out.splitlines() == [str(Path("colored", "1907", "two.jpg"))]
    assert "one.png" in printed.err and "2 colored already" in printed.err
    # When all is done, no model is loaded.
    with monkeypatch.context() as patched:
        patched.setattr("colorize.cli.photos._load", None)
        assert main(command) == 0
    assert main([*command, "--overwrite"]) == 0
    assert all(path.stat().st_mtime_ns > stamp for path, stamp in stamps.items())


def test_results_inside_the_input_folder_are_no_photos(
    album: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(album)
    for more in ([], [], ["--overwrite"]):
        assert main([".", "-o", "colored", *more]) == 0
        assert _files("colored") == RESULTS
    assert main(["."]) == 0
    assert Path("../album-color/one.png").is_file()


@pytest.mark.parametrize("output", ["album", "./album/", "album/1907/.."])
def test_a_folder_is_not_written_into_itself(
    output: str, album: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = _files(album)
    assert "itself" in _error(["album", "-o", output], capsys)
    assert _files(album) == before


def test_patterns_that_the_shell_has_left(album: Path) -> None:
    assert main(["[ab].*", "album/**/*.tif", "-o", "out"]) == 0
    assert _files("out") == ["a.png", "b.png", "three.png"]
    # A name is a name first.
    _save("[ab].png", 90)
    assert main(["[ab].png", "-o", "one.png"]) == 0
    np.testing.assert_array_equal(_pixels("one.png"), _colorize("[ab].png", "photo"))


# --- pipes and Ctrl-C --------------------------------------------------------------------------


def test_standard_input_to_standard_output() -> None:
    """In a process of its own: the bytes of the image and nothing else."""
    with Image.open("a.png") as image:
        image.putalpha(Image.linear_gradient("L").resize(image.size))
        encoded = io.BytesIO()
        image.save(encoded, "PNG")
    done = _process(["-m", "colorize", "-", "--format", "jpg"], encoded.getvalue())
    assert done.returncode == 0 and b"transparency" in done.stderr
    with Image.open(io.BytesIO(done.stdout)) as image:
        assert (image.format, image.size) == ("JPEG", (40, 40))
        image.load()
    assert done.stdout.endswith(b"\xff\xd9") and _files() == PHOTOS


def test_every_way_through_a_pipe(monkeypatch: pytest.MonkeyPatch, capfdbinary: Any) -> None:
    expected, content = _colorize("b.jpg", "photo"), Path("b.jpg").read_bytes()

    def run(arguments: list[str], given: bytes = content) -> int:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(given)))
        return main(arguments)

    for arguments in (["-"], ["-", "-o", "-"], ["b.jpg", "-o", "-"]):
        assert run(arguments) == 0
        printed = capfdbinary.readouterr()
        assert printed.err == b""
        np.testing.assert_array_equal(_pixels(io.BytesIO(printed.out)), expected)
    for arguments, target in (
        (["-", "-o", "out.png"], "out.png"),
        (["-", "c.png", "-o", "out"], "out/stdin.png"),
    ):
        assert run(arguments) == 0
        np.testing.assert_array_equal(_pixels(target), expected)
    capfdbinary.readouterr()
    for bad in (b"no picture", b""):
        assert run(["-"], bad) == 1
        assert capfdbinary.readouterr().out == b""

    def fail(*arguments: Any, **options: Any) -> np.ndarray:
        raise MemoryError

    monkeypatch.setattr("colorize.photo.colorize.colorize_image", fail)
    assert run(["-"]) == 1
    printed = capfdbinary.readouterr()
    assert printed.out == b"" and b"memory" in printed.err
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert main(["a.png", "-o", "-"]) == 1


def test_ctrl_c_while_modules_are_imported_leaves_no_traceback() -> None:
    code = (
        "import sys; from colorize import __main__; import builtins\n"
        "def interrupted(*arguments): raise KeyboardInterrupt\n"
        "builtins.__import__ = interrupted\n"
        "sys.stderr.write(str(__main__.run()))"
    )
    done = _process(["-c", code])
    assert done.stderr.endswith(b"130") and b"Traceback" not in done.stderr


def test_ctrl_c_leaves_whole_files_and_the_next_run_goes_on(
    home: Path, photos: Path, tmp_path: Path
) -> None:
    many, out, output = photos / "many", photos / "out", tmp_path / "output.txt"
    many.mkdir()
    for i in range(16):
        Image.fromarray(tiny.patches(1, i, 128)[0]).save(many / f"{i:02}.png")
    process = tiny.start(tiny.command_line, home, [str(many), "-o", str(out)], output)
    deadline = time.monotonic() + 300
    while not list(out.glob("0[1-9].png")) and process.is_alive() and time.monotonic() < deadline:
        time.sleep(0.002)
    tiny.interrupt(process)
    assert tiny.finish(process) == 130
    assert "Traceback" not in output.read_text(encoding="utf-8")
    written = _files(out)
    assert 2 <= len(written) < 16 and all(name[0] != "." for name in written)
    assert all(_pixels(out / name).shape == (128, 128, 3) for name in written)
    stamps = {name: (out / name).stat().st_mtime_ns for name in written}
    assert main([str(many), "-o", str(out)]) == 0
    assert _files(out) == [f"{i:02}.png" for i in range(16)]
    assert {name: (out / name).stat().st_mtime_ns for name in written} == stamps
