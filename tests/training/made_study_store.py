"""A made-up store on disk with headlines of our own words, sealed by the project's own code, and prices to it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.aggregate import aggregate_session
from pipeline.records import Session
from pipeline.sealing import SessionToSeal
from pipeline.sessions import Sessions
from pipeline.store import FeatureStore
from pipeline.trailing import USED

from .made_market import REVISION

STALE_WEIGHT = 0.25
RESTATED = 12
RESTATED_AT = datetime(2020, 12, 1, 12, tzinfo=UTC)
WORDS = ("great gain", "terrible loss", "quiet meeting", "good profit", "bad lawsuit", "happy award", "ugly fraud")
TICKERS = [f"T{n:02}" for n in range(24)] + ["BRK.B"]


def make_study_store(root: Path, prices_path: Path, day_count: int = 45, seed: int = 0) -> Path:
    """Seal ``day_count`` sessions of 25 tickers below ``root``, write prices to ``prices_path``; return ``root``.

    Session number RESTATED is restated at RESTATED_AT, each of its scores turned to its opposite.
    """
    rng = np.random.default_rng(seed)
    sessions = Sessions("XNYS", 0, pd.Timestamp("2019-12-20").date(), pd.Timestamp("2020-12-31").date())
    session, sealed = sessions.parse("2020-01-02"), []
    history = pd.DataFrame(columns=USED)
    earlier: set[str] = set()
    for number in range(day_count):
        evidence = make_evidence(session, number, rng)
        failed = frozenset(TICKERS) if number == 30 else frozenset[str]()
        aggregate = partial(
            aggregate_session,
            history=history,
            tickers=TICKERS,
            session=session,
            failed_tickers=failed,
            stale_stories=frozenset(earlier),
            model_revision=REVISION,
            stale_weight=STALE_WEIGHT,
        )
        rows = aggregate(evidence, available_at=session.cutoff_at + timedelta(hours=1))
        sealed.append(SessionToSeal(rows, evidence, describe(session)))
        if number == RESTATED:
            opposite = turn_scores(evidence)
            anew = aggregate(opposite, available_at=RESTATED_AT)
            restated = SessionToSeal(anew, opposite, describe(session) | {"available_at": RESTATED_AT})
        earlier |= set(evidence["story_id"])
        history = pd.concat([history, rows]).tail(21 * len(TICKERS)) if number else rows
        session = sessions.next(session)
    store = FeatureStore(root)
    store.seal_all(sealed)
    store.restate(restated)
    write_prices(prices_path, [one.rows["session_date"].iloc[0] for one in sealed], rng)
    return root


def make_evidence(session: Session, number: int, rng: np.random.Generator) -> pd.DataFrame:
    """Return two headlines per ticker and session, a few of them of yesterday's stories; none on the 31st day."""
    rows = []
    for ticker in [] if number == 30 else TICKERS:
        for place in range(2):
            told = number - int(number > 0 and rng.random() < 0.2)  # yesterday's story again
            p = np.round(rng.dirichlet([1, 1, 1]), 6)
            rows.append(
                {
                    "ticker": ticker,
                    "headline_id": f"{number:04}{place}{ticker.replace('.', '')}",
                    "story_id": f"{told:04}{place}{ticker.replace('.', '')}",
                    "published_at": session.cutoff_at - timedelta(hours=float(rng.uniform(0, 12))),
                    "title": f"{ticker} reports {WORDS[rng.integers(len(WORDS))]}",
                    "relevance": float(rng.choice([0.5, 1.0])),
                    "p_negative": p[0],
                    "p_neutral": p[1],
                    "p_positive": p[2],
                    "sentiment_score": round(p[2] - p[0], 6),
                }
            )
    columns = ["ticker", "headline_id", "story_id", "published_at", "title", "relevance", "sentiment_score"]
    frame = pd.DataFrame(rows, columns=[*columns, "p_negative", "p_neutral", "p_positive"])
    return frame.assign(
        session_date=session.session_date,
        published_at=pd.to_datetime(frame["published_at"], utc=True),
        fetched_at=pd.to_datetime(frame["published_at"], utc=True),
        is_late=False,
        date_flag="",
        source="wire",
        feed_id="wire",
        url="https://example.org/story",
        reason="symbol",
        model_revision=REVISION,
    )


def turn_scores(evidence: pd.DataFrame) -> pd.DataFrame:
    """Return ``evidence`` with good and bad exchanged, as another model could have scored it."""
    positive, negative = evidence["p_positive"], evidence["p_negative"]
    return evidence.assign(p_positive=negative, p_negative=positive, sentiment_score=-evidence["sentiment_score"])


def describe(session: Session) -> dict[str, object]:
    """Return the manifest row of ``session``."""
    return {
        "session_date": session.session_date,
        "state": "sealed",
        "available_at": session.cutoff_at + timedelta(hours=1),
        "opens_after": session.opens_after,
        "cutoff_at": session.cutoff_at,
        "model_revision": REVISION,
        "code_revision": REVISION,
        "cpu": "made up",
        "feeds_ok": 1,
        "feeds_failed": 0,
    }


def write_prices(path: Path, dates: list[object], rng: np.random.Generator) -> None:
    """Write random walks of TICKERS over ``dates`` as CSV; one ticker is written as BRK-B."""
    frames = []
    for ticker in TICKERS:
        close = 50 * np.exp(np.cumsum(rng.normal(scale=0.01, size=len(dates))))
        opens = close * np.exp(rng.normal(scale=0.005, size=len(dates)))
        table = {"date": dates, "open": opens, "high": opens, "low": opens, "close": close, "volume": 1000}
        frames.append(pd.DataFrame({"ticker": ticker.replace(".", "-"), **table}))
    pd.concat(frames).to_csv(path, index=False)
