"""Columns that look back over earlier sessions: buzz, and trailing windows of 5 and 21 sessions. Pure.

A window of n holds this session and the n - 1 sessions before it that the store has. Its columns stay empty until the
ticker has a row in each. fetch_failed rows are unknown: they are skipped in every sum, and such a row gets its own
trailing values from the others. Positive and negative news are kept apart, and weeks and months beside days, because
they predict differently (Heston & Sinha 2017, Financial Analysts Journal 73(3)).

    story_count_n                     sum of story_count; empty when no session of the window is known
    sentiment_score_n                 mean of the known sentiment_score, weighted by story_count
    positive_share_n, negative_share_n  sum of positive_count or negative_count / sum of story_count
    buzz                              story_count / mean story_count of the ticker's 21 latest known earlier rows;
                                      empty below 5 such rows or when their mean is 0

Scores and shares of a window without a story are empty.
"""

from __future__ import annotations

from datetime import date

import pandas as pd

WINDOWS = (5, 21)
BUZZ_ROWS = 21
BUZZ_MIN_ROWS = 5
_USED = ["session_date", "ticker", "story_count", "positive_count", "negative_count", "sentiment_score"]


def add_trailing(rows: pd.DataFrame, history: pd.DataFrame, session_date: date, decimals: int) -> pd.DataFrame:
    """Return ``rows`` with buzz and the window columns added at the end, floats rounded to ``decimals``.

    ``rows`` is one session, unique by ticker. Of ``history`` only rows before ``session_date`` are used.
    """
    past = history.reindex(columns=_USED).copy()
    past["session_date"] = pd.to_datetime(past["session_date"]).dt.date
    past = past[past["session_date"] < session_date]
    columns = {"buzz": _measure_buzz(rows, past)}
    for window in WINDOWS:
        columns |= {f"{name}_{window}": column for name, column in _look_back(rows, past, window).items()}
    added = pd.DataFrame(columns).reindex(rows["ticker"])
    counts = [f"story_count_{window}" for window in WINDOWS]
    scores = [name for name in columns if name not in counts]
    added[counts] = added[counts].astype("Int64")
    added[scores] = added[scores].astype("float64").round(decimals) + 0.0
    return rows.assign(**{name: added[name].array for name in columns})


def _measure_buzz(rows: pd.DataFrame, past: pd.DataFrame) -> pd.Series:
    """Return buzz by ticker, in 0 and above."""
    known = past[past["story_count"].notna()].astype({"story_count": "float64"}).sort_values("session_date")
    usual = known.groupby("ticker").tail(BUZZ_ROWS).groupby("ticker")["story_count"].agg(["mean", "size"])
    usual = usual[(usual["size"] >= BUZZ_MIN_ROWS) & (usual["mean"] > 0)]
    return rows.set_index("ticker")["story_count"].astype("float64") / usual["mean"]


def _look_back(rows: pd.DataFrame, past: pd.DataFrame, window: int) -> dict[str, pd.Series]:
    """Return the four window columns by ticker."""
    dates = sorted(past["session_date"].unique())[-(window - 1) :]
    inside = pd.concat([past[past["session_date"].isin(dates)].astype(rows[_USED].dtypes), rows[_USED]])
    inside = inside[inside["ticker"].isin(rows["ticker"])].sort_values(["ticker", "session_date"])
    is_full = inside.groupby("ticker").size() == window
    inside = inside[inside["ticker"].map(is_full)]
    inside["scored_count"] = inside["story_count"].where(inside["sentiment_score"].notna())
    inside["score_sum"] = inside["sentiment_score"] * inside["scored_count"].astype("float64")
    sums = inside.drop(columns="session_date").groupby("ticker").sum(min_count=1)
    stories = sums["story_count"].where(sums["story_count"] > 0)
    return {
        "story_count": sums["story_count"],
        "sentiment_score": sums["score_sum"] / sums["scored_count"],
        "positive_share": sums["positive_count"] / stories,
        "negative_share": sums["negative_count"] / stories,
    }
