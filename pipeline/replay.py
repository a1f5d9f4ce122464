"""A recorded day in place of the network: feeds and a directory in, the same FetchResults out.

``<feed_id with ':' replaced by '-'>.xml`` is a feed's body. A file of that name with ``.status`` instead holds the HTTP
status to answer with (503, say, or 304); without one it is 200. Nothing outside the directory is ever read.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path

from .errors import PipelineError
from .records import Feed, FetchResult


def replay_feeds(feeds: Sequence[Feed], directory: Path, clock: Callable[[], datetime]) -> list[FetchResult]:
    """Return one result per feed, in the order of ``feeds``, read from ``directory`` instead of the network.

    Raises:
        PipelineError: ``directory`` does not exist, holds none of the feeds, or a status file holds no status.
    """
    if not directory.is_dir():
        raise PipelineError(f"{directory}: no such directory, expected a recording of feeds")
    if feeds and not any(_find(feed, directory, suffix) for feed in feeds for suffix in (".xml", ".status")):
        example = _file_name(feeds[0], ".xml")
        raise PipelineError(f"{directory}: holds none of the {len(feeds)} feeds, expected files such as {example}")
    return [_replay_feed(feed, directory, clock()) for feed in feeds]


def _replay_feed(feed: Feed, directory: Path, fetched_at: datetime) -> FetchResult:
    status = _read_status(_find(feed, directory, ".status"))
    path = _find(feed, directory, ".xml")
    if status == 304:
        return FetchResult(feed, fetched_at, "not_modified", http_status=status)
    if status != 200:
        return FetchResult(feed, fetched_at, "failed", http_status=status, fault=f"HTTP {status}")
    if path is None:
        return FetchResult(feed, fetched_at, "failed", fault=f"not in the recording {directory}")
    return FetchResult(feed, fetched_at, "ok", path.read_bytes(), "application/xml", status)


def _file_name(feed: Feed, suffix: str) -> str:
    return feed.feed_id.replace(":", "-") + suffix


def _find(feed: Feed, directory: Path, suffix: str) -> Path | None:
    """Return the feed's file, or None when there is none inside ``directory`` once links are followed."""
    path = (directory / _file_name(feed, suffix)).resolve()
    return path if path.is_file() and path.is_relative_to(directory.resolve()) else None


def _read_status(path: Path | None) -> int:
    if path is None:
        return 200
    text = path.read_text(encoding="utf-8", errors="replace").strip()
    if not (len(text) == 3 and text.isascii() and text.isdigit()):
        raise PipelineError(f"{path}: found {text[:20]!r}, expected an HTTP status such as 503")
    return int(text)
