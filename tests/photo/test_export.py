"""The ONNX file says what the model says, at any size; and no file is left when it does not."""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers import tiny
from helpers.tiny import light as light
from torch.torch_version import TorchVersion

from colorize.color import lab as color
from colorize.errors import InputError
from colorize.models import (
    ClassificationModel,
    ClassificationOnlyModel,
    Colorizer,
    EuclideanModel,
    JointModel,
    ModelOutput,
    UNetModel,
)
from colorize.photo import export
from colorize.photo.export import ExportError, export_onnx

ort = pytest.importorskip(
    "onnxruntime", reason='needs the packages of pip install "colorize-study[export]"'
)
pytest.importorskip("onnxscript")
pytestmark = pytest.mark.usefixtures("light")


def _vivid(model: Colorizer) -> Colorizer:
    """Saturated colors that differ from pixel to pixel, for a difference to show."""
    with torch.no_grad():
        model.head.weight.mul_(30)
    return model


# One for each way to color, and to pad, and to resize.
MODELS: dict[str, Callable[[], Colorizer]] = {
    "classification": lambda: _vivid(ClassificationModel(width=0.02, temperature=0.2)),
    "joint": lambda: JointModel(num_classes=3, width=0.02),
    # TensorFlow's padding and batch norm with activation, as in the default encoder.
    "unet": lambda: _vivid(
        UNetModel(encoder="tf_mobilenetv3_small_minimal_100", decoder=(16, 16, 16, 16))
    ),
}


def _run(path: Path, L: torch.Tensor) -> np.ndarray:
    session = ort.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
    assert [(i.name, i.type, i.shape[1]) for i in session.get_inputs()] == [
        ("L", "tensor(float)", 1)
    ]
    assert all(isinstance(session.get_inputs()[0].shape[d], str) for d in (0, 2, 3))
    (ab,) = session.run(None, {"L": L.numpy()})
    return ab


@pytest.mark.parametrize("name", MODELS)
def test_the_file_says_what_the_model_says(name: str, tmp_path: Path) -> None:
    model = MODELS[name]().train()
    before = copy.deepcopy(model)
    # Tensors without values, which tracing makes, must not stay in here.
    for cache in (color._rgb_matrix, color._xyz_matrix):
        cache.cache_clear()
    report = export_onnx(model, tmp_path / "new" / "net.onnx")
    tiny.assert_same_bits(model.state_dict(), before.state_dict())
    assert all(module.training for module in model.modules())
    # One file, that needs no other beside it.
    assert list((tmp_path / "new").iterdir()) == [report.path]
    assert report.size == report.path.stat().st_size and report.opset == 18
    assert 0 <= report.largest_difference <= 1e-3
    assert report.torch_ms > 0 and report.onnx_ms > 0 and report.threads == 1
    for shape in ((1, 64, 96), (2, 33, 47), (5, 8, 1), (1, 121, 250)):
        L = torch.rand(shape[0], 1, *shape[1:]) * 100
        expected = model.eval().predict_ab(L).numpy()
        np.testing.assert_allclose(_run(report.path, L), expected, rtol=0, atol=1e-3)
        assert np.abs(expected).max() > 1e-2


def test_another_opset_and_the_mode(tmp_path: Path) -> None:
    onnx: Any = pytest.importorskip("onnx")
    model = tiny.model(temperature=0.0)
    report = export_onnx(model, tmp_path / "net.onnx", opset=20)
    versions = {entry.domain: entry.version for entry in onnx.load(report.path).opset_import}
    assert versions[""] == report.opset == 20
    onnx.checker.check_model(str(report.path), full_check=True)
    L = torch.rand(1, 1, 30, 50) * 100
    np.testing.assert_allclose(_run(report.path, L), model.eval().predict_ab(L).numpy(), atol=1e-3)


def test_no_file_is_left_when_it_differs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is wrong here is the check's own idea of the model: its head is turned around."""
    fold = export.fuse_conv_bn

    def fold_another(model: Colorizer) -> Colorizer:
        other = fold(model)
        with torch.no_grad():
            other.head.weight.neg_()
        return other

    monkeypatch.setattr(export, "fuse_conv_bn", fold_another)
    path = tmp_path / "net.onnx"
    path.write_bytes(b"an older one")
    with pytest.raises(ExportError, match=r"differ from torch by .* expected at most 0.001"):
        export_onnx(tiny.vivid_model(), path)
    assert [p.name for p in tmp_path.iterdir()] == ["net.onnx"]
    assert path.read_bytes() == b"an older one"


class _Branching(EuclideanModel):
    """What it does depends on the values of the picture, which no graph can say."""

    def forward(self, L: torch.Tensor) -> ModelOutput:
        return super().forward(L) if float(L.mean()) > 30 else super().forward(-L)


def test_what_cannot_be_traced(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="_Branching cannot be exported to ONNX opset 18: "):
        export_onnx(_Branching(width=0.02), tmp_path / "net.onnx")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("missing", ["onnx", "onnxscript", "onnxruntime"])
def test_a_missing_package(missing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(ExportError, match=rf'{missing} .*pip install "colorize-study\[export\]"'):
        export_onnx(tiny.model(), tmp_path / "net.onnx")
    assert not list(tmp_path.iterdir())


def test_an_old_torch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "__version__", TorchVersion("2.8.0+cpu"))
    with pytest.raises(ExportError, match=r"torch 2.9 or newer is needed, got 2.8.0\+cpu"):
        export_onnx(tiny.model(), tmp_path / "net.onnx")


def test_arguments(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"ending in .onnx, got net.pt"):
        export_onnx(tiny.model(), tmp_path / "net.pt")
    for opset in (17, 1000):
        with pytest.raises(InputError, match=rf"expected 18\.\..*, got {opset}"):
            export_onnx(tiny.model(), tmp_path / "net.onnx", opset=opset)
    with pytest.raises(InputError, match="no color"):
        export_onnx(ClassificationOnlyModel(num_classes=3, width=0.02), tmp_path / "net.onnx")
    assert not list(tmp_path.iterdir())
