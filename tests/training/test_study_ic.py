"""Rank ICs and their test: what is planted is found at its size, noise no more often than the level says."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr
from scipy.stats import t as student

from training.study_ic import (
    measure_ic,
    measure_mean,
    rank_correlations,
    shuffle_within_day,
)
from training.study_panel import align

from .made_market import make_market

PLANTED = 0.15
DRAWN = 4000


def test_a_planted_signal_is_found_at_its_size() -> None:
    market = make_market(planted=PLANTED)
    panel = align(market.features, market.prices)
    found = measure_ic(panel.signals["sentiment_score"], panel.returns["open-close"], 0)
    spearman = 6 / np.pi * np.arcsin(PLANTED / 2)  # of two normal variables that correlate so
    assert found.test.mean == pytest.approx(spearman, abs=3 * found.test.error)
    assert found.test.t > 6
    assert found.breadth == 40
    assert measure_ic(panel.signals["negative_share"], panel.returns["open-close"], 0).test.mean < 0


def test_noise_and_the_placebo_are_not_found() -> None:
    market = make_market(planted=PLANTED)
    panel = align(market.features, market.prices)
    assert abs(measure_ic(panel.signals["vader"], panel.returns["open-close"], 0).test.t) < 3
    rng = np.random.default_rng(0)
    dealt = [shuffle_within_day(panel.signals["sentiment_score"], rng) for _ in range(40)]
    tests = [measure_ic(draw, panel.returns["5"], 5).test for draw in dealt]
    assert np.mean([test.p < 0.05 for test in tests]) <= 0.2
    assert abs(np.mean([test.t for test in tests])) < 0.6


def test_the_daily_correlation_is_spearmans() -> None:
    rng = np.random.default_rng(3)
    left, right = (pd.DataFrame(rng.integers(0, 6, (5, 40)).astype(float)) for _ in range(2))
    left, right = left.mask(left == 0), right.mask(right == 0)
    found = rank_correlations(left, right)
    for day in left.index:
        assert found[day] == pytest.approx(spearmanr(left.loc[day], right.loc[day], nan_policy="omit").statistic)


def test_thin_days_and_days_without_spread_do_not_count() -> None:
    values = pd.DataFrame(np.arange(60.0).reshape(3, 20))
    values.iloc[0, 0] = np.nan
    flat = values.copy()
    flat.iloc[1] = 1.0
    assert rank_correlations(flat, values).index.tolist() == [2]


def test_the_error_is_newey_wests_corrected_for_the_samples_own_mean() -> None:
    values = np.array([1.0, 2.0, -1.0, 0.5] * 10) + np.linspace(0, 1, 40)
    found = measure_mean(values, 2)
    apart = values - values.mean()
    covariances = [(apart[lag:] * apart[: 40 - lag]).sum() / 40 for lag in range(10)]
    long_run = covariances[0] + 2 * sum((1 - lag / 10) * covariances[lag] for lag in range(1, 10))
    plain = np.sqrt(long_run / 40)
    share = 10 / 40
    assert found.error == pytest.approx(plain / np.sqrt(1 - share + share**2 / 3))
    assert found.t == pytest.approx(values.mean() / found.error)
    assert (found.truncation, found.count, found.freedom) == (10, 40, 6)
    assert found.p == pytest.approx(2 * student.sf(abs(found.t), 6))
    assert found.half_width == pytest.approx(2.4469 * found.error, rel=1e-4)
    assert found.detectable == pytest.approx((2.4469 + 0.9057) * found.error, rel=1e-4)


@pytest.mark.parametrize(
    ("horizon", "count", "truncation"),
    [(0, 40, 9), (1, 40, 9), (5, 40, 25), (21, 1000, 105), (1, 1000, 42), (21, 40, 40)],
)
def test_the_truncation_reaches_over_the_horizon(horizon: int, count: int, truncation: int) -> None:
    assert measure_mean(np.random.default_rng(0).normal(size=count), horizon).truncation == truncation


@pytest.mark.parametrize(("count", "horizon"), [(926, 1), (926, 21), (49, 1)])
def test_noise_that_overlaps_by_the_horizon_is_found_as_often_as_the_level_says(count: int, horizon: int) -> None:
    sums = np.cumsum(np.random.default_rng(0).normal(size=(DRAWN, count + horizon)), axis=1)
    found = [measure_mean(values, horizon).p < 0.05 for values in sums[:, horizon:] - sums[:, :-horizon]]
    assert 0.04 < np.mean(found) < 0.07


@pytest.mark.parametrize("values", [np.array([]), np.ones(5), np.ones(100), np.arange(23.0)])
def test_too_few_values_are_no_finding(values: np.ndarray) -> None:
    found = measure_mean(values, 5)
    assert found.p == 1
    assert not found.is_made
    assert np.isnan([found.t, found.error, found.detectable]).all()


@given(st.integers(0, 99), st.floats(0, 1))
def test_a_placebo_deals_the_days_own_values_anew(seed: int, known_share: float) -> None:
    rng = np.random.default_rng(seed)
    signal = pd.DataFrame(rng.normal(size=(4, 9))).where(pd.DataFrame(rng.random((4, 9)) < known_share))
    dealt = shuffle_within_day(signal, rng)
    assert (dealt.isna() == signal.isna()).all(axis=None)
    np.testing.assert_array_equal(np.sort(dealt.to_numpy(), axis=1), np.sort(signal.to_numpy(), axis=1))
