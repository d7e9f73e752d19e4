"""Every misbehavior of a server, and every kill, ends in the whole file or in none."""

from __future__ import annotations

import os
import pickle
import random
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers.archives import contents, synset, tar_of
from helpers.webserver import Answer, Server

from colorize.errors import DownloadError
from DOWNLOADER import download as module
from DOWNLOADER.catalog import CATALOG
from DOWNLOADER.download import main

Bring = Callable[..., Path]
WNID = "n02691156"
PATH = f"/image-net.org/data/winter21_whole/{WNID}.tar"
SET = ["imagenet-synsets", "--classes", WNID, "--quiet", "--to"]
PLACES = "/data.csail.mit.edu/places/places365/val_256.tar"
WEIGHTS = "/colorizers.s3.us-east-2.amazonaws.com/siggraph17-df00044c.pth"
BODY = tar_of(synset(WNID))
CUT = Answer(BODY[:3000], length=len(BODY))


@pytest.mark.parametrize(
    "answer",
    [CUT, Answer(status=503), Answer(status=302, headers={"Location": "/elsewhere"})],
    ids=["cut", "busy", "moved"],
)
def test_what_may_pass_is_tried_again(server: Server, bring: Bring, answer: Answer) -> None:
    server.put(PATH, answer, BODY)
    server.put("/elsewhere", BODY)
    assert contents(bring("imagenet-synsets", classes=[WNID]) / WNID) == synset(WNID)


REFUSED = {
    "not there": (Answer(status=404), "404", 1),
    "busy for good": (Answer(status=429), "429", 3),
    "cut for good": (CUT, "broke off", 3),
    "endless without a length": (Answer(bytes(1 << 16), length=-1, endless=True), "bytes came", 1),
    "larger than it may be": (Answer(bytes(200_000)), "bytes came", 1),
    "a web page": (Answer(b"<html>Sign in</html>"), "no whole tar", 1),
    "cut without a length": (Answer(BODY[:2048], length=-1), "no whole tar", 1),
    "another archive": (Answer(tar_of({"moved.txt": b"to"})), "JPEG", 1),
}


@pytest.mark.parametrize(("answer", "message", "requests"), REFUSED.values(), ids=REFUSED)
def test_a_clear_error_and_no_set(
    server: Server,
    to: Path,
    capsys: pytest.CaptureFixture[str],
    answer: Answer,
    message: str,
    requests: int,
) -> None:
    server.put(PATH, answer)
    assert main([*SET, str(to)]) == 1
    assert message in capsys.readouterr().err and server.count(PATH) == requests
    assert not (to / "imagenet-synsets").exists()
    assert not [path for path in to.rglob("*.tar*") if path.stat().st_size]
    server.put(PATH, BODY)
    assert main([*SET, str(to)]) == 0
    assert contents(to / "imagenet-synsets" / WNID) == synset(WNID)


@pytest.mark.parametrize(
    ("name", "path", "by_hand"),
    [
        ("siggraph17", WEIGHTS, "SHA-256.* at {to}/sig"),
        ("places365-val", PLACES, "MD5.* at {to}/val_256.tar"),
    ],
)
def test_another_hash_leaves_nothing(
    server: Server, bring: Bring, to: Path, name: str, path: str, by_hand: str
) -> None:
    (good,) = server.answers[path]
    server.put(path, tar_of({"val_256/0.jpg": b"other bytes"}))
    with pytest.raises(DownloadError, match=by_hand.format(to=to)):
        bring(name)
    assert not (to / name).exists() and server.count(path) == 1
    server.put(path, good)
    assert bring(name).exists()


def test_a_server_that_is_not_there(server: Server, bring: Bring, to: Path) -> None:
    server.shutdown()
    server.server_close()
    with pytest.raises(DownloadError, match=r"no connection.*By hand"):
        bring("siggraph17")
    assert contents(to) == {}


# Kills the process just before it renames something to a name, or lets Ctrl-C reach it.
_SCRIPT = """
import os, pickle, signal, sys
from DOWNLOADER import download
signal.signal(signal.SIGINT, signal.default_int_handler)
def watch(event, arguments):
    if event == "os.rename" and os.path.basename(arguments[1]) == sys.argv[2]:
        os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(watch)
with open(sys.argv[1], "rb") as stream:
    download.CATALOG.update(pickle.load(stream))
sys.exit(download.main(sys.argv[3:]))
"""


def start(to: Path, *argv: str, before: str = "") -> subprocess.Popen[str]:
    """The command in a process of its own that dies before it renames something to ``before``."""
    table = to.with_name("catalog.pickle")
    table.write_bytes(pickle.dumps(dict(CATALOG)))
    return subprocess.Popen(
        [sys.executable, "-c", _SCRIPT, str(table), before, *argv],
        env={**os.environ, "PYTHONPATH": str(Path(module.__file__).parents[1])},
        stderr=subprocess.PIPE,
        text=True,
    )


posix = pytest.mark.skipif(sys.platform == "win32", reason="the signals are those of POSIX")


@posix
@pytest.mark.parametrize("before", [f"{WNID}.tar", ".download.json", "imagenet-synsets"])
def test_a_set_survives_a_kill(server: Server, to: Path, before: str) -> None:
    process = start(to, *SET, str(to), before=before)
    assert process.wait(60) == -signal.SIGKILL, process.communicate()
    assert not (to / "imagenet-synsets").exists()
    assert main([*SET, str(to)]) == 0
    assert contents(to / "imagenet-synsets" / WNID) == synset(WNID)
    assert not (to / "imagenet-synsets.part").exists()


@posix
def test_ctrl_c_in_the_middle_of_a_file(server: Server, to: Path) -> None:
    server.put(PATH, Answer(BODY[:3000], length=len(BODY), stalls=True), BODY)
    process = start(to, *SET, str(to))
    assert server.stalled.wait(60)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130 and "Traceback" not in error
    assert not (to / "imagenet-synsets").exists()
    assert main([*SET, str(to)]) == 0


@posix
@pytest.mark.parametrize("killed", [False, True])
def test_two_at_once_fetch_once(server: Server, to: Path, killed: bool) -> None:
    server.put(PATH, Answer(BODY[:3000], length=len(BODY), stalls=True), BODY)
    first = start(to, *SET, str(to))
    assert server.stalled.wait(60)
    second = start(to, *SET, str(to))
    assert second.stderr and "waiting" in second.stderr.readline()
    assert server.count(PATH) == 1
    if killed:
        first.kill()
    server.released.set()
    assert [first.wait(60) == 0, second.wait(60)] == [not killed, 0]
    # The first tries again what broke off; the second finds the set, or fetches it itself.
    assert server.count(PATH) == 2
    assert contents(to / "imagenet-synsets" / WNID) == synset(WNID)


def test_progress_is_shown_and_can_be_silenced(
    server: Server, to: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*SET, str(to)]) == 0
    assert capsys.readouterr().err == ""
    server.put(WEIGHTS, random.Random(0).randbytes(10))
    assert main(["siggraph17", "--to", str(to)]) == 1
    assert "10.0" in capsys.readouterr().err
