"""Training as people meet it: it learns, it is killed and goes on, it stops and says why."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import tiny
from helpers.tiny import light as light
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.utils.data import Dataset

from colorize import paths
from colorize.data.items import ImageDataset, Key
from colorize.errors import ColorizeError, DataError, InputError, TrainingError
from colorize.evaluation.evaluate import GreyBaseline, evaluate
from colorize.models import ClassificationModel, EuclideanModel, RegressionHead
from colorize.models.base import Colorizer
from colorize.models.checkpoint import load_checkpoint, read_info
from colorize.training.config import FitOptions, Recipe
from colorize.training.fit import CURVE_METRICS, fit
from colorize.training.sampler import StepSampler

pytestmark = pytest.mark.usefixtures("light")

# Gradient descent that moves the weights a hundred times further than the tolerance of 1e-5, and
# does not divide by the size of a gradient, which would blow up rounding where there is none.
# Batch norm's statistics stay as they are: those of a part of a batch are not those of the whole.
PLAIN: dict[str, Any] = {
    "optimizer": "sgd",
    "lr": 3e-2,
    "ema": 0,
    "weight_decay": 0,
    "init": "default",
    "freeze_batchnorm": True,
}


# Who learns that all the world is red does worse and worse on blue, but for the very beginning.
WORSE: dict[str, Any] = {"schedule": "constant", "lr": 1e-2, "ema": 0, "epochs": 16}


class DropoutNet(Colorizer):
    """A net that draws random numbers in every step of training."""

    size_divisor = 4

    def __init__(self) -> None:
        super().__init__()
        self.output = RegressionHead()
        self.config = {}
        self.first = nn.Conv2d(1, 8, 3, stride=4, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.drop = nn.Dropout2d(0.3)
        self.head = nn.Conv2d(8, 2, 1)

    def forward(self, L: Tensor) -> Tensor:
        return self.head(self.drop(self.norm(self.first(L / 100).relu())))


def _euclidean(seed: int = 0) -> EuclideanModel:
    torch.manual_seed(seed)
    return EuclideanModel(width=0.02)


def _dropout(seed: int = 0) -> DropoutNet:
    torch.manual_seed(seed)
    return DropoutNet()


class Interrupting(Dataset[dict[str, Tensor]]):
    """A training set during whose n-th image Ctrl-C is pressed."""

    def __init__(self, at: int, images: ImageDataset | None = None) -> None:
        self.images = images or tiny.train_set()
        self.names, self.cached, self.left = self.images.names, True, at

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, key: Key) -> dict[str, Tensor]:
        self.left -= 1
        if self.left == 0:
            signal.raise_signal(signal.SIGINT)
        return self.images[key]


def _state(folder: Path) -> dict[str, Any]:
    return torch.load(folder / f"{tiny.NAME}.state.pt", weights_only=True)


def _names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


def _last(folder: Path) -> dict[str, Tensor]:
    return tiny.weights(folder / f"{tiny.NAME}-last.safetensors")


# --- it learns, and keeps what it should -------------------------------------------------------


def test_it_overfits_one_batch(tmp_path: Path) -> None:
    batch = tiny.dataset(4, first=53)
    torch.manual_seed(0)
    net = ClassificationModel(width=0.125)
    found = tiny.run(
        tmp_path,
        net=net,
        train=batch,
        val=batch,
        epochs=100,
        lr=1e-2,
        ema=0,
        validate_every=25,
        save_every=1000,
    )
    losses = [point["train_loss"] for point in found.curve]
    assert found.steps == 100 and losses[-1] < 0.5 * math.log(313)
    grey = evaluate(GreyBaseline(), batch)["rmse_ab"]["mean"]
    assert evaluate(net, batch)["rmse_ab"]["mean"] < 0.7 * grey


def _worse(interrupted_at: int = 0) -> dict[str, Any]:
    """Settings of a run that is best at one of its first validations and worst at the last."""
    train = tiny.dataset(14, train=True, tint=tiny.RED)
    val = tiny.dataset(5, first=100, tint=tiny.BLUE)
    images = Interrupting(interrupted_at, train) if interrupted_at else train
    return {**WORSE, "train": images, "val": val, "validate_every": 10, "half": True}


@pytest.fixture(scope="module")
def worsening(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any, Colorizer]:
    """A run that gets worse: folder, result and model."""
    folder = tmp_path_factory.mktemp("worsening")
    with tiny.lightly():
        net = tiny.model()
        log = folder / "log"
        found = tiny.run(folder, net=net, log_dir=log, **_worse())
    return folder, found, net


def test_best_and_last_are_kept(worsening: tuple[Path, Any, Colorizer]) -> None:
    folder, found, net = worsening
    assert _names(folder) == ["log", "run-last.safetensors", "run.safetensors"]
    assert (found.best, found.last) == (folder / "run.safetensors", folder / "run-last.safetensors")
    assert found.main_process and found.steps == 48
    values = [point["val_loss"] for point in found.curve]
    assert values[-1] > 1.1 * min(values)
    best, last = (read_info(path).extra for path in (found.best, found.last))
    assert best["validation"] == found.curve[values.index(min(values))]
    assert best["step"] == best["validation"]["step"] < last["step"] == 48
    assert last["validation"] == found.curve[-1]
    assert best["recipe"]["lr"] == 1e-2 and best["steps"] == 48
    # What the records say is what the weights in the same file do (half precision rounds them).
    for path, record in ((found.best, best), (found.last, last)):
        measured = evaluate(load_checkpoint(path), _worse()["val"], with_loss=True)
        for name in ("rmse_ab", "psnr", "colorfulness"):
            expected = record["validation"][name]
            assert measured[name]["mean"] == pytest.approx(expected, rel=2e-2)
        assert measured["loss"]["mean"] == pytest.approx(record["validation"]["val_loss"], rel=2e-2)
    assert not net.training
    held = {name: p.detach().half().float() for name, p in net.named_parameters() if p.dim() > 1}
    stored = tiny.weights(found.last)
    tiny.assert_same_bits(held, {name: stored[name] for name in held})


def test_the_curve(worsening: tuple[Path, Any, Colorizer]) -> None:
    curve = worsening[1].curve
    assert [point["step"] for point in curve] == [10, 20, 30, 40, 48]
    assert [point["images"] for point in curve] == [40, 80, 120, 160, 192]
    keys = {"step", "images", "seconds", "train_loss", "val_loss", *CURVE_METRICS}
    assert all(point.keys() == keys for point in curve)
    seconds = [point["seconds"] for point in curve]
    assert seconds == sorted(seconds) and seconds[0] > 0
    assert len({point["colorfulness_truth"] for point in curve}) == 1


def test_tensorboard_holds_the_curve(worsening: tuple[Path, Any, Colorizer]) -> None:
    # Here, as the processes that are started below need not wait for it.
    from tensorboard.backend.event_processing import event_accumulator  # type: ignore[import-untyped]

    folder, found, _ = worsening
    events = event_accumulator.EventAccumulator(str(folder / "log" / "run"))
    events.Reload()
    assert {"train_loss", "val_loss", *CURVE_METRICS} <= set(events.Tags()["scalars"])
    for name in ("train_loss", "val_loss", "psnr", "colorfulness"):
        scalars = events.Scalars(name)
        assert [event.step for event in scalars] == [point["step"] for point in found.curve]
        expected = [point[name] for point in found.curve]
        assert [event.value for event in scalars] == pytest.approx(expected, rel=1e-6)


def test_the_training_loss_is_the_mean_of_the_steps_since_the_last_validation(
    tmp_path: Path,
) -> None:
    images, net = tiny.dataset(14), _euclidean()
    expected = []
    for batch in StepSampler(14, 4, 5, 0, 6):
        rgb = torch.stack([images[index]["rgb"] for index, _ in batch])
        with torch.no_grad():
            expected.append(float(net.eval().loss({"rgb": rgb})["loss"]))
    found = tiny.run(
        tmp_path,
        net=net,
        train=images,
        seed=5,
        lr=0.0,
        ema=0,
        init="default",
        epochs=2,
        freeze_batchnorm=True,
        validate_every=4,
    )
    means = [point["train_loss"] for point in found.curve]
    assert means == pytest.approx([sum(expected[:4]) / 4, sum(expected[4:]) / 2], rel=1e-5)


def test_validation_takes_the_same_few_images_from_the_whole_set(tmp_path: Path) -> None:
    net, images = _euclidean(), tiny.val_set(9)
    found = tiny.run(tmp_path, net=net, val=images, validate_images=3, epochs=1)
    some = torch.utils.data.Subset(images, [0, 3, 6])
    measured = evaluate(net, some, with_loss=True)
    assert found.curve[-1]["val_loss"] == pytest.approx(measured["loss"]["mean"], rel=1e-6)
    assert found.curve[-1]["psnr"] == pytest.approx(measured["psnr"]["mean"], rel=1e-6)


def test_the_folder_is_checkpoints_and_metadata_goes_into_the_files(home: Path) -> None:
    made = {"experiment": "simplified", "note": ["λ", 1]}
    recipe = dataclasses.replace(tiny.RECIPE, epochs=1)
    train, val = tiny.train_set(), tiny.val_set()
    found = fit(_euclidean(), train, val, recipe, name="a", options=tiny.QUIET, metadata=made)
    assert found.best == home / "CHECKPOINTS" / "a.safetensors"
    for path in (found.best, found.last):
        assert made.items() <= read_info(path).extra.items()


def test_the_same_seed_gives_the_same_bits_and_another_does_not(tmp_path: Path) -> None:
    outcomes = []
    for i, (seed, threads_busy) in enumerate(((1, 0), (1, 9), (2, 0))):
        torch.manual_seed(threads_busy)  # what was drawn before must not matter
        net = _dropout()
        tiny.run(tmp_path / str(i), net=net, seed=seed)
        outcomes.append(net.state_dict())
    tiny.assert_same_bits(outcomes[0], outcomes[1])
    assert tiny.largest_difference(outcomes[0], outcomes[2]) > 1e-3


def test_how_often_it_validates_or_saves_does_not_change_what_is_learned(tmp_path: Path) -> None:
    """Validation and loaders must not draw from the random state that dropout uses."""
    outcomes = []
    ways = ((1, 1, 5), (100, 100, 5), (100, 3, 2))
    for i, (validate_every, save_every, images) in enumerate(ways):
        net = _dropout()
        every: dict[str, Any] = {"validate_every": validate_every, "save_every": save_every}
        tiny.run(tmp_path / str(i), net=net, val=tiny.val_set(images), **every)
        outcomes.append(net.state_dict())
    tiny.assert_same_bits(outcomes[0], outcomes[1])
    tiny.assert_same_bits(outcomes[0], outcomes[2])


def test_loading_in_other_processes_does_not_change_what_is_learned(tmp_path: Path) -> None:
    outcomes = []
    for workers in (0, 2):
        net = _dropout()
        tiny.run(tmp_path / str(workers), net=net, workers=workers, epochs=2)
        outcomes.append(net.state_dict())
    tiny.assert_same_bits(*outcomes)


# --- it is cut, and goes on --------------------------------------------------------------------

LONG: dict[str, Any] = {"epochs": 16, "save_every": 2, "validate_every": 7}


def _child(folder: Path, kind: str, die: tuple[str, int] | None = None) -> None:
    """A run in a process of its own; it may be made to die at its n-th file, just like that."""
    torch.set_num_threads(1)
    if die is not None:
        when, left = die
        owner, name = (os, "fsync") if when == "before the rename" else (Path, "replace")
        original = getattr(owner, name)

        def deadly(*arguments: Any) -> Any:
            nonlocal left
            left -= 1
            result = original(*arguments)
            if left == 0:
                os._exit(9)
            return result

        setattr(owner, name, deadly)
    size = LONG if kind == "long" else {**LONG, "epochs": 4, "validate_every": 3}
    tiny.leave_behind(folder, tiny.run(folder, net=_euclidean(), resume=True, **size))


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], dict[str, Any]]:
    """What a run leaves that nobody disturbed, in a process of its own like those that are."""
    done: dict[str, dict[str, Any]] = {}

    def run(kind: str) -> dict[str, Any]:
        if kind not in done:
            folder = tmp_path_factory.mktemp(kind)
            assert tiny.finish(tiny.start(_child, folder, kind)) == 0
            done[kind] = tiny.outcome(folder)
        return done[kind]

    return run


def _stamp(path: Path) -> tuple[int, int]:
    try:
        found = path.stat()
    except FileNotFoundError:
        return 0, 0
    return found.st_ino, found.st_mtime_ns


def test_kill_9_at_random_moments(tmp_path: Path, uninterrupted: Any) -> None:
    expected = uninterrupted("long")
    state, dice = tmp_path / "run.state.pt", random.Random()
    steps: list[int] = []
    for _ in range(3):
        process = tiny.start(_child, tmp_path, "long")
        # Somewhere within the steps that follow the next save or the one after it.
        deadline = time.monotonic() + 60
        for _ in range(dice.randint(1, 2)):
            before = _stamp(state)
            while _stamp(state) == before and process.is_alive() and time.monotonic() < deadline:
                time.sleep(0.001)
        time.sleep(dice.random() * 0.03)
        process.kill()
        process.join()
        assert process.exitcode == -signal.SIGKILL, "the run was over before it could be killed"
        steps.append(_state(tmp_path)["step"])
    assert steps == sorted(set(steps)) and steps[-1] < 48
    assert tiny.finish(tiny.start(_child, tmp_path, "long")) == 0
    tiny.assert_same_outcome(tiny.outcome(tmp_path), expected)
    assert not state.exists()


@pytest.mark.parametrize(("when", "files"), [("before the rename", 3), ("after the rename", 2)])
def test_death_in_the_middle_of_every_file(
    when: str, files: int, tmp_path: Path, uninterrupted: Any
) -> None:
    deaths = 0
    while status := tiny.finish(tiny.start(_child, tmp_path, "short", (when, files))):
        assert status == 9
        deaths += 1
        for path in tmp_path.glob("run*.safetensors"):
            load_checkpoint(path)  # whatever lies there is whole
    assert deaths >= 3
    tiny.assert_same_outcome(tiny.outcome(tmp_path), uninterrupted("short"))


@pytest.mark.parametrize(
    ("build", "at"), [(_dropout, 1), (tiny.model, 18), (_dropout, 23), (tiny.model, 72)]
)
def test_ctrl_c_saves_at_the_end_of_the_step_and_resume_gives_the_same_bits(
    build: Callable[[int], Colorizer], at: int, tmp_path: Path
) -> None:
    whole = tmp_path / "whole"
    expected = tiny.run(whole, net=build(0), save_every=1000)
    cut = tmp_path / "cut"
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt, match=r"Stopped after step \d+ of 18\. .*run\.state\.pt"):
        tiny.run(cut, net=build(0), train=Interrupting(at), save_every=1000)
    assert signal.getsignal(signal.SIGINT) is before
    # The loader is a batch ahead, so the flag is seen at this step's end or the one's before.
    step = _state(cut)["step"]
    assert step in (max(1, -(-at // 4) - 1), -(-at // 4))
    torch.manual_seed(77)
    found = tiny.run(cut, net=build(5), resume=True, save_every=1000)
    assert tiny.timeless(found.curve) == tiny.timeless(expected.curve)
    for name in ("run", "run-last"):
        stored = [load_file(folder / f"{name}.safetensors") for folder in (whole, cut)]
        tiny.assert_same_bits(*stored)
    assert _names(cut) == ["run-last.safetensors", "run.safetensors"]


def test_a_run_that_goes_on_remembers_its_best(
    worsening: tuple[Path, Any, Colorizer], tmp_path: Path
) -> None:
    folder, found, _ = worsening
    values = [point["val_loss"] for point in found.curve]
    step = int(found.curve[values.index(min(values))]["step"])
    with pytest.raises(KeyboardInterrupt):
        tiny.run(tmp_path, **_worse(interrupted_at=4 * (step + 2)))
    assert step < _state(tmp_path)["step"] < 48
    tiny.run(tmp_path, resume=True, **_worse())
    for name in ("run.safetensors", "run-last.safetensors"):
        tiny.assert_same_bits(tiny.weights(tmp_path / name), tiny.weights(folder / name))


def test_a_second_run_replaces_the_files_of_the_first(tmp_path: Path) -> None:
    """Also when the first was better: the best is that of a run, not of a folder."""
    tiny.run(tmp_path, net=_euclidean(), epochs=8, lr=3e-3)
    first = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    short = tiny.run(tmp_path, net=_euclidean(1), epochs=1, lr=1e-5, init="default", seed=1)
    assert set(_names(tmp_path)) == set(first)
    for path in (short.best, short.last):
        assert path.read_bytes() != first[path.name]
        assert read_info(path).extra["validation"] == short.curve[-1]


def test_the_state_is_what_it_was_at_that_step(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        tiny.run(tmp_path, net=_euclidean(), train=Interrupting(23), warmup=0.5)
    state = _state(tmp_path)
    lr = state["optimizer"]["param_groups"][0]["lr"]
    assert lr == pytest.approx(tiny.RECIPE.lr * state["step"] / 9)
    assert state["average"] is not None and len(state["losses"]) == state["step"] % 3
    assert [point["step"] for point in state["curve"]] == [3]


def test_resume_without_a_run_starts_one(tmp_path: Path) -> None:
    outcomes = []
    for resume in (False, True):
        net = _dropout()
        tiny.run(tmp_path / str(resume), net=net, resume=resume, epochs=1)
        outcomes.append(net.state_dict())
    tiny.assert_same_bits(*outcomes)


@pytest.fixture
def unfinished(tmp_path: Path) -> Path:
    """A folder with a run that was interrupted."""
    with pytest.raises(KeyboardInterrupt):
        tiny.run(tmp_path, net=_euclidean(), train=Interrupting(18))
    return tmp_path


def test_an_unfinished_run_is_not_overwritten(unfinished: Path) -> None:
    before = {path.name: path.read_bytes() for path in unfinished.iterdir()}
    message = r"unfinished run of 'run' is there: resume it .*, or delete .*run\.state\.pt"
    with pytest.raises(TrainingError, match=message):
        tiny.run(unfinished, net=_euclidean())
    assert {path.name: path.read_bytes() for path in unfinished.iterdir()} == before


@pytest.mark.parametrize(
    "change",
    [
        {"lr": 2e-3},
        {"epochs": 7},
        {"batch_size": 2},
        {"ema": 0},
        {"optimizer": "adam"},
        {"seed": 1},
        {"train": "fewer"},
        {"train": "others"},
        {"net": "dropout"},
        {"net": "wider"},
    ],
    ids=str,
)
def test_the_state_of_another_run_is_refused(change: dict[str, Any], unfinished: Path) -> None:
    before = {path.name: path.read_bytes() for path in unfinished.iterdir()}
    sets = {"fewer": tiny.train_set(13), "others": tiny.dataset(14, first=30, train=True)}
    nets = {"dropout": _dropout(), "wider": EuclideanModel(width=0.125)}
    made = {"net": _euclidean(), **change}
    made = {**made, **({"net": nets[made["net"]]} if isinstance(made["net"], str) else {})}
    made = {**made, **({"train": sets[made["train"]]} if "train" in made else {})}
    with pytest.raises(TrainingError, match="belongs to another run"):
        tiny.run(unfinished, resume=True, **made)
    assert {path.name: path.read_bytes() for path in unfinished.iterdir()} == before


def test_another_rebalancing_is_another_run(tmp_path: Path) -> None:
    """The class weights are not in the config, and the state would bring the old ones back."""
    weights = torch.linspace(0.5, 1.5, 313)
    with pytest.raises(KeyboardInterrupt):
        tiny.run(tmp_path, net=tiny.model(class_weights=weights), train=Interrupting(18))
    with pytest.raises(TrainingError, match="belongs to another run"):
        tiny.run(tmp_path, net=tiny.model(class_weights=weights.flip(0)), resume=True)
    tiny.run(tmp_path, net=tiny.model(class_weights=weights), resume=True)


def test_a_damaged_state_says_so(unfinished: Path) -> None:
    path = unfinished / "run.state.pt"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(TrainingError, match=r"run\.state\.pt"):
        tiny.run(unfinished, net=_euclidean(), resume=True)


# --- it stops, and says why --------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["euclidean", "simplified"])
def test_a_loss_that_is_not_finite_names_the_images(kind: str, tmp_path: Path) -> None:
    net = _euclidean() if kind == "euclidean" else tiny.model()
    absurd: dict[str, Any] = {"lr": 1e30, "warmup": 0, "clip": 0, "ema": 0}
    with pytest.raises(TrainingError, match=r"step \d+ is (nan|inf)") as caught:
        tiny.run(tmp_path, net=net, save_every=1, seed=3, **absurd)
    message = str(caught.value)
    step = int(message.split("step ")[1].split()[0])
    batch = list(StepSampler(14, 4, 3, 0, 18))[step - 1]
    assert message.endswith("batch: " + ", ".join(f"patch-{index}" for index, _ in batch))
    assert "1e+30" in message
    assert step > 1 and _state(tmp_path)["step"] == step - 1


def test_a_run_whose_last_step_diverges_does_not_pass_for_a_good_one(tmp_path: Path) -> None:
    """One step: its loss is finite, what it makes of the weights is not worth keeping."""
    absurd: dict[str, Any] = {"lr": 1e30, "warmup": 0, "clip": 0, "ema": 0}
    with pytest.raises(TrainingError, match=r"nan|inf"):
        found = tiny.run(tmp_path, net=_euclidean(), epochs=0.1, **absurd)
        assert found.best.is_file(), f"no best checkpoint, curve {found.curve}"


@pytest.mark.parametrize("parts", [0, -1, 3, 8])
def test_a_batch_that_cannot_be_split(parts: int, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"divisor of the batch of 4, got {parts}"):
        tiny.run(tmp_path, accumulate=parts)


def test_other_bad_input(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="at least one batch of 4 images, got 3 images"):
        tiny.run(tmp_path, train=tiny.train_set(3))
    with pytest.raises(InputError, match="optimizer: expected one of"):
        tiny.run(tmp_path, optimizer="lion")
    with pytest.raises(InputError, match="schedule: expected one of"):
        tiny.run(tmp_path, schedule="steps")
    with pytest.raises(InputError, match="multiples of 8"):
        tiny.run(tmp_path, train=tiny.dataset(8, size=36, train=True))
    assert not list(tmp_path.iterdir())


def test_an_unknown_precision_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(ColorizeError, match="precision"):
        tiny.run(tmp_path, net=_euclidean(), mixed_precision="float7", epochs=1)


# --- it is the same in parts, in half precision and in several processes -----------------------


@pytest.mark.parametrize("parts", [2, 4])
def test_accumulated_gradients_give_the_same_weights(parts: int, tmp_path: Path) -> None:
    outcomes = []
    for accumulate in (1, parts):
        net = tiny.model()
        before = {name: value.clone() for name, value in net.state_dict().items()}
        found = tiny.run(tmp_path / str(accumulate), net=net, accumulate=accumulate, **PLAIN)
        outcomes.append((net.state_dict(), found.curve))
        assert tiny.largest_difference(net.state_dict(), before) > 1e-3
    (one, curve), (other, other_curve) = outcomes
    assert tiny.largest_difference(one, other) < 1e-5
    assert len(curve) == len(other_curve)
    for point, its in zip(curve, other_curve, strict=True):
        assert point["train_loss"] == pytest.approx(its["train_loss"], rel=1e-4)
        assert (point["step"], point["images"]) == (its["step"], its["images"])


def test_the_memory_layout_changes_rounding_only(tmp_path: Path) -> None:
    outcomes = []
    for channels_last in (True, False):
        net = tiny.model()
        tiny.run(tmp_path / str(channels_last), net=net, channels_last=channels_last, **PLAIN)
        outcomes.append(net.state_dict())
    assert tiny.largest_difference(*outcomes) < 1e-5


def test_frozen_batch_norm_keeps_its_statistics_also_after_a_validation(tmp_path: Path) -> None:
    for frozen in (True, False):
        net = _euclidean()
        before = {name: value.clone() for name, value in net.named_buffers()}
        tiny.run(tmp_path / str(frozen), net=net, freeze_batchnorm=frozen, validate_every=1)
        changed = any(not torch.equal(value, before[name]) for name, value in net.named_buffers())
        assert changed != frozen


def _bf16(folder: Path) -> None:
    torch.set_num_threads(1)
    found = tiny.run(folder, mixed_precision="bf16", epochs=2)
    tiny.leave_behind(folder, found)


def test_bf16_trains_on_the_cpu_and_keeps_float32_weights(tmp_path: Path) -> None:
    assert tiny.finish(tiny.start(_bf16, tmp_path)) == 0
    found = tiny.outcome(tmp_path)
    full = tiny.run(tmp_path / "full", epochs=2)
    for point, its in zip(found["curve"], full.curve, strict=True):
        assert math.isfinite(point["train_loss"]) and math.isfinite(point["val_loss"])
        # Eight bits of significand: close to float32, and not the same.
        assert point["train_loss"] == pytest.approx(its["train_loss"], rel=0.1)
        assert point["train_loss"] != its["train_loss"]
    assert {value.dtype for value in found["run-last"].values()} == {torch.float32, torch.int64}


def test_a_notebook_may_train_at_one_precision_and_then_at_another(tmp_path: Path) -> None:
    for precision in ("no", "bf16", "no"):
        net = _euclidean()
        tiny.run(tmp_path / precision, net=net, mixed_precision=precision, epochs=1)


SCRIPT = """
import dataclasses, json, sys
from pathlib import Path
import torch
from helpers import tiny
from accelerate import Accelerator
from colorize.experiments.catalog import (get_experiment)
from colorize.experiments.run import run_experiment

torch.set_num_threads(1)
folder = Path(sys.argv[1])
for i, settings in enumerate(json.loads(sys.argv[2])):
    net = tiny.model()
    found = tiny.run(folder / str(i), net=net, cpu=True, keep_state=True, **settings)
    accelerator = Accelerator(cpu=True)
    mark = f"{i}-process-{accelerator.process_index}-of-{accelerator.num_processes}"
    torch.save({"weights": net.state_dict(), "curve": found.curve}, folder / f"{mark}.pt")
experiment = get_experiment("euclidean", "quick")
experiment = dataclasses.replace(
    experiment, recipe=dataclasses.replace(experiment.recipe, epochs=0.2)
)
run_experiment(experiment, options=dataclasses.replace(tiny.QUIET, cpu=True))
(folder / f"experiment-{accelerator.process_index}").touch()
for i, settings in enumerate(json.loads(sys.argv[2])):
    net = tiny.model(5)
    tiny.run(folder / str(i), net=net, cpu=True, resume=True, **settings)
    torch.save(net.state_dict(), folder / f"resumed-{i}-{accelerator.process_index}.pt")
"""
# By plain descent, and by the fast recipe with all that belongs to it.
PARALLEL: list[dict[str, Any]] = [PLAIN, {"freeze_batchnorm": True, "accumulate": 2}]


@pytest.fixture(scope="module")
def launched(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int, str]:
    """A script on two processes that talk over loopback: its folder, exit status and output."""
    if sys.platform == "win32":
        pytest.skip("not tried on Windows")
    folder = tmp_path_factory.mktemp("parallel")
    script = folder / "script.py"
    script.write_text(SCRIPT, encoding="utf-8")
    # With --cpu, accelerate leaves it to MPI to start the processes, and without MPI there is one.
    launch = "-m accelerate.commands.launch --multi_gpu --num_processes 2 --num_machines 1"
    launch += " --mixed_precision no --dynamo_backend no --main_process_port 0"
    here = Path(__file__).resolve().parents[1]
    environment = {
        **os.environ,
        "COLORIZE_HOME": str(folder / "home"),
        "PYTHONPATH": os.pathsep.join([str(here), str(Path(paths.__file__).parents[1])]),
        "OMP_NUM_THREADS": "1",
    }
    process = subprocess.Popen(
        [sys.executable, *launch.split(), str(script), str(folder), json.dumps(PARALLEL)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        output = process.communicate(timeout=150)[0]
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        output = process.communicate()[0] + "\n(killed after 150 s)"
    return folder, process.returncode, output


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Path, Any, dict[str, Tensor]]]:
    """The same runs on one process: folder, result and weights."""
    runs = []
    with tiny.lightly():
        for settings in PARALLEL:
            folder, net = tmp_path_factory.mktemp("alone"), tiny.model()
            found = tiny.run(folder, net=net, cpu=True, **settings)
            runs.append((folder, found, net.state_dict()))
    return runs


@pytest.mark.parametrize("i", range(len(PARALLEL)))
def test_two_processes_give_the_weights_of_one(
    i: int, launched: tuple[Path, int, str], alone: list[tuple[Path, Any, dict[str, Tensor]]]
) -> None:
    folder, _, output = launched
    marks = sorted(folder.glob(f"{i}-*.pt"))
    names = [f"{i}-process-0-of-2.pt", f"{i}-process-1-of-2.pt"]
    assert [path.name for path in marks] == names, output
    found = [torch.load(path, weights_only=True)["weights"] for path in marks]
    tiny.assert_same_bits(*found)
    one, _, expected = alone[i]
    assert tiny.largest_difference(expected, tiny.model().state_dict()) > 1e-3
    assert tiny.largest_difference(expected, found[0]) < 1e-5
    assert tiny.largest_difference(_last(one), _last(folder / str(i))) < 1e-5
    assert set(_names(one)) <= set(_names(folder / str(i)))


@pytest.mark.parametrize("i", range(len(PARALLEL)))
def test_two_processes_resume(i: int, launched: tuple[Path, int, str]) -> None:
    """From the state of the last step, by a net that began with other weights."""
    folder, _, output = launched
    resumed = sorted(folder.glob(f"resumed-{i}-*.pt"))
    assert len(resumed) == 2, output
    before = torch.load(folder / f"{i}-process-0-of-2.pt", weights_only=True)["weights"]
    for path in resumed:
        tiny.assert_same_bits(torch.load(path, weights_only=True), before)
    assert not list(folder.rglob("*.state.pt"))


@pytest.mark.parametrize("i", range(len(PARALLEL)))
def test_two_processes_record_the_curve_of_one(
    i: int, launched: tuple[Path, int, str], alone: list[tuple[Path, Any, dict[str, Tensor]]]
) -> None:
    found = torch.load(launched[0] / f"{i}-process-0-of-2.pt", weights_only=True)["curve"]
    expected = alone[i][1].curve
    assert len(found) == len(expected)
    for point, its in zip(found, expected, strict=True):
        assert (point["step"], point["images"]) == (its["step"], its["images"])
        assert point["val_loss"] == pytest.approx(its["val_loss"], rel=1e-4)
        assert point["train_loss"] == pytest.approx(its["train_loss"], rel=1e-4)


def test_two_processes_run_an_experiment_to_its_end(launched: tuple[Path, int, str]) -> None:
    folder, _, output = launched
    assert len(list(folder.glob("experiment-*"))) == 2, output
    made = {path.name for path in (folder / "home" / "CHECKPOINTS" / "quick").iterdir()}
    expected = {"euclidean.json", "euclidean.md", "euclidean.safetensors"}
    assert made == {*expected, "euclidean-last.safetensors"}


def test_two_processes_end_well(launched: tuple[Path, int, str]) -> None:
    assert launched[1] == 0, launched[2]


def test_defaults() -> None:
    assert FitOptions().mixed_precision == "no" and FitOptions().accumulate == 1
    assert Recipe().batch_size == 32 and Recipe().crop == 64
