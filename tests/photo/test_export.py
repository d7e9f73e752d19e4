"""The ONNX file says what the model says, at any size; and no file is left when it does not."""

from __future__ import annotations

import copy
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import tiny
from helpers.tiny import light as light
from torch.torch_version import TorchVersion

from colorize.color import lab as color
from colorize.errors import InputError
from colorize.models import ClassificationOnlyModel, UNetModel
from colorize.photo import export
from colorize.photo.export import ExportError, export_onnx

ort = pytest.importorskip(
    "onnxruntime", reason="needs the packages of pip install onnx onnxruntime onnxscript"
)
pytest.importorskip("onnxscript")
pytestmark = pytest.mark.usefixtures("light")


def _run(path: Path, L: torch.Tensor) -> np.ndarray:
    session = ort.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
    (L_input,) = session.get_inputs()
    assert (L_input.name, L_input.type, L_input.shape[1]) == ("L", "tensor(float)", 1)
    (ab,) = session.run(None, {"L": L.numpy()})
    return ab


def test_the_file_says_what_the_model_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bins, TensorFlow's padding, batch norm with activation: all that the default model has."""
    model = UNetModel(encoder="tf_mobilenetv3_small_minimal_100", decoder=(16, 16, 16, 16))
    with torch.no_grad():
        # Saturated colors that differ from pixel to pixel, for a difference to show.
        model.head.weight.mul_(30)
    before = copy.deepcopy(model.train())
    programs = []
    trace = export._trace
    monkeypatch.setattr(export, "_trace", lambda net: programs.append(trace(net)) or programs[0])
    # Tensors without values, which tracing makes, must not stay in here.
    for cache in (color._rgb_matrix, color._xyz_matrix):
        cache.cache_clear()
    report = export_onnx(model, tmp_path / "new" / "net.onnx")
    tiny.assert_same_bits(model.state_dict(), before.state_dict())
    assert all(module.training for module in model.modules())
    # One file, that needs no other beside it.
    assert list((tmp_path / "new").iterdir()) == [report.path]
    assert report.size == report.path.stat().st_size
    assert 0 <= report.largest_difference <= export.TOLERANCE
    for shape in ((2, 33, 47), (5, 8, 1)):
        L = torch.rand(shape[0], 1, *shape[1:]) * 100
        expected = model.eval().predict_ab(L).numpy()
        np.testing.assert_allclose(_run(report.path, L), expected, rtol=0, atol=1e-3)
        assert np.abs(expected).max() > 1e-2

    # The same program is not that of a net whose head is turned around.
    monkeypatch.setattr(export, "_trace", lambda net: programs[0])
    with torch.no_grad():
        model.head.weight.neg_()
    with pytest.raises(ExportError, match="differ"):
        export_onnx(model, tmp_path / "other.onnx")
    assert not list(tmp_path.glob("other*"))


def test_what_this_machine_lacks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "onnxscript", None)
        with pytest.raises(ExportError, match="onnxscript"):
            export_onnx(tiny.model(), tmp_path / "net.onnx")
    monkeypatch.setattr(torch, "__version__", TorchVersion("2.8.0+cpu"))
    with pytest.raises(ExportError, match="torch"):
        export_onnx(tiny.model(), tmp_path / "net.onnx")


def test_arguments(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="path"):
        export_onnx(tiny.model(), tmp_path / "net.pt")
    with pytest.raises(InputError, match="no color"):
        export_onnx(ClassificationOnlyModel(num_classes=3, width=0.02), tmp_path / "net.onnx")
    assert not list(tmp_path.iterdir())
