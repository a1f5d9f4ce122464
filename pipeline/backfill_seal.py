"""The second half of a backfill: scored evidence, session by session, to sealed months. Keeps what was in memory.

What an earlier session left is not read back from the store but carried along: its feature rows are rounded as its
file is, so that either way the bytes are the same.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from itertools import groupby

import pandas as pd

from .aggregate import aggregate_session
from .archive_months import first_of_month
from .backfill_link import first_remembered
from .config import Settings
from .records import Company, Session
from .report import Report
from .run import HISTORY_SESSIONS
from .schema import FEATURE_TABLE, HEADLINE_TABLE
from .store import FeatureStore, SessionToSeal
from .tables import to_frame
from .trailing import USED
from .validate import check_session, require


@dataclass(frozen=True)
class Backfill:
    """What a backfill works with. ``sessions`` are all that were asked for, also those that are sealed already.

    ``latency`` lies between a cut-off and available_at.
    """

    settings: Settings
    companies: tuple[Company, ...]
    sessions: tuple[Session, ...]
    store: FeatureStore
    latency: timedelta
    model_revision: str
    code_revision: str
    cpu: str


@dataclass
class Past:
    """What the sessions before left: feature rows for trailing columns, and the stories that are no longer new."""

    rows: deque[pd.DataFrame] = field(default_factory=lambda: deque(maxlen=HISTORY_SESSIONS))
    stories: deque[tuple[date, frozenset[str]]] = field(default_factory=deque)

    def add(self, session_date: date, rows: pd.DataFrame, evidence: pd.DataFrame) -> None:
        """Remember a session."""
        self.rows.append(rows[USED])
        self.stories.append((session_date, frozenset(evidence["story_id"])))

    def history(self) -> pd.DataFrame:
        """Return the rows of the last HISTORY_SESSIONS sessions."""
        return pd.concat(self.rows) if self.rows else to_frame(FEATURE_TABLE, [])

    def stale_stories(self, since: datetime) -> frozenset[str]:
        """Return every story of the sessions whose window could hold a headline published at ``since`` or later."""
        while self.stories and self.stories[0][0] < first_remembered(since):
            self.stories.popleft()
        return frozenset().union(*(stories for _, stories in self.stories))


def recall_past(store: FeatureStore, first: Session, settings: Settings) -> Past:
    """Return what the sealed sessions of ``store`` left for ``first``, the session after them."""
    past = Past()
    history = store.history(first.session_date, HISTORY_SESSIONS)
    past.rows.extend(rows[USED] for _, rows in history.groupby("session_date"))
    evidence = store.recent_headlines(first.opens_after - settings.look_back, before=first.session_date)
    past.stories.extend((day, frozenset(rows["story_id"])) for day, rows in evidence.groupby("session_date"))
    return past


def seal_sessions(
    work: Backfill,
    scored: Iterable[tuple[Session, pd.DataFrame]],
    past: Past,
    has_headlines: Callable[[date], bool],
    report: Report,
    advance: Callable[[Session, pd.DataFrame], None],
) -> None:
    """Aggregate, check and seal the scored sessions, a month at a time; ``advance`` is told of each.

    Raises:
        RefusedDayError: a required check failed for a session; its month and all later ones were not written.
    """
    for _, month in groupby(scored, lambda item: first_of_month(item[0])):
        batch = []
        for session, evidence in month:
            batch.append(_prepare(work, session, evidence, past, not has_headlines(session.session_date), report))
            advance(session, evidence)
        with report.stage("stored", "sessions") as stage:
            work.store.seal_all(batch)
            stage.count += len(batch)


def _prepare(
    work: Backfill, session: Session, evidence: pd.DataFrame, past: Past, is_missed: bool, report: Report
) -> SessionToSeal:
    """Return a session ready to be sealed, and remember it. A missed one is not expected to have headlines."""
    evidence = evidence if len(evidence) else to_frame(HEADLINE_TABLE, [])
    tickers = [company.ticker for company in work.companies]
    with report.stage("aggregated", "rows") as stage:
        rows = aggregate_session(
            evidence,
            past.history(),
            tickers,
            session,
            failed_tickers=frozenset(tickers) if is_missed else frozenset(),
            stale_stories=past.stale_stories(session.opens_after - work.settings.look_back),
            available_at=session.cutoff_at + work.latency,
            model_revision=work.model_revision,
            stale_weight=work.settings.aggregate.stale_weight,
        )
        past.add(session.session_date, rows, evidence)
        stage.count += len(rows)
    health = {"feeds_ok": int(not is_missed), "feeds_failed": int(is_missed)}
    with report.stage("validated", "rows") as stage:
        # A day without a word on the universe is no fault here: the archive has other headlines of it, or it is missed.
        settings = replace(work.settings.validate, min_headlines=0)
        checks = check_session(rows, evidence, tickers, session, settings=settings, is_missed=is_missed, **health)
        require(checks)
        stage.count += len(rows)
    return SessionToSeal(rows, evidence, _manifest_row(work, session, is_missed) | health)


def _manifest_row(work: Backfill, session: Session, is_missed: bool) -> dict[str, object]:
    return {
        "session_date": session.session_date,
        "state": "missed" if is_missed else "sealed",
        "available_at": session.cutoff_at + work.latency,
        "opens_after": session.opens_after,
        "cutoff_at": session.cutoff_at,
        "model_revision": work.model_revision,
        "code_revision": work.code_revision,
        "cpu": work.cpu,
    }
