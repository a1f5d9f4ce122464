"""Long the tickers with the best signal, short those with the worst: returns, turnover, costs, drawdown. Pure.

Every day the top and bottom tenth (fifth where the cross-section is thin) of the day's tickers become a tranche: 1 of
value long and 1 short, equal weights. A tranche is held for the horizon, so with a horizon of h days the book is the
mean of the last h tranches (Jegadeesh and Titman 1993, J. Finance 48(1)), and a day that had none counts as an empty
tranche. So returns are of a book of 1 long and 1 short only where all of the last h days had one, else of a smaller
book; they are not scaled up. Weights are brought back to equal each day; the trades that drift alone would need are
not charged.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from .study_ic import MeanTest, measure_mean
from .study_protocol import COSTS_BP, DECILE_NAMES, MINIMUM_NAMES

BASIS_POINT = 1e-4


@dataclass(frozen=True, slots=True)
class LongShort:
    """A long-short book: ``parts`` of the cross-section (5 or 10), daily ``gross`` returns and traded value.

    ``traded`` is the value bought and sold a day, in multiples of the long side; both are series over the days on
    which the book was open. ``gross_test`` and ``net_tests`` (by cost in bp a side) are HAC tests of the mean.
    """

    parts: int
    gross: pd.Series
    traded: pd.Series
    gross_test: MeanTest
    net_tests: dict[float, MeanTest]

    def net(self, cost_bp: float) -> pd.Series:
        """Return the daily returns after ``cost_bp`` for each 1 of value traded."""
        return self.gross - self.traded * cost_bp * BASIS_POINT

    @property
    def break_even_bp(self) -> float:
        """The cost a side, in basis points, at which nothing is left."""
        return float(self.gross.mean() / self.traded.mean() / BASIS_POINT)


def hold_long_short(signal: pd.DataFrame, returns: pd.DataFrame, horizon: int) -> LongShort:
    """Return the book of ``signal`` (entry days x tickers; high is good) over ``returns``, one row a price day.

    ``returns`` are of one step, from the row's open on: to its close with ``horizon`` 0, else to the next row's open.
    A ticker whose price ends while it is held earns 0 from then on. Days without an open book are left out.
    """
    parts = count_parts(signal)
    tranches = form_tranches(signal, parts).reindex(index=returns.index, columns=returns.columns, fill_value=0.0)
    book = tranches.rolling(horizon, min_periods=1).sum() / horizon if horizon > 1 else tranches
    book = book.where(book.abs() > 1e-12, 0.0)  # what a running sum leaves of a closed tranche
    gross = (book * returns.fillna(0.0)).sum(axis=1)
    traded = measure_trades(book, is_closed_daily=horizon == 0)
    is_open = (book != 0).any(axis=1)
    gross, traded = gross[is_open], traded[is_open]
    net = {cost: measure_mean((gross - traded * cost * BASIS_POINT).to_numpy(), horizon) for cost in COSTS_BP}
    return LongShort(parts, gross, traded, measure_mean(gross.to_numpy(), horizon), net)


def count_parts(signal: pd.DataFrame) -> int:
    """Return 10 if a counted day has DECILE_NAMES tickers or more in the median, else 5."""
    names = signal.notna().sum(axis=1)
    names = names[names >= MINIMUM_NAMES]
    return 10 if len(names) and names.median() >= DECILE_NAMES else 5


def form_tranches(signal: pd.DataFrame, parts: int) -> pd.DataFrame:
    """Return each day's weights: the top part adds up to 1, the bottom part to -1, all others are 0.

    Whoever ties with the last of a part belongs to it. A day on which both ends would tie, or with too few tickers, has
    no tranche.
    """
    counted = signal[signal.notna().sum(axis=1) >= MINIMUM_NAMES]
    high, low = counted.quantile(1 - 1 / parts, axis=1), counted.quantile(1 / parts, axis=1)
    is_told_apart = high > low
    top, bottom = counted.ge(high, axis=0)[is_told_apart], counted.le(low, axis=0)[is_told_apart]
    top, bottom = top.astype(float), bottom.astype(float)
    return top.div(top.sum(axis=1), axis=0) - bottom.div(bottom.sum(axis=1), axis=0)


def measure_trades(book: pd.DataFrame, is_closed_daily: bool) -> pd.Series:
    """Return the value traded at each row, for the way in and, with ``is_closed_daily``, for the way out.

    A book held over rows pays for each row's change of weights; its last change back to nothing falls on a row on which
    it is no longer open, and so is added to the last row on which it was.
    """
    if is_closed_daily:
        return 2 * book.abs().sum(axis=1)
    before = book.shift(1, fill_value=0.0)
    traded = (book - before).abs().sum(axis=1)
    is_open = (book != 0).any(axis=1)
    closing = traded.where(~is_open, 0.0).shift(-1, fill_value=0.0)
    return traded.where(is_open, 0.0) + closing.where(is_open, 0.0)


def measure_drawdown(returns: pd.Series) -> float:
    """Return the deepest fall of the summed ``returns`` from an earlier height (0 at the start), as a number >= 0."""
    total = np.concatenate([[0.0], returns.cumsum().to_numpy()])
    return float((np.maximum.accumulate(total) - total).max())
