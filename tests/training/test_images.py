"""Data sets of a caller's own, as fit takes them; and a loop of one's own."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skimage.data
import torch
from helpers import tiny
from helpers.images import pixels, save
from helpers.tiny import light  # noqa: F401
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset, Subset

from colorize.data.dataset import ImageDataset
from colorize.data.image_dataset import Scanned
from colorize.errors import ColorizeError, InputError
from colorize.models import JointModel
from colorize.training.config import Recipe
from colorize.training.device_images import DeviceImages
from colorize.training.fit import fit
from colorize.training.images import KeyedImages, as_images, images_identity

pytestmark = pytest.mark.usefixtures("light")

RGB = torch.from_numpy(tiny.patches(10, side=tiny.CROP).transpose(0, 3, 1, 2).copy())


class Own(Dataset[Any]):
    """A data set that draws random numbers wherever people do."""

    def __len__(self) -> int:
        return len(RGB)

    def __getitem__(self, index: int) -> dict[str, Any]:
        rgb = RGB[index].roll(random.randrange(9), 2)
        rgb = rgb.roll(int(np.random.randint(9)), 1)  # noqa: NPY002
        return {"rgb": rgb.flip(2) if torch.rand(()) < 0.5 else rgb, "label": index % 3}


class Streamed(IterableDataset[Any]):
    """Images that have no order."""

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        return iter({"rgb": rgb} for rgb in RGB)


def _arrays() -> list[np.ndarray]:
    return [rgb.numpy().transpose(1, 2, 0) for rgb in RGB]


SAME: dict[str, Any] = {
    "dicts": [{"rgb": rgb} for rgb in RGB],
    "floats": [{"rgb": rgb.float() / 255, "name": "x"} for rgb in RGB],
    "pairs": [(Image.fromarray(array), 0) for array in _arrays()],
    "arrays": _arrays(),
    "a subset": Subset([{"rgb": RGB[i]} for i in (0, *range(10))], range(1, 11)),  # type: ignore
}


@pytest.mark.parametrize("kind", SAME)
def test_images_of_every_kind_are_the_same_images(kind: str) -> None:
    images = as_images(SAME[kind], "train_set", 64)
    assert len(images) == 10
    for index in range(10):
        item = images[index, 5]
        assert torch.equal(item["rgb"], RGB[index]) and int(item["index"]) == index


def test_every_image_of_a_list_tells_it_from_another() -> None:
    images = [*RGB] * 7
    identities = [images_identity(KeyedImages(images, "train_set"))]
    for i in range(len(images)):
        changed = [*images[:i], images[i] + 1, *images[i + 1 :]]
        identities.append(images_identity(KeyedImages(changed, "train_set")))
    assert len({identity["crops"] for identity in identities}) == 71


def test_a_list_is_enough_to_train_on(tmp_path: Path) -> None:
    images = [{"rgb": rgb, "label": i % 3} for i, rgb in enumerate(RGB)]
    net = JointModel(3, width=0.125)
    result = tiny.run(tmp_path, net=net, train=images, val=images[:3], epochs=1, crop=0)
    assert result.steps == 2 and result.curve[-1]["top5"] == 1


def test_a_folder_is_divided_into_training_and_validation(tmp_path: Path) -> None:
    for i in range(30):
        save(tmp_path / "in" / f"{i}.png", pixels(i, 50, 60))
    folder = str(tmp_path / "in")
    result = tiny.run(tmp_path, train=folder, val=folder, epochs=1)
    assert result.steps == 6  # 24 images


def test_what_a_data_set_draws_depends_on_the_key_alone(tmp_path: Path) -> None:
    images = KeyedImages(Own(), "train_set")
    before = torch.get_rng_state()
    crops = [images[3, seed]["rgb"] for seed in range(20)]
    assert len({crop.numpy().tobytes() for crop in crops}) > 15
    assert all(torch.equal(images[3, seed]["rgb"], crops[seed]) for seed in reversed(range(20)))
    assert torch.equal(torch.get_rng_state(), before)
    weights = []
    for workers in (0, 2):
        net = tiny.model()
        tiny.run(tmp_path / str(workers), net=net, train=Own(), epochs=2, workers=workers)
        weights.append(net.state_dict())
    tiny.assert_same_bits(*weights)


@pytest.mark.parametrize("zoom", [None, (0.5, 1.0), (0.9, 1.0)])
def test_crops_on_the_device_are_those_of_the_data_set(zoom: Any, tmp_path: Path) -> None:
    images = ImageDataset("images", 32, True, grey="keep", zoom=zoom)
    shapes = [(32, 80), (41, 33), (90, 64), (35, 35), (200, 120)]
    photo = skimage.data.astronaut()[60:, 100:]
    images.adopt(Scanned(f"{h}", 0, False, photo[:h, :w]) for h, w in shapes)
    keys = [(index, seed) for seed in range(30) for index in range(len(shapes))]
    batch = DeviceImages(images, torch.device("cpu")).batch(keys)
    expected = torch.stack([images[key]["rgb"] for key in keys])
    difference = (batch["rgb"].int() - expected.int()).abs()
    assert int(difference.max()) <= (zoom is not None)
    assert float(difference.float().mean()) < 0.01
    assert batch["index"].tolist() == [index for index, _ in keys]


def test_images_on_the_device_teach_the_same(tmp_path: Path) -> None:
    weights = []
    for on_device in (True, False):
        net = tiny.model()
        tiny.run(tmp_path / str(on_device), net=net, epochs=2, data_on_device=on_device)
        weights.append(net.state_dict())
    tiny.assert_same_bits(*weights)
    with pytest.raises(InputError, match="data_on_device"):
        tiny.run(tmp_path / "own", train=Own(), data_on_device=True)


WRONG: dict[str, Any] = {
    "DataLoader": DataLoader(Own(), 2),
    "Streamed": Streamed(),
    "int": 3,
    "at least one image": [],
    "image": [{"image": RGB[0]}] * 8,
    "torch.int64": [{"rgb": RGB[0].long()}] * 8,
    "in 0..1": [{"rgb": RGB[0].float()}] * 8,
    "one size": [{"rgb": RGB[0]}, {"rgb": RGB[0][:, :16]}] * 4,
    "1, 32": [{"rgb": RGB[0][:1]}] * 8,
    "multiples of 8": [{"rgb": RGB[0][:, 4:, 4:]}] * 8,
    "a label": [{"rgb": RGB[0], "label": "cat"}] * 8,
    "whole number": [(RGB[0], 0.5)] * 8,
    "dict": {"rgb": RGB},
}


@pytest.mark.parametrize("words", WRONG)
@pytest.mark.parametrize("place", ["train", "val"])
def test_images_that_cannot_be_used_are_told(words: str, place: str, tmp_path: Path) -> None:
    recipe = Recipe(epochs=1, batch_size=4)
    given = {"train": SAME["dicts"], "val": SAME["dicts"], place: WRONG[words]}
    with pytest.raises(ColorizeError, match=f"{place}_set.*({words})"):
        fit(tiny.model(), given["train"], given["val"], recipe, name="a", folder=tmp_path / "a")
    assert not (tmp_path / "a").exists()


def test_labels_that_a_net_lacks_are_told(tmp_path: Path) -> None:
    images = [{"rgb": rgb} for rgb in RGB]
    with pytest.raises(ColorizeError, match="label"):
        tiny.run(tmp_path, net=JointModel(3, width=0.125), train=images, val=images)
