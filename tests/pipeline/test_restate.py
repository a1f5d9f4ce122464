"""Restating: what changed and nothing else, beside what was sealed, and nothing at all when nothing changed."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline import __main__ as command_line
from pipeline import files, opening
from pipeline import restate as restating
from pipeline.errors import PipelineError, RefusedDayError, StoreError
from pipeline.evidence import add_scores, list_pairs
from pipeline.line import Line
from pipeline.records import Session
from pipeline.restatement import Restatement, restatement_text
from pipeline.run import aggregate_sealed
from pipeline.store import FeatureStore, SessionToSeal
from tests.daily_line import COMPANIES, SESSIONS, WordScorer, open_line
from tests.sample import PLACES

from .made_store import edit, fail_at, read_tree

TICKERS = [company.ticker for company in COMPANIES]
FIRST = SESSIONS.session(date(2026, 11, 2))
LATER = datetime(2027, 1, 4, 12, tzinfo=UTC)
FAILED = "NVDA"


class SternScorer(WordScorer):
    """Another model: what was positive is less so, and what was neutral is negative."""

    revision = "f" * 40

    def score(self, pairs: list[tuple[str, str]], progress: bool = False) -> np.ndarray:
        """Return float32 (n, 3), columns negative, neutral, positive."""
        scores = super().score(pairs, progress)
        return np.where(scores[:, 1:2] > 0.5, np.float32([0.6, 0.2, 0.2]), scores)


pytestmark = pytest.mark.usefixtures("quick_disk")


def list_sessions(count: int) -> list[Session]:
    sessions = [FIRST]
    while len(sessions) < count:
        sessions.append(SESSIONS.next(sessions[-1]))
    return sessions


def made_evidence(session: Session, line: Line) -> pd.DataFrame:
    """Return two headlines of AAPL, the second a story of the first session, and one of MSFT that names its day."""
    day = session.session_date
    titles = [f"Apple beats estimates on {day}", "Apple opens a shop", f"Microsoft meets on {day}"]
    described = pd.DataFrame(
        {
            "session_date": day,
            "ticker": ["AAPL", "AAPL", "MSFT"],
            "headline_id": [f"{day}a", f"{day}b", f"{day}c"],
            "story_id": [f"{day}a", "shop", f"{day}c"],
            "published_at": session.cutoff_at - timedelta(hours=2),
            "fetched_at": session.cutoff_at - timedelta(hours=1),
            "is_late": False,
            "date_flag": "",
            "source": "Wire",
            "feed_id": "wire",
            "title": titles,
            "url": "https://news.example/",
            "reason": "name",
            "relevance": [1.0, 0.6, 0.8],
            "company": "",
        }
    )
    return add_scores(described, line.scorer.score(list_pairs(described)), line.scorer.revision)


def seal_sessions(root: Path, sessions: list[Session]) -> None:
    """Seal ``sessions`` as the daily line does, NVDA's feed failing; the third one was missed."""
    line = open_line(root, [], LATER)
    for number, session in enumerate(sessions):
        day, is_missed = session.session_date, number == 2
        now = session.cutoff_at + timedelta(minutes=30)
        evidence = made_evidence(session, line).iloc[: 0 if is_missed else None]
        failed = frozenset(TICKERS if is_missed else [FAILED])
        rows = aggregate_sealed(line, session, evidence, TICKERS, failed, now)
        row = {"session_date": day, "state": "missed" if is_missed else "sealed", "available_at": now}
        row |= {"opens_after": session.opens_after, "cutoff_at": session.cutoff_at, "cpu": "", "code_revision": ""}
        row |= {"feeds_ok": 3, "feeds_failed": 1, "model_revision": line.scorer.revision}
        line.store.seal_all([SessionToSeal(rows, evidence, row)])


@pytest.fixture(scope="module")
def sealed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Seven sealed sessions, as files."""
    root = tmp_path_factory.mktemp("sealed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(files.os, "fsync", lambda descriptor: None)
        seal_sessions(root, list_sessions(7))
    return read_tree(root)


@pytest.fixture
def root(tmp_path: Path, sealed: dict[str, bytes]) -> Path:
    return lay_out(tmp_path / "store", sealed)


def lay_out(root: Path, tree: dict[str, bytes]) -> Path:
    for name, content in tree.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    return root


def stern_line(root: Path, now: datetime = LATER) -> Line:
    return replace(open_line(root, [], now), scorer=SternScorer())


def restate(line: Line, first: date, last: date) -> Restatement:
    found = Restatement()
    restating.restate(line, first, last, found)
    return found


def days(first: int, last: int) -> tuple[date, date]:
    sessions = list_sessions(7)
    return sessions[first].session_date, sessions[last].session_date


def test_the_same_model_and_settings_restate_nothing(root: Path, sealed: dict[str, bytes]) -> None:
    found = restate(open_line(root, [], LATER), *days(0, 6))
    assert found.restated == []
    assert found.unchanged == [session.session_date for session in list_sessions(7)]
    assert read_tree(root) == sealed
    assert "0 sessions restated\nunchanged, so not restated: 7 sessions, 2026-11-02" in restatement_text(found)


def test_another_model_gives_what_it_would_have_given_when_it_was_sealed(root: Path, tmp_path: Path) -> None:
    first, last = days(0, 6)
    restate(stern_line(root), first, last)
    other = tmp_path / "other"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tests.daily_line.WordScorer", SternScorer)
        seal_sessions(other, list_sessions(7))
    for session in list_sessions(7):
        restated, made = (FeatureStore(store) for store in (root, other))
        rows = [store.read_features(session.session_date).drop(columns="available_at") for store in (restated, made)]
        pd.testing.assert_frame_equal(*rows)
        evidence = [store.read_headlines(session.session_date) for store in (restated, made)]
        pd.testing.assert_frame_equal(*evidence)
    assert FeatureStore(root).verify() == []


def test_what_happened_stays_and_what_was_sealed_too(root: Path, sealed: dict[str, bytes]) -> None:
    found = restate(stern_line(root), *days(0, 6))
    store = FeatureStore(root)
    after = read_tree(root)
    assert all(after[name] == sealed[name] for name in sealed if "/" in name)
    assert set(sealed["manifest.csv"].splitlines()) < set(after["manifest.csv"].splitlines())
    manifest = store.sealed()
    new, old = manifest[manifest.revision == 2], manifest[manifest.revision == 1]
    assert len(new) == len(old) == 7
    assert set(new.available_at) == {pd.Timestamp(LATER)}
    assert set(new.model_revision) == {"f" * 40}
    for name in ("session_date", "state", "opens_after", "cutoff_at", "feeds_ok", "feeds_failed", "headline_rows"):
        assert new[name].tolist() == old[name].tolist()
    missed, usual = (store.read_features(list_sessions(7)[n].session_date).set_index("ticker") for n in (2, 3))
    assert set(missed.status) == {"fetch_failed"}
    assert usual.status.to_dict() == {"AAPL": "news", "BRK.B": "no_news", "MSFT": "news", "NVDA": "fetch_failed"}
    assert usual.novel_share["AAPL"] == 0.5
    assert [session.label_count for session in found.restated] == [2, 2, 0, 2, 2, 2, 2]
    assert found.restated[0].score_changes["MSFT"] == pytest.approx(0.4)
    text = restatement_text(found)
    assert "2026-11-02 revision 2: 2 of 4 rows changed, sentiment_score by " in text
    assert "at most (MSFT); 2 of 3 labels changed" in text
    assert "7 sessions restated: 12 of 28 rows changed" in text


def test_a_session_in_the_middle_is_seen_by_those_after_it(root: Path) -> None:
    first, last = days(1, 3)
    found = restate(stern_line(root), first, last)
    later = [session.session_date for session in list_sessions(7)[4:]]
    assert found.looking_back == later
    assert f"to restate these too: --from {later[0]} --to {later[-1]}" in restatement_text(found)
    again = restate(open_line(root, [], LATER + timedelta(hours=1)), *days(5, 5))
    assert [session.session_date for session in again.restated] == [list_sessions(7)[5].session_date]
    rows = FeatureStore(root).read_features(list_sessions(7)[5].session_date).set_index("ticker")
    window = pd.concat([FeatureStore(root).read_features(s.session_date) for s in list_sessions(7)[1:6]])
    apple = window[window.ticker == "AAPL"].dropna(subset="sentiment_score")
    weights = apple.story_count.astype(float)
    expected = (apple.sentiment_score * weights).sum() / weights.sum()
    assert rows.sentiment_score_5["AAPL"] == pytest.approx(expected, abs=1e-6)
    assert again.restated[0].changed_count == 2
    assert again.restated[0].label_count == 0
    assert restate(open_line(root, [], LATER), *days(5, 5)).restated == []


@settings(max_examples=5, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 6), st.integers(0, 6)), min_size=1, max_size=3))
def test_restating_any_number_of_times_changes_no_older_byte_and_twice_is_once(
    tmp_path_factory: pytest.TempPathFactory, sealed: dict[str, bytes], runs: list[tuple[bool, int, int]]
) -> None:
    root = lay_out(tmp_path_factory.mktemp("store"), sealed)
    for number, (is_stern, *places) in enumerate(runs):
        now = LATER + timedelta(days=number)
        line = stern_line(root, now) if is_stern else open_line(root, [], now)
        before = read_tree(root)
        restate(line, *days(min(places), max(places)))
        after = read_tree(root)
        assert all(after[name] == before[name] for name in before if "/" in name)
        assert set(before["manifest.csv"].splitlines()) <= set(after["manifest.csv"].splitlines())
        assert restate(line, *days(min(places), max(places))).restated == []
        assert read_tree(root) == after
    assert FeatureStore(root).verify() == []


@pytest.mark.parametrize("nth", [0, 2, 4, 5, 7, 12])
def test_a_run_that_was_killed_goes_on_where_it_was(
    root: Path, tmp_path: Path, sealed: dict[str, bytes], monkeypatch: pytest.MonkeyPatch, nth: int
) -> None:
    untouched = lay_out(tmp_path / "untouched", sealed)
    restate(stern_line(untouched), *days(0, 3))
    monkeypatch.setattr(files.os, "replace", fail_at(nth))
    with pytest.raises(OSError, match="pulled the plug"):
        restate(stern_line(root), *days(0, 3))
    monkeypatch.undo()
    restate(stern_line(root), *days(0, 3))
    assert read_tree(root) == read_tree(untouched)


def test_a_ticker_that_left_the_universe_keeps_its_row_and_its_old_scores(root: Path) -> None:
    line = replace(stern_line(root), companies=COMPANIES[:2])
    day = days(0, 0)[0]
    found = restate(line, day, day)
    evidence = FeatureStore(root).read_headlines(day).set_index("ticker")
    assert evidence.model_revision.groupby("ticker").first().to_dict() == {
        "AAPL": "f" * 40,
        "MSFT": WordScorer.revision,
    }
    assert FeatureStore(root).read_features(day).ticker.tolist() == TICKERS
    assert "MSFT" not in {t for t, change in found.restated[0].score_changes.items() if change}
    assert "old scores kept: 1 headline-ticker rows, of tickers that are no longer" in restatement_text(found)


def test_a_session_whose_tickers_have_all_left_keeps_all_scores(root: Path) -> None:
    line = replace(stern_line(root), companies=(replace(COMPANIES[0], ticker="ZTS"),))
    day, store = days(0, 0)[0], FeatureStore(root)
    before = store.read_headlines(day)
    restate(line, day, day)
    assert store.read_headlines(day).equals(before)


def test_sessions_older_than_the_calendar_of_the_line_are_restated(root: Path, tmp_path: Path) -> None:
    from pipeline.sessions import Sessions

    old = Sessions("XNYS", 0, start=date(1995, 1, 2), end=date(1995, 3, 1)).session(date(1995, 2, 1))
    seal_sessions(tmp_path / "old", [old])
    found = restate(stern_line(tmp_path / "old"), date(1995, 1, 1), date(1995, 12, 31))
    assert [session.session_date for session in found.restated] == [date(1995, 2, 1)]


@pytest.mark.parametrize(
    ("first", "last", "message"),
    [
        (date(2026, 10, 1), date(2026, 10, 30), "no session from 2026-10-01 to 2026-10-30 is sealed; those sealed are"),
        (date(2026, 11, 7), date(2026, 11, 8), "those sealed are 2026-11-02 to 2026-11-10"),
    ],
)
def test_a_range_without_a_sealed_session_is_refused(root: Path, first: date, last: date, message: str) -> None:
    with pytest.raises(StoreError, match=message):
        restate(stern_line(root), first, last)


@pytest.mark.parametrize("table", ["headlines", "features"])
def test_damaged_files_are_named_and_nothing_is_restated(root: Path, table: str) -> None:
    edit(root / f"{table}/2026/2026-11-03.csv", b"AAPL", b"AAPX")
    before = read_tree(root)
    with pytest.raises(StoreError, match=f"{table}/2026/2026-11-03.csv: changed since it was sealed"):
        restate(stern_line(root), date(2026, 11, 3), date(2026, 11, 3))
    assert read_tree(root) == before


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"clock": lambda: FIRST.cutoff_at - timedelta(minutes=1)}, RefusedDayError, "session 2026-11-02: refused"),
        (
            {"clock": lambda: FIRST.cutoff_at + timedelta(minutes=1)},
            StoreError,
            "cannot be restated at 2026-11-02T21:01",
        ),
    ],
)
def test_a_clock_that_went_back_restates_nothing(
    root: Path, sealed: dict[str, bytes], change: dict[str, object], error: type[PipelineError], message: str
) -> None:
    with pytest.raises(error, match=message):
        restate(replace(stern_line(root), **change), *days(0, 0))  # type: ignore[arg-type]
    assert read_tree(root) == sealed


def test_present_settings_hold_for_the_checks_too(root: Path, sealed: dict[str, bytes]) -> None:
    line = stern_line(root)
    strict = replace(line.settings, validate=replace(line.settings.validate, max_failed_feed_share=0.1))
    with pytest.raises(RefusedDayError, match="session 2026-11-02: refused.*1 of 4 feeds failed"):
        restate(replace(line, settings=strict), *days(0, 1))
    assert read_tree(root) == sealed
    heavy = replace(line.settings, aggregate=replace(line.settings.aggregate, stale_weight=1.0))
    found = restate(replace(open_line(root, [], LATER), settings=heavy), *days(0, 6))
    assert found.restated[0].session_date == list_sessions(7)[1].session_date  # nothing was stale in the first
    assert len(found.unchanged) >= 1


def test_the_verb_tells_what_it_would_do_and_a_dry_run_keeps_nothing(
    root: Path, sealed: dict[str, bytes], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(opening, "_clock", lambda now, replay: lambda: LATER)
    options = ["restate", *PLACES, "--from", "2026-11-02", "--to", "2026-11-03", "--store", str(root)]
    assert command_line.main([*options, "--dry-run"]) == 0
    dry = capsys.readouterr().out
    assert dry.endswith("dry run: nothing was kept\n")
    assert read_tree(root) == sealed
    assert command_line.main(options) == 0
    out = capsys.readouterr().out
    assert out + "dry run: nothing was kept\n" == dry
    assert out.startswith("2026-11-02 revision 2: ")
    assert "\n2 sessions restated: " in out
    assert "5 sessions, 2026-11-04 to 2026-11-10 still look back on the earlier revision" in out
    assert command_line.main(["validate", "--store", str(root)]) == 0


def test_what_was_restated_before_a_refused_session_is_told(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(opening, "_clock", lambda now, replay: lambda: LATER)
    (root / "headlines/2026/2026-11-03.csv").unlink()
    assert (
        command_line.main(["restate", *PLACES, "--from", "2026-11-02", "--to", "2026-11-10", "--store", str(root)]) == 1
    )
    found = capsys.readouterr()
    assert found.out.count("revision 2") == 1
    assert "2026-11-03.csv: missing, though its session is sealed" in found.err
    assert found.err.count("\n") == 1


@pytest.mark.parametrize(
    ("first", "last", "message"),
    [
        ("2026-11-31", "2026-12-02", "--from 2026-11-31: expected a date such as 2026-11-20"),
        ("2026-11-20", "today", "--to today: expected a date such as 2026-11-20"),
        ("2026-11-20", "2026-11-19", "--from 2026-11-20 is after --to 2026-11-19"),
        ("0001-01-01", "0001-01-02", "no session from 0001-01-01 to 0001-01-02 is sealed; none is"),
    ],
)
def test_a_bad_range_is_one_line_and_makes_no_store(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], first: str, last: str, message: str
) -> None:
    options = ["restate", *PLACES, "--from", first, "--to", last, "--store", str(tmp_path / "store")]
    assert command_line.main(options) == 1
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not (tmp_path / "store").exists()
