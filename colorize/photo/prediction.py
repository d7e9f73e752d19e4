"""Run a net once on an image; then color the image from its prediction as often as wanted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from colorize.checks import require_choice, require_non_negative
from colorize.color.lab import join_lightness
from colorize.errors import InputError
from colorize.models import (
    BinHead,
    Colorizer,
    ModelOutput,
    RegressionHead,
    SIGGRAPH17Model,
    eval_mode,
)
from colorize.models.hub import load_model
from colorize.photo.hints import Hint, apply_hints, check_hints, hint_maps
from colorize.photo.image import ImageLike, InputImage
from colorize.photo.sampling import entropy, sample_ab
from colorize.photo.upsampling import METHODS, Extent, Upsampler, make_upsampler

DEFAULT_MODEL = "photo"
ModelLike = Colorizer | str | Path


def predict(
    image: ImageLike, model: ModelLike = DEFAULT_MODEL, *, size: int | None = None
) -> Prediction:
    """Run a model on an image, once.

    Args:
        image: path, encoded bytes, PIL image, or array (H, W), (H, W, 1), (H, W, 3) or (H, W, 4) of
            uint8, uint16, bool, or float in 0..1. Arrays keep their precision; files and PIL images
            are read at 8 bits.
        model: a model, a name of ``list_models()``, or the path of a checkpoint.
        size: short side in pixels to which the image is reduced for the net; None for the size that
            the model was trained at. Smaller images are not enlarged.
    """
    if size is not None and size < 1:
        raise InputError(f"size: expected at least 1 pixel, got {size}")
    model = model if isinstance(model, Colorizer) else load_model(model)
    if model.in_channels != 1:
        raise InputError("model: expected one that sees lightness, got one that sees color")
    input_image = InputImage(image, model.device)
    with torch.inference_mode(), eval_mode(model):
        L = input_image.reduced(size or model.input_size)
        raw = model(model.pad(L))
    return Prediction(model, input_image, L, raw)


class Prediction:
    """What a net predicted for one image. ``predict`` makes it.

    ``colorize`` and ``uncertainty`` do not run the net again, with one exception: a net that takes
    hints as input, ``siggraph17``, has to run for each set of hints.
    """

    def __init__(self, model: Colorizer, image: InputImage, L: Tensor, raw: ModelOutput) -> None:
        self._model, self._image, self._L, self._raw = model, image, L, raw

    @torch.inference_mode()
    def colorize(
        self,
        *,
        temperature: float | None = None,
        saturation: float = 1.0,
        upsampling: str = "bilateral",
        hints: Sequence[Hint] | None = None,
        samples: int | None = None,
        seed: int = 0,
        depth: int = 8,
    ) -> np.ndarray:
        """Color the image. Its lightness is kept: turned back to grey, it is the same to the bit.

        Args:
            temperature: of the annealed mean, 0 or above; None for the model's own.
            saturation: factor of a and b, 0 or above.
            upsampling: of color to full size: "bilateral" follows edges of lightness, "bilinear"
                does not.
            hints: points of color, ``(x, y, (r, g, b))``: column and row of a pixel, and its color
                in 0..255. A hint colors the region around it.
            samples: number of colorings to draw from the predicted distribution.
            seed: of the samples.
            depth: bits of a channel of the result, 8 or 16.

        Returns:
            (H, W, 3) uint8, or uint16 for a depth of 16. With ``samples`` (samples, H, W, 3), the
            most likely first.
        """
        require_choice(upsampling, "upsampling", METHODS)
        require_non_negative(saturation, "saturation")
        if samples is not None and samples < 1:
            raise InputError(f"samples: expected 1 or more, got {samples}")
        if depth not in (8, 16):
            raise InputError(f"depth: expected 8 or 16 bits, got {depth}")
        predicted = self._predicted_ab(temperature, samples, seed, hints or ())
        dtype = np.uint8 if depth == 8 else np.uint16
        colored = np.empty((len(predicted.values), *self._image.size, 3), dtype)
        for ab, rgb in zip(predicted.values, colored, strict=True):
            one = replace(predicted, values=ab[None] * saturation)
            self._render(one, upsampling, rgb)
        return colored[0] if samples is None else colored

    @torch.inference_mode()
    def uncertainty(self) -> np.ndarray:
        """Measure how undecided the model is about the color of every pixel.

        Returns:
            (H, W) float32: entropy of the predicted distribution in nats, 0..log Q.
        """
        self._require_bins("uncertainty")
        coarse = self._to_coarse(entropy(self._raw_color()))
        upsampler = coarse.upsampler("bilateral", self._image.size)
        full = np.empty(self._image.size, np.float32)
        for first, L in self._image.bands():
            rows = upsampler.rows(L, first)[0, 0]
            full[first : first + len(rows)] = rows.cpu().numpy()
        return full

    def classify(self) -> list[tuple[str, float]]:
        """Give (name, probability) of every class, the most probable first.

        A class without a name goes by its number.
        """
        logits = self._raw.classes
        if logits is None:
            raise InputError(
                f"model: expected one that classifies, got {type(self._model).__name__}"
            )
        probabilities = logits[0].float().softmax(0)
        names = getattr(self._model, "class_names", None) or [*map(str, range(len(probabilities)))]
        order = probabilities.argsort(descending=True).tolist()
        return [(names[i], float(probabilities[i])) for i in order]

    def _predicted_ab(
        self, temperature: float | None, samples: int | None, seed: int, hints: Sequence[Hint]
    ) -> CoarsePrediction:
        """Decode ab, (n, 2, h, w), at the size of the net's output; with hints, of its input."""
        head = self._head()
        bins = None if samples is None else self._require_bins("samples")
        places, colors = check_hints(hints, self._image.size)
        if hints and isinstance(self._model, SIGGRAPH17Model):
            return self._predict_with_hints(self._model, places, colors, temperature)
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
        return self._apply_hints_at_input_size(coarse, places, colors) if hints else coarse

    def _predict_with_hints(
        self, model: SIGGRAPH17Model, places: Tensor, colors: Tensor, temperature: float | None
    ) -> CoarsePrediction:
        size = (self._L.shape[2], self._L.shape[3])
        ab, mask = (m.to(self._L.device) for m in hint_maps(places, colors, size))
        with eval_mode(model):
            values = model.predict_ab(
                self._L, temperature=temperature, hints_ab=ab, hints_mask=mask
            )
        return CoarsePrediction(values, self._L, size)

    def _apply_hints_at_input_size(
        self, coarse: CoarsePrediction, places: Tensor, colors: Tensor
    ) -> CoarsePrediction:
        """Apply hints where edges are finer than the net's output: at the size of its input."""
        size = (self._L.shape[2], self._L.shape[3])
        steered = []
        for ab in coarse.values:
            fine = replace(coarse, values=ab[None]).upsampler("bilateral", size)
            steered.append(apply_hints(fine.rows(self._L, 0), self._L, places, colors))
        return CoarsePrediction(torch.cat(steered), self._L, size)

    def _to_coarse(self, values: Tensor) -> CoarsePrediction:
        """Add guide and extent to values that the net gave for the padded L."""
        padded, (height, width) = self._model.pad(self._L).float(), self._L.shape[2:]
        h, w = values.shape[2:]
        extent = (height * h / padded.shape[2], width * w / padded.shape[3])
        return CoarsePrediction(values, F.adaptive_avg_pool2d(padded, (h, w)), extent)

    def _render(self, coarse: CoarsePrediction, upsampling: str, rgb: np.ndarray) -> None:
        """Write the full-size color image into ``rgb``, band by band."""
        upsampler = coarse.upsampler(upsampling, self._image.size)
        for first, L in self._image.bands():
            ab = upsampler.rows(L, first)
            if rgb.dtype == np.uint16:
                # Not every device knows float64 and uint16.
                L, ab = L.cpu(), ab.cpu()
            band = join_lightness(L, ab, depth=8 * rgb.itemsize)[0]
            rgb[first : first + L.shape[2]] = band.movedim(0, -1).cpu().numpy()

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


def find_device(name: str | None = None) -> torch.device:
    """Find the device of a name; without one, the first of cuda, mps and cpu that is here."""
    if name is None:
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(
            f"device: expected cpu, or a GPU that is here; got {name!r}: {reason}"
        ) from error
    return device
