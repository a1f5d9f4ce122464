"""Which headlines are still news, and which session each counts for. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Set
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from .records import Dropped, Headline, Session


@dataclass(frozen=True, slots=True)
class Place:
    """The session a headline counts for; ``is_late`` when its own session was sealed before the headline was seen."""

    session_date: date
    is_late: bool


def drop_old(
    headlines: Iterable[Headline], opens_after: datetime, max_age: timedelta, long_known: Set[str]
) -> tuple[list[Headline], list[Dropped]]:
    """Return the headlines that are news, and the others with the reason.

    Dropped are headlines older than ``max_age`` when fetched (too_old), headlines published before the window of the
    store's first session opened (before_first_session), and headlines captured so long ago that they cannot be news
    (already_known; ``long_known`` holds their ids): items without a date, or with one that is always today's.
    """
    fresh: list[Headline] = []
    dropped: list[Dropped] = []
    for headline in headlines:
        if headline.fetched_at - headline.published_at > max_age:
            dropped.append(Dropped(headline, "too_old"))
        elif headline.published_at <= opens_after:
            dropped.append(Dropped(headline, "before_first_session"))
        elif headline.headline_id in long_known:
            dropped.append(Dropped(headline, "already_known", headline.headline_id))
        else:
            fresh.append(headline)
    return fresh, dropped


def place_headline(published_at: datetime, session_of: Callable[[datetime], Session], earliest_open: date) -> Place:
    """Return the session whose window holds ``published_at``, or ``earliest_open`` if that one is sealed already."""
    own_date = session_of(published_at).session_date
    return Place(max(own_date, earliest_open), is_late=own_date < earliest_open)
