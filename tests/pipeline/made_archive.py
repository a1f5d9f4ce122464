"""A made-up archive of headlines about the companies of tests.daily_line, and a backfill of it."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path

from pipeline.archive import ArchiveColumns, read_archive
from pipeline.backfill import Engine, Summary, run_backfill, score_locally
from pipeline.backfill_seal import Backfill
from pipeline.records import Session
from pipeline.report import Report
from pipeline.store import FeatureStore
from tests.daily_line import COMPANIES, SESSIONS, WordScorer
from tests.sample import sample_settings

COLUMNS = ArchiveColumns("headline", time="time", ticker="ticker", source="source", url="url")
HEADER = ("time", "headline", "ticker", "source", "url")
FIRST = date(2026, 1, 20)
SHAPES = ("{} beats estimates for the {} quarter", "{} misses forecasts in its {} unit", "{} opens a {} plant in Ohio")
TOPICS = ("first", "cloud", "third", "battery", "retail", "chip", "rail")

SCORE = partial(score_locally, scorer=WordScorer())
Row = Sequence[object]


def made_sessions(count: int, first: date = FIRST) -> tuple[Session, ...]:
    """Return ``count`` sessions from ``first`` on; from the default they cross the end of a month."""
    sessions = [SESSIONS.session(first)]
    while len(sessions) < count:
        sessions.append(SESSIONS.next(sessions[-1]))
    return tuple(sessions)


def made_rows(sessions: Sequence[Session], silent: Sequence[int] = ()) -> list[Row]:
    """Return rows for each session but the ``silent`` ones, some untagged, some tagged twice.

    Every session repeats a headline of the one before, and one that was first shown twelve sessions ago.
    """
    rows: list[Row] = []
    for number, session in enumerate(sessions):
        for i in () if number in silent else range(5):
            row = made_row(number, i, session.cutoff_at - timedelta(hours=3 * i, minutes=number))
            rows.append(row)
            if i == 0:
                rows += [(*row[:2], "TSLA", *row[3:]), made_row(number - 1, 2, session.cutoff_at - timedelta(hours=1))]
                rows.append(made_row(number - 12, 1, session.cutoff_at - timedelta(minutes=1)))
    return rows


def made_row(number: int, i: int, moment: datetime) -> Row:
    """Return headline ``i`` of session ``number`` as shown at ``moment``; odd ones have a link of their own."""
    company = COMPANIES[(number + i % 2) % len(COMPANIES)]
    title = SHAPES[(number * 2 + i) % len(SHAPES)].format(company.name, TOPICS[(number + 3 * i) % len(TOPICS)])
    url = f"https://news.example/{number}/{i}" if i % 2 else ""
    return moment.isoformat(), title, "" if i == 3 else company.ticker, "Wire", url


def write_csv(path: Path, rows: Iterable[Row], header: Sequence[str] = HEADER) -> Path:
    """Write an archive as CSV."""
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return path


def open_backfill(store: Path, sessions: Sequence[Session], revision: str = WordScorer.revision) -> Backfill:
    """Return a backfill with the shipped settings."""
    return Backfill(
        replace(sample_settings(), store=store),
        COMPANIES,
        tuple(sessions),
        FeatureStore(store),
        timedelta(hours=1),
        revision,
        "",
        "test",
    )


def backfill(
    store: Path,
    archive: Path,
    sessions: Sequence[Session],
    score: Engine = SCORE,
    columns: ArchiveColumns = COLUMNS,
) -> Summary:
    """Backfill ``archive`` into ``store`` with the scorer of the daily line's tests, or another engine."""
    report = Report("backfill", datetime(2026, 11, 20, tzinfo=UTC), WordScorer.revision, "")
    return run_backfill(open_backfill(store, sessions), read_archive(archive, columns, UTC), score, report)


def files_of(store: Path) -> dict[str, bytes]:
    """Return the content of every file of a store by its path."""
    return {path.relative_to(store).as_posix(): path.read_bytes() for path in store.rglob("*") if path.is_file()}
