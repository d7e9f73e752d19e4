"""The division into splits: what it promises, on contents made up here."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from colorize.data.splits import (
    FOLDS,
    assign_folds,
    assign_splits,
    assign_splits_by_folder,
    assign_splits_by_name,
    content_digest,
)
from colorize.errors import DataError, InputError


def contents(name: str, number: int) -> list[bytes]:
    return [content_digest(f"{name} {i}".encode()) for i in range(number)]


@pytest.mark.parametrize(
    ("number", "held_out"),
    [(1, 0), (2, 0), (3, 1), (10, 1), (14, 1), (15, 2), (36, 4), (500, 50), (504, 50)],
)
def test_each_class_is_divided_80_10_10(number: int, held_out: int) -> None:
    digests = contents("a", number) + contents("b", 40)
    splits = assign_splits(digests, ["a"] * number + ["b"] * 40)
    found = Counter(splits[:number])
    assert (found["val"], found["test"]) == (held_out, held_out)
    assert Counter(splits[number:]) == {"train": 32, "val": 4, "test": 4}


def test_order_does_not_matter_and_the_seed_does() -> None:
    # The last ten are in both classes.
    digests = contents("a", 60) + contents("b", 40) + contents("a", 10)
    classes = ["a"] * 60 + ["b"] * 50
    first = dict(zip(digests, assign_splits(digests, classes, seed=3), strict=True))
    order = np.random.default_rng(0).permutation(110)
    shuffled = [digests[i] for i in order]
    again = assign_splits(shuffled, [classes[i] for i in order], seed=3)
    assert dict(zip(shuffled, again, strict=True)) == first
    other = assign_splits(digests, classes, seed=4)
    held_out = {d for d in digests if first[d] != "train"}
    moved = {d for d, split in zip(digests, other, strict=True) if split != "train"} - held_out
    assert len(moved) > 10, "another seed holds out the same images"


def test_same_bytes_same_split() -> None:
    digests = contents("a", 100) + contents("a", 100) + contents("b", 100) + contents("a", 30)
    classes = ["b"] * 200 + ["b"] * 100 + ["c"] * 30
    splits = assign_splits(digests, classes)
    assert splits[:100] == splits[100:200]
    assert splits[:30] == splits[300:]
    # Copies do not count: 200 different contents.
    assert Counter(splits[100:300]) == {"train": 160, "val": 20, "test": 20}


def test_a_class_that_is_added_leaves_the_others_alone() -> None:
    alone = assign_splits(contents("a", 80), ["a"] * 80)
    more = contents("b", 70) + contents("a", 80) + contents("c", 60)
    assert assign_splits(more, ["b"] * 70 + ["a"] * 80 + ["c"] * 60)[70:150] == alone
    # The name of a class does not decide either.
    assert assign_splits(contents("a", 80), ["z"] * 80) == alone


def test_division_is_the_same_for_ever() -> None:
    """Published results hold for this split_by: changing it needs a new seed, not a new rule."""
    found = "".join(split[1] for split in assign_splits(contents("a", 20), ["a"] * 20))
    assert found == "rrrrearrrrrrrrrrerar"


@pytest.mark.parametrize(("number", "held_out"), [(1, 0), (2, 0), (3, 1), (14, 1), (720, 72)])
def test_division_by_name_takes_the_last_names(number: int, held_out: int) -> None:
    names = [f"{name:04}" for name in np.random.default_rng(0).permutation(number)]
    split_of = dict(zip(names, assign_splits_by_name(names), strict=True))
    expected = ["train"] * (number - 2 * held_out) + ["val"] * held_out + ["test"] * held_out
    assert [split_of[name] for name in sorted(names)] == expected


def test_division_by_the_folders_of_the_data_set() -> None:
    names = [f"set/{split}/cat/{i}.jpg" for split in ("train", "val") for i in range(10)]
    digests = [content_digest(name.encode()) for name in names]
    found = assign_splits_by_folder(names, digests)
    assert found[:10] == ["train"] * 10
    assert sorted(found[10:]) == ["test"] * 5 + ["val"] * 5
    # A copy of a picture is on the side of its twin.
    twice = assign_splits_by_folder([*names, "set/val/cat/copy.jpg"], [*digests, digests[12]])
    assert twice[:20] == found and twice[20] == found[12]
    own = assign_splits_by_folder([*names, "set/Test/dog.jpg"], [*digests, b"new"])
    assert own == ["train"] * 10 + ["val"] * 10 + ["test"]
    coco = ["train2017/1.jpg", "val2017/2.jpg", "test/3.jpg"]
    assert assign_splits_by_folder(coco, [b"1", b"2", b"3"]) == ["train", "val", "test"]
    with pytest.raises(DataError, match=r"^cat/1\.jpg:"):
        assign_splits_by_folder(["cat/1.jpg"], [b"one"])


def test_every_image_is_tested_in_one_fold_and_never_trained_on_there() -> None:
    digests = contents("a", 31) + contents("b", 44) + contents("a", 5)
    classes = ["a"] * 31 + ["b"] * 49
    folds = [assign_folds(digests, classes, fold) for fold in range(FOLDS)]
    for index in range(80):
        assert Counter(splits[index] for splits in folds)["test"] == 1
    for splits in folds:
        assert splits[:5] == splits[75:], "copies are apart"
        assert Counter(splits[:75])["test"] == 15 and 6 <= Counter(splits[:75])["val"] <= 9
        assert Counter(splits[:31])["test"] in (6, 7), "not a fifth of each class"
    with pytest.raises(InputError, match="seed"):
        assign_folds(digests, classes, FOLDS)
