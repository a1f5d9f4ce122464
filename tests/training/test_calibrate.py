"""One temperature: it mends confidence, moves no class, and stays within its bounds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.calibrate import HIGHEST, LOWEST, apply_temperature, fit_temperature
from training.evaluate import calibration_error, log_loss

PROBABILITY = st.lists(st.floats(0, 1), min_size=3, max_size=3).filter(lambda row: sum(row) > 0.1)
ROWS = st.lists(st.tuples(PROBABILITY, st.integers(0, 2)), min_size=1, max_size=30)
TEMPERATURE = st.floats(LOWEST, HIGHEST)


def split_rows(rows: list[tuple[list[float], int]]) -> tuple[np.ndarray, np.ndarray]:
    """Return labels int (n,) and probabilities float (n, 3)."""
    weights = np.array([row for row, _ in rows])
    return np.array([label for _, label in rows]), weights / weights.sum(axis=1, keepdims=True)


def draw_labels(probabilities: np.ndarray, seed: int) -> np.ndarray:
    """Return a class per row drawn from its probabilities, so that these are honest by construction."""
    drawn = np.random.default_rng(seed).random((len(probabilities), 1))
    return np.minimum((probabilities.cumsum(axis=1) < drawn).sum(axis=1), 2)


@given(ROWS, TEMPERATURE)
def test_no_class_moves_and_rows_stay_probabilities(rows: list[tuple[list[float], int]], temperature: float) -> None:
    _, probabilities = split_rows(rows)
    found = apply_temperature(probabilities, temperature)
    assert found.sum(axis=1) == pytest.approx(np.ones(len(rows)))
    winner = np.arange(len(rows)), probabilities.argmax(axis=1)
    assert found[winner] == pytest.approx(found.max(axis=1))
    by_size = np.sort(probabilities, axis=1)
    is_clear = by_size[:, 2] - by_size[:, 1] > 1e-9
    assert (found.argmax(axis=1) == probabilities.argmax(axis=1))[is_clear].all()


@given(ROWS)
def test_log_loss_is_never_worse_than_at_one_and_bounds_hold(rows: list[tuple[list[float], int]]) -> None:
    labels, probabilities = split_rows(rows)
    temperature = fit_temperature(labels, probabilities)
    assert LOWEST <= temperature <= HIGHEST
    assert log_loss(labels, apply_temperature(probabilities, temperature)) <= log_loss(labels, probabilities) + 1e-9


@pytest.mark.parametrize("true", [0.5, 0.8, 1.0, 1.7, 3.0])
def test_a_known_temperature_is_found_again(true: float) -> None:
    honest = np.random.default_rng(0).dirichlet([1, 1, 1], size=20_000)
    labels = draw_labels(honest, 1)
    distorted = apply_temperature(honest, 1 / true)
    assert fit_temperature(labels, distorted) == pytest.approx(true, rel=0.05)
    assert calibration_error(labels, apply_temperature(distorted, true)) < 0.02


def test_perfect_separation_stops_at_the_lower_bound_and_perfect_error_at_the_upper() -> None:
    probabilities = np.full((30, 3), 0.2)
    probabilities[np.arange(30), np.arange(30) % 3] = 0.6
    assert fit_temperature(np.arange(30) % 3, probabilities) == pytest.approx(LOWEST, rel=1e-3)
    assert fit_temperature((np.arange(30) + 1) % 3, probabilities) == pytest.approx(HIGHEST, rel=1e-3)


def test_certainty_and_float32_are_bearable() -> None:
    probabilities = np.eye(3, dtype=np.float32)[[0, 1, 2, 0]]
    found = apply_temperature(probabilities, fit_temperature(np.array([0, 1, 2, 1]), probabilities))
    assert np.isfinite(found).all()
    assert found.dtype == np.float64


def test_the_fit_depends_on_the_rows_given_alone_and_not_on_their_order() -> None:
    probabilities = np.random.default_rng(3).dirichlet([1, 1, 1], size=300)
    labels = draw_labels(probabilities, 4)
    found = fit_temperature(labels, probabilities)
    assert found == fit_temperature(labels, probabilities)
    assert found == pytest.approx(fit_temperature(labels[::-1], probabilities[::-1]), rel=1e-4)
    assert found != fit_temperature(labels[:100], probabilities[:100])


def test_one_leaves_probabilities_as_they_are() -> None:
    probabilities = np.random.default_rng(5).dirichlet([1, 1, 1], size=50)
    np.testing.assert_allclose(apply_temperature(probabilities, 1.0), probabilities, atol=1e-12)
