"""One file from Google Drive, by gdown, with its refusals explained."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import gdown
import requests
from gdown.exceptions import DownloadError as GdownError
from gdown.exceptions import FileURLRetrievalError
from tqdm.auto import tqdm

from colorize.errors import DownloadError
from DOWNLOADER.polite import POLITE, Limits
from DOWNLOADER.sources import File

COOKIES = Path("~/.cache/gdown/cookies.txt")


def fetch_drive(
    file: File,
    target: Path,
    check: Callable[[Path], str],
    limits: Limits = POLITE,
    progress: bool = True,
    cookies: Path | None = None,
) -> str:
    """Bring ``file`` to ``target``, going on with what an earlier run left; return its SHA-256.

    ``cookies`` is a Netscape cookies file of a signed-in browser (default: gdown's own). ``check``
    as in ``fetch``. Raises DownloadError where Drive refuses (quota, permission), keeps breaking
    off, or brings another file.
    """
    # gdown names its own partial file, and takes it up again when it is alone in its folder.
    folder = target.with_name(target.name + ".part")
    folder.mkdir(parents=True, exist_ok=True)
    with tqdm(desc=file.name, unit="B", unit_scale=True, disable=not progress, leave=False) as bar:

        def report(received: int, total: int | None) -> None:
            bar.total = total
            bar.update(received - bar.n)

        if not _attempt(file, folder, report, limits, cookies):
            # What was left cannot be continued: Drive refused the range, or the file is another.
            shutil.rmtree(folder)
            folder.mkdir()
            _attempt(file, folder, report, limits, cookies)
    try:
        digest = check(folder / file.name)
    except DownloadError as error:
        shutil.rmtree(folder)
        raise DownloadError(
            f"Google Drive did not bring what was expected ({error}); it was removed"
        ) from error
    (folder / file.name).replace(target)
    shutil.rmtree(folder)
    return digest


def _attempt(
    file: File,
    folder: Path,
    report: Callable[[int, int | None], None],
    limits: Limits,
    cookies: Path | None,
) -> bool:
    """Let gdown fetch; False where an earlier run's bytes are there and cannot be continued."""
    resumed = any(folder.iterdir())
    try:
        gdown.download(
            id=file.drive,
            output=str(folder / file.name),
            quiet=True,
            resume=True,
            cookies_file=None if cookies is None else str(cookies),
            timeout=(limits.connect, limits.read),
            retries=limits.retries,
            progress=report,
        )
    except FileURLRetrievalError as error:
        raise DownloadError(_explain(error, cookies)) from error
    except (GdownError, requests.RequestException) as error:
        # gdown chains a broken connection as the cause; without one, the bytes do not fit.
        network = isinstance(error, requests.RequestException) or error.__cause__ is not None
        if resumed and not network:
            return False
        raise DownloadError(
            f"Google Drive broke off: {error}. The same command goes on from here."
        ) from error
    return True


def _explain(error: FileURLRetrievalError, cookies: Path | None) -> str:
    said = " ".join(str(error).split())
    return (
        f"Google Drive does not hand out the file: {said} "
        "Drive limits how often a file is fetched a day by people who are not signed in. Wait up "
        "to 24 hours; or sign in with a browser, export its cookies for google.com in Netscape "
        f"format to {COOKIES if cookies is None else cookies} (or name a file with --cookies), "
        "and run the same command."
    )
