"""Where things lie, and files that are whole or not there."""

from __future__ import annotations

import importlib.util
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from colorize import paths


def _install(root: Path, *files: str) -> ModuleType:
    """The module as it would be found in ``root/colorize``, with ``files`` beside that folder."""
    (root / "colorize").mkdir(parents=True)
    copy = shutil.copy(paths.__file__, root / "colorize" / "paths.py")
    for name in files:
        (root / name).touch()
    spec = importlib.util.spec_from_file_location("paths_elsewhere", copy)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user without COLORIZE_HOME whose home folder is temporary."""
    monkeypatch.delenv("COLORIZE_HOME", raising=False)
    folder = tmp_path / "user"
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(folder))
    return folder


def test_environment_moves_everything_and_makes_nothing(home: Path) -> None:
    assert paths.home() == home.resolve()
    folders = [
        paths.data(),
        paths.checkpoints(),
        paths.precalculated(),
        paths.graphs(),
        paths.runs(),
    ]
    names = ["DATA", "CHECKPOINTS", "PRECALCULATED", "GRAPHS", "RUNS"]
    assert folders == [home.resolve() / name for name in names]
    assert not home.exists()


def test_environment_is_read_at_every_call(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = paths.data()
    monkeypatch.setenv("COLORIZE_HOME", str(tmp_path / "other"))
    assert paths.data() == (tmp_path / "other" / "DATA").resolve() != before


def test_tilde_in_the_environment(user: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLORIZE_HOME", str(Path("~", "drive")))
    assert paths.home() == (user / "drive").resolve()


def test_relative_environment_gives_an_absolute_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLORIZE_HOME", "here")
    assert paths.home() == (tmp_path / "here").resolve()


def test_checkout_is_the_home(tmp_path: Path, user: Path) -> None:
    module = _install(tmp_path / "clone", "colorization.ipynb", "pyproject.toml")
    assert module.home() == (tmp_path / "clone").resolve()


def test_environment_goes_before_the_checkout(tmp_path: Path, home: Path) -> None:
    module = _install(tmp_path / "clone", "colorization.ipynb", "pyproject.toml")
    assert module.home() == home.resolve()


@pytest.mark.parametrize("files", [(), ("pyproject.toml",), ("colorization.ipynb",)])
def test_installed_package_uses_the_users_home(
    tmp_path: Path, user: Path, files: tuple[str, ...]
) -> None:
    module = _install(tmp_path / "site-packages", *files)
    assert module.home() == user / "colorize"


@pytest.mark.parametrize("configured", [None, ""])
def test_working_directory_is_never_the_home(
    tmp_path: Path, user: Path, monkeypatch: pytest.MonkeyPatch, configured: str | None
) -> None:
    if configured is not None:
        monkeypatch.setenv("COLORIZE_HOME", configured)
    module = _install(tmp_path / "site-packages")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    for name in ("colorization.ipynb", "pyproject.toml"):
        (elsewhere / name).touch()
    monkeypatch.chdir(elsewhere)
    assert module.home() == user / "colorize"


def test_replacing_shows_the_new_file_only_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "table.npy"
    with paths.replacing(path) as temporary:
        assert temporary.parent == path.parent and temporary.suffix == ".npy"
        temporary.write_bytes(b"half")
        assert not path.exists()
        temporary.write_bytes(b"whole")
    assert path.read_bytes() == b"whole"
    assert list(path.parent.iterdir()) == [path]


def test_replacing_takes_a_string_and_overwrites(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    path.write_text("old and longer", encoding="utf-8")
    with paths.replacing(str(path)) as temporary:
        assert path.read_text(encoding="utf-8") == "old and longer"
        temporary.write_text("new", encoding="utf-8")
    assert path.read_text(encoding="utf-8") == "new"


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("old", [None, b"old"])
def test_an_error_keeps_the_old_state(
    tmp_path: Path, error: type[BaseException], old: bytes | None
) -> None:
    path = tmp_path / "file.bin"
    if old is not None:
        path.write_bytes(old)
    with pytest.raises(error), paths.replacing(path) as temporary:
        temporary.write_bytes(b"half")
        raise error
    assert [p.read_bytes() for p in tmp_path.iterdir()] == ([] if old is None else [old])


def test_a_writer_that_dies_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file.bin"
    path.write_bytes(b"old")
    code = (
        "import os, sys\nfrom colorize import paths\n"
        "with paths.replacing(sys.argv[1]) as temporary:\n"
        "    temporary.write_bytes(b'half')\n    os._exit(7)\n"
    )
    root = str(Path(paths.__file__).parent.parent)
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], env={**os.environ, "PYTHONPATH": root}, check=False
    )
    assert done.returncode == 7
    assert path.read_bytes() == b"old"


@pytest.mark.skipif(os.name == "nt", reason="Windows does not rename over an open file")
def test_an_open_reader_keeps_the_old_file_to_its_end(tmp_path: Path) -> None:
    path = tmp_path / "file.bin"
    path.write_bytes(b"old old")
    with path.open("rb", buffering=0) as reader:
        assert reader.read(3) == b"old"
        with paths.replacing(path) as temporary:
            temporary.write_bytes(b"new new")
        assert reader.read() == b" old"
    assert path.read_bytes() == b"new new"


def test_two_writers_do_not_share_a_temporary_file(tmp_path: Path) -> None:
    path = tmp_path / "file.bin"
    with paths.replacing(path) as one:
        one.write_bytes(b"one")
        with paths.replacing(path) as two:
            assert one != two
            two.write_bytes(b"two")
        assert path.read_bytes() == b"two"
    assert path.read_bytes() == b"one"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_in_the_way_is_an_error_that_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "taken"
    path.mkdir()
    with pytest.raises(OSError), paths.replacing(path) as temporary:
        temporary.write_bytes(b"new")
    assert list(tmp_path.iterdir()) == [path] and path.is_dir()


@pytest.mark.skipif(os.name == "nt", reason="Windows has no permission bits of this kind")
@pytest.mark.parametrize("umask", [0o022, 0o027, 0o002])
def test_published_files_have_the_permissions_of_any_new_file(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        (tmp_path / "plain").touch()
        with paths.replacing(tmp_path / "published") as temporary:
            temporary.write_bytes(b"x")
        assert os.umask(umask) == umask
    finally:
        os.umask(before)
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("plain", "published")]
    assert modes[0] == modes[1] == 0o666 & ~umask
