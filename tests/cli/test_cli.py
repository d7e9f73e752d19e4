"""The commands beside coloring: help, models, export, training, evaluation."""

from __future__ import annotations

import re
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

pytestmark = pytest.mark.usefixtures("light")

COMMANDS = ("train", "evaluate", "export", "notebook", "models", "results")


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


def test_train_shows_what_there_is_at_a_scale(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    show = ["--scale", "paper", "--show"]
    assert main(["train", "simplified-final", *show, "--epochs", "7"]) == 0
    output = capsys.readouterr().out
    assert "SimplifiedModel" in output and "vehicles-final" in output and "epochs=7" in output
    # Of a group what says something at the scale; a name that does not is refused.
    assert main(["train", "study-a-variants", *show]) == 0
    output = capsys.readouterr().out
    assert "name='rebalanced-smooth-index'" in output and "name='simplified" not in output
    assert "paper scale" in _refused(["train", "simplified-patches", *show], capsys)
    assert not home.exists()


def test_groups_of_experiments() -> None:
    assert GROUPS["study-a-variants"] == tuple(STUDY_A_VARIANTS)
    assert GROUPS["study-a-repeated"] == ("rebalanced-ours", "simplified")
    assert set().union(*GROUPS.values()) == set(EXPERIMENTS)
    assert not set(GROUPS) & set(EXPERIMENTS)
