"""LPIPS and FID: what is said where weights are missing, and LPIPS of random weights."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor
from torchmetrics.functional.image import learned_perceptual_image_patch_similarity as lpips
from torchvision.models import AlexNet_Weights, alexnet

from colorize.evaluation.batches import ColoredBatch
from colorize.evaluation.perceptual import LPIPS, fid_missing, lpips_missing


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """No name may be looked up and no file fetched."""

    def refuse(*args: Any, **kwargs: Any) -> NoReturn:
        raise AssertionError(f"an attempt to reach the network: {args}")

    monkeypatch.setattr("socket.getaddrinfo", refuse)
    monkeypatch.setattr("torch.hub.download_url_to_file", refuse)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty weight cache of torch."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    folder = tmp_path / "torch" / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    return folder


def _random_alexnet() -> dict[str, Tensor]:
    with torch.device("meta"):
        shapes = {name: value.shape for name, value in alexnet().state_dict().items()}
    generator = torch.Generator().manual_seed(0)
    # LPIPS does not use the classifier: one number, expanded, keeps 230 MB out of the file.
    return {
        name: torch.randn(shape, generator=generator) * 0.05
        if name.startswith("features")
        else torch.zeros(1).expand(shape)
        for name, shape in shapes.items()
    }


@pytest.fixture
def backbone(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Random weights where AlexNet's are expected, with the hash of their own bytes in the name."""
    weights = AlexNet_Weights.DEFAULT.value
    path = cache / "alexnet.pth"
    torch.save(_random_alexnet(), path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    renamed = path.rename(path.with_name(f"alexnet-{digest[:8]}.pth"))
    monkeypatch.setattr(weights, "url", f"{weights.url.rpartition('/')[0]}/{renamed.name}")


def _images(n: int, size: tuple[int, int], seed: int) -> Tensor:
    rng = np.random.default_rng(seed)
    coarse = torch.from_numpy(rng.uniform(0, 255, (n, 3, 5, 5))).float()
    return F.interpolate(coarse, size, mode="bilinear").to(torch.uint8)


def test_without_weights_the_reason_is_the_result(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch_fidelity", None)
    reason = lpips_missing()
    assert reason is not None and "alexnet-owt-7be5be79.pth is not in" in reason
    assert AlexNet_Weights.DEFAULT.url in reason and "TORCH_HOME" in reason
    assert str(cache) not in reason, "reasons are published with the results"
    assert "torch-fidelity" in (fid_missing() or "")


def test_weights_that_are_not_the_published_ones_are_not_used(cache: Path) -> None:
    # The loaders would take this file as it is: they check hashes only when they fetch.
    path = cache / "alexnet-owt-7be5be79.pth"
    torch.save(_random_alexnet(), path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    reason = lpips_missing()
    assert reason is not None and digest[:8] in reason and "7be5be79" in reason


def test_lpips_is_that_of_torchmetrics_image_by_image(backbone: None) -> None:
    assert lpips_missing() is None
    truth = _images(5, (64, 80), 0)
    predicted = truth.clone()
    predicted[0] = _images(1, (64, 80), 9)[0]
    predicted[1] = truth[1].float().mean(0).to(torch.uint8)
    predicted[2] = truth[2].flip(0)
    predicted[3, :, :8] = 0
    floats = zip((predicted / 255).split(1), (truth / 255).split(1), strict=True)
    shown = ColoredBatch({"rgb": truth}, truth.float(), truth[:, 1:].float(), predicted)
    with torch.no_grad():
        expected = [lpips(one, other, "alex", normalize=True) for one, other in floats]
        values = LPIPS()(shown)["lpips"]
    assert expected[4] == 0 and min(expected[:4]) > 1e-3
    torch.testing.assert_close(values, torch.stack(expected), rtol=1e-4, atol=1e-7)


def test_fid_without_its_weights(cache: Path) -> None:
    pytest.importorskip("torch_fidelity", reason="torch-fidelity is not installed")
    reason = fid_missing()
    assert reason is not None and "weights-inception-2015-12-05-6726825d.pth is not in" in reason
