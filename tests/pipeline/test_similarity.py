"""The similarity join is exact: it finds what comparing every pair would find."""

from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.similarity import group_pairs, group_similar, jaccard, similar_pairs
from pipeline.text import fold_tokens

WORDS = st.sampled_from(["apple", "profit", "rises", "falls", "2%", "20%", "the", "of"])
TITLES = st.lists(st.lists(WORDS, max_size=6), max_size=12)
THRESHOLDS = st.sampled_from([0.1, 1 / 3, 0.5, 0.6, 2 / 3, 0.8, 1.0])


@pytest.mark.parametrize(
    ("left", "right", "expected"),
    [("a b", "b a", 1.0), ("a b", "a c", 1 / 3), ("a", "b", 0.0), ("", "", 1.0), ("", "a", 0.0)],
)
def test_jaccard_is_the_shared_part_of_all_tokens(left: str, right: str, expected: float) -> None:
    assert jaccard(frozenset(left.split()), frozenset(right.split())) == pytest.approx(expected)


@given(TITLES, THRESHOLDS, st.integers(0, 12))
def test_the_join_finds_exactly_what_comparing_every_pair_finds(
    titles: list[list[str]], threshold: float, first: int
) -> None:
    texts = [" ".join(words) for words in titles]
    sets = [frozenset(fold_tokens(text)) for text in texts]
    every = [(i, j) for i, j in combinations(range(len(texts)), 2) if j >= first]
    expected = {(i, j) for i, j in every if jaccard(sets[i], sets[j]) >= threshold}
    found = list(similar_pairs(texts, threshold, first))
    assert {(i, j) for i, j, _ in found} == expected
    assert len(found) == len(expected)
    assert [(j, i) for i, j, _ in found] == sorted((j, i) for i, j, _ in found)
    assert all(similarity == jaccard(sets[i], sets[j]) for i, j, similarity in found)


@pytest.mark.parametrize("threshold", [0.0, -0.1, 1.01])
def test_an_impossible_threshold_is_refused(threshold: float) -> None:
    with pytest.raises(ValueError, match="threshold must be in"):
        list(similar_pairs(["a"], threshold))


def test_a_chain_of_similar_texts_is_one_group_numbered_by_its_smallest_index() -> None:
    chain = ["x", "a b c d", "b c d e", "c d e f", "y"]
    assert jaccard(frozenset("abcd"), frozenset("cdef")) < 0.5
    assert group_similar(chain, 0.5) == [0, 1, 1, 1, 4]


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=15), st.randoms())
def test_groups_do_not_depend_on_the_order_of_pairs(pairs: list[tuple[int, int]], random: object) -> None:
    groups = group_pairs(10, pairs)
    random.shuffle(pairs)  # type: ignore[attr-defined]
    assert group_pairs(10, [(j, i) for i, j in pairs]) == groups
    assert all(groups[i] == groups[j] for i, j in pairs)
    assert all(group == min(i for i in range(10) if groups[i] == group) for group in groups)
