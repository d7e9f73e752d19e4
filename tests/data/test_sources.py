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
from colorize.data.sources import Rejected
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
@pytest.mark.parametrize("split", [None, "train", "val"])
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
    np.testing.assert_array_equal(archive.image(0), folder_image(folder, tidy))


def folder_image(folder: ColorizationDataset, around: str) -> np.ndarray:
    path = Path(folder.root) / folder.names[0].removeprefix(around)
    return np.asarray(Image.open(path).convert("RGB"))


@pytest.mark.parametrize("kind", [zipfile.ZIP_STORED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_packings(tmp_path: Path, kind: int) -> None:
    dataset = ColorizationDataset(write_zip(tmp_path / "a.zip", IMAGES, kind), 8)
    assert dataset.names == sorted(IMAGES)


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
    with pytest.raises(DataError, match=r"without a password, but 4 images are encrypted.*unpack"):
        ColorizationDataset(path, 8)


def test_a_zip_that_is_cut(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "a.zip", IMAGES)
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(DataError, match=r"a\.zip: expected a whole \.zip archive.*download"):
        ColorizationDataset(path, 8)
    path.write_bytes(b"")
    with pytest.raises(DataError, match=r"a\.zip: expected a whole \.zip archive"):
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


@pytest.mark.parametrize("name", ["vehicles", "vehicles-final", "tiny-imagenet", "ncd"])
@pytest.mark.parametrize("suffix", ["", ".zip"])
def test_a_missing_set_names_the_command_that_fetches_it(
    tmp_path: Path, name: str, suffix: str
) -> None:
    with pytest.raises(DataError) as caught:
        ColorizationDataset(tmp_path / (name + suffix), 8)
    assert str(caught.value).endswith(f"fetch it with: python DOWNLOADER/download.py {name}")


def test_a_name_finds_its_archive_where_there_is_no_folder(tmp_path: Path) -> None:
    write_zip(tmp_path / "tiny-imagenet.zip", {"cat/1.png": png(1), "dog/1.png": png(2)})
    dataset = ColorizationDataset(tmp_path / "tiny-imagenet", 8)
    assert dataset.names == ["cat/1.png", "dog/1.png"]
    write_tree(tmp_path / "tiny-imagenet", {"cat/3.png": png(3)})
    assert ColorizationDataset(tmp_path / "tiny-imagenet", 8).names == ["cat/3.png"]


def test_a_root_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"holiday: there is no such folder or \.zip; pass the fold"
    ):
        ColorizationDataset(tmp_path / "holiday", 8)
    (tmp_path / "a.png").write_bytes(png(1))
    with pytest.raises(DataError, match=r"a\.png: expected a folder or a \.zip archive"):
        ColorizationDataset(tmp_path / "a.png", 8)


def test_nothing_usable_says_why(tmp_path: Path) -> None:
    rubbish = {name: data for name, (data, _) in RUBBISH.items()}
    with pytest.raises(
        DataError, match=r"got none that can be used: 0 grey, 13 rejected"
    ) as caught:
        ColorizationDataset(write_tree(tmp_path / "a", rubbish), 8)
    assert "3 x left by macOS" in str(caught.value)
    (tmp_path / "b").mkdir()
    with pytest.raises(DataError, match="0 rejected"):
        ColorizationDataset(tmp_path / "b", 8)


def test_subfolders(tmp_path: Path) -> None:
    files = {f"{s}/{c}/{i}.png": png(i) for s in ("train", "val") for c in "abc" for i in range(3)}
    del files["val/c/0.png"], files["val/c/1.png"], files["val/c/2.png"]
    files["train/a/x.txt"] = files["val/a/y.txt"] = b""
    root = write_tree(tmp_path / "set", files)
    packed = write_zip(tmp_path / "a.zip", {f"set/{n}": data for n, data in files.items()})
    for place in (root, packed):
        dataset = ColorizationDataset(place, 8, subfolder="val/")
        assert [n.removeprefix("set/") for n in dataset.names] == [
            f"val/{c}/{i}.png" for c in "ab" for i in range(3)
        ]
        # Labels agree between the splits, although there is no c in val.
        assert dataset.classes == ["a", "b", "c"]
        assert [r.name.removeprefix("set/") for r in dataset.rejected] == ["val/a/y.txt"]
        assert ColorizationDataset(place, 8, subfolder=Path("train")).classes == ["a", "b", "c"]
        assert len(ColorizationDataset(place, 8, subfolder="train/b")) == 3
        with pytest.raises(DataError, match=r"got 'nix'; there are images in .*train/a, "):
            ColorizationDataset(place, 8, subfolder="nix")
    assert len(ColorizationDataset(packed, 8, subfolder="set/val")) == 6


def test_a_relative_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(write_tree(tmp_path / "holiday", {"1.png": png(1)}))
    assert ColorizationDataset(".", 8).classes == ["holiday"]


def test_an_open_zip_is_pickled_closed(tmp_path: Path) -> None:
    dataset = ColorizationDataset(write_zip(tmp_path / "a.zip", IMAGES), 8, cache=False)
    again = pickle.loads(pickle.dumps(dataset))
    assert same(dataset, again)
    assert same(pickle.loads(pickle.dumps(again)), dataset)
