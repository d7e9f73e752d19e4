"""Entropy of a predicted distribution over ab bins, and colorings drawn from it.

Pixels that are drawn one by one give confetti. ``sample_ab`` therefore adds Gumbel noise to the
logits that varies smoothly over the image and changes where lightness or predicted color changes.
The mode of logits with Gumbel noise is a draw from their distribution.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from colorize.color.bins import annealed_mean, soft_encode

# Distances at which the noise of two points has little in common: in shares of the short side, in
# units of L, in units of predicted ab; and for two bins, in units of ab.
_PLACE, _LIGHTNESS, _COLOR, _BINS = 1.2, 50.0, 20.0, 30.0
# Factor of the noise: 1 draws from the distribution itself, less favors what is likely.
_STRENGTH = 0.7
_WAVES = 256


def entropy(logits: Tensor) -> Tensor:
    """Compute the entropy of (N, Q, h, w) logits: (N, 1, h, w) float32, nats, 0..log Q."""
    log_p = F.log_softmax(logits.float(), 1)
    return -(log_p.exp() * log_p).sum(1, keepdim=True).clamp(max=0)


def log_likelihood(logits: Tensor, ab: Tensor, bin_centers: Tensor) -> Tensor:
    """Compute how likely color is under predicted distributions.

    Args:
        logits: (N, Q, h, w).
        ab: (N, 2, h, w), CIELAB units.
        bin_centers: (Q, 2).

    Returns:
        (N,) float32: mean log p over the pixels, nats. p is the probability of the bins nearest to
        the color, weighted as in the soft encoding.
    """
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
    """Draw colorings of one image from its predicted distributions, the most likely first.

    Args:
        logits: (1, Q, h, w).
        bin_centers: (Q, 2).
        guide: (1, 1, h, w) lightness, 0..100.
        count: number of colorings.
        temperature: of the annealed mean of the logits with noise; 0 gives a bin itself.
        seed: equal seeds give equal colorings.

    Returns:
        ab: (count, 2, h, w) float32, CIELAB units, and (count,) log-likelihoods, falling.
    """
    h, w = logits.shape[2:]
    logits = logits.float()
    features = _features(logits, bin_centers, guide)
    # On the CPU, so that a seed means the same on every device.
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
    """Draw Gumbel noise that is similar for points with similar features and for neighboring bins.

    A Gaussian field of variance 1 is summed up from random waves (Rahimi and Recht 2007), and its
    values are mapped to the standard Gumbel distribution.

    Args:
        features: (d, P) of each point; at distance 1 the fields of two points correlate by 0.61.
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
    """Make the (Q, Q) matrix by which neighboring bins share noise of variance 1."""
    # Not every device knows float64.
    centers = bin_centers.cpu().double()
    squared = (centers[:, None] - centers[None]).square().sum(2)
    values, vectors = torch.linalg.eigh(torch.exp(squared / (-2 * _BINS**2)))
    root = vectors * values.clamp(min=0).sqrt()
    return F.normalize(root, dim=1).float()


def _features(logits: Tensor, bin_centers: Tensor, guide: Tensor) -> Tensor:
    """Stack place, lightness and mean predicted color of every point: (5, P)."""
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
