"""McNemar's test and the paired bootstrap against values worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.evaluate import count_confusion, macro_f1
from training.significance import McNemar, compare_right, compare_weighted, macro_f1_difference

CLASS = st.integers(0, 2)
ROWS = st.lists(st.tuples(CLASS, CLASS, CLASS), min_size=1, max_size=40).map(lambda rows: np.array(rows).T)


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ("1100", "1100", McNemar(0, 0, 1.0)),
        ("1", "0", McNemar(1, 0, 1.0)),
        ("11111", "00000", McNemar(5, 0, 2 / 2**5)),
        ("111110", "000001", McNemar(5, 1, 2 * (1 + 6) / 2**6)),
        ("1010", "0101", McNemar(2, 2, 1.0)),
    ],
)
def test_mcnemar_by_hand(a: str, b: str, expected: McNemar) -> None:
    found = compare_right(*(np.array([digit == "1" for digit in text]) for text in (a, b)))
    assert (found.only_a_count, found.only_b_count) == (expected.only_a_count, expected.only_b_count)
    assert found.p == pytest.approx(expected.p)


def test_rows_both_have_right_or_wrong_change_nothing() -> None:
    a, b = np.array([True] * 9 + [False]), np.array([False] * 9 + [True])
    agreed = np.array([True, False] * 50)
    assert compare_right(np.append(a, agreed), np.append(b, agreed)) == compare_right(a, b)


def test_other_rows_are_refused() -> None:
    with pytest.raises(ValueError, match="3 rows against 2"):
        compare_right(np.ones(3, bool), np.ones(2, bool))
    with pytest.raises(ValueError, match="expected equal"):
        macro_f1_difference(np.zeros(3, int), np.zeros(3, int), np.zeros(2, int), 0)


@given(ROWS)
def test_the_difference_is_that_of_macro_f1_and_turns_with_the_models(rows: np.ndarray) -> None:
    labels, a, b = rows
    found, turned = macro_f1_difference(labels, a, b, 0), macro_f1_difference(labels, b, a, 0)
    expected = macro_f1(count_confusion(labels, a)) - macro_f1(count_confusion(labels, b))
    assert found.value == pytest.approx(expected)
    assert turned.value == pytest.approx(-expected)
    assert found == macro_f1_difference(labels, a, b, 0)
    assert found.low <= found.high


def test_a_model_is_not_better_than_itself() -> None:
    labels, guess = np.arange(60) % 3, np.arange(60) % 2
    found = macro_f1_difference(labels, guess, guess, 0)
    assert (found.value, found.low, found.high, found.not_above_share) == (0, 0, 0, 1)


def test_a_clear_difference_excludes_zero_and_pairing_makes_it_clearer() -> None:
    random = np.random.default_rng(0)
    labels = random.integers(0, 3, 600)
    worse = np.where(random.random(600) < 0.3, (labels + 1) % 3, labels)
    better = np.where(random.random(600) < 0.15, labels, worse)
    found = macro_f1_difference(labels, better, worse, 1)
    assert 0 < found.low < found.value < found.high
    assert found.not_above_share == 0
    shuffled = random.permutation(600)
    apart = macro_f1_difference(
        np.append(labels, labels[shuffled]),
        np.append(better, worse[shuffled]),
        np.append(worse, better[shuffled]),
        1,
    )
    assert apart.low < 0 < apart.high


def test_headlines_with_several_rows_widen_the_interval_and_without_them_nothing_changes() -> None:
    random = np.random.default_rng(3)
    labels = random.integers(0, 3, 200)
    a, b = (np.where(random.random(200) < share, (labels + 1) % 3, labels) for share in (0.3, 0.25))
    once, groups = macro_f1_difference(labels, a, b, 2), np.repeat(np.arange(200), 4)
    assert macro_f1_difference(labels, a, b, 2, np.arange(200)) == once
    often = macro_f1_difference(*(np.repeat(values, 4) for values in (labels, a, b)), 2, groups)
    assert (often.value, often.low, often.high) == pytest.approx((once.value, once.low, once.high))
    by_row = macro_f1_difference(*(np.repeat(values, 4) for values in (labels, a, b)), 2)
    assert by_row.high - by_row.low == pytest.approx((once.high - once.low) / 2, rel=0.15)


def test_a_weighted_difference_by_hand() -> None:
    big = (np.array([True, True, False, False]), np.array([False, False, False, False]))
    small = (np.array([False]), np.array([True]))
    value, p = compare_weighted([big, small], [0.8, 0.2])
    assert value == pytest.approx(0.8 * 0.5 - 0.2)
    # variance 0.64 * 0.25 / 4 and none of a single row: z = 0.2 / 0.2
    assert p == pytest.approx(0.31731, abs=1e-5)
    assert compare_weighted([(big[1], big[1])], [1.0]) == (0.0, 1.0)
    assert compare_weighted([small], [1.0]) == (-1.0, 0.0)
    with pytest.raises(ValueError, match="expected the same rows"):
        compare_weighted([(big[0], small[0])], [1.0])
