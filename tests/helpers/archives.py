"""Small archives of the structure of the real ones."""

from __future__ import annotations

import io
import random
import tarfile
import zipfile
from pathlib import Path

Tree = dict[str, bytes]


def tar_of(members: Tree) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for name, body in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(body)
            tar.addfile(info, io.BytesIO(body))
    return stream.getvalue()


def zip_of(members: Tree) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as zipped:
        for name, body in members.items():
            zipped.writestr(name, body)
    return stream.getvalue()


def synset(wnid: str) -> Tree:
    return {
        f"{wnid}_{10 * i + 7}.JPEG": random.Random(f"{wnid}{i}").randbytes(500) for i in range(6)
    }


def contents(folder: Path) -> Tree:
    """Every file below a folder, but records and locks."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != ".download.json" and path.suffix != ".lock"
    }
