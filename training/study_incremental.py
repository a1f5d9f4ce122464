"""Do the store's columns add to what prices alone say? Two learners, walk-forward, with and without them.

Up or down of the market-adjusted return is learned by logistic regression and by gradient boosting (LightGBM) on all
earlier days, once on price features alone, once with the store's columns beside them, once with VADER's, once with the
store's columns dealt anew within each day (placebo). What counts is the difference of the daily AUC and rank IC; its
interval comes from a stationary block bootstrap over days (Politis and Romano 1994, JASA 89(428)). How it is learned
and tested stands in study_walk.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from arch.bootstrap import StationaryBootstrap, optimal_block_length
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from .study_panel import Panel
from .study_prices import Prices, StudyError
from .study_protocol import (
    DRAWS,
    HORIZONS,
    MODEL_PLACEBO_SEEDS,
    STORE_SIGNALS,
)
from .study_walk import MEASURES, Fit, walk_forward

VADER_SIGNALS = ("vader", "vader_5", "vader_21", "buzz")
SETS = ("prices", "store", "vader", "placebo")
COMPARISONS = {
    "store - prices": ("store", "prices"),
    "VADER - prices": ("vader", "prices"),
    "store - VADER": ("store", "vader"),
    "placebo - prices": ("placebo", "prices"),
}


@dataclass(frozen=True, slots=True)
class Gain:
    """A difference of two daily measures: mean, 95 % bootstrap interval, two-sided ``p`` and the number of days."""

    value: float
    low: float
    high: float
    p: float
    days: int


@dataclass(frozen=True, slots=True)
class Incremental:
    """``levels``: mean daily measure by (learner, set, measure); ``gains`` by (learner, comparison, measure)."""

    levels: Mapping[tuple[str, str, str], float]
    gains: Mapping[tuple[str, str, str], Gain]
    rows: int
    block_days: int


def measure_increments(panel: Panel, prices: Prices, seed: int, fits: Mapping[str, Fit]) -> dict[str, Incremental]:
    """Return the test by horizon; the same for a ``seed``. ``fits`` names the learners. Shows progress on stderr."""
    features = {name: frame.loc[panel.days] for name, frame in build_price_features(prices).items()}
    bar = tqdm(total=len(HORIZONS) * len(fits), desc="walk-forward", unit="learner", leave=False, mininterval=5)
    with bar, threadpool_limits(1):  # one thread gives the same sums everywhere
        return {
            name: _measure_horizon(panel, features, name, horizon, seed, fits, bar)
            for name, horizon in HORIZONS.items()
        }


def build_price_features(prices: Prices) -> dict[str, pd.DataFrame]:
    """Return what prices said before each day's opening, price days x tickers: nothing of the day itself.

    reversal_1, reversal_5: return of the last 1 and 5 days; gap_1: its overnight part; momentum_21: of the last 21;
    momentum_126: of the 105 days before those (126 to 21 days back); volatility_21: standard deviation of daily
    returns; volume_ratio: log of volume over its mean of 21 days; dollar_volume: log of its mean of 21 days.
    """
    closes, opens, volumes = prices.closes, prices.opens, prices.volumes
    daily = closes / closes.shift(1) - 1
    usual = volumes.rolling(21).mean()
    known = {
        "reversal_1": daily,
        "reversal_5": closes / closes.shift(5) - 1,
        "gap_1": opens / closes.shift(1) - 1,
        "momentum_21": closes / closes.shift(21) - 1,
        "momentum_126": closes.shift(21) / closes.shift(126) - 1,
        "volatility_21": daily.rolling(21).std(),
        "volume_ratio": np.log((volumes + 1) / (usual + 1)),
        "dollar_volume": np.log((closes * volumes).rolling(21).mean() + 1),
    }
    return {name: frame.shift(1) for name, frame in known.items()}


def rank_rows(frames: Mapping[str, pd.DataFrame], is_row: np.ndarray) -> np.ndarray:
    """Return the cells of ``is_row`` (days x tickers) as (n, features): ranks within the day, -0.5 to 0.5, NaN as 0."""
    masked = (frame.where(is_row).rank(axis=1, pct=True) for frame in frames.values())
    return np.column_stack([(frame - 0.5).fillna(0.0).to_numpy()[is_row] for frame in masked])


def bootstrap_means(daily: pd.DataFrame, horizon: int, seed: int, draws: int) -> tuple[list[Gain], int]:
    """Return a Gain per column of ``daily`` (days x differences, no NaN) and the mean block length in days.

    The block is the longer of the horizon and the longest that Politis and White (2004) find best for a column.
    """
    varied = daily.loc[:, daily.std() > 0]
    best = optimal_block_length(varied)["stationary"].max() if varied.shape[1] else 1.0
    block = max(horizon, 1, int(np.ceil(best)))
    drawn = StationaryBootstrap(block, daily.to_numpy(), seed=np.random.default_rng(seed))
    means = drawn.apply(lambda values: values.mean(axis=0), draws)
    low, high = np.percentile(means, [2.5, 97.5], axis=0)
    below, above = ((means <= 0).sum(axis=0) + 1) / (draws + 1), ((means >= 0).sum(axis=0) + 1) / (draws + 1)
    p = np.minimum(1.0, 2 * np.minimum(below, above))
    rows = zip(daily.mean(), low, high, p, strict=True)
    gains = [Gain(float(mean), float(least), float(most), float(q), len(daily)) for mean, least, most, q in rows]
    return gains, block


def _measure_horizon(
    panel: Panel,
    price_features: Mapping[str, pd.DataFrame],
    name: str,
    horizon: int,
    seed: int,
    fits: Mapping[str, Fit],
    bar: tqdm,
) -> Incremental:
    returns = panel.adjusted[name]
    is_row = (panel.has_news & returns.notna()).to_numpy()
    y = returns.to_numpy()[is_row]
    place = np.repeat(panel.positions, is_row.sum(axis=1))
    sets = _build_sets(panel, price_features, is_row, seed)
    daily: dict[tuple[str, str, str], pd.Series] = {}
    for learner, fit in fits.items():
        for key, variants in sets.items():
            frames = [walk_forward(x, y, place, horizon, fit, seed) for x in variants]
            mean = sum(frames[1:], frames[0]) / len(frames)
            daily |= {(learner, key, measure): mean[measure] for measure in MEASURES}
        bar.update()
    table = pd.DataFrame(daily).dropna()
    if table.empty:
        raise StudyError(f"horizon {name}: {len(panel.days)} days are too few to learn from some and test on others")
    pairs = {
        (f, c, m): table[f, a, m] - table[f, b, m] for f in fits for c, (a, b) in COMPARISONS.items() for m in MEASURES
    }
    gains, block = bootstrap_means(pd.DataFrame(pairs), horizon, seed, DRAWS)
    levels = {key: float(column.mean()) for key, column in table.items()}
    return Incremental(levels, dict(zip(pairs, gains, strict=True)), len(y), block)


def _build_sets(
    panel: Panel, price_features: Mapping[str, pd.DataFrame], is_row: np.ndarray, seed: int
) -> dict[str, list[np.ndarray]]:
    """Return the matrices of each of SETS; the placebo has one per seed, its rows of store columns dealt anew."""
    prices = rank_rows(price_features, is_row)
    store = rank_rows({name: panel.signals[name] for name in STORE_SIGNALS}, is_row)
    vader = rank_rows({name: panel.signals[name] for name in VADER_SIGNALS}, is_row)
    rngs = [np.random.default_rng([seed, n]) for n in range(MODEL_PLACEBO_SEEDS)]
    dealt = [store[_deal_rows(is_row.sum(axis=1), rng)] for rng in rngs]
    return {
        "prices": [prices],
        "store": [np.hstack([prices, store])],
        "vader": [np.hstack([prices, vader])],
        "placebo": [np.hstack([prices, rows]) for rows in dealt],
    }


def _deal_rows(sizes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return a permutation of the rows that keeps every row within its day; ``sizes`` are the days' row counts."""
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    return np.concatenate([start + rng.permutation(size) for start, size in zip(starts, sizes, strict=True)])
