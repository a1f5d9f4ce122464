"""Written rows say what their label says, agree with their own numbers, and keep away from the behavioural suite."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.similarity import similar_pairs
from pipeline.text import LABELS, clean_text, fold_text
from training.behaviour import read_behaviour
from training.data import Example
from training.written import SOURCE, disguise, draw_numbers, write_example, write_examples
from training.written_patterns import KINDS, Grammar, Pattern, WrittenError, read_grammar

PROJECT = Path(__file__).parent.parent.parent
SAMPLE = 20_000
TOO_NEAR = 0.6
GRAMMAR = read_grammar()
PATTERNS = [pattern for held in GRAMMAR.patterns.values() for pattern in held]
AGAINST = {"results": "good", "estimates": "good", "losses": "bad"}
"""Families whose label follows from two numbers, the new one first: is more of it good or bad?"""
PLAIN = replace(
    GRAMMAR,
    words={slot: ["thing"] for slot in GRAMMAR.words},
    companies=[("Plain One", "PO-"), ("Plain Two", "PT-"), ("Plain Three", "PH-")],
    banks=[("Plain Four", "PF-")],
    guises={"units": ["{}"], "before": [""], "after": [""]},
)
"""A grammar whose words hold no figure, so that every figure in a text is a drawn one."""


@pytest.fixture(scope="module")
def sample() -> list[Example]:
    return write_examples(SAMPLE, Random(3))


def test_there_are_enough_patterns_of_every_label_and_family() -> None:
    assert len({str(pattern) for pattern in PATTERNS}) >= 400
    assert all(len(held) >= 100 for held in GRAMMAR.patterns.values())
    assert min(Counter(pattern.family for pattern in PATTERNS).values()) >= 8
    assert len(GRAMMAR.companies) >= 150
    assert len(GRAMMAR.banks) >= 5


def test_no_pattern_stands_twice_in_a_family_and_none_has_two_labels_for_one_company() -> None:
    labels: dict[tuple[str, str], set[int]] = {}
    for pattern in PATTERNS:
        labels.setdefault((str(pattern), pattern.target), set()).add(pattern.label)
    assert not [key for key, found in labels.items() if len(found) > 1]
    assert not [
        key for key, count in Counter((str(p), p.target) for p in PATTERNS if not p.is_pair).items() if count > 1
    ]


def test_companies_differ_in_name_and_every_word_of_a_slot_is_used_once() -> None:
    names = [name.casefold() for name, _ in GRAMMAR.companies]
    assert len(set(names)) == len(names)
    for slot, words in GRAMMAR.words.items():
        assert len(set(words)) == len(words), slot
    used = {slot for pattern in PATTERNS for slot in pattern.slots}
    assert set(GRAMMAR.words) <= used


@given(st.sampled_from(PATTERNS), st.integers(0, 2**31))
def test_every_pattern_renders_whole_under_any_seed(pattern: Pattern, seed: int) -> None:
    row = write_example(pattern, GRAMMAR, Random(seed))
    assert row == write_example(pattern, GRAMMAR, Random(seed))
    assert row.text == clean_text(row.text)
    assert not set("{}") & set(row.text)
    assert (row.label, row.source, row.slice, row.score) == (pattern.label, SOURCE, pattern.family, None)
    assert bool(row.target) or not pattern.is_pair


def test_every_pattern_renders_at_all() -> None:
    for pattern in PATTERNS:
        assert write_example(pattern, GRAMMAR, Random(1)).text


def test_a_row_about_two_companies_names_the_one_it_is_about() -> None:
    tickers = dict(GRAMMAR.companies)
    for row in write_examples(3000, Random(5)):
        if row.target:
            names = {row.target.casefold(), f"${tickers[row.target]}".casefold()}
            assert any(name in row.text.casefold() for name in names), row


def test_labels_are_balanced_and_no_family_takes_over(sample: list[Example]) -> None:
    labels = Counter(row.label for row in sample)
    assert all(0.31 <= labels[label] / SAMPLE <= 0.36 for label in range(len(LABELS)))
    families = Counter(row.slice for row in sample)
    assert max(families.values()) <= 0.25 * SAMPLE
    assert min(families.values()) >= 0.01 * SAMPLE
    assert 0.2 <= sum(not row.target for row in sample) / SAMPLE <= 0.35


def test_rows_hardly_ever_repeat(sample: list[Example]) -> None:
    assert len({(row.text, row.target) for row in sample}) >= 0.95 * SAMPLE


def test_the_same_seed_gives_the_same_rows_whatever_the_hash_seed() -> None:
    code = "from random import Random; from training.written import *; print(write_examples(200, Random(9)))"
    found = {
        subprocess.run(
            [sys.executable, "-c", code],
            cwd=PROJECT,
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONUTF8": "1"},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(found) == 1
    assert write_examples(50, Random(1)) != write_examples(50, Random(2))


@given(st.integers(0, 2**31))
def test_numbers_agree_with_each_other(seed: int) -> None:
    numbers = draw_numbers(["{}"], Random(seed))
    for kind in KINDS:
        low, high = (read_figures(numbers[f"{end}{kind}"])[0] for end in ("low", "high"))
        assert 0 < low < high, kind
    low, high = float(numbers["low"]), float(numbers["high"])
    assert abs(float(numbers["gain"]) - 100 * (high - low) / low) <= 0.5 + 1e-6
    assert abs(float(numbers["drop"]) - 100 * (high - low) / high) <= 0.5 + 1e-6
    cents = [read_figures(numbers[f"{end}_eps"])[0] for end in ("low", "high")]
    assert float(numbers["difference_eps"]) == pytest.approx(cents[1] - cents[0])


def find_compared() -> list[Pattern]:
    """Return the patterns of AGAINST that state two amounts of one kind, but those between a profit and a loss."""
    return [
        pattern
        for pattern in PATTERNS
        if pattern.family in AGAINST
        and len([slot for slot in pattern.slots if slot.startswith(("low", "high"))]) == 2
        and not re.search(r"swing|swung|slid to", str(pattern))
    ]


@pytest.mark.parametrize("pattern", find_compared(), ids=str)
def test_the_label_follows_from_the_figures_in_the_text(pattern: Pattern) -> None:
    for seed in range(5):
        row = write_example(pattern, PLAIN, Random(seed))
        new, old, *more = [figure for figure in read_figures(row.text) if figure not in read_change(pattern, row.text)]
        assert not more
        sign = (new > old) - (new < old)
        expected = sign if AGAINST[pattern.family] == "good" else -sign
        assert expected == pattern.label - LABELS.index("neutral"), row.text


@pytest.mark.parametrize("pattern", [p for p in find_compared() if {"gain", "drop"} & set(p.slots)], ids=str)
def test_a_stated_percentage_is_that_between_the_amounts(pattern: Pattern) -> None:
    for seed in range(5):
        percent, new, old = read_figures(write_example(pattern, PLAIN, Random(seed)).text)
        assert abs(percent - 100 * abs(new - old) / old) <= 0.5 + 1e-6


def test_many_patterns_were_put_to_that_test() -> None:
    assert len(find_compared()) >= 40
    assert Counter(pattern.label for pattern in find_compared()).keys() == {0, 1, 2}


@pytest.mark.parametrize("family", ["results", "losses", "estimates", "direction", "outlook", "relative", "negation"])
def test_a_family_holds_as_much_bad_news_as_good(family: str) -> None:
    counts = Counter(pattern.label for pattern in PATTERNS if pattern.family == family)
    assert abs(counts[0] - counts[2]) <= 3


def test_most_pairs_have_two_labels() -> None:
    labels: dict[str, set[int]] = {}
    for pattern in PATTERNS:
        if pattern.is_pair:
            labels.setdefault(str(pattern), set()).add(pattern.label)
    assert sum(len(found) == 2 for found in labels.values()) >= 0.8 * len(labels)


@given(st.text(), st.integers(0, 2**31))
def test_a_guise_keeps_the_words(text: str, seed: int) -> None:
    assert fold_text(text.lower()) in fold_text(disguise(text, GRAMMAR.guises, Random(seed)).lower())


# --- held apart from the suite ---------------------------------------------------------------------------------------


def test_no_company_of_the_suite_is_written_about() -> None:
    suite = {case.company.casefold() for case in read_behaviour()} - {""}
    headlines = " ".join(case.headline for case in read_behaviour())
    assert not suite & {name.casefold() for name, _ in GRAMMAR.companies}
    assert not [ticker for _, ticker in GRAMMAR.companies if f"${ticker} " in f"{headlines} "]


def test_no_written_row_is_a_near_duplicate_of_the_suite(sample: list[Example]) -> None:
    every = [write_example(pattern, GRAMMAR, Random(seed)) for pattern in PATTERNS for seed in range(10)]
    known = mask((row.text for row in [*sample, *every]), [name for name, _ in GRAMMAR.companies])
    cases = read_behaviour()
    suite = mask((case.headline for case in cases), [case.company for case in cases if case.company])
    found = similar_pairs([*known, *suite], TOO_NEAR, first=len(known))
    texts = [*known, *suite]
    assert not [(texts[i], texts[j], near) for i, j, near in found if i < len(known)]


def test_masking_finds_the_near_duplicate_that_names_and_numbers_would_hide() -> None:
    held, found = mask(["Acme Q3 profit $1.20 vs $1.05"], ["Acme"]), mask(["Bolt Co Q1 profit $7 vs $9"], ["Bolt Co"])
    assert held == found


def mask(texts: Iterable[str], names: Iterable[str]) -> list[str]:
    """Return the distinct texts, lower case, with one word for any company or cashtag, and one for any number."""
    longest_first = sorted({name.lower() for name in names}, key=len, reverse=True)
    company = re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, longest_first))})(?!\w)|\$[a-z]+\b")
    number = re.compile(r"\d+(?:[.,]\d+)*")
    return sorted({number.sub(" numbervalue ", company.sub(" companyname ", text.lower())) for text in texts})


def read_figures(text: str) -> list[float]:
    """Return the numbers in ``text``, grouping commas and all, but for those in brackets after a name."""
    return [float(found.replace(",", "")) for found in re.findall(r"\d+(?:,\d{3})*(?:\.\d+)?", text)]


def read_change(pattern: Pattern, text: str) -> list[float]:
    """Return the percentage a text states first, none where its pattern has no such slot."""
    return read_figures(text)[:1] if {"gain", "drop"} & set(pattern.slots) else []


# --- refusals --------------------------------------------------------------------------------------------------------

GOOD = """
companies = "Acme A|Bolt B|Cord C"
banks = ["Acme", "Bolt", "Cord"]
[guises]
units = ["{}"]
before = ["x "]
after = ["."]
[slots]
up = ["up"]
[family.one]
positive = ["{company} {up}"]
negative = ["{company} down"]
neutral = ["it is"]
pairs = [["{company} up, {other} down", "positive", "negative"]]
"""


def read(tmp_path: Path, text: str) -> Grammar:
    path = tmp_path / "written.toml"
    path.write_text(text, encoding="utf-8")
    return read_grammar(path)


def test_a_small_grammar_reads(tmp_path: Path) -> None:
    grammar = read(tmp_path, GOOD)
    assert [(str(p), p.target) for p in grammar.patterns[2]] == [
        ("{company} {up}", "company"),
        ("{company} up, {other} down", "company"),
    ]
    assert [(str(p), p.target) for p in grammar.patterns[0]][-1] == ("{company} up, {other} down", "other")
    assert [p.target for p in grammar.patterns[1]] == [""]
    assert [name for name, _ in grammar.banks] == ["Acme", "Bolt", "Cord"]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("{company} {up}", "{company} {upp}", "family one: '{company} {upp}' has unknown slot 'upp'"),
        ("neutral = [", "mixed = [", "family one: label 'mixed'; expected one of negative, neutral, positive"),
        ('"positive", "negative"]', '"positive", "bad"]', "family one: label 'bad'"),
        ('"positive", "negative"]', '"positive"]', "expected a text with two companies, two labels"),
        ("{company} up, {other} down", "{company} up", "expected a text with two companies, two labels"),
        ('neutral = ["it is"]', "", "no pattern is neutral; expected some of every label"),
        ("Bolt B", "Bolt", "company 'Bolt'; expected a name, a blank and a ticker"),
        ('banks = ["Acme", "Bolt", "Cord"]', "", "'banks' is missing"),
        ('"Bolt", "Cord"]', '"Bolt", "Dock"]', "banks: 2 of them are companies; expected at least 3"),
        ("[slots]", "[slots", "not a TOML file"),
    ],
)
def test_a_bad_file_is_refused_in_one_line(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in GOOD
    with pytest.raises(WrittenError) as caught:
        read(tmp_path, GOOD.replace(old, new))
    assert message in str(caught.value)
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WrittenError, match="cannot be read"):
        read_grammar(tmp_path / "none.toml")
