"""Every misbehavior of a server ends in the whole file, or in an error and no file at all."""

from __future__ import annotations

import dataclasses
import hashlib
import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.downloader_replica import (
    IMPATIENT,
    NERVOUS,
    VEHICLES_TREE,
    Route,
    Server,
    answer,
    contents,
    cut,
    put_synset,
    replica,
    serving,
    stall,
    synset_files,
    tar_of,
)

from colorize.errors import DownloadError
from DOWNLOADER.build import check
from DOWNLOADER.download import download, main
from DOWNLOADER.fetch import fetch
from DOWNLOADER.sources import SOURCES, VEHICLES, File

BODY = random.Random(4).randbytes(300_000)
WNID = VEHICLES[3]


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as server:
        yield server


def file_at(server: Server, path: str = "/file.bin", **options: object) -> tuple[File, Route]:
    route = server.put(path, BODY, **options)
    return File("file.bin", url=server.base + path), route


def interrupt(file: File, route: Route, folder: Path) -> int:
    """A run that gets 200,000 bytes and gives up; how many of them were kept."""
    route.faults.extend([cut(200_000), cut(0)])
    with pytest.raises(DownloadError, match="broke off"):
        bring(file, folder, retries=0)
    return (folder / "file.bin.part").stat().st_size


def bring(file: File, folder: Path, **limits: float) -> bytes:
    target = folder / file.name
    patience = dataclasses.replace(IMPATIENT, **limits)
    digest = fetch(file, target, lambda path: check(path, file), patience, progress=False)
    assert digest == hashlib.sha256(target.read_bytes()).hexdigest()
    assert [entry.name for entry in folder.iterdir()] == [file.name]
    return target.read_bytes()


HEALED = {
    "well-behaved": lambda route: None,
    "cut at random bytes": lambda route: route.faults.extend(
        cut(random.Random(seed).randrange(len(BODY) // 4)) for seed in range(6)
    ),
    "cut before the first byte": lambda route: route.faults.extend([cut(0)] * 3),
    "stalls": lambda route: route.faults.append(stall(100_000)),
    "503 then success": lambda route: route.faults.extend([answer(503), answer(503)]),
    "500 and 502 and 504": lambda route: route.faults.extend(map(answer, (500, 502, 504))),
    "429 with Retry-After": lambda route: route.faults.append(answer(429, Retry_After="1")),
    "ignores Range after a cut": lambda route: (
        setattr(route, "ranges", False),
        route.faults.append(cut(90_000)),
    ),
    "no ETag, cut": lambda route: (setattr(route, "etag", None), route.faults.append(cut(90_000))),
    "weak ETag, cut": lambda route: (
        setattr(route, "etag", 'W/"1"'),
        route.faults.append(cut(90_000)),
    ),
    "length too long at first": lambda route: (
        setattr(route, "length", len(BODY) + 5),
        route.faults.append(
            lambda handler, route: (handler.serve(route), setattr(route, "length", None))
        ),
    ),
    "416 for the rest": lambda route: route.faults.extend([cut(90_000), answer(416)]),
    "another range than asked": lambda route: route.faults.extend(
        [cut(90_000), answer(206, b"x" * 10, Content_Range=f"bytes 5-14/{len(BODY)}")]
    ),
    "a range of another length": lambda route: route.faults.extend(
        [cut(65_536), answer(206, b"x" * 10, Content_Range="bytes 65536-65545/65546")]
    ),
    "a piece of the range": lambda route: route.faults.extend(
        [
            cut(65_536),
            answer(206, BODY[65_536:70_000], Content_Range=f"bytes 65536-69999/{len(BODY)}"),
        ]
    ),
}


@pytest.mark.parametrize("fault", HEALED)
def test_the_whole_file_comes_in_the_end(server, tmp_path, fault):
    file, route = file_at(server)
    HEALED[fault](route)
    began = time.monotonic()
    assert bring(file, tmp_path, read=0.5 if fault == "stalls" else 10) == BODY
    assert not route.faults
    # A server that stalls here does so for 30 s.
    assert time.monotonic() - began < 20


REFUSED = {
    "404": (lambda route: route.faults.append(answer(404)), "HTTP 404"),
    "403": (lambda route: route.faults.append(answer(403)), "HTTP 403.*login"),
    "429 for good": (lambda route: route.faults.extend([answer(429)] * 9), "HTTP 429"),
    "503 for good": (lambda route: route.faults.extend([answer(503)] * 9), "HTTP 503"),
    "come back in an hour": (
        lambda route: route.faults.append(answer(429, Retry_After="60")),
        "come back in 60 s",
    ),
    "a page with status 200": (
        lambda route: route.faults.append(
            answer(200, b"<!DOCTYPE html><title>Sign in</title>", Content_Type="text/html")
        ),
        "web page instead of file.bin",
    ),
    "a page that says it is a file": (
        lambda route: route.faults.append(
            answer(200, b"\n<html><body>quota</body></html>", Content_Type="application/x-tar")
        ),
        "web page instead of file.bin",
    ),
    "an encoding nobody asked for": (
        lambda route: route.faults.append(answer(200, b"\x1f\x8b", Content_Encoding="gzip")),
        "encoded as 'gzip'",
    ),
    "nothing at all": (lambda route: route.faults.append(answer(204)), "HTTP 204"),
    "keeps breaking off": (
        lambda route: route.faults.extend([cut(50_000)] + [cut(0)] * 9),
        "broke off 4 times without a new byte.*bytes are kept",
    ),
    "promises more than there is": (
        lambda route: setattr(route, "length", len(BODY) + 5),
        "broke off 4 times",
    ),
    "more than the disk holds": (
        lambda route: setattr(route, "length", 10**18),
        "not enough free disk: 1,000,000,000,000 MB are needed",
    ),
}


@pytest.mark.parametrize(("misbehave", "message"), REFUSED.values(), ids=REFUSED)
def test_a_clear_error_and_no_file(server, tmp_path, misbehave, message):
    file, route = file_at(server)
    misbehave(route)
    began = time.monotonic()
    with pytest.raises(DownloadError, match=message):
        bring(file, tmp_path)
    assert not (tmp_path / file.name).exists()
    assert time.monotonic() - began < 20
    # And once the server is well again, the same call completes.
    route.faults.clear()
    route.length = None
    assert bring(file, tmp_path) == BODY


def test_a_server_that_is_not_there(tmp_path):
    with serving() as gone:
        url = gone.base + "/file.bin"
    with pytest.raises(DownloadError, match="cannot be reached"):
        bring(File("file.bin", url=url), tmp_path, retries=1)
    assert list(tmp_path.iterdir()) == []


def test_too_short_a_length_is_caught_by_the_digest(server, tmp_path):
    file, _ = file_at(server, length=1000)
    file = dataclasses.replace(file, sha256=hashlib.sha256(BODY).hexdigest())
    with pytest.raises(DownloadError, match=r"expected SHA-256 \w+, came \w+ \(1,000 bytes\)"):
        bring(file, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_digest_known_by_its_first_digits(server, tmp_path):
    file, _ = file_at(server)
    digest = hashlib.sha256(BODY).hexdigest()
    assert bring(dataclasses.replace(file, sha256=digest[:8]), tmp_path) == BODY
    (tmp_path / file.name).unlink()
    wrong = ("1" if digest[0] == "0" else "0") + digest[1:8]
    with pytest.raises(DownloadError, match=f"expected SHA-256 {wrong}"):
        bring(dataclasses.replace(file, sha256=wrong), tmp_path)


def test_redirects_are_followed_to_a_file_and_to_a_login(server, tmp_path):
    file, route = file_at(server)
    server.put("/real", BODY, etag='"other"')
    server.put("/login", b"<html>who are you?</html>", content_type="text/html; charset=utf-8")
    route.faults.append(answer(302, Location="/real"))
    assert bring(file, tmp_path) == BODY
    (tmp_path / file.name).unlink()
    route.faults.append(answer(302, Location="/login"))
    with pytest.raises(DownloadError, match=r"from http.*/login"):
        bring(file, tmp_path)


def test_an_interrupted_file_goes_on_where_it_stopped(server, tmp_path):
    file, route = file_at(server)
    kept = interrupt(file, route, tmp_path)
    server.log.clear()
    assert 100_000 < kept <= 200_000
    assert bring(file, tmp_path) == BODY
    (asked,) = server.asked("/file.bin")
    assert (asked["Range"], asked["If-Range"]) == (f"bytes={kept}-", '"1"')
    assert server.sent["/file.bin"] == 200_000 + len(BODY) - kept


def test_a_file_that_changed_in_between_is_not_spliced(server, tmp_path):
    other = random.Random(5).randbytes(len(BODY))
    for heeds_if_range in (True, False):
        file, route = file_at(server)
        interrupt(file, route, tmp_path)
        if heeds_if_range:
            route.body, route.etag = other, '"2"'
            assert bring(file, tmp_path) == other
        else:
            # Only the length betrays it: the tag stayed the same.
            route.body = other + b"longer"
            assert bring(file, tmp_path) == other + b"longer"
        (tmp_path / file.name).unlink()


def test_another_address_is_another_file(server, tmp_path):
    file, route = file_at(server)
    interrupt(file, route, tmp_path)
    server.put("/mirror.bin", BODY[::-1])
    assert bring(dataclasses.replace(file, url=server.base + "/mirror.bin"), tmp_path) == BODY[::-1]


def test_a_weak_tag_does_not_prove_that_bytes_are_equal(server, tmp_path):
    date = "Sat, 21 Nov 2026 10:00:00 GMT"
    for headers, asked in (({}, []), ({"Last-Modified": date}, [date])):
        file, route = file_at(server, etag='W/"1"', headers=headers)
        route.faults.append(cut(200_000))
        server.log.clear()
        assert bring(file, tmp_path) == BODY
        assert [sent["If-Range"] for sent in server.asked("/file.bin") if "Range" in sent] == asked
        (tmp_path / file.name).unlink()


def test_without_validator_only_a_known_digest_allows_to_go_on(server, tmp_path):
    digest = hashlib.sha256(BODY).hexdigest()
    for sha256, ranges in (("", 0), (digest, 1)):
        file, route = file_at(server, etag=None)
        file = dataclasses.replace(file, sha256=sha256)
        route.faults.append(cut(200_000))
        server.log.clear()
        assert bring(file, tmp_path) == BODY
        assert sum("Range" in headers for headers in server.asked("/file.bin")) == ranges
        (tmp_path / file.name).unlink()


def test_a_whole_part_left_by_a_killed_run_is_not_asked_for_again(server, tmp_path):
    file, route = file_at(server)
    interrupt(file, route, tmp_path)
    (tmp_path / "file.bin.part").write_bytes(BODY)
    server.log.clear()
    assert bring(file, tmp_path) == BODY
    assert server.log == []


def test_a_damaged_note_only_costs_a_new_start(server, tmp_path):
    file, _ = file_at(server)
    for note in (b"\xff\xfe", b"[1]", b"{", b'{"url": 3, "total": "x"}'):
        (tmp_path / "file.bin.part").write_bytes(b"left over")
        (tmp_path / "file.bin.part.json").write_bytes(note)
        assert bring(file, tmp_path) == BODY
        (tmp_path / file.name).unlink()


def test_retry_after_is_waited_for(server, tmp_path):
    file, route = file_at(server)
    route.faults.append(answer(429, Retry_After="1"))
    began = time.monotonic()
    bring(file, tmp_path)
    assert time.monotonic() - began >= 1


def test_requests_are_polite(server, tmp_path):
    table = replica(server)
    download("vehicles", to=tmp_path, progress=False, limits=IMPATIENT, sources=table)
    assert server.most_active == 1
    assert len(server.log) == len(VEHICLES)
    assert all("colorize" in headers["User-Agent"] for _, headers in server.log)


SET_FAULTS = {
    "cut": lambda route: route.faults.extend([cut(3_000), cut(4_000)]),
    "stall": lambda route: route.faults.append(stall(3_000)),
    "ranges ignored": lambda route: (
        setattr(route, "ranges", False),
        route.faults.append(cut(8_000)),
    ),
    "503": lambda route: route.faults.append(answer(503)),
    "429": lambda route: route.faults.append(answer(429, Retry_After="1")),
    "404": lambda route: route.faults.append(answer(404)),
    "page": lambda route: route.faults.append(answer(200, b"<html>", Content_Type="text/html")),
    "too short a length": lambda route: setattr(route, "length", 9_000),
    "too long a length": lambda route: setattr(route, "length", 10**6),
    "a tar without its end": lambda route: setattr(route, "body", route.body[:5_000]),
    "no tar": lambda route: setattr(route, "body", BODY),
}


@pytest.mark.parametrize("fault", SET_FAULTS)
def test_a_set_is_whole_or_not_there(server, tmp_path, capsys, fault):
    table = replica(server)
    body = tar_of(synset_files(WNID))
    SET_FAULTS[fault](put_synset(server, WNID, body))
    argv = ["vehicles", "--to", str(tmp_path), "--quiet"]
    status = main(argv, sources=table, limits=NERVOUS if fault == "stall" else IMPATIENT)
    shown = capsys.readouterr()
    if fault in {"cut", "stall", "ranges ignored", "503", "429"}:
        assert status == 0
    else:
        assert status == 1
        assert not (tmp_path / "vehicles").exists()
        assert "vehicles: not complete" in shown.err
        assert "By hand: fetch http" in shown.err
        put_synset(server, WNID, body)
        assert main(argv, sources=table, limits=IMPATIENT) == 0
    assert contents(tmp_path / "vehicles") == VEHICLES_TREE
    assert not (tmp_path / "vehicles.part").exists()


def test_the_real_table_is_consistent():
    weights = {"eccv16": "9b330a0b", "siggraph17": "df00044c"}
    for name, prefix in weights.items():
        (file,) = SOURCES[name].files
        assert file.sha256.startswith(prefix)
        assert file.saved.endswith(f"-{prefix}.pth")
        assert file.url.endswith("/" + file.saved)
    for source in SOURCES.values():
        for file in source.files or (source.each_class,):
            # An address that is not encrypted needs a digest.
            assert file.address.startswith("https://") or len(file.sha256) == 64
            assert bool(file.url) != bool(file.drive)
            assert bool(file.archive) != bool(file.saved)
