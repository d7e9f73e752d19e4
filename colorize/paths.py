"""Where things lie: DATA, CHECKPOINTS, PRECALCULATED, GRAPHS and RUNS, all below one home folder.

The home is, in this order: the environment variable ``COLORIZE_HOME`` (a Drive folder on Colab),
the source checkout when the library runs from one, and ``~/colorize`` when it was installed as a
package. It is looked up at every call, never at import, and never taken from the working directory.
"""

from __future__ import annotations

import os
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def home() -> Path:
    """The folder that holds all the others. It need not exist yet."""
    configured = os.environ.get("COLORIZE_HOME")
    if configured:
        return Path(configured).expanduser().resolve()
    return checkout() or Path.home() / "colorize"


def checkout() -> Path | None:
    """The source checkout that the library runs from; None when it was installed as a package."""
    folder = _PACKAGE.parent
    marks = ("colorization.ipynb", "pyproject.toml")
    return folder if all((folder / mark).is_file() for mark in marks) else None


def data() -> Path:
    """Downloaded data sets, one folder or archive each. Never committed."""
    return home() / "DATA"


def checkpoints() -> Path:
    """Trained weights, their cards and results."""
    return home() / "CHECKPOINTS"


def shipped_checkpoints() -> Path:
    """The trained weights that come with the library, wherever the home is."""
    source = checkout()
    return _PACKAGE / "trained" if source is None else source / "CHECKPOINTS"


def trained_checkpoints() -> dict[str, Path]:
    """The checkpoints that are here, by name; one trained here hides one that came along.

    A run of which only the last weights came along, ``<name>-last``, has them by its own name too.
    """
    # What a killed process left has a name that begins with a dot.
    folders = (shipped_checkpoints(), checkpoints())
    files = [path for folder in folders for path in sorted(folder.glob("[!.]*.safetensors"))]
    found = {path.stem: path for path in files}
    last = {name.removesuffix("-last"): found[name] for name in found if name.endswith("-last")}
    return {**last, **found}


def shipped_precalculated() -> Path:
    """The priors that come with the library, wherever the home is."""
    source = checkout()
    return _PACKAGE / "precalculated" if source is None else source / "PRECALCULATED"


def precalculated() -> Path:
    """The table of ab bins and the color priors."""
    return home() / "PRECALCULATED"


def graphs() -> Path:
    """Figures written by the notebook."""
    return home() / "GRAPHS"


def runs() -> Path:
    """TensorBoard event files, one folder a run."""
    return home() / "RUNS"
