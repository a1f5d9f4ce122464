"""The company's name between marks in a headline: where it is named, and nothing else is touched."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.text import mark_company


@pytest.mark.parametrize(
    ("headline", "company", "expected"),
    [
        ("Ford recalls trucks", "Ford", "* Ford * recalls trucks"),
        ("Ford sues Tata Motors, Ford says", "Ford", "* Ford * sues Tata Motors, * Ford * says"),
        ("Profit falls at Tata Steel's UK unit", "Tata Steel", "Profit falls at * Tata Steel *'s UK unit"),
        ("$AAPL breaks out", "AAPL", "* $AAPL * breaks out"),
        ("J&J (JNJ) beats", "J&J", "* J&J * (JNJ) beats"),
        ("Yahoo! falls", "Yahoo!", "* Yahoo! * falls"),
        ("FORD FALLS", "Ford", "* FORD * FALLS"),
        ("ARM climbs, an arm and a leg", "ARM", "* ARM * climbs, an arm and a leg"),
        ("Stafford rises", "Ford", "Stafford rises"),
        ("Fordham rises", "Ford", "Fordham rises"),
        ("Shares fall", "Ford", "Shares fall"),
        ("Shares fall", "", "Shares fall"),
        ("", "Ford", ""),
    ],
)
def test_the_name_is_marked_as_a_whole_word_as_it_is_written(headline: str, company: str, expected: str) -> None:
    assert mark_company(headline, company) == expected


@given(st.text(), st.text(), st.text(min_size=1))
def test_without_its_marks_a_headline_is_as_it_was(before: str, after: str, company: str) -> None:
    headline = f"{before} {company} {after}".replace("*", "")
    company = company.replace("*", "")
    assert mark_company(headline, company).replace("* ", "").replace(" *", "") == headline
