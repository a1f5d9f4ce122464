"""Which trading session a moment counts for. Pure once built: it never reads the clock and touches no file.

Session D's window is (cut-off of the previous session, cut-off of D]; the cut-off is the exchange's close of that day,
half days included, plus a fixed number of minutes. Windows tile time: every moment belongs to exactly one session,
weekends and holidays to the next one. Hours come from exchange_calendars and are kept as UTC moments, so clock changes
need no rule here.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from datetime import date, datetime, timedelta

from exchange_calendars import get_calendar
from exchange_calendars.errors import CalendarError

from .errors import SessionError
from .records import Session


class Sessions:
    """The sessions of one exchange, oldest first.

    Args:
        calendar: an exchange_calendars name such as XNYS.
        cutoff_offset_minutes: cut-off = close + this; may be negative.
        start: first day of the calendar; by default 20 years back. Its first session only opens the next one's window.
        end: last day; by default a year ahead.

    Raises:
        SessionError: the calendar is unknown, or has no hours for these days.
    """

    def __init__(
        self, calendar: str, cutoff_offset_minutes: int, start: date | None = None, end: date | None = None
    ) -> None:
        try:
            schedule = get_calendar(calendar, start=start, end=end).schedule
        except (CalendarError, ValueError) as error:
            raise SessionError(f"calendar {calendar} from {start} to {end}: {_one_line(error)}") from error
        self._calendar = calendar
        self._dates: list[date] = [day.date() for day in schedule.index]
        self._opens: list[datetime] = list(schedule["open"].dt.to_pydatetime())
        self._closes: list[datetime] = list(schedule["close"].dt.to_pydatetime())
        offset = timedelta(minutes=cutoff_offset_minutes)
        self._cutoffs = [close + offset for close in self._closes]

    def session_of(self, moment: datetime) -> Session:
        """Return the session whose window holds ``moment`` (timezone-aware); the cut-off itself is inside.

        Raises:
            SessionError: the moment lies outside the calendar's days.
        """
        return self._at(bisect_left(self._cutoffs, moment), moment.isoformat())

    def session(self, session_date: date) -> Session:
        """Return the session of ``session_date``.

        Raises:
            SessionError: the exchange is closed that day (the nearest sessions are named), or the day is out of range.
        """
        index = bisect_left(self._dates, session_date)
        if index == len(self._dates) or self._dates[index] != session_date:
            before, after = self._at(index - 1, str(session_date)), self._at(index, str(session_date))
            raise SessionError(
                f"{session_date} ({session_date:%A}) is no {self._calendar} session; "
                f"the nearest are {before.session_date} and {after.session_date}"
            )
        return self._at(index, str(session_date))

    def parse(self, text: str) -> Session:
        """Return the session of a date written YYYY-MM-DD.

        Raises:
            SessionError: ``text`` is not such a date, or no session.
        """
        try:
            day = date.fromisoformat(text)
        except ValueError:
            day = None
        if day is None or day.isoformat() != text:
            raise SessionError(f"bad date {text!r}: expected YYYY-MM-DD, such as {self._dates[-1]}")
        return self.session(day)

    def previous(self, session: Session) -> Session:
        """Return the session before ``session``. Raises SessionError at the calendar's start."""
        return self._at(
            bisect_left(self._dates, session.session_date) - 1, f"the session before {session.session_date}"
        )

    def next(self, session: Session) -> Session:
        """Return the session after ``session``. Raises SessionError at the calendar's end."""
        day = session.session_date
        return self._at(bisect_right(self._dates, day), f"the session after {day}")

    def closed(self, after: date | None, now: datetime) -> list[Session]:
        """Return every session later than ``after`` whose cut-off has passed at ``now``, oldest first.

        Without ``after`` only the latest one: nothing says how far back a new store should begin.

        Raises:
            SessionError: ``after`` or ``now`` lies outside the calendar's days, so sessions might be missed.
        """
        latest = self.latest_closed(now)
        if after is None:
            return [latest]
        first, end = bisect_right(self._dates, after), bisect_right(self._dates, latest.session_date)
        return [self._at(index, str(after)) for index in range(first, end)]

    def latest_closed(self, now: datetime) -> Session:
        """Return the last session whose cut-off is at or before ``now``. Raises SessionError when out of range."""
        index = bisect_right(self._cutoffs, now)
        if index == len(self._cutoffs):
            raise self._out_of_range(now.isoformat())
        return self._at(index - 1, now.isoformat())

    def _at(self, index: int, subject: str) -> Session:
        """Return the session at ``index``; 0 is out of range, because its window's start is not known."""
        if not 0 < index < len(self._dates):
            raise self._out_of_range(subject)
        return Session(
            self._dates[index], self._cutoffs[index - 1], self._opens[index], self._closes[index], self._cutoffs[index]
        )

    def _out_of_range(self, subject: str) -> SessionError:
        known = f"{self._dates[1]} to {self._dates[-1]}" if len(self._dates) > 1 else "no session"
        return SessionError(f"{subject} is out of range: the {self._calendar} calendar was loaded for {known}")


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
