"""What a distribution over ab bins holds besides one answer: its entropy, and other answers.

To draw every pixel for itself gives confetti. ``sample_ab`` perturbs the logits by Gumbel noise
(the mode of perturbed logits is a draw from the distribution) that parts of the picture share: it
varies smoothly over the plane, and changes where lightness or the prediction changes.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from colorize.checks import require_tensor
from colorize.color.bins import annealed_mean, soft_encode
from colorize.errors import InputError

# Over these distances the noise becomes another: in shares of the short side, units of L, units of
# predicted ab; and between two bins, in units of ab.
_PLACE, _LIGHTNESS, _COLOR, _BINS = 1.2, 50.0, 20.0, 30.0
# Of the noise: 1 draws from the distribution as it is, below it the likely becomes likelier.
_STRENGTH = 0.7
_WAVES = 256


def entropy(logits: Tensor) -> Tensor:
    """Entropy of (N, Q, h, w) logits: (N, 1, h, w) float32, nats, 0..log Q.

    Raises:
        InputError: when the shape is another one.
    """
    logits = require_tensor(logits, "logits", shape=(None, None, None, None), floating=True)
    log_p = F.log_softmax(logits.float(), 1)
    return -(log_p.exp() * log_p).sum(1, keepdim=True).clamp(max=0)


def log_likelihood(logits: Tensor, ab: Tensor, bin_centers: Tensor) -> Tensor:
    """How likely a color image is under the predicted distributions.

    Args:
        logits: (N, Q, h, w).
        ab: (N, 2, h, w), CIELAB units.
        bin_centers: (Q, 2).

    Returns:
        (N,) float32: the mean over the pixels of log p, nats; p is that of the bins near the color,
        weighted as in the soft encoding.

    Raises:
        InputError: when a shape does not fit.
    """
    n, _, h, w = _checked(logits, bin_centers).shape
    ab = require_tensor(ab, "ab", shape=(n, 2, h, w), floating=True)
    indices, weights = soft_encode(ab, bin_centers, min(5, len(bin_centers)))
    log_p = F.log_softmax(logits.float(), 1).gather(1, indices)
    return torch.logsumexp(log_p + weights.log(), 1).mean((1, 2))


def sample_ab(
    logits: Tensor,
    bin_centers: Tensor,
    guide: Tensor,
    count: int,
    *,
    temperature: float = 0.38,
    seed: int = 0,
) -> tuple[Tensor, Tensor]:
    """Draw whole colorings from the distributions of one picture, the most likely first.

    Args:
        logits: (1, Q, h, w).
        bin_centers: (Q, 2).
        guide: (1, 1, h, w) lightness, 0..100.
        count: how many, 1 or more.
        temperature: of the annealed mean that follows the draw; 0 takes the drawn bin itself.
        seed: the same one gives the same colorings.

    Returns:
        ab: (count, 2, h, w) float32, CIELAB units. Their log-likelihoods: (count,) float32, nats a
        pixel, falling.

    Raises:
        InputError: when a shape does not fit, or count is below 1.
    """
    _checked(logits, bin_centers)
    h, w = logits.shape[2:]
    logits = require_tensor(logits, "logits", shape=(1, None, h, w)).float()
    guide = require_tensor(guide, "guide", shape=(1, 1, h, w), floating=True)
    if count < 1:
        raise InputError(f"samples: expected 1 or more, got {count}")
    features = _features(logits, bin_centers, guide)
    # On the processor, so that a seed means the same on every device.
    generator = torch.Generator().manual_seed(seed)
    drawn = []
    for _ in range(count):
        noise = gumbel_field(features, bin_centers, generator).view(1, -1, h, w)
        drawn.append(annealed_mean(logits + _STRENGTH * noise, bin_centers, temperature))
    ab = torch.cat(drawn)
    likelihood = log_likelihood(logits.expand(count, -1, -1, -1), ab, bin_centers)
    order = likelihood.argsort(descending=True, stable=True)
    return ab[order], likelihood[order]


def gumbel_field(features: Tensor, bin_centers: Tensor, generator: torch.Generator) -> Tensor:
    """Standard Gumbel noise that is alike for points with like features and for neighboring bins.

    A Gaussian field of random waves (Rahimi and Recht 2007), of variance 1 everywhere, whose
    values are mapped to the Gumbel distribution.

    Args:
        features: (d, P) of each point, in units of the distance at which the noise has become
            another (correlation 0.61).
        bin_centers: (Q, 2).
        generator: on the CPU.

    Returns:
        (Q, P) float32 on the device of the features.
    """
    device = features.device
    frequencies = torch.randn(_WAVES, features.shape[0], generator=generator)
    amplitudes = torch.randn(2 * _WAVES, len(bin_centers), generator=generator)
    amplitudes = amplitudes.T.to(device) / _WAVES**0.5
    phase = frequencies.to(device) @ features
    waves = torch.cat((phase.cos(), phase.sin()))
    field = _mixing(bin_centers).to(device) @ (amplitudes @ waves)
    return -(-torch.special.log_ndtr(field)).log()


def _mixing(bin_centers: Tensor) -> Tensor:
    """(Q, Q): turns independent noise into noise of variance 1 that neighboring bins share."""
    # Not every device knows float64.
    centers = bin_centers.cpu().double()
    squared = (centers[:, None] - centers[None]).square().sum(2)
    values, vectors = torch.linalg.eigh(torch.exp(squared / (-2 * _BINS**2)))
    root = vectors * values.clamp(min=0).sqrt()
    return F.normalize(root, dim=1).float()


def _features(logits: Tensor, bin_centers: Tensor, guide: Tensor) -> Tensor:
    """(5, P): place, lightness and mean predicted color of every position."""
    h, w = logits.shape[2:]
    rows = torch.arange(h, device=logits.device, dtype=torch.float32)
    columns = torch.arange(w, device=logits.device, dtype=torch.float32)
    place = torch.stack(torch.meshgrid(rows, columns, indexing="ij"))[None]
    parts = (
        place / (_PLACE * min(h, w)),
        guide.float() / _LIGHTNESS,
        annealed_mean(logits, bin_centers, 1.0) / _COLOR,
    )
    return torch.cat(parts, 1)[0].flatten(1)


def _checked(logits: Tensor, bin_centers: Tensor) -> Tensor:
    q = require_tensor(bin_centers, "bin_centers", shape=(None, 2)).shape[0]
    return require_tensor(logits, "logits", shape=(None, q, None, None), floating=True)
