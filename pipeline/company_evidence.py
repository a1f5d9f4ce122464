"""Is this word a company here? Proof for names that are also words, surnames, places or indices. Pure.

``common_words.csv`` says which names need proof and how much; every other name only has to be written as a name.

- capital: a capital letter will do (Apple, Oracle);
- word: a company cue beside it, or a capital inside a sentence (Target, Visa);
- name: a cue always (Ford, Delta: surnames and places have capitals too);
- index: a cue only a firm can have (Dow and Nasdaq rise and fall without being the firm);
- never: a phrase that holds a name and is no company (price target, Harrison Ford).
"""

from __future__ import annotations

import re
from collections.abc import Set

from . import company_cues as cues
from .title_words import Title

EVIDENCE = ("capital", "word", "name", "index", "never")

_CONNECTORS = frozenset(["&", "'s", "of", "the", "de", "for", "in", "on"])
_NUMBER_GOES_ON = (".", ",", "$", "€", "£")
_SENTENCE_BREAK = re.compile(r"[:;.?!|\"“”‘(\n]|[-–—]")
_LIST_WORDS = ("&", "or", "vs", "versus")
_LIST_GAP = re.compile(r"\s*,\s*|\.?\s+")


def is_written_as_name(title: Title, first: int, last: int, is_acronym: bool) -> bool:
    """Whether words ``first`` to ``last`` have the capitals of a name, as far as the headline's shape can tell."""
    words = title.words[first : last + 1]
    if words[0].text[0].isdigit() and title.gap(first)[-1:] in _NUMBER_GOES_ON:
        return False
    if title.shape == "lower":
        return not (is_acronym and len(words) == 1 and len(words[0].text) <= 3)
    if is_acronym:
        return all(word.text == word.text.upper() or word.folded in _CONNECTORS for word in words)
    return words[0].is_capital and all(
        title.is_capital(i) or title.folded(i) in _CONNECTORS or title.gap(i) in ("-", ".")
        for i in range(first + 1, last + 1)
    )


def is_company(title: Title, first: int, last: int, evidence: str, names: Set[int], is_expected: bool) -> bool:
    """Whether words ``first`` to ``last`` mean the company, given the ``evidence`` its name needs ("" for none,
    "ticker" for a bare symbol: "NVDA shares" does, "COST" alone does not).

    ``names`` are the positions of words inside other candidate names; ``is_expected``: the feed says it is about it.
    """
    if evidence in ("", "never"):
        return not evidence
    if evidence == "ticker":
        return title.shape in ("sentence", "title") and _has_cue(title, first, last, evidence)
    if evidence == "capital" and title.shape in ("sentence", "title"):
        return True
    if evidence == "name" and title.folded(first - 1) in cues.PERSON:
        return False
    if _is_hyphenated(title, first, last) or _is_part_of_more(title, first, last, names):
        return False
    if _has_cue(title, first, last, evidence) or (is_expected and title.shape != "lower"):
        return True
    return evidence == "word" and title.shape == "sentence" and not _starts_sentence(title, first)


def is_listed_beside(title: Title, first: int, last: int, accepted: Set[int]) -> bool:
    """Whether an accepted company stands next to it in a list: "GM, Ford", "Visa and Mastercard"."""
    before = first - 2 if title.folded(first - 1) in _LIST_WORDS else first - 1
    after = last + 2 if title.folded(last + 1) in _LIST_WORDS else last + 1
    return any(
        neighbour in accepted and all(_LIST_GAP.fullmatch(title.gap(i)) for i in gaps)
        for neighbour, gaps in ((before, range(before + 1, first + 1)), (after, range(last + 1, after + 1)))
    )


def _has_cue(title: Title, first: int, last: int, evidence: str) -> bool:
    is_possessive = title.folded(last + 1) == "'s"
    after = last + 2 if is_possessive else last + 1
    if title.gap(after).isspace() and _is_cue(title, after, evidence):
        return True
    if title.gap(after) == ", " and title.folded(after) in cues.LEGAL:
        return True
    if f"{title.folded(first - 2)}_{title.folded(first - 1)}" in cues.BEFORE_PAIRS:
        return True
    return evidence != "index" and (is_possessive or title.folded(first - 1) in cues.BEFORE)


def _is_cue(title: Title, i: int, evidence: str) -> bool:
    """Whether word ``i``, on the right of a name, is something companies do or have."""
    known = cues.FIRM if evidence == "index" else cues.ANY
    word, following = title.folded(i), title.folded(i + 1)
    if word != "to":
        return word in known or f"{word}_{following}" in cues.AFTER_PAIRS
    if evidence == "index" or title.shape == "upper":
        return following in known
    is_name = title.shape == "sentence" and title.is_capital(i + 1)
    return following.isalpha() and not is_name and following not in cues.NOT_VERBS


def _is_hyphenated(title: Title, first: int, last: int) -> bool:
    """Whether a hyphen makes it part of another word (visa-free, non-target); "BRIEF-" and "UPDATE 1-" do not."""
    if title.gap(last + 1) == "-":
        return True
    before = title.words[first - 1].text
    return title.gap(first) == "-" and not (before.isupper() or before.isdigit())


def _is_part_of_more(title: Title, first: int, last: int, names: Set[int]) -> bool:
    """Whether, inside a sentence, a further capital makes it a longer name (Apple Valley, Harrison Ford)."""
    if title.shape != "sentence":
        return False
    before, after = first - 1, last + 1
    if title.gap(after) == " " and _is_other_name(title, after, names, cues.ANY):
        return True
    return title.gap(first) == " " and _is_other_name(title, before, names, cues.BEFORE) and not _is_loud(title, before)


def _is_other_name(title: Title, i: int, names: Set[int], plain: Set[str]) -> bool:
    is_known = i in names or title.folded(i) in plain or title.folded(i) in cues.OPENERS
    return title.is_capital(i) and title.words[i].text[0].isalpha() and not is_known


def _is_loud(title: Title, i: int) -> bool:
    """Whether word ``i`` is all capitals: an abbreviation (FTC, US), not a first name."""
    return title.words[i].text.isupper()


def _starts_sentence(title: Title, first: int) -> bool:
    return first == 0 or bool(_SENTENCE_BREAK.search(title.gap(first)))
