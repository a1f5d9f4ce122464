"""A run by hand: no session sealed after the one named, and a few tickers tried without keeping anything."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from pipeline import __main__ as pipeline_line
from pipeline.records import Feed
from pipeline.run import capture, run_daily, seal
from pipeline.store import FeatureStore

from .daily_line import COMPANIES, feed_document, new_report, open_line
from .feed_server import Answer, FeedServer
from .pipeline.made_store import read_tree
from .sample import REPLAY

FRIDAY, THURSDAY = date(2026, 11, 20), date(2026, 11, 19)
CLOSE = datetime(2026, 11, 20, 21, tzinfo=UTC)
EVENING = CLOSE + timedelta(minutes=35)


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    """Run a verb on the sample day; return its exit code and all it printed."""

    def run_verb(verb: str, *options: str) -> tuple[int, str]:
        places = ["--store", str(tmp_path / "store"), "--report", str(tmp_path / "report")]
        code = pipeline_line.main([verb, *REPLAY, *places, *options])
        shown = capsys.readouterr()
        return code, shown.out + shown.err

    return run_verb


def serve_two_days(server: FeedServer, root: Path) -> list[Feed]:
    """Serve news of a Thursday and a Friday, capture the Thursday's before its close; return the feeds."""
    feeds = [Feed(f"wire:{c.ticker}", "Wire", server.url(f"/{c.ticker}"), c.ticker) for c in COMPANIES]
    for feed in feeds:
        server.add(f"/{feed.ticker}", Answer(body=feed_document()))
    thursday = CLOSE - timedelta(days=1, hours=2)
    server.add("/AAPL", Answer(body=feed_document(("Apple beats estimates", thursday))))
    capture(open_line(root, feeds, thursday + timedelta(minutes=1)), new_report())
    server.add("/AAPL", Answer(body=feed_document(("Apple misses estimates", CLOSE - timedelta(hours=2)))))
    return feeds


def test_no_session_is_sealed_after_the_last_one_and_a_later_run_seals_the_rest_alike(tmp_path: Path) -> None:
    for name, steps in (
        ("at once", [(None, [THURSDAY, FRIDAY])]),
        ("in steps", [(THURSDAY, [THURSDAY]), (None, [FRIDAY])]),
    ):
        with FeedServer() as server:
            feeds = serve_two_days(server, tmp_path / name)
            for last, sealed in steps:
                run_daily(open_line(tmp_path / name, feeds, EVENING), report := new_report(), last)
                assert [day.session_date for day in report.sealed] == sealed
    trees = [read_tree(tmp_path / name) for name in ("at once", "in steps")]
    for path in (f"{folder}/2026/{day}.csv" for folder in ("features", "headlines") for day in (THURSDAY, FRIDAY)):
        assert trees[0][path] == trees[1][path]


def test_a_last_session_before_every_other_seals_nothing(tmp_path: Path) -> None:
    with FeedServer() as server:
        feeds = serve_two_days(server, tmp_path)
        seal(open_line(tmp_path, feeds, EVENING), report := new_report(), THURSDAY - timedelta(days=1))
    assert not report.sealed
    assert FeatureStore(tmp_path).sealed_dates() == set()


@pytest.mark.parametrize("options", [["--session", str(FRIDAY)], ["--session", "", "--tickers", ""], []])
def test_the_named_session_is_sealed_and_empty_options_are_none(
    run: Callable[..., tuple[int, str]], tmp_path: Path, options: list[str]
) -> None:
    code, shown = run("daily", *options)
    assert code == 0
    assert "warning this run" not in shown
    assert FeatureStore(tmp_path / "store").sealed_dates() == {FRIDAY}


@pytest.mark.parametrize(
    ("session", "notes"),
    [
        ("2026-11-20", "it is sealed already, and nothing of it was changed"),
        ("2026-11-23", "it is open until 2026-11-23 21:00 UTC"),
        ("2026-11-19", "it lies before the first session of this store"),
    ],
)
def test_a_session_that_was_not_sealed_is_explained_and_fails_nothing(
    run: Callable[..., tuple[int, str]], tmp_path: Path, session: str, notes: str
) -> None:
    run("daily")
    before = read_tree(tmp_path / "store")
    code, shown = run("seal", "--session", session)
    assert code == 0
    assert f"warning this run sealed session {session}: {notes}" in shown
    assert read_tree(tmp_path / "store") == before
    checks = json.loads((tmp_path / "report" / "report.json").read_text())["checks"]
    assert [check["notes"] for check in checks if check["name"] == f"this run sealed session {session}"] == [notes]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--session", "2026-11-21"], "2026-11-21 (Saturday) is no XNYS session; the nearest are 2026-11-20 and"),
        (["--session", "yesterday"], "bad date 'yesterday': expected YYYY-MM-DD"),
        (["--tickers", "AAPL"], "--tickers AAPL needs --dry-run: a sealed session has a row for every ticker"),
        (["--tickers", "NOPE", "--dry-run"], "--tickers NOPE: not in the universe of 51 tickers"),
        (["--tickers", " , ", "--dry-run"], "--tickers ' , ': expected tickers separated by commas"),
    ],
)
@pytest.mark.parametrize("verb", ["seal", "daily"])
def test_an_impossible_choice_is_one_line_and_writes_nothing(
    run: Callable[..., tuple[int, str]], tmp_path: Path, verb: str, options: list[str], message: str
) -> None:
    code, shown = run(verb, *options)
    assert code == 1
    assert shown.startswith(f"error: {message}")
    assert shown.count("\n") == 1
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize("is_captured", [False, True])
def test_chosen_tickers_alone_are_read_scored_and_shown(
    run: Callable[..., tuple[int, str]], tmp_path: Path, is_captured: bool
) -> None:
    if is_captured:
        run("capture")
    before = read_tree(tmp_path / "store")
    code, shown = run("daily", "--dry-run", "--tickers", "nvda,AAPL")
    assert code == 0
    assert "of 2 tickers with news" in shown
    assert read_tree(tmp_path / "store") == before
    report = json.loads((tmp_path / "report" / "report.json").read_text())
    (session,) = report["sessions"]
    assert session["tickers"] == {"news": ["AAPL", "NVDA"], "no_news": [], "fetch_failed": []}
    assert 0 < session["headline_count"] < 40
    assert report["command"] == "daily (dry run)"
