"""The nets: their size, their losses against dense float64, and what a training loop may do."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import numpy as np
import pytest
import timm
import torch
import torch.nn.functional as F  # noqa: N812
from helpers import tiny
from skimage.color import lab2rgb, rgb2lab
from torch import Tensor, nn

from colorize.color.bins import published_bin_centers
from colorize.errors import InputError
from colorize.models import (
    ClassificationModel,
    EuclideanModel,
    SimplifiedModel,
    UNetModel,
    eval_mode,
)

NARROW: dict[str, dict[str, Any]] = {
    "ClassificationModel": {"width": 0.125},
    "SimplifiedModel": {"width": 0.125},
    "EuclideanModel": {"width": 0.125},
    "UNetModel": {"decoder": (48, 32, 32, 32)},
}
CLASSES = {
    cls.__name__: cls for cls in (ClassificationModel, SimplifiedModel, EuclideanModel, UNetModel)
}
ALL = sorted(CLASSES)
QUANTIZED = [name for name in ALL if name != "EuclideanModel"]
WEIGHTS = torch.linspace(0.5, 1.5, 313)


def build(name: str, **options: Any) -> Any:
    return CLASSES[name](**NARROW[name], **options)


@pytest.fixture(scope="module", autouse=True)
def light() -> Iterator[None]:
    with tiny.lightly():
        yield


def _blobs(count: int, size: int) -> Tensor:
    """Bright blobs, (count, 3, size, size) uint8."""
    rng = np.random.default_rng(1)
    coarse = torch.from_numpy(rng.integers(0, 256, (count, 3, 4, 4)).astype(np.float32))
    return F.interpolate(coarse, size, mode="bicubic").clamp(0, 255).round().to(torch.uint8)


@pytest.fixture(scope="module")
def rgb() -> Tensor:
    return _blobs(3, 32)


@pytest.fixture(scope="module")
def nets() -> dict[str, Any]:
    """One net of each class that tells images apart: as torch starts it, it hides mistakes."""
    torch.manual_seed(2)
    made = {}
    for name in ALL:
        net = build(name, **({"class_weights": WEIGHTS} if name in QUANTIZED else {}))
        norms = [layer for layer in net.modules() if isinstance(layer, nn.BatchNorm2d)]
        for layer in net.modules():
            if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
                nn.init.kaiming_normal_(layer.weight)
        for norm in norms:
            norm.momentum = None  # statistics of the next batch alone
        # Variances of few values are small by chance, and dividing by them blows up rounding.
        net.loss({"rgb": _blobs(24, 64)})
        for norm in norms:
            norm.momentum = 0.1
        made[name] = net
    return made


@pytest.fixture(params=ALL)
def net(request: pytest.FixtureRequest, nets: dict[str, Any]) -> Any:
    """A copy of each, in eval mode."""
    return copy.deepcopy(nets[request.param]).eval()


def _lab(rgb: Tensor) -> Tensor:
    return torch.from_numpy(rgb2lab(rgb.movedim(1, -1).numpy())).movedim(-1, 1).float()


@pytest.mark.parametrize(
    ("build", "published"),
    [
        (ClassificationModel, 32_235_385),
        (SimplifiedModel, 15_387_513),
        (EuclideanModel, 32_155_458),
    ],
)
def test_parameters_at_full_width(build: Any, published: int) -> None:
    assert sum(p.numel() for p in build().parameters()) == published


def _authors_net(width: int) -> nn.Sequential:
    """The released eccv16 net, layer by layer, with 64 in place of ``width`` channels."""
    layers: list[nn.Module] = []

    def block(before: int, after: int, strides: str, dilation: int = 1) -> None:
        for stride in strides:
            layers.append(nn.Conv2d(before, after, 3, int(stride), dilation, dilation))
            layers.append(nn.ReLU())
            before = after
        layers.append(nn.BatchNorm2d(after))

    w = width
    block(1, w, "12")
    block(w, 2 * w, "12")
    block(2 * w, 4 * w, "112")
    block(4 * w, 8 * w, "111")
    block(8 * w, 8 * w, "111", 2)
    block(8 * w, 8 * w, "111", 2)
    block(8 * w, 8 * w, "111")
    layers += [nn.ConvTranspose2d(8 * w, 4 * w, 4, 2, 1), nn.ReLU()]
    for _ in range(2):
        layers += [nn.Conv2d(4 * w, 4 * w, 3, 1, 1), nn.ReLU()]
    return nn.Sequential(*layers, nn.Conv2d(4 * w, 313, 1))


def test_net_is_that_of_the_authors(nets: dict[str, Any]) -> None:
    model = copy.deepcopy(nets["ClassificationModel"]).eval()
    theirs = _authors_net(8).eval()
    ours = {k: v for k, v in model.state_dict().items() if not k.startswith("output.")}
    assert [v.shape for v in ours.values()] == [v.shape for v in theirs.state_dict().values()]
    theirs.load_state_dict(dict(zip(theirs.state_dict(), ours.values(), strict=True)))
    L = torch.rand(2, 1, 40, 24) * 100
    logits = model(L).color
    assert (logits[0] - logits[1]).abs().mean() > 1e-2
    torch.testing.assert_close(logits, theirs((L - 50) / 100), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("size", [(1, 1), (32, 64), (65, 33)])
def test_prediction_has_the_size_of_the_input(net: Any, size: tuple[int, int]) -> None:
    L = torch.rand(2, 1, *size) * 100
    ab = net.predict_ab(L)
    assert ab.shape == (2, 2, *size) and ab.dtype == torch.float32 and not ab.requires_grad
    if net.has_distribution:
        low, high = (f(published_bin_centers(), 0) for f in (torch.amin, torch.amax))
        flat = ab.movedim(1, -1)
        assert (flat >= low - 1e-3).all() and (flat <= high + 1e-3).all()
    # What lies beyond the border repeats it, and is cut off again.
    m = net.size_divisor
    padding = ((0, 0), (0, 0), (0, -size[0] % m), (0, -size[1] % m))
    padded = torch.from_numpy(np.pad(L.numpy(), padding, mode="edge"))
    coarse = net.output.decode(net(padded).color)
    assert coarse.shape[2:] == (padded.shape[2] // 4, padded.shape[3] // 4)
    whole = F.interpolate(coarse, padded.shape[2:], mode="bilinear")
    torch.testing.assert_close(ab, whole[:, :, : size[0], : size[1]], atol=1e-4, rtol=1e-5)


def test_color_is_not_shifted_when_it_is_enlarged(nets: dict[str, Any]) -> None:
    coarse = torch.arange(8.0).expand(1, 2, 8, 8)
    full = nets["SimplifiedModel"].resize_ab(coarse, torch.zeros(1, 1, 30, 29))
    assert full.shape == (1, 2, 30, 29)
    expected = ((torch.arange(29) + 0.5) / 4 - 0.5).clamp(min=0)
    torch.testing.assert_close(full[0, 0, 17], expected)
    torch.testing.assert_close(full, full[:, :, :1].expand_as(full))


def _dense_loss(model: Any, raw: Tensor, ab: Tensor, k: int, sigma: float) -> Tensor:
    """Equations 2 and 3 over a dense target, everything in float64."""
    centers = published_bin_centers().double()
    target = ab.double().reshape(*ab.shape[:2], ab.shape[2] // 4, 4, -1, 4).mean((3, 5))
    distance = (target.movedim(1, -1)[..., None, :] - centers).norm(dim=-1)
    ranked, order = distance.sort(-1)
    weights = torch.exp(-(ranked[..., :k] ** 2) / (2 * sigma**2))
    weights = weights / weights.sum(-1, keepdim=True)
    z = torch.zeros_like(distance).scatter_(-1, order[..., :k], weights)
    v = model.output.class_weights.double()[order[..., 0]]
    log_p = raw.double().log_softmax(1).movedim(1, -1)
    return (v * -(z * log_p).sum(-1)).mean()


@pytest.mark.parametrize(
    ("name", "options", "k", "sigma"),
    [
        ("ClassificationModel", {"class_weights": WEIGHTS}, 5, 5.0),
        ("SimplifiedModel", {"target": "onehot", "class_weights": WEIGHTS}, 1, 5.0),
        ("UNetModel", {"k": 10, "sigma": 8.0}, 10, 8.0),
    ],
)
def test_loss_equals_the_dense_one(
    rgb: Tensor, name: str, options: dict[str, Any], k: int, sigma: float
) -> None:
    class_weights = options.get("class_weights", torch.ones(313))
    model = build(name, **options).eval()
    assert torch.equal(model.output.class_weights, class_weights)
    lab = _lab(rgb)
    expected = _dense_loss(model, model(lab[:, :1]).color, lab[:, 1:], k, sigma)
    loss = model.loss({"rgb": rgb})["loss"]
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss.double(), expected, rtol=1e-4, atol=0)


def test_euclidean_loss_is_in_units_of_110(nets: dict[str, Any], rgb: Tensor) -> None:
    model = copy.deepcopy(nets["EuclideanModel"]).eval()
    lab = _lab(rgb)
    raw = model(lab[:, :1]).color
    target = F.avg_pool2d(lab[:, 1:], 4) / 110
    expected = 0.5 * ((raw - target) ** 2).sum(1).mean()
    torch.testing.assert_close(model.loss({"rgb": rgb})["loss"], expected, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(model.output.decode(raw), 110 * raw)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("ClassificationModel", {}),
        ("SimplifiedModel", {"target": "onehot", "class_weights": WEIGHTS}),
        ("EuclideanModel", {}),
        ("UNetModel", {}),
    ],
)
def test_one_batch_can_be_learned(rgb: Tensor, name: str, options: dict[str, Any]) -> None:
    """Colors of three pictures by heart, far better than the best constant color."""
    torch.manual_seed(0)
    model = build(name, **options)
    learned = tiny.learn(model, {"rgb": rgb}, steps=60, lr=5e-3)
    if name in QUANTIZED:
        assert learned["loss"] < 0.6 * math.log(313)
    lab = _lab(rgb)
    ab = lab[:, 1:]
    constant = (ab - ab.mean((0, 2, 3), keepdim=True)).square().mean().sqrt()
    error = (model.predict_ab(lab[:, :1]) - ab).square().mean().sqrt()
    assert error < 0.6 * constant


@pytest.mark.parametrize("name", QUANTIZED)
def test_bins_of_ones_own(name: str, rgb: Tensor) -> None:
    centers = torch.tensor([[0.0, 0.0], [60.1, 40.0], [-50.0, 30.0], [10.0, -70.0]])
    model = build(name, bin_centers=centers, k=2).eval()
    again = CLASSES[name](**json.loads(json.dumps(model.config))).eval()
    again.load_state_dict(model.state_dict())
    assert torch.equal(again.output.bin_centers, centers)
    assert model.loss({"rgb": rgb})["loss"] < 2 * math.log(4)
    ab = again.predict_ab(torch.rand(1, 1, 32, 32) * 100, temperature=0)
    used = {
        tuple(p)
        for p in again.output.decode(again(torch.rand(1, 1, 32, 32)).color, 0)
        .movedim(1, -1)
        .reshape(-1, 2)
        .tolist()
    }
    assert ab.isfinite().all() and used <= {tuple(p) for p in centers.tolist()}


def test_variances_beyond_half_precision_do_not_silence_a_net() -> None:
    """Trained nets have such: 117,000 in ``photo``; in float16 they are infinite."""
    net = SimplifiedModel(width=0.02).eval()
    for layer in net.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.running_var.fill_(1e6)
            nn.init.constant_(layer.weight, 1e3)
    L = torch.rand(1, 1, 32, 32) * 100
    expected = net.predict_ab(L)
    torch.testing.assert_close(net.half().predict_ab(L), expected, rtol=0, atol=0.05)
    assert all(p.dtype == torch.float16 for p in net.parameters() if p.dim() > 1)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision(net: Any, dtype: torch.dtype) -> None:
    L = torch.rand(2, 1, 33, 40) * 100
    expected = net.predict_ab(L)
    half = copy.deepcopy(net).to(dtype)
    ab = half.predict_ab(L)
    assert ab.dtype == torch.float32
    # bfloat16 has 8 bits, and every layer rounds.
    assert (ab - expected).abs().mean() < 0.15 * expected.abs().mean()
    if net.has_distribution:
        assert half.output.bin_centers.dtype == half.output.class_weights.dtype == torch.float32


def test_losses_refuse_images_that_make_no_sense(net: Any, rgb: Tensor) -> None:
    spoiled = rgb / 255
    spoiled[1, 0, 0, 0] = math.nan
    for wrong in (rgb.float(), spoiled, rgb[:0]):
        with pytest.raises(InputError, match="rgb"):
            net.loss({"rgb": wrong})
    L = torch.full((1, 1, 32, 32), math.nan)
    with pytest.raises(InputError, match="L"):
        net.predict_ab(L)
    next(net.parameters()).data.fill_(math.nan)
    with pytest.raises(InputError, match="weights"):
        net.predict_ab(torch.rand(1, 1, 32, 32) * 100)


def test_eval_mode_of_several_threads_at_once() -> None:
    model = tiny.model().train()
    with ThreadPoolExecutor(1) as other:
        inside = ExitStack()
        inside.enter_context(eval_mode(model))
        theirs = ExitStack()
        other.submit(theirs.enter_context, eval_mode(model)).result()
        inside.close()
        assert not any(module.training for module in model.modules())
        other.submit(theirs.close).result()
    assert all(module.training for module in model.modules())


def test_an_option_that_is_set_afterwards_is_in_the_config() -> None:
    model = SimplifiedModel(width=0.02)
    model.output.temperature = 0.9
    assert model.config["temperature"] == 0.9
    with pytest.raises(InputError, match="temperature"):
        model.config["temperature"] = 0.5
    with pytest.raises(InputError, match="temperature"):
        model.config |= {"temperature": 0.5}
    assert copy.deepcopy(model.config) | {"k": 3} == {**model.config, "k": 3}


def test_training_moves_statistics_and_prediction_does_not(net: Any, rgb: Tensor) -> None:
    before = copy.deepcopy(net.state_dict())
    L = torch.rand(3, 1, 32, 32) * 100
    ab = net.predict_ab(L)
    tiny.assert_same_bits(net.state_dict(), before)
    # In evaluation an image's color does not depend on its company, nor on the memory layout.
    torch.testing.assert_close(net.predict_ab(L[1:2]), ab[1:2], atol=0.02, rtol=1e-3)
    last = copy.deepcopy(net).to(memory_format=torch.channels_last)
    channels_last = last.predict_ab(L.to(memory_format=torch.channels_last))
    torch.testing.assert_close(channels_last, ab, atol=0.02, rtol=1e-3)
    net.train().loss({"rgb": rgb})
    changed = {k for k, v in net.state_dict().items() if not torch.equal(v, before[k])}
    assert changed and all("running_" in k or "num_batches" in k for k in changed)


def test_other_types_of_input_and_mixed_precision(net: Any, rgb: Tensor) -> None:
    expected = net.loss({"rgb": rgb})["loss"]
    for dtype in (torch.float32, torch.float64):
        loss = net.loss({"rgb": rgb.to(dtype) / 255})["loss"]
        torch.testing.assert_close(loss.float(), expected, rtol=1e-4, atol=0)
    L = torch.rand(1, 1, 33, 20, dtype=torch.float64) * 100
    ab = net.predict_ab(L)
    torch.testing.assert_close(ab, net.predict_ab(L.float()), atol=0.02, rtol=1e-3)
    with torch.autocast("cpu", torch.bfloat16):
        loss, under = net.loss({"rgb": rgb})["loss"], net.predict_ab(L.float())
    assert loss.dtype == under.dtype == torch.float32
    torch.testing.assert_close(loss, expected, rtol=0.2, atol=5e-3)
    assert (under - ab).abs().mean() < 0.5 * ab.abs().mean()


def test_batch_may_bring_the_lightness_that_the_net_is_shown(net: Any, rgb: Tensor) -> None:
    plain = net.loss({"rgb": rgb})["loss"]
    lab = _lab(rgb)
    loss = net.loss({"rgb": rgb, "L": lab[:, :1]})["loss"]
    torch.testing.assert_close(loss, plain, rtol=1e-4, atol=0)
    faded = lab[:, :1] * 0.3 + 20
    loss = net.loss({"rgb": rgb, "L": faded})["loss"]
    expected = net.losses(net(faded), lab[:, 1:], {})["loss"]
    torch.testing.assert_close(loss, expected, rtol=1e-4, atol=0)
    assert not torch.isclose(loss, plain, rtol=5e-4)


def test_batches_that_do_not_fit(net: Any, rgb: Tensor) -> None:
    lightness = [torch.rand(3, 1, 64, 64), torch.rand(3, 3, 32, 32), torch.rand(1, 1, 32, 32)]
    for L in (*lightness, torch.full((3, 1, 32, 32), 20, dtype=torch.uint8)):
        with pytest.raises(InputError, match=r"\bL\b"):
            net.loss({"rgb": rgb, "L": L})
    for size in ((32, 36), (33, 32)):
        with pytest.raises(InputError, match=rf"multiples of {net.size_divisor}"):
            net.loss({"rgb": torch.zeros(1, 3, *size, dtype=torch.uint8)})
    with pytest.raises(InputError, match="rgb"):
        net.loss({"rgb": torch.zeros(1, 1, 32, 32, dtype=torch.uint8)})
    for shape in ((1, 32, 32), (1, 3, 32, 32), (1, 1, 0, 8), (1, 1, 8, 0)):
        with pytest.raises(InputError, match="L: expected"):
            net.predict_ab(torch.zeros(shape))
    for L in (torch.full((1, 1, 32, 32), 255.0), torch.full((1, 1, 32, 32), -1.0)):
        with pytest.raises(InputError, match=r"L: expected lightness in 0\.\.100"):
            net.predict_ab(L)
        with pytest.raises(InputError, match="expected lightness"):
            net.loss({"rgb": rgb[:1], "L": L})
    with pytest.raises(InputError, match="uint8"):
        net.predict_ab(torch.zeros(1, 1, 8, 8, dtype=torch.uint8))


@pytest.mark.parametrize("name", QUANTIZED)
def test_temperature_of_the_model_and_of_the_call(name: str) -> None:
    model = build(name, temperature=0.0).eval()
    L = torch.rand(1, 1, 32, 32) * 100
    logits = model(L).color
    mode = published_bin_centers()[logits.argmax(1)].movedim(-1, 1)
    assert torch.equal(model.output.decode(logits), mode)
    assert torch.equal(model.predict_ab(L), model.predict_ab(L, temperature=0))
    p = (logits.double() / 0.5).softmax(1)
    mean = torch.einsum("nqhw,qc->nchw", p, published_bin_centers().double()).float()
    found = model.predict_ab(L, temperature=0.5)
    torch.testing.assert_close(found, F.interpolate(mean, 32, mode="bilinear"), atol=1e-3, rtol=0)


def test_options_that_are_wrong() -> None:
    wrong: dict[str, list[Any]] = {
        "target": ["hard"],
        "temperature": [-1.0, math.nan],
        "sigma": [0.0],
        "k": [0, 314],
        "class_weights": [torch.ones(312), torch.ones(1, 313), "all"],
        "width": [0.0, -1.0, 4.1, math.nan],
    }
    for option, values in wrong.items():
        for value in values:
            with pytest.raises(InputError, match=option):
                SimplifiedModel(**{option: value})


def test_encoder_sees_the_grey_picture_as_its_pretraining_expects() -> None:
    model = build("UNetModel").eval()
    seen: list[Tensor] = []
    model.encoder.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    L = torch.linspace(0, 100, 32).expand(1, 1, 32, 32)
    model(L)
    lab = np.zeros((32, 32, 3))
    lab[..., 0] = L[0, 0]
    grey = torch.from_numpy(lab2rgb(lab)).movedim(-1, 0).float()
    cfg = timm.get_pretrained_cfg("tf_efficientnet_lite0")
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (cfg.mean, cfg.std))
    torch.testing.assert_close(seen[0][0], (grey - mean) / std, atol=1e-4, rtol=0)


def test_unet_names_encoders_and_decoders_that_do_not_fit() -> None:
    with pytest.raises(InputError, match=r"strides 4, 8, 16 and 32.*vit_tiny"):
        UNetModel(encoder="vit_tiny_patch16_224")
    with pytest.raises(InputError, match=r"decoder: expected 4"):
        UNetModel(decoder=(8, 8, 8))
    with pytest.raises(InputError, match="no_such_net"):
        UNetModel(encoder="no_such_net")
