"""Wide frames and the market's series: shapes, missing values, what neutral means."""

from __future__ import annotations

import io
import math
import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feature_store import NEUTRAL, FeatureStoreError, load_features, market_series, to_monthly, wide
from tests.feature_store.made_store import list_tickers, make_store, weekdays

TICKERS = list_tickers(6)
DATES = weekdays("2026-01-05", 30)


@pytest.fixture(scope="module")
def frame(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    return load_features(root=make_store(tmp_path_factory.mktemp("store"), TICKERS, DATES))


def test_wide_holds_the_long_frame_and_nothing_else(frame: pd.DataFrame) -> None:
    matrix = wide(frame, "sentiment_score")
    assert matrix.shape == (len(DATES), len(TICKERS))
    assert matrix.index.name == "session_date"
    assert matrix.columns.tolist() == TICKERS
    assert set(matrix.dtypes) == {np.dtype("float64")}
    back = matrix.stack(future_stack=True).rename("value").reset_index()
    assert back[["session_date", "ticker"]].equals(frame[["session_date", "ticker"]])
    np.testing.assert_array_equal(back["value"], frame["sentiment_score"])


def test_wide_works_on_periods(frame: pd.DataFrame) -> None:
    monthly = to_monthly(frame)
    matrix = wide(monthly, "story_count")
    assert matrix.index.name == "period"
    assert matrix.index.tolist() == [pd.Timestamp("2026-01-30"), pd.Timestamp("2026-02-27")]
    assert matrix.sum().sum() == frame["story_count"].sum()


def test_a_pair_without_a_row_is_missing_until_filled(frame: pd.DataFrame) -> None:
    joined_late = frame[(frame["ticker"] != "NA") | (frame["session_date"] > pd.Timestamp(DATES[9]))]
    for column, neutral in (("sentiment_score", 0.0), ("buzz", 1.0), ("story_count", 0.0)):
        assert wide(joined_late, column)["NA"].iloc[:10].isna().all()
        filled = wide(joined_late, column, fill="neutral")
        assert filled["NA"].iloc[:10].tolist() == [neutral] * 10
        assert not filled.isna().any().any()
    assert wide(joined_late, "has_news")["NA"].iloc[:10].tolist() == [0.0] * 10


def test_has_news_is_one_or_zero_however_it_is_found(frame: pd.DataFrame) -> None:
    expected = (frame["status"] == "news").astype(float).to_numpy().reshape(len(DATES), -1)
    for known in (frame, frame.assign(has_news=(frame["status"] == "news").astype(float)).drop(columns="status")):
        found = wide(known, "has_news")
        np.testing.assert_array_equal(found, expected)
        assert set(found.dtypes) == {np.dtype("float64")}
    with pytest.raises(FeatureStoreError, match="has_news: column status is missing"):
        wide(frame[["session_date", "ticker", "buzz"]], "has_news")


def test_wide_of_no_rows_has_no_rows(frame: pd.DataFrame) -> None:
    assert wide(frame.head(0), "buzz").shape == (0, 0)
    assert wide(frame.head(0), "has_news", fill="neutral").shape == (0, 0)


@pytest.mark.parametrize(
    ("column", "fill", "message"),
    [
        ("sentiment", None, "wide: column sentiment is missing"),
        ("status", None, "wide: column status holds"),
        ("model_revision", "neutral", "wide: column model_revision holds"),
        ("available_at", None, "wide: column available_at holds datetime64[us, UTC], expected numbers"),
        ("buzz", "mean", "fill 'mean': expected None or 'neutral'"),
        (["buzz"], None, "wide: column ['buzz']: expected one name"),
    ],
)
def test_wide_refuses_what_is_no_number(frame: pd.DataFrame, column: str, fill: str | None, message: str) -> None:
    with pytest.raises(FeatureStoreError, match=re.escape(message)):
        wide(frame, column, fill)


def test_wide_names_a_row_that_is_there_twice(frame: pd.DataFrame) -> None:
    with pytest.raises(FeatureStoreError, match=f"wide: {TICKERS[1]} is there twice on 2026-01-05"):
        wide(pd.concat([frame, frame.iloc[1:2]]), "buzz")
    with pytest.raises(FeatureStoreError, match="frame: column session_date, ticker is missing"):
        wide(frame.drop(columns=["session_date", "ticker"]), "buzz")
    for function in (lambda rows: wide(rows, "buzz"), to_monthly, market_series):
        with pytest.raises(FeatureStoreError, match="found list, expected a DataFrame"):
            function([frame])


def market_by_hand(rows: pd.DataFrame) -> dict[str, float]:
    """Return a date's numbers, ticker by ticker."""
    stories = weight = score = direction = positive = negative = news = known = 0.0
    for row in rows.to_dict("records"):
        known += row["status"] != "fetch_failed"
        if row["status"] != "news":
            continue
        news += 1
        stories += row["story_count"]
        positive += row["positive_count"]
        negative += row["negative_count"]
        if not math.isnan(row["sentiment_score"]):
            weight += row["story_count"]
            score += row["story_count"] * row["sentiment_score"]
            direction += (row["sentiment_score"] > 0) - (row["sentiment_score"] < 0)
    return {
        "market_sentiment": score / weight if weight else 0.0,
        "market_breadth": direction / news if news else 0.0,
        "market_positive_share": positive / stories if stories else 0.0,
        "market_negative_share": negative / stories if stories else 0.0,
        "market_story_count": stories,
        "market_news_share": news / known if known else 0.0,
    }


@pytest.mark.parametrize("period", [False, True])
@pytest.mark.parametrize("fill", [None, "neutral"])
def test_the_market_is_the_sum_of_its_tickers(frame: pd.DataFrame, period: bool, fill: str | None) -> None:
    long = to_monthly(frame) if period else frame
    if fill is None:  # news whose every weight was 0 has no score
        long = long.assign(sentiment_score=long["sentiment_score"].where(long["ticker"] != "NA"))
        assert (long["sentiment_score"].isna() & (long["status"] == "news")).any()
    found = market_series(long if fill is None else long.fillna(dict(NEUTRAL)))
    expected = {day: market_by_hand(rows) for day, rows in long.groupby(long.columns[0])}
    if not period:  # each session serves the next
        expected = dict(zip([*pd.to_datetime(DATES[1:]), pd.Timestamp("2026-02-16")], expected.values(), strict=True))
    assert found.index.name == "date"
    assert found.index.tolist() == list(expected)
    pd.testing.assert_frame_equal(found, pd.DataFrame(expected).T, check_names=False, check_index_type=False)


def test_dates_without_news_are_zero_and_never_missing(frame: pd.DataFrame) -> None:
    silent = frame.assign(
        status="no_news", story_count=0.0, positive_count=0.0, negative_count=0.0, sentiment_score=math.nan
    )
    assert (market_series(silent) == 0).all().all()
    unknown = silent.assign(
        status="fetch_failed", story_count=math.nan, positive_count=math.nan, negative_count=math.nan
    )
    assert (market_series(unknown) == 0).all().all()
    assert market_series(frame.head(0)).shape == (0, 6)


def test_a_csv_of_the_market_is_dates_and_numbers_only(frame: pd.DataFrame) -> None:
    series = market_series(frame)
    read = pd.read_csv(io.StringIO(series.to_csv()), index_col="date", parse_dates=True)
    assert isinstance(read.index, pd.DatetimeIndex)
    assert set(read.dtypes) == {np.dtype("float64")}
    assert read.index.tolist() == series.index.tolist()
    np.testing.assert_allclose(read, series, rtol=1e-12)
    assert np.isfinite(read.to_numpy()).all()


@settings(max_examples=50, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["news", "no_news", "fetch_failed"]),
            st.integers(1, 9),
            st.floats(-1, 1) | st.just(math.nan),
            st.integers(0, 2),
        ),
        min_size=1,
        max_size=8,
    )
)
def test_every_number_of_the_market_stays_in_its_range(rows: list[tuple[str, int, float, int]]) -> None:
    long = pd.DataFrame(
        [make_row(n // 3, f"T{n}", *row) for n, row in enumerate(rows)],
        columns=[
            "session_date",
            "ticker",
            "status",
            "story_count",
            "sentiment_score",
            "positive_count",
            "negative_count",
        ],
    )
    long["available_at"] = long["session_date"].dt.tz_localize("UTC") + pd.Timedelta(hours=22)
    found = market_series(long)
    assert np.isfinite(found.to_numpy()).all()
    assert found[["market_sentiment", "market_breadth"]].abs().max().max() <= 1 + 1e-12
    shares = found[["market_positive_share", "market_negative_share", "market_news_share"]]
    assert ((shares >= 0) & (shares <= 1)).all().all()


def make_row(day: int, ticker: str, status: str, count: int, score: float, positive: int) -> tuple[object, ...]:
    first = (pd.Timestamp("2026-01-05") + pd.Timedelta(days=day), ticker, status)
    if status != "news":
        silence = 0.0 if status == "no_news" else math.nan
        return *first, silence, math.nan, silence, silence
    return *first, float(count), score, float(min(positive, count)), float(count - min(positive, count))


def make_sessions(sealed_at: dict[str, str]) -> pd.DataFrame:
    """Return a row of news for each session; story_count is its day of the month."""
    days = pd.to_datetime(list(sealed_at))
    return pd.DataFrame(
        {
            "session_date": days,
            "ticker": "AAPL",
            "available_at": pd.to_datetime(list(sealed_at.values()), utc=True, format="ISO8601"),
            "status": "news",
            "story_count": days.day.astype("float64"),
            "sentiment_score": 0.5,
            "positive_count": 1.0,
            "negative_count": 0.0,
        }
    )


@pytest.mark.parametrize(
    ("sealed_at", "known_by", "expected"),
    [
        ({"2026-01-05": "2026-01-05T22:00Z", "2026-01-06": "2026-01-06T22:00Z"}, "09:30", {"06": 5, "07": 6}),
        ({"2026-01-05": "2026-01-06T14:29:59Z", "2026-01-06": "2026-01-06T22:00Z"}, "09:30", {"06": 5, "07": 6}),
        # At the bell is too late; of two sessions known for one date the later stands.
        ({"2026-01-05": "2026-01-06T14:30:00Z", "2026-01-06": "2026-01-06T22:00Z"}, "09:30", {"07": 6}),
        # The session of the 5th came after that of the 6th.
        ({"2026-01-05": "2026-01-08T22:00Z", "2026-01-06": "2026-01-06T22:00Z"}, "09:30", {"07": 6}),
        # A Friday's numbers are for Monday, or for Tuesday where the frame has no session on Monday.
        ({"2026-01-16": "2026-01-16T22:00Z"}, "09:30", {"19": 16}),
        ({"2026-01-16": "2026-01-16T22:00Z", "2026-01-20": "2026-01-20T22:00Z"}, "09:30", {"20": 16, "21": 20}),
        # Whose clock and what time decide.
        ({"2026-01-05": "2026-01-05T22:00Z"}, "17:30", {"05": 5}),
        ({"2026-01-05": "2026-01-05T13:00Z"}, "09:30", {"05": 5}),
    ],
)
def test_a_daily_number_bears_the_first_session_it_could_serve(
    sealed_at: dict[str, str], known_by: str, expected: dict[str, float]
) -> None:
    found = market_series(make_sessions(sealed_at).sample(frac=1.0, random_state=1), known_by)["market_story_count"]
    assert found.to_dict() == {pd.Timestamp(f"2026-01-{day}"): number for day, number in expected.items()}


def test_one_late_row_makes_its_whole_session_late() -> None:
    late = {"2026-01-05": "2026-01-05T22:00Z", "2026-01-06": "2026-01-06T22:00Z", "2026-01-07": "2026-01-07T22:00Z"}
    rows = make_sessions(late)
    other = rows.head(1).assign(ticker="NA", available_at=pd.Timestamp("2026-01-06T15:00Z"))
    found = market_series(pd.concat([rows, other]))["market_story_count"]
    assert found.index.strftime("%d").tolist() == ["07", "08"]


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 40), st.integers(0, 150)), min_size=1, max_size=12, unique_by=lambda row: row[0]),
    st.sampled_from(["09:30", "00:00", "16:00"]),
    st.sampled_from(["America/New_York", "Asia/Tokyo", "Pacific/Kiritimati", "Pacific/Pago_Pago"]),
)
def test_no_market_number_was_unknown_on_its_date(sessions: list[tuple[int, int]], known_by: str, zone: str) -> None:
    days = pd.bdate_range("2026-01-05", periods=41)
    sealed_at = {str(days[n].date()): str(days[n] + pd.Timedelta(hours=21 + late)) for n, late in sessions}
    rows = make_sessions(sealed_at).assign(story_count=range(1, len(sessions) + 1))
    known_at = dict(zip(rows["story_count"], rows["available_at"], strict=True))
    sessions_by_number = dict(zip(rows["story_count"], rows["session_date"], strict=True))
    found = market_series(rows, known_by, zone)["market_story_count"]
    bells = (found.index + pd.Timedelta(f"{known_by}:00")).tz_localize(zone)
    assert all(known_at[number] < bell for number, bell in zip(found, bells, strict=True))
    assert found.index.is_unique
    told = [sessions_by_number[number] for number in found]
    assert told == sorted(told)
    assert told[-1] == rows["session_date"].max()


def test_the_market_names_what_it_needs(frame: pd.DataFrame) -> None:
    with pytest.raises(FeatureStoreError, match="market_series: column negative_count, status is missing"):
        market_series(frame.drop(columns=["status", "negative_count"]))
    with pytest.raises(FeatureStoreError, match="market_series: column available_at is missing"):
        market_series(frame.drop(columns="available_at"))
    with pytest.raises(FeatureStoreError, match="known_by 930: expected a time of day"):
        market_series(frame, known_by=930)  # type: ignore[arg-type]
