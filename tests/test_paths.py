"""Where things lie, and files that are whole or not there."""

from __future__ import annotations

import importlib.util
import shutil
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


def test_checkout_is_the_home(tmp_path: Path, user: Path) -> None:
    module = _install(tmp_path / "clone", "colorization.ipynb", "pyproject.toml")
    assert module.home() == (tmp_path / "clone").resolve()


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


def test_environment_is_read_at_every_call_and_made_absolute(
    tmp_path: Path, user: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = _install(tmp_path / "clone", "colorization.ipynb", "pyproject.toml")
    monkeypatch.chdir(tmp_path)
    for value, expected in (("here", tmp_path / "here"), (str(Path("~", "drive")), user / "drive")):
        monkeypatch.setenv("COLORIZE_HOME", value)
        assert module.home() == expected.resolve()
