"""The record types that travel along the line. Frozen, without behaviour; every ``_at`` is timezone-aware UTC."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime


@dataclass(frozen=True, slots=True)
class Company:
    """One row of the universe. ``ticker`` in dot form (BRK.B); ``exchange`` such as NYSE or NASDAQ."""

    ticker: str
    name: str
    aliases: tuple[str, ...]
    exchange: str


@dataclass(frozen=True, slots=True)
class Feed:
    """One address to read. ``feed_id`` is ``name`` or ``name:TICKER``; ``ticker`` is None for a general feed."""

    feed_id: str
    source: str
    url: str
    ticker: str | None = None


@dataclass(frozen=True, slots=True)
class FeedState:
    """What is remembered of a feed between runs, for conditional GET and for telling silence from failure."""

    feed_id: str
    url: str
    etag: str = ""
    last_modified: str = ""
    last_attempt_at: datetime | None = None
    last_ok_at: datetime | None = None
    fault: str = ""


@dataclass(frozen=True, slots=True)
class FetchResult:
    """What one feed answered: ``status`` is ok, not_modified or failed; ``fault`` is one line, empty unless failed."""

    feed: Feed
    fetched_at: datetime
    status: str
    body: bytes = b""
    content_type: str = ""
    http_status: int | None = None
    etag: str = ""
    last_modified: str = ""
    fault: str = ""


@dataclass(frozen=True, slots=True)
class Headline:
    """One item of one feed. ``published_at`` equals ``fetched_at`` when ``date_flag`` is not empty.

    ``headline_id`` is stable across runs and feeds; ``symbols`` are tickers carried inside the item (dot form);
    ``date_flag`` is "", "missing", "unparsable" or "future".
    """

    headline_id: str
    title: str
    url: str
    source: str
    feed_id: str
    feed_ticker: str | None
    symbols: tuple[str, ...]
    published_at: datetime
    fetched_at: datetime
    date_flag: str = ""


TEXT_REASONS = frozenset({"cashtag", "mention", "name", "alias"})
"""Reasons of a link that rest on the title itself."""


@dataclass(frozen=True, slots=True)
class Link:
    """Why a headline concerns a ticker.

    ``relevance`` in 0..1; ``reason`` is one of cashtag, mention, name, alias, symbol, feed.
    """

    ticker: str
    relevance: float
    reason: str


@dataclass(frozen=True, slots=True)
class LinkedHeadline:
    """A headline with at least one link; links are unique by ticker and sorted by ticker."""

    headline: Headline
    links: tuple[Link, ...]


@dataclass(frozen=True, slots=True)
class KnownHeadline:
    """A headline captured by an earlier run, as remembered by the store.

    ``tickers`` it was kept for; ``named`` are those of them that its own title names.
    """

    headline_id: str
    story_id: str
    title: str
    url: str
    published_at: datetime
    tickers: frozenset[str]
    named: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class StoryHeadline:
    """A kept headline and its story; near-duplicates share the ``story_id`` of the story's first headline.

    ``similarity`` to the story's first headline in 0..1; 1 for that headline itself.
    """

    linked: LinkedHeadline
    story_id: str
    similarity: float


@dataclass(frozen=True, slots=True)
class Dropped:
    """A headline that went no further. ``kept_id`` is the headline that stands for it, empty when there is none."""

    headline: Headline
    reason: str
    kept_id: str = ""


@dataclass(frozen=True, slots=True)
class Session:
    """One trading session: headlines with ``opens_after`` < published_at <= ``cutoff_at`` count for ``session_date``.

    ``open_at`` and ``close_at`` are the exchange's own hours of that day.
    """

    session_date: date
    opens_after: datetime
    open_at: datetime
    close_at: datetime
    cutoff_at: datetime


@dataclass(frozen=True, slots=True)
class CheckResult:
    """One check on a session's rows: what was looked at, whether it must hold, whether it did, and the evidence."""

    name: str
    is_required: bool
    is_passed: bool
    notes: str = ""
