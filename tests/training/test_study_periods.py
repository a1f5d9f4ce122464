"""Weeks and months: entered after their label, on holidays too, and what is known only then is not foretold."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from training.study_ic import measure_ic
from training.study_periods import enter_after, hold_between, measure_periods, sum_periods

from .made_market import make_market


@pytest.mark.parametrize(
    ("label", "entry"),
    [
        ("2013-02-28", "2013-03-01"),
        ("2013-03-29", "2013-04-01"),  # Good Friday: Thursday's row is in it, so Thursday's prices are too early
        ("2013-04-01", "2013-04-02"),
        ("2013-04-02", None),  # no price day after it
        ("2013-01-31", None),  # before the prices begin
    ],
)
def test_a_period_enters_at_the_first_opening_after_its_label(label: str, entry: str | None) -> None:
    days = pd.DatetimeIndex(["2013-02-27", "2013-02-28", "2013-03-01", "2013-03-28", "2013-04-01", "2013-04-02"])
    found = enter_after(pd.DatetimeIndex([label]), days)
    assert found == ({pd.Timestamp(label): pd.Timestamp(entry)} if entry else {})


def test_a_period_is_held_until_the_next_ones_entry() -> None:
    opens = pd.DataFrame({"A": [10.0, 11.0, 22.0]}, index=pd.DatetimeIndex(["2020-02-03", "2020-03-02", "2020-04-01"]))
    labels = pd.DatetimeIndex(["2020-01-31", "2020-02-28", "2020-03-31"])
    found = hold_between(opens, dict(zip(labels, opens.index, strict=True)))
    assert found["A"].to_dict() == pytest.approx({labels[0]: 0.1, labels[1]: 1.0})


def test_vader_is_summed_like_the_stores_score() -> None:
    features = make_market(day_count=60, news_share=0.5).features
    features["vader"] = features["sentiment_score"]
    signals = sum_periods(features, "W-FRI")
    pd.testing.assert_frame_equal(signals["vader"], signals["sentiment_score"])
    assert signals["story_count"].min().min() > 0  # silence is missing, not 0


def test_a_week_does_not_foretell_what_it_tells() -> None:
    market = make_market(day_count=600, is_trap=True)
    signal = sum_periods(market.features, "W-FRI")["sentiment_score"]
    own_week = pd.DataFrame(market.own_returns, market.prices.days, market.prices.opens.columns)
    told = own_week.groupby(own_week.index.to_period("W-THU").to_timestamp(how="end").normalize()).sum()
    told = told.set_axis(told.index + pd.Timedelta(days=1)).reindex(signal.index)  # the label is the Friday after
    assert measure_ic(signal, told, 1).test.mean > 0.5
    test = measure_periods(market.features, market.prices)["weekly", "sentiment_score"].ic.test
    assert abs(test.t) < 3
    assert not np.isnan(test.t)
