"""One of each headline is kept, near-duplicates become members of one story, and every drop is explained."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from random import Random

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from pipeline.dedupe import Deduplicated, deduplicate
from pipeline.records import Headline, KnownHeadline, Link, LinkedHeadline

NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)
WINDOW = timedelta(hours=72)
DEAL = "Acme to buy Globex for $2.5 billion"


def linked(
    headline_id: str, title: str, tickers: str = "ACM", *, hours: float = 0.0, url: str | None = None, **changes: str
) -> LinkedHeadline:
    """Return a headline; ``tickers`` such as "ACM:name:0.9 GLO" (reason symbol and relevance 1 by default)."""
    published_at = NOON + timedelta(hours=hours)
    parts = [(*text.split(":"), "symbol", "1")[:3] if ":" not in text else text.split(":") for text in tickers.split()]
    links = tuple(Link(ticker, float(relevance), reason) for ticker, reason, relevance in sorted(parts))
    return LinkedHeadline(
        Headline(
            headline_id=headline_id,
            title=title,
            url=f"https://news.test/{headline_id}" if url is None else url,
            source=changes.get("source", "Wire"),
            feed_id=changes.get("feed_id", "wire"),
            feed_ticker=None,
            symbols=(),
            published_at=published_at,
            fetched_at=published_at + timedelta(hours=1),
        ),
        links,
    )


def remembered(item: LinkedHeadline, story_id: str | None = None) -> KnownHeadline:
    headline, tickers = item.headline, frozenset(link.ticker for link in item.links)
    story = story_id or headline.headline_id
    return KnownHeadline(headline.headline_id, story, headline.title, headline.url, headline.published_at, tickers)


def run(items: Sequence[LinkedHeadline], known: Sequence[KnownHeadline] = ()) -> Deduplicated:
    return deduplicate(items, known, 0.8, WINDOW)


def stories_of(result: Deduplicated) -> dict[str, str]:
    return {kept.linked.headline.headline_id: kept.story_id for kept in result.kept}


def drops_of(result: Deduplicated) -> list[tuple[str, str, str]]:
    return [(drop.headline.headline_id, drop.reason, drop.kept_id) for drop in result.dropped]


def test_one_item_in_two_feeds_is_one_headline_with_the_links_of_both() -> None:
    first = linked("a", DEAL, "ACM:feed:0.3", feed_id="yahoo:ACM")
    copy = linked("a", DEAL, "ACM:name:0.9 GLO:feed:0.3", feed_id="yahoo:GLO")
    result = run([copy, first])
    assert [kept.linked.headline for kept in result.kept] == [first.headline]
    assert result.kept[0].linked.links == (Link("ACM", 0.9, "name"), Link("GLO", 0.3, "feed"))
    assert drops_of(result) == [("a", "same_id", "a")]


def test_same_url_keeps_the_earliest_even_over_a_third_headline() -> None:
    items = [
        linked("c", "Third title", hours=2, url="u2"),
        linked("b", "Another title", hours=1, url="u1"),
        linked("b", "Third title", hours=1, url="u2"),
        linked("a", "Another title", url="u1"),
    ]
    result = run(items)
    assert stories_of(result) == {"a": "a"}
    assert drops_of(result) == [("b", "same_url", "a"), ("b", "same_url", "a"), ("c", "same_url", "a")]


def test_items_that_only_share_a_link_are_not_the_same() -> None:
    known = remembered(linked("k", "Acme names a new chief", url="quote/ACM"))
    items = [
        linked("a", DEAL, url="quote/ACM"),
        linked("b", "Acme recalls heaters", url="quote/ACM"),
        linked("c", "Globex misses estimates", "GLO", url="quote/ACM"),
    ]
    result = run(items, [known])
    assert stories_of(result) == {"a": "a", "b": "b", "c": "c"}
    assert result.dropped == ()


def test_headlines_without_a_url_are_not_the_same() -> None:
    result = run([linked("a", DEAL, url=""), linked("b", "Initech opens plant in Ohio", url="")])
    assert stories_of(result) == {"a": "a", "b": "b"}


@pytest.mark.parametrize("again", [linked("a", DEAL), linked("x", DEAL, url="https://news.test/a")])
def test_a_known_headline_is_dropped(again: LinkedHeadline) -> None:
    result = run([again], [remembered(linked("a", DEAL))])
    assert result.kept == ()
    assert drops_of(result) == [(again.headline.headline_id, "already_known", "a")]


def test_a_copy_that_is_known_makes_its_whole_group_known() -> None:
    known = remembered(linked("k", "Acme and Globex: the deal", url="u2"))
    copy = linked("a", "Acme and Globex: the deal", hours=1, url="u2")
    result = run([linked("a", DEAL, url="u1"), copy], [known])
    assert drops_of(result) == [("a", "already_known", "k"), ("a", "same_id", "a")]


def test_a_known_headline_is_kept_again_only_for_new_tickers_and_stays_in_its_story() -> None:
    known = remembered(linked("a", DEAL, "ACM"), story_id="s")
    result = run([linked("a", DEAL, "ACM GLO")], [known])
    assert [link.ticker for link in result.kept[0].linked.links] == ["GLO"]
    assert stories_of(result) == {"a": "s"}


def test_a_copy_for_a_new_ticker_is_kept_as_itself_whether_or_not_the_known_one_is_still_shown() -> None:
    shown = linked("a", "Acme in talks", "ACM", feed_id="yahoo:ACM")
    copy = linked("a", DEAL, "GLO", hours=4, feed_id="yahoo:GLO")
    for batch in ([copy], [shown, copy]):
        [kept] = run(batch, [remembered(shown)]).kept
        assert kept.linked.headline == copy.headline


def test_two_copies_are_one_over_a_known_headline_that_is_no_longer_shown() -> None:
    known = remembered(linked("a", DEAL, "ACM", url="u1"))
    copies = [linked("a", DEAL, "GLO", url="u2"), linked("b", DEAL, "GLO", hours=1, url="u1")]
    assert stories_of(run(copies, [known])) == {"a": "a"}
    assert len(run(copies, [known]).kept) == 1


def test_a_second_telling_joins_the_story_with_its_similarity() -> None:
    result = run([linked("b", "UPDATE 1-Acme to buy rival Globex for $2.5 bln", hours=3), linked("a", DEAL)])
    assert stories_of(result) == {"a": "a", "b": "a"}
    assert result.kept[0].similarity == 1.0
    assert 0.8 <= result.kept[1].similarity < 1.0
    assert result.dropped == ()


def test_a_republished_title_is_a_member_not_a_drop() -> None:
    assert stories_of(run([linked("a", DEAL), linked("b", DEAL, hours=5)])) == {"a": "a", "b": "a"}


def test_a_known_story_takes_in_new_headlines() -> None:
    known = [remembered(linked("m", "Initech names new chief", hours=-9)), remembered(linked("k", DEAL, hours=-20))]
    assert stories_of(run([linked("b", DEAL)], known)) == {"b": "k"}


def test_a_known_story_whose_first_headline_is_forgotten_is_led_by_its_earliest_member() -> None:
    known = [
        remembered(linked("m2", "Acme to purchase Globex", hours=-1), "gone"),
        remembered(linked("m1", DEAL), "gone"),
    ]
    known[0], known[1] = remembered(linked("m2", "Initech names chief", hours=1), "gone"), known[1]
    assert stories_of(run([linked("b", DEAL, hours=2)], known)) == {"b": "gone"}


@pytest.mark.parametrize(("hours", "joined"), [(72, True), (72.001, False), (-72, True), (-72.001, False)])
def test_the_window_reaches_both_ways_from_the_first_headline(hours: float, joined: bool) -> None:
    result = run([linked("b", DEAL, hours=hours)], [remembered(linked("a", DEAL))])
    assert (stories_of(result)["b"] == "a") == joined


def test_members_are_compared_with_the_first_headline_only() -> None:
    short, longer, longest = "Acme opens plant", "Acme opens battery plant", "Acme opens battery plant in Ohio"
    alone = run([linked("h1", longer), linked("h2", longest, hours=1)])
    assert stories_of(alone) == {"h1": "h1", "h2": "h1"}
    chain = run([linked("h0", short), linked("h1", longer, hours=1), linked("h2", longest, hours=2)])
    assert stories_of(chain) == {"h0": "h0", "h1": "h0", "h2": "h2"}


@pytest.mark.parametrize(
    ("left", "right", "joined"),
    [
        ("ACM", "ACM", True),
        ("ACM", "GLO", False),  # no ticker in common: each ticker counts its own story
        ("ACM:name:1", "ACM:name:1 GLO:feed:0.3", True),  # a feed's tag is not in the text
        ("ACM:name:1 GLO:feed:0.3", "ACM:feed:0.3 GLO:name:1", True),  # both carry what the other names
        ("ACM:name:1 MKT:feed:0.3", "GLO:name:1 MKT:feed:0.3", False),  # one feed, two companies
        ("ACM:name:1 GLO:alias:1", "ACM:name:1", False),  # only one names the second company
    ],
)
def test_tickers_must_agree(left: str, right: str, joined: bool) -> None:
    title = "The company declares regular quarterly dividend"
    assert (stories_of(run([linked("a", title, left), linked("b", title, right, hours=1)]))["b"] == "a") == joined


def test_the_most_similar_story_wins() -> None:
    known = [
        remembered(linked("k1", "Acme to buy rival Globex of Ohio for $2.5 billion", hours=-2)),
        remembered(linked("k2", "Acme to buy Globex for $2.5 billion", hours=-1)),
    ]
    assert stories_of(run([linked("b", "Acme buys Globex for $2.5 bln")], known)) == {"b": "k2"}


TITLES = [
    "Acme to buy Globex for $2.5 billion",
    "UPDATE 1-Acme to buy Globex for $2.5 bln",
    "Acme to buy rival Globex for $2.5 billion",
    "Acme to buy Globex for $2.6 billion",
    "Acme shares rise on deal",
    "Acme shares fall on deal",
    "***",
]


def items_with(ids: str) -> st.SearchStrategy[LinkedHeadline]:
    return st.builds(
        linked,
        st.sampled_from(ids),
        st.sampled_from(TITLES),
        st.sampled_from(["ACM", "GLO", "ACM GLO", "ACM:name:0.9", "ACM:feed:0.3 GLO:name:0.5"]),
        hours=st.sampled_from([0, 1, 50, 100]),
        url=st.sampled_from(["", "u1", "u2", "u3", "u4", "u5"]),
    )


ITEMS = items_with("abcdefgh")


@given(st.lists(ITEMS, max_size=9), st.lists(ITEMS, max_size=5), st.integers(0, 10**6))
def test_the_order_of_the_input_does_not_matter(
    items: list[LinkedHeadline], earlier: list[LinkedHeadline], seed: int
) -> None:
    known = [remembered(item) for item in earlier]
    shuffled, shuffled_known = Random(seed).sample(items, len(items)), Random(seed).sample(known, len(known))
    assert run(shuffled, shuffled_known) == run(items, known)


@given(st.lists(ITEMS, max_size=9), st.lists(ITEMS, max_size=5))
def test_every_headline_is_kept_or_dropped_and_every_pair_of_headline_and_ticker_survives(
    items: list[LinkedHeadline], earlier: list[LinkedHeadline]
) -> None:
    known = [remembered(item) for item in earlier]
    result = run(items, known)
    assert len(result.kept) + len(result.dropped) == len(items)
    tickers = {link.ticker for item in items for link in item.links}
    had = {ticker for item in known for ticker in item.tickers}
    assert {link.ticker for kept in result.kept for link in kept.linked.links} <= tickers
    assert tickers - had <= {link.ticker for kept in result.kept for link in kept.linked.links}
    assert all(0.8 <= kept.similarity <= 1 for kept in result.kept)


@given(st.lists(items_with("abc"), max_size=2), st.lists(items_with("abc"), max_size=3))
def test_what_a_feed_still_shows_of_known_headlines_does_not_matter(
    earlier: list[LinkedHeadline], items: list[LinkedHeadline]
) -> None:
    first = run(earlier)
    assume(not first.dropped)  # the id and the url of a dropped copy are not remembered
    known = [remembered(kept.linked, kept.story_id) for kept in first.kept]
    assert run([*earlier, *items], known).kept == run(items, known).kept


@given(st.lists(ITEMS, max_size=9))
def test_seeing_everything_again_keeps_nothing(items: list[LinkedHeadline]) -> None:
    first = run(items)
    again = run([kept.linked for kept in first.kept], [remembered(kept.linked, kept.story_id) for kept in first.kept])
    assert again.kept == ()
    assert {drop.reason for drop in again.dropped} <= {"already_known"}


@given(st.lists(ITEMS, max_size=9))
def test_the_first_headline_of_a_new_story_is_kept_and_is_the_earliest(items: list[LinkedHeadline]) -> None:
    result = run(items)
    published = {kept.linked.headline.headline_id: kept.linked.headline.published_at for kept in result.kept}
    assert all(published[kept.story_id] <= kept.linked.headline.published_at for kept in result.kept)
    assert all(stories_of(result)[kept.story_id] == kept.story_id for kept in result.kept)


def test_an_empty_batch_gives_nothing() -> None:
    assert run([]) == Deduplicated((), ())
