"""Models by name, and the ways by which published weights come."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
import torch
from helpers import tiny
from helpers.webserver import Answer, Server, serving
from safetensors.torch import save_file

from colorize import paths
from colorize.errors import CheckpointError, InputError
from colorize.models import Colorizer, hub
from colorize.models import checkpoint as c

NAMES = sorted(hub.PUBLISHED)
State = dict[str, torch.Tensor]


@cache
def layout(name: str) -> dict[str, torch.Size]:
    return {key: entry.shape for key, entry in hub.PUBLISHED[name].net().state_dict().items()}


def small(name: str, value: float) -> State:
    """Weights of the real layout, one number an entry."""
    return {key: torch.tensor(value).expand(shape) for key, shape in layout(name).items()}


def file_of(state: State) -> bytes:
    stream = io.BytesIO()
    torch.save(state, stream)
    return stream.getvalue()


def holds(model: Colorizer, value: float) -> bool:
    return all(bool((v == value).all()) for k, v in model.state_dict().items() if "num_" not in k)


@pytest.fixture(autouse=True)
def nothing_shipped(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paths, "shipped_checkpoints", lambda: tmp_path / "none")


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """Small weights at the real addresses below a server on loopback."""
    # As for people who installed with pip, who have no checkout.
    monkeypatch.setattr(paths, "checkout", lambda: None)
    with serving() as server:
        for name, published in hub.PUBLISHED.items():
            body = file_of(small(name, 0.125))
            url = server.put("/" + published.path.name, body)
            moved = published._replace(url=url, sha256=hashlib.sha256(body).hexdigest())
            monkeypatch.setitem(hub.PUBLISHED, name, moved)
        yield server


@pytest.mark.parametrize("name", NAMES)
def test_missing_weights_are_fetched_once(name: str, server: Server) -> None:
    assert hub.list_models() == []
    for _ in range(2):
        model = hub.load_model(name)
        assert type(model) is hub.PUBLISHED[name].net and not model.training
        assert holds(model, 0.125)
    path = hub.PUBLISHED[name].path
    assert server.count("/" + path.name) == 1
    assert hub.list_models() == [name] and [p.name for p in path.parent.iterdir()] == [path.name]
    umask = os.umask(0)
    os.umask(umask)
    assert path.stat().st_mode & 0o777 == 0o666 & ~umask


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (Answer(b"other weights"), "SHA-256"),
        (Answer(b"cut", length=1000), "IncompleteRead"),
        (Answer(status=404), "404"),
    ],
    ids=["hash", "cut", "missing"],
)
def test_weights_that_do_not_come_leave_nothing(
    server: Server, answer: Answer, message: str
) -> None:
    published = hub.PUBLISHED["eccv16"]
    server.put("/" + published.path.name, answer)
    with pytest.raises(CheckpointError, match=f"{message}.*{published.url}.*weights=PATH"):
        hub.load_model("eccv16")
    assert not list(published.path.parent.iterdir())


def test_a_server_that_stops_answering_is_asked_again_and_then_left(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "_TIMEOUT", (1.0, 0.3))
    published = hub.PUBLISHED["eccv16"]
    (whole,) = server.answers[f"/{published.path.name}"]
    silent = Answer(b"cut", length=len(whole.body), stalls=True)
    url = server.put(f"/{published.path.name}", silent)
    with pytest.raises(CheckpointError, match=f"timed out.*{url}"):
        hub.load_model("eccv16")
    tries = server.count(f"/{published.path.name}")
    assert 1 < tries < 6 and not list(published.path.parent.iterdir())
    server.put(f"/{published.path.name}", silent, whole)
    assert holds(hub.load_model("eccv16"), 0.125)
    assert server.count(f"/{published.path.name}") == tries + 2


def test_no_network(server: Server) -> None:
    server.shutdown()
    server.server_close()
    with pytest.raises(CheckpointError, match="cannot be fetched"):
        hub.load_model("siggraph17")


def test_no_place_for_them(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("no folder", encoding="utf-8")
    monkeypatch.setenv("COLORIZE_HOME", str(tmp_path / "file"))
    with pytest.raises(CheckpointError, match="cannot be fetched"):
        hub.load_model("eccv16")


def test_a_kept_checkpoint_goes_before_published_weights(home: Path) -> None:
    path = hub.PUBLISHED["siggraph17"].path
    path.parent.mkdir(parents=True)
    path.write_bytes(file_of(small("siggraph17", 0.25)))
    model = hub.load_model("siggraph17")
    assert holds(model, 0.25)
    with torch.no_grad():
        next(model.parameters()).fill_(3)
    c.save_checkpoint(model, path.with_name("siggraph17.safetensors"), half=True)
    assert hub.list_models() == ["siggraph17"]
    assert not holds(hub.load_model("siggraph17"), 0.25)


def test_a_local_copy_is_only_for_the_published_nets(home: Path, tmp_path: Path) -> None:
    plain = tmp_path / "plain.safetensors"
    save_file({k: v.contiguous().half() for k, v in small("eccv16", 0.5).items()}, plain)
    assert holds(hub.load_model("eccv16", str(plain)), 0.5)
    for name in ("photo", plain, "ECCV16"):
        with pytest.raises(InputError, match="weights: only eccv16 and siggraph17"):
            hub.load_model(name, weights=plain)
    with pytest.raises(CheckpointError, match=r"There is no file of weights .*none\.pth"):
        hub.load_model("eccv16", weights=tmp_path / "none.pth")
    with pytest.raises(InputError, match=r"weights: .*path"):
        hub.load_model("eccv16", weights=small("eccv16", 0.5))  # type: ignore[arg-type]
    assert not home.exists()


def test_a_name_that_is_none_brings_the_close_ones(home: Path) -> None:
    for seed, name in enumerate(("photo", "euclidean")):
        c.save_checkpoint(tiny.model(seed), home / "CHECKPOINTS" / f"{name}.safetensors")
    for wrong, right in {"phtoo": "photo", "ecv16": "eccv16", "Euclidean": "euclidean"}.items():
        with pytest.raises(CheckpointError, match=rf"'{wrong}'; there are .*mean {right}\?"):
            hub.load_model(wrong)
    with pytest.raises(CheckpointError, match="no trained model 'xyz'") as caught:
        hub.load_model("xyz")
    assert "mean" not in str(caught.value) and "train xyz" not in str(caught.value)


def test_models_by_name_and_by_path(home: Path, tmp_path: Path) -> None:
    folder = home / "CHECKPOINTS"
    # Of "last" only the last weights are here; of "ours" the name means the best.
    for seed, name in enumerate(("ours", "theirs", "last-last", "ours-last")):
        c.save_checkpoint(tiny.model(seed), folder / f"{name}.safetensors")
    elsewhere = c.save_checkpoint(tiny.model(4), tmp_path / "elsewhere.safetensors")
    (folder / "ours.md").write_text("# card", encoding="utf-8")
    (folder / "ours.state.pt").write_bytes(b"state")
    assert hub.list_models() == ["last", "ours", "theirs"]
    named = {"ours": 0, "theirs": 1, "last": 2, "last-last": 2, "ours-last": 3}
    for way, seed in {**named, elsewhere: 4, str(elsewhere): 4}.items():
        loaded = hub.load_model(way)
        tiny.assert_same_bits(loaded.state_dict(), tiny.model(seed).state_dict())


def test_names_by_pattern_and_what_a_model_says_of_itself(home: Path) -> None:
    for name in ("rebalanced", "rebalanced-smooth", "photo"):
        c.save_checkpoint(tiny.model(), home / "CHECKPOINTS" / f"{name}.safetensors", step=7)
    assert hub.list_models("reb*") == ["rebalanced", "rebalanced-smooth"]
    info = hub.model_info("photo")
    assert info.model == "SimplifiedModel" and info.extra == {"step": 7}
    for ask in (hub.model_info, hub.load_model):
        with pytest.raises(CheckpointError, match="photo"):
            ask("phtoo")
        for wrong in (None, "", tiny.model(), "a\0"):
            with pytest.raises(InputError, match="model: "):
                ask(wrong)  # type: ignore[operator]
    with pytest.raises(InputError, match="pattern"):
        hub.list_models(None)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="device"):
        hub.load_model("photo", device="abacus")
    with pytest.raises(CheckpointError, match="published"):
        hub.model_info("eccv16")
    assert hub.load_model("photo", device="auto").device == hub.find_device()


def test_a_path_that_is_no_checkpoint_is_told_from_a_name(tmp_path: Path) -> None:
    photo = tmp_path / "photo.jpg"
    photo.write_bytes(b"")
    for path, kind in ((photo, "file"), (tmp_path, "folder")):
        with pytest.raises(CheckpointError, match=f"{kind} .*{path.name}"):
            hub.load_model(path)
    for name in ("./photo", "~nobody", "x" * 5000):
        with pytest.raises(CheckpointError, match="no trained model"):
            hub.load_model(name)
