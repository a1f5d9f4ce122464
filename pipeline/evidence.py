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
    described = describe_stories(stories, companies, place_of)
    return add_scores(described, scorer.score(list_pairs(described), progress), scorer.revision)


def describe_stories(
    stories: Sequence[StoryHeadline], companies: Sequence[Company], place_of: Callable[[datetime], Place]
) -> pd.DataFrame:
    """Return the evidence of ``stories`` without its scores, and beside it the ``company`` name the model will read."""
    names = {company.ticker: company.name for company in companies}
    rows = [
        (*_describe(story, link, place_of(story.linked.headline.published_at)), names[link.ticker])
        for story in stories
        for link in story.linked.links
    ]
    return pd.DataFrame(rows, columns=[*_DESCRIBED, "company"])


def list_pairs(described: pd.DataFrame) -> list[tuple[str, str]]:
    """Return what the model reads of each row: headline and company name."""
    return list(zip(described["title"], described["company"], strict=True))


def add_scores(described: pd.DataFrame, scores: np.ndarray, revision: str) -> pd.DataFrame:
    """Return the evidence of rows from :func:`describe_stories` and their ``scores`` (n, 3), rounded to 6 decimals."""
    negative, neutral, positive = np.round(scores.astype(float), 6).T
    return described.drop(columns="company").assign(
        p_negative=negative,
        p_neutral=neutral,
        p_positive=positive,
        sentiment_score=np.round(positive - negative, 6),
        model_revision=revision,
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


_DESCRIBED = (
    "session_date",
    "ticker",
    "headline_id",
    "story_id",
    "published_at",
    "fetched_at",
    "is_late",
    "date_flag",
    "source",
    "feed_id",
    "title",
    "url",
    "reason",
    "relevance",
)


def _describe(story: StoryHeadline, link: Link, place: Place) -> tuple[object, ...]:
    headline = story.linked.headline
    return (
        place.session_date,
        link.ticker,
        headline.headline_id,
        story.story_id,
        headline.published_at,
        headline.fetched_at,
        place.is_late,
        headline.date_flag,
        headline.source,
        headline.feed_id,
        headline.title,
        headline.url,
        link.reason,
        round(link.relevance, 6),
    )
