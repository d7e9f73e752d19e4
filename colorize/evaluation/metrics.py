"""Metrics of colorization and classification, one number for each image.

All metrics take batches and return (N,); sums over a test set are made once, of all its images, so
the size of the last batch does not matter. RGB images are uint8 or float in 0..1; what is counted
in levels is counted in those of 8 bits.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torchmetrics.functional.image import (
    peak_signal_noise_ratio,
    structural_similarity_index_measure,
)

from colorize.checks import require_finite, require_images, require_rgb, require_tensor
from colorize.color.bins import ABBins
from colorize.errors import InputError

_RGB_RANGE = 255.0
_WINDOW = 11

# The thresholds of the raw accuracy are 0, 1, ..., 150 ab units.
_LARGEST_THRESHOLD = 150


def rmse_ab(predicted: Tensor, target: Tensor) -> Tensor:
    """Root of the mean squared error over the pixels and both channels of (N, 2, H, W) ab."""
    return _rmse(*_ab_pair(predicted, target))


def rmse_rgb(predicted: Tensor, target: Tensor) -> Tensor:
    """Root of the mean squared error over pixels and channels of (N, 3, H, W), in 8-bit levels."""
    return _rmse(*_rgb_pair(predicted, target))


def auc(predicted_ab: Tensor, ab: Tensor) -> Tensor:
    """Raw accuracy of Zhang 2016, section 3.1: area under the curve of pixels within a threshold.

    The share of pixels whose L2 distance in ab is at most t, for t = 0, 1, ..., 150, integrated by
    the trapezoidal rule and divided by 150: 0..1, 1 for equal images.

    Args:
        predicted_ab: (N, 2, H, W), CIELAB units. ab: the same shape, the truth.
    """
    return pixel_auc(predicted_ab, ab).flatten(1).mean(1)


def weighted_auc_sums(
    predicted_ab: Tensor, ab: Tensor, pixel_weights: Tensor
) -> tuple[Tensor, Tensor]:
    """The two sums of the rebalanced accuracy, for each image.

    The paper weights all pixels of the test set together, so its number is
    ``numerator.sum() / denominator.sum()`` over all images, best summed in float64: a picture of
    rare colors counts for more than one of common colors.

    Args:
        predicted_ab: (N, 2, H, W), CIELAB units. ab: the same shape, the truth.
        pixel_weights: (N, H, W), 0 or above; ``rebalancing_weights`` makes the paper's.

    Returns:
        numerator: (N,), sum of weight times accuracy. denominator: (N,), sum of the weights.
    """
    accuracy = pixel_auc(predicted_ab, ab)
    weights = pixel_weights.float()
    return (weights * accuracy).flatten(1).sum(1), weights.flatten(1).sum(1)


def rebalancing_weights(ab: Tensor, prior: Tensor, bin_centers: Tensor) -> Tensor:
    """Weights of the rebalanced accuracy: the inverse prior of each pixel's nearest bin.

    Equation 4 of Zhang 2016 with lambda = 0, whose prior is smoothed over the ab plane. The scale
    is that of ``sum(prior * weights) = 1``.

    Args:
        ab: (N, 2, H, W), the truth, CIELAB units.
        prior: (Q,), sums to 1. bin_centers: (Q, 2).

    Returns:
        (N, H, W) float32.
    """
    require_tensor(bin_centers, "bin_centers", shape=(None, 2))
    q = bin_centers.shape[0]
    require_tensor(prior, "prior", shape=(q,), floating=True)
    bins = ABBins(bin_centers).nearest(ab)
    # On the CPU because not every device has float64, and priors of 1e-21 do occur.
    weights = (1 / (q * prior.cpu().double())).float().to(ab.device)[bins]
    usable = (weights > 0) & weights.isfinite()
    if not bool(usable.all()):
        missing = bins[~usable].unique().numel()
        raise InputError(
            f"prior: expected a probability above 0 for every bin of these images, {missing} of "
            "them have none; smooth the prior first (colorize.color.prior.smooth_prior)"
        )
    return weights


def topk_correct(logits: Tensor, labels: Tensor, k: int) -> Tensor:
    """Whether the label is among the k most probable classes; k = 1 and 5 are usual.

    Args:
        logits: (N, C). labels: (N,), integers in 0..C-1.
        k: with no more than k classes every answer is right.

    Returns:
        (N,) bool.
    """
    require_tensor(logits, "logits", shape=(None, None), floating=True)
    require_tensor(labels, "labels", shape=(logits.shape[0],))
    classes = logits.shape[1]
    if labels.is_floating_point() or not bool(((labels >= 0) & (labels < classes)).all()):
        raise InputError(f"labels: expected integers in 0..{classes - 1}")
    best = logits.topk(min(k, classes), dim=1).indices
    return (best == labels[:, None]).any(1)


def psnr(predicted: Tensor, target: Tensor) -> Tensor:
    """Peak signal-to-noise ratio of (N, 3, H, W) in dB, data range 255; inf for equal images."""
    predicted, target = _rgb_pair(predicted, target)
    return peak_signal_noise_ratio(
        predicted, target, data_range=_RGB_RANGE, reduction="none", dim=(1, 2, 3)
    )


def ssim(predicted: Tensor, target: Tensor) -> Tensor:
    """Structural similarity of (N, 3, H, W), data range 255, Gaussian window of sigma 1.5.

    The mean over the windows that lie wholly inside, as in Wang et al. 2004.

    Raises:
        InputError: when the images are smaller than the window of 11x11.
    """
    predicted, target = _rgb_pair(predicted, target)
    if min(predicted.shape[2:]) < _WINDOW:
        raise InputError(
            f"ssim: expected images of at least {_WINDOW}x{_WINDOW} pixels, "
            f"got {tuple(predicted.shape[2:])}"
        )
    _, full = structural_similarity_index_measure(
        predicted, target, data_range=_RGB_RANGE, reduction="none", return_full_image=True
    )
    border = _WINDOW // 2
    inside = torch.as_tensor(full)[..., border:-border, border:-border]
    return inside.flatten(1).mean(1)


def colorfulness(rgb: Tensor) -> Tensor:
    """Colorfulness M3 of Hasler and Süsstrunk 2003, with signed opponent channels.

    ``sqrt(var(rg) + var(yb)) + 0.3 sqrt(mean(rg)^2 + mean(yb)^2)`` where ``rg = R - G`` and
    ``yb = (R + G) / 2 - B``, on the scale 0..255.
    """
    red, green, blue = _levels(rgb, "rgb").flatten(2).unbind(1)
    rg, yb = red - green, (red + green) / 2 - blue
    spread = (rg.var(1, correction=0) + yb.var(1, correction=0)).sqrt()
    return spread + 0.3 * (rg.mean(1).square() + yb.mean(1).square()).sqrt()


def colorfulness_error(predicted: Tensor, target: Tensor) -> Tensor:
    """How far the colorfulness of (N, 3, H, W) is from the truth's, in either direction.

    Its mean is not the difference of the means, where too grey and too colorful cancel out.
    """
    require_tensor(target, "target", shape=tuple(predicted.shape))
    return (colorfulness(predicted) - colorfulness(target)).abs()


def border_sharpness(ab: Tensor) -> Tensor:
    """How sharp the borders between colors are, whatever their number and contrast.

    ``sum(d^2) / (s sum(d))`` over the steps d between neighboring pixels, where s is the standard
    deviation of the color in the image: two halves of one color each give 2 for a hard border and
    2 / w for one that takes w pixels.

    Args:
        ab: (N, 2, H, W), CIELAB units.

    Returns:
        (N,), a pixel to the power -1; 0 for images of one color.
    """
    ab = require_finite(require_tensor(ab, "ab", shape=(None, 2, None, None), floating=True), "ab")
    ab = ab.float()
    steps = torch.cat([ab.diff(dim=dim).square().sum(1).flatten(1) for dim in (2, 3)], 1)
    spread = ab.flatten(2).var(2, correction=0).sum(1).sqrt()
    return steps.sum(1) / (spread * steps.sqrt().sum(1)).clamp(min=1e-6)


def pixel_auc(predicted_ab: Tensor, ab: Tensor) -> Tensor:
    """(N, H, W): the integral for one pixel, in closed form."""
    predicted_ab, ab = _ab_pair(predicted_ab, ab)
    distance = (predicted_ab - ab).square().sum(1).sqrt()
    # The curve of one pixel is 0 before the first threshold that it is within and 1 from there on;
    # the trapezoid before the step is half filled, and there is none before the threshold 0.
    first = distance.ceil()
    area = torch.where(first == 0, float(_LARGEST_THRESHOLD), _LARGEST_THRESHOLD + 0.5 - first)
    return torch.where(first > _LARGEST_THRESHOLD, 0.0, area) / _LARGEST_THRESHOLD


def _rmse(predicted: Tensor, target: Tensor) -> Tensor:
    return (predicted - target).square().flatten(1).mean(1).sqrt()


def _ab_pair(predicted: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    require_tensor(predicted, "predicted", shape=(None, 2, None, None), floating=True)
    require_tensor(target, "target", shape=tuple(predicted.shape), floating=True)
    for values, name in ((predicted, "predicted"), (target, "target")):
        require_finite(require_images(values, name), name)
    return predicted.float(), target.float()


def _rgb_pair(predicted: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Both as float 8-bit levels."""
    predicted = _levels(predicted, "predicted")
    require_tensor(target, "target", shape=tuple(predicted.shape))
    return predicted, _levels(target, "target")


def _levels(rgb: Tensor, name: str) -> Tensor:
    rgb = require_images(require_rgb(rgb, name), name)
    return rgb.float() if rgb.dtype == torch.uint8 else rgb.float() * _RGB_RANGE
