"""Keeps one of each headline and joins headlines into stories; says of every dropped one why, and what stands for it.

    same id, or url and title, in the batch   one headline is kept, with the links of all       same_id, same_url
    id or url captured by an earlier run      kept only for tickers it was not yet kept for     already_known
    near-duplicate title, within the window   kept, as a member of the first headline's story

A republished title (same words, new url) is a member too, whatever its source: it stays as evidence and adds to
headline_count, but not to story_count. Pure: the result does not depend on the order of its input, and what is kept
does not depend on which of the known headlines the feeds still show.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from .records import TEXT_REASONS, Dropped, Headline, KnownHeadline, Link, LinkedHeadline, StoryHeadline
from .similarity import group_pairs, similar_pairs
from .stories import Telling, compare_tellings, read_title
from .text import fold_text

CANDIDATE_SHARE = 0.6
"""Share of their words (Jaccard) two titles must have in common to be compared at all.

Measured on 15,605 Reuters headlines: 0.5 finds 8 more members beside 3,454, and takes twice as long.
"""


@dataclass(frozen=True, slots=True)
class Deduplicated:
    """``kept`` sorted by (published_at, headline_id); ``dropped`` sorted the same way, one per headline not kept."""

    kept: tuple[StoryHeadline, ...]
    dropped: tuple[Dropped, ...]


@dataclass(frozen=True, slots=True)
class _Teller:
    """A headline as it is compared with others; ``named`` are the tickers its own text names."""

    story_id: str
    telling: Telling
    published_at: datetime
    tickers: frozenset[str]
    named: frozenset[str]


def deduplicate(
    linked: Sequence[LinkedHeadline], known: Sequence[KnownHeadline], threshold: float, window: timedelta
) -> Deduplicated:
    """Return the headlines to keep, each with its story, and the dropped ones with reasons.

    A headline joins the most similar story whose first headline was published within ``window`` before or after it,
    concerns the same tickers, and reads the same (:mod:`pipeline.stories`, ``threshold`` in 0..1). Members are compared
    with the first headline only, so likeness does not drift along a chain. Stories of ``known`` come first.
    """
    ordered, remembered = sorted(linked, key=_first_seen), sorted(known, key=_known_order)
    fresh, again, dropped = _set_known_apart(_group_same(ordered, remembered))
    kept = [*again, *_join_stories(fresh, _known_leaders(known), threshold, window)]
    return Deduplicated(
        tuple(sorted(kept, key=lambda story: _order(story.linked))),
        tuple(sorted(dropped, key=lambda drop: (drop.headline.published_at, str(drop)))),
    )


def _order(item: LinkedHeadline) -> tuple[datetime, str]:
    return item.headline.published_at, item.headline.headline_id


def _known_order(item: KnownHeadline) -> tuple[datetime, str, str, str, str]:
    return item.published_at, item.headline_id, item.story_id, item.title, item.url


def _first_seen(item: LinkedHeadline) -> tuple[datetime, datetime, str, str]:
    """Sort key of the headline that stands for its copies; the whole record breaks the last ties."""
    return item.headline.published_at, item.headline.fetched_at, item.headline.feed_id, str(item)


def _group_same(
    ordered: Sequence[LinkedHeadline], known: Sequence[KnownHeadline]
) -> list[tuple[list[LinkedHeadline], list[KnownHeadline]]]:
    """Return the groups of ``ordered``, each with the known headlines it is one with.

    An equal id, or an equal url and title, makes two headlines one, directly or over a third one, which may be known:
    so a group does not depend on which of its copies the feeds still show or leave out as "not modified".
    """
    holder: dict[tuple[str, str], int] = {}
    items: list[Headline | KnownHeadline] = [*(item.headline for item in ordered), *known]
    pairs = [(holder.setdefault(key, i), i) for i, item in enumerate(items) for key in _keys(item)]
    numbers = group_pairs(len(items), pairs)
    copies: defaultdict[int, list[LinkedHeadline]] = defaultdict(list)
    seen: defaultdict[int, list[KnownHeadline]] = defaultdict(list)
    for copy, number in zip(ordered, numbers, strict=False):
        copies[number].append(copy)
    for earlier, number in zip(known, numbers[len(ordered) :], strict=True):
        seen[number].append(earlier)
    return [(group, seen[number]) for number, group in copies.items()]


def _keys(item: Headline | KnownHeadline) -> list[tuple[str, str]]:
    """Return what makes two headlines the same one. A link alone does not: some items share a page of quotes."""
    by_id = ("id", item.headline_id)
    return [by_id, ("url", f"{item.url} {fold_text(item.title)}")] if item.url else [by_id]


def _unite_links(items: Sequence[LinkedHeadline]) -> tuple[Link, ...]:
    """Return one link per ticker, the most relevant one; the reason's name breaks ties."""
    links = [link for item in items for link in item.links]
    best: dict[str, Link] = {}
    for link in sorted(links, key=lambda link: (-link.relevance, link.reason)):
        best.setdefault(link.ticker, link)
    return tuple(best[ticker] for ticker in sorted(best))


def _set_known_apart(
    groups: Iterable[tuple[Sequence[LinkedHeadline], Sequence[KnownHeadline]]],
) -> tuple[list[LinkedHeadline], list[StoryHeadline], list[Dropped]]:
    """Return never-seen headlines, known ones with tickers not kept before, and everything dropped.

    The first of each group that brings a ticker not kept before stands for its copies and takes over their links.
    """
    fresh, again, dropped = [], [], []
    for copies, seen in groups:
        had = frozenset().union(*(item.tickers for item in seen))
        brings = [any(link.ticker not in had for link in copy.links) for copy in copies]
        place = brings.index(True) if any(brings) else 0
        first = copies[place].headline
        others = [copy.headline for copy in (*copies[:place], *copies[place + 1 :])]
        dropped += [Dropped(copy, _same(first, copy), first.headline_id) for copy in others]
        links = tuple(link for link in _unite_links(copies) if link.ticker not in had)
        if not seen:
            fresh.append(LinkedHeadline(first, links))
        elif links:
            again.append(StoryHeadline(LinkedHeadline(first, links), seen[0].story_id, similarity=1.0))
        else:
            dropped.append(Dropped(first, "already_known", seen[0].headline_id))
    return fresh, again, dropped


def _same(first: Headline, copy: Headline) -> str:
    return "same_id" if copy.headline_id == first.headline_id else "same_url"


def _known_leaders(known: Iterable[KnownHeadline]) -> list[_Teller]:
    """Return the first headline of every known story; its earliest member where the first is no longer known."""
    members: defaultdict[str, list[KnownHeadline]] = defaultdict(list)
    for item in known:
        members[item.story_id].append(item)
    leaders = []
    for story_id, items in sorted(members.items()):
        first = min(items, key=lambda item: (item.headline_id != story_id, *_known_order(item)))
        same = [item for item in items if item.headline_id == first.headline_id]
        tickers, named = (frozenset().union(*(getattr(item, name) for item in same)) for name in ("tickers", "named"))
        leaders.append(_Teller(story_id, read_title(first.title), first.published_at, tickers, named))
    return sorted(leaders, key=lambda leader: (leader.published_at, leader.story_id))


def _new_teller(item: LinkedHeadline) -> _Teller:
    return _Teller(
        item.headline.headline_id,
        read_title(item.headline.title),
        item.headline.published_at,
        frozenset(link.ticker for link in item.links),
        frozenset(link.ticker for link in item.links if link.reason in TEXT_REASONS),
    )


def _join_stories(
    fresh: Sequence[LinkedHeadline], known: Sequence[_Teller], threshold: float, window: timedelta
) -> list[StoryHeadline]:
    """Return every fresh headline with its story, in order of publication: the most similar leader's, or its own."""
    ordered = sorted(fresh, key=_order)
    if not ordered:
        return []
    earliest, latest = ordered[0].headline.published_at - window, ordered[-1].headline.published_at + window
    tellers = [leader for leader in known if earliest <= leader.published_at <= latest]
    offset = len(tellers)
    tellers += [_new_teller(item) for item in ordered]
    candidates = _list_candidates(tellers, offset)
    is_leader = [True] * len(tellers)
    stories: list[StoryHeadline] = []
    for j, item in enumerate(ordered, start=offset):
        told = [(_compare(tellers[i], tellers[j], threshold, window), -i) for i in candidates[j] if is_leader[i]]
        similarity, negative_i = max(told, default=(0.0, 0))
        is_leader[j] = similarity == 0.0
        leader = tellers[j] if is_leader[j] else tellers[-negative_i]
        stories.append(StoryHeadline(item, leader.story_id, 1.0 if is_leader[j] else round(similarity, 4)))
    return stories


def _list_candidates(tellers: Sequence[_Teller], first: int) -> defaultdict[int, list[int]]:
    """Return, for each teller from ``first`` on, the earlier ones that share enough words to be worth comparing."""
    candidates: defaultdict[int, list[int]] = defaultdict(list)
    for i, j, _ in similar_pairs([teller.telling.text for teller in tellers], CANDIDATE_SHARE, first):
        candidates[j].append(i)
    return candidates


def _compare(leader: _Teller, new: _Teller, threshold: float, window: timedelta) -> float:
    """Return the similarity of two tellings of one story, 0 when they are not one.

    Tickers agree when the two share one and each carries every ticker that the other's own text names.
    """
    agree = leader.tickers & new.tickers and leader.named <= new.tickers and new.named <= leader.tickers
    if not agree or abs(new.published_at - leader.published_at) > window:
        return 0.0
    return compare_tellings(leader.telling, new.telling, threshold) or 0.0
