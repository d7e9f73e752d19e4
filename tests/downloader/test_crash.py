"""Killed at any moment, interrupted, or started twice: the next call ends with the same bytes."""

from __future__ import annotations

import json
import random
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from subprocess import Popen

import pytest
from helpers.downloader_replica import (
    IMPATIENT,
    Server,
    contents,
    cut,
    expected,
    jpeg,
    put_synset,
    replica,
    serving,
    start,
    synset_files,
    tar_of,
)

from DOWNLOADER.download import download
from DOWNLOADER.sources import SOURCES, Source

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the signals are those of POSIX")

CLASSES = ("n02691156", "n02739889", "n02918964")
FILES = {wnid: synset_files(wnid, 12, 48) for wnid in CLASSES}
BROKEN = {f"{wnid}_999.JPEG": jpeg(wnid)[:-300] for wnid in CLASSES}
TREE = {name: body for wnid in CLASSES for name, body in expected(FILES[wnid], f"{wnid}/").items()}
ASIDE = {f"{wnid}/{wnid}_999.JPEG": BROKEN[f"{wnid}_999.JPEG"] for wnid in CLASSES}
REQUEST = ("imagenet-synsets", "--classes", *CLASSES, "--quiet")

# Counts what a run does to the disk, and kills it before a given one of those deeds.
KILL_AT_DEED = """
import atexit, os, signal, sys
root, deeds = sys.argv[-1], 0
def watch(event, arguments):
    global deeds
    if event == "open":
        if not (arguments[2] & (os.O_WRONLY | os.O_RDWR) and str(arguments[0]).startswith(root)):
            return
    elif event in ("os.remove", "os.rmdir"):
        # Inside a folder that is being removed, the path is relative to an open folder.
        if not str(arguments[0]).startswith(root) and arguments[1] == -1:
            return
    elif event not in ("os.rename", "os.mkdir") or not str(arguments[0]).startswith(root):
        return
    deeds += 1
    if deeds == {deed}:
        os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(watch)
atexit.register(lambda: print("deeds:", deeds))
"""


# A shell lets the processes that it starts in the background ignore Ctrl-C, and so their children.
HEED_CTRL_C = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as server:
        yield server


@pytest.fixture
def table(server) -> dict[str, Source]:
    table = {"imagenet-synsets": replica(server)["imagenet-synsets"]}
    for wnid in CLASSES:
        last = {f"{wnid}_999.JPEG": BROKEN[f"{wnid}_999.JPEG"]}
        put_synset(server, wnid, tar_of({**FILES[wnid], **last}))
    return table


def throttle(server: Server, pause: float) -> None:
    for route in server.routes.values():
        route.pause = pause


def require_whole(to: Path) -> None:
    final = to / "imagenet-synsets"
    assert contents(final) == TREE
    assert contents(to / "imagenet-synsets.bad") == ASIDE
    listed = (to / "imagenet-synsets.bad.txt").read_text().splitlines()
    assert [line.split("\t")[0] for line in listed] == sorted(ASIDE)
    record = json.loads((final / ".download.json").read_text())
    assert (record["images"], record["bad_images"]) == (len(TREE), len(ASIDE))
    names = {"imagenet-synsets", "imagenet-synsets.bad", "imagenet-synsets.bad.txt"}
    assert {path.name for path in to.iterdir() if path.suffix != ".lock"} == names


def complete(to: Path, table: dict[str, Source]) -> None:
    """Whatever is there, nothing half is under the name; and the next call completes it."""
    final = to / "imagenet-synsets"
    if final.exists():
        assert contents(final) == TREE
    download(REQUEST[0], to=to, classes=CLASSES, progress=False, limits=IMPATIENT, sources=table)
    require_whole(to)


def begun(to: Path) -> float:
    """Wait for a process to have imported all it needs; the moment at which it set to work."""
    deadline = time.monotonic() + 30
    while not (to / "imagenet-synsets.part").exists():
        assert time.monotonic() < deadline
        time.sleep(0.002)
    return time.monotonic()


def wait_for_bytes(server: Server, process: Popen[str], count: float) -> None:
    while sum(server.sent.values()) < count and process.poll() is None:
        time.sleep(0.001)


def test_killed_at_20_random_moments(server, table, tmp_path):
    total = sum(len(server.routes[path].body) for path in server.routes if path[-13:-4] in CLASSES)
    moments = random.Random(20)
    killed = 0
    for i in range(20):
        to = tmp_path / str(i)
        throttle(server, 0.003)
        server.sent.clear()
        process = start(table, to, *REQUEST)
        # Measured in bytes, for the machine's speed changes; beyond the last byte, in time.
        moment = moments.uniform(0, 1.25)
        wait_for_bytes(server, process, moment * total if moment < 1 else total)
        time.sleep(max(0.0, moment - 1))
        process.kill()
        killed += process.wait(30) == -signal.SIGKILL
        throttle(server, 0)
        complete(to, table)
    # The others were done by then.
    assert killed >= 10


def test_killed_before_any_deed_on_the_disk(server, table, tmp_path):
    first = start(table, tmp_path / "first", *REQUEST, before=KILL_AT_DEED.format(deed=0))
    out, err = first.communicate(timeout=30)
    assert first.returncode == 0, err
    deeds = int(out.rsplit("deeds:", 1)[1])
    assert deeds > 100
    choice = random.Random(4)
    # The last deeds are the ones that put the set in its place.
    late = range(deeds - 12, deeds + 1, 4)
    for deed in [*sorted(choice.sample(range(1, deeds - 12), 6)), *late]:
        to = tmp_path / str(deed)
        process = start(table, to, *REQUEST, before=KILL_AT_DEED.format(deed=deed))
        assert process.wait(30) == -signal.SIGKILL
        complete(to, table)


def test_what_was_fetched_before_the_kill_is_not_fetched_again(server, table, tmp_path):
    throttle(server, 0.01)
    process = start(table, tmp_path / "to", *REQUEST)
    path = next(path for path in server.routes if path.endswith(f"{CLASSES[1]}.tar"))
    while server.sent.get(path, 0) < len(server.routes[path].body) // 2:
        assert process.poll() is None
        time.sleep(0.01)
    process.kill()
    process.wait(30)
    throttle(server, 0)
    before = sum(server.sent.values())
    complete(tmp_path / "to", table)
    assert [asked["Range"] for asked in server.asked(path)[1:]]
    left = sum(len(server.routes[path].body) for path in server.sent) - before
    # What was on its way when the process died was sent, but did not arrive.
    assert sum(server.sent.values()) - before <= left + 200_000
    assert len(server.asked(path.replace(CLASSES[1], CLASSES[0]))) == 1


def test_ctrl_c_says_so_and_leaves_nothing_under_the_name(server, table, tmp_path):
    throttle(server, 0.01)
    to = tmp_path / "to"
    process = start(table, to, *REQUEST, before=HEED_CTRL_C)
    wait_for_bytes(server, process, 20_000)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert err.strip() == "stopped; the same command goes on from here"
    assert not (to / "imagenet-synsets").exists()
    assert (to / "imagenet-synsets.part").is_dir()
    throttle(server, 0)
    complete(to, table)


def two_at_once(server: Server, table: dict[str, Source], to: Path) -> list[Popen[str]]:
    """One process in the middle of its work, and one that waits for it."""
    throttle(server, 0.2)
    first = start(table, to, *REQUEST)
    begun(to)
    second = start(table, to, *REQUEST)
    assert "waiting for it" in second.stderr.readline()
    assert first.poll() is None
    return [first, second]


def test_two_processes_at_once_fetch_once(server, table, tmp_path):
    processes = two_at_once(server, table, tmp_path / "to")
    throttle(server, 0)
    outputs = [process.communicate(timeout=60) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], outputs
    assert len(server.log) == len(CLASSES)
    require_whole(tmp_path / "to")


def test_the_second_takes_over_from_a_killed_first(server, table, tmp_path):
    first, second = two_at_once(server, table, tmp_path / "to")
    first.kill()
    first.wait(30)
    throttle(server, 0)
    _, err = second.communicate(timeout=60)
    assert second.returncode == 0, err
    require_whole(tmp_path / "to")


def test_loose_files_survive_a_kill_too(server, tmp_path):
    table = replica(server)
    path = next(path for path in server.routes if path.endswith("siggraph17-df00044c.pth"))
    route = server.routes[path]
    route.faults.extend([cut(1000)] * 2)
    route.pause = 0.2
    to = tmp_path / "to"
    process = start(table, to, "siggraph17", "--quiet")
    wait_for_bytes(server, process, 1)
    process.kill()
    process.wait(30)
    (file,) = SOURCES["siggraph17"].files
    assert not (to / file.saved).exists()
    final = download("siggraph17", to=to, progress=False, limits=IMPATIENT, sources=table)
    assert final.read_bytes() == route.body
