"""Sessions to longer periods, without a look ahead. Pure.

A period's deadline is ``known_by`` in ``timezone`` on its last session: the label day, or the last session before it
where the label falls on a holiday or weekend. A row counts for the first period whose deadline comes after the row's
available_at. So a period's row holds only what was known before the opening bell of its last session, at whose close a
model that trades at the label buys; that session itself counts for the next period, and one sealed late for the period
in which it became known. Which days were sessions the frame itself tells up to its last session_date; after that every
weekday is taken for one.

Per period and ticker, over its rows r, with n = story_count, P = positive_count, N = negative_count summed over them:

    *_count                          sum; empty when every fetch failed. A source is counted once per session
    sentiment_score, confidence_mean, relevance_mean, novel_share, overnight_score, intraday_score
                                     sum(n_r x_r) / sum(n_r) over the rows that have x
    sentiment_std                    sqrt(sum(n_r (s_r^2 + (x_r - x)^2)) / sum(n_r)), x = sentiment_score, s = the
                                     session's sentiment_std, 0 for a single story: the law of total variance; empty
                                     below 2 stories
    sentiment_min, sentiment_max     smallest and largest
    positive_share, negative_share   P / n, N / n
    agreement                        1 - sqrt(1 - ((P - N) / (P + N))^2); empty when P + N = 0
    bullishness                      ln((1 + P) / (1 + N)); empty without a story     both Antweiler and Frank (2004)
    status                           news if any story; else no_news if any feed answered; else fetch_failed
    buzz, the columns in _5 and _21, model_revision, schema_version, columns of later schema versions
                                     last known value
    available_at                     latest
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import time

import numpy as np
import pandas as pd
from pandas.tseries.frequencies import to_offset
from pandas.tseries.offsets import BaseOffset

from .columns import COUNTS, KEY, require_fill
from .errors import FeatureStoreError
from .frames import fill_neutral, require_columns, require_moments, require_unique
from .moments import UNIT, find_deadlines, list_sessions

_WEIGHTED = (
    "sentiment_score",
    "confidence_mean",
    "relevance_mean",
    "novel_share",
    "overnight_score",
    "intraday_score",
)
_NEEDS = {
    **{name: ("story_count",) for name in _WEIGHTED},
    "status": ("story_count",),
    "has_news": ("story_count",),
    "sentiment_min": ("story_count",),
    "sentiment_max": ("story_count",),
    "sentiment_std": ("story_count", "sentiment_score"),
    "positive_share": ("story_count", "positive_count"),
    "negative_share": ("story_count", "negative_count"),
    "agreement": ("positive_count", "negative_count"),
    "bullishness": ("story_count", "positive_count", "negative_count"),
}
"""Columns without which another cannot be aggregated."""


def to_monthly(
    frame: pd.DataFrame,
    freq: str | BaseOffset = "BME",
    known_by: str | time = "09:30",
    timezone: str = "America/New_York",
    fill: str | None = None,
) -> pd.DataFrame:
    """Return one row per period and ticker, sorted by both; the module's docstring has every formula.

    Args:
        frame: what load_features returned, not filled, with story_count and what else its columns need, and every
            session of its range. Load it with revision="first": a restated row counts for the period in which it was
            restated.
        freq: the periods as pandas names them: BME (last business day of a month), ME, QE, W-FRI, B, D. Labels
            follow the calendar, not the exchange's holidays.
        known_by: time of day of ``timezone`` before which a row must have been available on the last session that is
            not after the label.
        fill: "neutral" replaces every missing number by NEUTRAL and adds has_news.

    Returns:
        period (datetime64, the label day), ticker, available_at (of its last row to become available), then the columns
        of ``frame``, float64 or str. Only periods and tickers with a row are there. The last period may be open still:
        it holds what is known so far, and its label lies behind the last session. Should that label turn out to be a
        holiday, the session before it moves on to the next period.

    Raises:
        FeatureStoreError: a column is missing, the frame is filled, a session and ticker are there twice, or ``freq``,
            ``known_by`` or ``timezone`` is malformed.
    """
    require_fill(fill)
    _require_frame(frame, fill)
    offset = _parse_freq(freq)
    rows = frame.sort_values(["session_date", "ticker"], kind="stable", ignore_index=True)
    rows["period"] = _find_periods(rows, offset, known_by, timezone)
    names = [name for name in frame.columns if name not in KEY]
    monthly = _aggregate(rows, [*names, *(["has_news"] if fill and "has_news" not in names else [])])
    return fill_neutral(monthly) if fill else monthly


def _require_frame(frame: pd.DataFrame, fill: str | None) -> None:
    require_columns(frame, KEY, "to_monthly")
    require_moments(frame, "to_monthly")
    for name in [*frame.columns, *(["has_news"] if fill else [])]:
        require_columns(frame, _NEEDS.get(name, ()), f"to_monthly: {name} cannot be aggregated")
    require_unique(frame, "session_date", "to_monthly")
    for name in (*_WEIGHTED, "sentiment_std", "sentiment_min", "sentiment_max"):
        if name in frame.columns and (frame[name].notna() & ~(frame["story_count"] > 0)).any():
            raise FeatureStoreError(f"to_monthly: {name} is filled where there is no story; fill the result instead")
    if "status" in frame.columns and (frame["story_count"].notna() & (frame["status"] == "fetch_failed")).any():
        raise FeatureStoreError("to_monthly: story_count is filled where the fetch failed; fill the result instead")


def _parse_freq(freq: str | BaseOffset) -> BaseOffset:
    try:
        offset = to_offset(freq)
    except (ValueError, TypeError):
        offset = None
    day = pd.Timestamp(2024, 1, 1)
    if offset is None or offset.n != 1 or (day + offset) != (day + offset).normalize():
        raise FeatureStoreError(f"freq {freq!r}: expected one calendar period, such as BME, ME, W-FRI or B")
    return offset


def _find_periods(rows: pd.DataFrame, offset: BaseOffset, known_by: str | time, timezone: str) -> pd.DatetimeIndex:
    """Return each row's label: the first one whose deadline comes after it."""
    available_at = rows["available_at"]
    if rows.empty:
        find_deadlines(pd.DatetimeIndex([]), known_by, timezone)
        return pd.DatetimeIndex([]).as_unit(UNIT)
    # A day on either side covers every time zone, two more a weekend before the last label.
    first, last = (moment.tz_localize(None).normalize() for moment in (available_at.min(), available_at.max()))
    last = max(last, rows["session_date"].iloc[-1])
    labels = pd.date_range(first - pd.Timedelta(days=1), last + pd.Timedelta(days=3) + offset, freq=offset)
    sessions = list_sessions(rows["session_date"], labels[0] - pd.Timedelta(days=7), labels[-1])
    last_sessions = sessions[sessions.searchsorted(labels, side="right") - 1]
    deadlines = find_deadlines(last_sessions, known_by, timezone)
    return labels.as_unit(UNIT)[deadlines.searchsorted(available_at.array, side="right")]


def _aggregate(rows: pd.DataFrame, names: list[str]) -> pd.DataFrame:
    groups = _Groups(rows)
    found = {"period": groups.by["period"].first(), "ticker": groups.by["ticker"].first()}
    found |= {"available_at": groups.by["available_at"].max()}
    found |= {name: _aggregate_column(groups, name) for name in names}
    return pd.DataFrame(found).reset_index(drop=True)


def _aggregate_column(groups: _Groups, name: str) -> pd.Series:
    if name in COUNTS:
        return groups.add(groups.rows[name])
    if name in _WEIGHTED:
        return groups.average(groups.rows[name])
    if name in _FORMULAS:
        return _FORMULAS[name](groups)
    return groups.by[name].last()


class _Groups:
    """The rows of each period and ticker; every result is a series by number of the group, in their order."""

    def __init__(self, rows: pd.DataFrame) -> None:
        self.rows = rows
        self.number = rows.groupby(["period", "ticker"]).ngroup()
        self.by = rows.groupby(self.number)

    def add(self, values: pd.Series) -> pd.Series:
        """Return the sum, NaN where every value is."""
        return values.groupby(self.number).sum(min_count=1)

    def average(self, values: pd.Series) -> pd.Series:
        """Return the mean weighted by story_count over the rows that have a value; NaN where none has."""
        weights = self.rows["story_count"].where(values.notna() & (self.rows["story_count"] > 0))
        return self.add(weights * values) / self.add(weights)

    def sum_of(self, name: str) -> pd.Series:
        """Return the sum of a count."""
        return self.add(self.rows[name])

    def spread(self, values: pd.Series) -> pd.Series:
        """Return ``values`` by group as one value a row."""
        return self.number.map(values)


def _pool_std(groups: _Groups) -> pd.Series:
    score, std = groups.rows["sentiment_score"], groups.rows["sentiment_std"]
    between = score - groups.spread(groups.average(score))
    pooled = np.sqrt(groups.average(std.fillna(0.0) ** 2 + between**2))
    return pooled.where(groups.add(groups.rows["story_count"].where(score.notna())) > 1)


def _share_of(name: str) -> Callable[[_Groups], pd.Series]:
    return lambda groups: groups.sum_of(name) / groups.sum_of("story_count").where(lambda count: count > 0)


def _find_agreement(groups: _Groups) -> pd.Series:
    positive, negative = groups.sum_of("positive_count"), groups.sum_of("negative_count")
    return 1 - np.sqrt(1 - ((positive - negative) / (positive + negative)) ** 2)


def _find_bullishness(groups: _Groups) -> pd.Series:
    positive, negative = groups.sum_of("positive_count"), groups.sum_of("negative_count")
    return np.log((1 + positive) / (1 + negative)).where(groups.sum_of("story_count") > 0)


def _find_status(groups: _Groups) -> pd.Series:
    count = groups.sum_of("story_count")
    told = np.select([count > 0, count.notna()], ["news", "no_news"], "fetch_failed")
    return pd.Series(told, index=count.index, dtype="str")


_FORMULAS: dict[str, Callable[[_Groups], pd.Series]] = {
    "status": _find_status,
    "has_news": lambda groups: (groups.sum_of("story_count") > 0).astype("float64"),
    "sentiment_std": _pool_std,
    "sentiment_min": lambda groups: groups.by["sentiment_min"].min(),
    "sentiment_max": lambda groups: groups.by["sentiment_max"].max(),
    "positive_share": _share_of("positive_count"),
    "negative_share": _share_of("negative_count"),
    "agreement": _find_agreement,
    "bullishness": _find_bullishness,
}
