"""The whole day over real sockets: feeds, some of them broken, to sealed CSV files."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pandas as pd
import pytest

from pipeline.errors import RefusedDayError
from pipeline.records import Feed
from pipeline.run import capture, run_daily, seal
from pipeline.store import FeatureStore

from .daily_line import COMPANIES, SESSIONS, feed_document, new_report, open_line
from .feed_server import Answer, FeedServer

FRIDAY = date(2026, 11, 20)
MONDAY = date(2026, 11, 23)
CLOSE = datetime(2026, 11, 20, 21, tzinfo=UTC)
EVENING = CLOSE + timedelta(minutes=35)
NEXT_EVENING = EVENING + timedelta(days=3)
NOON = CLOSE - timedelta(hours=4)
HOUR = timedelta(hours=1)


def own_feeds(server: FeedServer, *names: str) -> list[Feed]:
    """Return one feed per company and name, all on the server."""
    return [
        Feed(f"{name}:{company.ticker}", name.title(), server.url(f"/{name}/{company.ticker}"), company.ticker)
        for name in names
        for company in COMPANIES
    ]


def serve_day(server: FeedServer) -> list[Feed]:
    """Serve a Friday with news, silence and every kind of broken feed; return its feeds."""
    feeds = [*own_feeds(server, "wire"), Feed("all", "Everything", server.url("/all"))]
    feeds += [Feed(f"broken:{t}", "Broken", server.url(f"/broken/{t}"), t) for t in ("AAPL", "MSFT", "NVDA")]
    both = ("Apple and Microsoft renew a patent licence", NOON)
    server.add(
        "/wire/AAPL", Answer(body=feed_document(("Apple beats estimates on iPhone sales", NOON), both), etag='"a"')
    )
    server.add("/wire/MSFT", Answer(body=feed_document(both, ("Microsoft misses cloud forecast", CLOSE))))
    server.add("/wire/BRK.B", Answer(body=feed_document()))
    server.add("/wire/NVDA", Answer(body=feed_document()))
    server.add(
        "/all",
        Answer(
            body=feed_document(
                ("Apple beats estimates on iPhone sales.", NOON + timedelta(hours=1)),
                ("Berkshire Hathaway beats estimates", CLOSE + timedelta(seconds=1)),
                ("Growers expect a large apple harvest", NOON),
                ("Nvidia beats estimates", CLOSE - timedelta(days=2)),
            )
        ),
    )
    server.add("/broken/AAPL", Answer(500))
    server.add("/broken/MSFT", Answer(hang=True))
    server.add("/broken/NVDA", Answer(body=b"<html><body>Please enable JavaScript</body></html>"))
    return feeds


def run_friday(store: Path, feeds: Sequence[Feed]) -> pd.DataFrame:
    run_daily(open_line(store, feeds, EVENING), new_report())
    return FeatureStore(store).read_features(FRIDAY).set_index("ticker")


def files_of(store: Path) -> dict[str, bytes]:
    return {str(path.relative_to(store)): path.read_bytes() for path in sorted(store.rglob("*")) if path.is_file()}


def test_a_day_with_broken_feeds_is_sealed_with_its_three_states(tmp_path: Path) -> None:
    with FeedServer() as server:
        rows = run_friday(tmp_path / "store", serve_day(server))
    assert dict(rows.status) == {"AAPL": "news", "BRK.B": "no_news", "MSFT": "news", "NVDA": "fetch_failed"}
    apple = rows.loc["AAPL"]
    assert (apple.headline_count, apple.story_count, apple.source_count) == (3, 2, 2)
    assert (apple.positive_count, apple.neutral_count, apple.negative_count) == (1, 1, 0)
    assert apple.sentiment_max == pytest.approx(0.85)
    assert rows.loc["MSFT"].negative_count == 1
    assert rows.loc["BRK.B"].headline_count == 0
    assert pd.isna(rows.loc["NVDA"].headline_count)
    assert rows.sentiment_score.isna().tolist() == [False, True, False, True]


def test_every_fault_is_one_line_in_report_and_state(tmp_path: Path) -> None:
    report = new_report()
    with FeedServer() as server:
        run_daily(open_line(tmp_path / "store", serve_day(server), EVENING), report)
    assert sorted(report.feed_faults) == ["broken:AAPL", "broken:MSFT", "broken:NVDA"]
    assert "500" in report.feed_faults["broken:AAPL"]
    assert "timed out" in report.feed_faults["broken:MSFT"]
    assert "not a feed" in report.feed_faults["broken:NVDA"]
    states = FeatureStore(tmp_path / "store").read_feed_states()
    assert {key: state.fault for key, state in states.items() if state.fault} == report.feed_faults
    assert dict(report.count_dropped()) == {"no_ticker": 1, "before_first_session": 1, "same_id": 1}


def test_the_same_day_twice_is_byte_identical(tmp_path: Path) -> None:
    for name in ("one", "two"):
        with FeedServer() as server:
            run_friday(tmp_path / name, serve_day(server))
    one, two = files_of(tmp_path / "one"), files_of(tmp_path / "two")
    port_dependent = "state/feeds.csv"
    assert {path: body for path, body in one.items() if path != port_dependent} == {
        path: body for path, body in two.items() if path != port_dependent
    }
    assert f"features/2026/{FRIDAY}.csv" in one


def test_the_order_of_feeds_does_not_matter(tmp_path: Path) -> None:
    with FeedServer() as server:
        feeds = serve_day(server)
        run_friday(tmp_path / "one", feeds)
        random.Random(1).shuffle(feeds)
        run_friday(tmp_path / "two", feeds)
    one, two = files_of(tmp_path / "one"), files_of(tmp_path / "two")
    assert one[f"features/2026/{FRIDAY}.csv"] == two[f"features/2026/{FRIDAY}.csv"]
    assert one[f"headlines/2026/{FRIDAY}.csv"] == two[f"headlines/2026/{FRIDAY}.csv"]


def test_a_sealed_day_stays_as_it_is_and_unchanged_feeds_are_not_read_again(tmp_path: Path) -> None:
    with FeedServer() as server:
        feeds = serve_day(server)
        run_friday(tmp_path, feeds)
        before = files_of(tmp_path)
        report = new_report()
        run_daily(open_line(tmp_path, feeds, EVENING + timedelta(hours=1)), report)
    after = files_of(tmp_path)
    changed = {path for path in before if before[path] != after[path]}
    assert changed == {"state/feeds.csv"}
    assert after.keys() == before.keys()
    assert report.feed_counts["not_modified"] == 1
    assert dict(report.count_dropped())["already_known"] > 0
    assert not report.sealed


def test_no_network_stops_the_day_and_writes_nothing(tmp_path: Path) -> None:
    with FeedServer() as server:
        feeds = own_feeds(server, "wire")
    report = new_report()
    with pytest.raises(RefusedDayError, match=r"4 of 4 feeds failed.*wire:AAPL"):
        run_daily(open_line(tmp_path / "store", feeds, EVENING), report)
    assert files_of(tmp_path) == {}
    assert len(report.feed_faults) == 4


def test_an_empty_day_is_not_sealed(tmp_path: Path) -> None:
    with FeedServer() as server:
        feeds = own_feeds(server, "wire")
        for feed in feeds:
            server.add(f"/{feed.feed_id.replace(':', '/')}", Answer(body=feed_document()))
        with pytest.raises(RefusedDayError, match="0 headlines, at least 1 expected"):
            run_daily(open_line(tmp_path, feeds, EVENING), new_report())
    assert FeatureStore(tmp_path).sealed_dates() == set()


def test_captures_through_the_day_give_what_one_capture_gives(tmp_path: Path) -> None:
    with FeedServer() as server:
        feeds = serve_day(server)
        for minutes in (-30, -10, 0):
            capture(open_line(tmp_path / "ticks", feeds, EVENING + timedelta(minutes=minutes)), new_report())
        seal(open_line(tmp_path / "ticks", feeds, EVENING), new_report())
        run_friday(tmp_path / "once", feeds)
    path = f"features/2026/{FRIDAY}.csv"
    assert files_of(tmp_path / "ticks")[path] == files_of(tmp_path / "once")[path]


def test_silence_before_the_cutoff_proves_nothing(tmp_path: Path) -> None:
    with FeedServer() as server:
        feeds = serve_day(server)
        capture(open_line(tmp_path, feeds, CLOSE - timedelta(minutes=1)), new_report())
        with pytest.raises(RefusedDayError, match="8 of 8 feeds failed"):
            seal(open_line(tmp_path, feeds, EVENING), new_report())
    assert FeatureStore(tmp_path).sealed_dates() == set()


def test_after_the_cutoff_counts_for_the_next_session_and_late_news_is_marked(tmp_path: Path) -> None:
    with FeedServer() as server:
        feeds = serve_day(server)
        run_friday(tmp_path, feeds)
        sealed = files_of(tmp_path)
        server.add("/wire/NVDA", Answer(body=feed_document(("Nvidia beats estimates again", NOON))))
        run_daily(open_line(tmp_path, feeds, NEXT_EVENING), new_report())
    store = FeatureStore(tmp_path)
    evidence = store.read_headlines(MONDAY).set_index("ticker")
    assert dict(evidence.is_late) == {"BRK.B": False, "NVDA": True}
    assert dict(store.read_features(MONDAY).set_index("ticker").headline_count.fillna(-1)) == {
        "AAPL": -1,
        "BRK.B": 1,
        "MSFT": -1,
        "NVDA": 1,
    }
    for path in (f"features/2026/{FRIDAY}.csv", f"headlines/2026/{FRIDAY}.csv"):
        assert files_of(tmp_path)[path] == sealed[path]


def test_one_run_catches_up_every_session_it_finds_unsealed(tmp_path: Path) -> None:
    thursday = CLOSE - timedelta(days=1, hours=2)
    with FeedServer() as server:
        feeds = own_feeds(server, "wire")
        for feed in feeds:
            server.add(f"/{feed.feed_id.replace(':', '/')}", Answer(body=feed_document()))
        server.add("/wire/AAPL", Answer(body=feed_document(("Apple beats estimates", thursday))))
        capture(open_line(tmp_path, feeds, thursday + timedelta(minutes=1)), new_report())
        server.add("/wire/AAPL", Answer(body=feed_document(("Apple misses estimates", NOON))))
        report = new_report()
        run_daily(open_line(tmp_path, feeds, EVENING), report)
    assert [day.session_date for day in report.sealed] == [FRIDAY - timedelta(days=1), FRIDAY]
    assert FeatureStore(tmp_path).verify() == []


def test_trailing_columns_fill_as_sessions_are_sealed(tmp_path: Path) -> None:
    with FeedServer() as server:
        feeds = own_feeds(server, "wire")
        for feed in feeds:
            server.add(f"/{feed.feed_id.replace(':', '/')}", Answer(body=feed_document()))
        close, rows = CLOSE, []
        for day in range(5):
            title = f"Apple beats estimates, day {day}"
            server.add("/wire/AAPL", Answer(body=feed_document((title, close - timedelta(hours=1)))))
            run_daily(open_line(tmp_path, feeds, close + timedelta(minutes=30)), new_report())
            session = open_line(tmp_path, feeds, close).sessions.session_of(close)
            rows.append(FeatureStore(tmp_path).read_features(session.session_date).set_index("ticker").loc["AAPL"])
            close = open_line(tmp_path, feeds, close).sessions.next(session).close_at
    assert [pd.isna(row.story_count_5) for row in rows] == [True] * 4 + [False]
    assert rows[-1].story_count_5 == 5
    assert rows[-1].sentiment_score_5 == pytest.approx(0.85)
    assert FeatureStore(tmp_path).verify() == []


def test_a_session_nobody_observed_is_sealed_as_missed_and_the_line_goes_on(tmp_path: Path) -> None:
    later = EVENING + timedelta(days=10)
    with FeedServer() as server:
        feeds = serve_day(server)
        run_friday(tmp_path, feeds)
        recent = [(f"Nvidia beats estimates, part {days}", later - timedelta(days=days, hours=5)) for days in (0, 3)]
        server.add("/wire/NVDA", Answer(body=feed_document(*recent)))
        run_daily(open_line(tmp_path, feeds, later), new_report())
    store = FeatureStore(tmp_path)
    states = {f"{day:%m-%d}": state for day, state in store.sealed().set_index("session_date").state.items()}
    assert states == {
        "11-20": "sealed",
        "11-23": "missed",
        "11-24": "missed",
        "11-25": "missed",
        "11-27": "missed",
        "11-30": "sealed",
    }
    assert dict(store.read_features(MONDAY).set_index("ticker").status) == {
        "AAPL": "fetch_failed",
        "BRK.B": "news",
        "MSFT": "fetch_failed",
        "NVDA": "fetch_failed",
    }
    assert store.verify() == []


@pytest.mark.parametrize(("before", "after"), [(60, 0), (0, 60), (-60, 0), (0, -60)])
def test_a_changed_cutoff_moves_what_is_open_and_leaves_what_is_sealed(tmp_path: Path, before: int, after: int) -> None:
    edge, thursday = CLOSE + timedelta(minutes=30), CLOSE - timedelta(days=1)
    with FeedServer() as server:
        feeds = own_feeds(server, "wire")
        for feed in feeds:
            server.add(f"/{feed.feed_id.replace(':', '/')}", Answer(body=feed_document()))
        server.add("/wire/AAPL", Answer(body=feed_document(("Apple beats estimates", thursday - HOUR * 3))))
        run_daily(open_line(tmp_path, feeds, thursday + HOUR * 2, before), new_report())
        sealed = files_of(tmp_path)
        server.add("/wire/AAPL", Answer(body=feed_document(("Apple misses estimates", NOON))))
        server.add("/wire/NVDA", Answer(body=feed_document(("Nvidia beats estimates", edge))))
        capture(open_line(tmp_path, feeds, edge + timedelta(minutes=1), before), new_report())
        server.add("/wire/BRK.B", Answer(body=feed_document(("Berkshire Hathaway misses", NOON + timedelta(days=3)))))
        run_daily(open_line(tmp_path, feeds, NEXT_EVENING + HOUR, after), new_report())
    store = FeatureStore(tmp_path)
    assert store.sealed_dates() == {thursday.date(), FRIDAY, MONDAY}
    assert store.verify() == []
    assert all(files_of(tmp_path)[path] == sealed[path] for path in sealed if path.startswith("features/"))
    day = FRIDAY if after == 60 else MONDAY
    assert store.read_features(day).set_index("ticker").status["NVDA"] == "news"


def test_a_sealed_session_rests_on_one_model(tmp_path: Path) -> None:
    with FeedServer() as server:
        feeds = serve_day(server)
        capture(open_line(tmp_path, feeds, EVENING), new_report())
        line = open_line(tmp_path, feeds, EVENING)
        line.scorer.revision = "f" * 40  # type: ignore[misc]
        seal(line, new_report())
    store = FeatureStore(tmp_path)
    assert set(store.read_headlines(FRIDAY).model_revision) == {"f" * 40}
    assert set(store.read_features(FRIDAY).model_revision) == {"f" * 40}


def test_a_clock_that_went_back_seals_nothing(tmp_path: Path) -> None:
    with FeedServer() as server:
        feeds = serve_day(server)
        capture(open_line(tmp_path, feeds, EVENING + HOUR), new_report())
        with pytest.raises(RefusedDayError, match="headlines were seen before the sealing"):
            seal(open_line(tmp_path, feeds, EVENING), new_report())
    assert FeatureStore(tmp_path).sealed_dates() == set()


def test_an_answer_from_another_address_proves_no_silence(tmp_path: Path) -> None:
    with FeedServer() as server:
        feeds = serve_day(server)
        capture(open_line(tmp_path, feeds, EVENING), new_report())
        moved = [replace(f, url=f.url + "?v=2") if f.feed_id == "wire:BRK.B" else f for f in feeds]
        seal(open_line(tmp_path, moved, EVENING), new_report())
    assert FeatureStore(tmp_path).read_features(FRIDAY).set_index("ticker").loc["BRK.B"].status == "fetch_failed"


def test_an_unchanged_general_feed_is_read_again_for_a_new_ticker(tmp_path: Path) -> None:
    with FeedServer() as server:
        feeds = [*own_feeds(server, "wire"), Feed("all", "Everything", server.url("/all"))]
        for feed in feeds[:-1]:
            server.add(f"/{feed.feed_id.replace(':', '/')}", Answer(body=feed_document()))
        news = [(f"{name} beats estimates", CLOSE + HOUR * 2) for name in ("Apple", "Nvidia")]
        server.add("/all", Answer(body=feed_document(("Apple misses estimates", NOON), *news), etag='"1"'))
        small = replace(open_line(tmp_path, feeds, CLOSE + HOUR * 3), companies=COMPANIES[:1])
        run_daily(small, new_report())
        run_daily(open_line(tmp_path, feeds, NEXT_EVENING), new_report())
    assert dict(FeatureStore(tmp_path).read_features(MONDAY).set_index("ticker").status)["NVDA"] == "news"


def test_an_item_without_a_date_is_news_once_however_long_its_feed_shows_it(tmp_path: Path) -> None:
    undated = b"<rss version='2.0'><channel><item><title>Nvidia beats estimates</title></item></channel></rss>"
    close, counts = CLOSE, []
    with FeedServer() as server:
        feeds = own_feeds(server, "wire")
        for feed in feeds:
            server.add(f"/{feed.feed_id.replace(':', '/')}", Answer(body=feed_document()))
        server.add("/wire/NVDA", Answer(body=undated))
        capture(open_line(tmp_path, feeds, close - HOUR), new_report())
        for day in range(12):
            news = (f"Apple beats estimates, day {day}", close - HOUR)
            server.add("/wire/AAPL", Answer(body=feed_document(news)))
            run_daily(open_line(tmp_path, feeds, close + HOUR), new_report())
            session = SESSIONS.session_of(close)
            rows = FeatureStore(tmp_path).read_features(session.session_date).set_index("ticker")
            counts.append(int(rows.headline_count["NVDA"]))
            close = SESSIONS.next(session).close_at
    assert counts == [1] + [0] * 11
