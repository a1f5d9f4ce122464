"""The project's own sentence patterns (written.toml) -> labelled training rows. Reads no data set and no clock.

The rows teach what labelled sets hold little of: which way a cost is good, a loss that narrows, who did it to whom,
what a negation turns round, that a question claims nothing. They are held apart from the behavioural suite
(behaviour.csv): other companies, other wordings, and no near-duplicate of any of its headlines.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil
from random import Random

from .data import Example
from .written_patterns import NAMES, Grammar, Pattern, read_grammar

SOURCE = "written"
BLIND_SHARE = 0.3
"""Share of sentences about one company whose target is left empty: half the labelled sets name none."""


def write_examples(count: int, random: Random, grammar: Grammar | None = None) -> list[Example]:
    """Return ``count`` rows of source "written", deterministic under ``random``: every label equally likely.

    ``slice`` is the pattern's family; ``target`` the company judged, "" where none is named or, for BLIND_SHARE of the
    sentences about a single company, where it is left out.
    """
    grammar = grammar or read_grammar()
    return [write_example(random.choice(grammar.patterns[random.randrange(3)]), grammar, random) for _ in range(count)]


def write_example(pattern: Pattern, grammar: Grammar, random: Random) -> Example:
    """Return one sentence of ``pattern``, every slot filled, in one of the guises of the wire."""
    names = draw_companies(grammar, random)
    values = draw_numbers(grammar.guises["units"], random)
    for slot in pattern.parts[1::2]:
        if slot not in values:
            words = grammar.words.get(slot, ())
            values[slot] = random.choice(words) if words else name_company(*names[slot], pattern, random)
    text = "".join(values[part] if i % 2 else part for i, part in enumerate(pattern.parts))
    if not pattern.parts[0] and pattern.parts[1] not in NAMES:
        text = text[:1].upper() + text[1:]
    target = names[pattern.target][0] if pattern.target else ""
    if not pattern.is_pair and random.random() < BLIND_SHARE:
        target = ""
    return Example(disguise(text, grammar.guises, random), target, pattern.label, None, SOURCE, pattern.family)


def draw_companies(grammar: Grammar, random: Random) -> dict[str, tuple[str, str]]:
    """Return (name, ticker) by slot, all different."""
    company, other = random.sample(grammar.companies, 2)
    bank = random.choice([bank for bank in grammar.banks if bank not in (company, other)])
    return {"company": company, "other": other, "bank": bank}


def draw_numbers(units: Sequence[str], random: Random) -> dict[str, str]:
    """Return amounts that agree with each other: low < high in one unit, and the percentages between them."""
    low, unit = random.randrange(21, 999), random.choice(units)
    high = low + ceil(low * random.uniform(0.02, 0.6))
    cents, rate, thousands = random.randrange(5, 400), random.randrange(20, 400), random.randrange(20, 900)
    more_cents, more_rate = cents + random.randrange(1, 3 + cents // 4), rate + random.randrange(2, 60)
    target = random.randrange(12, 400)
    percent = random.choice(("{}%", "{} %", "{} pct"))
    return {
        "low": unit.format(low / 10),
        "high": unit.format(high / 10),
        "gain": str(max(1, round(100 * (high - low) / low))),
        "drop": str(max(1, round(100 * (high - low) / high))),
        "low_eps": f"${cents / 100:.2f}",
        "high_eps": f"${more_cents / 100:.2f}",
        "difference_eps": f"{(more_cents - cents) / 100:.2f}",
        "low_rate": percent.format(rate / 10),
        "high_rate": percent.format(more_rate / 10),
        "low_count": f"{thousands * 500:,}",
        "high_count": f"{thousands * 500 + random.randrange(5, 400) * 100:,}",
        "low_target": str(target),
        "high_target": str(target + random.randrange(2, 60)),
        "day": str(random.randrange(1, 29)),
        "hour": str(random.randrange(1, 12)),
    }


def name_company(name: str, ticker: str, pattern: Pattern, random: Random) -> str:
    """Return how a headline calls the company: mostly by name, now and then, and in posts mostly, by its cashtag."""
    chance = random.random()
    if ticker.isalpha() and chance < (0.6 if pattern.family == "posts" else 0.07):
        return f"${ticker}"
    return f"{name} ({random.choice(('NYSE: ', 'NASDAQ: ', '', 'LON:'))}{ticker})" if chance > 0.96 else name


def disguise(text: str, guises: Mapping[str, Sequence[str]], random: Random) -> str:
    """Return ``text`` as it is, or in a guise that says nothing new: capitals, lower case, a source, punctuation."""
    chance = random.random()
    if chance < 0.80:
        return text
    if chance < 0.84:
        return text.upper()
    if chance < 0.88:
        return text.lower()
    return random.choice(guises["before"]) + text if chance < 0.92 else text + random.choice(guises["after"])
