"""The command notebook: execute colorization.ipynb with parameters."""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from colorize import paths, storage
from colorize.errors import ColorizeError, DataError, InputError
from colorize.experiments.presets import SCALES

if TYPE_CHECKING:
    from nbformat import NotebookNode

FILE_NAME = "colorization.ipynb"


class NotebookError(ColorizeError):
    """The notebook cannot take parameters, or one of its cells failed."""


def notebook(arguments: list[str]) -> int:
    """Execute the notebook, and print its progress and where the results are."""
    parser = argparse.ArgumentParser(
        prog="colorize notebook",
        description="Execute colorization.ipynb; its figures go to GRAPHS.",
    )
    add = parser.add_argument
    add("--scale", choices=SCALES, default="quick")
    add(
        "--run",
        action="store_true",
        help="download the data and train the experiments of this scale",
    )
    add("--data", type=Path, help="folder or .zip of study A; default: DATA/<set>")
    add("--fruit", type=Path, help="folder or .zip of study B; default: DATA/ncd")
    add("--photo", type=Path, help="a photo of yours to color")
    add("--output", type=Path, help="default: RUNS/colorization-<scale>.ipynb")
    options = parser.parse_args(arguments)

    folder = paths.checkout()
    if folder is None or not (folder / FILE_NAME).is_file():
        raise DataError(f"{FILE_NAME} is not here; run this command in a checkout of the project")
    given = {"DATA": options.data, "FRUIT": options.fruit, "PHOTO": options.photo}
    for name, path in given.items():
        # Of photos.zip, photos is enough.
        if path and not (path.exists() or path.with_name(f"{path.name}.zip").exists()):
            raise InputError(f"--{name.lower()}: {path}: no such file or folder")
    parameters = {name: str(path.resolve()) for name, path in given.items() if path is not None}
    output = options.output or paths.runs() / f"colorization-{options.scale}.ipynb"
    if output.is_dir():
        raise InputError(f"--output: expected the name of a file, got the folder {output}")
    execute(folder / FILE_NAME, output, {"SCALE": options.scale, "RUN": options.run, **parameters})
    print(f"Executed notebook: {output}")
    for title, place in (
        ("Figures", paths.graphs()),
        ("Checkpoints", paths.checkpoints()),
        ("Priors", paths.precalculated()),
    ):
        print(f"{title + ':':<18} {place if options.scale == 'small' else place / options.scale}")
    return 0


def execute(source: Path, output: Path, parameters: Mapping[str, object]) -> None:
    """Execute a notebook and write the executed copy, also when a cell failed.

    The parameters are set in a new cell behind the one that is tagged ``parameters``, as papermill
    does; papermill itself would write the paths of this machine into the copy.
    """
    import nbformat
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError
    from traitlets.config import Config

    copy = nbformat.read(source, as_version=4)
    _set_parameters(copy, parameters)
    with tempfile.TemporaryDirectory() as folder:
        manager = {"connection_file": str(Path(folder, "kernel.json"))}
        if os.name == "posix":
            # Sockets in this folder, as the kernel warns about TCP without encryption.
            manager["transport"] = "ipc"
        client = NotebookClient(
            copy,
            timeout=None,
            kernel_name="python3",
            resources={"metadata": {"path": str(source.parent)}},
            config=Config({"KernelManager": manager}),
            on_cell_execute=_Progress(copy),
        )
        try:
            client.execute()
        except CellExecutionError as error:
            raise NotebookError(
                f"A cell failed with {error.ename}: {error.evalue}; see {output}"
            ) from error
        finally:
            with storage.atomic_write(output) as temporary:
                nbformat.write(copy, temporary)


def _set_parameters(copy: NotebookNode, parameters: Mapping[str, object]) -> None:
    from nbformat.v4 import new_code_cell

    tagged = [
        i for i, cell in enumerate(copy.cells) if "parameters" in cell.metadata.get("tags", [])
    ]
    if len(tagged) != 1:
        raise NotebookError(
            f"{FILE_NAME}: expected one cell with the tag 'parameters', got {len(tagged)}"
        )
    lines = [f"{name} = {value!r}" for name, value in parameters.items()]
    injected = new_code_cell("\n".join(lines), metadata={"tags": ["injected-parameters"]})
    copy.cells.insert(tagged[0] + 1, injected)


class _Progress:
    """Print number, time and first line of each code cell when it starts."""

    def __init__(self, copy: NotebookNode) -> None:
        cells = enumerate(copy.cells)
        self._numbers = [i for i, cell in cells if cell.cell_type == "code" and cell.source.strip()]
        self._start = time.monotonic()

    def __call__(self, cell: NotebookNode, cell_index: int) -> None:
        minutes, seconds = divmod(int(time.monotonic() - self._start), 60)
        number, first = self._numbers.index(cell_index) + 1, cell.source.strip().splitlines()[0]
        print(
            f"{minutes:3}:{seconds:02}  cell {number} of {len(self._numbers)}: {first[:60]}",
            flush=True,
        )
