"""All tickers to one series of the whole market. Pure."""

from __future__ import annotations

from datetime import time

import numpy as np
import pandas as pd

from .frames import find_index, require_columns, require_moments
from .moments import find_deadlines, list_sessions

_NEEDED = ("status", "story_count", "sentiment_score", "positive_count", "negative_count")


def market_series(
    frame: pd.DataFrame, known_by: str | time = "09:30", timezone: str = "America/New_York"
) -> pd.DataFrame:
    """Return numbers of all tickers together by date: float64 without NaN, index "date", ready for ``to_csv``.

        market_sentiment       sum(story_count * sentiment_score) / sum(story_count) of tickers with a score; -1 to 1
        market_breadth         (tickers with a positive score - with a negative one) / tickers with news; -1 to 1
        market_positive_share  sum(positive_count) / sum(story_count); 0 to 1
        market_negative_share  sum(negative_count) / sum(story_count); 0 to 1
        market_story_count     sum(story_count); a story that concerns two tickers counts twice
        market_news_share      tickers with news / tickers of which news or silence is known; 0 to 1

    A date without any news has 0 in every column; market_news_share is 0 also where nothing is known at all.

    A session's numbers bear the date of the first session that they could serve: the first one at whose ``known_by`` in
    ``timezone`` every row of the session was available, as a rule the next. So they may meet the prices of their date
    from the opening bell on, without a shift. Where several sessions became known for one date the latest stands, and a
    session that came after a later one is left out. After the frame's last session every weekday is taken for one.
    A period's numbers bear its label: they were known before the opening bell of its last session.

    Args:
        frame: what load_features or to_monthly returned; load with revision="first" for a back-test.

    Raises:
        FeatureStoreError: the frame lacks a column that is needed, or ``known_by`` or ``timezone`` is malformed.
    """
    require_columns(frame, _NEEDED, "market_series")
    index = find_index(frame)
    dates = frame[index] if index == "period" else _find_dates(frame, known_by, timezone)
    score, status = frame["sentiment_score"], frame["status"]
    count = frame["story_count"].fillna(0.0)
    is_news = status == "news"
    scored = count.where(is_news & score.notna(), 0.0)
    terms = {
        "stories": count,
        "scored": scored,
        "score": scored * score.fillna(0.0),
        "direction": np.sign(score.where(is_news).fillna(0.0)),
        "positive": frame["positive_count"].fillna(0.0),
        "negative": frame["negative_count"].fillna(0.0),
        "news": is_news.astype("float64"),
        "known": (status != "fetch_failed").astype("float64"),
    }
    sums = pd.DataFrame(terms).groupby(dates.rename("date")).sum()
    return pd.DataFrame(
        {
            "market_sentiment": _divide(sums["score"], sums["scored"]),
            "market_breadth": _divide(sums["direction"], sums["news"]),
            "market_positive_share": _divide(sums["positive"], sums["stories"]),
            "market_negative_share": _divide(sums["negative"], sums["stories"]),
            "market_story_count": sums["stories"],
            "market_news_share": _divide(sums["news"], sums["known"]),
        }
    )


def _find_dates(frame: pd.DataFrame, known_by: str | time, timezone: str) -> pd.Series:
    """Return the date of each row, NaT where a later session was known by then."""
    require_moments(frame, "market_series")
    if frame.empty:
        return frame["session_date"]
    known_at = frame.groupby("session_date")["available_at"].max()
    # A week holds a weekday that comes after the last moment in every time zone.
    last = known_at.max().tz_localize(None).normalize() + pd.Timedelta(days=7)
    days = list_sessions(frame["session_date"], known_at.index[0], last)
    places = find_deadlines(days, known_by, timezone).searchsorted(known_at.array, side="right")
    dates = pd.Series(days[places], known_at.index)
    is_overtaken = dates >= dates[::-1].cummin()[::-1].shift(-1)
    return frame["session_date"].map(dates[~is_overtaken])


def _divide(part: pd.Series, whole: pd.Series) -> pd.Series:
    return (part / whole.where(whole > 0)).fillna(0.0)
