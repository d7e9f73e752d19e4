"""What results confirm, contradict, or leave open, of numbers that are known."""

from __future__ import annotations

from typing import Any

import pytest
from helpers.made_up import as_before, curve, pair, result, study, values

from colorize.report import claims as c

CORRELATED = "`simplified` errs more on pictures with more of this: "


@pytest.mark.parametrize(
    ("shift", "direction", "confirmed"),
    [
        (0.5, "higher", True),
        (0.5, "lower", False),
        (0.5, "same", False),
        (-0.5, "higher", False),
        (-0.5, "lower", True),
        (-0.5, "same", False),
        # Less than its uncertainty.
        (0.001, "higher", None),
        (0.001, "lower", None),
        (0.001, "same", True),
    ],
)
def test_what_was_expected_of_a_difference(
    shift: float, direction: c.Direction, confirmed: bool | None
) -> None:
    results = pair(shift, 0.1)
    for name, sign in (("simplified", 1), ("rebalanced-ours", -1)):
        own = results[name]["test"]["images"]["rmse_ab"]
        middle = sum(own) / len(own)
        base = results["rebalanced-ours"]["test"]["images"]["rmse_ab"]
        # The noise between the two is centered, so the difference is the shift itself.
        if sign == 1:
            excess = middle - sum(base) / len(base) - shift
            own[:] = [x - excess for x in own]
            results[name]["test"]["rmse_ab"]["mean"] = middle - excess
    found = c.Expected("simplified", "rebalanced-ours", "rmse_ab", direction).outcome(results)
    assert found is not None and found.confirmed is confirmed
    assert "RMSE ab" in found.text and found.text.index("simpl") < found.text.index("rebal")


@pytest.mark.parametrize("direction", ["higher", "lower", "same"])
def test_of_unknown_uncertainty_nothing_is_confirmed(direction: c.Direction) -> None:
    results = {name: as_before(r) for name, r in pair(0.5, 0.01).items()}
    found = c.Expected("simplified", "rebalanced-ours", "rmse_ab", direction).outcome(results)
    assert found is not None and found.confirmed is None
    assert c.Expected("simplified", "euclidean", "rmse_ab", direction).outcome(results) is None


def _swings(**swing: float) -> dict[str, Any]:
    names = {"ours": "rebalanced-ours", "smooth": "rebalanced-smooth", "plain": "rebalanced"}
    results = study(*(names[key] for key in swing))
    for key, value in swing.items():
        points = results[names[key]]["validation_sweep"]
        for i, p in enumerate(points):
            # Most, or least, color at the second of the temperatures.
            p["colorfulness"]["mean"] = 30.0 + (value if i == 1 else 0.0)
    return results


def test_temperature_with_the_own_prior() -> None:
    found = c.temperature_matters_less(_swings(ours=-4.0, smooth=6.0, plain=3.0))
    assert [o.confirmed for o in found] == [True, False]
    assert "(4.0) than that of `rebalanced-smooth` (6.0)" in found[0].text
    assert c.temperature_matters_less(_swings(smooth=6.0)) == []
    assert c.temperature_matters_less(_swings(ours=6.0)) == []
    assert c.temperature_matters_less(study("euclidean", "unbalanced")) == []


def _curves(**color: tuple[float, ...]) -> dict[str, Any]:
    results = study(*color)
    for name, own in color.items():
        points = curve(len(own))
        for point, value in zip(points, own, strict=True):
            point["colorfulness"] = value
        results[name]["curve"] = points
    return results


def test_grey_first() -> None:
    found = c.grey_first(_curves(euclidean=(4, 6, 9), unbalanced=(5, 6, 9), simplified=(1, 9)))
    assert [(o.text.split(" (")[1], o.confirmed) for o in found] == [
        ("`euclidean`, `simplified`)", True),
        ("`unbalanced`)", False),
    ]
    assert c.grey_first(_curves(euclidean=(4,))) == c.grey_first({}) == []


def test_the_loss_rises_while_metrics_improve() -> None:
    # The made-up curve has its least loss at the second point, and RMSE ab rises; the truth is 35.
    results = _curves(euclidean=(1, 20, 30), unbalanced=(1, 34, 40), simplified=(20, 30))
    color_up, color_down, error_down = c.loss_rises_while_metrics_improve(results)
    assert color_up.confirmed and "(`euclidean`)" in color_up.text
    assert color_down.confirmed is False and "(`unbalanced`)" in color_down.text
    assert error_down.confirmed is False and "RMSE ab" in error_down.text
    assert "simplified" not in " ".join(o.text for o in (color_up, color_down, error_down))
    results["euclidean"]["curve"][-1]["rmse_ab"] = 1.0
    found = [o for o in c.loss_rises_while_metrics_improve(results) if "RMSE" in o.text]
    assert [(o.confirmed, "euclidean" in o.text) for o in found] == [(True, True), (False, False)]


@pytest.mark.parametrize(("last", "confirmed"), [(2.05, True), (2.3, False)])
def test_patches(last: float, confirmed: bool) -> None:
    results = study("simplified", "simplified-patches")
    results["simplified"]["curve"] = curve(3)
    results["simplified-patches"]["curve"] = curve(3)
    results["simplified-patches"]["curve"][-1]["val_loss"] = last
    (found,) = c.patches_hold_overfitting_back(results)
    assert found.confirmed is confirmed
    assert f"`simplified-patches` ({last - 2:.3f}) than for `simplified` (0.100)" in found.text
    assert c.patches_hold_overfitting_back(study("simplified")) == []


def test_where_it_fails() -> None:
    error = values("error", 40)
    shuffled = values("other", 40)
    own = result(
        "simplified", rmse_ab=error, busyness=error, colors=[-x for x in error], green=shuffled
    )
    own["test"]["images"]["blue"] = [0.0] * 40
    busy, colors, green = c.fails_where_it_was_said({"simplified": own})
    assert (busy.confirmed, colors.confirmed, green.confirmed) == (True, False, None)
    assert busy.text == f"{CORRELATED}busy: steps of L (+1.00)" and "(-1.00)" in colors.text
    assert c.fails_where_it_was_said({}) == []


@pytest.mark.parametrize(
    ("ours", "confirmed"), [([2.5, 1.9], False), ([1.9, 1.9], True), ([3.0, 3.0], False)]
)
def test_our_recipe(ours: list[float], confirmed: bool) -> None:
    results = study("simplified", "simplified-paper-recipe")
    results["simplified"]["curve"] = curve(2)
    for point, loss in zip(results["simplified"]["curve"], ours, strict=True):
        point["val_loss"] = loss
    (found,) = c.ours_is_faster(results)
    assert found.confirmed is confirmed
    assert c.ours_is_faster(study("simplified")) == []
