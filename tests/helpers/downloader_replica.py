"""A web server on loopback that holds replicas of every source, and misbehaves when told to.

Each replica has the structure of the real archive (names, folders, order, junk) around a few small
images, and stands at the real address below the server's own: ``/image-net.org/data/...``.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import os
import pickle
import random
import subprocess
import sys
import tarfile
import threading
import time
import zipfile
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from PIL import Image

CHECKOUT = Path(__file__).resolve().parents[2]
if str(CHECKOUT) not in sys.path:
    sys.path.insert(0, str(CHECKOUT))

from DOWNLOADER.polite import Limits  # noqa: E402
from DOWNLOADER.sources import SOURCES, VEHICLES, VEHICLES_FINAL, Source  # noqa: E402

# The machine that runs the tests may itself be slow: only tests of a stall read impatiently.
IMPATIENT = Limits(connect=10.0, read=10.0, retries=3, backoff=0.01, longest_wait=2.0)
NERVOUS = dataclasses.replace(IMPATIENT, read=0.5)


@dataclasses.dataclass
class Route:
    """What the server says at one path. ``faults`` are used up one a request, then it behaves."""

    body: bytes
    etag: str | None = '"1"'
    ranges: bool = True
    length: int | None = None
    content_type: str = "application/octet-stream"
    pause: float = 0.0
    headers: dict[str, str] = dataclasses.field(default_factory=dict)
    faults: deque[Callable[[Handler, Route], None]] = dataclasses.field(default_factory=deque)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def log_message(self, format: str, *args: object) -> None:
        pass

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except ConnectionResetError:
            # A client was killed, as some tests do.
            self.close_connection = True

    def do_GET(self) -> None:
        server = self.server
        with server.guard:
            server.active += 1
            server.most_active = max(server.most_active, server.active)
            server.log.append((self.path, dict(self.headers)))
        try:
            route = server.routes.get(self.path)
            if route is None:
                self.say(404, b"not here")
            elif route.faults:
                route.faults.popleft()(self, route)
            else:
                self.serve(route)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True
        finally:
            with server.guard:
                server.active -= 1

    def say(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def serve(self, route: Route, stop_after: int | None = None) -> None:
        """The file or its rest, honestly; ``stop_after`` bytes of the body the line goes dead."""
        begin = self.asked_from(route)
        body = route.body[begin:]
        if begin:
            self.send_response(206)
            total = len(route.body)
            self.send_header("Content-Range", f"bytes {begin}-{total - 1}/{total}")
        else:
            self.send_response(200)
        self.send_header("Content-Type", route.content_type)
        self.send_header("Content-Length", str(route.length or len(body)))
        if route.etag:
            self.send_header("ETag", route.etag)
        for name, value in route.headers.items():
            self.send_header(name, value)
        self.end_headers()
        sent = body if stop_after is None else body[:stop_after]
        for start in range(0, len(sent), 4096):
            self.wfile.write(sent[start : start + 4096])
            self.server.sent[self.path] = self.server.sent.get(self.path, 0) + len(
                sent[start : start + 4096]
            )
            if route.pause:
                time.sleep(route.pause)
        if stop_after is not None or route.length is not None:
            self.close_connection = True

    def asked_from(self, route: Route) -> int:
        asked = self.headers.get("Range", "")
        current = (None, route.etag, route.headers.get("Last-Modified"))
        same = self.headers.get("If-Range") in current
        if not (route.ranges and same and asked.startswith("bytes=")):
            return 0
        return int(asked.removeprefix("bytes=").rstrip("-"))


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, handler: type[Handler] = Handler) -> None:
        super().__init__(("127.0.0.1", 0), handler)
        self.routes: dict[str, Route] = {}
        self.log: list[tuple[str, dict[str, str]]] = []
        self.sent: dict[str, int] = {}
        self.guard = threading.Lock()
        self.active = self.most_active = 0
        self.released = threading.Event()

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def put(self, path: str, body: bytes, **options: object) -> Route:
        self.routes[path] = Route(body, **options)  # type: ignore[arg-type]
        return self.routes[path]

    def asked(self, path: str) -> list[dict[str, str]]:
        return [headers for asked, headers in self.log if asked == path]


@contextmanager
def serving(handler: type[Handler] = Handler) -> Iterator[Server]:
    server = Server(handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.released.set()
        server.shutdown()
        server.server_close()


def cut(after: int) -> Callable[[Handler, Route], None]:
    return lambda handler, route: handler.serve(route, stop_after=after)


def stall(after: int) -> Callable[[Handler, Route], None]:
    def fault(handler: Handler, route: Route) -> None:
        handler.serve(route, stop_after=after)
        handler.wfile.flush()
        handler.server.released.wait(30)

    return fault


def answer(status: int, body: bytes = b"", **headers: str) -> Callable[[Handler, Route], None]:
    return lambda handler, route: handler.say(status, body, **headers)


def jpeg(seed: object, size: int = 24) -> bytes:
    """A picture of noise: small in pixels, hard to compress, different for each seed."""
    noise = random.Random(str(seed)).randbytes(size * size * 3)
    stream = io.BytesIO()
    Image.frombytes("RGB", (size, size), noise).save(stream, "JPEG", quality=90)
    return stream.getvalue()


def tar_of(members: dict[str, bytes]) -> bytes:
    """A plain GNU tar; names that end in a slash become folders."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for name, body in members.items():
            info = tarfile.TarInfo(name.rstrip("/"))
            info.type = tarfile.DIRTYPE if name.endswith("/") else tarfile.REGTYPE
            info.size = len(body)
            tar.addfile(info, io.BytesIO(body))
    return stream.getvalue()


def zip_of(members: dict[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", compression) as zipped:
        for name, body in members.items():
            zipped.writestr(name, body)
    return stream.getvalue()


def synset_files(wnid: str, count: int = 6, size: int = 24) -> dict[str, bytes]:
    return {f"{wnid}_{10 * i + 7}.JPEG": jpeg((wnid, i), size) for i in range(count)}


def dogs_images() -> dict[str, bytes]:
    members = {"Images/": b""}
    for breed in ("n02085620-Chihuahua", "n02113799-standard_poodle"):
        members[f"Images/{breed}/"] = b""
        for i in range(3):
            name = f"{breed.split('-')[0]}_{100 + i}"
            members[f"Images/{breed}/{name}.jpg"] = jpeg(name)
    return members


def dogs_lists() -> dict[str, bytes]:
    return {f"{name}_list.mat": f"MATLAB {name}".encode() for name in ("file", "test", "train")}


def tiny_files() -> dict[str, bytes]:
    top = "tiny-imagenet-200/"
    wnids = ("n01443537", "n01629819")
    members = {
        top: b"",
        f"{top}words.txt": b"n01443537\tgoldfish\n",
        f"{top}wnids.txt": "\n".join(wnids).encode(),
        f"{top}val/val_annotations.txt": b"val_0.JPEG\tn01443537\t0\t32\t44\t62\n",
    }
    for wnid in wnids:
        members[f"{top}train/{wnid}/{wnid}_boxes.txt"] = f"{wnid}_0.JPEG\t0\t10\t63\t58\n".encode()
        for i in range(3):
            members[f"{top}train/{wnid}/images/{wnid}_{i}.JPEG"] = jpeg((wnid, i))
    for split in ("val", "test"):
        for i in range(2):
            members[f"{top}{split}/images/{split}_{i}.JPEG"] = jpeg((split, i))
    return members


def ncd_files() -> dict[str, bytes]:
    members = {"ColorfulOriginal/": b""}
    for kind in ("Apple", "Banana", "ChilliGreen"):
        for i in (1, 10, 2):
            members[f"ColorfulOriginal/{kind}/{kind}{i}.jpg"] = jpeg((kind, i))
    members["__MACOSX/ColorfulOriginal/Apple/._Apple1.jpg"] = b"\0\5\x16\7 not an image"
    members["ColorfulOriginal/.DS_Store"] = b"\0\0\0\1Bud1"
    return members


def expected(members: dict[str, bytes], into: str = "") -> dict[str, bytes]:
    """What an archive should leave on disk: its files without folders and junk."""
    return {
        into + name: body
        for name, body in members.items()
        if not name.endswith("/") and "._" not in name and ".DS_Store" not in name
    }


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a finished set but its record."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != ".download.json"
    }


def path_of(url: str) -> str:
    return "/" + url.split("://", 1)[1]


def replica(server: Server) -> dict[str, Source]:
    """The real table, with each address below ``server``, which serves a replica there.

    Digests are those of the replicas, for the sources whose digest is pinned.
    """
    bodies = {
        "stanford-dogs-images.tar": tar_of(dogs_images()),
        "stanford-dogs-lists.tar": tar_of(dogs_lists()),
        "tiny-imagenet-200.zip": zip_of(tiny_files()),
    }
    table = {}
    for source in SOURCES.values():
        files = []
        for file in source.files:
            if file.drive:
                files.append(file)
                continue
            body = bodies.get(file.name, f"the bytes of {file.name}\n".encode() * 50)
            server.put(path_of(file.url), body)
            digest = hashlib.sha256(body).hexdigest()
            url = server.base + path_of(file.url)
            files.append(dataclasses.replace(file, url=url, sha256=digest))
        each = source.each_class
        if each is not None:
            each = dataclasses.replace(each, url=server.base + path_of(each.url))
        table[source.name] = dataclasses.replace(source, files=tuple(files), each_class=each)
    for wnid in VEHICLES_FINAL:
        put_synset(server, wnid, tar_of(synset_files(wnid)))
    return table


def put_synset(server: Server, wnid: str, body: bytes, **options: object) -> Route:
    each = SOURCES["vehicles"].each_class
    assert each is not None
    return server.put(path_of(each.of_class(wnid).url), body, **options)


VEHICLES_TREE = {
    name: body
    for wnid in VEHICLES
    for name, body in expected(synset_files(wnid), f"{wnid}/").items()
}

_COMMAND = """
import pickle, sys
from DOWNLOADER.download import main
from helpers.downloader_replica import IMPATIENT
with open(sys.argv[1], "rb") as stream:
    table = pickle.load(stream)
sys.exit(main(sys.argv[2:], sources=table, limits=IMPATIENT))
"""


def start(
    table: dict[str, Source], to: Path, *arguments: str, before: str = ""
) -> subprocess.Popen[str]:
    """The command line in a process of its own, with another table of sources."""
    pickled = to.with_name(to.name + ".table")
    pickled.write_bytes(pickle.dumps(table))
    search = os.pathsep.join([str(CHECKOUT), str(Path(__file__).parents[1])])
    return subprocess.Popen(
        [sys.executable, "-c", before + _COMMAND, str(pickled), *arguments, "--to", str(to)],
        env={**os.environ, "PYTHONPATH": search},
        cwd=to.parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
