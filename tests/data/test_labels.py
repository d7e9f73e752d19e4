"""Which folder is the class, in the layouts that data sets come in."""

from __future__ import annotations

from pathlib import Path

import pytest

from colorize.data.labels import classes_from_folders, read_annotations
from colorize.data.sources import FolderSource
from colorize.errors import DataError


def classes(*names: str, root: str = "root") -> dict[str, str]:
    labelled = classes_from_folders(names, root, {})
    assert not labelled.rejected
    return labelled.class_of


@pytest.mark.parametrize(
    "around", ["", "set/", "a/b/", "train/", "set/train/", "train/images/", "Images/", "set/val/"]
)
def test_folders_around_everything_are_no_classes(around: str) -> None:
    two = classes(f"{around}cat/1.jpg", f"{around}dog/1.jpg", f"{around}dog/more/2.jpg")
    assert list(two.values()) == ["cat", "dog", "dog"]


@pytest.mark.parametrize("around", ["", "set/", "set/train/", "ColorfulOriginal/"])
def test_a_single_class_is_not_taken_for_a_folder_around_everything(around: str) -> None:
    assert set(classes(f"{around}cat/1.jpg", f"{around}cat/2.jpg").values()) == {"cat"}
    assert set(classes(f"{around}cat/images/1.jpg").values()) == {"cat"}
    # Part of the class lies deeper.
    assert set(classes(f"{around}cat/1.jpg", f"{around}cat/old/2.jpg").values()) == {"cat"}


@pytest.mark.parametrize("splits", [("train", "val"), ("train", "test"), ("Train", "Val", "test")])
@pytest.mark.parametrize("around", ["", "set/"])
def test_split_folders_are_no_classes(around: str, splits: tuple[str, ...]) -> None:
    names = [f"{around}{s}/{c}/images/1.jpg" for s in splits for c in ("cat", "dog")]
    assert list(classes(*names).values()) == ["cat", "dog"] * len(splits)


def test_a_train_among_other_vehicles_is_a_class() -> None:
    found = classes("bus/1.jpg", "car/1.jpg", "train/1.jpg")
    assert list(found.values()) == ["bus", "car", "train"]
    found = classes("train/bus/1.jpg", "train/train/1.jpg", "val/bus/2.jpg", "val/train/2.jpg")
    assert list(found.values()) == ["bus", "train", "bus", "train"]


def test_images_without_a_folder_are_one_class() -> None:
    assert set(classes("1.jpg", "2.jpg").values()) == {"root"}
    assert set(classes("images/1.jpg", "images/2.jpg").values()) == {"root"}
    assert set(classes("train/1.jpg", "test/2.jpg").values()) == {"root"}
    assert set(classes("holiday/1.jpg", "holiday/2.jpg").values()) == {"holiday"}
    assert classes("1.jpg", "cat/2.jpg", "dog/3.jpg") == {
        "1.jpg": "root",
        "cat/2.jpg": "cat",
        "dog/3.jpg": "dog",
    }
    assert list(classes("pets/1.jpg", "pets/cat/2.jpg", "pets/dog/3.jpg").values()) == [
        "pets",
        "cat",
        "dog",
    ]


@pytest.mark.parametrize("around", ["", "NCD/"])
def test_ncd(around: str) -> None:
    names = [
        *(f"{around}ColorfulOriginal/{c}/{c}1.jpg" for c in ("Apple", "Plum")),
        *(f"{around}Gray/{c}/{c}1.jpg" for c in ("Apple", "Plum")),
        f"{around}preview.jpg",
    ]
    labelled = classes_from_folders(names, "ncd", {})
    assert labelled.class_of == dict(zip(names[:2], ["Apple", "Plum"], strict=True))
    assert [r.name for r in labelled.rejected] == names[2:]
    assert {r.reason for r in labelled.rejected} == {"beside NCD's ColorfulOriginal, not in it"}


TINY = [
    "tiny/train/n01/images/n01_0.JPEG",
    "tiny/train/n02/images/n02_0.JPEG",
    "tiny/val/images/val_0.JPEG",
    "tiny/val/images/val_1.JPEG",
    "tiny/val/images/val_2.JPEG",
    "tiny/test/images/test_0.JPEG",
]


def test_tiny_imagenet(tmp_path: Path) -> None:
    file = tmp_path / "tiny/val/val_annotations.txt"
    file.parent.mkdir(parents=True)
    file.write_bytes(
        b"val_0.JPEG\tn02\t0\t32\t44\t62\r\nval_1.JPEG\tn01\t0\t0\t1\t1\nval_9.JPEG\tn01\n"
    )
    source = FolderSource(tmp_path)
    annotations = read_annotations(["x.txt", "tiny/val/val_annotations.txt"], source)
    labelled = classes_from_folders(TINY, "root", annotations)
    assert labelled.class_of == dict(
        zip([TINY[2], TINY[3], TINY[0], TINY[1]], ["n02", "n01", "n01", "n02"], strict=True)
    )
    assert dict(labelled.rejected) == {
        TINY[4]: "not listed in val_annotations.txt",
        TINY[5]: "no class: directly in test",
    }
    only_val = classes_from_folders(TINY[2:4], "root", annotations)
    assert only_val.class_of == {TINY[2]: "n02", TINY[3]: "n01"}


def test_sorted_validation_images_keep_their_folders() -> None:
    """Many scripts move Tiny ImageNet's validation images into class folders."""
    names = ["val/n01/images/a.JPEG", "val/n02/images/b.JPEG"]
    labelled = classes_from_folders(names, "root", {"val": {"a.JPEG": "n09"}})
    assert list(labelled.class_of.values()) == ["n01", "n02"]


@pytest.mark.parametrize("line", ["val_1.JPEG n01", "val_1.JPEG\t", "\tn01"])
def test_damaged_annotations_are_named_with_the_line(tmp_path: Path, line: str) -> None:
    (tmp_path / "val_annotations.txt").write_text(f"val_0.JPEG\tn02\n{line}\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"val_annotations.txt, line 2"):
        read_annotations(["val_annotations.txt"], FolderSource(tmp_path))
