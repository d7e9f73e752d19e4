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

from colorize import paths
from colorize.color import prior as p
from colorize.color.bins import published_bin_centers
from colorize.errors import DataError, InputError, MissingPriorError


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


@pytest.mark.parametrize("sigma", [0.8, 5.0, 30.0])
def test_smoothing_along_the_index_equals_a_convolution(some_prior: Tensor, sigma: float) -> None:
    """A Gaussian cut at 4 sigma over a signal mirrored at both ends."""
    reach = int(4 * sigma + 0.5)
    kernel = np.exp(-(np.arange(-reach, reach + 1) ** 2) / (2 * sigma**2))
    mirrored = np.pad(some_prior.numpy(), reach, mode="symmetric")
    expected = np.convolve(mirrored, kernel / kernel.sum(), mode="valid")
    smoothed = p.smooth_prior_along_index(some_prior, sigma)
    np.testing.assert_allclose(smoothed.numpy(), expected / expected.sum(), rtol=1e-9)


@pytest.mark.parametrize("lam", [0.0, 1e-6, 0.5, 1.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_class_weights_equal_the_closed_form(
    some_prior: Tensor, lam: float, dtype: torch.dtype
) -> None:
    given = ((some_prior + 1e-6) / (some_prior + 1e-6).sum()).to(dtype)
    weights = p.class_weights(given, lam)
    assert weights.dtype == torch.float32 and weights.shape == (313,)
    prior = given.double().numpy()
    expected = 1 / ((1 - lam) * prior + lam / 313)
    expected /= (prior * expected).sum()
    np.testing.assert_allclose(weights.numpy(), expected, rtol=1e-6)
    assert float((given.double() * weights.double()).sum()) == pytest.approx(1, abs=1e-6)


def test_bad_arguments(centers: Tensor, some_prior: Tensor) -> None:
    with pytest.raises(DataError, match="image"):
        p.count_bins([], FEW)
    with pytest.raises(InputError, match=r"^batches:"):
        p.count_bins([{"rgb": torch.zeros(1, 3, 2, 2)}], FEW)  # type: ignore[list-item]
    for lam in (-0.01, 1.01, float("nan"), "half"):
        with pytest.raises(InputError, match=r"^lam:"):
            p.class_weights(some_prior, lam)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="2 bins"):
        p.class_weights(torch.tensor([0.5, 0.0, 0.5, 0.0]), 0)
    with pytest.raises(InputError, match=r"^bin_centers:"):
        p.smooth_prior(some_prior, centers[:-1])
    with pytest.raises(InputError, match=r"^sigma:"):
        p.smooth_prior(some_prior, centers, 0.0)
    for bad in (torch.ones(313), torch.tensor([1.5, -0.5]), torch.tensor([0.5, float("nan")])):
        with pytest.raises(InputError, match=r"^prior:"):
            p.class_weights(bad)


def test_saved_prior_comes_back_with_its_record(home: Path, some_prior: Tensor) -> None:
    record = {"data": "Äpfel", "images": 12, "smoothing": {"sigma": 5.0}}
    path = p.save_prior(some_prior, "fruit", record)
    assert path == home.resolve() / "PRECALCULATED" / "prior-fruit.npy"
    torch.testing.assert_close(p.load_prior("fruit"), some_prior, atol=0, rtol=1e-14)
    written = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    assert written == {"name": "fruit", "kind": "probabilities", "bins": 313, **record}


def test_saved_counts_stay_integers(tmp_path: Path) -> None:
    counts = torch.randint(0, 2**40, (313,))
    path = p.save_prior(counts, "x", {}, folder=tmp_path)
    on_disk = np.load(path, allow_pickle=False)
    assert on_disk.dtype == np.int64 and np.array_equal(on_disk, counts.numpy())
    expected = counts.double() / counts.sum()
    torch.testing.assert_close(p.load_prior("x", folder=tmp_path), expected, atol=0, rtol=1e-14)


def test_missing_priors(home: Path) -> None:
    with pytest.raises(MissingPriorError, match="imagenet-prior"):
        p.load_prior("imagenet")
    with pytest.raises(MissingPriorError, match=r"prior-fruit\.npy"):
        p.load_prior("fruit")


@pytest.mark.parametrize(
    "values",
    [np.zeros(313), np.array([0.5, -0.1]), np.array([0.5, np.nan]), np.array(["a"]), b"<html>"],
    ids=["zero", "negative", "nan", "text", "page"],
)
def test_files_that_hold_no_prior(tmp_path: Path, values: np.ndarray | bytes) -> None:
    path = tmp_path / "prior-x.npy"
    if isinstance(values, bytes):
        path.write_bytes(values)
    else:
        np.save(path, values)
    with pytest.raises(DataError, match=r"prior-x\.npy"):
        p.load_prior("x", folder=tmp_path)


def test_a_prior_of_the_checkout_serves_another_home(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Path(__file__).parents[2] / "PRECALCULATED"
    with pytest.raises(MissingPriorError):
        p.load_prior("ncd")
    monkeypatch.setattr(paths, "shipped_precalculated", lambda: folder)
    assert torch.equal(p.load_prior("ncd"), p.load_prior("ncd", folder=folder))
