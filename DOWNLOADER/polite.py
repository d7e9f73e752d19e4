"""Manners towards servers: who is asking, how long to wait, how often to ask again."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import requests
from requests.adapters import HTTPAdapter
from tqdm.auto import tqdm
from urllib3.util.retry import Retry

from colorize.errors import DownloadError

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse

USER_AGENT = "colorize-downloader (image colorization study; one connection at a time)"
# Seconds of silence after which people believe that a program hangs.
_NOTICED = 5.0
_BUSY = (429, 500, 502, 503, 504)


@dataclass(frozen=True)
class Limits:
    """How patient and how polite: seconds to connect and between bytes, tries after a failure that
    brought nothing new, seconds of back-off (doubled each time), and the longest wait that a
    server may ask for.
    """

    connect: float = 15.0
    read: float = 60.0
    retries: int = 5
    backoff: float = 1.0
    longest_wait: float = 600.0


POLITE = Limits()


class _PatientRetry(Retry):
    """urllib3's retry, which says so and gives up where a server asks for an endless wait."""

    longest_wait = POLITE.longest_wait

    def new(self, **kw: Any) -> _PatientRetry:
        retry = super().new(**kw)
        retry.longest_wait = self.longest_wait
        return retry

    def sleep_for_retry(self, response: BaseHTTPResponse) -> bool:
        wait = self.get_retry_after(response)
        if wait is not None and wait > self.longest_wait:
            raise DownloadError(
                f"the server (HTTP {response.status}) asks to come back in {wait:.0f} s; "
                f"at most {self.longest_wait:.0f} s are waited here. Run the same command then"
            )
        if wait is not None and wait > _NOTICED:
            tqdm.write(f"the server asks for a pause of {wait:.0f} s", file=sys.stderr)
        return super().sleep_for_retry(response)


def polite_session(limits: Limits) -> requests.Session:
    """A session that names the project, and waits and tries again as ``limits`` say."""
    retry = _PatientRetry(
        total=limits.retries,
        backoff_factor=limits.backoff,
        status_forcelist=_BUSY,
        allowed_methods=("GET",),
        # The last answer is wanted, to say what the server said.
        raise_on_status=False,
    )
    retry.longest_wait = limits.longest_wait
    session = requests.Session()
    # A length or a range of compressed bytes would say nothing about the file.
    session.headers.update({"User-Agent": USER_AGENT, "Accept-Encoding": "identity"})
    for scheme in ("https://", "http://"):
        session.mount(scheme, HTTPAdapter(max_retries=retry))
    return session
