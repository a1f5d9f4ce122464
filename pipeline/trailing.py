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

import numpy as np
import pandas as pd

WINDOWS = (5, 21)
BUZZ_ROWS = 21
BUZZ_MIN_ROWS = 5
USED = ["session_date", "ticker", "story_count", "positive_count", "negative_count", "sentiment_score"]
"""What is read of earlier rows."""

Tables = dict[str, np.ndarray]
"""float64 (sessions, tickers) by column, this session last; NaN where unknown. ``row_count`` is 1 where a row is."""


def add_trailing(rows: pd.DataFrame, history: pd.DataFrame, session_date: date, decimals: int) -> pd.DataFrame:
    """Return ``rows`` with buzz and the window columns added at the end, floats rounded to ``decimals``.

    ``rows`` is one session, unique by ticker. Of ``history``, unique by session and ticker, only rows before
    ``session_date`` are used.
    """
    tables = _tabulate(rows, history, session_date)
    columns = {"buzz": _measure_buzz(tables["story_count"])}
    for window in WINDOWS:
        columns |= {f"{name}_{window}": column for name, column in _look_back(tables, window).items()}
    rounded = {name: np.round(column, decimals) + 0.0 for name, column in columns.items()}
    counts = {name: pd.array(rounded[name]).astype("Int64") for name in columns if name.startswith("story_count")}
    return rows.assign(**rounded | counts)


def _tabulate(rows: pd.DataFrame, history: pd.DataFrame, session_date: date) -> Tables:
    """Return each column as a table of sessions by tickers: these rows' tickers in their order, sessions in time's."""
    codes, found = pd.factorize(history["session_date"])
    days = pd.to_datetime(pd.Series(found, dtype=object)).dt.date.to_numpy()
    is_past = days < session_date if len(days) else np.zeros(0, bool)
    rank = np.full(len(days), -1)
    rank[is_past] = np.argsort(np.argsort(days[is_past]))
    session, ticker = rank[codes], pd.Index(rows["ticker"]).get_indexer(history["ticker"])
    used = (session >= 0) & (ticker >= 0)
    tables = {}
    for name in ("row_count", *USED[2:]):
        table = np.full((is_past.sum() + 1, len(rows)), np.nan)
        for frame, place in ((history[used], (session[used], ticker[used])), (rows, -1)):
            table[place] = 1.0 if name == "row_count" else frame[name].to_numpy("float64", na_value=np.nan)
        tables[name] = table
    return tables


def _measure_buzz(counts: np.ndarray) -> np.ndarray:
    """Return buzz by ticker, in 0 and above, from story counts (sessions, tickers)."""
    past = counts[:-1]
    is_known = ~np.isnan(past)
    is_recent = is_known & (is_known[::-1].cumsum(axis=0)[::-1] <= BUZZ_ROWS)
    size = is_recent.sum(axis=0)
    usual = np.where(is_recent, past, 0).sum(axis=0) / np.maximum(size, 1)
    return counts[-1] / _known(usual, (size >= BUZZ_MIN_ROWS) & (usual > 0))


def _look_back(tables: Tables, window: int) -> dict[str, np.ndarray]:
    """Return the four window columns by ticker."""
    inside = {name: table[-window:] for name, table in tables.items()}
    is_full = np.nansum(inside["row_count"], axis=0) == window
    inside = {name: np.where(is_full, table, np.nan) for name, table in inside.items()}
    scored = np.where(np.isnan(inside["sentiment_score"]), np.nan, inside["story_count"])
    stories = _sum(inside["story_count"])
    some = _known(stories, stories > 0)
    return {
        "story_count": stories,
        "sentiment_score": _sum(inside["sentiment_score"] * scored) / _sum(scored),
        "positive_share": _sum(inside["positive_count"]) / some,
        "negative_share": _sum(inside["negative_count"]) / some,
    }


def _known(values: np.ndarray, is_known: np.ndarray) -> np.ndarray:
    return np.where(is_known, values, np.nan)


def _sum(table: np.ndarray) -> np.ndarray:
    """Return the sum over sessions of what is known; NaN where nothing is.

    Compensated (Kahan 1965), so that means of few scores do not fall on the wrong side of a half when they are rounded.
    """
    total, lost = np.zeros(table.shape[1]), np.zeros(table.shape[1])
    for values in table:
        step = values - lost
        after = total + step
        is_known = ~np.isnan(values)
        lost = np.where(is_known, after - total - step, lost)
        total = np.where(is_known, after, total)
    return _known(total, ~np.isnan(table).all(axis=0))
