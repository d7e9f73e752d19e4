"""ColorizationDataset: items, crops, grey images, memory, splits, worker processes."""

from __future__ import annotations

import pickle
import shutil
import sys
from collections import Counter
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.images import pixels, save
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from colorize.data import dataset
from colorize.data.dataset import ColorizationDataset, ImageDataset, Scanned
from colorize.data.splits import SPLITS
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
    with pytest.raises(DataError, match="2 grey"):
        ColorizationDataset(root, 16)


def test_classes_are_chosen_and_sorted(root: Path) -> None:
    save(root / "ant" / "1.png", pixels(8, 16, 16))
    data = ColorizationDataset(root, 16, classes=["dog", "ant"])
    assert (data.classes, data.labels) == (["ant", "dog"], [0, 1, 1])
    with pytest.raises(DataError, match=r"^classes:.*cow, eel"):
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


def test_a_file_that_changed_since_is_named(root: Path) -> None:
    data = ColorizationDataset(root, 16, cache=False)
    (root / "cat/1.png").write_bytes(b"gone")
    with pytest.raises(ImageError, match=r"^cat/1\.png:"):
        data[1]
    (root / "cat/1.png").unlink()
    with pytest.raises(ImageError, match=r"^cat/1\.png:"):
        data[1]


@pytest.mark.parametrize(
    "wrong",
    [
        {"size": 0},
        {"size": 16.0},
        {"size": "16"},
        {"split": "training"},
        {"split_by": "patch"},
        {"resize": 15},
        {"grey": True},
        {"cache": "yes"},
        {"split_by": ["content"]},
        {"seed": 1.5},
        {"classes": "cat"},
        {"transform": "flip"},
        {"rotation": "x"},
    ],
)
def test_arguments_out_of_range(root: Path, wrong: dict[str, Any]) -> None:
    (name,) = wrong
    with pytest.raises(InputError, match=f"^{name}:"):
        ColorizationDataset(root, **{"size": 16, **wrong})


def test_summary_counts_everything(root: Path) -> None:
    (root / "cat/list.txt").touch()
    text = ColorizationDataset(root, 16, train=True).summary()
    for part in ("6 images of 2 classes", "cat 4, dog 2", "grey4.png", "1 x not an image: .txt"):
        assert part in text


def test_content_hash_knows_contents_not_names(root: Path, tmp_path: Path) -> None:
    first = ColorizationDataset(root, 16).content_sha256
    shutil.copytree(root, tmp_path / "again")
    (tmp_path / "again/cat").rename(tmp_path / "again/lion")
    assert ColorizationDataset(tmp_path / "again", 8, train=True).content_sha256 == first
    archive = shutil.make_archive(str(tmp_path / "packed"), "zip", root)
    assert ColorizationDataset(archive, 16, cache=False).content_sha256 == first
    test = ColorizationDataset(root, 16, split="test")
    assert test.content_sha256 not in (
        first,
        ColorizationDataset(root, 16, split="train").content_sha256,
    )
    test._digests.clear()  # those of the division are those of the files
    assert test.content_sha256 == ColorizationDataset(root, 16, split="test").content_sha256
    save(tmp_path / "again/lion/0.png", pixels(99, 20, 30))
    assert ColorizationDataset(tmp_path / "again", 16).content_sha256 != first
    patches = [Scanned(f"{i}", 0, pixels=pixels(i, 8, 8)) for i in range(3)]
    hashes = []
    for images in (patches, patches[::-1], patches[:2]):
        data = ImageDataset("in memory", 8, False, classes=["a"], grey="keep")
        data.adopt(images)
        hashes.append(data.content_sha256)
    assert hashes[0] == hashes[1] != hashes[2]


@pytest.fixture
def many(tmp_path: Path) -> Path:
    """60 cats, 30 dogs, of which 10 images are in both classes, and every cat's copy."""
    folder = tmp_path / "many"
    for i in range(60):
        save(folder / "cat" / f"{i}.png", pixels(i, 8, 8))
        save(folder / "cat" / f"copy{i}.png", pixels(i, 8, 8))
    for i in range(50, 80):
        save(folder / "dog" / f"{i}.png", pixels(i, 8, 8))
    return folder


def split_contents(root: Path, **options: Any) -> dict[str, set[tuple[str, bytes]]]:
    found = {}
    for split in ("train", "val", "test"):
        data = ColorizationDataset(root, 8, split=split, **options)
        found[split] = {
            (data.classes[label], data.image(i).tobytes()) for i, label in enumerate(data.labels)
        }
    return found


def test_splits_are_disjoint_whole_and_stratified(many: Path) -> None:
    found = split_contents(many)
    images = {split: {image for _, image in items} for split, items in found.items()}
    assert not images["train"] & images["val"] | images["train"] & images["test"]
    assert not images["val"] & images["test"]
    assert len(images["train"] | images["val"] | images["test"]) == 80
    cats = {split: sum(name == "cat" for name, _ in items) for split, items in found.items()}
    assert cats == {"train": 48, "val": 6, "test": 6}
    assert sum(len(ColorizationDataset(many, 8, split=s)) for s in found) == 150


def test_splits_do_not_depend_on_names_or_kept_classes(many: Path, tmp_path: Path) -> None:
    found = split_contents(many)
    renamed = tmp_path / "renamed"
    for path in many.rglob("*.png"):
        label, _ = path.relative_to(many).parts
        target = renamed / "train" / label / f"{hash(path.name) % 997:03}-{path.name}"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())
    assert split_contents(renamed) == found
    for label in ("cat", "dog"):
        only = {split: {i for i in items if i[0] == label} for split, items in found.items()}
        assert split_contents(many, classes=[label]) == only
    assert split_contents(many, seed=1) != found


class Side(Dataset[dict[str, torch.Tensor]]):
    """Two data sets under keys (which, (index, seed)), so that workers are started once."""

    def __init__(self, *parts: ColorizationDataset) -> None:
        self.parts = parts

    def __getitem__(self, key: tuple[int, tuple[int, int]]) -> dict[str, torch.Tensor]:
        return self.parts[key[0]][key[1]]


@pytest.mark.parametrize(
    "method",
    [
        "spawn",
        pytest.param(
            "fork", marks=pytest.mark.skipif(sys.platform != "linux", reason="forks on Linux only")
        ),
    ],
)
def test_workers_give_the_same_pixels(many: Path, tmp_path: Path, method: str) -> None:
    archive = shutil.make_archive(str(tmp_path / "packed"), "zip", many)
    data = Side(
        ColorizationDataset(many, 6, train=True, cache=True),
        ColorizationDataset(archive, 6, train=True, cache=False),
    )
    keys = [(k, (i, 7 * i + k)) for i in range(len(data.parts[0])) for k in (0, 1)]
    # The archive is open here, too, and its position in the file must stay where it is.
    expected = [data[key] for key in keys]
    batches = [keys[start : start + 20] for start in range(0, len(keys), 20)]
    workers = 1 if method == "spawn" else 2  # a spawned one takes seconds to import torch
    found = list(
        DataLoader(data, batch_sampler=batches, num_workers=workers, multiprocessing_context=method)
    )
    for name in ("rgb", "label", "index"):
        joined = torch.cat([batch[name] for batch in found])
        assert torch.equal(joined, torch.stack([item[name] for item in expected]))


def test_spawned_workers_share_the_pixels(tmp_path: Path) -> None:
    save(tmp_path / "cat" / "1.png", pixels(1, 1000, 1000))
    data = ColorizationDataset(tmp_path, 600, train=True, cache=True)
    before = data[0, 1]["rgb"]
    sent = ForkingPickler.dumps(data)
    assert len(sent) < 10_000, "three million pixels would be copied to every worker"
    received = pickle.loads(sent)
    assert torch.equal(received[0, 1]["rgb"], before)
    assert torch.equal(data[0, 1]["rgb"], before)
    # One and the same memory, and this side looks at where the pixels moved.
    data._cache[0][:] = 7  # type: ignore[index]
    assert (received[0, 1]["rgb"] == 7).all()


def test_the_tail_of_the_names_holds_only_the_last_classes(tmp_path: Path) -> None:
    """What trap 6 warns of, kept as it was: ten classes, and the test set has one of them."""
    for label in range(10):
        for i in range(6):
            save(tmp_path / f"class{label}" / f"{i}.png", pixels(10 * label + i, 8, 8))
    for split, expected in (("train", set(range(8))), ("val", {8}), ("test", {9})):
        data = ColorizationDataset(tmp_path, 8, split=split, split_by="tail")
        assert set(data.labels) == expected and len(data.classes) == 10
        assert set(ColorizationDataset(tmp_path, 8, split=split).labels) == set(range(10))
    two = ["class9", "class0"]
    kept = ColorizationDataset(tmp_path, 8, split="test", split_by="tail", classes=two)
    assert kept.names == ["class9/5.png"]  # a tenth of the twelve that are kept


def test_division_by_the_folders_of_the_set(tmp_path: Path) -> None:
    for i in range(20):
        save(tmp_path / ("val" if i % 5 < 2 else "train") / "cat" / f"{i}.png", pixels(i, 8, 8))
    parts = [ColorizationDataset(tmp_path, 8, split=s, split_by="folders") for s in SPLITS]
    assert [len(part) for part in parts] == [12, 4, 4]
    assert all(name.startswith("train/") for name in parts[0].names)
    assert not set(parts[1].names) & set(parts[2].names)


def by_split(roots: list[Path]) -> dict[str, list[str]]:
    return {
        split: ColorizationDataset(roots, 16, split=split, split_by="folders").names
        for split in SPLITS
    }


def test_several_roots_are_one_data_set(root: Path, tmp_path: Path) -> None:
    alone = ColorizationDataset(root, 16)
    same = ColorizationDataset([root], 16)
    assert (same.names, same.content_sha256) == (alone.names, alone.content_sha256)
    more = tmp_path / "more" / "pets"
    for seed in (6, 7):
        save(more / "dog" / f"{seed}.png", pixels(seed, 20, 20))
        save(more / "emu" / f"{seed}.png", pixels(seed + 2, 20, 20))
    shutil.make_archive(str(more), "zip", more)
    both = ColorizationDataset([root, more.with_suffix(".zip")], 16, train=True)
    assert both.classes == ["cat", "dog", "emu"]
    assert both.names[:2] == ["pets/cat/0.png", "pets/cat/1.png"]
    assert both.names[6:] == [f"pets-2/{n}.png" for n in ("dog/6", "dog/7", "emu/6", "emu/7")]
    assert both.labels == [0, 0, 0, 0, 1, 1, 1, 1, 2, 2]
    np.testing.assert_array_equal(both.image(8), pixels(8, 20, 20))
    assert both.grey == ["pets/dog/grey4.png", "pets/dog/grey5.png"]
    turned = ColorizationDataset([more, root], 16)
    assert turned.content_sha256 == both.content_sha256 != alone.content_sha256


def test_one_of_several_roots_validates_and_tests(tmp_path: Path) -> None:
    seed = 0
    for name in ("a/train", "a/val", "b/train", "b/val", "b/test", "c/cat"):
        for i in range(2):
            save(tmp_path / name / "sea" / f"{i}.png", pixels(seed, 16, 16))
            seed += 1
    a, b, c = (tmp_path / name for name in "abc")
    shutil.copy(b / "test" / "sea" / "1.png", a / "train" / "sea" / "twin.png")
    assert by_split([a, b, c]) == {
        "train": [f"{n}/sea/{i}.png" for n in ("a/train", "b/train", "c/cat") for i in (0, 1)],
        "val": ["b/val/sea/0.png", "b/val/sea/1.png"],
        "test": ["b/test/sea/0.png", "b/test/sea/1.png"],
    }
    said = ColorizationDataset([a, b], 16, split="train", split_by="folders").summary()
    assert all(words in said for words in ("2 of val/", "a/train/sea/twin.png"))
    # The folders of one data set may be given one by one.
    assert by_split([b / "train", b / "val", b / "test"])["val"] == [
        "val/sea/0.png",
        "val/sea/1.png",
    ]
    with pytest.raises(DataError, match=r"^c/cat"):
        by_split([c, tmp_path / "c"])


def test_large_photographs_are_reduced_unless_told_otherwise(tmp_path: Path) -> None:
    save(tmp_path / "cat" / "1.png", pixels(1, 100, 200))
    save(tmp_path / "cat" / "2.png", pixels(2, 20, 40))
    reduced = ColorizationDataset(tmp_path, 16)
    assert [reduced._pixels(i).shape for i in range(2)] == [(3, 24, 48), (3, 20, 40)]
    whole = ColorizationDataset(tmp_path, 16, resize=None, classes=["cat"])
    assert whole._pixels(0).shape == (3, 100, 200)
    assert ColorizationDataset(tmp_path, 16, zoom=(0.5, 1.0))._pixels(0).shape == (3, 100, 200)
    assert reduced.notes == [] and whole.notes == []
    (tmp_path / "cat" / "2.png").unlink()
    assert "resize=18" in ColorizationDataset(tmp_path, 16, resize=None).summary()


def test_a_transform_changes_the_crops(root: Path) -> None:
    def noisy(rgb: torch.Tensor) -> torch.Tensor:
        return rgb ^ torch.randint(2, rgb.shape, dtype=torch.uint8)

    data = ColorizationDataset(root, 12, train=True, transform=noisy)
    plain = ColorizationDataset(root, 12, train=True)
    first = data[2, 5]["rgb"]
    assert torch.equal(data[2, 5]["rgb"], first)
    assert int((first.int() - plain[2, 5]["rgb"].int()).abs().max()) == 1
    with pytest.raises(InputError, match="transform"):
        ColorizationDataset(root, 12, transform=lambda rgb: rgb / 255)[0]
