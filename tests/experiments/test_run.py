"""From an experiment to results: priors and their records, starts, cards, a whole quick run."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import zipfile
from collections.abc import Iterator
from functools import partial
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
from colorize.data.items import ImageDataset
from colorize.errors import CheckpointError, ColorizeError, DataError, TrainingError
from colorize.evaluation.evaluate import SWEEP, GreyBaseline, evaluate
from colorize.evaluation.results import load_results
from colorize.experiments import run as r
from colorize.experiments.catalog import EXPERIMENTS, get_experiment
from colorize.experiments.experiment import Experiment
from colorize.experiments.presets import TINY_DOGS, TINY_VEHICLES
from colorize.experiments.study_a import STUDY_A, STUDY_A_VARIANTS
from colorize.experiments.study_b import STUDY_B
from colorize.models import SimplifiedModel
from colorize.models.checkpoint import load_checkpoint, read_info, save_checkpoint, set_temperature
from colorize.models.hub import load_model
from colorize.training.config import FitOptions

pytestmark = pytest.mark.usefixtures("light")

NAMES = list(STUDY_A)
VARIANTS = list(STUDY_A_VARIANTS)
# Of study B one experiment of each kind; the others are variants of the same net.
OTHERS = [f"ncd-{kind}" for kind in ("color", "class", "joint", "residual", "bins", "adadelta")]
REBALANCED = [name for name in NAMES if EXPERIMENTS[name].prior]
QUIET = FitOptions(progress=False)


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


def _with(experiment: Experiment, **changes: Any) -> Experiment:
    return dataclasses.replace(experiment, recipe=dataclasses.replace(experiment.recipe, **changes))


def _few() -> r.Splits:
    """Six patches of 64 px."""
    some = partial(tiny.dataset, size=64, side=64, classes=("astronaut", "nobody"))
    train = some(2, train=True)
    parts = [some(n, first=first) for n, first in ((1, 20), (3, 40))]
    return r.Splits(train, *parts)


@pytest.fixture
def imagenet(home: Path) -> np.ndarray:
    """A prior where DOWNLOADER puts that of ImageNet; its own is not ours to carry."""
    prior = np.random.default_rng(0).dirichlet(np.full(313, 0.2))
    path = home / "PRECALCULATED" / "prior-imagenet.npy"
    path.parent.mkdir(parents=True)
    np.save(path, prior)
    return prior


# --- a whole run -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, dict[str, Any]]]:
    """``simplified`` at quick scale for one epoch on the bundled photographs: home and results."""
    home = tmp_path_factory.mktemp("quick")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLORIZE_HOME", str(home))
        experiment = _with(get_experiment("simplified", "quick"), epochs=1)
        with tiny.lightly():
            results = r.run_experiment(experiment, options=QUIET)
        yield home, results


def test_a_quick_run_leaves_its_files(quick: tuple[Path, dict[str, Any]]) -> None:
    home, results = quick
    found = sorted(str(p.relative_to(home).as_posix()) for p in home.rglob("*") if p.is_file())
    assert found == [
        "CHECKPOINTS/quick/simplified-last.safetensors",
        "CHECKPOINTS/quick/simplified.json",
        "CHECKPOINTS/quick/simplified.md",
        "CHECKPOINTS/quick/simplified.safetensors",
        "PRECALCULATED/quick/prior-bundled-smooth-ab.json",
        "PRECALCULATED/quick/prior-bundled-smooth-ab.npy",
        "PRECALCULATED/quick/prior-bundled.json",
        "PRECALCULATED/quick/prior-bundled.npy",
        "PRECALCULATED/quick/q_to_ab.npy",
    ]
    path = home / "CHECKPOINTS" / "quick" / "simplified.json"
    assert load_results(path) == json.loads(json.dumps(results))


def test_the_results_say_what_was_measured(quick: tuple[Path, dict[str, Any]]) -> None:
    home, results = quick
    splits = r.load_splits(get_experiment("simplified", "quick"))
    n = len(splits.train)
    assert results["steps"] == n // 16 and results["images_seen"] == 16 * (n // 16)
    assert results["experiment"]["recipe"]["epochs"] == 1 and results["experiment"]["seed"] == 0
    assert results["curve"][-1]["step"] == results["steps"] and results["seconds"] > 0
    for name in ("train", "val", "test"):
        part = getattr(splits, name)
        assert results["data"][name]["images"] == len(part) > 0
        assert results["data"][name]["grey_left_out"] == len(part.grey)
        assert results["data"][name]["names_sha256"] == r.names_digest(part)
    model = load_model(home / "CHECKPOINTS" / "quick" / "simplified.safetensors")
    assert model.input_size == 64
    assert results["parameters"] == sum(p.numel() for p in model.parameters())
    _assert_tested(results["test"], model, splits.test)
    _assert_tested(results["grey"], GreyBaseline(), splits.test)
    assert results["test"]["n"] == len(splits.test)
    for name in ("sweep", "validation_sweep"):
        assert [point["temperature"] for point in results[name]] == list(SWEEP)
    assert results["validation_sweep"][0]["n"] == len(splits.val) != len(splits.test)
    assert results["precision"] == "float32"
    last = load_model(home / "CHECKPOINTS" / "quick" / "simplified-last.safetensors")
    assert results["test_last"] == evaluate(last, splits.test)
    own = results["sweep"][SWEEP.index(0.38)]
    assert own["rmse_ab"]["mean"] == pytest.approx(results["test"]["rmse_ab"]["mean"], rel=1e-6)
    assert results["machine"]["torch"] == torch.__version__
    info = read_info(home / "CHECKPOINTS" / "quick" / "simplified.safetensors")
    assert (info.extra["experiment"], info.extra["scale"]) == ("simplified", "quick")


def _assert_tested(found: dict[str, Any], model: Any, images: ImageDataset) -> None:
    """The numbers of ``evaluate`` are among them; the field's, or why they are missing, as well."""
    plain = evaluate(model, images)
    assert {key: found[key] for key in plain} == plain
    assert {"auc_rebalanced", "lpips", "fid", "recognized"} <= found.keys()
    for name in ("rmse_ab", "psnr", "colorfulness"):
        values = found["images"][name]
        assert len(values) == len(images)
        assert np.mean(values) == pytest.approx(found[name]["mean"], rel=1e-3)


def test_the_card_tells_what_it_stands_on(quick: tuple[Path, dict[str, Any]]) -> None:
    home, results = quick
    card = (home / "CHECKPOINTS" / "quick" / "simplified.md").read_text(encoding="utf-8")
    machine, test = results["machine"], results["test"]
    for part in (
        "# simplified\n",
        EXPERIMENTS["simplified"].claim,
        f"n = {test['n']}",
        "seed 0",
        machine["platform"],
        f"{machine['cores']} cores" if machine["gpu"] is None else machine["gpu"],
        machine["torch"],
        f"{results['parameters']:,} parameters",
        f"train {results['data']['train']['images']:,}",
        f"{test['psnr']['mean']:.2f} ± {test['psnr']['std']:.2f}",
        "python -m colorize train simplified --scale quick",
        "scikit-image",
    ):
        assert part in card, part
    assert "nan" not in card and "None" not in card


def test_the_prior_of_the_run(quick: tuple[Path, dict[str, Any]]) -> None:
    folder = quick[0] / "PRECALCULATED" / "quick"
    table = np.load(folder / "q_to_ab.npy")
    digest = hashlib.sha256(np.ascontiguousarray(table.astype(np.int64)).tobytes()).hexdigest()
    assert digest == "2a39983ed60d5b52b717842d56d5f766982289e6d5a609582155f437cecc1045"
    splits = r.load_splits(get_experiment("simplified", "quick"))
    counts = np.load(folder / "prior-bundled.npy")
    record = json.loads((folder / "prior-bundled.json").read_text(encoding="utf-8"))
    n = len(splits.train)
    assert record["images"] == n and record["pixels"] == counts.sum() == n * 64 * 64
    assert (record["data_set"], record["split"], record["bins"]) == ("bundled", "train", 313)
    # Nearest bin by brute force in float64; a pixel that is as near to two may go to either.
    some = np.stack([splits.train.image(i)[::4, ::4] for i in range(n)])
    ab = rgb2lab(some.reshape(1, -1, 3))[0, :, 1:]
    nearest = [((part[:, None] - table) ** 2).sum(-1).argmin(1) for part in np.array_split(ab, 40)]
    share = np.bincount(np.concatenate(nearest), minlength=313) / len(ab)
    assert np.abs(share - counts / counts.sum()).sum() < 0.05
    assert np.corrcoef(share, counts)[0, 1] > 0.999
    smooth = load_prior("bundled-smooth-ab", folder=folder)
    assert 0 < float(smooth.max()) < counts.max() / counts.sum()
    model = load_checkpoint(quick[0] / "CHECKPOINTS" / "quick" / "simplified.safetensors")
    assert isinstance(model, SimplifiedModel)
    weights = model.state_dict()["output.class_weights"].double()
    assert float((smooth * weights).sum()) == pytest.approx(1, rel=1e-5)
    expected = 1 / (0.5 * smooth + 0.5 / 313)
    torch.testing.assert_close(weights, expected / (smooth * expected).sum(), rtol=1e-5, atol=0)


def test_fine_tuning_starts_where_the_first_training_was_best(
    quick: tuple[Path, dict[str, Any]],
) -> None:
    folder = quick[0] / "CHECKPOINTS" / "quick"
    experiment = _with(get_experiment("simplified-final", "quick"), epochs=0.1, lr=0.0)
    splits = r.load_splits(experiment)
    few = dataclasses.replace(splits, test=tiny.dataset(2, size=64, side=64))
    options = dataclasses.replace(QUIET, freeze_batchnorm=True, validate_images=1)
    results = r.run_experiment(experiment, splits=few, options=options)
    assert results["steps"] == 1
    # At a rate of 0 nothing moves; had it been initialised anew, all would be different.
    before = tiny.weights(folder / "simplified.safetensors")
    tiny.assert_same_bits(tiny.weights(folder / "simplified-final.safetensors"), before)


@pytest.mark.parametrize("name", [*NAMES, *VARIANTS, *OTHERS])
def test_every_experiment_makes_a_step_at_quick_scale(
    name: str, home: Path, imagenet: np.ndarray
) -> None:
    experiment = _with(get_experiment(name, "quick"), epochs=1, batch_size=2)
    folder = home / "CHECKPOINTS" / "quick"
    if experiment.init_from:
        start = get_experiment(experiment.init_from, "quick")
        first = SimplifiedModel(**start.options)
        save_checkpoint(first, folder / f"{start.name}.safetensors")
    results = r.run_experiment(experiment, splits=_few(), options=QUIET)
    assert results["steps"] == 1 and results["test"]["n"] == 3
    assert np.isfinite(results["curve"][-1]["val_loss"])
    quantized = name in [*NAMES[1:], *VARIANTS, "ncd-bins"]
    assert len(results["sweep"]) == (len(SWEEP) if quantized else 0)
    swept = results.get("validation_sweep", [])
    assert [point["n"] for point in swept] == [1] * len(results["sweep"])
    assert bool(results["test"]["images"]) == (name != "ncd-class")
    model = load_checkpoint(folder / experiment.folder / f"{name}.safetensors")
    assert type(model).__name__ == experiment.model
    assert experiment.options.items() <= model.config.items()
    assert ("top1" in results["test"]) == (name in OTHERS and name != "ncd-color")
    assert ("psnr" in results["test"]) == (name != "ncd-class")
    card = folder / experiment.folder / f"{name}.md"
    assert card.is_file() == (name in NAMES)
    if name in NAMES:
        assert name in card.read_text(encoding="utf-8")
    if quantized:
        weights = model.state_dict()["output.class_weights"]
        assert torch.equal(weights, torch.ones(313)) == (name not in [*REBALANCED, *VARIANTS])


@pytest.mark.parametrize("name", STUDY_B)
def test_every_net_of_study_b_builds_at_small_scale(name: str, home: Path) -> None:
    experiment = get_experiment(name, "small")
    names = ["a", "b", "c"]
    model: Any = r.build_model(experiment, None, home, names)
    assert type(model).__name__ == experiment.model
    assert model.input_size == experiment.recipe.crop == {"n": 128, "d": 64}[name[0]]
    assert experiment.options.items() <= model.config.items()
    raw = model(torch.rand(2, model.in_channels, 64, 64) * 100)
    assert (raw.classes is None) == (model.class_names is None) == (name.endswith("-color"))
    assert raw.classes is None or raw.classes.shape == (2, 3)
    assert (raw.color is None) == ("class" in name)


@pytest.mark.parametrize("name", NAMES)
def test_every_experiment_builds_at_small_scale(name: str, home: Path) -> None:
    experiment = get_experiment(name, "small")
    rebalance = torch.linspace(0.5, 2, 313) if name in REBALANCED else None
    folder = home / "CHECKPOINTS"
    if experiment.init_from:
        first = SimplifiedModel(**get_experiment(experiment.init_from, "small").options)
        save_checkpoint(first, folder / f"{experiment.init_from}.safetensors")
    model = r.build_model(experiment, rebalance, folder)
    assert type(model).__name__ == experiment.model and model.input_size == 64
    if rebalance is not None:
        assert torch.equal(model.state_dict()["output.class_weights"], rebalance)
    # One step on what small scale feeds it, in size.
    raw = model(torch.rand(1, 1, 64, 64) * 100)
    assert raw.shape == (1, 2 if name == "euclidean" else 313, 16, 16)
    raw.square().mean().backward()
    assert all(p.grad is not None for p in model.parameters())


def test_a_run_that_died_before_its_results_were_written_only_writes_them(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    experiment = _with(get_experiment("euclidean", "quick"), epochs=1, batch_size=2)
    folder = home / "CHECKPOINTS" / "quick"

    def full_disk(*arguments: Any) -> None:
        raise OSError("No space left on device")

    with monkeypatch.context() as patch, pytest.raises(OSError, match="No space"):
        patch.setattr(r, "save_results", full_disk)
        r.run_experiment(experiment, splits=_few(), options=QUIET)
    assert not r.is_trained(experiment)
    weights = (folder / "euclidean-last.safetensors").read_bytes()
    results = r.run_experiment(experiment, splits=_few(), options=QUIET, resume=True)
    assert r.is_trained(experiment) and results["test"]["n"] == 3
    assert (folder / "euclidean-last.safetensors").read_bytes() == weights
    assert load_results(folder / "euclidean.json") == json.loads(json.dumps(results))
    again = r.test_again(experiment, splits=_few())
    assert again == json.loads(json.dumps(results))


def test_the_best_weights_are_tested_and_the_last_beside_them(home: Path) -> None:
    experiment, splits = get_experiment("simplified", "quick"), _few()
    folder = home / "CHECKPOINTS" / "quick"
    best, last = (
        tiny.save_tiny(folder / f"simplified{end}.safetensors", tiny.vivid_model(seed))
        for seed, end in enumerate(("", "-last"))
    )
    found = r.run_test(experiment, splits)
    _assert_tested(found["test"], load_model(best), splits.test)
    assert found["test_last"] == evaluate(load_model(last), splits.test)
    assert found["test"] != found["test_last"]
    last.unlink()
    assert r.run_test(experiment, splits)["test_last"] is None


def test_what_an_experiment_grew_from_is_tested_on_its_images(home: Path) -> None:
    """Where the images are others, and with its own weights."""
    experiment, splits = get_experiment("simplified-final", "quick"), _few()
    folder = home / "CHECKPOINTS" / "quick"
    tiny.save_tiny(folder / "simplified-final.safetensors", tiny.vivid_model(0))
    assert not r.run_test(experiment, splits)["beside"], "the bundled photographs are the same"
    other = dataclasses.replace(experiment.data, label="others")
    experiment = dataclasses.replace(experiment, data=other)
    missing = r.run_test(experiment, splits)["beside"]
    assert missing == {"simplified": {"missing": "simplified was not trained yet"}}
    first = tiny.save_tiny(folder / "simplified.safetensors", tiny.vivid_model(1))
    found = r.run_test(experiment, splits)
    assert list(found["beside"]) == ["simplified"]
    _assert_tested(found["beside"]["simplified"], load_model(first), splits.test)
    assert found["beside"]["simplified"]["rmse_ab"] != found["test"]["rmse_ab"]
    # Image by image, so that the two can be compared in pairs.
    for test in (found["test"], found["beside"]["simplified"]):
        assert len(test["images"]["rmse_ab"]) == len(splits.test)


def test_another_seed_leaves_the_files_of_the_first_alone(home: Path) -> None:
    experiment = _with(get_experiment("euclidean", "quick"), epochs=1, batch_size=2)
    folder = home / "CHECKPOINTS" / "quick"
    r.run_experiment(experiment, splits=_few(), options=QUIET)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    second = dataclasses.replace(experiment, seed=1)
    assert r.is_trained(experiment) and not r.is_trained(second)
    r.run_experiment(second, splits=_few(), options=QUIET)
    assert r.is_trained(second)
    assert {name: (folder / name).read_bytes() for name in before} == before
    assert sorted({path.name for path in folder.iterdir()} - set(before)) == [
        "euclidean-seed1-last.safetensors",
        "euclidean-seed1.json",
        "euclidean-seed1.safetensors",
    ]
    one, other = (tiny.weights(folder / f"{n}.safetensors") for n in ("euclidean", second.run))
    assert tiny.largest_difference(one, other) > 0.01


def test_what_keeps_no_weights_is_trained_when_its_numbers_are_there(home: Path) -> None:
    """Of an ablation and of further seeds the weights are not kept, in git for example."""
    first = get_experiment("simplified", "quick")
    others = [
        dataclasses.replace(first, seed=1),
        get_experiment("simplified-patches", "quick"),
        get_experiment("ncd-joint", "quick"),
    ]
    for experiment in (first, *others):
        assert not r.is_trained(experiment)
        path = r.run_folder(experiment) / f"{experiment.run}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{}", encoding="utf-8")
    assert not r.is_trained(first) and all(r.is_trained(other) for other in others)
    tiny.save_tiny(r.run_folder(first) / "simplified.safetensors")
    assert r.is_trained(first)
    for experiment in (first, *others):
        state = r.run_folder(experiment) / f"{experiment.run}.state.pt"
        state.write_bytes(b"of an unfinished run")
        assert not r.is_trained(experiment)


def test_the_digest_of_images_is_of_their_names_in_any_order() -> None:
    one = tiny.dataset(3, first=4)
    expected = hashlib.sha256("\n".join(sorted(one.names)).encode()).hexdigest()
    assert r.names_digest(one) == expected
    turned = ImageDataset("patches", tiny.CROP, False, classes=["astronaut"], grey="keep")
    names = enumerate(reversed(one.names))
    turned.adopt(tiny.Scanned(name, 0, False, tiny.patches(3, 4)[i]) for i, name in names)
    assert r.names_digest(turned) == expected
    assert r.names_digest(tiny.dataset(3, first=5)) != expected
    assert r.names_digest(tiny.dataset(2, first=4)) != expected


def test_a_temperature_that_is_chosen_is_that_of_validation(home: Path) -> None:
    plain = _with(get_experiment("simplified", "quick"), epochs=1, batch_size=2)
    experiment, splits = dataclasses.replace(plain, choose_temperature=True), _few()
    folder = home / "CHECKPOINTS" / "quick"
    for run in (r.run_experiment, r.test_again):
        options: dict[str, Any] = {"options": QUIET} if run is r.run_experiment else {}
        results = run(experiment, splits=splits, **options)
        chosen = r._choose_temperature(results["validation_sweep"])
        for end in ("", "-last"):
            config = load_checkpoint(folder / f"simplified{end}.safetensors").config
            assert config["temperature"] == chosen
        own = results["sweep"][SWEEP.index(chosen)]
        assert results["test"]["rmse_ab"]["mean"] == pytest.approx(own["rmse_ab"]["mean"])
        # As if the default had been another one: it is chosen again.
        set_temperature(folder / "simplified.safetensors", 0.7)


def test_resume_and_refusal_reach_the_run(home: Path) -> None:
    experiment = _with(get_experiment("euclidean", "quick"), epochs=1, batch_size=2)
    state = home / "CHECKPOINTS" / "quick" / "euclidean.state.pt"
    state.parent.mkdir(parents=True)
    state.write_bytes(b"of another run")
    with pytest.raises(TrainingError, match="unfinished run"):
        r.run_experiment(experiment, splits=_few(), options=QUIET)


# --- models and where they start ---------------------------------------------------------------


def test_a_start_that_was_not_trained_says_how(home: Path) -> None:
    experiment = get_experiment("simplified-final", "quick")
    message = r"starts from simplified, .* python -m colorize train simplified --scale quick"
    with pytest.raises(CheckpointError, match=message):
        r.run_experiment(experiment, splits=_few(), options=QUIET)
    assert not (home / "CHECKPOINTS").exists()


def test_a_start_keeps_the_weights_of_its_own_prior(tmp_path: Path) -> None:
    experiment = get_experiment("simplified-final", "quick")
    old, new = torch.full((313,), 3.0), torch.linspace(0.5, 2, 313)
    first = SimplifiedModel(**experiment.options, class_weights=old)
    save_checkpoint(first, tmp_path / "simplified.safetensors")
    model = r.build_model(experiment, new, tmp_path)
    own, its = model.state_dict(), first.state_dict()
    assert torch.equal(own.pop("output.class_weights"), new)
    del its["output.class_weights"]
    tiny.assert_same_bits(own, its)


def test_initial_weights_depend_on_the_seed_alone(tmp_path: Path) -> None:
    experiment = get_experiment("euclidean", "quick")
    found = []
    for drawn, seed in ((1, 0), (2, 0), (1, 5)):
        torch.manual_seed(drawn)
        built = r.build_model(dataclasses.replace(experiment, seed=seed), None, tmp_path)
        found.append(built.state_dict())
    tiny.assert_same_bits(found[0], found[1])
    assert tiny.largest_difference(found[0], found[2]) > 0.01


# --- priors ------------------------------------------------------------------------------------


def test_the_prior_is_counted_once_and_again_when_the_images_change(tmp_path: Path) -> None:
    spec = get_experiment("simplified", "quick").data
    images = Counting(6)
    prior = r.training_prior(spec, images, tmp_path)
    assert images.asked == 6 and float(prior.sum()) == pytest.approx(1)
    assert torch.equal(r.training_prior(spec, images, tmp_path), prior)
    assert torch.equal(r.training_prior(spec, Counting(6), tmp_path), prior)
    assert images.asked == 6
    for others in (Counting(7), Counting(6, first=30)):
        changed = r.training_prior(spec, others, tmp_path)
        assert others.asked == len(others)
        assert not torch.equal(changed, prior)
        record = json.loads((tmp_path / "prior-bundled.json").read_text(encoding="utf-8"))
        assert record["images"] == len(others)
        assert record["pixels"] == len(others) * tiny.SIDE**2
    again = Counting(6)
    assert torch.equal(r.training_prior(spec, again, tmp_path), prior) and again.asked == 6


@pytest.mark.parametrize("lost", ["prior-bundled.npy", "prior-bundled.json"])
def test_a_prior_of_which_a_file_was_lost_is_counted_again(lost: str, tmp_path: Path) -> None:
    spec = get_experiment("simplified", "quick").data
    prior = r.training_prior(spec, Counting(6), tmp_path)
    (tmp_path / lost).unlink()
    again = Counting(6)
    assert torch.equal(r.training_prior(spec, again, tmp_path), prior)
    assert again.asked == 6 and (tmp_path / lost).is_file()


def test_the_prior_counts_whole_images_not_crops(tmp_path: Path) -> None:
    spec = get_experiment("simplified", "quick").data
    images = Counting(5, first=40)
    centers = published_bin_centers().double().numpy()
    counts = np.zeros(313, dtype=np.int64)
    for i in range(5):
        ab = rgb2lab(tiny.patches(5, 40)[i])[..., 1:].reshape(-1, 2)
        counts += np.bincount(((ab[:, None] - centers) ** 2).sum(-1).argmin(1), minlength=313)
    r.training_prior(spec, images, tmp_path)
    found = np.load(tmp_path / "prior-bundled.npy")
    assert found.dtype == np.int64 and found.sum() == counts.sum() == 5 * tiny.SIDE**2
    # Rounding may move a pixel between two bins that are equally near.
    assert np.abs(found - counts).sum() <= 4


def test_weights_of_each_experiment(home: Path, imagenet: np.ndarray, tmp_path: Path) -> None:
    images = tiny.train_set(6)
    folder = tmp_path / "priors"
    found = {
        name: r.experiment_weights(get_experiment(name, "quick"), images, folder)
        for name in NAMES[:6]
    }
    for name in ("euclidean", "unbalanced-onehot", "unbalanced"):
        assert found[name] is None
    mixed = 1 / (0.5 * imagenet + 0.5 / 313)
    expected = mixed / (imagenet * mixed).sum()
    rebalanced = found["rebalanced"]
    assert rebalanced is not None
    np.testing.assert_allclose(rebalanced.numpy(), expected, rtol=1e-5)
    names = {"rebalanced-smooth": "imagenet-smooth-ab", "rebalanced-ours": "bundled-smooth-ab"}
    for name, prior_name in names.items():
        prior, weights = load_prior(prior_name, folder=folder), found[name]
        assert weights is not None
        assert float((prior * weights).sum()) == pytest.approx(1, rel=1e-5)
        record = json.loads((folder / f"prior-{prior_name}.json").read_text(encoding="utf-8"))
        assert record["smoothing"] == "ab" and record["of"] in ("prior-imagenet", "prior-bundled")
        assert record["sigma"] == 5 and record["kind"] == "probabilities"
    # Smoothed, imagenet's single bins no longer stand out.
    smooth = load_prior("imagenet-smooth-ab", folder=folder)
    assert float(smooth.max()) < imagenet.max()
    along = dataclasses.replace(get_experiment("rebalanced-smooth", "quick"), smoothing="index")
    other = r.experiment_weights(along, images, folder)
    assert other is not None and found["rebalanced-smooth"] is not None
    assert not torch.allclose(other, found["rebalanced-smooth"], rtol=1e-2)
    assert (folder / "prior-imagenet-smooth-index.npy").is_file()


def test_lambda_1_weighs_all_bins_alike(tmp_path: Path) -> None:
    experiment = dataclasses.replace(get_experiment("rebalanced-ours", "quick"), lam=1.0)
    weights = r.experiment_weights(experiment, tiny.train_set(4), tmp_path)
    torch.testing.assert_close(weights, torch.ones(313))


@pytest.mark.parametrize("name", ["rebalanced", "rebalanced-smooth"])
def test_without_imagenets_prior_the_command_that_brings_it(name: str, home: Path) -> None:
    experiment = get_experiment(name, "quick")
    with pytest.raises(DataError, match=r"python DOWNLOADER/download\.py imagenet-prior"):
        r.run_experiment(experiment, splits=_few(), options=QUIET)
    assert not (home / "CHECKPOINTS").exists()


# --- data --------------------------------------------------------------------------------------


def test_results_of_a_scale_lie_apart() -> None:
    folder = Path("somewhere")
    assert r.scale_folder(folder, "small") == folder
    assert {r.scale_folder(folder, scale) for scale in ("quick", "paper")} == {
        folder / "quick",
        folder / "paper",
    }


@pytest.mark.parametrize("scale", ["paper", "small"])
def test_a_data_set_that_is_missing_says_how_to_get_it(scale: str, home: Path) -> None:
    with pytest.raises(DataError, match=r"DOWNLOADER/download\.py"):
        r.load_splits(get_experiment("simplified", scale))


@pytest.fixture(scope="module")
def tiny_imagenet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive as Tiny ImageNet's own, of patches in 15 vehicle and 6 dog classes and one more.

    The first image of the first class is grey, and one file is no image.
    """
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


def test_small_splits_are_disjoint_and_hold_their_classes(tiny_imagenet: Path) -> None:
    for name, classes in (("simplified", TINY_VEHICLES), ("simplified-final", None)):
        splits = r.load_splits(get_experiment(name, "small"), tiny_imagenet)
        expected = sorted(classes or [*TINY_VEHICLES, *TINY_DOGS])
        parts = [splits.train, splits.val, splits.test]
        seen = [set(part.names) for part in parts]
        n = len(expected)
        assert sum(len(s) for s in seen) == len(set().union(*seen)) == 10 * n - 1
        assert abs(len(splits.train) - 8 * n) <= 1
        for part in parts:
            assert part.classes == expected
            assert part.size == 64
            assert {part.classes[label] for label in part.labels} == set(expected)
        assert [part.train for part in parts] == [True, False, False]
        assert sum(len(part.grey) for part in parts) == 1
        assert sum(len(part.rejected) for part in parts) == 1


def test_the_images_of_the_final_test_were_not_trained_on_before(tiny_imagenet: Path) -> None:
    """simplified-final starts from simplified: what tests it must not have trained that."""
    first = r.load_splits(get_experiment("simplified", "small"), tiny_imagenet)
    final = r.load_splits(get_experiment("simplified-final", "small"), tiny_imagenet)
    assert not set(final.test.names) & set(first.train.names)
    assert set(first.test.names) <= set(final.test.names)


def test_quick_splits_share_no_photograph() -> None:
    splits = r.load_splits(get_experiment("simplified", "quick"))
    photographs = [
        {part.classes[label] for label in part.labels}
        for part in (splits.train, splits.val, splits.test)
    ]
    assert sum(len(p) for p in photographs) == len(set().union(*photographs)) == 8


def test_classes_that_the_data_do_not_have(tmp_path: Path) -> None:
    for wnid in ("n01", "n02"):
        for i in range(3):
            path = tmp_path / wnid / f"{i}.png"
            path.parent.mkdir(exist_ok=True)
            Image.fromarray(tiny.patches(1, i)[0]).save(path)
    with pytest.raises(ColorizeError, match="n02814533"):
        r.load_splits(get_experiment("simplified", "small"), tmp_path)
