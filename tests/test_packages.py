"""What an installation brings: a list of requirements, and a core that colors without the rest."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
_WITHOUT_EXTRAS = """
import sys
import numpy as np
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in BLOCKED:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Block())
import colorize
grey = np.linspace(0, 255, 64 * 64).reshape(64, 64).astype(np.uint8)
assert colorize.colorize_image(grey).shape == (64, 64, 3)
assert colorize.load_model("joint-ncd").classifies
try:
    colorize.fit
except colorize.ColorizeError as error:
    print(error)
"""


def test_requirements_are_the_core_and_the_extras_of_the_notebook() -> None:
    tomllib = pytest.importorskip("tomllib")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    listed = [line for line in lines if line and not line.startswith("#")]
    own = [name for name in extras["notebook"] if not name.startswith("colorize-study")]
    assert sorted(listed) == sorted([*project["dependencies"], *extras["train"], *own])


def test_the_core_alone_colors_and_names_what_training_needs() -> None:
    blocked = {
        *("torchvision", "skimage", "sklearn", "gdown", "filelock", "accelerate", "torchmetrics"),
        *("timm", "tensorboard", "matplotlib", "nbclient", "gradio", "onnx", "requests"),
    }
    code = f"BLOCKED = {blocked!r}\n{_WITHOUT_EXTRAS}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "[train]'" in done.stdout
