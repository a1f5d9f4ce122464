"""Stories to the evidence table, one row per headline x ticker with its score, and back to what is known. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

import numpy as np
import pandas as pd

from .place import Place
from .records import Company, KnownHeadline, Link, StoryHeadline
from .score import Scorer


def score_stories(
    stories: Sequence[StoryHeadline],
    companies: Sequence[Company],
    place_of: Callable[[datetime], Place],
    scorer: Scorer,
    progress: bool = False,
) -> pd.DataFrame:
    """Return the evidence of ``stories``: one row per headline x ticker, in the columns of schema.HEADLINES.

    The model reads (title, company name), so one headline may score differently for two tickers. Probabilities are
    rounded to 6 decimals; sentiment_score = p_positive - p_negative, in -1 to 1. ``progress`` counts on stderr.
    """
    names = {company.ticker: company.name for company in companies}
    pairs = [(story, link) for story in stories for link in story.linked.links]
    scores = scorer.score([(story.linked.headline.title, names[link.ticker]) for story, link in pairs], progress)
    return pd.DataFrame(
        [
            _row(story, link, place_of(story.linked.headline.published_at), probabilities, scorer.revision)
            for (story, link), probabilities in zip(pairs, np.round(scores.astype(float), 6), strict=True)
        ]
    )


def list_known(evidence: pd.DataFrame) -> list[KnownHeadline]:
    """Return one KnownHeadline per headline of ``evidence``, sorted by id, with all tickers it was kept for."""
    tickers = evidence.groupby("headline_id", sort=True).ticker.agg(frozenset)
    heads = evidence.drop_duplicates("headline_id").set_index("headline_id").loc[tickers.index]
    return [
        KnownHeadline(str(head.Index), head.story_id, head.title, head.url, head.published_at.to_pydatetime(), kept_for)
        for head, kept_for in zip(heads.itertuples(), tickers, strict=True)
    ]


def _row(story: StoryHeadline, link: Link, place: Place, probabilities: np.ndarray, revision: str) -> dict[str, object]:
    headline = story.linked.headline
    negative, neutral, positive = probabilities
    return {
        "session_date": place.session_date,
        "ticker": link.ticker,
        "headline_id": headline.headline_id,
        "story_id": story.story_id,
        "published_at": headline.published_at,
        "fetched_at": headline.fetched_at,
        "is_late": place.is_late,
        "date_flag": headline.date_flag,
        "source": headline.source,
        "feed_id": headline.feed_id,
        "title": headline.title,
        "url": headline.url,
        "reason": link.reason,
        "relevance": round(link.relevance, 6),
        "p_negative": negative,
        "p_neutral": neutral,
        "p_positive": positive,
        "sentiment_score": round(positive - negative, 6),
        "model_revision": revision,
    }
