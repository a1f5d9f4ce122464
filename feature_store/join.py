"""Features onto prices, each price row with what was known before it and no more. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import time, timedelta
from typing import Any

import pandas as pd
from pandas.api.types import infer_dtype

from .columns import list_names
from .errors import FeatureStoreError
from .frames import find_index, require_columns, require_moments
from .moments import UNIT, find_deadlines
from .tickers import normalize_ticker

_DATE_KINDS = frozenset({"datetime64", "datetime", "date", "string", "empty"})
_UNIT_OF_TIME = re.compile("[A-Za-z:]")


def join_asof(
    prices: pd.DataFrame,
    features: pd.DataFrame,
    columns: Iterable[str] | None = None,
    known_by: str | time = "09:30",
    timezone: str = "America/New_York",
    tolerance: str | timedelta | None = None,
) -> pd.DataFrame:
    """Return ``prices`` with the features of the latest session that was available before each row's moment.

    A row's moment is its ``date``: days mean ``known_by`` of ``timezone`` on that day (by default the opening bell:
    what came during the day is for the next), times with a zone mean themselves. A feature row counts when its
    available_at is strictly earlier. Where sessions became available out of order, the latest session wins, not the
    latest to arrive.

    Args:
        prices: long, with ``date`` and ``ticker`` as columns or index levels. Dates are days (datetime64 without zone
            at midnight, date, or text such as 2026-11-20) or times with a zone. Tickers may have any form (BRK-B); one
            that the store does not have, such as an index, gets no features.
        features: what load_features or to_monthly returned; load with revision="first" for a back-test.
        columns: features to add; by default all columns of ``features`` but ticker.
        tolerance: the longest time from available_at to the row's moment, such as "7D"; older features do not count.

    Returns:
        A new frame with the rows, order, index and columns of ``prices``, then ``columns``: NaN, NaT or a missing text
        where there is no feature row. ``fillna(dict(NEUTRAL))`` makes a model matrix of the number columns, has_news
        among them where ``columns`` ask for it.

    Raises:
        FeatureStoreError: a column is missing on either side or would be there twice; a date or ticker is missing, a
            text is no ISO date, a time has no zone, or ``known_by``, ``timezone`` or ``tolerance`` is malformed.
    """
    require_columns(prices, (), "prices")
    index = find_index(features)
    others = [name for name in features.columns if name != "ticker"]
    added = others if columns is None else list_names(columns, "columns")
    require_columns(features, added, "features")
    require_moments(features, "features")
    clash = [name for name in added if name in prices.columns]
    if clash:
        raise FeatureStoreError(f"prices: column {', '.join(clash)} is there already; name others in columns")
    moments = _find_moments(_take(prices, "date"), known_by, timezone)
    known = _drop_overtaken(features, index)
    codes = pd.Index(known["ticker"].unique())
    left = pd.DataFrame({"at": moments, "code": codes.get_indexer(_normalize(_take(prices, "ticker")))})
    right = pd.DataFrame({"at": known["available_at"].dt.as_unit(UNIT), "code": codes.get_indexer(known["ticker"])})
    places = _match(left, right, _parse_tolerance(tolerance))
    joined = known[added].reindex(places).set_axis(prices.index)
    return pd.concat([prices, joined], axis=1)


def _match(left: pd.DataFrame, right: pd.DataFrame, tolerance: pd.Timedelta | None) -> pd.Series:
    """Return for each row of ``left`` the label of the last row of ``right`` before it, -1 if there is none."""
    right = right.assign(place=right.index)
    order = left["at"].argsort(kind="stable")
    matched = pd.merge_asof(left.iloc[order], right, on="at", by="code", allow_exact_matches=False, tolerance=tolerance)
    return matched["place"].set_axis(order).sort_index().fillna(-1).astype("int64")


def _drop_overtaken(features: pd.DataFrame, index: str) -> pd.DataFrame:
    """Return the rows by available_at, without those that arrived when a later session of the ticker was known."""
    rows = features.sort_values(["available_at", index], kind="stable", ignore_index=True)
    is_latest = rows[index] == rows.groupby("ticker")[index].cummax()
    return rows[is_latest].reset_index(drop=True)


def _take(prices: pd.DataFrame, name: str) -> pd.Series:
    """Return a column or index level of ``prices``, numbered from 0."""
    if name in prices.columns:
        return prices[name].reset_index(drop=True)
    if name in prices.index.names:
        return pd.Series(prices.index.get_level_values(name))
    raise FeatureStoreError(f"prices: column {name} is missing")


def _find_moments(dates: pd.Series, known_by: str | time, timezone: str) -> pd.Series:
    """Return the UTC moment of every row."""
    kind = infer_dtype(dates)
    if kind not in _DATE_KINDS:
        raise FeatureStoreError(
            f"prices: column date holds {kind}, expected days such as 2026-11-20, or times with a zone"
        )
    try:
        days = pd.DatetimeIndex(pd.to_datetime(dates, format="ISO8601"))
    except (ValueError, TypeError) as error:
        fault = " ".join(str(error).split()).split(". ")[0]
        raise FeatureStoreError(f"prices: column date: {fault}; expected days such as 2026-11-20") from error
    if days.hasnans:
        raise FeatureStoreError(f"prices: date is missing in row {int(days.isna().argmax())}")
    if days.tz is not None:
        return pd.Series(days.tz_convert("UTC").as_unit(UNIT))
    if (days != days.normalize()).any():
        row = int((days != days.normalize()).argmax())
        raise FeatureStoreError(f"prices: date {days[row].isoformat()} in row {row} has a time but no zone")
    codes, distinct = pd.factorize(days)
    return pd.Series(find_deadlines(distinct, known_by, timezone).take(codes))


def _normalize(tickers: pd.Series) -> pd.Series:
    if tickers.isna().any():
        raise FeatureStoreError(f"prices: ticker is missing in row {int(tickers.isna().argmax())}")
    return tickers.map({text: _normalize_known(text) for text in tickers.unique()})


def _normalize_known(text: Any) -> str:
    """Return the store's form of ``text``; what is no ticker of a store, such as ^GSPC, stays and matches nothing."""
    try:
        return normalize_ticker(text)
    except FeatureStoreError:
        return str(text)


def _parse_tolerance(tolerance: str | timedelta | None) -> pd.Timedelta | None:
    """Return the length of time; a bare number is none, for pandas would count it in nanoseconds."""
    if tolerance is None:
        return None
    has_unit = isinstance(tolerance, timedelta) or (isinstance(tolerance, str) and _UNIT_OF_TIME.search(tolerance))
    try:
        found = pd.Timedelta(tolerance) if has_unit else pd.NaT
    except ValueError:
        found = pd.NaT
    if found is pd.NaT or found < pd.Timedelta(0):
        raise FeatureStoreError(f"tolerance {tolerance!r}: expected a length of time such as 7D")
    return found
