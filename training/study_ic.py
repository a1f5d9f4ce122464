"""Does the order of tickers by a signal foretell the order of their returns? Rank ICs and HAC tests of a mean. Pure.

The rank information coefficient of a day is Spearman's correlation over its tickers. Days overlap and so are not
independent: the mean's standard error is Newey and West's (1987, Econometrica 55(3)) with a long truncation, and its t
is read by fixed-b asymptotics (Kiefer and Vogelsang 2005, Econometric Theory 21(6); Lazarus, Lewis, Stock and Watson
2018, JBES 36(4)).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import t as student
from statsmodels.regression.linear_model import OLS

from .study_protocol import LEVEL, MINIMUM_NAMES, MINIMUM_VALUES

POWER = 0.8
"""Share of samples in which an effect that counts as detectable is found."""
HORIZONS_REACHED = 5
"""The truncation in horizons. Two leave too many false findings at 21 days."""


@dataclass(frozen=True, slots=True)
class MeanTest:
    """A mean over ``count`` days, its HAC standard ``error``, ``t``, two-sided ``p`` in 0..1.

    ``truncation`` is the first lag in days that no longer counts, ``freedom`` the degrees of freedom of t. Where
    nothing was tested, error, t and freedom are NaN and p is 1.
    """

    mean: float
    error: float
    t: float
    p: float
    count: int
    truncation: int
    freedom: float

    @property
    def is_made(self) -> bool:
        """Whether there were values enough to test."""
        return not np.isnan(self.t)

    @property
    def half_width(self) -> float:
        """Half the width of the 95 % interval of the mean, NaN where nothing was tested."""
        return float(student.ppf(1 - LEVEL / 2, self.freedom)) * self.error

    @property
    def detectable(self) -> float:
        """The smallest true mean that would be found in four samples of five, NaN where nothing was tested."""
        return self.half_width + float(student.ppf(POWER, self.freedom)) * self.error


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

    t has Student's distribution with 1.5 n / S degrees of freedom, S being the truncation. Below MINIMUM_VALUES, or
    where the values do not vary, nothing is tested.

    On sums of h independent normal values in a row p falls below 0.05 in 4 to 7 % of draws, for 926 values and h = 1 or
    21, and for 49 and h = 1 (tests/training/test_study_ic.py).
    """
    count = len(values)
    truncation = choose_truncation(count, horizon)
    mean = float(np.mean(values)) if count else float("nan")
    if count < MINIMUM_VALUES or np.ptp(values) == 0:
        return MeanTest(mean, float("nan"), float("nan"), 1.0, count, truncation, float("nan"))
    error = measure_error(values, truncation)
    freedom = 1.5 * count / truncation
    p = 2 * float(student.sf(abs(mean / error), freedom))
    return MeanTest(mean, error, mean / error, p, count, truncation, freedom)


def choose_truncation(count: int, horizon: int) -> int:
    """Return the larger of 1.3 sqrt(``count``) (Lazarus et al. 2018) and HORIZONS_REACHED horizons, up to ``count``."""
    return min(math.ceil(max(1.3 * math.sqrt(count), HORIZONS_REACHED * horizon)), count)


def measure_error(values: np.ndarray, truncation: int) -> float:
    """Return the standard error of the mean of ``values``, float (n,) in order of time.

    Autocovariances are weighted by 1 - lag / ``truncation`` (Bartlett). Taken about the sample's own mean they are too
    small: by 1 - b + b^2 / 3 for independent values, b = truncation / n; the variance is divided by that.
    """
    fit = OLS(values, np.ones(len(values))).fit(
        cov_type="HAC", cov_kwds={"maxlags": truncation - 1, "use_correction": False}
    )
    share = truncation / len(values)
    return float(fit.bse[0]) / math.sqrt(1 - share + share**2 / 3)


def shuffle_within_day(signal: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """Return ``signal`` with each day's known values dealt anew among the tickers that had one: a placebo."""
    values = signal.to_numpy(copy=True)
    for row in values:
        known = np.flatnonzero(~np.isnan(row))
        row[known] = row[rng.permutation(known)]
    return pd.DataFrame(values, index=signal.index, columns=signal.columns)
