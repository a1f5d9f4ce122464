"""Long frames to wide ones, and what stands in for a missing number. Pure."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd
from pandas.api.types import is_numeric_dtype

from .columns import NEUTRAL, require_fill
from .errors import FeatureStoreError


def wide(frame: pd.DataFrame, column: str, fill: str | None = None) -> pd.DataFrame:
    """Return one number column as a matrix: float64, a row per session (or period), a column per ticker, both sorted.

    Args:
        frame: what load_features or to_monthly returned.
        column: a number column, or "has_news", which is told from status if the frame lacks it: 1.0 where there was
            news, 0.0 everywhere else.
        fill: "neutral" puts NEUTRAL where the number is missing, and where the frame has no such row, as before a
            ticker joined the universe. Without it both are NaN.

    Raises:
        FeatureStoreError: the frame lacks the column, it holds no numbers, or a session and ticker are there twice.
    """
    require_fill(fill)
    if not isinstance(column, str):
        raise FeatureStoreError(f"wide: column {column!r}: expected one name")
    index = find_index(frame)
    if column == "has_news":
        values, missing = find_news(frame), 0.0
    else:
        require_columns(frame, [column], "wide")
        values, missing = frame[column], NEUTRAL.get(column, 0.0)
    if not is_numeric_dtype(values.dtype):
        raise FeatureStoreError(f"wide: column {column} holds {values.dtype}, expected numbers")
    require_unique(frame, index, "wide")
    matrix = frame[[index, "ticker"]].assign(value=values.astype("float64"))
    matrix = matrix.pivot(index=index, columns="ticker", values="value")
    return matrix.fillna(missing) if fill or column == "has_news" else matrix


def find_index(frame: pd.DataFrame) -> str:
    """Return the column that dates the rows: "period" of to_monthly, else "session_date"."""
    index = "period" if "period" in getattr(frame, "columns", ()) else "session_date"
    require_columns(frame, [index, "ticker"], "frame")
    return index


def require_columns(frame: pd.DataFrame, needed: Iterable[str], what: str) -> None:
    """Raise a FeatureStoreError that names ``what`` and every one of ``needed`` that the frame lacks."""
    if not isinstance(frame, pd.DataFrame):
        raise FeatureStoreError(f"{what}: found {type(frame).__name__}, expected a DataFrame")
    missing = sorted(set(needed) - set(frame.columns))
    if missing:
        raise FeatureStoreError(f"{what}: column {', '.join(missing)} is missing")


def require_moments(frame: pd.DataFrame, what: str) -> None:
    """Raise a FeatureStoreError unless the frame's available_at are moments with a zone, none missing."""
    require_columns(frame, ["available_at"], what)
    moments = frame["available_at"]
    if not isinstance(moments.dtype, pd.DatetimeTZDtype) or moments.hasnans:
        raise FeatureStoreError(f"{what}: available_at holds {moments.dtype}, expected times with a zone, none missing")


def find_news(frame: pd.DataFrame) -> pd.Series:
    """Return 1.0 for every row with news and 0.0 for every other, from has_news or, without it, from status.

    Raises:
        FeatureStoreError: the frame has neither.
    """
    if "has_news" in frame.columns:
        return frame["has_news"]
    require_columns(frame, ["status"], "has_news")
    return (frame["status"] == "news").astype("float64")


def require_unique(frame: pd.DataFrame, index: str, what: str) -> None:
    """Raise a FeatureStoreError that names the first session (or period) and ticker that the frame has twice."""
    is_repeated = frame.duplicated([index, "ticker"]).to_numpy()
    if is_repeated.any():
        row = frame.iloc[int(is_repeated.argmax())]
        raise FeatureStoreError(f"{what}: {row['ticker']} is there twice on {row[index]:%Y-%m-%d}")


def add_has_news(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the frame with has_news as last column."""
    return frame.assign(has_news=find_news(frame))


def fill_neutral(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the frame with NEUTRAL for every missing number."""
    numbers = [name for name in frame.columns if is_numeric_dtype(frame[name].dtype)]
    return frame.fillna({name: NEUTRAL.get(name, 0.0) for name in numbers})
