"""Two stores that grew from one: what a run has added to its copy is added to the store as others have left it.

Whoever has published first keeps the word: sessions sealed there stay as they are, and so do headlines captured there.
What only our run has seen is put where it would have been put had the run begun later: its sealed sessions if nothing
they rest on has changed, every other headline in the open session it belongs to, or as a late one in the earliest.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta

import pandas as pd

from .config import Settings
from .dedupe import deduplicate
from .evidence import list_known
from .manifest import Key
from .place import place_headline
from .records import FeedState, Headline, Link, LinkedHeadline, StoryHeadline
from .schema import HEADLINE_TABLE
from .sessions import Sessions
from .store import FeatureStore
from .tables import to_frame
from .text import fold_text

RowKey = tuple[str, str]
"""headline_id and ticker: what makes two evidence rows one."""


@dataclass(frozen=True, slots=True)
class Merge:
    """What became of a run's work: ``taken`` and ``refused`` are the sessions it sealed, ``row_count`` new evidence."""

    taken: tuple[Key, ...]
    refused: tuple[Key, ...]
    row_count: int


def merge_stores(
    ours: FeatureStore,
    theirs: FeatureStore,
    changed: Mapping[date, pd.DataFrame],
    settings: Settings,
    sessions: Callable[[], Sessions],
) -> Merge:
    """Add to ``theirs`` what ``ours`` holds beyond the store both come from.

    ``changed`` are the sessions whose evidence we have changed since, each with the evidence it had there.

    A session that both sealed stays theirs, whichever bytes ours has. One that only we sealed is taken byte for byte if
    the sessions before it are the same in both and theirs holds no headline of it that we have not seen; otherwise its
    headlines are kept, and the next run seals it. A headline in both is kept once, near-duplicates join one story.
    ``sessions`` opens the calendar, which takes a second and is needed only for headlines that are new.

    Raises:
        StoreError: a sealed file of either store is missing or changed.
    """
    taken, refused = _choose_sealed(ours, theirs)
    theirs.adopt(ours, taken)
    fresh = _list_fresh(ours, {day: rows for day, rows in changed.items() if (day, 1) not in taken})
    added = _place_rows(fresh, theirs, settings, sessions()) if len(fresh) else fresh
    theirs.append_headlines(added)
    theirs.write_feed_states(_merge_states(ours.read_feed_states(), theirs.read_feed_states()))
    return Merge(tuple(taken), tuple(refused), len(added))


def _choose_sealed(ours: FeatureStore, theirs: FeatureStore) -> tuple[list[Key], list[Key]]:
    """Return the sessions and revisions that only ours sealed: those to take, and those that rest on something else."""
    mine, published = ours.entries(), theirs.entries()
    taken: list[Key] = []
    refused: list[Key] = []
    for key, entry in mine.items():
        if published.get(key) == entry:
            continue
        is_sound = not refused and key not in published
        if is_sound and not _row_keys(theirs.read_headlines(key[0])) - _row_keys(ours.read_headlines(key[0])):
            taken.append(key)
        else:
            refused.append(key)
    return taken, refused


def _list_fresh(ours: FeatureStore, changed: Mapping[date, pd.DataFrame]) -> pd.DataFrame:
    """Return the evidence rows of the ``changed`` sessions that were in none of them before."""
    known = set().union(*map(_row_keys, changed.values()))
    frames = [ours.read_headlines(day) for day in sorted(changed)]
    rows = pd.concat(frames, ignore_index=True) if frames else to_frame(HEADLINE_TABLE, [])
    is_new = [key not in known for key in zip(rows.headline_id, rows.ticker, strict=True)]
    return rows[is_new].drop_duplicates(["headline_id", "ticker"]).reset_index(drop=True)


def _place_rows(rows: pd.DataFrame, theirs: FeatureStore, settings: Settings, sessions: Sessions) -> pd.DataFrame:
    """Return those of ``rows`` that ``theirs`` lacks, each in its session and story there. Scores stay as they are."""
    since = rows.published_at.min().to_pydatetime() - settings.look_back
    window = timedelta(hours=settings.dedupe.window_hours)
    known = list_known(theirs.recent_headlines(since))
    kept = deduplicate(_to_linked(rows), known, settings.dedupe.threshold, window).kept
    sealed = theirs.sealed_dates()
    earliest_open = sessions.next(sessions.session(max(sealed))).session_date if sealed else date.min
    chosen = _choose_rows(rows, kept)
    places = [place_headline(m.to_pydatetime(), sessions.session_of, earliest_open) for m in chosen.published_at]
    chosen["session_date"] = pd.Series([place.session_date for place in places], dtype=object)
    chosen["is_late"] = pd.Series([place.is_late for place in places], dtype=bool)
    return chosen


def _choose_rows(rows: pd.DataFrame, kept: Sequence[StoryHeadline]) -> pd.DataFrame:
    """Return one of ``rows`` for every kept headline and ticker, as a member of the story it was given.

    A copy that stands for others has their tickers too; such a row is the other copy's, whose title says the same.
    """
    by_key = {key: i for i, key in enumerate(zip(rows.headline_id, rows.ticker, strict=True))}
    by_title = {key: i for i, key in enumerate(zip(map(fold_text, rows.title), rows.ticker, strict=True))}
    places: list[int] = []
    heads: list[tuple[str, str]] = []
    for story in kept:
        headline = story.linked.headline
        for link in story.linked.links:
            found = by_key.get((headline.headline_id, link.ticker))
            places.append(by_title[fold_text(headline.title), link.ticker] if found is None else found)
            heads.append((headline.headline_id, story.story_id))
    chosen = rows.iloc[places].reset_index(drop=True)
    chosen["headline_id"] = pd.Series([headline_id for headline_id, _ in heads], dtype="str")
    chosen["story_id"] = pd.Series([story_id for _, story_id in heads], dtype="str")
    return chosen


def _to_linked(rows: pd.DataFrame) -> list[LinkedHeadline]:
    """Return the headlines of evidence ``rows`` with their links, as linking had left them."""
    linked = []
    for _, group in rows.sort_values("ticker").groupby("headline_id", sort=True):
        links = tuple(Link(row.ticker, float(row.relevance), row.reason) for row in group.itertuples())
        head = next(group.itertuples())
        moments = head.published_at.to_pydatetime(), head.fetched_at.to_pydatetime()
        headline = Headline(
            head.headline_id, head.title, head.url, head.source, head.feed_id, None, (), *moments, head.date_flag
        )
        linked.append(LinkedHeadline(headline, links))
    return linked


def _merge_states(ours: dict[str, FeedState], theirs: dict[str, FeedState]) -> dict[str, FeedState]:
    """Return each feed's state after both runs: the later attempt, and what the later good answer has left."""
    return {
        feed_id: _merge_state(ours.get(feed_id) or theirs[feed_id], theirs.get(feed_id) or ours[feed_id])
        for feed_id in sorted(ours.keys() | theirs.keys())
    }


def _merge_state(mine: FeedState, published: FeedState) -> FeedState:
    attempted = max(mine, published, key=lambda state: (state.last_attempt_at is not None, state.last_attempt_at))
    answered = max(mine, published, key=lambda state: (state.last_ok_at is not None, state.last_ok_at))
    if attempted.url != answered.url:
        return attempted
    return replace(attempted, etag=answered.etag, last_modified=answered.last_modified, last_ok_at=answered.last_ok_at)


def _row_keys(rows: pd.DataFrame) -> set[RowKey]:
    return set(zip(rows.headline_id, rows.ticker, strict=True))
