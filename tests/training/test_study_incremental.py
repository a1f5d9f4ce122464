"""The walk-forward test: no label reaches into a test block, features stop before the opening, gains are honest."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr
from sklearn.metrics import roc_auc_score

from training import study_incremental, study_panel
from training.study_incremental import bootstrap_means, build_price_features, measure_increments, rank_rows
from training.study_panel import align
from training.study_prices import Prices, StudyError
from training.study_walk import LEARNERS, daily_measures, fold_days, make_boosted

from .made_market import make_market

POSITIONS = st.lists(st.integers(0, 400), min_size=5, max_size=120, unique=True).map(
    lambda found: np.array(sorted(found))
)


@given(POSITIONS, st.sampled_from([0, 1, 5, 21]), st.integers(1, 6), st.integers(0, 10))
def test_no_training_label_overlaps_a_test_block(positions: np.ndarray, horizon: int, folds: int, embargo: int) -> None:
    blocks = list(fold_days(positions, horizon, folds, embargo))
    for training, test in blocks:
        ends = training + horizon  # the label of a day ends so many price days later
        assert (ends + embargo < test.min()).all()
        assert set(training) | set(test) <= set(positions)
    for (earlier, first), (later, second) in pairwise(blocks):
        assert first.max() < second.min()
        assert set(earlier) <= set(later)


def test_every_day_behind_the_first_share_is_tested_once() -> None:
    tested = np.concatenate([test for _, test in fold_days(np.arange(100), 1)])
    assert tested.tolist() == list(range(40, 100))


@pytest.mark.parametrize("place", [130, 140])
def test_price_features_know_nothing_of_their_own_day(place: int) -> None:
    market = make_market()
    after = np.repeat(np.arange(150) >= place, 40).reshape(150, 40)
    changed = Prices(
        *(
            table.where(~after, table * 3)
            for table in (market.prices.opens, market.prices.closes, market.prices.volumes)
        )
    )
    before, now = build_price_features(market.prices), build_price_features(changed)
    for name, frame in before.items():
        pd.testing.assert_frame_equal(frame.iloc[: place + 1], now[name].iloc[: place + 1])
        assert frame.iloc[place].notna().all(), name


def test_price_features_by_hand() -> None:
    prices = make_market().prices
    found = {name: frame["T003"].iloc[140] for name, frame in build_price_features(prices).items()}
    close = prices.closes["T003"].to_numpy()
    assert found["reversal_1"] == pytest.approx(close[139] / close[138] - 1)
    assert found["momentum_21"] == pytest.approx(close[139] / close[118] - 1)
    assert found["momentum_126"] == pytest.approx(close[118] / close[13] - 1)
    assert found["gap_1"] == pytest.approx(prices.opens["T003"].iloc[139] / close[138] - 1)


def test_daily_measures_are_auc_and_spearmans() -> None:
    rng = np.random.default_rng(0)
    scores, returns, days = np.round(rng.random(90), 1), rng.normal(size=90), np.repeat([3, 5, 8], [30, 41, 19])
    found = daily_measures(scores, returns, days)
    assert found.index.tolist() == [3, 5]  # 19 tickers are too few
    for day in found.index:
        held = days == day
        assert found.loc[day, "AUC"] == pytest.approx(roc_auc_score(returns[held] > 0, scores[held]))
        assert found.loc[day, "rank IC"] == pytest.approx(spearmanr(scores[held], returns[held]).statistic)


def test_ranks_are_those_of_the_day_and_the_unknown_is_in_the_middle() -> None:
    frame = pd.DataFrame([[10.0, np.nan, 30.0, 20.0], [1.0, 2.0, 3.0, 4.0]])
    is_row = np.array([[True, True, True, True], [False, True, True, False]])
    found = rank_rows({"a": frame}, is_row)[:, 0]
    np.testing.assert_allclose(found, [1 / 3 - 0.5, 0.0, 0.5, 2 / 3 - 0.5, 0.0, 0.5])


def test_what_is_planted_adds_and_the_placebo_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(study_incremental, "HORIZONS", {"open-close": 0})
    monkeypatch.setattr(study_incremental, "DRAWS", 500)
    market = make_market(planted=0.25)
    increments = measure_increments(align(market.features, market.prices), market.prices, 0, LEARNERS)
    gains = increments["open-close"].gains
    for learner in LEARNERS:
        assert gains[learner, "store - prices", "rank IC"].low > 0.05
        assert gains[learner, "store - prices", "AUC"].low > 0.02
        assert abs(gains[learner, "placebo - prices", "rank IC"].value) < 0.03


def test_nothing_planted_adds_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(study_incremental, "HORIZONS", {"1": 1})
    monkeypatch.setattr(study_incremental, "DRAWS", 500)
    market = make_market(seed=4)
    learners = {"logistic": LEARNERS["logistic"]}
    gain = measure_increments(align(market.features, market.prices), market.prices, 0, learners)["1"].gains
    found = gain["logistic", "store - prices", "rank IC"]
    assert found.low < 0 < found.high


def test_too_few_days_to_learn_from_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(study_incremental, "HORIZONS", {"21": 21})
    monkeypatch.setattr(study_panel, "MINIMUM_DAYS", 20)
    market = make_market(day_count=35)
    panel = align(market.features, market.prices)
    with pytest.raises(StudyError, match="horizon 21: 34 days are too few"):
        measure_increments(panel, market.prices, 0, {"logistic": LEARNERS["logistic"]})


def test_trees_are_the_same_twice() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(900, 5)), rng.random(900) > 0.5
    np.testing.assert_array_equal(make_boosted(x, y, 3)(x), make_boosted(x, y, 3)(x))


def test_the_bootstrap_covers_a_known_mean_and_repeats_itself() -> None:
    rng = np.random.default_rng(0)
    daily = pd.DataFrame({"none": np.zeros(400), "some": 0.1 + rng.normal(size=400), "more": 1 + rng.normal(size=400)})
    gains, block = bootstrap_means(daily, 5, 7, 1000)
    assert (gains, block) == bootstrap_means(daily, 5, 7, 1000)
    assert block >= 5
    none, some, more = gains
    assert (none.value, none.low, none.high, none.p) == (0, 0, 0, 1)
    assert some.low < 0.1 < some.high
    assert some.high - some.low == pytest.approx(2 * 1.96 / 20, rel=0.3)
    assert more.p == pytest.approx(2 / 1001)
