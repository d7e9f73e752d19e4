"""Figures: what is drawn is what was given, they can be saved, and pyplot knows nothing of them."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pytest
import skimage.data
import torch
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from PIL import Image
from skimage.color import lab2rgb

from colorize.color.bins import published_bin_centers
from colorize.color.prior import class_weights, smooth_prior
from colorize.errors import ColorizeError, InputError
from colorize.evaluation.evaluate import LabelledExample
from colorize.report import figures as p

METRICS = ("rmse_ab", "rmse_rgb", "psnr", "ssim", "colorfulness")
CENTERS = published_bin_centers()


def _measured(seed: int, n: int = 25) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    spread = {"std": float(rng.uniform(1, 5))}
    found = {metric: {"mean": float(rng.uniform(1, 30)), **spread} for metric in METRICS}
    return {"n": n, **found, "colorfulness_truth": {"mean": 35.0, "std": 9.0}}


def _results(names: int = 3) -> dict[str, dict[str, Any]]:
    """Results of some models; the first has no temperature, as the Euclidean one."""
    results = {}
    for i in range(names):
        curve = [
            {
                "step": 10 * k,
                "images": 320 * k,
                "train_loss": 6.0 / k + i,
                "val_loss": 7.0 / k + i,
                "colorfulness": 4.0 * k + i,
                "colorfulness_truth": 35.0,
            }
            for k in range(1, 5 + i)
        ]
        temperatures = (1.0, 0.38, 0.0) if i else ()
        sweep = [{"temperature": t, **_measured(50 + i)} for t in temperatures]
        test, grey = _measured(i), _measured(99)
        results[f"model {i}"] = {
            "experiment": {"name": f"model {i}", "seed": 0, "model": "Small" if i else "Large"},
            "images_seen": 60_000 * (i + 1),
            "parameters": 1_500_000 * (i + 1),
            "curve": curve,
            "sweep": sweep,
            "test": test,
            "grey": grey,
        }
    return results


def _seeds() -> dict[str, dict[str, Any]]:
    """Three models; the second ran with three seeds, and the rebalanced accuracy of the first and
    of its second run was not measured."""
    results = _results()
    for seed in (1, 2):
        own = {**results["model 1"], "test": _measured(20 + seed)}
        own["experiment"] = {**own["experiment"], "seed": seed}
        results[f"model 1-seed{seed}"] = own
    for i, result in enumerate(results.values()):
        result["test"]["auc_rebalanced"] = {"value": 0.5 + i / 100}
        result["grey"]["auc_rebalanced"] = {"value": 0.4}
    for name in ("model 0", "model 1-seed1"):
        results[name]["test"]["auc_rebalanced"] = {"missing": "no prior"}
    return results


def _priors() -> dict[str, torch.Tensor]:
    sharp = torch.rand(313, dtype=torch.float64) ** 9
    sharp[:20] = 0
    sharp = sharp / sharp.sum()
    return {"plain": sharp, "smooth": smooth_prior(sharp, CENTERS)}


def _pictures(count: int, seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.integers(0, 256, (24, 32, 3), dtype=np.uint8) for _ in range(count)]


FIGURES: dict[str, Callable[[], Figure]] = {
    "bins": lambda: p.bins_figure(CENTERS),
    "prior": lambda: p.prior_figure(_priors(), CENTERS),
    "weights": lambda: p.prior_figure(
        _priors(), CENTERS, {k: class_weights(v) for k, v in _priors().items()}
    ),
    "curves": lambda: p.learning_curves(_results(5)),
    "one curve": lambda: p.learning_curves(_results(1)),
    "bars": lambda: p.metric_bars(_results(), METRICS),
    "bars of seeds": lambda: p.metric_bars(_seeds(), ("rmse_ab", "auc_rebalanced")),
    "temperature": lambda: p.temperature_curves(_results()),
    "grid": lambda: p.comparison_grid({"grey": _pictures(3), "ours": _pictures(3)}),
    "titled": lambda: p.comparison_grid({"": _pictures(2)}, ["T = 1", "T = 0"]),
}


def _png(figure: Figure) -> np.ndarray:
    file = io.BytesIO()
    figure.savefig(file, dpi=50, format="png")
    return np.asarray(Image.open(file).convert("RGB"))


def _texts(axes: Axes) -> list[str]:
    return [t.get_text() for t in axes.texts]


@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_can_be_drawn_and_is_not_pyplots(name: str) -> None:
    before = plt.get_fignums()
    figure = FIGURES[name]()
    assert isinstance(figure, Figure)
    drawn = _png(figure)
    assert len(np.unique(drawn.reshape(-1, 3), axis=0)) > 20
    assert plt.get_fignums() == before


def test_bins_are_where_and_what_they_are() -> None:
    (axes,) = p.bins_figure(CENTERS).axes
    dots: Any = axes.collections[0]
    np.testing.assert_allclose(np.asarray(dots.get_offsets()), CENTERS.numpy()[:, ::-1])
    a, b = CENTERS.double().numpy().T
    lab = np.stack((np.full(313, 65.0), a, b), 1)
    with np.errstate(all="ignore"):
        expected = lab2rgb(lab[None])[0]
    np.testing.assert_allclose(dots.get_facecolors()[:, :3], expected, atol=2e-3)
    assert "313" in axes.get_title()
    _assert_ab_plane(axes)


def _assert_ab_plane(axes: Axes) -> None:
    """b to the right and a downwards, as in the paper; nothing cut off."""
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("b", "a")
    assert axes.get_aspect() in (1, "equal")
    left, right = axes.get_xlim()
    bottom, top = axes.get_ylim()
    assert left < -110 and right > 110 and bottom > 110 and top < -110


@pytest.mark.parametrize("weighted", [False, True])
def test_priors_are_drawn_as_they_are(weighted: bool) -> None:
    priors = _priors()
    weights = {name: class_weights(prior) for name, prior in priors.items()}
    figure = p.prior_figure(priors, CENTERS, weights if weighted else None)
    panels = [axes for axes in figure.axes if axes.get_xlabel() == "b"]
    assert len(panels) == (4 if weighted else 2)
    assert len(figure.axes) == len(panels) + (2 if weighted else 1)
    for axes, (name, prior) in zip(panels, priors.items(), strict=False):
        assert axes.get_title() == name
        values = np.asarray(axes.collections[0].get_array())
        np.testing.assert_allclose(values, prior.clamp(min=1e-7).numpy())
        _assert_ab_plane(axes)
    for axes, weight in zip(panels[2:], weights.values(), strict=False):
        np.testing.assert_allclose(np.asarray(axes.collections[0].get_array()), weight.numpy())
    # One scale for all, or the panels could not be compared.
    norms = {(a.collections[0].norm.vmin, a.collections[0].norm.vmax) for a in panels[:2]}
    assert len(norms) == 1


@pytest.mark.parametrize("n", [1, 2, 3, 4, 7])
def test_learning_curves(n: int) -> None:
    results = _results(n)
    figure = p.learning_curves(results)
    panels = [axes for axes in figure.axes if axes.get_title()]
    assert [axes.get_title() for axes in panels] == list(results)
    assert len(figure.axes) == 2 * n  # each with its twin for the colorfulness
    twins = [axes for axes in figure.axes if not axes.get_title()]
    for axes, twin, result in zip(panels, twins, results.values(), strict=True):
        curve = result["curve"]
        x = [point["images"] / 1000 for point in curve]
        drawn: dict[Any, Any] = {line.get_label(): line for line in axes.get_lines()}
        assert set(drawn) == {"training loss", "validation loss"}
        for label, key in (("training loss", "train_loss"), ("validation loss", "val_loss")):
            np.testing.assert_allclose(drawn[label].get_xdata(), x)
            np.testing.assert_allclose(drawn[label].get_ydata(), [c[key] for c in curve])
        color: Any
        truth: Any
        color, truth = twin.get_lines()
        np.testing.assert_allclose(color.get_ydata(), [c["colorfulness"] for c in curve])
        assert set(truth.get_ydata()) == {35.0}
        low, high = twin.get_ylim()
        assert low == 0 and high > max(35, *(c["colorfulness"] for c in curve))
    (legend,) = figure.legends
    assert len(legend.get_texts()) == 4
    # What an axis shows is written once a row, at both ends.
    named = [bool(axes.get_ylabel()) for axes in panels]
    assert named == [i % 3 == 0 for i in range(n)]
    assert [bool(twin.get_ylabel()) for twin in twins] == [
        i % 3 == 2 or i == n - 1 for i in range(n)
    ]


@pytest.mark.parametrize("bounds", [True, False])
def test_bars_are_the_means_with_standard_errors(bounds: bool) -> None:
    results = _results(4)
    metrics = ("psnr", "colorfulness")
    figure = p.metric_bars(results, metrics, bounds=bounds)
    assert len(figure.axes) == 2
    for axes, metric in zip(figure.axes, metrics, strict=True):
        tests = [result["test"] for result in results.values()]
        bars: list[Any] = list(axes.patches)
        assert [bar.get_width() for bar in bars] == [t[metric]["mean"] for t in tests]
        errors = [c for c in axes.collections if isinstance(c, LineCollection)]
        segments = [segment for drawn in errors for segment in drawn.get_segments()]
        for segment, test in zip(segments, tests, strict=True):
            half = test[metric]["std"] / 5  # n is 25
            mean = test[metric]["mean"]
            np.testing.assert_allclose(segment[:, 0], [mean - half, mean + half])
        drawn: list[Any] = list(axes.get_lines())
        lines = {line.get_label(): line.get_xdata()[0] for line in drawn}
        grey = results["model 0"]["grey"][metric]["mean"]
        expected = {"grey": grey, **({"truth": 35.0} if metric == "colorfulness" else {})}
        assert {k: v for k, v in lines.items() if k in ("grey", "truth")} == (
            expected if bounds else {}
        )
        # The first model is on top.
        low, high = axes.get_ylim()
        assert low > high
    labels = [tick.get_text() for tick in figure.axes[0].get_yticklabels()]
    assert labels == list(results)


def test_a_metric_of_all_images_together_has_the_error_of_its_shares() -> None:
    results = _results(1)
    test = results["model 0"]["test"]
    test["auc_rebalanced"] = {"value": 0.7}
    assert not p.metric_bars(results, ["auc_rebalanced"]).axes[0].collections
    test["images"] = {"auc_rebalanced": [0.5, 0.9] * 12 + [0.7]}
    (drawn,) = p.metric_bars(results, ["auc_rebalanced"]).axes[0].collections
    assert isinstance(drawn, LineCollection)
    half = 100 * np.std(test["images"]["auc_rebalanced"]) / 5
    np.testing.assert_allclose(drawn.get_segments()[0][:, 0], [70 - half, 70 + half])


def _bars(axes: Axes) -> dict[float, float]:
    """Length of the bar by row."""
    found: list[Any] = list(axes.patches)
    return {round(bar.get_y() + bar.get_height() / 2, 6): bar.get_width() for bar in found}


def _dots(axes: Axes) -> list[tuple[list[float], list[float]]]:
    lines: list[Any] = [line for line in axes.get_lines() if line.get_marker() == "."]
    return [(list(line.get_xdata()), list(line.get_ydata())) for line in lines]


def test_a_bar_is_the_mean_of_the_seeds_with_a_dot_for_each() -> None:
    results = _seeds()
    figure = p.metric_bars(results, ("rmse_ab", "auc_rebalanced"))
    names = ["model 0", "model 1", "model 2"]
    assert [tick.get_text() for tick in figure.axes[0].get_yticklabels()] == names
    error, accuracy = figure.axes
    means = {
        name: [r["test"]["rmse_ab"]["mean"] for r in results.values() if _name(r) == name]
        for name in names
    }
    assert _bars(error) == {
        float(row): pytest.approx(np.mean(means[name])) for row, name in enumerate(names)
    }
    assert _dots(error) == [(means["model 1"], [1, 1, 1])]
    # In percent; what was not measured has no bar, and the mean is of the runs that have it.
    assert _bars(accuracy) == {1.0: pytest.approx(52.5), 2.0: pytest.approx(52)}
    assert _dots(accuracy) == [([pytest.approx(51), pytest.approx(54)], [1, 1])]
    lines: list[Any] = list(accuracy.get_lines())
    grey = [line.get_xdata()[0] for line in lines if line.get_label() == "grey"]
    assert grey == [pytest.approx(40)]
    # All images together have no spread.
    assert not [c for c in accuracy.collections if isinstance(c, LineCollection)]
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["grey"]


def _name(result: dict[str, Any]) -> str:
    return str(result["experiment"]["name"])


def test_a_bar_of_seeds_of_which_the_first_was_not_measured() -> None:
    results = _seeds()
    del results["model 1"]["test"]["auc_rebalanced"]
    results["model 2"]["test"]["psnr"] = {"mean": None, "std": None}
    figure = p.metric_bars(results, ("auc_rebalanced", "psnr"))
    assert _bars(figure.axes[0]) == {1.0: pytest.approx(54), 2.0: pytest.approx(52)}
    assert 2.0 not in _bars(figure.axes[1])


def test_a_metric_that_nobody_measured_has_no_panel() -> None:
    figure = p.metric_bars(_results(), ("lpips", "psnr", "fid"))
    assert [axes.get_xlabel() for axes in figure.axes] == ["PSNR [dB]"]
    assert [t.get_text() for t in figure.axes[0].get_yticklabels()] == list(_results())
    with pytest.raises(InputError, match="measured: expected at least one"):
        p.metric_bars(_results(), ("lpips", "fid"))


def test_temperature_curves_are_of_the_models_that_have_one() -> None:
    results = _results(3)
    figure = p.temperature_curves(results)
    assert len(figure.axes) == 3
    for axes, metric in zip(figure.axes, ("rmse_ab", "psnr", "colorfulness"), strict=True):
        lines: list[Any] = [line for line in axes.get_lines() if line.get_label() != "truth"]
        assert [line.get_label() for line in lines] == ["model 1", "model 2"]
        for line, name in zip(lines, ("model 1", "model 2"), strict=True):
            np.testing.assert_allclose(line.get_xdata(), [1.0, 0.38, 0.0])
            means = [point[metric]["mean"] for point in results[name]["sweep"]]
            np.testing.assert_allclose(line.get_ydata(), means)
        left, right = axes.get_xlim()
        assert left > 1 and right < 0
    last: list[Any] = list(figure.axes[2].get_lines())
    truth = [line for line in last if line.get_label() == "truth"]
    assert [set(line.get_ydata()) for line in truth] == [{35.0}]


def test_the_grid_is_a_row_for_a_model_and_a_column_for_an_image() -> None:
    rows = {"grey": _pictures(3, 0), "ours": _pictures(3, 1), "truth": _pictures(3, 2)}
    figure = p.comparison_grid(rows)
    assert len(figure.axes) == 9
    pictures = [picture for row in rows.values() for picture in row]
    for axes, picture in zip(figure.axes, pictures, strict=True):
        (image,) = axes.images
        np.testing.assert_array_equal(np.asarray(image.get_array()), picture)
        assert not axes.axison
    names = [_texts(axes) for axes in figure.axes[::3]]
    assert names == [["grey"], ["ours"], ["truth"]]
    titled = p.comparison_grid(rows, ["a", "b", "c"])
    assert [axes.get_title() for axes in titled.axes[:3]] == ["a", "b", "c"]
    assert not any(_texts(axes) for axes in titled.axes)


def test_pictures_are_drawn_pixel_for_pixel() -> None:
    figure = p.comparison_grid({"a": [skimage.data.astronaut()], "b": _pictures(1)})
    assert all(axes.images[0].get_interpolation() == "nearest" for axes in figure.axes)


def test_bad_input() -> None:
    with pytest.raises(InputError, match=r"equally many images in each row, got \[2, 3\]"):
        p.comparison_grid({"a": _pictures(2), "b": _pictures(3)})
    with pytest.raises(InputError, match="equally many images"):
        p.comparison_grid({"a": []})
    with pytest.raises(InputError, match=r"expected some of rmse_ab, .*; got \['gloss'\]"):
        p.metric_bars(_results(), ["psnr", "gloss"])


@pytest.mark.parametrize(
    "draw",
    [
        lambda: p.comparison_grid({}),
        lambda: p.learning_curves({}),
        lambda: p.metric_bars({}, ["psnr"]),
        lambda: p.metric_bars(_results(), []),
        lambda: p.temperature_curves({}),
        lambda: p.prior_figure({}, CENTERS),
        lambda: p.prior_figure(_priors(), CENTERS, {"plain": torch.ones(313)}),
    ],
    ids=[
        "grid",
        "curves",
        "bars",
        "no metric",
        "temperature",
        "prior",
        "a weight missing",
    ],
)
def test_nothing_to_draw_is_said_in_words(draw: Callable[[], Figure]) -> None:
    with pytest.raises(ColorizeError, match="expected"):
        draw()


def test_save_writes_the_picture_and_nothing_else(home: Path, tmp_path: Path) -> None:
    figure = p.bins_figure(CENTERS)
    assert p.save(figure, "bins") is figure
    assert p.save(figure, "bins", tmp_path / "other") is figure
    for folder in (home / "GRAPHS", tmp_path / "other"):
        assert [path.name for path in folder.iterdir()] == ["bins.png"]
        with Image.open(folder / "bins.png") as image:
            assert image.format == "PNG" and min(image.size) > 300
    assert plt.get_fignums() == []


def test_a_figure_that_cannot_be_drawn_leaves_the_old_one(tmp_path: Path) -> None:
    p.save(p.bins_figure(CENTERS), "a", tmp_path)
    before = (tmp_path / "a.png").read_bytes()
    broken = Figure()
    broken.text(0.5, 0.5, r"$\frac{1}$")
    with pytest.raises(ValueError, match="frac"):
        p.save(broken, "a", tmp_path)
    assert (tmp_path / "a.png").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


def test_the_ablation_has_the_differences_from_the_joint_net(fruit: dict[str, Any]) -> None:
    figure = p.ablation_figure(fruit, "ncd")
    names = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert len(names) == len(fruit) / 3 - 2 and "joint" not in names and "tail" not in names
    _png(figure)
    with pytest.raises(InputError, match="dogs-joint"):
        p.ablation_figure(fruit, "dogs")


def test_labelled_images_are_marked() -> None:
    image = np.zeros((8, 8, 3), np.uint8)
    examples = [
        LabelledExample(image, image, image, "Apple", 0.913, "Apple"),
        LabelledExample(image, image, image, "Pear", 0.4, "Plum"),
    ]
    titles = [axes.get_title() for axes in p.labelled_figure(examples).axes]
    assert "Apple" in titles[2] and "Pear" in titles[3] and titles[4:] == ["Apple", "Plum"]
