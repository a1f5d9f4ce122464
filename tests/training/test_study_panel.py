"""Prices and the alignment: a row is traded at the first opening after it was available, and never in its own bar."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from training.study_ic import measure_ic
from training.study_panel import LEGS, align, measure_returns
from training.study_prices import Prices, StudyError, drop_misprints, find_entry, read_prices
from training.study_protocol import HORIZONS

from .made_market import make_market

DAYS = pd.DatetimeIndex(["2020-03-05", "2020-03-06", "2020-03-09", "2020-03-10"])  # clocks change on Sunday the 8th
TRAP = make_market(is_trap=True)


@pytest.mark.parametrize(
    ("available_at", "place"),
    [
        ("2020-03-04T22:00Z", 0),
        ("2020-03-05T14:29:59Z", 0),
        ("2020-03-05T14:30Z", 1),  # the opening itself is too late
        ("2020-03-05T22:00Z", 1),
        ("2020-03-06T22:00Z", 2),  # Friday evening trades on Monday
        ("2020-03-09T13:29:59Z", 2),  # summer time: opens at 13:30 UTC
        ("2020-03-09T13:30Z", 3),
        ("2020-03-10T22:00Z", 4),  # no day left
    ],
)
def test_the_entry_is_the_first_opening_strictly_after(available_at: str, place: int) -> None:
    assert find_entry(pd.DatetimeIndex([available_at]), DAYS).tolist() == [place]


def test_returns_by_hand() -> None:
    opens = pd.DataFrame({"A": [100.0, 110.0, 99.0]}, index=DAYS[:3])
    closes = pd.DataFrame({"A": [105.0, 99.0, 99.0]}, index=DAYS[:3])
    returns = measure_returns(Prices(opens, closes, opens))
    np.testing.assert_allclose(returns["open-close"]["A"], [0.05, -0.1, 0.0])
    np.testing.assert_allclose(returns["1"]["A"], [0.1, -0.1, np.nan])
    assert returns["5"]["A"].isna().all()


def test_a_score_that_is_its_own_bar_foretells_nothing() -> None:
    panel = align(TRAP.features, TRAP.prices)
    for name, horizon in HORIZONS.items():
        assert abs(measure_ic(panel.signals["sentiment_score"], panel.returns[name], horizon).test.t) < 3, name
    told = measure_ic(panel.signals["sentiment_score"], panel.legs[LEGS[1]], 1).test
    assert told.mean > 0.99  # an entry one bar too early would find this


def test_the_legs_join_to_the_whole_way() -> None:
    opens, closes = TRAP.prices.opens, TRAP.prices.closes
    panel = align(TRAP.features, TRAP.prices)
    day, ticker = panel.days[50], "T007"
    place = opens.index.get_loc(day)
    whole = (closes / closes.shift(2) - 1).iloc[place]
    steps = [
        opens.iloc[place - 1] / closes.iloc[place - 2],
        closes.iloc[place - 1] / opens.iloc[place - 1],
        opens.iloc[place] / closes.iloc[place - 1],
        closes.iloc[place] / opens.iloc[place],
    ]
    assert np.prod([step[ticker] for step in steps]) - 1 == pytest.approx(whole[ticker])
    for leg, step in zip(LEGS, steps, strict=False):
        assert panel.legs[leg].loc[day, ticker] == pytest.approx((step - step.mean())[ticker])


def test_a_row_sealed_late_enters_late_and_the_later_session_counts() -> None:
    market = make_market(day_count=80)
    days = sorted(market.features["session_date"].unique())
    late = market.features["session_date"] == days[40]
    available = market.features["available_at"].where(~late, market.features["available_at"] + pd.Timedelta(days=1))
    panel = align(market.features.assign(available_at=available), market.prices)
    assert days[41] not in panel.days  # nothing was known then that had not been traded on
    row = market.features[market.features["session_date"] == days[41]].set_index("ticker")["sentiment_score"]
    pd.testing.assert_series_equal(panel.signals["sentiment_score"].loc[days[42]], row, check_names=False)


def test_failed_fetches_and_silent_tickers_say_nothing() -> None:
    market = make_market(day_count=90, news_share=0.8)
    status = market.features["status"].mask(market.features["ticker"] == "T001", "fetch_failed")
    panel = align(market.features.assign(status=status), market.prices)
    assert panel.signals["sentiment_score_21"]["T001"].isna().all()
    assert not panel.has_news["T001"].any()
    assert panel.signals["headline_count"].where(~panel.has_news).isna().all(axis=None)


@pytest.mark.parametrize(
    ("market", "days", "message"),
    [
        (make_market(day_count=70), slice(0, 30), "29 days have 20 or more priced tickers with news; expected 60"),
        (make_market(ticker_count=19), slice(None), "0 days have 20 or more"),
    ],
)
def test_too_little_is_refused(market, days: slice, message: str) -> None:
    prices = Prices(*(table.iloc[days] for table in (market.prices.opens, market.prices.closes, market.prices.volumes)))
    with pytest.raises(StudyError, match=message):
        align(market.features, prices)


def test_years_that_do_not_meet_are_refused() -> None:
    market = make_market(day_count=70)
    shifted = (table.set_axis(table.index + pd.Timedelta(days=3650)) for table in (market.prices.opens,) * 3)
    with pytest.raises(StudyError, match=r"features 2020-01-02 to 2020-04-08 and prices 2029.* share no day"):
        align(market.features, Prices(*shifted))


def test_a_slipped_decimal_point_is_no_price_and_a_lasting_move_is_one() -> None:
    days = pd.bdate_range("2020-01-02", periods=8, unit="us")
    opens = pd.DataFrame({"A": [10.0, 10, 1, 10, 10, 10, 10, 10], "B": [10.0] * 4 + [50.0] * 4}, index=days)
    closes = opens.replace(1.0, 10.0)
    closes.iloc[6, 0] = 1000.0
    opens.iloc[5, 1] = np.nan
    found = drop_misprints(Prices(opens, closes, opens))
    assert found.misprints == 2
    assert found.opens["A"].isna().tolist() == [False, False, True] + [False] * 5
    assert found.closes["A"].isna().tolist() == [False] * 6 + [True, False]
    pd.testing.assert_series_equal(found.opens["B"], opens["B"], check_freq=False, check_names=False)
    pd.testing.assert_series_equal(found.closes["B"], closes["B"], check_freq=False, check_names=False)


HEADER = "ticker,date,open,high,low,close,volume\n"


def test_prices_are_read_alike_from_csv_and_parquet(tmp_path: Path) -> None:
    text = HEADER + "BRK-B,2020-01-02,10,11,9,10.5,100\nNA,2020-01-02,1,1,1,1,\nZZZ,2020-01-02,1,1,1,1,5\n"
    (tmp_path / "prices.csv").write_text(text)
    frame = pd.read_csv(tmp_path / "prices.csv", keep_default_na=False, na_values=[""])
    frame.to_parquet(tmp_path / "prices.parquet")
    for name in ("prices.csv", "prices.parquet"):
        prices = read_prices(tmp_path / name, ["BRK.B", "NA", "MSFT"])
        assert prices.opens.to_dict("list") == {"BRK.B": [10.0], "NA": [1.0]}
        assert prices.closes["BRK.B"].tolist() == [10.5]
        assert prices.volumes.isna().to_dict("list") == {"BRK.B": [False], "NA": [True]}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "cannot be read: No columns to parse"),
        ("ticker,date,open\nA,2020-01-02,1\n", "lacks the columns close, volume; found ticker, date, open"),
        (HEADER + "B,2020-01-02,1,1,1,1,1\n", "has none of the 1 tickers of the features, such as A"),
        (HEADER + "A,2020-01-02,0,1,1,1,1\n", "open of A on 2020-01-02 is 0.0; expected a price above 0"),
        (HEADER + "A,2020-01-02,1,1,1,1,1\nA,2020-01-02,1,1,1,1,1\n", "A on 2020-01-02 stands there twice"),
        (HEADER + "A,yesterday,1,1,1,1,1\n", "column date: .*expected YYYY-MM-DD"),
        (HEADER + "A,2020-01-02,x,1,1,1,1\n", "column open: .*expected numbers"),
    ],
)
def test_a_bad_price_file_is_one_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "prices.csv"
    path.write_text(text)
    with pytest.raises(StudyError, match=message) as caught:
        read_prices(path, ["A"])
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["absent.csv", "absent.parquet", "text.parquet"])
def test_an_unreadable_price_file_is_one_line(tmp_path: Path, name: str) -> None:
    (tmp_path / "text.parquet").write_text("no parquet")
    with pytest.raises(StudyError, match=rf"{name}: cannot be read: .+") as caught:
        read_prices(tmp_path / name, ["A"])
    assert "\n" not in str(caught.value)
