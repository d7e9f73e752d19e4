"""Photographs on disk: where the colored ones go, and that nothing of the user's is overwritten."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from colorize import paths
from colorize.errors import InputError


class OutputError(InputError):
    """A colored photograph would replace something that it must not."""


def writable_suffixes() -> set[str]:
    """File name endings of the formats that can be written."""
    Image.init()
    return {end for end, name in Image.registered_extensions().items() if name in Image.SAVE}


def check_output(photos: Sequence[Path], output: Path | None) -> None:
    """Refuse an output that no photograph could be written to.

    Raises:
        InputError: when a single file's format cannot be written, or several photographs would go
            into one file.
    """
    if output is None or output.is_dir():
        return
    if len(photos) > 1:
        if output.exists():
            raise InputError(f"{output}: expected a folder for several photographs, got a file")
    elif output.suffix.lower() not in writable_suffixes():
        raise InputError(
            f"{output}: expected a name ending in .png, .jpg, .tif or another format that can be "
            "written, or an existing folder"
        )


def choose_target(photo: Path, photos: Sequence[Path], output: Path | None) -> Path:
    """Where the colored version of one of several photographs goes.

    Beside it as ``<name>-color.png`` without an output, else into the folder or the file named.

    Raises:
        OutputError: when that would replace one of the photographs, or is the target of an earlier
            one as well.
    """
    target = _target(photo, output, len(photos) > 1)
    if target.resolve() in {p.resolve() for p in photos}:
        raise OutputError(f"{photo}: {target} is a photograph itself; choose another output")
    earlier = photos[: list(photos).index(photo)]
    for other in earlier:
        if _target(other, output, True) == target:
            raise OutputError(
                f"{photo}: {other} goes to {target} already; color them into different folders"
            )
    return target


def write_image(pixels: np.ndarray, target: Path) -> None:
    """Write (H, W, 3) uint8 in the format of the name's ending, a whole file or none."""
    with paths.replacing(target) as temporary:
        Image.fromarray(pixels).save(temporary, quality=95)


def _target(photo: Path, output: Path | None, several: bool) -> Path:
    if output is None:
        return photo.with_name(f"{photo.stem}-color.png")
    if several or output.is_dir():
        # In its own folder the plain name may be that of another picture.
        own = output.resolve() == photo.resolve().parent
        return output / (f"{photo.stem}-color.png" if own else f"{photo.stem}.png")
    return output
