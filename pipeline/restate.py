"""Sealed sessions scored and aggregated anew: evidence -> scored -> aggregated -> validated -> stored beside the old.

What happened stays as it was sealed: headlines, links, stories, windows, universe, failed fetches and missed sessions.
The model and the settings are the present ones, and what a session looks back on are the latest revisions of those
before it. The new rows are available from the moment of restating on.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from datetime import date, timedelta

import pandas as pd

from .errors import RefusedDayError, StoreError
from .evidence import add_scores, list_pairs
from .line import Line
from .records import Session
from .restatement import RestatedSession, Restatement
from .run import HISTORY_SESSIONS, aggregate_sealed
from .schema import FEATURE_TABLE, HEADLINE_TABLE
from .sessions import Sessions
from .store import SessionToSeal
from .tables import Cells, format_cells
from .text import LABELS
from .validate import check_session, require

_PROBABILITIES = [f"p_{label}" for label in LABELS]


def restate(line: Line, first: date, last: date, found: Restatement) -> None:
    """Restate every sealed session from ``first`` to ``last``, oldest first; those that come out the same are left.

    What was done is added to ``found``, also when a later session stops the run. A run that was killed leaves whole
    sessions restated; the next one finds these unchanged and goes on.

    Raises:
        StoreError: no session of the range is sealed, or evidence or features of one are damaged.
        RefusedDayError: a required check failed for a session; neither it nor a later one was restated.
    """
    sealed = sorted(line.store.sealed_dates())
    dates = [day for day in sealed if first <= day <= last]
    if not dates:
        known = f"those sealed are {sealed[0]} to {sealed[-1]}" if sealed else "none is"
        raise StoreError(f"{line.store.root}: no session from {first} to {last} is sealed; {known}")
    settings = line.settings.sessions
    sessions = Sessions(settings.calendar, settings.cutoff_offset_minutes, start=dates[0] - timedelta(days=31))
    line = replace(line, sessions=sessions)
    for place, day in enumerate(dates, 1):
        if line.progress:
            print(f"session {day}, {place} of {len(dates)}", file=sys.stderr)
        restated = _restate_session(line, day)
        if restated is None:
            found.unchanged.append(day)
        else:
            found.restated.append(restated)
    if found.restated:
        later = [day for day in sealed if day > found.restated[-1].session_date][:HISTORY_SESSIONS]
        found.looking_back = [day for day in later if day > last]


def _restate_session(line: Line, day: date) -> RestatedSession | None:
    """Restate one session; return what changed, or None if nothing did."""
    now, old = line.clock(), Revision(line.store.read_features(day), line.store.read_headlines(day))
    entry = line.store.sealed().set_index("session_date").loc[[day]].iloc[-1]
    session = _sealed_session(line, day, entry)
    evidence = score_anew(line, old.evidence)
    tickers = old.rows["ticker"].tolist()
    failed = frozenset(old.rows["ticker"][old.rows["status"] == "fetch_failed"])
    new = Revision(aggregate_sealed(line, session, evidence, tickers, failed, now), evidence)
    if old.is_same(new):
        return None
    warnings = _check(line, session, entry, new)
    kept = {name: entry[name] for name in ("state", "opens_after", "cutoff_at", "feeds_ok", "feeds_failed")}
    made_by = {"model_revision": line.scorer.revision, "code_revision": line.code_revision, "cpu": line.cpu}
    row = {"session_date": day, "available_at": now} | kept | made_by
    line.store.restate(SessionToSeal(new.rows, new.evidence, row))
    return _describe(line, day, old, new, warnings)


@dataclass(frozen=True)
class Revision:
    """One revision of a session: its feature ``rows`` and its ``evidence``, both in the order of their files."""

    rows: pd.DataFrame
    evidence: pd.DataFrame

    def is_same(self, other: Revision) -> bool:
        """Return whether both say the same but for available_at."""
        stamp = FEATURE_TABLE.names.index("available_at")
        mine, theirs = ([row[:stamp] + row[stamp + 1 :] for row in each.cells()] for each in (self, other))
        return mine == theirs and self.evidence_cells() == other.evidence_cells()

    def cells(self) -> Cells:
        """Return the feature rows as they are written."""
        return format_cells(FEATURE_TABLE, self.rows)

    def evidence_cells(self) -> Cells:
        """Return the evidence as it is written."""
        return format_cells(HEADLINE_TABLE, self.evidence)


def score_anew(line: Line, evidence: pd.DataFrame) -> pd.DataFrame:
    """Return ``evidence``, its rows in their order, scored by the line's model.

    Rows of tickers that left the universe keep their scores: the company name that the model reads is not known now.
    """
    names = {company.ticker: company.name for company in line.companies}
    is_known = evidence["ticker"].isin(list(names))
    due = evidence[is_known].assign(company=evidence.loc[is_known, "ticker"].map(names))
    scores = line.scorer.score(list_pairs(due), line.progress)
    return pd.concat([add_scores(due, scores, line.scorer.revision), evidence[~is_known]]).sort_index()


def _sealed_session(line: Line, day: date, entry: pd.Series) -> Session:
    """Return the session with the window it was sealed by, which the present settings may have moved.

    It opens at the earlier of both moments: what was in its evidence then is in it now.
    """
    session = line.sessions.session(day)
    opens_after = min(session.opens_after, entry["opens_after"].to_pydatetime())
    return replace(session, opens_after=opens_after, cutoff_at=entry["cutoff_at"].to_pydatetime())


def _check(line: Line, session: Session, entry: pd.Series, new: Revision) -> tuple[str, ...]:
    """Return the warnings of the checks that sealing makes, too. Raises RefusedDayError if one that must hold fails."""
    checks = check_session(
        new.rows,
        new.evidence,
        new.rows["ticker"].tolist(),
        session,
        int(entry["feeds_ok"]),
        int(entry["feeds_failed"]),
        line.settings.validate,
        is_missed=entry["state"] == "missed",
    )
    try:
        require(checks)
    except RefusedDayError as error:
        raise RefusedDayError(f"session {session.session_date}: {error}") from error
    return tuple(f"{check.name}: {check.notes}" for check in checks if not check.is_passed)


def _describe(line: Line, day: date, old: Revision, new: Revision, warnings: tuple[str, ...]) -> RestatedSession:
    stamps = {FEATURE_TABLE.names.index(name) for name in ("available_at", "model_revision")}
    values = [[[cell for i, cell in enumerate(row) if i not in stamps] for row in each.cells()] for each in (old, new)]
    changes = (new.rows["sentiment_score"] - old.rows["sentiment_score"]).abs().round(6).set_axis(new.rows["ticker"])
    labels = [each.evidence[_PROBABILITIES].to_numpy().argmax(axis=1) for each in (old, new)]
    return RestatedSession(
        session_date=day,
        revision=line.store.latest_revisions()[day],
        row_count=len(new.rows),
        changed_count=sum(before != after for before, after in zip(*values, strict=True)),
        score_changes=changes.dropna().to_dict(),
        evidence_count=len(new.evidence),
        label_count=int((labels[0] != labels[1]).sum()),
        kept_count=int((~new.evidence["ticker"].isin([company.ticker for company in line.companies])).sum()),
        warnings=warnings,
    )
