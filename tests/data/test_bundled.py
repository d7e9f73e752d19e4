"""The photographs that dependencies bring, and the patches cut from them."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import skimage.data
from PIL import Image
from sklearn.datasets import load_sample_image

from colorize.data import bundled
from colorize.data.bundled import BUNDLED_SPLITS, bundled_dataset, bundled_photographs
from colorize.data.grey import is_grey
from colorize.errors import DataError, InputError


def test_splits_go_by_photograph() -> None:
    names = [name for names in BUNDLED_SPLITS.values() for name in names]
    assert sorted(names) == list(bundled_photographs())
    whole = bundled_dataset(32)
    parts = {split: bundled_dataset(32, split=split) for split in BUNDLED_SPLITS}
    for split, part in parts.items():
        assert part.classes == whole.classes == sorted(names)
        assert {part.classes[label] for label in part.labels} == set(BUNDLED_SPLITS[split])
        assert len(part) > 20
    assert sum(len(part) for part in parts.values()) == len(whole)
    assert {name for part in parts.values() for name in part.names} == set(whole.names)


@pytest.mark.parametrize("size", [64, 100])
def test_patches_do_not_overlap_and_lie_where_they_say(size: int) -> None:
    data = bundled_dataset(size, split="test")
    photographs = {}
    for name in ("grace_hopper", "rocket"):
        image = Image.open(bundled_photographs()[name])
        scale = 256 / min(image.size)
        shape = (round(image.width * scale), round(image.height * scale))
        photographs[name] = np.asarray(image.resize(shape, Image.Resampling.BICUBIC))
    covered = {name: np.zeros(rgb.shape[:2], int) for name, rgb in photographs.items()}
    for index, name in enumerate(data.names):
        photograph, top, left = name.rsplit("-", 2)
        assert data.classes[data.labels[index]] == photograph
        place = (slice(int(top), int(top) + size), slice(int(left), int(left) + size))
        patch = photographs[photograph][place]
        np.testing.assert_array_equal(data.image(index), patch)
        np.testing.assert_array_equal(data[index]["rgb"].permute(1, 2, 0), patch)
        covered[photograph][place] += 1
    for mask in covered.values():
        assert mask.max() == 1
        whole = (mask.shape[0] // size) * (mask.shape[1] // size) * size**2
        assert mask.sum() > 0.7 * whole, "the rest is grey"


def test_arguments_out_of_range() -> None:
    with pytest.raises(InputError, match=r"^size:"):
        bundled_dataset(257)
    with pytest.raises(InputError, match=r"^split:"):
        bundled_dataset(64, split="all")  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"^size:"):
        bundled_dataset(0)


def test_a_package_without_its_photograph(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = ("skimage", "scikit-image", "data/nothing.png")
    monkeypatch.setitem(bundled._PHOTOGRAPHS, "astronaut", entry)
    with pytest.raises(DataError, match=r"nothing\.png.*scikit-image"):
        bundled_photographs()
    monkeypatch.setitem(bundled._PHOTOGRAPHS, "astronaut", ("no_such_package", "it", "a.png"))
    assert importlib.util.find_spec("no_such_package") is None
    with pytest.raises(DataError, match=r"^astronaut:.*pip install it"):
        bundled_photographs()


def test_division_by_patch_has_every_photograph_in_every_split() -> None:
    whole = bundled_dataset(32)
    parts = [bundled_dataset(32, split=s, split_by="patch") for s in ("train", "val", "test")]
    assert all(set(part.labels) == set(range(len(whole.classes))) for part in parts)
    names = [name for part in parts for name in part.names]
    assert sorted(names) == sorted(whole.names) and len(set(names)) == len(names)
    assert 0.7 < len(parts[0]) / len(whole) < 0.9
    other = bundled_dataset(32, split="test", split_by="patch", seed=1)
    assert other.names != parts[2].names
    with pytest.raises(InputError, match=r"^split_by:"):
        bundled_dataset(32, split_by="tail")


def test_photographs_are_those_of_the_packages() -> None:
    found = {name: np.asarray(Image.open(path)) for name, path in bundled_photographs().items()}
    assert len(found) == 8 and sorted(found) == list(found)
    np.testing.assert_array_equal(found["coffee"], skimage.data.coffee())
    np.testing.assert_array_equal(found["china"], load_sample_image("china.jpg"))
    assert not any(is_grey(rgb) for rgb in found.values())
