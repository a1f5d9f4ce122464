"""The first half of a backfill: months of headlines to linked, deduplicated evidence that only lacks its scores.

Sessions are worked through one by one in the order of time, each with what the ones before it left in memory, as the
daily line does; so the result does not depend on how the second half is spread over workers.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from itertools import groupby
from pathlib import Path

import pandas as pd

from .archive_months import first_of_month, read_month
from .company_names import load_common_words
from .config import Settings
from .dedupe import deduplicate
from .evidence import describe_stories, list_known
from .link import Linker, link_with
from .place import Place, drop_old
from .records import TEXT_REASONS, Company, Headline, KnownHeadline, Session, StoryHeadline
from .report import Report
from .run import LONG_MEMORY
from .store import FeatureStore

FEED_ID = "archive"
"""The one feed of a backfill, as its evidence names it."""

BLOCK_PAIRS = 2048
"""Headline-ticker pairs that are scored at once, or those of one session if it has more."""


@dataclass
class Memory:
    """What earlier sessions kept, oldest first: headlines to compare with, and for longer the bare headline_ids."""

    known: deque[tuple[date, list[KnownHeadline]]] = field(default_factory=deque)
    ids: deque[tuple[date, frozenset[str]]] = field(default_factory=deque)

    def add(self, session_date: date, known: list[KnownHeadline]) -> None:
        """Remember what ``session_date`` kept."""
        self.known.append((session_date, known))
        self.ids.append((session_date, frozenset(item.headline_id for item in known)))

    def prune(self, now: datetime, reach: timedelta) -> None:
        """Forget what a capture at ``now`` no longer looks back on."""
        for memory, first in ((self.known, first_remembered(now - reach)), (self.ids, (now - LONG_MEMORY).date())):
            while memory and memory[0][0] < first:
                memory.popleft()

    def recent(self) -> list[KnownHeadline]:
        """Return every headline that new ones are compared with."""
        return [item for _, items in self.known for item in items]

    def long_known(self, now: datetime) -> frozenset[str]:
        """Return the ids from before ``now``'s day that are no longer compared with."""
        first = self.known[0][0] if self.known else now.date()
        ids = frozenset().union(*(ids for day, ids in self.ids if day < min(first, now.date())))
        return ids - {item.headline_id for item in self.recent()}


@dataclass(frozen=True)
class LinkJob:
    """Everything linking needs, fit to be sent: ``sessions`` are those to seal, ``folder`` holds their months."""

    folder: Path
    sessions: tuple[Session, ...]
    companies: tuple[Company, ...]
    settings: Settings
    memory: Memory


def link_sessions(job: LinkJob, report: Report) -> Iterator[pd.DataFrame]:
    """Yield evidence without scores (:func:`describe_stories`), one frame per session, empty for one without any."""
    linker = Linker(job.companies, load_common_words())
    for month, sessions in groupby(job.sessions, first_of_month):
        cutoffs = list(sessions)
        waiting = deque(read_month(job.folder, month, FEED_ID))
        for session in cutoffs:
            headlines = []
            while waiting and waiting[0].published_at <= session.cutoff_at:
                headlines.append(waiting.popleft())
            kept = _keep(headlines, session, job, linker, report)
            yield _describe(kept, session, job.companies)


def list_blocks(job: LinkJob, report: Report) -> Iterator[list[pd.DataFrame]]:
    """Yield the frames of :func:`link_sessions` in blocks of BLOCK_PAIRS rows or a little more."""
    block: list[pd.DataFrame] = []
    for frame in link_sessions(job, report):
        block.append(frame)
        if sum(map(len, block)) >= BLOCK_PAIRS:
            yield block
            block = []
    if block:
        yield block


def recall(store: FeatureStore, first: Session, reach: timedelta) -> Memory:
    """Return what the sealed sessions of ``store`` left for ``first``, the session after them."""
    memory, now = Memory(), first.cutoff_at
    sealed = sorted(day for day in store.sealed_dates() if day < first.session_date)
    for day in (day for day in sealed if day >= (now - LONG_MEMORY).date()):
        memory.ids.append((day, frozenset(store.captured_ids(day, day + timedelta(days=1)))))
    evidence = store.recent_headlines(now - reach, before=first.session_date)
    memory.known.extend((day, list_known(rows)) for day, rows in evidence.groupby("session_date"))
    return memory


def first_remembered(since: datetime) -> date:
    """Return the first session whose evidence FeatureStore.recent_headlines(``since``) returns."""
    return since.date() - timedelta(days=1)


def _keep(
    headlines: Sequence[Headline], session: Session, job: LinkJob, linker: Linker, report: Report
) -> tuple[StoryHeadline, ...]:
    """Do what a capture at the session's cut-off would, and remember it."""
    settings, memory, now = job.settings, job.memory, session.cutoff_at
    window, max_age = (timedelta(hours=h) for h in (settings.dedupe.window_hours, settings.headlines.max_age_hours))
    with report.stage("linked", "headlines with a ticker") as stage:
        memory.prune(now, settings.look_back)
        fresh, _ = drop_old(headlines, session.opens_after, max_age, memory.long_known(now))
        linked, _ = link_with(linker, fresh, settings.link.min_relevance)
        stage.count += len(linked)
    with report.stage("deduplicated", "headlines kept") as stage:
        kept = deduplicate(linked, memory.recent(), settings.dedupe.threshold, window).kept
        memory.add(session.session_date, [_remember(story) for story in kept])
        stage.count += len(kept)
    return kept


def _remember(story: StoryHeadline) -> KnownHeadline:
    headline, links = story.linked.headline, story.linked.links
    return KnownHeadline(
        headline_id=headline.headline_id,
        story_id=story.story_id,
        title=headline.title,
        url=headline.url,
        published_at=headline.published_at,
        tickers=frozenset(link.ticker for link in links),
        named=frozenset(link.ticker for link in links if link.reason in TEXT_REASONS),
    )


def _describe(kept: Sequence[StoryHeadline], session: Session, companies: Sequence[Company]) -> pd.DataFrame:
    return describe_stories(kept, companies, lambda _: Place(session.session_date, is_late=False))
