"""Labels of photographs: the same as the net's own on the same lightness."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import skimage.data
import torch
from helpers import tiny
from PIL import Image

from colorize.color.lab import rgb_to_lab
from colorize.errors import InputError
from colorize.models import ClassificationOnlyModel, JointModel
from colorize.models.checkpoint import save_checkpoint
from colorize.photo.classify import classify_image
from colorize.training.optim import initialise

NAMES = ["Apple", "Banana", "Cherry"]


@pytest.fixture
def net() -> JointModel:
    torch.manual_seed(0)
    model = JointModel(3, class_names=NAMES, width=0.125)
    initialise(model, "kaiming")
    model.input_size = 64
    return model


def test_the_labels_are_those_of_the_net(net: JointModel) -> None:
    rgb = skimage.data.astronaut()[:64, :80]
    found = classify_image(rgb, net)
    L = rgb_to_lab(torch.from_numpy(rgb.copy()).movedim(-1, 0)[None])[:, :1]
    with torch.no_grad():
        expected = net.eval()(L).classes.softmax(1)[0]
    assert {name for name, _ in found} == set(NAMES)
    for name, probability in found:
        assert probability == pytest.approx(float(expected[NAMES.index(name)]), abs=1e-5)
    shares = [share for _, share in found]
    assert shares == sorted(shares, reverse=True) and sum(shares) == pytest.approx(1)


def test_files_names_and_modes(net: JointModel, tmp_path: Path) -> None:
    grey = Image.fromarray(skimage.data.astronaut()).convert("L")
    grey.save(tmp_path / "grey.png")
    path = save_checkpoint(net.eval(), tmp_path / "net.safetensors")
    found = classify_image(tmp_path / "grey.png", path)
    assert found == classify_image(np.asarray(grey), net)
    net.train()
    assert found == classify_image(grey, net) and net.training
    assert found != classify_image(grey, net, size=32)
    nameless = JointModel(3, width=0.125)
    assert {name for name, _ in classify_image(grey, nameless)} == {"0", "1", "2"}


def test_models_that_cannot() -> None:
    image = np.zeros((32, 32), np.uint8)
    with pytest.raises(InputError, match="expected one that classifies, got SimplifiedModel"):
        classify_image(image, tiny.model())
    with pytest.raises(InputError, match="sees lightness"):
        classify_image(image, ClassificationOnlyModel(2, sees="lab", width=0.125))
