"""The same item has one id in every run and feed; different items never share one by accident."""

from __future__ import annotations

import pytest

from pipeline.identity import clean_url, identify

UUID = "3f2b8c1e-0a4d-3c57-9d21-6b1f4e5a7c90"


@pytest.mark.parametrize(
    ("link", "expected"),
    [
        ("https://finance.yahoo.com/news/a.html?.tsrc=rss", "https://finance.yahoo.com/news/a.html"),
        ("https://finance.yahoo.com/a?guccounter=1&guce_referrer=x&id=7", "https://finance.yahoo.com/a?id=7"),
        ("https://seekingalpha.com/news/1-a?source=feed_symbol_AAPL", "https://seekingalpha.com/news/1-a"),
        ("https://seekingalpha.com/news/1-a?source=page", "https://seekingalpha.com/news/1-a?source=page"),
        ("https://www.nasdaq.com/articles/a?time=15984", "https://www.nasdaq.com/articles/a"),
        ("https://example.com/a?time=15984", "https://example.com/a?time=15984"),
        (
            "http://www.marketwatch.com/s.asp?guid=%7BX%7D&siteid=rss&rss=1",
            "http://www.marketwatch.com/s.asp?guid=%7BX%7D",
        ),
        ("https://www.wsj.com/articles/a?mod=rss_markets", "https://www.wsj.com/articles/a"),
        ("https://news.google.com/rss/articles/CBM?oc=5", "https://news.google.com/rss/articles/CBM"),
        ("https://example.com/a?utm_source=x&UTM_Medium=y&b=%20c#part", "https://example.com/a?b=%20c"),
        ("HTTPS://Example.COM/Path", "https://example.com/Path"),
        ("/relative?x=1", "https://example.com/relative?x=1"),
        ("  https://example.com/a \n", "https://example.com/a"),
        ("javascript:alert(1)", ""),
        ("data:text/html,x", ""),
        ("https://[broken/", ""),
        ("https://example.com:port/", ""),
        ("", ""),
    ],
)
def test_an_address_keeps_what_leads_somewhere(link: str, expected: str) -> None:
    assert clean_url(link, "https://example.com/feed.xml") == expected


def name(guid: str = "", url: str = "", source: str = "Wire", title: str = "T", date_text: str = "D") -> str:
    return identify(guid, url, source, title, date_text)


A, B = "https://example.com/a", "https://example.com/b"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (name(UUID, A), name(UUID.upper(), B, "Other")),
        (name("{" + UUID + "}", A), name(UUID, B)),
        (name("urn:tag:sec.gov,2008:accession-number=1", A), name("urn:tag:sec.gov,2008:accession-number=1", B)),
        (name("https://www.nasdaq.com/a?time=1"), name("https://www.nasdaq.com/a?time=2")),
        (name("https://www.nasdaq.com/a?time=1"), name("", "https://nasdaq.com/a/")),
        (name("http://example.com/a"), name("", A)),
        (name("4879882", "https://seekingalpha.com/a"), name("4879882", "https://www.seekingalpha.com/b", "Other")),
        (name("", "http://www.example.com/a/"), name("", A, "Other", "Other title", "Other day")),
        (name("", "", title="Acme: UP"), name("", "", title="acme up")),
    ],
)
def test_the_same_item_has_one_id(one: str, other: str) -> None:
    assert one == other


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (name("1", A), name("2", A)),  # items that share a ticker's page as their link
        (name("1", A), name("1", "https://other.example/a")),  # numbers count only where they were given
        (name("", A), name("", B)),
        (name("", "https://example.com/a?id=1"), name("", "https://example.com/a?id=2")),
        (name("", "", date_text="Monday"), name("", "", date_text="Tuesday")),  # "Market wrap", every day
        (name("", "", source="Wire"), name("", "", source="Other")),
        (name(UUID), name(UUID[:-1] + "1")),
    ],
)
def test_different_items_have_different_ids(one: str, other: str) -> None:
    assert one != other


def test_ids_never_change() -> None:
    """They are stored: a change here is a change of schema."""
    assert [name("1", A), name(UUID, A), name("", A), name()] == [
        "bd6a329e1440892b",
        "864f1857fc894de0",
        "ba47938a39a65879",
        "944d6f0b08381122",
    ]
