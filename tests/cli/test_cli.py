"""The command line: photographs, training, what goes wrong, and Ctrl-C."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers import tiny
from helpers.tiny import light as light
from PIL import Image

from colorize import paths
from colorize.cli import main
from colorize.cli.study import GROUPS
from colorize.evaluation.results import load_results
from colorize.experiments.catalog import EXPERIMENTS
from colorize.experiments.study_a import STUDY_A_VARIANTS
from colorize.models import EuclideanModel
from colorize.photo.colorize import colorize_image

pytestmark = pytest.mark.usefixtures("light")

COMMANDS = ("train", "evaluate", "export", "notebook", "models")


@pytest.fixture(autouse=True)
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder in place of the models that come with the library."""
    folder = tmp_path / "shipped"
    monkeypatch.setattr(paths, "shipped_checkpoints", lambda: folder)
    return folder


@pytest.fixture
def models(home: Path) -> Path:
    """Checkpoints: the default one, another, and one without temperature."""
    folder = home / "CHECKPOINTS"
    tiny.save_tiny(folder / "photo.safetensors", tiny.vivid_model(0))
    tiny.save_tiny(folder / "other.safetensors", tiny.vivid_model(1))
    torch.manual_seed(0)
    tiny.save_tiny(folder / "euclidean.safetensors", EuclideanModel(width=0.02))
    return folder


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with three photographs."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for i, name in enumerate(("a.png", "b.jpg", "c.png")):
        Image.fromarray(tiny.patches(1, 60 + i)[0]).save(folder / name)
    monkeypatch.chdir(folder)
    return folder


def _pixels(path: Path | str) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# --- photographs -------------------------------------------------------------------------------


def test_python_m_colorize_as_people_type_it(models: Path, photos: Path) -> None:
    command = [sys.executable, "-m", "colorize", "a.png", "-o", "out.png"]
    package = str(Path(paths.__file__).parents[1])
    environment = {**os.environ, "PYTHONPATH": package, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "out.png\n"), done.stderr
    expected = colorize_image("a.png", models / "photo.safetensors")
    np.testing.assert_array_equal(_pixels("out.png"), expected)
    assert _names(photos) == ["a.png", "b.jpg", "c.png", "out.png"]


def test_without_an_output_it_lies_beside_the_photograph(models: Path, photos: Path) -> None:
    assert main(["b.jpg"]) == 0
    expected = colorize_image("b.jpg", "photo")
    np.testing.assert_array_equal(_pixels("b-color.png"), expected)
    assert _names(photos) == ["a.png", "b-color.png", "b.jpg", "c.png"]


def test_several_photographs_into_a_folder(
    models: Path, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["a.png", "b.jpg", "c.png", "-o", "new/colored"]) == 0
    written = [Path("new", "colored", f"{stem}.png") for stem in "abc"]
    assert capsys.readouterr().out.splitlines() == [str(path) for path in written]
    for photo, path in zip(("a.png", "b.jpg", "c.png"), written, strict=True):
        np.testing.assert_array_equal(_pixels(path), colorize_image(photo, "photo"))
    assert main(["a.png", "-o", "new"]) == 0
    assert Path("new", "a.png").is_file()


def test_options_reach_the_model(models: Path, photos: Path) -> None:
    red_and_blue = [(3, 4, (255, 0, 0)), (30, 31, (0, 0, 255))]
    plain = colorize_image("a.png", "photo")
    for arguments, expected in (
        (["--model", "other"], {"model": "other"}),
        (["--model", str(models / "other.safetensors")], {"model": "other"}),
        (["--temperature", "0"], {"temperature": 0.0}),
        (["--saturation", "0.5"], {"saturation": 0.5}),
        (["--size", "16"], {"size": 16}),
        (["--upsampling", "bilinear"], {"upsampling": "bilinear"}),
        (["--hint", "3,4,#ff0000", "--hint", "30,31,0000FF"], {"hints": red_and_blue}),
    ):
        assert main(["a.png", "-o", "out.png", "--overwrite", *arguments]) == 0
        settings: dict[str, Any] = {"model": "photo", **expected}
        found = _pixels("out.png")
        np.testing.assert_array_equal(found, colorize_image("a.png", **settings))
        assert (found != plain).any(), arguments


def test_weights_reach_the_published_models(
    models: Path, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save({"model1.0.weight": torch.zeros(3)}, "other.pth")
    for weights, message in (
        ("missing.pth", "There is no file of weights missing.pth"),
        ("other.pth", "other.pth does not fit ECCV16Model"),
    ):
        error = _refused(["a.png", "--model", "eccv16", "--weights", weights], capsys)
        assert message in error
    assert not Path("a-color.png").exists()


def test_samples(models: Path, photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["a.png", "-o", "out.png", "--samples", "3", "--seed", "5"]) == 0
    names = [f"out-{number}.png" for number in (1, 2, 3)]
    assert capsys.readouterr().out.splitlines() == names
    expected = colorize_image("a.png", "photo", samples=3, seed=5)
    for name, rgb in zip(names, expected, strict=True):
        np.testing.assert_array_equal(_pixels(name), rgb)
    assert (_pixels(names[0]) != _pixels(names[2])).any()
    # Only what is missing is written again, and it is the same picture.
    stamps = {name: Path(name).stat().st_mtime_ns for name in names}
    Path("out-2.png").unlink()
    assert main(["a.png", "-o", "out.png", "--samples", "3", "--seed", "5"]) == 0
    assert capsys.readouterr().out == "out-2.png\n"
    np.testing.assert_array_equal(_pixels("out-2.png"), expected[1])
    assert Path("out-1.png").stat().st_mtime_ns == stamps["out-1.png"]
    assert main(["a.png", "b.jpg", "--samples", "1"]) == 0
    assert Path("a-color-1.png").is_file() and Path("b-color-1.png").is_file()


@pytest.mark.parametrize("suffix", ["jpg", "tif", "webp", "bmp", "PNG"])
def test_other_formats(suffix: str, models: Path, photos: Path) -> None:
    assert main(["a.png", "-o", f"out.{suffix}"]) == 0
    found = _pixels(f"out.{suffix}").astype(int)
    assert np.abs(found - colorize_image("a.png", "photo")).mean() < 12


@pytest.mark.parametrize("bad", ["text.jpg", "missing.png", "empty.png", "miss*.png", "none"])
def test_a_bad_file_is_named_while_the_rest_goes_on(
    bad: str, models: Path, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("text.jpg").write_text("no picture", encoding="utf-8")
    Path("empty.png").touch()
    Path("none").mkdir()
    assert main(["a.png", bad, "c.png", "-o", "out"]) == 1
    output = capsys.readouterr()
    assert output.out.splitlines() == [str(Path("out", name)) for name in ("a.png", "c.png")]
    (line,) = output.err.splitlines()
    assert line.startswith("colorize: ") and bad in line
    assert _names(Path("out")) == ["a.png", "c.png"]


def test_a_model_that_is_unknown(
    models: Path, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["a.png", "--model", "dream"]) == 1
    error = capsys.readouterr().err
    assert "no trained model 'dream'; there are euclidean, other, photo" in error
    assert _names(photos) == ["a.png", "b.jpg", "c.png"]


def _refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """The one-line error of a command that fails in words, by status 1 or argparse's 2."""
    try:
        status = main(arguments)
    except SystemExit as exit_:
        assert exit_.code == 2
        status = 1
    output = capsys.readouterr()
    assert status == 1 and output.err.count("colorize") >= 1
    return output.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-o", "out.txt"], "out.txt: expected a name ending in"),
        (["-o", "out"], "out: expected a name ending in"),
        (["-o", "out.psd"], "out.psd"),  # Pillow reads these and cannot write them
        (["--size", "0"], "size: expected at least 1 pixel, got 0"),
        (["--size", "-3"], "size: expected at least 1 pixel, got -3"),
        (["--temperature", "-1"], "temperature"),
        (["--temperature", "warm"], "temperature"),
        (["--model", "euclidean", "--temperature", "0.5"], "temperature"),
        (["--device", "abacus"], "device"),
        (["--format", "gif"], "--format: expected one of png, jpg"),
        (["-o", "out.jpg", "--format", "png"], "out.jpg: expected an ending of --format png"),
        (["--samples", "0"], "--samples: expected at least 1, got 0"),
        (["--samples", "2", "--model", "euclidean"], "samples"),
        (["--saturation", "-1"], "saturation"),
        (["--upsampling", "magic"], "upsampling"),
        (["--hint", "3,4,red"], "expected x,y,#rrggbb, got '3,4,red'"),
        (["--hint", "40,4,#ff0000"], "expected x in 0..39"),
        (["b.jpg", "--hint", "3,4,#ff0000"], "--hint: expected one photograph"),
        (["-o", "a.png"], "a.png is a photograph itself"),
        (["-o", "a.png", "--overwrite"], "a.png is a photograph itself"),
        (["b.jpg", "-o", "-"], "standard output takes one photograph"),
        (["-o", "-", "--samples", "2"], "standard output takes one photograph"),
        (["-o", "-", "--format", "gif"], "format: expected .png"),
    ],
    ids=str,
)
def test_what_cannot_be_done_is_said_in_words(
    arguments: list[str],
    message: str,
    models: Path,
    photos: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert message in _refused(["a.png", *arguments], capsys)
    assert _names(photos) == ["a.png", "b.jpg", "c.png"]


def test_no_photograph_at_all(capsys: pytest.CaptureFixture[str]) -> None:
    assert "photo" in _refused([], capsys)


def test_a_file_where_the_folder_should_be(
    models: Path, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("notes").write_text("mine", encoding="utf-8")
    assert "notes" in _refused(["a.png", "c.png", "-o", "notes"], capsys)
    assert Path("notes").read_text(encoding="utf-8") == "mine"


@pytest.mark.parametrize("several", [False, True])
def test_the_photographs_themselves_are_never_overwritten(
    several: bool, models: Path, photos: Path
) -> None:
    """``colorize *.png -o .`` is easily typed."""
    before = {name: Path(name).read_bytes() for name in ("a.png", "c.png")}
    main(["a.png", *(["c.png"] if several else []), "-o", "."])
    assert {name: Path(name).read_bytes() for name in before} == before


def test_two_photographs_of_one_name_do_not_replace_each_other(
    models: Path, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("more").mkdir()
    Image.fromarray(tiny.patches(1, 90)[0]).save("more/a.png")
    Image.fromarray(tiny.patches(1, 91)[0]).save("a.bmp")
    first = colorize_image("a.png", "photo")
    assert main(["a.png", str(Path("more", "a.png")), "c.png", "-o", "out"]) == 1
    assert str(Path("more", "a.png")) in capsys.readouterr().err
    assert _names(Path("out")) == ["a.png", "c.png"]
    np.testing.assert_array_equal(_pixels("out/a.png"), first)
    assert main(["a.png", "a.bmp"]) == 1
    assert "a.bmp" in capsys.readouterr().err
    np.testing.assert_array_equal(_pixels("a-color.png"), first)


def test_a_photograph_beside_it_is_not_overwritten(models: Path, photos: Path) -> None:
    """A camera leaves b.jpg and b.png side by side; coloring one must not cost the other."""
    Image.fromarray(tiny.patches(1, 90)[0]).save("b.png")
    before = Path("b.png").read_bytes()
    main(["b.jpg", "-o", "."])
    assert Path("b.png").read_bytes() == before


# --- folders, patterns, pipes, and going on ----------------------------------------------------


@pytest.fixture
def album(photos: Path) -> Path:
    """A folder with structure and with rubbish in it, in the working directory."""
    places = ("one.png", "1907/two.jpg", "1907/may/three.tif")
    for i, place in enumerate(places):
        path = Path("album", place)
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(tiny.patches(1, 70 + i)[0]).save(path)
    for place in ("notes.txt", "1907/list.txt", "1907/raw.heic", ".hidden/four.png", "Thumbs.db"):
        path = Path("album", place)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("no picture", encoding="utf-8")
    return Path("album")


RESULTS = ("1907/may/three.png", "1907/two.png", "one.png")


def _files(folder: Path | str) -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for p in Path(folder).rglob("*") if p.is_file())


@pytest.mark.parametrize("output", ["colored", "new/deep/", None])
def test_a_folder_keeps_its_structure(
    output: str | None, models: Path, album: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = _files(album)
    assert main(["album", *(["-o", output] if output else [])]) == 0
    root = Path(output or "album-color")
    assert _files(root) == sorted(RESULTS) and _files(album) == before
    np.testing.assert_array_equal(
        _pixels(root / "1907/may/three.png"),
        colorize_image(album / "1907" / "may" / "three.tif", "photo"),
    )
    output_ = capsys.readouterr()
    assert sorted(output_.out.splitlines()) == sorted(str(root / name) for name in RESULTS)
    assert [line.partition(": ")[2] for line in output_.err.splitlines()] == [
        "left out of the folder: 1 (hidden)",
        "left out of the folder: 1 (left by Windows)",
        "left out of the folder: 1 (not an image: .heic)",
        "left out of the folder: 2 (not an image: .txt)",
    ]


def test_what_is_done_is_not_done_again(
    models: Path, album: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["album", "-o", "colored", "--format", "jpg"]
    assert main(command) == 0
    stamps = {p: p.stat().st_mtime_ns for p in Path("colored").rglob("*.jpg")}
    assert len(stamps) == 3
    Path("colored/one.jpg").write_text("the user's own", encoding="utf-8")
    Path("colored/1907/two.jpg").unlink()
    capsys.readouterr()
    assert main([*command, "--model", "other"]) == 0
    output = capsys.readouterr()
    assert output.out.splitlines() == [str(Path("colored", "1907", "two.jpg"))]
    assert "colorize: 2 colored already (--overwrite colors again)" in output.err
    assert Path("colored/one.jpg").read_text(encoding="utf-8") == "the user's own"
    # With all of it there, not even the model is asked for.
    assert main([*command, "--model", "no such model"]) == 0
    assert main([*command, "--overwrite"]) == 0
    assert all(path.stat().st_mtime_ns > stamp for path, stamp in stamps.items())
    assert _pixels("colored/one.jpg").shape == (40, 40, 3)


def test_one_named_file_is_replaced_only_when_it_is_said_so(
    models: Path, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("out.png").write_text("mine", encoding="utf-8")
    assert "out.png is there already; --overwrite" in _refused(["a.png", "-o", "out.png"], capsys)
    assert Path("out.png").read_text(encoding="utf-8") == "mine"
    assert main(["a.png", "-o", "out.png", "--overwrite"]) == 0
    assert _pixels("out.png").shape == (40, 40, 3)


def test_a_bad_file_in_a_folder(
    models: Path, album: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (album / "1907" / "broken.jpg").write_bytes((album / "1907" / "two.jpg").read_bytes()[:300])
    assert main(["album", "-o", "colored"]) == 1
    error = capsys.readouterr().err
    assert f"colorize: {Path('album', '1907', 'broken.jpg')}: expected a whole image" in error
    assert _files("colored") == sorted(RESULTS)


def test_results_inside_the_folder_that_is_read_are_not_photographs(
    models: Path, album: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(album)
    for more in ([], [], ["--overwrite"]):
        assert main([".", "-o", "colored", *more]) == 0
        assert _files("colored") == sorted(RESULTS)
    assert "colorize: left out: 3 that an earlier run wrote" in capsys.readouterr().err
    assert main(["."]) == 0
    assert Path("../album-color/one.png").is_file()


@pytest.mark.parametrize("output", ["album", "./album/", "album/1907/.."])
def test_a_folder_is_not_written_into_itself(
    output: str, models: Path, album: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = _files(album)
    assert "would be written into itself" in _refused(["album", "-o", output], capsys)
    assert _files(album) == before


def test_a_second_run_of_a_pattern_does_not_color_its_own_results(
    models: Path, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(2):
        assert main(["*.png"]) == 0
        assert _names(photos) == ["a-color.png", "a.png", "b.jpg", "c-color.png", "c.png"]
    error = capsys.readouterr().err
    assert "2 colored already" in error and "left out: 2 that an earlier run wrote" in error
    # a-color.png may be the user's own: it is one of the photographs that were named.
    before = Path("a-color.png").read_bytes()
    assert main(["*.png", "--overwrite"]) == 1
    assert "a-color.png is a photograph itself" in capsys.readouterr().err
    assert Path("a-color.png").read_bytes() == before


def test_patterns_that_the_shell_has_left(
    models: Path, album: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["[ab].*", "album/**/*.tif", "-o", "out"]) == 0
    assert _names(Path("out")) == ["a.png", "b.png", "three.png"]
    # A name is a name first.
    Image.fromarray(tiny.patches(1, 90)[0]).save("[ab].png")
    assert main(["[ab].png", "-o", "one.png"]) == 0
    np.testing.assert_array_equal(_pixels("one.png"), colorize_image("[ab].png", "photo"))


def test_the_same_photograph_twice_is_one(models: Path, photos: Path) -> None:
    assert main(["a.png", str(photos / "a.png"), "*.jpg", "b.jpg", "-o", "out"]) == 0
    assert _names(Path("out")) == ["a.png", "b.png"]


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
def test_a_photograph_behind_a_link_is_not_overwritten(models: Path, photos: Path) -> None:
    Path("link.png").symlink_to("a.png")
    Path("hard.png").hardlink_to("b.jpg")
    before = {name: Path(name).read_bytes() for name in ("a.png", "b.jpg")}
    assert main(["a.png", "-o", "link.png", "--overwrite"]) == 1
    assert main(["b.jpg", "-o", "hard.png", "--overwrite"]) == 1
    assert {name: Path(name).read_bytes() for name in before} == before


@pytest.mark.parametrize("suffix", ["jpg", ".webp", "TIF"])
def test_the_format_by_option(suffix: str, models: Path, photos: Path) -> None:
    assert main(["a.png", "b.jpg", "--format", suffix]) == 0
    plain = suffix.lower().lstrip(".")
    expected = {"jpg": "JPEG", "webp": "WEBP", "tif": "TIFF"}[plain]
    for stem in "ab":
        with Image.open(f"{stem}-color.{plain}") as image:
            assert image.format == expected


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_progress_bar_for_who_looks_at_a_terminal(
    models: Path, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = _Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    assert main(["a.png", "b.jpg", "c.png", "-o", "out"]) == 0
    assert "3/3" in terminal.getvalue()
    shown = len(terminal.getvalue())
    assert main(["a.png", "-o", "alone.png"]) == 0
    assert len(terminal.getvalue()) == shown


def test_no_picture_to_a_terminal(
    models: Path, photos: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert "got the terminal" in _refused(["a.png", "-o", "-"], capsys)


def _piped(arguments: list[str], content: bytes) -> subprocess.CompletedProcess[bytes]:
    package = str(Path(paths.__file__).parents[1])
    environment = {**os.environ, "PYTHONPATH": package, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "colorize", *arguments]
    return subprocess.run(command, env=environment, input=content, capture_output=True, check=False)


def test_standard_input_to_standard_output(models: Path, photos: Path) -> None:
    """In a process of its own: bytes are bytes, and there is nothing else among them."""
    with Image.open("a.png") as image:
        image.putalpha(Image.linear_gradient("L").resize(image.size))
        encoded = io.BytesIO()
        image.save(encoded, "PNG")
    done = _piped(["-", "--format", "jpg"], encoded.getvalue())
    assert done.returncode == 0
    assert done.stderr.decode().strip().startswith("colorize: -: its transparency was laid over")
    with Image.open(io.BytesIO(done.stdout)) as image:
        assert (image.format, image.size) == ("JPEG", (40, 40))
        image.load()
    assert done.stdout.endswith(b"\xff\xd9")
    assert _names(photos) == ["a.png", "b.jpg", "c.png"]


def _stdin(monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))


def test_every_way_through_a_pipe(
    models: Path, photos: Path, monkeypatch: pytest.MonkeyPatch, capfdbinary: Any
) -> None:
    expected = colorize_image("b.jpg", "photo")
    content = Path("b.jpg").read_bytes()
    for arguments in (["-"], ["-", "-o", "-"], ["b.jpg", "-o", "-"]):
        _stdin(monkeypatch, content)
        assert main(arguments) == 0
        output = capfdbinary.readouterr()
        assert output.err == b""
        with Image.open(io.BytesIO(output.out)) as image:
            assert image.format == "PNG"
            np.testing.assert_array_equal(np.asarray(image), expected)
    for arguments, target in (
        (["-", "-o", "out.png"], "out.png"),
        (["-", "c.png", "-o", "out"], "out/stdin.png"),
    ):
        _stdin(monkeypatch, content)
        assert main(arguments) == 0
        np.testing.assert_array_equal(_pixels(target), expected)
    capfdbinary.readouterr()
    for content, message in ((b"no picture", b"colorize: -: expected an image"), (b"", b"empty")):
        _stdin(monkeypatch, content)
        assert main(["-"]) == 1
        output = capfdbinary.readouterr()
        assert output.out == b"" and message in output.err


def test_ctrl_c_leaves_whole_files_and_the_next_run_goes_on(
    models: Path, home: Path, photos: Path, tmp_path: Path
) -> None:
    many, out, output = photos / "many", photos / "out", tmp_path / "output.txt"
    many.mkdir()
    for i in range(16):
        Image.fromarray(tiny.patches(1, i, 128)[0]).save(many / f"{i:02}.png")
    process = tiny.start(tiny.command_line, home, [str(many), "-o", str(out)], output)
    deadline = time.monotonic() + 60
    while not list(out.glob("0[1-9].png")) and process.is_alive() and time.monotonic() < deadline:
        time.sleep(0.002)
    tiny.interrupt(process)
    assert tiny.finish(process) == 130
    text = output.read_text(encoding="utf-8")
    assert "colorize: interrupted" in text and "Traceback" not in text
    there = _names(out)
    assert 2 <= len(there) < 16 and all(name.endswith(".png") and name[0] != "." for name in there)
    assert all(_pixels(out / name).shape == (128, 128, 3) for name in there)
    stamps = {name: (out / name).stat().st_mtime_ns for name in there}
    assert main([str(many), "-o", str(out)]) == 0
    assert _names(out) == [f"{i:02}.png" for i in range(16)]
    assert {name: (out / name).stat().st_mtime_ns for name in there} == stamps


# --- models and help ---------------------------------------------------------------------------


def test_models(models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models"]) == 0
    assert capsys.readouterr().out == "euclidean\nother\nphoto\n"


def test_no_models(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models"]) == 0
    assert "none yet" in capsys.readouterr().out


@pytest.mark.parametrize("command", [None, *COMMANDS])
def test_help(command: str | None, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [command] if command else []
    with pytest.raises(SystemExit) as caught:
        main([*arguments, "--help"])
    assert caught.value.code == 0
    output = capsys.readouterr().out
    assert output.startswith(f"usage: colorize {' '.join(arguments)}".rstrip())
    for other in COMMANDS if command is None else ():
        assert f"colorize {other}" in output
    if command == "train":
        # argparse breaks lines at hyphens, also inside of a name.
        assert all(name in "".join(output.split()) for name in EXPERIMENTS)


def test_help_does_not_wait_for_torch() -> None:
    script = "import sys, colorize.cli; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    assert done.stdout.strip() == b"False"


# --- training ----------------------------------------------------------------------------------


def test_train_at_quick_scale(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["train", "simplified", "--scale", "quick", "--epochs", "0.2"]
    assert main([*arguments, "--precision", "no", "--cpu"]) == 0
    output = capsys.readouterr().out
    results = load_results(home / "CHECKPOINTS" / "quick" / "simplified.json")
    assert results["steps"] == 1 and results["experiment"]["recipe"]["epochs"] == 0.2
    assert f"{results['test']['psnr']['mean']:.2f} ±" in output and "| grey |" in output
    assert list((home / "RUNS").rglob("events.out.tfevents*"))
    found = tiny.weights(home / "CHECKPOINTS" / "quick" / "simplified.safetensors")
    assert found["head.weight"].dtype == torch.float32
    # Again only when it is said so.
    assert main(arguments) == 0
    assert "trained already; --again" in capsys.readouterr().out
    stamp = (home / "CHECKPOINTS" / "quick" / "simplified.json").stat().st_mtime_ns
    assert main([*arguments, "--test"]) == 0
    assert (home / "CHECKPOINTS" / "quick" / "simplified.json").stat().st_mtime_ns > stamp


def test_what_one_experiment_lacks_does_not_stop_the_others(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    short = ["--scale", "quick", "--epochs", "0.1", "--recipe", "paper", "--seed", "4"]
    assert main(["train", "rebalanced", "simplified-final", "euclidean", *short]) == 1
    error = capsys.readouterr().err
    assert "rebalanced-seed4: " in error and "python DOWNLOADER/download.py imagenet-prior" in error
    assert "simplified-final-seed4: " in error and "train simplified --scale quick" in error
    results = load_results(home / "CHECKPOINTS" / "quick" / "euclidean-seed4.json")
    recipe = results["experiment"]["recipe"]
    assert (recipe["optimizer"], recipe["lr"], recipe["crop"]) == ("adam", 3.16e-5, 64)
    assert results["experiment"]["seed"] == 4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["rebalance"], "expected one of euclidean"),
        (["euclidean", "--scale", "huge"], "--scale"),
        (["euclidean", "--scale", "quick", "--accumulate", "3"], "divisor of the batch of 16"),
        (["euclidean", "--scale", "quick", "--epochs", "0"], "epochs"),
        (["euclidean", "--scale", "quick", "--epochs", "-1"], "epochs"),
        (["euclidean", "--scale", "quick", "--epochs", "nan"], "epochs"),
        (["euclidean", "--scale", "quick", "--save-every", "0"], "save"),
        (["euclidean", "--scale", "small", "--data", "nowhere"], "nowhere"),
        (["euclidean", "--scale", "small"], "DOWNLOADER"),
        (["euclidean", "--scale", "quick", "--test"], "train the experiment first"),
        ([], "experiments"),
    ],
    ids=str,
)
def test_training_that_cannot_be_done(
    arguments: list[str], message: str, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert message in _refused(["train", *arguments], capsys)
    assert not list(home.rglob("*.safetensors"))


RUN = ["train", "euclidean", "--scale", "quick", "--epochs", "1.5", "--save-every", "1", "--cpu"]


def test_ctrl_c_ends_with_130_and_resume_gives_the_same_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    output, folder = tmp_path / "output.txt", tmp_path / "cut" / "CHECKPOINTS" / "quick"
    state = folder / "euclidean.state.pt"
    process = tiny.start(tiny.command_line, tmp_path / "cut", RUN, output)
    deadline = time.monotonic() + 60
    while not state.is_file() and process.is_alive() and time.monotonic() < deadline:
        time.sleep(0.002)
    tiny.interrupt(process)
    assert tiny.finish(process) == 130
    text = output.read_text(encoding="utf-8")
    step = torch.load(state, weights_only=True)["step"]
    assert f"colorize: Stopped after step {step} of 10. The state is saved in" in text
    assert "Traceback" not in text and not (folder / "euclidean.json").exists()

    monkeypatch.setenv("COLORIZE_HOME", str(tmp_path / "cut"))
    assert main(RUN) == 1
    message = "unfinished run of 'euclidean' is there: resume it (--resume"
    assert message in capsys.readouterr().err
    assert main([*RUN, "--resume"]) == 0
    monkeypatch.setenv("COLORIZE_HOME", str(tmp_path / "whole"))
    assert main(RUN) == 0
    whole = tmp_path / "whole" / "CHECKPOINTS" / "quick"
    assert _names(folder) == _names(whole) and not state.exists()
    results = [load_results(place / "euclidean.json") for place in (folder, whole)]
    for name in ("euclidean", "euclidean-last"):
        file = f"{name}.safetensors"
        tiny.assert_same_bits(tiny.weights(folder / file), tiny.weights(whole / file))
    one, other = (
        {**r, "curve": tiny.timeless(r["curve"]), "seconds": 0, "weights_sha256": ""}
        for r in results
    )
    assert one == other


# --- measuring ---------------------------------------------------------------------------------


@pytest.mark.skipif(find_spec("onnxruntime") is None, reason="needs the extra `export`")
def test_export(models: Path, photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", "photo", "out.onnx"]) == 0
    lines = capsys.readouterr().out.splitlines()
    size = Path("out.onnx").stat().st_size
    assert lines[0] == f"out.onnx: {size / 1e6:.1f} MB, opset 18"
    difference = re.fullmatch(r"differs from torch by at most (\S+) in ab", lines[1])
    assert difference is not None and float(difference[1]) <= 1e-3
    assert re.fullmatch(r"256 x 256 .*: torch [\d.]+ ms, ONNX [\d.]+ ms", lines[2])
    assert "out.onnx is there already" in _refused(["export", "photo", "out.onnx"], capsys)


def test_export_that_cannot_be(
    models: Path, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("mine.onnx").write_text("mine", encoding="utf-8")
    for arguments, message in (
        (["photo", "out.pt"], "expected a name ending in .onnx, got out.pt"),
        (["dream", "out.onnx"], "'dream'"),
        (["photo", "mine.onnx"], "mine.onnx is there already; --overwrite"),
        (["photo"], "output"),
    ):
        assert message in _refused(["export", *arguments], capsys)
    assert Path("mine.onnx").read_text(encoding="utf-8") == "mine"
    assert _names(photos) == ["a.png", "b.jpg", "c.png", "mine.onnx"]


def test_evaluate(
    models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: Any
) -> None:
    folder = tmp_path / "data" / "things"
    folder.mkdir(parents=True)
    for i, patch in enumerate(tiny.patches(5, 53)):
        Image.fromarray(patch).save(folder / f"{i}.png")
    out = tmp_path / "measured.json"
    arguments = ["evaluate", "photo", "--data", str(tmp_path / "data"), "-o", str(out)]
    assert main([*arguments, "--size", "32"]) == 0
    results = load_results(out)
    assert results["test"]["n"] == 5
    expected = f"{results['test']['psnr']['mean']:.2f} ±"
    assert expected in capsys.readouterr().out
    assert "none of ImageNet's" in results["test"]["recognized"]["missing"]
    assert "nowhere" in _refused(["evaluate", "photo", "--data", "nowhere"], capsys)
    assert "'dream'" in _refused(["evaluate", "dream", "--data", str(tmp_path / "data")], capsys)


@pytest.mark.parametrize(("count", "size"), [(1, 32), (3, 16)])
def test_evaluate_what_is_too_little_for_lpips_and_fid(
    count: int, size: int, models: Path, tmp_path: Path
) -> None:
    """One picture, or pictures of 16 px: the other metrics are measured."""
    folder = tmp_path / "data" / "things"
    folder.mkdir(parents=True)
    for i, patch in enumerate(tiny.patches(count, 53)):
        Image.fromarray(patch).save(folder / f"{i}.png")
    out = tmp_path / "measured.json"
    arguments = ["evaluate", "photo", "--data", str(tmp_path / "data"), "-o", str(out)]
    assert main([*arguments, "--size", str(size)]) == 0
    test = load_results(out)["test"]
    assert test["n"] == count and test["rmse_ab"]["mean"] > 0
    assert "missing" in test["lpips"] and "missing" in test["fid"]


def test_evaluate_one_split_of_a_set_that_is_divided(models: Path, tmp_path: Path) -> None:
    """Two pictures of ``val`` are for validation and two for the test; ``train`` is neither."""
    for folder, some in (("train", slice(0, 3)), ("val", slice(3, 7))):
        (tmp_path / "data" / folder).mkdir(parents=True)
        for i, patch in enumerate(tiny.patches(7, 53)[some]):
            Image.fromarray(patch).save(tmp_path / "data" / folder / f"{i}.png")
    out = tmp_path / "measured.json"
    arguments = ["evaluate", "photo", "--data", str(tmp_path / "data"), "-o", str(out)]
    counts = {}
    for split in ("train", "val", "test"):
        words = ["--size", "32", "--split", split, "--split-by", "folders"]
        assert main([*arguments, *words]) == 0
        counts[split] = load_results(out)["test"]["n"]
    assert counts["train"] == 3 and counts["val"] + counts["test"] == 4


def test_groups_of_experiments() -> None:
    assert GROUPS["study-a-variants"] == tuple(STUDY_A_VARIANTS)
    assert GROUPS["study-a-repeated"] == ("rebalanced-ours", "simplified")
    assert set().union(*GROUPS.values()) == set(EXPERIMENTS)
    assert not set(GROUPS) & set(EXPERIMENTS)
