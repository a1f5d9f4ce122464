"""Learn from all earlier days, test on the next ones: folds without overlap, two learners, what is measured by day.

No training label reaches into a test block: it is purged, and EMBARGO_DAYS more are left out before each block (Lopez
de Prado 2018, Advances in Financial Machine Learning, ch. 7).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import lightgbm
import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression

from .study_protocol import EMBARGO_DAYS, FIRST_TRAINING_SHARE, FOLDS, MINIMUM_NAMES

MEASURES = ("AUC", "rank IC")
Fit = Callable[[np.ndarray, np.ndarray, int], Callable[[np.ndarray], np.ndarray]]


def walk_forward(x: np.ndarray, y: np.ndarray, place: np.ndarray, horizon: int, fit: Fit, seed: int) -> pd.DataFrame:
    """Return the daily measures out of sample of rows ``x`` (n, features), returns ``y`` (n,), days ``place`` (n,)."""
    frames = []
    for training, test in fold_days(np.unique(place), horizon):
        is_training, is_test = np.isin(place, training), np.isin(place, test)
        predict = fit(x[is_training], y[is_training] > 0, seed)
        frames.append(daily_measures(predict(x[is_test]), y[is_test], place[is_test]))
    return pd.concat(frames) if frames else pd.DataFrame(columns=list(MEASURES), dtype=float)


def fold_days(
    positions: np.ndarray, horizon: int, folds: int = FOLDS, embargo: int = EMBARGO_DAYS
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield (training, test) positions of entry days: test blocks in order of time, training on all days before.

    ``positions`` (int, ascending, unique) are places among the price days. A label of the day at place i ends at
    place i + horizon; a training day is kept only if that, and ``embargo`` more, lie before the block's first day.
    """
    first = int(len(positions) * FIRST_TRAINING_SHARE)
    for test in np.array_split(positions[first:], folds):
        training = positions[positions + horizon + embargo < test[0]] if len(test) else test
        if len(training) and len(test):
            yield training, test


def daily_measures(scores: np.ndarray, returns: np.ndarray, days: np.ndarray) -> pd.DataFrame:
    """Return AUC (of return > 0) and rank IC, 0 for scores without spread, by day.

    Days with fewer than MINIMUM_NAMES rows, or with one direction alone, are left out. The AUC is Mann and Whitney's U
    over the number of pairs.
    """
    day = pd.Series(days)
    rows = pd.DataFrame({"score": scores, "return": returns}).groupby(day).rank()
    rows = rows.assign(up=returns > 0, product=rows["score"] * rows["return"], square=rows["score"] ** 2)
    rows = rows.assign(up_rank=rows["score"] * rows["up"], square_return=rows["return"] ** 2)
    sums, count = rows.groupby(day).sum(), rows.groupby(day).size()
    middle = count * ((count + 1) / 2) ** 2  # sum of squares of the mean rank
    spread = np.sqrt((sums["square"] - middle) * (sums["square_return"] - middle))
    ups, downs = sums["up"], count - sums["up"]
    auc = (sums["up_rank"] - ups * (ups + 1) / 2) / (ups * downs)
    ic = ((sums["product"] - middle) / spread.where(spread > 0)).fillna(0.0)
    is_counted = (count >= MINIMUM_NAMES) & (ups > 0) & (downs > 0)
    return pd.DataFrame({MEASURES[0]: auc, MEASURES[1]: ic})[is_counted]


def make_logistic(x: np.ndarray, y: np.ndarray, seed: int) -> Callable[[np.ndarray], np.ndarray]:
    """Return the predictor of a logistic regression of y (bool) on x, ridge C = 0.1."""
    model = LogisticRegression(C=0.1, max_iter=200).fit(x, y)
    return lambda rows: model.predict_proba(rows)[:, 1]


def make_boosted(x: np.ndarray, y: np.ndarray, seed: int) -> Callable[[np.ndarray], np.ndarray]:
    """Return the predictor of 100 small trees; fixed settings, not tuned, the same for a ``seed``."""
    settings = {
        "objective": "binary", "learning_rate": 0.03, "num_leaves": 8, "min_data_in_leaf": 200, "lambda_l2": 10.0,
        "feature_fraction": 0.7, "bagging_fraction": 0.7, "bagging_freq": 1, "seed": seed, "deterministic": True,
        "force_row_wise": True, "num_threads": 1, "verbosity": -1,
    }  # fmt: skip
    booster = lightgbm.train(settings, lightgbm.Dataset(x, y.astype(float)), num_boost_round=100)
    return lambda rows: np.asarray(booster.predict(rows, num_threads=1))


LEARNERS: Mapping[str, Fit] = {"logistic": make_logistic, "LightGBM": make_boosted}
