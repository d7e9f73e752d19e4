"""Run a net once on an image; then color the image from its prediction as often as wanted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, overload

import numpy as np
import torch
from torch import Tensor, nn

from colorize.checks import (
    checks_flags,
    require_choice,
    require_non_negative,
    require_path,
    require_whole,
)
from colorize.color.lab import join_lightness
from colorize.errors import InputError
from colorize.models import eval_mode, unwrap
from colorize.models.hub import load_model
from colorize.photo.files import Photo, read_photo, write_photo
from colorize.photo.formats import find_container
from colorize.photo.hints import Hint, check_hints, check_place
from colorize.photo.image import AnyImage, Box, Images, InputImage, for_each, to_path
from colorize.photo.lightness import Tone, find_tone
from colorize.photo.margins import find_margins
from colorize.photo.net_answer import CoarsePrediction, NetAnswer
from colorize.photo.upsampling import METHODS

DEFAULT_MODEL = "photo"
ModelLike = nn.Module | str | Path
# Every color has reached the border of sRGB by then.
_MOST_SATURATED = 100.0


@overload
def predict(image: AnyImage, model: ModelLike = ..., **options: Any) -> Prediction: ...
@overload
def predict(image: Images, model: ModelLike = ..., **options: Any) -> list[Prediction]: ...
@checks_flags  # type: ignore[misc]  # its options are those of the signatures above
def predict(
    image: AnyImage | Images,
    model: ModelLike = DEFAULT_MODEL,
    *,
    size: int | None = None,
    adapt: bool = True,
    truncated: bool = False,
    max_pixels: int | None = None,
) -> Prediction | list[Prediction]:
    """Run a model on an image, once.

    Args:
        image: path, file URL, encoded bytes, PIL image, tensor (C, H, W) or (H, W), or array
            (H, W), (H, W, 1), (H, W, 3) or (H, W, 4) of uint8, uint16, bool, or float in 0..1.
            Files and arrays keep their 16 bits. A list of images gives a list of predictions.
        model: a model, also compiled or in ``DataParallel``, a name of ``list_models()``, or the
            path of a checkpoint.
        size: short side in pixels to which the image is reduced for the net; None for the size that
            the model was trained at. Smaller images are not enlarged.
        adapt: show the net a faded image at full contrast and without its uniform margins, which
            stay grey, and give little color to what is nearly flat or very dark. The image keeps
            its own lightness. False shows the net the image as it is.
        truncated: also take a JPEG that was cut off; what is missing is grey.
        max_pixels: the most pixels of a file; None for Pillow's limit, 178,956,970.
    """
    for name, value in (("size", size), ("max_pixels", max_pixels)):
        if value is not None:
            require_whole(value, name, 1)
    run, reading = load(model), {"truncated": truncated, "max_pixels": max_pixels}
    return for_each(image, lambda one: _predict(one, run, size, adapt, reading))


def load(model: ModelLike) -> nn.Module:
    """Load a model by its name or path; give a module back."""
    return model if isinstance(model, nn.Module) else load_model(model, device="auto")


def _predict(
    image: AnyImage, run: nn.Module, size: int | None, adapt: bool, reading: dict[str, Any]
) -> Prediction:
    model = unwrap(run)
    if model.in_channels != 1:
        raise InputError("model: expected one that sees lightness, got one that sees color")
    whole = InputImage(image, model.device, **reading)
    with torch.inference_mode(), eval_mode(run):
        margins = find_margins(whole) if adapt else None
        inside = whole if margins is None else whole.crop(margins)
        L = inside.reduced(size or model.input_size)
        tone = find_tone(L) if adapt else Tone()
        seen = tone.stretch(L)
        raw = run(model.pad(seen))
    answer = NetAnswer(model, seen, raw)
    prediction = Prediction(whole, margins or whole.box, tone, answer)
    prediction.source = None if isinstance(image, bytes) else to_path(image)
    source = image if isinstance(image, bytes) else prediction.source
    if source is not None:
        prediction.reread = lambda: read_photo(source, "image", **reading)
    return prediction


class Prediction:
    """What a net predicted for one image. ``predict`` makes it.

    ``colorize`` and ``uncertainty`` do not run the net again, with one exception: a net that takes
    hints as input, ``siggraph17``, has to run for each set of hints.

    Attributes:
        inside: the part of the image without its margins, which the net saw.
        tone: how far the image was found faded, flat or dark.
        source: the file that the image came from; None for other images.
        reread: reads what the image came from once more; None for an image without a file.
    """

    source: Path | None = None
    reread: Callable[[], Photo] | None = None

    def __init__(self, image: InputImage, inside: Box, tone: Tone, answer: NetAnswer) -> None:
        self.inside, self.tone = inside, tone
        self._image, self._answer = image, answer
        self._part = image.crop(inside)

    @property
    def adapted(self) -> bool:
        """Whether the net saw the image in another way than it is, or its color is lessened."""
        return self.inside != self._image.box or self.tone.share > 0 or self.tone.chroma < 1

    @torch.inference_mode()
    def colorize(
        self,
        *,
        temperature: float | None = None,
        saturation: float = 1.0,
        upsampling: str = "bilateral",
        hints: Sequence[Hint] | None = None,
        mask: np.ndarray | None = None,
        samples: int | None = None,
        sample: int | None = None,
        seed: int = 0,
        depth: int = 8,
    ) -> np.ndarray:
        """Color the image. Its lightness stays the same, in 8 bits to the bit.

        Args:
            temperature: of the annealed mean, 0 or above; None for the model's own.
            saturation: factor of a and b, 0 or above. Hints keep their color.
            upsampling: of color to full size: "bilateral" follows edges of lightness, "bilinear"
                does not.
            hints: points of color, ``(x, y, (r, g, b))``: column and row of a pixel, and its color
                in 0..255. A hint colors the region around it.
            mask: (H, W) bool, True where color is computed. Elsewhere the image keeps its own.
            samples: number of colorings to draw from the predicted distribution.
            sample: the one of them to give, from 0 on; it takes a share of their time and memory.
            seed: of the samples.
            depth: bits of a channel of the result, 8 or 16.

        Returns:
            (H, W, 3) uint8, or uint16 for a depth of 16. With ``samples`` (samples, H, W, 3), the
            most likely first, unless ``sample`` says which.
        """
        require_choice(upsampling, "upsampling", METHODS)
        require_non_negative(saturation, "saturation")
        if temperature is not None:
            require_non_negative(temperature, "temperature")
        if samples is not None:
            require_whole(samples, "samples", 1)
        if sample is not None and require_whole(sample, "sample", 0) >= (samples or 0):
            raise InputError(f"sample: expected a number below samples, {samples}; got {sample}")
        require_whole(seed, "seed", 0)
        require_choice(depth, "depth", (8, 16))
        if mask is not None:
            mask = _check_mask(mask, self._image.size)
        places, colors = check_hints(() if hints is None else hints, self._image.size)
        places = self._inside(places, "hints")
        saturation = min(saturation, _MOST_SATURATED) * self.tone.chroma
        predicted = self._answer.decode(temperature, saturation, samples, seed, places, colors)
        if sample is not None:
            predicted = replace(predicted, values=predicted.values[sample, None])
        dtype = np.uint8 if depth == 8 else np.uint16
        colored = np.empty((len(predicted.values), *self._image.size, 3), dtype)
        for ab, rgb in zip(predicted.values, colored, strict=True):
            self._render(replace(predicted, values=ab[None]), upsampling, rgb)
        if mask is not None:
            for first, own in self._image.colors(depth):
                rows = slice(first, first + len(own))
                np.copyto(colored[:, rows], own, where=~mask[rows, :, None])
        return colored if samples is not None and sample is None else colored[0]

    def save(self, path: str | Path, **settings: Any) -> None:
        """Color the image and write it, with the metadata of the file that it came from.

        Args:
            path: its ending says the format. A file of this name is replaced, but not the one that
                the image came from.
            settings: as in ``colorize``; ``samples`` only with ``sample``.
        """
        path = require_path(path, "path")
        find_container(path.suffix)
        source = self.source
        if source is not None and path.exists() and source.exists() and path.samefile(source):
            raise InputError(f"path: expected another file than the image's own, got {path}")
        if settings.get("samples") is not None and settings.get("sample") is None:
            raise InputError("samples: save writes one coloring; say which with sample=")
        rgb = self.colorize(**settings)
        photo = Photo(rgb) if self.reread is None else self.reread()
        # Transparent pixels were laid over white.
        write_photo(rgb, replace(photo, alpha=None), path, path.suffix)

    @torch.inference_mode()
    def uncertainty(self) -> np.ndarray:
        """Measure how undecided the model is about the color of every pixel.

        Returns:
            (H, W) float32: entropy of the predicted distribution in nats, 0..log Q; 0 in margins.
        """
        upsampler = self._answer.measure_entropy().upsampler("bilateral", self._part.size)
        full = np.zeros(self._image.size, np.float32)
        inside = full[self.inside.slices]
        for first, L in self._part.bands():
            rows = upsampler.rows(self.tone.stretch(L), first)[0, 0]
            inside[first : first + len(rows)] = rows.cpu().numpy()
        return full

    def distribution_at(self, x: int, y: int) -> tuple[np.ndarray, np.ndarray]:
        """Give the predicted distribution over colors at column x and row y.

        Returns:
            (Q, 2) float32 ab of the bins, and their (Q,) float32 probabilities: as the net gives
            them, at a temperature of 1, for the cell of its output in which the pixel lies.
        """
        place = torch.tensor([check_place(x, y, self._image.size, "distribution_at")])
        (place,) = self._inside(place, "distribution_at")
        bin_centers, probabilities = self._answer.distribution_at(place)
        return bin_centers.float().cpu().numpy(), probabilities.cpu().numpy()

    def classify(self) -> list[tuple[str, float]]:
        """Give (name, probability) of every class, the most probable first.

        A class without a name goes by its number.
        """
        return self._answer.classify()

    def resized(self, image: AnyImage) -> Prediction:
        """Give the same prediction for a copy of the image at another size, such as a preview."""
        copy = InputImage(image, self._image.device)
        down, across = (new / old for new, old in zip(copy.size, self._image.size, strict=True))
        top, bottom = (round(row * down) for row in self.inside[:2])
        left, right = (round(column * across) for column in self.inside[2:])
        inside = Box(top, max(bottom, top + 1), left, max(right, left + 1))
        return Prediction(copy, inside, self.tone, self._answer)

    def _inside(self, places: Tensor, name: str) -> Tensor:
        """Give where places (K, 2) of the image lie in its part without margins."""
        if self.inside == self._image.box:
            return places
        corner = torch.tensor([self.inside.top, self.inside.left])
        places = (places * torch.tensor(self._image.size) - corner) / torch.tensor(self._part.size)
        if not bool(((places > 0) & (places < 1)).all()):
            raise InputError(
                f"{name}: expected a pixel of the image, got one of its margin; "
                "predict(adapt=False) takes margins for a part of the image"
            )
        return places

    def _render(self, coarse: CoarsePrediction, upsampling: str, rgb: np.ndarray) -> None:
        """Write the full-size color image into ``rgb``, band by band."""
        if self.inside != self._image.box:
            for first, L in self._image.bands():
                _join(L, torch.zeros_like(L).expand(-1, 2, -1, -1), rgb, first)
        upsampler = coarse.upsampler(upsampling, self._part.size)
        for first, L in self._part.bands():
            ab = upsampler.rows(self.tone.stretch(L), first)
            _join(L, ab, rgb[self.inside.slices], first)


def _join(L: Tensor, ab: Tensor, rgb: np.ndarray, first: int) -> None:
    """Write the colors of a band into the rows of ``rgb`` from ``first`` on."""
    if rgb.dtype == np.uint16:
        # Not every device knows float64 and uint16.
        L, ab = L.cpu(), ab.cpu()
    band = join_lightness(L, ab, depth=8 * rgb.itemsize)[0]
    rgb[first : first + L.shape[2]] = band.movedim(0, -1).cpu().numpy()


def _check_mask(mask: object, size: tuple[int, int]) -> np.ndarray:
    try:
        array = np.asarray(mask)
    except (TypeError, ValueError) as error:  # such as a tensor of a GPU
        raise InputError(f"mask: expected an array of bool of shape {size}; {error}") from error
    if array.dtype != np.bool_ or array.shape != size:
        raise InputError(
            f"mask: expected bool of shape {size}, True where color is computed; got "
            f"{array.dtype} of {array.shape}"
        )
    return array
