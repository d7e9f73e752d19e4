"""Each effect against a closed form or scipy, by an aging that has only that one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy import ndimage, stats
from torch import Tensor

from colorize.data.transforms import Aging, age_lightness, paint_grey
from colorize.errors import InputError

NEVER = (0.0, 1.0, 1.0)
NONE = dict.fromkeys(("gamma", "contrast", "brightness", "blur", "grain"), NEVER)


def only(**effects: Any) -> Aging:
    return Aging(**{**NONE, **effects})


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module", name="L")
def smooth_pictures() -> Tensor:
    """Four smooth pictures with all lightnesses, (4, 1, 24, 40)."""
    coarse = torch.rand(4, 1, 6, 10, generator=generator(5)) * 100
    fine = torch.nn.functional.interpolate(coarse, (24, 40), mode="bilinear")
    fine[:, :, 0, 0], fine[:, :, 0, 1] = 0, 100
    return fine


def test_same_generator_same_aging(L: Tensor) -> None:
    state = torch.get_rng_state()
    before = L.clone()
    many = L.repeat(16, 1, 1, 1)
    first = age_lightness(many, generator(3))
    assert torch.equal(age_lightness(many, generator(3)), first)
    assert not torch.equal(age_lightness(many, generator(4)), first)
    advancing = generator(3)
    assert torch.equal(age_lightness(many, advancing), first)
    assert not torch.equal(age_lightness(many, advancing), first)
    assert torch.equal(torch.get_rng_state(), state) and torch.equal(L, before)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_type_shape_and_range_are_kept(L: Tensor, dtype: torch.dtype) -> None:
    many = torch.cat((L.repeat(60, 1, 1, 1), torch.zeros_like(L), torch.full_like(L, 100)))
    aged = age_lightness(many.to(dtype), generator())
    assert aged.dtype == dtype and aged.shape == many.shape
    assert float(aged.min()) == 0 and float(aged.max()) == 100
    reference = age_lightness(many.double(), generator())
    tolerance = {torch.float32: 1e-3, torch.float64: 0, torch.bfloat16: 0.8}
    torch.testing.assert_close(aged.double(), reference, atol=tolerance[dtype], rtol=0)
    outside = age_lightness(many + 50, generator(), only())
    assert torch.equal(outside, (many + 50).clamp(0, 100))


@pytest.mark.parametrize("effect", sorted(NONE))
def test_each_effect_has_its_share(L: Tensor, effect: str) -> None:
    strengths = {"contrast": (0.5, 0.6), "brightness": (5, 6), "gamma": (0.5, 0.6)}
    low, high = strengths.get(effect, (1.0, 2.0))
    for share in (0.0, 0.3, 1.0):
        many = L[:1].repeat(1000, 1, 1, 1)
        aged = age_lightness(many, generator(), only(**{effect: (share, low, high)}))
        touched = (aged != many).flatten(1).any(1).double().mean()
        assert abs(touched - share) <= 4 * (share * (1 - share) / 1000) ** 0.5


def strengths(aged: Tensor) -> np.ndarray:
    return aged.flatten().double().numpy()


def uniform(values: np.ndarray, low: float, high: float) -> bool:
    return stats.kstest(values, stats.uniform(low, high - low).cdf).pvalue > 1e-3


def test_strengths_are_uniform_and_drawn_for_themselves() -> None:
    """On constant images each effect's strength can be read off the result."""
    defaults = Aging()
    n = 2000
    flat = torch.full((n, 1, 1, 1), 25.0, dtype=torch.float64)
    effects = {
        "gamma": lambda v: np.log(v / 100) / np.log(0.25),
        "contrast": lambda v: (50 - v) / 25,
        "brightness": lambda v: v - 25,
    }
    found = []
    for name, invert in effects.items():
        _, low, high = getattr(defaults, name)
        aged = age_lightness(flat, generator(), only(**{name: (1.0, low, high)}))
        found.append(invert(strengths(aged)))
        assert uniform(found[-1], low, high), name
    assert np.abs(np.corrcoef(found) - np.eye(3)).max() < 0.1


def test_effects_come_in_the_order_that_is_documented() -> None:
    flat = torch.full((1, 1, 1, 1), 25.0, dtype=torch.float64)
    aging = only(gamma=(1.0, 0.5, 0.5), contrast=(1.0, 0.6, 0.6), brightness=(1.0, 8.0, 8.0))
    # 25 -> 50 by the gamma, 50 by the contrast, 58.
    assert float(age_lightness(flat, generator(), aging)) == pytest.approx(58)
    aging = only(contrast=(1.0, 0.6, 0.6), brightness=(1.0, -20.0, -20.0))
    assert float(age_lightness(flat, generator(), aging)) == pytest.approx(15)


@pytest.mark.parametrize("sigma", [0.4, 1.0, 1.6])
def test_blur_is_scipys_gaussian(L: Tensor, sigma: float) -> None:
    aged = age_lightness(L.double(), generator(), only(blur=(1.0, sigma, sigma)))
    radius = int(np.ceil(3 * sigma))
    for before, after in zip(L[:, 0].double().numpy(), aged[:, 0].numpy(), strict=True):
        expected = ndimage.gaussian_filter(before, sigma, mode="nearest", radius=radius)
        np.testing.assert_allclose(after, expected, atol=1e-4)
        assert after.var() < before.var()


def test_blur_keeps_the_mean_and_differs_by_image() -> None:
    dots = torch.zeros(200, 1, 31, 31, dtype=torch.float64)
    dots[:, :, 15, 15] = 100
    aged = age_lightness(dots, generator(), only(blur=(1.0, 0.4, 1.6)))
    np.testing.assert_allclose(aged.sum((1, 2, 3)), 100, rtol=1e-6)
    # Along one direction, a dot's neighbor has exp(-1 / 2 sigma^2) of what the dot has.
    profile = aged.sum((1, 2))
    sigma = (-0.5 / (profile[:, 16] / profile[:, 15]).log()).sqrt().numpy()
    assert uniform(sigma, 0.4, 1.6) and 0.4 <= sigma.min() < 0.45 and 1.55 < sigma.max() <= 1.6


def test_images_smaller_than_the_kernel(L: Tensor) -> None:
    tiny = L[:, :, :1, :2].double()
    aged = age_lightness(tiny, generator(), only(blur=(1.0, 1.6, 1.6), grain=(1.0, 1.0, 1.0)))
    assert aged.shape == tiny.shape and torch.isfinite(aged).all()
    assert age_lightness(L[:0], generator()).shape == (0, 1, 24, 40)


@pytest.mark.parametrize("size", [0.0, 0.5, 1.0])
def test_grain_has_its_strength_and_size(size: float) -> None:
    flat = torch.full((40, 1, 64, 64), 50.0, dtype=torch.float64)
    aging = only(grain=(1.0, 3.0, 3.0))
    aging = Aging(**{**vars(aging), "grain_size": (size, size)})
    noise = (age_lightness(flat, generator(), aging) - 50)[:, 0].numpy()
    assert abs(noise.mean()) < 0.1
    # Also at the edges it is as strong as inside.
    for part in (noise, noise[:, 0], noise[:, :, -1], noise[:, 30:34, 30:34]):
        assert part.std() == pytest.approx(3, rel=0.06)
    assert abs(stats.kurtosis(noise.ravel())) < 0.1
    # The correlation of neighbors in white noise that a sampled Gaussian has smoothed.
    weights = np.exp(-0.5 * (np.arange(-9, 10) / max(size, 0.01)) ** 2)
    expected = (weights[1:] * weights[:-1]).sum() / (weights**2).sum()
    for axis in (1, 2):
        one, other = np.delete(noise, 0, axis).ravel(), np.delete(noise, -1, axis).ravel()
        assert np.corrcoef(one, other)[0, 1] == pytest.approx(expected, abs=0.02)
    assert abs(np.corrcoef(noise[0].ravel(), noise[1].ravel())[0, 1]) < 0.1


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"gamma": (1.1, 0.5, 1.0)}, r"^gamma:"),
        ({"blur": (0.5, 2.0, 1.0)}, r"^blur:"),
        ({"contrast": (0.5, float("nan"), 1.0)}, r"^contrast:"),
        ({"brightness": (0.5, -101.0, 1.0)}, r"^brightness:"),
    ],
)
def test_aging_out_of_range(wrong: dict[str, Any], text: str) -> None:
    with pytest.raises(InputError, match=text):
        Aging(**wrong)
    with pytest.raises(InputError, match=r"^L:"):
        age_lightness(torch.zeros(1, 3, 8, 8), generator())


def test_a_share_of_the_images_is_aged(L: Tensor) -> None:
    many = L.repeat(250, 1, 1, 1)
    every = age_lightness(many, generator(1))
    some = age_lightness(many, generator(1), share=0.3)
    kept = (some == many).flatten(1).all(1)
    assert torch.equal(some[~kept], every[~kept])
    untouched = float((every == many).flatten(1).all(1).float().mean())
    assert float((~kept).float().mean()) == pytest.approx(0.3 * (1 - untouched), abs=0.06)


def test_fields_and_margins_are_grey_and_the_rest_stays() -> None:
    rgb = torch.randint(0, 256, (700, 3, 24, 32), dtype=torch.uint8, generator=generator())
    rgb[:, 0] = 255 - rgb[:, 1]  # no pixel is grey
    painted = paint_grey(rgb, generator(2), 0.5)
    assert torch.equal(painted, paint_grey(rgb, generator(2), 0.5))
    changed = (painted != rgb).any(1)
    grey = (painted[:, 0] == painted[:, 1]) & (painted[:, 1] == painted[:, 2])
    assert torch.equal(changed, grey)
    fields = grey.flatten(1).all(1)
    margins = grey.flatten(1).any(1) & ~fields
    # Of a margin with four sides, one in a hundred has none.
    assert float(fields.float().mean()) == pytest.approx(0.5 * 2 / 7, abs=0.05)
    assert float(margins.float().mean()) == pytest.approx(0.5 * 5 / 7, abs=0.06)
    assert not grey[margins][:, 6:18, 8:24].any()
    shades = painted[fields][:, 0].float()
    assert shades.mean((1, 2)).std() > 50 and shades.std((1, 2)).max() > 5
