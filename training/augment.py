"""Training rows -> other versions of them: the direction turned round, or another company. Pure, and rather none.

A version is made only where simple rules leave little doubt of its label; most rows have none.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from random import Random

from pipeline.text import LABELS

from .antonyms import AMOUNT, CONTEXTS, FORBIDDEN, HARMLESS, NAMES, OPPOSITES, RISING, Context
from .data import Example
from .recipe import Recipe

NEGATIVE, POSITIVE = LABELS.index("negative"), LABELS.index("positive")
NAME_SOURCE = "sentfin"
"""The source whose targets are names of companies as headlines write them."""
NAME_LENGTH = range(2, 31)
NAME_DRAWS = 5
"""How often a name is drawn anew where the text already holds it."""
_WORD = re.compile(r"(?<![\w$@/&])[A-Za-z]+(?:['’-][A-Za-z]+)*(?![\w/&@])")
_ARTICLE = re.compile(r"\b([Aa])(n?)(\s+)$")
_FROM_TO = re.compile(rf"\b(from|to) ({AMOUNT})(,? )(from|to) ({AMOUNT})", re.IGNORECASE)
_COMPARED = re.compile(
    rf"\b(?:from|compared|against|versus|vs|than|respectively|corresponding)\b\.?(?:\s+[A-Za-z.-]+){{0,3}}?\s+{AMOUNT}",
    re.IGNORECASE,
)
_YEAR = re.compile(r"(?:19|20)\d\d")
_COMPANY = re.compile(r"[A-Z][\w&'.-]*(?: [A-Z&][\w&'.-]*)*")
_SECTORS = """
gold silver copper crude oil brent wti rupee dollar yen euro pound yuan sensex nifty bse nse mcx dow nasdaq s&p
asian european india indian china chinese japan us usd uk europe fiis fii fed rbi sebi psu psus it nbfc nbfcs
shares stocks market markets index banks sector futures bonds midcap midcaps smallcap smallcaps bank auto pharma
fmcg metals infra capital goods telecom realty power sugar cement tyre aviation
"""
_NO_COMPANY = frozenset(_SECTORS.split())
"""A name that begins or ends with one of these is that of a sector, commodity, currency, index or country."""


def vary_rows(
    examples: Sequence[Example], epochs: Sequence[Sequence[int]], recipe: Recipe, random: Random
) -> tuple[list[Example], list[list[int]]]:
    """Return the added examples and the ``epochs`` with a drawn row's index replaced where another version is taken.

    ``epochs`` index ``examples``; added example k has the index ``len(examples)`` + k. A row that can be turned round
    becomes that version with probability ``recipe.flip_share``; else, where it names a company, it is told of another
    one with probability ``recipe.swap_share``, the same one throughout an epoch. Deterministic under ``random``, of
    which nothing is drawn where both shares are 0.
    """
    if not recipe.flip_share and not recipe.swap_share:
        return [], [list(rows) for rows in epochs]
    drawn = sorted({i for rows in epochs for i in rows})
    found = {i: flip_direction(examples[i]) for i in drawn} if recipe.flip_share else {}
    added = [version for version in found.values() if version is not None]
    turned = [i for i, version in found.items() if version is not None]
    flips = {i: len(examples) + place for place, i in enumerate(turned)}
    names, varied = list_names(examples), []
    for rows in epochs:
        swaps: dict[int, int] = {}
        varied.append(list(rows))
        for place, i in enumerate(rows):
            if i in flips and random.random() < recipe.flip_share:
                varied[-1][place] = flips[i]
            elif examples[i].target and recipe.swap_share and random.random() < recipe.swap_share:
                if i not in swaps:
                    version = swap_entity(examples[i], names, random)
                    swaps[i] = i if version is None else len(examples) + len(added)
                    added += [] if version is None else [version]
                varied[-1][place] = swaps[i]
    return added, varied


def flip_direction(example: Example) -> Example | None:
    """Return ``example`` with every word of direction turned round, the other label and the negated score.

    None unless the label has a direction, every such word of the text points its way, and no word is FORBIDDEN. A
    rise "from 2 to 5" becomes a fall "from 5 to 2"; any other comparison of numbers is left alone. Turned twice, a row
    is as it was.
    """
    turned = _turn_example(example)
    return turned if turned is not None and _turn_example(turned) == example else None


def find_directions(text: str) -> list[re.Match[str]]:
    """Return the words of direction in ``text``, in order; none where one of them, or its company, is in doubt."""
    found = []
    for match in _WORD.finditer(text):
        word = match.group().replace("’", "'").lower()
        if word in OPPOSITES and (word not in CONTEXTS or _fits(CONTEXTS[word], text, match)):
            found.append(match)
        elif word in HARMLESS and _fits(HARMLESS[word], text, match):
            continue
        elif _is_pointed(word) or word.endswith("n't"):
            return []
    return found if all(_is_plain(match, text) for match in found) else []


def swap_entity(example: Example, names: Sequence[str], random: Random) -> Example | None:
    """Return ``example`` told of another company, drawn from ``names``, in text and target; the label is kept.

    None where the target is "" or no company, is not in the text as whole words, or stands there in a cashtag.
    """
    text, target = example.text, example.target
    if not is_company(target) or not names or f"${target}".lower() in text.lower():
        return None
    whole = rf"(?<![\w$@#/]){re.escape(target)}(?![\w/])"
    # As it is written where it is: "ARM" must not be found in "arm".
    pattern = re.compile(whole, 0 if re.search(whole, text) else re.IGNORECASE)
    drawn = random.sample(names, min(len(names), NAME_DRAWS))
    name = next((name for name in drawn if name.lower() not in text.lower()), None)
    if name is None or not pattern.search(text):
        return None
    return replace(example, text=pattern.sub(lambda _: name, text), target=name)


def list_names(examples: Sequence[Example]) -> list[str]:
    """Return the companies that NAME_SOURCE's ``examples`` are about, each once, sorted."""
    targets = {example.target for example in examples if example.source == NAME_SOURCE}
    return sorted(target for target in targets if is_company(target))


def is_company(name: str) -> bool:
    """Say whether ``name`` reads as that of one company: capitals throughout, no sector, index, currency or place."""
    words = [word.lower() for word in name.split()]
    plain = len(name) in NAME_LENGTH and _COMPANY.fullmatch(name) is not None and not _is_pointed(name)
    return plain and words[-1] not in _NO_COMPANY and words[0] not in _NO_COMPANY


def _turn_example(example: Example) -> Example | None:
    text, rises = example.text, example.label == POSITIVE
    if example.label not in (NEGATIVE, POSITIVE) or "?" in text or NAMES.search(text) or _is_pointed(example.target):
        return None
    words = find_directions(text)
    if not words or any((word.group().lower() in RISING) != rises for word in words):
        return None
    turned = _turn_words(text, words)
    turned = None if turned is None else _turn_numbers(turned, rises)
    if turned is None:
        return None
    score = None if example.score is None else -example.score
    return replace(example, text=turned, label=NEGATIVE + POSITIVE - example.label, score=score)


def _is_pointed(name: str) -> bool:
    """Say whether ``name``, or a part of a compound in it, is a word of direction or FORBIDDEN."""
    return any(word in OPPOSITES or word in FORBIDDEN for word in re.split(r"[^a-z]+", name.lower()))


def _fits(contexts: Context, text: str, match: re.Match[str]) -> bool:
    start, end = text[: match.start()], text[match.end() :]
    return any(before.search(start) and after.match(end) for before, after in contexts)


def _is_plain(match: re.Match[str], text: str) -> bool:
    """Say whether a word of direction is no part of a name, and written so that its opposite can be."""
    word = match.group()
    is_name = word[0].isupper() and match.start() > 0 and not _is_title(text)
    return not is_name and _like(word, word.lower()) == word


def _is_title(text: str) -> bool:
    """Say whether ``text`` writes most of its longer words with a capital, so that a capital marks no name."""
    words = [match.group() for match in _WORD.finditer(text) if len(match.group()) > 3]
    return 2 * sum(word[0].isupper() for word in words) > len(words)


def _like(pattern: str, word: str) -> str:
    """Return ``word``, in lower case, written as ``pattern`` is: upper case, with a capital, or as it stands."""
    if len(pattern) > 1 and pattern.isupper():
        return word.upper()
    return word.capitalize() if pattern[0].isupper() else word


def _turn_words(text: str, words: Sequence[re.Match[str]]) -> str | None:
    """Return ``text`` with the opposites of ``words``; None where an article does not fit its word as it stands."""
    pieces, end = [], 0
    for match in words:
        new = _like(match.group(), OPPOSITES[match.group().lower()])
        before = text[end : match.start()]
        if article := _ARTICLE.search(before):
            if bool(article[2]) != _takes_an(match.group()):
                return None
            before = before[: article.start()] + article[1] + ("n" if _takes_an(new) else "") + article[3]
        pieces += [before, new]
        end = match.end()
    return "".join([*pieces, text[end:]])


def _takes_an(word: str) -> bool:
    return word[0].lower() in "aeiou"


def _turn_numbers(text: str, was_rising: bool) -> str | None:
    """Return ``text`` with "from A to B" as "from B to A"; None where numbers are compared in any other way."""
    pairs = list(_FROM_TO.finditer(text))
    rest = _FROM_TO.sub("", text)
    if len(pairs) > 1 or any(not _YEAR.fullmatch(_digits(one.group())) for one in _COMPARED.finditer(rest)):
        return None
    if not pairs:
        return text
    lead, first, middle, second_lead, second = pairs[0].groups()
    old, new = (first, second) if lead.lower() == "from" else (second, first)
    if lead.lower() == second_lead.lower() or _YEAR.fullmatch(old) or (_value(new) > _value(old)) != was_rising:
        return None
    start, end = pairs[0].span()
    return f"{text[:start]}{lead} {second}{middle}{second_lead} {first}{text[end:]}"


def _digits(text: str) -> str:
    return re.sub(r"\D", "", text)


def _value(amount: str) -> float:
    return float(re.sub(r"[^\d.]", "", re.sub(r"^[A-Za-z.]+", "", amount)).strip("."))
