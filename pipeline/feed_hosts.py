"""One host and the feeds that wait for it: how fast it is asked, and when it is left alone.

State shared by the threads that read one host; what a feed answered comes in, whether to ask the next one goes out.
"""

from __future__ import annotations

import re
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from threading import Lock

from .records import Feed, FetchResult
from .transport import RETRY_STATUSES

HOST_PATIENCE = 5
"""After so many failures in a row (unreachable, timed out, 429 or 5xx) a host's other feeds are not asked."""

_HOST = re.compile(r"^\w+://([^/?#]*).*", re.DOTALL)


def group_by_host(feeds: Sequence[Feed]) -> list[Host]:
    """Return the hosts of ``feeds`` in order of first appearance, each with its (index, feed) waiting in order."""
    hosts: dict[str, Host] = {}
    for index, feed in enumerate(feeds):
        name = _HOST.sub(r"\1", feed.url).lower()  # also of an address too broken to split
        hosts.setdefault(name, Host(name)).queue.append((index, feed))
    return list(hosts.values())


@dataclass
class Host:
    """The feeds of one host that wait to be read, shared by the host's lanes."""

    name: str
    queue: deque[tuple[int, Feed]] = field(default_factory=deque)
    failed_in_row: int = 0
    last_fault: str = ""
    next_at: float = 0.0
    lock: Lock = field(default_factory=Lock)

    def take(self, interval_s: float) -> Iterator[tuple[int, Feed]]:
        """Yield the waiting feeds, over all lanes no faster than one per ``interval_s`` seconds."""
        while True:
            with self.lock:
                if not self.queue:
                    return
                item = self.queue.popleft()
                start_at = max(time.monotonic(), self.next_at)
                self.next_at = start_at + (0 if self._is_given_up() else interval_s)
            time.sleep(max(0.0, start_at - time.monotonic()))
            yield item

    def refuse(self, feed: Feed, clock: Callable[[], datetime]) -> FetchResult | None:
        """Return a failed result without asking when the host has worn out our patience, else None."""
        if not self._is_given_up():
            return None
        fault = f"not asked: {self.name} failed {self.failed_in_row} times in a row, last: {self.last_fault}"
        return FetchResult(feed, clock(), "failed", fault=fault)

    def note(self, result: FetchResult) -> None:
        """Count failures in a row that are the host's rather than the feed's; after HOST_PATIENCE the count stays."""
        if self._is_given_up():
            return
        is_down = result.status == "failed" and (result.http_status is None or result.http_status in RETRY_STATUSES)
        self.failed_in_row = self.failed_in_row + 1 if is_down else 0
        self.last_fault = result.fault

    def _is_given_up(self) -> bool:
        return self.failed_in_row >= HOST_PATIENCE
