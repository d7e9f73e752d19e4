"""The Natural-Color Dataset from Google Drive, with the real id, through the real gdown.

gdown knows Drive's address by heart. So the replica of Drive stands behind a proxy on loopback that
answers for drive.google.com with a certificate of its own; gdown finds both through the usual
environment variables, as it would behind a company's proxy.
"""

from __future__ import annotations

import dataclasses
import random
import shutil
import signal
import ssl
import subprocess
import sys
import time
from pathlib import Path

import pytest
from helpers.downloader_replica import (
    IMPATIENT,
    NERVOUS,
    Handler,
    Route,
    answer,
    contents,
    cut,
    expected,
    ncd_files,
    serving,
    stall,
    start,
    zip_of,
)

from colorize.errors import DownloadError
from DOWNLOADER.download import download, main
from DOWNLOADER.sources import SOURCES

# gdown writes half a megabyte at a time, so the set must be larger for there to be a rest to fetch.
NCD = {**ncd_files(), "ColorfulOriginal/Plum/noise.txt": random.Random(3).randbytes(1_200_000)}
ID = "1k_UvYzdrHbphW4UcbDb9jWB0ZQIAGEAo"
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
    """A proxy that does not pass anything on: it answers for whatever host is asked for."""

    certificate: Path

    def do_CONNECT(self) -> None:  # noqa: N802 - the name that http.server looks for
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
        if self.close_connection:
            self.connection.close()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
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
def drive(certificate, monkeypatch, tmp_path):
    """Google Drive, holding NCD.zip; the server and the route of the file itself."""
    handler = type("Handler", (DriveHandler,), {"certificate": certificate})
    with serving(handler) as server:
        for name in ("HTTPS_PROXY", "https_proxy"):
            monkeypatch.setenv(name, server.base)
        for name in ("NO_PROXY", "no_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate.with_suffix(".crt")))
        put_page(server, CONFIRM)
        server.file = server.put(
            FILE,
            zip_of(NCD),
            content_type="application/octet-stream",
            headers={"Content-Disposition": 'attachment; filename="NCD.zip"'},
        )
        yield server


def put_page(server, page: bytes) -> None:
    redirect = server.put(ASKED, b"")
    redirect.faults.extend(
        [answer(303, Location=f"https:/{WARNING}", Content_Type="text/html")] * 9
    )
    server.put(WARNING, page, content_type="text/html; charset=utf-8")


@pytest.fixture
def bring(tmp_path):
    def bring(limits=IMPATIENT) -> Path:
        return download(
            "ncd",
            to=tmp_path / "to",
            cookies=tmp_path / "cookies.txt",
            progress=False,
            limits=limits,
        )

    return bring


def require_whole(final: Path) -> None:
    assert contents(final) == expected(NCD)
    assert [path.name for path in final.parent.iterdir() if path.suffix != ".lock"] == ["ncd"]


def test_the_real_source_is_what_is_tested():
    assert [file.drive for file in SOURCES["ncd"].files] == [ID]


def test_through_redirect_and_confirmation(drive, bring):
    require_whole(bring())
    assert [path for path, _ in drive.log] == [ASKED, WARNING, FILE]
    drive.log.clear()
    bring()
    assert drive.log == []


def test_the_quota_is_explained(drive, bring, tmp_path, capsys):
    put_page(drive, QUOTA)
    with pytest.raises(DownloadError) as caught:
        bring()
    said = str(caught.value)
    assert "Too many users have viewed or downloaded this file recently" in said
    assert f"Netscape format to {tmp_path / 'cookies.txt'}" in said
    assert f"https://drive.google.com/file/d/{ID}/view" in said
    assert f"put it at {tmp_path / 'to' / 'NCD.zip'}" in said
    assert not (tmp_path / "to" / "ncd").exists()
    argv = ["ncd", "--to", str(tmp_path / "to"), "--cookies", str(tmp_path / "cookies.txt")]
    assert main([*argv, "--quiet"], limits=IMPATIENT) == 1
    assert "ncd: not complete: Google Drive does not hand out the file" in capsys.readouterr().err
    # By hand, as the message says.
    (tmp_path / "to" / "NCD.zip").write_bytes(zip_of(NCD))
    assert contents(bring()) == expected(NCD)


def test_the_cookies_are_sent(drive, bring, tmp_path):
    (tmp_path / "cookies.txt").write_text(
        "# Netscape HTTP Cookie File\n.google.com\tTRUE\t/\tTRUE\t4102444800\tSID\tsigned-in\n"
    )
    require_whole(bring())
    assert all("SID=signed-in" in headers["Cookie"] for _, headers in drive.log)


def test_without_permission(drive, bring):
    put_page(drive, b"<html><body>Request access</body></html>")
    with pytest.raises(DownloadError, match=r"does not hand out .* permission"):
        bring()


@pytest.mark.parametrize("fault", [cut(700_000), stall(700_000)], ids=["cut", "stall"])
def test_gdown_goes_on_after_a_break(drive, bring, fault):
    drive.file.faults.append(fault)
    began = time.monotonic()
    require_whole(bring(NERVOUS))
    assert time.monotonic() - began < 20
    assert len([1 for path, headers in drive.log if path == FILE and "Range" in headers]) == 1


def interrupt(drive, bring, tmp_path) -> None:
    drive.file.faults.append(cut(700_000))
    with pytest.raises(DownloadError, match="broke off"):
        bring(dataclasses.replace(IMPATIENT, retries=0))
    assert not (tmp_path / "to" / "ncd").exists()
    drive.log.clear()


def test_a_later_call_goes_on(drive, bring, tmp_path):
    interrupt(drive, bring, tmp_path)
    require_whole(bring())
    assert "Range" in drive.log[-1][1]


def test_a_later_call_starts_afresh_where_ranges_are_ignored(drive, bring, tmp_path):
    interrupt(drive, bring, tmp_path)
    drive.file.ranges = False
    require_whole(bring())


def test_a_file_that_changed_is_found_out(drive, bring, tmp_path):
    interrupt(drive, bring, tmp_path)
    noise = random.Random(4).randbytes(1_200_000)
    drive.file.body = zip_of({**NCD, "ColorfulOriginal/Plum/noise.txt": noise})
    drive.file.etag = '"2"'
    with pytest.raises(DownloadError, match="no whole zip archive"):
        bring()
    assert not (tmp_path / "to" / "ncd").exists()
    drive.file.body = zip_of(NCD)
    require_whole(bring())


def test_what_is_no_zip_is_removed(drive, bring, tmp_path):
    good, drive.file.body = drive.file.body, b"sorry"
    with pytest.raises(DownloadError, match=r"did not bring what was expected .* no whole zip"):
        bring()
    drive.file.body = good
    require_whole(bring())


def test_an_error_status_is_reported(drive, bring):
    page = Route(b"")
    page.faults.extend([answer(404, Content_Type="text/plain", Content_Disposition="none")] * 9)
    drive.routes[FILE] = page
    with pytest.raises(DownloadError, match="404"):
        bring()


@pytest.mark.skipif(sys.platform == "win32", reason="the signal is that of POSIX")
def test_killed_in_the_middle(drive, bring, tmp_path):
    drive.file.pause = 0.003
    cookies = str(tmp_path / "cookies.txt")
    table = dict(SOURCES)
    process = start(table, tmp_path / "to", "ncd", "--quiet", "--cookies", cookies)
    while drive.sent.get(FILE, 0) < 700_000:
        assert process.poll() is None
        time.sleep(0.01)
    process.kill()
    assert process.wait(30) == -signal.SIGKILL
    drive.file.pause = 0
    require_whole(bring())
