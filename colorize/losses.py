"""Losses over color: sparse soft-target cross-entropy with rebalancing, and Euclidean."""

from __future__ import annotations

import torch
from torch import Tensor

from colorize.checks import require_tensor


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
