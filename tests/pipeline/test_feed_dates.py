"""Every way a feed writes a moment becomes the right moment in UTC, or none."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from email.utils import format_datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.feed_dates import ZONES, parse_feed_date, settle_published_at

NOW = datetime(2026, 3, 9, 14, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # RSS
        ("Sun, 08 Mar 2026 22:16:37 GMT", "2026-03-08T22:16:37"),
        ("Sun, 08 Mar 2026 22:16 GMT", "2026-03-08T22:16:00"),  # CNBC
        ("Sun, 08 Mar 2026 23:24:20 +0000", "2026-03-08T23:24:20"),
        ("Sun, 08 Mar 2026 07:23:46 -0400", "2026-03-08T11:23:46"),
        ("8 Mar 2026 07:23 -05:00", "2026-03-08T12:23:00"),
        ("Sun, 8 Mar 26 22:16:37 UT", "2026-03-08T22:16:37"),
        ("Sun, 8 Mar 99 22:16:37 Z", "1999-03-08T22:16:37"),
        ("Thursday, 06-Aug-20 19:36:00 GMT", "2020-08-06T19:36:00"),
        ("Sun, 08 Mar 2026 22:16:37 +0000 (UTC)", "2026-03-08T22:16:37"),
        ("Sun, 08 Mar 2026 22:16:37 GMT+0200", "2026-03-08T20:16:37"),
        ("  sun, 08  MAR 2026\n22:16:37 gmt ", "2026-03-08T22:16:37"),
        # names of zones: by the season in that place, whatever the letters say
        ("Mon, 06 Jul 2026 16:00:00 EDT", "2026-07-06T20:00:00"),
        ("Mon, 06 Jul 2026 16:00:00 EST", "2026-07-06T20:00:00"),
        ("Mon, 06 Jul 2026 16:00:00 ET", "2026-07-06T20:00:00"),
        ("Tue, 06 Jan 2026 16:00:00 ET", "2026-01-06T21:00:00"),
        ("Tue, 06 Jan 2026 16:00:00 EDT", "2026-01-06T21:00:00"),
        ("Sun, 08 Mar 2026 01:59:59 EST", "2026-03-08T06:59:59"),  # the clocks go forward
        ("Sun, 08 Mar 2026 03:00:00 ET", "2026-03-08T07:00:00"),
        ("Sun, 01 Nov 2026 01:30:00 EDT", "2026-11-01T05:30:00"),  # 01:30 comes twice
        ("Sun, 01 Nov 2026 01:30:00 EST", "2026-11-01T06:30:00"),
        ("Mon, 06 Jul 2026 15:00:00 CDT", "2026-07-06T20:00:00"),
        ("Mon, 06 Jul 2026 14:00:00 MST", "2026-07-06T20:00:00"),
        ("Mon, 06 Jul 2026 13:00:00 PT", "2026-07-06T20:00:00"),
        ("Mon, 06 Jul 2026 12:00:00 BST", "2026-07-06T11:00:00"),
        ("Mon, 06 Jul 2026 12:00:00 CET", "2026-07-06T10:00:00"),
        ("Tue, 06 Jan 2026 12:00:00 CEST", "2026-01-06T11:00:00"),
        ("Tue, 06 Jan 2026 12:00:00 GMT", "2026-01-06T12:00:00"),
        ("Mon, 06 Jul 2026 12:00:00 GMT", "2026-07-06T12:00:00"),  # no summer time: GMT is UTC
        # Atom and the like
        ("2025-12-12T18:02:43-05:00", "2025-12-12T23:02:43"),
        ("2026-03-15T00:48:24.900Z", "2026-03-15T00:48:24"),
        ("2026-03-15T00:48:24.9000000Z", "2026-03-15T00:48:24"),
        ("2026-03-15T00:48+05:30", "2026-03-14T19:18:00"),
        ("2026-03-15 00:48:24", "2026-03-15T00:48:24"),
        ("2026-03-15 09:30:00 EST", "2026-03-15T13:30:00"),
        ("20260315T004824Z", "2026-03-15T00:48:24"),
        # American prose
        ("March 8, 2026 5:30 PM ET", "2026-03-08T21:30:00"),
        ("Mar 8, 2026 12:05 a.m. PST", "2026-03-08T08:05:00"),
        ("Aug 04, 2020 12:00 GMT", "2020-08-04T12:00:00"),
    ],
)
def test_a_moment_is_read(text: str, expected: str) -> None:
    assert parse_feed_date(text) == datetime.fromisoformat(expected).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "yesterday",
        "2026-03-08",  # a day is no moment
        "Sun, 08 Mar 2026",
        "Mon, 30 Feb 2026 10:00:00 GMT",
        "Sun, 08 Mar 2026 25:00:00 GMT",
        "Sun, 08 Mar 2026 10:61:00 GMT",
        "Sun, 08 Foo 2026 10:00:00 GMT",
        "Sun, 08 Mar 2026 10:00:00 XYZ",
        "Sun, 08 Mar 2026 10:00:00 +9900",
        "Sun, 08 Mar 2026 13:00 PM ET",
        "0000-01-01T00:00:00Z",
        "0001-01-01T00:00:00+10:00",
        "9999-12-31T23:59:59-10:00",
        "1773057569",
        "Sun, 08 Mar 2026 10:00:00 GMT and more",
    ],
)
def test_what_names_no_moment_is_none(text: str) -> None:
    assert parse_feed_date(text) is None


moments = st.integers(0, 4_000_000_000).map(lambda seconds: datetime.fromtimestamp(seconds, UTC))
offsets = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))


@given(moments, offsets)
def test_what_was_written_is_read(moment: datetime, offset: timezone) -> None:
    aware = moment.astimezone(offset)
    assert parse_feed_date(aware.isoformat()) == aware
    assert parse_feed_date(format_datetime(aware)) == aware


@given(st.text(max_size=40) | st.from_regex(r"[A-Za-z]{3}, \d{2} [A-Za-z]{3} \d{4} \d{2}:\d{2} \S{1,6}"))
def test_any_text_gives_utc_or_none(text: str) -> None:
    moment = parse_feed_date(text)
    assert moment is None or moment.utcoffset() == timedelta(0)


@pytest.mark.parametrize("name", sorted(ZONES))
def test_every_zone_in_the_table_is_known_here(name: str) -> None:
    assert parse_feed_date(f"06 Jul 2026 12:00 {name.upper()}") is not None


@pytest.mark.parametrize(
    ("text", "expected", "flag"),
    [
        ("Mon, 09 Mar 2026 13:59:59 GMT", NOW - timedelta(seconds=1), ""),
        ("Mon, 09 Mar 2026 14:00:00 GMT", NOW, ""),
        ("Mon, 09 Mar 2026 14:05:00 GMT", NOW, ""),  # clocks differ
        ("Mon, 09 Mar 2026 14:05:01 GMT", NOW, "future"),
        ("Mon, 09 Mar 2026 14:05:01 CST", NOW, "future"),
        (" ", NOW, "missing"),
        ("soon", NOW, "unparsable"),
    ],
)
def test_no_headline_is_published_after_it_was_seen(text: str, expected: datetime, flag: str) -> None:
    assert settle_published_at(text, NOW, 300) == (expected, flag)


@given(st.integers(-200_000, 200_000), st.integers(0, 100_000))
def test_published_never_exceeds_fetched(ahead_s: int, tolerance_s: int) -> None:
    text = (NOW + timedelta(seconds=ahead_s)).isoformat()
    published_at, flag = settle_published_at(text, NOW, tolerance_s)
    assert published_at <= NOW
    assert flag == ("future" if ahead_s > tolerance_s else "")


def test_the_dates_of_ten_real_feeds_are_read(data_dir: Path) -> None:
    texts = [
        item["pubDate"]
        for path in sorted((data_dir / "feeds" / "parsed_items_2020").glob("*.json"))
        for item in json.loads(path.read_text())
    ]
    moments_read = [parse_feed_date(text) for text in texts]
    assert len(texts) == 193
    assert None not in moments_read
    midnights = {
        text[-3:]: moment.hour for text, moment in zip(texts, moments_read, strict=True) if "00:00:00 E" in text
    }
    assert midnights == {"EDT": 4, "EST": 5}
