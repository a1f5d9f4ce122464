"""The store: what is sealed stays, what is killed leaves no half data, what is damaged is named."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pandas as pd
import pytest
from frictionless import Package
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from pipeline import files
from pipeline.errors import StoreError
from pipeline.records import FeedState
from pipeline.store import FeatureStore, SessionToSeal
from tests.conftest import PROJECT

from .made_session import DAY, NEXT_DAY, REVISION, made_evidence, made_manifest_row, made_rows, no_evidence
from .made_store import (
    FEATURES,
    HEADLINES,
    KILL_AT,
    LINES,
    THIRD_DAY,
    capture_and_seal,
    edit,
    fail_at,
    made_restatement,
    made_sealing,
    read_tree,
)

pytestmark = pytest.mark.usefixtures("quick_disk")


@pytest.fixture
def store(tmp_path: Path) -> FeatureStore:
    return FeatureStore(tmp_path / "store")


def test_an_absent_store_is_empty_and_reading_makes_nothing(store: FeatureStore) -> None:
    assert store.sealed_dates() == store.captured_dates() == set()
    assert store.read_feed_states() == {}
    pd.testing.assert_frame_equal(store.history(DAY, 21), made_rows().iloc[:0])
    pd.testing.assert_frame_equal(store.read_headlines(DAY), no_evidence())
    assert store.recent_headlines(datetime(2026, 11, 20, tzinfo=UTC)).empty
    assert not store.root.exists()


def test_what_was_sealed_is_read_back(store: FeatureStore) -> None:
    capture_and_seal(store, DAY, NEXT_DAY)
    assert store.sealed_dates() == {DAY, NEXT_DAY}
    assert store.features_path(DAY) == store.root / FEATURES
    pd.testing.assert_frame_equal(store.read_features(DAY), made_rows())
    pd.testing.assert_frame_equal(
        store.read_headlines(DAY)[["headline_id", "title"]], made_evidence()[["headline_id", "title"]]
    )
    manifest = store.sealed()
    assert manifest["rows"].tolist() == [3, 3]
    assert manifest["headline_rows"].tolist() == [4, 4]
    assert manifest["state"].tolist() == ["sealed", "sealed"]
    assert store.verify() == []


def test_the_tree_is_the_documented_one(store: FeatureStore) -> None:
    capture_and_seal(store, DAY)
    top = {"manifest.csv", "state/feeds.csv", "datapackage.json"}
    assert set(read_tree(store.root)) == {FEATURES, HEADLINES, LINES} | top
    assert {path.name for path in store.root.iterdir()} == {
        "features", "headlines", "state", "manifest.csv", "datapackage.json",
    }  # fmt: skip


def test_history_is_the_last_sealed_sessions_before_a_date_oldest_first(store: FeatureStore) -> None:
    capture_and_seal(store, THIRD_DAY, DAY, NEXT_DAY)
    assert store.history(THIRD_DAY, 21)["session_date"].unique().tolist() == [DAY, NEXT_DAY]
    assert store.history(THIRD_DAY, 1)["session_date"].unique().tolist() == [NEXT_DAY]
    assert store.history(DAY, 21).empty
    assert store.history(THIRD_DAY, 0).empty


def test_recent_headlines_cover_every_session_that_could_hold_them(store: FeatureStore) -> None:
    capture_and_seal(store, DAY, NEXT_DAY)
    store.append_headlines(made_evidence(THIRD_DAY))
    for since, expected in (
        (datetime(2026, 11, 21, 2, tzinfo=UTC), [DAY, NEXT_DAY, THIRD_DAY]),  # a cut-off may lie after midnight UTC
        (datetime(2026, 11, 22, 2, tzinfo=UTC), [NEXT_DAY, THIRD_DAY]),
        (datetime(2026, 11, 26, tzinfo=UTC), []),
    ):
        assert store.recent_headlines(since)["session_date"].unique().tolist() == expected


def test_a_headline_is_added_once_and_stays_as_first_seen(store: FeatureStore) -> None:
    assert store.append_headlines(made_evidence()) == 4
    before = read_tree(store.root)
    assert store.append_headlines(made_evidence(title="Changed")) == 0
    assert read_tree(store.root) == before
    more = pd.concat([made_evidence(title="Changed"), made_evidence(NEXT_DAY), made_evidence(NEXT_DAY, title="Twice")])
    assert store.append_headlines(more) == 4
    assert store.append_headlines(made_evidence(title="Changed", headline_id=["20a0", "20a1", "20a2", "new"])) == 1
    assert store.read_headlines(DAY)["title"].tolist() == [*made_evidence()["title"], "Changed"]
    assert store.read_headlines(NEXT_DAY)["title"].tolist() == made_evidence()["title"].tolist()
    assert store.captured_dates() == {DAY, NEXT_DAY}


def test_evidence_does_not_depend_on_the_number_of_captures(store: FeatureStore, tmp_path: Path) -> None:
    evidence, other = made_evidence(), FeatureStore(tmp_path / "other")
    store.append_headlines(evidence)
    for place in (2, 0, 3, 1):
        other.append_headlines(evidence.iloc[[place]])
    assert read_tree(store.root) == read_tree(other.root)


def test_no_evidence_is_appended_without_a_trace(store: FeatureStore) -> None:
    assert store.append_headlines(pd.DataFrame()) == store.append_headlines(no_evidence()) == 0
    assert not store.root.exists()


def test_a_session_without_headlines_seals_with_an_empty_evidence_file(store: FeatureStore) -> None:
    store.seal(made_rows(), made_manifest_row())
    assert (store.root / HEADLINES).read_bytes().count(b"\n") == 1
    assert store.read_headlines(DAY).empty
    assert store.verify() == []


def test_a_sealed_session_refuses_every_change_and_stays_byte_for_byte(store: FeatureStore) -> None:
    capture_and_seal(store, DAY)
    before = read_tree(store.root)
    with pytest.raises(StoreError, match="session 2026-11-20 is sealed"):
        store.seal(made_rows(), made_manifest_row())
    both = pd.concat([made_evidence(NEXT_DAY), made_evidence(headline_id=["new1", "new2", "new3", "new4"])])
    with pytest.raises(StoreError, match="session 2026-11-20 is sealed"):
        store.append_headlines(both)
    assert read_tree(store.root) == before


@pytest.mark.parametrize(
    ("rows", "manifest_row", "message"),
    [
        (made_rows(NEXT_DAY), made_manifest_row(), "expected rows of session 2026-11-20 only"),
        (made_rows().iloc[:0], made_manifest_row(), "expected rows of session 2026-11-20 only"),
        (made_rows().drop(columns="buzz"), made_manifest_row(), "missing are ['buzz']"),
        (made_rows(sentiment_score=3.0), made_manifest_row(), "column sentiment_score: 3.000000 is above 1"),
        (made_rows(), made_manifest_row(feeds_ok=-1), "manifest, session 2026-11-20: line 2, column feeds_ok: -1 is"),
        (made_rows(), made_manifest_row(extra=1), "unknown are ['extra']"),
    ],
)
def test_a_bad_seal_writes_nothing(
    store: FeatureStore, rows: pd.DataFrame, manifest_row: dict[str, object], message: str
) -> None:
    with pytest.raises(StoreError) as refusal:
        store.seal(rows, manifest_row)
    assert message in str(refusal.value)
    assert read_tree(store.root) == {}


def test_bad_evidence_writes_nothing(store: FeatureStore) -> None:
    with pytest.raises(
        StoreError, match="headlines/2026/2026-11-23.csv: line 2, column p_negative: 1.500000 is above 1"
    ):
        store.append_headlines(pd.concat([made_evidence(), made_evidence(NEXT_DAY, p_negative=1.5)]))
    assert read_tree(store.root) == {}


def test_feed_states_survive(store: FeatureStore) -> None:
    asked = datetime(2026, 11, 20, 21, 5, tzinfo=UTC)
    states = {
        "yahoo:AAPL": FeedState("yahoo:AAPL", "https://a.example/?s=AAPL,B", 'W/"1-a"', "Fri", asked, asked),
        "cnbc": FeedState("cnbc", "https://b.example/", last_attempt_at=asked, fault='HTTP 500, "later"'),
        "new": FeedState("new", "https://c.example/"),
    }
    store.write_feed_states(states)
    assert store.read_feed_states() == states
    assert list(store.read_feed_states()) == ["cnbc", "new", "yahoo:AAPL"]
    store.write_feed_states({})
    assert store.read_feed_states() == {}
    assert store.verify() == []


# A run that is killed

WRITES = ["features", "headlines", "lines", "datapackage", "manifest"]


@pytest.mark.parametrize("nth", range(len(WRITES)), ids=WRITES)
def test_a_seal_that_fails_at_any_write_is_not_sealed_and_can_be_repeated(
    store: FeatureStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, nth: int
) -> None:
    untouched = FeatureStore(tmp_path / "untouched")
    for each in (store, untouched):
        capture_and_seal(each, DAY)
        each.append_headlines(made_evidence(NEXT_DAY))
    monkeypatch.setattr(files.os, "replace", fail_at(nth))
    with pytest.raises(OSError, match="pulled the plug"):
        store.seal(made_rows(NEXT_DAY), made_manifest_row(NEXT_DAY))
    monkeypatch.undo()
    assert store.sealed_dates() == {DAY}
    pd.testing.assert_frame_equal(store.history(THIRD_DAY, 5), made_rows())
    assert ("2026-11-23.csv: not in manifest.csv" in "".join(store.verify())) == (nth > 0)
    for each in (store, untouched):
        each.seal(made_rows(NEXT_DAY), made_manifest_row(NEXT_DAY))
    assert read_tree(store.root) == read_tree(untouched.root)
    assert store.verify() == []
    assert not [path for path in store.root.rglob(".*.tmp")]


@pytest.mark.parametrize("nth", range(4), ids=["feeds", "datapackage", "manifest", "headlines"])
def test_a_first_capture_that_fails_at_any_write_can_be_repeated(
    store: FeatureStore, monkeypatch: pytest.MonkeyPatch, nth: int
) -> None:
    monkeypatch.setattr(files.os, "replace", fail_at(nth))
    with pytest.raises(OSError, match="pulled the plug"):
        store.append_headlines(made_evidence())
    monkeypatch.undo()
    assert store.captured_dates() == set()
    assert store.append_headlines(made_evidence()) == 4
    assert store.verify() == []


KILLED_SEAL = f"""{KILL_AT}
from pathlib import Path
from pipeline.store import FeatureStore
from tests.pipeline.made_session import NEXT_DAY, made_manifest_row, made_rows
FeatureStore(Path(sys.argv[1])).seal(made_rows(NEXT_DAY), made_manifest_row(NEXT_DAY))
"""


@pytest.mark.parametrize(("call", "done"), [("fsync", 0), ("replace", 1), ("replace", 4)])
def test_a_process_killed_within_a_write_leaves_only_whole_files(
    store: FeatureStore, tmp_path: Path, call: str, done: int
) -> None:
    untouched = FeatureStore(tmp_path / "untouched")
    for each in (store, untouched):
        capture_and_seal(each, DAY)
    command = [sys.executable, "-c", KILLED_SEAL, str(store.root), call, str(done)]
    assert subprocess.run(command, cwd=PROJECT, check=False).returncode == -signal.SIGKILL
    assert store.sealed_dates() == {DAY}
    assert [line for line in store.verify() if "cut short" in line] == []
    pd.testing.assert_frame_equal(store.history(NEXT_DAY, 5), made_rows())
    for each in (store, untouched):
        each.seal(made_rows(NEXT_DAY), made_manifest_row(NEXT_DAY))
    assert read_tree(store.root) == read_tree(untouched.root)
    assert store.verify() == []


def test_two_writers_do_not_meet(store: FeatureStore) -> None:
    other = FeatureStore(store.root)
    with store.lock():
        store.append_headlines(made_evidence())
        with pytest.raises(StoreError, match="another run is writing to this store"):
            other.append_headlines(made_evidence(NEXT_DAY))
    assert other.append_headlines(made_evidence(NEXT_DAY)) == 4


# Many sessions at once


DAYS = (DAY, NEXT_DAY, THIRD_DAY)


def test_sealing_all_at_once_gives_what_sealing_one_after_the_other_gives(store: FeatureStore, tmp_path: Path) -> None:
    other = FeatureStore(tmp_path / "other")
    for day in DAYS:
        store.append_headlines(made_sealing(day).evidence)
        store.seal(made_rows(day), made_manifest_row(day))
    other.seal_all([made_sealing(day) for day in (THIRD_DAY, DAY, NEXT_DAY)])
    assert read_tree(other.root) == read_tree(store.root)
    assert other.verify() == []


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    cuts=st.lists(st.integers(0, 4), max_size=3),
    kills=st.lists(st.tuples(st.integers(0, 1), st.integers(0, 14)), max_size=4),
    title=st.sampled_from(["Profit up", 'two\nlines, "quoted"', "=Recall"]),
)
def test_neither_shards_nor_kills_change_a_byte(
    tmp_path_factory: pytest.TempPathFactory, cuts: list[int], kills: list[tuple[int, int]], title: str
) -> None:
    days = [DAY + timedelta(days=n) for n in (0, 3, 4, 5)]
    folder = tmp_path_factory.mktemp("stores")
    untouched, store = FeatureStore(folder / "untouched"), FeatureStore(folder / "killed")
    for day in days:
        untouched.seal_all([made_sealing(day, title)])
    edges = sorted({0, *cuts, len(days)})
    for shard, (first, end) in enumerate(pairwise(edges)):
        sessions = [made_sealing(day, title) for day in days[first:end]]
        for _, nth in (kill for kill in kills if kill[0] == shard):
            before = store.sealed_dates()
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(files.os, "replace", fail_at(nth))
                with suppress(OSError):
                    store.seal_all(sessions)
            if store.sealed_dates() != before:
                assert store.sealed_dates() - before == set(days[first:end])
                break
        else:
            store.seal_all(sessions)
    assert read_tree(store.root) == read_tree(untouched.root)
    assert store.verify() == []


@pytest.mark.parametrize(
    ("sessions", "message"),
    [
        ([made_sealing(NEXT_DAY), made_sealing()], "session 2026-11-20 is sealed; its files never change"),
        ([made_sealing(NEXT_DAY), made_sealing(NEXT_DAY)], "2026-11-23, 1 stands on line 3 already"),
        (
            [made_sealing(NEXT_DAY), replace(made_sealing(THIRD_DAY), evidence=made_evidence(NEXT_DAY))],
            "headlines/2026/2026-11-24.csv: expected rows of session 2026-11-24 only",
        ),
        (
            [made_sealing(NEXT_DAY), replace(made_sealing(THIRD_DAY), rows=made_rows(NEXT_DAY))],
            "features/2026/2026-11-24.csv: expected rows of session 2026-11-24 only",
        ),
        (
            [
                made_sealing(NEXT_DAY),
                replace(made_sealing(THIRD_DAY), evidence=made_evidence(THIRD_DAY, p_negative=2.0)),
            ],
            "headlines: line 2, column p_negative: 2.000000 is above 1",
        ),
    ],
)
def test_one_bad_session_keeps_all_from_being_sealed(
    store: FeatureStore, sessions: list[SessionToSeal], message: str
) -> None:
    capture_and_seal(store, DAY)
    before = read_tree(store.root)
    with pytest.raises(StoreError) as refusal:
        store.seal_all(sessions)
    assert message in str(refusal.value)
    assert read_tree(store.root) == before


def test_sessions_without_evidence_and_no_session_at_all(store: FeatureStore) -> None:
    store.seal_all([])
    store.seal_all([replace(made_sealing(), evidence=pd.DataFrame())])
    assert store.sealed()["headline_rows"].tolist() == [0]
    assert store.verify() == []


# Restating


def test_a_restatement_lies_beside_what_it_restates_and_is_read_instead(store: FeatureStore) -> None:
    capture_and_seal(store, DAY, NEXT_DAY)
    before = read_tree(store.root)
    path = store.restate(made_restatement(2))
    after = read_tree(store.root)
    assert path == store.features_path(DAY) == store.root / "features/2026/2026-11-20.r2.csv"
    marked = {name.replace(".csv", ".r2.csv") for name in (FEATURES, HEADLINES, LINES)}
    assert after.keys() - before.keys() == marked
    assert {name for name in before if before[name] != after[name]} == {"manifest.csv", "datapackage.json"}
    assert store.latest_revisions() == {DAY: 2, NEXT_DAY: 1}
    assert store.sealed()["revision"].tolist() == [1, 2, 1]
    assert store.read_features(DAY)["sentiment_score"].tolist()[0] == -0.48
    assert store.history(THIRD_DAY, 5)["sentiment_score"].dropna().tolist() == [-0.48, 0.0, -0.075, 0.0]
    assert store.captured_dates() == store.sealed_dates() == {DAY, NEXT_DAY}
    assert store.read_open_headlines().empty
    assert store.verify() == []


@settings(max_examples=8, deadline=None)
@example([DAY] * 10)
@given(st.lists(st.sampled_from([DAY, NEXT_DAY]), max_size=6))
def test_restating_never_changes_a_byte_of_older_files(
    tmp_path_factory: pytest.TempPathFactory, restated: list[date]
) -> None:
    store = FeatureStore(tmp_path_factory.mktemp("store"))
    capture_and_seal(store, DAY, NEXT_DAY)
    for number, day in enumerate(restated, 2):
        before = read_tree(store.root)
        store.restate(made_restatement(number, day))
        after = read_tree(store.root)
        assert all(after[name] == before[name] for name in before if "/" in name)
        assert set(before["manifest.csv"].splitlines()) < set(after["manifest.csv"].splitlines())
        assert store.latest_revisions()[day] == restated[: number - 1].count(day) + 1
        assert store.read_features(day)["sentiment_score"][0] == pytest.approx(number / 100 - 0.5)
    assert store.verify() == []


@pytest.mark.parametrize("nth", range(len(WRITES)), ids=WRITES)
def test_a_restatement_that_fails_at_any_write_is_none_and_can_be_repeated(
    store: FeatureStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, nth: int
) -> None:
    untouched = FeatureStore(tmp_path / "untouched")
    for each in (store, untouched):
        capture_and_seal(each, DAY)
    monkeypatch.setattr(files.os, "replace", fail_at(nth))
    with pytest.raises(OSError, match="pulled the plug"):
        store.restate(made_restatement())
    monkeypatch.undo()
    pd.testing.assert_frame_equal(store.read_features(DAY), made_rows())
    assert store.read_open_headlines().empty
    assert (
        store.recent_headlines(datetime(2026, 11, 20, tzinfo=UTC))["title"].tolist()
        == made_evidence()["title"].tolist()
    )
    for each in (store, untouched):
        each.restate(made_restatement())
    assert read_tree(store.root) == read_tree(untouched.root)
    assert store.verify() == []


@pytest.mark.parametrize(
    ("session", "message"),
    [
        (made_restatement(2, NEXT_DAY), "session 2026-11-23 is not sealed; only a sealed one is restated"),
        (
            made_restatement(1),
            "session 2026-11-20 was sealed at 2026-12-22T21:00:00Z; it cannot be restated at 2026-12-21",
        ),
        (replace(made_restatement(3), rows=made_rows(sentiment_score=2.0)), "2.000000 is above 1"),
    ],
)
def test_a_bad_restatement_writes_nothing(store: FeatureStore, session: SessionToSeal, message: str) -> None:
    capture_and_seal(store, DAY)
    store.restate(made_restatement(2))
    before = read_tree(store.root)
    with pytest.raises(StoreError) as refusal:
        store.restate(session)
    assert message in str(refusal.value)
    assert read_tree(store.root) == before


# Damage


def test_the_next_write_mends_the_data_package(store: FeatureStore) -> None:
    capture_and_seal(store, DAY)
    sound = read_tree(store.root)
    edit(store.root / "datapackage.json", b"Trading", b"Shopping")
    store.create()
    assert read_tree(store.root) == sound


def test_reading_a_changed_or_lost_sealed_file_is_refused(store: FeatureStore) -> None:
    capture_and_seal(store, DAY)
    edit(store.root / FEATURES, b"-0.075000", b"-0.085000")
    with pytest.raises(StoreError, match="changed since it was sealed"):
        store.history(NEXT_DAY, 5)
    (store.root / HEADLINES).unlink()
    with pytest.raises(StoreError, match="missing, though its session is sealed"):
        store.read_headlines(DAY)
    with pytest.raises(StoreError, match="session 2026-11-23 is not sealed"):
        store.read_features(NEXT_DAY)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            b"2026-11-23,sealed",
            b"2026-11-20,sealed",
            "line 3, column session_date, revision: 2026-11-20, 1 stands on line 2 already",
        ),
        (b"2026-11-23,sealed", b"2026-11-19,sealed", "line 3, column session_date, revision: out of order"),
        (b"session_date,state", b"session,state", "line 1: the header is not that of manifest"),
        (b",9,1,1\n2026", b",9,1\n2026", "line 2: 15 cells, expected 16"),
        (REVISION.encode(), b"main", "line 2, column model_revision: 'main' does not match"),
    ],
)
def test_a_damaged_manifest_stops_reading_and_writing(
    store: FeatureStore, old: bytes, new: bytes, message: str
) -> None:
    capture_and_seal(store, DAY, NEXT_DAY)
    edit(store.root / "manifest.csv", old, new)
    attempts: list[Callable[[], object]] = [
        store.sealed,
        lambda: store.append_headlines(made_evidence(THIRD_DAY)),
        lambda: store.seal(made_rows(THIRD_DAY), made_manifest_row(THIRD_DAY)),
    ]
    for attempt in attempts:
        with pytest.raises(StoreError) as refusal:
            attempt()
        assert str(refusal.value).startswith(f"{store.root / 'manifest.csv'}: {message}")
    assert len(store.verify()) == 1


def test_a_lost_manifest_does_not_unseal_the_past(store: FeatureStore) -> None:
    capture_and_seal(store, DAY)
    (store.root / "manifest.csv").unlink()
    with pytest.raises(StoreError, match="missing, yet there are features of 1 sessions"):
        store.seal(made_rows(), made_manifest_row())


def test_damaged_open_evidence_stops_the_seal(store: FeatureStore) -> None:
    store.append_headlines(made_evidence())
    content = (store.root / HEADLINES).read_bytes()
    (store.root / HEADLINES).write_bytes(content[:-20])
    for attempt in (
        lambda: store.seal(made_rows(), made_manifest_row()),
        lambda: store.append_headlines(made_evidence()),
    ):
        with pytest.raises(StoreError, match="line 5: the file is cut short"):
            attempt()


# The contract for others


@pytest.mark.parametrize("days", [(), (DAY,), DAYS], ids=["no day", "one day", "three days"])
@pytest.mark.parametrize("restated", [0, 1, 3])
def test_frictionless_accepts_the_package(store: FeatureStore, days: tuple[date, ...], restated: int) -> None:
    store.create()
    capture_and_seal(store, *days)
    store.append_headlines(made_evidence(THIRD_DAY + timedelta(days=1)))
    restated *= bool(days)
    for number in range(2, restated + 2):
        store.restate(made_restatement(number))
    report = Package(str(store.root / "datapackage.json")).validate()
    assert report.valid, report.flatten(["message"])
    assert {task.name: task.stats.get("rows", 0) for task in report.tasks} == {
        "features": 3 * len(days), "headlines": 4 * len(days), "manifest": len(days) + restated, "feeds": 0,
        **{f"features_r{number}": 3 for number in range(2, restated + 2)},
        **{f"headlines_r{number}": 4 for number in range(2, restated + 2)},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("path", "old", "new", "kind"),
    [
        (FEATURES, b"-0.075000", b"-7.000000", "constraint-error"),
        (FEATURES, b"2026-11-20,MSFT", b"2026-11-20,AAPL", "primary-key"),
        (FEATURES, b",news,", b",gossip,", "constraint-error"),
        (HEADLINES, b"Z,false,", b"Z,perhaps,", "type-error"),
        ("manifest.csv", REVISION.encode(), b"main", "constraint-error"),
    ],
)
def test_frictionless_sees_what_breaks_the_contract(
    store: FeatureStore, path: str, old: bytes, new: bytes, kind: str
) -> None:
    capture_and_seal(store, DAY, NEXT_DAY)
    edit(store.root / path, old, new)
    report = Package(str(store.root / "datapackage.json")).validate()
    assert [kind] in report.flatten(["type"])


def test_awkward_text_is_no_trouble_to_frictionless(store: FeatureStore) -> None:
    titles = ['=a "b", c', "two\nlines\r\nmore", "\x00 nul \x1c \u2028 \U0001f600", "plain"]
    store.append_headlines(made_evidence(title=titles))
    store.seal(made_rows(), made_manifest_row())
    assert store.read_headlines(DAY)["title"].tolist() == titles
    report = Package(str(store.root / "datapackage.json")).validate()
    assert report.valid, report.flatten(["message"])


def test_ids_are_known_from_the_form_of_old_evidence_and_damage_is_named(store: FeatureStore) -> None:
    store.append_headlines(made_evidence())
    ids = set(made_evidence()["headline_id"])
    assert store.captured_ids(DAY, NEXT_DAY) == ids
    assert store.captured_ids(NEXT_DAY, NEXT_DAY + timedelta(days=9)) == set()
    path = store.root / HEADLINES
    path.write_bytes(path.read_bytes() + b"garbage\n")
    with pytest.raises(StoreError, match=f"{DAY}.csv: line"):
        store.captured_ids(DAY, NEXT_DAY)
