"""Precision and recall of the linker on a half-year of Reuters headlines; definitions and figures: docs/LINKING.md.

Usage: python -m benchmarks.linking [--data ../shared/data] [--errors 40] [--sample 150] [--seed 2016]

Truth is market/reuters_tagged, the input is unlabelled/reuters_firehose_2015_h1, both for evaluation only. January to
March may be read to tune tables and cues; April to June gives the figures. Nothing is written.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import os
import random
import re
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pandas as pd

from pipeline.company_names import load_common_words
from pipeline.config import HOME, load_companies
from pipeline.link import Linker
from pipeline.records import Headline
from pipeline.text import fold_tokens

# Tags carry the symbols of 2017/18, among them preferred shares and bonds: here those that the universe of 2026 holds
# under another symbol, and one symbol for each pair of share classes.
RENAMED = {
    "FB": "META", "PCLN": "BKNG", "UTX": "RTX", "RTN": "RTX", "ANTM": "ELV", "ANTX": "ELV", "SYMC": "GEN", "HRS": "LHX",
    "MMC": "MRSH", "BK": "BNY", "HCN": "WELL", "HCP": "DOC", "BBT": "TFC", "TMK": "GL", "MYL": "VTRS", "CHK": "EXE",
    "VIAB": "PSKY", "VIA": "PSKY", "CBS": "PSKY", "PKI": "RVTY", "DISH": "ECHO", "BLL": "BALL", "DLPH": "APTV",
    "CBG": "CBRE", "DISCA": "WBD", "DISCB": "WBD", "DISCK": "WBD", "GEB": "GE", "GEH": "GE", "GEK": "GE",
    "CCV": "CMCSA", "VZA": "VZ", "EBAYL": "EBAY", "DUKH": "DUK", "GOOG": "GOOGL", "FOX": "FOXA", "NWS": "NWSA",
}  # fmt: skip
OTHER_COMPANY_THEN = frozenset(["WTW"])  # Weight Watchers in 2015
ALIAS_SOURCES = ("sec_title", "sp500_name", "stocknet_table", "alexa_overrides", "derived_suffix_stripped:")
LEGAL_FORMS = frozenset(
    ["inc", "corp", "corporation", "co", "company", "plc", "ltd", "limited", "nv", "sa", "group", "holdings"]
)
TUNING_ENDS = date(2015, 4, 1)
NOW = datetime(2015, 7, 1, tzinfo=UTC)


@dataclass
class Row:
    """One headline of the stream: ``tags`` of the same title within a day, None if Reuters' company pages lack it.

    ``named`` holds the tags the headline names (see :class:`NameForms`), ``linked`` what the linker found.
    """

    title: str
    day: date
    tags: frozenset[str] | None
    named: frozenset[str] = frozenset()
    linked: frozenset[str] = frozenset()


def main() -> None:
    """Print both halves' figures, the speed, and what was asked to be read."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("FINANCIAL_SENTIMENT_DATA", "../shared/data")))
    parser.add_argument("--errors", type=int, default=0, help="print so many misses and extra links of the tuning half")
    parser.add_argument("--sample", type=int, default=0, help="print so many links of the test half, to be read")
    parser.add_argument("--seed", type=int, default=2015, help="of both samples")
    options = parser.parse_args()
    companies = load_companies(HOME / "sp500.csv")
    tagged, names = read_tags(options.data, {company.ticker for company in companies})
    rows = read_stream(options.data, tagged)
    forms = NameForms(options.data, names, [row.title for row in rows])
    linker = Linker(companies, load_common_words())
    started = time.process_time()
    for row in rows:
        links = linker.link(_headline(row.title))
        row.linked = frozenset(RENAMED.get(link.ticker, link.ticker) for link in links) & names.keys()
    seconds = time.process_time() - started
    for row in rows:
        row.named = frozenset(ticker for ticker in row.tags or () if forms.is_named(row.title, ticker))
    print(f"{len(rows)} headlines in {seconds:.1f} s of processor time: {len(rows) / seconds:.0f}/s")
    tuning = [row for row in rows if row.day < TUNING_ENDS]
    testing = [row for row in rows if row.day >= TUNING_ENDS]
    print_figures("January-March, tuning", tuning)
    print_figures("April-June, test", testing)
    print_errors(tuning, options.errors, options.seed)
    print_samples(testing, options.sample, options.seed)


def read_tags(data: Path, universe: set[str]) -> tuple[dict[str, dict[date, set[str]]], dict[str, set[str]]]:
    """Return folded title -> day -> tickers (an empty set: tagged with none of the universe), and ticker -> names."""
    columns = ["ticker", "name", "published_utc", "headline"]
    news = pd.read_parquet(data / "market/reuters_tagged/news.parquet", columns=columns).dropna()
    news = news[(news.published_utc >= "2014-12-31") & (news.published_utc < "2015-07-02")]
    tagged: dict[str, dict[date, set[str]]] = defaultdict(lambda: defaultdict(set))
    names: dict[str, set[str]] = defaultdict(set)
    for tag, name, published_utc, title in news.itertuples(index=False):
        ticker = RENAMED.get(tag, tag)
        tickers = tagged[fold_title(title)][published_utc.date()]
        if ticker in universe and tag not in OTHER_COMPANY_THEN:
            tickers.add(ticker)
            names[ticker].add(name)
    return tagged, names


def read_stream(data: Path, tagged: Mapping[str, Mapping[date, set[str]]]) -> list[Row]:
    """Return every headline of the untagged stream, with the tags of its title within a day."""
    stream = pd.read_parquet(
        data / "unlabelled/reuters_firehose_2015_h1.parquet", columns=["published_utc", "headline"]
    )
    rows = []
    for published_utc, title in stream.itertuples(index=False):
        day = published_utc.date()
        days = tagged.get(fold_title(title), {})
        near = [days[d] for d in (day - timedelta(1), day, day + timedelta(1)) if d in days]
        rows.append(Row(title, day, frozenset().union(*near) if near else None))
    return rows


class NameForms:
    """Whether a headline names a company, decided without the linker's tables.

    It does when it holds, capitalised, a full name of it (SEC title, index name, public alias tables, the tag's own
    name; with or without the legal form), the first word of the tag's name where it is distinctive (four letters or
    more, first word of no other tagged company, written small in under a tenth of its uses), or the ticker in capitals.
    """

    def __init__(self, data: Path, names: Mapping[str, set[str]], titles: Iterable[str]) -> None:
        self._phrases: dict[str, set[tuple[str, ...]]] = defaultdict(set)
        for ticker, name in [*_aliases(data), *((t, name) for t, all_names in names.items() for name in all_names)]:
            words = fold_tokens(name)
            self._phrases[RENAMED.get(ticker, ticker)] |= {
                p for p in (words, _without_legal_form(words)) if len("".join(p)) > 1
            }
        first_words = {ticker: {fold_tokens(name)[0] for name in all_names} for ticker, all_names in names.items()}
        owners = Counter(word for words in first_words.values() for word in words)
        small_share = _small_shares(titles, set(owners))
        for ticker, words in first_words.items():
            distinctive = {w for w in words if len(w) > 3 and owners[w] == 1 and small_share.get(w, 0.0) < 0.1}
            self._phrases[ticker] |= {(word,) for word in distinctive}

    def is_named(self, title: str, ticker: str) -> bool:
        """Whether ``title`` names the company of ``ticker``."""
        written = re.findall(r"[^\W_]+", title)
        if len(ticker) > 1 and ticker in written and title != title.upper():
            return True
        words = fold_tokens(title)
        capitals = {token for word in written if word[0].isupper() for token in fold_tokens(word)}
        capitals |= {token for word in title.split() if word[0].isupper() for token in fold_tokens(word)}
        return any(phrase[0] in capitals and _contains(words, phrase) for phrase in self._phrases[ticker])


def print_figures(period: str, rows: list[Row]) -> None:
    """Print recall over tags that the headline names, and precision over headlines Reuters tagged."""
    named = Counter[bool]()
    extra = Counter[bool]()
    for row in rows:
        named.update(ticker in row.linked for ticker in row.named)
        if row.tags is not None:
            extra.update(ticker in row.tags for ticker in row.linked)
    untagged = sum(len(row.linked) for row in rows if row.tags is None)
    known = sum(row.tags is not None for row in rows)
    print(f"\n{period}: {len(rows)} headlines, {known} of them on company pages")
    print(f"  recall    {named[True] / named.total():.4f}  ({named[True]} of {named.total()} named tags)")
    print(
        f"  precision {extra[True] / extra.total():.4f}  ({extra[True]} of {extra.total()} links of tagged headlines)"
    )
    print(f"  {untagged} links of untagged headlines")


def print_errors(rows: list[Row], count: int, seed: int) -> None:
    """Print a seeded sample of named tags without a link, and of links without a tag."""
    chooser = random.Random(seed)
    misses = [(row.title, ticker) for row in rows for ticker in sorted(row.named - row.linked)]
    extras = [(row.title, ticker) for row in rows if row.tags is not None for ticker in sorted(row.linked - row.tags)]
    for kind, errors in (("miss", misses), ("extra", extras)):
        for title, ticker in chooser.sample(errors, min(count, len(errors))):
            print(f"{kind}\t{ticker}\t{title}")


def print_samples(rows: list[Row], count: int, seed: int) -> None:
    """Print seeded samples to judge by reading: links of headlines without any tag, and links that the tags lack."""
    untagged = [(row.title, ticker) for row in rows if row.tags is None for ticker in sorted(row.linked)]
    extra = [(row.title, ticker) for row in rows if row.tags is not None for ticker in sorted(row.linked - row.tags)]
    for kind, links in (("untagged", untagged), ("extra", extra)):
        for title, ticker in random.Random(seed).sample(links, min(count, len(links))):
            print(f"{kind}\t{ticker}\t{title}")


def fold_title(title: str) -> str:
    """Return the lower-case letters and digits of ``title``: the key on which both files agree."""
    return "".join(c for c in title.lower() if c.isalnum())


def _headline(title: str) -> Headline:
    return Headline("", title, "", "", "", None, (), NOW, NOW)


def _aliases(data: Path) -> Iterator[tuple[str, str]]:
    with gzip.open(data / "reference/company_aliases.csv.gz", "rt", encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            if row["source"].startswith(ALIAS_SOURCES):
                yield row["ticker"].replace("-", "."), row["alias"]


def _without_legal_form(words: tuple[str, ...]) -> tuple[str, ...]:
    while words and words[-1] in LEGAL_FORMS:
        words = words[:-1]
    return words[1:] if words[:1] == ("the",) else words


def _small_shares(titles: Iterable[str], words: set[str]) -> dict[str, float]:
    """Return the share of uses in ``titles`` in which a word is written without a capital."""
    uses, small = Counter[str](), Counter[str]()
    for title in titles:
        for written in re.findall(r"[^\W\d_]+", title):
            word = written.lower()
            if word in words:
                uses[word] += 1
                small[word] += written == word
    return {word: small[word] / count for word, count in uses.items()}


def _contains(words: tuple[str, ...], phrase: tuple[str, ...]) -> bool:
    return any(words[i : i + len(phrase)] == phrase for i in range(len(words) - len(phrase) + 1))


if __name__ == "__main__":
    main()
