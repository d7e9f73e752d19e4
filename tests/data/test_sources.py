"""Folders and archives as they come: rubbish is listed, a .zip is like its folder."""

from __future__ import annotations

import io
import os
import pickle
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from colorize.data import sources
from colorize.data.dataset import ColorizationDataset
from colorize.data.sources import FolderSource, Rejected, open_source
from colorize.errors import DataError

posix = pytest.mark.skipif(sys.platform == "win32", reason="needs links and permission bits")


def png(seed: int, height: int = 12, width: int = 10) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


RUBBISH: dict[str, tuple[bytes, str]] = {
    "cat/.DS_Store": (b"x", "left by macOS"),
    "cat/._1.png": (b"x", "left by macOS"),
    "__MACOSX/cat/1.png": (b"x", "left by macOS"),
    "Thumbs.db": (b"x", "left by Windows"),
    "dog/desktop.ini": (b"x", "left by Windows"),
    ".ipynb_checkpoints/1.png": (png(9), "hidden"),
    "cat/.hidden.png": (png(9), "hidden"),
    "readme.txt": (b"x", "not an image: .txt"),
    "cat/list.CSV": (b"x", "not an image: .csv"),
    "dog/notes": (b"x", "not an image: no extension"),
    "dog/empty.png": (b"", "expected an image, got an empty file (0 bytes)"),
    "dog/page.jpg": (b"<html>" * 50, "expected an image (JPEG, PNG, "),
    "dog/cut.png": (png(7, 90, 90)[:9000], "expected a whole image, got a truncated or damaged"),
}
IMAGES = {
    "cat/1.png": png(1),
    "cat/old/2.PNG": png(2),
    "dog/3.png": png(3),
    "dog/wrong.jpg": png(4),
}


def write_tree(root: Path, files: Mapping[str, bytes]) -> Path:
    for name, data in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    return root


def write_zip(path: Path, files: Mapping[str, bytes], kind: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", kind) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def everything() -> dict[str, bytes]:
    return {**{name: data for name, (data, _) in RUBBISH.items()}, **IMAGES}


def same(a: ColorizationDataset, b: ColorizationDataset) -> bool:
    for key in range(len(a)):
        x, y = a[key, 5], b[key, 5]
        if any(not bool((x[name] == y[name]).all()) for name in x):
            return False
    return (a.names, a.classes, a.rejected, len(a)) == (b.names, b.classes, b.rejected, len(b))


def test_rubbish_is_listed_with_its_reason(tmp_path: Path) -> None:
    dataset = ColorizationDataset(write_tree(tmp_path, everything()), 8)
    assert dataset.names == sorted(IMAGES)
    assert dataset.classes == ["cat", "dog"]
    assert sorted(r.name for r in dataset.rejected) == sorted(RUBBISH)
    for name, reason in dataset.rejected:
        assert reason.startswith(RUBBISH[name][1])


@pytest.mark.parametrize("around", ["", "set/", "./a/set/"])
@pytest.mark.parametrize("split", [None, "train"])
def test_a_zip_is_like_its_folder(tmp_path: Path, around: str, split: str | None) -> None:
    files = everything()
    files.update({f"{c}/more{i}.png": png(100 + i) for i in range(8) for c in ("cat", "dog")})
    options = {"train": True, "split": split}
    folder = ColorizationDataset(write_tree(tmp_path / "pets", files), 8, **options)
    wrapped = {around + name: data for name, data in files.items()}
    wrapped |= {around: b"", around + "cat/": b""} if around else {}
    archive = ColorizationDataset(write_zip(tmp_path / "pets.zip", wrapped), 8, **options)
    tidy = around.removeprefix("./")
    folder.names = [tidy + name for name in folder.names]
    folder.rejected = [Rejected(tidy + name, reason) for name, reason in folder.rejected]
    assert same(folder, archive)
    assert same(archive, pickle.loads(pickle.dumps(archive))), "a .zip is pickled closed"


def test_backslashes_in_a_zip(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in (("set\\cat\\1.png", png(1)), ("set\\dog\\2.png", png(2))):
            info = zipfile.ZipInfo("x")
            info.filename = name
            archive.writestr(info, data)
        folder = zipfile.ZipInfo("x")
        folder.filename = "set\\cat\\"
        archive.writestr(folder, b"")
    dataset = ColorizationDataset(path, 8)
    assert dataset.names == ["set/cat/1.png", "set/dog/2.png"]
    assert dataset.classes == ["cat", "dog"]
    assert not dataset.rejected


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_files_of_one_name_in_a_zip(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for seed in (1, 2):
            archive.writestr("cat/1.png", png(seed))
    dataset = ColorizationDataset(path, 8)
    assert dataset.rejected == [("cat/1.png", "an earlier file of the same name in the archive")]
    expected = np.asarray(Image.open(io.BytesIO(png(2))))
    np.testing.assert_array_equal(dataset.image(0), expected)


def test_encrypted_zip(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "a.zip", IMAGES)
    raw = bytearray(path.read_bytes())
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        start = raw.find(signature)
        while start >= 0:
            raw[start + offset] |= 1
            start = raw.find(signature, start + 1)
    path.write_bytes(raw)
    with pytest.raises(DataError, match=r"a\.zip:.*4 images are encrypted"):
        ColorizationDataset(path, 8)


def test_a_zip_that_is_cut(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "a.zip", IMAGES)
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(DataError, match=r"a\.zip:.*archive"):
        ColorizationDataset(path, 8)
    path.write_bytes(b"")
    with pytest.raises(DataError, match=r"a\.zip:.*archive"):
        ColorizationDataset(path, 8)


@pytest.mark.parametrize("kind", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("split", [None, "train"])
def test_a_damaged_file_inside_a_zip(tmp_path: Path, kind: int, split: str | None) -> None:
    path = write_zip(tmp_path / "a.zip", IMAGES, kind)
    with zipfile.ZipFile(path) as archive:
        info = archive.getinfo("cat/1.png")
    raw = bytearray(path.read_bytes())
    middle = info.header_offset + 30 + len(info.filename) + info.compress_size // 2
    raw[middle] ^= 0xFF
    path.write_bytes(raw)
    dataset = ColorizationDataset(path, 8, split=split)
    ((name, reason),) = dataset.rejected
    assert name == "cat/1.png"
    assert reason.startswith("damaged inside the archive: ")


def test_absurd_sizes_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {**IMAGES, "dog/huge.png": png(5, 200, 200)}
    monkeypatch.setattr(sources, "_MOST_BYTES", 100_000)
    folder = write_tree(tmp_path / "a", files)
    for root in (folder, write_zip(tmp_path / "a.zip", files)):
        dataset = ColorizationDataset(root, 8)
        ((name, reason),) = dataset.rejected
        assert name == "dog/huge.png"
        assert reason.startswith("absurdly large for an image: 12")


@posix
def test_links(tmp_path: Path) -> None:
    root = write_tree(tmp_path / "set", IMAGES)
    outside = write_tree(tmp_path / "elsewhere", {"5.png": png(5)})
    (root / "bird").symlink_to(outside)
    (root / "cat" / "loop").symlink_to(root)
    (root / "cat" / "gone.png").symlink_to(root / "nothing.png")
    os.mkfifo(root / "cat" / "pipe.png")
    dataset = ColorizationDataset(root, 8)
    assert dataset.names == sorted([*IMAGES, "bird/5.png"])
    assert dataset.rejected == [
        ("cat/gone.png", "a broken link"),
        ("cat/loop", "a link to a folder above it"),
        ("cat/pipe.png", "not a regular file, or not readable"),
    ]


@posix
@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root reads all")
def test_what_may_not_be_read(tmp_path: Path) -> None:
    root = write_tree(tmp_path, {**IMAGES, "locked/1.png": png(5), "blind/1.png": png(6)})
    (root / "cat/1.png").chmod(0)
    (root / "locked").chmod(0)
    (root / "blind").chmod(0o400)
    try:
        dataset = ColorizationDataset(root, 8)
    finally:
        (root / "locked").chmod(0o700)
        (root / "blind").chmod(0o700)
    assert dataset.rejected == [
        ("blind/1.png", "not a regular file, or not readable"),
        ("cat/1.png", "cannot be read: Permission denied"),
        ("locked", "a folder that cannot be listed: Permission denied"),
    ]


def test_a_name_finds_its_archive_where_there_is_no_folder(tmp_path: Path) -> None:
    write_zip(tmp_path / "tiny-imagenet.zip", {"cat/1.png": png(1), "dog/1.png": png(2)})
    dataset = ColorizationDataset(tmp_path / "tiny-imagenet", 8)
    assert dataset.names == ["cat/1.png", "dog/1.png"]
    write_tree(tmp_path / "tiny-imagenet", {"cat/3.png": png(3)})
    assert ColorizationDataset(tmp_path / "tiny-imagenet", 8).names == ["cat/3.png"]


def test_a_relative_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(write_tree(tmp_path / "holiday", {"1.png": png(1)}))
    assert ColorizationDataset(".", 8).classes == ["holiday"]


@pytest.mark.parametrize("suffix", ["", ".zip"])
def test_a_root_that_is_none(tmp_path: Path, suffix: str) -> None:
    with pytest.raises(DataError, match=r"DOWNLOADER/download\.py ncd$"):
        ColorizationDataset(tmp_path / f"ncd{suffix}", 8)
    with pytest.raises(DataError, match="holiday"):
        ColorizationDataset(tmp_path / f"holiday{suffix}", 8)
    (tmp_path / "a.png").write_bytes(png(1))
    with pytest.raises(DataError, match=r"a\.png"):
        ColorizationDataset(tmp_path / "a.png", 8)


def test_nothing_usable_says_why(tmp_path: Path) -> None:
    rubbish = {name: data for name, (data, _) in RUBBISH.items()}
    with pytest.raises(DataError, match=r"13 rejected.*3 x left by macOS"):
        ColorizationDataset(write_tree(tmp_path / "a", rubbish), 8)


def test_a_folder_of_photos_is_judged_by_content(tmp_path: Path) -> None:
    """A data set's is not: it has many files of labels, without an ending."""
    files = {
        **{name: png(1) for name in ("photo", "twitter.JPG_large", "scan.001", "a.png.bak")},
        "icon.ico": b"\0\0\1\0\1\0\x10\x10" + bytes(90),
        "notes": b"x",
        ".hidden": png(1),
    }
    root = write_tree(tmp_path / "photos", files)
    listing = FolderSource(root).listing()
    assert listing.images == ["photo", "scan.001", "twitter.JPG_large"]
    reasons = dict(listing.rejected)
    assert sorted(reasons) == [".hidden", "a.png.bak", "icon.ico", "notes"]
    assert "backup" in reasons["a.png.bak"] and "icon" in reasons["icon.ico"]
    assert open_source(root).listing().images == []
