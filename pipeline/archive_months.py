"""An archive parted into one file of headlines per month of sessions, so that one month at a time is in memory."""

from __future__ import annotations

import csv
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence, Set
from dataclasses import dataclass, field
from datetime import date, datetime
from itertools import groupby, islice
from pathlib import Path

from .archive import BATCH_ROWS, ArchiveRow, BadRow
from .identity import identify
from .records import Headline, Session


@dataclass(slots=True)
class Tally:
    """What an archive's rows came to. ``first`` names the first row dropped for each reason; the first row
    below the header is row 1.

    ``by_session`` counts the rows of each session; ``foreign_count`` those of them whose tickers are all outside the
    universe, which are linked by name alone.
    """

    row_count: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    first: dict[str, str] = field(default_factory=dict)
    by_session: Counter[date] = field(default_factory=Counter)
    foreign_count: int = 0


def split_archive(
    rows: Iterable[ArchiveRow | BadRow], sessions: Sequence[Session], since: date, universe: Set[str], folder: Path
) -> Tally:
    """Append every row that counts for a session to the file of the session's month in ``folder``; count all.

    ``sessions`` follow each other. Rows of those before ``since``, sealed already, are counted and not written.
    """
    tally = Tally()
    cutoffs = [session.cutoff_at for session in sessions]
    remaining = enumerate(rows, start=1)
    while batch := list(islice(remaining, BATCH_ROWS)):
        by_month: defaultdict[date, list[ArchiveRow]] = defaultdict(list)
        for number, row in batch:
            tally.row_count += 1
            placed = row if isinstance(row, BadRow) else _place(row, sessions, cutoffs)
            if isinstance(placed, BadRow):
                tally.dropped[placed.reason] += 1
                tally.first.setdefault(placed.reason, f"row {number} below the header, {placed.found[:60]!r}")
                continue
            session_date, sound = placed
            tally.by_session[session_date] += 1
            tally.foreign_count += bool(sound.symbols) and universe.isdisjoint(sound.symbols)
            if session_date >= since:
                by_month[session_date.replace(day=1)].append(sound)
        for month, found in by_month.items():
            _append(_month_path(folder, month), found)
    return tally


def read_month(folder: Path, month: date, feed_id: str) -> list[Headline]:
    """Return the headlines of one month of sessions, in order of publication, whatever the archive's order was.

    Rows that differ in their tickers only are one headline with all of these; fetched_at is published_at.
    """
    rows = sorted(_read(_month_path(folder, month)))
    return [_to_headline(key, [row[-1] for row in same], feed_id) for key, same in groupby(rows, lambda row: row[:-1])]


def first_of_month(session: Session) -> date:
    """Return the month a session's headlines are kept under."""
    return session.session_date.replace(day=1)


def _place(
    row: ArchiveRow, sessions: Sequence[Session], cutoffs: Sequence[datetime]
) -> tuple[date, ArchiveRow] | BadRow:
    """Return the session a row counts for, and the row."""
    place = bisect_left(cutoffs, row.published_at)
    if place == len(sessions) or row.published_at <= sessions[0].opens_after:
        return BadRow("out of range", row.published_at.isoformat())
    return sessions[place].session_date, row


def _month_path(folder: Path, month: date) -> Path:
    return folder / f"{month:%Y-%m}.csv"


def _append(path: Path, rows: Iterable[ArchiveRow]) -> None:
    with path.open("a", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(
            (row.published_at.isoformat(), row.title, row.url, row.source, row.date_flag, " ".join(row.symbols))
            for row in rows
        )


def _read(path: Path) -> Iterator[tuple[str, ...]]:
    if path.exists():
        with path.open(encoding="utf-8", newline="") as file:
            yield from map(tuple, csv.reader(file))


def _to_headline(key: tuple[str, ...], symbols: Iterable[str], feed_id: str) -> Headline:
    moment, title, url, source, date_flag = key
    published_at = datetime.fromisoformat(moment)
    return Headline(
        headline_id=identify("", url, source, title, moment),
        title=title,
        url=url,
        source=source,
        feed_id=feed_id,
        feed_ticker=None,
        symbols=tuple(sorted({symbol for cell in symbols for symbol in cell.split()})),
        published_at=published_at,
        fetched_at=published_at,
        date_flag=date_flag,
    )
