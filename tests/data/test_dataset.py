"""ColorizationDataset: items, crops, sizes, grey images, memory."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.images import pixels, save
from PIL import Image

from colorize.data import dataset
from colorize.data.dataset import ColorizationDataset
from colorize.errors import DataError, ImageError, InputError


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Six colored images of several shapes in two classes, and two grey ones."""
    folder = tmp_path / "pets"
    shapes = [(20, 30), (31, 17), (16, 16), (16, 40)]
    for seed, shape in enumerate(shapes):
        save(folder / "cat" / f"{seed}.png", pixels(seed, *shape))
    for seed in (4, 5):
        save(folder / "dog" / f"{seed}.png", pixels(seed, 24, 24))
        save(folder / "dog" / f"grey{seed}.png", pixels(seed, 24, 24)[..., :1].repeat(3, 2))
    return folder


def shapes_of(data: ColorizationDataset) -> list[tuple[int, ...]]:
    return [data.image(i).shape[:2] for i in range(len(data))]


@pytest.mark.parametrize("cache", [True, False])
def test_items_are_center_crops_of_the_files(root: Path, cache: bool) -> None:
    data = ColorizationDataset(root, 16, cache=cache)
    assert data.cached is cache
    assert data.names == [f"cat/{i}.png" for i in range(4)] + ["dog/4.png", "dog/5.png"]
    assert data.classes == ["cat", "dog"]
    assert data.class_to_index == {"cat": 0, "dog": 1}
    assert data.labels == [0, 0, 0, 0, 1, 1]
    for index, name in enumerate(data.names):
        rgb = np.asarray(Image.open(root / name))
        np.testing.assert_array_equal(data.image(index), rgb)
        top, left = (rgb.shape[0] - 16) // 2, (rgb.shape[1] - 16) // 2
        item = data[index]
        assert {key: value.dtype for key, value in item.items()} == {
            "rgb": torch.uint8,
            "label": torch.int64,
            "index": torch.int64,
        }
        crop = rgb[top : top + 16, left : left + 16].transpose(2, 0, 1)
        np.testing.assert_array_equal(item["rgb"].numpy(), crop)
        assert (int(item["label"]), int(item["index"])) == (data.labels[index], index)
        assert torch.equal(data[index, 7]["rgb"], item["rgb"])


def test_indices_are_those_of_a_sequence(root: Path) -> None:
    data = ColorizationDataset(root, 16)
    assert int(data[-1]["index"]) == 5
    assert int(data[np.int64(2)]["index"]) == int(data[torch.tensor(2), np.int64(9)]["index"]) == 2
    for index in (6, -7):
        with pytest.raises(IndexError, match="below 6"):
            data[index]
    assert len(list(data)) == 6  # type: ignore[call-overload]


def windows(rgb: np.ndarray, crop: np.ndarray) -> list[tuple[int, int, bool]]:
    """Every place (top, left, flipped) at which a square crop (3, s, s) is found in an image."""
    s = crop.shape[1]
    views = np.lib.stride_tricks.sliding_window_view(rgb.transpose(2, 0, 1), (s, s), axis=(1, 2))
    found = []
    for flipped in (False, True):
        wanted = crop[:, :, ::-1] if flipped else crop
        hits = (views == wanted[:, None, None]).all((0, 3, 4))
        found += [(int(top), int(left), flipped) for top, left in np.argwhere(hits)]
    return found


@pytest.mark.parametrize("seeded", [True, False])
def test_training_crops_reach_every_place_equally_often(tmp_path: Path, seeded: bool) -> None:
    rgb = pixels(1, 11, 10)
    save(tmp_path / "cat" / "1.png", rgb)
    data = ColorizationDataset(tmp_path, 8, train=True)
    keys: list[Any] = [(0, seed) if seeded else 0 for seed in range(2400)]
    places = Counter()
    for key in keys:
        (place,) = windows(rgb, data[key]["rgb"].numpy())
        places[place] += 1
    assert len(places) == 4 * 3 * 2
    # 100 are expected at each; five standard deviations.
    assert max(abs(count - 100) for count in places.values()) < 50


def test_a_pair_gives_the_same_crop_whatever_else_happened(root: Path) -> None:
    data = ColorizationDataset(root, 12, train=True)
    keys = [(i, s) for i in range(len(data)) for s in (0, 1, 2**63, 2**70 + 1, -3)]
    first = [data[key]["rgb"] for key in keys]
    torch.manual_seed(99)
    state = torch.get_rng_state()
    other = ColorizationDataset(root, 12, train=True, cache=False)
    for key, rgb in reversed(list(zip(keys, first, strict=True))):
        assert torch.equal(other[key]["rgb"], rgb)
    assert torch.equal(torch.get_rng_state(), state), "a seeded item drew from the global generator"
    assert len({data[0, s]["rgb"].numpy().tobytes() for s in range(50)}) > 20
    torch.manual_seed(1)
    plain = [data[0]["rgb"] for _ in range(20)]
    torch.manual_seed(1)
    assert all(torch.equal(data[0]["rgb"], rgb) for rgb in plain)
    assert len({rgb.numpy().tobytes() for rgb in plain}) > 5


def test_neighboring_indices_and_seeds_flip_independently(tmp_path: Path) -> None:
    for i in range(16):
        save(tmp_path / "cat" / f"{i:02}.png", pixels(i, 8, 8))
    data = ColorizationDataset(tmp_path, 8, train=True)
    flips = np.array(
        [
            [
                not np.array_equal(data[i, s]["rgb"].permute(1, 2, 0), data.image(i))
                for i in range(16)
            ]
            for s in range(256)
        ]
    )
    correlation = np.corrcoef(np.concatenate([flips[:-1], flips[1:]], 1).T) - np.eye(32)
    assert np.abs(correlation).max() < 0.35
    assert abs(flips.mean() - 0.5) < 0.04


@pytest.mark.parametrize("train", [True, False])
def test_small_images_are_enlarged_not_dropped(tmp_path: Path, train: bool) -> None:
    smooth = np.tile(np.linspace(10, 240, 12), (8, 1))
    rgb = np.stack((smooth, smooth[:, ::-1], np.full_like(smooth, 90)), -1).astype(np.uint8)
    save(tmp_path / "cat" / "1.png", rgb)
    for cache in (True, False):
        data = ColorizationDataset(tmp_path, 16, train=train, cache=cache)
        item = data[0, 3]["rgb"]
        assert item.shape == (3, 16, 16)
        np.testing.assert_array_equal(data.image(0), rgb)
        if not train:
            # Twice the size: the middle 16 of 24 columns span original columns 1.75 to 9.25.
            expected = np.interp((np.arange(4, 20) + 0.5) / 2 - 0.5, np.arange(12), smooth[0])
            assert np.abs(item[0, 8].numpy() - expected).max() < 3


def test_resize_comes_before_the_crop(root: Path) -> None:
    data = ColorizationDataset(root, 8, resize=8, train=False, cache=False)
    whole = np.asarray(Image.open(root / "cat/2.png"), dtype=float)
    blocks = whole.reshape(8, 2, 8, 2, 3).mean((1, 3)).transpose(2, 0, 1)
    rgb = data[2]["rgb"].numpy()
    assert np.corrcoef(rgb.flatten(), blocks.flatten())[0, 1] > 0.9
    assert shapes_of(data)[0] == (20, 30)
    assert ColorizationDataset(root, 8, resize=40)[0]["rgb"].shape == (3, 8, 8)


def test_grey_images_are_counted(root: Path) -> None:
    data = ColorizationDataset(root, 16)
    assert data.grey == ["dog/grey4.png", "dog/grey5.png"]
    assert not set(data.grey) & set(data.names)
    kept = ColorizationDataset(root, 16, grey="keep")
    assert (len(kept), kept.grey) == (8, [])
    for path in root.glob("cat/*"):
        path.unlink()
    (root / "dog/4.png").unlink()
    (root / "dog/5.png").unlink()
    with pytest.raises(DataError, match="2 grey, 0 rejected"):
        ColorizationDataset(root, 16)


def test_classes_are_chosen_and_sorted(root: Path) -> None:
    save(root / "ant" / "1.png", pixels(8, 16, 16))
    data = ColorizationDataset(root, 16, classes=["dog", "ant"])
    assert (data.classes, data.labels) == (["ant", "dog"], [0, 1, 1])
    with pytest.raises(DataError, match="expected some of ant, cat, dog; got cow, eel"):
        ColorizationDataset(root, 16, classes=["eel", "dog", "cow"])


def test_memory_is_used_while_it_fits(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert ColorizationDataset(root, 16).cached
    needed = 3 * (20 * 30 + 31 * 17 + 16 * 16 + 16 * 40 + 2 * 24 * 24)
    assert f"{needed / 2**20:.1f} MiB" in repr(ColorizationDataset(root, 16))
    monkeypatch.setattr(dataset, "_AUTO_CACHE_BYTES", needed)
    assert ColorizationDataset(root, 16).cached
    monkeypatch.setattr(dataset, "_AUTO_CACHE_BYTES", needed - 1)
    data = ColorizationDataset(root, 16)
    assert not data.cached
    assert len(data) == 6
    assert torch.equal(data[3]["rgb"], ColorizationDataset(root, 16, cache=True)[3]["rgb"])


def test_an_item_may_be_changed(root: Path) -> None:
    data = ColorizationDataset(root, 16)
    before = data[2]["rgb"].clone()
    data[2]["rgb"].zero_()
    data.image(2)[:] = 0
    assert torch.equal(data[2]["rgb"], before)


def test_a_file_that_changed_since_is_named(root: Path) -> None:
    data = ColorizationDataset(root, 16, cache=False)
    (root / "cat/1.png").write_bytes(b"gone")
    with pytest.raises(ImageError, match=r"^cat/1\.png: expected an image"):
        data[1]
    (root / "cat/1.png").unlink()
    with pytest.raises(ImageError, match=r"^cat/1\.png: cannot be read"):
        data[1]


@pytest.mark.parametrize(
    "wrong",
    [
        {"size": 0},
        {"size": 16.0},
        {"size": True},
        {"split": "training"},
        {"split_by": "name"},
        {"resize": 15},
        {"grey": True},
        {"cache": "yes"},
        {"workers": 0},
    ],
)
def test_arguments_out_of_range(root: Path, wrong: dict[str, Any]) -> None:
    (name,) = wrong
    with pytest.raises(InputError, match=f"^{name}: expected"):
        ColorizationDataset(root, **{"size": 16, **wrong})


def test_summary(root: Path) -> None:
    (root / "cat/list.txt").touch()
    (root / "dog/list.txt").touch()
    text = ColorizationDataset(root, 16, train=True).summary()
    assert "6 images of 2 classes, random crops of 16 px" in text
    assert "cat 4, dog 2" in text
    assert "grey, left out: 2 (dog/grey4.png, dog/grey5.png)" in text
    assert "2 x not an image: .txt (cat/list.txt)" in text
    assert len(text.splitlines()) == 5
