"""Whether results bear out what the paper or the study said, as statements that numbers confirm,
contradict, or do not decide.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

from colorize.report.differences import change
from colorize.report.findings import (
    CONTENTS,
    contents_correlation,
    equal_quality,
    favorite,
    least_loss,
    nine,
)
from colorize.report.tables import METRICS, Results

Direction = Literal["higher", "lower", "same"]

_SWEEP = "validation_sweep"
_WORDS: dict[Direction, str] = {
    "higher": "{metric} is higher for {run} than for {other}",
    "lower": "{metric} is lower for {run} than for {other}",
    "same": "{metric} shows no difference between {run} and {other}",
}


class Outcome(NamedTuple):
    """A statement, and whether the results confirm it; None where they do not decide."""

    text: str
    confirmed: bool | None


class Expected(NamedTuple):
    """What somebody said of a metric of ``run``, against that of ``other``."""

    run: str
    other: str
    metric: str
    direction: Direction

    def outcome(self, results: Results) -> Outcome | None:
        """Of the results; None where the two cannot be compared."""
        found = change(results, self.run, self.other, self.metric)
        if found is None:
            return None
        text = _WORDS[self.direction].format(
            metric=METRICS[self.metric].title, run=f"`{self.run}`", other=f"`{self.other}`"
        )
        if not found.uncertainty:
            return Outcome(text, None)
        if self.direction == "same":
            return Outcome(text, not found.decided)
        confirmed = (found.mean > 0) == (self.direction == "higher")
        return Outcome(text, confirmed if found.decided else None)


def temperature_matters_less(results: Results) -> list[Outcome]:
    """Whether the colorfulness depends less on the temperature with the own prior."""
    ranges = {}
    for name in ("rebalanced-ours", "rebalanced-smooth", "rebalanced"):
        color = [p["colorfulness"]["mean"] for p in results.get(name, {}).get(_SWEEP, ())]
        if color:
            ranges[name] = max(color) - min(color)
    own = ranges.pop("rebalanced-ours", None)
    if own is None:
        return []
    return [
        Outcome(
            f"over all temperatures the colorfulness of `rebalanced-ours` varies less ({own:.1f}) "
            f"than that of `{name}` ({other:.1f})",
            own < other,
        )
        for name, other in ranges.items()
    ]


def grey_first(results: Results) -> list[Outcome]:
    """Whether the pictures of the first validation have less than half of the last one's color."""
    return _by_model(
        "at the first validation the pictures have less than half of the colorfulness of the last",
        {
            name: curve[0]["colorfulness"] < curve[-1]["colorfulness"] / 2
            for name, r in nine(results).items()
            if len(curve := r["curve"]) > 1
        },
    )


def loss_rises_while_metrics_improve(results: Results) -> list[Outcome]:
    """Of the nets whose validation loss rises at the end: whether the colorfulness comes nearer to
    the truth's, and whether RMSE ab falls, meanwhile.
    """
    rising = {
        name: (least_loss(curve), curve[-1])
        for name, r in nine(results).items()
        if least_loss(curve := r["curve"]) is not curve[-1]
    }
    color = {name: _color_gap(end) < _color_gap(least) for name, (least, end) in rising.items()}
    error = {name: end["rmse_ab"] < least["rmse_ab"] for name, (least, end) in rising.items()}
    since = "since the least validation loss the"
    return [
        *_by_model(f"{since} colorfulness came nearer to the truth's", color),
        *_by_model(f"{since} RMSE ab fell", error),
    ]


def patches_hold_overfitting_back(results: Results) -> list[Outcome]:
    """Whether the validation loss rises less from its least value when trained on patches."""
    rises = {}
    for name in ("simplified-patches", "simplified"):
        if name in results:
            curve = results[name]["curve"]
            rises[name] = curve[-1]["val_loss"] - least_loss(curve)["val_loss"]
    if len(rises) < 2:
        return []
    patches, whole = rises.values()
    return [
        Outcome(
            "after its least value the validation loss rises less for `simplified-patches` "
            f"({patches:.3f}) than for `simplified` ({whole:.3f})",
            patches < whole,
        )
    ]


def fails_where_it_was_said(results: Results) -> list[Outcome]:
    """Whether the error grows with each measure of what is on the picture.

    A rank correlation within two standard errors of zero (``2 / sqrt(n - 1)``) decides nothing.
    """
    found = favorite(results)
    if found is None:
        return []
    name, result = found
    outcomes = []
    for key, words in CONTENTS.items():
        rank = contents_correlation(result, key)
        if rank is not None:
            decided = abs(rank) > 2 / math.sqrt(len(result["test"]["images"][key]) - 1)
            text = f"`{name}` errs more on pictures with more of this: {words} ({rank:+.2f})"
            outcomes.append(Outcome(text, rank > 0 if decided else None))
    return outcomes


def ours_is_faster(results: Results) -> list[Outcome]:
    """Whether our recipe reaches the least validation loss of the paper's in fewer images."""
    found = equal_quality(results)
    if found is None:
        return []
    text = "our recipe reaches the least validation loss of the paper's in fewer images"
    return [Outcome(text, found.ours is not None and found.ours < found.paper)]


def _by_model(statement: str, holds: Mapping[str, bool]) -> list[Outcome]:
    """One outcome for the models of which a statement is true, and one for those of which not."""

    def names(value: bool) -> Sequence[str]:
        return [f"`{name}`" for name, held in holds.items() if held is value]

    return [
        Outcome(f"{statement} ({', '.join(found)})", value)
        for value in (True, False)
        if (found := names(value))
    ]


def _color_gap(point: Mapping[str, Any]) -> float:
    return abs(float(point["colorfulness"]) - float(point["colorfulness_truth"]))
