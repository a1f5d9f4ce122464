"""When do two titles tell one story? Pure: two titles in, a similarity out, or None when any sign says they differ.

Near-equal titles are mostly templates ("X declares quarterly dividend", "beats by 2%"), so likeness alone proves
nothing. Two titles are one story only when all of this holds:

    similarity   token-sort ratio (rapidfuzz) of their content words >= threshold
    numbers      both name the same numbers, however written ("Q2", "second-quarter"; "5%", "5 pct"; "1,000", "1000")
    words        one may add words but not swap any: "Ford recalls trucks" is not "Ford recalls vans". Regular
                 inflections, spellings within one letter and the synonyms below count as the same word
    turns        no added word turns the meaning (not, may, before, falls, misses)
    order        at most one shared word has moved: "A sues B" is not "B sues A"

Every rule trades recall for precision: a missed pair counts a story twice, a false one hides a story.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass

from rapidfuzz import fuzz
from rapidfuzz.distance import LCSseq, Levenshtein

from .text import fold_tokens

_WIRE_PREFIX = re.compile(
    r"^\W*(?:(?:UPDATE|WRAPUP|WRAP|RPT|REPEAT|REFILE|BRIEF|CORRECTED|EXCLUSIVE|BREAKING|ALERT|FEATURE|COLUMN|INSIGHT"
    r"|ANALYSIS|TIMELINE|FACTBOX|INTERVIEW|Exclusive|Update|Breaking|Analysis|Timeline|Correction)"
    r"(?: \d+)?(?:[ -]?\([^)]*\))? ?[-:–—]+ ?)+"
)
_INITIALISM = re.compile(r"\b(?:[A-Za-z]\.){2,}")
_INFLECTIONS = ("s", "es", "d", "ed", "ing")

_SYNONYMS = """
    rise: rose risen climb gain jump surge soar rally advance up higher increase grow grew
    fall: fell fallen drop slip slide slid sink sank tumble plunge plummet decline dip down decrease
    beat: top exceed surpass
    miss: lag trail
    raise: hike lift boost
    cut: reduce slash trim lower
    buy: bought acquire purchase
    sell: sold divest
    earnings: results
    percent: pct
    million: mln mn
    billion: bln bn
    trillion: trln tn
    quarter: q qtr
    against: vs versus
    government: govt
    shares: stock
    forecast: outlook guidance
    finance: fin
    minister: min
    ceo: chief
    january: jan
    february: feb
    march: mar
    april: apr
    june: jun
    july: jul
    august: aug
    september: sep sept
    october: oct
    november: nov
    december: dec
    0: zero
    1: one first
    2: two second
    3: three third
    4: four fourth
    5: five fifth
    6: six sixth
    7: seven seventh
    8: eight eighth
    9: nine ninth
    10: ten tenth
"""
_EMPTY_WORDS = """
    a an the of to in on at for by as and its it is are was were be been has have had will that after over amid with
    from say says said see sees source sources report reports reported filing document inc corp co ltd plc company
    reuters bloomberg wsj cnbc ft st nd rd th s
"""
_TURNS = """
    no not never without deny refuse reject fail halt cancel withdraw delay may might could consider mull weigh unlikely
    before until unless against despite but former ex rise fall beat miss raise cut buy sell upgrade downgrade
"""


def _read_synonyms(table: str) -> dict[str, str]:
    lines = (line.split(":") for line in table.strip().splitlines())
    return {word: head.strip() for head, words in lines for word in words.split()}


_CANONICAL = _read_synonyms(_SYNONYMS)
_MEANINGLESS = frozenset(_EMPTY_WORDS.split())
_TURNING = frozenset(_TURNS.split())
_KNOWN = frozenset(_CANONICAL) | frozenset(_CANONICAL.values()) | _TURNING


@dataclass(frozen=True, slots=True)
class Telling:
    """A title made comparable: canonical ``words`` in order, ``numbers`` sorted, ``text`` the sorted content words."""

    words: tuple[str, ...]
    numbers: tuple[str, ...]
    text: str


def read_title(title: str) -> Telling:
    """Return ``title`` made comparable, wire prefixes such as "UPDATE 1-" removed; empty when it has no words."""
    bare = _WIRE_PREFIX.sub("", title)
    bare = _INITIALISM.sub(lambda match: match.group().replace(".", ""), bare or title)
    words = tuple(_canonical_words(fold_tokens(bare)))
    numbers = tuple(sorted(word for word in words if word[0].isdigit()))
    content = [word for word in words if word not in _MEANINGLESS]
    return Telling(words, numbers, " ".join(sorted(content or words)))


def compare_tellings(left: Telling, right: Telling, threshold: float) -> float | None:
    """Return the similarity in 0..1 of two tellings of one story, or None when they are not one story.

    ``threshold`` in 0..1. Two titles without any word are never one story.
    """
    if not left.words or left.numbers != right.numbers:
        return None
    if left.words == right.words:
        return 1.0
    similarity = fuzz.ratio(left.text, right.text) / 100
    if similarity < threshold or not _is_only_longer(left, right) or not _is_same_order(left, right):
        return None
    return similarity


def _canonical_words(tokens: tuple[str, ...]) -> list[str]:
    words: list[str] = []
    for token in tokens:
        if not token[0].isdigit():
            after_number = bool(words) and words[-1][0].isdigit()
            token = {"m": "million", "b": "billion"}.get(token, token) if after_number else token
            words.append(_canonical(token))
        else:
            words.append(_plain_number(token.rstrip("%")))
            words += ["percent"] * token.endswith("%")
    return words


def _canonical(word: str) -> str:
    """Return the head word of ``word``'s synonyms, its inflection undone where the bare word is known."""
    for ending in ("", *_INFLECTIONS):
        stem = word.removesuffix(ending) if ending else word
        if word.endswith(ending) and stem in _KNOWN:
            return _CANONICAL.get(stem, stem)
    return word


def _plain_number(number: str) -> str:
    """Return "1000" for "1,000", "2.5" for "2,50" and for "2.50"."""
    if re.fullmatch(r"\d{1,3}(,\d{3})+(\.\d+)?", number):
        number = number.replace(",", "")
    number = number.replace(",", ".")
    return number.rstrip("0").rstrip(".") if number.count(".") == 1 else number


def _is_only_longer(left: Telling, right: Telling) -> bool:
    """Return whether at most one side has content words of its own, none of which turns the meaning."""
    counts_left, counts_right = Counter(left.words), Counter(right.words)
    only_left = [word for word in counts_left - counts_right if word not in _MEANINGLESS]
    only_right = [word for word in counts_right - counts_left if word not in _MEANINGLESS]
    for word in tuple(only_left):
        match = next((other for other in only_right if _is_same_word(word, other)), None)
        if match is not None:
            only_left.remove(word)
            only_right.remove(match)
    return not (only_left and only_right) and _TURNING.isdisjoint(only_left + only_right)


def _is_same_word(left: str, right: str) -> bool:
    """Return whether two words are inflections or, unless the tables know one of them, spellings of one word."""
    short, long = sorted((left, right), key=len)
    if len(short) > 2 and (any(long == short + ending for ending in _INFLECTIONS) or _stem(short) == _stem(long)):
        return True
    is_name = len(short) > 4 and short[0] == long[0] and not short[0].isdigit() and _KNOWN.isdisjoint((short, long))
    return is_name and Levenshtein.distance(short, long, score_cutoff=1) <= 1


def _stem(word: str) -> str:
    """Return ``word`` without its inflection and the consonant that doubled before it: running, slowed -> run, slow."""
    for ending in ("ing", "ed", "es", "s"):
        stem = word.removesuffix(ending)
        if stem != word and len(stem) > 2:
            return stem[:-1] if ending in ("ing", "ed") and stem[-1] == stem[-2] and stem[-1] not in "ls" else stem
    return word


def _is_same_order(left: Telling, right: Telling) -> bool:
    shared = Counter(left.words) & Counter(right.words)
    order_left, order_right = _only(left.words, shared), _only(right.words, shared)
    return LCSseq.similarity(order_left, order_right) >= sum(shared.values()) - 1


def _only(words: tuple[str, ...], shared: Counter[str]) -> list[str]:
    """Return the words that both titles have, in this title's order, each as often as both have it."""
    left_over = shared.copy()
    kept = []
    for word in words:
        if left_over[word] > 0:
            left_over[word] -= 1
            kept.append(word)
    return kept
