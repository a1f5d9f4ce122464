"""The texts that are taken read like the source, whatever the numbers in them, and each once."""

from __future__ import annotations

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from training.selection import choose_alike

from .conftest import WORDS

SOURCE = ["Net sales rose to EUR 4 mn", "Operating profit fell to EUR 2 mn", "Net sales fell"]
TEXTS = [
    "Opera opens in Vienna",
    "Net sales fell to EUR 7 mn",
    "NET SALES fell to EUR 12.5 mn!",
    "Striker scores twice as sales of shirts rise",
    "Operating profit rose",
    "...",
]
sentences = st.lists(st.sampled_from(WORDS), min_size=1, max_size=5).map(" ".join)


def test_what_reads_like_the_source_comes_first_and_numbers_make_no_other_text() -> None:
    assert choose_alike(TEXTS, SOURCE, 9)[:2] == ["Operating profit rose", "Net sales fell to EUR 7 mn"]
    assert set(TEXTS) - set(choose_alike(TEXTS, SOURCE, 9)) == {"NET SALES fell to EUR 12.5 mn!", "..."}
    assert choose_alike(TEXTS, SOURCE, 1) == choose_alike(TEXTS, SOURCE, 9)[:1]


def test_a_word_common_everywhere_speaks_for_nothing() -> None:
    texts = [f"the the {word}" for word in ("sales", "opera")] + ["the the the"] * 3
    assert choose_alike(texts, ["the sales", "the profit", "the sales"], 3)[0] == "the the sales"


@given(texts=st.lists(sentences), source=st.lists(sentences), count=st.integers(0, 9), seed=st.integers(0, 99))
def test_of_many_as_many_are_taken_each_once_in_whatever_order_they_come(
    texts: list[str], source: list[str], count: int, seed: int
) -> None:
    chosen = choose_alike(texts, source, count)
    assert len(chosen) == len(set(chosen)) == min(count, len(set(texts)))
    assert set(chosen) <= set(texts)
    shuffled = Random(seed).sample(texts, len(texts))
    assert set(choose_alike(shuffled, source, len(texts))) == set(texts)
