"""Rounded weights lose little and overflow nowhere."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.quantize_rounding import LARGEST, PAIR_SUM, largest_pair_sum, round_weights


def draw(rows: int, columns: int, seed: int, sample_count: int = 400) -> tuple[np.ndarray, np.ndarray]:
    """Return weights and activations whose channels go together, as a network's do."""
    random = np.random.default_rng(seed)
    mixing = random.normal(size=(rows, rows)) * np.exp(random.normal(size=rows))
    return random.standard_t(4, size=(rows, columns)).astype(np.float32), random.normal(
        size=(sample_count, rows)
    ) @ mixing


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 70), st.integers(1, 6), st.integers(0, 10**6))
def test_no_pair_of_products_passes_sixteen_bits(rows: int, columns: int, seed: int) -> None:
    """vpmaddubsw adds rows 2j and 2j + 1, u8 times s8, and saturates beyond -32768 and 32767."""
    weights, x = draw(rows, columns, seed)
    values, scales = round_weights(weights, x.T @ x / len(x))
    assert (values.dtype, values.shape, scales.shape) == (np.int8, weights.shape, (columns,))
    assert np.abs(values.astype(int)).max() <= LARGEST
    assert largest_pair_sum(values) <= PAIR_SUM
    assert 255 * largest_pair_sum(values) <= 32767


@pytest.mark.parametrize(("column", "expected"), [([127, 1], 128), ([127, -127], 127), ([-64, -65, 3], 129), ([5], 5)])
def test_the_sum_of_a_pair_counts_each_sign_alone(column: list[int], expected: int) -> None:
    assert largest_pair_sum(np.array(column, np.int8)[:, None]) == expected


@pytest.mark.parametrize("seed", range(5))
def test_it_loses_less_than_plain_seven_bits(seed: int) -> None:
    weights, x = draw(96, 32, seed)
    values, scales = round_weights(weights, x.T @ x / len(x))
    plain = np.abs(weights).max(axis=0) / 64
    loss, plain_loss = (
        np.linalg.norm(x @ (rounded - weights)) for rounded in (values * scales, np.rint(weights / plain) * plain)
    )
    assert loss < 0.6 * plain_loss


def test_a_column_of_zeros_and_an_input_that_never_varied_do_no_harm() -> None:
    weights = np.array([[0, 1], [0, -2], [0, 3]], np.float32)
    values, scales = round_weights(weights, np.zeros((3, 3)))
    assert np.isfinite(scales).all()
    assert np.abs(values * scales - weights).max() < 0.03


def test_the_same_weights_round_the_same() -> None:
    weights, x = draw(40, 8, 1)
    first, second = (round_weights(weights, x.T @ x) for _ in range(2))
    assert np.array_equal(first[0], second[0])
    assert np.array_equal(first[1], second[1])
