"""A headline archive through the daily line's own code into a store, session by session, a month sealed at a time.

    archive -> months -> linked -> deduplicated -> scored -> aggregated -> validated -> stored

A row of a session is available at its cut-off plus a stated latency. A session whose window holds no headline of the
archive at all is sealed as missed: a gap of a crawl is no silence. What is sealed stays; after a kill the same command
goes on with the first session that is not sealed, and ends with the same bytes.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from itertools import accumulate
from pathlib import Path

import pandas as pd
from tqdm import tqdm

from .archive import ArchiveRow, BadRow
from .archive_months import Tally, split_archive
from .backfill_leftovers import remove_leftovers
from .backfill_link import FEED_ID, LinkJob, list_blocks, recall
from .backfill_seal import Backfill, recall_past, seal_sessions
from .errors import ArchiveError, ConfigError, StoreError
from .evidence import add_scores, list_pairs
from .records import Session
from .report import Report
from .score import Scorer
from .sessions import Sessions
from .store import FeatureStore

Engine = Callable[[LinkJob, Report], Iterator[pd.DataFrame]]
"""Scores a job: yields the evidence of each of its sessions, in their order, empty for one without any."""


@dataclass
class Summary:
    """What a backfill did. ``skipped_count`` sessions were sealed before it began."""

    skipped_count: int = 0
    session_count: int = 0
    missed_count: int = 0
    headline_count: int = 0
    pair_count: int = 0
    tally: Tally = field(default_factory=Tally)


def run_backfill(
    work: Backfill, rows: Iterable[ArchiveRow | BadRow], score: Engine, report: Report, progress: bool = False
) -> Summary:
    """Seal every session of ``work`` that is not sealed yet, from the ``rows`` of an archive.

    What a killed backfill left of sessions it did not seal is removed first.

    Raises:
        ArchiveError: no row of the archive counts for any of the sessions.
        StoreError: the sessions do not follow on what is sealed, or the daily line has captured some of them.
        RefusedDayError: a required check failed for a session; its month and all later ones were not written.
    """
    with work.store.lock(), tempfile.TemporaryDirectory(prefix="backfill-") as name:
        pending = list_pending(work.store, work.sessions)
        remove_leftovers(work.store)
        summary = Summary(skipped_count=len(work.sessions) - len(pending))
        if not pending:
            return summary
        first, universe = pending[0], frozenset(company.ticker for company in work.companies)
        with report.stage("read", "rows") as stage:
            summary.tally = split_archive(rows, work.sessions, first.session_date, universe, Path(name))
            stage.count += summary.tally.row_count
        require_rows(summary.tally)
        memory = recall(work.store, first, work.settings.look_back)
        job = LinkJob(Path(name), pending, work.companies, work.settings, memory)
        counts = summary.tally.by_session
        with tqdm(total=sum(counts[s.session_date] for s in pending), unit=" rows", disable=not progress) as bar:

            def advance(session: Session, evidence: pd.DataFrame) -> None:
                _add(summary, session, evidence)
                bar.set_description(str(session.session_date), refresh=False)
                bar.update(counts[session.session_date])

            scored = zip(pending, score(job, report), strict=True)
            past = recall_past(work.store, first, work.settings)
            seal_sessions(work, scored, past, counts.__contains__, report, advance)
    return summary


def list_sessions(sessions: Sessions, start: date, end: date, latency: timedelta, now: datetime) -> tuple[Session, ...]:
    """Return every session from ``start`` to ``end``; the features of all must be available by ``now``.

    Raises:
        ConfigError: there is none, or one is not over.
    """
    latest = sessions.latest_closed(now - latency)
    if sessions.next(latest).session_date <= end:
        raise ConfigError(f"--end {end}: the last session whose features could be known is {latest.session_date}")
    closed = sessions.closed(start - timedelta(days=1), now - latency)
    found = tuple(session for session in closed if session.session_date <= end)
    if not found:
        raise ConfigError(f"--start {start} --end {end}: no trading session in between")
    return found


def list_pending(store: FeatureStore, sessions: tuple[Session, ...]) -> tuple[Session, ...]:
    """Return those of ``sessions`` that are not sealed. A store has no holes and grows forwards only.

    Raises:
        StoreError: a session between the store's last one and the first of ``sessions`` would be left out, or the store
            begins later than they do, or has other cut-offs; or an open session holds headlines that the daily line
            has captured.
    """
    manifest = store.sealed()
    pending = sessions if manifest.empty else _list_later(store, manifest, sessions)
    feeds = set(store.read_open_headlines()["feed_id"]) - {FEED_ID}
    if feeds:
        raise StoreError(
            f"{store.root}: open sessions hold headlines captured from feeds such as {min(feeds)}; seal them first"
        )
    return pending


def score_locally(job: LinkJob, report: Report, scorer: Scorer) -> Iterator[pd.DataFrame]:
    """Score a job in this process: the engine for one machine. A block is made while the one before is sealed."""
    blocks = _score_blocks(job, report, scorer)
    with ThreadPoolExecutor(1) as ahead:
        following = ahead.submit(next, blocks, None)
        while (block := following.result()) is not None:
            following = ahead.submit(next, blocks, None)
            yield from block


def _score_blocks(job: LinkJob, report: Report, scorer: Scorer) -> Iterator[list[pd.DataFrame]]:
    for block in list_blocks(job, report):
        with report.stage("scored", "headline-ticker pairs") as stage:
            scores = scorer.score([pair for frame in block for pair in list_pairs(frame)])
            stage.count += len(scores)
        begins = accumulate(map(len, block), initial=0)
        yield [
            add_scores(frame, scores[begin : begin + len(frame)], scorer.revision)
            for frame, begin in zip(block, begins, strict=False)
        ]


def _list_later(store: FeatureStore, manifest: pd.DataFrame, sessions: tuple[Session, ...]) -> tuple[Session, ...]:
    """Return those of ``sessions`` that come after what is sealed."""
    first, last, cutoff_at = (manifest["session_date"].min(), manifest["session_date"].max(), manifest.cutoff_at.max())
    if sessions[0].session_date < first:
        raise StoreError(f"{store.root}: begins with session {first}; no earlier one can be added, use another root")
    if sessions[0].opens_after.date() > cutoff_at.date():
        raise StoreError(f"{store.root}: ends with session {last}; --start must leave none out: {last} or earlier")
    later = tuple(session for session in sessions if session.session_date > last)
    if later and later[0].opens_after != cutoff_at:
        raise StoreError(
            f"{store.root}: session {last} was cut off at {cutoff_at:%H:%M} UTC, the settings say "
            f"{later[0].opens_after:%H:%M}; go on with the same sessions.cutoff_offset_minutes"
        )
    return later


def _add(summary: Summary, session: Session, evidence: pd.DataFrame) -> None:
    summary.session_count += 1
    summary.missed_count += session.session_date not in summary.tally.by_session
    summary.headline_count += evidence["headline_id"].nunique()
    summary.pair_count += len(evidence)


def require_rows(tally: Tally) -> None:
    """Raise ArchiveError, saying what was found instead, if no row of an archive counts for any of the sessions."""
    if not tally.by_session:
        dropped = [f"{count:,} {reason} ({tally.first[reason]})" for reason, count in tally.dropped.items()]
        raise ArchiveError(
            f"the archive has no headline of these sessions; of its {tally.row_count:,} rows are "
            + (", ".join(dropped) or "none usable")
        )
