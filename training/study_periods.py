"""The weekly and the monthly reader: features of a whole period against the return of the next one.

A period's row holds what was known before the opening bell of its last session (feature_store.to_monthly). It enters at
the opening of the first price day after the label, a day later than it could, so that a label on a holiday leaks
nothing, and leaves at the next period's entry.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from feature_store import to_monthly, wide

from .study_ic import RankIC, measure_ic
from .study_portfolio import LongShort, hold_long_short
from .study_prices import OPENING, TIMEZONE, Prices, find_entry
from .study_protocol import PERIOD_SIGNALS, PERIODS

KEY = ["session_date", "ticker", "available_at"]
COUNTS = ["story_count", "positive_count", "negative_count"]


@dataclass(frozen=True, slots=True)
class PeriodTest:
    """Rank IC of a period's signal with the next period's return, and its long-short book (None if never open)."""

    ic: RankIC
    book: LongShort | None


def measure_periods(features: pd.DataFrame, prices: Prices) -> dict[tuple[str, str], PeriodTest]:
    """Return the tests by (period, signal) of the long frame ``features``, which has a column vader."""
    known = features[features["ticker"].isin(prices.opens.columns)]
    tests: dict[tuple[str, str], PeriodTest] = {}
    for name, (frequency, _) in PERIODS.items():
        signals = sum_periods(known, frequency)
        entries = enter_after(pd.DatetimeIndex(signals["story_count"].index), prices.days)
        returns = hold_between(prices.opens, entries)
        for signal, sign in PERIOD_SIGNALS.items():
            frame = signals[signal].loc[returns.index].reindex(columns=returns.columns)
            book = hold_long_short(sign * frame, returns, 1)
            tests[name, signal] = PeriodTest(measure_ic(frame, returns, 1), book if len(book.gross) else None)
    return tests


def sum_periods(features: pd.DataFrame, frequency: str) -> dict[str, pd.DataFrame]:
    """Return the columns of PERIOD_SIGNALS, periods x tickers, NaN where the ticker had no story in the period."""
    rows = features[[*KEY, *COUNTS, *(name for name in PERIOD_SIGNALS if name not in ("vader", *COUNTS))]]
    own, by_list = (
        to_monthly(frame, freq=frequency) for frame in (rows, rows.assign(sentiment_score=features["vader"]))
    )
    signals = {name: wide(own, name) for name in PERIOD_SIGNALS if name != "vader"}
    signals["vader"] = wide(by_list, "sentiment_score")
    has_story = signals["story_count"] > 0
    return {name: frame.where(has_story) for name, frame in signals.items()}


def enter_after(labels: pd.DatetimeIndex, days: pd.DatetimeIndex) -> Mapping[pd.Timestamp, pd.Timestamp]:
    """Return label -> the first price day whose opening comes after 09:30 of the label; labels past the end are out."""
    moments = (labels + OPENING).tz_localize(TIMEZONE).tz_convert("UTC")
    places = find_entry(moments, days)
    return {label: days[place] for label, place in zip(labels, places, strict=True) if 0 < place < len(days)}


def hold_between(opens: pd.DataFrame, entries: Mapping[pd.Timestamp, pd.Timestamp]) -> pd.DataFrame:
    """Return the simple return from each label's entry to the next label's, labels x tickers, without the last."""
    at_entry = opens.loc[list(entries.values())].set_axis(list(entries))
    return (at_entry.shift(-1) / at_entry - 1).iloc[:-1]
