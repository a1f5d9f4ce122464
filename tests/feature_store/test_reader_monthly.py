"""Longer periods: every row once, none before it was known, every column by its stated formula."""

from __future__ import annotations

import math
import re
from datetime import datetime, time
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feature_store import NEUTRAL, FeatureStoreError, load_features, to_monthly
from feature_store.columns import COLUMNS, COUNTS, TRAILING
from tests.feature_store.made_store import list_tickers, make_store, weekdays

TICKERS = list_tickers(6)
DATES = weekdays("2026-01-05", 60)
WEIGHTED = ("sentiment_score", "confidence_mean", "relevance_mean", "novel_share", "overnight_score", "intraday_score")


@pytest.fixture(scope="module")
def frame(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    return load_features(root=make_store(tmp_path_factory.mktemp("store"), TICKERS, DATES, failed_share=0.2))


def make_rows(moments: list[str]) -> pd.DataFrame:
    """Return one row a moment, of sessions that follow each other; story_count tells the rows apart: 1, 2, 4, ..."""
    dates = pd.date_range("2026-01-01", periods=len(moments))
    return pd.DataFrame(
        {
            "session_date": dates,
            "ticker": "AAPL",
            "available_at": pd.to_datetime(moments, utc=True, format="ISO8601"),
            "story_count": [2.0**n for n in range(len(moments))],
        }
    )


@pytest.mark.parametrize(
    ("freq", "moment", "expected"),
    [
        ("BME", "2026-01-29T22:00Z", "2026-01-30"),  # Thursday's session, sealed before Friday's bell
        ("BME", "2026-01-30T14:29:59Z", "2026-01-30"),
        ("BME", "2026-01-30T14:30:00Z", "2026-02-27"),  # at the bell is too late: 09:30 in New York is 14:30 in winter
        ("BME", "2026-01-30T22:00Z", "2026-02-27"),  # the label day's own session
        ("BME", "2026-01-31T22:00Z", "2026-02-27"),
        ("BME", "2026-03-31T13:29:59Z", "2026-03-31"),  # 13:30 in summer
        ("BME", "2026-03-31T13:30:00Z", "2026-04-30"),
        ("ME", "2026-01-29T22:00Z", "2026-01-31"),
        ("ME", "2026-01-30T22:00Z", "2026-02-28"),  # Friday's session was the last before the label, a Saturday
        ("W-SUN", "2026-01-30T22:00Z", "2026-02-08"),
        ("W-FRI", "2026-01-29T22:00Z", "2026-01-30"),
        ("W-FRI", "2026-01-30T22:00Z", "2026-02-06"),
        ("B", "2026-01-29T22:00Z", "2026-01-30"),
        ("B", "2026-01-30T22:00Z", "2026-02-02"),  # Friday evening is for Monday
        ("B", "2026-02-01T22:00Z", "2026-02-02"),
        ("D", "2026-01-29T22:00Z", "2026-01-30"),
        ("D", "2026-01-30T22:00Z", "2026-02-02"),
        ("QE", "2026-01-30T22:00Z", "2026-03-31"),
        ("YE", "2026-12-31T14:30Z", "2027-12-31"),
        (pd.offsets.BMonthEnd(), "2026-01-29T22:00Z", "2026-01-30"),
    ],
)
def test_a_row_counts_for_the_first_period_that_could_know_it(freq: Any, moment: str, expected: str) -> None:
    found = to_monthly(make_rows([moment]), freq)
    assert found["period"].tolist() == [pd.Timestamp(expected)]
    assert found["available_at"].tolist() == [pd.Timestamp(moment)]


@pytest.mark.parametrize(
    ("known_by", "timezone", "expected"),
    [
        ("16:00", "America/New_York", "2026-01-30"),
        (time(16), "America/New_York", "2026-01-30"),
        ("15:00", "UTC", "2026-01-30"),
        ("14:00", "UTC", "2026-02-27"),
        ("23:00", "Asia/Tokyo", "2026-02-27"),
        ("00:30", "Pacific/Auckland", "2026-02-27"),
        ("00:30", "America/Adak", "2026-02-27"),
        ("23:30", "America/Adak", "2026-01-30"),
    ],
)
def test_the_deadline_is_a_time_of_day_somewhere(known_by: Any, timezone: str, expected: str) -> None:
    found = to_monthly(make_rows(["2026-01-30T14:45Z"]), "BME", known_by, timezone)
    assert found["period"].tolist() == [pd.Timestamp(expected)]


def test_the_first_label_may_lie_on_the_day_before_in_utc() -> None:
    found = to_monthly(make_rows(["2026-01-31T02:00Z"]), "BME", "22:00")
    assert found["period"].tolist() == [pd.Timestamp("2026-01-30")]


EASTER = weekdays("2013-03-25", 4) + weekdays("2013-04-01", 25)
"""Sessions around Good Friday, 2013-03-29: the last business day of a month, and no session."""


@pytest.mark.parametrize(
    ("freq", "label", "last_sealed_before", "next_label"),
    [
        ("BME", "2013-03-29", "2013-03-27", "2013-04-30"),
        ("W-FRI", "2013-03-29", "2013-03-27", "2013-04-05"),
        ("ME", "2013-03-31", "2013-03-27", "2013-04-30"),
    ],
)
def test_a_label_on_a_holiday_holds_nothing_of_the_session_before_it(
    freq: str, label: str, last_sealed_before: str, next_label: str
) -> None:
    rows = make_rows([f"{day}T21:00Z" for day in EASTER]).assign(session_date=pd.to_datetime(EASTER))
    found = to_monthly(rows, freq).set_index("period")
    assert found["available_at"][label] == pd.Timestamp(f"{last_sealed_before}T21:00Z")
    is_in = (rows["session_date"] > last_sealed_before) & (rows["session_date"] < next_label)
    assert found["story_count"][next_label] == rows["story_count"][is_in].sum()


def test_an_open_period_takes_every_weekday_for_a_session_until_it_knows_better() -> None:
    rows = make_rows([f"{day}T21:00Z" for day in EASTER]).assign(session_date=pd.to_datetime(EASTER))
    still_open, over = to_monthly(rows.head(4)), to_monthly(rows.head(5))
    assert still_open["period"].tolist() == [pd.Timestamp("2013-03-29")]
    assert over["period"].tolist() == [pd.Timestamp("2013-03-29"), pd.Timestamp("2013-04-30")]
    assert still_open["available_at"].tolist() == [pd.Timestamp("2013-03-28T21:00Z")]
    assert over["available_at"].tolist() == [pd.Timestamp("2013-03-27T21:00Z"), pd.Timestamp("2013-04-01T21:00Z")]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 200), st.integers(0, 60)), min_size=2, max_size=60, unique_by=lambda row: row[0]),
    st.sampled_from(["BME", "ME", "W-FRI", "W-SUN", "B", "D", "QE", "SME"]),
)
def test_no_period_knows_what_came_after_its_last_sessions_bell(sessions: list[tuple[int, int]], freq: str) -> None:
    """Any days may be sessions: all others are holidays."""
    first = pd.Timestamp("2025-09-01")
    days = [first + pd.Timedelta(days=number) for number, _ in sessions]
    moments = [str(day + pd.Timedelta(hours=21 + late)) for day, (_, late) in zip(days, sessions, strict=True)]
    found = to_monthly(make_rows(moments).assign(session_date=days), freq)
    for row in found[found["period"] <= max(days)].itertuples():
        last = max(day for day in days if day <= row.period)
        assert row.available_at < (last + pd.Timedelta("9h30min")).tz_localize("America/New_York")


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.integers(0, 24 * 500), min_size=1, max_size=25),
    st.sampled_from(["BME", "ME", "W-FRI", "W-SUN", "B", "D", "QE", "BQE", "SME"]),
    st.sampled_from([time(0), time(9, 30), time(16), time(23, 59, 59)]),
    st.sampled_from(
        ["America/New_York", "UTC", "Asia/Tokyo", "Pacific/Kiritimati", "Pacific/Pago_Pago", "Europe/London"]
    ),
)
def test_no_row_is_lost_counted_twice_or_known_too_early(
    hours: list[int], freq: str, known_by: time, timezone: str
) -> None:
    start = pd.Timestamp("2025-09-01", tz="UTC")
    rows = make_rows([str(start + pd.Timedelta(hours=number)) for number in sorted(hours)])
    rows["session_date"] = pd.date_range("2025-01-01", periods=len(rows))  # before every label: weekdays are sessions
    found = to_monthly(rows, freq, known_by, timezone)
    assert found["story_count"].sum() == rows["story_count"].sum()
    labels = pd.date_range("2025-01-01", "2027-06-30", freq=freq)
    for row in found.to_dict("records"):
        place = labels.get_loc(row["period"])
        deadline, before = (
            datetime.combine(pd.offsets.BDay().rollback(labels[n]).date(), known_by, ZoneInfo(timezone))
            for n in (place, place - 1)
        )
        inside = [(at < deadline) and not (at < before) for at in rows["available_at"]]
        assert row["story_count"] == rows["story_count"][inside].sum()
        assert row["available_at"] == rows["available_at"][inside].max() < deadline


def aggregate_by_hand(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return a period's row from its sessions' rows, one formula after the other."""
    known = [row for row in rows if not math.isnan(row["story_count"])]
    total = {name: sum(row[name] for row in known) if known else math.nan for name in COUNTS}
    count, positive, negative = total["story_count"], total["positive_count"], total["negative_count"]
    result: dict[str, Any] = dict(total)
    for name in WEIGHTED:
        having = [row for row in known if row["story_count"] > 0 and not math.isnan(row[name])]
        weight = sum(row["story_count"] for row in having)
        result[name] = sum(row["story_count"] * row[name] for row in having) / weight if weight else math.nan
    scored = [row for row in known if not math.isnan(row["sentiment_score"])]
    weight = sum(row["story_count"] for row in scored)
    variance = sum(
        row["story_count"]
        * ((0 if math.isnan(row["sentiment_std"]) else row["sentiment_std"]) ** 2
           + (row["sentiment_score"] - result["sentiment_score"]) ** 2)
        for row in scored
    )  # fmt: skip
    result["sentiment_std"] = math.sqrt(variance / weight) if weight > 1 else math.nan
    result["sentiment_min"] = min((row["sentiment_min"] for row in scored), default=math.nan)
    result["sentiment_max"] = max((row["sentiment_max"] for row in scored), default=math.nan)
    result["positive_share"] = positive / count if count > 0 else math.nan
    result["negative_share"] = negative / count if count > 0 else math.nan
    opinions = positive + negative
    result["agreement"] = 1 - math.sqrt(1 - ((positive - negative) / opinions) ** 2) if opinions > 0 else math.nan
    result["bullishness"] = math.log((1 + positive) / (1 + negative)) if count > 0 else math.nan
    for name in ("buzz", *TRAILING):
        values = [row[name] for row in rows if not math.isnan(row[name])]
        result[name] = values[-1] if values else math.nan
    result["status"] = "news" if count > 0 else "no_news" if known else "fetch_failed"
    result["available_at"] = max(row["available_at"] for row in rows)
    return result | {"model_revision": rows[-1]["model_revision"], "schema_version": 1.0}


@pytest.mark.parametrize("freq", ["BME", "W-FRI", "B", "QE"])
def test_every_column_is_what_its_formula_says(frame: pd.DataFrame, freq: str) -> None:
    found = to_monthly(frame, freq)
    assert found.columns.tolist() == [
        "period",
        "ticker",
        "available_at",
        *(c for c in COLUMNS if c not in ("session_date", "ticker", "available_at")),
    ]
    labels = pd.date_range("2026-01-01", "2026-06-30", freq=freq)
    deadlines = [datetime.combine(label.date(), time(9, 30), ZoneInfo("America/New_York")) for label in labels]
    periods: dict[tuple[pd.Timestamp, str], list[dict[str, Any]]] = {}
    for row in frame.to_dict("records"):
        label = next(label for label, at in zip(labels, deadlines, strict=True) if at > row["available_at"])
        periods.setdefault((label, row["ticker"]), []).append(row)
    assert list(zip(found["period"], found["ticker"], strict=True)) == sorted(periods)
    for row, key in zip(found.to_dict("records"), sorted(periods), strict=True):
        for name, value in aggregate_by_hand(periods[key]).items():
            if isinstance(value, float):
                assert row[name] == pytest.approx(value, abs=1e-12, nan_ok=True), (key, name)
            else:
                assert row[name] == value, (key, name)
    if freq == "B":
        assert {"news", "no_news", "fetch_failed"} == set(found["status"])


def test_a_day_aggregated_alone_is_unchanged(frame: pd.DataFrame) -> None:
    found = to_monthly(frame, "B").drop(columns="period")
    pd.testing.assert_frame_equal(
        found[list(COLUMNS[1:])], frame.drop(columns="session_date"), check_exact=False, atol=2e-6
    )


def test_types_are_those_of_the_long_frame(frame: pd.DataFrame) -> None:
    for rows in (frame, frame.head(0)):
        found = to_monthly(rows, fill="neutral")
        assert found["period"].dtype == "datetime64[us]"
        for name in COLUMNS[1:]:
            assert found[name].dtype == frame[name].dtype, name
        assert found["has_news"].dtype == np.dtype("float64")
        assert not found.isna().any().any()


def test_the_order_of_the_rows_does_not_matter(frame: pd.DataFrame) -> None:
    shuffled = frame.sample(frac=1.0, random_state=3)
    pd.testing.assert_frame_equal(to_monthly(shuffled), to_monthly(frame))


def test_neutral_fills_the_result_and_flags_news(frame: pd.DataFrame) -> None:
    plain, filled = to_monthly(frame, "B"), to_monthly(frame, "B", fill="neutral")
    for name, neutral in NEUTRAL.items():
        if name != "has_news":
            assert (filled[name] == plain[name].fillna(neutral)).all()
    assert filled["has_news"].tolist() == (plain["status"] == "news").astype(float).tolist()


def test_some_columns_are_enough(frame: pd.DataFrame) -> None:
    some = frame[["session_date", "ticker", "available_at", "story_count", "sentiment_score", "buzz"]]
    found = to_monthly(some)
    assert found.columns.tolist() == ["period", "ticker", "available_at", "story_count", "sentiment_score", "buzz"]
    pd.testing.assert_frame_equal(found, to_monthly(frame)[found.columns])


def test_a_column_of_a_later_version_keeps_its_last_value(frame: pd.DataFrame) -> None:
    found = to_monthly(frame.assign(surprise_score=range(len(frame)), remark="fine"), "QE")
    assert found["surprise_score"].max() == len(frame) - 1
    assert set(found["remark"]) == {"fine"}


KEY = ["session_date", "ticker", "available_at"]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ([*KEY, "sentiment_score"], "to_monthly: sentiment_score cannot be aggregated: column story_count is missing"),
        ([*KEY, "status"], "to_monthly: status cannot be aggregated: column story_count is missing"),
        (
            [*KEY, "story_count", "positive_share"],
            "positive_share cannot be aggregated: column positive_count is missing",
        ),
        ([*KEY, "agreement"], "agreement cannot be aggregated: column negative_count, positive_count is missing"),
        (
            [*KEY, "story_count", "sentiment_std"],
            "sentiment_std cannot be aggregated: column sentiment_score is missing",
        ),
        (["ticker", "available_at", "buzz"], "to_monthly: column session_date is missing"),
    ],
)
def test_a_column_that_another_needs_is_named(frame: pd.DataFrame, columns: list[str], message: str) -> None:
    with pytest.raises(FeatureStoreError, match=re.escape(message)):
        to_monthly(frame[columns])


@pytest.mark.parametrize("freq", ["2ME", "h", "30min", "never", "", 7, None, "W-XYZ"])
def test_what_is_no_period_is_refused(frame: pd.DataFrame, freq: Any) -> None:
    with pytest.raises(FeatureStoreError, match=re.escape(f"freq {freq!r}: expected one calendar period")):
        to_monthly(frame, freq)


def test_wrong_frames_are_refused(frame: pd.DataFrame) -> None:
    with pytest.raises(FeatureStoreError, match="to_monthly: AAAX is there twice on 2026-01-05"):
        to_monthly(pd.concat([frame, frame]))
    with pytest.raises(FeatureStoreError, match="is filled where there is no story; fill the result instead"):
        to_monthly(frame.fillna(dict(NEUTRAL)))
    counts = frame[[*KEY, "status", "story_count"]]
    with pytest.raises(FeatureStoreError, match="story_count is filled where the fetch failed; fill the result inst"):
        to_monthly(counts.fillna({"story_count": 0.0}))
    to_monthly(counts)
    with pytest.raises(FeatureStoreError, match="to_monthly: available_at holds datetime64"):
        to_monthly(frame.assign(available_at=frame["available_at"].dt.tz_localize(None)))
    for empty in (frame, frame.head(0)):
        with pytest.raises(FeatureStoreError, match="timezone 'Mars': unknown"):
            to_monthly(empty, timezone="Mars")
        with pytest.raises(FeatureStoreError, match="known_by '9h': expected"):
            to_monthly(empty, known_by="9h")
    with pytest.raises(FeatureStoreError, match="fill 'zero': expected"):
        to_monthly(frame, fill="zero")
