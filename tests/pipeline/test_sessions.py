"""Sessions of the New York Stock Exchange, hand-checked, and the claim that their windows tile time."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import SessionError
from pipeline.sessions import Sessions

START, END = date(2024, 6, 3), date(2027, 6, 30)
NYSE = Sessions("XNYS", 0, START, END)
EARLY = Sessions("XNYS", -30, START, END)
LATE = Sessions("XNYS", 60, START, END)
NEW_YORK = ZoneInfo("America/New_York")
MOMENTS = st.datetimes(datetime(2024, 6, 10), datetime(2027, 6, 1), timezones=st.just(UTC))  # noqa: DTZ001


def eastern(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=NEW_YORK)


@pytest.mark.parametrize(
    ("moment", "session_date", "why"),
    [
        ("2026-03-10 10:00", "2026-03-10", "in the middle of a session"),
        ("2026-03-10 16:00", "2026-03-10", "exactly at the close: the cut-off is inside"),
        ("2026-03-10 16:00:00.000001", "2026-03-11", "one microsecond after the close"),
        ("2026-03-10 03:00", "2026-03-10", "before the open counts for the same day"),
        ("2026-11-20 16:30", "2026-11-23", "Friday after the close counts for Monday"),
        ("2026-11-21 12:00", "2026-11-23", "Saturday counts for Monday"),
        ("2026-11-22 23:59", "2026-11-23", "Sunday counts for Monday"),
        ("2025-11-28 13:00", "2025-11-28", "half day after Thanksgiving: close at 13:00"),
        ("2025-11-28 13:00:00.000001", "2025-12-01", "half day: 13:00 has passed"),
        ("2025-11-27 09:00", "2025-11-28", "Thanksgiving itself counts for the half day"),
        ("2025-12-24 13:01", "2025-12-26", "Christmas Eve is a half day, Christmas is closed"),
        ("2026-04-03 10:00", "2026-04-06", "Good Friday is closed; Monday is next"),
        ("2026-06-19 10:00", "2026-06-22", "Juneteenth, a Friday"),
        ("2025-01-09 10:00", "2025-01-10", "day of mourning for President Carter"),
        ("2026-07-03 10:00", "2026-07-06", "Independence Day observed on Friday"),
        ("2024-07-03 13:01", "2024-07-05", "day before Independence Day: close at 13:00"),
        ("2026-01-01 10:00", "2026-01-02", "New Year's Day"),
        ("2026-03-06 16:01", "2026-03-09", "over the weekend of the spring clock change"),
        ("2025-10-31 16:01", "2025-11-03", "over the weekend of the autumn clock change"),
    ],
)
def test_a_moment_counts_for_its_session(moment: str, session_date: str, why: str) -> None:
    assert NYSE.session_of(eastern(moment)).session_date == date.fromisoformat(session_date), why


@pytest.mark.parametrize(
    ("session_date", "opens_after", "open_at", "close_at", "why"),
    [
        ("2026-03-10", "2026-03-09 20:00", "2026-03-10 13:30", "2026-03-10 20:00", "summer time: UTC-4"),
        ("2026-03-09", "2026-03-06 21:00", "2026-03-09 13:30", "2026-03-09 20:00", "first session of summer time"),
        ("2025-11-03", "2025-10-31 20:00", "2025-11-03 14:30", "2025-11-03 21:00", "first session of winter time"),
        ("2025-11-28", "2025-11-26 21:00", "2025-11-28 14:30", "2025-11-28 18:00", "half day after a holiday"),
        ("2026-01-20", "2026-01-16 21:00", "2026-01-20 14:30", "2026-01-20 21:00", "after Martin Luther King Day"),
    ],
)
def test_a_session_knows_its_window_and_hours(
    session_date: str, opens_after: str, open_at: str, close_at: str, why: str
) -> None:
    session = NYSE.parse(session_date)
    expected = [datetime.fromisoformat(text).replace(tzinfo=UTC) for text in (opens_after, open_at, close_at, close_at)]
    assert [session.opens_after, session.open_at, session.close_at, session.cutoff_at] == expected, why


@pytest.mark.parametrize(
    ("sessions", "moment", "session_date"),
    [
        (EARLY, "2026-03-10 15:30", "2026-03-10"),
        (EARLY, "2026-03-10 15:30:00.000001", "2026-03-11"),
        (EARLY, "2025-11-28 12:31", "2025-12-01"),
        (LATE, "2026-03-10 17:00", "2026-03-10"),
        (LATE, "2026-03-10 17:00:00.000001", "2026-03-11"),
        (LATE, "2025-11-28 14:00", "2025-11-28"),
    ],
)
def test_the_offset_moves_the_cutoff_and_nothing_else(sessions: Sessions, moment: str, session_date: str) -> None:
    session = sessions.session_of(eastern(moment))
    assert session.session_date == date.fromisoformat(session_date)
    plain = NYSE.session(session.session_date)
    assert (session.open_at, session.close_at) == (plain.open_at, plain.close_at)


@given(MOMENTS, st.sampled_from([NYSE, EARLY, LATE]))
def test_every_moment_belongs_to_exactly_one_session(moment: datetime, sessions: Sessions) -> None:
    session = sessions.session_of(moment)
    assert session.opens_after < moment <= session.cutoff_at
    assert sessions.session_of(session.cutoff_at) == session
    assert sessions.session_of(session.opens_after) == sessions.previous(session)


@given(MOMENTS, st.sampled_from([NYSE, EARLY, LATE]))
def test_windows_touch_without_gap_or_overlap(moment: datetime, sessions: Sessions) -> None:
    session = sessions.session_of(moment)
    following = sessions.next(session)
    assert following.opens_after == session.cutoff_at
    assert sessions.previous(following) == session
    assert session.open_at < session.close_at < following.open_at


@given(MOMENTS, MOMENTS)
def test_later_moments_never_count_for_earlier_sessions(one: datetime, other: datetime) -> None:
    first, second = sorted((one, other))
    assert NYSE.session_of(first).session_date <= NYSE.session_of(second).session_date


@pytest.mark.parametrize(
    ("after", "now", "expected"),
    [
        ("2026-11-18", "2026-11-20 16:00", ["2026-11-19", "2026-11-20"]),  # the cut-off has just passed
        ("2026-11-18", "2026-11-20 15:59", ["2026-11-19"]),
        ("2026-11-20", "2026-11-22 12:00", []),  # nothing closes at the weekend
        ("2025-11-26", "2025-12-01 17:00", ["2025-11-28", "2025-12-01"]),  # catches up over the holiday
        ("2025-11-27", "2025-11-28 14:00", ["2025-11-28"]),  # ``after`` need not be a session
        (None, "2026-11-22 12:00", ["2026-11-20"]),
        (None, "2026-11-20 15:59", ["2026-11-19"]),
        ("2026-11-30", "2026-11-20 16:00", []),  # sealed ahead of a clock that was set back
    ],
)
def test_closed_lists_what_is_to_be_sealed(after: str | None, now: str, expected: list[str]) -> None:
    day = date.fromisoformat(after) if after else None
    assert [str(session.session_date) for session in NYSE.closed(day, eastern(now))] == expected


@given(MOMENTS)
def test_the_latest_closed_session_is_the_one_before_the_open_window(now: datetime) -> None:
    latest = NYSE.latest_closed(now)
    assert latest.cutoff_at <= now < NYSE.next(latest).cutoff_at


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("2026-04-03", r"2026-04-03 \(Friday\) is no XNYS session; the nearest are 2026-04-02 and 2026-04-06"),
        ("2025-01-09", r"2025-01-09 \(Thursday\) is no XNYS session; the nearest are 2025-01-08 and 2025-01-10"),
        ("2026-11-21", r"2026-11-21 \(Saturday\) is no XNYS session"),
        ("2026-4-3", "bad date '2026-4-3': expected YYYY-MM-DD"),
        ("20260403", "bad date '20260403': expected YYYY-MM-DD"),
        ("2026-02-30", "bad date '2026-02-30': expected YYYY-MM-DD"),
        ("yesterday", "bad date 'yesterday': expected YYYY-MM-DD"),
        ("1999-03-10", "1999-03-10 is out of range: the XNYS calendar was loaded for 2024-06-04 to 2027-06-30"),
        ("2040-03-09", "2040-03-09 is out of range"),
        ("2024-06-03", "2024-06-03 is out of range"),  # the first day only opens the next one's window
    ],
)
def test_a_bad_date_is_one_clear_line(text: str, message: str) -> None:
    with pytest.raises(SessionError, match=message) as caught:
        NYSE.parse(text)
    assert "\n" not in str(caught.value)


def test_moments_and_neighbours_outside_the_calendar_are_refused() -> None:
    far = datetime(2040, 1, 1, tzinfo=UTC)
    first, last = NYSE.session(date(2024, 6, 4)), NYSE.session(date(2027, 6, 30))
    for ask in (
        lambda: NYSE.session_of(far),
        lambda: NYSE.session_of(first.opens_after),
        lambda: NYSE.latest_closed(far),
        lambda: NYSE.closed(date(2020, 1, 2), eastern("2026-11-20 16:00")),
        lambda: NYSE.previous(first),
        lambda: NYSE.next(last),
    ):
        with pytest.raises(SessionError, match="is out of range"):
            ask()


@pytest.mark.parametrize(
    ("calendar", "start", "message"), [("NOPE", None, "NOPE"), ("XTKS", date(1950, 1, 2), "calendar XTKS from 1950")]
)
def test_a_calendar_that_cannot_be_loaded_is_one_clear_line(calendar: str, start: date | None, message: str) -> None:
    with pytest.raises(SessionError, match=message) as caught:
        Sessions(calendar, 0, start)
    assert "\n" not in str(caught.value)


def test_sessions_reach_back_to_the_nineties_when_asked() -> None:
    sessions = Sessions("XNYS", 0, date(1995, 1, 1), date(1996, 1, 1))
    assert sessions.session(date(1995, 1, 4)).close_at == eastern("1995-01-04 16:00").astimezone(UTC)


def test_moments_are_utc() -> None:
    session = NYSE.parse("2026-03-10")
    moments = (session.opens_after, session.open_at, session.close_at, session.cutoff_at)
    assert all(moment.utcoffset() == timedelta(0) for moment in moments)
