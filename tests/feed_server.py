"""A real HTTP server on 127.0.0.1 that answers as told: the network of the tests.

    with FeedServer() as server:
        server.add("/feed.xml", Answer(503, retry_after="1"), Answer(body=b"<rss .../>", etag='"v1"'))
        fetch(server.url("/feed.xml"))
        assert [request.path for request in server.requests] == ["/feed.xml", "/feed.xml"]

A path plays its answers in order and repeats the last; an unknown path is 404. Leaving the block frees every request
that still hangs.
"""

from __future__ import annotations

import gzip
import threading
from collections import defaultdict, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from urllib.parse import urlsplit

DRIP_INTERVAL_S = 0.005


@dataclass(frozen=True)
class Answer:
    """One answer, or one way not to answer.

    ``etag`` and ``last_modified`` are sent, and a request that already knows one of them gets 304. ``gzipped`` folds
    the body up that many times. ``announced`` is the Content-Length sent, if not the true one (-1: none). ``gate``
    holds the answer back until it is set. ``hang`` never answers; ``drop`` closes the connection at once; ``drip``
    sends the bytes of "head" or "body" one at a time; ``chunked`` sends pieces of that many bytes.
    """

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str = "application/rss+xml"
    etag: str = ""
    last_modified: str = ""
    location: str = ""
    retry_after: str = ""
    gzipped: int = 0
    announced: int | None = None
    chunked: int = 0
    drip: str = ""
    gate: threading.Event | None = None
    hang: bool = False
    drop: bool = False


@dataclass(frozen=True)
class Request:
    """What a client asked for; header names in lower case."""

    path: str
    headers: Mapping[str, str]


class FeedServer:
    """Serves the answers added to it from a thread of its own while its ``with`` block runs."""

    def __init__(self, address: str = "127.0.0.1") -> None:
        self.requests: list[Request] = []
        self.most_at_once = 0
        self._at_once = 0
        self._answers: defaultdict[str, deque[Answer]] = defaultdict(deque)
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._http = _Server((address, 0), _Handler)
        self._http.feed_server = self

    def add(self, path: str, *answers: Answer) -> str:
        """Answer ``path`` with ``answers``, one a request; return its URL. The path may carry a query."""
        with self._lock:
            self._answers[path] = deque(answers)
        return self.url(path)

    def url(self, path: str) -> str:
        """Return the absolute address of ``path`` on this server."""
        host, port = self._http.server_address[:2]
        return f"http://{host!s}:{port}{path}"

    def paths(self) -> list[str]:
        """Return the paths asked for so far, in order."""
        return [request.path for request in self.requests]

    def __enter__(self) -> FeedServer:
        # Polled often: leaving a test waits for one interval.
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._closing.set()
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    def take(self, request: Request) -> Answer:
        """Record ``request`` and return the answer that is due."""
        with self._lock:
            self.requests.append(request)
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
            answers = self._answers.get(request.path) or self._answers.get(urlsplit(request.path).path)
            if not answers:
                return Answer(404)
            return answers.popleft() if len(answers) > 1 else answers[0]

    def finish(self) -> None:
        """Note that a request has been answered."""
        with self._lock:
            self._at_once -= 1

    def wait(self, gate: threading.Event | None) -> None:
        """Wait for ``gate``, or for the end of the server."""
        while not self._closing.is_set() and not (gate and gate.wait(DRIP_INTERVAL_S)):
            if gate is None:
                self._closing.wait()

    def pause(self) -> bool:
        """Wait between two dripped bytes; tell whether to go on."""
        return not self._closing.wait(DRIP_INTERVAL_S)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128
    feed_server: FeedServer

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: clients under test hang up on purpose."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_GET(self) -> None:  # noqa: N802
        feed_server = self.server.feed_server
        answer = feed_server.take(Request(self.path, {name.lower(): value for name, value in self.headers.items()}))
        try:
            if answer.gate or answer.hang:
                feed_server.wait(answer.gate)
            if answer.drop or answer.hang:
                self.close_connection = True
                return
            self._send(answer)
        finally:
            feed_server.finish()

    def _send(self, answer: Answer) -> None:
        is_known = answer.etag and self.headers.get("If-None-Match") == answer.etag
        is_known = is_known or (answer.last_modified and self.headers.get("If-Modified-Since") == answer.last_modified)
        body = b"" if is_known else answer.body
        for _ in range(answer.gzipped if body else 0):
            body = gzip.compress(body)
        length = len(body) if answer.announced is None else answer.announced
        self.send_response(304 if is_known else answer.status)
        for name, value in self._list_headers(answer, length).items():
            self.send_header(name, value)
        if answer.drip == "head":
            self._drip(b"X-Padding: " + b"x" * 10_000)
        self.end_headers()
        if answer.drip == "body":
            self._drip(body)
        elif answer.chunked:
            pieces = [body[start : start + answer.chunked] for start in range(0, len(body), answer.chunked)]
            self.wfile.write(b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in [*pieces, b""]))
        else:
            self.wfile.write(body)
        if answer.announced is not None:
            self.close_connection = True

    def _list_headers(self, answer: Answer, length: int) -> dict[str, str]:
        headers = {
            "Content-Type": answer.content_type,
            "ETag": answer.etag,
            "Last-Modified": answer.last_modified,
            "Location": answer.location,
            "Retry-After": answer.retry_after,
            "Content-Encoding": ", ".join(["gzip"] * answer.gzipped),
            "Content-Length": "" if answer.chunked or length < 0 else str(length),
            "Transfer-Encoding": "chunked" if answer.chunked else "",
            **answer.headers,
        }
        return {name: value for name, value in headers.items() if value}

    def _drip(self, data: bytes) -> None:
        self.flush_headers()
        for byte in data:
            if not self.server.feed_server.pause():
                return
            self.wfile.write(bytes([byte]))

    def log_message(self, format: str, *args: object) -> None:
        """Keep the test's output clean."""
