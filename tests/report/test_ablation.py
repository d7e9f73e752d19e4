"""Study B's tables and answers, against numbers made up so that the truth is known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from helpers.made_up import MACHINE, cells
from scipy import stats

from colorize.errors import DataError, InputError
from colorize.evaluation.evaluate import LabelledExample
from colorize.experiments.study_b import STUDY_B
from colorize.report import ablation as a
from colorize.report import figures_ablation as plots
from colorize.report.tables import METRICS, verdict

COLORS = {"rmse_ab": 12.0, "psnr": 22.0, "colorfulness": 30.0, "colorfulness_truth": 35.0}
LABELS = {"top1": 0.5, "top5": 0.9, "class_loss": 1.0}


def run(name: str, seed: int, metrics: dict[str, float], **more: Any) -> dict[str, Any]:
    def measured(values: dict[str, float]) -> dict[str, Any]:
        return {"n": 74, **{key: {"mean": value, "std": 1.0} for key, value in values.items()}}

    grey = {"rmse_ab": 28.0, "psnr": 16.0, "colorfulness": 0.0, "colorfulness_truth": 35.0}
    return {
        "experiment": {"name": name, "seed": seed},
        "test": measured({"colorfulness_truth": 35.0, **metrics}),
        "grey": measured(grey),
        "machine": MACHINE,
        **{key: {k: measured(v) for k, v in value.items()} for key, value in more.items()},
    }


def study(prefix: str = "ncd", seeds: int = 3) -> dict[str, dict[str, Any]]:
    """Joint against color: always 1.0 lower in RMSE. Against class: -0.1, 0, +0.1 in top-1."""
    found: dict[str, dict[str, Any]] = {}
    for seed in range(seeds):
        base = 12.0 + 3 * seed
        color = {**COLORS, "rmse_ab": base + 1 + 0.001 * seed}
        joint = {**COLORS, **LABELS, "rmse_ab": base}
        label = {**LABELS, "top1": 0.5 + 0.1 * (1 - seed)}
        inputs = {
            "grey": {"top1": 0.2, "top5": 0.5},
            **{
                f"{prefix}-{n}": {"top1": 0.4 + 0.01 * seed, "top5": 0.6}
                for n in ("color", "joint", "bins")
            },
        }
        for run_ in (
            run(f"{prefix}-color", seed, color),
            run(f"{prefix}-class", seed, label),
            run(f"{prefix}-joint", seed, joint),
            run(f"{prefix}-class-true", seed, LABELS, inputs=inputs),
        ):
            found[f"{run_['experiment']['name']}-seed{seed}"] = run_
    return found


def test_a_difference_is_taken_seed_by_seed() -> None:
    """The seeds differ by more than the nets: only the pairs show that one is better."""
    results = study()
    found = a.difference(results, "ncd-joint", "ncd-color", "rmse_ab")
    assert found is not None and found.seeds == 3
    changes = [-1.0, -1.001, -1.002]
    expected = stats.ttest_1samp(changes, 0).confidence_interval(0.95)
    assert found.mean == pytest.approx(-1.001)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    assert found.decided and verdict("rmse_ab", found) == "better"
    label = a.difference(results, "ncd-joint", "ncd-class", "top1")
    assert label is not None and not label.decided and label.mean == pytest.approx(0)
    assert verdict("top1", label) == "not decided"


def test_a_difference_is_decided_when_zero_lies_outside_its_interval() -> None:
    decided = [(0.5, 1.5), (-1.5, -0.5)]
    assert all(a.Difference(sum(ends) / 2, *ends, 3).decided for ends in decided)
    assert not any(a.Difference(0.1, *ends, 3).decided for ends in [(-0.5, 0.7), (0.0, 0.2)])


def test_no_difference_without_two_common_seeds_or_the_metric() -> None:
    results = study()
    assert a.difference(results, "ncd-class", "ncd-color", "rmse_ab") is None
    assert a.difference(results, "ncd-joint", "ncd-residual", "top1") is None
    del results["ncd-color-seed0"], results["ncd-joint-seed1"]
    assert a.difference(results, "ncd-joint", "ncd-color", "rmse_ab") is None


def test_the_table_has_means_and_spreads_over_seeds() -> None:
    header, *rows = cells(a.ablation_table(study(), "ncd"))
    assert header[:2] == ["experiment", "seeds"]
    assert header[2:] == ["top-1 [%]", "top-5 [%]", "RMSE ab", "PSNR [dB]", "colorfulness"]
    assert [row[0] for row in rows] == [
        *("`ncd-color`", "`ncd-class`", "`ncd-joint`", "`ncd-class-true`", "grey")
    ]
    color, label, joint, _, grey = rows
    assert color[1:5] == ["3", "", "", "16.00 ± 3.00"] and label[4:] == ["", "", ""]
    assert label[2] == "50.0 ± 10.0" and joint[2] == "50.0 ± 0.0"
    assert joint[4] == f"15.00 ± {np.std([12, 15, 18], ddof=1):.2f}"
    assert grey[4] == "28.00 ± 0.00"
    (alone,) = cells(a.ablation_table({"x": study()["ncd-joint-seed1"]}, "ncd"))[1:2]
    assert alone[4] == "15.00"
    with pytest.raises(DataError, match="train them: python -m colorize train dogs"):
        a.ablation_table(study(), "dogs")


def test_the_inputs_of_the_classifier_that_saw_color() -> None:
    rows = cells(a.inputs_table(study(), "ncd"))
    assert rows[1][:2] == ["true color", "50.0 ± 0.0"]
    assert rows[2][:2] == ["grey", "20.0 ± 0.0"] and rows[3][:2] == [
        "colored by `ncd-color`",
        "41.0 ± 1.0",
    ]
    found = a.input_difference(study(), "ncd", "ncd-joint", "top1")
    assert found is not None and found.mean == pytest.approx(0.21) and found.decided
    assert a.input_difference(study(), "dogs", "dogs-joint", "top1") is None
    with pytest.raises(DataError, match="dogs-class-true"):
        a.inputs_table(study(), "dogs")


def test_answers_say_what_the_numbers_say() -> None:
    text = a.answers({**study(), **study("dogs")}, ["ncd", "dogs"])
    assert "`ncd-joint` against `ncd-color`: RMSE ab -1.00 [-1.00, -1.00]: better" in text
    assert "`dogs-joint` against `dogs-class`: top-1 [%] +0.0 [-24.8, +24.8]: not decided" in text
    assert "colored by `ncd-joint`: top-1 [%] +21.0 [+18.5, +23.5]: better" in text
    assert "residual` against" not in text  # it was not run
    asked = [question.text for question in a.QUESTIONS if question.text in text]
    assert asked == [a.QUESTIONS[i].text for i in (0, 1, -1)]
    first, second = text.split("\n\n**")[:2]
    assert "affect the classification?** In short: the data do not decide." in first
    assert (
        "In short: `ncd-joint` against `ncd-color`: better in RMSE ab; `dogs-joint` against "
        "`dogs-color`: better in RMSE ab. The rest is not decided by these seeds." in second
    )
    assert a.answers({}, ["ncd"]) == ""
    short = a.answers({**study(), **study("dogs")}, ["ncd", "dogs"], details=False).splitlines()
    assert [line.split("**")[1] for line in short[:-1]] == asked
    assert short[0].endswith("** The data do not decide.")


def test_every_comparison_is_of_experiments_that_exist() -> None:
    for question in a.QUESTIONS:
        for ours, theirs, metrics in question.comparisons:
            for prefix in ("ncd", "dogs"):
                assert {f"{prefix}-{ours}", f"{prefix}-{theirs}"} <= STUDY_B.keys()
            assert set(metrics) <= METRICS.keys()


def test_the_readme_names_n_seeds_and_machine() -> None:
    text = a.readme_section({**study(), **study("dogs", seeds=2)}, ["ncd", "dogs"])
    assert text.count("| experiment |") == 2
    assert "Test images a run: 74; mean ± standard deviation over the seeds 0, 1, 2" in text
    assert "seeds 0, 1, each" in text and "Linux x86_64, 2 cores, no GPU, torch 2.9.1" in text
    assert "has been run yet" in a.readme_section({}, ["ncd"])


def test_the_figure_has_the_differences_from_the_joint_net() -> None:
    results = study()
    figure = plots.ablation_figure(results, "ncd")
    top1, rmse, _ = figure.axes
    names = [label.get_text() for label in top1.get_yticklabels()]
    assert names == ["class-true", "class", "color"]

    def dots(axes: Any) -> list[tuple[float, float]]:
        lines = [line for line in axes.lines if line.get_marker() in plots._MARKS]
        found = [(line.get_xdata(), line.get_ydata()) for line in lines]
        return sorted((round(float(x[0]), 6), float(y[0])) for x, y in found if len(x))

    assert dots(rmse) == [(1.0, 2.0), (1.001, 2.0), (1.002, 2.0)]
    assert dots(top1) == sorted([(10.0, 1), (0.0, 1), (-10.0, 1), *[(0.0, 0)] * 3])
    figure.canvas.draw()
    with pytest.raises(InputError, match="expected those of dogs-joint"):
        plots.ablation_figure(results, "dogs")


def test_the_panel_says_what_was_said() -> None:
    image = np.zeros((8, 8, 3), np.uint8)
    examples = [
        LabelledExample(image, image, image, "Apple", 0.913, "Apple"),
        LabelledExample(image, image, image, "Pear", 0.4, "Plum"),
    ]
    figure = plots.labelled_figure(examples)
    titles = [axes.get_title() for axes in figure.axes]
    assert titles == ["", "", "Apple\n91 %", "Pear\n40 %", "Apple", "Plum"]
    colors = [figure.axes[i].title.get_color() for i in (2, 3)]
    assert colors == ["C2", "C3"]
    with pytest.raises(InputError, match="at least one"):
        plots.labelled_figure([])
