"""An opened line: what a run works with, and what it has to ask its store before it can begin or seal."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from functools import partial

from .config import Settings
from .evidence import renew_evidence
from .place import Place, place_headline
from .records import Company, Feed, FeedState, FetchResult, Session
from .score import Scorer
from .sessions import Sessions
from .store import FeatureStore

NEVER = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True)
class Line:
    """Everything a run works with, opened once by the caller. ``clock`` returns the current time in UTC."""

    settings: Settings
    companies: tuple[Company, ...]
    feeds: tuple[Feed, ...]
    sessions: Sessions
    store: FeatureStore
    scorer: Scorer
    fetch: Callable[[Sequence[Feed], Mapping[str, FeedState]], list[FetchResult]]
    clock: Callable[[], datetime]
    code_revision: str
    cpu: str
    progress: bool = False


def read_states(line: Line) -> dict[str, FeedState]:
    """Return the state of the feeds; general ones are read in full again when the universe has grown.

    Unchanged, such a feed may still hold headlines about the new tickers.
    """
    states, sealed = line.store.read_feed_states(), line.store.sealed_dates()
    known = set(line.store.read_features(max(sealed)).ticker) if sealed else set()
    if all(company.ticker in known for company in line.companies):
        return states
    general = {feed.feed_id for feed in line.feeds if feed.ticker is None}
    return {key: replace(s, etag="", last_modified="") if key in general else s for key, s in states.items()}


def renew_open_evidence(line: Line) -> None:
    """Bring what earlier captures left up to the present cut-off, calendar and model, if any of them has changed."""
    sealed, evidence = line.store.sealed_dates(), line.store.read_open_headlines()
    earliest_open = line.sessions.next(line.sessions.session(max(sealed))).session_date if sealed else date.min
    renewed = renew_evidence(evidence, line.companies, place_by(line, earliest_open), line.scorer)
    if not renewed.equals(evidence):
        line.store.replace_open_headlines(renewed)


def place_by(line: Line, earliest_open: date) -> Callable[[datetime], Place]:
    """Return the function from published_at to a headline's place; ``earliest_open`` is the first open session."""
    return partial(place_headline, session_of=line.sessions.session_of, earliest_open=earliest_open)


def open_sessions(line: Line, now: datetime) -> tuple[Session, Session]:
    """Return the first session the store speaks of and the earliest one not sealed yet.

    An empty store begins with the latest session that has closed: what the feeds still hold of it is news today.
    """
    sealed, captured = line.store.sealed_dates(), line.store.captured_dates()
    if not sealed | captured:
        latest = line.sessions.latest_closed(now)
        return latest, latest
    first = line.sessions.session(min(sealed | captured))
    return first, line.sessions.next(line.sessions.session(max(sealed))) if sealed else first


def cutoff_before(line: Line, session: Session) -> datetime:
    """Return when the window of ``session`` opens: at the cut-off of the session before, as that one was sealed.

    The present settings may name another cut-off than those it was sealed by; sealed windows follow without a gap.
    """
    before = line.sessions.previous(session).session_date
    cutoffs = line.store.cutoffs()
    return cutoffs.get(before, session.opens_after)


def answered_since(line: Line, moment: datetime) -> frozenset[str]:
    """Return the feeds that answered, at the address they have now, at or after ``moment``.

    Only then is their silence about a session that ended at ``moment`` known.
    """
    states = line.store.read_feed_states()
    known = [(feed, states[feed.feed_id]) for feed in line.feeds if feed.feed_id in states]
    return frozenset(
        feed.feed_id for feed, state in known if state.url == feed.url and (state.last_ok_at or NEVER) >= moment
    )
