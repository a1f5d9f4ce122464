"""Feature rows and prices -> one aligned panel: what was known before an opening, and what one earned from it on. Pure.

A row enters at the first opening strictly after its available_at (study_prices.find_entry), never in the bar that it
describes. Rows with status fetch_failed say nothing about the ticker and are left out; so is a whole missed session.
Daily columns speak only of tickers with news, columns of 5 and 21 sessions only of those with a story in the window.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from .study_prices import Prices, StudyError, find_entry
from .study_protocol import HORIZONS, MINIMUM_DAYS, MINIMUM_NAMES, SIGNALS

LEGS = (
    "gap before the session",
    "the session itself",
    "night until the entry",
    "entry, open to close",
    "entry to next open",
)
"""Returns around a session D: close D-1 to open D, open to close of D, close D to the entry's open; then tradable."""


@dataclass(frozen=True, slots=True)
class Panel:
    """Frames of float64, entry days (ascending) x tickers, NaN where something is missing.

    ``signals`` by column, known before the entry day's opening; ``returns`` by horizon from that opening on, and
    ``adjusted``: the same less the day's mean over all tickers. ``legs``: adjusted returns around the session.
    ``has_news``: bool. ``one_day``: unadjusted open-to-open returns of every price day; ``positions``: the place of
    each entry day among the price days.
    """

    signals: Mapping[str, pd.DataFrame]
    returns: Mapping[str, pd.DataFrame]
    adjusted: Mapping[str, pd.DataFrame]
    legs: Mapping[str, pd.DataFrame]
    has_news: pd.DataFrame
    one_day: pd.DataFrame
    positions: np.ndarray

    @property
    def days(self) -> pd.DatetimeIndex:
        """The entry days."""
        return pd.DatetimeIndex(self.has_news.index)


def align(features: pd.DataFrame, prices: Prices) -> Panel:
    """Return the panel of ``features`` (long; the columns of SIGNALS, status, story_count_5, story_count_21).

    Raises:
        StudyError: features and prices share no days or too few of them.
    """
    rows = place_rows(features, prices)
    days = prices.days[np.unique(rows["position"])]
    grid = {"index": pd.DatetimeIndex(days, name="entry_date"), "columns": prices.opens.columns}
    wide = _widen(rows, prices.days, grid)
    returns = measure_returns(prices)
    panel = Panel(
        signals={name: wide[name] for name in SIGNALS},
        returns={name: frame.loc[days] for name, frame in returns.items()},
        adjusted={name: adjust(frame).loc[days] for name, frame in returns.items()},
        legs=_measure_legs(rows, prices, days),
        has_news=wide["has_news"] == 1,
        one_day=returns["1"],
        positions=np.unique(rows["position"]),
    )
    _require_breadth(panel)
    return panel


def place_rows(features: pd.DataFrame, prices: Prices) -> pd.DataFrame:
    """Return the known rows of priced tickers with ``position``, the place of their entry among the price days.

    Where two sessions enter at the same opening, the later one counts.
    """
    known = features[(features["status"] != "fetch_failed") & features["ticker"].isin(prices.opens.columns)]
    placed = known.assign(position=find_entry(known["available_at"], prices.days)).sort_values("session_date")
    placed = placed[(placed["position"] > 0) & (placed["position"] < len(prices.days))]
    if placed.empty:
        raise StudyError(
            f"features {_span(features['session_date'])} and prices {_span(prices.days)} share no day to trade on"
        )
    return placed.drop_duplicates(["position", "ticker"], keep="last")


def measure_returns(prices: Prices) -> dict[str, pd.DataFrame]:
    """Return by horizon the simple return from each price day's open, to its close or to the open n price days on."""
    opens = prices.opens
    return {name: (prices.closes if n == 0 else opens.shift(-n)) / opens - 1 for name, n in HORIZONS.items()}


def adjust(returns: pd.DataFrame) -> pd.DataFrame:
    """Return ``returns`` less each day's equal-weight mean over the tickers that have one."""
    return returns.sub(returns.mean(axis=1), axis=0)


def mark_signals(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the columns of SIGNALS, NaN where the ticker had no story, and has_news (1.0 or 0.0)."""
    has_news = rows["status"] == "news"
    known = {"": has_news, "_5": rows["story_count_5"] > 0, "_21": rows["story_count_21"] > 0}
    marked = {name: rows[name].where(known[_suffix(name)]) for name in SIGNALS}
    return pd.DataFrame(marked).assign(has_news=has_news.astype("float64"))


def _widen(rows: pd.DataFrame, days: pd.DatetimeIndex, grid: dict[str, pd.Index]) -> dict[str, pd.DataFrame]:
    """Return each signal and has_news as entry days x tickers."""
    marked = mark_signals(rows).set_index([days[rows["position"]].rename("entry_date"), rows["ticker"]])
    return {str(name): marked[name].unstack("ticker").reindex(**grid) for name in marked}


def _measure_legs(rows: pd.DataFrame, prices: Prices, days: pd.DatetimeIndex) -> dict[str, pd.DataFrame]:
    """Return the adjusted returns of LEGS by entry day."""
    sessions = pd.DatetimeIndex(rows.groupby("position")["session_date"].max().sort_index())
    closes, opens = prices.closes, prices.opens
    last_close = closes.reindex(sessions).set_axis(days)
    around = {
        LEGS[0]: (opens / closes.shift(1) - 1).reindex(sessions).set_axis(days),
        LEGS[1]: (closes / opens - 1).reindex(sessions).set_axis(days),
        LEGS[2]: opens.loc[days] / last_close - 1,
        LEGS[3]: (closes / opens - 1).loc[days],
        LEGS[4]: (opens.shift(-1) / opens - 1).loc[days],
    }
    return {name: adjust(frame) for name, frame in around.items()}


def _require_breadth(panel: Panel) -> None:
    names = (panel.signals["sentiment_score"].notna() & panel.returns["open-close"].notna()).sum(axis=1)
    wide_days = int((names >= MINIMUM_NAMES).sum())
    if wide_days < MINIMUM_DAYS:
        raise StudyError(
            f"{wide_days} days have {MINIMUM_NAMES} or more priced tickers with news; expected {MINIMUM_DAYS} or more"
        )


def _suffix(name: str) -> str:
    return next((end for end in ("_21", "_5") if name.endswith(end)), "")


def _span(dates: pd.Series | pd.DatetimeIndex) -> str:
    return f"{dates.min():%Y-%m-%d} to {dates.max():%Y-%m-%d}" if len(dates) else "(none)"
