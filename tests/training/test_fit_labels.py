"""Training of nets that classify, and on aged lightness: what is logged, and that it resumes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import tiny
from helpers.tiny import light  # noqa: F401
from torch import Tensor

from colorize.models import EuclideanModel
from colorize.training.optim import initialise

pytestmark = pytest.mark.usefixtures("light")


def test_color_and_label_are_in_the_curve_and_in_tensorboard(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing import event_accumulator  # type: ignore[import-untyped]

    found = tiny.run(
        tmp_path,
        net=tiny.iizuka(),
        train=tiny.labelled(14, train=True),
        val=tiny.labelled(5, first=100),
        log_dir=tmp_path / "log",
    )
    names = ("color_loss", "class_loss", "top1", "top5")
    for point in found.curve:
        assert point.keys() >= {*names, *(f"train_{name}" for name in names)}
        assert 0 <= point["top1"] <= point["top5"] <= 1
        assert 0 <= point["train_top1"] <= point["train_top5"] <= 1
        whole = point["train_color_loss"] + point["train_class_loss"] / 300
        assert point["train_loss"] == pytest.approx(whole, rel=1e-4)
    events = event_accumulator.EventAccumulator(
        str(tmp_path / "log" / "run"), size_guidance={"images": 0}
    )
    events.Reload()
    tags = events.Tags()["images"]
    assert [tag.split(":")[0] for tag in sorted(tags)] == ["training", "validation"]
    for tag in tags:
        panels = events.Images(tag)
        # Three rows (grey, colored, truth) of four images of 32 px.
        assert {(panel.height, panel.width) for panel in panels} == {(96, 128)}
        assert len(panels) == 2
    scalars = set(events.Tags()["scalars"])
    assert {"top1", "train_top5", "color_loss", "train_class_loss"} <= scalars


def test_a_run_with_dropout_and_aged_pictures_resumes_to_the_same_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def go(folder: Path, **more: Any) -> dict[str, Tensor]:
        net = tiny.iizuka(dropout=0.3)
        train = tiny.labelled(14, train=True, rotation=0.1)
        changes = {"aging": 0.5, "neutral": 0.5, **more}
        tiny.run(folder, net=net, train=train, val=tiny.labelled(5, first=100), **changes)
        return net.state_dict()

    whole = go(tmp_path / "whole")
    # Looking at it must not change it.
    tiny.assert_same_bits(go(tmp_path / "logged", log_dir=tmp_path / "log"), whole)
    calls = 0
    step = torch.optim.AdamW.step

    def stopping(self: Any, *arguments: Any, **more: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 8:
            raise RuntimeError("power cut")
        return step(self, *arguments, **more)

    with monkeypatch.context() as patch, pytest.raises(RuntimeError, match="power cut"):
        patch.setattr(torch.optim.AdamW, "step", stopping)
        go(tmp_path / "cut")
    tiny.assert_same_bits(go(tmp_path / "cut", resume=True), whole)


def test_ageing_changes_what_is_learned_and_the_truth_stays(tmp_path: Path) -> None:
    outcomes = []
    for aging in (0.0, 1.0):
        net = EuclideanModel(width=0.02)
        torch.manual_seed(0)
        initialise(net, "kaiming")
        found = tiny.run(tmp_path / str(aging), net=net, aging=aging, epochs=2)
        outcomes.append((net.state_dict(), found.curve[-1]["colorfulness_truth"]))
    assert tiny.largest_difference(outcomes[0][0], outcomes[1][0]) > 1e-4
    assert outcomes[0][1] == outcomes[1][1]
