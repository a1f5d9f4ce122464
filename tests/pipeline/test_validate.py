"""The gate: a good session passes every check, each fault fails exactly the check that names it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pandas as pd
import pytest

from pipeline.aggregate import aggregate_session
from pipeline.config import ValidateSettings
from pipeline.errors import RefusedDayError
from pipeline.records import CheckResult, Feed, FetchResult
from pipeline.schema import FEATURE_TABLE
from pipeline.tables import to_frame
from pipeline.validate import check_fetch, check_session, require

from .made_session import NEXT_DAY, REVISION, TICKERS, made_evidence, made_rows, made_session, no_evidence

SETTINGS = ValidateSettings(max_failed_feed_share=0.5, min_headlines=1)
CUTOFF = made_session().cutoff_at


def check(
    rows: pd.DataFrame | None = None,
    evidence: pd.DataFrame | None = None,
    tickers: tuple[str, ...] = TICKERS,
    feeds: tuple[int, int] = (9, 1),
    settings: ValidateSettings = SETTINGS,
) -> list[CheckResult]:
    rows = made_rows() if rows is None else rows
    evidence = made_evidence() if evidence is None else evidence
    return check_session(rows, evidence, tickers, made_session(), feeds[0], feeds[1], settings)


def failures(checks: list[CheckResult]) -> dict[str, str]:
    return {result.name: result.notes for result in checks if not result.is_passed}


def test_a_good_session_passes_every_check_without_a_word() -> None:
    checks = check()
    assert len(checks) == 14
    assert len({result.name for result in checks}) == 14
    assert all(result.is_passed and not result.notes for result in checks)
    require(checks)


def test_what_aggregate_makes_passes() -> None:
    late = made_evidence(published_at=CUTOFF - timedelta(days=2), is_late=True)
    for evidence, failed in ((made_evidence(), "BRK.B"), (late, "BRK.B"), (made_evidence().iloc[:1], "MSFT")):
        rows = aggregate_session(
            evidence, to_frame(FEATURE_TABLE, []), TICKERS, made_session(), frozenset([failed]),
            frozenset(["20a0"]), CUTOFF + timedelta(minutes=10), REVISION, stale_weight=0.25,
        )  # fmt: skip
        assert failures(check(rows, evidence)) == {}


@pytest.mark.parametrize(
    ("changes", "name", "notes"),
    [
        (
            {"sentiment_score": [2.0, None, 0.0]},
            "features match the schema",
            "column sentiment_score: 2.000000 is above",
        ),
        ({"noise": 1}, "features match the schema", "unknown are ['noise']"),
        ({"ticker": ["AAPL", "ABC", "MSFT"]}, "one row per ticker", "missing BRK.B, not in the universe ABC"),
        (
            {"session_date": NEXT_DAY},
            "rows are of this session and sealed after its cut-off",
            "session_date 2026-11-23",
        ),
        (
            {"available_at": CUTOFF - timedelta(seconds=1)},
            "rows are of this session and sealed after its cut-off",
            "AAPL has session_date 2026-11-20, available_at 2026-11-20 20:59:59",
        ),
        (
            {"model_revision": [REVISION, "f" * 40, REVISION]},
            "rows are of this session and sealed after its cut-off",
            "BRK.B has",
        ),
        ({"neutral_count": [1, None, 1]}, "counts add up", "AAPL has headline_count 3, story_count 2"),
        ({"positive_count": [None, None, 0]}, "counts add up", "AAPL has"),
        ({"status": ["no_news", "fetch_failed", "news"]}, "status agrees with the counts", "AAPL has status no_news"),
        ({"status": ["news", "no_news", "news"]}, "status agrees with the counts", "BRK.B has status no_news"),
        ({"novel_share": [None, None, 1.0]}, "status agrees with the counts", "AAPL has status news"),
        ({"relevance_mean": [1.0, 0.5, 1.0]}, "status agrees with the counts", "BRK.B has status fetch_failed"),
        ({"sentiment_score": [0.9, None, 0.0]}, "scores agree with each other", "AAPL has sentiment_score 0.9"),
        ({"positive_share": [0.6, None, 0.0]}, "scores agree with each other", "AAPL has"),
        ({"source_count": [1, None, 1]}, "counts match the headlines", "AAPL has headline_count 3"),
    ],
)
def test_one_fault_in_the_rows_fails_the_check_that_names_it(changes: dict[str, object], name: str, notes: str) -> None:
    found = failures(check(made_rows().assign(**changes)))
    assert notes in found[name]
    assert set(found) - {name} <= {"status agrees with the counts", "headlines were seen before the sealing"}
    with pytest.raises(RefusedDayError, match=name):
        require(check(made_rows().assign(**changes)))


def test_no_news_is_zero_counts_and_empty_scores() -> None:
    silent: dict[str, object] = {
        "status": ["news", "no_news", "news"],
        "headline_count": [3, 0, 1],
        "story_count": [2, 0, 1],
        "source_count": [2, 0, 1],
        "positive_count": [1, 0, 0],
        "neutral_count": [0, 0, 1],
        "negative_count": [1, 0, 0],
    }
    assert failures(check(made_rows(**silent))) == {}
    scored = silent | {"positive_share": [0.5, 0.0, 0.0]}
    assert set(failures(check(made_rows(**scored)))) == {"status agrees with the counts"}


def test_rows_out_of_order_or_twice_are_named() -> None:
    assert failures(check(made_rows().iloc[::-1])) == {"one row per ticker": "not sorted, or not unique"}
    twice = pd.concat([made_rows(), made_rows().iloc[:1]])
    assert "AAPL stands on line 2 already" in failures(check(twice))["features match the schema"]


MOMENT = "headlines lie in the session's window"


@pytest.mark.parametrize(
    ("changes", "is_inside"),
    [
        ({"published_at": CUTOFF}, True),
        ({"published_at": CUTOFF + timedelta(seconds=1)}, False),
        ({"published_at": CUTOFF + timedelta(seconds=1), "is_late": True}, False),
        ({"published_at": CUTOFF - timedelta(days=1, seconds=-1)}, True),
        ({"published_at": CUTOFF - timedelta(days=1)}, True),  # less than a second after it, cut to seconds
        ({"published_at": CUTOFF - timedelta(days=1, seconds=1)}, False),
        ({"published_at": CUTOFF - timedelta(days=1, seconds=1), "is_late": True}, True),
        ({"session_date": NEXT_DAY}, False),
    ],
)
def test_nothing_from_outside_the_window_counts(changes: dict[str, object], is_inside: bool) -> None:
    found = failures(check(evidence=made_evidence(**changes)))
    assert (MOMENT not in found) == is_inside
    assert is_inside or found[MOMENT].endswith(" and 1 more")


@pytest.mark.parametrize(
    ("feeds", "share", "is_enough"),
    [
        ((5, 5), 0.5, True),
        ((4, 5), 0.5, False),
        ((9, 0), 0.0, True),
        ((9, 1), 0.0, False),
        ((0, 9), 1.0, True),
        ((0, 0), 1.0, False),
    ],
)
def test_too_many_failed_feeds_fail_the_session(feeds: tuple[int, int], share: float, is_enough: bool) -> None:
    settings = replace(SETTINGS, max_failed_feed_share=share)
    assert (
        "enough feeds answered since the cut-off" not in failures(check(feeds=feeds, settings=settings))
    ) == is_enough


def test_an_unexpectedly_empty_day_fails() -> None:
    rows = aggregate_session(
        no_evidence(), to_frame(FEATURE_TABLE, []), TICKERS, made_session(), frozenset(), frozenset(),
        CUTOFF + timedelta(minutes=10), REVISION, stale_weight=0.25,
    )  # fmt: skip
    assert failures(check(rows, no_evidence())) == {"enough headlines": "0 headlines, at least 1 expected"}
    assert failures(check(rows, no_evidence(), settings=replace(SETTINGS, min_headlines=0))) == {}
    assert failures(check(settings=replace(SETTINGS, min_headlines=5)))["enough headlines"].startswith("4 headlines")


def test_a_headline_counts_once_however_many_tickers_it_has() -> None:
    evidence = made_evidence(headline_id=["x", "y", "z", "x"])
    found = failures(check(evidence=evidence, settings=replace(SETTINGS, min_headlines=4)))
    assert found["enough headlines"].startswith("3 headlines")


@pytest.mark.parametrize("rows", [pd.DataFrame(), made_rows().astype(object).assign(story_count="many")])
def test_frames_beyond_reading_fail_and_raise_nothing(rows: pd.DataFrame) -> None:
    assert {"features match the schema", "one row per ticker"} & set(failures(check(rows)))
    assert "headlines match the schema" in failures(check(rows, made_evidence().drop(columns="title")))
    assert (
        "'high' is no number" in failures(check(evidence=made_evidence(relevance="high")))["headlines match the schema"]
    )


def many(count: int, score: float) -> tuple[pd.DataFrame, pd.DataFrame, tuple[str, ...]]:
    """Return a session of ``count`` tickers with one headline each, all scored ``score`` but the first."""
    tickers = tuple(f"T{n:02d}" for n in range(count))
    one = made_evidence().iloc[[3] * count].reset_index(drop=True)
    positive = [0.5, *[round(0.5 + score / 2, 6)] * (count - 1)]
    evidence = one.assign(
        ticker=tickers,
        headline_id=[f"h{n:02d}" for n in range(count)],
        story_id=[f"h{n:02d}" for n in range(count)],
        p_neutral=0.0,
        p_positive=positive,
        p_negative=[round(1 - value, 6) for value in positive],
        sentiment_score=[round(2 * value - 1, 6) for value in positive],
    )
    rows = aggregate_session(
        evidence, to_frame(FEATURE_TABLE, []), tickers, made_session(), frozenset(), frozenset(),
        CUTOFF + timedelta(minutes=10), REVISION, stale_weight=0.25,
    )  # fmt: skip
    return rows, evidence, tickers


def test_oddities_warn_and_do_not_stop_the_day() -> None:
    flat, varied = check(*many(12, 0.0)), check(*many(12, 0.4))
    assert failures(flat) == {"scores differ": "12 tickers all score 0.000000"}
    assert failures(varied) == {}
    assert failures(check(*many(9, 0.0))) == {}
    rows, evidence, tickers = many(12, 0.4)
    crowded = check(rows, evidence.assign(ticker=["T00"] * 7 + list(tickers[7:])), tickers)
    assert failures(crowded)["headlines are spread over tickers"] == "7 of 12 are of T00"
    require(flat)


def test_a_refusal_names_every_failed_check_on_one_line() -> None:
    with pytest.raises(RefusedDayError) as refusal:
        require(check(made_rows(neutral_count=[9, None, 1]), no_evidence(), feeds=(0, 3)))
    message = str(refusal.value)
    assert message.startswith("refused, nothing was written; failed: ")
    for part in ("3 of 3 feeds failed", "0 headlines, at least 1", "counts add up: AAPL has", "counts match the headl"):
        assert part in message
    assert "\n" not in message


def fetched(status: str, name: str) -> FetchResult:
    feed = Feed(name, "Wire", f"https://{name}.example/")
    return FetchResult(feed, datetime(2026, 11, 20, tzinfo=UTC), status, fault="HTTP 500" if status == "failed" else "")


def test_a_capture_with_too_many_failed_feeds_names_them() -> None:
    results = [fetched("failed", name) for name in "abcd"] + [fetched("ok", "e"), fetched("not_modified", "f")]
    with pytest.raises(RefusedDayError) as refusal:
        require(check_fetch(results, {"e": "an HTML page"}, SETTINGS))
    assert (
        "5 of 6 feeds failed, at most a share of 0.5 may: a (HTTP 500), b (HTTP 500), c (HTTP 500) and 2 more"
        in str(refusal.value)
    )
    require(check_fetch(results[3:], {}, SETTINGS))
    with pytest.raises(RefusedDayError, match="no feed was read"):
        require(check_fetch([], {}, SETTINGS))
