"""Made-up headlines about real companies, for timing alone: as long as real ones, no two the same."""

from __future__ import annotations

import random
from collections.abc import Callable

from pipeline.config import HOME, load_companies

Pair = tuple[str, str]
"""Headline and company name."""
ITEMS = ("profit", "revenue", "net income", "operating margin", "free cash flow", "same-store sales", "order backlog")
BEATS = ("tops", "misses", "meets", "matches", "falls short of", "comes in ahead of")
MOVES = ("jump", "slide", "climb", "tumble", "edge higher", "drift lower", "rally", "sink", "hold steady")
DEEDS = (
    "cuts full-year outlook", "raises dividend", "names new finance chief", "recalls vehicles", "opens plant in Ohio",
    "settles patent dispute", "wins defence contract", "to close two warehouses", "explores sale of its seeds unit",
    "faces antitrust probe", "prices senior notes", "launches cheaper subscription tier", "pauses share buyback",
)  # fmt: skip
REASONS = (
    "on weak demand in Europe", "after strong holiday season", "amid rising input costs", "as tariffs bite",
    "as regulators weigh in", "despite softer guidance", "on robust cloud orders", "as rivals cut prices",
)  # fmt: skip
ADDITIONS = (
    "management reaffirms long-term targets and flags currency headwinds",
    "analysts see limited upside before next quarter's update",
    "union says talks over pay will resume on Thursday",
    "company says it remains on track to close the deal by year-end",
)
PREFIXES = ("UPDATE 1-", "BRIEF-", "Exclusive: ", "Analysis: ")


def write_pairs(count: int, seed: int = 7) -> list[Pair]:
    """Return ``count`` distinct pairs, the same ones for the same ``seed``. Companies are those of pipeline/sp500.csv.

    A headline is one of four shapes; one in three has a reason added, one in five a second clause, so that lengths
    spread about as they do in news.
    """
    rng = random.Random(seed)
    companies = [company.name for company in load_companies(HOME / "sp500.csv")]
    pairs: dict[Pair, None] = {}
    while len(pairs) < count:
        company = rng.choice(companies)
        pairs[_write_headline(rng, company), company] = None
    return list(pairs)


def _write_headline(rng: random.Random, company: str) -> str:
    text = rng.choice(SHAPES)(rng, company)
    if rng.random() < 0.15:
        text = rng.choice(PREFIXES) + text
    if rng.random() < 0.35:
        text += f" {rng.choice(REASONS)}"
    if rng.random() < 0.2:
        text += f"; {rng.choice(ADDITIONS)}"
    return text


def _report(rng: random.Random, company: str) -> str:
    figure = f"${rng.randint(11, 999) / 10:.1f} billion"
    return f"{company} Q{rng.randint(1, 4)} {rng.choice(ITEMS)} of {figure} {rng.choice(BEATS)} estimates"


def _move(rng: random.Random, company: str) -> str:
    return f"{company} shares {rng.choice(MOVES)} {rng.randint(1, 290) / 10:.1f}%"


def _rate(rng: random.Random, company: str) -> str:
    return f"{company} price target set at ${rng.randint(12, 980)} from ${rng.randint(12, 980)}"


def _act(rng: random.Random, company: str) -> str:
    return f"{company} {rng.choice(DEEDS)}"


SHAPES: tuple[Callable[[random.Random, str], str], ...] = (_report, _move, _rate, _act, _act)
