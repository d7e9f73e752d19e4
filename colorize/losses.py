"""The loss of every model: two formulas over color, cross-entropy over labels, and their sum."""

from __future__ import annotations

from typing import Protocol

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from colorize.checks import require_tensor
from colorize.errors import InputError

# Two channels without bins are ab in this unit.
AB_SCALE = 110.0


class SoftEncoder(Protocol):
    """What turns ab into soft targets over bins: the head of a model that has them."""

    class_weights: Tensor

    def encode(self, ab: Tensor) -> tuple[Tensor, Tensor]:
        """Encode (N, 2, h, w) ab as indices and weights (N, k, h, w)."""


def colorization_losses(
    output: tuple[Tensor | None, Tensor | None],
    ab: Tensor,
    label: Tensor | None = None,
    *,
    encoder: SoftEncoder | None = None,
    alpha: float = 1.0,
) -> dict[str, Tensor]:
    """Sum the losses of what a model says: ``color_loss + alpha * class_loss``.

    The sum is that of section 3.5 of Iizuka 2016; a branch that a model lacks adds nothing.

    Args:
        output: of ``forward``: color (N, channels, h, w) and logits of labels (N, classes).
        ab: (N, 2, H, W), the truth in CIELAB units. It is averaged to the size of the color.
        label: (N,) int64, for a model with a class branch.
        encoder: of a model over bins; None for one whose two channels are ab / 110.
        alpha: weight of the class loss.

    Returns:
        ``"loss"``, which is to be minimised, and its parts ``"color_loss"`` and ``"class_loss"``.
    """
    color, classes = output
    losses: dict[str, Tensor] = {}
    if color is not None:
        target = F.adaptive_avg_pool2d(ab, (color.shape[2], color.shape[3]))
        if encoder is None:
            losses["color_loss"] = euclidean_loss(color, target / AB_SCALE)
        else:
            indices, weights = encoder.encode(target)
            losses["color_loss"] = soft_cross_entropy(
                color, indices, weights, encoder.class_weights
            )
    if classes is not None:
        losses["class_loss"] = F.cross_entropy(classes.float(), require_labels(label, classes))
    if len(losses) == 2:
        return {"loss": losses["color_loss"] + alpha * losses["class_loss"], **losses}
    return {"loss": next(iter(losses.values())), **losses}


def soft_cross_entropy(
    logits: Tensor, indices: Tensor, weights: Tensor, class_weights: Tensor | None = None
) -> Tensor:
    """Rebalanced cross-entropy against sparse soft targets: equations 2 and 3 of Zhang 2016.

    ``-sum_hw v(Z) sum_q Z log softmax(logits)``, averaged over the pixels, where v(Z) is the class
    weight of the pixel's most probable bin. As sum(prior * class_weights) = 1, weighted and
    unweighted losses have the same scale.

    Args:
        logits: (N, Q, h, w).
        indices: (N, k, h, w) int64, the most probable bin first.
        weights: (N, k, h, w), sum over k is 1.
        class_weights: (Q,) or None for no rebalancing.

    Returns:
        A scalar, float32.

    Raises:
        InputError: when the shapes do not fit each other.
    """
    n, q, h, w = require_tensor(
        logits, "logits", shape=(None, None, None, None), floating=True
    ).shape
    require_tensor(indices, "indices", shape=(n, None, h, w))
    require_tensor(weights, "weights", shape=tuple(indices.shape))
    # log softmax of k bins only: the dense (N, Q, h, w) map of it is never made.
    logits = logits.float()
    picked = logits.gather(1, indices)
    per_pixel = torch.logsumexp(logits, 1) - (weights * picked).sum(1)
    if class_weights is not None:
        require_tensor(class_weights, "class_weights", shape=(q,))
        per_pixel = per_pixel * class_weights[indices[:, 0]]
    return per_pixel.mean()


def euclidean_loss(predicted: Tensor, target: Tensor) -> Tensor:
    """Half the squared distance in ab, averaged over the pixels: equation 1 of Zhang 2016.

    Args:
        predicted: (N, 2, h, w). target: the same shape and units.
    """
    require_tensor(predicted, "predicted", shape=(None, 2, None, None), floating=True)
    require_tensor(target, "target", shape=tuple(predicted.shape))
    return 0.5 * (predicted.float() - target.float()).square().sum(1).mean()


def require_labels(label: Tensor | None, classes: Tensor) -> Tensor:
    """Return the labels of a batch when they are among those of (N, classes) logits."""
    n, count = classes.shape
    if label is None:
        raise InputError('batch["label"]: expected class labels for the class branch, got none')
    label = require_tensor(label, 'batch["label"]', shape=(n,))
    if label.is_floating_point():
        raise InputError(f'batch["label"]: expected whole numbers, got {label.dtype}')
    if bool(((label < 0) | (label >= count)).any()):
        raise InputError(
            f'batch["label"]: expected 0..{count - 1}, got {int(label.min())}..{int(label.max())}'
        )
    return label.long()
