"""Does the order of tickers by a signal foretell the order of their returns? Rank ICs and HAC tests of a mean. Pure.

The rank information coefficient of a day is Spearman's correlation over its tickers. Days overlap and so are not
independent: the mean's standard error is Newey and West's (1987, Econometrica 55(3)), whose lag is at least the
horizon.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from statsmodels.regression.linear_model import OLS

from .study_protocol import MINIMUM_NAMES, MINIMUM_VALUES

POWER = 2.8
"""Standard errors that a true effect must measure to be found (two-sided, 5 %) in four samples of five."""


@dataclass(frozen=True, slots=True)
class MeanTest:
    """A mean over ``count`` days, its HAC standard ``error``, ``t``, two-sided ``p`` in 0..1 and the ``lags`` used."""

    mean: float
    error: float
    t: float
    p: float
    count: int
    lags: int

    @property
    def detectable(self) -> float:
        """The smallest true mean that would be found in four samples of five."""
        return POWER * self.error


@dataclass(frozen=True, slots=True)
class RankIC:
    """A signal's ``daily`` rank ICs, the test of their mean, and ``breadth``, the median number of tickers a day."""

    daily: pd.Series
    test: MeanTest
    breadth: int


def measure_ic(signal: pd.DataFrame, returns: pd.DataFrame, horizon: int) -> RankIC:
    """Return the rank IC of ``signal`` against ``returns``, both days x tickers; ``horizon`` in rows that overlap."""
    names = (signal.notna() & returns.notna()).sum(axis=1)
    daily = rank_correlations(signal, returns)
    breadth = names.loc[daily.index].median() if len(daily) else 0
    return RankIC(daily, measure_mean(daily.to_numpy(), horizon), int(breadth))


def rank_correlations(signal: pd.DataFrame, returns: pd.DataFrame, minimum: int = MINIMUM_NAMES) -> pd.Series:
    """Return Spearman's correlation of each day with ``minimum`` tickers or more; days without any spread are dropped.

    Ties share their mean rank. Values lie in -1 to 1.
    """
    has_both = signal.notna() & returns.notna()
    has_both = has_both[has_both.sum(axis=1) >= minimum]
    left, right = (frame.loc[has_both.index].where(has_both).rank(axis=1) for frame in (signal, returns))
    left, right = (ranks.sub(ranks.mean(axis=1), axis=0) for ranks in (left, right))
    spread = np.sqrt((left**2).sum(axis=1) * (right**2).sum(axis=1))
    return ((left * right).sum(axis=1) / spread.where(spread > 0)).dropna()


def measure_mean(values: np.ndarray, horizon: int) -> MeanTest:
    """Return the HAC test that the mean of ``values``, float (n,) in order of time, is 0.

    The lag is the larger of ``horizon`` and Newey and West's (1994) 4 (n / 100)^(2/9). Below MINIMUM_VALUES, or where
    they do not vary, nothing is tested: error and t are NaN and p is 1.
    """
    count = len(values)
    lags = min(max(horizon, 1, int(4 * (count / 100) ** (2 / 9))), max(count - 1, 0))
    mean = float(np.mean(values)) if count else float("nan")
    if count < MINIMUM_VALUES or np.ptp(values) == 0:
        return MeanTest(mean, float("nan"), float("nan"), 1.0, count, lags)
    options = {"maxlags": lags, "use_correction": True}
    fit = OLS(values, np.ones(count)).fit(cov_type="HAC", cov_kwds=options, use_t=True)
    return MeanTest(mean, float(fit.bse[0]), float(fit.tvalues[0]), float(fit.pvalues[0]), count, lags)


def shuffle_within_day(signal: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """Return ``signal`` with each day's known values dealt anew among the tickers that had one: a placebo."""
    values = signal.to_numpy(copy=True)
    for row in values:
        known = np.flatnonzero(~np.isnan(row))
        row[known] = row[rng.permutation(known)]
    return pd.DataFrame(values, index=signal.index, columns=signal.columns)
