"""The Natural-Color Dataset through the real gdown.

gdown knows Drive's address by heart. So a replica of Drive stands behind a proxy on loopback that
answers for its hosts with a certificate of its own; gdown finds both through the usual environment
variables, as it would behind a company's proxy.
"""

from __future__ import annotations

import shutil
import ssl
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from helpers.archives import contents, zip_of
from helpers.webserver import Answer, Handler, Server, serving

from colorize.errors import DownloadError
from DOWNLOADER.catalog import CATALOG
from DOWNLOADER.download import main

Bring = Callable[..., Path]
NCD = zip_of({"ColorfulOriginal/Apple/Apple1.jpg": b"red" * 1000})
ID = CATALOG["ncd"].files[0].drive
ASKED = f"/drive.google.com/uc?id={ID}"
WARNING = f"/drive.usercontent.google.com/download?id={ID}&export=download"
FILE = f"{WARNING}&confirm=t&uuid=5a3c"
# As Drive says that a large file was not scanned for viruses, and that too many people want it.
CONFIRM = (
    "<!DOCTYPE html><html><body><form id='download-form' method='get' "
    "action='https://drive.usercontent.google.com/download'>"
    f"<input type='hidden' name='id' value='{ID}'>"
    "<input type='hidden' name='export' value='download'>"
    "<input type='hidden' name='confirm' value='t'>"
    "<input type='hidden' name='uuid' value='5a3c'></form></body></html>"
).encode()
QUOTA = (
    b'<!DOCTYPE html><html><body><p class="uc-error-caption">Sorry, you cannot download now.</p>\n'
    b'<p class="uc-error-subcaption">Too many users have viewed or downloaded this file recently.'
    b"</p></body></html>"
)


class DriveHandler(Handler):
    """A proxy that passes nothing on: it answers for whatever host is asked for."""

    certificate: Path

    def do_CONNECT(self) -> None:  # noqa: N802
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate)
        self.send_response(200)
        self.end_headers()
        self.host = self.path.split(":")[0]
        self.connection = context.wrap_socket(self.connection, server_side=True)
        self.rfile = self.connection.makefile("rb")
        self.wfile = self.connection.makefile("wb", buffering=0)
        self.close_connection = False

    def do_GET(self) -> None:  # noqa: N802
        self.path = f"/{self.host}{self.path}"
        super().do_GET()
        self.connection.close()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("openssl") is None:
        pytest.skip("openssl makes the certificate of the replica of Google Drive")
    path = tmp_path_factory.mktemp("drive") / "drive.pem"
    names = "DNS:drive.google.com,DNS:drive.usercontent.google.com,DNS:docs.google.com"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
            *("-subj", "/CN=drive.google.com", "-addext", f"subjectAltName={names}"),
            *("-keyout", str(path), "-out", str(path.with_suffix(".crt"))),
        ],
        check=True,
        capture_output=True,
    )
    path.write_text(path.read_text() + path.with_suffix(".crt").read_text())
    return path


@pytest.fixture
def drive(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    with serving(type("Handler", (DriveHandler,), {"certificate": certificate})) as drive:
        for name in ("HTTPS_PROXY", "https_proxy"):
            monkeypatch.setenv(name, drive.base)
        for name in ("NO_PROXY", "no_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate.with_suffix(".crt")))
        html = {"Content-Type": "text/html; charset=utf-8"}
        drive.put(ASKED, Answer(status=303, headers={"Location": f"https:/{WARNING}", **html}))
        drive.put(WARNING, Answer(CONFIRM, headers=html))
        put_file(drive, Answer(NCD))
        yield drive


def put_file(drive: Server, answer: Answer) -> None:
    answer.headers["Content-Disposition"] = 'attachment; filename="NCD.zip"'
    answer.headers["Content-Type"] = "application/octet-stream"
    drive.put(FILE, answer)


def test_through_redirect_and_confirmation(drive: Server, bring: Bring, to: Path) -> None:
    cookies = to.with_name("cookies.txt")
    cookies.write_text(
        "# Netscape HTTP Cookie File\n.google.com\tTRUE\t/\tTRUE\t4102444800\tSID\tsigned-in\n"
    )
    assert bring("ncd", cookies=cookies).read_bytes() == NCD
    assert list(contents(to)) == ["ncd.zip"]
    assert [path for path, _ in drive.asked] == [ASKED, WARNING, FILE]
    assert all("SID=signed-in" in headers["Cookie"] for _, headers in drive.asked)


def test_the_quota_is_explained(
    drive: Server, bring: Bring, to: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cookies = to.with_name("cookies.txt")
    drive.put(WARNING, Answer(QUOTA, headers={"Content-Type": "text/html"}))
    assert main(["ncd", "--to", str(to), "--cookies", str(cookies), "--quiet"]) == 1
    error = capsys.readouterr().err
    assert "Too many users" in error and f"format to {cookies}" in error
    assert f"https://drive.google.com/file/d/{ID}/view" in error and f"at {to / 'ncd.zip'}" in error


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (Answer(NCD[:-30]), "no whole .zip"),
        (Answer(b"sorry"), "no whole .zip"),
        (Answer(zip_of({"other.txt": b"x"})), "Colorful"),
        (Answer(bytes(1 << 20), length=-1, endless=True), "bytes came"),
        (Answer(status=404), "404"),
    ],
    ids=["cut", "text", "another", "endless", "404"],
)
def test_what_is_no_such_file_is_removed(
    drive: Server, bring: Bring, to: Path, answer: Answer, message: str
) -> None:
    put_file(drive, answer)
    with pytest.raises(DownloadError, match=message):
        bring("ncd", cookies=to.with_name("cookies.txt"))
    assert contents(to) == {}
    put_file(drive, Answer(NCD))
    assert bring("ncd", cookies=to.with_name("cookies.txt")).read_bytes() == NCD
