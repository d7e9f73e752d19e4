"""Points of color: how far they reach, against brute force; and what is no hint."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from skimage.color import rgb2lab
from torch import Tensor

from colorize.errors import InputError
from colorize.photo import hints

RED, BLUE = (200, 40, 30), (30, 60, 200)


def _scene() -> tuple[Tensor, Tensor]:
    """Predicted ab (a constant) and L: dark on the left, light on the right, some texture."""
    L = torch.full((1, 1, 24, 40), 25.0)
    L[..., 20:] = 75.0
    ab = torch.tensor([5.0, 10.0]).view(1, 2, 1, 1).expand(1, 2, 24, 40)
    return ab, L + torch.rand(1, 1, 24, 40) * 2


def _lab(color: tuple[int, int, int]) -> np.ndarray:
    return rgb2lab(np.array(color, np.uint8)[None, None])[0, 0]


def _steer(*given: Any) -> Tensor:
    ab, L = _scene()
    return hints.apply_hints(ab, L, *hints.check_hints(given, (24, 40)))


def test_places_and_colors() -> None:
    places, ab = hints.check_hints(
        [(0, 0, RED), (39, 23, BLUE), (9.5, torch.tensor(3), RED)], (24, 40)
    )
    expected = [[0.5 / 24, 0.5 / 40], [23.5 / 24, 39.5 / 40], [3.5 / 24, 10 / 40]]
    torch.testing.assert_close(places, torch.tensor(expected))
    for found, color in zip(ab, (RED, BLUE, RED), strict=True):
        np.testing.assert_allclose(found.numpy(), _lab(color)[1:], atol=1e-3)
    assert hints.check_hints([], (24, 40))[0].shape == (0, 2)


def test_maps_hold_squares_of_the_colors() -> None:
    places, colors = hints.check_hints([(0, 0, RED), (20, 12, BLUE)], (24, 40))
    ab, mask = hints.hint_maps(places, colors, (12, 20))
    expected = torch.zeros(12, 20)
    expected[:2, :2] = 1
    expected[5:8, 9:12] = 1
    assert torch.equal(mask[0, 0], expected)
    torch.testing.assert_close(ab[0, :, 6, 10], colors[1])
    torch.testing.assert_close(ab[0, :, 0, 1], colors[0])
    assert torch.equal(ab * (1 - mask), torch.zeros_like(ab))


def test_a_hint_colors_its_region_and_not_the_far_side_of_an_edge() -> None:
    found = _steer((5, 12, RED))
    ab, _ = _scene()
    wanted = torch.tensor(_lab(RED)[1:]).float().view(1, 2, 1, 1)
    off = (found - wanted).norm(dim=1)
    assert off[0, 12, 5] < 0.5 and off[..., :20].max() < 8
    assert (found - ab)[..., 20:].norm(dim=1).max() < 1


def test_a_border_of_predicted_color_stops_a_hint_too() -> None:
    L = torch.full((1, 1, 24, 40), 50.0)
    ab = torch.zeros(1, 2, 24, 40)
    ab[:, 0, :, 20:] = 60
    found = hints.apply_hints(ab, L, *hints.check_hints([(5, 12, BLUE)], (24, 40)))
    assert (found - ab)[..., :20].norm(dim=1).min() > 40
    assert (found - ab)[..., 20:].norm(dim=1).max() < 1


def test_saturation_leaves_the_color_of_a_hint() -> None:
    ab, L = _scene()
    places, colors = hints.check_hints([(5, 12, RED)], (24, 40))
    for found in (
        hints.apply_hints(ab, L, places, colors, saturation=0.0),
        hints.saturate_around_hints(_steer((5, 12, RED)), L, places, 0.0),
    ):
        torch.testing.assert_close(found[0, :, 12, 5], colors[0], atol=0.5, rtol=0)
        assert found[..., 22:].abs().max() < 1


def test_two_hints_share_a_region_by_nearness() -> None:
    found = _steer((2, 12, RED), (17, 12, BLUE))
    red, blue = (torch.tensor(_lab(c)[1:]).float() for c in (RED, BLUE))
    for column, near, far in ((2, red, blue), (6, red, blue), (13, blue, red), (17, blue, red)):
        color = found[0, :, 12, column]
        assert (color - near).norm() < (color - far).norm()
    torch.testing.assert_close(found[0, :, 12, 2], red, atol=0.5, rtol=0)
    torch.testing.assert_close(found[0, :, 12, 17], blue, atol=0.5, rtol=0)


def test_reach_is_the_cheapest_way() -> None:
    """By relaxation over all neighbors, in float64, with the costs written out."""
    h, w = 5, 6
    L, ab = torch.rand(1, 1, h, w) * 30, torch.rand(1, 2, h, w) * 30
    places, _ = hints.check_hints([(1, 3, RED), (5, 0, RED)], (h, w))
    found = hints.reach(ab, L, places)
    light, color = L[0, 0].double(), ab[0].double()

    def apart(p: tuple[int, int], q: tuple[int, int]) -> float:
        difference = ((light[p] - light[q]) / 13) ** 2
        return float(
            difference + ((color[(slice(None), *p)] - color[(slice(None), *q)]) / 22).square().sum()
        )

    cells = [(y, x) for y in range(h) for x in range(w)]
    for number, start in enumerate([(3, 1), (0, 5)]):
        cost = dict.fromkeys(cells, math.inf)
        cost[start] = 0.0
        for _ in cells:
            for p in cells:
                for q in cells:
                    length = math.dist(p, q)
                    if 0 < length < 1.5:
                        cost[q] = min(cost[q], cost[p] + apart(p, q) + length / (1.5 * h))
        for p in cells:
            expected = cost[p] + 0.06 * apart(p, start)
            assert float(found[number][p]) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (7, 1)])
def test_pictures_of_a_line_or_a_point(size: tuple[int, int]) -> None:
    L = torch.full((1, 1, *size), 50.0)
    given = hints.check_hints([(size[1] - 1, size[0] - 1, RED)], size)
    found = hints.apply_hints(torch.zeros(1, 2, *size), L, *given)
    np.testing.assert_allclose(found[0, :, -1, -1].numpy(), _lab(RED)[1:], atol=0.5)


@pytest.mark.parametrize(
    "hint",
    [
        (1, 2),
        (1, 2, "red"),
        (1, 2, (3, 4)),
        5,
        (40, 2, RED),
        (2, math.nan, RED),
        (2, 2, (256, 0, 0)),
        (2, 2, (0.8, 0.1, 0.1)),
    ],
    ids=str,
)
def test_what_is_no_hint(hint: Any) -> None:
    with pytest.raises(InputError, match=r"hints\[1\]"):
        hints.check_hints([(1, 1, RED), hint], (24, 40))
