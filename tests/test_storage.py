"""storage.atomic_write: whole files or none."""

from __future__ import annotations

import hashlib
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from colorize import paths, storage


def test_atomic_write_shows_the_new_file_only_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "table.npy"
    with storage.atomic_write(path) as temporary:
        assert temporary.parent == path.parent and temporary.suffix == ".npy"
        temporary.write_bytes(b"half")
        assert not path.exists()
        temporary.write_bytes(b"whole")
    assert path.read_bytes() == b"whole"
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
@pytest.mark.parametrize("old", [None, b"old"])
def test_an_error_keeps_the_old_state(
    tmp_path: Path, error: type[BaseException], old: bytes | None
) -> None:
    path = tmp_path / "file.bin"
    if old is not None:
        path.write_bytes(old)
    with pytest.raises(error), storage.atomic_write(path) as temporary:
        temporary.write_bytes(b"half")
        raise error
    assert [p.read_bytes() for p in tmp_path.iterdir()] == ([] if old is None else [old])


def test_a_writer_that_dies_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file.bin"
    path.write_bytes(b"old")
    code = (
        "import os, sys\nfrom colorize import storage\n"
        "with storage.atomic_write(sys.argv[1]) as temporary:\n"
        "    temporary.write_bytes(b'half')\n    os._exit(7)\n"
    )
    root = str(Path(paths.__file__).parent.parent)
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], env={**os.environ, "PYTHONPATH": root}, check=False
    )
    assert done.returncode == 7
    assert path.read_bytes() == b"old"
    # What it left is cleared away, and no file of a writer that is alive, nor a user's.
    (tmp_path / ".colorize-notes.tmp").touch()
    with storage.atomic_write(path) as temporary:
        assert len(list(tmp_path.iterdir())) == 4
        storage.clear_temporaries(tmp_path)
        left = {p.name for p in tmp_path.iterdir()}
        if os.name == "posix":
            assert left == {"file.bin", ".colorize-notes.tmp", temporary.name}
    assert path.exists()


def test_two_writers_do_not_share_a_temporary_file(tmp_path: Path) -> None:
    path = tmp_path / "file.bin"
    with storage.atomic_write(path) as one:
        one.write_bytes(b"one")
        with storage.atomic_write(path) as two:
            assert one != two
            two.write_bytes(b"two")
        assert path.read_bytes() == b"two"
    assert path.read_bytes() == b"one"
    assert list(tmp_path.iterdir()) == [path]


def test_the_longest_names_can_be_written(tmp_path: Path) -> None:
    for name in ("x" * 251 + ".png", "x" * 3 + "." + "y" * 251):
        with storage.atomic_write(tmp_path / name) as temporary:
            temporary.write_bytes(b"x")
        assert (tmp_path / name).read_bytes() == b"x"


def test_an_error_names_the_file_and_not_the_temporary_one(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    target = tmp_path / "file" / "out.png"
    with pytest.raises(OSError, match=r"out\.png"), storage.atomic_write(target):
        pass


@pytest.mark.skipif(os.name == "nt", reason="Windows has no permission bits of this kind")
@pytest.mark.parametrize("umask", [0o022, 0o027])
def test_published_files_have_the_permissions_of_any_new_file(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        (tmp_path / "plain").touch()
        with storage.atomic_write(tmp_path / "published") as temporary:
            temporary.write_bytes(b"x")
        assert os.umask(umask) == umask
    finally:
        os.umask(before)
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("plain", "published")]
    assert modes[0] == modes[1] == 0o666 & ~umask


def test_hash_of_a_file_longer_than_what_is_read_at_once(tmp_path: Path) -> None:
    path = tmp_path / "file.bin"
    path.write_bytes(data := bytes(range(256)) * 5000)
    assert storage.sha256_file(path) == hashlib.sha256(data).hexdigest()
