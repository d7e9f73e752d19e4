"""A web server on loopback that answers each path as a test wants."""

from __future__ import annotations

import contextlib
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Answer:
    """One answer. ``length`` is what it promises, -1 for nothing; a body may also never end."""

    body: bytes = b""
    status: int = 200
    length: int | None = None
    endless: bool = False
    stalls: bool = False
    headers: dict[str, str] = field(default_factory=dict)


class Handler(BaseHTTPRequestHandler):
    server: Server

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        self.server.asked.append((self.path, dict(self.headers)))
        answers = self.server.answers.get(self.path, [Answer(status=404)])
        # The last one is given for good.
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        with contextlib.suppress(ConnectionError, ssl.SSLEOFError):
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            length = len(answer.body) if answer.length is None else answer.length
            if length >= 0:
                self.send_header("Content-Length", str(length))
            self.end_headers()
            self.wfile.write(answer.body)
            while answer.endless:
                self.wfile.write(answer.body)
            if answer.stalls:
                self.server.stalled.set()
                self.server.released.wait(30)


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, handler: type[Handler]) -> None:
        super().__init__(("127.0.0.1", 0), handler)
        self.answers: dict[str, list[Answer]] = {}
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.stalled, self.released = threading.Event(), threading.Event()

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def put(self, path: str, *answers: bytes | Answer) -> str:
        """Answer with these, one after the other; return the address."""
        self.answers[path] = [Answer(a) if isinstance(a, bytes) else a for a in answers]
        return self.base + path

    def count(self, path: str) -> int:
        """How often a path was asked for."""
        return [asked for asked, _ in self.asked].count(path)


@contextlib.contextmanager
def serving(handler: type[Handler] = Handler) -> Iterator[Server]:
    server = Server(handler)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield server
    finally:
        server.released.set()
        server.shutdown()
        server.server_close()
