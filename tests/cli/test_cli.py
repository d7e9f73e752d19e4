"""The commands beside coloring: help, models, export, training, evaluation."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import tiny
from helpers.tiny import light as light
from PIL import Image
from skimage.metrics import peak_signal_noise_ratio

from colorize import paths
from colorize.app import app
from colorize.cli import main
from colorize.cli.study import GROUPS
from colorize.errors import InputError
from colorize.evaluation.results import load_results
from colorize.experiments.catalog import EXPERIMENTS
from colorize.experiments.study_a import STUDY_A_VARIANTS
from colorize.photo.colorize import colorize_image

pytestmark = pytest.mark.usefixtures("light")

COMMANDS = ("train", "evaluate", "export", "notebook", "models", "results")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty working directory, and no models that are shipped."""
    monkeypatch.setattr(paths, "shipped_checkpoints", lambda: tmp_path / "shipped")
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")


@pytest.fixture
def models(home: Path) -> None:
    for name in ("photo", "other"):
        tiny.save_tiny(home / "CHECKPOINTS" / f"{name}.safetensors")


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


@pytest.mark.usefixtures("models")
def test_models(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models"]) == 0
    assert capsys.readouterr().out == "other\nphoto\n"
    for path in (home / "CHECKPOINTS").iterdir():
        path.unlink()
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


def test_a_word_that_is_no_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert "colorize --help" in _refused(["help"], capsys)


@pytest.mark.parametrize("port", ["0", "65536", "http"])
def test_a_port_that_no_machine_has(port: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["app", "--port", port])
    assert caught.value.code == 2 and "--port" in capsys.readouterr().err
    with pytest.raises(InputError, match="port"):
        app(port=int(port) if port.isdigit() else port)  # type: ignore[arg-type]


# --- training ----------------------------------------------------------------------------------


def test_train_at_quick_scale(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["train", "simplified", "--scale", "quick", "--epochs", "0.2"]
    assert main([*arguments, "--precision", "float32", "--cpu"]) == 0
    output = capsys.readouterr().out
    results = load_results(home / "CHECKPOINTS" / "quick" / "simplified.json")
    assert results["steps"] == 1 and results["experiment"]["recipe"]["epochs"] == 0.2
    assert f"{results['test']['psnr']['mean']:.2f} ±" in output and "| grey |" in output
    assert list((home / "RUNS").rglob("events.out.tfevents*"))
    found = tiny.weights(home / "CHECKPOINTS" / "quick" / "simplified-last.safetensors")
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
        (["euclidean", "--scale", "quick", "--data", "photos"], "photographs of the dependencies"),
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


# --- measuring ---------------------------------------------------------------------------------


@pytest.mark.usefixtures("models")
@pytest.mark.skipif(find_spec("onnxruntime") is None, reason="needs the extra `export`")
def test_export(capsys: pytest.CaptureFixture[str]) -> None:
    Path("mine.onnx").write_text("mine", encoding="utf-8")
    for arguments, subject in (
        (["photo", "out.pt"], ".onnx"),
        (["dream", "out.onnx"], "dream"),
        (["photo", "mine.onnx"], "--overwrite"),
    ):
        assert subject in _refused(["export", *arguments], capsys)
    assert Path("mine.onnx").read_text(encoding="utf-8") == "mine"
    assert main(["export", "photo", "out.onnx"]) == 0
    assert "out.onnx" in capsys.readouterr().out
    assert _names(Path()) == ["mine.onnx", "out.onnx"]


@pytest.mark.usefixtures("models")
def test_evaluate(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "data" / "things"
    folder.mkdir(parents=True)
    for i, patch in enumerate(tiny.patches(5, 53)):
        Image.fromarray(patch[: 40 - i]).save(folder / f"{i}.png")
    out = tmp_path / "measured.json"
    arguments = ["evaluate", "photo", "--data", str(tmp_path / "data"), "-o", str(out)]
    assert main([*arguments, "--size", "32"]) == 0
    results = load_results(out)
    assert results["test"]["n"] == 5
    expected = f"{results['test']['psnr']['mean']:.2f} ±"
    printed = capsys.readouterr().out
    assert expected in printed and "CHECKPOINTS" not in printed
    assert "none of ImageNet's" in results["test"]["recognized"]["missing"]
    # The published protocol: whole pictures of one size, as a user gets them colored.
    assert main([*arguments, "--whole", "--size", "48"]) == 0
    truths = [np.asarray(Image.open(path).resize((48, 48))) for path in folder.iterdir()]
    psnr = [peak_signal_noise_ratio(rgb, colorize_image(rgb, "photo")) for rgb in truths]
    assert load_results(out)["test"]["psnr"]["mean"] == pytest.approx(np.mean(psnr), rel=1e-5)
    assert "size" in _refused([*arguments, "--size", "0"], capsys)
    assert "a file" in _refused([*arguments[:-1], str(tmp_path)], capsys)
    assert "nowhere" in _refused(["evaluate", "photo", "--data", "nowhere"], capsys)
    assert "'dream'" in _refused(["evaluate", "dream", "--data", str(tmp_path / "data")], capsys)


@pytest.mark.usefixtures("models")
@pytest.mark.parametrize(("count", "size"), [(1, 32), (3, 16)])
def test_evaluate_what_is_too_little_for_lpips_and_fid(
    count: int, size: int, tmp_path: Path
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


@pytest.mark.usefixtures("models")
def test_evaluate_one_split_of_a_set_that_is_divided(tmp_path: Path) -> None:
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
    assert "name='simplified-longer'" in output and "name='simplified-patches" not in output
    assert "paper scale" in _refused(["train", "simplified-patches", *show], capsys)
    assert not home.exists()


def test_groups_of_experiments() -> None:
    assert GROUPS["study-a-variants"] == tuple(STUDY_A_VARIANTS)
    assert set().union(*GROUPS.values()) == set(EXPERIMENTS)
    assert not set(GROUPS) & set(EXPERIMENTS)
