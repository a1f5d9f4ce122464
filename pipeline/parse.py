"""Bytes to headlines. One FetchResult in, its headlines out; every timestamp leaves here in UTC. Pure.

feedparser reads the XML; dates, titles and identities are ours (feed_dates, titles, identity), because its zone table
is fixed, and because titles and links arrive escaped twice, signed and tracked. What is not a feed is a FeedError.
"""

from __future__ import annotations

import io
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from urllib.parse import urlsplit
from xml.sax import SAXException

import feedparser

from .errors import FeedError
from .feed_dates import settle_published_at
from .feed_text import is_closed, name_root, read_feed_text
from .identity import clean_url, identify
from .records import FetchResult, Headline
from .titles import name_filing, split_publisher, strip_markup

PARSER_FAULTS = (ArithmeticError, AssertionError, AttributeError, LookupError, RecursionError, TypeError, ValueError)
"""What feedparser may raise on mutilated input: a reference beyond Unicode, an element closed twice (from fuzzing)."""

_TICKER = re.compile(r"[A-Z][A-Z0-9]{0,5}(?:\.[A-Z]{1,2})?")
_EXCHANGE = re.compile(r"^[A-Za-z ]+:\s*")
_SYMBOL_FIELDS = ("nasdaq_tickers", "tickers", "sa_symbol", "symbol")


def parse_feed(result: FetchResult, future_tolerance_s: float) -> list[Headline]:
    """Return the headlines of an answered feed, in its order; [] for a feed without items and for "not modified".

    Items without a title are no headlines and are left out. ``source`` is the publisher where the item or the end of
    its title names one, else the feed's. ``symbols`` are the tickers the item itself carries, in its order. The entries
    of one EDGAR filing become one headline.

    Raises:
        FeedError: the body is empty, a web page, a sitemap or anything else but RSS or Atom, is cut off before its
            closing tag (even if items could be read: nobody knows what is missing), or declares entities or a document
            type of its own. A complete feed with a flaw inside, such as a bare "&", is read as far as feedparser can,
            and is an error only when that yields nothing.
    """
    if result.status != "ok":
        return []
    entries = _merge_filings(_read_entries(result))
    headlines = (_read_headline(entry, result, future_tolerance_s) for entry in entries)
    return [headline for headline in headlines if headline.title]


def _read_entries(result: FetchResult) -> list[feedparser.FeedParserDict]:
    text = read_feed_text(result.body, result.content_type)
    # As a stream: feedparser takes plain bytes for a file name first.
    stream = io.BytesIO(b"<?xml version='1.0' encoding='utf-8'?>\n" + text.encode("utf-8", "replace"))
    try:
        document = feedparser.parse(stream, sanitize_html=False, resolve_relative_uris=False)
    except PARSER_FAULTS as error:
        raise FeedError(f"feedparser gave up: {type(error).__name__}: {error}") from error
    if not document.version:
        raise FeedError(f"not a feed: found {name_root(text)}, expected RSS or Atom")
    fault = document.get("bozo_exception")
    if isinstance(fault, SAXException):
        if not is_closed(text):
            raise FeedError(f"cut off after {len(document.entries)} items, no closing tag")
        if not document.entries:
            raise FeedError(f"not well-formed XML: {fault.getMessage()}")
    return list(document.entries)


def _read_headline(entry: feedparser.FeedParserDict, result: FetchResult, future_tolerance_s: float) -> Headline:
    feed = result.feed
    url = clean_url(_read_link(entry), feed.url)
    is_google = urlsplit(url).hostname == "news.google.com"
    signed = strip_markup(entry.get("title") or "")
    title, publisher = split_publisher(signed, strip_markup(_read_source(entry)), is_google)
    date_text = _read_date(entry)
    published_at, date_flag = settle_published_at(date_text, result.fetched_at, future_tolerance_s)
    return Headline(
        headline_id=identify(entry.get("id") or "", url, feed.source, title, date_text),
        title=title,
        url=url,
        source=publisher or feed.source,
        feed_id=feed.feed_id,
        feed_ticker=feed.ticker,
        symbols=tuple(dict.fromkeys(_read_symbols(entry, url))),
        published_at=published_at,
        fetched_at=result.fetched_at,
        date_flag=date_flag,
    )


def _read_link(entry: feedparser.FeedParserDict) -> str:
    """Return the item's own address: past FeedBurner's redirect, and no guid that merely was not marked as none."""
    link = entry.get("feedburner_origlink") or entry.get("link") or ""
    return "" if entry.get("guidislink") and not link.lower().startswith("http") else link


def _read_date(entry: feedparser.FeedParserDict) -> str:
    """Return the date as written: first publication where the item has it, else its last update (EDGAR)."""
    return dict.get(entry, "published") or dict.get(entry, "updated") or dict.get(entry, "created") or ""


def _read_source(entry: feedparser.FeedParserDict) -> str:
    return (entry.get("source") or {}).get("title") or ""


def _read_symbols(entry: feedparser.FeedParserDict, url: str) -> Iterator[str]:
    """Yield tickers in dot form: Nasdaq's list, GlobeNewswire's stock categories, Seeking Alpha's categories.

    feedparser drops the attribute that tells Seeking Alpha's symbols from its author names, so there it is the form
    of a ticker, capitals included, that decides.
    """
    tags = entry.get("tags") or ()
    texts = [(entry.get(field) or "").upper() for field in _SYMBOL_FIELDS]
    texts += [(tag.term or "").upper() for tag in tags if (tag.scheme or "").endswith("/rss/stock")]
    if (urlsplit(url).hostname or "").endswith("seekingalpha.com"):
        texts += [tag.term or "" for tag in tags]
    for text in ",".join(texts).split(","):
        symbol = _EXCHANGE.sub("", text.strip()).replace("-", ".").replace("/", ".")
        if _TICKER.fullmatch(symbol):
            yield symbol


def _merge_filings(entries: Sequence[feedparser.FeedParserDict]) -> list[feedparser.FeedParserDict]:
    """Return ``entries`` with those of one EDGAR filing, which it lists once per party, joined in their first place."""
    filings = defaultdict(list)
    for entry in entries:
        if "accession-number=" in entry.get("id", ""):
            filings[entry.id].append(entry)
    for parties in filings.values():
        title = name_filing(strip_markup(entry.get("title", "")) for entry in parties)
        parties[0]["title"] = title or parties[0].get("title", "")
    return [entry for entry in entries if entry.get("id") not in filings or entry is filings[entry.id][0]]
