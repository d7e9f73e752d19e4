"""Color or classify an image of any kind and size in one call."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from colorize.photo.hints import Hint
from colorize.photo.image import ImageLike
from colorize.photo.prediction import DEFAULT_MODEL, ModelLike, predict

DEFAULT_CLASSIFIER = "joint-ncd"


def colorize_image(
    image: ImageLike,
    model: ModelLike = DEFAULT_MODEL,
    *,
    size: int | None = None,
    temperature: float | None = None,
    saturation: float = 1.0,
    upsampling: str = "bilateral",
    hints: Sequence[Hint] | None = None,
    samples: int | None = None,
    seed: int = 0,
    depth: int = 8,
) -> np.ndarray:
    """Color an image from its lightness: ``predict`` and ``Prediction.colorize`` in one call.

    Besides image and result it takes memory for the model and for bands of the image only.

    Args:
        image, model, size: as in ``predict``.
        temperature, saturation, upsampling, hints, samples, seed, depth: as in
            ``Prediction.colorize``.

    Returns:
        (H, W, 3) uint8, or uint16 for a depth of 16, EXIF orientation applied. With ``samples``
        (samples, H, W, 3), the most likely first.
    """
    return predict(image, model, size=size).colorize(
        temperature=temperature,
        saturation=saturation,
        upsampling=upsampling,
        hints=hints,
        samples=samples,
        seed=seed,
        depth=depth,
    )


def uncertainty(
    image: ImageLike, model: ModelLike = DEFAULT_MODEL, *, size: int | None = None
) -> np.ndarray:
    """Measure how undecided a model is about every pixel; arguments as in ``predict``.

    Returns:
        (H, W) float32: entropy of the predicted distribution in nats, 0..log Q.
    """
    return predict(image, model, size=size).uncertainty()


def classify_image(
    image: ImageLike, model: ModelLike = DEFAULT_CLASSIFIER, *, size: int | None = None
) -> list[tuple[str, float]]:
    """Classify an image by its lightness; arguments as in ``predict``.

    Returns:
        (name, probability) of every class, the most probable first.
    """
    return predict(image, model, size=size).classify()
