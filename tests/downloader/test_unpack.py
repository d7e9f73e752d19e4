"""Hostile, damaged and honest archives."""

from __future__ import annotations

import io
import random
import shutil
import stat
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers.downloader_replica import (
    IMPATIENT,
    contents,
    expected,
    jpeg,
    ncd_files,
    put_synset,
    replica,
    serving,
    synset_files,
    tar_of,
    zip_of,
)

from colorize.errors import DownloadError
from DOWNLOADER.download import download, main
from DOWNLOADER.unpack import opened, sample, unpack

WNID = "n02691156"
PICTURE = jpeg("picture")


def hostile_tar(alter: Callable[[tarfile.TarInfo], None], body: bytes = PICTURE) -> bytes:
    """A good member, then one that ``alter`` made bad."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.GNU_FORMAT) as tar:
        good = tarfile.TarInfo(f"{WNID}_1.JPEG")
        good.size = len(PICTURE)
        tar.addfile(good, io.BytesIO(PICTURE))
        bad = tarfile.TarInfo(f"{WNID}_2.JPEG")
        bad.size = len(body)
        alter(bad)
        tar.addfile(bad, io.BytesIO(body) if bad.type == tarfile.REGTYPE else None)
    return stream.getvalue()


def named(name: str) -> bytes:
    return hostile_tar(lambda info: setattr(info, "name", name))


def typed(kind: bytes, target: str = "") -> bytes:
    def alter(info: tarfile.TarInfo) -> None:
        info.type, info.linkname, info.size = kind, target, 0

    return hostile_tar(alter)


def sparse_bomb() -> bytes:
    """One block of content that claims to be a terabyte (the old GNU sparse format)."""
    header = bytearray(tarfile.TarInfo(f"{WNID}_1.JPEG").tobuf(tarfile.GNU_FORMAT))
    header[156:157] = b"S"
    header[124:136] = b"00000001000\0"
    header[386:398], header[398:410] = b"00000000000\0", b"00000001000\0"
    header[483:495] = b"\x80" + (10**12).to_bytes(11, "big")
    header[148:156] = b" " * 8
    header[148:156] = f"{sum(header):06o}\0 ".encode()
    return bytes(header) + bytes(512) + bytes(1024)


BAD_TARS = {
    "a way out": (named(f"../{WNID}_2.JPEG"), "leads out"),
    "a way out in the middle": (named("a/../../b.JPEG"), "leads out"),
    "an absolute path": (named("/tmp/b.JPEG"), "leads out"),
    "a drive letter": (named("C:/b.JPEG"), "leads out"),
    "backslashes": (named("..\\b.JPEG"), "leads out"),
    "a symbolic link": (typed(tarfile.SYMTYPE, "/etc/passwd"), "is a link"),
    "a hard link": (typed(tarfile.LNKTYPE, f"{WNID}_1.JPEG"), "is a link"),
    "a device": (typed(tarfile.CHRTYPE), "is a special file"),
    "a pipe": (typed(tarfile.FIFOTYPE), "is a special file"),
    "a sparse bomb": (sparse_bomb(), "is a special file"),
    "the same name twice": (named(f"{WNID}_1.JPEG"), "is in it twice"),
    "a file that is a folder too": (named(f"{WNID}_1.JPEG/b.JPEG"), "is in it twice"),
    "cut inside a member": (tar_of(synset_files(WNID))[:3000], "no whole tar"),
    "cut between members": (hostile_tar(lambda info: None)[:2048], "no whole tar"),
    "empty": (b"", "no whole tar"),
    "compressed": (zip_of(synset_files(WNID)), "no whole tar"),
    "no images": (tar_of({"readme.txt": b"moved"}), "not laid out as expected"),
}


@pytest.mark.parametrize(("body", "message"), BAD_TARS.values(), ids=BAD_TARS)
def test_a_bad_tar_leaves_nothing(tmp_path, capsys, body, message):
    outside = tmp_path / "outside"
    outside.mkdir()
    to = outside / "data"
    with serving() as server:
        table = replica(server)
        put_synset(server, WNID, body)
        argv = ["imagenet-synsets", "--classes", WNID, "--to", str(to), "--quiet"]
        assert main(argv, sources=table, limits=IMPATIENT) == 1
        assert message in capsys.readouterr().err
        assert not (to / "imagenet-synsets").exists()
        assert [entry.name for entry in outside.iterdir()] == ["data"]
        assert not any(path.suffix == ".JPEG" for path in tmp_path.glob("*"))
        # The useless archive is not kept: the next run fetches it anew.
        put_synset(server, WNID, tar_of(synset_files(WNID)))
        assert main(argv, sources=table, limits=IMPATIENT) == 0
    assert contents(to / "imagenet-synsets") == expected(synset_files(WNID), f"{WNID}/")


def zip_with(name: str, mode: int = 0, body: bytes = PICTURE) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as zipped:
        info = zipfile.ZipInfo(name)
        info.compress_type = zipfile.ZIP_DEFLATED
        info.external_attr = mode << 16
        zipped.writestr(info, body)
    return stream.getvalue()


def encrypted() -> bytes:
    body = bytearray(zip_with("a.jpg"))
    for signature, offset in ((b"PK\1\2", 8), (b"PK\3\4", 6)):
        body[body.index(signature) + offset] |= 1
    return bytes(body)


def wrong_sum() -> bytes:
    members = {"ColorfulOriginal/Apple/a.jpg": random.Random(1).randbytes(5000)}
    body = bytearray(zip_of(members, zipfile.ZIP_STORED))
    body[2000] ^= 1
    return bytes(body)


BAD_ZIPS = {
    "a way out": (zip_with("../a.jpg"), "leads out"),
    "an absolute path": (zip_with("/a.jpg"), "leads out"),
    "a symbolic link": (zip_with("a.jpg", stat.S_IFLNK | 0o777, b"/etc"), "is a link"),
    "a device": (zip_with("a.jpg", stat.S_IFBLK | 0o777, b""), "special file"),
    "a bomb": (zip_with("a.jpg", body=bytes(100 * 2**20)), "would unpack to more than"),
    "encrypted": (encrypted(), "is encrypted"),
    "bzip2": (zip_of({"a.jpg": PICTURE}, zipfile.ZIP_BZIP2), "unusual compression"),
    "a wrong checksum": (wrong_sum(), "no whole zip archive: Bad CRC-32"),
    "cut": (zip_of(ncd_files())[:-30], "no whole zip"),
    "a web page": (b"<html>quota</html>", "no whole zip"),
}


@pytest.mark.parametrize(("body", "message"), BAD_ZIPS.values(), ids=BAD_ZIPS)
def test_a_bad_zip_is_refused(tmp_path, body, message):
    archive = tmp_path / "some.zip"
    archive.write_bytes(body)
    with pytest.raises(DownloadError, match=message):
        unpack(archive, "zip", tmp_path / "out")
    assert not [path for path in (tmp_path / "out").rglob("*.jpg") if path.stat().st_size > 5000]
    assert {entry.name for entry in tmp_path.iterdir()} <= {"some.zip", "out"}


def test_too_many_members_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("DOWNLOADER.unpack._MOST_MEMBERS", 5)
    archive = tmp_path / "some.tar"
    archive.write_bytes(tar_of(synset_files(WNID)))
    with pytest.raises(DownloadError, match=r"more than .* or 5 files"):
        unpack(archive, "tar", tmp_path / "out")


def test_a_disk_that_is_too_small_is_noticed_before_the_first_file(tmp_path, monkeypatch):
    archive = tmp_path / "some.tar"
    archive.write_bytes(tar_of(synset_files(WNID)))
    usage = type(shutil.disk_usage(tmp_path))(10**9, 10**9 - 100, 100)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with pytest.raises(DownloadError, match="not enough free disk"):
        unpack(archive, "tar", tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_an_honest_zip_unpacks_without_junk(tmp_path):
    archive = tmp_path / "NCD.zip"
    archive.write_bytes(zip_of(ncd_files()))
    junk = unpack(archive, "zip", tmp_path / "out", expects=("ColorfulOriginal/*/*",))
    assert contents(tmp_path / "out") == expected(ncd_files())
    assert junk == 2


def test_names_with_a_leading_dot_slash_and_utf8(tmp_path):
    archive = tmp_path / "some.tar"
    archive.write_bytes(tar_of({"./": b"", "./ä b/1.JPEG": PICTURE}))
    unpack(archive, "tar", tmp_path / "out")
    assert contents(tmp_path / "out") == {"ä b/1.JPEG": PICTURE}


def chosen(folder: Path, files: dict[str, bytes], keep: int) -> list[str]:
    archive = folder / "some.tar"
    archive.write_bytes(tar_of(files))
    with opened(archive, "tar") as members:
        return [member.path.name for member in sample(members, keep)]


def test_the_sample_is_fixed_nested_and_spread(tmp_path):
    names = [f"{WNID}_{i}.JPEG" for i in range(400)]
    files = dict.fromkeys([*names, "notes.txt"], b"")
    small, large = chosen(tmp_path, files, 40), chosen(tmp_path, files, 100)
    assert (len(small), len(large)) == (41, 101)
    assert set(small) < set(large)
    backwards = chosen(tmp_path, dict(reversed(files.items())), 40)
    assert sorted(backwards) == sorted(small)
    assert backwards != small
    # Pinned, for a set that changed between versions of the library would be another set.
    assert chosen(tmp_path, files, 3) == [
        "n02691156_96.JPEG",
        "n02691156_163.JPEG",
        "n02691156_283.JPEG",
        "notes.txt",
    ]
    places = [names.index(name) for name in small if name != "notes.txt"]
    assert min(places) < 40
    assert max(places) > 360
    assert chosen(tmp_path, files, 1000) == list(files)


def test_max_per_class_takes_the_sample_of_each_class(tmp_path):
    with serving() as server:
        table = replica(server)
        final = download(
            "vehicles",
            to=tmp_path,
            max_per_class=2,
            progress=False,
            limits=IMPATIENT,
            sources=table,
        )
    for folder in final.iterdir():
        if folder.is_dir():
            files = synset_files(folder.name)
            names = chosen(tmp_path, files, 2)
            assert {path.name: path.read_bytes() for path in folder.iterdir()} == {
                name: files[name] for name in names
            }
