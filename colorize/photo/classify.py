"""What is on a photograph, by a net that colors and classifies."""

from __future__ import annotations

from pathlib import Path

import torch

from colorize.errors import InputError
from colorize.models import Colorizer, eval_mode
from colorize.models.checkpoint import device_of
from colorize.models.hub import load_model
from colorize.photo.image import ImageLike, Picture

DEFAULT_CLASSIFIER = "joint-ncd"


@torch.inference_mode()
def classify_image(
    image: ImageLike, model: Colorizer | str | Path = DEFAULT_CLASSIFIER, *, size: int | None = None
) -> list[tuple[str, float]]:
    """The classes of a picture, judged from its lightness, whole and at any shape.

    Args:
        image: as in ``colorize_image``.
        model: a model with a class branch, a name of ``list_models()``, or a checkpoint's path.
        size: short side in pixels at which the net looks at the picture; None for the model's own.

    Returns:
        (name, probability) of every class, the most probable first; a class without a name is its
        number.

    Raises:
        ImageError: when it is no image that can be read.
        InputError: when the model has no class branch, or was trained on color pictures.
    """
    model = model if isinstance(model, Colorizer) else load_model(model)
    if model.in_channels != 1:
        raise InputError("model: expected one that sees lightness, got one that sees color")
    picture = Picture(image, device_of(model))
    L = picture.reduced(model.input_size if size is None else size)
    with eval_mode(model):
        logits = model.class_logits(model(model.pad(L)))
    if logits is None:
        raise InputError(f"model: expected one that classifies, got {type(model).__name__}")
    probabilities = logits[0].float().softmax(0)
    names = getattr(model, "class_names", None) or [str(i) for i in range(len(probabilities))]
    order = probabilities.argsort(descending=True).tolist()
    return [(names[i], float(probabilities[i])) for i in order]
