"""LPIPS and FID: what is said where weights are missing, and numbers where they are present.

The published weights are no part of the tests. Random ones lie under the names that torchvision and
torch-fidelity look for, with the hash of their own bytes in the name.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
import torchmetrics.functional.image.lpips as torchmetrics_lpips
from torch import Tensor
from torchvision.models import AlexNet_Weights, alexnet

from colorize.evaluation.batches import ColoredBatch
from colorize.evaluation.perceptual import FID, LPIPS, fid_missing, lpips_missing

Rename = Callable[[str], None]


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


def _place(state: dict[str, Tensor], folder: Path, url: str, rename: Rename) -> Path:
    """Save a state dict under the name in the url, its hash put in place of the published one."""
    path = folder / url.rpartition("/")[2]
    torch.save(state, path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    stem = path.stem.rpartition("-")[0]
    renamed = path.rename(path.with_name(f"{stem}-{digest[:8]}.pth"))
    rename(f"{url.rpartition('/')[0]}/{renamed.name}")
    return renamed


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
def backbone(cache: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Tensor]:
    """Random weights where AlexNet's are expected."""
    state = _random_alexnet()
    weights = AlexNet_Weights.DEFAULT.value
    _place(state, cache, weights.url, lambda url: monkeypatch.setattr(weights, "url", url))
    return state


def _without_fidelity(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch_fidelity", None)


def _images(n: int, size: tuple[int, int], seed: int) -> Tensor:
    rng = np.random.default_rng(seed)
    coarse = torch.from_numpy(rng.uniform(0, 255, (n, 3, 5, 5))).float()
    return F.interpolate(coarse, size, mode="bilinear").to(torch.uint8)


def _shown(predicted: Tensor, truth: Tensor) -> ColoredBatch:
    return ColoredBatch({"rgb": truth}, truth.float(), truth[:, 1:].float(), predicted)


def _reference_lpips(state: dict[str, Tensor], one: Tensor, two: Tensor) -> float:
    """Zhang et al. 2018, equation 1, in float64, for two (3, H, W) images in 0..255."""
    file = Path(torchmetrics_lpips.__file__).parent / "lpips_models" / "alex.pth"
    heads = torch.load(file, map_location="cpu", weights_only=True)
    shift = torch.tensor([-0.030, -0.088, -0.188], dtype=torch.float64).view(3, 1, 1)
    scale = torch.tensor([0.458, 0.448, 0.450], dtype=torch.float64).view(3, 1, 1)
    w = {name: value.double() for name, value in state.items()}

    def features(image: Tensor) -> list[Tensor]:
        x = ((image.double() / 127.5 - 1 - shift) / scale)[None]
        found = []
        for layer, stride, padding in ((0, 4, 2), (3, 1, 2), (6, 1, 1), (8, 1, 1), (10, 1, 1)):
            if layer in (3, 6):
                x = F.max_pool2d(x, 3, 2)
            weight, bias = w[f"features.{layer}.weight"], w[f"features.{layer}.bias"]
            x = F.conv2d(x, weight, bias, stride=stride, padding=padding).relu()
            found.append(x[0])
        return found

    total = 0.0
    for i, (a, b) in enumerate(zip(features(one), features(two), strict=True)):
        unit_a, unit_b = (
            v / v.square().sum(0, keepdim=True).sqrt().clamp(min=1e-4) for v in (a, b)
        )
        head = heads[f"lin{i}.model.1.weight"].double().view(-1, 1, 1)
        total += float((head * (unit_a - unit_b).square()).sum(0).mean())
    return total


def test_without_weights_the_reason_is_the_result(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _without_fidelity(monkeypatch)
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


def test_lpips_agrees_with_the_paper_image_by_image(backbone: dict[str, Tensor]) -> None:
    assert lpips_missing() is None
    truth = _images(5, (64, 80), 0)
    predicted = truth.clone()
    predicted[0] = _images(1, (64, 80), 9)[0]
    predicted[1] = truth[1].float().mean(0).to(torch.uint8)
    predicted[2] = truth[2].flip(0)
    predicted[3, :, :8] = 0
    expected = [_reference_lpips(backbone, predicted[i], truth[i]) for i in range(5)]
    assert expected[4] == 0 and min(expected[:4]) > 1e-3
    with torch.no_grad():
        values = LPIPS()(_shown(predicted, truth))["lpips"]
    np.testing.assert_allclose(values.numpy(), expected, rtol=1e-4, atol=1e-7)


@pytest.fixture
def inception(cache: Path, monkeypatch: pytest.MonkeyPatch) -> torch.nn.Module:
    """Random weights where those of torch-fidelity's Inception are expected, and the net."""
    pytest.importorskip("torch_fidelity", reason="torch-fidelity is not installed")
    from torch_fidelity import feature_extractor_inceptionv3 as module

    with monkeypatch.context() as patch:
        net_class = module.FeatureExtractorInceptionV3
        patch.setattr(module, "load_state_dict_from_url", lambda *args, **kwargs: {})
        patch.setattr(net_class, "load_state_dict", lambda *args, **kwargs: None)
        net = net_class("inception-v3-compat", ["2048"])
    url = module.URL_INCEPTION_V3
    _place(
        net.state_dict(),
        cache,
        url,
        lambda url: monkeypatch.setattr(module, "URL_INCEPTION_V3", url),
    )
    return net


def test_fid_without_its_weights(cache: Path) -> None:
    pytest.importorskip("torch_fidelity", reason="torch-fidelity is not installed")
    reason = fid_missing()
    assert reason is not None and "weights-inception-2015-12-05-6726825d.pth is not in" in reason


def test_fid_agrees_with_its_closed_form(inception: torch.nn.Module) -> None:
    assert fid_missing() is None
    truth, predicted = _images(6, (64, 64), 0), _images(6, (64, 64), 1).flip(1)
    metric = FID()
    metric.update(_shown(predicted[:4], truth[:4]))
    metric.update(_shown(predicted[4:], truth[4:]))

    def features(images: Tensor) -> np.ndarray:
        large = F.interpolate(images.float(), (299, 299), mode="bilinear", antialias=True)
        with torch.no_grad():
            return _forward(inception, large).double().numpy()

    x, y = features(truth), features(predicted)
    means = np.square(x.mean(0) - y.mean(0)).sum()
    x, y = ((v - v.mean(0)) / np.sqrt(len(v) - 1) for v in (x, y))
    # tr((Cx Cy)^1/2) is the nuclear norm of X Y^T.
    root = np.linalg.svd(x @ y.T, compute_uv=False).sum()
    expected = means + np.square(x).sum() + np.square(y).sum() - 2 * root
    assert metric.compute()["fid"]["value"] == pytest.approx(expected, rel=1e-2)


def _forward(net: torch.nn.Module, images: Tensor) -> Tensor:
    """The extractor's layers in their order, up to the pooled 2048 features."""
    x = (images - 128) / 128
    for name, layer in net.named_children():
        if name != "fc":
            x = layer(x)
    return x.flatten(1)
