"""Metrics against scikit-image, numpy in float64 and closed forms, one image at a time."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from sklearn.metrics import auc as trapezoid
from torch import Tensor

from colorize.color.bins import published_bin_centers
from colorize.color.lab import rgb_to_lab
from colorize.errors import InputError
from colorize.evaluation import metrics as m

Pair = tuple[Tensor, Tensor]
PAIRS = {"rmse_rgb": m.rmse_rgb, "psnr": m.psnr, "ssim": m.ssim}


@pytest.fixture(scope="module")
def pair(photo: Tensor) -> Pair:
    """Five crops of a photograph, (5, 3, 40, 56) uint8, and what five kinds of damage make of them.

    The last is nearly white and nearly right: the case in which float32 is hardest put to it.
    """
    crops = [photo[0, :, 60 * i : 60 * i + 40, 90 * i : 90 * i + 56] for i in range(4)]
    truth = torch.stack([*crops, 250 + crops[3] // 52]).float()
    noise = torch.from_numpy(np.random.default_rng(0).normal(0, 1, truth.shape)).float()
    predicted = truth.clone()
    predicted[0] += 25 * noise[0]
    predicted[1] = truth[1].roll(3, 2)
    predicted[2] = truth[2].mean(0, keepdim=True)
    predicted[3] = 255 - truth[3]
    predicted[4] += noise[4]
    return predicted.round().clamp(0, 255).to(torch.uint8), truth.to(torch.uint8)


def _image(batch: Tensor, i: int) -> np.ndarray:
    return batch[i].movedim(0, -1).numpy()


def _reference_ssim(predicted: np.ndarray, truth: np.ndarray) -> float:
    return structural_similarity(
        predicted,
        truth,
        channel_axis=-1,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        data_range=255,
    )


def _reference_rmse(predicted: np.ndarray, truth: np.ndarray) -> float:
    return float(np.sqrt(np.mean((predicted.astype(np.float64) - truth.astype(np.float64)) ** 2)))


def _reference_colorfulness(image: np.ndarray) -> float:
    """Hasler and Süsstrunk 2003, equations 10 to 12 and section 6, word for word."""
    R, G, B = image.astype(np.float64).transpose(2, 0, 1)
    rg = R - G
    yb = 0.5 * (R + G) - B
    sigma_rgyb = np.sqrt(np.std(rg) ** 2 + np.std(yb) ** 2)
    mu_rgyb = np.sqrt(np.mean(rg) ** 2 + np.mean(yb) ** 2)
    return float(sigma_rgyb + 0.3 * mu_rgyb)


def _psnr(predicted: np.ndarray, truth: np.ndarray) -> float:
    return float(peak_signal_noise_ratio(truth, predicted, data_range=255))


REFERENCES: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "rmse_rgb": _reference_rmse,
    "psnr": _psnr,
    "ssim": _reference_ssim,
}


# float32 holds the squares of 255 to 0.004, and SSIM divides by constants of 6.5 and 58.5: 4e-4 in
# the nearly white image, 1e-5 elsewhere. A wrong window, border or data range costs 1e-2 and more.
@pytest.mark.parametrize(
    ("name", "tolerance"), [("rmse_rgb", 1e-4), ("psnr", 1e-4), ("ssim", 5e-4)]
)
def test_pairs_agree_with_skimage_image_by_image(name: str, tolerance: float, pair: Pair) -> None:
    predicted, truth = pair
    found = PAIRS[name](predicted, truth)
    assert found.shape == (5,)
    expected = [REFERENCES[name](_image(predicted, i), _image(truth, i)) for i in range(5)]
    np.testing.assert_allclose(found.numpy(), expected, rtol=0, atol=tolerance)
    # Bytes and floats in 0..1 are one thing; floats in 0..255 are refused, not measured wrongly.
    floats = PAIRS[name](predicted / 255, truth / 255)
    torch.testing.assert_close(floats, found, rtol=1e-3, atol=1e-3)
    with pytest.raises(InputError, match="predicted"):
        PAIRS[name](predicted.float(), truth.float())


@pytest.mark.parametrize(("width", "height"), [(11, 11), (11, 40), (17, 12)])
def test_ssim_of_images_hardly_larger_than_its_window(width: int, height: int) -> None:
    rng = np.random.default_rng(1)
    truth = rng.integers(0, 256, (height, width, 3)).astype(np.uint8)
    predicted = np.clip(truth + rng.normal(0, 30, truth.shape), 0, 255).astype(np.uint8)
    batch = [torch.from_numpy(x).movedim(-1, 0)[None] for x in (predicted, truth)]
    assert float(m.ssim(*batch)) == pytest.approx(_reference_ssim(predicted, truth), abs=5e-4)


def test_ssim_of_an_image_smaller_than_its_window_is_refused_and_not_nan() -> None:
    small = torch.randint(0, 256, (1, 3, 8, 8), dtype=torch.uint8)
    with pytest.raises(InputError, match="11"):
        m.ssim(small, small)


def test_equal_images(pair: Pair) -> None:
    truth = pair[1]
    assert m.psnr(truth, truth).tolist() == [float("inf")] * 5
    assert m.rmse_rgb(truth, truth).tolist() == [0] * 5
    torch.testing.assert_close(m.ssim(truth, truth), torch.ones(5), rtol=0, atol=5e-4)


def test_rmse_ab_in_closed_form_and_against_float64() -> None:
    ab = torch.rand(3, 2, 6, 9) * 200 - 100
    shifted = ab + torch.tensor([3.0, -4.0]).view(1, 2, 1, 1)
    torch.testing.assert_close(m.rmse_ab(shifted, ab), torch.full((3,), 12.5**0.5))
    other = torch.rand(3, 2, 6, 9) * 200 - 100
    expected = [_reference_rmse(other[i].numpy(), ab[i].numpy()) for i in range(3)]
    np.testing.assert_allclose(m.rmse_ab(other, ab).numpy(), expected, rtol=1e-6)


def test_bytes_do_not_wrap_around() -> None:
    black, white = (torch.full((1, 3, 16, 16), v, dtype=torch.uint8) for v in (0, 255))
    assert m.rmse_rgb(black, white).item() == m.rmse_rgb(white, black).item() == 255
    assert m.psnr(black, white).item() == pytest.approx(0)
    rg = torch.zeros(1, 3, 4, 4, dtype=torch.uint8)
    rg[:, 1] = 255
    assert m.colorfulness(rg).item() == pytest.approx(0.3 * (255**2 + 127.5**2) ** 0.5)


def test_colorfulness_agrees_with_the_formula_in_float64(pair: Pair) -> None:
    predicted, truth = ([_reference_colorfulness(_image(x, i)) for i in range(5)] for x in pair)
    for batch, expected in zip(pair, (predicted, truth), strict=True):
        np.testing.assert_allclose(m.colorfulness(batch).numpy(), expected, rtol=1e-5, atol=1e-4)
    error = np.abs(np.subtract(predicted, truth))
    np.testing.assert_allclose(m.colorfulness_error(*pair).numpy(), error, rtol=1e-5, atol=2e-4)
    assert error.max() > 5


def test_images_with_nan_and_no_images_are_refused() -> None:
    good, bad = torch.rand(2, 3, 16, 16), torch.rand(2, 3, 16, 16)
    bad[1, 0, 3, 3] = math.nan
    for metric in PAIRS.values():
        with pytest.raises(InputError, match=r"target.* 1"):
            metric(good, bad)
        with pytest.raises(InputError, match="predicted"):
            metric(good[:0], good[:0])
    with pytest.raises(InputError, match="target"):
        m.rmse_ab(good[:, :2], bad[:, :2])


@pytest.mark.parametrize("name", PAIRS)
def test_shapes_that_do_not_fit(name: str) -> None:
    image = torch.zeros(1, 3, 16, 16)
    with pytest.raises(InputError, match="target"):
        PAIRS[name](image, image[..., :15])
    with pytest.raises(InputError, match="predicted"):
        PAIRS[name](image[0], image)


def _reference_auc(predicted: Tensor, truth: Tensor, weights: Tensor | None = None) -> float:
    """Every threshold on its own, the way public evaluation scripts do it, in float64."""
    distance = np.linalg.norm((predicted.double() - truth.double()).numpy(), axis=0)
    share = [np.average(distance <= t, weights=weights) for t in range(151)]
    return float(trapezoid(range(151), share) / 150)


@pytest.fixture(scope="module")
def ab_pair(photo: Tensor) -> Pair:
    """The colors of four crops, (4, 2, 24, 40), and predictions that are near, far and beyond."""
    crops = [photo[0, :, 90 * i : 90 * i + 24, 90 * i : 90 * i + 40] for i in range(4)]
    ab = rgb_to_lab(torch.stack(crops))[:, 1:]
    noise = torch.from_numpy(np.random.default_rng(3).normal(0, 1, ab.shape)).float()
    scale = torch.tensor([2.0, 20.0, 90.0, 200.0]).view(4, 1, 1, 1)
    return ab + scale * noise, ab


def test_auc_agrees_with_the_sweep_over_all_thresholds(ab_pair: Pair) -> None:
    predicted, ab = ab_pair
    expected = [_reference_auc(predicted[i], ab[i]) for i in range(4)]
    assert expected[0] > 0.95 and expected[3] < 0.2
    np.testing.assert_allclose(m.auc(predicted, ab).numpy(), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("distance", "expected"),
    [
        (0.0, 1.0),
        (1.0, 149.5 / 150),
        (1.1, 148.5 / 150),
        (25.0, 125.5 / 150),
        (150.0, 0.5 / 150),
        (150.1, 0.0),
    ],
)
def test_auc_of_one_distance_in_closed_form(distance: float, expected: float) -> None:
    ab = torch.zeros(2, 2, 3, 3)
    predicted = torch.tensor([0.0, -1.0]).view(1, 2, 1, 1) * distance + ab
    assert m.auc(predicted, ab).tolist() == pytest.approx([expected] * 2, abs=1e-6)
    share = [float(distance <= t) for t in range(151)]
    assert trapezoid(range(151), share) / 150 == pytest.approx(expected)


def test_weighted_auc_agrees_with_the_sweep_and_sums_over_the_whole_set(ab_pair: Pair) -> None:
    predicted, ab = ab_pair
    weights = torch.from_numpy(np.random.default_rng(4).uniform(0, 5, (4, 24, 40)) ** 4).float()
    expected = [_reference_auc(predicted[i], ab[i], weights[i]) for i in range(4)]
    numerator, denominator = m.weighted_auc_sums(predicted, ab, weights)
    np.testing.assert_allclose((numerator / denominator).numpy(), expected, rtol=0, atol=1e-6)
    # The set as one wide image: the ratio of sums, and not the mean of ratios.
    weights[0] *= 30
    numerator, denominator = m.weighted_auc_sums(predicted, ab, weights)
    one = [x.movedim(0, -2).flatten(-2) for x in (predicted, ab, weights)]
    whole = _reference_auc(*(x.reshape(*x.shape[:-1], 4, 40) for x in one))
    assert float(numerator.sum() / denominator.sum()) == pytest.approx(whole, abs=1e-6)
    assert abs(float((numerator / denominator).mean()) - whole) > 0.1


def test_rebalancing_weights_are_the_inverse_prior_of_the_nearest_bin(ab_pair: Pair) -> None:
    ab = ab_pair[1]
    centers = published_bin_centers()
    q = len(centers)
    prior = torch.from_numpy(np.random.default_rng(5).dirichlet(np.full(q, 0.5))).double()
    flat = ab.movedim(1, -1).reshape(-1, 1, 2).double().numpy()
    nearest = np.square(flat - centers.double().numpy()).sum(-1).argmin(-1)
    expected = (1 / (q * prior.numpy()[nearest])).reshape(4, 24, 40)
    found = m.rebalancing_weights(ab, prior, centers)
    assert found.dtype == torch.float32
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-6)


def test_priors_that_cannot_be_inverted() -> None:
    centers = torch.tensor([[0.0, 0.0], [60.0, 0.0], [0.0, 60.0]])
    ab = torch.zeros(1, 2, 2, 2)
    ab[0, 0, 0, 0] = 60
    never = torch.tensor([0.5, 0.5, 0.0])
    assert m.rebalancing_weights(ab, never, centers).isfinite().all(), "the third bin is not here"
    ab[0, 1, 1, 1] = 60
    with pytest.raises(InputError, match="prior"):
        m.rebalancing_weights(ab, never, centers)


def test_the_sharpness_of_a_border_is_two_over_its_width() -> None:
    for width in (1, 4, 8):
        ramp = ((torch.arange(256) - 128 + width / 2) / width).clamp(0, 1)
        if width == 1:
            ramp = ramp.round()
        ab = torch.stack((30 * ramp, -40 * ramp))[None, :, None].expand(1, 2, 64, 256).contiguous()
        for turned in (ab, ab.movedim(2, 3), 0.1 * ab + 7, torch.cat((ab, ab.flip(3)), 3)):
            assert m.border_sharpness(turned).item() == pytest.approx(2 / width, rel=0.05)
    assert m.border_sharpness(torch.full((1, 2, 8, 8), 5.0)).item() == 0


def test_topk_of_few_classes() -> None:
    logits = torch.tensor([[0.1, 0.9, 0.5], [2.0, -1.0, 1.0], [-3.0, -2.0, -1.0]])
    labels = torch.tensor([1, 2, 0])
    assert m.topk_correct(logits, labels, 1).tolist() == [True, False, False]
    assert m.topk_correct(logits, labels, 2).tolist() == [True, True, False]
    # Five of three classes: everybody is right.
    assert m.topk_correct(logits, labels, 5).tolist() == [True, True, True]


def test_labels_that_are_no_class_are_refused() -> None:
    logits = torch.zeros(2, 3)
    for labels in ([0, 3], [-1, 0], [0.0, 1.0], [0, 1, 2]):
        with pytest.raises(InputError, match="labels"):
            m.topk_correct(logits, torch.tensor(labels), 1)
