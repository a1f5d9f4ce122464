"""What the verbs that read an archive have in common: their options, and what these come to."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime, timedelta, tzinfo
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from .archive import ArchiveColumns, ArchiveRow, BadRow, read_archive
from .archive_source import open_archive
from .backfill import list_sessions
from .config import HOME, FetchSettings, Settings
from .errors import ConfigError
from .options import parse_date
from .records import Session
from .sessions import Sessions

_MARGIN = timedelta(days=31)
"""How far the calendar reaches beyond the days asked for: further than exchanges were ever closed since 1914."""


def add_archive(verb: argparse.ArgumentParser) -> None:
    """Give ``verb`` the options that say which rows of which archive count, and for which universe.

    An empty path or column is one that is not given: a workflow passes its empty inputs on.
    """
    verb.add_argument("archive", help="headlines, .parquet, .csv or .csv.gz: a path, or an address with --sha256")
    verb.add_argument("--sha256", default="", metavar="HEX", help="what the archive's SHA-256 must be")
    verb.add_argument("--start", required=True, metavar="DATE", help="first session, such as 2015-01-02")
    verb.add_argument("--end", required=True, metavar="DATE", help="last session")
    verb.add_argument("--title-column", default="headline", help="column of headlines (default: headline)")
    verb.add_argument("--time-column", default="", help="column of publication times, bare dates allowed")
    verb.add_argument("--date-column", default="", help="column of dates, read where there is no time")
    verb.add_argument("--ticker-column", default="", help="column of tickers, where headlines are tagged")
    verb.add_argument("--source-column", default="", help="column of publishers")
    verb.add_argument("--url-column", default="", help="column of links")
    verb.add_argument("--timezone", default="UTC", help="zone of times without an offset and of dates (default: UTC)")
    verb.add_argument("--settings", type=Path, default=HOME / "settings.toml", help="settings file")
    verb.add_argument("--universe", type=_read_path, help="table of tickers, instead of the one in the settings")


def pick_sessions(
    args: argparse.Namespace, settings: Settings, latency: timedelta, now: datetime
) -> tuple[Session, ...]:
    """Return every session from --start to --end; the features of all must be available by ``now``.

    Raises:
        ConfigError: one of them is no date, or there is no session in between, or one is not over.
    """
    start, end = _read_range(args)
    calendar = Sessions(
        settings.sessions.calendar, settings.sessions.cutoff_offset_minutes, start - _MARGIN, (now + _MARGIN).date()
    )
    return list_sessions(calendar, start, end, latency, now)


@contextmanager
def open_rows(args: argparse.Namespace, settings: FetchSettings) -> Iterator[Iterator[ArchiveRow | BadRow]]:
    """Yield the rows of the archive, to be read once while the archive is open.

    Raises:
        ConfigError: an option is impossible.
        ArchiveError: the archive cannot be had or read.
    """
    columns, zone = _read_columns(args), _read_zone(args.timezone)
    with open_archive(args.archive, args.sha256, settings) as path:
        yield read_archive(path, columns, zone)


def _read_range(args: argparse.Namespace) -> tuple[date, date]:
    """Return --start and --end. Raises ConfigError if one is no date, or they are the wrong way round."""
    start, end = (parse_date(f"--{name}", getattr(args, name), "2015-01-02") for name in ("start", "end"))
    if start > end:
        raise ConfigError(f"--start {start} is after --end {end}")
    return start, end


def _read_path(text: str) -> Path | None:
    return Path(text) if text else None


def _read_columns(args: argparse.Namespace) -> ArchiveColumns:
    if not args.title_column:
        raise ConfigError("--title-column: expected the name of the column of headlines")
    if not args.time_column and not args.date_column:
        raise ConfigError("expected --time-column or --date-column: without a time no headline counts for a session")
    return ArchiveColumns(
        args.title_column, args.time_column, args.date_column, args.ticker_column, args.source_column, args.url_column
    )


def _read_zone(name: str) -> tzinfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ConfigError(f"--timezone {name}: expected a name such as UTC or America/New_York") from error
