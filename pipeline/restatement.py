"""What a run of restate changed, as a record and as the summary that a person reads. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from statistics import fmean


@dataclass(frozen=True, slots=True)
class RestatedSession:
    """What changed in one session.

    ``changed_count`` of ``row_count`` feature rows differ; ``score_changes`` are the absolute changes of
    sentiment_score, by ticker, where there is a score. Of ``evidence_count`` evidence rows ``label_count`` have another
    largest probability and ``kept_count`` kept their scores, as their company's name is unknown.
    """

    session_date: date
    revision: int
    row_count: int
    changed_count: int
    score_changes: dict[str, float]
    evidence_count: int
    label_count: int
    kept_count: int
    warnings: tuple[str, ...]


@dataclass
class Restatement:
    """What a run restated, which sessions came out the same, and which later ones look back on what was restated."""

    restated: list[RestatedSession] = field(default_factory=list)
    unchanged: list[date] = field(default_factory=list)
    looking_back: list[date] = field(default_factory=list)


def restatement_text(found: Restatement) -> str:
    """Return the summary for a terminal."""
    lines = [_session_text(session) for session in found.restated]
    lines += [f"  warning {session.session_date}: {note}" for session in found.restated for note in session.warnings]
    lines.append(_total_text(found.restated))
    if found.unchanged:
        lines.append(f"unchanged, so not restated: {_dates_text(found.unchanged)}")
    if kept := sum(session.kept_count for session in found.restated):
        lines.append(f"old scores kept: {kept:,} headline-ticker rows, of tickers that are no longer in the universe")
    if found.looking_back:
        first, last = found.looking_back[0], found.looking_back[-1]
        lines.append(
            f"trailing columns of {_dates_text(found.looking_back)} still look back on the earlier revision; "
            f"to restate these too: --from {first} --to {last}"
        )
    return "\n".join(lines)


def _session_text(session: RestatedSession) -> str:
    return f"{session.session_date} revision {session.revision}: {_counts_text([session])}"


def _total_text(sessions: Sequence[RestatedSession]) -> str:
    count = f"{len(sessions)} session{'s' * (len(sessions) != 1)} restated"
    return f"{count}: {_counts_text(sessions)}" if sessions else count


def _counts_text(sessions: Sequence[RestatedSession]) -> str:
    changes = {(change, ticker) for session in sessions for ticker, change in session.score_changes.items()}
    values = [change for session in sessions for change in session.score_changes.values()]
    largest, ticker = max(changes, default=(0.0, ""))
    by = f", sentiment_score by {fmean(values):.4f} on average, {largest:.4f} at most ({ticker})" if values else ""
    return (
        f"{sum(s.changed_count for s in sessions):,} of {sum(s.row_count for s in sessions):,} rows changed{by}; "
        f"{sum(s.label_count for s in sessions):,} of {sum(s.evidence_count for s in sessions):,} labels changed"
    )


def _dates_text(dates: Sequence[date]) -> str:
    return f"{len(dates)} sessions, {dates[0]} to {dates[-1]}" if len(dates) > 1 else f"1 session, {dates[0]}"
