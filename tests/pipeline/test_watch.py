"""The watchdog: which sessions should be sealed by now and are not, and what its owner is told."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline import __main__ as pipeline_line
from pipeline.config import HOME
from pipeline.store import FeatureStore
from pipeline.watch import MUCH_FAILED, check_recent, find_overdue
from tests.sample import PLACES, read_settings

from ..daily_line import SESSIONS
from .made_session import DAY, NEXT_DAY, made_evidence, made_manifest_row, made_rows
from .made_store import capture_and_seal

PATIENCE = timedelta(hours=24)
TUESDAY, WEDNESDAY, HALF_DAY = date(2026, 11, 24), date(2026, 11, 25), date(2026, 11, 27)


pytestmark = pytest.mark.usefixtures("quick_disk")


@pytest.fixture
def store(tmp_path: Path) -> FeatureStore:
    return FeatureStore(tmp_path / "store")


@pytest.fixture
def watch_at(store: FeatureStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Run the verb on the store at a moment; return its exit code and report.json."""

    def watch(now: datetime, *options: str) -> tuple[int, dict[str, Any]]:
        class Clock(datetime):
            @classmethod
            def now(cls, tz: Any = None) -> datetime:
                return now

        monkeypatch.setattr(pipeline_line, "datetime", Clock)
        places = [*PLACES, "--store", str(store.root), "--report", str(tmp_path / "report")]
        code = pipeline_line.main(["watch", *places, *options])
        return code, json.loads((tmp_path / "report" / "report.json").read_text())

    return watch


def at(day: int, hour: int, minute: int = 0, month: int = 11) -> datetime:
    """Return a moment of November 2026, UTC."""
    return datetime(2026, month, day, hour, minute, tzinfo=UTC)


def failed_names(report: dict[str, Any]) -> list[str]:
    return [check["name"] for check in report["checks"] if check["is_required"] and not check["is_passed"]]


@pytest.mark.parametrize(
    ("sealed", "now", "overdue"),
    [
        ({DAY}, at(22, 12), []),  # the weekend asks for nothing
        ({DAY}, at(23, 23), []),  # Monday's cut-off has passed; its two chances have not
        ({DAY}, at(24, 20, 59), []),
        ({DAY}, at(24, 21), [NEXT_DAY]),
        ({DAY, NEXT_DAY}, at(26, 20, 59), [TUESDAY]),
        ({DAY, NEXT_DAY, TUESDAY, WEDNESDAY}, at(28, 17, 59), []),  # Thanksgiving is no session
        ({DAY, NEXT_DAY, TUESDAY, WEDNESDAY}, at(28, 18), [HALF_DAY]),  # the half day closes at 18:00 UTC
        ({DAY, TUESDAY}, at(25, 21, 0), [NEXT_DAY]),  # a gap in the middle
        (set(), at(24, 22), [DAY, NEXT_DAY]),  # captured, never sealed
    ],
)
def test_a_session_is_overdue_once_its_cut_off_lies_back_further_than_the_patience(
    sealed: set[date], now: datetime, overdue: list[date]
) -> None:
    found = find_overdue(sealed, SESSIONS, now, PATIENCE, DAY)
    assert [late.session_date for late in found] == overdue
    assert all(late.due_at == late.cutoff_at + PATIENCE <= now for late in found)


@pytest.mark.parametrize(("now", "overdue"), [(at(31, 20, month=10), True), (at(31, 19, 59, month=10), False)])
def test_before_the_clocks_change_the_cut_off_is_an_hour_earlier(now: datetime, overdue: bool) -> None:
    friday = date(2026, 10, 30)
    assert bool(find_overdue(set(), SESSIONS, now, PATIENCE, friday)) == overdue


@settings(max_examples=60, deadline=None)
@given(st.sets(st.integers(0, 40)), st.integers(0, 60 * 24), st.integers(0, 240), st.integers(0, 240))
def test_more_patience_never_finds_more_and_sealing_what_is_found_settles_it(
    sealed_days: set[int], hours: int, patience: int, more: int
) -> None:
    sealed, now = {DAY + timedelta(days=days) for days in sealed_days}, at(20, 0) + timedelta(hours=hours)
    found = find_overdue(sealed, SESSIONS, now, timedelta(hours=patience), DAY)
    calmer = find_overdue(sealed, SESSIONS, now, timedelta(hours=patience + more), DAY)
    days = {late.session_date for late in found}
    assert {late.session_date for late in calmer} <= days
    assert not days & sealed
    assert find_overdue(sealed | days, SESSIONS, now, timedelta(hours=patience), DAY) == []


def test_a_store_that_keeps_up_is_green(store: FeatureStore, watch_at: Callable[..., Any]) -> None:
    capture_and_seal(store, DAY)
    code, report = watch_at(at(24, 20))
    assert code == 0
    assert report["failure"] == ""
    assert [check["name"] for check in report["checks"]] == ["every session since 2026-11-20 is sealed"]


def test_each_overdue_session_is_named_with_what_was_captured_of_it(
    store: FeatureStore, watch_at: Callable[..., Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capture_and_seal(store, DAY)
    store.append_headlines(made_evidence(NEXT_DAY))
    code, report = watch_at(at(25, 22))
    assert code == 1
    assert report["failure"] == "2 sessions overdue since 2026-11-24 21:00 UTC"
    assert failed_names(report) == ["session 2026-11-23 is sealed", "session 2026-11-24 is sealed"]
    shown = capsys.readouterr().out
    for words in (
        "session 2026-11-23 is sealed: cut-off 2026-11-23 21:00 UTC, 49.0 hours ago; 4 headline-ticker rows captured",
        "session 2026-11-24 is sealed: cut-off 2026-11-24 21:00 UTC, 25.0 hours ago; nothing captured",
    ):
        assert words in shown
    assert all(
        f"session 2026-11-{day} is sealed" in (tmp_path / "report" / "report.md").read_text() for day in (23, 24)
    )


def test_patience_is_an_option(store: FeatureStore, watch_at: Callable[..., Any]) -> None:
    capture_and_seal(store, DAY)
    assert watch_at(at(23, 22), "--patience-hours", "0.5")[0] == 1
    assert watch_at(at(23, 22), "--patience-hours", "1.5")[0] == 0


@pytest.mark.parametrize("hours", ["-1", "nan", "inf", "745"])
def test_an_impossible_patience_is_one_line(
    watch_at: Callable[..., Any], tmp_path: Path, capsys: pytest.CaptureFixture[str], hours: str
) -> None:
    with pytest.raises(FileNotFoundError):
        watch_at(at(23, 22), "--patience-hours", hours)
    assert f"--patience-hours {hours}: expected 0 to 744" in capsys.readouterr().err


def test_a_store_without_any_session_is_red_and_says_what_to_do(
    watch_at: Callable[..., Any], store: FeatureStore
) -> None:
    code, report = watch_at(at(24, 22))
    assert code == 1
    assert report["failure"] == "nothing is sealed and nothing captured yet"
    assert failed_names(report) == ["the store holds a session"]
    assert "start it by hand" in report["checks"][0]["notes"]
    assert not store.root.exists()


def test_a_store_that_captures_and_never_seals_is_red(store: FeatureStore, watch_at: Callable[..., Any]) -> None:
    store.append_headlines(made_evidence(DAY))
    assert watch_at(at(21, 20))[0] == 0
    assert failed_names(watch_at(at(21, 21))[1]) == ["session 2026-11-20 is sealed"]


def test_sessions_sealed_on_little_are_warned_of_for_two_weeks_and_fail_nothing(
    store: FeatureStore, watch_at: Callable[..., Any]
) -> None:
    store.append_headlines(made_evidence(DAY))
    store.seal(made_rows(DAY), made_manifest_row(DAY, state="missed"))
    store.append_headlines(made_evidence(NEXT_DAY))
    store.seal(made_rows(NEXT_DAY), made_manifest_row(NEXT_DAY, feeds_ok=6, feeds_failed=4))
    code, report = watch_at(at(24, 22), "--patience-hours", "72")
    warned = [(check["name"], check["notes"]) for check in report["checks"] if not check["is_passed"]]
    assert code == 0
    assert warned == [
        ("session 2026-11-20 was observed", "sealed as missed: no run came in time"),
        ("feeds answered for session 2026-11-23", "4 of 10 failed"),
    ]
    assert check_recent(store.sealed(), at(8, 0, month=12)) == []


@pytest.mark.parametrize(("failed", "is_warned"), [(25, False), (26, True), (0, False)])
def test_the_share_of_failed_feeds_decides(failed: int, is_warned: bool) -> None:
    assert MUCH_FAILED == 0.25
    row = made_manifest_row(DAY, feeds_ok=100 - failed, feeds_failed=failed) | {"revision": 1}
    assert bool(check_recent(pd.DataFrame([row]), at(23, 0))) == is_warned


def test_a_long_outage_names_its_first_sessions_and_counts_the_rest(
    store: FeatureStore, watch_at: Callable[..., Any]
) -> None:
    capture_and_seal(store, DAY)
    _, report = watch_at(datetime(2027, 3, 1, 12, tzinfo=UTC))
    names = failed_names(report)
    assert len(names) == 31
    assert names[0] == "session 2026-11-23 is sealed"
    assert names[-1] == "35 sessions more are sealed"
    assert report["checks"][30]["notes"] == "2027-01-07 to 2027-02-26"


def test_evidence_that_cannot_be_read_does_not_hide_that_its_session_is_overdue(
    store: FeatureStore, watch_at: Callable[..., Any]
) -> None:
    capture_and_seal(store, DAY)
    store.append_headlines(made_evidence(NEXT_DAY))
    (store.root / f"headlines/2026/{NEXT_DAY}.csv").write_text("torn")
    _, report = watch_at(at(25, 12))
    assert failed_names(report) == ["session 2026-11-23 is sealed"]
    assert "cannot be read" in report["checks"][0]["notes"]


def test_a_damaged_manifest_is_one_line_and_in_the_report(
    store: FeatureStore, watch_at: Callable[..., Any], capsys: pytest.CaptureFixture[str]
) -> None:
    capture_and_seal(store, DAY)
    (store.root / "manifest.csv").write_text("torn")
    code, report = watch_at(at(25, 12))
    error = capsys.readouterr().err
    assert code == 1
    assert error.count("\n") == 1
    assert report["failure"] in error


def test_watching_needs_no_model(store: FeatureStore, watch_at: Callable[..., Any], tmp_path: Path) -> None:
    capture_and_seal(store, DAY)
    text = read_settings()
    (tmp_path / "settings.toml").write_text(text.replace(str(HOME / "default_model"), "absent"))
    assert watch_at(at(23, 22), "--settings", str(tmp_path / "settings.toml"))[0] == 0
