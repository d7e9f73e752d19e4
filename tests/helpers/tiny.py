"""Small real runs that several test modules share: images in memory, a narrow net, processes."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import multiprocessing
import os
import runpy
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skimage.data
import torch
from torch import Tensor, nn

from colorize.data.dataset import ImageDataset, Scanned
from colorize.models import Colorizer, JointModel, SimplifiedModel
from colorize.models.checkpoint import load_checkpoint, read_info, save_checkpoint
from colorize.models.iizuka import IizukaModel
from colorize.training.config import FitOptions, Recipe
from colorize.training.fit import FitResult, fit
from colorize.training.optim import initialise

CROP = 32
SIDE = 40
NAME = "run"
# Batch norm, moving average, warm-up and clipping are all on.
RECIPE = Recipe(epochs=6, batch_size=4, crop=CROP, test_crop=CROP, ema=0.9, warmup=0.2, lr=3e-3)
QUIET = FitOptions(save_every=2)


@contextlib.contextmanager
def lightly() -> Iterator[None]:
    """One thread, as nets this narrow lose more by sharing the work than they gain."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def light() -> Iterator[None]:
    """The whole test in ``lightly``."""
    with lightly():
        yield


def patches(count: int, first: int = 0, side: int = SIDE) -> np.ndarray:
    """(count, side, side, 3) uint8 of a real photograph, no two of them overlapping."""
    photo = skimage.data.astronaut()
    along = 512 // side
    places = [divmod(first + i, along) for i in range(count)]
    return np.stack(
        [photo[r * side : (r + 1) * side, c * side : (c + 1) * side] for r, c in places]
    )


RED, BLUE = (1.0, 0.1, 0.1), (0.1, 0.1, 1.0)


def dataset(
    count: int,
    *,
    first: int = 0,
    train: bool = False,
    size: int = CROP,
    side: int = SIDE,
    tint: tuple[float, float, float] = (1.0, 1.0, 1.0),
    classes: Sequence[str] = ("astronaut",),
    **augmentation: Any,
) -> ImageDataset:
    """Patches of a photograph as a data set; nothing that ``first`` sets apart overlaps."""
    found = ImageDataset("patches", size, train, classes=classes, grey="keep", **augmentation)
    cut = enumerate((patches(count, first, side) * tint).astype(np.uint8), first)
    found.adopt(Scanned(f"patch-{i}", 0, False, patch) for i, patch in cut)
    return found


def train_set(count: int = 14) -> ImageDataset:
    """Patches with random crops; 14 fill three batches and leave two over."""
    return dataset(count, train=True)


def val_set(count: int = 5) -> ImageDataset:
    """Patches that are in no ``train_set``."""
    return dataset(count, first=100)


def model(seed: int = 0, **options: Any) -> SimplifiedModel:
    """The simplified net with 8 channels a layer, of untrained weights that depend on the seed."""
    torch.manual_seed(seed)
    return SimplifiedModel(**{"width": 0.02, **options})


CLASSES = ("astronaut", "nobody", "somebody", *(f"other{i}" for i in range(4)))


def labelled(count: int, **more: Any) -> ImageDataset:
    """Patches of which each has another of ``CLASSES``."""
    found = dataset(count, classes=CLASSES, **more)
    found.labels = [i % len(CLASSES) for i in range(count)]
    return found


def iizuka(kind: type[IizukaModel] = JointModel, **options: Any) -> Any:
    """A narrow net of study B for ``CLASSES``, of weights that tell images apart."""
    torch.manual_seed(0)
    net = kind(len(CLASSES), width=0.125, **options)
    initialise(net, "kaiming")
    return net


def vivid_model(seed: int = 0) -> SimplifiedModel:
    """An untrained net that answers with saturated colors, different from pixel to pixel."""
    made = model(seed)
    with torch.no_grad():
        made.head.weight.mul_(300)
    return made.eval()


def run(folder: Path, *, resume: bool = False, net: Colorizer | None = None, **changes: Any) -> Any:
    """``fit`` with everything small; ``changes`` are fields of recipe or options, or arguments."""
    recipe, options, rest = RECIPE, QUIET, {}
    for key, value in changes.items():
        if hasattr(RECIPE, key):
            recipe = dataclasses.replace(recipe, **{key: value})
        elif hasattr(QUIET, key):
            options = dataclasses.replace(options, **{key: value})
        else:
            rest[key] = value
    images, validation = rest.pop("train", None) or train_set(), rest.pop("val", None) or val_set()
    return fit(
        net or model(),
        images,
        validation,
        recipe,
        folder=folder,
        resume=resume,
        options=options,
        **{"name": NAME, **rest},
    )


def learn(net: Colorizer, batch: dict[str, Tensor], *, steps: int, lr: float) -> dict[str, float]:
    """Train on one batch by Adam; the losses of what was learned, in eval mode.

    Batch norm holds the statistics of this batch and of the last weights, so that eval mode differs
    from training by dropout only: what tests ask of these losses holds on any processor.
    """
    optimizer = torch.optim.Adam(net.parameters(), lr=lr)
    for _ in range(steps):
        optimizer.zero_grad()
        net.loss(batch)["loss"].backward()
        assert all(p.grad is not None and p.grad.isfinite().all() for p in net.parameters())
        optimizer.step()
    for layer in net.modules():
        if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
            layer.momentum = 1.0
    with torch.no_grad():
        # Many copies, as batch norm divides by n in training and by n - 1 in what it keeps.
        net.loss({name: torch.cat([values] * 8) for name, values in batch.items()})
        return {name: float(value) for name, value in net.eval().loss(batch).items()}


def timeless(curve: list[dict[str, float]]) -> list[dict[str, float]]:
    """A learning curve without what no two runs can share."""
    return [{k: v for k, v in point.items() if k != "seconds"} for point in curve]


def weights(path: Path) -> dict[str, Tensor]:
    """All entries of a checkpoint."""
    return load_checkpoint(path).state_dict()


def contents(folder: Path) -> dict[str, bytes]:
    """Files of a folder."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def assert_same_bits(one: dict[str, Tensor], other: dict[str, Tensor]) -> None:
    """All entries equal to the last bit."""
    assert one.keys() == other.keys()
    differing = [name for name in one if not torch.equal(one[name], other[name])]
    assert not differing


def largest_difference(one: dict[str, Tensor], other: dict[str, Tensor]) -> float:
    """Over all entries of two models."""
    assert one.keys() == other.keys()
    return max(float((one[name].double() - other[name].double()).abs().max()) for name in one)


def leave_behind(folder: Path, result: FitResult) -> None:
    """Write the curve where the parent of this process finds it."""
    (folder / "curve.json").write_text(json.dumps(result.curve), encoding="utf-8")


def outcome(folder: Path) -> dict[str, Any]:
    """What a finished run in another process left: weights, records and curve without times."""
    found: dict[str, Any] = {"files": sorted(p.name for p in folder.glob("*.safetensors"))}
    for name in (NAME, f"{NAME}-last"):
        path = folder / f"{name}.safetensors"
        extra = read_info(path).extra
        found[name] = weights(path)
        found[f"{name}-record"] = {
            **extra,
            "validation": timeless([extra["validation"]]),
            "curve": timeless(extra.get("curve", [])),
        }
    curve = json.loads((folder / "curve.json").read_text(encoding="utf-8"))
    return {**found, "curve": timeless(curve)}


def assert_same_outcome(one: dict[str, Any], other: dict[str, Any]) -> None:
    """Two runs that nothing but their times tells apart."""
    for name in (NAME, f"{NAME}-last"):
        assert_same_bits(one[name], other[name])
    rest = [
        {k: v for k, v in found.items() if k not in (NAME, f"{NAME}-last", "files")}
        for found in (one, other)
    ]
    assert rest[0] == rest[1]


def start(function: Callable[..., None], *arguments: Any) -> BaseProcess:
    """Call a function of a module in a process of its own, which can be killed.

    The processes are forked from one that has imported torch and did nothing with it: importing
    takes longer than the runs. Where there is no fork they import for themselves.
    """
    method = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
    context: Any = multiprocessing.get_context(method)
    if method == "forkserver":
        context.set_forkserver_preload(["colorize.experiments.run", "colorize.cli", "skimage.data"])
    process: BaseProcess = context.Process(target=function, args=arguments, daemon=True)
    process.start()
    return process


def finish(process: BaseProcess, seconds: float = 300) -> int:
    """Wait for a process; its exit status."""
    process.join(seconds)
    if process.exitcode is None:
        process.kill()
        process.join()
        pytest.fail(f"a child was still running after {seconds} s")
    return process.exitcode


def command_line(home: Path, arguments: list[str], output: Path) -> None:
    """``python -m colorize`` for ``start``: what it prints, errors too, goes to a file."""
    os.environ["COLORIZE_HOME"] = str(home)
    torch.set_num_threads(1)
    sys.argv = ["colorize", *arguments]
    with (
        output.open("w", encoding="utf-8") as file,
        contextlib.redirect_stdout(file),
        contextlib.redirect_stderr(file),
    ):
        runpy.run_module("colorize", run_name="__main__", alter_sys=True)


def interrupt(process: BaseProcess) -> None:
    """Ctrl-C."""
    assert process.pid is not None
    os.kill(process.pid, signal.SIGINT)


def save_tiny(path: Path, net: Colorizer | None = None, input_size: int = CROP) -> Path:
    """A small checkpoint."""
    net = net or vivid_model()
    net.input_size = input_size
    return save_checkpoint(net, path)
