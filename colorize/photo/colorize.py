"""Color or classify an image of any kind and size in one call."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, overload

import numpy as np

from colorize.checks import checks_flags
from colorize.photo.hints import Hint
from colorize.photo.image import AnyImage, Images, for_each
from colorize.photo.prediction import DEFAULT_MODEL, ModelLike, load, predict

DEFAULT_CLASSIFIER = "joint-ncd"
Classes = list[tuple[str, float]]


@overload
def colorize_image(image: AnyImage, model: ModelLike = ..., **options: Any) -> np.ndarray: ...
@overload
def colorize_image(image: Images, model: ModelLike = ..., **options: Any) -> list[np.ndarray]: ...
@checks_flags  # type: ignore[misc]  # its options are those of the signatures above
def colorize_image(
    image: AnyImage | Images,
    model: ModelLike = DEFAULT_MODEL,
    *,
    size: int | None = None,
    adapt: bool = True,
    temperature: float | None = None,
    saturation: float = 1.0,
    upsampling: str = "bilateral",
    hints: Sequence[Hint] | None = None,
    mask: np.ndarray | None = None,
    samples: int | None = None,
    seed: int = 0,
    depth: int = 8,
    truncated: bool = False,
    max_pixels: int | None = None,
) -> np.ndarray | list[np.ndarray]:
    """Color an image from its lightness: ``predict`` and ``Prediction.colorize`` in one call.

    Besides image and result it takes memory for the model and for bands of the image only.
    Transparent pixels are laid over white; the command keeps transparency.

    Args:
        image, model, size, adapt, truncated, max_pixels: as in ``predict``.
        temperature, saturation, upsampling, hints, mask, samples, seed, depth: as in
            ``Prediction.colorize``.

    Returns:
        (H, W, 3) uint8, or uint16 for a depth of 16, EXIF orientation applied. With ``samples``
        (samples, H, W, 3), the most likely first. A list of these for a list of images.
    """
    module = load(model)

    def color(one: AnyImage) -> np.ndarray:
        reading = {"truncated": truncated, "max_pixels": max_pixels}
        return predict(one, module, size=size, adapt=adapt, **reading).colorize(
            temperature=temperature,
            saturation=saturation,
            upsampling=upsampling,
            hints=hints,
            mask=mask,
            samples=samples,
            seed=seed,
            depth=depth,
        )

    return for_each(image, color)


@overload
def uncertainty(image: AnyImage, model: ModelLike = ..., **options: Any) -> np.ndarray: ...
@overload
def uncertainty(image: Images, model: ModelLike = ..., **options: Any) -> list[np.ndarray]: ...
def uncertainty(  # type: ignore[misc]  # its options are those of the signatures above
    image: AnyImage | Images, model: ModelLike = DEFAULT_MODEL, *, size: int | None = None
) -> np.ndarray | list[np.ndarray]:
    """Measure how undecided a model is about every pixel; arguments as in ``predict``.

    Returns:
        (H, W) float32: entropy of the predicted distribution in nats, 0..log Q. A list of these for
        a list of images.
    """
    module = load(model)
    return for_each(image, lambda one: predict(one, module, size=size).uncertainty())


@overload
def classify_image(image: AnyImage, model: ModelLike = ..., **options: Any) -> Classes: ...
@overload
def classify_image(image: Images, model: ModelLike = ..., **options: Any) -> list[Classes]: ...
def classify_image(  # type: ignore[misc]  # its options are those of the signatures above
    image: AnyImage | Images, model: ModelLike = DEFAULT_CLASSIFIER, *, size: int | None = None
) -> Any:
    """Classify an image by its lightness; arguments as in ``predict``.

    Returns:
        (name, probability) of every class, the most probable first. A list of these for a list of
        images.
    """
    module = load(model)
    return for_each(image, lambda one: predict(one, module, size=size).classify())
