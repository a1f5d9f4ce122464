"""Feed templates and the universe to the list of feeds to read. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence, Set
from urllib.parse import quote

from .config import FeedTemplate
from .records import Company, Feed


def list_feeds(templates: Sequence[FeedTemplate], companies: Sequence[Company]) -> tuple[Feed, ...]:
    """Return every feed: general ones once, per-ticker ones for each company, in the order of the arguments."""
    feeds = []
    for template in templates:
        if template.is_per_ticker:
            feeds += [_fill(template, company) for company in companies]
        else:
            feeds.append(Feed(template.name, template.source, template.url))
    return tuple(feeds)


def unheard_tickers(feeds: Sequence[Feed], tickers: Collection[str], answered: Set[str]) -> frozenset[str]:
    """Return the ``tickers`` whose silence proves nothing: a feed of theirs is not among ``answered`` (feed ids).

    A ticker's feeds are its own; a ticker without any depends on all general feeds instead.
    """
    own = defaultdict(set)
    for feed in feeds:
        own[feed.ticker].add(feed.feed_id)
    return frozenset(ticker for ticker in tickers if not answered >= own.get(ticker, own[None]))


def _fill(template: FeedTemplate, company: Company) -> Feed:
    ticker = company.ticker.replace(".", template.dot)
    url = template.url.replace("{ticker}", quote(ticker, safe="")).replace("{company}", quote(company.name, safe=""))
    return Feed(f"{template.name}:{company.ticker}", template.source, url, company.ticker)
