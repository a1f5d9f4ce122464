"""Which companies of the universe a headline concerns, how much, and why. Pure.

relevance = base(reason) x order x list, the best over all reasons found for a ticker:

- base: cashtag, mention and name 1, alias 0.95; without the title's help: symbol min(0.6, 1.2 / number of symbols),
  feed 0.25;
- order: 1 for the company named first, 0.85 for the second, and so on down to 0.5; brokers are not counted;
  a broker has 0.4 instead: the house that rates ("Goldman raises price target on Nvidia") or is quoted ("- Citi");
- list: 0.5 where the title names five companies or more, or counts stocks ("46 stocks moving").
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from .company_names import NameFinder, load_common_words
from .records import Company, Dropped, Headline, Link, LinkedHeadline
from .title_words import Title, read_title

_TICKER = r"[A-Z]{1,5}(?:[./-][A-Z])?"
_CASHTAG = re.compile(rf"(?<![\w$])\$({_TICKER}|[a-z]{{3,5}})(?![\w$])")
_EXCHANGE = re.compile(
    rf"\b(?:NYSE|NASDAQ|Nasdaq|AMEX|CBOE|BATS|Nyse)(?: ?[A-Z][A-Za-z]+)?\s*:\s*({_TICKER}(?:, ?{_TICKER})*)(?!\w)"
)
_PARENTHESES = re.compile(rf"(?<=[A-Za-z.!] )\(({_TICKER}(?:, ?{_TICKER})*)\)")
_RIC = re.compile(r"<([A-Z]{1,5}[a-z]?)\.(?:N|O|OQ|K|A|P)>|(?<![\w.])([A-Z]{2,5}[a-z]?)\.(?:N|O|OQ|K)(?![\w.])")
_STOCK_COUNT = re.compile(
    r"\b\d+ (?:[\w-]+ ){0,3}(?:stocks|names|shares|companies|movers|picks)\b"
    r"|\bstocks (?:moving|making|to watch|to buy|to sell|on the move)|\b(?:biggest|midday|mid-day|premarket) movers",
    re.IGNORECASE,
)
_RATING = re.compile(
    r"\b(?:price targets?|target price|pt|overweight|underweight|outperform|underperform|top pick"
    r"|(?:maintains|keeps) (?:\w+ )?(?:buy|sell|hold|neutral)|(?:raises|lowers|cuts) (?:estimates|target)"
    r"|(?:initiates|starts|resumes) (?:\w+ )?coverage)\b",
    re.IGNORECASE,
)
# A company does these things to itself too: "Ford reiterates its outlook for 2027".
_MAYBE_RATING = re.compile(
    r"\b(?:upgrade[sd]?|downgrade[sd]?|initiate[sd]?|reiterate[sd]?|affirms|ratings?|outlook (?:for|on|to|is)"
    r"|analysts?)\b",
    re.IGNORECASE,
)
_BROKER_BEFORE = frozenset(["by", "at", "from"])
_BROKER_AFTER = re.compile(
    r" (?:raises|lifts|cuts|lowers|hikes|boosts|trims|ups|upgrades|downgrades|initiates|starts|reiterates|maintains"
    r"|keeps|resumes|says|sees|calls|names|assigns|sets|affirms)\b",
    re.IGNORECASE,
)
_ITS_ANALYSTS = re.compile(
    r" (?:analyst|strategist|economist)s? (?:says?|sees?|expects?|raises?|cuts?)\b", re.IGNORECASE
)
# A state in parentheses is where a company sits: "Acme Inc (DE)".
_STATE = re.compile(
    "A[KLRZ]|C[AOT]|DE|FL|GA|HI|I[ADLN]|K[SY]|LA|M[ADEINOST]|N[CDEHJMVY]|O[HKR]|PA|RI|S[CD]|T[NX]|UT|V[AT]|W[AIVY]"
)
_CLOSING = re.compile(r"\s+[-–—]\s*|:\s+")
_BASE = {"cashtag": 1.0, "mention": 1.0, "name": 1.0, "alias": 0.95}
_STEP, _FLOOR, _LIST, _BROKER, _FEED, _SYMBOL = 0.15, 0.5, 0.5, 0.4, 0.25, 0.6
_LIST_SIZE = 5


def link_headlines(
    headlines: Sequence[Headline], companies: Sequence[Company], min_relevance: float
) -> tuple[list[LinkedHeadline], list[Dropped]]:
    """Link each headline to the companies it concerns; links under ``min_relevance`` (0..1) are not kept.

    Words that are also companies are told apart with the table common_words.csv, read here.
    Returns the headlines with links, in the order given, and those without: reason "no_ticker" when nothing in the
    universe is concerned, "low_relevance" when all links fell under the minimum.
    """
    return link_with(Linker(companies, load_common_words()), headlines, min_relevance)


def link_with(
    linker: Linker, headlines: Sequence[Headline], min_relevance: float
) -> tuple[list[LinkedHeadline], list[Dropped]]:
    """Do what :func:`link_headlines` does with a linker that is built once for many sessions."""
    linked, dropped = [], []
    for headline in headlines:
        links = linker.link(headline)
        kept = tuple(link for link in links if link.relevance >= min_relevance)
        if kept:
            linked.append(LinkedHeadline(headline, kept))
        else:
            dropped.append(Dropped(headline, "low_relevance" if links else "no_ticker"))
    return linked, dropped


class Linker:
    """The universe, ready to be found. ``common_words`` as :func:`load_common_words` returns it."""

    def __init__(self, companies: Sequence[Company], common_words: Mapping[str, str]) -> None:
        self._tickers = frozenset(company.ticker for company in companies)
        self._finder = NameFinder(companies, common_words)

    def link(self, headline: Headline) -> tuple[Link, ...]:
        """Return the links of ``headline``, unique and sorted by ticker; only tickers of the universe."""
        best: dict[str, Link] = {}
        for link in (*self._title_links(headline), *self._feed_links(headline)):
            if link.ticker not in best or link.relevance > best[link.ticker].relevance:
                best[link.ticker] = link
        return tuple(best[ticker] for ticker in sorted(best))

    def _title_links(self, headline: Headline) -> Iterator[Link]:
        title = read_title(headline.title)
        brokers: set[str] = set()
        found = [(start, ticker, reason) for start, ticker, reason in _mentions(title.text) if ticker in self._tickers]
        matches = list(self._finder.find(title, frozenset([headline.feed_ticker or "", *headline.symbols])))
        for match in matches:
            start = title.words[match.first].start
            found += [(start, ticker, reason) for ticker, reason in match.surface.reasons]
            if _is_source(title, match.first, match.last, is_last=match is matches[-1]):
                brokers.update(ticker for ticker, _ in match.surface.reasons)
        first = {ticker: start for start, ticker, _ in sorted(found, reverse=True)}
        places = sorted({start for ticker, start in first.items() if ticker not in brokers})
        share = _LIST if len(places) >= _LIST_SIZE or _STOCK_COUNT.search(title.text) else 1.0
        for _, ticker, reason in found:
            order = _BROKER if ticker in brokers else max(_FLOOR, 1.0 - _STEP * places.index(first[ticker]))
            yield Link(ticker, round(_BASE[reason] * order * share, 4), reason)

    def _feed_links(self, headline: Headline) -> Iterator[Link]:
        symbols = set(headline.symbols)
        for ticker in symbols & self._tickers:
            yield Link(ticker, round(min(_SYMBOL, 2 * _SYMBOL / len(symbols)), 4), "symbol")
        if headline.feed_ticker in self._tickers:
            yield Link(headline.feed_ticker, _FEED, "feed")


def _mentions(title: str) -> Iterator[tuple[int, str, str]]:
    """Yield (offset, ticker in dot form, reason) of every cashtag and exchange mention."""
    for match in _CASHTAG.finditer(title):
        yield match.start(), to_dot_form(match[1].upper()), "cashtag"
    for match in _RIC.finditer(title):
        yield match.start(), to_dot_form(match[1] or match[2]), "mention"
    for match in _EXCHANGE.finditer(title):
        yield from ((match.start(), to_dot_form(ticker), "mention") for ticker in re.split(", ?", match[1]))
    for match in _PARENTHESES.finditer(title):
        for ticker in re.split(", ?", match[1]):
            is_place = len(ticker) == 1 or _STATE.fullmatch(ticker)
            if not is_place and not _is_abbreviation(title[: match.start()], ticker):
                yield match.start(), to_dot_form(ticker), "mention"


def to_dot_form(ticker: str) -> str:
    """Return BRK-B, BRK/B or Reuters' BRKb as BRK.B."""
    ticker = re.sub(r"^([A-Z]+)([a-z])$", lambda match: f"{match[1]}.{match[2].upper()}", ticker)
    return ticker.replace("-", ".").replace("/", ".")


def _is_abbreviation(before: str, letters: str) -> bool:
    """Whether ``letters`` abbreviate the words before them: "Immigration and Customs Enforcement (ICE)"."""
    initials = "".join(word.folded[0] for word in read_title(before).words if word.folded not in ("&", "of", "the"))
    return initials.endswith(letters.lower())


def _is_source(title: Title, first: int, last: int, is_last: bool) -> bool:
    """Whether words ``first`` to ``last`` name who speaks: the house that rates, or a closing "- Citi".

    ``is_last``: no company is named after it, so that "Ford reiterates its outlook" speaks of Ford itself.
    """
    if first > 0 and last == len(title.words) - 1 and _CLOSING.fullmatch(title.gap(first)):
        return True
    rest = title.text[title.words[last].end :]
    is_rating, is_maybe = _RATING.search(title.text), _MAYBE_RATING.search(title.text)
    if title.folded(first - 1) in _BROKER_BEFORE or rest.startswith(":"):
        return bool(is_rating or is_maybe)
    if _ITS_ANALYSTS.match(rest):
        return True
    return bool(_BROKER_AFTER.match(rest) and (is_rating or (is_maybe and not is_last)))
