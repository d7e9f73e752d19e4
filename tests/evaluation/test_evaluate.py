"""evaluate and sweep against skimage and numpy, one image at a time; results on disk."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers import tiny
from helpers.tiny import light as light
from skimage.color import lab2rgb, rgb2lab
from skimage.metrics import peak_signal_noise_ratio
from torch import Tensor
from torch.utils.data import Subset

from colorize.color.lab import lab_to_rgb, rgb_to_lab, to_uint8
from colorize.data.dataset import ImageDataset
from colorize.errors import DataError, InputError
from colorize.evaluation import evaluate as e
from colorize.evaluation import metrics
from colorize.evaluation.results import load_results, machine, save_results
from colorize.models import EuclideanModel, SimplifiedModel

pytestmark = pytest.mark.usefixtures("light")

METRICS = {
    *("rmse_ab", "rmse_rgb", "psnr", "ssim", "auc"),
    *("colorfulness", "colorfulness_truth", "colorfulness_error"),
}


@pytest.fixture(scope="module")
def images() -> ImageDataset:
    return tiny.dataset(7, first=20)


@pytest.fixture(scope="module")
def net() -> SimplifiedModel:
    """Vivid colors, and batch norm statistics that are not those it began with."""
    model = tiny.vivid_model()
    model.train()
    model.loss({"rgb": torch.from_numpy(tiny.patches(8, 50)).movedim(-1, 1)})
    return model.eval()


def _colorfulness(rgb: np.ndarray) -> float:
    R, G, B = rgb.astype(np.float64).transpose(2, 0, 1)
    rg, yb = R - G, (R + G) / 2 - B
    return float(np.hypot(rg.std(), yb.std()) + 0.3 * np.hypot(rg.mean(), yb.mean()))


def _reference(
    images: ImageDataset, net: SimplifiedModel | e.GreyBaseline, temperature: float | None = None
) -> dict[str, list[float]]:
    """The metrics of each image, by skimage in float64; only the net itself is ours."""
    found: dict[str, list[float]] = {name: [] for name in METRICS - {"ssim"}}
    for i in range(len(images)):
        rgb = images[i]["rgb"].movedim(0, -1).numpy()
        lab = rgb2lab(rgb)
        L = torch.from_numpy(lab[..., :1]).movedim(-1, 0)[None].float()
        ab = net.predict_ab(L, temperature=temperature)[0].movedim(0, -1).double().numpy()
        with np.errstate(all="ignore"):
            floats = lab2rgb(np.dstack((lab[..., :1], ab)))
        colored = np.rint(floats.clip(0, 1) * 255).astype(np.uint8)
        found["rmse_ab"].append(float(np.sqrt(np.mean((ab - lab[..., 1:]) ** 2))))
        found["rmse_rgb"].append(float(np.sqrt(np.mean((colored.astype(float) - rgb) ** 2))))
        found["psnr"].append(peak_signal_noise_ratio(rgb, colored, data_range=255))
        found["colorfulness"].append(_colorfulness(colored))
        found["colorfulness_truth"].append(_colorfulness(rgb))
        found["colorfulness_error"].append(abs(_colorfulness(colored) - _colorfulness(rgb)))
        distance = np.hypot(*(ab - lab[..., 1:]).transpose(2, 0, 1))
        shares = [np.mean(distance <= threshold) for threshold in range(151)]
        found["auc"].append((sum(shares) - (shares[0] + shares[-1]) / 2) / 150)
    return found


def _assert_close(one: Any, other: Any, tolerance: float = 1e-5) -> None:
    assert one.keys() == other.keys()
    for name, value in one.items():
        if isinstance(value, dict):
            _assert_close(value, other[name], tolerance)
        elif value is not None:
            assert value == pytest.approx(other[name], rel=tolerance, abs=tolerance), name


def _without(found: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in found.items() if key != name}


@pytest.mark.filterwarnings("ignore:.*negative Z values")
def test_mean_spread_and_n_agree_with_skimage(images: ImageDataset, net: SimplifiedModel) -> None:
    found = e.evaluate(net, images, batch_size=3)
    assert found["n"] == 7
    assert found.keys() == {"n", "temperature", *METRICS}
    for name, values in _reference(images, net).items():
        assert len(values) == 7
        assert found[name]["mean"] == pytest.approx(np.mean(values), rel=1e-3), name
        assert found[name]["std"] == pytest.approx(np.std(values), rel=1e-2), name
    # The net's colors are far from the truth and from grey, or the above would say little.
    assert found["rmse_ab"]["mean"] > 20 and found["colorfulness"]["mean"] > 20


@pytest.mark.parametrize("with_loss", [False, True])
def test_the_batch_size_changes_nothing(
    images: ImageDataset, net: SimplifiedModel, with_loss: bool
) -> None:
    # 3 leaves a last batch of one image: an average over batches would count it threefold.
    found = [e.evaluate(net, images, batch_size=n, with_loss=with_loss) for n in (1, 3, 7, 32)]
    assert ("loss" in found[0]) == with_loss
    for other in found[1:]:
        if with_loss:
            mean = found[0]["loss"]["mean"]
            assert other["loss"]["mean"] == pytest.approx(mean, rel=1e-5) and mean > 1
        _assert_close(_without(other, "loss"), _without(found[0], "loss"))


def test_the_loss_has_a_mean_and_no_spread(images: ImageDataset, net: SimplifiedModel) -> None:
    with torch.no_grad():
        alone = [float(net.loss({"rgb": images[i]["rgb"][None]})["loss"]) for i in range(7)]
    for size in (1, 3, 7):
        loss = e.evaluate(net, images, batch_size=size, with_loss=True)["loss"]
        assert loss["mean"] == pytest.approx(np.mean(alone), rel=1e-5)
        assert "std" not in loss


def test_a_sweep_is_several_evaluations_with_one_pass_of_the_net(
    images: ImageDataset, net: SimplifiedModel
) -> None:
    temperatures = [1.0, None, 0.2, 0.0]
    passes: list[int] = []
    hook = net.trunk.register_forward_hook(lambda module, given, out: passes.append(len(out)))
    try:
        swept = e.sweep(net, images, temperatures, batch_size=4, with_loss=True)
    finally:
        hook.remove()
    assert passes == [4, 3]
    assert [point["temperature"] for point in swept] == temperatures
    for temperature, point in zip(temperatures, swept, strict=True):
        alone = e.evaluate(net, images, temperature=temperature, batch_size=4, with_loss=True)
        _assert_close(_without(point, "temperature"), _without(alone, "temperature"))
    # None is the model's own, 0.38; a colder one is more vivid.
    own = e.evaluate(net, images, temperature=0.38)
    assert own["rmse_ab"] == pytest.approx(swept[1]["rmse_ab"])
    vivid = [point["colorfulness"]["mean"] for point in swept]
    assert vivid == sorted(vivid)


def test_the_sweep_of_a_study_starts_at_1_and_ends_at_the_mode() -> None:
    assert e.SWEEP[0] == 1 and e.SWEEP[-1] == 0 and 0.38 in e.SWEEP
    assert list(e.SWEEP) == sorted(e.SWEEP, reverse=True)


class Tally(e.Judge):
    """A judge that keeps what it is shown."""

    def __init__(self) -> None:
        self.colored: list[Tensor] = []
        self.batches: list[list[int]] = []

    def update(self, batch: Any, lab: Tensor, ab: Tensor, colored: Tensor) -> dict[str, Tensor]:
        assert torch.equal(to_uint8(lab_to_rgb(torch.cat((lab[:, :1], ab), 1))), colored)
        assert torch.equal(lab, rgb_to_lab(batch["rgb"]))
        self.colored.append(colored)
        self.batches.append(batch["index"].tolist())
        return {"b_star": ab[:, 1].mean((1, 2))}

    def compute(self) -> dict[str, Any]:
        return {"images_seen": {"value": sum(len(batch) for batch in self.batches)}}

    def shares(self) -> dict[str, Tensor]:
        return {"shown": torch.tensor([float(i) for batch in self.batches for i in batch])}


def test_judges_are_shown_every_batch_once_at_their_own_temperature(
    images: ImageDataset, net: SimplifiedModel
) -> None:
    temperatures = [None, 1.0, 0.0]
    judges = [[Tally()], [], [Tally(), Tally()]]
    swept = e.sweep(net, images, temperatures, batch_size=3, judges=judges, per_image=True)
    rgb = torch.stack([images[i]["rgb"] for i in range(7)])
    for temperature, own, found in zip(temperatures, judges, swept, strict=True):
        assert ("b_star" in found) == ("images_seen" in found) == bool(own)
        for judge in own:
            assert judge.batches == [[0, 1, 2], [3, 4, 5], [6]]
            expected = e.colored_batch(net, rgb, temperature=temperature)
            assert torch.equal(torch.cat(judge.colored), expected)
            assert found["images_seen"] == {"value": 7}
    assert not torch.equal(judges[0][0].colored[0], judges[2][0].colored[0])
    lab = torch.from_numpy(rgb2lab(rgb.movedim(1, -1).numpy())).movedim(-1, 1).float()
    with torch.no_grad():
        b_star = net.predict_ab(lab[:, :1])[:, 1].mean((1, 2)).numpy()
    assert swept[0]["b_star"]["mean"] == pytest.approx(b_star.mean(), abs=1e-2)
    assert swept[0]["b_star"]["std"] == pytest.approx(b_star.std(), abs=1e-2)
    # Single images only of the first.
    np.testing.assert_allclose(swept[0]["images"]["b_star"], b_star, atol=2e-2)
    assert ["images" in found for found in swept] == [True, False, False]
    assert swept[0]["images"]["shown"] == list(range(7)) and "shown" not in swept[0]


def test_judges_change_no_other_number(images: ImageDataset, net: SimplifiedModel) -> None:
    plain = e.evaluate(net, images, batch_size=4)
    judged = e.evaluate(net, images, batch_size=4, judges=[Tally()], per_image=True)
    assert judged.keys() - plain.keys() == {"b_star", "images_seen", "images"}
    assert {key: judged[key] for key in plain} == plain
    (swept,) = e.sweep(net, images, [None], batch_size=4)
    assert swept == plain


def test_values_of_single_images_are_in_their_order_and_average_to_the_means(
    images: ImageDataset, net: SimplifiedModel
) -> None:
    found = e.evaluate(net, images, batch_size=3, per_image=True)
    assert found["images"].keys() == METRICS
    alone = [e.evaluate(net, Subset(images, [i])) for i in range(7)]
    for name, values in found["images"].items():
        assert len(values) == 7 and len(set(values)) > 1
        assert [float(f"{value:.4g}") for value in values] == values
        for value, single in zip(values, alone, strict=True):
            assert value == pytest.approx(single[name]["mean"], rel=6e-4, abs=1e-6), name
        assert np.mean(values) == pytest.approx(found[name]["mean"], rel=6e-4), name
        assert np.std(values) == pytest.approx(found[name]["std"], rel=1e-2, abs=1e-3), name
    assert "images" not in e.evaluate(net, images)


def test_grey_is_the_bound(images: ImageDataset) -> None:
    grey = e.GreyBaseline()
    found = e.evaluate(grey, images, batch_size=4)
    expected = _reference(images, grey)
    closed_form = [
        np.sqrt(np.mean(rgb2lab(images[i]["rgb"].movedim(0, -1).numpy())[..., 1:] ** 2))
        for i in range(7)
    ]
    assert found["rmse_ab"]["mean"] == pytest.approx(np.mean(closed_form), rel=1e-4)
    assert found["psnr"]["mean"] == pytest.approx(np.mean(expected["psnr"]), rel=1e-3)
    # Grey to within a level of rounding.
    assert found["colorfulness"]["mean"] < 0.5 < found["colorfulness_truth"]["mean"]
    for size in ((1, 1), (3, 7)):
        assert torch.equal(
            grey.predict_ab(torch.full((2, 1, *size), 50.0)), torch.zeros(2, 2, *size)
        )


def test_a_model_without_temperature(images: ImageDataset) -> None:
    net = EuclideanModel(width=0.02)
    assert e.evaluate(net, images)["n"] == 7
    with pytest.raises(InputError, match="temperature"):
        e.evaluate(net, images, temperature=0.38)
    assert net.training


@pytest.mark.parametrize("training", [True, False])
def test_nothing_else_changes(images: ImageDataset, training: bool) -> None:
    net = tiny.model().train(training)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    random = torch.get_rng_state()
    found = e.evaluate(net, images, with_loss=True)
    assert torch.equal(torch.get_rng_state(), random)
    tiny.assert_same_bits(net.state_dict(), before)
    assert net.training == training
    assert all(p.grad is None for p in net.parameters())
    # In either mode it is the statistics of training that count, not those of the test batch.
    assert found["rmse_ab"] == e.evaluate(net.eval(), images)["rmse_ab"]


def test_the_mode_is_restored_when_evaluation_fails(images: ImageDataset) -> None:
    net = EuclideanModel(width=0.02).train()
    with pytest.raises(InputError):
        e.sweep(net, images, [0.5])
    assert net.training


def test_no_image(images: ImageDataset, net: SimplifiedModel) -> None:
    with pytest.raises(DataError, match="empty"):
        e.evaluate(net, Subset(images, []))


def test_no_temperature_is_not_blamed_on_the_images(
    images: ImageDataset, net: SimplifiedModel
) -> None:
    try:
        assert e.sweep(net, images, []) == []
    except InputError as error:
        assert "temperature" in str(error)


@pytest.mark.parametrize("training", [False, True])
def test_colored_batch_is_what_the_metrics_see(images: ImageDataset, training: bool) -> None:
    net = tiny.vivid_model().train(training)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    rgb = torch.stack([images[i]["rgb"] for i in range(7)])
    for temperature in (None, 0.0):
        colored = e.colored_batch(net, rgb, temperature=temperature)
        assert colored.dtype == torch.uint8 and colored.shape == rgb.shape
        found = e.evaluate(net, images, temperature=temperature)
        for name in ("rmse_rgb", "psnr", "ssim"):
            values = getattr(metrics, name)(colored, rgb)
            assert float(values.mean()) == pytest.approx(found[name]["mean"], rel=1e-4)
    tiny.assert_same_bits(net.state_dict(), before)


def test_colored_batch_of_any_size(net: SimplifiedModel) -> None:
    rgb = torch.randint(0, 256, (2, 3, 13, 21), dtype=torch.uint8)
    assert e.colored_batch(net, rgb).shape == (2, 3, 13, 21)


def test_compare_images_shows_the_same_images_from_grey_to_truth(
    images: ImageDataset, net: SimplifiedModel
) -> None:
    other = tiny.vivid_model(3)
    rows = e.compare_images({"a": net, "b": other}, images, [5, 0, 2], temperature=0.2)
    assert list(rows) == ["grey", "a", "b", "truth"]
    truth = torch.stack([images[i]["rgb"] for i in (5, 0, 2)])
    expected = {
        "grey": e.colored_batch(e.GreyBaseline(), truth),
        "a": e.colored_batch(net, truth, temperature=0.2),
        "b": e.colored_batch(other, truth, temperature=0.2),
        "truth": truth,
    }
    for name, row in rows.items():
        assert all(image.shape == (tiny.CROP, tiny.CROP, 3) for image in row)
        np.testing.assert_array_equal(np.stack(row), expected[name].movedim(1, -1).numpy())
    assert not np.array_equal(rows["a"][0], rows["b"][0])


@pytest.mark.parametrize(
    ("length", "n", "expected"),
    [
        (9, 3, [0, 3, 6]),
        (10, 4, [0, 2, 5, 7]),
        (5, 5, [0, 1, 2, 3, 4]),
        (3, 9, [0, 1, 2]),
        (7, 1, [0]),
        (7, 0, []),
        (0, 3, []),
    ],
)
def test_indices_are_spread_over_the_whole_set(length: int, n: int, expected: list[int]) -> None:
    assert e.spread_indices(length, n) == expected


def test_a_part_that_was_in_another_mode_stays_in_it(images: ImageDataset) -> None:
    """Batch norm is frozen by its mode, which evaluation must give back."""
    net = tiny.model().train()
    frozen = [m for m in net.modules() if isinstance(m, torch.nn.BatchNorm2d)][1]
    frozen.eval()
    e.evaluate(net, images)
    assert net.training and net.trunk.training and not frozen.training


def test_results_come_back_as_they_were(tmp_path: Path, images: ImageDataset) -> None:
    path = tmp_path / "new" / "a.json"
    results: dict[str, Any] = {
        "test": e.evaluate(e.GreyBaseline(), images),
        "machine": machine(),
        "name": "λ",
    }
    assert save_results(results, path) == path
    assert load_results(path) == results
    assert json.loads(path.read_text(encoding="utf-8"))["test"]["n"] == 7
    measured_on = results["machine"]
    assert measured_on["torch"] == torch.__version__ and measured_on["cores"] >= 1
    assert {"platform", "gpu", "python"} <= measured_on.keys()


def test_a_list_of_numbers_is_one_line(tmp_path: Path) -> None:
    results: dict[str, Any] = {
        "images": {"psnr": [20.5, float("inf"), -3e-05, 7.0], "ssim": [1.0]},
        "pairs": [[1, 2], [3, 4]],
        "empty": [],
        "classes": ["n01", "n02"],
        "claim": "a [1, 2] in words, [null] and [1,  2]",
    }
    path = save_results(results, tmp_path / "a.json")
    lines = path.read_text(encoding="utf-8").splitlines()
    for name in ("psnr", "ssim"):
        assert sum(line.strip().startswith(f'"{name}": [') and "]" in line for line in lines) == 1
    loaded = load_results(path)
    assert loaded["images"]["psnr"] == [20.5, None, -3e-05, 7.0]
    assert {k: v for k, v in loaded.items() if k != "images"} == {
        k: v for k, v in results.items() if k != "images"
    }


def test_results_that_cannot_be_written_or_read(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    save_results({"n": 1}, path)
    with pytest.raises(TypeError):
        save_results({"n": 2, "bad": torch.zeros(1)}, path)
    assert load_results(path) == {"n": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]
    with pytest.raises(DataError, match=r"no results .*b\.json; train"):
        load_results(tmp_path / "b.json")
    path.write_text('{"n": 1', encoding="utf-8")
    with pytest.raises(DataError, match=r"a\.json is not readable as JSON"):
        load_results(path)


def test_a_perfect_image_does_not_make_the_results_unreadable(tmp_path: Path) -> None:
    """Grey on grey has an infinite PSNR, and JSON knows no infinity."""
    black = ImageDataset("black", tiny.CROP, False, classes=["x"], grey="keep")
    pixels = np.zeros((tiny.CROP, tiny.CROP, 3), np.uint8)
    black.adopt([tiny.Scanned("black", 0, True, pixels)])
    found = e.evaluate(e.GreyBaseline(), black)
    assert found["rmse_rgb"]["mean"] == 0
    path = save_results(found, tmp_path / "a.json")

    def refuse(constant: str) -> Tensor:
        raise AssertionError(f"{constant} is no JSON")

    json.loads(path.read_text(encoding="utf-8"), parse_constant=refuse)
