"""Training as people meet it: it learns, it is killed and goes on, it stops and says why."""

from __future__ import annotations

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

from colorize import paths
from colorize.data.dataset import ImageDataset
from colorize.data.image_dataset import Key
from colorize.errors import DataError, InputError, TrainingError
from colorize.evaluation.baselines import GreyBaseline
from colorize.evaluation.evaluate import evaluate
from colorize.models import (
    MODEL_CLASSES,
    ClassificationModel,
    EuclideanModel,
    ModelOutput,
    RegressionHead,
)
from colorize.models.base import Colorizer
from colorize.models.checkpoint import load_checkpoint, read_info
from colorize.training.curve import CURVE_METRICS
from colorize.training.images import PROBE
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
WORSE: dict[str, Any] = {"schedule": "constant", "lr": 1e-2, "ema": 0, "epochs": 20}


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

    def forward(self, L: Tensor) -> ModelOutput:
        return ModelOutput(self.head(self.drop(self.norm(self.first(L / 100).relu()))), None)


@pytest.fixture(autouse=True)
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    """A net of these tests, as one that checkpoints know."""
    monkeypatch.setitem(MODEL_CLASSES, "DropoutNet", DropoutNet)


def _euclidean(seed: int = 0) -> EuclideanModel:
    torch.manual_seed(seed)
    return EuclideanModel(width=0.02)


def _dropout(seed: int = 0) -> DropoutNet:
    torch.manual_seed(seed)
    return DropoutNet()


class Interrupting(ImageDataset):
    """A training set during whose n-th image Ctrl-C is pressed."""

    def __init__(self, at: int, images: ImageDataset | None = None) -> None:
        vars(self).update(vars(images or tiny.train_set()))
        self.left = at

    def __getitem__(self, key: Key) -> dict[str, Tensor]:
        if isinstance(key, tuple) and key[1] != PROBE:
            self.left -= 1
            if self.left == 0:
                signal.raise_signal(signal.SIGINT)
        return super().__getitem__(key)


def _saved_step(folder: Path) -> int:
    state = torch.load(folder / f"{tiny.NAME}.state.pt", weights_only=True)
    return int(state["progress"]["step"])


def _names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


# --- it learns, and keeps what it should -------------------------------------------------------


def test_it_overfits_one_batch(tmp_path: Path) -> None:
    batch = tiny.dataset(4, first=53)
    torch.manual_seed(0)
    net = ClassificationModel(width=0.125)
    result = tiny.run(
        tmp_path, net=net, train=batch, val=batch, epochs=100, lr=1e-2, ema=0, save_every=1000
    )
    assert result.steps == 100 and result.curve[-1]["train_loss"] < 0.5 * math.log(313)
    grey = evaluate(GreyBaseline(), batch)["rmse_ab"]["mean"]
    assert evaluate(net, batch)["rmse_ab"]["mean"] < 0.7 * grey


def _worse(interrupted_at: int = 0) -> dict[str, Any]:
    """Settings of a run that is best at one of its first validations and worse at the last."""
    train = tiny.dataset(14, train=True, tint=tiny.RED)
    val = tiny.dataset(5, first=100, tint=tiny.BLUE)
    images = Interrupting(interrupted_at, train) if interrupted_at else train
    return {**WORSE, "train": images, "val": val, "half": True}


@pytest.fixture(scope="module")
def worsening(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any, Colorizer]:
    """A run that gets worse: folder, result and model."""
    folder = tmp_path_factory.mktemp("worsening")
    with tiny.lightly():
        net = tiny.model()
        result = tiny.run(folder, net=net, log_dir=folder / "log", **_worse())
    return folder, result, net


def test_best_and_last_are_kept(worsening: tuple[Path, Any, Colorizer]) -> None:
    folder, result, net = worsening
    assert _names(folder) == ["log", "run-last.safetensors", "run.safetensors"]
    assert result.main_process and result.steps == 60
    values = [point["val_loss"] for point in result.curve]
    assert values[-1] > 1.1 * min(values)
    best, last = (read_info(path).extra for path in (result.best, result.last))
    assert best["validation"] == result.curve[values.index(min(values))]
    assert best["step"] == best["validation"]["step"] < last["step"] == 60
    assert last["validation"] == result.curve[-1] and last["recipe"]["lr"] == 1e-2
    # What the records say is what the weights in the same file do (half precision rounds them).
    for path, record in ((result.best, best), (result.last, last)):
        measured = evaluate(load_checkpoint(path), _worse()["val"], with_loss=True)
        for name in ("rmse_ab", "psnr", "colorfulness"):
            expected = record["validation"][name]
            assert measured[name]["mean"] == pytest.approx(expected, rel=2e-2)
        assert measured["loss"]["mean"] == pytest.approx(record["validation"]["val_loss"], rel=2e-2)
    assert not net.training
    held = {name: p.detach().half().float() for name, p in net.named_parameters() if p.dim() > 1}
    stored = tiny.weights(result.last)
    tiny.assert_same_bits(held, {name: stored[name] for name in held})


def test_the_curve_and_tensorboard(worsening: tuple[Path, Any, Colorizer]) -> None:
    # Here, as the processes that are started below need not wait for it.
    from tensorboard.backend.event_processing import event_accumulator  # type: ignore[import-untyped]

    folder, result, _ = worsening
    steps = [point["step"] for point in result.curve]
    assert steps == [10, 20, 30, 40, 50, 60]
    assert [point["images"] for point in result.curve] == [4 * step for step in steps]
    seconds = [point["seconds"] for point in result.curve]
    assert seconds == sorted(seconds) and seconds[0] > 0
    events = event_accumulator.EventAccumulator(str(folder / "log" / "run"))
    events.Reload()
    for name in ("train_loss", "val_loss", *CURVE_METRICS):
        scalars = events.Scalars(name)
        assert [event.step for event in scalars] == steps
        expected = [point[name] for point in result.curve]
        assert [event.value for event in scalars] == pytest.approx(expected, rel=1e-6)


def test_the_training_loss_is_the_mean_of_the_steps_since_the_last_validation(
    tmp_path: Path,
) -> None:
    images, net = tiny.dataset(14), _euclidean()
    expected = []
    for batch in StepSampler(14, 4, 5, 0, 15):
        rgb = torch.stack([images[index]["rgb"] for index, _ in batch])
        with torch.no_grad():
            expected.append(float(net.eval().loss({"rgb": rgb})["loss"]))
    still: dict[str, Any] = {"lr": 0.0, "ema": 0, "init": "default", "freeze_batchnorm": True}
    result = tiny.run(tmp_path, net=net, train=images, seed=5, epochs=5, **still)
    means = [point["train_loss"] for point in result.curve]
    assert means == pytest.approx([sum(expected[:10]) / 10, sum(expected[10:]) / 5], rel=1e-5)


def test_only_the_seed_changes_what_is_learned(tmp_path: Path) -> None:
    """Validation, loaders and saving must not draw from the random state that dropout uses."""
    ways: dict[str, dict[str, Any]] = {
        "as it is": {},
        "fewer validation images": {"val": tiny.val_set(2)},
        "rarely saved": {"save_every": 100},
        "loaded in other processes": {"workers": 2},
        "another seed": {"seed": 2},
    }
    outcomes = {}
    for i, (way, settings) in enumerate(ways.items()):
        torch.manual_seed(i)  # what was drawn before must not matter
        outcomes[way] = _dropout()
        tiny.run(tmp_path / str(i), net=outcomes[way], **{"seed": 1, "epochs": 4, **settings})
    weights = {way: net.state_dict() for way, net in outcomes.items()}
    other = weights.pop("another seed")
    for way in weights:
        tiny.assert_same_bits(weights[way], weights["as it is"])
    assert tiny.largest_difference(other, weights["as it is"]) > 1e-3


def test_what_is_frozen_stays_to_the_bit(tmp_path: Path) -> None:
    net = tiny.model()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    tiny.run(tmp_path, net=net, frozen=("trunk.0", "trunk.4"), epochs=2)
    for name, value in net.state_dict().items():
        frozen = name.startswith(("trunk.0.", "trunk.4.")) or "weights" in name or "bin" in name
        assert torch.equal(value, before[name]) == frozen, name
    with pytest.raises(InputError, match="frozen"):
        tiny.run(tmp_path / "other", frozen=("nothing",))


def test_frozen_batch_norm_keeps_its_statistics_also_after_a_validation(tmp_path: Path) -> None:
    for frozen in (True, False):
        net = _euclidean()
        before = {name: value.clone() for name, value in net.named_buffers()}
        tiny.run(tmp_path / str(frozen), net=net, freeze_batchnorm=frozen)
        changed = any(not torch.equal(value, before[name]) for name, value in net.named_buffers())
        assert changed != frozen


# --- it is cut, and goes on --------------------------------------------------------------------

LONG: dict[str, Any] = {"epochs": 16, "save_every": 2}


def _child(folder: Path, dies_at: int = 0) -> None:
    """A run in a process of its own; it may be made to die before its n-th rename."""
    torch.set_num_threads(1)
    rename, left = Path.replace, dies_at

    def deadly(*arguments: Any) -> Any:
        nonlocal left
        left -= 1
        if left == 0:
            os._exit(9)
        return rename(*arguments)

    Path.replace = deadly  # type: ignore[method-assign]
    tiny.leave_behind(folder, tiny.run(folder, net=_euclidean(), resume=True, **LONG))


def _stamp(path: Path) -> int:
    return path.stat().st_mtime_ns if path.exists() else 0


def test_killed_between_two_saves_and_in_a_rename_it_ends_the_same(tmp_path: Path) -> None:
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    undisturbed = tiny.start(_child, whole)
    state, dice = cut / "run.state.pt", random.Random(17)
    process = tiny.start(_child, cut)
    deadline = time.monotonic() + 300
    for _ in range(2):
        before = _stamp(state)
        while _stamp(state) == before and process.is_alive() and time.monotonic() < deadline:
            time.sleep(0.001)
    time.sleep(dice.random() * 0.02)
    process.kill()
    process.join()
    assert process.exitcode == -signal.SIGKILL, "the run was over before it could be killed"
    step = _saved_step(cut)
    assert 0 < step < 48
    assert tiny.finish(tiny.start(_child, cut, 3)) == 9
    assert step <= _saved_step(cut) < 48
    for path in cut.glob("run*.safetensors"):
        load_checkpoint(path)  # whatever lies there is whole
    assert tiny.finish(tiny.start(_child, cut)) == 0
    assert tiny.finish(undisturbed) == 0
    tiny.assert_same_outcome(tiny.outcome(cut), tiny.outcome(whole))
    assert not state.exists()


@pytest.mark.parametrize(("build", "at"), [(_dropout, 1), (tiny.model, 18), (_dropout, 72)])
def test_ctrl_c_saves_at_the_end_of_the_step_and_resume_gives_the_same_bits(
    build: Callable[[int], Colorizer], at: int, tmp_path: Path
) -> None:
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    expected = tiny.run(whole, net=build(0), save_every=1000)
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt, match=r"run\.state\.pt"):
        tiny.run(cut, net=build(0), train=Interrupting(at), save_every=1000)
    assert signal.getsignal(signal.SIGINT) is before
    # The loader is a batch ahead, so the flag is seen at this step's end or the one's before.
    assert _saved_step(cut) in (max(1, -(-at // 4) - 1), -(-at // 4))
    torch.manual_seed(77)
    result = tiny.run(cut, net=build(5), resume=True, save_every=1000)
    assert tiny.timeless(result.curve) == tiny.timeless(expected.curve)
    for name in ("run.safetensors", "run-last.safetensors"):
        tiny.assert_same_bits(load_file(whole / name), load_file(cut / name))
    assert _names(cut) == ["run-last.safetensors", "run.safetensors"]


def test_a_run_that_goes_on_remembers_its_best(
    worsening: tuple[Path, Any, Colorizer], tmp_path: Path
) -> None:
    folder, result, _ = worsening
    values = [point["val_loss"] for point in result.curve]
    step = int(result.curve[values.index(min(values))]["step"])
    with pytest.raises(KeyboardInterrupt):
        tiny.run(tmp_path, **_worse(interrupted_at=4 * (step + 2)))
    assert step < _saved_step(tmp_path) < 60
    tiny.run(tmp_path, resume=True, **_worse())
    for name in ("run.safetensors", "run-last.safetensors"):
        tiny.assert_same_bits(tiny.weights(tmp_path / name), tiny.weights(folder / name))


@pytest.fixture
def unfinished(tmp_path: Path) -> Path:
    """A folder with a run that was interrupted."""
    with pytest.raises(KeyboardInterrupt):
        tiny.run(tmp_path, net=_euclidean(), train=Interrupting(18))
    return tmp_path


def test_an_unfinished_run_is_not_overwritten(unfinished: Path) -> None:
    before = tiny.contents(unfinished)
    with pytest.raises(TrainingError, match=r"unfinished run of 'run'.*run\.state\.pt"):
        tiny.run(unfinished, net=_euclidean())
    assert tiny.contents(unfinished) == before


def test_the_state_of_another_run_is_refused(unfinished: Path) -> None:
    before = tiny.contents(unfinished)
    changes: list[dict[str, Any]] = [
        *({"lr": 2e-3}, {"epochs": 7}, {"batch_size": 2}, {"ema": 0}, {"optimizer": "adam"}),
        *({"freeze_batchnorm": True}, {"aging": 1.0}, {"neutral": 0.5}, {"seed": 1}),
        {"frozen": ("trunk.0",)},
        *({"train": tiny.train_set(13)}, {"train": tiny.dataset(14, first=30, train=True)}),
        *({"train": tiny.dataset(14, train=True, tint=tiny.RED)}, {"train": tiny.dataset(14)}),
        *({"train": tiny.dataset(14, train=True, rotation=0.1)}, {"val": tiny.val_set(4)}),
        *({"train": tiny.dataset(14, train=True, size=16), "crop": 16}, {"accumulate": 2}),
        *({"net": _dropout()}, {"net": EuclideanModel(width=0.125)}),
    ]
    for change in changes:
        with pytest.raises(TrainingError, match="belongs to another run"):
            tiny.run(unfinished, resume=True, **{"net": _euclidean(), **change})
    assert tiny.contents(unfinished) == before


def test_another_rebalancing_is_another_run(tmp_path: Path) -> None:
    """The class weights are not in the config, and the state would bring the old ones back."""
    weights = torch.linspace(0.5, 1.5, 313)
    with pytest.raises(KeyboardInterrupt):
        tiny.run(tmp_path, net=tiny.model(class_weights=weights), train=Interrupting(18))
    with pytest.raises(TrainingError, match="belongs to another run"):
        tiny.run(tmp_path, net=tiny.model(class_weights=weights.flip(0)), resume=True)
    tiny.run(tmp_path, net=tiny.model(class_weights=weights), resume=True)


# --- it stops, and says why --------------------------------------------------------------------

ABSURD: dict[str, Any] = {"lr": 1e30, "warmup": 0, "clip": 0, "ema": 0}


@pytest.mark.parametrize("build", [_euclidean, tiny.model])
def test_a_loss_that_is_not_finite_names_the_images(
    build: Callable[[], Colorizer], tmp_path: Path
) -> None:
    with pytest.raises(TrainingError, match=r"step \d+ is (nan|inf)") as caught:
        tiny.run(tmp_path, net=build(), save_every=1, seed=3, **ABSURD)
    message = str(caught.value)
    step = int(message.split("step ")[1].split()[0])
    batch = list(StepSampler(14, 4, 3, 0, 18))[step - 1]
    assert message.endswith("batch: " + ", ".join(f"patch-{index}" for index, _ in batch))
    assert step > 1 and _saved_step(tmp_path) == step - 1


def test_a_run_whose_last_step_diverges_does_not_pass_for_a_good_one(tmp_path: Path) -> None:
    """One step: its loss is finite, what it makes of the weights is not worth keeping."""
    with pytest.raises(TrainingError, match=r"nan|inf"):
        tiny.run(tmp_path, net=_euclidean(), epochs=0.1, **ABSURD)


def test_bad_input(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="batch of 4 images, got 3"):
        tiny.run(tmp_path, train=tiny.train_set(3))
    with pytest.raises(InputError, match="multiples of 8"):
        tiny.run(tmp_path, train=tiny.dataset(8, size=36, train=True), crop=0)
    assert not list(tmp_path.iterdir())


# --- it is the same in parts, in half precision and in several processes -----------------------


def test_accumulated_gradients_give_the_same_weights(tmp_path: Path) -> None:
    outcomes = []
    for accumulate in (1, 2, 4):
        net = tiny.model()
        result = tiny.run(tmp_path / str(accumulate), net=net, accumulate=accumulate, **PLAIN)
        outcomes.append((net.state_dict(), result.curve))
    (one, curve), *others = outcomes
    assert tiny.largest_difference(one, tiny.model().state_dict()) > 1e-3
    for other, other_curve in others:
        assert tiny.largest_difference(one, other) < 1e-5
        for point, its in zip(curve, other_curve, strict=True):
            assert point["train_loss"] == pytest.approx(its["train_loss"], rel=1e-4)
            assert (point["step"], point["images"]) == (its["step"], its["images"])


def test_one_process_trains_at_one_precision_and_then_at_another(tmp_path: Path) -> None:
    results, nets = {}, {}
    for i, precision in enumerate(("no", "bf16", "no")):
        nets[i] = tiny.model()
        results[i] = tiny.run(
            tmp_path / str(i), net=nets[i], mixed_precision=precision, epochs=2, ema=0
        )
    tiny.assert_same_bits(nets[0].state_dict(), nets[2].state_dict())
    for point, its in zip(results[0].curve, results[1].curve, strict=True):
        assert math.isfinite(its["val_loss"])
        # Eight bits of significand: close to float32, and not the same.
        assert point["train_loss"] == pytest.approx(its["train_loss"], rel=0.2)
        assert point["train_loss"] != its["train_loss"]
    dtypes = {value.dtype for value in nets[1].state_dict().values()}
    assert dtypes == {torch.float32, torch.int64}
    # Autocast belongs to training: afterwards the net is as one that was loaded.
    L = torch.rand(1, 1, 16, 16) * 100
    loaded = load_checkpoint(results[1].last)
    torch.testing.assert_close(nets[1].predict_ab(L), loaded.predict_ab(L), atol=1e-3, rtol=0)


SCRIPT = """
import dataclasses, json, sys
from pathlib import Path
import torch
from helpers import tiny
from accelerate import Accelerator
from colorize.experiments.catalog import get_experiment
from colorize.experiments.run import run_experiment

torch.set_num_threads(1)
folder = Path(sys.argv[1])
for i, settings in enumerate(json.loads(sys.argv[2])):
    net = tiny.model()
    result = tiny.run(folder / str(i), net=net, cpu=True, keep_state=True, **settings)
    accelerator = Accelerator(cpu=True)
    process, processes = accelerator.process_index, accelerator.num_processes
    resumed = tiny.model(5)
    tiny.run(folder / str(i), net=resumed, cpu=True, resume=True, **settings)
    outcome = {"weights": net.state_dict(), "resumed": resumed.state_dict(), "curve": result.curve}
    torch.save({**outcome, "processes": processes}, folder / f"{i}-{process}.pt")
experiment = get_experiment("euclidean", "quick")
recipe = dataclasses.replace(experiment.recipe, epochs=0.2)
experiment = dataclasses.replace(experiment, recipe=recipe)
run_experiment(experiment, options=dataclasses.replace(tiny.QUIET, cpu=True))
"""
# By plain descent, and by the fast recipe with all that belongs to it.
PARALLEL: list[dict[str, Any]] = [PLAIN, {"freeze_batchnorm": True, "accumulate": 2}]


@pytest.mark.skipif(sys.platform == "win32", reason="not tried on Windows")
def test_two_processes_do_what_one_does(tmp_path: Path) -> None:
    """They talk over loopback; weights, curve, resuming, and an experiment to its end."""
    script = tmp_path / "script.py"
    script.write_text(SCRIPT, encoding="utf-8")
    # With --cpu, accelerate leaves it to MPI to start the processes, and without MPI there is one.
    launch = "-m accelerate.commands.launch --multi_gpu --num_processes 2 --num_machines 1"
    launch += " --mixed_precision no --dynamo_backend no --main_process_port 0"
    search = [Path(tiny.__file__).parents[1], Path(paths.__file__).parents[1]]
    environment = {
        **os.environ,
        "COLORIZE_HOME": str(tmp_path / "home"),
        "PYTHONPATH": os.pathsep.join(map(str, search)),
        "OMP_NUM_THREADS": "1",
    }
    process = subprocess.Popen(
        [sys.executable, *launch.split(), str(script), str(tmp_path), json.dumps(PARALLEL)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        output = process.communicate(timeout=300)[0]
    except subprocess.TimeoutExpired:
        process.terminate()  # of the launcher, which ends its workers
        pytest.fail(f"ended after 300 s: {process.communicate()[0]}")
    assert process.returncode == 0, output
    for i, settings in enumerate(PARALLEL):
        one = tiny.model()
        expected = tiny.run(tmp_path / "alone" / str(i), net=one, cpu=True, **settings)
        first, second = (torch.load(tmp_path / f"{i}-{p}.pt", weights_only=True) for p in (0, 1))
        assert first["processes"] == second["processes"] == 2
        for weights in (second["weights"], first["resumed"], second["resumed"]):
            tiny.assert_same_bits(first["weights"], weights)
        assert tiny.largest_difference(one.state_dict(), tiny.model().state_dict()) > 1e-3
        assert tiny.largest_difference(one.state_dict(), first["weights"]) < 1e-5
        for point, its in zip(first["curve"], expected.curve, strict=True):
            assert (point["step"], point["images"]) == (its["step"], its["images"])
            for loss in ("val_loss", "train_loss"):
                assert point[loss] == pytest.approx(its[loss], rel=1e-4)
    assert not list(tmp_path.rglob("*.state.pt"))
    made = {path.name for path in (tmp_path / "home" / "CHECKPOINTS" / "quick").iterdir()}
    expected_files = {"euclidean.json", "euclidean.md", "euclidean.safetensors"}
    assert made == {*expected_files, "euclidean-last.safetensors"}


def test_the_beginning_is_validated_more_often_and_raw(tmp_path: Path) -> None:
    """The average lags behind; looking at both changes nothing that is learned."""
    often = tiny.run(tmp_path / "often", epochs=11, early_steps=20)
    plain = tiny.run(tmp_path / "plain", epochs=11)
    assert [point["step"] for point in often.curve][:2] == [10, 20]
    raw = [point["raw_colorfulness"] for point in often.curve if "raw_colorfulness" in point]
    assert len(raw) == 2 and raw[0] != often.curve[0]["colorfulness"]
    assert "raw_colorfulness" not in often.curve[-1]
    tiny.assert_same_bits(tiny.weights(often.last), tiny.weights(plain.last))
