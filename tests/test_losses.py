"""Sparse losses against dense float64 references, values and gradients."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from colorize.errors import InputError
from colorize.losses import colorization_losses, euclidean_loss, soft_cross_entropy

N, Q, K, H, W = 2, 40, 5, 6, 7


def _target(k: int = K) -> tuple[Tensor, Tensor]:
    """Different bins in every pixel, the most probable first; weights sum to 1."""
    indices = torch.rand(N, Q, H, W).argsort(1)[:, :k]
    weights = torch.rand(N, k, H, W).sort(1, descending=True).values + 0.01
    return indices, weights / weights.sum(1, keepdim=True)


def _dense_loss(
    logits: Tensor, indices: Tensor, weights: Tensor, class_weights: Tensor | None
) -> Tensor:
    """Equations 2 and 3 as they are printed, over the dense target."""
    z = torch.zeros_like(logits).scatter_(1, indices, weights.double())
    v = 1.0 if class_weights is None else class_weights.double()[z.argmax(1)]
    return (v * -(z * logits.log_softmax(1)).sum(1)).mean()


@pytest.mark.parametrize("rebalanced", [False, True])
@pytest.mark.parametrize("k", [1, 5, 10])
@pytest.mark.parametrize("scale", [1.0, 20.0])
def test_sparse_equals_dense_with_gradient(k: int, rebalanced: bool, scale: float) -> None:
    logits = (torch.randn(N, Q, H, W) * scale).requires_grad_()
    indices, weights = _target(k)
    class_weights = torch.rand(Q) * 5 if rebalanced else None
    loss = soft_cross_entropy(logits, indices, weights, class_weights)
    loss.backward()
    exact = logits.detach().double().requires_grad_()
    expected = _dense_loss(exact, indices, weights, class_weights)
    expected.backward()
    assert loss.dtype == torch.float32 and loss.shape == ()
    torch.testing.assert_close(loss.double(), expected, rtol=1e-6, atol=1e-6)
    assert logits.grad is not None and exact.grad is not None
    torch.testing.assert_close(logits.grad.double(), exact.grad, rtol=1e-5, atol=1e-8)


def test_one_hot_equals_the_cross_entropy_of_torch() -> None:
    logits = torch.randn(N, Q, H, W)
    target = torch.randint(0, Q, (N, H, W))
    weights = torch.ones(N, 1, H, W)
    loss = soft_cross_entropy(logits, target[:, None], weights)
    torch.testing.assert_close(loss, F.cross_entropy(logits, target))
    class_weights = torch.rand(Q) * 3
    loss = soft_cross_entropy(logits, target[:, None], weights, class_weights)
    each = F.cross_entropy(logits, target, class_weights, reduction="none")
    torch.testing.assert_close(loss, each.mean())


def test_rebalancing_keeps_the_scale_of_the_loss() -> None:
    # As many pixels of each bin as the prior says, and a net that knows nothing.
    counts = torch.arange(1, Q + 1)
    pixels = torch.repeat_interleave(torch.arange(Q), counts).view(1, 1, 1, -1)
    prior = counts / counts.sum()
    class_weights = 1 / (prior + 1 / Q)
    class_weights = class_weights / (prior * class_weights).sum()
    logits = torch.zeros(1, Q, 1, pixels.shape[-1])
    for given in (None, class_weights):
        loss = soft_cross_entropy(logits, pixels, torch.ones_like(pixels).float(), given)
        assert float(loss) == pytest.approx(math.log(Q), rel=1e-5)


def test_least_loss_is_the_entropy_of_the_target() -> None:
    indices, weights = _target()
    logits = torch.full((N, Q, H, W), -1e4).scatter_(1, indices, weights.log())
    entropy = -(weights * weights.log()).sum(1).mean()
    torch.testing.assert_close(
        soft_cross_entropy(logits, indices, weights), entropy, atol=1e-5, rtol=0
    )


@pytest.mark.parametrize("extreme", [1e4, -1e4, 1e30])
def test_large_logits_stay_finite(extreme: float) -> None:
    indices, weights = _target()
    logits = (torch.randn(N, Q, H, W).sign() * extreme).requires_grad_()
    loss = soft_cross_entropy(logits, indices, weights, torch.rand(Q))
    loss.backward()
    assert loss.isfinite() and logits.grad is not None and logits.grad.isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_summed_in_float32(dtype: torch.dtype) -> None:
    indices, weights = _target()
    logits = (torch.randn(N, Q, H, W) * 4).to(dtype)
    class_weights = torch.rand(Q)
    expected = soft_cross_entropy(logits.float(), indices, weights, class_weights)
    with torch.autocast("cpu", torch.bfloat16):
        under = soft_cross_entropy(logits, indices, weights, class_weights)
    for loss in (soft_cross_entropy(logits, indices, weights, class_weights), under):
        assert loss.dtype == torch.float32 and torch.equal(loss, expected)
    predicted, target = torch.randn(2, N, 2, H, W).to(dtype)
    loss = euclidean_loss(predicted, target)
    assert loss.dtype == torch.float32
    assert torch.equal(loss, euclidean_loss(predicted.float(), target.float()))


def test_shapes_that_do_not_fit() -> None:
    logits, (indices, weights) = torch.randn(N, Q, H, W), _target()
    wrong: dict[str, tuple[Tensor, ...]] = {
        "indices": (logits, indices.transpose(2, 3), weights),
        "weights": (logits, indices, weights[:, :3]),
        "class_weights": (logits, indices, weights, torch.ones(Q - 1)),
        "logits": (logits.long(), indices, weights),
    }
    for name, arguments in wrong.items():
        with pytest.raises(InputError, match=f"^{name}"):
            soft_cross_entropy(*arguments)
    with pytest.raises(InputError, match=r"^target"):
        euclidean_loss(torch.zeros(1, 2, 4, 4), torch.zeros(1, 2, 4, 5))
    with pytest.raises(InputError, match=r"^predicted"):
        euclidean_loss(torch.zeros(1, 3, 4, 4), torch.zeros(1, 3, 4, 4))


def test_euclidean_closed_form_with_gradient() -> None:
    predicted = torch.randn(N, 2, H, W, requires_grad=True)
    target = torch.randn(N, 2, H, W)
    loss = euclidean_loss(predicted, target)
    loss.backward()
    difference = predicted.detach().double() - target.double()
    expected = 0.5 * (difference[:, 0] ** 2 + difference[:, 1] ** 2).sum() / (N * H * W)
    torch.testing.assert_close(loss.double(), expected)
    assert predicted.grad is not None and loss.shape == ()
    torch.testing.assert_close(predicted.grad.double(), difference / (N * H * W))
    assert euclidean_loss(target, target) == 0


def test_the_sum_of_color_and_class_loss() -> None:
    color, classes = torch.randn(4, 2, H, W), torch.randn(4, 3)
    ab, label = torch.randn(4, 2, 2 * H, 2 * W) * 40, torch.tensor([0, 2, 1, 1])
    color_loss = euclidean_loss(color, F.avg_pool2d(ab, 2) / 110)
    class_loss = F.cross_entropy(classes, label)
    both = colorization_losses((color, classes), ab, label, alpha=0.25)
    torch.testing.assert_close(both["loss"], color_loss + 0.25 * class_loss)
    torch.testing.assert_close(both["color_loss"], color_loss)
    torch.testing.assert_close(both["class_loss"], class_loss)
    only_color = colorization_losses((color, None), ab)
    assert only_color.keys() == {"loss", "color_loss"}
    torch.testing.assert_close(only_color["loss"], color_loss)
    only_class = colorization_losses((None, classes), ab, label, alpha=0.25)
    torch.testing.assert_close(only_class["loss"], class_loss)
    again = colorization_losses((None, classes), ab, label.to(torch.int32))
    torch.testing.assert_close(again["loss"], class_loss)
    for wrong in (
        None,
        torch.tensor([0, 1, 2, 3]),
        torch.tensor([0, 1, 2, -1]),
        label[:3],
        label.float(),
    ):
        with pytest.raises(InputError, match="label"):
            colorization_losses((color, classes), ab, wrong)
