"""The evidence of one session to one feature row per ticker of the universe. Pure: pandas in, pandas out.

Three states are kept apart. news: the formulas below. no_news (all feeds answered): counts are 0, scores and shares
empty, because missing is not neutral. fetch_failed (silence means nothing): counts are empty too. Rows decide first: a
ticker with headlines has news, even when one of its feeds failed.

Headlines become stories: of the headlines of one story that concern the ticker, p = mean of the three probabilities,
s = p_positive - p_negative in -1..1, r = highest relevance, published = earliest. A story is positive or negative when
that probability is the single largest one, else neutral. Its weight is w = r for a new story and w = r * stale_weight
for one first seen in an earlier session. P, N and n count positive, negative and all stories.

    headline_count, source_count   distinct headline_id, distinct source
    sentiment_score                sum(w s) / sum(w); empty when every weight is 0
    sentiment_std                  sqrt(sum(w (s - sentiment_score)^2) / sum(w)); empty below 2 stories
    sentiment_min, sentiment_max   smallest and largest s
    positive_share, negative_share P / n, N / n
    bullishness                    ln((1 + P) / (1 + N))                        Antweiler & Frank 2004, J. Finance 59(3)
    agreement                      1 - sqrt(1 - ((P - N) / (P + N))^2); empty when P + N = 0                 same paper
    confidence_mean                mean of each story's largest probability
    relevance_mean                 mean of r
    novel_share                    share of stories not first seen in an earlier session
    overnight_score                sentiment_score of the stories published before the exchange opened that day
    intraday_score                 sentiment_score of the others
    buzz and the columns in _5, _21  see :mod:`pipeline.trailing`

Floats are rounded to 6 decimals; trailing columns are computed from rounded values, so that a reader of the published
files gets the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import numpy as np
import pandas as pd

from .errors import StoreError
from .records import Session
from .schema import SCHEMA_VERSION
from .trailing import add_trailing

PROBABILITIES = ["p_negative", "p_neutral", "p_positive"]
COUNTS = ["headline_count", "story_count", "source_count", "positive_count", "neutral_count", "negative_count"]
SCORES = [
    "sentiment_score",
    "sentiment_std",
    "sentiment_min",
    "sentiment_max",
    "positive_share",
    "negative_share",
    "agreement",
    "bullishness",
    "confidence_mean",
    "relevance_mean",
    "novel_share",
    "overnight_score",
    "intraday_score",
]
_DECIMALS = 6


def aggregate_session(
    evidence: pd.DataFrame,
    history: pd.DataFrame,
    tickers: Sequence[str],
    session: Session,
    failed_tickers: frozenset[str],
    stale_stories: frozenset[str],
    available_at: datetime,
    model_revision: str,
    stale_weight: float,
) -> pd.DataFrame:
    """Return one row per ticker, sorted, in the column order of the feature files.

    Args:
        evidence: the session's headlines, one row per headline x ticker; tickers outside the universe are ignored.
        history: feature rows of earlier sealed sessions; later ones are ignored.
        failed_tickers: tickers whose silence cannot be told from a failed fetch.
        stale_stories: story_id of every story first seen in an earlier session.
        stale_weight: their weight in 0..1, beside 1 for a new story.

    Counts are Int64, everything else a number is float64; an empty cell is NA or NaN.

    Raises:
        StoreError: a headline was published after the session's cut-off.
    """
    _refuse_future(evidence, session)
    universe = sorted(set(tickers))
    headlines = evidence[evidence["ticker"].isin(universe)]
    stories = _tell_stories(headlines, stale_stories, stale_weight)
    rows = _count(headlines, stories).join(_score(stories, session)).reindex(universe)
    is_news = rows["story_count"].notna()
    is_failed = ~is_news & rows.index.isin(list(failed_tickers))
    rows[COUNTS] = rows[COUNTS].astype("Int64").mask(~is_news & ~is_failed, 0)
    rows[SCORES] = rows[SCORES].astype("float64").round(_DECIMALS) + 0.0  # -0.0 becomes 0.0
    rows.insert(0, "status", np.select([is_news, is_failed], ["news", "fetch_failed"], "no_news"))
    rows.insert(1, "available_at", pd.Timestamp(available_at))
    rows.insert(2, "model_revision", model_revision)
    rows.insert(3, "schema_version", SCHEMA_VERSION)
    rows = rows.rename_axis("ticker").reset_index()
    rows.insert(0, "session_date", session.session_date)
    return add_trailing(rows, history, session.session_date, _DECIMALS)


def _refuse_future(evidence: pd.DataFrame, session: Session) -> None:
    future = evidence[evidence["published_at"] > session.cutoff_at] if len(evidence) else evidence
    if len(future):
        first = future.sort_values(["published_at", "headline_id"]).iloc[0]
        raise StoreError(
            f"headlines of session {session.session_date}: {first['headline_id']} was published at "
            f"{first['published_at'].isoformat()}, after the cut-off {session.cutoff_at.isoformat()}"
        )


def _tell_stories(headlines: pd.DataFrame, stale_stories: frozenset[str], stale_weight: float) -> pd.DataFrame:
    """Return one row per ticker x story: p_*, s, relevance, published_at, is_stale, weight and the three label flags.

    Rows are sorted before anything is summed, so that the last digit does not depend on their order.
    """
    keys = ["ticker", "story_id", "headline_id", "relevance", *PROBABILITIES]
    ordered = headlines.astype(dict.fromkeys([*PROBABILITIES, "relevance"], "float64")).sort_values(keys)
    means = dict.fromkeys(PROBABILITIES, "mean")
    stories = ordered.groupby(["ticker", "story_id"]).agg(means | {"relevance": "max", "published_at": "min"})
    stories = stories.reset_index("story_id")
    negative, neutral, positive = (stories[name] for name in PROBABILITIES)
    stories["s"] = positive - negative
    stories["positive"] = positive > np.maximum(neutral, negative)
    stories["negative"] = negative > np.maximum(neutral, positive)
    stories["neutral"] = ~(stories["positive"] | stories["negative"])
    stories["is_stale"] = stories["story_id"].isin(list(stale_stories))
    stories["weight"] = stories["relevance"] * np.where(stories["is_stale"], stale_weight, 1.0)
    return stories


def _count(headlines: pd.DataFrame, stories: pd.DataFrame) -> pd.DataFrame:
    """Return the six counts, one row per ticker with a headline."""
    by_headline, by_story = headlines.groupby("ticker"), stories.groupby("ticker")
    counts = {
        "headline_count": by_headline["headline_id"].nunique(),
        "story_count": by_story.size(),
        "source_count": by_headline["source"].nunique(),
    }
    counts |= {f"{label}_count": by_story[label].sum() for label in ("positive", "neutral", "negative")}
    return pd.DataFrame(counts, columns=COUNTS)


def _score(stories: pd.DataFrame, session: Session) -> pd.DataFrame:
    """Return the scores of one session alone, one row per ticker with a story, not rounded."""
    by_ticker = stories.groupby("ticker")
    positive, negative, count = by_ticker["positive"].sum(), by_ticker["negative"].sum(), by_ticker.size()
    mean = _weighted_mean(stories, stories["s"])
    spread = (stories["s"] - mean.reindex(stories.index)) ** 2
    is_overnight = stories["published_at"] < session.open_at
    scores = {
        "sentiment_score": mean,
        "sentiment_std": np.sqrt(_weighted_mean(stories, spread)).where(count > 1),
        "sentiment_min": by_ticker["s"].min(),
        "sentiment_max": by_ticker["s"].max(),
        "positive_share": positive / count,
        "negative_share": negative / count,
        "agreement": 1 - np.sqrt(1 - ((positive - negative) / (positive + negative)) ** 2),
        "bullishness": np.log((1 + positive) / (1 + negative)),
        "confidence_mean": stories[PROBABILITIES].max(axis=1).groupby("ticker").mean(),
        "relevance_mean": by_ticker["relevance"].mean(),
        "novel_share": 1 - by_ticker["is_stale"].mean(),
        "overnight_score": _weighted_mean(stories[is_overnight], stories["s"][is_overnight]),
        "intraday_score": _weighted_mean(stories[~is_overnight], stories["s"][~is_overnight]),
    }
    return pd.DataFrame(scores, columns=SCORES)


def _weighted_mean(stories: pd.DataFrame, values: pd.Series) -> pd.Series:
    """Return sum(w v) / sum(w) per ticker; NaN where every weight is 0. ``values`` is aligned with ``stories``."""
    weights = stories["weight"].groupby("ticker").sum()
    return (stories["weight"] * values).groupby("ticker").sum() / weights.where(weights > 0)
