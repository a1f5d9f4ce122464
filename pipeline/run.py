"""The daily line in order: feeds -> headlines -> linked -> deduplicated -> scored -> aggregated -> validated -> stored.

``capture`` runs the first half and appends evidence to the open sessions; ``seal`` runs the second half for every
session whose cut-off has passed. Every stage is a module of its own; this one only puts them in order.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta

import pandas as pd

from .aggregate import aggregate_session
from .dedupe import deduplicate
from .errors import FeedError
from .evidence import list_known, score_stories
from .feeds import unheard_tickers
from .fetch import next_states
from .line import Line, answered_since, cutoff_before, open_sessions, place_by, read_states, renew_open_evidence
from .link import link_headlines
from .parse import parse_feed
from .place import drop_old
from .records import CheckResult, FetchResult, Headline, Session
from .report import Report, describe_session
from .validate import check_fetch, check_session, require

HISTORY_SESSIONS = 30
"""Earlier sealed sessions that trailing windows and buzz look back on: 21, and room for failed ones between them."""

LONG_MEMORY = timedelta(days=90)
"""How long a headline is known by its id, should its feed go on showing it without a date or with today's."""


def run_daily(line: Line, report: Report, last: date | None = None) -> None:
    """Capture, then seal no session after ``last``."""
    capture(line, report)
    seal(line, report, last)


def capture(line: Line, report: Report) -> None:
    """Append the newly seen headlines of every feed, scored, to the evidence of the open sessions.

    Raises:
        RefusedDayError: too many feeds failed; nothing was written.
    """
    settings = line.settings
    states = read_states(line)
    with report.stage("fetched", "addresses answered") as stage:
        results = line.fetch(line.feeds, states)
        stage.count += sum(result.status != "failed" for result in results)
    with report.stage("parsed", "headlines") as stage:
        headlines, faults = _parse(results, settings.headlines.future_tolerance_s)
        stage.count += len(headlines)
    report.add_feeds(results, faults)
    _require(check_fetch(results, faults, settings.validate), report)

    now = line.clock()
    renew_open_evidence(line)
    first, earliest_open = open_sessions(line, now)
    window, max_age = (timedelta(hours=h) for h in (settings.dedupe.window_hours, settings.headlines.max_age_hours))
    remembered = line.store.recent_headlines(now - settings.look_back)
    long_known = line.store.captured_ids((now - LONG_MEMORY).date(), now.date()) - set(remembered.headline_id)
    fresh, old = drop_old(headlines, first.opens_after, max_age, long_known)
    with report.stage("linked", "headlines with a ticker") as stage:
        linked, unlinked = link_headlines(fresh, line.companies, settings.link.min_relevance)
        stage.count += len(linked)
    with report.stage("deduplicated", "new headlines") as stage:
        stories = deduplicate(linked, list_known(remembered), settings.dedupe.threshold, window)
        stage.count += len(stories.kept)
    report.dropped += [*old, *unlinked, *stories.dropped]
    report.add_stories(stories.kept)
    with report.stage("scored", "headline-ticker pairs") as stage:
        place_of = place_by(line, earliest_open.session_date)
        evidence = score_stories(stories.kept, line.companies, place_of, line.scorer, line.progress)
        stage.count += len(evidence)
    line.store.append_headlines(evidence)
    line.store.write_feed_states(next_states(results, states, faults))


def seal(line: Line, report: Report, last: date | None = None) -> None:
    """Aggregate, validate and store every session whose cut-off has passed and that is not sealed yet, oldest first.

    Sessions after ``last`` stay open; without it there is no such limit.

    A session whose window opened further back than feeds are believed to reach (``max_age_hours``) was missed: it is
    sealed with what was captured of it, and silence about a ticker means nothing.

    Raises:
        RefusedDayError: a required check failed for a session; neither it nor a later one was written.
    """
    now, tickers = line.clock(), [company.ticker for company in line.companies]
    renew_open_evidence(line)
    _, earliest_open = open_sessions(line, now)
    for session in line.sessions.closed(earliest_open.session_date - timedelta(days=1), now):
        if last is not None and session.session_date > last:
            break
        evidence = line.store.read_headlines(session.session_date)
        is_missed = now - session.opens_after > timedelta(hours=line.settings.headlines.max_age_hours)
        answered = frozenset() if is_missed else answered_since(line, session.cutoff_at)
        with report.stage("aggregated", "tickers") as stage:
            failed_tickers = unheard_tickers(line.feeds, tickers, answered)
            rows = aggregate_sealed(line, session, evidence, tickers, failed_tickers, now)
            stage.count += len(rows)
        failed = sum(feed.feed_id not in answered for feed in line.feeds)
        health = {"feeds_ok": len(line.feeds) - failed, "feeds_failed": failed}
        with report.stage("validated", "rows") as stage:
            checks = check_session(
                rows, evidence, tickers, session, settings=line.settings.validate, is_missed=is_missed, **health
            )
            _require(checks, report)
            stage.count += len(rows)
        with report.stage("stored", "rows") as stage:
            path = line.store.seal(rows, _manifest_row(line, session, is_missed, now) | health)
            stage.count += len(rows)
        report.sealed.append(describe_session(session.session_date, str(path), rows, evidence))


def aggregate_sealed(
    line: Line,
    session: Session,
    evidence: pd.DataFrame,
    tickers: Sequence[str],
    failed_tickers: frozenset[str],
    now: datetime,
) -> pd.DataFrame:
    """Return the feature rows of ``session``, which look back on what the store holds of the sessions before it.

    ``failed_tickers`` are those whose silence means nothing; ``now`` is when the rows become available.
    """
    settings = line.settings
    earlier = line.store.recent_headlines(session.opens_after - settings.look_back, before=session.session_date)
    return aggregate_session(
        evidence,
        line.store.history(session.session_date, HISTORY_SESSIONS),
        tickers,
        session,
        failed_tickers=failed_tickers,
        stale_stories=frozenset(earlier.story_id),
        available_at=now,
        model_revision=line.scorer.revision,
        stale_weight=settings.aggregate.stale_weight,
    )


def _parse(results: Sequence[FetchResult], future_tolerance_s: float) -> tuple[list[Headline], dict[str, str]]:
    """Return the headlines of every answer, and the fault of every feed whose answer is no feed."""
    headlines: list[Headline] = []
    faults: dict[str, str] = {}
    for result in results:
        if result.status == "ok":
            try:
                headlines += parse_feed(result, future_tolerance_s)
            except FeedError as error:
                faults[result.feed.feed_id] = str(error)
    return headlines, faults


def _manifest_row(line: Line, session: Session, is_missed: bool, now: datetime) -> dict[str, object]:
    return {
        "session_date": session.session_date,
        "state": "missed" if is_missed else "sealed",
        "available_at": now,
        "opens_after": cutoff_before(line, session),
        "cutoff_at": session.cutoff_at,
        "model_revision": line.scorer.revision,
        "code_revision": line.code_revision,
        "cpu": line.cpu,
    }


def _require(checks: Sequence[CheckResult], report: Report) -> None:
    """Put ``checks`` on the report first, then fail on those that must hold."""
    report.checks += checks
    require(checks)
