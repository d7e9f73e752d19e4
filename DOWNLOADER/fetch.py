"""One file over HTTP: whole and checked under its name, or nothing under that name.

Bytes go to ``NAME.part``; beside it ``NAME.part.json`` keeps the server's validator (ETag or
Last-Modified) and length, so that a later run continues the same file and never splices two
versions. One connection, one request at a time; a server that asks for patience gets it.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import requests
from tqdm.auto import tqdm

from colorize import storage
from colorize.errors import DownloadError
from DOWNLOADER.polite import POLITE, Limits, polite_session
from DOWNLOADER.sources import File

# What is lost when a connection breaks inside a chunk, so rather small.
_CHUNK = 8 * 1024
_HTML = re.compile(rb"\s*(<!--.*?-->\s*)*<(!doctype\s+html|html|head|body)\b", re.I | re.S)
_ADVICE = {
    401: "it wants a login",
    403: "it refuses: a login or an accepted licence may be missing",
    404: "the file is not there any more",
    410: "the file is not there any more",
    429: "it asks to come back later",
    503: "it is overloaded: try again later",
}


class _CutError(Exception):
    """The body ended or went wrong in a way that asking again may heal."""


class _Part:
    """The bytes received so far, and what the server said of the file they belong to."""

    def __init__(self, target: Path) -> None:
        self.path = target.with_name(target.name + ".part")
        self._note = target.with_name(target.name + ".part.json")

    def size(self) -> int:
        return self.path.stat().st_size if self.path.exists() else 0

    def note(self) -> dict[str, Any]:
        # A note that cannot be read means only that the file is fetched from its start.
        if not self._note.exists():
            return {}
        try:
            note = json.loads(self._note.read_text(encoding="utf-8"))
        except ValueError:
            return {}
        return note if isinstance(note, dict) else {}

    def restart(self, note: dict[str, Any]) -> None:
        # In this order: at no moment is there a note beside bytes of another version.
        self.path.unlink(missing_ok=True)
        with storage.atomic_write(self._note) as temporary:
            temporary.write_text(json.dumps(note), encoding="utf-8")

    def drop(self) -> None:
        self.path.unlink(missing_ok=True)
        self._note.unlink(missing_ok=True)

    def offset(self, file: File) -> int:
        """From which byte to go on; 0 where nothing would prove that it is the same file."""
        note = self.note()
        size, total = self.size(), note.get("total")
        if note.get("url") != file.url or (isinstance(total, int) and size > total):
            return 0
        return size if note.get("validator") or file.sha256 else 0


def sha256(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def require_free(folder: Path, need: int) -> None:
    """Raise DownloadError unless ``need`` bytes are free where ``folder`` is."""
    free = shutil.disk_usage(folder).free
    if need > free:
        raise DownloadError(
            f"not enough free disk: {need / 1e6:,.0f} MB are needed in {folder}, "
            f"{free / 1e6:,.0f} MB are free. Make room, or choose another disk with --to"
        )


def fetch(
    file: File,
    target: Path,
    check: Callable[[Path], str],
    limits: Limits = POLITE,
    progress: bool = True,
) -> str:
    """Bring ``file`` to ``target``, going on with what an earlier run left; return its SHA-256.

    ``check`` gets the whole file while it is still a ``.part``, returns its digest, or raises
    DownloadError: then the file is removed, for it is of no use. Raises DownloadError as well where
    the server refuses, sends a web page instead, keeps breaking off, or the disk is too small; what
    had come by then is kept for the next run.
    """
    part = _Part(target)
    bar = tqdm(desc=file.name, unit="B", unit_scale=True, disable=not progress, leave=False)
    with polite_session(limits) as session, bar:
        _persist(session, file, part, limits, bar)
    try:
        digest = check(part.path)
    except DownloadError as error:
        part.drop()
        raise DownloadError(
            f"{file.url} did not bring what was expected ({error}); it was removed"
        ) from error
    part.path.replace(target)
    part.drop()
    return digest


def _persist(
    session: requests.Session, file: File, part: _Part, limits: Limits, bar: tqdm[Any]
) -> None:
    """Receive until whole; only a try that brought no new byte counts as a failure."""
    best, failures = part.size(), 0
    while True:
        try:
            _receive(session, file, part, limits, bar)
            return
        except (_CutError, requests.RequestException) as error:
            failures = 0 if part.size() > best else failures + 1
            best = max(best, part.size())
            if failures > limits.retries:
                raise DownloadError(
                    f"{file.url} broke off {failures} times without a new byte ({error}); "
                    f"{best} bytes are kept: the same command goes on from there"
                ) from error
            time.sleep(min(limits.backoff * 2**failures, 60.0))


def _receive(
    session: requests.Session, file: File, part: _Part, limits: Limits, bar: tqdm[Any]
) -> None:
    """Ask for what is missing and append it. Raises _CutError where not all of it came."""
    note, offset = part.note(), part.offset(file)
    if offset and offset == note.get("total"):
        return
    with _ask(session, file, offset, note.get("validator"), limits) as response:
        if response.status_code == 416:
            part.drop()
            raise _CutError("the server has no bytes where the file should go on")
        _refuse(response, file, offset)
        if response.status_code == 206:
            total = _total(response, offset, note.get("total"))
            if total is None:
                part.drop()
                raise _CutError("the server went on with another file or place than asked")
        else:
            offset, total = 0, _length(response)
            part.restart({"url": file.url, "validator": _validator(response), "total": total})
        require_free(part.path.parent, (file.size if total is None else total) - offset)
        bar.reset(total=total or None)
        bar.update(offset)
        _append(response, file, part, offset == 0, bar)
    if total is not None and part.size() != total:
        raise _CutError(f"{part.size()} of {total} bytes came")


def _ask(
    session: requests.Session, file: File, offset: int, validator: str | None, limits: Limits
) -> requests.Response:
    headers = {}
    if offset:
        headers["Range"] = f"bytes={offset}-"
        if validator:
            headers["If-Range"] = validator
    try:
        return session.get(
            file.url, headers=headers, stream=True, timeout=(limits.connect, limits.read)
        )
    except requests.RequestException as error:
        # The adapter has already tried again, with back-off.
        raise DownloadError(
            f"{file.url} cannot be reached ({error}). Check the connection; "
            "the same command goes on from here"
        ) from error


def _refuse(response: requests.Response, file: File, offset: int) -> None:
    """Raise DownloadError for an answer that is not (the rest of) a file."""
    status = response.status_code
    if status != 200 and not (status == 206 and offset):
        advice = _ADVICE.get(status, "no file comes with this status")
        raise DownloadError(f"{file.url} answered HTTP {status} {response.reason}: {advice}")
    if response.headers.get("Content-Type", "").strip().lower().startswith("text/html"):
        _refuse_page(file, response.url)
    encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding not in ("", "identity"):
        raise DownloadError(f"{file.url} came encoded as {encoding!r} though asked for as it is")


def _refuse_page(file: File, came_from: str) -> None:
    raise DownloadError(
        f"{file.url} answered with a web page instead of {file.name} (from {came_from}): "
        "a login, a notice or a proxy stands in between. Open the address in a browser to see it"
    )


def _validator(response: requests.Response) -> str | None:
    tag = response.headers.get("ETag")
    # A weak tag does not promise equal bytes.
    if tag and not tag.startswith("W/"):
        return tag
    return response.headers.get("Last-Modified")


def _length(response: requests.Response) -> int | None:
    length = response.headers.get("Content-Length", "")
    return int(length) if length.isdigit() else None


def _total(response: requests.Response, offset: int, known: int | None) -> int | None:
    """The whole length by Content-Range; None where it is not the rest of the same file."""
    match = re.fullmatch(
        r"bytes (\d+)-(\d+)/(\d+|\*)", response.headers.get("Content-Range", "").strip()
    )
    if match is None or int(match[1]) != offset:
        return None
    if match[3] == "*":
        return int(match[2]) + 1 if known is None else known
    return int(match[3]) if known in (None, int(match[3])) else None


def _append(
    response: requests.Response, file: File, part: _Part, from_start: bool, bar: tqdm[Any]
) -> None:
    with part.path.open("ab") as stream:
        for chunk in response.iter_content(_CHUNK):
            if from_start and _HTML.match(chunk[:1024]):
                part.drop()
                _refuse_page(file, response.url)
            from_start = False
            stream.write(chunk)
            bar.update(len(chunk))
