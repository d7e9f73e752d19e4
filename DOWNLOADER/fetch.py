"""Bring one file, whole and checked, or nothing: from the web by pooch, from Drive by gdown."""

from __future__ import annotations

import contextlib
import shutil
import sys
import time
import zipfile
from collections.abc import Iterator
from fnmatch import fnmatchcase
from io import BufferedWriter, FileIO
from pathlib import Path
from typing import Any

import pooch
import requests

from colorize.errors import DownloadError
from colorize.storage import atomic_write, clear_temporaries
from DOWNLOADER.catalog import File

_HEADERS = {
    "User-Agent": "colorize-downloader (image colorization study; one connection at a time)",
    # A length of compressed bytes would say nothing about the file.
    "Accept-Encoding": "identity",
}
_TIMEOUT = (15.0, 60.0)
# Seconds to wait before another try, where one may help.
_WAITS = (1.0, 5.0, 15.0)
_BUSY = (429, 500, 502, 503, 504)
# Sizes in the catalog are about right; a body that never ends must not fill the disk.
_TOO_LARGE = 10
_COOKIES = "~/.cache/gdown/cookies.txt"


def fetch(
    file: File, target: Path, by_hand: Path, *, progress: bool = True, cookies: str | None = None
) -> str:
    """Bring ``file`` to ``target``, and return its SHA-256.

    ``by_hand`` is where somebody may put it instead; an error says so. The caller sees to it that
    no other process fetches to ``target``.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    clear_temporaries(target.parent)
    try:
        with atomic_write(target) as temporary, _without_rest(temporary):
            if file.drive:
                _from_drive(file, temporary, progress, cookies)
            else:
                _from_web(file, temporary, progress)
            return check(temporary, file)
    except (requests.RequestException, DownloadError) as error:
        raise DownloadError(
            f"{file.name}: {_reason(error)}. By hand: fetch {file.address} with a browser, put it "
            f"at {by_hand}, and run the same command"
        ) from error


@contextlib.contextmanager
def _without_rest(temporary: Path) -> Iterator[None]:
    """Delete what gdown keeps beside a file when it broke off."""
    try:
        yield
    finally:
        for path in temporary.parent.glob(f"{temporary.name}*.part"):
            path.unlink()


def _reason(error: Exception) -> str:
    if isinstance(error, requests.HTTPError) and error.response is not None:
        return f"the server says {error.response.status_code} {error.response.reason}"
    if isinstance(error, requests.RequestException):
        return f"there is no connection, or it broke off ({error})"
    return str(error)


class _Bounded(BufferedWriter):
    """A new file at ``path`` that refuses to grow far beyond the size of ``file``."""

    def __init__(self, path: Path, file: File) -> None:
        super().__init__(FileIO(path, "wb"))
        self._file = file

    def write(self, data: Any) -> int:
        _require_bounded(self._file, self.tell() + len(data))
        return super().write(data)


def _require_bounded(file: File, size: int) -> None:
    if size > _TOO_LARGE * file.size:
        raise DownloadError(f"more than {_TOO_LARGE * file.size:,} bytes came: no such file")


def _from_web(file: File, path: Path, progress: bool) -> None:
    fetch = pooch.HTTPDownloader(
        progressbar=progress, chunk_size=1 << 16, timeout=_TIMEOUT, headers=_HEADERS
    )
    for wait in (*_WAITS, None):
        try:
            with _Bounded(path, file) as stream:
                fetch(file.url, stream, None)
            return
        except requests.RequestException as error:
            busy = error.response is None or error.response.status_code in _BUSY
            if wait is None or not busy:
                raise
            if progress:
                print(f"{_reason(error)}; trying again in {wait:.0f} s", file=sys.stderr)
        time.sleep(wait)


def _from_drive(file: File, path: Path, progress: bool, cookies: str | None) -> None:
    # gdown takes long to import and is needed for one entry.
    import gdown
    from gdown.exceptions import DownloadError as GdownError
    from gdown.exceptions import FileURLRetrievalError

    try:
        gdown.download(
            id=file.drive,
            output=str(path),
            quiet=not progress,
            progress=lambda received, total: _require_bounded(file, received),
            cookies_file=cookies,
            timeout=_TIMEOUT,
            retries=len(_WAITS),
        )
    except FileURLRetrievalError as error:
        raise DownloadError(
            f"Google Drive does not hand out the file: {' '.join(str(error).split())} Drive limits "
            "how often a file is fetched a day by people who are not signed in. Wait up to 24 "
            "hours; or sign in with a browser, export its cookies for google.com in Netscape "
            f"format to {cookies or _COOKIES} (or name a file with --cookies), and run again"
        ) from error
    except GdownError as error:
        raise DownloadError(f"Google Drive broke off: {error}") from error


def check(path: Path, file: File) -> str:
    """Return the SHA-256 of ``path``; refuse it where it cannot be ``file``."""
    digest = str(pooch.file_hash(str(path), alg="sha256"))
    md5 = str(pooch.file_hash(str(path), alg="md5")) if file.md5 else ""
    for name, expected, came in (("SHA-256", file.sha256, digest), ("MD5", file.md5, md5)):
        if expected and came != expected:
            size = path.stat().st_size
            raise DownloadError(f"expected {name} {expected}, came {came} ({size:,} bytes)")
    if file.name.endswith(".zip"):
        try:
            with zipfile.ZipFile(path) as archive:
                names = archive.namelist()
        except zipfile.BadZipFile as error:
            raise DownloadError(f"what came is no whole .zip archive: {error}") from error
        if file.expects and not any(fnmatchcase(name, file.expects) for name in names):
            raise DownloadError(f"it should hold {file.expects}, but nothing in it is so")
    return digest


def check_in_place(path: Path, file: File) -> str:
    """Check a file that was there before."""
    try:
        return check(path, file)
    except DownloadError as error:
        raise DownloadError(
            f"{path} is there, but is not {file.name}: {error}. Remove it and run again"
        ) from error


def require_free(folder: Path, need: int) -> None:
    """Refuse to begin where ``need`` bytes do not fit on the disk of ``folder``."""
    free = shutil.disk_usage(folder).free
    if need > free:
        raise DownloadError(
            f"not enough free disk: about {need / 1e6:,.0f} MB are needed in {folder}, "
            f"{free / 1e6:,.0f} MB are free. Make room, or choose another disk with --to"
        )
