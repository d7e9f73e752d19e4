"""Checkpoints: round trips, half precision, and files that are damaged, foreign or too new."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers import tiny
from helpers.tiny import light as light
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import nn

from colorize import paths
from colorize.errors import CheckpointError, InputError
from colorize.models import (
    MODEL_CLASSES,
    BinHead,
    Colorizer,
    EuclideanModel,
    ModelOutput,
    SimplifiedModel,
    hub,
    register_model,
)
from colorize.models import checkpoint as c
from colorize.models.fuse import fuse_conv_bn
from colorize.storage import atomic_write

pytestmark = pytest.mark.usefixtures("light")

NARROW: dict[str, dict[str, Any]] = {
    "ClassificationModel": {"width": 0.02, "target": "onehot", "temperature": 0.5},
    "EuclideanModel": {"width": 0.02},
    "SimplifiedModel": {"width": 0.02, "k": 7, "sigma": 4.0},
    "UNetModel": {"decoder": (16, 16, 8, 8), "encoder": "mobilenetv3_small_050"},
}


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """A good checkpoint in a folder of its own."""
    return c.save_checkpoint(tiny.model(), tmp_path / "kept" / "good.safetensors", step=3)


@pytest.fixture
def entries(saved: Path) -> Iterator[tuple[dict[str, torch.Tensor], dict[str, Any]]]:
    """Tensors and record of a good checkpoint, to write bad ones from."""
    with safe_open(saved, framework="pt") as file:
        yield load_file(saved), json.loads(file.metadata()["colorize"])


@pytest.fixture
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder in place of the models that come with the library."""
    folder = tmp_path / "shipped"
    monkeypatch.setattr(paths, "shipped_checkpoints", lambda: folder)
    return folder


def _build(name: str) -> Colorizer:
    options = dict(NARROW[name])
    if name != "EuclideanModel":
        options["class_weights"] = torch.linspace(0.5, 2, 313)
    model = MODEL_CLASSES[name](**options)
    for buffer_name, buffer in model.named_buffers():
        if buffer_name.endswith("running_var"):
            buffer.uniform_(1e-9, 1e4)  # as wide as they get, smaller than half precision knows
    return model.eval()


def _write(path: Path, tensors: dict[str, torch.Tensor], record: Any) -> Path:
    text = record if isinstance(record, str) else json.dumps(record)
    save_file(tensors, path, metadata={"colorize": text})
    return path


@pytest.mark.parametrize("name", sorted(NARROW))
def test_round_trip_needs_nothing_but_the_file(name: str, tmp_path: Path) -> None:
    model = _build(name)
    model.input_size = 96
    path = tmp_path / "new folder" / "a.safetensors"
    assert c.save_checkpoint(model, path) == path
    loaded = c.load_checkpoint(path)
    assert type(loaded) is type(model) and loaded.config == model.config
    assert loaded.input_size == 96 and not loaded.training
    tiny.assert_same_bits(loaded.state_dict(), model.state_dict())
    L = torch.rand(1, 1, 32, 64) * 100
    assert torch.equal(loaded(L).color, model(L).color)
    assert torch.equal(loaded.predict_ab(L), model.predict_ab(L))
    batch = {"rgb": torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8)}
    assert torch.equal(loaded.loss(batch)["loss"], model.loss(batch)["loss"])
    if name != "EuclideanModel":
        stored = loaded.state_dict()["output.class_weights"]
        assert torch.equal(stored, torch.linspace(0.5, 2, 313))


@pytest.mark.parametrize("name", sorted(NARROW))
def test_half_precision_rounds_kernels_and_nothing_else(name: str, tmp_path: Path) -> None:
    model = _build(name)
    with torch.no_grad():
        next(p for p in model.parameters() if p.dim() == 4).mul_(1e-6)  # in its subnormal range
    path = c.save_checkpoint(model, tmp_path / "a.safetensors", half=True)
    stored = load_file(path)
    own = model.state_dict()
    kernels = {n for n, p in model.named_parameters() if p.dim() > 1}
    assert {n for n, value in stored.items() if value.dtype == torch.float16} == kernels
    loaded = c.load_checkpoint(path).state_dict()
    rounded = 0
    for key, value in own.items():
        assert loaded[key].dtype == value.dtype, key
        if key in kernels:
            # 11 significant bits; below 2^-14 a fixed step of 2^-24.
            bound = value.abs() * 2.0**-11 + 2.0**-25
            assert bool(((loaded[key] - value).abs() <= bound).all()), key
            rounded += int((loaded[key] != value).sum())
        else:
            assert torch.equal(loaded[key], value), key
    assert rounded > 1000
    assert any("running_var" in key for key in own)


def test_another_temperature_leaves_the_weights(tmp_path: Path) -> None:
    path = c.save_checkpoint(tiny.model(), tmp_path / "a.safetensors", half=True, step=3)
    before = load_file(path)
    c.set_temperature(path, 0.2)
    assert c.load_checkpoint(path).output.temperature == 0.2
    after = load_file(path)
    assert after.keys() == before.keys()
    assert all(torch.equal(after[k], v) and after[k].dtype == v.dtype for k, v in before.items())
    assert c.read_info(path).extra == {"step": 3}
    for wrong in (-1.0, float("nan"), float("inf")):
        with pytest.raises(InputError, match="temperature: expected a number of 0 or above"):
            c.set_temperature(path, wrong)
    assert c.load_checkpoint(path).output.temperature == 0.2
    other = c.save_checkpoint(EuclideanModel(width=0.02), tmp_path / "b.safetensors")
    with pytest.raises(InputError, match="expected a model with a temperature, got a Euclidean"):
        c.set_temperature(other, 0.2)
    assert {f.name for f in tmp_path.iterdir()} == {"a.safetensors", "b.safetensors"}


def test_a_name_without_the_ending(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"ending in \.safetensors, got a\.pt"):
        c.save_checkpoint(tiny.model(), tmp_path / "a.pt")
    assert not list(tmp_path.iterdir())


def test_saving_that_fails_leaves_the_old_file_and_nothing_else(
    saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = saved.read_bytes()
    with pytest.raises(CheckpointError, match="extra"):
        c.save_checkpoint(tiny.model(1), saved, metrics=torch.zeros(1))

    def full_disk(tensors: Any, path: Path, **rest: Any) -> None:
        path.write_bytes(b"half")
        raise SafetensorError("Error while serializing: I/O error: No space left on device")

    monkeypatch.setattr(c, "save_file", full_disk)
    with pytest.raises(CheckpointError, match=r"good\.safetensors .* No space left"):
        c.save_checkpoint(tiny.model(1), saved)
    assert saved.read_bytes() == before
    assert [p.name for p in saved.parent.iterdir()] == [saved.name]


class _OwnNet(Colorizer):
    """Somebody's own: a table of 529 bins, and arguments of several kinds."""

    size_divisor = 4

    def __init__(self, channels: int, *, bin_centers: Any = None, scale: float = 1.0) -> None:
        super().__init__()
        self.output = BinHead(bin_centers=bin_centers)
        self.scale = scale
        self.net = nn.Conv2d(1, channels, 4, stride=4)
        self.head = nn.Conv2d(channels, self.output.channels, 1)

    def forward(self, L: torch.Tensor) -> ModelOutput:
        return ModelOutput(self.head(self.net(L / 100 * self.scale).relu()), None)


def test_a_class_of_ones_own_once_it_is_registered(tmp_path: Path) -> None:
    path = tmp_path / "own.safetensors"
    with pytest.raises(CheckpointError, match="register_model"):
        c.save_checkpoint(_OwnNet(8), path)
    own = register_model(_OwnNet)
    try:
        axis = torch.arange(-110.0, 111, 10)
        model = own(8, bin_centers=torch.cartesian_prod(axis, axis), scale=np.float64(0.5))
        c.save_checkpoint(model, str(path))
        model.scale = 2.0  # what was set afterwards is saved as well
        c.save_checkpoint(model, str(path))
        loaded = hub.load_model(path)
        assert isinstance(loaded, _OwnNet) and loaded.scale == 2.0
        tiny.assert_same_bits(loaded.state_dict(), model.state_dict())
        assert len(loaded.output.bin_centers) == 529
        with pytest.raises(InputError, match="another"):
            register_model(type("_OwnNet", (Colorizer,), {"__module__": "elsewhere"}))
    finally:
        del MODEL_CLASSES["_OwnNet"]
    with pytest.raises(CheckpointError, match="register_model"):
        hub.load_model(path)


def test_what_could_not_be_loaded_is_not_saved(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    changed = tiny.model()
    changed.head = nn.Conv2d(8, 5, 1)
    for model in (changed, fuse_conv_bn(_build("UNetModel"))):
        with pytest.raises(CheckpointError):
            c.save_checkpoint(model, path)
    sized = tiny.model()
    sized.input_size = 64.0  # type: ignore[assignment]
    for model in (sized, nn.Linear(1, 1), tiny.model().to("meta")):
        with pytest.raises(InputError, match=r"model|input_size"):
            c.save_checkpoint(model, path)
    for wrong in (None, 3, b"a.safetensors"):
        with pytest.raises(InputError, match="path: expected a path"):
            c.save_checkpoint(tiny.model(), wrong)  # type: ignore[arg-type]
    assert not path.exists()


def test_compiled_and_parallel_models_are_saved_as_what_they_are(tmp_path: Path) -> None:
    model = tiny.model()
    for number, wrapped in enumerate((torch.compile(model), nn.DataParallel(model))):
        path = c.save_checkpoint(wrapped, tmp_path / f"{number}.safetensors")
        loaded = hub.load_model(path)
        tiny.assert_same_bits(loaded.state_dict(), model.state_dict())


def test_loading_draws_nothing_from_the_callers_random_numbers(saved: Path) -> None:
    before = torch.get_rng_state()
    hub.load_model(saved)
    assert torch.equal(torch.get_rng_state(), before)


def test_every_truncation_is_noticed(saved: Path, tmp_path: Path) -> None:
    whole = saved.read_bytes()
    header = 8 + int.from_bytes(whole[:8], "little")
    path = tmp_path / "cut.safetensors"
    several = (0, 1, 7, 8, 100, len(whole) // 2, len(whole) - 1)
    for length in (*several, header - 1, header, header + 1):
        path.write_bytes(whole[:length])
        for read in (c.read_info, c.load_checkpoint, hub.load_model):
            with pytest.raises(CheckpointError, match=r"cut\.safetensors is not a readable"):
                read(path)


Entries = tuple[dict[str, torch.Tensor], dict[str, Any]]


def test_foreign_files_and_records_that_make_no_sense(entries: Entries, tmp_path: Path) -> None:
    tensors, good = entries
    path = tmp_path / "odd.safetensors"
    records: list[Any] = ["no JSON at all", "[1, 2]"]
    records += [{k: v for k, v in good.items() if k != key} for key in good]
    records += [
        {**good, "config": {**good["config"], "heads": 3}},
        {**good, "config": None},
        {**good, "config": {**good["config"], "width": "wide"}},
        {**good, "config": {**good["config"], "bin_centers": [[1, 2], [3]]}},
        {**good, "config": {**good["config"], "k": [5]}},
        {**good, "look_size": "large"},
        {**good, "look_size": -1},
        {**good, "model": ["SimplifiedModel"]},
        {**good, "extra": 3},
        {**good, "format": c.FORMAT + 1},
        {**good, "model": "DreamModel"},
    ]
    for record in records:
        _write(path, tensors, record)
        with pytest.raises(CheckpointError, match=r"odd\.safetensors"):
            c.load_checkpoint(path)
    save_file(tensors, path, metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match="says nothing about its model"):
        c.load_checkpoint(path)
    for body in (b"<html>not found</html>" * 100, b""):
        path.write_bytes(body)
        with pytest.raises(CheckpointError, match="not a readable safetensors file"):
            c.load_checkpoint(path)
    with pytest.raises(CheckpointError, match="There is no checkpoint"):
        c.load_checkpoint(tmp_path / "none.safetensors")


def test_a_crafted_checkpoint_fetches_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr("socket.socket.connect", refuse)
    model = _build("UNetModel")
    path = c.save_checkpoint(model, tmp_path / "a.safetensors")
    record = {"format": 1, "model": "UNetModel", "look_size": 64, "extra": {}}
    _write(path, model.state_dict(), {**record, "config": {**model.config, "pretrained": True}})
    c.load_checkpoint(path)
    for encoder in ("hf_hub:somebody/model", "hf-hub:timm/mobilenetv3_small_050.x", "../../net"):
        config = {**model.config, "encoder": encoder}
        _write(path, model.state_dict(), {**record, "config": config})
        with pytest.raises(CheckpointError):
            c.load_checkpoint(path)


def test_paths_may_be_strings_and_begin_with_the_users_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    text = "~/a.safetensors"
    assert c.save_checkpoint(tiny.model(), text) == tmp_path / "a.safetensors"
    c.set_temperature(text, 0.2)
    assert c.read_info(text).config == hub.model_info(text).config
    for load in (c.load_checkpoint, hub.load_model):
        assert load(text).output.temperature == 0.2
    c.load_weights(tiny.model(1), text)


def test_what_the_file_says(tmp_path: Path) -> None:
    extra: dict[str, Any] = {"metrics": {"psnr": 23.5, "λ": [1, None, True]}, "step": 12}
    model = tiny.model(target="onehot").to(memory_format=torch.channels_last).train()
    model.input_size = 64
    before = {name: value.clone() for name, value in model.state_dict().items()}
    path = c.save_checkpoint(model, tmp_path / "a.safetensors", **extra)
    info = c.read_info(path)
    assert info == c.CheckpointInfo(path, "SimplifiedModel", model.config, 64, extra)
    assert info.config["target"] == "onehot" and info.config["width"] == 0.02
    tiny.assert_same_bits(tiny.weights(path), before)
    assert model.training


def test_entries_that_are_missing_or_too_many_or_of_another_shape(
    entries: Entries, tmp_path: Path
) -> None:
    good, record = entries
    path = tmp_path / "a.safetensors"
    without = {k: v for k, v in good.items() if k not in ("head.bias", "trunk.0.weight")}
    reshaped = {**good, "head.bias": torch.zeros(5)}
    cases = {
        "2 entries differ .* head.bias, trunk.0.weight": without,
        "1 entries differ .* head.extra": {**good, "head.extra": torch.zeros(1)},
        "1 entries differ .* head.bias": reshaped,
    }
    model = tiny.model(5)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    for message, tensors in cases.items():
        _write(path, tensors, record)
        with pytest.raises(CheckpointError, match=message):
            c.load_checkpoint(path)
        with pytest.raises(CheckpointError, match=message):
            c.load_weights(model, path)
        tiny.assert_same_bits(model.state_dict(), before)


def test_what_was_trained_here_goes_before_what_came_with_the_package(
    home: Path, shipped: Path
) -> None:
    c.save_checkpoint(tiny.model(0), shipped / "a.safetensors")
    c.save_checkpoint(tiny.model(1), shipped / "b.safetensors")
    c.save_checkpoint(tiny.model(2), home / "CHECKPOINTS" / "b.safetensors")
    assert hub.list_models() == ["a", "b"]
    tiny.assert_same_bits(hub.load_model("a").state_dict(), tiny.model(0).state_dict())
    tiny.assert_same_bits(hub.load_model("b").state_dict(), tiny.model(2).state_dict())


def test_a_name_is_no_file_of_the_working_directory(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    c.save_checkpoint(tiny.model(), home / "CHECKPOINTS" / "photo.safetensors")
    (tmp_path / "photo").write_text("notes", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert isinstance(hub.load_model("photo"), SimplifiedModel)


def test_a_run_that_is_killed_while_it_saves_leaves_no_model_to_choose(
    home: Path, shipped: Path
) -> None:
    folder = home / "CHECKPOINTS"
    c.save_checkpoint(tiny.model(), folder / "good.safetensors")
    with atomic_write(folder / "other.safetensors") as half:
        assert half in folder.iterdir() and hub.list_models() == ["good"]
