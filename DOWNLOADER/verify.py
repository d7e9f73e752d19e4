"""Every image is opened once: what cannot be decoded is found before training finds it."""

from __future__ import annotations

import os
import struct
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from PIL import Image
from tqdm.auto import tqdm

from DOWNLOADER.unpack import is_image

# Pillow's decoders raise all of these on damaged files, depending on the format.
_BAD_FILE = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    struct.error,
    IndexError,
    KeyError,
    TypeError,
    Image.DecompressionBombError,
)


def images_below(folder: Path) -> list[Path]:
    """Every file with the name of an image, sorted."""
    return sorted(path for path in folder.rglob("*") if is_image(path) and path.is_file())


def problem(path: Path) -> str | None:
    """Why the image cannot be decoded, or None."""
    try:
        with Image.open(path) as image:
            image.load()
    except _BAD_FILE as error:
        return f"{type(error).__name__}: {error}"
    return None


def find_bad(folder: Path, progress: bool = True, workers: int | None = None) -> dict[str, str]:
    """The images below ``folder`` that cannot be decoded: relative path and reason.

    Threads are enough, for Pillow decodes without holding the interpreter's lock, and they work in
    a notebook on every system.
    """
    images = images_below(folder)
    pool = ThreadPoolExecutor(workers or min(8, os.cpu_count() or 1))
    try:
        checked = tqdm(
            pool.map(problem, images),
            total=len(images),
            desc="opening every image",
            unit="image",
            disable=not progress,
            leave=False,
        )
        return {
            path.relative_to(folder).as_posix(): reason.replace("\n", " ")
            for path, reason in zip(images, checked, strict=True)
            if reason is not None
        }
    finally:
        # On Ctrl-C the images still waiting are not opened first.
        pool.shutdown(cancel_futures=True)
