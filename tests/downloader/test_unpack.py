"""Hostile, damaged and honest tars."""

from __future__ import annotations

import gzip
import io
import tarfile
from pathlib import Path
from typing import Any

import pytest
from helpers.archives import Tree, contents, synset, tar_of, zip_of

from colorize.errors import DownloadError
from DOWNLOADER import unpack as u

WNID = "n02691156"


def hostile(name: str = f"{WNID}_2.JPEG", **changes: Any) -> bytes:
    """A good member, then one with a bad header."""
    info = tarfile.TarInfo(name)
    for key, value in changes.items():
        setattr(info, key, value)
    good = tar_of({f"{WNID}_1.JPEG": b"x" * 512})
    return good[:1024] + info.tobuf(tarfile.GNU_FORMAT) + bytes(1024)


def sparse_bomb() -> bytes:
    """One block of content that claims to be a terabyte (the old GNU sparse format)."""
    header = bytearray(tarfile.TarInfo("a.JPEG").tobuf(tarfile.GNU_FORMAT))
    header[156:157] = b"S"
    header[124:136] = b"00000001000\0"
    header[386:398], header[398:410] = b"00000000000\0", b"00000001000\0"
    header[483:495] = b"\x80" + (10**12).to_bytes(11, "big")
    header[148:156] = b" " * 8
    header[148:156] = f"{sum(header):06o}\0 ".encode()
    return bytes(header) + bytes(512) + bytes(1024)


BAD = {
    "a way out": (hostile("../b.JPEG"), "leads out"),
    "a way out in the middle": (hostile("a/../../b.JPEG"), "leads out"),
    "an absolute path": (hostile("/tmp/b.JPEG"), "leads out"),
    "a drive letter": (hostile("C:/b.JPEG"), "leads out"),
    "backslashes": (hostile("..\\b.JPEG"), "leads out"),
    "a folder outside": (hostile("../b", type=tarfile.DIRTYPE), "leads out"),
    "a symbolic link": (hostile(type=tarfile.SYMTYPE, linkname="/etc/passwd"), "link"),
    "a hard link": (hostile(type=tarfile.LNKTYPE, linkname=f"{WNID}_1.JPEG"), "link"),
    "a device": (hostile(type=tarfile.CHRTYPE), "special file"),
    "a pipe": (hostile(type=tarfile.FIFOTYPE), "special file"),
    "a sparse bomb": (sparse_bomb(), "refused"),
    "a terabyte": (hostile(size=10**12), "refused"),
    "the same name twice": (hostile(f"./{WNID}_1.JPEG"), "twice"),
    "cut inside a member": (tar_of(synset(WNID))[:3000], "no whole tar"),
    "cut between members": (tar_of(synset(WNID))[:2048], "no whole tar"),
    "empty": (b"", "no whole tar"),
    "a zip": (zip_of(synset(WNID)), "no whole tar"),
    "a web page": (b"<html>quota</html>", "no whole tar"),
}


ZIPPED = gzip.compress(tar_of(synset(WNID)))
BAD_ZIPPED = {
    "cut": (ZIPPED[:-1000], "no whole tar"),
    "not zipped": (tar_of(synset(WNID)), "no whole tar"),
    "empty": (b"", "no whole tar"),
    "a terabyte": (gzip.compress(hostile(size=10**12)), "refused"),
    "a way out": (gzip.compress(hostile("../b.JPEG")), "leads out"),
}


def unpack(tmp_path: Path, body: bytes, keep: int | None = None, name: str = "some.tar") -> Tree:
    archive, folder = tmp_path / name, tmp_path / "a" / "b"
    archive.write_bytes(body)
    u.unpack(archive, folder, keep)
    return contents(folder)


@pytest.mark.parametrize(("body", "message"), BAD.values(), ids=BAD)
def test_a_bad_tar_leaves_nothing(tmp_path: Path, body: bytes, message: str) -> None:
    with pytest.raises(DownloadError, match=message):
        unpack(tmp_path, body)
    assert list(contents(tmp_path)) == ["some.tar"]


@pytest.mark.parametrize(("body", "message"), BAD_ZIPPED.values(), ids=BAD_ZIPPED)
def test_a_bad_zipped_tar_leaves_nothing(tmp_path: Path, body: bytes, message: str) -> None:
    with pytest.raises(DownloadError, match=message):
        unpack(tmp_path, body, name="some.tgz")
    assert list(contents(tmp_path)) == ["some.tgz"]


def test_a_file_that_is_a_folder_too(tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match="a file and a folder"):
        unpack(tmp_path, hostile(f"{WNID}_1.JPEG/b.JPEG"))


def test_too_many_members_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(u, "_MOST_MEMBERS", 5)
    with pytest.raises(DownloadError, match="5 files"):
        unpack(tmp_path, tar_of(synset(WNID)))


def test_a_python_without_the_filter_unpacks_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(tarfile, "data_filter")
    with pytest.raises(DownloadError, match="Python"):
        unpack(tmp_path, tar_of(synset(WNID)))


def test_an_honest_tar_and_names_with_a_dot_slash(tmp_path: Path) -> None:
    stream = io.BytesIO(tar_of({"./ä b/1.JPEG": b"1", "2.JPEG": b"2"}))
    assert unpack(tmp_path, stream.getvalue()) == {"ä b/1.JPEG": b"1", "2.JPEG": b"2"}


def test_an_honest_zipped_tar(tmp_path: Path) -> None:
    assert unpack(tmp_path, ZIPPED, name="some.tgz") == synset(WNID)


def test_the_sample_is_fixed_nested_and_spread(tmp_path: Path) -> None:
    names = [f"{WNID}_{i}.JPEG" for i in range(400)]
    files = [tarfile.TarInfo(name) for name in names]

    def sample(keep: int, order: int = 1) -> list[str]:
        return [file.name for file in u.sample(files[::order], keep)]

    assert set(sample(40)) < set(sample(100)) and len(sample(40)) == 40
    assert sample(40, -1) == sample(40)[::-1]
    # Pinned, for a set that changed between versions of the library would be another set.
    assert sample(3) == ["n02691156_96.JPEG", "n02691156_163.JPEG", "n02691156_283.JPEG"]
    places = [names.index(name) for name in sample(40)]
    assert min(places) < 40 and max(places) > 360
    assert sample(1000) == names
    assert len(unpack(tmp_path, tar_of(synset(WNID)), keep=2)) == 2
