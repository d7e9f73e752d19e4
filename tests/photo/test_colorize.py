"""predict, colorize_image, uncertainty, classify_image: every kind of input, lightness kept."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skimage.data
import torch
import torch.nn.functional as F  # noqa: N812
from helpers import tiny
from helpers.tiny import light as light
from PIL import Image
from skimage.color import rgb2lab
from torch import Tensor

from colorize.color.lab import rgb_to_lab
from colorize.errors import CheckpointError, ImageError, InputError
from colorize.models import (
    ClassificationOnlyModel,
    Colorizer,
    EuclideanModel,
    JointModel,
    ModelOutput,
    RegressionHead,
    SIGGRAPH17Model,
    SimplifiedModel,
    UNetModel,
)
from colorize.models.checkpoint import save_checkpoint
from colorize.models.hub import find_device
from colorize.photo import image, prediction
from colorize.photo.colorize import classify_image, colorize_image, uncertainty
from colorize.photo.prediction import DEFAULT_MODEL, predict
from colorize.photo.sheet import sheet
from colorize.photo.upsampling import METHODS

pytestmark = pytest.mark.usefixtures("light")

SIZES = {"1x1": (1, 1), "3x200": (3, 200), "200x3": (200, 3), "large": (500, 333)}


@pytest.fixture(scope="module")
def net() -> SimplifiedModel:
    """Saturated colors that differ from pixel to pixel."""
    net = tiny.vivid_model()
    net.input_size = 32
    return net


@pytest.fixture(scope="module")
def grey_levels() -> np.ndarray:
    """CIELAB lightness of the 256 greys, float64."""
    levels = np.arange(256, dtype=np.uint8)
    return rgb2lab(np.repeat(levels[:, None, None], 3, axis=2))[:, 0, 0]


def _lightness(rgb: np.ndarray) -> np.ndarray:
    return rgb2lab(rgb)[..., 0]


def _nearest_grey(rgb: np.ndarray, grey_levels: np.ndarray) -> np.ndarray:
    middles = (grey_levels[1:] + grey_levels[:-1]) / 2
    return np.searchsorted(middles, _lightness(rgb)).astype(np.uint8)


def _scene(height: int, width: int, seed: int = 0) -> np.ndarray:
    """(height, width) uint8: blobs over the whole range, and noise."""
    rng = np.random.default_rng(seed)
    small = Image.fromarray(rng.integers(0, 256, (5, 5), dtype=np.uint8))
    smooth = np.asarray(small.resize((width, height), Image.Resampling.BICUBIC)).astype(int)
    return (smooth + rng.integers(-9, 10, (height, width))).clip(0, 255).astype(np.uint8)


def _colored(rgb: np.ndarray) -> bool:
    return bool((np.abs(rgb2lab(rgb)[..., 1:]).max(-1) > 20).mean() > 0.2)


# --- lightness ---------------------------------------------------------------------------------


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
def test_a_grey_picture_turned_back_to_grey_is_the_same_bytes(
    size: tuple[int, int], net: SimplifiedModel, grey_levels: np.ndarray
) -> None:
    grey = _scene(*size)
    found = colorize_image(grey, net)
    assert found.shape == (*size, 3) and found.dtype == np.uint8
    np.testing.assert_array_equal(_nearest_grey(found, grey_levels), grey)
    assert size != (500, 333) or _colored(found)


def test_every_grey_level_is_kept_whatever_the_color(grey_levels: np.ndarray) -> None:
    """Black, white and all between, under nets of any opinion."""
    ramp = np.tile(np.arange(256, dtype=np.uint8), (32, 1))
    for seed in range(3):
        found = colorize_image(ramp, tiny.vivid_model(seed), size=32)
        np.testing.assert_array_equal(_nearest_grey(found, grey_levels), ramp)
        assert _colored(found)


def test_a_color_picture_keeps_its_lightness_to_half_a_level(net: SimplifiedModel) -> None:
    """What 8 bits can hold: a level of green, the finest of them, is at most 0.5 of L wide."""
    rgb = tiny.patches(4, 50).reshape(2, 80, 40, 3)[0]
    found = colorize_image(rgb, net)
    difference = np.abs(_lightness(found) - _lightness(rgb))
    assert difference.max() < 0.5 and difference.mean() < 0.15
    assert np.abs(found.astype(int) - rgb).mean() > 10


# --- ways to hand over a picture ---------------------------------------------------------------


ARRAYS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "uint8": lambda g: g,
    "uint8 rgb": lambda g: np.repeat(g[..., None], 3, axis=2),
    "uint16": lambda g: g.astype(np.uint16) * 257,
    "float16": lambda g: (g / 255).astype(np.float16),
    "float32": lambda g: (g / 255).astype(np.float32),
    "float rgb": lambda g: np.repeat(g[..., None] / 255, 3, axis=2),
    "opaque rgba": lambda g: np.dstack((g, g, g, np.full_like(g, 255))),
    "opaque uint16 rgba": lambda g: (
        np.dstack((g, g, g, np.full_like(g, 255))).astype("uint16") * 257
    ),
    "fortran": np.asfortranarray,
    "flipped rgb": lambda g: np.repeat(np.ascontiguousarray(g[::-1])[..., None], 3, axis=2)[::-1],
}


@pytest.mark.parametrize("kind", ARRAYS)
def test_every_array_of_the_same_picture(kind: str, net: SimplifiedModel) -> None:
    grey = _scene(24, 31)
    array: Any = ARRAYS[kind](grey)
    before = array.copy()
    expected, found = colorize_image(grey, net), colorize_image(array, net)
    if array.dtype in (np.uint8, np.uint16):
        np.testing.assert_array_equal(found, expected)
    else:
        # A float is a level to its own precision: at best to 1e-7, and float16 to 1/16 of a level.
        difference = np.abs(found.astype(int) - expected)
        assert difference.max() <= (8 if array.dtype == np.float16 else 2)
        assert difference.mean() < (0.1 if array.dtype == np.float16 else 1e-3)
    np.testing.assert_array_equal(array, before)


def test_black_and_white(net: SimplifiedModel) -> None:
    mask = _scene(24, 31) > 127
    expected = colorize_image(mask.astype(np.uint8) * 255, net)
    np.testing.assert_array_equal(colorize_image(mask, net), expected)


def _grey_of(rgb: np.ndarray, top: int) -> np.ndarray:
    """The grey level 0..top, not rounded, that has the luminance of a color; float64."""
    v = rgb / top
    linear = np.where(v > 0.04045, ((v + 0.055) / 1.055) ** 2.4, v / 12.92)
    y = linear @ np.array([0.212671, 0.715160, 0.072169])
    return np.where(y > 0.0031308, 1.055 * y ** (1 / 2.4) - 0.055, 12.92 * y) * top


@pytest.mark.parametrize("kind", ["uint16", "float"])
def test_finer_input_keeps_its_lightness_as_far_as_the_output_holds_it(
    kind: str, net: SimplifiedModel
) -> None:
    fine = np.arange(0, 65536, 7, dtype=np.uint16)[: 96 * 96].reshape(96, 96)
    image: Any = fine if kind == "uint16" else fine / 65535
    eight, sixteen = colorize_image(image, net), colorize_image(image, net, depth=16)
    assert eight.dtype == np.uint8 and sixteen.dtype == np.uint16
    assert np.abs(_grey_of(eight, 255) * 257 - fine).max() <= 257 / 2 + 0.5
    np.testing.assert_array_equal(np.rint(_grey_of(sixteen, 65535)), fine)
    # At the gamut's border 8 bits make up for rounding in blue, which in the dark takes levels.
    assert np.abs(sixteen / 257 - eight).max() < 9 and np.abs(sixteen / 257 - eight).mean() < 0.5
    assert _colored(eight)


def test_transparency_is_laid_over_white(net: SimplifiedModel) -> None:
    grey = _scene(16, 16)
    alpha = np.zeros_like(grey)
    found = colorize_image(np.dstack((grey, grey, grey, alpha)), net)
    np.testing.assert_array_equal(found, colorize_image(np.full((16, 16), 255, np.uint8), net))
    half = np.dstack((grey, grey, grey, np.full_like(grey, 51)))
    mixed = grey / 255 * 0.2 + 0.8
    for pixels in (half, half / 255, half.astype(np.uint16) * 257):
        lightness = _grey_of(colorize_image(pixels, net), 255)
        np.testing.assert_allclose(lightness, mixed * 255, atol=0.51)


@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_paths_and_bytes(suffix: str, net: SimplifiedModel, tmp_path: Path) -> None:
    path = tmp_path / f"ein Foto ä.{suffix}"
    Image.fromarray(_scene(40, 24)).save(path)
    with Image.open(path) as image:
        expected = colorize_image(np.asarray(image.convert("RGB")), net)
    assert expected.shape == (40, 24, 3)
    for way in (path, str(path), path.read_bytes()):
        np.testing.assert_array_equal(colorize_image(way, net), expected)


def test_tensors_lists_and_file_urls(net: SimplifiedModel, tmp_path: Path) -> None:
    rgb = tiny.patches(1, 50)[0]
    path = tmp_path / "a b.png"
    Image.fromarray(rgb).save(path)
    expected = colorize_image(rgb, net)
    tensor = torch.from_numpy(rgb).movedim(-1, 0)
    for way in (tensor, path.as_uri(), rgb.astype(">u2") * 257, np.ma.array(rgb)):
        np.testing.assert_array_equal(colorize_image(way, net), expected)
    halves = (tensor / 255).requires_grad_(), (tensor / 255).bfloat16()
    for way in halves:
        assert np.abs(colorize_image(way, net).astype(int) - expected).mean() < 3
    many = colorize_image([rgb, path, tensor], net)
    assert len(many) == 3 and all(np.array_equal(one, expected) for one in many)
    assert len(predict((rgb, path), net)) == 2
    with pytest.raises(ImageError, match=r"image\[1\]"):
        colorize_image([rgb, tmp_path / "none.png"], net)
    for bad in (tensor[None], tensor.movedim(0, -1)[:, 1:], [[rgb]], "https://example.org/a.png"):
        with pytest.raises(ImageError, match="expected"):
            colorize_image(bad, net)
    with pytest.raises(ImageError, match="mask"):
        colorize_image(np.ma.masked_less(rgb, 99), net)


# --- what the net gets to see ------------------------------------------------------------------


def _seen(net: SimplifiedModel, image: Any, **arguments: Any) -> Tensor:
    """The lightness that the net gets, before padding to its multiple."""
    shapes: list[Tensor] = []
    hook = net.trunk.register_forward_pre_hook(lambda module, given: shapes.append(given[0]))
    try:
        colorize_image(image, net, **{"adapt": False, **arguments})
    finally:
        hook.remove()
    (found,) = shapes
    return found


@pytest.mark.parametrize(
    ("size", "look", "seen"),
    [
        ((64, 96), 32, (32, 48)),
        ((96, 64), 32, (48, 32)),
        ((64, 96), None, (32, 48)),
        ((64, 96), 500, (64, 96)),
        ((1, 1), 32, (8, 8)),
        ((40, 4000), 8, (8, 800)),
    ],
)
def test_the_net_looks_at_the_size_asked_for(
    size: tuple[int, int], look: int | None, seen: tuple[int, int], net: SimplifiedModel
) -> None:
    found = _seen(net, np.full(size, 128, np.uint8), size=look)
    assert found.shape == (1, 1, *seen)


def test_only_the_lightness_is_looked_at(net: SimplifiedModel) -> None:
    rgb = tiny.patches(1, 50)[0][:32, :32]
    seen = _seen(net, rgb)[0, 0].numpy()
    np.testing.assert_allclose(seen * 100 + 50, _lightness(rgb), atol=1e-3)


def test_a_picture_is_reduced_without_aliasing(net: SimplifiedModel) -> None:
    """Of stripes that are white for 2 pixels in 8, a quarter of white is left from afar; to pick
    the pixels in the middle would leave white.
    """
    stripes = np.where(np.isin(np.arange(256) % 8, (3, 4)), 255, 0).astype(np.uint8)
    found = _seen(net, np.tile(stripes, (256, 1)), size=32)
    expected = torch.full_like(found, (25 - 50) / 100)
    torch.testing.assert_close(found[..., 2:-2], expected[..., 2:-2], rtol=0, atol=0.1)


def test_temperature(net: SimplifiedModel, grey_levels: np.ndarray) -> None:
    image = _scene(32, 32)

    def chroma(temperature: float | None) -> float:
        lab = rgb2lab(colorize_image(image, net, temperature=temperature))
        return float(np.hypot(lab[..., 1], lab[..., 2]).mean())

    found = [chroma(t) for t in (1.0, 0.38, 0.0)]
    assert found == sorted(found) and found[0] < found[-1]
    assert chroma(None) == chroma(0.38)
    with pytest.raises(InputError, match="temperature"):
        chroma(-1.0)
    with pytest.raises(InputError, match="no distribution"):
        colorize_image(image, EuclideanModel(width=0.02), temperature=0.5)


@pytest.mark.parametrize("training", [True, False])
def test_the_model_is_left_as_it_was(training: bool) -> None:
    net = tiny.vivid_model().train(training)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    random = torch.get_rng_state()
    image = _scene(16, 24)
    found = colorize_image(image, net)
    tiny.assert_same_bits(net.state_dict(), before)
    assert torch.equal(torch.get_rng_state(), random)
    np.testing.assert_array_equal(found, colorize_image(image, net.eval()))
    net.train(training)
    colorize_image(image, net)
    assert net.training == training


# --- color -------------------------------------------------------------------------------------


def _ab(rgb: np.ndarray) -> np.ndarray:
    return rgb2lab(rgb)[..., 1:]


def test_saturation_scales_color(grey_levels: np.ndarray) -> None:
    net = tiny.model().eval()
    with torch.no_grad():
        net.head.weight.mul_(20)
    image = _scene(40, 60).clip(90, 160)
    plain = _ab(colorize_image(image, net, depth=16))
    assert 1 < np.abs(plain).mean() < 20
    for factor in (0.5, 2.0):
        found = _ab(colorize_image(image, net, saturation=factor, depth=16))
        np.testing.assert_allclose(found, plain * factor, atol=0.1)
    grey = colorize_image(image, net, saturation=0)
    np.testing.assert_array_equal(grey, np.repeat(image[..., None], 3, axis=2))
    strongest = _ab(colorize_image(image, net, saturation=1e300))
    assert np.abs(strongest).mean() > 20
    for bad in (-0.1, float("nan"), float("inf")):
        with pytest.raises(InputError, match="saturation"):
            colorize_image(image, net, saturation=bad)


@pytest.mark.parametrize("size", [(70, 90), (33, 200), (9, 9)])
def test_color_lies_where_the_net_saw_its_cause(size: tuple[int, int]) -> None:
    """Also where the net's input is padded: a net whose color is its lightness, at every place."""
    net = _Echo()
    ramp = np.linspace(40, 200, size[1]).astype(np.uint8)
    image = np.tile(ramp, (size[0], 1))
    for upsampling in METHODS:
        found = rgb2lab(colorize_image(image, net, size=24, upsampling=upsampling, depth=16))
        across = found[..., 1:].mean(0) + (found[..., :1].mean(0) - 50) / 5
        # Columns near the border see the mean of a cell that ends there.
        inside = slice(size[1] // 4, -(size[1] // 4))
        assert np.abs(across[inside]).max() < 1.5


class _Echo(Colorizer):
    """ab is a fifth of what L is below 50: color whose place is known."""

    size_divisor = 32

    def __init__(self) -> None:
        super().__init__()
        self.output = RegressionHead()
        self.config = {}

    def forward(self, L: Tensor) -> ModelOutput:
        """At a quarter of the size."""
        return ModelOutput(F.avg_pool2d((50 - L) / 5 / 110, 4).expand(-1, 2, -1, -1), None)


@pytest.mark.parametrize(
    "pixels", [_scene(61, 40), np.dstack([_scene(61, 40, s) for s in (1, 2, 3)])]
)
def test_bands_make_no_difference(
    pixels: np.ndarray, net: SimplifiedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments: list[dict[str, Any]] = [{}, {"upsampling": "bilinear"}, {"samples": 1}]
    whole = [colorize_image(pixels, net, **given) for given in arguments]
    sure = uncertainty(pixels, net)
    monkeypatch.setattr(image, "_BAND_PIXELS", 250)
    for given, expected in zip(arguments, whole, strict=True):
        found = colorize_image(pixels, net, **given)
        # The mean over areas is summed in another order, which decides some roundings.
        difference = np.abs(np.asarray(found).astype(int) - np.asarray(expected))
        assert difference.max() <= 2 and difference.mean() < 0.01
    np.testing.assert_allclose(uncertainty(pixels, net), sure, atol=1e-3)


def test_only_bands_are_worked_on(net: SimplifiedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []

    def watch(module: Any, name: str) -> None:
        inner = getattr(module, name)
        monkeypatch.setattr(
            module, name, lambda x, *a, **k: (seen.append(x[:, 0].numel()), inner(x, *a, **k))[1]
        )

    watch(image, "rgb_to_L")
    watch(prediction, "join_lightness")
    colorize_image(np.full((1500, 1000), 90, np.uint8), net, adapt=False)
    # Lightness twice and color once: every pixel, and never more than a band at a time.
    assert sum(seen) == 3 * 1_500_000 and max(seen) <= 2**18


# --- several answers ---------------------------------------------------------------------------


def test_samples(grey_levels: np.ndarray) -> None:
    net = tiny.model().eval()
    image = _scene(40, 56)
    found = colorize_image(image, net, samples=3)
    assert found.shape == (3, 40, 56, 3) and found.dtype == np.uint8
    for one in found:
        np.testing.assert_array_equal(_nearest_grey(one, grey_levels), image)
    assert not np.array_equal(found[0], found[1])
    again = colorize_image(image, net, samples=3)
    other = colorize_image(image, net, samples=3, seed=1)
    assert np.array_equal(found, again) and not np.array_equal(found, other)
    assert len(colorize_image(image, net, samples=1)) == 1
    assert (predict(image, net).colorize(samples=3, sample=1) == found[1]).all()
    with pytest.raises(InputError, match="sample: "):
        predict(image, net).colorize(samples=3, sample=3)


def test_models_without_a_distribution() -> None:
    net, image = EuclideanModel(width=0.02).eval(), _scene(16, 16)
    with pytest.raises(InputError, match="samples"):
        colorize_image(image, net, samples=2)
    with pytest.raises(InputError, match="uncertainty"):
        uncertainty(image, net)
    with pytest.raises(InputError, match="ClassificationOnlyModel"):
        colorize_image(image, ClassificationOnlyModel(3, width=0.1))


def test_uncertainty() -> None:
    net = tiny.model().eval()
    image = _scene(50, 70)
    found = uncertainty(image, net, size=32)
    for again in uncertainty([image, image], net, size=32):
        np.testing.assert_array_equal(again, found)
    bins = len(net.output.bin_centers)
    assert found.shape == (50, 70) and found.dtype == np.float32
    assert found.min() >= 0 and found.max() <= np.log(bins) + 1e-4
    with torch.no_grad():
        net.head.weight.zero_()
        net.head.bias.zero_()
        np.testing.assert_allclose(uncertainty(image, net), np.log(bins), atol=1e-4)
        net.head.bias[7] = 100
        np.testing.assert_allclose(uncertainty(image, net), 0, atol=1e-4)


# --- one prediction, many colorings ------------------------------------------------------------


def test_the_net_runs_once_for_many_colorings(net: SimplifiedModel) -> None:
    runs: list[object] = []
    hook = net.trunk.register_forward_hook(lambda *_: runs.append(None))
    pixels = _scene(48, 64)
    hints = [(5, 5, (200, 30, 30))]
    predicted = predict(pixels, net, size=32)
    options: list[dict[str, Any]] = [
        {},
        {"temperature": 1.0, "saturation": 0.5},
        {"hints": hints, "depth": 16},
        {"samples": 2, "seed": 3, "upsampling": "bilinear"},
    ]
    colored = [predicted.colorize(**given) for given in options]
    entropy = predicted.uncertainty()
    assert len(runs) == 1
    hook.remove()
    for given, found in zip(options, colored, strict=True):
        np.testing.assert_array_equal(found, colorize_image(pixels, net, size=32, **given))
    np.testing.assert_array_equal(entropy, uncertainty(pixels, net, size=32))


def test_the_distribution_at_a_pixel_is_what_its_color_comes_from(net: SimplifiedModel) -> None:
    predicted = predict(np.full((32, 48), 140, np.uint8), net, adapt=False)
    bin_centers, probabilities = predicted.distribution_at(24, 16)
    assert probabilities.sum() == pytest.approx(1, abs=1e-5)
    expected = _ab(predicted.colorize(temperature=1.0, depth=16))[16, 24]
    np.testing.assert_allclose(probabilities @ bin_centers, expected, atol=2)
    for x, y in ((48, 0), (0, -1), ("left", 0), (0, 10**400)):
        with pytest.raises(InputError, match=r"^distribution_at: .*x in"):
            predicted.distribution_at(x, y)


def test_a_prediction_is_saved_as_it_is_colored(net: SimplifiedModel, tmp_path: Path) -> None:
    source = tmp_path / "photo.png"
    Image.fromarray(_scene(40, 24)).save(source, dpi=(300, 300))
    for given in (source, _scene(40, 24)):
        predicted = predict(given, net)
        predicted.save(tmp_path / "out.png", saturation=0.5)
        with Image.open(tmp_path / "out.png") as saved:
            np.testing.assert_array_equal(np.asarray(saved), predicted.colorize(saturation=0.5))
    with pytest.raises(InputError, match="the image's own"):
        predict(source, net).save(source)
    for path, settings in (("a.xyz", {}), ("a.png", {"samples": 2}), ("a.jpg", {"depth": 16})):
        with pytest.raises(InputError):
            predicted.save(tmp_path / path, **settings)
        assert not (tmp_path / path).exists()
    for wrong in (None, 3, "a\0.png"):
        with pytest.raises(InputError, match="path: expected a path"):
            predicted.save(wrong)  # type: ignore[arg-type]


def test_outside_of_the_mask_the_image_keeps_its_color(net: SimplifiedModel) -> None:
    rgb = tiny.patches(1, 50)[0]
    mask = np.zeros(rgb.shape[:2], bool)
    mask[:, 20:] = True
    for depth, own in ((8, rgb), (16, rgb.astype(np.uint16) * 257)):
        whole = colorize_image(own, net, samples=2, depth=depth)
        found = colorize_image(own, net, samples=2, depth=depth, mask=mask)
        np.testing.assert_array_equal(found, np.where(mask[..., None], whole, own))
    on_another_device = torch.from_numpy(mask).to("meta")
    for bad in (mask.astype(np.uint8), mask[1:], "mask", on_another_device, [[True], []]):
        with pytest.raises(InputError, match="mask"):
            colorize_image(rgb, net, mask=bad)


BAD_ARGUMENTS: list[dict[str, Any]] = [
    *({"size": value} for value in (0, -5, "256", 64.0, True)),
    *({"samples": value} for value in (0, 2.0, "2")),
    *({"saturation": value} for value in (None, "1", -1)),
    *({"temperature": value} for value in ("0.4", -1.0, 10**400)),
    *({"seed": value} for value in (2**70, -1, 1.5)),
    *({"depth": value} for value in (None, np.array([8, 16]))),
    *({"upsampling": value} for value in (None, np.array(["bilinear", "bilateral"]))),
    *({"hints": value} for value in (5, np.zeros((2, 5)), (3, 4, (255, 0, 0)))),
]


@pytest.mark.parametrize("argument", BAD_ARGUMENTS, ids=str)
def test_arguments_that_mean_nothing(argument: dict[str, Any], net: SimplifiedModel) -> None:
    (name,) = argument
    functions = (predict, colorize_image, uncertainty, classify_image)
    for function in functions if name == "size" else (colorize_image,):
        with pytest.raises(InputError, match=name):
            function(_scene(8, 8), net, **argument)


def test_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    for cuda, mps, expected in ((True, True, "cuda"), (False, True, "mps"), (False, False, "cpu")):
        monkeypatch.setattr(torch.cuda, "is_available", lambda here=cuda: here)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda here=mps: here)
        assert find_device().type == expected
    assert find_device("cpu").type == "cpu"
    with pytest.raises(InputError, match="device"):
        find_device("abacus")


# --- hints -------------------------------------------------------------------------------------


def _two_halves(width: int = 160) -> np.ndarray:
    """Dark on the left, light on the right."""
    image = np.full((100, width), 60, np.uint8)
    image[:, width // 2 :] = 190
    return image


def test_a_hint_colors_its_side_of_an_edge(grey_levels: np.ndarray) -> None:
    net = tiny.model().eval()
    image = _two_halves()
    plain = colorize_image(image, net, size=64)
    red = rgb2lab(np.array([[[160, 30, 30]]], np.uint8))[0, 0, 1:]
    found = colorize_image(image, net, size=64, hints=[(30, 50, (160, 30, 30))])
    np.testing.assert_array_equal(_nearest_grey(found, grey_levels), image)
    off = np.linalg.norm(_ab(found) - red, axis=-1)
    # Red that strong is beyond the gamut at this lightness.
    assert off[50, 30] < 15 and off[:, :75].mean() < 20
    changed = np.linalg.norm(_ab(found) - _ab(plain), axis=-1)
    assert changed[:, :75].min() > 15 and changed[:, 85:].max() < 3
    assert np.array_equal(colorize_image(image, net, size=64, hints=[]), plain)
    grey = colorize_image(image, net, size=64, hints=[(30, 50, (160, 30, 30))], saturation=0)
    assert np.linalg.norm(_ab(grey)[50, 30] - _ab(found)[50, 30]) < 2
    assert np.abs(_ab(grey)[:, 85:]).max() < 3


def test_hints_go_through_a_net_that_takes_them(monkeypatch: pytest.MonkeyPatch) -> None:
    net = SIGGRAPH17Model().eval()
    inner, seen = net.predict_ab, []
    monkeypatch.setattr(
        net, "predict_ab", lambda L, **given: (seen.append(given), inner(L, **given))[1]
    )
    image = _scene(80, 64)
    plain = colorize_image(image, net, size=32)
    assert not seen
    found = colorize_image(image, net, size=32, hints=[(40, 20, (200, 40, 30))])
    (given,) = seen
    mask = torch.zeros(40, 32)
    mask[9:12, 19:22] = 1
    assert torch.equal(given["hints_mask"][0, 0], mask)
    lab = rgb2lab(np.array([[[200, 40, 30]]], np.uint8))[0, 0]
    np.testing.assert_allclose(given["hints_ab"][0, :, 10, 20].numpy(), lab[1:], atol=1e-3)
    assert found.shape == (80, 64, 3) and not np.array_equal(found, plain)
    with pytest.raises(InputError, match="samples"):
        colorize_image(image, net, samples=2, hints=[(1, 1, (1, 2, 3))])


# --- classes -----------------------------------------------------------------------------------


@pytest.mark.parametrize("names", [["Apple", "Banana", "Cherry"], None])
def test_classes_are_those_of_the_net(names: list[str] | None) -> None:
    net = JointModel(3, class_names=names, width=0.125).train()
    net.input_size = 64
    rgb = skimage.data.astronaut()[:64, :80]
    found = classify_image(rgb, net)
    assert net.training and classify_image([rgb], net) == [found]
    L = rgb_to_lab(torch.from_numpy(rgb.copy()).movedim(-1, 0)[None])[:, :1]
    with torch.no_grad():
        expected = net.eval()(L).classes.softmax(1)[0]
    for name, probability in found:
        number = names.index(name) if names else int(name)
        assert probability == pytest.approx(float(expected[number]), abs=1e-5)
    shares = [share for _, share in found]
    assert len(found) == 3 and shares == sorted(shares, reverse=True)


def test_models_that_cannot_classify() -> None:
    with pytest.raises(InputError, match="classifies"):
        classify_image(_scene(32, 32), tiny.model())
    with pytest.raises(InputError, match="sees"):
        classify_image(_scene(32, 32), ClassificationOnlyModel(2, in_channels=3, width=0.125))


# --- models ------------------------------------------------------------------------------------


def test_a_model_by_name_and_by_path(home: Path) -> None:
    net = tiny.vivid_model(3)
    net.input_size = 24
    image = _scene(40, 40)
    expected = colorize_image(image, net)
    path = save_checkpoint(net, home / "CHECKPOINTS" / "vivid.safetensors")
    for way in ("vivid", path, str(path)):
        np.testing.assert_array_equal(colorize_image(image, way), expected)
    save_checkpoint(net, home / "CHECKPOINTS" / f"{DEFAULT_MODEL}.safetensors")
    np.testing.assert_array_equal(colorize_image(image), expected)
    with pytest.raises(CheckpointError, match="dull"):
        colorize_image(image, "dull")


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("kind", ["simplified", "unet"])
def test_a_model_of_half_precision(kind: str, dtype: torch.dtype) -> None:
    net = tiny.model() if kind == "simplified" else UNetModel(decoder=(16, 16, 16, 16))
    image = skimage.data.astronaut()[:96, 100:200]
    expected = colorize_image(image, net.eval(), size=64)
    found = colorize_image(image, net.to(dtype), size=64)
    assert np.abs(found.astype(int) - expected).mean() < 3
    assert uncertainty(image, net).dtype == np.float32


def test_a_model_that_is_wrapped(net: SimplifiedModel) -> None:
    image = _scene(40, 40)
    expected = colorize_image(image, net)
    for wrapped in (torch.compile(net, backend="eager"), torch.nn.DataParallel(net)):
        np.testing.assert_array_equal(colorize_image(image, wrapped), expected)
    with pytest.raises(InputError, match="Colorizer"):
        colorize_image(image, torch.nn.Conv2d(1, 2, 3))


def test_a_model_on_the_meta_device_is_named() -> None:
    with torch.device("meta"):
        built = SimplifiedModel(width=0.02)
    for net in (built, tiny.model().to("meta")):
        for use in (predict, colorize_image, uncertainty, sheet):
            with pytest.raises(InputError, match="meta device"):
                use(_scene(16, 16), net)
        with pytest.raises(InputError, match="meta device"):
            net.loss({"rgb": torch.zeros(1, 3, 16, 16)})


def test_a_class_of_ones_own_that_lacks_something_is_named() -> None:
    class Own(Colorizer):
        def forward(self, L: Tensor) -> Any:
            return L.expand(-1, 2, -1, -1)

    with pytest.raises(InputError, match="Own to set its output"):
        colorize_image(_scene(16, 16), Own())
    net = Own()
    net.output = RegressionHead()
    with pytest.raises(InputError, match=r"Own\.forward: expected a ModelOutput"):
        colorize_image(_scene(16, 16), net)


def test_damaged_weights_are_named() -> None:
    net = tiny.model().eval()
    with torch.no_grad():
        net.head.bias[3] = float("nan")
    with pytest.raises(InputError, match="NaN"):
        colorize_image(_scene(16, 16), net)


# --- what is no picture ------------------------------------------------------------------------


BAD_ARRAYS: dict[str, Any] = {
    "one dimension": np.zeros(5, np.uint8),
    "two channels": np.zeros((4, 4, 2), np.uint8),
    "channels first": np.zeros((3, 40, 50), np.uint8),
    "batch": np.zeros((1, 4, 4, 3), np.uint8),
    "empty": np.zeros((0, 4), np.uint8),
    "int64": np.zeros((4, 4), np.int64),
    "complex": np.zeros((4, 4), complex),
    "floats to 255": np.full((4, 4), 255.0),
    "negative floats": np.full((4, 4), -0.1),
    "some nan": np.array([[0.5, np.nan]]),
}


@pytest.mark.parametrize("kind", BAD_ARRAYS)
def test_arrays_that_are_no_pictures(kind: str, net: SimplifiedModel) -> None:
    with pytest.raises(ImageError, match="array: expected"):
        colorize_image(BAD_ARRAYS[kind], net)


def test_files_that_are_no_pictures(net: SimplifiedModel, tmp_path: Path) -> None:
    file = io.BytesIO()
    Image.fromarray(_scene(64, 64)).save(file, "PNG")
    cut = tmp_path / "cut.png"
    cut.write_bytes(file.getvalue()[:-800])
    text = tmp_path / "text.jpg"
    text.write_text("no picture", encoding="utf-8")
    for path in (cut, text, tmp_path / "none.png", tmp_path):
        with pytest.raises(ImageError, match=path.name):
            colorize_image(path, net)
    with cut.open("rb") as closed:
        pass
    for other in (b"", b"no picture", None, 5, [[1, 2]], closed):
        with pytest.raises(ImageError, match="expected"):
            colorize_image(other, net)  # type: ignore[arg-type]
