"""A headline archive, Parquet or CSV, as a stream of rows, each read as a headline or refused with the reason.

The archive is read once, a batch at a time: memory does not grow with its length.
"""

from __future__ import annotations

import csv
import gzip
import re
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from itertools import chain
from pathlib import Path
from typing import Any

from .errors import ArchiveError
from .feed_dates import parse_feed_date
from .identity import clean_url
from .link import to_dot_form
from .schema import TICKER_PATTERN
from .titles import split_publisher, strip_markup

BATCH_ROWS = 8192
"""Rows of an archive that are held at a time."""
SUFFIXES = (".parquet", ".csv", ".csv.gz")
"""What the name of an archive ends in."""
INSTALL = "pip install -r pipeline/requirements-backfill.txt"
"""What Parquet archives and Ray need beyond the daily line."""

_DATE = re.compile(r"(\d{4})-?(\d\d)-?(\d\d)", re.ASCII)
_DAY = re.compile(r"(\d{4})-?(\d\d)-?(\d\d)(?:[T ].*)?", re.ASCII)
_LONGEST_CELL = 2**31 - 1


@dataclass(frozen=True, slots=True)
class ArchiveColumns:
    """Which column of an archive holds what, "" for what it does not hold; ``time`` or ``date`` must be named.

    ``time`` may hold bare dates; ``date`` is read where ``time`` is empty, its time of day is not. ``ticker`` holds
    one ticker, or several separated by commas, semicolons or bars.
    """

    title: str
    time: str = ""
    date: str = ""
    ticker: str = ""
    source: str = ""
    url: str = ""


@dataclass(frozen=True, slots=True)
class ArchiveRow:
    """One usable row. ``published_at`` is UTC; a bare date gives the end of that day and ``date_flag`` date_only."""

    title: str
    url: str
    source: str
    symbols: tuple[str, ...]
    published_at: datetime
    date_flag: str


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that is no headline: ``reason`` in two words, and the value it was ``found`` by."""

    reason: str
    found: str


def read_archive(path: Path, columns: ArchiveColumns, zone: tzinfo) -> Iterator[ArchiveRow | BadRow]:
    """Yield every row of an archive, in its order. Times without an offset and bare dates are read in ``zone``.

    Raises:
        ArchiveError: the file is missing, empty or neither Parquet nor CSV, or lacks a column or has it twice, or a CSV
            has a stray quote: what follows such a quote would be lost without a word. Names what was found and where.
    """
    named = [getattr(columns, field.name) for field in fields(columns)]
    wanted = list(dict.fromkeys(name for name in named if name))
    if not path.is_file():
        raise ArchiveError(f"{path}: no such file; expected a headline archive, {', '.join(SUFFIXES)}")
    if path.name.endswith((".csv", ".csv.gz")):
        rows = _read_csv(path, wanted)
    elif path.suffix == ".parquet":
        rows = _read_parquet(path, wanted)
    else:
        raise ArchiveError(f"{path}: expected a file that ends in {', '.join(SUFFIXES)}")
    places = [wanted.index(name) if name else None for name in named]
    for row in rows:
        if row is None:
            yield BadRow("damaged row", "more or fewer cells than the header")
        else:
            yield _read_row([None if place is None else row[place] for place in places], zone)


def _read_row(values: Sequence[Any], zone: tzinfo) -> ArchiveRow | BadRow:
    """Return the headline of one row's values, in the order of ArchiveColumns, or why there is none."""
    title, moment, day, tickers, source, url = values
    clean, publisher = split_publisher(strip_markup(_text(title)), strip_markup(_text(source)), False)
    if not clean:
        return BadRow("no title", _text(title))
    found = _read_moment(moment, zone) if _text(moment) else _read_day(day, zone)
    if found is None:
        text = _text(moment) or _text(day)
        return BadRow("no time" if not text else "unreadable time", text)
    symbols = tuple(_read_tickers(tickers))
    bad = next((symbol for symbol in symbols if not re.fullmatch(TICKER_PATTERN, symbol)), None)
    if bad is not None:
        return BadRow("bad ticker", bad)
    return ArchiveRow(clean, clean_url(_text(url), ""), publisher, symbols, *found)


def _text(value: Any) -> str:
    return "" if value is None else str(value).strip()


def _read_moment(value: Any, zone: tzinfo) -> tuple[datetime, str] | None:
    """Return (published_at, date_flag) of a time as Parquet or CSV hold it; None when it is none."""
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=zone)).astimezone(UTC).replace(microsecond=0), ""
    if isinstance(value, date) or _DATE.fullmatch(_text(value)):
        return _read_day(value, zone)
    moment = parse_feed_date(value, zone) if isinstance(value, str) else None
    return None if moment is None else (moment, "")


def _read_day(value: Any, zone: tzinfo) -> tuple[datetime, str] | None:
    """Return the end of a bare date: only then is a headline of that day surely known."""
    match = _DAY.fullmatch(_text(value))
    if match is None:
        return None
    try:
        after = date(*map(int, match.groups())) + timedelta(days=1)
        return datetime.combine(after, time(), zone).astimezone(UTC), "date_only"
    except (ValueError, OverflowError):  # 31 February, the last day of the year 9999
        return None


def _read_tickers(value: Any) -> Iterator[str]:
    """Yield tickers in dot form as far as they can be brought into it."""
    parts: Sequence[Any] = value if isinstance(value, list) else re.split("[,;|]", _text(value))
    for part in parts:
        if symbol := _text(part):
            yield to_dot_form(symbol).upper()


def _read_csv(path: Path, wanted: Sequence[str]) -> Iterator[list[str] | None]:
    """Yield the cells of the columns ``wanted``; None for a row with too few or too many."""
    csv.field_size_limit(_LONGEST_CELL)
    line = row_count = 0
    try:
        with (gzip.open if path.suffix == ".gz" else open)(path, "rt", encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            header = next(reader, [])
            places, line = _place(path, wanted, header), reader.line_num
            for cells in reader:
                line = reader.line_num
                if cells:
                    row_count += 1
                    yield [cells[place] for place in places] if len(cells) == len(header) else None
    except csv.Error as error:
        raise ArchiveError(f"{path}: line {line + 1}: no row of a CSV file, perhaps a stray quote: {error}") from error
    except UnicodeDecodeError as error:  # its position is one in the decoder's buffer
        raise ArchiveError(f"{path}: not UTF-8, {_somewhere(row_count)}") from error
    except (gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise ArchiveError(f"{path}: not a whole gzip file, {_somewhere(row_count)}: {error}") from error


def _somewhere(row_count: int) -> str:
    """Return where a file is at fault of which ``row_count`` rows were read: text is decoded a block ahead."""
    return f"somewhere after row {row_count:,} below the header" if row_count else "among the first rows"


def _read_parquet(path: Path, wanted: Sequence[str]) -> Iterator[list[Any]]:
    """Yield the values of the columns ``wanted``; times to the microsecond."""
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError as error:
        raise ArchiveError(f"{path}: reading Parquet needs pyarrow: {INSTALL}") from error
    try:
        with parquet.ParquetFile(path) as file:
            _place(path, wanted, file.schema_arrow.names)
            batches = file.iter_batches(BATCH_ROWS, columns=list(wanted))
            yield from chain.from_iterable(_list_rows(batch, wanted) for batch in batches)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, OSError) as error:
        raise ArchiveError(f"{path}: not a Parquet file that can be read: {str(error).splitlines()[0]}") from error


def _list_rows(batch: Any, wanted: Sequence[str]) -> Iterator[list[Any]]:
    import pyarrow as pa

    columns = []
    for name in wanted:
        column = batch.column(name)
        if pa.types.is_timestamp(column.type):
            column = column.cast(pa.timestamp("us", column.type.tz), safe=False)
        columns.append(column.to_pylist())
    return map(list, zip(*columns, strict=True))


def _place(path: Path, wanted: Sequence[str], found: Sequence[str]) -> list[int]:
    """Return where the columns ``wanted`` stand among those ``found``."""
    if not found:
        raise ArchiveError(f"{path}: empty file; expected a header with columns {', '.join(wanted)}")
    missing = [name for name in wanted if name not in found]
    if missing:
        raise ArchiveError(f"{path}: no column {', '.join(missing)}; found {', '.join(found)}")
    for name in wanted:
        if found.count(name) > 1:
            raise ArchiveError(f"{path}: {found.count(name)} columns are called {name}; expected one")
    return [list(found).index(name) for name in wanted]
