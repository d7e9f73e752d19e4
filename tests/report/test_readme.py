"""What the README says is run as it stands."""

import re
import shlex
import shutil
import subprocess
import sys
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from colorize.cli import main
from colorize.experiments.presets import TINY_VEHICLES

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def commands() -> list[str]:
    lines = [line.split(" #")[0].strip() for block in blocks("sh") for line in block.splitlines()]
    return [line for line in lines if line]


def save_noise(path: Path, seed: int, size: int = 64) -> None:
    """A picture with color in it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    Image.fromarray(rng.integers(0, 256, (size, size, 3), dtype=np.uint8)).save(path)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with the files that the README's examples name."""
    save_noise(tmp_path / "photo.jpg", 0, 96)
    for i in range(48):
        save_noise(tmp_path / "photos" / f"class{i % 2}" / f"{i}.png", i)
    with zipfile.ZipFile(tmp_path / "tiny-imagenet-200.zip", "w") as archive:
        for wnid in TINY_VEHICLES:
            for i in range(8):
                name = f"tiny-imagenet-200/train/{wnid}/images/{wnid}_{i}.png"
                save_noise(tmp_path / "one.png", zlib.crc32(f"{wnid}{i}".encode()))
                archive.write(tmp_path / "one.png", name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_python_blocks_run_as_they_stand(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    names = {
        "L": torch.full((1, 1, 64, 64), 50.0),
        "rgb_batch": torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8),
    }
    photos, using, labelling, training = blocks("python")
    exec(photos, names)
    assert names["rgb"].shape == (96, 96, 3) and len(names["answers"]) == 4
    assert names["entropy"].shape == (96, 96)
    exec(labelling, names)
    assert names["labels"][0][0] in names["model"].class_names
    exec(using, names)
    assert names["rgb"].shape == (96, 96, 3)
    assert names["ab"].shape == (1, 2, 64, 64)
    monkeypatch.setenv("COLORIZE_HOME", str(folder / "home"))
    exec(training, names)
    assert (folder / "home" / "CHECKPOINTS" / "mine.safetensors").is_file()
    assert next(names["model"].parameters()).grad is not None


def test_the_photo_commands_run(folder: Path) -> None:
    found = [c for c in commands() if c.startswith("python -m colorize photo")]
    assert len(found) == 4
    first, *others = (shlex.split(command)[1:] for command in found)
    subprocess.run(
        [sys.executable, *first], check=True, env={**_environment(), "OMP_NUM_THREADS": "2"}
    )
    for arguments in others:
        assert main(arguments[2:]) == 0
    for name in ("out.png", "red.png", "photo-color-1.png", "photo-color-4.png"):
        with Image.open(name) as colored:
            assert colored.size == (96, 96)
    assert len(list((folder / "colored").rglob("*.png"))) == 48


def test_the_download_command_lists_the_sets() -> None:
    (command,) = [c for c in commands() if "DOWNLOADER" in c and "--list" in c]
    program, script, *arguments = shlex.split(command)
    found = subprocess.run(
        [sys.executable, ROOT / script, *arguments], check=True, capture_output=True, text=True
    )
    assert program == "python" and "tiny-imagenet" in found.stdout


def test_the_training_command_runs(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLORIZE_HOME", str(folder / "home"))
    (command,) = [c for c in commands() if " train simplified " in c]
    arguments = shlex.split(command)[3:]
    assert main([*arguments, "--epochs", "1"]) == 0
    assert (folder / "home" / "CHECKPOINTS" / "simplified.json").is_file()


def test_the_ablation_command_runs(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLORIZE_HOME", str(folder / "home"))
    for i in range(60):
        kind = "Apple" if i % 2 else "Lemon"
        save_noise(folder / "NCD" / "ColorfulOriginal" / kind / f"{kind}{i}.jpg", i, 160)
    with zipfile.ZipFile(folder / "NCD.zip", "w") as archive:
        for path in (folder / "NCD").rglob("*.jpg"):
            archive.write(path, path.relative_to(folder / "NCD"))
    (command,) = [c for c in commands() if " train ncd " in c]
    words = ["ncd-joint" if word == "ncd" else word for word in shlex.split(command)[3:]]
    assert main([*words, "--epochs", "1"]) == 0
    found = sorted(p.name for p in (folder / "home" / "CHECKPOINTS" / "ablation").glob("*.json"))
    assert found == ["ncd-joint-seed1.json", "ncd-joint-seed2.json", "ncd-joint.json"]


def test_the_make_targets_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for command in commands():
        if command.startswith("make "):
            assert f"\n{command.split()[1]}:" in makefile


@pytest.mark.skipif(shutil.which("make") is None, reason="there is no make here")
def test_make_experiments_calls_what_it_is_told() -> None:
    """The commands themselves are tested elsewhere, and here that make words them rightly."""
    told = [shlex.split(c)[1:] for c in commands() if c.startswith("make experiments")]
    assert told, "the README says how to run one experiment again"
    for words in told:
        run = ["make", "--dry-run", "--directory", str(ROOT), *words]
        said = subprocess.run(run, capture_output=True, text=True, check=True).stdout
        calls = re.findall(r"-m colorize train (.*?) \|\|", said)
        assert calls and all("tiny-imagenet-200.zip" in call for call in calls)
        assert [call.split()[-1] for call in calls] == ["simplified"]
        assert "--again" in calls[0] and "--seed" not in calls[0]


def test_its_tables_are_those_of_the_results(tmp_path: Path) -> None:
    copy = tmp_path / "README.md"
    copy.write_text(README, encoding="utf-8")
    shutil.copytree(ROOT / "benchmarks", tmp_path / "benchmarks")
    assert main(["tables", str(copy)]) == 0
    assert copy.read_text(encoding="utf-8") == README


def test_what_it_links_to_exists() -> None:
    targets = re.findall(r"\]\(([^)#]+)\)", README)
    files = [target for target in targets if "://" not in target]
    assert files
    for file in files:
        assert (ROOT / file).is_file(), file


def _environment() -> dict[str, str]:
    import os

    return {**os.environ, "PYTHONPATH": str(ROOT)}
