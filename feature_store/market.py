"""All tickers to one series of the whole market. Pure."""

from __future__ import annotations

import numpy as np
import pandas as pd

from .columns import require_columns
from .frames import find_index

_NEEDED = ("status", "story_count", "sentiment_score", "positive_count", "negative_count")


def market_series(frame: pd.DataFrame) -> pd.DataFrame:
    """Return numbers of all tickers together by date: float64 without NaN, index "date", ready for ``to_csv``.

        market_sentiment       sum(story_count * sentiment_score) / sum(story_count) of tickers with a score; -1 to 1
        market_breadth         (tickers with a positive score - with a negative one) / tickers with news; -1 to 1
        market_positive_share  sum(positive_count) / sum(story_count); 0 to 1
        market_negative_share  sum(negative_count) / sum(story_count); 0 to 1
        market_story_count     sum(story_count); a story that concerns two tickers counts twice
        market_news_share      tickers with news / tickers of which news or silence is known; 0 to 1

    A date without any news has 0 in every column; market_news_share is 0 also where nothing is known at all.
    A session's numbers are known from the latest available_at of its rows on, so shift them by a session before they
    meet the prices of that day; a period's are known before the opening bell of its label.

    Args:
        frame: what load_features (a date is a session) or to_monthly (a date is a period's label) returned.

    Raises:
        FeatureStoreError: the frame lacks a column that is needed.
    """
    require_columns(frame.columns, _NEEDED, "market_series")
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
    sums = pd.DataFrame(terms).groupby(frame[find_index(frame)].rename("date")).sum()
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


def _divide(part: pd.Series, whole: pd.Series) -> pd.Series:
    return (part / whole.where(whole > 0)).fillna(0.0)
