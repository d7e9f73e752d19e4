"""Where the files of a data set lie: a folder, or a .zip that is read as it is.

Both list the same names for the same tree: relative, with forward slashes, sorted.
"""

from __future__ import annotations

import lzma
import os
import re
import threading
import zipfile
import zlib
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple, TypeVar

from colorize.data.file_kind import HEAD, foreign_kind, is_picture
from colorize.errors import DataError, ImageError

EXTENSIONS = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".gif", ".bmp", ".dib", ".tif", ".tiff"),
    *(".webp", ".avif", ".jp2", ".j2k", ".ppm", ".pgm", ".pbm", ".pnm", ".pfm"),
    *(".mpo", ".tga", ".pcx"),
    *((".heic", ".heif", ".hif") if find_spec("pillow_heif") else ()),
    *((".jxl",) if find_spec("pillow_jxl") else ()),
)
"""Names that end in one of these are opened; what they hold is judged by their bytes."""

_FETCHABLE = (
    "vehicles",
    "vehicles-final",
    "tiny-imagenet",
    "ncd",
    "stanford-dogs",
    "places365-val",
)
_OTHER_ENDING = "not an image"
_BACKUP = re.compile(r"~$|\.bak$|\.old$|[._]orig(inal)?$", re.IGNORECASE)
_BACKUP_REASON = "a backup copy by its name; name the file itself to color it"
_LITTER = ("thumbs.db", "desktop.ini")
_MOST_BYTES = 2**30
_ENCRYPTED = 0x1
_MOST_THREADS = 8
_AHEAD = 4

T = TypeVar("T")


class Rejected(NamedTuple):
    """A file that is not used, and why."""

    name: str
    reason: str

    @classmethod
    def because(cls, name: str, error: ImageError) -> Rejected:
        """The file that an error names."""
        return cls(name, str(error).removeprefix(f"{name}: "))


class Listing(NamedTuple):
    """What lies below a root: names that may be images, and the rest with reasons."""

    images: list[str]
    rejected: list[Rejected]


class FolderSource:
    """The files below a folder. Links are followed, except those that lead back to a parent.

    Args:
        root: the folder.
        by_content: whether files of other endings than EXTENSIONS are looked into. In a data set
            these are labels, and many.
    """

    def __init__(self, root: Path, *, by_content: bool = True) -> None:
        self.root, self._by_content = root, by_content

    @property
    def name(self) -> str:
        """Name of the folder, also when it was given as ``"."``."""
        return self.root.resolve().name

    def listing(self) -> Listing:
        """Walk the tree. Raises DataError when the root itself cannot be read."""
        found: list[str] = []
        rejected: list[Rejected] = []
        self._walk(self.root, (), found, rejected)
        listing = _sorted_by_use(found, rejected)
        if not self._by_content:
            return listing
        judged = [
            (name, self._judged(name) if reason.startswith(_OTHER_ENDING) else reason)
            for name, reason in listing.rejected
        ]
        pictures = [name for name, reason in judged if reason is None]
        rest = [Rejected(name, reason) for name, reason in judged if reason is not None]
        return Listing(sorted([*listing.images, *pictures]), rest)

    def _judged(self, name: str) -> str | None:
        """Say why a file with another ending is no picture; None for one that is."""
        reason = _reason_against(name)
        try:
            with (self.root / name).open("rb") as file:
                head = file.read(HEAD)
                if is_picture(head):
                    return _BACKUP_REASON if _BACKUP.search(name) else None
                foreign = foreign_kind(file, head)
        except OSError:
            return reason
        if foreign is None:
            return reason
        return f"{_OTHER_ENDING} that can be read: {foreign.name}; {foreign.advice}"

    def read(self, name: str) -> bytes:
        """The bytes of one file. Raises ImageError when it cannot be read."""
        path = self.root / name
        try:
            size = path.stat().st_size
            if size > _MOST_BYTES:
                raise ImageError(_too_large(name, size))
            return path.read_bytes()
        except OSError as error:
            raise ImageError(f"{name}: cannot be read: {error.strerror}") from error

    def _walk(
        self, folder: Path, above: tuple[str, ...], found: list[str], rejected: list[Rejected]
    ) -> None:
        name = folder.relative_to(self.root).as_posix()
        real = os.path.realpath(folder)
        if real in above:
            rejected.append(Rejected(name, "a link to a folder above it"))
            return
        try:
            children = sorted(folder.iterdir())
        except OSError as error:
            if folder == self.root:
                raise DataError(f"{folder}: cannot be listed: {error.strerror}") from error
            rejected.append(Rejected(name, f"a folder that cannot be listed: {error.strerror}"))
            return
        for child in children:
            relative = child.relative_to(self.root).as_posix()
            # os.path's questions answer no where pathlib's raise: a folder without search right.
            if os.path.isdir(child):  # noqa: PTH112
                self._walk(child, (*above, real), found, rejected)
            elif os.path.isfile(child):  # noqa: PTH113
                found.append(relative)
            elif os.path.islink(child):  # noqa: PTH114
                rejected.append(Rejected(relative, "a broken link"))
            else:
                rejected.append(Rejected(relative, "not a regular file, or not readable"))


class _OpenArchive(NamedTuple):
    process: int
    lock: threading.Lock
    file: zipfile.ZipFile
    members: dict[str, zipfile.ZipInfo]


class ZipSource:
    """The files inside a .zip; nothing is unpacked. May be pickled and forked.

    Every process opens the archive for itself, since a file position must not be shared.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._archive: _OpenArchive | None = None

    @property
    def name(self) -> str:
        """Name of the archive without its ending."""
        return self.root.stem

    def __getstate__(self) -> dict[str, Any]:
        return {"root": self.root, "_archive": None}

    def listing(self) -> Listing:
        """Read the archive's directory. Raises DataError when it is damaged or encrypted."""
        archive = self._open()
        times = Counter(_tidy(info.filename) for info in archive.file.infolist())
        again = [
            Rejected(name, "an earlier file of the same name in the archive")
            for name in archive.members
            for _ in range(times[name] - 1)
        ]
        listing = _sorted_by_use(archive.members, again)
        locked = [n for n in listing.images if archive.members[n].flag_bits & _ENCRYPTED]
        if locked:
            raise DataError(
                f"{self.root}: expected an archive that opens without a password, but "
                f"{len(locked)} images are encrypted (the first is {locked[0]}); unpack it and "
                "pass the folder"
            )
        return listing

    def read(self, name: str) -> bytes:
        """The bytes of one file. Raises ImageError when it is damaged."""
        archive = self._open()
        info = archive.members[name]
        if info.file_size > _MOST_BYTES:
            raise ImageError(_too_large(name, info.file_size))
        try:
            with archive.lock:
                return archive.file.read(info)
        except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError) as error:
            raise ImageError(f"{name}: damaged inside the archive: {error}") from error
        except (NotImplementedError, RuntimeError) as error:
            raise ImageError(f"{name}: cannot be unpacked: {error}") from error

    def _open(self) -> _OpenArchive:
        if self._archive is None or self._archive.process != os.getpid():
            try:
                file = zipfile.ZipFile(self.root)
            except (zipfile.BadZipFile, OSError, NotImplementedError) as error:
                raise DataError(
                    f"{self.root}: expected a whole .zip archive, got a damaged or unreadable one "
                    f"({error}); download it again"
                ) from error
            infos = (info for info in file.infolist() if not info.filename.endswith(("/", "\\")))
            members = {_tidy(info.filename): info for info in infos}
            self._archive = _OpenArchive(os.getpid(), threading.Lock(), file, members)
        return self._archive


def open_source(root: str | os.PathLike[str]) -> FolderSource | ZipSource:
    """Open a folder or .zip as a source of files; ``photos`` also finds ``photos.zip``.

    Raises:
        DataError: when it does not exist (with the command that fetches it, when it is one of the
            project's data sets) or is something else.
    """
    # pathlib raises where the name after ~ is no user's.
    path = Path(os.path.expanduser(root))  # noqa: PTH111
    if not path.exists() and (archive := path.with_name(f"{path.name}.zip")).is_file():
        path = archive
    if path.is_dir():
        return FolderSource(path, by_content=False)
    if path.is_file():
        if path.suffix.lower() == ".zip" or zipfile.is_zipfile(path):
            return ZipSource(path)
        raise DataError(f"{path}: expected a folder or a .zip archive, got another kind of file")
    known = path.stem if path.suffix.lower() == ".zip" else path.name
    if known in _FETCHABLE:
        hint = f"fetch it with: python DOWNLOADER/download.py {known}"
    else:
        hint = (
            "pass the folder or .zip that holds your images; the data sets that can be fetched "
            f"with python DOWNLOADER/download.py are {', '.join(_FETCHABLE)}"
        )
    raise DataError(f"{path}: there is no such folder or .zip; {hint}")


def in_threads(function: Callable[[str], T], names: Iterable[str]) -> Iterator[T]:
    """Map in threads, in order, a few tasks ahead. Pillow releases the interpreter lock."""
    threads = min(_MOST_THREADS, os.cpu_count() or 1)
    waiting: deque[Future[T]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        for name in names:
            waiting.append(pool.submit(function, name))
            if len(waiting) > _AHEAD * threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _sorted_by_use(names: Iterable[str], rejected: Iterable[Rejected]) -> Listing:
    usable: list[str] = []
    unusable = list(rejected)
    for name in names:
        reason = _reason_against(name)
        if reason is None:
            usable.append(name)
        else:
            unusable.append(Rejected(name, reason))
    return Listing(sorted(usable), sorted(unusable))


def _reason_against(name: str) -> str | None:
    path = PurePosixPath(name)
    if "__MACOSX" in path.parts or path.name.startswith("._") or path.name == ".DS_Store":
        return "left by macOS"
    if path.name.lower() in _LITTER:
        return "left by Windows"
    if any(part.startswith(".") for part in path.parts):
        return "hidden"
    if path.suffix.lower() not in EXTENSIONS:
        return f"{_OTHER_ENDING}: {path.suffix.lower() or 'no extension'}"
    return None


def _tidy(filename: str) -> str:
    parts = filename.replace("\\", "/").split("/")
    return "/".join(part for part in parts if part not in ("", "."))


def _too_large(name: str, size: int) -> str:
    return f"{name}: absurdly large for an image: {size:,} bytes"
