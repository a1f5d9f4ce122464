"""A made-up session for the tests of schema, store and validate: evidence, rows that agree with it, and its frame."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta

import pandas as pd

from pipeline.records import Session
from pipeline.schema import FEATURE_TABLE, HEADLINE_TABLE
from pipeline.tables import to_frame

DAY = date(2026, 11, 20)
NEXT_DAY = date(2026, 11, 23)
REVISION = "0123456789abcdef0123456789abcdef01234567"
TICKERS = ("AAPL", "BRK.B", "MSFT")


def made_session(day: date = DAY) -> Session:
    """Return a session that closes at 21:00 UTC, as the weekday before it did; Monday's window holds a weekend."""
    close = datetime.combine(day, time(21), UTC)
    return Session(
        day, close - timedelta(days=3 if day.weekday() == 0 else 1), close - timedelta(hours=6.5), close, close
    )


def made_evidence(day: date = DAY, **changes: object) -> pd.DataFrame:
    """Return three headlines of AAPL, two of them one story, and one of MSFT; ``changes`` replace whole columns."""
    cutoff = made_session(day).cutoff_at
    hours, tickers = (9.0, 5.0, 1.0, 0.0), ("AAPL", "AAPL", "AAPL", "MSFT")
    frame = pd.DataFrame(
        {
            "session_date": day,
            "ticker": tickers,
            "headline_id": [f"{day:%d}a{n}" for n in range(4)],
            "story_id": [f"{day:%d}a{n}" for n in (0, 0, 2, 3)],
            "published_at": [cutoff - timedelta(hours=hour) for hour in hours],
            "fetched_at": cutoff + timedelta(minutes=5),
            "is_late": False,
            "date_flag": "",
            "source": ["Wire", "Other Wire", "Wire", "Wire"],
            "feed_id": [f"yahoo:{ticker}" for ticker in tickers],
            "title": ["Profit up", "Profit rises", "=Recall, again", "Plain news"],
            "url": [f"https://example.com/{n}" for n in range(4)],
            "reason": "feed",
            "relevance": 1.0,
            "p_negative": [0.1, 0.1, 0.8, 0.1],
            "p_neutral": [0.2, 0.3, 0.1, 0.8],
            "p_positive": [0.7, 0.6, 0.1, 0.1],
            "sentiment_score": [0.6, 0.5, -0.7, 0.0],
            "model_revision": REVISION,
        }
    )
    return frame.assign(**changes)


def made_rows(day: date = DAY, **changes: object) -> pd.DataFrame:
    """Return the rows of :func:`made_evidence`: AAPL and MSFT have news, the fetch of BRK.B failed."""
    empty = to_frame(FEATURE_TABLE, [])
    frame = pd.DataFrame(index=range(3), columns=list(FEATURE_TABLE.names), dtype=object)
    fixed = {
        "session_date": day,
        "ticker": TICKERS,
        "status": ["news", "fetch_failed", "news"],
        "available_at": made_session(day).cutoff_at + timedelta(minutes=10),
        "model_revision": REVISION,
        "schema_version": 1,
        "headline_count": [3, None, 1],
        "story_count": [2, None, 1],
        "source_count": [2, None, 1],
        "positive_count": [1, None, 0],
        "neutral_count": [0, None, 1],
        "negative_count": [1, None, 0],
        "sentiment_score": [-0.075, None, -0.0],
        "sentiment_std": [0.625, None, None],
        "sentiment_min": [-0.7, None, 0.0],
        "sentiment_max": [0.55, None, 0.0],
        "positive_share": [0.5, None, 0.0],
        "negative_share": [0.5, None, 0.0],
        "agreement": [0.0, None, None],
        "bullishness": [0.0, None, 0.0],
        "confidence_mean": [0.725, None, 0.8],
        "relevance_mean": [1.0, None, 1.0],
        "novel_share": [1.0, None, 1.0],
        "intraday_score": [-0.075, None, 0.0],
    }
    for name, values in (fixed | changes).items():
        frame[name] = values
    return frame.astype({name: empty[name].dtype for name in FEATURE_TABLE.names if name != "session_date"})


def no_evidence() -> pd.DataFrame:
    """Return evidence without a row."""
    return to_frame(HEADLINE_TABLE, [])


def made_manifest_row(day: date = DAY, **changes: object) -> dict[str, object]:
    """Return what a caller of seal knows of the session."""
    session = made_session(day)
    known = {
        "session_date": day,
        "state": "sealed",
        "available_at": session.cutoff_at + timedelta(minutes=10),
        "opens_after": session.opens_after,
        "cutoff_at": session.cutoff_at,
        "model_revision": REVISION,
        "code_revision": REVISION,
        "cpu": "Made-up CPU, 2 cores",
        "feeds_ok": 9,
        "feeds_failed": 1,
    }
    return known | changes
