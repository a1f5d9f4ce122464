"""A file of daily prices -> opens, closes and volumes, days x tickers, and the first day one can trade after a moment.

Reads only the columns and tickers asked for. Never fills a gap: a ticker without a price on a day cannot be traded. A
misprint, such as a slipped decimal point, is taken for no price.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from feature_store import FeatureStoreError, normalize_ticker
from pipeline.errors import PipelineError

from .study_protocol import MISPRINT_FACTOR

COLUMNS = ["ticker", "date", "open", "close", "volume"]
OPENING = pd.Timedelta(hours=9, minutes=30)
TIMEZONE = "America/New_York"


class StudyError(PipelineError):
    """The study's input cannot be read, or there is too little of it to say anything."""


@dataclass(frozen=True, slots=True)
class Prices:
    """``opens``, ``closes``, ``volumes``: float64, price days (ascending) x tickers, NaN where there is none.

    ``misprints`` counts the prices that drop_misprints left out.
    """

    opens: pd.DataFrame
    closes: pd.DataFrame
    volumes: pd.DataFrame
    misprints: int = 0

    @property
    def days(self) -> pd.DatetimeIndex:
        """The price days, without zone."""
        return pd.DatetimeIndex(self.opens.index)


def read_prices(path: Path, tickers: Iterable[str]) -> Prices:
    """Return the prices of those of ``tickers`` (form BRK.B) that the Parquet or CSV file ``path`` has.

    Raises:
        StudyError: the file cannot be read or lacks a column; it has none of the tickers; a ticker has two rows on a
            day; a price is not above 0, or a date is none.
    """
    frame = _read(path, set(tickers))
    frame["date"] = _parse_dates(path, frame["date"])
    repeated = frame[frame.duplicated(["ticker", "date"])]
    if len(repeated):
        raise StudyError(f"{path}: {_name(repeated)} stands there twice; expected one row a ticker and day")
    for column in ("open", "close"):
        wrong = frame[~(frame[column] > 0) & frame[column].notna()]
        if len(wrong):
            raise StudyError(f"{path}: {column} of {_name(wrong)} is {wrong[column].iloc[0]}; expected a price above 0")
    opens, closes, volumes = (frame.pivot(index="date", columns="ticker", values=name) for name in COLUMNS[2:])
    return drop_misprints(Prices(opens, closes, volumes))


def drop_misprints(prices: Prices) -> Prices:
    """Return ``prices`` without those more than MISPRINT_FACTOR times above or below their neighbours' median.

    Of each ticker the neighbours are the two opens and closes on either side, itself included: five prices. A slipped
    decimal point stands alone among them; a move that lasts does not, and stays.
    """
    lined_up = pd.concat([prices.opens, prices.closes], keys=[0, 1]).swaplevel().sort_index()
    median = lined_up.rolling(5, center=True, min_periods=3).median()
    is_off = (lined_up / median > MISPRINT_FACTOR) | (median / lined_up > MISPRINT_FACTOR)
    opens, closes = (lined_up.mask(is_off).xs(place, level=1) for place in (0, 1))
    return Prices(opens, closes, prices.volumes, prices.misprints + int(is_off.to_numpy().sum()))


def find_entry(moments: pd.Series | pd.DatetimeIndex, days: pd.DatetimeIndex) -> np.ndarray:
    """Return for each moment (UTC) the place in ``days`` of the first opening strictly after it, len(days) for none.

    The opening is 09:30 in New York. A session is sealed after its close, so its row never meets the bar it describes.
    """
    openings = (days + OPENING).tz_localize(TIMEZONE).tz_convert("UTC")
    return np.asarray(openings.searchsorted(pd.DatetimeIndex(moments), side="right"))


def _read(path: Path, tickers: set[str]) -> pd.DataFrame:
    try:
        frame = _read_parquet(path, tickers) if path.suffix == ".parquet" else _read_csv(path, tickers)
    except (OSError, UnicodeDecodeError, pa.ArrowException, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
        raise StudyError(f"{path}: cannot be read: {reason}") from error
    if frame.empty:
        raise StudyError(f"{path}: has none of the {len(tickers)} tickers of the features, such as {min(tickers)}")
    for column in COLUMNS[2:]:
        frame[column] = _parse_numbers(path, frame[column])
    return frame


def _read_parquet(path: Path, tickers: set[str]) -> pd.DataFrame:
    with pq.ParquetFile(path) as file:
        _require_columns(path, file.schema_arrow.names)
    names = _match(pq.read_table(path, columns=["ticker"]).column("ticker").unique().to_pylist(), tickers)
    frame: pd.DataFrame = pq.read_table(path, columns=COLUMNS, filters=[("ticker", "in", list(names))]).to_pandas()
    return frame.assign(ticker=frame["ticker"].map(names))


def _read_csv(path: Path, tickers: set[str]) -> pd.DataFrame:
    _require_columns(path, list(pd.read_csv(path, nrows=0).columns))
    frame = pd.read_csv(
        path, usecols=COLUMNS, dtype={"ticker": str, "date": str}, keep_default_na=False, na_values=[""]
    )
    names = _match(frame["ticker"].dropna().unique(), tickers)
    return frame[frame["ticker"].isin(list(names))].assign(ticker=lambda rows: rows["ticker"].map(names))


def _require_columns(path: Path, found: list[str]) -> None:
    missing = [name for name in COLUMNS if name not in found]
    if missing:
        raise StudyError(f"{path}: lacks the columns {', '.join(missing)}; found {', '.join(found)}")


def _match(written: Iterable[str], tickers: set[str]) -> dict[str, str]:
    """Return the file's way of writing each ticker -> ours; what is no ticker at all is left out."""
    names = {}
    for text in written:
        try:
            names[text] = normalize_ticker(text)
        except FeatureStoreError:
            continue
    return {text: name for text, name in names.items() if name in tickers}


def _parse_dates(path: Path, dates: pd.Series) -> pd.Series:
    try:
        return pd.to_datetime(dates).astype("datetime64[us]").dt.normalize()
    except (ValueError, TypeError) as error:
        raise StudyError(f"{path}: column date: {str(error).splitlines()[0]}; expected YYYY-MM-DD") from error


def _parse_numbers(path: Path, values: pd.Series) -> pd.Series:
    try:
        return values.astype("float64")
    except ValueError as error:
        raise StudyError(f"{path}: column {values.name}: {error}; expected numbers") from error


def _name(rows: pd.DataFrame) -> str:
    return f"{rows['ticker'].iloc[0]} on {rows['date'].iloc[0]:%Y-%m-%d}"
