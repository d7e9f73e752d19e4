"""Color conversion against scikit-image, and what join_lightness promises, bit by bit."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from skimage.color import lab2rgb, rgb2lab
from torch import Tensor

from colorize.color import lab as color
from colorize.errors import InputError

# Luminance of linear sRGB, CIE 1931: written out here again so that a wrong digit there is seen.
_LUMINANCE = torch.tensor([0.212671, 0.715160, 0.072169], dtype=torch.float64)


def _grid(*axes: Tensor) -> Tensor:
    """All combinations, as one image (1, channels, 1, n)."""
    return torch.cartesian_prod(*axes).T[None, :, None, :]


def _cube_sample() -> Tensor:
    """Corners, edges, an even grid of the inside, and the dark end: (1, 3, 1, n) uint8."""
    level = torch.arange(256)
    ends = torch.tensor([0, 255])
    parts = [
        _grid(*axes) for axes in ((level, ends, ends), (ends, level, ends), (ends, ends, level))
    ]
    grid = torch.tensor([*range(0, 256, 15), 254])
    parts += [_grid(grid, grid, grid), _grid(*[torch.arange(14)] * 3)]
    return torch.cat(parts, 3).to(torch.uint8)


def _reference_lab(rgb: Tensor) -> Tensor:
    """scikit-image in float64 on (N, 3, H, W)."""
    last = rgb.movedim(1, -1).numpy()
    last = last / 255 if rgb.dtype == torch.uint8 else last.astype(np.float64)
    return torch.from_numpy(rgb2lab(last)).movedim(-1, 1)


def _linear(rgb: Tensor) -> Tensor:
    """Bytes to linear light by IEC 61966-2-1, float64."""
    v = rgb.double() / 255
    return torch.where(v > 0.04045, ((v + 0.055) / 1.055) ** 2.4, v / 12.92)


def _grey_level(luminance: Tensor) -> Tensor:
    """The grey level, 0..255 and not rounded, of a luminance."""
    y = luminance.clamp(min=0)
    return 255 * torch.where(y > 0.0031308, 1.055 * y ** (1 / 2.4) - 0.055, 12.92 * y)


def _grey_level_of(rgb: Tensor) -> Tensor:
    return _grey_level((_linear(rgb) * _LUMINANCE.view(1, 3, 1, 1)).sum(1))


def _greys() -> Tensor:
    return torch.arange(256, dtype=torch.uint8).expand(1, 3, 1, 256)


def _luminance_of_lightness(L: Tensor) -> Tensor:
    f = (L.double() + 16) / 116
    return torch.where(f > 0.2068966, f**3, (f - 16 / 116) / 7.787)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.float64])
def test_lab_equals_skimage(dtype: torch.dtype) -> None:
    rgb = _cube_sample()
    given = rgb if dtype == torch.uint8 else (rgb.double() / 255).to(dtype)
    lab = color.rgb_to_lab(given)
    assert lab.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    torch.testing.assert_close(lab.double(), _reference_lab(rgb), atol=1e-3, rtol=0)
    torch.testing.assert_close(color.rgb_to_L(given), lab[:, :1], atol=1e-4, rtol=0)
    between = torch.rand(3, 3, 40, 50).double()
    torch.testing.assert_close(
        color.rgb_to_lab(between), _reference_lab(between), atol=1e-9, rtol=0
    )


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_widened_before_the_conversion(dtype: torch.dtype) -> None:
    rgb = torch.rand(1, 3, 16, 16).to(dtype)
    lab = color.rgb_to_lab(rgb)
    assert lab.dtype == torch.float32
    torch.testing.assert_close(lab.double(), _reference_lab(rgb.double()), atol=1e-3, rtol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.filterwarnings("ignore:Conversion from CIE-LAB")
def test_rgb_equals_skimage(dtype: torch.dtype) -> None:
    lab = torch.rand(1, 3, 200, 200, dtype=torch.float64)
    lab = lab * torch.tensor([100, 260, 260]).view(1, 3, 1, 1)
    lab -= torch.tensor([0, 130, 130]).view(1, 3, 1, 1)
    # scikit-image cuts a negative Z before it mixes the channels; there is no color there.
    real = (lab[:, :1] + 16) / 116 >= lab[:, 2:] / 200
    expected = torch.from_numpy(lab2rgb(lab.movedim(1, -1).numpy())).movedim(-1, 1)
    rgb = color.lab_to_rgb(lab.to(dtype))
    assert rgb.dtype == dtype and rgb.min() >= 0 and rgb.max() <= 1
    assert real.float().mean() > 0.8
    torch.testing.assert_close(rgb.double() * real, expected * real, atol=2e-5, rtol=0)


def test_round_trip_of_the_whole_cube() -> None:
    level = torch.arange(256, dtype=torch.uint8)
    green, blue = torch.meshgrid(level, level, indexing="ij")
    for red in level.split(8):
        rgb = torch.stack([torch.stack((torch.full_like(green, int(r)), green, blue)) for r in red])
        back = color.to_uint8(color.lab_to_rgb(color.rgb_to_lab(rgb)))
        assert torch.equal(back, rgb), f"colors with red in {red.tolist()}"


@pytest.mark.parametrize("gamut", ["clip", "chroma"])
def test_colors_of_the_cube_are_in_gamut(gamut: color.Gamut) -> None:
    rgb = _cube_sample()
    lab = color.rgb_to_lab(rgb)
    assert torch.equal(color.to_uint8(color.lab_to_rgb(lab, gamut=gamut)), rgb)
    torch.testing.assert_close(
        color.lab_to_rgb(lab, gamut=gamut), rgb.float() / 255, atol=5e-6, rtol=0
    )
    assert torch.equal(color.join_lightness(lab[:, :1], lab[:, 1:]), rgb)


def test_one_color_out_of_gamut_leaves_its_neighbors_alone(photo: Tensor) -> None:
    lab = color.rgb_to_lab(photo[:, :, 60:124, 200:264])
    lab = torch.cat((lab, lab))
    before = color.lab_to_rgb(lab, gamut="chroma")
    lab[0, 1:, 3, 5] = torch.tensor([120.0, -90.0])
    lab[1, 1:, 63, 63] = torch.tensor([-120.0, -90.0])
    after = color.lab_to_rgb(lab, gamut="chroma")
    changed = [(0, 3, 5), (1, 63, 63)]
    assert (before != after).any(1).nonzero().tolist() == [list(place) for place in changed]


def _extreme_lab() -> tuple[Tensor, Tensor]:
    """(1, 3, 1, n) of which most is out of gamut, and (1, n) its chroma."""
    L = torch.tensor([0.0, 0.5, 2, 5, 10, 20, 35, 50, 65, 80, 90, 97, 99.5, 100])
    angle = torch.arange(0, 360, 7) * (torch.pi / 180)
    lch = _grid(L, torch.tensor([5.0, 30, 80, 130, 300]), angle).double()
    chroma = lch[:, 1]
    a, b = chroma * lch[:, 2].cos(), chroma * lch[:, 2].sin()
    return torch.stack((lch[:, 0], a, b), 1), chroma


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_chroma_keeps_lightness_and_hue(dtype: torch.dtype) -> None:
    lab, chroma = _extreme_lab()
    rgb = color.lab_to_rgb(lab.to(dtype), gamut="chroma")
    assert rgb.dtype == dtype and rgb.min() >= 0 and rgb.max() <= 1
    back = _reference_lab(rgb)
    # A third of a grey level at black, where a level is 0.27 units of L; less elsewhere.
    torch.testing.assert_close(back[:, 0], lab[:, 0], atol=0.1, rtol=0)
    along = (lab[:, 1:] * back[:, 1:]).sum(1) / chroma
    across = (lab[:, 1] * back[:, 2] - lab[:, 2] * back[:, 1]) / chroma
    assert across.abs().max() < 0.2 and along.min() > -0.2
    assert ((along - chroma) < 0.2).all()


@pytest.mark.filterwarnings("ignore:Conversion from CIE-LAB")
def test_chroma_goes_no_further_than_it_must() -> None:
    lab, chroma = _extreme_lab()
    kept = _reference_lab(color.lab_to_rgb(lab, gamut="chroma"))[:, 1:].norm(dim=1)
    cut = kept < chroma - 0.5
    assert 0.3 < cut.float().mean() < 1
    # One unit of chroma more is a color that no channels in 0..1 can give.
    more = lab.clone()
    more[:, 1:] *= ((kept + 1) / chroma)[:, None]
    shown = torch.from_numpy(lab2rgb(more.movedim(1, -1).numpy())).movedim(-1, 1)
    there_and_back = _reference_lab(shown)
    assert ((there_and_back - more).norm(dim=1)[cut] > 0.02).all()


@pytest.mark.parametrize(
    ("levels", "step"), [(range(32), 2.0), (range(32, 256), 6.0)], ids=["dark", "bright"]
)
def test_colored_grey_turns_back_to_the_same_grey(levels: range, step: float) -> None:
    level = torch.tensor(levels).view(-1, 1, 1, 1)
    axis = torch.arange(-112, 112.1, step)
    ab = _grid(axis, axis).expand(len(levels), -1, -1, -1)
    L = color.rgb_to_L(level.to(torch.uint8).expand(-1, 3, 1, 1)).expand_as(ab[:, :1])
    off = (_grey_level_of(color.join_lightness(L, ab)) - level[:, 0]).abs() >= 0.5
    wrong = [(levels[i], *ab[i, :, 0, j].tolist()) for i, _, j in off.nonzero().tolist()]
    assert not wrong, f"{len(wrong)} of (grey level, a, b), the first: {wrong[:5]}"


def test_lightness_between_the_levels_is_kept_to_half_a_level() -> None:
    L = torch.linspace(0, 100, 100_000).view(1, 1, 1, -1)
    ab = (torch.rand(1, 2, 1, 100_000) * 2 - 1) * 110
    level = _grey_level_of(color.join_lightness(L, ab))
    wanted = _grey_level(_luminance_of_lightness(L[:, 0]))
    assert (level - wanted).abs().max() <= 0.5 + 1e-3


def test_16_bits_hold_every_grey_of_16_bits() -> None:
    level = torch.arange(65536).view(1, 1, 1, -1)
    L = color.rgb_to_L((level / 65535).float().expand(1, 3, 1, -1))
    ab = (torch.rand(1, 2, 1, 65536) * 2 - 1) * torch.linspace(0, 120, 65536)
    ab = ab[..., torch.randperm(65536)]
    rgb = color.join_lightness(L, ab, depth=16)
    assert rgb.dtype == torch.uint16
    linear = rgb.double() / 65535
    linear = torch.where(linear > 0.04045, ((linear + 0.055) / 1.055) ** 2.4, linear / 12.92)
    found = _grey_level((linear * _LUMINANCE.view(1, 3, 1, 1)).sum(1)) * 257
    assert torch.equal(found.round().long(), level[0])
    assert (rgb.double().std(dim=1) > 1000).double().mean() > 0.5


def test_bands_of_join_lightness_are_the_whole(
    photo: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab = color.rgb_to_lab(photo[:, :, :67, :50]) * torch.tensor([1, 2, 2]).view(1, 3, 1, 1)
    lab = torch.cat((lab, lab.flip(2)))
    for depth in (8, 16):
        whole = color.join_lightness(lab[:, :1], lab[:, 1:], depth=depth)
        with monkeypatch.context() as patch:
            patch.setattr(color, "_BAND_PIXELS", 700)
            parts = color.join_lightness(lab[:, :1], lab[:, 1:], depth=depth)
        assert (parts.int() - whole.int()).abs().max() == 0


def test_gradient_after_the_first_use_under_inference_mode() -> None:
    # What a conversion keeps from its first call must serve every later one.
    for convert in (color.rgb_to_lab, color.lab_to_rgb):
        for kept in vars(color).values():
            if hasattr(kept, "cache_clear"):
                kept.cache_clear()
        with torch.inference_mode():
            convert(torch.rand(1, 3, 2, 2))
        values = torch.rand(1, 3, 2, 2, requires_grad=True)
        convert(values).sum().backward()
        assert values.grad is not None and values.grad.isfinite().all()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast_changes_nothing(photo: Tensor, dtype: torch.dtype) -> None:
    rgb = photo[:, :, :64, :64]
    lab = color.rgb_to_lab(rgb)
    with torch.autocast("cpu", dtype):
        assert torch.equal(color.rgb_to_lab(rgb), lab)
        assert torch.equal(color.rgb_to_L(rgb), color.rgb_to_L(rgb.clone()))
        assert torch.equal(color.to_uint8(color.lab_to_rgb(lab)), rgb)
        assert torch.equal(color.join_lightness(lab[:, :1], lab[:, 1:]), rgb)


def test_views_and_memory_layouts_give_the_same_and_stay_unchanged(photo: Tensor) -> None:
    batch = torch.cat([photo[:, :, i : i + 64, 128:224] for i in (0, 100)])
    before = batch.clone()
    lab = color.rgb_to_lab(batch)
    torch.testing.assert_close(color.rgb_to_lab(photo[:, :, 100:164, 128:224]), lab[1:])
    torch.testing.assert_close(
        color.rgb_to_lab(batch.to(memory_format=torch.channels_last).transpose(2, 3)),
        lab.transpose(2, 3),
    )
    wild = lab * torch.tensor([1, 3, 3]).view(1, 3, 1, 1)
    kept = wild.clone()
    for gamut in ("clip", "chroma"):
        one = wild[1:].to(memory_format=torch.channels_last)
        torch.testing.assert_close(
            color.lab_to_rgb(one, gamut=gamut), color.lab_to_rgb(wild, gamut=gamut)[1:]
        )
    color.join_lightness(wild[:, :1], wild[:, 1:])
    assert torch.equal(batch, before) and torch.equal(wild, kept)
    assert color.rgb_to_lab(batch[:0]).shape == lab[:0].shape


@pytest.mark.parametrize("gamut", ["clip", "chroma"])
def test_gradients_are_finite_everywhere_and_right(gamut: color.Gamut) -> None:
    rgb = torch.tensor([0, 1e-4, 0.04045, 0.5, 1]).expand(1, 3, 1, 5).clone().requires_grad_()
    color.rgb_to_lab(rgb).square().sum().backward()
    assert rgb.grad is not None and rgb.grad.isfinite().all()
    exact = torch.full((1, 3, 1, 1), 0.5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(color.rgb_to_lab, (exact,))
    lab = _extreme_lab()[0].float().requires_grad_()
    color.lab_to_rgb(lab, gamut=gamut).square().sum().backward()
    assert lab.grad is not None and lab.grad.isfinite().all()


def test_bad_arguments() -> None:
    L, ab = torch.zeros(1, 1, 4, 4), torch.zeros(1, 2, 4, 4)
    for subject, call in (
        ("rgb", lambda: color.rgb_to_lab(torch.zeros(1, 4, 4, 3))),
        ("rgb", lambda: color.rgb_to_L(torch.zeros(1, 3, 4, 4, dtype=torch.int64))),
        ("rgb", lambda: color.to_uint8(torch.zeros(1, dtype=torch.uint8))),
        ("lab", lambda: color.lab_to_rgb(torch.zeros(1, 3, 2, 2, dtype=torch.uint8))),
        ("gamut", lambda: color.lab_to_rgb(torch.zeros(1, 3, 2, 2), gamut="none")),  # type: ignore[arg-type]
        ("ab", lambda: color.join_lightness(L, ab[:, :, :3])),
        ("depth", lambda: color.join_lightness(L, ab, depth=12)),
    ):
        with pytest.raises(InputError, match=f"^{subject}:"):
            call()
