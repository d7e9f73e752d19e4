"""Entropy, likelihood and coherent draws, against closed forms and counts of many draws."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.stats import entropy as scipy_entropy
from scipy.stats import kstest
from torch import Tensor

from colorize.color.bins import published_bin_centers
from colorize.photo.sampling import entropy, gumbel_field, log_likelihood, sample_ab

# Far apart: the noise of one says nothing of the other's.
FAR = torch.tensor([[-90.0, 0.0], [90.0, 0.0], [0.0, 200.0]])
# What sample_ab multiplies the noise by: it draws from the softmax of logits / STRENGTH.
STRENGTH = 0.7


def _guide(h: int, w: int, value: float = 50.0) -> Tensor:
    return torch.full((1, 1, h, w), value)


# --- entropy -----------------------------------------------------------------------------------


def test_entropy_is_that_of_scipy() -> None:
    logits = torch.randn(2, 17, 5, 4, dtype=torch.float64) * 5
    found = entropy(logits)
    assert found.shape == (2, 1, 5, 4) and found.dtype == torch.float32
    expected = scipy_entropy(torch.softmax(logits, 1).numpy(), axis=1)
    np.testing.assert_allclose(found[:, 0].numpy(), expected, atol=1e-5)


# --- likelihood --------------------------------------------------------------------------------


def test_likelihood_by_brute_force() -> None:
    centers = published_bin_centers()
    logits = torch.randn(1, len(centers), 3, 4) * 3
    ab = torch.rand(1, 2, 3, 4) * 120 - 60
    total = 0.0
    p = torch.softmax(logits[0].double(), 0)
    for y in range(3):
        for x in range(4):
            distance = (centers.double() - ab[0, :, y, x].double()).square().sum(1)
            near = distance.argsort()[:5]
            weights = torch.exp(-distance[near] / 50)
            weights /= weights.sum()
            total += math.log(float((weights * p[near, y, x]).sum()))
    assert float(log_likelihood(logits, ab, centers)) == pytest.approx(total / 12, abs=1e-4)


# --- noise -------------------------------------------------------------------------------------


def _draws(features: Tensor, centers: Tensor, count: int) -> np.ndarray:
    """(count, Q, P)."""
    generator = torch.Generator().manual_seed(0)
    return torch.stack([gumbel_field(features, centers, generator) for _ in range(count)]).numpy()


def test_noise_is_standard_gumbel_at_every_point_and_bin() -> None:
    features = torch.tensor([[0.0, 3.0, 100.0], [0.0, 0.1, -50.0]])
    found = _draws(features, published_bin_centers()[::60], 1500)
    for q in range(found.shape[1]):
        for point in range(3):
            assert kstest(found[:, q, point], "gumbel_r").pvalue > 1e-3


def test_noise_is_alike_where_features_are_and_not_elsewhere() -> None:
    features = torch.tensor([[0.0, 0.1, 1.0, 10.0]])
    found = _draws(features, FAR, 1500)[:, 0]
    correlation = np.corrcoef(found.T)[0]
    assert correlation[1] > 0.97
    # The Gaussian field below it has exp(-1/2).
    assert 0.45 < correlation[2] < 0.7
    assert abs(correlation[3]) < 0.1


def test_neighboring_bins_share_their_noise() -> None:
    centers = torch.tensor([[0.0, 0.0], [10.0, 0.0], [90.0, 0.0]])
    correlation = np.corrcoef(_draws(torch.zeros(1, 1), centers, 1500)[:, :, 0].T)
    assert correlation[0, 1] > 0.9 and abs(correlation[0, 2]) < 0.1


# --- samples -----------------------------------------------------------------------------------


def test_samples_come_as_often_as_their_probability() -> None:
    """One pixel, at temperature 0: the mode of perturbed logits is a draw from the softmax."""
    logits = torch.tensor([0.6, 0.0, -0.4]).view(1, 3, 1, 1)
    ab, _ = sample_ab(logits, FAR, _guide(1, 1), 1500, temperature=0)
    found = torch.stack([(ab[:, :, 0, 0] == center).all(1).float().mean() for center in FAR])
    expected = torch.softmax(logits.flatten() / STRENGTH, 0)
    torch.testing.assert_close(found, expected, atol=0.04, rtol=0)


def test_a_part_of_one_lightness_is_of_one_color() -> None:
    logits = torch.zeros(1, 3, 16, 16)
    ab, _ = sample_ab(logits, FAR, _guide(16, 16), 60, temperature=0)
    same = (ab[:, 0, :, 1:] == ab[:, 0, :, :-1]).float().mean()
    # Every pixel for itself would agree with its neighbor in a third of all cases.
    assert same > 0.95
    assert len({tuple(a) for a in ab[:, :, 8, 8].tolist()}) == 3


def test_what_is_certain_stays() -> None:
    logits = torch.zeros(1, 3, 4, 4)
    logits[:, 1] = 60
    ab, likelihood = sample_ab(logits, FAR, _guide(4, 4), 5)
    torch.testing.assert_close(ab, FAR[1].view(1, 2, 1, 1).expand(5, 2, 4, 4))
    assert (likelihood > -1e-3).all()


def test_most_likely_first_and_the_same_for_a_seed() -> None:
    centers = published_bin_centers()
    logits = torch.randn(1, len(centers), 1, 1).expand(-1, -1, 6, 9) * 2
    guide = torch.rand(1, 1, 6, 9) * 100
    random = torch.get_rng_state()
    ab, likelihood = sample_ab(logits, centers, guide, 4, temperature=0.4, seed=3)
    assert torch.equal(torch.get_rng_state(), random)
    assert ab.shape == (4, 2, 6, 9) and ab.dtype == torch.float32
    assert likelihood.tolist() == sorted(likelihood.tolist(), reverse=True)
    torch.testing.assert_close(
        likelihood, log_likelihood(logits.expand(4, -1, -1, -1), ab, centers)
    )
    again, _ = sample_ab(logits, centers, guide, 4, temperature=0.4, seed=3)
    other, _ = sample_ab(logits, centers, guide, 4, temperature=0.4, seed=4)
    assert torch.equal(again, ab) and not torch.equal(other, ab)
    assert all(not torch.equal(ab[i], ab[j]) for i in range(4) for j in range(i))
