"""Unpack a tar from strangers: all members are judged before the first byte is written."""

from __future__ import annotations

import gzip
import hashlib
import tarfile
import zlib
from pathlib import Path

from colorize.errors import DownloadError

# Photographs hardly compress: an honest archive of ours unpacks to no more than its own size.
_EXPANSION = 4
_ALWAYS_ALLOWED = 16 * 2**20
_MOST_MEMBERS = 1_000_000


def unpack(archive: Path, folder: Path, keep: int | None = None) -> None:
    """Unpack a .tar or .tgz into ``folder``; ``keep`` takes that many files, always the same ones.

    An archive that is cut short, leads out of ``folder``, holds links or devices, or is larger than
    its size warrants is refused as a whole.
    """
    if not hasattr(tarfile, "data_filter"):
        raise DownloadError(
            "this Python cannot unpack archives safely: use 3.10.12, 3.11.4 or a later one"
        )
    zipped = archive.suffix == ".tgz"
    if not zipped:
        _require_end(archive)
    try:
        with tarfile.open(archive, "r:gz" if zipped else "r:") as tar:
            files = _judged(archive, tar)
            tar.extractall(folder, members=sample(files, keep), filter="data")
    except (tarfile.TarError, gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise DownloadError(f"{archive.name} is no whole tar archive: {error}") from error
    except (FileExistsError, IsADirectoryError, NotADirectoryError) as error:
        raise DownloadError(
            f"{archive.name} was refused: {error.filename} is a file and a folder in it"
        ) from error


def sample(files: list[tarfile.TarInfo], keep: int | None) -> list[tarfile.TarInfo]:
    """Return ``keep`` of the files, in the archive's order.

    The choice hangs on the names alone: it is the same on every machine, and a smaller sample is
    part of every larger one.
    """
    chosen = {file.name for file in sorted(files, key=_rank)[:keep]}
    return [file for file in files if file.name in chosen]


def _rank(file: tarfile.TarInfo) -> bytes:
    return hashlib.sha256(file.name.rpartition("/")[2].encode()).digest()


def _require_end(archive: Path) -> None:
    # A tar has no checksum of its content, and Python reads one that is cut between two members
    # without complaint. But a whole one ends with a block of zeros. gzip notices what is cut.
    with archive.open("rb") as stream:
        size = stream.seek(0, 2)
        stream.seek(max(0, size - 512))
        if stream.read() != bytes(512):
            raise DownloadError(
                f"{archive.name} is no whole tar archive: its {size:,} bytes have no end mark"
            )


def _judged(archive: Path, tar: tarfile.TarFile) -> list[tarfile.TarInfo]:
    limit = _EXPANSION * archive.stat().st_size + _ALWAYS_ALLOWED
    files: dict[str, tarfile.TarInfo] = {}
    total = members = 0
    for info in tar:
        members += 1
        total += info.size
        if total > limit or members > _MOST_MEMBERS:
            raise DownloadError(
                f"{archive.name} was refused: it would unpack to more than {limit:,} bytes or "
                f"{_MOST_MEMBERS:,} files"
            )
        parts = [part for part in info.name.split("/") if part not in ("", ".")]
        # The filter "data" would bring an absolute path inside; such an archive is not ours.
        if info.name.startswith("/") or ".." in parts or any(sign in info.name for sign in "\\:"):
            raise DownloadError(
                f"{archive.name} was refused: {info.name!r} in it leads out of its folder"
            )
        if info.isdir():
            continue
        if not info.isreg():
            raise DownloadError(
                f"{archive.name} was refused: {info.name!r} in it is a link or special file"
            )
        if "/".join(parts) in files:
            raise DownloadError(f"{archive.name} was refused: {info.name!r} is in it twice")
        files["/".join(parts)] = info
    return list(files.values())
