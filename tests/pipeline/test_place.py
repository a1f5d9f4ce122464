"""Placing: every headline counts for the session of its time, or for the first one still open."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest

from pipeline.place import Place, drop_old, place_headline
from pipeline.records import Headline

from ..daily_line import SESSIONS

FRIDAY, MONDAY = date(2026, 11, 20), date(2026, 11, 23)
CLOSE = datetime(2026, 11, 20, 21, tzinfo=UTC)


@pytest.mark.parametrize(
    ("published_at", "earliest_open", "place"),
    [
        (CLOSE, FRIDAY, Place(FRIDAY, is_late=False)),
        (CLOSE + timedelta(seconds=1), FRIDAY, Place(MONDAY, is_late=False)),
        (CLOSE - timedelta(days=1), FRIDAY, Place(FRIDAY, is_late=True)),
        (CLOSE, MONDAY, Place(MONDAY, is_late=True)),
        (CLOSE + timedelta(days=1), MONDAY, Place(MONDAY, is_late=False)),
    ],
)
def test_a_headline_counts_for_its_session_unless_that_is_sealed(
    published_at: datetime, earliest_open: date, place: Place
) -> None:
    assert place_headline(published_at, SESSIONS.session_of, earliest_open) == place


def headline(name: str, published_at: datetime, fetched_at: datetime) -> Headline:
    return Headline(name, name, "", "Wire", "wire", None, (), published_at, fetched_at)


def test_old_news_is_dropped_with_its_reason() -> None:
    opens_after, now = CLOSE - timedelta(days=1), CLOSE + timedelta(minutes=30)
    headlines = [
        headline("fresh", opens_after + timedelta(seconds=1), now),
        headline("edge", opens_after, now),
        headline("seen weeks ago", now, now),
        headline("old", now - timedelta(days=3, seconds=1), now),
        headline("oldest accepted age", now - timedelta(days=3), now),
    ]
    fresh, dropped = drop_old(headlines, opens_after, timedelta(days=3), {"seen weeks ago"})
    assert [item.title for item in fresh] == ["fresh"]
    assert {item.headline.title: item.reason for item in dropped} == {
        "edge": "before_first_session",
        "seen weeks ago": "already_known",
        "old": "too_old",
        "oldest accepted age": "before_first_session",
    }
