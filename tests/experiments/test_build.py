"""What a run starts from: images that are in one split only, priors, starts; images to show."""

from __future__ import annotations

import dataclasses
import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers import tiny
from helpers.tiny import light as light
from PIL import Image
from skimage.color import rgb2lab

from colorize.color.bins import published_bin_centers
from colorize.color.prior import load_prior
from colorize.data.dataset import ImageDataset
from colorize.errors import ColorizeError, DataError, MissingPriorError
from colorize.experiments import build
from colorize.experiments.catalog import EXPERIMENTS, get_experiment
from colorize.experiments.examples import example_images
from colorize.experiments.files import run_files
from colorize.experiments.presets import TINY_DOGS, TINY_VEHICLES
from colorize.models import MODEL_CLASSES, SimplifiedModel
from colorize.models.checkpoint import save_checkpoint

pytestmark = pytest.mark.usefixtures("light")

SPEC = get_experiment("simplified", "quick").data


class Counting(ImageDataset):
    """A training set that counts how often a whole image is asked for."""

    def __init__(self, count: int, first: int = 0) -> None:
        super().__init__("patches", tiny.CROP, True, classes=["astronaut"], grey="keep")
        cut = enumerate(tiny.patches(count, first), first)
        self.adopt(tiny.Scanned(f"patch-{i}", 0, False, patch) for i, patch in cut)
        self.asked = 0

    def image(self, index: int) -> np.ndarray:
        self.asked += 1
        return super().image(index)


@pytest.mark.parametrize("lost", ["prior-bundled.npy", "prior-bundled.json", None])
def test_the_prior_is_counted_once_and_again_when_it_must(lost: str | None, tmp_path: Path) -> None:
    images = Counting(6)
    prior = build.training_prior(SPEC, images, tmp_path)
    assert torch.equal(build.training_prior(SPEC, images, tmp_path), prior)
    assert images.asked == 6
    if lost:
        (tmp_path / lost).unlink()
        assert torch.equal(build.training_prior(SPEC, images, tmp_path), prior)
        assert images.asked == 12
    others = Counting(6, first=30)
    assert not torch.equal(build.training_prior(SPEC, others, tmp_path), prior)
    record = json.loads((tmp_path / "prior-bundled.json").read_text(encoding="utf-8"))
    assert others.asked == record["images"] == 6 and record["pixels"] == 6 * tiny.SIDE**2


def test_the_prior_counts_whole_images_not_crops(tmp_path: Path) -> None:
    centers = published_bin_centers().double().numpy()
    counts = np.zeros(313, dtype=np.int64)
    for patch in tiny.patches(5, 40):
        ab = rgb2lab(patch)[..., 1:].reshape(-1, 2)
        counts += np.bincount(((ab[:, None] - centers) ** 2).sum(-1).argmin(1), minlength=313)
    build.training_prior(SPEC, Counting(5, first=40), tmp_path)
    counted = np.load(tmp_path / "prior-bundled.npy")
    assert counted.dtype == np.int64 and counted.sum() == counts.sum()
    # Rounding may move a pixel between two bins that are equally near.
    assert np.abs(counted - counts).sum() <= 4


def test_class_weights_of_each_experiment(home: Path, imagenet: np.ndarray) -> None:
    folder, images = home / "PRECALCULATED" / "quick", tiny.train_set(6)

    def weights(name: str, **changes: Any) -> torch.Tensor | None:
        experiment = dataclasses.replace(get_experiment(name, "quick"), **changes)
        return build.experiment_class_weights(experiment, images)

    assert weights("euclidean") is None and weights("unbalanced") is None
    mixed = 1 / (0.5 * imagenet + 0.5 / 313)
    expected = mixed / (imagenet * mixed).sum()
    np.testing.assert_allclose(weights("rebalanced"), expected, rtol=1e-5)
    found = {}
    for name, prior in {
        "rebalanced-smooth-ab": "imagenet-smooth-ab",
        "rebalanced-smooth-index": "imagenet-smooth-index",
        "rebalanced-smooth-ab-wide": "imagenet-smooth-ab-14.1",
    }.items():
        found[name] = own = weights(name)
        assert own is not None
        assert float((load_prior(prior, folder=folder) * own).sum()) == pytest.approx(1, rel=1e-5)
    one, other = (found[f"rebalanced-smooth-{kind}"] for kind in ("ab", "index"))
    assert one is not None and other is not None and not torch.allclose(one, other, rtol=1e-2)
    # λ = 1 weighs all bins alike.
    torch.testing.assert_close(weights("rebalanced-ours", lam=1.0), torch.ones(313))


def test_without_imagenets_prior_the_command_that_brings_it(home: Path) -> None:
    with pytest.raises(MissingPriorError, match=r"download\.py imagenet-prior"):
        build.experiment_class_weights(get_experiment("rebalanced", "quick"), tiny.train_set(2))


@pytest.mark.parametrize("name", [n for n, e in EXPERIMENTS.items() if not e.pretrained])
def test_every_model_builds_at_small_scale(name: str, home: Path) -> None:
    experiment = get_experiment(name, "small")
    if experiment.init_from:
        start = run_files(get_experiment(experiment.init_from, "small")).tested
        save_checkpoint(MODEL_CLASSES[experiment.model](**experiment.options), start)
    class_weights = torch.linspace(0.5, 2, 313) if experiment.prior else None
    model: Any = build.build_model(experiment, class_weights, ["a", "b", "c"])
    assert type(model).__name__ == experiment.model
    assert model.input_size == experiment.recipe.crop
    assert experiment.options.items() <= model.config.items()
    if class_weights is not None:
        assert torch.equal(model.state_dict()["output.class_weights"], class_weights)


def test_a_start_keeps_the_weights_of_its_own_prior(home: Path) -> None:
    experiment = get_experiment("simplified-final", "quick")
    first = SimplifiedModel(**experiment.options, class_weights=torch.full((313,), 3.0))
    save_checkpoint(first, run_files(get_experiment("simplified", "quick")).tested)
    new = torch.linspace(0.5, 2, 313)
    model = build.build_model(dataclasses.replace(experiment, seed=1), new)
    state, start = model.state_dict(), first.state_dict()
    assert torch.equal(state.pop("output.class_weights"), new)
    del start["output.class_weights"]
    tiny.assert_same_bits(state, start)


def test_initial_weights_depend_on_the_seed_alone() -> None:
    states = []
    for drawn, seed in ((1, 0), (2, 0), (1, 5)):
        torch.manual_seed(drawn)
        model = build.build_model(get_experiment("euclidean", "quick", seed), None)
        states.append(model.state_dict())
    tiny.assert_same_bits(states[0], states[1])
    assert tiny.largest_difference(states[0], states[2]) > 0.01


@pytest.fixture(scope="module")
def tiny_imagenet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive like Tiny ImageNet's; its first image is grey, and one file is no image."""
    path = tmp_path_factory.mktemp("archive") / "tiny-imagenet.zip"
    classes = [*TINY_VEHICLES, *TINY_DOGS, "n09999999"]
    rng = np.random.default_rng(0)
    with zipfile.ZipFile(path, "w") as archive:
        for wnid in classes:
            for i in range(10):
                small = rng.integers(0, 256, (4, 4, 3), dtype=np.uint8)
                image = Image.fromarray(small).resize((64, 64), Image.Resampling.BICUBIC)
                if (wnid, i) == (TINY_VEHICLES[0], 0):
                    image = image.convert("L").convert("RGB")
                file = io.BytesIO()
                image.save(file, "JPEG")
                name = f"tiny-imagenet-200/train/{wnid}/images/{wnid}_{i}.JPEG"
                archive.writestr(name, file.getvalue())
        archive.writestr(f"tiny-imagenet-200/train/{classes[1]}/images/bad.JPEG", b"no image")
    return path


def test_splits_are_disjoint_and_hold_their_classes(tiny_imagenet: Path) -> None:
    loaded = {}
    for name, classes in (("simplified", TINY_VEHICLES), ("simplified-final", None)):
        splits = loaded[name] = build.load_splits(get_experiment(name, "small"), tiny_imagenet)
        expected = sorted(classes or [*TINY_VEHICLES, *TINY_DOGS])
        parts = [splits.train, splits.val, splits.test]
        names = [set(part.names) for part in parts]
        assert sum(map(len, names)) == len(set().union(*names)) == 10 * len(expected) - 1
        for part in parts:
            assert part.classes == expected
            assert {part.classes[label] for label in part.labels} == set(expected)
        assert sum(len(part.grey) for part in parts) == 1
        assert sum(len(part.rejected) for part in parts) == 1
    # simplified-final starts from simplified: what tests it must not have trained that.
    assert not set(loaded["simplified-final"].test.names) & set(loaded["simplified"].train.names)


def test_quick_splits_share_no_photograph() -> None:
    splits = build.load_splits(get_experiment("simplified", "quick"))
    photographs = [{part.classes[label] for label in part.labels} for part in vars(splits).values()]
    assert sum(map(len, photographs)) == len(set().union(*photographs)) == 8


def test_data_that_are_not_there(home: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"DOWNLOADER/download\.py"):
        build.load_splits(get_experiment("simplified", "paper"))
    for i in range(3):
        path = tmp_path / "n01" / f"{i}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(tiny.patches(1, i)[0]).save(path)
    with pytest.raises(ColorizeError, match="n02814533"):
        build.load_splits(get_experiment("simplified", "small"), tmp_path)


def test_bundled_photographs_take_the_place_of_a_data_set_that_is_not_here(home: Path) -> None:
    found = example_images("simplified", "small", "", 4)
    assert found.suffix and "not here" in found.source
    assert len(found.indices) == len(found.classes) == 4
    assert set(found.classes) <= set(found.dataset.classes) and "astronaut" in found.dataset.classes


def test_a_root_that_was_asked_for_is_never_replaced(home: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nowhere"):
        example_images("simplified", "small", tmp_path / "nowhere", 4)


def test_the_test_images_of_the_data_set_itself(home: Path, tiny_imagenet: Path) -> None:
    found = example_images("simplified", "small", tiny_imagenet, 3)
    assert found.suffix == "" and 0 < len(found.dataset) < 5 * len(TINY_VEHICLES)
    assert found.dataset.classes == sorted(TINY_VEHICLES)
