"""Evidence: one scored row per headline and ticker, and back to what a later run remembers."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from pipeline.evidence import list_known, renew_evidence, score_stories
from pipeline.place import Place
from pipeline.records import Company, Headline, KnownHeadline, Link, LinkedHeadline, StoryHeadline
from pipeline.schema import HEADLINE_TABLE

from ..daily_line import COMPANIES, WordScorer

NOON = datetime(2026, 11, 20, 17, tzinfo=UTC)
DAY, MONDAY = date(2026, 11, 20), date(2026, 11, 23)


BOTH = frozenset({"AAPL", "MSFT"})


class NameScorer(WordScorer):
    """Scores by the company asked about: positive for Apple, negative for the others."""

    def score(self, pairs, progress=False):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
        return super().score([("beats" if company == "Apple" else "misses", "") for _, company in pairs])


def story(*tickers: str) -> StoryHeadline:
    headline = Headline("id", "Apple sues Microsoft", "https://a.example/1", "Wire", "wire", None, (), NOON, NOON)
    return StoryHeadline(LinkedHeadline(headline, tuple(Link(t, 0.5, "name") for t in tickers)), "id", 1.0)


def place(moment: datetime) -> Place:
    return Place(DAY, is_late=False)


def test_one_headline_scores_for_each_company_it_concerns() -> None:
    evidence = score_stories([story("AAPL", "MSFT")], COMPANIES, place, NameScorer())
    assert list(evidence.columns) == list(HEADLINE_TABLE.names)
    assert evidence.ticker.tolist() == ["AAPL", "MSFT"]
    assert evidence.sentiment_score.tolist() == pytest.approx([0.85, -0.7])
    assert (evidence.p_negative + evidence.p_neutral + evidence.p_positive).tolist() == pytest.approx([1, 1])


def test_nothing_in_nothing_out() -> None:
    assert score_stories([], COMPANIES, place, WordScorer()).empty


def test_a_later_run_knows_every_headline_once_with_all_its_tickers() -> None:
    evidence = score_stories([story("AAPL", "MSFT")], COMPANIES, place, WordScorer())
    assert list_known(evidence) == [
        KnownHeadline("id", "id", "Apple sues Microsoft", "https://a.example/1", NOON, BOTH, BOTH)
    ]


def test_a_story_about_a_company_outside_the_universe_is_a_programming_error() -> None:
    with pytest.raises(KeyError):
        score_stories([story("AAPL")], [Company("MSFT", "Microsoft", (), "NASDAQ")], place, WordScorer())


def test_open_evidence_is_renewed_only_where_cutoff_calendar_or_model_changed() -> None:
    evidence = score_stories([story("AAPL", "MSFT")], COMPANIES, place, WordScorer())
    assert renew_evidence(evidence, COMPANIES, place, WordScorer()).equals(evidence)


def test_renewed_evidence_has_one_model_and_the_present_place() -> None:
    scorer = NameScorer()
    scorer.revision = "f" * 40
    evidence = score_stories([story("AAPL", "MSFT")], COMPANIES, place, WordScorer())
    renewed = renew_evidence(evidence, COMPANIES[:1], lambda _: Place(MONDAY, is_late=True), scorer)
    assert renewed.session_date.tolist() == [MONDAY, MONDAY]
    assert renewed.is_late.tolist() == [True, True]
    assert renewed.model_revision.tolist() == ["f" * 40, WordScorer.revision]  # MSFT left the universe
    assert renewed.sentiment_score.tolist() == pytest.approx([0.85, 0.0])
