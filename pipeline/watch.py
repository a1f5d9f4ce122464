"""Which trading sessions should be sealed by now and are not, and which were sealed on little. Pure: no file, no clock.

A session is expected from the first one the store speaks of on. It is overdue when its cut-off lies further back than
the patience, which should leave the schedule two chances: the evening's run and the next morning's.
"""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass
from datetime import date, datetime, timedelta

import pandas as pd

from .records import CheckResult
from .sessions import Sessions

PATIENCE = timedelta(hours=24)

RECENT = timedelta(days=14)
"""How long a session that was sealed on little is spoken of."""

MUCH_FAILED = 0.25
"""Share of failed feeds above which a sealed session is spoken of; sealing itself refuses a larger one."""


@dataclass(frozen=True, slots=True)
class OverdueSession:
    """A session that should have been sealed: ``due_at`` is its cut-off plus the patience."""

    session_date: date
    cutoff_at: datetime
    due_at: datetime

    def count_hours(self, now: datetime) -> float:
        """Return the hours since the cut-off."""
        return (now - self.cutoff_at) / timedelta(hours=1)


def find_overdue(
    sealed: Set[date], sessions: Sessions, now: datetime, patience: timedelta, first: date
) -> list[OverdueSession]:
    """Return the sessions from ``first`` on, oldest first, that are not ``sealed`` though they were due at ``now``.

    Raises:
        SessionError: ``first`` or ``now`` lies outside the calendar's days.
    """
    due = sessions.closed(first - timedelta(days=1), now - patience)
    return [
        OverdueSession(session.session_date, session.cutoff_at, session.cutoff_at + patience)
        for session in due
        if session.session_date not in sealed
    ]


def check_recent(manifest: pd.DataFrame, now: datetime) -> list[CheckResult]:
    """Return a warning for each session of the last RECENT that nobody observed, or too many of whose feeds failed.

    ``manifest`` is that of FeatureStore.sealed; what counts is the first sealing.
    """
    is_recent = (manifest["revision"] == 1) & (manifest["cutoff_at"] > now - RECENT)
    warnings = []
    for entry in manifest[is_recent].itertuples():
        total = entry.feeds_ok + entry.feeds_failed
        if entry.state == "missed":
            warnings.append(
                _warn(f"session {entry.session_date} was observed", "sealed as missed: no run came in time")
            )
        elif total and entry.feeds_failed / total > MUCH_FAILED:
            found = f"{entry.feeds_failed} of {total} failed"
            warnings.append(_warn(f"feeds answered for session {entry.session_date}", found))
    return warnings


def _warn(name: str, notes: str) -> CheckResult:
    return CheckResult(name, is_required=False, is_passed=False, notes=notes)
