"""Two titles are one story, or they are a template with another number, company, direction or actor."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.stories import compare_tellings, read_title

THRESHOLD = 0.8


def is_one_story(left: str, right: str) -> bool:
    forward = compare_tellings(read_title(left), read_title(right), THRESHOLD)
    assert forward == compare_tellings(read_title(right), read_title(left), THRESHOLD)
    return forward is not None


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("Acme to buy Globex for $2.5 bln", "UPDATE 2-Acme to buy Globex for $2.5 billion"),  # wire prefix, unit
        ("Acme to buy Globex for $2.5 bln", "RPT-UPDATE 1-Acme to acquire Globex for $2.50B"),  # synonym, trailing zero
        ("Acme names Ellis finance chief", "BRIEF-Acme names Ellis finance chief -source"),  # attribution
        ("Acme Q2 profit rises 5 pct", "Acme second-quarter profit climbs 5%"),  # ordinal, synonym, percent sign
        ("Acme to cut 1,000 jobs in Ohio", "Acme Inc. to cut 1000 jobs in Ohio"),  # thousands, legal form
        (
            "U.S. regulators sue Acme over labor rules",
            "US regulators sue Acme over labour rules",
        ),  # initialism, spelling
        ("Acme shares fall on weak outlook", "Shares of Acme fall on weak outlook"),  # one word moved
        ("Acme wins approval for heart drug", "Acme wins FDA approval for its new heart drug"),  # words added
        ("ACME WINS APPROVAL FOR HEART DRUG", "Acme wins approval for heart drug"),  # case
        ("Acme, Globex near merger: sources", "Acme and Globex near merger"),  # punctuation
        ("Acme orders run ahead of last year", "Acme orders running ahead of last year"),  # doubled consonant
        ("Acme deliveries slows as inspection widens", "Acme deliveries slowed as inspection widens"),  # two endings
    ],
)
def test_one_story_told_twice(left: str, right: str) -> None:
    assert is_one_story(left, right)


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("Acme beats estimates by 2%", "Acme beats estimates by 20%"),
        ("Acme posts Q2 profit above estimates", "Acme posts Q3 profit above estimates"),
        ("Acme posts second-quarter profit", "Acme posts third-quarter profit"),
        ("Acme to pay $5 million over fuel spill", "Acme to pay $5 billion over fuel spill"),
        ("Acme sees FY EPS $1.10 to $1.20", "Acme sees FY EPS $1.10 to $1.25"),
        ("Acme declares regular quarterly dividend", "Globex declares regular quarterly dividend"),
        ("Acme declares regular quarterly dividend", "Acme declares special quarterly dividend"),
        ("Acme shares rise after results", "Acme shares fall after results"),
        ("Acme beats quarterly profit estimates", "Acme misses quarterly profit estimates"),
        ("Brokerage upgrades Acme to buy", "Brokerage downgrades Acme to buy"),
        ("Acme raises full-year profit forecast", "Acme cuts full-year profit forecast"),
        ("Acme shares rise as Globex shares fall", "Acme shares fall as Globex shares rise"),
        ("Acme sues Globex over battery patents", "Globex sues Acme over battery patents"),
        ("Preview: Acme at Globex", "Preview: Globex at Acme"),
        ("Acme will recall its electric trucks", "Acme will not recall its electric trucks"),
        ("Acme buys Globex in all-share deal", "Acme may buy Globex in all-share deal"),
        ("Acme profit rises in second quarter", "Acme profit rises in second quarter but misses estimates"),
        ("Acme holders meet after merger vote", "Acme holders meet before merger vote"),
        ("Stocks to watch on Monday: Acme", "Stocks to watch on Tuesday: Acme"),
        ("Acme sales in Jan above plan", "Acme sales in Feb above plan"),
        ("Acme expands in Austria with new plant", "Acme expands in Australia with new plant"),
        ("", ""),
        ("***", "***"),
    ],
)
def test_a_template_is_not_a_story(left: str, right: str) -> None:
    assert not is_one_story(left, right)


@given(st.text(max_size=60))
def test_a_title_with_a_word_is_the_same_story_as_itself(title: str) -> None:
    assert is_one_story(title, title) == bool(read_title(title).words)


@given(st.integers(0, 10**6), st.integers(0, 10**6))
def test_titles_that_differ_in_a_number_are_two_stories(left: int, right: int) -> None:
    title = "Globex to close {} of its shops in the north of the country over two years, union says"
    assert is_one_story(title.format(left), title.format(right)) == (left == right)


@pytest.mark.parametrize(
    ("title", "words"),
    [
        ("UPDATE 3-Acme up 12.50%", ("acme", "rise", "12.5", "percent")),
        ("CORRECTED-(OFFICIAL)-Acme's Q1 EPS $0.10", ("acmes", "quarter", "1", "eps", "0.1")),
        ("BRIEF-", ("brief",)),
        ("Acme hiked 1,000,000 wages by 5m", ("acme", "raise", "1000000", "wages", "by", "5", "million")),
    ],
)
def test_titles_are_read_in_canonical_words(title: str, words: tuple[str, ...]) -> None:
    assert read_title(title).words == words
