"""Titles as a reader sees them, and who published them. Strings in, strings out; pure."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable

from .text import clean_text

MAX_TITLE = 500
"""Characters kept of a title; the longest of eleven recorded feeds has 132."""

PUBLISHERS = {
    name.lower(): name
    for name in (
        "24/7 Wall St.", "ABC News", "Accesswire", "AFP", "AP", "AP News", "Associated Press", "Axios", "Barron's",
        "Barrons.com", "BBC", "BBC News", "Benzinga", "Bloomberg", "Bloomberg.com", "Bloomberg News",
        "Business Insider", "Business Wire", "CBS News", "CNBC", "CNN", "CNN Business", "Dow Jones",
        "Dow Jones Newswires", "Financial Post", "Financial Times", "Forbes", "Fortune", "Fox Business", "FT",
        "GlobeNewswire", "GuruFocus", "IBD", "Insider Monkey", "Investing.com", "Investopedia",
        "Investor's Business Daily", "Kiplinger", "Kitco News", "MarketBeat", "Markets Insider", "MarketWatch",
        "Morningstar", "Motley Fool", "Nasdaq", "Nasdaq.com", "NBC News", "New York Times", "Nikkei", "Nikkei Asia",
        "NPR", "NYT", "OilPrice.com", "Politico", "PR Newswire", "Quartz", "Reuters", "Reuters.com", "RTTNews",
        "Seeking Alpha", "Semafor", "Simply Wall St", "StockTwits", "TechCrunch", "The Economist", "The Guardian",
        "The Information", "The Motley Fool", "The New York Times", "The Verge", "The Wall Street Journal",
        "The Washington Post", "TheStreet", "TipRanks", "USA Today", "Wall Street Journal", "Washington Post", "WSJ",
        "Yahoo Finance", "Yahoo! Finance", "Zacks", "Zacks.com", "Zacks Investment Research",
    )
}  # fmt: skip
"""Publishers that sign titles, by lower-case name: the suffixes that are split off without further evidence."""

_TAG = re.compile(r"""</?[a-zA-Z](?:[^<>"']|"[^"<]*"|'[^'<]*')*>|<!--[^<]*?-->|<!\[CDATA\[|\]\]>""")
_ENTITY = re.compile(r"&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[a-zA-Z][a-zA-Z0-9]{1,30});")
_SIGNED = re.compile(r"(?P<title>.*\S)\s+[-–—|]\s+(?P<publisher>\S.*?)", re.DOTALL)
_FILING = re.compile(r"(?P<form>\S.*?) - (?P<party>.+) \((?P<cik>\d{10})\) \((?P<role>[^()]+)\)")


def strip_markup(text: str) -> str:
    """Return ``text`` on one line without tags and with entities as characters, however often they were escaped.

    Only entities that end in a semicolon count: "AT&T", "R&D" and "S&P 500" stay as they are. So does "<" before
    anything but a letter.
    """
    for _ in range(3):  # as served, double-escaped (Yahoo), and once more for good measure
        plain = _ENTITY.sub(lambda match: html.unescape(match[0]), _TAG.sub(" ", text))
        if plain == text:
            break
        text = plain
    return clean_text(_TAG.sub(" ", text))[:MAX_TITLE]


def split_publisher(title: str, publisher: str, is_always_signed: bool) -> tuple[str, str]:
    """Return (title, publisher) with signatures such as " - Reuters" or " | CNBC" taken off the end of ``title``.

    ``publisher`` is the item's own <source>, "" if it has none. A last part counts as signature when it equals that, or
    is in PUBLISHERS, or when ``is_always_signed`` (Google News) and nothing has been taken off yet; so
    "Q3 results - a closer look" stays whole. The publisher returned is ``publisher`` itself if there is one.
    """
    found = name_publisher(publisher)
    suffix = publisher and _match_suffix(title, publisher)
    if suffix:
        title = suffix
    elif is_always_signed and (match := _SIGNED.fullmatch(title)):
        title, found = match["title"], found or name_publisher(match["publisher"])
    while (match := _SIGNED.fullmatch(title)) and _is_publisher(match["publisher"], found):
        title, found = match["title"], found or name_publisher(match["publisher"])
    return title, found


def name_publisher(publisher: str) -> str:
    """Return the short name of a publisher: "Crude Oil Prices Today | OilPrice.com" is OilPrice.com."""
    name = publisher.rpartition(" | ")[2].strip()
    return PUBLISHERS.get(name.lower(), name)


def name_filing(titles: Iterable[str]) -> str:
    """Return one title for one EDGAR filing from the titles of its entries, one per party.

    "4 - DOE J (0000000001) (Reporting)" and "4 - Acme Inc. (0000000002) (Issuer)" become "Acme Inc. / DOE J files a
    report on Form 4 with the SEC": the company a filing is about comes first, then who filed it; three are named. A
    plain sentence, because a bare form and name would be scored by the name alone. "" when no title has that form.
    """
    matches = [match for title in titles if (match := _FILING.fullmatch(title))]
    matches.sort(key=lambda match: match["role"] in ("Reporting", "Filed by"))
    parties = list(dict.fromkeys(match["party"] for match in matches))[:3]
    return f"{' / '.join(parties)} files a report on Form {matches[0]['form']} with the SEC" if matches else ""


def _is_publisher(text: str, found: str) -> bool:
    return text.lower() in PUBLISHERS or text.lower() == found.lower()


def _match_suffix(title: str, publisher: str) -> str:
    """Return ``title`` without a closing " - publisher", or "" when it does not close so."""
    for mark in (" - ", " | ", " – ", " — "):
        if title.lower().endswith((mark + publisher).lower()):
            return title[: -len(mark + publisher)].rstrip()
    return ""
