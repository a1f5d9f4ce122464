"""The reader beside the line: what the store writes is what is read, and periods follow the line's own formulas."""

from __future__ import annotations

import random
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from feature_store import load_features, to_monthly
from pipeline.aggregate import COUNTS, SCORES, aggregate_session
from pipeline.records import Session
from pipeline.schema import FEATURE_TABLE
from pipeline.store import FeatureStore, SessionToSeal
from pipeline.tables import to_frame
from tests.feature_store.made_store import make_store
from tests.pipeline.made_session import DAY, NEXT_DAY, REVISION, made_evidence, made_manifest_row, made_rows

TICKERS = [f"T{n}" for n in range(40)]
DAYS = [date(2026, 11, day) for day in (2, 3, 4, 5)]


def seal_two_days(root: Path) -> FeatureStore:
    store = FeatureStore(root)
    for day in (DAY, NEXT_DAY):
        store.append_headlines(made_evidence(day))
        store.seal(made_rows(day, ticker=["AAPL", "BRK.B", "NA"]), made_manifest_row(day))
    return store


def require_same(read: pd.DataFrame, written: pd.DataFrame) -> None:
    assert read.columns.tolist() == written.columns.tolist()
    assert read["session_date"].dt.date.tolist() == written["session_date"].tolist()
    for name in written.columns.drop("session_date"):
        if read[name].dtype == np.dtype("float64"):
            np.testing.assert_array_equal(read[name], written[name].astype("float64"))
        else:
            assert read[name].tolist() == written[name].tolist()


def test_what_the_store_seals_is_what_is_read(tmp_path: Path) -> None:
    store = seal_two_days(tmp_path)
    written = pd.concat([store.read_features(day) for day in (DAY, NEXT_DAY)], ignore_index=True)
    require_same(load_features(root=tmp_path), written)


def test_what_the_store_restates_is_read_beside_what_it_sealed(tmp_path: Path) -> None:
    store = seal_two_days(tmp_path)
    first = store.read_features(DAY)
    restated_at = datetime(2027, 1, 4, 12, tzinfo=UTC)
    rows = first.assign(sentiment_score=[0.5, None, 0.25], available_at=pd.Timestamp(restated_at))
    store.restate(SessionToSeal(rows, made_evidence(DAY), made_manifest_row(DAY, available_at=restated_at)))
    require_same(load_features(end=DAY, root=tmp_path), store.read_features(DAY))
    assert load_features(end=DAY, root=tmp_path)["sentiment_score"].iloc[0] == 0.5
    require_same(load_features(end=DAY, root=tmp_path, revision="first"), first)
    require_same(load_features(end=DAY, root=tmp_path, as_of=restated_at - timedelta(seconds=1)), first)


def test_the_made_up_store_of_the_tests_is_one_the_line_can_read(tmp_path: Path) -> None:
    make_store(tmp_path, ["AAPL", "NA"], [DAY, NEXT_DAY], restated={DAY: 2})
    store = FeatureStore(tmp_path)
    written = pd.concat([store.read_features(day) for day in (DAY, NEXT_DAY)], ignore_index=True)
    require_same(load_features(root=tmp_path), written)


def make_session(day: date) -> Session:
    close = datetime(day.year, day.month, day.day, 21, tzinfo=UTC)
    return Session(day, close - timedelta(days=1), close - timedelta(hours=6.5), close, close)


def make_evidence(rng: random.Random) -> pd.DataFrame:
    """Return for every ticker 0 to 8 stories of one headline each, on any of the days, of equal weight."""
    pairs = [(ticker, rng.choice(DAYS)) for ticker in TICKERS for _ in range(rng.randrange(9))]
    positive = [rng.choice([0.0, 1.0, rng.random()]) for _ in pairs]
    negative = [rng.random() * (1 - p) for p in positive]
    return pd.DataFrame(
        {
            "session_date": [day for _, day in pairs],
            "ticker": [ticker for ticker, _ in pairs],
            "headline_id": [f"h{n}" for n in range(len(pairs))],
            "story_id": [f"s{n}" for n in range(len(pairs))],
            "published_at": [make_session(day).open_at for _, day in pairs],
            "source": "Wire",
            "relevance": 1.0,
            "p_negative": negative,
            "p_neutral": [1 - p - n for p, n in zip(positive, negative, strict=True)],
            "p_positive": positive,
        }
    )


def aggregate(evidence: pd.DataFrame, day: date) -> pd.DataFrame:
    available_at = make_session(day).cutoff_at + timedelta(hours=1)
    rows = aggregate_session(
        evidence,
        to_frame(FEATURE_TABLE, []),
        TICKERS,
        make_session(day),
        frozenset(),
        frozenset(),
        available_at,
        REVISION,
        0.5,
    )
    numbers = {name: "float64" for name in rows.columns if pd.api.types.is_numeric_dtype(rows[name].dtype)}
    return rows.astype(numbers).assign(session_date=pd.to_datetime(rows["session_date"]))


OTHERWISE = ("source_count", "neutral_count", "overnight_score", "intraday_score")
SAME = tuple(name for name in (*COUNTS, *SCORES) if name not in OTHERWISE)


@pytest.mark.parametrize("seed", [0, 1])
def test_a_period_is_the_session_that_held_all_its_stories(seed: int) -> None:
    """With equal weights of all stories, aggregating days must give what the line's formulas give for all at once."""
    evidence = make_evidence(random.Random(seed))
    days = pd.concat([aggregate(evidence[evidence["session_date"] == day], day) for day in DAYS], ignore_index=True)
    found, at_once = to_monthly(days), aggregate(evidence, DAYS[-1])
    assert found["ticker"].tolist() == at_once["ticker"].tolist()
    assert found["status"].tolist() == at_once["status"].tolist()
    assert set(found["status"]) == {"news", "no_news"}
    for name in SAME:
        # Daily figures have 6 decimals; a standard deviation near 0 shows their square root.
        tolerance = 1.1e-3 if name == "sentiment_std" else 2e-6
        np.testing.assert_allclose(found[name], at_once[name], atol=tolerance, rtol=0, err_msg=name)
