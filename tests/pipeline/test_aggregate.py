"""Feature rows: hand-computed values, the three states, and the invariants that hold whatever the evidence."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from random import Random
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal

from pipeline.aggregate import COUNTS, SCORES, aggregate_session
from pipeline.errors import StoreError
from pipeline.records import Session
from pipeline.schema import FEATURES, HEADLINES

UNIVERSE = ("GLO", "ACM", "INI")
FIRST = date(2026, 1, 5)


def session(number: int = 60) -> Session:
    """Return a made-up session: days follow each other without weekends, 14:30 to 21:00 UTC."""
    day = datetime(2026, 1, 5, tzinfo=UTC) + timedelta(days=number)
    close = day.replace(hour=21)
    return Session(day.date(), close - timedelta(days=1), day.replace(hour=14, minute=30), close, close)


TODAY = session()


def row(
    ticker: str,
    headline: str,
    story: str,
    p: Sequence[float],
    *,
    relevance: float = 1.0,
    hour: float = 12,
    source: str = "W",
) -> dict[str, Any]:
    """Return one row of evidence, published at ``hour`` UTC of the session's day; ``p`` in label order."""
    values = {
        "session_date": TODAY.session_date,
        "ticker": ticker,
        "headline_id": headline,
        "story_id": story,
        "published_at": TODAY.cutoff_at - timedelta(hours=21 - hour),
        "fetched_at": TODAY.cutoff_at,
        "is_late": False,
        "source": source,
        "relevance": relevance,
        "p_negative": p[0],
        "p_neutral": p[1],
        "p_positive": p[2],
        "sentiment_score": round(p[2] - p[0], 6),
    }
    return {field.name: values.get(field.name, "") for field in HEADLINES}


def frame(rows: Sequence[dict[str, Any]]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=[field.name for field in HEADLINES])


def run(
    rows: Sequence[dict[str, Any]],
    history: pd.DataFrame | None = None,
    *,
    failed: Sequence[str] = (),
    stale: Sequence[str] = (),
    stale_weight: float = 0.25,
) -> pd.DataFrame:
    return aggregate_session(
        frame(rows),
        pd.DataFrame(columns=[field.name for field in FEATURES]) if history is None else history,
        UNIVERSE,
        TODAY,
        frozenset(failed),
        frozenset(stale),
        TODAY.cutoff_at + timedelta(hours=1),
        "a" * 40,
        stale_weight,
    )


def cells(table: pd.DataFrame, ticker: str) -> dict[str, Any]:
    return table.set_index("ticker").loc[ticker].to_dict()


GOOD, BAD, DULL = (0.1, 0.2, 0.7), (0.8, 0.1, 0.1), (0.2, 0.6, 0.2)

EXAMPLE = [
    row("ACM", "h1", "h1", GOOD, relevance=0.5, hour=13, source="W"),
    row("ACM", "h2", "h1", (0.3, 0.2, 0.5), relevance=1.0, hour=15, source="X"),  # same story: p = .2 .2 .6, s = .4
    row("ACM", "h3", "h3", BAD, relevance=0.5, hour=16, source="W"),  # s = -.7
    row("ACM", "h4", "h0", DULL, relevance=0.8, hour=20, source="W"),  # s = 0, stale: weight .2
]


def test_columns_are_those_of_the_schema_in_order_and_rows_are_the_universe_sorted() -> None:
    table = run(EXAMPLE)
    assert list(table.columns) == [field.name for field in FEATURES]
    assert list(table["ticker"]) == ["ACM", "GLO", "INI"]
    assert set(table["session_date"]) == {TODAY.session_date}
    assert all(str(table[name].dtype) == "Int64" for name in [*COUNTS, "story_count_5", "story_count_21"])
    assert all(table[name].dtype == np.float64 for name in [*SCORES, "buzz", "positive_share_5"])


def test_hand_computed_example() -> None:
    mean = (1 * 0.4 + 0.5 * -0.7 + 0.2 * 0) / 1.7
    spread = (1 * (0.4 - mean) ** 2 + 0.5 * (-0.7 - mean) ** 2 + 0.2 * mean**2) / 1.7
    expected = {
        "status": "news",
        "available_at": pd.Timestamp(TODAY.cutoff_at + timedelta(hours=1)),
        "headline_count": 4,
        "story_count": 3,
        "source_count": 2,
        "positive_count": 1,
        "neutral_count": 1,
        "negative_count": 1,
        "sentiment_score": mean,
        "sentiment_std": math.sqrt(spread),
        "sentiment_min": -0.7,
        "sentiment_max": 0.4,
        "positive_share": 1 / 3,
        "negative_share": 1 / 3,
        "agreement": 0.0,
        "bullishness": 0.0,
        "confidence_mean": (0.6 + 0.8 + 0.6) / 3,
        "relevance_mean": (1 + 0.5 + 0.8) / 3,
        "novel_share": 2 / 3,
        "overnight_score": 0.4,  # h1 came before the open at 14:30
        "intraday_score": 0.5 * -0.7 / 0.7,
    }
    found = cells(run(EXAMPLE, stale=["h0"]), "ACM")
    for name, value in expected.items():
        assert found[name] == (pytest.approx(value, abs=1e-6) if isinstance(value, float) else value), name


def test_floats_have_six_decimals_and_no_negative_zero() -> None:
    table = run(
        [row("ACM", "h1", "h1", (1 / 3, 1 / 3, 1 / 3)), row("ACM", "h2", "h2", (0.3333333, 0.3333334, 0.3333333))]
    )
    scores = table[SCORES].to_numpy()
    known = scores[~np.isnan(scores)]
    assert (known == known.round(6)).all()
    assert not np.signbit(known[known == 0]).any()


def test_three_states_are_kept_apart() -> None:
    table = run(EXAMPLE, failed=["ACM", "GLO"])
    assert list(table["status"]) == ["news", "fetch_failed", "no_news"]  # headlines decide before failed feeds do
    assert table.loc[1, COUNTS].isna().all()
    assert (table.loc[2, COUNTS] == 0).all()
    assert table.loc[[1, 2], SCORES].isna().all(axis=None)


@pytest.mark.parametrize("evidence", [[], [row("XYZ", "h1", "h1", GOOD)]])
def test_evidence_about_nobody_in_the_universe_is_no_news(evidence: list[dict[str, Any]]) -> None:
    table = run(evidence)
    assert set(table["status"]) == {"no_news"}
    assert (table[COUNTS] == 0).all(axis=None)


@pytest.mark.parametrize(
    ("positive", "negative", "agreement", "bullishness"),
    [
        (0, 0, None, 0.0),  # nobody takes a side: no agreement to measure
        (3, 0, 1.0, math.log(4)),
        (0, 2, 1.0, -math.log(3)),
        (2, 2, 0.0, 0.0),
        (3, 1, 1 - math.sqrt(0.75), math.log(2)),
    ],
)
def test_agreement_and_bullishness(positive: int, negative: int, agreement: float | None, bullishness: float) -> None:
    rows = [row("ACM", f"p{i}", f"p{i}", GOOD) for i in range(positive)]
    rows += [row("ACM", f"n{i}", f"n{i}", BAD) for i in range(negative)]
    found = cells(run([*rows, row("ACM", "d", "d", DULL)]), "ACM")
    assert found["bullishness"] == pytest.approx(bullishness, abs=1e-6)
    assert (
        math.isnan(found["agreement"])
        if agreement is None
        else found["agreement"] == pytest.approx(agreement, abs=1e-6)
    )


@pytest.mark.parametrize(
    ("p", "label"),
    [
        (GOOD, "positive"),
        (BAD, "negative"),
        (DULL, "neutral"),
        ((0.4, 0.2, 0.4), "neutral"),
        ((0.4, 0.4, 0.2), "neutral"),
    ],
)
def test_a_story_counts_once_under_its_label_and_a_tie_is_neutral(p: Sequence[float], label: str) -> None:
    found = cells(run([row("ACM", "h1", "h1", p)]), "ACM")
    assert {name: found[name] for name in COUNTS[3:]} == {
        f"{name}_count": int(name == label) for name in ("positive", "neutral", "negative")
    }


def test_one_story_has_no_spread_and_stale_news_alone_without_weight_has_no_score() -> None:
    found = cells(run([row("ACM", "h1", "h1", GOOD)], stale=["h1"], stale_weight=0.0), "ACM")
    assert math.isnan(found["sentiment_score"])
    assert math.isnan(found["sentiment_std"])
    assert found["positive_share"] == 1.0
    assert found["novel_share"] == 0.0


@pytest.mark.parametrize(
    ("hour", "column"),
    [(14.4999, "overnight_score"), (14.5, "intraday_score"), (21, "intraday_score"), (-3, "overnight_score")],
)
def test_the_open_divides_overnight_from_intraday(hour: float, column: str) -> None:
    found = cells(run([row("ACM", "h1", "h1", GOOD, hour=hour)]), "ACM")
    assert [name for name in ("overnight_score", "intraday_score") if not math.isnan(found[name])] == [column]


def test_nothing_after_the_cutoff_may_count() -> None:
    late = row("XYZ", "h9", "h9", GOOD, hour=21.001)
    with pytest.raises(StoreError, match=f"session {TODAY.session_date}: h9 was published at .* after the cut-off"):
        run([*EXAMPLE, late])


def past_row(
    number: int, ticker: str, stories: int | None, positive: int = 0, negative: int = 0, score: float = 0.0
) -> dict[str, Any]:
    status = "fetch_failed" if stories is None else "news" if stories else "no_news"
    values = {
        "session_date": session(number).session_date,
        "ticker": ticker,
        "status": status,
        "story_count": stories,
        "positive_count": None if stories is None else positive,
        "negative_count": None if stories is None else negative,
        "sentiment_score": score if stories else math.nan,
    }
    return {field.name: values.get(field.name) for field in FEATURES}


def past(rows: Sequence[dict[str, Any]]) -> pd.DataFrame:
    table = pd.DataFrame(rows, columns=[field.name for field in FEATURES])
    return table.astype(dict.fromkeys(["story_count", "positive_count", "negative_count"], "Int64"))


WEEK = [(4, 2, 1, 0.5), (0, 0, 0, 0.0), (None, 0, 0, 0.0), (2, 0, 2, -0.4)]


def week_of(ticker: str) -> list[dict[str, Any]]:
    return [past_row(56 + i, ticker, *values) for i, values in enumerate(WEEK)]


def test_trailing_window_by_hand() -> None:
    found = cells(run(EXAMPLE, past(week_of("ACM")), stale=["h0"]), "ACM")
    today = round(0.05 / 1.7, 6)
    assert found["story_count_5"] == 4 + 0 + 2 + 3  # the failed session is unknown: skipped, not 0
    assert found["sentiment_score_5"] == pytest.approx((4 * 0.5 + 2 * -0.4 + 3 * today) / 9, abs=1e-6)
    assert found["positive_share_5"] == pytest.approx((2 + 0 + 1) / 9, abs=1e-6)
    assert found["negative_share_5"] == pytest.approx((1 + 2 + 1) / 9, abs=1e-6)
    assert pd.isna(found["story_count_21"])
    assert math.isnan(found["sentiment_score_21"])


def test_a_failed_session_still_looks_back_on_the_others() -> None:
    found = cells(run([], past(week_of("ACM")), failed=["ACM"]), "ACM")
    assert found["story_count_5"] == 6
    assert found["positive_share_5"] == pytest.approx(2 / 6, abs=1e-6)
    assert math.isnan(found["buzz"])


def test_a_window_without_a_story_counts_zero_and_scores_nothing() -> None:
    quiet = past([past_row(56 + i, "ACM", 0) for i in range(4)])
    found = cells(run([], quiet), "ACM")
    assert found["story_count_5"] == 0
    assert math.isnan(found["sentiment_score_5"])
    assert math.isnan(found["positive_share_5"])


def test_a_window_that_is_all_unknown_is_empty() -> None:
    found = cells(run([], past([past_row(56 + i, "ACM", None) for i in range(4)]), failed=["ACM"]), "ACM")
    assert pd.isna(found["story_count_5"])


def test_a_ticker_new_to_the_universe_has_no_window_until_it_has_every_session() -> None:
    history = past([*week_of("ACM"), *week_of("GLO")[1:]])
    table = run([*EXAMPLE, row("GLO", "g", "g", GOOD)], history)
    assert not pd.isna(cells(table, "ACM")["story_count_5"])
    assert pd.isna(cells(table, "GLO")["story_count_5"])


def test_the_long_window_covers_twenty_one_sessions() -> None:
    history = past([past_row(30 + i, "ACM", 1000 if i < 10 else 2, 1, 0, 0.5) for i in range(30)])
    found = cells(run([], history), "ACM")
    assert found["story_count_21"] == 20 * 2
    assert found["sentiment_score_21"] == 0.5
    assert found["positive_share_21"] == 0.5


@pytest.mark.parametrize(
    ("counts", "buzz"),
    [
        ([1, 1, 2, 2, 4], 3 / 2),
        ([1, 1, 2, 2], None),  # fewer than 5 known sessions
        ([1, 1, 2, 2, None], None),
        ([None, 1, 1, 2, 2, 4], 3 / 2),
        ([0, 0, 0, 0, 0], None),  # no usual amount to compare with
        ([900] + [6] * 21, 0.5),  # only the latest 21
    ],
)
def test_buzz_compares_with_the_usual_amount(counts: list[int | None], buzz: float | None) -> None:
    history = past([past_row(60 - len(counts) + i, "ACM", count) for i, count in enumerate(counts)])
    found = cells(run(EXAMPLE, history), "ACM")["buzz"]
    assert math.isnan(found) if buzz is None else found == pytest.approx(buzz, abs=1e-6)


def test_history_as_read_from_text_dates_works_too() -> None:
    history = past(week_of("ACM"))
    as_text = history.assign(session_date=history["session_date"].astype(str))
    as_stamps = history.assign(session_date=pd.to_datetime(history["session_date"]))
    assert_frame_equal(run(EXAMPLE, as_text), run(EXAMPLE, history))
    assert_frame_equal(run(EXAMPLE, as_stamps), run(EXAMPLE, history))


PROBABILITIES = st.tuples(st.integers(0, 1000), st.integers(0, 1000), st.integers(1, 1000)).map(
    lambda parts: tuple(round(part / sum(parts), 6) for part in parts)
)
ROWS = st.lists(
    st.builds(
        row,
        st.sampled_from(["ACM", "GLO", "XYZ"]),
        st.sampled_from("abcdefghij"),
        st.just(""),
        PROBABILITIES,
        relevance=st.sampled_from([0.2, 0.31, 0.9, 1.0]),
        hour=st.floats(-2, 21),
        source=st.sampled_from("WXY"),
    ),
    max_size=14,
    unique_by=lambda item: (item["ticker"], item["headline_id"]),
).map(lambda rows: [item | {"story_id": f"s{ord(item['headline_id']) % 4}"} for item in rows])
PAST = st.lists(
    st.tuples(
        st.integers(30, 59),
        st.sampled_from(["ACM", "GLO"]),
        st.one_of(st.none(), st.integers(0, 5)),
        st.floats(-1, 1).map(lambda score: round(score, 6)),
    ),
    max_size=40,
    unique_by=lambda item: item[:2],
).map(lambda items: past([past_row(n, ticker, count, count or 0, 0, score) for n, ticker, count, score in items]))
STALE = st.sets(st.sampled_from(["s0", "s1", "s2"]))
few = settings(max_examples=10, deadline=None)


@few
@given(ROWS, PAST, STALE, st.integers(0, 10**6))
def test_the_order_of_rows_does_not_matter(
    rows: list[dict[str, Any]], history: pd.DataFrame, stale: set[str], seed: int
) -> None:
    shuffled = Random(seed).sample(rows, len(rows))
    assert_frame_equal(
        run(shuffled, history.sample(frac=1, random_state=seed), stale=sorted(stale)),
        run(rows, history, stale=sorted(stale)),
        check_exact=True,
    )


@few
@given(ROWS, PAST, STALE)
def test_counts_add_up_and_values_stay_in_their_bounds(
    rows: list[dict[str, Any]], history: pd.DataFrame, stale: set[str]
) -> None:
    table = run(rows, history, stale=sorted(stale))
    assert (table["positive_count"] + table["neutral_count"] + table["negative_count"] == table["story_count"]).all()
    assert (table["story_count"] <= table["headline_count"]).all()
    assert (table["source_count"] <= table["headline_count"]).all()
    assert ((table["status"] == "news") == (table["story_count"] > 0)).all()
    for field in FEATURES:
        if field.minimum is not None:
            assert (table[field.name].dropna() >= field.minimum).all(), field.name
        if field.maximum is not None:
            assert (table[field.name].dropna() <= field.maximum).all(), field.name
    news = table[table["status"] == "news"]
    assert (news["sentiment_min"] <= news["sentiment_score"] + 1e-6).all()
    assert (news["sentiment_score"] <= news["sentiment_max"] + 1e-6).all()


@few
@given(ROWS.filter(bool))
def test_telling_a_story_twice_adds_a_headline_and_nothing_else(rows: list[dict[str, Any]]) -> None:
    first = rows[0]
    before, after = run(rows), run([*rows, first | {"headline_id": "again"}])
    unchanged = ["story_count", "source_count", "novel_share", "relevance_mean"]
    assert_frame_equal(before[unchanged], after[unchanged])
    added = (after["headline_count"] - before["headline_count"]).sum()
    assert added == int(first["ticker"] in UNIVERSE)


@few
@given(ROWS, PAST, PROBABILITIES)
def test_a_headline_for_one_ticker_changes_no_other(
    rows: list[dict[str, Any]], history: pd.DataFrame, p: tuple[float, ...]
) -> None:
    before, after = run(rows, history), run([*rows, row("ACM", "new", "new", p)], history)
    others = before["ticker"] != "ACM"
    assert_frame_equal(before[others], after[others], check_exact=True)
    assert cells(after, "ACM")["story_count"] == cells(before, "ACM")["story_count"] + 1


@few
@given(ROWS, PAST, st.integers(60, 70), st.integers(0, 9))
def test_this_and_later_sessions_in_the_history_change_nothing(
    rows: list[dict[str, Any]], history: pd.DataFrame, number: int, stories: int
) -> None:
    later = past([past_row(number, "ACM", stories, stories, 0, 0.9)])
    assert_frame_equal(run(rows, pd.concat([history, later])), run(rows, history), check_exact=True)
