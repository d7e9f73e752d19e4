"""evaluate against skimage and numpy, one image at a time; temperatures, shuffled colors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers import tiny
from helpers.tiny import light as light
from skimage.color import lab2rgb, rgb2lab
from skimage.metrics import peak_signal_noise_ratio
from torch import Tensor, nn
from torch.utils.data import DataLoader, Subset

from colorize.color.lab import rgb_to_lab
from colorize.data.dataset import ImageDataset
from colorize.errors import DataError, InputError
from colorize.evaluation import evaluate as e
from colorize.evaluation import metrics
from colorize.evaluation.batches import ColoredBatch, join_rgb
from colorize.evaluation.dataset_metrics import DatasetMetric
from colorize.evaluation.examples import colored_batch
from colorize.evaluation.temperature import SWEEP, choose_temperature, sweep
from colorize.models import ClassificationOnlyModel, Colorizer, EuclideanModel, SimplifiedModel

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


def _stack(images: ImageDataset) -> Tensor:
    return torch.stack([images[i]["rgb"] for i in range(len(images))])


def _reference(images: ImageDataset, net: Colorizer) -> dict[str, list[float]]:
    """Metrics of each image, by skimage in float64; only the net itself is ours."""
    values: dict[str, list[float]] = {name: [] for name in ("rmse_ab", "rmse_rgb", "psnr")}
    for i in range(len(images)):
        rgb = images[i]["rgb"].movedim(0, -1).numpy()
        lab = rgb2lab(rgb)
        L = torch.from_numpy(lab[..., :1]).movedim(-1, 0)[None].float()
        ab = net.predict_ab(L)[0].movedim(0, -1).double().numpy()
        with np.errstate(all="ignore"):
            floats = lab2rgb(np.dstack((lab[..., :1], ab)))
        colored = np.rint(floats.clip(0, 1) * 255).astype(np.uint8)
        values["rmse_ab"].append(float(np.sqrt(np.mean((ab - lab[..., 1:]) ** 2))))
        values["rmse_rgb"].append(float(np.sqrt(np.mean((colored.astype(float) - rgb) ** 2))))
        values["psnr"].append(peak_signal_noise_ratio(rgb, colored, data_range=255))
    return values


def _assert_close(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert one.keys() == other.keys()
    for name, entry in one.items():
        if isinstance(entry, dict):
            assert entry == pytest.approx(other[name], rel=1e-5, abs=1e-5), name


@pytest.mark.filterwarnings("ignore:.*negative Z values")
def test_mean_spread_and_n_agree_with_skimage(images: ImageDataset, net: SimplifiedModel) -> None:
    results = e.evaluate(net, images, batch_size=3)
    assert results["n"] == 7
    assert results.keys() == {"n", "temperature", *METRICS}
    for name, values in _reference(images, net).items():
        assert results[name]["mean"] == pytest.approx(np.mean(values), rel=1e-3), name
        assert results[name]["std"] == pytest.approx(np.std(values), rel=1e-2), name
    # The net's colors are far from the truth and from grey, or the above would say little.
    assert results["rmse_ab"]["mean"] > 20 and results["colorfulness"]["mean"] > 20


def test_the_batch_size_changes_nothing_and_the_loss_has_no_spread(
    images: ImageDataset, net: SimplifiedModel
) -> None:
    with torch.no_grad():
        alone = [float(net.loss({"rgb": images[i]["rgb"][None]})["loss"]) for i in range(7)]
    # 3 leaves a last batch of one image: an average over batches would count it threefold.
    by_size = [e.evaluate(net, images, batch_size=n, with_loss=True) for n in (1, 3, 7)]
    for results in by_size:
        assert results["loss"] == {"mean": pytest.approx(np.mean(alone), rel=1e-5)}
        _assert_close(results, by_size[0])
    _assert_close(
        e.evaluate(net, images), {k: v for k, v in by_size[0].items() if not k.endswith("loss")}
    )


class Tally(DatasetMetric):
    """Keeps what it is shown."""

    def __init__(self) -> None:
        self.batches: list[ColoredBatch] = []

    def update(self, images: ColoredBatch) -> None:
        self.batches.append(images)

    def compute(self) -> dict[str, dict[str, float]]:
        return {"seen": {"value": sum(len(images.lab) for images in self.batches)}}

    def per_image(self) -> dict[str, Tensor]:
        return {"index": torch.cat([images.batch["index"] for images in self.batches]).float()}


def test_several_temperatures_are_several_evaluations_with_one_pass_of_the_net(
    images: ImageDataset, net: SimplifiedModel
) -> None:
    temperatures = [1.0, None, 0.2, 0.0]
    tallies = {temperature: Tally() for temperature in temperatures}
    passes: list[int] = []
    hook = net.trunk.register_forward_hook(lambda module, given, out: passes.append(len(out)))
    chosen = {temperature: [tally] for temperature, tally in tallies.items()}
    points = e.evaluate_at(net, images, chosen, batch_size=4, with_loss=True)
    hook.remove()
    assert passes == [4, 3]
    assert [point["temperature"] for point in points] == temperatures
    rgb = _stack(images)
    for temperature, point in zip(temperatures, points, strict=True):
        alone = e.evaluate(net, images, temperature=temperature, batch_size=4, with_loss=True)
        assert point.pop("seen") == {"value": 7}
        assert point == alone
        # A metric is shown the images that the other metrics measure.
        batches = tallies[temperature].batches
        assert torch.equal(torch.cat([b.truth for b in batches]), rgb)
        colored = torch.cat([b.rgb for b in batches])
        assert torch.equal(colored, colored_batch(net, rgb, temperature=temperature))
        assert torch.equal(colored, torch.cat([join_rgb(b.lab, b.ab) for b in batches]))
        assert float(metrics.psnr(colored, rgb).mean()) == pytest.approx(alone["psnr"]["mean"])
    # None is the model's own, 0.38; a colder one is more vivid.
    own = e.evaluate(net, images, temperature=0.38)
    assert own["rmse_ab"] == pytest.approx(points[1]["rmse_ab"])
    vivid = [point["colorfulness"]["mean"] for point in points]
    assert vivid == sorted(vivid)


def test_values_of_single_images_are_in_their_order_and_average_to_the_means(
    images: ImageDataset, net: SimplifiedModel
) -> None:
    images.labels = [0, 2, 1, 0, 5, 3, 4]
    results = e.evaluate(net, images, batch_size=3, metrics=[Tally()], per_image=True)
    single = results["images"]
    assert single.keys() == {*METRICS, "label", "index"}
    assert single["label"] == images.labels and single["index"] == list(range(7))
    assert "label" not in results
    alone = [e.evaluate(net, Subset(images, [i])) for i in range(7)]
    for name in METRICS:
        expected = [one[name]["mean"] for one in alone]
        assert single[name] == pytest.approx(expected, rel=6e-4, abs=1e-6), name
        assert len(set(single[name])) > 1
        assert np.mean(single[name]) == pytest.approx(results[name]["mean"], rel=6e-4), name
    assert "images" not in e.evaluate(net, images)


def test_shuffled_colors_are_the_models_of_another_image(
    images: ImageDataset, net: SimplifiedModel
) -> None:
    results = e.evaluate_shuffled(net, images, seed=3, batch_size=3, per_image=True)
    lab = rgb_to_lab(_stack(images))
    own = net.predict_ab(lab[:, :1])
    donors = e.derange(7, 3).tolist()
    expected = [
        float(metrics.rmse_ab(own[j : j + 1], lab[i : i + 1, 1:])) for i, j in enumerate(donors)
    ]
    assert results["images"]["rmse_ab"] == pytest.approx(expected, rel=1e-3)
    assert results["n"] == 7 and results.keys() == {*METRICS, "n", "temperature", "images"}
    for n in (2, 3, 50):
        for seed in range(5):
            order = e.derange(n, seed).tolist()
            assert sorted(order) == list(range(n)) and all(i != j for i, j in enumerate(order))
    assert e.derange(50, 0).tolist() == e.derange(50, 0).tolist() != e.derange(50, 1).tolist()
    with pytest.raises(DataError, match="two"):
        e.evaluate_shuffled(net, Subset(images, [0]))


def test_a_model_without_temperature(images: ImageDataset) -> None:
    net = EuclideanModel(width=0.02).train()
    assert e.evaluate(net, images)["n"] == 7
    assert sweep(net, images) == []
    with pytest.raises(InputError, match="temperature"):
        e.evaluate(net, images, temperature=0.38)
    assert net.training, "the mode is restored when evaluation fails"


def test_whole_images_are_measured_as_a_user_gets_them(images: ImageDataset) -> None:
    whole = [images.image(i)[: 30 - i] for i in range(7)]
    truth = e.evaluate_whole(lambda rgb: rgb, whole)
    assert truth["n"] == 7 and truth["rmse_ab"]["mean"] == 0 and truth["ssim"]["mean"] > 0.999
    inverted = e.evaluate_whole(lambda rgb: 255 - rgb, whole, per_image=True)
    expected = [np.sqrt(np.mean((255 - 2.0 * rgb) ** 2)) for rgb in whole]
    assert inverted["images"]["rmse_rgb"] == pytest.approx(expected, rel=1e-3)


def test_floats_are_measured_as_bytes_are(images: ImageDataset, net: SimplifiedModel) -> None:
    floats = [{"rgb": images[i]["rgb"] / 255} for i in range(7)]
    for name, value in e.evaluate(net, images).items():
        if name in METRICS:
            assert e.evaluate(net, floats)[name] == pytest.approx(value, rel=1e-3), name


def test_nothing_else_changes(images: ImageDataset) -> None:
    net = tiny.model().train()
    # Batch norm is frozen by its mode, which evaluation must give back.
    frozen = [m for m in net.modules() if isinstance(m, torch.nn.BatchNorm2d)][1].eval()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    random = torch.get_rng_state()
    results = e.evaluate(net, images, with_loss=True)
    assert torch.equal(torch.get_rng_state(), random)
    tiny.assert_same_bits(net.state_dict(), before)
    assert net.training and net.trunk.training and not frozen.training
    assert all(p.grad is None for p in net.parameters())
    # In either mode it is the statistics of training that count, not those of the test batch.
    assert results["rmse_ab"] == e.evaluate(net.eval(), images)["rmse_ab"]


def test_no_image(images: ImageDataset, net: SimplifiedModel) -> None:
    with pytest.raises(DataError, match="empty"):
        e.evaluate(net, Subset(images, []))


@pytest.mark.usefixtures("home")
def test_a_sweep_has_the_reason_where_the_prior_is_not_here(
    images: ImageDataset, net: SimplifiedModel
) -> None:
    points = sweep(net, images)
    assert [point["temperature"] for point in points] == list(SWEEP)
    assert all(point["auc_rebalanced"].keys() == {"missing"} for point in points)
    ratios = [p["colorfulness"]["mean"] / p["colorfulness_truth"]["mean"] for p in points]
    nearest = min(zip(ratios, SWEEP, strict=True), key=lambda pair: abs(pair[0] - 1))
    assert choose_temperature(points) == nearest[1]


def test_the_chosen_temperature() -> None:
    def point(temperature: float, colorfulness: float, auc: float | None) -> dict[str, Any]:
        return {
            "temperature": temperature,
            "colorfulness": {"mean": colorfulness},
            "colorfulness_truth": {"mean": 40.0},
            "auc_rebalanced": {"missing": "no prior"} if auc is None else {"value": auc},
        }

    # The best accuracy of all is too grey; of those near the truth's colorfulness the better one.
    points = [point(1.0, 20, 0.9), point(0.6, 39, 0.6), point(0.5, 41.5, 0.7), point(0.2, 60, 0.8)]
    assert choose_temperature(points) == 0.5
    assert choose_temperature([point(0.6, 37, None), point(0.5, 41, None)]) == 0.5


@pytest.mark.parametrize(
    "dataset",
    ["a folder", [torch.zeros(3, 32, 32)], [(torch.zeros(3, 32, 32), 0)], DataLoader([{"rgb": 0}])],
    ids=["path", "images", "pairs", "loader"],
)
def test_what_evaluate_does_not_take_is_told(dataset: Any) -> None:
    with pytest.raises(InputError, match=r"dataset: expected a data set .* rgb"):
        e.evaluate(tiny.model(), dataset)


UNEVEN = [{"rgb": torch.zeros(3, side, 32)} for side in (32, 40)]
WRONG_CALLS: dict[str, dict[str, Any]] = {
    "batch_size=1": {"dataset": UNEVEN},
    "batch_size": {"batch_size": 0},
    "temperature": {"temperature": [0.2, 0.3]},
    "metrics": {"metrics": ["lpips"]},
    r"label.*got none": {"model": tiny.iizuka()},
}


@pytest.mark.parametrize("words", WRONG_CALLS)
def test_what_an_evaluation_cannot_do_is_told(words: str) -> None:
    call = {"model": tiny.model(), "dataset": UNEVEN[:1], **WRONG_CALLS[words]}
    with pytest.raises(InputError, match=words):
        e.evaluate(**call)


@pytest.mark.parametrize(
    ("color", "images", "words"),
    [
        (tiny.model(), [], r"partial\(colorize_image, model=model\)"),
        (np.negative, ["photo.jpg"], r"images\[0\]"),
        (lambda rgb: rgb[None], [np.zeros((16, 16, 3), np.uint8)], r"color\(images\[0\]\)"),
    ],
)
def test_what_evaluate_whole_does_not_take_is_told(color: Any, images: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        e.evaluate_whole(color, images)


def test_labels_that_mean_something_else_are_not_measured(tmp_path: Path) -> None:
    """A net knows its classes by name; a data set of others has the same numbers for its own."""
    images, net = tiny.labelled(9), tiny.iizuka(class_names=[*"tuvwxyz"])
    with pytest.warns(UserWarning, match="top1"):
        found = e.evaluate(net, images)
    assert "top1" not in found and found["psnr"]["mean"] > 0
    with pytest.raises(InputError, match="class_names"):
        tiny.run(tmp_path, net=net, train=images, val=images)
    net.class_names = list(images.classes)
    assert "top1" in e.evaluate(net, images)


def test_a_wrapped_model_is_measured_like_the_model_inside() -> None:
    images, model = tiny.val_set(2), tiny.vivid_model()
    expected = e.evaluate(model, images)
    assert e.evaluate(nn.DataParallel(model), images) == expected  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"model: expected a .*Colorizer, got str"):
        e.evaluate("photo", images)  # type: ignore[arg-type]


def test_metrics_of_labels_against_counting() -> None:
    rng = np.random.default_rng(0)
    logits, label = rng.normal(size=(40, 7)), rng.integers(0, 7, 40)
    found = e.class_metrics(torch.from_numpy(logits).float(), torch.from_numpy(label))
    rank = (logits > logits[np.arange(40), label][:, None]).sum(1)
    np.testing.assert_array_equal(found["top1"].numpy(), rank == 0)
    np.testing.assert_array_equal(found["top5"].numpy(), rank < 5)
    shares = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    np.testing.assert_allclose(
        found["class_loss"], -np.log(shares[np.arange(40), label]), rtol=1e-4
    )


def test_evaluation_has_the_metrics_of_both_branches() -> None:
    images, net = tiny.labelled(9), tiny.iizuka().eval()
    found = e.evaluate(net, images, batch_size=4, with_loss=True)
    rgb = torch.stack([images[i]["rgb"] for i in range(9)])
    with torch.no_grad():
        logits = net(rgb_to_lab(rgb)[:, :1]).classes
    label = torch.tensor(images.labels)
    assert found["top1"]["mean"] == pytest.approx(float((logits.argmax(1) == label).float().mean()))
    loss = float(nn.functional.cross_entropy(logits, label))
    assert found["class_loss"]["mean"] == pytest.approx(loss, rel=1e-4)
    total = found["color_loss"]["mean"] + net.alpha * loss
    assert found["loss"]["mean"] == pytest.approx(total, rel=1e-4)
    assert found["psnr"]["mean"] > 0 and found["n"] == 9
    only = e.evaluate(tiny.iizuka(ClassificationOnlyModel), images)
    assert "top1" in only and "psnr" not in only and "rmse_ab" not in only
