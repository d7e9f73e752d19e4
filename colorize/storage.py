"""Write files whole or not at all, and tell one file from another."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import platform
import re
import tempfile
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

TEMPORARY = re.compile(r"\.colorize-([0-9a-f]{8})-(\d+)-.*\.tmp")
"""How the names of temporary files begin: machine and process that write them."""

_LONGEST_SUFFIX = 16
_ABANDONED_SECONDS = 24 * 3600


@contextlib.contextmanager
def atomic_write(path: str | os.PathLike[str], *, replace: bool = True) -> Iterator[Path]:
    """Give a temporary path beside ``path``; on leaving without error, flush it and rename it.

    A reader sees the old file or the whole new one, never half of it, whenever the writer dies.
    The folder is made when it is missing. An OSError names ``path``; without ``replace`` it is a
    FileExistsError when somebody made the file meanwhile.
    """
    path = Path(path)
    # A name of its own: that of the target may be as long as names can be.
    suffix = path.suffix if len(path.suffix) <= _LONGEST_SUFFIX else ""
    prefix = f".colorize-{_machine()}-{os.getpid()}-"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(prefix=prefix, suffix=".tmp" + suffix, dir=path.parent)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from None
    os.close(descriptor)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        # mkstemp makes private files; what is published takes the permissions of any new file.
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        try:
            if replace:
                temporary.replace(path)
            else:
                _publish_new(temporary, path)
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(path)) from None
    finally:
        temporary.unlink(missing_ok=True)


def _publish_new(temporary: Path, path: Path) -> None:
    try:
        os.link(temporary, path)
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links
        if os.path.lexists(path):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST)) from None
        temporary.replace(path)


def clear_temporaries(folder: Path) -> None:
    """Delete the temporary files that killed processes left in a folder."""
    for path in folder.glob(".colorize-*.tmp*"):
        named = TEMPORARY.match(path.name)
        # Another user's file, or one that its writer renames at this moment.
        with contextlib.suppress(OSError):
            if named and _is_abandoned(path, named[1], int(named[2])):
                path.unlink()


def sha256_file(path: Path) -> str:
    """Hash a file in pieces: its SHA-256 in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while part := file.read(1 << 20):
            digest.update(part)
    return digest.hexdigest()


def sha256_bytes(content: bytes) -> str:
    """Hash bytes: their SHA-256 in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def _machine() -> str:
    return f"{zlib.crc32(platform.node().encode()):08x}"


def _is_abandoned(path: Path, machine: str, process: int) -> bool:
    if machine == _machine() and os.name == "posix":
        try:
            os.kill(process, 0)
        except ProcessLookupError:
            return True
        except PermissionError:
            return False
    return time.time() - path.stat().st_mtime > _ABANDONED_SECONDS
