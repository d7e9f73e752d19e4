"""Each source from its replica; what is recognized, refused, replaced, set aside and listed."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.downloader_replica import (
    CHECKOUT,
    IMPATIENT,
    VEHICLES_TREE,
    Server,
    contents,
    dogs_images,
    dogs_lists,
    expected,
    jpeg,
    ncd_files,
    path_of,
    put_synset,
    replica,
    serving,
    synset_files,
    tar_of,
    tiny_files,
    zip_of,
)

from colorize.errors import DownloadError, InputError
from DOWNLOADER.download import download, listing, main
from DOWNLOADER.sources import SOURCES, VEHICLES, VEHICLES_FINAL

AIRPLANES = "n02691156"
TREES = {
    "vehicles": VEHICLES_TREE,
    "vehicles-final": {
        name: body
        for wnid in VEHICLES_FINAL
        for name, body in expected(synset_files(wnid), f"{wnid}/").items()
    },
    "tiny-imagenet": expected(tiny_files()),
    "stanford-dogs": expected({**dogs_images(), **dogs_lists()}),
}


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as server:
        yield server


@pytest.fixture
def table(server):
    return replica(server)


@pytest.fixture
def bring(table, tmp_path):
    def bring(name: str, **options: object) -> Path:
        options = {"to": tmp_path / "to", "progress": False, "limits": IMPATIENT, **options}
        return download(name, **{"sources": table, **options})

    return bring


def visible(folder: Path) -> list[str]:
    """What is in a folder, without the lock, which not every system leaves there."""
    return sorted(path.name for path in folder.iterdir() if path.suffix != ".lock")


def record(final: Path) -> dict:
    return json.loads((final / ".download.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", TREES)
def test_each_set_from_its_real_address_and_structure(server, bring, name):
    final = bring(name)
    assert contents(final) == TREES[name]
    assert visible(final.parent) == [name]
    urls = {path_of(file.url) for file in SOURCES[name].plan()}
    assert {path for path, _ in server.log} == urls
    kept = record(final)
    assert kept["images"] == sum(n.lower().endswith(("jpeg", "jpg")) for n in TREES[name])
    assert (kept["name"], kept["bad_images"]) == (name, 0)
    assert kept["licence"] == SOURCES[name].licence
    for file in kept["files"]:
        body = server.routes["/" + file["source"].split("/", 3)[3]].body
        assert (file["bytes"], file["sha256"]) == (len(body), hashlib.sha256(body).hexdigest())
    # Complete: recognized, and no request is made.
    server.log.clear()
    assert bring(name) == final
    assert server.log == []
    assert record(final) == kept


def test_the_real_addresses():
    """As the issue gives them; the replica stands at the same paths."""
    assert [file.url for file in SOURCES["vehicles"].plan()] == [
        f"https://image-net.org/data/winter21_whole/{wnid}.tar"
        for wnid in ("n06255081", "n02739889", "n03351262", "n02691156", "n02918964")
    ]
    assert len(SOURCES["vehicles-final"].plan()) == 10
    assert SOURCES["ncd"].files[0].drive == "1k_UvYzdrHbphW4UcbDb9jWB0ZQIAGEAo"


def test_data_folders_are_the_projects(server, table, tmp_path, monkeypatch):
    monkeypatch.setenv("COLORIZE_HOME", str(tmp_path))
    monkeypatch.chdir("/")
    for name, final in {
        "vehicles": "DATA/vehicles",
        "imagenet-prior": "PRECALCULATED/prior-imagenet.npy",
        "siggraph17": "CHECKPOINTS/siggraph17-df00044c.pth",
    }.items():
        came = download(name, progress=False, limits=IMPATIENT, sources=table)
        assert came == tmp_path / final
    assert (tmp_path / "PRECALCULATED/pts_in_hull.npy").is_file()


def test_imagenet_synsets_takes_any_classes(bring):
    final = bring("imagenet-synsets", classes=[AIRPLANES, "n00449517", AIRPLANES])
    assert contents(final) == {
        **expected(synset_files(AIRPLANES), f"{AIRPLANES}/"),
        **expected(synset_files("n00449517"), "n00449517/"),
    }
    # The order of the classes does not make it another set.
    assert bring("imagenet-synsets", classes=["n00449517", AIRPLANES]) == final


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("nothing", {}, "there is no source 'nothing'; there are vehicles,"),
        ("imagenet-synsets", {}, "needs the classes"),
        ("imagenet-synsets", {"classes": ["airplane"]}, "WordNet id"),
        ("imagenet-synsets", {"classes": ["../n02691156"]}, "WordNet id"),
        ("vehicles", {"classes": ["n00449517"]}, "none of the classes of vehicles"),
        ("ncd", {"classes": [AIRPLANES]}, "takes no classes"),
        ("tiny-imagenet", {"max_per_class": 3}, "takes no max_per_class"),
        ("vehicles", {"max_per_class": 0}, "at least 1, came 0"),
    ],
)
def test_requests_that_make_no_sense(bring, server, tmp_path, name, options, message):
    with pytest.raises(InputError, match=message):
        bring(name, **options)
    assert server.log == []
    assert list(tmp_path.iterdir()) == []


def test_other_arguments_are_another_set(bring, server):
    final = bring("vehicles", max_per_class=2)
    assert record(final)["arguments"] == {"classes": sorted(VEHICLES), "max_per_class": 2}
    assert len(contents(final)) == 2 * len(VEHICLES)
    for options in ({}, {"max_per_class": 3}, {"classes": [AIRPLANES], "max_per_class": 2}):
        server.log.clear()
        with pytest.raises(DownloadError, match=r"holds the set with .* asked for is .* --replace"):
            bring("vehicles", **options)
        assert server.log == []
        assert len(contents(final)) == 2 * len(VEHICLES)
    assert bring("vehicles", replace=True) == final
    assert contents(final) == VEHICLES_TREE
    assert visible(final.parent) == ["vehicles"]


def test_what_an_interrupted_run_left_is_used_only_for_the_same_request(bring, server, tmp_path):
    last = VEHICLES[-1]
    for classes_kept, requests in ((2, 1), (None, len(VEHICLES))):
        to = tmp_path / str(classes_kept)
        put_synset(server, last, b"gone")
        with pytest.raises(DownloadError):
            bring("vehicles", max_per_class=2, to=to)
        put_synset(server, last, tar_of(synset_files(last)))
        server.log.clear()
        final = bring("vehicles", max_per_class=classes_kept, to=to)
        assert len(server.log) == requests
        assert len(contents(final)) == (classes_kept or 6) * len(VEHICLES)


def test_a_folder_without_record_is_never_touched(bring, server, tmp_path):
    folder = tmp_path / "to" / "vehicles"
    folder.mkdir(parents=True)
    assert contents(bring("vehicles")) == VEHICLES_TREE  # an empty folder is nobody's
    shutil.rmtree(folder)
    folder.mkdir()
    (folder / "mine.txt").write_text("years of work")
    server.log.clear()
    with pytest.raises(DownloadError, match="not from a finished download"):
        bring("vehicles")
    assert server.log == []
    assert contents(folder) == {"mine.txt": b"years of work"}


def test_a_set_that_lost_images_is_noticed(bring):
    final = bring("vehicles")
    next(final.rglob("*.JPEG")).unlink()
    with pytest.raises(DownloadError, match="had 30 images when it was finished, now it has 29"):
        bring("vehicles")
    assert contents(bring("vehicles", replace=True)) == VEHICLES_TREE


def test_bad_images_are_listed_and_moved_aside(bring, server, capsys, table):
    files = synset_files(AIRPLANES)
    broken = {
        f"{AIRPLANES}_1.JPEG": jpeg("cut")[:-400],
        f"{AIRPLANES}_2.JPEG": b"<html>gone</html>",
        f"{AIRPLANES}_3.JPEG": b"",
        f"{AIRPLANES}_4.JPEG": jpeg("x")[:40],
    }
    put_synset(server, AIRPLANES, tar_of({**broken, **files}))
    final = bring("vehicles")
    assert contents(final) == VEHICLES_TREE
    assert (record(final)["images"], record(final)["bad_images"]) == (30, 4)
    aside = contents(final.with_name("vehicles.bad"))
    assert aside == {f"{AIRPLANES}/{name}": body for name, body in broken.items()}
    lines = final.with_name("vehicles.bad.txt").read_text(encoding="utf-8").splitlines()
    assert [line.split("\t")[0] for line in lines] == sorted(aside)
    assert all(line.split("\t")[1] for line in lines)
    argv = ["vehicles", "--to", str(final.parent), "--quiet"]
    assert main(argv, sources=table, limits=IMPATIENT) == 0
    assert "4 more cannot be opened" in capsys.readouterr().out
    # A set in its place has its own bad ones: none.
    put_synset(server, AIRPLANES, tar_of(files))
    bring("vehicles", replace=True)
    assert visible(final.parent) == ["vehicles"]


def test_a_set_without_one_good_image_is_an_error(bring, server):
    put_synset(server, AIRPLANES, tar_of({f"{AIRPLANES}_1.JPEG": b"no"}))
    with pytest.raises(DownloadError, match="no image of imagenet-synsets can be opened"):
        bring("imagenet-synsets", classes=[AIRPLANES])


def test_an_archive_put_by_hand(bring, server, tmp_path):
    to = tmp_path / "to"
    to.mkdir()
    (to / "NCD.zip").write_bytes(zip_of(ncd_files()))
    (to / f"{AIRPLANES}.tar").write_bytes(tar_of(synset_files(AIRPLANES)))
    (to / "tiny-imagenet-200.zip").write_bytes(zip_of({"other.txt": b"x"}))
    final = bring("ncd")
    assert contents(final) == expected(ncd_files())
    assert record(final)["files"][0]["source"] == "by hand, NCD.zip"
    assert record(final)["files"][0]["left_out"] == 2
    assert contents(bring("vehicles")) == VEHICLES_TREE
    assert len(server.log) == len(VEHICLES) - 1
    # What somebody put there is theirs: it stays.
    assert (to / "NCD.zip").is_file()
    with pytest.raises(DownloadError, match=r"is not tiny-imagenet-200.zip: expected SHA-256"):
        bring("tiny-imagenet")
    (to / "NCD.zip").write_bytes(zip_of(ncd_files())[:-9])
    shutil.rmtree(final)
    with pytest.raises(DownloadError, match=r"NCD.zip is there, but is not NCD.zip: .* no whole"):
        bring("ncd")
    assert not final.exists()


def test_loose_files_are_stored_as_they_are(bring, server, table, tmp_path):
    final = bring("imagenet-prior")
    to = tmp_path / "to"
    names = {"prior-imagenet.npy": "prior_probs.npy", "pts_in_hull.npy": "pts_in_hull.npy"}
    for saved, name in names.items():
        path = next(path for path in server.routes if path.endswith(name))
        assert "/richzhang/colorization/caffe/colorization/resources/" in path
        assert (to / saved).read_bytes() == server.routes[path].body
    assert final == to / "prior-imagenet.npy"
    kept = json.loads((to / ".imagenet-prior.download.json").read_text())
    assert [file["sha256"] for file in kept["files"]] == [
        file.sha256 for file in table["imagenet-prior"].files
    ]
    server.log.clear()
    bring("imagenet-prior")
    assert server.log == []
    # A file that was put or changed by hand is judged by its digest.
    final.write_bytes(b"changed")
    with pytest.raises(DownloadError, match=r"prior-imagenet.npy is there, but is not prior_probs"):
        bring("imagenet-prior")
    assert final.read_bytes() == b"changed"
    bring("imagenet-prior", replace=True)
    assert hashlib.sha256(final.read_bytes()).hexdigest() == kept["files"][0]["sha256"]
    assert not (to / "imagenet-prior.part").exists()


def test_weights_put_by_hand_are_accepted_after_the_check(bring, server, tmp_path):
    path = next(path for path in server.routes if path.endswith("siggraph17-df00044c.pth"))
    to = tmp_path / "to"
    to.mkdir()
    (to / "siggraph17-df00044c.pth").write_bytes(server.routes[path].body)
    assert bring("siggraph17") == to / "siggraph17-df00044c.pth"
    assert server.log == []
    kept = json.loads((to / ".siggraph17.download.json").read_text())
    assert kept["files"][0]["source"] == "found in place"


def test_free_disk_is_checked_before_the_first_request(bring, server, table, tmp_path):
    huge = {}
    for name in ("tiny-imagenet", "siggraph17"):
        files = tuple(dataclasses.replace(file, size=10**18) for file in table[name].files)
        huge[name] = dataclasses.replace(table[name], files=files)
        with pytest.raises(DownloadError, match="not enough free disk"):
            bring(name, sources=huge)
    assert server.log == []
    # What is there needs no room.
    bring("siggraph17")
    bring("siggraph17", sources=huge)


def test_the_listing(bring, table, tmp_path, capsys, server):
    to = tmp_path / "to"
    rows = {row[0]: row for row in listing(to, table)}
    assert list(rows) == ["name", *SOURCES]
    assert {row[4] for name, row in rows.items() if name != "name"} == {"-"}
    assert rows["stanford-dogs"][1:4] == (
        "~794 MB",
        "~20,580",
        "ImageNet terms: non-commercial research; cite Khosla et al. 2011",
    )
    bring("vehicles", max_per_class=2)
    bring("imagenet-prior")
    (to / "colorization_release_v2-9b330a0b.pth").write_bytes(b"")
    (to / "ncd").mkdir()
    server.routes.clear()
    with pytest.raises(DownloadError):
        bring("tiny-imagenet")
    present = {row[0]: row[4] for row in listing(to, table)}
    assert present["vehicles"] == "complete: 10 images, at most 2 a class"
    assert present["imagenet-prior"] == "complete"
    assert present["eccv16"] == "present, unchecked"
    assert present["ncd"] == "a folder without record"
    assert present["tiny-imagenet"] == "begun"
    assert main(["--list", "--to", str(to)], sources=table) == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in SOURCES)
    assert "1k_UvYzdrHbphW4UcbDb9jWB0ZQIAGEAo" in shown


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ([], "say what to fetch"),
        (["nothing"], "there is no source"),
        (["ncd", "--max-per-class", "3"], "takes no max_per_class"),
        (["imagenet-synsets"], "needs the classes"),
    ],
)
def test_wrong_usage_has_its_own_exit_status(capsys, tmp_path, argv, message):
    with pytest.raises(SystemExit) as stopped:
        main([*argv, "--to", str(tmp_path / "to")])
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err


def test_the_script_runs_from_anywhere_without_installation_or_torch(tmp_path):
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    environment["COLORIZE_HOME"] = str(tmp_path / "home")
    script = CHECKOUT / "DOWNLOADER" / "download.py"
    trace = (
        "import runpy, sys; sys.argv[1:] = ['--list']\n"
        f"sys.path[0] = {str(script.parent)!r}\n"
        f"try: runpy.run_path({str(script)!r}, run_name='__main__')\n"
        "finally: print('heavy:', {'torch', 'gdown', 'timm'} & set(sys.modules))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", trace],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "stanford-dogs" in done.stdout
    assert "heavy: set()" in done.stdout
    assert not (tmp_path / "home").exists()
    done = subprocess.run(
        [sys.executable, str(script), "--help"], cwd=tmp_path, env=environment, capture_output=True
    )
    assert done.returncode == 0
