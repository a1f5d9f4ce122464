"""What test servers with stages have in common: a port of 127.0.0.1, a thread while a block runs, planned faults."""

from __future__ import annotations

import threading
from collections import defaultdict, deque
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

FaultT = TypeVar("FaultT")


class LoopbackServer(Generic[FaultT]):
    """Serves from a thread of its own while its ``with`` block runs; a handler finds it as ``self.server.owner``.

    ``requests`` are those so far, each with its ``stage``; ``lock`` guards everything that a handler changes.
    """

    def __init__(self, handler: type[LoopbackHandler]) -> None:
        self.requests: list[Any] = []
        self.lock = threading.RLock()
        self._faults: defaultdict[str, deque[FaultT]] = defaultdict(deque)
        self._http = _Http(("127.0.0.1", 0), handler)
        self._http.owner = self
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.01})
        self.url = f"http://127.0.0.1:{self._http.server_port}"

    def fail(self, stage: str, *faults: FaultT) -> None:
        """Let the next requests of ``stage`` go wrong, one a fault."""
        with self.lock:
            self._faults[stage].extend(faults)

    def next_fault(self, stage: str) -> FaultT | None:
        """Take the next fault of ``stage``, if any."""
        with self.lock:
            return self._faults[stage].popleft() if self._faults[stage] else None

    def stages(self) -> list[str]:
        """Return the stage of every request so far."""
        return [request.stage for request in self.requests]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()


class _Http(ThreadingHTTPServer):
    daemon_threads = True
    owner: Any


class LoopbackHandler(BaseHTTPRequestHandler):
    """Answers without waiting for more to send, and says nothing."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Http

    def log_message(self, *args: object) -> None:
        """Stay silent."""
