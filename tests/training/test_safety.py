"""What a run must not do: lose weights, mix two runs, or fail after hours for what was asked."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers import tiny
from helpers.tiny import light  # noqa: F401

from colorize.errors import ColorizeError, InputError, TrainingError
from colorize.models import ClassificationModel
from colorize.models.checkpoint import load_checkpoint, read_info
from colorize.training.claim import RunFiles, claimed
from colorize.training.config import Recipe
from colorize.training.curve import validate
from colorize.training.fit import fit

pytestmark = pytest.mark.usefixtures("light")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a finished run."""
    folder = tmp_path_factory.mktemp("finished")
    with tiny.lightly():
        tiny.run(folder, epochs=4)
    return folder


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"resume": True, "seed": 1},
        {"lr": 1e-2},
        {"name": "run-last"},
        {"half": True},
    ],
    ids=str,
)
def test_weights_that_a_run_did_not_make_stay(finished: Path, change: dict[str, Any]) -> None:
    before = tiny.contents(finished)
    with pytest.raises(ColorizeError, match=r"overwrite=True|neither ends in"):
        tiny.run(finished, epochs=4, **change)
    assert tiny.contents(finished) == before


def test_a_finished_run_gives_its_result_again(finished: Path) -> None:
    before, net = tiny.contents(finished), tiny.model(7)
    again = tiny.run(finished, net=net, epochs=4, resume=True)
    assert tiny.contents(finished) == before
    assert [point["step"] for point in again.curve] == [10, 12]
    tiny.assert_same_bits(net.state_dict(), tiny.weights(again.last))


def test_overwrite_replaces_both_files(finished: Path, tmp_path: Path) -> None:
    for name, data in tiny.contents(finished).items():
        (tmp_path / name).write_bytes(data)
    result = tiny.run(tmp_path, seed=3, epochs=1, lr=1e-5, overwrite=True)
    for path in (result.best, result.last):
        assert read_info(path).extra["validation"] == result.curve[-1]


def test_a_foreign_file_of_that_name_stays(tmp_path: Path) -> None:
    (tmp_path / "run.safetensors").write_text("mine")
    with pytest.raises(TrainingError, match=r"run\.safetensors"):
        tiny.run(tmp_path)
    assert tiny.contents(tmp_path) == {"run.safetensors": b"mine"}


def test_the_working_folder_is_the_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    result = tiny.run(None, epochs=1, metadata={"note": ["λ", 1]})
    assert result.best == tmp_path / "run.safetensors"
    assert str(result.best) in capsys.readouterr().err
    assert read_info(result.best).extra["note"] == ["λ", 1]


def test_two_runs_of_one_name_do_not_write_the_same_files(tmp_path: Path) -> None:
    with claimed(RunFiles(tmp_path, tiny.NAME)):
        with pytest.raises(TrainingError, match="Another process"):
            tiny.run(tmp_path)
        tiny.run(tmp_path, name="other", epochs=1)
    tiny.run(tmp_path, epochs=1)
    assert not [path for path in tmp_path.iterdir() if "lock" in path.name]


def test_the_generators_of_the_caller_stay_as_they_were(tmp_path: Path) -> None:
    def draw() -> list[Any]:
        return [random.random(), np.random.rand(3).tolist(), torch.rand(3).tolist()]  # noqa: NPY002

    def seed() -> None:
        random.seed(5)
        np.random.seed(5)  # noqa: NPY002
        torch.manual_seed(5)

    net = tiny.model()
    seed()
    expected = draw()
    seed()
    tiny.run(tmp_path, net=net, epochs=1)
    assert draw() == expected


def test_a_model_knows_the_size_of_its_training_images(tmp_path: Path) -> None:
    net = tiny.model()
    assert net.input_size == 256
    result = tiny.run(tmp_path, net=net, epochs=1, frozen=("trunk.0",))
    assert net.input_size == load_checkpoint(result.best).input_size == tiny.CROP
    assert all(parameter.requires_grad for parameter in net.parameters())


@pytest.mark.parametrize("rebalanced", [True, False])
def test_color_tells_the_best_of_a_rebalanced_net_and_loss_that_of_others(
    rebalanced: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here the loss falls to the end, and the color is best at the second validation."""
    made: list[dict[str, float]] = []

    def disagreeing(*arguments: Any) -> dict[str, float]:
        point = validate(*arguments)
        assert ("auc_cells" in point) == rebalanced
        point |= {"val_loss": 9.0 - len(made)} | ({"auc_cells": 0.1} if rebalanced else {})
        made.append(point)
        if rebalanced and len(made) == 2:
            point["auc_cells"] = 0.2
        return point

    monkeypatch.setattr("colorize.training.fit.validate", disagreeing)
    weights = torch.linspace(0.5, 1.5, 313) if rebalanced else None
    result = tiny.run(tmp_path, net=tiny.model(class_weights=weights), epochs=20)
    assert len(made) > 3 and result.best_by == ("color" if rebalanced else "loss")
    assert read_info(result.best).extra["validation"] == made[1 if rebalanced else -1]


def test_a_recipe_says_what_the_images_do(tmp_path: Path) -> None:
    train = tiny.dataset(14, train=True, zoom=(0.9, 1.0))
    result = fit(
        tiny.model(),
        train,
        tiny.val_set(),
        Recipe(epochs=np.float32(1), batch_size=4, lr=torch.tensor(1e-3)),  # type: ignore[arg-type]
        name="a",
        folder=str(tmp_path),
        options=tiny.QUIET,
    )
    recipe = read_info(result.best).extra["recipe"]
    assert (recipe["crop"], recipe["test_crop"], recipe["zoom"]) == (32, 32, [0.9, 1.0])


WRONG: list[dict[str, Any]] = [
    *({"crop": 64}, {"test_crop": 64}, {"rotation": 0.1}, {"zoom": (0.5, 1)}, {"init": "kaiming"}),
    *({"lr": -1}, {"lr": float("nan")}, {"clip": -1}, {"warmup": float("nan")}, {"warmup": 2}),
    *({"ema": 2}, {"ema": -0.1}, {"weight_decay": -1}, {"betas": (0.9, 1.0)}, {"epochs": 0}),
    *({"batch_size": 2.5}, {"lr_scale": {"head": -1}}, {"aging": 2}, {"optimizer": "lion"}),
    *({"lr": torch.ones(2)}, {"frozen": "head"}, {"neutral": -1}, {"schedule": "linear"}),
    *({"accumulate": 3}, {"save_every": 0}, {"mixed_precision": "fp8"}, {"workers": -1}),
    *({"seed": 2**70}, {"seed": -1}, {"name": "a/b"}, {"name": ""}, {"best_by": "rmse"}),
    *({"metadata": {"step": 1}}, {"metadata": {"half": 1}}, {"metadata": {"a": object()}}),
    *({"val": tiny.dataset(3, size=30), "test_crop": 0}, {"net": torch.nn.Linear(1, 1)}),
    *({"frozen": None}, {"lr_scale": {3: 1}}, {"metadata": [1]}, {"log_dir": 3}),
    *({"freeze_batchnorm": "no"}, {"half": "no"}, {"clip": 10**400}),
    *({"metadata": {1: 2}}, {"lr_scale": [1]}, {"net": tiny.model().bfloat16()}),
]


@pytest.mark.parametrize("change", WRONG, ids=lambda change: next(iter(change)))
def test_what_cannot_be_done_is_told_before_the_first_step(
    change: dict[str, Any], tmp_path: Path
) -> None:
    subject = {"net": "model", "val": "val_set"}.get(next(iter(change)), next(iter(change)))
    with pytest.raises(InputError, match=subject):
        tiny.run(tmp_path / "a", **change)
    assert not (tmp_path / "a").exists()


def test_a_model_that_could_not_be_loaded_again_is_not_trained(tmp_path: Path) -> None:
    class Own(ClassificationModel):
        pass

    with pytest.raises(InputError, match="Own"):
        tiny.run(tmp_path, net=Own(width=0.02))
    assert not list(tmp_path.iterdir())


def test_a_net_without_anything_to_train(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="frozen"):
        tiny.run(tmp_path, net=tiny.model().requires_grad_(False))


@pytest.mark.parametrize("state", [b"\x00" * 900, {"a": 1}, [1], None], ids=str)
def test_a_state_that_makes_no_sense(state: Any, tmp_path: Path) -> None:
    path = RunFiles(tmp_path, tiny.NAME).state
    if state is None:
        path.mkdir()
    elif isinstance(state, bytes):
        path.write_bytes(state)
    else:
        torch.save(state, path)
    with pytest.raises(TrainingError, match=r"run\.state\.pt (belongs|cannot)") as raised:
        tiny.run(tmp_path, resume=True)
    assert "weights_only" not in str(raised.value)


def test_a_state_that_the_disk_does_not_hold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(state: Any, path: Path) -> None:
        path.write_bytes(b"half")
        raise RuntimeError("unexpected pos 1741504 vs 1741400")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(TrainingError, match="room on its disk"):
        tiny.run(tmp_path, epochs=1)
    assert {path.suffix for path in tmp_path.iterdir()} <= {".safetensors"}


def test_batch_norm_that_sees_parts_is_told(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="2 images at a time"):
        tiny.run(tmp_path, epochs=1, accumulate=2)
