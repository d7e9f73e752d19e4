"""What an evaluation leaves: results as JSON, and the machine that they were measured on."""

from __future__ import annotations

import json
import math
import os
import platform
import re
from pathlib import Path
from typing import Any

import accelerate
import numpy as np
import torch

from colorize.errors import DataError
from colorize.storage import atomic_write

_NUMBERS = re.compile(r"\[\n[-+.,eE\d\snul]+\]")


def machine() -> dict[str, Any]:
    """What the numbers were measured on: processor, cores, GPU, versions."""
    return {
        "platform": f"{platform.system()} {platform.machine()}",
        "cores": os.cpu_count(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "accelerate": accelerate.__version__,
    }


def save_results(results: dict[str, Any], path: Path) -> Path:
    """Write results as JSON, a whole file or none; what is not finite becomes null."""
    text = json.dumps(_finite(results), indent=1, allow_nan=False)
    # A list of numbers is read, and compared in git, as one thing.
    text = _NUMBERS.sub(lambda found: " ".join(found[0].split()), text)
    with atomic_write(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")
    return path


def load_results(path: Path) -> dict[str, Any]:
    """Read what ``save_results`` wrote.

    Raises:
        DataError: when there is no such file or it is no JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise DataError(f"There are no results {path}; train the experiment first") from error
    except json.JSONDecodeError as error:
        raise DataError(f"{path} is not readable as JSON: {error}") from error


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
