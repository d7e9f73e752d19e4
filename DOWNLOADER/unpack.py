"""Archives from strangers: every member is judged before the first byte is written.

Members with an absolute path, a way out (``..``), a link, a device, or together larger than the
archive warrants make the whole archive refused. Python's own extraction filters do not exist in all
versions that the project supports, so the rules are here, for tar and zip alike.
"""

from __future__ import annotations

import hashlib
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from colorize.errors import DownloadError
from DOWNLOADER.fetch import require_free

IMAGES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp"})

# Photographs hardly compress: an honest archive of ours unpacks to little more than its own size.
_EXPANSION = 4
_ALWAYS_ALLOWED = 16 * 2**20
_MOST_MEMBERS = 1_000_000
_JUNK_NAMES = frozenset({".DS_Store", "Thumbs.db"})


@dataclass(frozen=True)
class Member:
    """One regular file inside an archive: where it goes, its size, and how to read it."""

    path: PurePosixPath
    size: int
    open: Callable[[], IO[bytes]]

    @property
    def is_image(self) -> bool:
        """Whether the name is that of an image."""
        return self.path.suffix.lower() in IMAGES

    @property
    def is_junk(self) -> bool:
        """Whether it is a trace of a desktop system, which only looks like an image at times."""
        name = self.path.name
        return "__MACOSX" in self.path.parts or name.startswith("._") or name in _JUNK_NAMES


def is_image(path: Path) -> bool:
    """Whether a file on disk has the name of an image."""
    return path.suffix.lower() in IMAGES


@contextmanager
def opened(archive: Path, kind: str) -> Iterator[list[Member]]:
    """The judged members of a ``tar`` or ``zip``, readable inside the with-block.

    Raises DownloadError for an archive that is damaged, cut short, or refused.
    """
    try:
        if kind == "tar":
            _require_end(archive)
            with tarfile.open(archive, "r:") as tar:
                yield _judged(archive, _tar_members(tar))
        else:
            with zipfile.ZipFile(archive) as zipped:
                yield _judged(archive, _zip_members(zipped))
    except (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise DownloadError(f"{archive.name} is no whole {kind} archive: {error}") from error


def unpack(
    archive: Path, kind: str, folder: Path, keep: int | None = None, expects: tuple[str, ...] = ()
) -> int:
    """Unpack into ``folder``, which must not exist; return how many files were left out as junk.

    ``keep`` takes that many images only, always the same ones. Traces of desktop systems are junk.
    Raises DownloadError for a damaged or refused archive, for a disk that is too small, or where
    nothing in it matches one of the patterns ``expects``; the folder may then be half full.
    """
    folder.mkdir(parents=True)
    with opened(archive, kind) as members:
        clean = [member for member in members if not member.is_junk]
        wanted = sample(clean, keep)
        require_free(folder, sum(member.size for member in wanted))
        for member in wanted:
            _write(member, folder)
    for pattern in expects:
        if next(folder.glob(pattern), None) is None:
            came = ", ".join(sorted(entry.name for entry in folder.iterdir())[:5]) or "nothing"
            raise DownloadError(
                f"{archive.name} is not laid out as expected: {pattern} should be there, "
                f"but it starts with {came}"
            )
    return len(members) - len(clean)


def sample(members: list[Member], keep: int | None) -> list[Member]:
    """``keep`` images, and whatever is no image, in the archive's order.

    The choice hangs on the names alone, so it is the same on every machine and in every order of
    the archive, and a smaller sample is part of every larger one.
    """
    images = [member for member in members if member.is_image]
    if keep is None or len(images) <= keep:
        return members
    chosen = {member.path for member in sorted(images, key=_rank)[:keep]}
    return [member for member in members if not member.is_image or member.path in chosen]


def _rank(member: Member) -> bytes:
    return hashlib.sha256(member.path.name.encode()).digest()


def _require_end(archive: Path) -> None:
    """A tar carries no checksum of its content, but it ends with a block of zeros."""
    with archive.open("rb") as stream:
        size = stream.seek(0, 2)
        stream.seek(max(0, size - 512))
        if stream.read() != bytes(512):
            raise DownloadError(
                f"{archive.name} is no whole tar archive: its end of {size} bytes is not the end "
                "of a tar"
            )


def _tar_members(tar: tarfile.TarFile) -> Iterator[Member]:
    for info in tar:
        if info.isdir():
            _clean(info.name)
            continue
        # A sparse file can claim any size with a few bytes.
        if not info.isreg() or info.issparse():
            kind = "link" if info.issym() or info.islnk() else "special file"
            raise DownloadError(f"the archive was refused: {info.name!r} in it is a {kind}")
        yield Member(_clean(info.name), info.size, _tar_reader(tar, info))


def _tar_reader(tar: tarfile.TarFile, info: tarfile.TarInfo) -> Callable[[], IO[bytes]]:
    def read() -> IO[bytes]:
        stream = tar.extractfile(info)
        if stream is None:
            raise tarfile.ReadError(f"{info.name!r} has no content")
        return stream

    return read


def _zip_members(zipped: zipfile.ZipFile) -> Iterator[Member]:
    for info in zipped.infolist():
        kind = stat.S_IFMT(info.external_attr >> 16)
        if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise DownloadError(
                f"the archive was refused: {info.filename!r} in it is a link or special file"
            )
        if info.flag_bits & 1:
            raise DownloadError("the archive was refused: it is encrypted")
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise DownloadError("the archive was refused: unusual compression")
        path = _clean(info.filename)
        if not info.is_dir():
            yield Member(path, info.file_size, _zip_reader(zipped, info))


def _zip_reader(zipped: zipfile.ZipFile, info: zipfile.ZipInfo) -> Callable[[], IO[bytes]]:
    return lambda: zipped.open(info)


def _clean(name: str) -> PurePosixPath:
    """The path of a member, if it stays inside the folder on every system."""
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if name.startswith("/") or ".." in parts or any(sign in name for sign in "\\:\0"):
        raise DownloadError(f"the archive was refused: {name!r} in it leads out of its folder")
    return PurePosixPath(*parts)


def _judged(archive: Path, members: Iterator[Member]) -> list[Member]:
    """The list of members, if its number and size are in proportion to the archive."""
    limit = _EXPANSION * archive.stat().st_size + _ALWAYS_ALLOWED
    judged: list[Member] = []
    total = 0
    for member in members:
        judged.append(member)
        total += member.size
        if total > limit or len(judged) > _MOST_MEMBERS:
            raise DownloadError(
                f"{archive.name} was refused: its {archive.stat().st_size:,} bytes would unpack to "
                f"more than {limit:,} bytes or {_MOST_MEMBERS:,} files"
            )
    return judged


def _write(member: Member, folder: Path) -> None:
    target = folder / member.path
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        # Never over a file that this archive has just brought, under whatever spelling.
        with member.open() as source, target.open("xb") as sink:
            shutil.copyfileobj(source, sink)
    except (FileExistsError, NotADirectoryError) as error:
        raise DownloadError(
            f"the archive was refused: {str(member.path)!r} is in it twice"
        ) from error
    if target.stat().st_size != member.size:
        raise DownloadError(f"the archive is damaged: {str(member.path)!r} is cut short")
