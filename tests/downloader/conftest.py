"""The real catalog, with each address below a server on loopback that holds small archives."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from helpers.archives import synset, tar_of, zip_of
from helpers.webserver import Server, serving

from DOWNLOADER import fetch
from DOWNLOADER.catalog import CATALOG, CatalogEntry, File
from DOWNLOADER.download import download

BODIES = {
    "stanford-dogs-images.tar": tar_of({"./Images/n02085620-Chihuahua/n02085620_7.jpg": b"dog"}),
    "stanford-dogs-lists.tar": tar_of({"train_list.mat": b"MATLAB", "test_list.mat": b"MATLAB"}),
    "imagewoof2-160.tgz": gzip.compress(tar_of({"imagewoof2-160/val/n02086240/1.JPEG": b"dog"})),
    "tiny-imagenet-200.zip": zip_of({"tiny-imagenet-200/train/n01443537/images/0.JPEG": b"fish"}),
    "val_256.tar": tar_of({"val_256/Places365_val_00000001.jpg": b"lobby"}),
    "train2017.zip": zip_of({"train2017/000000000009.jpg": b"salad"}),
    "val2017.zip": zip_of({"val2017/000000000139.jpg": b"room"}),
}


def _moved(file: File, server: Server) -> File:
    if file.drive:
        return replace(file, size=100_000)
    body = BODIES.get(file.name, f"the bytes of {file.name}".encode())
    sha256 = hashlib.sha256(body).hexdigest() if file.sha256 else ""
    md5 = hashlib.md5(body).hexdigest() if file.md5 else ""
    url = server.put(file.url.partition(":/")[2], body)
    return replace(file, url=url, sha256=sha256, md5=md5, size=10_000)


def _below(entry: CatalogEntry, server: Server) -> CatalogEntry:
    files = tuple(_moved(file, server) for file in entry.files)
    each = entry.each_class and _moved(entry.each_class, server)
    entry = replace(entry, files=files, each_class=each)
    for file in entry.select() if entry.classes else ():
        server.put(file.url.removeprefix(server.base), tar_of(synset(file.into)))
    return entry


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(fetch, "_WAITS", (0, 0))
    with serving() as server:
        for name, entry in CATALOG.items():
            monkeypatch.setitem(CATALOG, name, _below(entry, server))
        yield server


@pytest.fixture
def to(tmp_path: Path) -> Path:
    return tmp_path / "to"


@pytest.fixture
def bring(server: Server, to: Path) -> Callable[..., Path]:
    return lambda name, **options: download(name, progress=False, **{"to": to, **options})
