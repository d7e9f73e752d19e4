"""Each entry of the catalog from a small copy: what comes, is recognized, refused and replaced."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from helpers.archives import contents, synset, tar_of, zip_of
from helpers.webserver import Server

from colorize.errors import DownloadError, InputError
from colorize.experiments.presets import MORE_VEHICLES, VEHICLES
from colorize.models.hub import PUBLISHED
from DOWNLOADER import download as module
from DOWNLOADER.catalog import CATALOG
from DOWNLOADER.download import download, main

Bring = Callable[..., Path]
AIRPLANES = "n02691156"
DOGS = {"Images/n02085620-Chihuahua/n02085620_7.jpg", "train_list.mat", "test_list.mat"}
NAMES = {
    "vehicles": {f"vehicles/{w}/{n}" for w in VEHICLES for n in synset(w)},
    "vehicles-final": {
        f"vehicles-final/{w}/{n}" for w in VEHICLES + MORE_VEHICLES for n in synset(w)
    },
    "tiny-imagenet": {"tiny-imagenet.zip"},
    "stanford-dogs": {f"stanford-dogs/{name}" for name in DOGS},
    "imagewoof": {"imagewoof/imagewoof2-160/val/n02086240/1.JPEG"},
    "coco": {"coco-train2017.zip", "coco-val2017.zip"},
    "coco-val": {"coco-val2017.zip"},
    "places365-val": {"places365-val/train/val_256/Places365_val_00000001.jpg"},
    "imagenet-prior": {"prior-imagenet.npy", "pts_in_hull.npy"},
    "eccv16": {"colorization_release_v2-9b330a0b.pth"},
    "siggraph17": {"siggraph17-df00044c.pth"},
}


def path_of_synset(wnid: str) -> str:
    return f"/image-net.org/data/winter21_whole/{wnid}.tar"


@pytest.mark.parametrize("name", NAMES)
def test_each_entry_comes_whole_and_once(server: Server, bring: Bring, to: Path, name: str) -> None:
    came = bring(name)
    assert set(contents(to)) == NAMES[name] and came.exists()
    assert {path.name for path in to.iterdir() if path.suffix != ".lock"} == {
        entry.partition("/")[0] for entry in NAMES[name]
    }
    asked = len(server.asked)
    assert asked == len(CATALOG[name].select())
    assert bring(name) == came and len(server.asked) == asked


def test_places_are_the_projects(server: Server, home: Path) -> None:
    assert download("vehicles", progress=False) == home / "DATA" / "vehicles"
    prior = home / "PRECALCULATED" / "prior-imagenet.npy"
    assert download("imagenet-prior", progress=False) == prior
    assert download("eccv16", progress=False).parent == home / "CHECKPOINTS"


def test_weights_are_those_of_the_library() -> None:
    for name, published in PUBLISHED.items():
        (file,) = CATALOG[name].files
        assert (file.url, file.sha256) == (published.url, published.sha256)
        assert file.target == published.path.name


@pytest.mark.parametrize(
    ("name", "options", "subject"),
    [
        ("nothing", {}, "nothing"),
        ("imagenet-synsets", {}, "classes"),
        ("imagenet-synsets", {"classes": ["../n02691156"]}, "WordNet id"),
        ("vehicles", {"classes": ["n09999999"]}, "none of the classes"),
        ("ncd", {"classes": [AIRPLANES]}, "classes"),
        ("tiny-imagenet", {"max_per_class": 3}, "max_per_class"),
        ("vehicles", {"max_per_class": 0}, "max_per_class"),
    ],
)
def test_requests_that_make_no_sense(
    server: Server, bring: Bring, to: Path, name: str, options: dict[str, Any], subject: str
) -> None:
    with pytest.raises(InputError, match=subject):
        bring(name, **options)
    assert not server.asked and not to.exists()


def test_other_arguments_are_another_set(server: Server, bring: Bring) -> None:
    folder = bring("vehicles", max_per_class=2)
    assert len(contents(folder)) == 2 * len(VEHICLES)
    server.asked.clear()
    for options in ({}, {"max_per_class": 3}, {"classes": [AIRPLANES], "max_per_class": 2}):
        with pytest.raises(DownloadError, match="--replace"):
            bring("vehicles", **options)
    assert not server.asked and len(contents(folder)) == 2 * len(VEHICLES)
    assert len(contents(bring("vehicles", replace=True))) == 6 * len(VEHICLES)


def test_a_folder_of_somebody_else_is_never_touched(server: Server, bring: Bring, to: Path) -> None:
    (to / "vehicles").mkdir(parents=True)
    (to / "vehicles" / "mine.txt").write_text("years of work")
    with pytest.raises(DownloadError, match="--replace"):
        bring("vehicles")
    assert contents(to) == {"vehicles/mine.txt": b"years of work"} and not server.asked


@pytest.mark.parametrize(("again", "requests"), [(2, 1), (None, len(VEHICLES))])
def test_an_interrupted_set_goes_on_only_with_the_same_request(
    server: Server, bring: Bring, to: Path, again: int | None, requests: int
) -> None:
    last = path_of_synset(VEHICLES[-1])
    whole = server.answers.pop(last)
    with pytest.raises(DownloadError, match=f"404.* at {to}/{VEHICLES[-1]}.tar"):
        bring("vehicles", max_per_class=2)
    assert not (to / "vehicles").exists()
    server.answers[last] = whole
    server.asked.clear()
    folder = bring("vehicles", max_per_class=again)
    assert len(server.asked) == requests
    assert len(contents(folder)) == (again or 6) * len(VEHICLES)
    assert not (to / "vehicles.part").exists()


def test_what_somebody_put_there_by_hand(server: Server, bring: Bring, to: Path) -> None:
    to.mkdir()
    (to / f"{AIRPLANES}.tar").write_bytes(tar_of(synset(AIRPLANES)))
    (to / "ncd.zip").write_bytes(zip_of({"ColorfulOriginal/Apple/1.jpg": b"red"}))
    assert bring("ncd") == to / "ncd.zip" and not server.asked
    assert len(contents(bring("vehicles"))) == 6 * len(VEHICLES)
    assert not server.count(path_of_synset(AIRPLANES)) and (to / f"{AIRPLANES}.tar").is_file()
    for name, body in (("ncd", b"<html>quota</html>"), ("tiny-imagenet", zip_of({"a": b"b"}))):
        (to / f"{name}.zip").write_bytes(body)
        with pytest.raises(DownloadError, match=rf"{name}\.zip is there, but is not"):
            bring(name)
        assert (to / f"{name}.zip").read_bytes() == body
    assert bring("tiny-imagenet", replace=True).stat().st_size > 100


def test_a_set_that_an_earlier_version_unpacked_is_taken(
    server: Server, bring: Bring, to: Path
) -> None:
    (to / "tiny-imagenet").mkdir(parents=True)
    (to / "tiny-imagenet" / "words.txt").write_text("n01443537\tgoldfish\n")
    assert bring("tiny-imagenet") == to / "tiny-imagenet" and not server.asked


@pytest.mark.parametrize("name", ["tiny-imagenet", "stanford-dogs"])
def test_free_disk_is_checked_before_the_first_request(
    server: Server, bring: Bring, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    entry = CATALOG[name]
    huge = replace(entry, files=tuple(replace(file, size=10**18) for file in entry.files))
    monkeypatch.setitem(CATALOG, name, huge)
    with pytest.raises(DownloadError, match="not enough free disk"):
        bring(name)
    assert not server.asked


def test_a_disk_that_is_full_is_said_so(
    server: Server, bring: Bring, to: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "unpack", full)
    with pytest.raises(DownloadError, match="full"):
        bring("vehicles")
    assert not (to / "vehicles").exists()


def test_the_list_says_what_is_here(
    server: Server, bring: Bring, to: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bring("vehicles", max_per_class=2)
    bring("imagenet-prior")
    (to / "stanford-dogs.part").mkdir()
    assert main(["--list", "--to", str(to)]) == 0
    rows = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert list(rows) == ["name", *CATALOG]
    assert "yes, at most 2 a class" in rows["vehicles"] and " yes " in rows["imagenet-prior"]
    assert " begun " in rows["stanford-dogs"] and " yes " not in rows["eccv16"]


def test_exit_status(server: Server, to: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for argv in ([], ["nothing"], ["ncd", "--max-per-class", "3"], ["imagenet-synsets"]):
        with pytest.raises(SystemExit, match="2"):
            main(argv)
    arguments = ["--to", str(to), "--quiet"]
    assert main(["imagenet-synsets", "--classes", AIRPLANES, *arguments]) == 0
    assert main(["imagenet-synsets", "--classes", "n00000001", *arguments]) == 1
    assert "not complete" in capsys.readouterr().err


def test_the_script_runs_from_anywhere_without_installation_or_torch(tmp_path: Path) -> None:
    script = tmp_path / "checkout" / "DOWNLOADER" / "download.py"
    root = Path(module.__file__).parents[1]
    for package in ("DOWNLOADER", "colorize"):
        shutil.copytree(root / package, tmp_path / "checkout" / package)
    trace = (
        "import runpy, sys; sys.argv[1:] = ['--list']\n"
        f"sys.path[0] = {str(script.parent)!r}\n"
        f"try: runpy.run_path({str(script)!r}, run_name='__main__')\n"
        "finally: print('heavy:', {'torch', 'gdown', 'timm'} & set(sys.modules))\n"
    )
    environment = {**os.environ, "COLORIZE_HOME": str(tmp_path / "home"), "PYTHONPATH": ""}
    done = subprocess.run(
        [sys.executable, "-c", trace], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert "stanford-dogs" in done.stdout and "heavy: set()" in done.stdout, done.stderr
    assert not (tmp_path / "home").exists()
