"""The command line: photographs, training, what goes wrong, and Ctrl-C."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import torch
from PIL import Image
from tiny import light as light

from colorize import paths
from colorize.cli import main
from colorize.evaluation import load_results
from colorize.experiments import EXPERIMENTS
from colorize.inference import colorize_image
from colorize.models import EuclideanModel

pytestmark = pytest.mark.usefixtures("light")

COMMANDS = ("train", "evaluate", "notebook", "models", "tables")


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
    for arguments, expected in (
        (["--model", "other"], {"model": "other"}),
        (["--model", str(models / "other.safetensors")], {"model": "other"}),
        (["--temperature", "0"], {"model": "photo", "temperature": 0.0}),
        (["--size", "16"], {"model": "photo", "size": 16}),
    ):
        assert main(["a.png", "-o", "out.png", *arguments]) == 0
        settings: dict[str, Any] = dict(expected)
        found = colorize_image("a.png", **settings)
        np.testing.assert_array_equal(_pixels("out.png"), found)


@pytest.mark.parametrize("suffix", ["jpg", "tif", "webp", "bmp", "PNG"])
def test_other_formats(suffix: str, models: Path, photos: Path) -> None:
    assert main(["a.png", "-o", f"out.{suffix}"]) == 0
    found = _pixels(f"out.{suffix}").astype(int)
    assert np.abs(found - colorize_image("a.png", "photo")).mean() < 12


@pytest.mark.parametrize("bad", ["text.jpg", "missing.png", "."])
def test_a_bad_file_is_named_while_the_rest_goes_on(
    bad: str, models: Path, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("text.jpg").write_text("no picture", encoding="utf-8")
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
    assert "photos" in _refused([], capsys)


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
        assert all(name in output for name in EXPERIMENTS)


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
    assert "rebalanced: " in error and "python DOWNLOADER/download.py imagenet-prior" in error
    assert "simplified-final: " in error and "train simplified --scale quick" in error
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
    one, other = ({**r, "curve": tiny.timeless(r["curve"]), "seconds": 0} for r in results)
    assert one == other


# --- measuring ---------------------------------------------------------------------------------


def test_evaluate(
    models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: Any
) -> None:
    folder = tmp_path / "data" / "things"
    folder.mkdir(parents=True)
    for i, patch in enumerate(tiny.patches(5, 53)):
        Image.fromarray(patch).save(folder / f"{i}.png")
    begin, end = "<!-- results: written by colorize tables -->", "<!-- /results -->"
    card = tmp_path / "card.md"
    card.write_text(f"# photo\n{begin}\n{end}\n", encoding="utf-8")
    out = tmp_path / "measured.json"
    arguments = ["evaluate", "photo", "--data", str(tmp_path / "data"), "-o", str(out)]
    assert main([*arguments, "--size", "32", "--card", str(card)]) == 0
    results = load_results(out)
    assert results["test"]["n"] == 5
    expected = f"{results['test']['psnr']['mean']:.2f} ±"
    assert expected in capsys.readouterr().out
    assert expected in card.read_text(encoding="utf-8")
    assert "nowhere" in _refused(["evaluate", "photo", "--data", "nowhere"], capsys)
    assert "'dream'" in _refused(["evaluate", "dream", "--data", str(tmp_path / "data")], capsys)


def test_tables_of_a_file_without_marks(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    readme = tmp_path / "README.md"
    readme.write_text("# nothing here\n", encoding="utf-8")
    assert "marks" in _refused(["tables", str(readme)], capsys)
    assert readme.read_text(encoding="utf-8") == "# nothing here\n"
    assert "none.md" in _refused(["tables", str(tmp_path / "none.md")], capsys)
