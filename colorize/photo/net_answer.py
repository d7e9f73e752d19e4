"""What a net answered about one image, and the ways from it to color: mean, samples, hints."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from colorize.errors import InputError
from colorize.models import (
    BinHead,
    Colorizer,
    ModelOutput,
    RegressionHead,
    SIGGRAPH17Model,
    eval_mode,
)
from colorize.photo.hints import apply_hints, hint_maps, saturate_around_hints
from colorize.photo.sampling import entropy, sample_ab
from colorize.photo.upsampling import Extent, Upsampler, make_upsampler


@dataclass(frozen=True)
class CoarsePrediction:
    """Values (n, C, h, w) on a coarse grid with what upsampling needs.

    Attributes:
        guide: (1, 1, h, w) mean lightness of each cell.
        extent: rows and columns of cells that the image covers; the rest is padding.
    """

    values: Tensor
    guide: Tensor
    extent: Extent

    def upsampler(self, method: str, size: tuple[int, int]) -> Upsampler:
        """Make the upsampler of these values to a full size."""
        return make_upsampler(method, self.values, self.guide, size, self.extent)


class NetAnswer:
    """What a net answered.

    Args:
        model: the net.
        seen: (1, 1, h, w) lightness that the net saw, before it was padded.
        raw: what ``forward`` gave for it.
    """

    def __init__(self, model: Colorizer, seen: Tensor, raw: ModelOutput) -> None:
        for answer in raw:
            if answer is not None and not bool(answer.isfinite().all()):
                raise InputError(
                    f"model: {type(model).__name__} answers with NaN or infinite numbers; its "
                    "weights are damaged or too large for their type"
                )
        self._model, self._seen, self._raw = model, seen, raw

    def decode(
        self,
        temperature: float | None,
        saturation: float,
        samples: int | None,
        seed: int,
        places: Tensor,
        colors: Tensor,
    ) -> CoarsePrediction:
        """Decode ab, (n, 2, h, w), at the size of the net's output; with hints, of its input.

        Args:
            temperature, saturation, samples, seed: as in ``Prediction.colorize``.
            places, colors: of hints, as from ``check_hints``.
        """
        head = self._head()
        bins = None if samples is None else self._require_bins("samples")
        if len(places) and isinstance(self._model, SIGGRAPH17Model):
            return self._predict_with_hints(self._model, places, colors, temperature, saturation)
        raw = self._raw_color()
        if bins is None or samples is None:
            coarse = self._to_coarse(head.decode(raw, temperature))
        else:
            coarse = self._to_coarse(raw)
            temperature = bins.temperature if temperature is None else temperature
            drawn, _ = sample_ab(
                raw, bins.bin_centers, coarse.guide, samples, temperature=temperature, seed=seed
            )
            coarse = replace(coarse, values=drawn)
        if len(places):
            return self._apply_hints_at_input_size(coarse, places, colors, saturation)
        return replace(coarse, values=coarse.values * saturation)

    def measure_entropy(self) -> CoarsePrediction:
        """Measure the entropy of every cell's distribution, (1, 1, h, w), in nats."""
        self._require_bins("uncertainty")
        return self._to_coarse(entropy(self._raw_color()))

    def distribution_at(self, place: Tensor) -> tuple[Tensor, Tensor]:
        """Give (Q, 2) ab and (Q,) probabilities at a place (2,), row and column in 0..1."""
        bins = self._require_bins("distribution_at")
        logits = self._raw_color()
        row, column = (place * torch.tensor(self._to_coarse(logits).extent)).long().tolist()
        return bins.bin_centers, logits[0, :, row, column].float().softmax(0)

    def classify(self) -> list[tuple[str, float]]:
        """Give (name, probability) of every class, the most probable first."""
        logits = self._raw.classes
        if logits is None:
            raise InputError(
                f"model: expected one that classifies, got {type(self._model).__name__}"
            )
        probabilities = logits[0].float().softmax(0)
        names = getattr(self._model, "class_names", None) or [*map(str, range(len(probabilities)))]
        order = probabilities.argsort(descending=True).tolist()
        return [(names[i], float(probabilities[i])) for i in order]

    def _predict_with_hints(
        self,
        model: SIGGRAPH17Model,
        places: Tensor,
        colors: Tensor,
        temperature: float | None,
        saturation: float,
    ) -> CoarsePrediction:
        size = (self._seen.shape[2], self._seen.shape[3])
        ab, mask = (m.to(self._seen.device) for m in hint_maps(places, colors, size))
        with eval_mode(model):
            values = model.predict_ab(
                self._seen, temperature=temperature, hints_ab=ab, hints_mask=mask
            )
        if saturation != 1:
            values = saturate_around_hints(values, self._seen, places, saturation)
        return CoarsePrediction(values, self._seen, size)

    def _apply_hints_at_input_size(
        self, coarse: CoarsePrediction, places: Tensor, colors: Tensor, saturation: float
    ) -> CoarsePrediction:
        """Apply hints where edges are finer than the net's output: at the size of its input."""
        L = self._seen
        size = (L.shape[2], L.shape[3])
        steered = []
        for ab in coarse.values:
            fine = replace(coarse, values=ab[None]).upsampler("bilateral", size).rows(L, 0)
            steered.append(apply_hints(fine, L, places, colors, saturation))
        return CoarsePrediction(torch.cat(steered), L, size)

    def _to_coarse(self, values: Tensor) -> CoarsePrediction:
        """Add guide and extent to values that the net gave for the padded L."""
        padded, (height, width) = self._model.pad(self._seen).float(), self._seen.shape[2:]
        h, w = values.shape[2:]
        extent = (height * h / padded.shape[2], width * w / padded.shape[3])
        return CoarsePrediction(values, F.adaptive_avg_pool2d(padded, (h, w)), extent)

    def _raw_color(self) -> Tensor:
        if self._raw.color is None:
            raise InputError(f"{type(self._model).__name__} classifies; it has no color to give")
        return self._raw.color

    def _head(self) -> BinHead | RegressionHead:
        if self._model.output is None:
            raise InputError(f"{type(self._model).__name__} classifies; it has no color to give")
        return self._model.output

    def _require_bins(self, wanted: str) -> BinHead:
        head = self._head()
        if not isinstance(head, BinHead):
            raise InputError(
                f"{wanted}: {type(self._model).__name__} predicts one color, it has no "
                "distribution; choose a model over bins"
            )
        return head
