"""The gate before the store: checks on what was fetched and on a session's rows. Pure; returns results, raises nothing.

:func:`require` alone raises. A required check that fails keeps the session from being sealed; the others warn.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import pandas as pd

from .config import ValidateSettings
from .errors import RefusedDayError, StoreError
from .records import CheckResult, FetchResult, Session
from .schema import FEATURE_TABLE, HEADLINE_TABLE, Table
from .tables import format_cells, require_valid, to_frame

COUNTS = ("headline_count", "story_count", "source_count", "positive_count", "neutral_count", "negative_count")
SCORES = FEATURE_TABLE.names[FEATURE_TABLE.names.index("sentiment_score") : FEATURE_TABLE.names.index("buzz")]
NEWS_SCORES = ("sentiment_min", "sentiment_max", "positive_share", "negative_share", "confidence_mean", "novel_share")
"""Never empty for a ticker with news; the other scores may be."""

LARGEST_TICKER_SHARE = 0.5
FEWEST_FOR_WARNING = 10
"""Rows below which neither equal scores nor one ticker's lead is remarkable."""

_ROUNDING = 2e-6
_SHOWN = 3


def check_fetch(
    results: Sequence[FetchResult], faults: Mapping[str, str], settings: ValidateSettings
) -> list[CheckResult]:
    """Return the check on one capture: enough feeds answered. ``faults`` are unreadable answers, by feed_id."""
    failed = {result.feed.feed_id: result.fault for result in results if result.status == "failed"} | dict(faults)
    name = "enough feeds answered this capture"
    check = _check_feeds(name, len(results) - len(failed), len(failed), settings.max_failed_feed_share)
    named = _list(f"{feed_id} ({fault})" for feed_id, fault in failed.items())
    return [_result(check.name, "" if check.is_passed else f"{check.notes}: {named}")]


def check_session(
    rows: pd.DataFrame,
    evidence: pd.DataFrame,
    tickers: Iterable[str],
    session: Session,
    feeds_ok: int,
    feeds_failed: int,
    settings: ValidateSettings,
    is_missed: bool = False,
) -> list[CheckResult]:
    """Return the checks on one session before it is sealed.

    ``rows`` are its features, ``evidence`` its headlines, ``tickers`` the universe. What cannot be looked at because a
    frame is not of the schema is left out; the check on that frame has failed then. A missed session is not expected
    to have feeds or headlines: the checks on both only warn.
    """
    features, feature_fault = _conform(FEATURE_TABLE, rows)
    headlines, headline_fault = _conform(HEADLINE_TABLE, evidence)
    max_share = settings.max_failed_feed_share
    checks = [
        _result("features match the schema", feature_fault),
        _result("headlines match the schema", headline_fault),
        _check_feeds("enough feeds answered since the cut-off", feeds_ok, feeds_failed, max_share, not is_missed),
    ]
    if not headline_fault:
        checks += [
            _check_headline_count(headlines, settings.min_headlines, not is_missed),
            _check_window(headlines, session),
            _check_spread(headlines),
        ]
    if not feature_fault:
        checks += [
            _check_tickers(list(rows.get("ticker", ())), sorted(set(tickers))),
            _check_moment(features, session),
            _check_counts(features),
            _check_status(features),
            _check_scores(features),
            _check_variety(features),
        ]
    if not feature_fault and not headline_fault:
        checks += [_check_evidence(features, headlines), _check_first_seen(features, headlines)]
    return checks


def require(checks: Iterable[CheckResult]) -> None:
    """Do nothing if every required check passed.

    Raises:
        RefusedDayError: names every required check that failed, with its evidence, on one line.
    """
    failed = [f"{check.name}: {check.notes}" for check in checks if check.is_required and not check.is_passed]
    if failed:
        raise RefusedDayError("refused, nothing was written; failed: " + "; ".join(failed))


def _conform(table: Table, frame: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """Return ``frame`` as it will be read back, sorted and rounded, or what keeps it from being written."""
    if frame.empty:
        return to_frame(table, []), ""
    try:
        cells = format_cells(table, frame)
        require_valid(table, cells, table.name)
    except StoreError as error:
        return to_frame(table, []), str(error)
    return to_frame(table, cells), ""


def _check_feeds(
    name: str, ok_count: int, failed_count: int, max_failed_share: float, is_required: bool = True
) -> CheckResult:
    total = ok_count + failed_count
    if total and failed_count / total <= max_failed_share:
        return _result(name, "")
    found = f"{failed_count} of {total} feeds failed, at most a share of {max_failed_share:g} may"
    return _result(name, found if total else "no feed was read", is_required)


def _check_headline_count(headlines: pd.DataFrame, min_headlines: int, is_required: bool) -> CheckResult:
    count = headlines["headline_id"].nunique()
    fault = f"{count} headlines, at least {min_headlines} expected" if count < min_headlines else ""
    return _result("enough headlines", fault, is_required)


def _check_window(headlines: pd.DataFrame, session: Session) -> CheckResult:
    """Nothing after the cut-off counts, and nothing from before the window unless it is marked late.

    A time is cut to seconds in the store, so that one just after the opening may look as if it lay on it.
    """
    is_other = headlines["session_date"] != session.session_date
    is_early = (headlines["published_at"] < session.opens_after) & ~headlines["is_late"]
    is_outside = is_other | is_early | (headlines["published_at"] > session.cutoff_at)
    wrong = headlines[is_outside].drop_duplicates("headline_id")
    found = (f"{row.headline_id} of session {row.session_date} at {row.published_at}" for row in wrong.itertuples())
    return _result("headlines lie in the session's window", _list(found))


def _check_tickers(found: list[str], expected: list[str]) -> CheckResult:
    missing, unknown = _list(sorted(set(expected) - set(found))), _list(sorted(set(found) - set(expected)))
    faults = [f"missing {missing}"] * bool(missing) + [f"not in the universe {unknown}"] * bool(unknown)
    if not faults and found != expected:
        faults = ["not sorted, or not unique"]
    return _result("one row per ticker", ", ".join(faults))


def _check_moment(features: pd.DataFrame, session: Session) -> CheckResult:
    wrong = features[
        (features["session_date"] != session.session_date)
        | (features["available_at"] < session.cutoff_at)
        | (features["available_at"] != features["available_at"].iloc[:1].squeeze())
        | (features["model_revision"] != features["model_revision"].iloc[:1].squeeze())
    ]
    names = ("session_date", "available_at", "model_revision")
    return _result("rows are of this session and sealed after its cut-off", _list_cells(wrong, names))


def _check_counts(features: pd.DataFrame) -> CheckResult:
    known = features[features["story_count"].notna()]
    labels = known["positive_count"] + known["neutral_count"] + known["negative_count"]
    adds_up = (
        (labels == known["story_count"])
        & (known["story_count"] <= known["headline_count"])
        & (known["source_count"] <= known["headline_count"])
    )
    wrong = known[~adds_up.fillna(False).astype(bool)]
    return _result("counts add up", _list_cells(wrong, COUNTS))


def _check_status(features: pd.DataFrame) -> CheckResult:
    counts, scores = features[list(COUNTS)], features[list(SCORES)]
    has_all = counts.notna().all(axis=1)
    is_zero, is_silent = has_all & (counts.fillna(0) == 0).all(axis=1), scores.isna().all(axis=1)
    is_news = has_all & (counts["story_count"].fillna(0) > 0) & features[list(NEWS_SCORES)].notna().all(axis=1)
    is_failed = counts.isna().all(axis=1) & is_silent
    agrees = (
        ((features["status"] == "news") & is_news)
        | ((features["status"] == "no_news") & is_zero & is_silent)
        | ((features["status"] == "fetch_failed") & is_failed)
    )
    return _result("status agrees with the counts", _list_cells(features[~agrees], ("status", *COUNTS[:2])))


def _check_scores(features: pd.DataFrame) -> CheckResult:
    low, score, high = (features[f"sentiment_{name}"] for name in ("min", "score", "max"))
    is_wrong = (score < low - _ROUNDING) | (score > high + _ROUNDING) | (low > high)
    for label in ("positive", "negative"):
        expected = features[f"{label}_count"].astype("float64") / features["story_count"].astype("float64")
        is_wrong |= (features[f"{label}_share"] - expected).abs() > _ROUNDING
    names = ("sentiment_score", "sentiment_min", "sentiment_max", "positive_share", "negative_share")
    return _result("scores agree with each other", _list_cells(features[is_wrong], names))


def _check_evidence(features: pd.DataFrame, headlines: pd.DataFrame) -> CheckResult:
    """What is counted is what is kept as evidence; of a failed ticker nothing is counted."""
    known = features[features["headline_count"].notna()].set_index("ticker")
    by_ticker = headlines.groupby("ticker")
    ids = {"headline_count": "headline_id", "story_count": "story_id", "source_count": "source"}
    is_wrong = pd.Series(False, index=known.index)
    for count, name in ids.items():
        is_wrong |= known[count] != by_ticker[name].nunique().reindex(known.index, fill_value=0)
    return _result("counts match the headlines", _list_cells(known[is_wrong].reset_index(), tuple(ids)))


def _check_first_seen(features: pd.DataFrame, headlines: pd.DataFrame) -> CheckResult:
    """No row is available before the headlines it rests on were seen, whatever the clock did in between."""
    available_at = features["available_at"].max()
    wrong = headlines[headlines["fetched_at"] > available_at].drop_duplicates("headline_id")
    found = (f"{row.headline_id} at {row.fetched_at}, sealed at {available_at}" for row in wrong.itertuples())
    return _result("headlines were seen before the sealing", _list(found))


def _check_variety(features: pd.DataFrame) -> CheckResult:
    scores = features["sentiment_score"].dropna()
    is_flat = len(scores) >= FEWEST_FOR_WARNING and scores.nunique() == 1
    fault = f"{len(scores)} tickers all score {scores.iloc[0]:.6f}" if is_flat else ""
    return _result("scores differ", fault, is_required=False)


def _check_spread(headlines: pd.DataFrame) -> CheckResult:
    counts = headlines["ticker"].value_counts()
    is_uneven = len(headlines) >= FEWEST_FOR_WARNING and counts.iloc[0] / len(headlines) > LARGEST_TICKER_SHARE
    fault = f"{counts.iloc[0]} of {len(headlines)} are of {counts.index[0]}" if is_uneven else ""
    return _result("headlines are spread over tickers", fault, is_required=False)


def _result(name: str, fault: str, is_required: bool = True) -> CheckResult:
    return CheckResult(name, is_required, not fault, fault)


def _list_cells(rows: pd.DataFrame, names: Sequence[str]) -> str:
    return _list(
        f"{row['ticker']} has " + ", ".join(f"{name} {row[name]}" for name in names) for _, row in rows.iterrows()
    )


def _list(found: Iterable[str]) -> str:
    """Return the first few of ``found`` and how many more there are; nothing for none."""
    items = list(found)
    more = f" and {len(items) - _SHOWN} more" if len(items) > _SHOWN else ""
    return ", ".join(items[:_SHOWN]) + more
