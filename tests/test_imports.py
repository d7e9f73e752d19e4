"""The one direction of imports, held by reading them; and imports that do nothing else."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import colorize

PACKAGE = Path(colorize.__file__).parent

# A package imports what stands in a lower row, never its neighbor, never upward.
LEVELS = (
    {"errors", "version"},
    {"checks", "extras", "paths", "storage"},
    {"color"},
    {"data", "losses"},
    {"models"},
    {"evaluation"},
    {"report", "training"},
    {"analysis", "experiments", "photo"},
    {"app"},
    {"cli"},
    {"__main__"},
)
LEVEL = {part: level for level, parts in enumerate(LEVELS) for part in parts}
# Arrows that still break the map; to be removed.
KNOWN: set[tuple[str, str]] = set()
NETS = ("base", "heads", "iizuka", "unet", "zhang", "zhang_released")
NO_TORCH = (
    *("errors", "paths", "storage", "training.config", "data.spec", "experiments.presets"),
    *("cli", "cli.plan", "cli.photos", "cli.notebook"),
)
HEAVY = {"torch", "torchvision", "torchmetrics", "timm", "accelerate", "safetensors"}


def _name(path: Path) -> str:
    """The dotted name of a module; a package has its own name, not that of its __init__."""
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


SOURCES = {_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}
MODULES = sorted(set(SOURCES) - {"colorize"})


def _imported(module: str) -> Iterator[str]:
    return _imports_of(SOURCES[module], module)


def _imports_of(path: Path, module: str) -> Iterator[str]:
    """Every import in the file, also those inside functions, as full dotted names."""
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) + 1 - node.level]
            base = ".".join([*above, *filter(None, [node.module])]) if node.level else node.module
            # `from colorize import paths` imports a module, `from colorize import fit` the top.
            for alias in node.names:
                inner = f"{base}.{alias.name}"
                yield inner if inner in SOURCES else str(base)


def _own_imports(module: str) -> set[str]:
    return {name for name in _imported(module) if name.split(".")[0] == "colorize"}


def _part(module: str) -> str:
    return module.split(".")[1]


def test_every_package_has_its_level() -> None:
    assert {_part(module) for module in MODULES} == set(LEVEL)


@pytest.mark.parametrize("module", MODULES)
def test_no_arrow_points_up(module: str) -> None:
    own = _part(module)
    for imported in _own_imports(module):
        assert imported in SOURCES, f"{module} imports {imported}, which is no module"
        assert imported != "colorize", f"{module} imports the top of the package"
        if _part(imported) == own:
            whole = f"colorize.{own}"
            assert imported != whole or module == whole, f"{module} imports its own package"
        elif (own, _part(imported)) not in KNOWN:
            assert LEVEL[_part(imported)] < LEVEL[own], f"{module} must not import {imported}"


def test_the_downloader_stands_beside_the_library() -> None:
    """It uses a few packages of the library; none imports it."""
    folder = PACKAGE.parent / "DOWNLOADER"
    for path in sorted(folder.glob("*.py")):
        for imported in _imports_of(path, f"DOWNLOADER.{path.stem}"):
            if imported.startswith("colorize."):
                assert _part(imported) in {"errors", "experiments", "paths", "storage"}, path.name
    for module in MODULES:
        assert not any(name.split(".")[0] == "DOWNLOADER" for name in _imported(module)), module


def test_imports_have_no_circle() -> None:
    graph = {module: _own_imports(module) - {module} for module in MODULES}
    assert len(list(TopologicalSorter(graph).static_order())) >= len(MODULES)


@pytest.mark.parametrize(
    "module", [m for m in MODULES if _part(m) == "models" and m.rpartition(".")[2] in NETS]
)
def test_models_are_only_modules(module: str) -> None:
    """No optimizer, no device, no file and no plot in them."""
    foreign = {name for name in _imported(module) if not name.startswith("colorize")}
    roots = {name.split(".")[0] for name in foreign}
    allowed = {
        "__future__",
        "collections",
        "contextlib",
        "functools",
        "inspect",
        "math",
        "threading",
        "typing",
        "weakref",
        "numpy",
        "torch",
    }
    assert roots <= allowed, f"{module} imports {sorted(roots - allowed)}"
    assert not any(name.startswith("torch.optim") for name in foreign)
    for node in ast.walk(ast.parse(SOURCES[module].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Attribute):
            assert node.attr not in {"cuda", "optim", "save", "load"}, f"{module}: .{node.attr}"
        if isinstance(node, ast.Call):
            assert getattr(node.func, "id", "") != "open", f"{module} opens a file"
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            assert node.value not in {"cuda", "cpu", "mps"}, f"{module} names a device"


@pytest.mark.parametrize("module", MODULES)
def test_no_path_comes_from_the_working_directory(module: str) -> None:
    for node in ast.walk(ast.parse(SOURCES[module].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Attribute):
            assert node.attr not in {"cwd", "getcwd", "chdir"}, f"{module}: .{node.attr}"


def _run(code: str, folder: Path) -> str:
    """Run code in a new process whose home and working folder are empty; give what it prints."""
    places = {name: str(folder / "user") for name in ("HOME", "USERPROFILE", "XDG_CACHE_HOME")}
    (folder / "user").mkdir()
    (folder / "work").mkdir()
    environment = {
        **os.environ,
        **places,
        "COLORIZE_HOME": str(folder / "home"),
        # matplotlib writes a list of fonts; that is its own business and has its own place.
        "MPLCONFIGDIR": str(folder / "matplotlib"),
        "PYTHONPATH": str(PACKAGE.parent),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder / "work",
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_plain_modules_import_no_torch(tmp_path: Path) -> None:
    names = ["colorize", *(f"colorize.{part}" for part in NO_TORCH)]
    code = f"import json, sys, {', '.join(names)}; print(json.dumps(sorted(sys.modules)))"
    loaded = json.loads(_run(code, tmp_path))
    assert set(names) <= set(loaded)
    assert not HEAVY & {module.split(".")[0] for module in loaded}


_IMPORT_EVERYTHING = """
import contextlib, importlib, json, os, random, sys
import numpy, torch
with contextlib.suppress(ImportError):
    import rich.style  # draws a random number; Gradio brings it, and scikit-learn imports it
def state():
    return [repr(random.getstate()), repr(numpy.random.get_state()), torch.initial_seed(),
            torch.get_rng_state().tolist(), torch.get_num_threads(), str(torch.get_default_dtype()),
            str(torch.get_default_device()), torch.is_grad_enabled(), os.getcwd(),
            dict(os.environ).get("COLORIZE_HOME")]
before, opened, made = state(), [], []
watching = {os.path.realpath(p) for p in (os.environ["COLORIZE_HOME"], os.getcwd())}
def audit(event, args):
    if event in ("open", "os.mkdir", "os.listdir", "os.scandir") and isinstance(args[0], str):
        path = os.path.realpath(args[0])
        # An editable installation puts a name that is no folder on sys.path.
        editable = "__editable__" in path
        if not editable and any(path.startswith(place + os.sep) for place in watching):
            opened.append([event, path])
sys.addaudithook(audit)
for name in NAMES:
    importlib.import_module(name)
report = {"changed": [a for a, b in zip(before, state()) if a != b], "opened": opened,
          "cuda": torch.cuda.is_initialized()}
print(json.dumps(report))
"""


def test_importing_everything_does_nothing_else(tmp_path: Path) -> None:
    names = [module for module in MODULES if module != "colorize.__main__"]
    report = json.loads(_run(f"NAMES = {names!r}\n{_IMPORT_EVERYTHING}", tmp_path).splitlines()[-1])
    assert report["changed"] == [], "a seed or a setting of the process was changed"
    assert report["opened"] == [] and not report["cuda"]
    assert not (tmp_path / "home").exists()
    assert list((tmp_path / "work").iterdir()) == []


def test_public_names_are_found_when_asked_for() -> None:
    assert dir(colorize) == colorize.__all__
    for name in colorize.__all__:
        assert getattr(colorize, name) is not None
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = colorize.no_such_name
