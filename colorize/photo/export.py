"""A model as one ONNX file, from lightness to ab, that needs nothing of this library to run."""

from __future__ import annotations

import contextlib
import copy
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from colorize import storage
from colorize.checks import require_path
from colorize.errors import ColorizeError, InputError
from colorize.models import Colorizer, unwrap
from colorize.models.fuse import fuse_conv_bn

SUFFIX = ".onnx"
TOLERANCE = 1e-3
# (N, H, W): no two of a size, odd ones, and none that the net was traced at.
CHECKED_SHAPES = ((1, 256, 256), (2, 75, 117), (3, 40, 33), (1, 1, 1))
_TRACED_SHAPE = (2, 72, 104)
OPSET = 18
_PACKAGES = ("onnx", "onnxscript", "onnxruntime")
# Before, the exporter cannot resize to a size that depends on the input's.
_OLDEST_TORCH = "2.9"


class ExportError(ColorizeError):
    """A model could not be written as ONNX, or the file does not say what the model says."""


@dataclass(frozen=True)
class ExportReport:
    """What was written, and how it compares with torch.

    Attributes:
        size: of the file, in bytes.
        largest_difference: from torch over ``CHECKED_SHAPES``, in CIELAB units of ab.
    """

    path: Path
    size: int
    largest_difference: float


def export_onnx(model: Colorizer, path: Path) -> ExportReport:
    """Write a model as ONNX and check the file against torch in onnxruntime.

    Its one input is ``L``, float32 (N, 1, H, W) in 0..100 of any size; its one output is ``ab``,
    float32 (N, 2, H, W) in CIELAB units. Padding, the annealed mean at the model's temperature and
    the way back to the input's size are inside.

    Args:
        model: is left as it is; written in float32.
        path: ends in ``.onnx``.

    Raises:
        ExportError: when a package of the extra ``export`` is missing, torch is too old, the model
            cannot be exported, or the file differs from torch by more than ``TOLERANCE``. No file
            is left.
    """
    path, model = require_path(path, "path"), unwrap(model)
    if path.suffix != SUFFIX:
        raise InputError(f"path: expected a name ending in {SUFFIX}, got {path.name}")
    if not model.colors:
        raise InputError(f"{type(model).__name__} classifies; it has no color to export")
    runtime = _import_packages()[-1]
    reference = copy.deepcopy(model).cpu().float().eval()
    # This runs the net, which also fills the caches of colorize.color with real tensors. Tracing
    # would leave ones without values there, for everyone.
    fused = fuse_conv_bn(reference)
    program = _trace(copy.deepcopy(fused).to(memory_format=torch.contiguous_format))
    for value, channels in (
        (program.model.graph.inputs[0], 1),
        (program.model.graph.outputs[0], 2),
    ):
        for axis, name in enumerate(("batch", channels, "height", "width")):
            value.shape[axis] = name
    with storage.atomic_write(path) as temporary:
        program.save(temporary, external_data=False)
        session = start_session(runtime, temporary)
        difference = max(_difference(reference, session, shape) for shape in CHECKED_SHAPES)
        if not difference <= TOLERANCE:
            raise ExportError(
                f"{path} was not written: its colors differ from torch by {difference:.2g} in ab, "
                f"expected at most {TOLERANCE:g}"
            )
        size = temporary.stat().st_size
    return ExportReport(path, size, difference)


def start_session(runtime: ModuleType, path: Path) -> Any:
    """An onnxruntime session on the CPU, with the number of threads that torch has."""
    options = runtime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    return runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def run_session(session: Any, L: Tensor) -> np.ndarray:
    """(N, 1, H, W) lightness to (N, 2, H, W) ab by the file of a session."""
    (ab,) = session.run(["ab"], {"L": L.numpy()})
    return ab


def example_lightness(shape: tuple[int, int, int]) -> Tensor:
    """(N, 1, H, W) in 0..100 with areas, edges and grain, always the same for a shape (N, H, W)."""
    n, h, w = shape
    random = np.random.default_rng(0)
    steps = random.integers(0, 5, (n, 1, h // 16 + 1, w // 16 + 1)) * 22.5
    areas = steps.repeat(16, axis=2).repeat(16, axis=3)[:, :, :h, :w]
    return torch.tensor(areas + random.uniform(0, 10, areas.shape), dtype=torch.float32)


class _Predictor(nn.Module):
    """``predict_ab`` as a forward, which is what can be exported."""

    def __init__(self, model: Colorizer) -> None:
        super().__init__()
        self.model = model

    def forward(self, L: Tensor) -> Tensor:
        return self.model.predict_ab(L)


def _trace(model: Colorizer) -> Any:
    _fix_padding(model)
    dynamic = torch.export.Dim.DYNAMIC
    try:
        with _quiet():
            return torch.onnx.export(
                _Predictor(model).eval(),
                (example_lightness(_TRACED_SHAPE),),
                dynamo=True,
                dynamic_shapes={"L": {0: dynamic, 2: dynamic, 3: dynamic}},
                input_names=["L"],
                output_names=["ab"],
                opset_version=OPSET,
                verbose=False,
            )
    except torch.onnx.errors.OnnxExporterError as error:
        reason = str(error).strip().splitlines()[0]
        raise ExportError(
            f"{type(model).__name__} cannot be exported to ONNX opset {OPSET}: {reason}"
        ) from error


def _fix_padding(model: Colorizer) -> None:
    """Give timm's "same" convolutions a padding that does not depend on the size.

    It depends on size modulo stride, and ``forward`` gets multiples only, so that is always 0.
    Left to the tracer, the formula of each layer nests in the next and takes it tens of minutes.
    """
    for name, conv in list(model.named_modules()):
        if isinstance(conv, nn.Conv2d) and type(conv).__name__ == "Conv2dSame":
            sides = []
            for k, s, d in zip(conv.kernel_size, conv.stride, conv.dilation, strict=True):
                total = max((k - 1) * d + 1 - s, 0)
                sides.append((total // 2, total - total // 2))
            (top, bottom), (left, right) = sides
            plain = nn.Conv2d(
                conv.in_channels,
                conv.out_channels,
                conv.kernel_size,  # type: ignore[arg-type]
                conv.stride,  # type: ignore[arg-type]
                dilation=conv.dilation,  # type: ignore[arg-type]
                groups=conv.groups,
            )
            plain.weight, plain.bias = conv.weight, conv.bias
            padding = nn.ZeroPad2d((left, right, top, bottom))
            model.set_submodule(name, nn.Sequential(padding, plain))


def _difference(model: Colorizer, session: Any, shape: tuple[int, int, int]) -> float:
    L = example_lightness(shape)
    expected, ab = model.predict_ab(L).numpy(), run_session(session, L)
    if ab.shape != expected.shape:
        raise ExportError(f"expected ab of shape {expected.shape}, the file gives {ab.shape}")
    return float(np.abs(ab - expected).max())


def _import_packages() -> list[ModuleType]:
    if torch.__version__ < _OLDEST_TORCH:
        raise ExportError(
            f"To export to ONNX, torch {_OLDEST_TORCH} or newer is needed, got {torch.__version__}"
        )
    try:
        return [import_module(name) for name in _PACKAGES]
    except ImportError as error:
        raise ExportError(
            f"To export to ONNX, the package {error.name} is needed; install it with: "
            "pip install onnx onnxruntime onnxscript"
        ) from error


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    # The exporter warns about its own insides and about torchvision, none of which we use.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
