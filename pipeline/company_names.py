"""Company names in a headline: multi-pattern search, the longest match wins, ambiguous names need evidence."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import ahocorasick

from .company_evidence import EVIDENCE, is_company, is_listed_beside, is_written_as_name
from .errors import ConfigError
from .records import Company
from .title_words import Title, read_title

COMMON_WORDS = Path(__file__).parent / "common_words.csv"

_BARE_TICKER_LENGTH = 4  # shorter symbols are too often words and abbreviations: ALL, NOW, ICE, IT
_LEGAL_FORMS = frozenset(["inc", "incorporated", "corp", "corporation", "co", "company", "plc", "ltd", "nv"])


@dataclass(frozen=True, slots=True)
class Surface:
    """One way of writing a name. ``reasons`` holds (ticker, reason), empty for a phrase that is no company's."""

    reasons: tuple[tuple[str, str], ...]
    evidence: str
    is_acronym: bool = False


@dataclass(frozen=True, slots=True)
class NameMatch:
    """``surface`` at words ``first`` to ``last`` (inclusive) of a title."""

    first: int
    last: int
    surface: Surface

    @property
    def span(self) -> range:
        """Positions of its words."""
        return range(self.first, self.last + 1)


class NameFinder:
    """Finds the companies a headline names, with one Aho-Corasick automaton over all ways of writing them."""

    def __init__(self, companies: Sequence[Company], common_words: Mapping[str, str]) -> None:
        self._automaton = ahocorasick.Automaton()
        for phrase, surface in _surfaces(companies, common_words).items():
            self._automaton.add_word(f" {phrase} ", (phrase.count(" "), surface))
        self._automaton.make_automaton()

    def find(self, title: Title, expected: frozenset[str] = frozenset()) -> list[NameMatch]:
        """Return the accepted names in reading order.

        ``expected`` are the tickers the headline's feed or symbols speak of: an ambiguous name of theirs, written
        as a name, needs no further cue.
        """
        candidates = [
            match
            for match in self._longest(title)
            if match.surface.reasons and is_written_as_name(title, match.first, match.last, match.surface.is_acronym)
        ]
        accepted = [match for match in candidates if _is_accepted(title, match, candidates, expected)]
        named = {i for match in accepted for i in match.span}
        for match in candidates:
            is_open = match not in accepted and match.surface.evidence in ("capital", "word", "name")
            if is_open and is_listed_beside(title, match.first, match.last, named):
                accepted.append(match)
        return sorted(accepted, key=lambda match: match.first)

    def _longest(self, title: Title) -> Iterator[NameMatch]:
        text, word_at = " ", {}
        for i, word in enumerate(title.words):
            text += word.folded + " "
            word_at[len(text) - 1] = i
        found = [NameMatch(word_at[end] - n, word_at[end], surface) for end, (n, surface) in self._automaton.iter(text)]
        taken: set[int] = set()
        for match in sorted(found, key=lambda match: (match.first - match.last, match.first)):
            if taken.isdisjoint(match.span):
                taken.update(match.span)
                yield match


def load_common_words(path: Path = COMMON_WORDS) -> dict[str, str]:
    """Return folded phrase -> evidence from a table with columns phrase and evidence.

    Raises:
        ConfigError: the columns differ, a phrase is empty or twice there, or an evidence level is unknown.
    """
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        if reader.fieldnames != ["phrase", "evidence"]:
            raise ConfigError(f"{path}: expected the columns phrase,evidence, found {reader.fieldnames}")
        words: dict[str, str] = {}
        for row in reader:
            phrase, evidence = _fold(row["phrase"] or ""), row["evidence"]
            if not phrase or phrase in words or evidence not in EVIDENCE:
                expected = f"a new phrase and one of {', '.join(EVIDENCE)}"
                raise ConfigError(f"{path}, line {reader.line_num}: expected {expected}, found {list(row.values())}")
            words[phrase] = evidence
    return words


def _is_accepted(title: Title, match: NameMatch, candidates: list[NameMatch], expected: frozenset[str]) -> bool:
    others = {i for other in candidates if other is not match for i in other.span}
    is_expected = any(ticker in expected for ticker, _ in match.surface.reasons)
    return is_company(title, match.first, match.last, match.surface.evidence, others, is_expected)


def _surfaces(companies: Sequence[Company], common_words: Mapping[str, str]) -> dict[str, Surface]:
    reasons: dict[str, dict[str, str]] = {}
    acronyms: set[str] = set()
    for company in companies:
        for reason, names in (("alias", company.aliases), ("name", (company.name,))):
            for name in names:
                for phrase in _variants(name, reason == "name"):
                    reasons.setdefault(phrase, {})[company.ticker] = reason
                    if _is_acronym(name) and _LEGAL_FORMS.isdisjoint(phrase.split()):
                        acronyms.add(phrase)
    surfaces = {phrase: Surface((), "never") for phrase, evidence in common_words.items() if evidence == "never"}
    for company in companies:
        if len(company.ticker) >= _BARE_TICKER_LENGTH:
            surfaces[_fold(company.ticker)] = Surface(((company.ticker, "mention"),), "ticker", True)
    for phrase, by_ticker in reasons.items():
        evidence = common_words.get(phrase, "")
        surfaces[phrase] = Surface(tuple(sorted(by_ticker.items())), evidence, phrase in acronyms)
    return surfaces


def _is_acronym(name: str) -> bool:
    """Whether ``name`` is written in capitals, its legal form apart: GE, AT&T, APA Corporation."""
    return "".join(word.text for word in read_title(name).words if word.folded not in _LEGAL_FORMS).isupper()


def _variants(name: str, is_shortened: bool) -> set[str]:
    """Return the folded ways to write ``name``: Lowe's as Lowes, J.P. as JP, and shortened: no "the", no legal form.

    An alias is not shortened: who writes "Ferguson plc" there knows that "Ferguson" is too little.
    """
    words = _fold(name).split()
    forms = {" ".join(words)}
    if is_shortened:
        words = words[1:] if words[:1] == ["the"] else words
        while len(words) > 1 and words[-1] in (*_LEGAL_FORMS, "&"):
            words = words[:-1]
        forms.add(" ".join(words))
    forms |= {form.replace(" 's", "s") for form in forms}
    return forms | {re.sub(r"(?<!\S)(\w) (?=\w(?!\S))", r"\1", form) for form in forms}


def _fold(text: str) -> str:
    return " ".join(word.folded for word in read_title(text).words)
