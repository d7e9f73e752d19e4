"""Execute the notebook from the command line. It reads its parameters from the environment."""

from __future__ import annotations

import os
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from colorize import paths, storage
from colorize.errors import ColorizeError, DataError

FILE_NAME = "colorization.ipynb"


class NotebookError(ColorizeError):
    """A cell of the notebook failed."""


def execute(
    scale: str,
    data: Path | None,
    output: Path,
    *,
    fruit: Path | None = None,
    train: bool = False,
    fetch: bool = False,
) -> str:
    """Execute ``colorization.ipynb`` and write the executed copy to ``output``.

    Args:
        scale: "quick", "small" or "paper".
        data: the data set's folder or .zip; None for ``DATA/<name>``.
        fruit: that of study B's fruit.
        train: train the experiments that have no checkpoint yet; at quick scale that is always so.
        fetch: download the data sets of the scale first.

    Returns:
        Where the results are, in words.

    Raises:
        DataError: when there is no notebook (it is part of a checkout, not of the package).
        NotebookError: when a cell fails; what was executed until then is written all the same.
    """
    folder = paths.checkout()
    if folder is None or not (folder / FILE_NAME).is_file():
        raise DataError(f"There is no {FILE_NAME} here; run this command in a checkout")
    source = folder / FILE_NAME
    notebook = nbformat.read(source, as_version=4)
    settings = {"COLORIZE_SCALE": scale}
    if data is not None:
        settings["COLORIZE_DATA"] = str(data.resolve())
    if fruit is not None:
        settings["COLORIZE_FRUIT"] = str(fruit.resolve())
    if train:
        settings["COLORIZE_TRAIN"] = "1"
    if fetch:
        settings["COLORIZE_FETCH"] = "1"
    client = NotebookClient(
        notebook,
        timeout=None,
        kernel_name="python3",
        resources={"metadata": {"path": str(source.parent)}},
    )
    try:
        client.execute(env={**os.environ, **settings})
    except CellExecutionError as error:
        raise NotebookError(f"A cell failed; see {output}\n{error}") from error
    finally:
        with storage.atomic_write(output) as temporary:
            nbformat.write(notebook, temporary)
    where = [paths.graphs(), paths.checkpoints(), paths.precalculated()]
    folders = [folder if scale == "small" else folder / scale for folder in where]
    return "\n".join(
        [
            f"Executed notebook: {output}",
            f"Figures:           {folders[0]}",
            f"Checkpoints:       {folders[1]}",
            f"Priors:            {folders[2]}",
        ]
    )
