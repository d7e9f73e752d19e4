"""Counting, smoothing and weights against float64 brute force; the files that keep them."""

from __future__ import annotations

import json
import weakref
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from skimage.color import rgb2lab
from torch import Tensor

from colorize.color import prior as p
from colorize.color.bins import published_bin_centers
from colorize.errors import DataError, InputError


@pytest.fixture(scope="module")
def centers() -> Tensor:
    return published_bin_centers()


@pytest.fixture
def some_prior() -> Tensor:
    """Sharp as those of photographs: a few bins hold almost everything. float64."""
    prior = torch.rand(313, dtype=torch.float64) ** 12
    return prior / prior.sum()


# Bins enough to count with where their number does not matter.
FEW = torch.tensor([[60.0, 40.0], [0.0, 0.0], [-50.0, 30.0], [20.0, -60.0]])


def _distances(points: np.ndarray, centers: Tensor) -> np.ndarray:
    return np.sqrt(((points[:, None] - centers.double().numpy()) ** 2).sum(-1))


def _unambiguous_colors(centers: Tensor, n: int) -> tuple[np.ndarray, np.ndarray]:
    """(n, 3) uint8 colors whose nearest bin no rounding can change, and these bins."""
    rgb = np.random.default_rng(3).integers(0, 256, (2 * n, 3)).astype(np.uint8)
    distance = _distances(rgb2lab(rgb[None])[0, :, 1:], centers)
    two = np.sort(distance, axis=1)[:, :2]
    clear = two[:, 1] - two[:, 0] > 0.01
    return rgb[clear][:n], distance.argmin(1)[clear][:n]


def _images(rgb: np.ndarray, h: int, w: int) -> Tensor:
    return torch.from_numpy(rgb).view(-1, h, w, 3).permute(0, 3, 1, 2)


def test_counts_equal_brute_force_over_batches_of_any_size(centers: Tensor) -> None:
    rgb, bins = _unambiguous_colors(centers, 4 * 30 * 20 + 50 * 8 * 8 + 7)
    parts = np.split(rgb, [2400, 5600])
    images = [_images(parts[0], 30, 20), _images(parts[1], 8, 8), _images(parts[2], 1, 7)]
    batches = [images[0][:1], images[1], images[0][1:], images[2]]
    expected = np.bincount(bins, minlength=313)
    counted = p.count_bins(iter(batches), centers)
    assert counted.counts.dtype == torch.int64
    np.testing.assert_array_equal(counted.counts.numpy(), expected)
    assert (counted.images, counted.pixels) == (4 + 50 + 1, len(rgb))
    assert counted.prior.dtype == torch.float64 and float(counted.prior.sum()) == pytest.approx(1)
    np.testing.assert_allclose(counted.prior.numpy(), expected / len(rgb), rtol=1e-12)


def test_order_and_type_do_not_matter() -> None:
    rgb, bins = _unambiguous_colors(FEW, 900)
    images = _images(rgb, 10, 10)
    in_turn = (images[:2], images[2:])
    for batches in (in_turn, in_turn[::-1], images.split(1), [images.float() / 255]):
        counted = p.count_bins(batches, FEW)
        np.testing.assert_array_equal(counted.counts.numpy(), np.bincount(bins, minlength=4))


def test_counting_reads_the_data_once_and_one_batch_at_a_time(photo: Tensor) -> None:
    seen: list[weakref.ref[Tensor]] = []

    def stream() -> Iterator[Tensor]:
        for i in range(6):
            # The loop over the batches may still hold the last one, and no other.
            assert sum(batch() is not None for batch in seen) <= 1
            batch = photo[:, :, i * 64 : i * 64 + 64, :64].clone()
            seen.append(weakref.ref(batch))
            yield batch
            del batch

    whole = p.count_bins([photo[:, :, :384, :64]], FEW)
    assert torch.equal(p.count_bins(stream(), FEW).counts, whole.counts)
    assert len(seen) == 6


def test_grey_images_fall_into_the_bin_of_grey() -> None:
    grey = torch.arange(256, dtype=torch.uint8).expand(2, 3, 1, 256)
    counted = p.count_bins([grey], FEW)
    assert counted.counts[1] == counted.pixels == 512


def test_counting_nothing_is_an_error() -> None:
    with pytest.raises(DataError, match="at least one image"):
        p.count_bins([], FEW)
    with pytest.raises(InputError, match=r"\(3, 4, 4\)"):
        p.count_bins([torch.zeros(3, 4, 4, dtype=torch.uint8)], FEW)


@pytest.mark.parametrize("sigma", [1.0, 5.0, 20.0])
def test_smoothing_equals_brute_force(centers: Tensor, some_prior: Tensor, sigma: float) -> None:
    expected = np.zeros(313)
    distance = _distances(centers.double().numpy(), centers)
    for mass, row in zip(some_prior.numpy(), distance, strict=True):
        share = np.exp(-(row**2) / (2 * sigma**2))
        expected += mass * share / share.sum()
    smoothed = p.smooth_prior(some_prior, centers, sigma)
    assert smoothed.dtype == torch.float64
    np.testing.assert_allclose(smoothed.numpy(), expected, atol=1e-12)
    assert float(smoothed.sum()) == pytest.approx(1, abs=1e-12)


def test_smoothing_spreads_to_neighbors_in_color_alike(centers: Tensor) -> None:
    places = {(int(a), int(b)): i for i, (a, b) in enumerate(centers)}
    delta = torch.zeros(313, dtype=torch.float64)
    delta[places[0, 0]] = 1
    smoothed = p.smooth_prior(delta, centers, 5.0)
    near = [smoothed[places[at]] for at in ((10, 0), (-10, 0), (0, 10), (0, -10))]
    for value in near:
        assert float(value / smoothed[places[0, 0]]) == pytest.approx(np.exp(-2))
    # The ends of a column are neighbors in the index and far apart in color.
    last = max(b for a, b in places if a == 0)
    assert places[10, min(b for a, b in places if a == 10)] == places[0, last] + 1
    delta = torch.zeros(313, dtype=torch.float64)
    delta[places[0, last]] = 1
    assert p.smooth_prior(delta, centers, 5.0)[places[0, last] + 1] < 1e-30


def test_a_narrow_gaussian_changes_nothing(centers: Tensor, some_prior: Tensor) -> None:
    torch.testing.assert_close(p.smooth_prior(some_prior, centers, 1e-3), some_prior)


def _along_index(prior: np.ndarray, sigma: float) -> np.ndarray:
    """A Gaussian cut at 4 sigma over a signal mirrored at both ends."""
    reach = int(4 * sigma + 0.5)
    kernel = np.exp(-(np.arange(-reach, reach + 1) ** 2) / (2 * sigma**2))
    mirrored = np.pad(prior, reach, mode="symmetric")
    smoothed = np.convolve(mirrored, kernel / kernel.sum(), mode="valid")
    return smoothed / smoothed.sum()


@pytest.mark.parametrize("sigma", [0.8, 5.0, 30.0])
def test_smoothing_along_the_index_equals_a_convolution(some_prior: Tensor, sigma: float) -> None:
    smoothed = p.smooth_prior_along_index(some_prior, sigma)
    assert smoothed.dtype == torch.float64
    np.testing.assert_allclose(smoothed.numpy(), _along_index(some_prior.numpy(), sigma), rtol=1e-9)


def test_smoothing_along_the_index_wraps_from_yellow_to_blue(centers: Tensor) -> None:
    step = centers.diff(dim=0)
    wrap = int((step[:, 0] == 10).nonzero()[8])
    assert centers[wrap, 1] > 40 and centers[wrap + 1, 1] < -20
    delta = torch.zeros(313, dtype=torch.float64)
    delta[wrap] = 1
    smoothed = p.smooth_prior_along_index(delta)
    assert smoothed[wrap + 1] == pytest.approx(float(smoothed[wrap - 1]), rel=1e-12)
    assert smoothed[wrap + 1] > 0.9 * smoothed[wrap]
    assert p.smooth_prior(delta, centers)[wrap + 1] < 1e-6


@pytest.mark.parametrize("lam", [1e-6, 0.1, 0.5, 0.8, 1.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_class_weights_equal_the_closed_form(
    some_prior: Tensor, lam: float, dtype: torch.dtype
) -> None:
    given = some_prior.to(dtype)
    weights = p.class_weights(given, lam)
    assert weights.dtype == torch.float32 and weights.shape == (313,)
    assert float((some_prior * weights.double()).sum()) == pytest.approx(1, abs=1e-6)
    pr = given.double().numpy()
    expected = 1 / ((1 - lam) * pr + lam / 313)
    expected /= (pr * expected).sum()
    np.testing.assert_allclose(weights.numpy(), expected, rtol=1e-6)


def test_class_weights_at_the_ends_of_lambda(some_prior: Tensor) -> None:
    equal = p.class_weights(some_prior, 1)
    torch.testing.assert_close(equal, torch.ones(313), atol=1e-6, rtol=0)
    positive = (some_prior + 1e-4) / (some_prior + 1e-4).sum()
    inverse = p.class_weights(positive, 0)
    torch.testing.assert_close(inverse.double() * positive, torch.full_like(positive, 1 / 313))
    assert torch.equal(p.class_weights(some_prior), p.class_weights(some_prior, 0.5))


def test_rare_bins_weigh_more(some_prior: Tensor) -> None:
    weights = p.class_weights(some_prior)[some_prior.argsort()]
    assert (weights.diff() <= 0).all() and weights[0] > 10 * weights[-1]


@pytest.mark.parametrize("lam", [-0.01, 1.01, float("nan"), float("inf")])
def test_lambda_out_of_range(some_prior: Tensor, lam: float) -> None:
    with pytest.raises(InputError, match=rf"lam: .*0\.\.1.*{lam}"):
        p.class_weights(some_prior, lam)


def test_an_empty_bin_cannot_have_the_inverse_as_weight() -> None:
    empty = torch.tensor([0.5, 0.0, 0.5, 0.0])
    with pytest.raises(InputError, match=r"2 bins.*infinite"):
        p.class_weights(empty, 0)
    assert p.class_weights(empty, 1e-6).isfinite().all()


@pytest.mark.parametrize(
    "bad",
    [
        torch.ones(313),
        torch.tensor([1.5, -0.5]),
        torch.tensor([0.5, float("nan")]),
        torch.full((2, 2), 0.25),
        torch.tensor([1, 0]),
    ],
    ids=["sum", "negative", "nan", "shape", "integers"],
)
def test_what_is_no_prior(bad: Tensor) -> None:
    table = torch.zeros(len(bad), 2)
    for call in (
        lambda: p.class_weights(bad),
        lambda: p.smooth_prior(bad, table),
        lambda: p.smooth_prior_along_index(bad),
    ):
        with pytest.raises(InputError, match=r"prior"):
            call()


def test_smoothing_names_other_mistakes(centers: Tensor, some_prior: Tensor) -> None:
    with pytest.raises(InputError, match=r"bin_centers.*\(313, 2\).*\(312, 2\)"):
        p.smooth_prior(some_prior, centers[:-1])
    for call in (p.smooth_prior_along_index, lambda x, s: p.smooth_prior(x, centers, s)):
        with pytest.raises(InputError, match=r"sigma.*above 0"):
            call(some_prior, 0.0)


def test_saved_prior_comes_back_with_its_record(home: Path, some_prior: Tensor) -> None:
    record = {"data": "Äpfel", "images": 12, "pixels": 12 * 64 * 64, "smoothing": {"sigma": 5.0}}
    path = p.save_prior(some_prior, "fruit", record)
    assert path == home.resolve() / "PRECALCULATED" / "prior-fruit.npy"
    torch.testing.assert_close(p.load_prior("fruit"), some_prior, atol=0, rtol=1e-14)
    written = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    assert written == {"name": "fruit", "kind": "probabilities", "bins": 313, **record}
    assert len(list(path.parent.iterdir())) == 2


def test_saved_counts_stay_integers(tmp_path: Path, home: Path) -> None:
    counts = torch.randint(0, 2**40, (313,))
    path = p.save_prior(counts, "x", {"data": "d", "images": 1, "pixels": 2}, folder=tmp_path)
    on_disk = np.load(path, allow_pickle=False)
    assert on_disk.dtype == np.int64 and np.array_equal(on_disk, counts.numpy())
    assert json.loads((tmp_path / "prior-x.json").read_text(encoding="utf-8"))["kind"] == "counts"
    expected = counts.double() / counts.sum()
    torch.testing.assert_close(p.load_prior("x", folder=tmp_path), expected, atol=0, rtol=1e-14)
    assert not home.exists()


def test_a_record_that_json_cannot_hold_leaves_nothing(tmp_path: Path, some_prior: Tensor) -> None:
    with pytest.raises((TypeError, ValueError)):
        p.save_prior(some_prior, "x", {"images": torch.tensor(3)}, folder=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_missing_imagenet_prior_names_the_command_that_brings_it(home: Path) -> None:
    with pytest.raises(DataError, match=r"python DOWNLOADER\S*download\.py imagenet-prior"):
        p.load_prior("imagenet")


def test_other_missing_priors_name_the_file(home: Path) -> None:
    with pytest.raises(DataError, match=r"prior-fruit\.npy") as error:
        p.load_prior("fruit")
    assert "imagenet" not in str(error.value) and not home.exists()


def test_prior_of_the_authors_is_read_as_they_published_it(home: Path, some_prior: Tensor) -> None:
    folder = home / "PRECALCULATED"
    folder.mkdir(parents=True)
    np.save(folder / "prior-imagenet.npy", some_prior.numpy())
    assert torch.equal(p.load_prior("imagenet"), some_prior / some_prior.sum())


@pytest.mark.parametrize(
    "values",
    [np.zeros(313), np.array([0.5, -0.1]), np.array([0.5, np.nan]), np.zeros(0), np.array(["a"])],
    ids=["zero", "negative", "nan", "empty", "text"],
)
def test_files_that_hold_no_prior(tmp_path: Path, values: np.ndarray) -> None:
    np.save(tmp_path / "prior-x.npy", values)
    with pytest.raises(DataError, match=r"prior-x\.npy"):
        p.load_prior("x", folder=tmp_path)


@pytest.mark.parametrize("damage", ["empty", "cut", "page", "header"])
def test_damaged_files(tmp_path: Path, some_prior: Tensor, damage: str) -> None:
    path = p.save_prior(some_prior, "x", {}, folder=tmp_path)
    whole = path.read_bytes()
    path.write_bytes(
        {
            "empty": b"",
            "cut": whole[:-100],
            "page": b"<!DOCTYPE html><html></html>",
            "header": whole[:40],
        }[damage]
    )
    with pytest.raises(DataError, match=r"prior-x\.npy"):
        p.load_prior("x", folder=tmp_path)
