"""Measure models on a data set, all on the same images, and keep the results as JSON.

Protocol: centre crops of the test split at the experiment's size; grey images were left out and
counted by the data set; the prediction gets the true lightness and is rounded to 8 bits; nothing is
compressed in between.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from colorize.color.lab import lab_to_rgb, rgb_to_lab, to_uint8
from colorize.data.dataset import ImageDataset, Key
from colorize.errors import DataError, InputError
from colorize.evaluation import metrics
from colorize.models import Colorizer, ModelOutput, eval_mode
from colorize.models.heads import RegressionHead

SWEEP = (1.0, 0.8, 0.6, 0.5, 0.38, 0.2, 0.1, 0.0)


class GreyBaseline(Colorizer):
    """No color at all: the bound that every model has to beat, and that RMSE finds hard to beat."""

    size_divisor = 1

    def __init__(self) -> None:
        super().__init__()
        self.output = RegressionHead()
        self.config = {}

    def forward(self, L: Tensor) -> ModelOutput:
        """Zeros of (N, 2, H, W)."""
        return ModelOutput(L.new_zeros(L.shape[0], 2, *L.shape[2:]), None)


class Judge:
    """Something else that is to be measured, of single images or of all together; see
    ``colorize.evaluation.dataset_metrics``.
    """

    def update(
        self, batch: Mapping[str, Tensor], lab: Tensor, ab: Tensor, colored: Tensor
    ) -> dict[str, Tensor]:
        """Take in a batch; give (N,) values of its images by name, or nothing.

        Args:
            batch: of the data set. lab: (N, 3, H, W) of its pictures. ab: (N, 2, H, W) as the
                model colors them. colored: (N, 3, H, W) uint8, the picture with these.
        """
        return {}

    def compute(self) -> dict[str, Any]:
        """What is of all images together, by name, or nothing."""
        return {}

    def shares(self) -> dict[str, Tensor]:
        """What single images have to do with ``compute``, by name, or nothing: (N,) numbers whose
        mean is the value of all together and whose standard error is that of it.
        """
        return {}


def evaluate(
    model: Colorizer,
    dataset: Dataset[dict[str, Tensor]],
    *,
    temperature: float | None = None,
    batch_size: int = 32,
    with_loss: bool = False,
    judges: Sequence[Judge] = (),
    per_image: bool = False,
) -> dict[str, Any]:
    """Metrics of a model over a data set, on the device where the model is.

    Returns:
        ``{"n": images, metric: {"mean": ..., "std": ...}, ...}`` with ``rmse_ab`` (CIELAB units),
        ``rmse_rgb`` (8-bit levels), ``psnr`` (dB), ``ssim``, ``auc`` (raw accuracy, 0..1),
        ``colorfulness``, ``colorfulness_truth`` and ``colorfulness_error`` (absolute); of a model
        with a class branch ``top1``, ``top5`` (shares) and ``class_loss`` (nats), of one without a
        color branch only these. With ``with_loss`` what ``model.loss`` gives as well. The spread is
        that of the images. With ``judges`` what they find. With ``per_image``
        ``images``: the values of single images in the order of the data set, to four digits.

    Raises:
        DataError: when the data set is empty.
        InputError: when a temperature is given to a model without one.
    """
    return sweep(
        model,
        dataset,
        [temperature],
        batch_size=batch_size,
        with_loss=with_loss,
        judges=[judges],
        per_image=per_image,
    )[0]


def sweep(
    model: Colorizer,
    dataset: Dataset[dict[str, Tensor]],
    temperatures: Sequence[float | None] = SWEEP,
    *,
    batch_size: int = 32,
    with_loss: bool = False,
    judges: Sequence[Sequence[Judge]] | None = None,
    per_image: bool = False,
) -> list[dict[str, Any]]:
    """``evaluate`` at several temperatures, with one pass of the net.

    Args:
        judges: those of each temperature.
        per_image: whether the first has the values of single images.
    """
    asked = [()] * len(temperatures) if judges is None else judges
    values: list[dict[str, list[Tensor]]] = [{} for _ in temperatures]
    seen = 0
    with eval_mode(model):
        for batch in _batches(dataset, batch_size, model.device):
            seen += len(batch["rgb"])
            measured = _measure(model, batch, temperatures, with_loss, asked)
            for found, own in zip(measured, values, strict=True):
                for name, value in found.items():
                    own.setdefault(name, []).append(value.cpu())
    if not seen:
        raise DataError("evaluate: expected at least one image, the data set is empty")
    whole = [{name: torch.cat(parts) for name, parts in own.items()} for own in values]
    results = [
        {"temperature": temperature, **_summary(own)}
        for temperature, own in zip(temperatures, whole, strict=True)
    ]
    for result, own_judges in zip(results, asked, strict=True):
        for judge in own_judges:
            result |= judge.compute()
    if per_image:
        single = whole[0]
        for judge in asked[0]:
            single |= judge.shares()
        results[0]["images"] = {
            name: [float(f"{value:.4g}") for value in found.tolist()]
            for name, found in single.items()
        }
    return results


@torch.no_grad()
def colored_batch(model: Colorizer, rgb: Tensor, *, temperature: float | None = None) -> Tensor:
    """Color (N, 3, H, W) uint8 images from their lightness, as the metrics see them: uint8."""
    L = rgb_to_lab(rgb.to(model.device))[:, :1]
    with eval_mode(model):
        ab = model.predict_ab(L, temperature=temperature)
    return to_uint8(lab_to_rgb(torch.cat((L, ab), 1)))


class Recolored(Dataset[dict[str, Tensor]]):
    """A data set in the colors that a model gives to its lightness; ``GreyBaseline`` for none.

    The items are those of the data set, but for ``rgb``.
    """

    def __init__(
        self, dataset: Dataset[dict[str, Tensor]], model: Colorizer, *, batch_size: int = 32
    ) -> None:
        self.dataset = dataset
        batches = _batches(dataset, batch_size, model.device)
        self.rgb = torch.cat([colored_batch(model, batch["rgb"]).cpu() for batch in batches])

    def __len__(self) -> int:
        return len(self.rgb)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return {**self.dataset[index], "rgb": self.rgb[index]}


def compare_images(
    models: Mapping[str, Colorizer],
    dataset: Dataset[dict[str, Tensor]],
    indices: Sequence[Key],
    *,
    temperature: float | None = None,
) -> dict[str, list[np.ndarray]]:
    """The same images as each model colors them, between the grey input and the truth.

    Returns:
        (H, W, 3) uint8 images by row: "grey", the models' names, "truth".
    """
    rgb = torch.stack([dataset[i]["rgb"] for i in indices])
    rows = {"grey": colored_batch(GreyBaseline(), rgb)}
    for name, model in models.items():
        rows[name] = colored_batch(model, rgb, temperature=temperature)
    rows["truth"] = rgb
    return {name: list(row.movedim(1, -1).cpu().numpy()) for name, row in rows.items()}


class LabelledExample(NamedTuple):
    """A picture as a net colors and labels it, beside the truth; images are (H, W, 3) uint8."""

    grey: np.ndarray
    colored: np.ndarray
    truth: np.ndarray
    predicted: str
    confidence: float
    label: str


def labelled_examples(
    model: Colorizer, dataset: ImageDataset, n: int = 8, *, batch_size: int = 32
) -> list[LabelledExample]:
    """Up to ``n`` images, half of them labelled rightly, evenly spread over the data set.

    Raises:
        InputError: when the model has no class branch or no color.
    """
    found: dict[bool, list[LabelledExample]] = {True: [], False: []}
    for batch in _batches(dataset, batch_size, model.device):
        rgb = batch["rgb"]
        L = rgb_to_lab(rgb)[:, :1]
        with eval_mode(model), torch.no_grad():
            raw = model(model.pad(L))
            logits = raw.classes
        if logits is None:
            raise InputError(f"model: expected one that classifies, got {type(model).__name__}")
        confidence, predicted = logits.softmax(1).max(1)
        colored = to_uint8(lab_to_rgb(torch.cat((L, model.decode(raw, L)), 1)))
        pictures = [colored_batch(GreyBaseline(), rgb), colored, rgb]
        images = [p.movedim(1, -1).cpu().numpy() for p in pictures]
        for i, label in enumerate(batch["label"].tolist()):
            example = LabelledExample(
                images[0][i],
                images[1][i],
                images[2][i],
                dataset.classes[int(predicted[i])],
                float(confidence[i]),
                dataset.classes[label],
            )
            found[example.predicted == example.label].append(example)
    return [
        examples[i] for examples in found.values() for i in spread_indices(len(examples), n // 2)
    ]


def spread_indices(length: int, n: int) -> list[int]:
    """At most ``n`` indices, evenly spread over ``range(length)``: a choice nobody made by hand."""
    n = min(n, length)
    return [i * length // n for i in range(n)]


def _measure(
    model: Colorizer,
    batch: dict[str, Tensor],
    temperatures: Sequence[float | None],
    with_loss: bool,
    judges: Sequence[Sequence[Judge]],
) -> list[dict[str, Tensor]]:
    rgb = batch["rgb"]
    lab = rgb_to_lab(rgb)
    L = lab[:, :1]
    shared = {"colorfulness_truth": metrics.colorfulness(rgb)}
    with torch.no_grad():
        if with_loss:
            x, ab = model.inputs(batch)
            raw = model(x)
            losses = model.losses(raw, ab, batch)
            shared |= {name: value.expand(len(rgb)) for name, value in losses.items()}
        else:
            raw = model(model.pad(lab[:, : model.in_channels]))
        logits = raw.classes
        if logits is not None:
            shared |= class_metrics(logits, batch["label"])
        if not model.colors:
            return [shared for _ in temperatures]
        colors = [model.decode(raw, L, temperature=t) for t in temperatures]
    pictures = [to_uint8(lab_to_rgb(torch.cat((L, ab), 1))) for ab in colors]
    found = [
        {**_compare(lab, ab, rgb, colored), **shared}
        for ab, colored in zip(colors, pictures, strict=True)
    ]
    for own, asked, ab, colored in zip(found, judges, colors, pictures, strict=True):
        for judge in asked:
            own |= judge.update(batch, lab, ab, colored)
    return found


def class_metrics(logits: Tensor, label: Tensor) -> dict[str, Tensor]:
    """``top1``, ``top5`` and ``class_loss`` of each of (N, classes) logits."""
    return {
        "top1": metrics.topk_correct(logits, label, 1).float(),
        "top5": metrics.topk_correct(logits, label, 5).float(),
        "class_loss": F.cross_entropy(logits.float(), label, reduction="none"),
    }


def _compare(lab: Tensor, ab: Tensor, rgb: Tensor, colored: Tensor) -> dict[str, Tensor]:
    return {
        "rmse_ab": metrics.rmse_ab(ab, lab[:, 1:]),
        "rmse_rgb": metrics.rmse_rgb(colored, rgb),
        "psnr": metrics.psnr(colored, rgb),
        "ssim": metrics.ssim(colored, rgb),
        "auc": metrics.auc(ab, lab[:, 1:]),
        "colorfulness": metrics.colorfulness(colored),
        "colorfulness_error": metrics.colorfulness_error(colored, rgb),
    }


def _summary(values: dict[str, Tensor]) -> dict[str, Any]:
    numbers = {name: v for name, v in values.items() if name != "label"}
    means = {name: {"mean": float(v.double().mean())} for name, v in numbers.items()}
    for name, v in numbers.items():
        # These come as one number a batch; they have no spread over the images.
        if name not in ("loss", "color_loss"):
            means[name]["std"] = float(v.double().std(correction=0))
    return {"n": len(next(iter(values.values()))), **means}


def _batches(dataset: Dataset[dict[str, Tensor]], batch_size: int, device: torch.device) -> Any:
    # A generator of its own: a loader without one would draw from the global random state, and a
    # training run that validates would not resume to the same bits.
    loader = DataLoader(dataset, batch_size, generator=torch.Generator().manual_seed(0))
    for batch in loader:
        yield {name: value.to(device) for name, value in batch.items()}
