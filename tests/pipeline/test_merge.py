"""Two runs from one store: nothing is lost, nothing stands twice, and whoever was first keeps the word."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.merge import Merge
from pipeline.records import FeedState
from pipeline.schema import HEADLINE_TABLE
from pipeline.store import FeatureStore
from pipeline.tables import to_frame
from tests.daily_line import SESSIONS

from .made_origin import MERGE
from .made_session import DAY, NEXT_DAY, made_evidence, made_manifest_row, made_rows
from .made_store import read_tree

TITLES = (
    "Profit beats estimates at the upper end",
    "Factory fire stops production for weeks",
    "Chief executive leaves after nine years",
    "Regulator opens an inquiry into pricing",
    "New plant to open in spring next year",
)


def headlines(numbers: Sequence[int], ticker: str = "AAPL", day: object = DAY) -> pd.DataFrame:
    """Return one row of evidence of ``day`` for each number: a headline of its own, or the pool's titles by number."""
    base = made_evidence(DAY).iloc[[0] * len(numbers)].reset_index(drop=True)
    return base.assign(
        session_date=day,
        ticker=ticker,
        headline_id=[f"h{n}" for n in numbers],
        story_id=[f"h{n}" for n in numbers],
        title=[TITLES[n % len(TITLES)] for n in numbers],
        url=[f"https://example.com/h{n}" for n in numbers],
    )


def grow(base: FeatureStore, name: str) -> FeatureStore:
    """Return a copy of ``base`` for a run to work on."""
    copy = base.root.parent / name
    shutil.copytree(base.root, copy)
    return FeatureStore(copy)


def merge(ours: FeatureStore, theirs: FeatureStore, base: FeatureStore) -> Merge:
    """Merge ``ours`` into ``theirs``, which both grew from ``base``."""
    days = base.captured_dates() | ours.captured_dates()
    return MERGE(ours, theirs, {day: base.read_headlines(day) for day in days})


def keys(store: FeatureStore) -> list[tuple[str, str]]:
    """Return (headline_id, ticker) of every row of every session."""
    frames = [store.read_headlines(day) for day in sorted(store.captured_dates())]
    rows = pd.concat([to_frame(HEADLINE_TABLE, []), *frames])
    return sorted(zip(rows.headline_id, rows.ticker, strict=True))


def seal(store: FeatureStore, minutes: int = 10, day: object = DAY) -> None:
    """Seal the made-up session ``minutes`` after its cut-off."""
    at = SESSIONS.session(day).cutoff_at + timedelta(minutes=minutes)  # type: ignore[arg-type]
    urls = [f"https://example.com/{day}/{n}" for n in range(4)]
    store.append_headlines(made_evidence(day, url=urls))  # type: ignore[arg-type]
    store.seal(made_rows(day, available_at=at), made_manifest_row(day, available_at=at))  # type: ignore[arg-type]


@pytest.fixture
def base(tmp_path: Path) -> FeatureStore:
    store = FeatureStore(tmp_path / "base")
    store.create()
    return store


def test_headlines_of_both_are_kept_once(base: FeatureStore) -> None:
    ours, theirs = grow(base, "ours"), grow(base, "theirs")
    ours.append_headlines(headlines([0, 1]))
    theirs.append_headlines(headlines([1, 2]))
    assert merge(ours, theirs, base) == Merge((), (), 1)
    assert keys(theirs) == [("h0", "AAPL"), ("h1", "AAPL"), ("h2", "AAPL")]


def test_a_headline_of_both_stays_as_it_was_published_first(base: FeatureStore) -> None:
    ours, theirs = grow(base, "ours"), grow(base, "theirs")
    early, late = (datetime(2026, 11, 20, hour, tzinfo=UTC) for hour in (15, 16))
    ours.append_headlines(headlines([0]).assign(fetched_at=early))
    theirs.append_headlines(headlines([0]).assign(fetched_at=late))
    merge(ours, theirs, base)
    assert theirs.read_headlines(DAY).fetched_at.tolist() == [pd.Timestamp(late)]


def test_near_duplicates_seen_by_different_runs_join_one_story(base: FeatureStore) -> None:
    ours, theirs = grow(base, "ours"), grow(base, "theirs")
    theirs.append_headlines(headlines([0]))
    ours.append_headlines(headlines([5]).assign(title=f"{TITLES[0]}."))
    merge(ours, theirs, base)
    assert set(theirs.read_headlines(DAY).headline_id) == {"h0", "h5"}
    assert set(theirs.read_headlines(DAY).story_id) == {"h0"}


def test_the_same_headline_for_another_ticker_is_added_to_its_story(base: FeatureStore) -> None:
    ours, theirs = grow(base, "ours"), grow(base, "theirs")
    theirs.append_headlines(headlines([0]).assign(story_id="h9"))
    ours.append_headlines(headlines([0], ticker="MSFT"))
    merge(ours, theirs, base)
    assert keys(theirs) == [("h0", "AAPL"), ("h0", "MSFT")]
    assert set(theirs.read_headlines(DAY).story_id) == {"h9"}


def test_of_two_sealings_the_one_published_first_stands(base: FeatureStore) -> None:
    ours, theirs = grow(base, "ours"), grow(base, "theirs")
    ours.append_headlines(headlines([0]))
    seal(ours, minutes=20)
    seal(theirs, minutes=10)
    before = read_tree(theirs.root)
    assert merge(ours, theirs, base) == Merge((), ((DAY, 1),), 1)
    after = read_tree(theirs.root)
    assert {path for path in before if before[path] != after.get(path)} <= {"state/feeds.csv"}
    late = theirs.read_headlines(NEXT_DAY)
    assert (late.headline_id.tolist(), late.is_late.tolist()) == (["h0"], [True])
    assert theirs.verify() == []


def test_a_sealing_that_only_we_made_is_taken_byte_for_byte(base: FeatureStore) -> None:
    ours, theirs = grow(base, "ours"), grow(base, "theirs")
    theirs.append_headlines(made_evidence(DAY, url="https://example.com/1").iloc[:2])
    seal(ours)
    wanted = read_tree(ours.root)
    assert merge(ours, theirs, base).taken == ((DAY, 1),)
    assert read_tree(theirs.root) == wanted
    assert theirs.verify() == []


def test_a_sealing_that_misses_what_others_saw_is_made_anew_by_the_next_run(base: FeatureStore) -> None:
    ours, theirs = grow(base, "ours"), grow(base, "theirs")
    theirs.append_headlines(headlines([0]))
    seal(ours)
    assert merge(ours, theirs, base).refused == ((DAY, 1),)
    assert theirs.sealed_dates() == set()
    assert {"h0", *made_evidence(DAY).headline_id} == set(theirs.read_headlines(DAY).headline_id)
    assert theirs.verify() == []


def test_a_sealing_that_rests_on_another_history_is_not_taken(base: FeatureStore) -> None:
    ours, theirs = grow(base, "ours"), grow(base, "theirs")
    seal(theirs, minutes=10)
    seal(ours, minutes=20)
    seal(ours, day=NEXT_DAY)
    assert merge(ours, theirs, base).refused == ((DAY, 1), (NEXT_DAY, 1))
    assert theirs.sealed_dates() == {DAY}
    assert set(theirs.read_headlines(NEXT_DAY).headline_id) == set(made_evidence(NEXT_DAY).headline_id)
    assert theirs.verify() == []


def test_of_each_feed_the_later_attempt_and_the_later_answer_are_remembered(base: FeatureStore) -> None:
    ours, theirs = grow(base, "ours"), grow(base, "theirs")
    early, late = (datetime(2026, 11, 20, hour, tzinfo=UTC) for hour in (15, 16))
    answered = FeedState("a", "https://x/a", '"1"', "", early, early)
    failed = FeedState("a", "https://x/a", "", "", late, None, "HTTP 503")
    ours.write_feed_states({"a": failed, "mine": FeedState("mine", "https://x/m")})
    theirs.write_feed_states({"a": answered, "theirs": FeedState("theirs", "https://x/t")})
    merge(ours, theirs, base)
    states = theirs.read_feed_states()
    assert states["a"] == FeedState("a", "https://x/a", '"1"', "", late, early, "HTTP 503")
    assert set(states) == {"a", "mine", "theirs"}


pool = st.sets(st.integers(0, len(TITLES) - 1))


@settings(max_examples=30, deadline=None)
@given(pool, pool, pool, st.booleans(), st.booleans())
def test_nothing_is_lost_and_nothing_stands_twice(
    before: set[int], mine: set[int], others: set[int], we_seal: bool, they_seal: bool
) -> None:
    with tempfile.TemporaryDirectory() as place:
        base = FeatureStore(Path(place) / "base")
        base.create()
        base.append_headlines(headlines(sorted(before)))
        ours, theirs = grow(base, "ours"), grow(base, "theirs")
        for store, seen, is_sealing, minutes in ((ours, mine, we_seal, 20), (theirs, others, they_seal, 10)):
            store.append_headlines(headlines(sorted(seen - before)))
            if is_sealing:
                seal(store, minutes)
        expected = set(keys(ours)) | set(keys(theirs))
        merge(ours, theirs, base)
        assert keys(theirs) == sorted(expected)
        assert theirs.verify() == []
