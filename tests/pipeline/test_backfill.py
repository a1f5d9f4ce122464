from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from email.utils import format_datetime
from functools import partial
from pathlib import Path
from xml.sax.saxutils import escape

import pandas as pd
import pytest

from benchmarks.backfill import main as benchmark
from pipeline.__main__ import main
from pipeline.archive import ArchiveColumns
from pipeline.backfill import list_pending, list_sessions, score_locally
from pipeline.backfill_link import LinkJob, Memory, list_blocks
from pipeline.backfill_verb import list_changes
from pipeline.errors import ArchiveError, ConfigError, StoreError
from pipeline.records import Feed, Session
from pipeline.report import Report
from pipeline.run import capture, run_daily
from pipeline.store import FeatureStore
from tests.daily_line import COMPANIES, SESSIONS, WordScorer, hash_text, new_report, open_line
from tests.feed_server import Answer, FeedServer
from tests.sample import PLACES

from .made_archive import (
    HEADER,
    backfill,
    files_of,
    made_rows,
    made_sessions,
    open_backfill,
    write_csv,
)

PROJECT = Path(__file__).parent.parent.parent
LONG = made_sessions(26)
NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an archive of 26 sessions over three months; the third, and the first of March, have no headline."""
    return write_csv(tmp_path_factory.mktemp("archive") / "news.csv", made_rows(LONG, silent=(2, len(LONG) - 2)))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, archive: Path) -> Path:
    """Return the store of that archive, made in one go."""
    store = tmp_path_factory.mktemp("whole") / "store"
    backfill(store, archive, LONG)
    return store


def read_all(store: Path, sessions: tuple[Session, ...] = LONG) -> pd.DataFrame:
    return pd.concat([FeatureStore(store).read_features(session.session_date) for session in sessions])


def test_every_session_is_sealed_and_the_store_is_sound(whole: Path) -> None:
    store = FeatureStore(whole)
    assert store.verify() == []
    manifest = store.sealed()
    assert list(manifest.session_date) == [session.session_date for session in LONG]
    assert list(manifest.cutoff_at) == [session.cutoff_at for session in LONG]
    assert list(manifest.available_at) == [session.cutoff_at + timedelta(hours=1) for session in LONG]
    rows = read_all(whole)
    assert set(rows.status) == {"news", "no_news", "fetch_failed"}
    assert rows.story_count_21.notna().any()
    assert (rows.novel_share < 1).any()


def test_a_session_without_any_headline_is_missed_and_its_silence_unknown(whole: Path) -> None:
    store, gap = FeatureStore(whole), LONG[2].session_date
    manifest = store.sealed().set_index("session_date")
    assert list(manifest.index[manifest.state == "missed"]) == [gap, LONG[-2].session_date]
    assert set(store.read_features(gap).status) == {"fetch_failed"}
    assert tuple(manifest.loc[gap, ["feeds_ok", "feeds_failed"]]) == (0, 1)


def test_a_session_whose_headlines_concern_nobody_is_sealed_as_silent(tmp_path: Path) -> None:
    sessions = made_sessions(2)
    rows = [(session.cutoff_at.isoformat(), "Farmers expect rain", "XYZ", "", "") for session in sessions]
    summary = backfill(tmp_path / "store", write_csv(tmp_path / "a.csv", rows), sessions)
    assert (summary.missed_count, summary.headline_count, summary.tally.foreign_count) == (0, 0, 2)
    assert set(read_all(tmp_path / "store", sessions).status) == {"no_news"}


def test_several_tickers_of_one_headline_share_its_relevance(tmp_path: Path) -> None:
    sessions = made_sessions(1)
    rows = [(sessions[0].cutoff_at.isoformat(), "Wall Street ends flat", t, "", "") for t in ("AAPL", "MSFT", "X", "Y")]
    backfill(tmp_path / "store", write_csv(tmp_path / "a.csv", rows), sessions)
    evidence = FeatureStore(tmp_path / "store").read_headlines(sessions[0].session_date)
    assert list(zip(evidence.ticker, evidence.reason, evidence.relevance, strict=True)) == [
        ("AAPL", "symbol", 0.3),
        ("MSFT", "symbol", 0.3),
    ]
    assert evidence.headline_id.nunique() == 1


def test_a_bare_date_counts_for_the_session_after_that_day_and_says_so(tmp_path: Path) -> None:
    sessions = made_sessions(3)
    rows = [(sessions[0].session_date.isoformat(), "Apple beats estimates", "AAPL", "", "")]
    backfill(tmp_path / "store", write_csv(tmp_path / "a.csv", rows), sessions)
    store = FeatureStore(tmp_path / "store")
    assert [len(store.read_headlines(session.session_date)) for session in sessions] == [0, 1, 0]
    assert list(store.read_headlines(sessions[1].session_date).date_flag) == ["date_only"]


def test_the_order_of_the_archive_and_its_format_do_not_matter(tmp_path: Path, archive: Path, whole: Path) -> None:
    pytest.importorskip("pyarrow")
    frame = pd.read_csv(archive, dtype=str, keep_default_na=False).iloc[::-1]
    frame.to_parquet(tmp_path / "news.parquet")
    backfill(tmp_path / "store", tmp_path / "news.parquet", LONG)
    assert files_of(tmp_path / "store") == files_of(whole)


@pytest.mark.parametrize("cut", [3, 11])
def test_what_is_backfilled_in_two_goes_is_the_same_to_the_byte(
    tmp_path: Path, archive: Path, whole: Path, cut: int
) -> None:
    first = backfill(tmp_path / "store", archive, LONG[:cut])
    second = backfill(tmp_path / "store", archive, LONG)
    third = backfill(tmp_path / "store", archive, LONG)
    assert [(s.skipped_count, s.session_count) for s in (first, second, third)] == [
        (0, cut),
        (cut, len(LONG) - cut),
        (len(LONG), 0),
    ]
    assert files_of(tmp_path / "store") == files_of(whole)


KILLED = """
import os, signal, sys
from pathlib import Path
import pipeline.files
from pipeline import store
from tests.pipeline.made_archive import backfill, made_sessions

written = 0
def write_and_die(contents):
    global written
    for path, content in contents.items():
        pipeline.files.write_atomically(path, content)
        written += 1
        if written == int(sys.argv[3]):
            os.kill(os.getpid(), signal.SIGKILL)
store.write_all = write_and_die
backfill(Path(sys.argv[1]), Path(sys.argv[2]), made_sessions(26))
"""


@pytest.mark.parametrize("written", [20, 40])
def test_after_a_kill_in_the_middle_of_a_month_the_same_command_ends_with_the_same_bytes(
    tmp_path: Path, archive: Path, whole: Path, written: int
) -> None:
    store = tmp_path / "store"
    command = [sys.executable, "-c", KILLED, str(store), str(archive), str(written)]
    killed = subprocess.run(command, cwd=PROJECT, check=False, env=os.environ | {"TMPDIR": str(tmp_path)})
    assert killed.returncode == -signal.SIGKILL
    assert 0 < len(files_of(store)) < len(files_of(whole))
    assert FeatureStore(store).sealed_dates() < {session.session_date for session in LONG}
    backfill(store, archive, LONG)
    assert files_of(store) == files_of(whole)


@pytest.mark.parametrize(("written", "count"), [(5, 1), (40, 10)])
def test_after_a_kill_a_run_with_an_earlier_end_leaves_nothing_of_later_sessions(
    tmp_path: Path, archive: Path, written: int, count: int
) -> None:
    store = tmp_path / "store"
    command = [sys.executable, "-c", KILLED, str(store), str(archive), str(written)]
    subprocess.run(command, cwd=PROJECT, check=False, env=os.environ | {"TMPDIR": str(tmp_path)})
    assert FeatureStore(store).captured_dates() - FeatureStore(store).sealed_dates()
    backfill(store, archive, LONG[:count])
    assert FeatureStore(store).verify() == []
    assert FeatureStore(store).captured_dates() == FeatureStore(store).sealed_dates()
    backfill(store, archive, LONG[:10])
    backfill(tmp_path / "undisturbed", archive, LONG[: len(FeatureStore(store).sealed_dates())])
    assert files_of(store) == files_of(tmp_path / "undisturbed")


def test_a_package_that_a_kill_left_ahead_of_the_manifest_is_put_right(tmp_path: Path, archive: Path) -> None:
    backfill(tmp_path / "store", archive, LONG[:3])
    before = files_of(tmp_path / "store")
    (tmp_path / "store" / "datapackage.json").write_text("{}")
    backfill(tmp_path / "store", archive, LONG[:3])
    assert files_of(tmp_path / "store") == before


def test_blocks_are_bounded_and_miss_no_session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, archive: Path) -> None:
    monkeypatch.setattr("pipeline.backfill_link.BLOCK_PAIRS", 10)
    sizes = []

    class CountingScorer(WordScorer):
        def score(self, pairs: list[tuple[str, str]], progress: bool = False) -> object:
            sizes.append(len(pairs))
            return super().score(pairs, progress)

    summary = backfill(tmp_path / "store", archive, LONG, partial(score_locally, scorer=CountingScorer()))
    assert sum(sizes) == summary.pair_count
    largest = max(len(FeatureStore(tmp_path / "store").read_headlines(session.session_date)) for session in LONG)
    assert max(sizes) < 10 + largest
    assert len(sizes) > 3


def test_no_month_is_read_before_the_one_before_it_is_scored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[date] = []
    monkeypatch.setattr("pipeline.backfill_link.read_month", lambda folder, month, feed: opened.append(month) or [])
    monkeypatch.setattr("pipeline.backfill_link.BLOCK_PAIRS", 0)
    work = open_backfill(tmp_path / "store", LONG)
    blocks = list_blocks(LinkJob(tmp_path, LONG, COMPANIES, work.settings, Memory()), Report("test", NOW, "", ""))
    next(blocks)
    assert opened == [date(2026, 1, 1)]


def test_an_archive_without_a_headline_of_these_sessions_says_what_was_found(tmp_path: Path) -> None:
    rows = [("yesterday", "Apple beats", "", "", ""), ("2020-01-02T12:00:00Z", "Apple beats", "", "", "")]
    path = write_csv(tmp_path / "a.csv", rows)
    with pytest.raises(ArchiveError) as caught:
        backfill(tmp_path / "store", path, LONG)
    assert (
        "1 unreadable time (row 1 below the header, 'yesterday'), 1 out of range (row 2 below the header, '2020"
        in str(caught.value)
    )
    assert not (tmp_path / "store").exists()


def test_a_store_has_no_holes_and_grows_forwards_only(tmp_path: Path, archive: Path) -> None:
    backfill(tmp_path / "store", archive, LONG[5:8])
    store, before = FeatureStore(tmp_path / "store"), files_of(tmp_path / "store")
    assert list_pending(store, LONG[5:8]) == ()
    assert list_pending(store, LONG[8:9]) == LONG[8:9]
    with pytest.raises(StoreError, match=f"ends with session {LONG[7].session_date}; --start must leave none out"):
        backfill(tmp_path / "store", archive, LONG[9:])
    with pytest.raises(StoreError, match=f"begins with session {LONG[5].session_date}; no earlier one"):
        backfill(tmp_path / "store", archive, LONG)
    moved = replace(LONG[8], opens_after=LONG[8].opens_after + timedelta(minutes=30))
    with pytest.raises(StoreError, match="was cut off at 21:00 UTC, the settings say 21:30"):
        backfill(tmp_path / "store", archive, (moved,))
    assert files_of(tmp_path / "store") == before


@pytest.mark.parametrize(
    ("start", "end", "message"),
    [
        ("2026-11-16", "2026-11-20", "--end 2026-11-20: the last session whose features could be known is 2026-11-19"),
        ("2026-11-14", "2026-11-15", "no trading session in between"),
    ],
)
def test_sessions_that_are_not_over_are_refused(start: str, end: str, message: str) -> None:
    latency = timedelta(hours=1)
    with pytest.raises(ConfigError, match=message):
        list_sessions(SESSIONS, date.fromisoformat(start), date.fromisoformat(end), latency, NOW)
    found = list_sessions(SESSIONS, date(2026, 11, 14), date(2026, 11, 19), latency, NOW)
    assert [session.session_date.day for session in found] == [16, 17, 18, 19]


def daily_document(rows: list[tuple]) -> bytes:
    """Return an RSS document of archive rows, with the tickers where Nasdaq's feeds have them and no guid."""
    tags: dict[tuple, list[str]] = {}
    for moment, title, ticker, _, url in rows:
        tags.setdefault((moment, title, url), []).append(ticker)
    items = "".join(
        f"<item><title>{escape(title)}</title><link>{url}</link>"
        f"<pubDate>{format_datetime(datetime.fromisoformat(moment))}</pubDate>"
        f"<nasdaq:tickers>{','.join(filter(None, tickers))}</nasdaq:tickers></item>"
        for (moment, title, url), tickers in tags.items()
    )
    space = "xmlns:nasdaq='http://nasdaq.com/reference/feeds/1.0'"
    return f"<rss version='2.0' {space}><channel><title>Wire</title>{items}</channel></rss>".encode()


def test_the_daily_line_makes_the_same_rows_of_the_same_headlines(tmp_path: Path) -> None:
    sessions = made_sessions(26)
    rows = made_rows(sessions)
    rows = [row if row[4] else (*row[:4], f"https://news.example/{hash_text(f'{row[0]} {row[1]}')}") for row in rows]
    backfill(tmp_path / "backfill", write_csv(tmp_path / "a.csv", rows), sessions)
    with FeedServer() as server:
        feeds = [Feed("wire", "Wire", server.url("/wire"))]
        for session in sessions:
            inside = [r for r in rows if session.opens_after < datetime.fromisoformat(str(r[0])) <= session.cutoff_at]
            server.add("/wire", Answer(body=daily_document(inside)))
            run_daily(open_line(tmp_path / "daily", feeds, session.cutoff_at + timedelta(minutes=5)), new_report())
    ours, theirs = read_all(tmp_path / "backfill", sessions), read_all(tmp_path / "daily", sessions)
    pd.testing.assert_frame_equal(ours.drop(columns="available_at"), theirs.drop(columns="available_at"))
    assert (ours.status == "news").sum() > 50
    assert (ours.novel_share < 1).any()
    assert ours.story_count_21.notna().any()
    for session in sessions:
        evidence = [
            FeatureStore(tmp_path / name).read_headlines(session.session_date) for name in ("backfill", "daily")
        ]
        one, two = (frame.drop(columns=["fetched_at", "feed_id"]) for frame in evidence)
        pd.testing.assert_frame_equal(one, two)


def test_headlines_that_the_daily_line_has_captured_are_not_written_over(tmp_path: Path) -> None:
    with FeedServer() as server:
        server.add("/wire", Answer(body=daily_document([(LONG[1].cutoff_at.isoformat(), "Apple beats", "", "", "")])))
        line = open_line(tmp_path / "store", [Feed("wire", "Wire", server.url("/wire"))], LONG[1].cutoff_at)
        capture(line, new_report())
    path = write_csv(tmp_path / "a.csv", made_rows(LONG))
    before = files_of(tmp_path / "store")
    with pytest.raises(StoreError, match="captured from feeds such as wire; seal them first"):
        backfill(tmp_path / "store", path, LONG)
    assert files_of(tmp_path / "store") == before


def options(archive: Path, root: Path, **changes: str) -> list[str]:
    known = {"start": "2026-01-20", "end": "2026-01-30", "root": str(root), "time-column": "time", **changes}
    return ["backfill", str(archive), *PLACES, *(part for key, value in known.items() for part in (f"--{key}", value))]


def test_the_verb_tells_what_it_did_and_goes_on_where_it_stopped(
    tmp_path: Path, archive: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "store"
    argv = options(archive, root, **{"ticker-column": "ticker", "source-column": "source", "url-column": "url"})
    assert main([*argv, "--dry-run"]) == 0
    assert "9 sealed now, 0 before" in capsys.readouterr().out
    assert not root.exists()
    assert main(argv) == 0
    told = capsys.readouterr()
    assert "sessions: 2026-01-20 to 2026-01-30, 9 sealed now, 0 before" in told.out
    assert "missed: 1 of them" in told.out
    assert "out of range, first row" in told.out
    assert told.err == ""
    assert main(argv) == 0
    assert "0 sealed now, 9 before" in capsys.readouterr().out
    assert FeatureStore(root).verify() == []


def test_another_model_or_latency_than_before_is_said(
    tmp_path: Path, archive: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "store"
    backfill(root, archive, LONG[:2])
    assert list_changes(open_backfill(root, LONG[:3])) == []
    assert list_changes(open_backfill(root, LONG[:2], "f" * 40)) == []
    assert list_changes(open_backfill(tmp_path / "new", LONG, "f" * 40)) == []
    assert main(options(archive, root, **{"latency-minutes": "90"})) == 0
    told = capsys.readouterr().out.splitlines()
    assert told[0].startswith(f"model: earlier sessions have model_revision {WordScorer.revision}, new ones ")
    assert told[1] == "latency: earlier sessions have 60 minutes, new ones 90"


@pytest.mark.parametrize("content", ["", "<!-- end of figures --> <!-- figures -->"])
def test_the_benchmark_refuses_a_page_without_a_place_for_its_tables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], content: str
) -> None:
    page = tmp_path / "page.md"
    page.write_text(content)
    monkeypatch.setattr(sys, "argv", ["backfill", "--write", str(page)])
    assert benchmark() == 1
    assert capsys.readouterr().err == (
        f"error: {page}: expected a page with <!-- figures --> and, below it, <!-- end of figures -->\n"
    )
    assert page.read_text() == content


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"start": "2026-02-01"}, "--start 2026-02-01 is after --end 2026-01-30"),
        ({"start": "January"}, "--start January: expected a date such as 2015-01-02"),
        ({"time-column": ""}, "expected --time-column or --date-column"),
        ({"title-column": ""}, "--title-column: expected the name"),
        ({"time-column": "when"}, f"no column when; found {', '.join(HEADER)}"),
        ({"timezone": "Mars/Olympus"}, "--timezone Mars/Olympus: expected a name such as UTC"),
        ({"latency-minutes": "-1"}, "--latency-minutes -1: expected 0 to 10080 (seven days)"),
        ({"latency-minutes": "10081"}, "--latency-minutes 10081: expected 0 to 10080 (seven days)"),
        ({"latency-minutes": "99999999999"}, "--latency-minutes 99999999999: expected 0 to 10080"),
        ({"workers": "-1"}, "--workers -1: expected 1 or more"),
        ({"address": "auto"}, "--address auto: only --engine ray"),
        ({"universe": "absent.csv"}, "absent.csv"),
    ],
)
def test_bad_options_are_one_line_and_write_nothing(
    tmp_path: Path, archive: Path, capsys: pytest.CaptureFixture[str], changes: dict[str, str], message: str
) -> None:
    assert main(options(archive, tmp_path / "store", **changes)) == 1
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not (tmp_path / "store").exists()


def test_parquet_without_its_library_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    (tmp_path / "a.parquet").write_bytes(b"PAR1")
    assert main(options(tmp_path / "a.parquet", tmp_path / "store")) == 1
    assert "needs pyarrow: pip install -r pipeline/requirements-backfill.txt" in capsys.readouterr().err


def test_bare_dates_alone_are_enough(tmp_path: Path) -> None:
    columns = ArchiveColumns("headline", date="day")
    path = write_csv(tmp_path / "a.csv", [("2026-01-20", "Apple beats estimates")], ("day", "headline"))
    summary = backfill(tmp_path / "store", path, made_sessions(3), columns=columns)
    assert summary.headline_count == 1
