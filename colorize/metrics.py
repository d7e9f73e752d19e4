"""Metrics of colorization, one number for each image.

All take batches and return (N,); sums over a test set are made once, of all its images, so the
size of the last batch does not matter. RGB images are uint8 or float on the scale 0..255.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torchmetrics.functional.image import (
    peak_signal_noise_ratio,
    structural_similarity_index_measure,
)

from colorize.checks import require_tensor
from colorize.errors import InputError

_RGB_RANGE = 255.0
_WINDOW = 11


def rmse_ab(predicted: Tensor, target: Tensor) -> Tensor:
    """Root of the mean squared error over the pixels and both channels of (N, 2, H, W) ab."""
    require_tensor(predicted, "predicted", shape=(None, 2, None, None), floating=True)
    return _rmse(predicted, target)


def rmse_rgb(predicted: Tensor, target: Tensor) -> Tensor:
    """Root of the mean squared error over pixels and channels of (N, 3, H, W), in 8-bit levels."""
    require_tensor(predicted, "predicted", shape=(None, 3, None, None))
    return _rmse(predicted, target)


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
    return _colorfulness(*_opponents(rgb))


def colorfulness_absolute(rgb: Tensor) -> Tensor:
    """The variant that much published code uses: the absolute values of rg and yb.

    It is not the paper's: the spread of an absolute value is smaller, so a picture with both reds
    and greens counts as less colorful.
    """
    rg, yb = _opponents(rgb)
    return _colorfulness(rg.abs(), yb.abs())


def _opponents(rgb: Tensor) -> tuple[Tensor, Tensor]:
    rgb = require_tensor(rgb, "rgb", shape=(None, 3, None, None))
    red, green, blue = rgb.float().flatten(2).unbind(1)
    return red - green, (red + green) / 2 - blue


def _colorfulness(rg: Tensor, yb: Tensor) -> Tensor:
    spread = (rg.var(1, correction=0) + yb.var(1, correction=0)).sqrt()
    return spread + 0.3 * (rg.mean(1).square() + yb.mean(1).square()).sqrt()


def _rmse(predicted: Tensor, target: Tensor) -> Tensor:
    require_tensor(target, "target", shape=tuple(predicted.shape))
    return (predicted.float() - target.float()).square().flatten(1).mean(1).sqrt()


def _rgb_pair(predicted: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    require_tensor(predicted, "predicted", shape=(None, 3, None, None))
    require_tensor(target, "target", shape=tuple(predicted.shape))
    return predicted.float(), target.float()
