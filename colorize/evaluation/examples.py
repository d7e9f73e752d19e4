"""Images as models color them, to look at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from colorize.color.lab import rgb_to_lab
from colorize.data.dataset import ImageDataset
from colorize.data.image_dataset import Key
from colorize.errors import InputError
from colorize.evaluation.baselines import GreyBaseline
from colorize.evaluation.batches import Images, join_rgb, load_batches
from colorize.models import Colorizer, eval_mode


@torch.no_grad()
def colored_batch(model: Colorizer, rgb: Tensor, *, temperature: float | None = None) -> Tensor:
    """Color (N, 3, H, W) uint8 images from their lightness, as the metrics see them: uint8."""
    lab = rgb_to_lab(rgb.to(model.device))
    with eval_mode(model):
        ab = model.predict_ab(lab[:, : model.in_channels], temperature=temperature)
    return join_rgb(lab, ab)


class RecoloredDataset(Dataset[dict[str, Tensor]]):
    """A data set in the colors that a model gives to its lightness; ``GreyBaseline`` for none.

    The items are those of the data set, but for ``rgb``.
    """

    def __init__(self, dataset: Images, model: Colorizer) -> None:
        self.dataset = dataset
        batches = load_batches(dataset, 32, model.device)
        self.rgb = torch.cat([colored_batch(model, batch["rgb"]).cpu() for batch in batches])

    def __len__(self) -> int:
        return len(self.rgb)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return {**self.dataset[index], "rgb": self.rgb[index]}


def compare_images(
    models: Mapping[str, Colorizer],
    dataset: Images,
    indices: Sequence[Key],
) -> dict[str, list[np.ndarray]]:
    """Color the same images by each model.

    Returns:
        (H, W, 3) uint8 images by row: "grey", the models' names, "truth".
    """
    rgb = torch.stack([dataset[i]["rgb"] for i in indices])
    rows = {"grey": colored_batch(GreyBaseline(), rgb)}
    rows |= {name: colored_batch(model, rgb) for name, model in models.items()}
    rows["truth"] = rgb
    return {name: _to_arrays(row) for name, row in rows.items()}


class LabelledExample(NamedTuple):
    """An image as a net colors and labels it, beside the truth; images are (H, W, 3) uint8."""

    grey: np.ndarray
    colored: np.ndarray
    truth: np.ndarray
    predicted: str
    confidence: float
    label: str


def labelled_examples(model: Colorizer, dataset: ImageDataset, n: int = 8) -> list[LabelledExample]:
    """Choose up to ``n`` images, half of them labelled rightly, evenly spread over the data set."""
    if not (model.colors and model.classifies):
        raise InputError(
            f"model: expected one that colors and classifies, got {type(model).__name__}"
        )
    by_outcome: dict[bool, list[LabelledExample]] = {True: [], False: []}
    for batch in load_batches(dataset, 32, model.device):
        for example in _label_batch(model, batch, dataset.classes):
            by_outcome[example.predicted == example.label].append(example)
    return [
        examples[i]
        for examples in by_outcome.values()
        for i in spread_indices(len(examples), n // 2)
    ]


def spread_indices(length: int, n: int) -> list[int]:
    """Choose at most ``n`` indices, evenly spread over ``range(length)``."""
    n = min(n, length)
    return [i * length // n for i in range(n)]


def _label_batch(
    model: Colorizer, batch: Mapping[str, Tensor], classes: Sequence[str]
) -> list[LabelledExample]:
    lab = rgb_to_lab(batch["rgb"])
    with eval_mode(model), torch.no_grad():
        output = model(model.pad(lab[:, :1]))
        colored = join_rgb(lab, model.decode(output, lab[:, :1]))
    confidence, predicted = output.classes.softmax(1).max(1)
    grey = colored_batch(GreyBaseline(), batch["rgb"])
    images = zip(_to_arrays(grey), _to_arrays(colored), _to_arrays(batch["rgb"]), strict=True)
    labels = zip(predicted.tolist(), confidence.tolist(), batch["label"].tolist(), strict=True)
    return [
        LabelledExample(*arrays, classes[answer], share, classes[label])
        for arrays, (answer, share, label) in zip(images, labels, strict=True)
    ]


def _to_arrays(images: Tensor) -> list[np.ndarray]:
    return list(images.movedim(1, -1).cpu().numpy())
