"""Measure a model on a data set in one pass of the net.

Protocol: center crops of the test split at the experiment's size; grey images were left out and
counted by the data set; the prediction gets the true lightness and is rounded to 8 bits; nothing is
compressed in between.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from colorize.checks import checks_flags, require_non_negative
from colorize.color.lab import rgb_to_lab
from colorize.errors import DataError, InputError
from colorize.evaluation import metrics as per_image_metrics
from colorize.evaluation.batches import ColoredBatch, Images, join_rgb, load_batches
from colorize.evaluation.dataset_metrics import (
    DatasetMetric,
    PerImageMetric,
    color_errors,
    concatenate,
    summarize,
)
from colorize.losses import require_labels
from colorize.models import Colorizer, ModelOutput, eval_mode, unwrap


@checks_flags
def evaluate(
    model: Colorizer,
    dataset: Images,
    *,
    temperature: float | None = None,
    batch_size: int = 32,
    with_loss: bool = False,
    metrics: Sequence[DatasetMetric] = (),
    per_image: bool = False,
) -> dict[str, Any]:
    """Measure a model on a data set, on the device where the model is.

    Args:
        temperature: of the annealed mean; None for the model's own.
        with_loss: whether to average what ``model.loss`` gives as well.
        metrics: further ones, as of ``colorize.evaluation.protocol``; new for each call.
        per_image: whether to add ``images``: the values of single images and their labels in the
            order of the data set, to four digits.

    Returns:
        ``{"n": images, metric: {"mean": ..., "std": ...}, ...}`` with ``rmse_ab`` (CIELAB units),
        ``rmse_rgb`` (8-bit levels), ``psnr`` (dB), ``ssim``, ``auc`` (raw accuracy, 0..1),
        ``colorfulness``, ``colorfulness_truth`` and ``colorfulness_error`` (absolute); of a model
        with a class branch ``top1``, ``top5`` (shares) and ``class_loss`` (nats), of one without a
        color branch only these. The standard deviation is that of the images.
    """
    if temperature is not None:
        require_non_negative(temperature, "temperature")
    (results,) = evaluate_at(
        model,
        dataset,
        {temperature: metrics},
        batch_size=batch_size,
        with_loss=with_loss,
        per_image=per_image,
    )
    return results


def evaluate_at(
    model: Colorizer,
    dataset: Images,
    metrics: Mapping[float | None, Sequence[DatasetMetric]],
    *,
    batch_size: int = 32,
    with_loss: bool = False,
    per_image: bool = False,
) -> list[dict[str, Any]]:
    """``evaluate`` at several temperatures, each with its own metrics, in one pass of the net."""
    # The whole is called, compiled or on several devices; the model inside knows the rest.
    net, model = model, unwrap(model)
    labelled = have_same_classes(model, dataset)
    if not labelled:
        warnings.warn(
            "top1, top5 and class_loss are left out: the classes of the data set are not the "
            "model's",
            stacklevel=3,
        )
    records = {temperature: _Record(chosen) for temperature, chosen in metrics.items()}
    losses: list[tuple[int, dict[str, float]]] = []
    with eval_mode(model), torch.no_grad():
        for batch in load_batches(dataset, batch_size, model.device):
            lab = rgb_to_lab(batch["rgb"])
            if with_loss:
                x, ab = model.inputs(batch)
                output = net(x)
                values = model.losses(output, ab, batch)
                losses.append((len(lab), {name: float(v) for name, v in values.items()}))
            else:
                output = net(model.pad(lab[:, : model.in_channels]))
            if not labelled:
                output = output._replace(classes=None)
            shared = _values_at_any_temperature(batch, output)
            for temperature, record in records.items():
                if model.colors:
                    ab = model.decode(output, lab[:, :1], temperature=temperature)
                    record.add_colors(batch, lab, ab)
                record.add(batch, shared)
    return [
        {"temperature": temperature, **record.results(_weighted_means(losses), per_image)}
        for temperature, record in records.items()
    ]


def evaluate_shuffled(
    model: Colorizer,
    dataset: Images,
    *,
    seed: int = 0,
    batch_size: int = 32,
    metrics: Sequence[DatasetMetric] = (),
    per_image: bool = False,
) -> dict[str, Any]:
    """Measure a model whose every answer is given to another image of the data set.

    This keeps its colorfulness and destroys its knowledge of the image: what ``evaluate`` finds
    better than this is what the model knows. The seed fixes who gets whose ab; images must be of
    one size.
    """
    model, record = unwrap(model), _Record(metrics)
    with eval_mode(model), torch.no_grad():
        predicted = [
            model.predict_ab(rgb_to_lab(batch["rgb"])[:, : model.in_channels]).cpu()
            for batch in load_batches(dataset, batch_size, model.device)
        ]
        ab = torch.cat(predicted)[derange(sum(map(len, predicted)), seed)]
        batches = load_batches(dataset, batch_size, model.device)
        for batch, shuffled in zip(batches, ab.split(batch_size), strict=True):
            record.add_colors(batch, rgb_to_lab(batch["rgb"]), shuffled.to(model.device))
            record.add(batch, _values_at_any_temperature(batch, ModelOutput(None, None)))
    return {"temperature": None, **record.results({}, per_image)}


@checks_flags
def evaluate_whole(
    color: Callable[[np.ndarray], np.ndarray],
    images: Iterable[np.ndarray],
    *,
    metrics: Sequence[DatasetMetric] = (),
    per_image: bool = False,
) -> dict[str, Any]:
    """Measure what colors whole images of any size, upsampling and rounding to 8 bits included.

    ``evaluate_whole(partial(colorize_image, model="photo"), images)`` measures what a user gets;
    with images reduced to 256 px beforehand it is the protocol of most publications.

    Args:
        color: takes and gives (H, W, 3) uint8, and sees the true colors: it must not use them.
        images: the true ones, (H, W, 3) uint8.
    """
    if isinstance(color, nn.Module) or not callable(color):
        raise InputError(
            "color: expected a function of an image, such as partial(colorize_image, model=model); "
            f"got {type(color).__name__}"
        )
    record = _Record(metrics)
    for number, image in enumerate(images):
        truth = _as_rgb(image, f"images[{number}]")
        colored = _as_rgb(color(image), f"color(images[{number}])")
        batch, lab = {"rgb": truth}, rgb_to_lab(truth)
        record.add_images(ColoredBatch(batch, lab, rgb_to_lab(colored)[:, 1:], colored))
        record.add(batch, _values_at_any_temperature(batch, ModelOutput(None, None)))
    return record.results({}, per_image)


def have_same_classes(model: Colorizer, dataset: Images) -> bool:
    """Whether the labels of a data set mean what the model's do, as far as both have names."""
    own, others = getattr(model, "class_names", None), getattr(dataset, "classes", None)
    return not own or others is None or list(own) == list(others)


def derange(n: int, seed: int) -> Tensor:
    """Draw a permutation of ``range(n)`` that leaves nothing in its place."""
    if n < 2:
        raise DataError(f"shuffled: expected at least two images, got {n}")
    # The legacy generator, as its numbers are the same in every version of numpy.
    order = torch.from_numpy(np.random.RandomState(seed).permutation(n))
    donors = torch.empty_like(order)
    donors[order] = order.roll(1)
    return donors


def class_metrics(logits: Tensor, label: Tensor | None) -> dict[str, Tensor]:
    """Measure ``top1``, ``top5`` and ``class_loss`` of each of (N, classes) logits."""
    label = require_labels(label, logits)
    return {
        "top1": per_image_metrics.topk_correct(logits, label, 1).float(),
        "top5": per_image_metrics.topk_correct(logits, label, 5).float(),
        "class_loss": F.cross_entropy(logits.float(), label, reduction="none"),
    }


class _Record:
    """What is measured at one temperature, batch by batch."""

    def __init__(self, metrics: Sequence[DatasetMetric]) -> None:
        several = isinstance(metrics, Sequence)
        if not (several and all(isinstance(metric, DatasetMetric) for metric in metrics)):
            raise InputError(
                "metrics: expected objects of colorize.evaluation.dataset_metrics, such as "
                f"[CellAccuracy()], got {metrics!r:.80}"
            )
        self._errors = PerImageMetric(color_errors)
        self._metrics = metrics
        self._colors = False
        self._shared: list[dict[str, Tensor]] = []
        self._labels: list[int] = []

    def add_colors(self, batch: Mapping[str, Tensor], lab: Tensor, ab: Tensor) -> None:
        self.add_images(ColoredBatch(batch, lab, ab, join_rgb(lab, ab)))

    def add_images(self, images: ColoredBatch) -> None:
        for metric in (self._errors, *self._metrics):
            metric.update(images)
        self._colors = True

    def add(self, batch: Mapping[str, Tensor], values: dict[str, Tensor]) -> None:
        self._shared.append({name: value.cpu() for name, value in values.items()})
        if "label" in batch:
            self._labels += batch["label"].tolist()

    def results(self, losses: Mapping[str, Any], per_image: bool) -> dict[str, Any]:
        if not self._shared:
            raise DataError("evaluate: expected at least one image, the data set is empty")
        shared = concatenate(self._shared)
        metrics = [self._errors, *self._metrics] if self._colors else []
        results = {"n": len(shared["colorfulness_truth"]), **losses, **summarize(shared)}
        for metric in metrics:
            results |= metric.compute()
        if per_image:
            values = shared
            for metric in metrics:
                values |= metric.per_image()
            results["images"] = {"label": self._labels} if self._labels else {}
            results["images"] |= {
                name: [float(f"{x:.4g}") for x in v.tolist()] for name, v in values.items()
            }
        return results


def _values_at_any_temperature(
    batch: Mapping[str, Tensor], output: ModelOutput
) -> dict[str, Tensor]:
    values = {"colorfulness_truth": per_image_metrics.colorfulness(batch["rgb"])}
    if output.classes is not None:
        values |= class_metrics(output.classes, batch.get("label"))
    return values


def _as_rgb(image: object, name: str) -> Tensor:
    array = np.array(image)
    if array.ndim != 3 or array.shape[2] != 3:
        came = array.shape if array.ndim else f"a {type(image).__name__}"
        raise InputError(f"{name}: expected (H, W, 3) uint8, got {came}")
    return torch.from_numpy(array).movedim(-1, 0)[None]


def _weighted_means(losses: Sequence[tuple[int, dict[str, float]]]) -> dict[str, Any]:
    """Means over images of the losses of batches; they have no spread over the images."""
    n = sum(size for size, _ in losses)
    names = losses[0][1] if losses else {}
    return {
        name: {"mean": sum(size * values[name] for size, values in losses) / n} for name in names
    }
