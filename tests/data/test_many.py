"""ColorizationDataset with many images: splits on disk, threads, copies, worker processes."""

from __future__ import annotations

import copy
import pickle
import shutil
import sys
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.images import pixels, save
from torch.utils.data import DataLoader, Dataset

from colorize.data.dataset import ColorizationDataset


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


def test_division_by_name_tests_only_the_last_classes(tmp_path: Path) -> None:
    """What trap 6 warns of, kept as it was: ten classes, and the test set has one of them."""
    for label in range(10):
        for i in range(6):
            save(tmp_path / f"class{label}" / f"{i}.png", pixels(10 * label + i, 8, 8))
    counts: dict[str, list[int]] = {}
    for split in ("train", "val", "test"):
        data = ColorizationDataset(tmp_path, 8, split=split, split_by="tail", seed=5)
        counts[split] = torch.bincount(torch.tensor(data.labels), minlength=10).tolist()
        assert len(data.classes) == 10 and f"split {split} by name" in repr(data)
    assert counts == {
        "train": [6] * 8 + [0, 0],
        "val": [0] * 8 + [6, 0],
        "test": [0] * 9 + [6],
    }
    two = ["class9", "class0"]
    kept = ColorizationDataset(tmp_path, 8, split="test", split_by="tail", classes=two)
    assert kept.names == ["class9/5.png"]  # a tenth of the twelve that are kept
    by_content = ColorizationDataset(tmp_path, 8, split="test", split_by="content")
    assert sorted(by_content.labels) == list(range(10))
    assert by_content.names == ColorizationDataset(tmp_path, 8, split="test").names
    whole = ColorizationDataset(tmp_path, 8, split_by="tail")
    assert len(whole) == 60


def test_division_by_the_folders_of_the_set(tmp_path: Path) -> None:
    seed = 0
    for split, number in (("train", 6), ("val", 4)):
        for label in ("cat", "dog"):
            for i in range(number):
                save(tmp_path / split / label / f"{i}.png", pixels(seed := seed + 1, 8, 8))
    data = {
        split: ColorizationDataset(tmp_path, 8, split=split, split_by="folders")
        for split in ("train", "val", "test")
    }
    assert {split: len(found) for split, found in data.items()} == {
        "train": 12,
        "val": 4,
        "test": 4,
    }
    assert all(name.startswith("train/") for name in data["train"].names)
    assert not set(data["val"].names) & set(data["test"].names)
    assert "split val by folder" in repr(data["val"])


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


def test_the_number_of_threads_and_copies_change_nothing(many: Path) -> None:
    first = ColorizationDataset(many, 6, train=True, workers=1)
    for data in (
        ColorizationDataset(many, 6, train=True, workers=7),
        pickle.loads(pickle.dumps(first)),
        copy.deepcopy(first),
    ):
        assert data.names == first.names
        assert all(torch.equal(data[i, 3]["rgb"], first[i, 3]["rgb"]) for i in range(len(first)))


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
    loader = DataLoader(data, batch_sampler=batches, num_workers=2, multiprocessing_context=method)
    found = list(loader)
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
