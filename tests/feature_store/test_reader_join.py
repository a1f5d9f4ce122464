"""Joining prices: never a row that was not available, always the latest session that was."""

from __future__ import annotations

import re
from datetime import datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feature_store import FeatureStoreError, join_asof, load_features, normalize_ticker, to_monthly
from feature_store.moments import find_deadlines
from tests.feature_store.made_store import make_store, weekdays

DATES = weekdays("2026-03-02", 15)  # New York's clocks change on 2026-03-08
TICKERS = ["AAPL", "BRK.B", "NA"]
NEW_YORK = ZoneInfo("America/New_York")


@pytest.fixture(scope="module")
def features(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    return load_features(root=make_store(tmp_path_factory.mktemp("store"), TICKERS, DATES))


def make_features(rows: list[tuple[str, str, str, float]]) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=["session_date", "ticker", "available_at", "x"]).astype({"x": "float64"})
    return frame.assign(
        session_date=pd.to_datetime(frame["session_date"]), available_at=pd.to_datetime(frame["available_at"], utc=True)
    )


SMALL = make_features(
    [
        ("2026-03-05", "AAPL", "2026-03-05T22:00Z", 1.0),
        ("2026-03-06", "AAPL", "2026-03-09T13:30Z", 2.0),  # sealed late, at the bell of Monday, daylight-saving time
        ("2026-03-09", "AAPL", "2026-03-09T22:00Z", 3.0),
        ("2026-03-10", "AAPL", "2026-03-13T22:00Z", 5.0),  # after the next session
        ("2026-03-11", "AAPL", "2026-03-11T22:00Z", 4.0),
        ("2026-03-12", "AAPL", "2026-03-16T01:00Z", 6.0),  # two sessions caught up at one moment
        ("2026-03-13", "AAPL", "2026-03-16T01:00Z", 7.0),
    ]
)


@pytest.mark.parametrize(
    ("date", "expected"),
    [
        ("2026-03-05", None),
        ("2026-03-06", 1.0),
        ("2026-03-09", 1.0),  # available at the very moment of the bell is not before it
        ("2026-03-10", 3.0),
        ("2026-03-11", 3.0),
        ("2026-03-12", 4.0),
        ("2026-03-16", 7.0),
        ("2027-01-01", 7.0),
        ("2026-03-05T22:00:00Z", None),
        ("2026-03-05T22:00:01Z", 1.0),
        ("2026-03-09T09:30:01-04:00", 2.0),
        ("2026-03-13T23:00:00Z", 4.0),  # the session of the 10th came, but the 11th was known
    ],
)
def test_a_price_gets_the_latest_session_known_before_it(date: str, expected: float | None) -> None:
    moment = pd.Timestamp(date)
    for written in (moment, date) if moment.tzinfo is None else (moment,):
        prices = pd.DataFrame({"date": [written], "ticker": ["AAPL"]})
        found = join_asof(prices, SMALL, ["x"])["x"].iloc[0]
        assert found == expected if expected is not None else np.isnan(found)


@pytest.mark.parametrize(
    ("known_by", "timezone", "expected"),
    [
        ("16:00", "America/New_York", 2.0),
        (time(9, 31), "America/New_York", 2.0),
        ("09:30", "America/New_York", 1.0),
        ("09:30:00.000001", "America/New_York", 2.0),
        ("13:30", "UTC", 1.0),
        ("14:30", "UTC", 2.0),
        ("09:00", "Asia/Tokyo", 1.0),
        ("23:59", "Asia/Tokyo", 2.0),
    ],
)
def test_a_day_means_a_time_of_day_somewhere(known_by: str, timezone: str, expected: float) -> None:
    prices = pd.DataFrame({"date": ["2026-03-09"], "ticker": ["aapl"]})
    assert join_asof(prices, SMALL, ["x"], known_by, timezone)["x"].tolist() == [expected]


@pytest.mark.parametrize(
    ("tolerance", "expected"), [("7D", 7.0), ("6h", None), ("12:30:00", 7.0), (timedelta(days=7), 7.0)]
)
def test_older_features_than_the_tolerance_do_not_count(tolerance: str, expected: float | None) -> None:
    prices = pd.DataFrame({"date": ["2026-03-16"], "ticker": ["AAPL"]})
    found = join_asof(prices, SMALL, ["x"], tolerance=tolerance)["x"].iloc[0]
    assert found == expected if expected else np.isnan(found)


def join_by_hand(prices: pd.DataFrame, features: pd.DataFrame, known_by: time) -> list[float]:
    """Return the score of each price row, looking at every feature row."""
    found = []
    for day, ticker in zip(prices["date"], prices["ticker"], strict=True):
        moment = datetime.combine(day.date(), known_by, NEW_YORK)
        best: tuple[Any, Any] | None = None
        value = float("nan")
        for row in features.to_dict("records"):
            if row["ticker"] == normalize_ticker(ticker) and row["available_at"] < moment:
                key = (row["session_date"], row["available_at"])
                if best is None or key > best:
                    best, value = key, row["x"]
        found.append(value)
    return found


day_numbers = st.integers(0, 12)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(day_numbers, st.sampled_from(TICKERS), st.integers(0, 120)), max_size=25, unique_by=lambda r: r[:2]
    ),
    st.lists(st.tuples(day_numbers, st.sampled_from(["aapl", "BRK-B", "BRK/B", "NA", "^GSPC", "ZZZ"])), max_size=20),
    st.sampled_from([time(9, 30), time(0, 0), time(17, 0)]),
    st.randoms(use_true_random=False),
)
def test_the_join_is_what_looking_at_every_row_gives(
    rows: list[tuple[int, str, int]], asked: list[tuple[int, str]], known_by: time, random: Any
) -> None:
    first = pd.Timestamp("2026-03-02")
    features = make_features(
        [
            (
                str(first + pd.Timedelta(days=day)),
                ticker,
                str(first.tz_localize("UTC") + pd.Timedelta(days=day, hours=21 + late)),
                float(number),
            )
            for number, (day, ticker, late) in enumerate(rows)
        ]
    )
    index = [random.randrange(5) for _ in asked]
    prices = pd.DataFrame(
        {"date": [first + pd.Timedelta(days=day) for day, _ in asked], "ticker": [ticker for _, ticker in asked]}, index
    ).astype({"date": "datetime64[ns]", "ticker": object})
    known = prices[prices["ticker"] != "^GSPC"]
    found = join_asof(prices, features, ["x", "available_at"], known_by)
    assert found.index.tolist() == index
    assert found[["date", "ticker"]].equals(prices)
    np.testing.assert_array_equal(
        found["x"][prices["ticker"].ne("^GSPC").to_numpy()], join_by_hand(known, features, known_by)
    )
    assert found["x"][prices["ticker"].eq("^GSPC").to_numpy()].isna().all()
    moments = (prices["date"] + pd.Timedelta(known_by.isoformat())).dt.tz_localize(NEW_YORK)
    has_row = found["x"].notna()
    assert (found["available_at"][has_row.to_numpy()] < moments[has_row.to_numpy()]).all()


def test_dates_may_be_an_index_level_a_date_or_any_resolution(features: pd.DataFrame) -> None:
    days = [DATES[5], DATES[3], DATES[5]]
    plain = pd.DataFrame({"date": pd.to_datetime(days), "ticker": ["BRK-B", "NA", "AAPL"], "close": [1.0, 2.0, 3.0]})
    expected = join_asof(plain, features, ["sentiment_score", "session_date"])
    assert expected["session_date"].tolist() == [pd.Timestamp(day) for day in (DATES[4], DATES[2], DATES[4])]
    for dates in (days, [day.isoformat() for day in days], plain["date"].astype("datetime64[s]")):
        found = join_asof(plain.assign(date=dates), features, ["sentiment_score", "session_date"])
        assert found.drop(columns="date").equals(expected.drop(columns="date"))
    indexed = plain.set_index(["date", "ticker"])
    found = join_asof(indexed, features, ["sentiment_score", "session_date"])
    assert found.index.equals(indexed.index)
    assert found.reset_index(drop=True).equals(expected.drop(columns=["date", "ticker"]))


def test_the_order_of_the_features_does_not_matter() -> None:
    prices = pd.DataFrame({"date": pd.date_range("2026-03-05", "2026-03-20"), "ticker": "AAPL"})
    joined = join_asof(prices, SMALL)
    pd.testing.assert_frame_equal(join_asof(prices, SMALL.iloc[::-1]), joined)
    assert joined["x"].dropna().tolist() == [1.0] * 4 + [3.0] * 2 + [4.0] * 4 + [7.0] * 5


@pytest.mark.parametrize(
    ("day", "known_by", "expected"),
    [
        ("2026-03-06", "09:30", "2026-03-06T14:30Z"),
        ("2026-03-09", "09:30", "2026-03-09T13:30Z"),
        ("2026-03-08", "02:30", "2026-03-08T07:00Z"),  # clocks skip this hour
        ("2026-11-01", "01:30", "2026-11-01T05:30Z"),  # clocks go through this hour twice
        ("2026-11-01", "09:30", "2026-11-01T14:30Z"),
    ],
)
def test_a_time_of_day_is_found_where_clocks_change(day: str, known_by: str, expected: str) -> None:
    found = find_deadlines(pd.DatetimeIndex([day]), known_by, "America/New_York")
    assert found.tolist() == [pd.Timestamp(expected)]


def test_all_columns_but_the_ticker_are_added_by_default(features: pd.DataFrame) -> None:
    prices = pd.DataFrame({"close": [1.0, 2.0], "ticker": ["AAPL", "ZZZ"], "date": [pd.Timestamp(DATES[-1])] * 2})
    joined = join_asof(prices, features)
    assert joined.columns.tolist() == ["close", "ticker", "date", *features.columns.drop("ticker")]
    assert joined[features.columns.drop("ticker")].iloc[1].isna().all()
    assert joined["available_at"].dtype == "datetime64[us, UTC]"
    assert joined["buzz"].dtype == joined["story_count"].dtype == np.dtype("float64")
    assert join_asof(prices, features, "buzz").columns.tolist() == ["close", "ticker", "date", "buzz"]


def test_periods_join_as_sessions_do(features: pd.DataFrame) -> None:
    weekly = to_monthly(features, "W-FRI")
    prices = pd.DataFrame({"date": ["2026-03-13", "2026-03-06"], "ticker": "AAPL"})
    joined = join_asof(prices, weekly, ["period", "story_count"])
    assert joined["period"].tolist() == [pd.Timestamp("2026-03-13"), pd.Timestamp("2026-03-06")]


def test_nothing_joins_to_nothing(features: pd.DataFrame) -> None:
    prices = pd.DataFrame({"date": ["2026-03-13"], "ticker": ["AAPL"]})
    assert join_asof(prices, features.head(0))["buzz"].isna().tolist() == [True]
    assert join_asof(prices.head(0), features).shape == (0, 1 + len(features.columns))
    assert join_asof(prices.head(0), features.head(0)).empty


def price(**columns: object) -> pd.DataFrame:
    return pd.DataFrame([{"date": "2026-03-13", "ticker": "AAPL"} | columns])


@pytest.mark.parametrize(
    ("prices", "arguments", "message"),
    [
        (price().drop(columns="date"), {}, "prices: column date is missing"),
        (price().drop(columns="ticker"), {}, "prices: column ticker is missing"),
        (price(buzz=1.0), {}, "prices: column buzz is there already; name others in columns"),
        (price(date=pd.NaT), {}, "prices: date is missing in row 0"),
        (price(date="soon"), {}, "prices: column date: "),
        (
            price(date="11/09/2026"),
            {},
            "prices: column date: Time data 11/09/2026 is not ISO8601 format; expected days",
        ),
        (price(date="Nov 9, 2026"), {}, "prices: column date: "),
        (price(date=20260313), {}, "prices: column date holds integer, expected days such as 2026-11-20"),
        (price(date=1.5), {}, "prices: column date holds floating, expected days"),
        (pd.concat([price(), price(date=7)]), {}, "prices: column date holds mixed-integer, expected days"),
        ([price()], {}, "prices: found list, expected a DataFrame"),
        (
            price(date=pd.Timestamp("2026-03-13T09:30")),
            {},
            "prices: date 2026-03-13T09:30:00 in row 0 has a time but no",
        ),
        (price(ticker=None), {}, "prices: ticker is missing in row 0"),
        (price(), {"columns": ["sentiment", "buzz"]}, "features: column sentiment is missing"),
        (price(), {"known_by": "25:00"}, "known_by '25:00': expected a time of day such as 09:30"),
        (price(), {"known_by": "09:30+01:00"}, "known_by '09:30+01:00': expected a time of day"),
        (price(), {"known_by": 930}, "known_by 930: expected a time of day"),
        (price(), {"timezone": "New York"}, "timezone 'New York': unknown on this machine"),
        (price(), {"timezone": ""}, "timezone '': unknown on this machine"),
        (price(), {"tolerance": "long"}, "tolerance 'long': expected a length of time such as 7D"),
        (price(), {"tolerance": "-1D"}, "tolerance '-1D': expected a length of time"),
        (price(), {"tolerance": 7}, "tolerance 7: expected a length of time such as 7D"),
        (price(), {"tolerance": "7"}, "tolerance '7': expected a length of time such as 7D"),
        (price(), {"columns": 5}, "columns: 5 is no text, expected one name or several"),
        (price(), {"columns": [["buzz"]]}, "columns: ['buzz'] is no text, expected one name or several"),
    ],
)
def test_what_cannot_be_joined_is_one_clear_line(
    features: pd.DataFrame, prices: pd.DataFrame, arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(FeatureStoreError, match=re.escape(message)) as error:
        join_asof(prices, features, **arguments)
    assert "\n" not in str(error.value)


def test_features_need_moments_with_a_zone(features: pd.DataFrame) -> None:
    with pytest.raises(FeatureStoreError, match="frame: found dict, expected a DataFrame"):
        join_asof(price(), {"ticker": ["AAPL"]})  # type: ignore[arg-type]
    naive = features.assign(available_at=features["available_at"].dt.tz_localize(None))
    for wrong in (naive, features.assign(available_at=features["available_at"].astype(str))):
        with pytest.raises(FeatureStoreError, match="features: available_at holds .*, expected times with a zone"):
            join_asof(price(), wrong)


def test_the_frames_given_are_left_as_they_were(features: pd.DataFrame) -> None:
    prices = price(close=1.0)
    before = prices.copy(), features.copy()
    join_asof(prices, features)
    to_monthly(features)
    assert prices.equals(before[0])
    assert features.equals(before[1])
