"""A daily line on a loopback feed server, with a hand-written scorer and a clock that stands where the test puts it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from email.utils import format_datetime
from functools import partial
from pathlib import Path
from xml.sax.saxutils import escape

import numpy as np

from pipeline.config import Settings
from pipeline.fetch import fetch_feeds
from pipeline.line import Line
from pipeline.records import Company, Feed
from pipeline.report import Report
from pipeline.sessions import Sessions
from pipeline.store import FeatureStore

from .sample import sample_settings

COMPANIES = (
    Company("AAPL", "Apple", (), "NASDAQ"),
    Company("BRK.B", "Berkshire Hathaway", (), "NYSE"),
    Company("MSFT", "Microsoft", (), "NASDAQ"),
    Company("NVDA", "Nvidia", (), "NASDAQ"),
)
SESSIONS = Sessions("XNYS", 0)
REPORTED_AT = datetime(2026, 11, 20, 21, 35, tzinfo=UTC)


class WordScorer:
    """Positive for "beats", negative for "misses", else neutral: enough to follow a headline to its row."""

    revision = "0123456789abcdef0123456789abcdef01234567"

    def score(self, pairs: Sequence[tuple[str, str]], progress: bool = False) -> np.ndarray:
        """Return float32 (n, 3), columns negative, neutral, positive."""
        rows = {"beats": (0.05, 0.05, 0.9), "misses": (0.8, 0.1, 0.1)}
        scores = [next((row for word, row in rows.items() if word in title), (0.1, 0.8, 0.1)) for title, _ in pairs]
        return np.array(scores, np.float32).reshape(-1, 3)


def feed_document(*items: tuple[str, datetime]) -> bytes:
    """Return an RSS document of (title, published_at) items; the title names the item."""
    body = "".join(
        f"<item><title>{escape(title)}</title><guid isPermaLink='false'>{escape(title)}</guid>"
        f"<link>https://news.example/{abs(hash_text(title))}</link><pubDate>{format_datetime(at)}</pubDate></item>"
        for title, at in items
    )
    return f'<?xml version="1.0"?><rss version="2.0"><channel><title>Test</title>{body}</channel></rss>'.encode()


def hash_text(text: str) -> int:
    """Return a number for ``text`` that is the same in every process."""
    return sum(ord(char) * 31**i for i, char in enumerate(text)) % 10**12


def impatient_settings(store: Path) -> Settings:
    """Return the recorded day's settings, impatient and allowed to read from this machine."""
    settings = sample_settings()
    fetch = replace(
        settings.fetch,
        allow_private_addresses=True,
        min_interval_s=0.0,
        per_host=8,
        retries=0,
        timeout_s=0.5,
        deadline_s=1.0,
    )
    return replace(settings, store=store, fetch=fetch)


def open_line(store: Path, feeds: Sequence[Feed], now: datetime, cutoff_offset_minutes: int = 0) -> Line:
    """Return a line over ``feeds`` whose clock stands at ``now``."""
    settings = impatient_settings(store)
    return Line(
        settings=settings,
        companies=COMPANIES,
        feeds=tuple(feeds),
        sessions=Sessions("XNYS", cutoff_offset_minutes) if cutoff_offset_minutes else SESSIONS,
        store=FeatureStore(store),
        scorer=WordScorer(),
        fetch=partial(fetch_feeds, settings=settings.fetch, clock=lambda: now),
        clock=lambda: now,
        code_revision="",
        cpu="test",
    )


def new_report() -> Report:
    """Return an empty report."""
    return Report("test", REPORTED_AT, WordScorer.revision, "")
