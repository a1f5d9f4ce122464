"""Stories to the evidence table, one row per headline x ticker with its score, and back to what is known. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import datetime

import numpy as np
import pandas as pd

from .place import Place
from .records import TEXT_REASONS, Company, KnownHeadline, Link, StoryHeadline
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


def renew_evidence(
    evidence: pd.DataFrame, companies: Sequence[Company], place_of: Callable[[datetime], Place], scorer: Scorer
) -> pd.DataFrame:
    """Return the evidence of open sessions as it would be captured now.

    Every row is placed by the present calendar and cut-off, and scored by the present model, so that a sealed session
    rests on one cut-off and one model. Rows of tickers that left the universe keep their scores.
    """
    renewed = evidence.drop_duplicates(["headline_id", "ticker"]).reset_index(drop=True)
    places = [place_of(moment.to_pydatetime()) for moment in renewed.published_at]
    renewed["session_date"] = pd.Series([place.session_date for place in places], dtype=object)
    renewed["is_late"] = pd.Series([place.is_late for place in places], dtype=bool)
    names = {company.ticker: company.name for company in companies}
    old = renewed.index[(renewed.model_revision != scorer.revision) & renewed.ticker.isin(list(names))]
    if len(old):
        pairs = [(renewed.title[i], names[renewed.ticker[i]]) for i in old]
        scores = np.round(scorer.score(pairs).astype(float), 6)
        renewed.loc[old, ["p_negative", "p_neutral", "p_positive"]] = scores
        renewed.loc[old, "sentiment_score"] = np.round(scores[:, 2] - scores[:, 0], 6)
        renewed.loc[old, "model_revision"] = scorer.revision
    return renewed


def list_known(evidence: pd.DataFrame) -> list[KnownHeadline]:
    """Return one KnownHeadline per headline of ``evidence``, sorted by id, with all tickers it was kept for."""
    tickers, named = defaultdict(set), defaultdict(set)
    for headline_id, ticker, reason in zip(evidence.headline_id, evidence.ticker, evidence.reason, strict=True):
        tickers[headline_id].add(ticker)
        if reason in TEXT_REASONS:
            named[headline_id].add(ticker)
    heads = evidence.drop_duplicates("headline_id").sort_values("headline_id")
    return [
        KnownHeadline(
            headline_id=head.headline_id,
            story_id=head.story_id,
            title=head.title,
            url=head.url,
            published_at=head.published_at.to_pydatetime(),
            tickers=frozenset(tickers[head.headline_id]),
            named=frozenset(named[head.headline_id]),
        )
        for head in heads.itertuples()
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
