"""The model for photographs: an ImageNet-pretrained encoder and a light decoder to the ab bins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from colorize.color.lab import lab_to_rgb
from colorize.errors import InputError
from colorize.extras import import_extra
from colorize.models.base import Colorizer, ModelOutput, records_arguments
from colorize.models.encoder import create_encoder
from colorize.models.heads import BinHead, RegressionHead


class UNetModel(Colorizer):
    """A timm encoder, skips from strides 32, 16, 8 and 4, and logits at 1/4 resolution.

    The encoder sees the grey picture as sRGB, normalised as its pretraining expects.

    Args:
        encoder: name of a timm model with features at strides 4, 8, 16 and 32.
        decoder: channels at strides 32, 16, 8 and 4.
        attention: let the decoder compare all places of the image with each other, at strides 32
            and 16.
        pretrained: let timm fetch the encoder's ImageNet weights. A loaded checkpoint needs none,
            and ``load_encoder`` no network.
        color: ``"classification"`` over bins, or ``"regression"`` with the Euclidean loss.
        target, class_weights, temperature, k, sigma, bin_centers: as in ``ClassificationModel``.

    Raises:
        InputError: when the encoder has no features at those strides.
    """

    output: BinHead | RegressionHead
    size_divisor = 32
    mean: Tensor
    std: Tensor

    @records_arguments
    def __init__(
        self,
        *,
        encoder: str = "tf_efficientnet_lite0",
        decoder: Sequence[int] = (256, 192, 128, 96),
        attention: bool = False,
        pretrained: bool = False,
        color: Literal["classification", "regression"] = "classification",
        target: str = "soft",
        class_weights: Tensor | None = None,
        temperature: float = 0.38,
        k: int = 5,
        sigma: float = 5.0,
        bin_centers: Tensor | None = None,
    ) -> None:
        super().__init__()
        self.output = (
            RegressionHead()
            if color == "regression"
            else BinHead(
                target=target,
                class_weights=class_weights,
                temperature=temperature,
                k=k,
                sigma=sigma,
                bin_centers=bin_centers,
            )
        )
        made = create_encoder(encoder, pretrained=pretrained)
        strides = {stride: i for i, stride in enumerate(made.strides)}
        if not {4, 8, 16, 32} <= set(strides):
            raise InputError(
                f"encoder: expected features at strides 4, 8, 16 and 32, {encoder} has "
                f"{sorted(strides)}"
            )
        if len(decoder) != 4:
            raise InputError(f"decoder: expected 4 numbers of channels, got {list(decoder)}")
        self.encoder = made.net
        self.levels = [strides[s] for s in (32, 16, 8, 4)]
        skips = [made.channels[i] for i in self.levels]
        deep, *others = decoder
        self.bottom = nn.Sequential(*_convolution(skips[0], deep), *_convolution(deep, deep))
        self.stages = nn.ModuleList(
            nn.Sequential(*_convolution(before + skip, after))
            for before, skip, after in zip(decoder, skips[1:], others, strict=False)
        )
        self.attention = nn.ModuleList()
        if attention:
            deep, middle, *_ = decoder
            self.attention.append(nn.Sequential(_Attention(deep), _Attention(deep)))
            self.attention.append(_Attention(middle))
        self.head = nn.Conv2d(decoder[-1], self.output.channels, 1)
        self.register_buffer("mean", _as_image(made.mean))
        self.register_buffer("std", _as_image(made.std))

    def forward(self, L: Tensor) -> ModelOutput:
        """(N, 1, H, W) lightness in 0..100 to (N, Q, H/4, W/4) logits."""
        grey = lab_to_rgb(
            torch.cat((L.clamp(0, 100), torch.zeros_like(L).expand(-1, 2, -1, -1)), 1)
        )
        # Half precision was widened for the colors.
        features = self.encoder(((grey - self.mean) / self.std).to(L.dtype))
        x = self.bottom(features[self.levels[0]])
        if self.attention:
            x = self.attention[0](x)
        for i, (stage, level) in enumerate(zip(self.stages, self.levels[1:], strict=True)):
            x = F.interpolate(x, scale_factor=2.0, mode="nearest")
            x = stage(torch.cat((x, features[level]), 1))
            if self.attention and i == 0:
                x = self.attention[1](x)
        return ModelOutput(self.head(x), None)

    def load_encoder(self, weights: Mapping[str, Tensor]) -> None:
        """Copy pretrained weights into the encoder.

        Args:
            weights: a state dict of the encoder, or of timm's whole model of that name, whose
                classifier is then left out; or of a port of that model with other names, whose
                entries come in timm's order. See ``colorize.models.pretrained.encoder_weights``.

        Raises:
            InputError: when the weights do not fit; the encoder is then as it was.
        """
        name, own = self.config["encoder"], self.encoder.state_dict()
        given = _joined(_require_state_dict(weights))
        if not given.keys() & _joined(own).keys():
            given = _joined(in_timm_order(name, weights))
        found = {key: given.get(key.replace(".", "_")) for key in own}
        differing = [
            f"{key} {'is missing' if value is None else f'has shape {tuple(value.shape)}'}"
            for key, value in found.items()
            if value is None or value.shape != own[key].shape
        ]
        if differing:
            raise InputError(
                f"weights: expected those of {name}, got others: {len(differing)} of {len(own)} "
                f"entries do not fit, the first: {', '.join(differing[:3])}"
            )
        self.encoder.load_state_dict(found)


class _Attention(nn.Module):
    """Self-attention over all places of a feature map, (N, C, H, W) to the same shape.

    A depthwise convolution tells the places apart, so the map may have any size. A new block
    passes its input on but for that convolution: its two last layers start at zero.
    """

    def __init__(self, channels: int, head_channels: int = 32) -> None:
        super().__init__()
        self.heads = channels // head_channels
        self.position = nn.Conv2d(channels, channels, 3, padding=1, groups=channels)
        self.norm1, self.norm2 = nn.LayerNorm(channels), nn.LayerNorm(channels)
        self.qkv = nn.Linear(channels, 3 * channels)
        self.project = nn.Linear(channels, channels)
        widen, narrow = nn.Linear(channels, 2 * channels), nn.Linear(2 * channels, channels)
        self.mlp = nn.Sequential(widen, nn.GELU(), narrow)
        for last in (self.project, narrow):
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)

    def forward(self, x: Tensor) -> Tensor:
        n, c, h, w = x.shape
        x = x + self.position(x)
        tokens = x.flatten(2).transpose(1, 2)
        qkv = self.qkv(self.norm1(tokens)).view(n, h * w, 3, self.heads, -1)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        seen = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(n, h * w, c)
        tokens = tokens + self.project(seen)
        tokens = tokens + self.mlp(self.norm2(tokens))
        return tokens.transpose(1, 2).reshape(n, c, h, w)


def in_timm_order(name: str, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Give the weights of a port of a timm model the names that timm has for them.

    Args:
        name: of the timm model.
        weights: state dict of the port; its entries come in the same order as timm's, with the
            classifier at the end.

    Raises:
        InputError: when number or shapes of the entries differ.
    """
    weights = _require_state_dict(weights)
    timm: Any = import_extra("timm", "train")
    with torch.device("meta"):  # for the names and shapes alone
        net = timm.create_model(name, pretrained=False)
    own = net.state_dict()
    if len(weights) != len(own):
        raise InputError(
            f"weights: expected the {len(own)} entries of timm's {name} by its names or in its "
            f"order, got {len(weights)}"
        )
    for (key, value), (other, given) in zip(own.items(), weights.items(), strict=True):
        if value.shape != given.shape:
            raise InputError(
                f"weights: expected the order of timm's {name}, where {key} has shape "
                f"{tuple(value.shape)}; in its place there is {other} of {tuple(given.shape)}"
            )
    return dict(zip(own, weights.values(), strict=True))


def _require_state_dict(weights: object) -> Mapping[str, Tensor]:
    if isinstance(weights, Mapping):
        kinds = {type(value).__name__ for value in weights.values() if not torch.is_tensor(value)}
        if not kinds:
            return weights
        came = f"a mapping that holds {', '.join(sorted(kinds))}"
    else:
        came = type(weights).__name__
    raise InputError(f"weights: expected a state dict (names and their tensors), got {came}")


def _joined(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    # Where timm takes a net apart for its features, some names get _ in place of the dots.
    return {name.replace(".", "_"): value for name, value in weights.items()}


def _convolution(before: int, after: int) -> list[nn.Module]:
    return [
        nn.Conv2d(before, after, 3, padding=1, bias=False),
        nn.BatchNorm2d(after),
        nn.ReLU(inplace=True),
    ]


def _as_image(values: Sequence[float]) -> Tensor:
    return torch.tensor(values).view(1, 3, 1, 1)
