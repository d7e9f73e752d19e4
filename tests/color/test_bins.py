"""The bins against the published table, encoding and decoding against float64 brute force."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch
from skimage.color import rgb2lab
from torch import Tensor

from colorize.color import bins as q
from colorize.errors import InputError, NotFiniteError

PUBLISHED_SHA256 = "2a39983ed60d5b52b717842d56d5f766982289e6d5a609582155f437cecc1045"
EXTRAS = {(40, 90), (100, -90), (100, -10), (100, 0)}


@pytest.fixture(scope="module")
def centers() -> Tensor:
    return q.published_bin_centers()


def _plane(step: float, offset: float = 0.0) -> Tensor:
    """Points over the square of +-127.99, its border and corners among them: (1, 2, n, n)."""
    inner = torch.arange(-127.5 + offset, 127.9, step)
    axis = torch.cat((torch.tensor([-127.99]), inner, torch.tensor([127.99])))
    return torch.stack(torch.meshgrid(axis, axis, indexing="ij"))[None]


def _in_gamut(n: int) -> Tensor:
    """ab of random 8-bit colors by scikit-image: (1, 2, 1, n)."""
    rgb = np.random.default_rng(5).integers(0, 256, (1, n, 3)).astype(np.uint8)
    return torch.from_numpy(rgb2lab(rgb)[..., 1:]).float().movedim(-1, 0)[None]


def _distances(ab: Tensor, centers: Tensor) -> np.ndarray:
    """Every distance of every pixel, float64, (pixels, Q)."""
    points = ab.movedim(1, -1).reshape(-1, 1, 2).double().numpy()
    return np.sqrt(((points - centers.double().numpy()) ** 2).sum(-1))


def _check_encoding(ab: Tensor, centers: Tensor, k: int, sigma: float, found: tuple) -> None:
    n, _, h, w = ab.shape
    indices, weights = found
    assert indices.shape == weights.shape == (n, k, h, w)
    assert indices.dtype == torch.int64 and weights.dtype == torch.float32
    index = indices.movedim(1, -1).reshape(-1, k).numpy()
    weight = weights.movedim(1, -1).reshape(-1, k).double().numpy()
    distance = _distances(ab, centers)
    order = np.argsort(distance, axis=1, kind="stable")
    ranked = np.take_along_axis(distance, order, 1)
    chosen = np.take_along_axis(distance, index, 1)
    # Among equals any may come first; the distances say whether the choice was right.
    np.testing.assert_allclose(chosen, ranked[:, :k], atol=1e-4, rtol=0)
    assert all(len(set(row)) == k for row in index.tolist())
    gaps = np.diff(np.pad(ranked, ((0, 0), (1, 1)), constant_values=((0, 0), (-1e9, 1e9))))
    clear = (gaps[:, :k] > 1e-3) & (gaps[:, 1 : k + 1] > 1e-3)
    np.testing.assert_array_equal(index[clear], order[:, :k][clear])
    gaussian = np.exp((ranked[:, :1] ** 2 - ranked[:, :k] ** 2) / (2 * sigma**2))
    # A narrow Gaussian multiplies the rounding of large float32 distances.
    atol = 1e-5 * max(1, (5 / sigma) ** 2)
    np.testing.assert_allclose(weight, gaussian / gaussian.sum(1, keepdims=True), atol=atol, rtol=0)
    np.testing.assert_allclose(weight.sum(1), 1, atol=1e-6)


def test_table_is_the_published_one(centers: Tensor) -> None:
    raw = centers.numpy().astype(np.int64).tobytes(order="C")
    assert hashlib.sha256(raw).hexdigest() == PUBLISHED_SHA256
    assert centers.dtype == torch.float32 and torch.equal(q.make_bin_centers(), centers)


def test_every_color_of_the_cube_lies_between_its_four_bins(centers: Tensor) -> None:
    level = np.array([*range(0, 256, 5)], np.uint8)
    cube = np.stack(np.meshgrid(level, level, level, indexing="ij"), -1).reshape(1, -1, 3)
    cells = np.unique(np.floor(rgb2lab(cube)[0, :, 1:] / 10).astype(int), axis=0)
    corners = {(10 * (a + i), 10 * (b + j)) for a, b in cells for i in (0, 1) for j in (0, 1)}
    table = {(int(a), int(b)) for a, b in centers}
    assert corners <= table
    # The strided cube misses a few thin corners of the gamut, never the bulk of it.
    assert table >= EXTRAS and len(table - corners) < 20 and not EXTRAS & corners


def test_table_is_saved_where_it_belongs(home: Path) -> None:
    path = q.save_bin_centers()
    assert path == home.resolve() / "PRECALCULATED" / "q_to_ab.npy"
    table = np.load(path, allow_pickle=False)
    assert table.dtype == np.int64 and table.flags.c_contiguous
    assert hashlib.sha256(table.tobytes()).hexdigest() == PUBLISHED_SHA256
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("sigma", [2.0, 40.0])
@pytest.mark.parametrize("k", [1, 5, 10])
def test_encoding_equals_brute_force(centers: Tensor, k: int, sigma: float) -> None:
    anywhere = (torch.rand(2, 2, 30, 20) * 2 - 1) * 127
    bins = q.ABBins(centers)
    for ab in (anywhere, _in_gamut(1500), centers.T[None, :, None, :], _plane(5)):
        _check_encoding(ab, centers, k, sigma, q.soft_encode(ab, centers, k, sigma))
        _check_encoding(ab, centers, k, sigma, bins.encode(ab, k, sigma))
        index, distance = bins.nearest(ab), _distances(ab, centers)
        assert index.dtype == torch.int64 and index.shape == (len(ab), *ab.shape[2:])
        chosen = np.take_along_axis(distance, index.flatten().numpy()[:, None], 1)[:, 0]
        np.testing.assert_allclose(chosen, distance.min(1), atol=1e-4, rtol=0)


@pytest.mark.parametrize(("rows", "k"), [(60, 7), (3, 3), (1, 1)])
def test_any_table_of_bins(rows: int, k: int) -> None:
    table = (torch.rand(rows, 2) * 2 - 1) * 120
    ab = (torch.rand(1, 2, 25, 25) * 2 - 1) * 127
    for found in (q.soft_encode(ab, table, k, 12.0), q.ABBins(table).encode(ab, k, 12.0)):
        _check_encoding(ab, table, k, 12.0, found)
    _check_decoding(torch.randn(1, rows, 4, 4), table, 0.38)


def test_values_beyond_the_plane_are_cut(centers: Tensor) -> None:
    ab = torch.tensor([[1e4, -1e9, 150.0, 128.0, 3.0], [-300.0, 1e9, 7.0, -42.0, 512.0]])[
        None, :, None
    ]
    expected = q.soft_encode(ab.clamp(-128, 127.999), centers)
    for found in (q.soft_encode(ab, centers), q.ABBins(centers).encode(ab)):
        assert torch.equal(found[0], expected[0])
        torch.testing.assert_close(found[1], expected[1])


def test_half_precision_and_layouts_are_encoded_alike(centers: Tensor) -> None:
    ab = ((torch.rand(2, 2, 9, 7) * 2 - 1) * 100).half()
    bins = q.ABBins(centers.double())
    expected = bins.encode(ab.float())
    for given in (ab, ab.double(), ab.float().to(memory_format=torch.channels_last)):
        assert all(map(torch.equal, bins.encode(given), expected))


def _check_decoding(logits: Tensor, centers: Tensor, temperature: float) -> None:
    z = logits.double().movedim(1, -1).numpy()
    p = np.exp((z - z.max(-1, keepdims=True)) / temperature)
    expected = (p / p.sum(-1, keepdims=True)) @ centers.double().numpy()
    ab = q.annealed_mean(logits, centers, temperature)
    assert ab.dtype == torch.float32 and ab.shape == (len(logits), 2, *logits.shape[2:])
    np.testing.assert_allclose(ab.movedim(1, -1).double().numpy(), expected, atol=1e-3, rtol=0)


@pytest.mark.parametrize("temperature", [1e-6, 0.1, 0.38, 1.0, 10.0])
@pytest.mark.parametrize("scale", [1.0, 30.0, 1e4])
def test_annealed_mean_equals_the_closed_form(
    centers: Tensor, temperature: float, scale: float
) -> None:
    logits = torch.randn(2, 313, 6, 5) * scale
    before = logits.clone()
    _check_decoding(logits, centers, temperature)
    assert torch.equal(logits, before)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("scale", [1.0, 1e4])
def test_temperature_zero_is_the_mode(centers: Tensor, dtype: torch.dtype, scale: float) -> None:
    logits = (torch.randn(2, 313, 5, 4) * scale).to(dtype)
    ab = q.annealed_mean(logits, centers, 0)
    best = logits.float().movedim(1, -1).numpy().argmax(-1)
    assert ab.dtype == torch.float32
    assert torch.equal(ab, centers[torch.from_numpy(best)].movedim(-1, 1))


@pytest.mark.parametrize("temperature", [0, 1e-300, 1e-6, 0.38, 1.0])
def test_logits_of_any_size_stay_finite(centers: Tensor, temperature: float) -> None:
    for extreme in (1e4, -1e4, 3e38):
        logits = torch.full((1, 313, 1, 2), -extreme)
        logits[0, 77, 0, 0], logits[0, 200, 0, 1] = extreme, extreme
        ab = q.annealed_mean(logits, centers, temperature)
        assert ab.isfinite().all()
        if extreme > 0:
            torch.testing.assert_close(ab[0, :, 0].T, centers[[77, 200]], atol=1e-4, rtol=0)


@pytest.mark.parametrize("temperature", [0, 0.38, 5.0])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_logits_are_decoded_in_float32(
    centers: Tensor, dtype: torch.dtype, temperature: float
) -> None:
    logits = (torch.randn(2, 313, 6, 6) * 4).to(dtype)
    expected = q.annealed_mean(logits.float(), centers, temperature)
    with torch.autocast("cpu", torch.bfloat16):
        under = q.annealed_mean(logits, centers, temperature)
        wide = q.annealed_mean(logits.float(), centers, temperature)
    for ab in (q.annealed_mean(logits, centers, temperature), under, wide):
        assert ab.dtype == torch.float32 and torch.equal(ab, expected)


def test_bad_arguments(centers: Tensor) -> None:
    ab, logits = torch.zeros(1, 2, 2, 2), torch.zeros(1, 313, 2, 2)
    for subject, call in (
        ("ab", lambda: q.soft_encode(ab[0], centers)),
        ("ab", lambda: q.ABBins(centers).nearest(ab.long())),
        ("k", lambda: q.soft_encode(ab, centers, 0)),
        ("k", lambda: q.ABBins(centers).encode(ab, 314)),
        ("k", lambda: q.soft_encode(ab, centers, "5")),  # type: ignore[arg-type]
        ("sigma", lambda: q.ABBins(centers).encode(ab, sigma=0)),
        ("sigma", lambda: q.soft_encode(ab, centers, sigma=1e-30)),
        ("sigma", lambda: q.soft_encode(ab, centers, sigma=1e160)),
        ("bin_centers", lambda: q.ABBins(centers.T)),
        ("logits", lambda: q.annealed_mean(logits[:, 1:], centers)),
        ("temperature", lambda: q.annealed_mean(logits, centers, -0.1)),
    ):
        with pytest.raises(InputError, match=f"^{subject}:"):
            call()


@pytest.mark.parametrize("temperature", [0, 0.38])
def test_logits_that_are_no_numbers_are_refused(centers: Tensor, temperature: float) -> None:
    logits = torch.zeros(2, 313, 2, 2)
    logits[:, :-1] = -torch.inf
    last = centers[-1].view(2, 1, 1).expand(2, 2, 2, 2)
    assert torch.equal(q.annealed_mean(logits, centers, temperature), last)
    for wrong, where in ((torch.nan, 5), (torch.inf, 5), (-torch.inf, -1)):
        damaged = logits.clone()
        damaged[1, where, 0, 1] = wrong
        with pytest.raises(NotFiniteError, match="logits"):
            q.annealed_mean(damaged, centers, temperature)


def test_nan_and_no_image_are_refused() -> None:
    ab = torch.zeros(3, 2, 4, 4)
    ab[2, 1, 0, 0] = torch.nan
    centers = q.published_bin_centers()
    for encode in (lambda x: q.soft_encode(x, centers), q.ABBins(centers).encode):
        with pytest.raises(InputError, match=r"ab.* 2$"):
            encode(ab)
        with pytest.raises(InputError, match="ab"):
            encode(ab[:0])
