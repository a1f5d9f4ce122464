from __future__ import annotations

import csv
import gzip
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from pipeline.archive import BATCH_ROWS, ArchiveColumns, ArchiveRow, BadRow, read_archive
from pipeline.archive_months import first_of_month, read_month, split_archive
from pipeline.errors import ArchiveError

from .made_archive import COLUMNS, HEADER, made_sessions, write_csv

NEW_YORK = ZoneInfo("America/New_York")
SESSIONS = made_sessions(12)
NOON = "2026-01-21T17:00:00Z"


def read_one(path: Path, value: str, column: str = "time", zone: ZoneInfo | None = None) -> ArchiveRow | BadRow:
    """Return what becomes of a row whose ``column`` holds ``value``."""
    row = {"time": NOON, "headline": "Apple beats estimates", "ticker": "AAPL", "source": "", "url": ""} | {
        column: value
    }
    archive = write_csv(path / "archive.csv", [[row[name] for name in HEADER]])
    (found,) = read_archive(archive, COLUMNS, zone or UTC)
    return found


@pytest.mark.parametrize(
    ("text", "zone", "expected"),
    [
        ("2026-01-21T17:00:00Z", "UTC", "2026-01-21T17:00:00+00:00"),
        ("2026-01-21 12:00:00-05:00", "UTC", "2026-01-21T17:00:00+00:00"),
        ("2026-01-21 12:00", "America/New_York", "2026-01-21T17:00:00+00:00"),
        ("2026-07-21 12:00", "America/New_York", "2026-07-21T16:00:00+00:00"),
        ("2026-01-21 12:00:59.9", "UTC", "2026-01-21T12:00:59+00:00"),
        ("Wed, 21 Jan 2026 12:00:00 EST", "UTC", "2026-01-21T17:00:00+00:00"),
        ("20260121T170000Z", "America/New_York", "2026-01-21T17:00:00+00:00"),
    ],
)
def test_a_time_is_read_with_its_offset_or_in_the_zone_given(
    tmp_path: Path, text: str, zone: str, expected: str
) -> None:
    row = read_one(tmp_path, text, zone=ZoneInfo(zone))
    assert isinstance(row, ArchiveRow)
    assert (row.published_at.isoformat(), row.date_flag) == (expected, "")


@pytest.mark.parametrize(
    ("text", "zone", "expected"),
    [
        ("2026-01-21", "UTC", "2026-01-22T00:00:00+00:00"),
        ("20260121", "UTC", "2026-01-22T00:00:00+00:00"),
        ("2026-01-21", "America/New_York", "2026-01-22T05:00:00+00:00"),
        ("2026-03-08", "America/New_York", "2026-03-09T04:00:00+00:00"),  # the day has 23 hours
        ("2026-02-28", "Asia/Tokyo", "2026-02-28T15:00:00+00:00"),
    ],
)
def test_a_bare_date_counts_only_when_its_day_has_ended(tmp_path: Path, text: str, zone: str, expected: str) -> None:
    row = read_one(tmp_path, text, zone=ZoneInfo(zone))
    assert isinstance(row, ArchiveRow)
    assert (row.published_at.isoformat(), row.date_flag) == (expected, "date_only")


def test_a_date_column_stands_in_for_a_missing_time_and_its_time_of_day_does_not_count(tmp_path: Path) -> None:
    columns = ArchiveColumns("headline", time="time", date="day")
    path = write_csv(
        tmp_path / "a.csv",
        [("", "2026-01-21 09:00:00", "One"), (NOON, "2026-01-25", "Two"), ("", "", "Three")],
        ("time", "day", "headline"),
    )
    one, two, three = read_archive(path, columns, UTC)
    assert (one.published_at, one.date_flag) == (datetime(2026, 1, 22, tzinfo=UTC), "date_only")
    assert (two.published_at, two.date_flag) == (datetime(2026, 1, 21, 17, tzinfo=UTC), "")
    assert three == BadRow("no time", "")


@pytest.mark.parametrize(
    ("cell", "symbols"),
    [
        (" aapl ", ("AAPL",)),
        ("BRK-B", ("BRK.B",)),
        ("BRK/B", ("BRK.B",)),
        ("BRKb", ("BRK.B",)),
        ("brk.b", ("BRK.B",)),
        ("AAPL, MSFT;NVDA|brk-b", ("AAPL", "MSFT", "NVDA", "BRK.B")),
        ("", ()),
    ],
)
def test_tickers_are_brought_into_dot_form(tmp_path: Path, cell: str, symbols: tuple[str, ...]) -> None:
    row = read_one(tmp_path, cell, "ticker")
    assert isinstance(row, ArchiveRow)
    assert row.symbols == symbols


@pytest.mark.parametrize(
    ("column", "cell", "reason"),
    [
        ("time", "yesterday", "unreadable time"),
        ("time", "2026-02-31", "unreadable time"),
        ("time", "2026-02-31T10:00:00Z", "unreadable time"),
        ("time", "1769014800", "unreadable time"),
        ("time", "9999-12-31", "unreadable time"),
        ("time", "  ", "no time"),
        ("headline", "", "no title"),
        ("headline", "<b> </b>", "no title"),
        ("ticker", "AA PL", "bad ticker"),
        ("ticker", "AAPL,$$", "bad ticker"),
    ],
)
def test_a_bad_row_says_why(tmp_path: Path, column: str, cell: str, reason: str) -> None:
    row = read_one(tmp_path, cell, column)
    assert isinstance(row, BadRow)
    assert row.reason == reason


def test_titles_and_links_are_cleaned_as_those_of_feeds_are(tmp_path: Path) -> None:
    row = read_one(tmp_path, "Apple &amp; Nvidia\n beat <b>estimates</b> - Reuters", "headline")
    assert isinstance(row, ArchiveRow)
    assert (row.title, row.source) == ("Apple & Nvidia beat estimates", "Reuters")
    linked = read_one(tmp_path, "HTTPS://News.example/a?utm_source=x&id=7#top", "url")
    assert isinstance(linked, ArchiveRow)
    assert linked.url == "https://news.example/a?id=7"


def test_a_row_of_another_width_is_dropped_and_the_others_are_read(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(f"time,headline\n{NOON},One\n{NOON},Two,three\n\n{NOON},Four\n")
    rows = list(read_archive(path, ArchiveColumns("headline", time="time"), UTC))
    assert [getattr(row, "title", "bad") for row in rows] == ["One", "bad", "Four"]
    assert rows[1] == BadRow("damaged row", "more or fewer cells than the header")


def bad_archives() -> Iterator[tuple[str, bytes, str]]:
    good = b"time,headline,ticker,source,url\n"
    yield "empty.csv", b"", "empty file"
    yield "column.csv", b"published,title\n", "no column headline, time, ticker, source, url; found published, title"
    yield "latin.csv", good + f"{NOON},Caf\xe9,,,\n".encode("latin-1"), "latin.csv: not UTF-8, among the first rows"
    rows = [f"{NOON},Apple beats,,,\n".encode()] * 60
    yield "late.csv", good + b"".join(rows * 50) + b"\xff\n", "late.csv: not UTF-8, somewhere after row 2,"
    yield (
        "quote.csv",
        good + b"".join([*rows[:30], f'{NOON},"Apple beats,,,\n'.encode(), *rows[30:]]),
        "line 32: no row",
    )
    yield "inner.csv", good + f'{NOON},"Apple "beats"",,,\n'.encode(), "line 2: no row of a CSV file"
    yield "header.csv", b'time,"headline\n' + rows[0], "line 1: no row of a CSV file"
    yield "twice.csv", b"time,headline,headline,ticker,source,url\n", "2 columns are called headline; expected one"
    yield "plain.csv.gz", good, "not a whole gzip file, among the first rows: "
    yield "cut.csv.gz", gzip.compress(good * 9000)[:-20], "not a whole gzip file, somewhere after row "
    yield "text.parquet", good, "not a Parquet file"
    yield "news.json", b"[]", "expected a file that ends in .parquet, .csv, .csv.gz"


@pytest.mark.parametrize(("name", "content", "message"), bad_archives(), ids=lambda value: str(value)[:12])
def test_a_bad_archive_is_named_with_its_fault(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ArchiveError) as caught:
        list(read_archive(tmp_path / name, COLUMNS, UTC))
    assert str(tmp_path / name) in str(caught.value)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_quotes_inside_a_cell_are_no_fault(tmp_path: Path) -> None:
    assert (
        getattr(read_one(tmp_path, 'The "new" Apple, in Ohio', "headline"), "title", "") == 'The "new" Apple, in Ohio'
    )
    path = tmp_path / "a.csv"
    path.write_text(f'time,headline\n{NOON},Apple "beats" all\n')
    (row,) = read_archive(path, ArchiveColumns("headline", time="time"), UTC)
    assert getattr(row, "title", "") == 'Apple "beats" all'


def test_a_missing_archive_is_named(tmp_path: Path) -> None:
    with pytest.raises(ArchiveError, match=r"absent\.csv: no such file"):
        list(read_archive(tmp_path / "absent.csv", COLUMNS, UTC))


def test_parquet_is_read_like_csv_whatever_types_its_columns_have(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    moments = [datetime(2026, 1, 21, 17, tzinfo=UTC), None, datetime(2026, 1, 21, 17, 0, 0, 900, tzinfo=UTC)]
    table = pa.table(
        {
            "time": pa.array(moments, pa.timestamp("ns", "UTC")),
            "naive": pa.array([datetime(2026, 1, 21, 12)] * 3, pa.timestamp("ms")),  # noqa: DTZ001
            "day": pa.array([date(2026, 1, 21)] * 3),
            "headline": ["One", "Two", None],
            "tags": pa.array([["AAPL", "brk-b"], None, []]),
        }
    )
    parquet.write_table(table, tmp_path / "a.parquet")
    columns = ArchiveColumns("headline", time="time", date="day", ticker="tags")
    one, two, three = read_archive(tmp_path / "a.parquet", columns, UTC)
    assert (one.published_at, one.symbols, one.date_flag) == (moments[0], ("AAPL", "BRK.B"), "")
    assert (two.published_at, two.symbols, two.date_flag) == (datetime(2026, 1, 22, tzinfo=UTC), (), "date_only")
    assert three == BadRow("no title", "")
    naive = next(iter(read_archive(tmp_path / "a.parquet", ArchiveColumns("headline", time="naive"), NEW_YORK)))
    assert naive.published_at == moments[0]
    with pytest.raises(ArchiveError, match="no column title; found time, naive, day, headline, tags"):
        list(read_archive(tmp_path / "a.parquet", ArchiveColumns("title", time="time"), UTC))
    parquet.write_table(table.append_column("headline", table["headline"]), tmp_path / "twice.parquet")
    with pytest.raises(ArchiveError, match="2 columns are called headline; expected one"):
        list(read_archive(tmp_path / "twice.parquet", columns, UTC))


def row_at(moment: datetime, title: str = "Apple beats estimates", symbols: tuple[str, ...] = ()) -> ArchiveRow:
    return ArchiveRow(title, "", "", symbols, moment, "")


def test_rows_are_counted_for_the_session_whose_window_holds_them(tmp_path: Path) -> None:
    first, last, second = SESSIONS[0], SESSIONS[-1], timedelta(seconds=1)
    rows = [
        row_at(first.opens_after),
        row_at(first.opens_after + second),
        row_at(first.cutoff_at),
        row_at(first.cutoff_at + second),
        row_at(last.cutoff_at),
        row_at(last.cutoff_at + second),
        BadRow("no time", ""),
        BadRow("no time", ""),
    ]
    tally = split_archive(rows, SESSIONS, first.session_date, frozenset(), tmp_path)
    assert tally.row_count == 8
    counts = {first.session_date: 2, SESSIONS[1].session_date: 1, last.session_date: 1}
    assert dict(tally.by_session) == counts
    assert dict(tally.dropped) == {"out of range": 2, "no time": 2}
    assert tally.first == {
        "out of range": f"row 1 below the header, {first.opens_after.isoformat()!r}",
        "no time": "row 7 below the header, ''",
    }


def test_rows_of_sealed_sessions_are_counted_but_not_kept(tmp_path: Path) -> None:
    rows = [row_at(session.cutoff_at) for session in SESSIONS]
    tally = split_archive(rows, SESSIONS, SESSIONS[5].session_date, frozenset(), tmp_path)
    months = sorted({first_of_month(session) for session in SESSIONS})
    kept = [headline.published_at for month in months for headline in read_month(tmp_path, month, "archive")]
    assert sum(tally.by_session.values()) == len(SESSIONS)
    assert kept == [session.cutoff_at for session in SESSIONS[5:]]


def test_one_headline_of_several_rows_carries_all_their_tickers_in_any_order(tmp_path: Path) -> None:
    at = SESSIONS[0].cutoff_at
    rows = [row_at(at, symbols=("MSFT",)), row_at(at, symbols=("AAPL", "X")), row_at(at, "Another"), row_at(at)]
    found = []
    for name, order in (("one", rows), ("two", rows[::-1])):
        (tmp_path / name).mkdir()
        tally = split_archive(order, SESSIONS, date.min, frozenset(["AAPL"]), tmp_path / name)
        found.append(read_month(tmp_path / name, first_of_month(SESSIONS[0]), "archive"))
        assert tally.foreign_count == 1
    assert found[0] == found[1]
    assert [(headline.title, headline.symbols) for headline in found[0]] == [
        ("Another", ()),
        ("Apple beats estimates", ("AAPL", "MSFT", "X")),
    ]
    assert len({headline.headline_id for headline in found[0]}) == 2
    assert all(headline.fetched_at == headline.published_at for headline in found[0])


def test_no_more_than_a_batch_is_held_while_an_archive_is_parted(tmp_path: Path) -> None:
    drawn, written = 0, []

    def draw() -> Iterator[ArchiveRow]:
        nonlocal drawn
        for i in range(3 * BATCH_ROWS + 5):
            path = tmp_path / f"{SESSIONS[0].session_date:%Y-%m}.csv"
            if i % BATCH_ROWS == 0:
                written.append(sum(1 for _ in csv.reader(path.open(newline=""))) if path.exists() else 0)
            drawn += 1
            yield row_at(SESSIONS[0].cutoff_at - timedelta(seconds=i))

    split_archive(draw(), SESSIONS, date.min, frozenset(), tmp_path)
    assert drawn == 3 * BATCH_ROWS + 5
    assert written == [0, BATCH_ROWS, 2 * BATCH_ROWS, 3 * BATCH_ROWS]
