"""The published nets against plain functional calls, and files of weights that do not fit."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from helpers import tiny
from skimage.color import rgb2lab
from torch import Tensor

from colorize.errors import CheckpointError, InputError
from colorize.models import ECCV16Model, SIGGRAPH17Model, hub
from colorize.models import checkpoint as c

State = dict[str, Tensor]
NETS: dict[str, type[Any]] = {"eccv16": ECCV16Model, "siggraph17": SIGGRAPH17Model}
# Channels and convolutions of model1 to model7, the same in both nets.
BLOCKS = [(64, 2), (128, 2), (256, 3), (512, 3), (512, 3), (512, 3), (512, 3)]
SIZES = [(64, 64), (30, 45), (1, 1)]


# The layout of the published files: names and shapes.


def _conv(name: str, before: int, after: int, kernel: int = 3) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (after, before, kernel, kernel), f"{name}.bias": (after,)}


def _up(name: str, before: int, after: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (before, after, 4, 4), f"{name}.bias": (after,)}


def _norm(name: str, channels: int) -> dict[str, tuple[int, ...]]:
    entries = ("weight", "bias", "running_mean", "running_var")
    return {**{f"{name}.{e}": (channels,) for e in entries}, f"{name}.num_batches_tracked": ()}


def layout(name: str) -> dict[str, tuple[int, ...]]:
    found: dict[str, tuple[int, ...]] = {}
    before = 1 if name == "eccv16" else 4
    for number, (channels, convolutions) in enumerate(BLOCKS, 1):
        for i in range(convolutions):
            found |= _conv(f"model{number}.{2 * i}", before, channels)
            before = channels
        found |= _norm(f"model{number}.{2 * convolutions}", channels)
    if name == "eccv16":
        found |= _up("model8.0", 512, 256)
        found |= _conv("model8.2", 256, 256) | _conv("model8.4", 256, 256)
        return found | _conv("model8.6", 256, 313, 1) | {"model_out.weight": (2, 313, 1, 1)}
    found |= _up("model8up.0", 512, 256) | _conv("model3short8.0", 256, 256)
    found |= _conv("model8.1", 256, 256) | _conv("model8.3", 256, 256) | _norm("model8.5", 256)
    found |= _up("model9up.0", 256, 128) | _conv("model2short9.0", 128, 128)
    found |= _conv("model9.1", 128, 128) | _norm("model9.3", 128)
    found |= _up("model10up.0", 128, 128) | _conv("model1short10.0", 64, 128)
    found |= _conv("model10.1", 128, 128)
    return found | _conv("model_class.0", 256, 529, 1) | _conv("model_out.0", 128, 2, 1)


def _random_weights(name: str) -> State:
    """As wide as trained ones, so that activations keep their scale down to the output."""
    g = torch.Generator().manual_seed(16)
    state = {}
    for key, shape in layout(name).items():
        entry = key.rpartition(".")[2]
        if entry == "num_batches_tracked":
            state[key] = torch.tensor(7)
        elif entry == "running_var" or (entry == "weight" and len(shape) == 1):
            state[key] = torch.rand(shape, generator=g) + 0.5
        elif len(shape) == 1:
            state[key] = torch.randn(shape, generator=g) * 0.2
        else:
            # Of the 4x4 kernel of a transposed convolution with stride 2, a pixel gets 2x2.
            fan = shape[0] * 4 if "up." in key or key == "model8.0.weight" else np.prod(shape[1:])
            state[key] = torch.randn(shape, generator=g) * (2 / fan) ** 0.5
    if name == "eccv16":
        state["model8.6.weight"] *= 5
        state["model_out.weight"] *= 4
    else:
        state["model_out.0.weight"] *= 0.25
    return state


# The authors' nets as plain calls.


def _filter(s: State, key: str, x: Tensor, **options: int) -> Tensor:
    return F.conv2d(x, s[f"{key}.weight"], s.get(f"{key}.bias"), **options)


def _raise(s: State, key: str, x: Tensor) -> Tensor:
    return F.conv_transpose2d(x, s[f"{key}.weight"], s[f"{key}.bias"], stride=2, padding=1)


def _standardize(s: State, key: str, x: Tensor) -> Tensor:
    entries = ("running_mean", "running_var", "weight", "bias")
    return F.batch_norm(x, *(s[f"{key}.{entry}"] for entry in entries), eps=1e-5)


def _trunk(s: State, x: Tensor, strided: bool) -> list[Tensor]:
    kept = []
    for number, (_, convolutions) in enumerate(BLOCKS, 1):
        reach = 2 if number in (5, 6) else 1
        for i in range(convolutions):
            shrinks = strided and number <= 3 and i == convolutions - 1
            key, stride = f"model{number}.{2 * i}", 2 if shrinks else 1
            x = F.relu(_filter(s, key, x, stride=stride, padding=reach, dilation=reach))
        x = _standardize(s, f"model{number}.{2 * convolutions}", x)
        kept.append(x)
        if not strided and number <= 3:
            x = x[:, :, ::2, ::2]
    return kept


def eccv16_ab(s: State, L: Tensor) -> Tensor:
    x = F.relu(_raise(s, "model8.0", _trunk(s, (L - 50) / 100, True)[-1]))
    for key in ("model8.2", "model8.4"):
        x = F.relu(_filter(s, key, x, padding=1))
    ab = _filter(s, "model_out", F.softmax(_filter(s, "model8.6", x), 1))
    return 110 * F.interpolate(ab, scale_factor=4, mode="bilinear", align_corners=False)


def siggraph17_ab(s: State, L: Tensor, ab: Tensor, mask: Tensor) -> Tensor:
    x = torch.cat(((L - 50) / 100, ab / 110, mask), 1)
    first, second, third, *_, seventh = _trunk(s, x, False)
    x = _raise(s, "model8up.0", seventh) + _filter(s, "model3short8.0", third, padding=1)
    for key in ("model8.1", "model8.3"):
        x = _filter(s, key, F.relu(x), padding=1)
    eighth = _standardize(s, "model8.5", F.relu(x))
    x = _raise(s, "model9up.0", eighth) + _filter(s, "model2short9.0", second, padding=1)
    x = _standardize(s, "model9.3", F.relu(_filter(s, "model9.1", F.relu(x), padding=1)))
    x = _raise(s, "model10up.0", x) + _filter(s, "model1short10.0", first, padding=1)
    x = F.leaky_relu(_filter(s, "model10.1", F.relu(x), padding=1), 0.2)
    return 110 * _filter(s, "model_out.0", x).tanh()


@pytest.fixture(scope="module", autouse=True)
def light() -> Iterator[None]:
    with tiny.lightly():
        yield


def _loaded(name: str, folder: Path) -> Any:
    """A net with random weights out of a file of the published kind."""
    state, path = _random_weights(name), folder / f"{name}.pth"
    # The published files are older than the zip format.
    torch.save(state, path, _use_new_zipfile_serialization=name != "eccv16")
    model = hub.load_model(name, weights=path)
    path.unlink()
    assert type(model) is NETS[name] and not model.training and model.input_size == 256
    tiny.assert_same_bits(model.state_dict(), state)
    return model


@pytest.fixture(scope="module")
def eccv16(tmp_path_factory: pytest.TempPathFactory) -> ECCV16Model:
    return _loaded("eccv16", tmp_path_factory.mktemp("eccv16"))


@pytest.fixture(scope="module")
def siggraph17(tmp_path_factory: pytest.TempPathFactory) -> SIGGRAPH17Model:
    return _loaded("siggraph17", tmp_path_factory.mktemp("siggraph17"))


def _lightness(photo: Tensor, h: int, w: int) -> Tensor:
    """Two parts of a real photograph, (2, 1, h, w)."""
    corners = [photo[0, :, y : y + h, 200 : 200 + w] for y in (100, 300)]
    lab = [rgb2lab(corner.movedim(0, -1).numpy())[..., 0] for corner in corners]
    return torch.from_numpy(np.stack(lab)).float()[:, None]


def _padded(x: Tensor, mode: Any) -> Tensor:
    h, w = x.shape[2:]
    return torch.from_numpy(np.pad(x.numpy(), ((0, 0), (0, 0), (0, -h % 8), (0, -w % 8)), mode))


def _hints(h: int, w: int) -> tuple[Tensor, Tensor]:
    """Random colors everywhere, of which some count."""
    g = torch.Generator().manual_seed(3)
    mask = (torch.rand(2, 1, h, w, generator=g) < 0.1).float()
    mask[:, :, -1, -1] = 1
    return torch.rand(2, 2, h, w, generator=g) * 200 - 100, mask


@pytest.mark.parametrize(
    ("name", "entries", "parameters"),
    [("eccv16", 82, 32_236_011), ("siggraph17", 107, 34_187_027)],
)
def test_layout_is_the_published_one(name: str, entries: int, parameters: int) -> None:
    model = NETS[name]()
    found = {key: tuple(value.shape) for key, value in model.state_dict().items()}
    assert found == layout(name) and len(found) == entries
    assert sum(p.numel() for p in model.parameters()) == parameters


@pytest.mark.parametrize(("h", "w"), SIZES)
def test_eccv16_colors_as_the_authors_net(
    eccv16: ECCV16Model, photo: Tensor, h: int, w: int
) -> None:
    L = _lightness(photo, h, w)
    expected = eccv16_ab(eccv16.state_dict(), _padded(L, "edge"))[:, :, :h, :w]
    ab = eccv16.predict_ab(L)
    assert ab.shape == (2, 2, h, w) and ab.dtype == torch.float32 and not ab.requires_grad
    torch.testing.assert_close(ab, expected, atol=1e-4, rtol=0)
    assert h < 64 or (expected.std((2, 3)) > 5).all(), "weights that hide mistakes"


@pytest.mark.parametrize("hinted", [False, True], ids=["no hints", "hints"])
@pytest.mark.parametrize(("h", "w"), SIZES)
def test_siggraph17_colors_as_the_authors_net(
    siggraph17: SIGGRAPH17Model, photo: Tensor, h: int, w: int, hinted: bool
) -> None:
    L = _lightness(photo, h, w)
    given, mask = _hints(h, w)
    hints = {"hints_ab": given, "hints_mask": mask} if hinted else {}
    told = (given * mask, mask) if hinted else (torch.zeros(2, 2, h, w), torch.zeros(2, 1, h, w))
    inputs = (_padded(L, "edge"), *(_padded(x, "constant") for x in told))
    expected = siggraph17_ab(siggraph17.state_dict(), *inputs)
    ab = siggraph17.predict_ab(L, **hints)
    assert ab.shape == (2, 2, h, w) and ab.dtype == torch.float32 and not ab.requires_grad
    torch.testing.assert_close(ab, expected[:, :, :h, :w], atol=1e-4, rtol=0)
    assert h < 64 or (expected.std((2, 3)) > 5).all(), "weights that hide mistakes"
    assert (expected.abs() < 109).float().mean() > 0.9, "a tanh at its end hides them too"


def test_a_mask_of_zeros_is_no_hint(siggraph17: SIGGRAPH17Model, photo: Tensor) -> None:
    L, (ab, mask) = _lightness(photo, 30, 45), _hints(30, 45)
    alone = siggraph17.predict_ab(L)
    assert torch.equal(siggraph17.predict_ab(L, hints_ab=ab, hints_mask=mask * 0), alone)
    hinted = siggraph17.predict_ab(L, hints_ab=ab, hints_mask=mask)
    assert (hinted - alone).abs().mean() > 1
    same = siggraph17.predict_ab(L, hints_ab=ab.double(), hints_mask=mask.bool())
    assert torch.equal(same, hinted)
    elsewhere = torch.where(mask > 0, ab, torch.nan)
    assert torch.equal(siggraph17.predict_ab(L, hints_ab=elsewhere, hints_mask=mask), hinted)


def test_hints_that_make_no_sense(siggraph17: SIGGRAPH17Model) -> None:
    wrong: dict[str, list[Any]] = {
        "hints_mask": [
            *(None, torch.ones(1, 2, 16, 24)),
            *(torch.full((1, 1, 16, 24), value) for value in (1.5, torch.nan)),
        ],
        "hints_ab": [
            *(None, torch.zeros(1, 2, 8, 8), torch.zeros(1, 2, 16, 24, dtype=torch.uint8)),
            *(torch.full((1, 2, 16, 24), value) for value in (255.0, torch.nan)),
        ],
    }
    hints = {"hints_ab": torch.zeros(1, 2, 16, 24), "hints_mask": torch.ones(1, 1, 16, 24)}
    L = torch.rand(1, 1, 16, 24)
    for option, values in wrong.items():
        for value in values:
            with pytest.raises(InputError, match=option):
                siggraph17.predict_ab(L, **{**hints, option: value})
    with pytest.raises(InputError, match="temperature"):
        siggraph17.predict_ab(L, temperature=0.38)


@pytest.mark.parametrize("name", sorted(NETS))
def test_loss_is_that_of_the_color(
    request: pytest.FixtureRequest, photo: Tensor, name: str
) -> None:
    model = request.getfixturevalue(name)
    rgb = photo[:, :, 100:132, 200:232]
    lab = torch.from_numpy(rgb2lab(rgb.movedim(1, -1).numpy())).movedim(-1, 1).float()
    raw = model(lab[:, :1]).color
    target = F.avg_pool2d(lab[:, 1:], 4 if name == "eccv16" else 1) / 110
    expected = 0.5 * (raw - target).square().sum(1).mean()
    loss = model.loss({"rgb": rgb})["loss"]
    torch.testing.assert_close(loss, expected, rtol=1e-3, atol=1e-6)
    loss.backward()
    without = {key for key, p in model.named_parameters() if p.grad is None}
    assert without == {key for key in layout(name) if key.startswith("model_class")}
    assert model.model1[0].weight.grad.abs().max() > 0
    model.zero_grad()


# Files of weights that do not fit. A file of one number an entry has the layout, too.


def _small(name: str, value: float = 0.25) -> State:
    return {key: torch.tensor(value).expand(shape) for key, shape in layout(name).items()}


class _Unsafe:
    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
        return exec, ("raise SystemExit('ran')",)


DAMAGE: dict[str, tuple[Callable[[State], Any], str]] = {
    "missing": (
        lambda s: {k: v for k, v in s.items() if k not in ("model3.2.bias", "model_out.weight")},
        r"does not fit ECCV16Model: 2 entries differ .* model3\.2\.bias, model_out\.weight",
    ),
    "too many": (lambda s: {**s, "model9.0.bias": torch.zeros(2)}, r"1 entries .* model9\.0\.bias"),
    "reshaped": (
        lambda s: {**s, "model_out.weight": torch.zeros(2, 313)},
        r"1 entries .*model_out",
    ),
    "of the other net": (lambda s: _small("siggraph17"), r"does not fit ECCV16Model: \d+ entries"),
    "wrapped": (lambda s: {"state_dict": s}, "expected a state dict .* got another dict"),
    "a list": (lambda s: list(s.values()), "expected a state dict .* got another list"),
    "code": (lambda s: _Unsafe(), "not readable as a state dict .*UnpicklingError"),
}


@pytest.mark.parametrize("way", sorted(DAMAGE))
def test_weights_that_do_not_fit(way: str, tmp_path: Path) -> None:
    change, message = DAMAGE[way]
    path = tmp_path / "odd.pth"
    torch.save(change(_small("eccv16")), path)
    with pytest.raises(CheckpointError, match=rf"odd\.pth.*{message}") as caught:
        hub.load_model("eccv16", weights=path)
    assert "weights_only" not in str(caught.value)


@pytest.mark.parametrize("zipped", [False, True], ids=["legacy", "zip"])
def test_files_that_cannot_be_read(zipped: bool, tmp_path: Path) -> None:
    path = tmp_path / "cut.pth"
    state = {"a.weight": torch.rand(4, 4), "a.bias": torch.rand(4)}
    torch.save(state, path, _use_new_zipfile_serialization=zipped)
    model = torch.nn.ModuleDict({"a": torch.nn.Linear(4, 4)})
    c.load_weights(model, path)  # type: ignore[arg-type]
    tiny.assert_same_bits(model.state_dict(), state)
    whole = path.read_bytes()
    contents = [whole[:n] for n in range(0, len(whole) - 1, 41)]
    for body in (*contents, b"<!doctype html>", b"words\n", b"\x89PNG\r\n\x1a\n", bytes(64)):
        path.write_bytes(body)
        with pytest.raises(CheckpointError, match=r"cut\.pth is not readable as a state dict"):
            c.load_weights(model, path)  # type: ignore[arg-type]
    tiny.assert_same_bits(model.state_dict(), state)
    with pytest.raises(CheckpointError, match=r"There is no file of weights .*none\.pth"):
        c.load_weights(model, tmp_path / "none.pth")  # type: ignore[arg-type]
