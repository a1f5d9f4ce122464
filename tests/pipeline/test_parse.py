"""Feeds as they come become headlines as a reader would note them, or one fault."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import FeedError
from pipeline.parse import parse_feed
from pipeline.records import Feed, FetchResult, Headline

FEEDS = Path(__file__).parent.parent / "data" / "feeds"
NOW = datetime(2026, 3, 9, 14, 0, tzinfo=UTC)
FEED = Feed("wire:ACME", "Test Wire", "https://example.com/feed", "ACME")
SHOWN = ("headline_id", "title", "url", "source", "symbols", "published_at", "date_flag")


def parse(body: bytes, content_type: str = "", feed: Feed = FEED, fetched_at: datetime = NOW) -> list[Headline]:
    return parse_feed(FetchResult(feed, fetched_at, "ok", body, content_type, 200), future_tolerance_s=300)


def rss(*items: str) -> bytes:
    channel = "".join(f"<item>{item}</item>" for item in items)
    return f"<rss version='2.0'><channel><title>t</title>{channel}</channel></rss>".encode()


@pytest.mark.parametrize("path", sorted(FEEDS.glob("*.json")), ids=lambda path: path.stem)
def test_each_sample_becomes_the_records_beside_it(path: Path) -> None:
    [sample] = [other for other in FEEDS.glob(f"{path.stem}.*") if other != path]
    shown = [{name: asdict(headline)[name] for name in SHOWN} for headline in parse(sample.read_bytes())]
    assert json.loads(json.dumps(shown, default=lambda moment: moment.isoformat())) == json.loads(
        path.read_text("utf-8")
    )


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("error_page.html", "not a feed: found <!doctype html>, expected RSS or Atom"),
        ("sitemap.xml", "not a feed: found <urlset>, expected RSS or Atom"),
        ("cut_off.xml", "cut off after 2 items, no closing tag"),
        ("bomb.xml", "declares entities or a document type of its own, refused"),
    ],
)
def test_each_spoilt_sample_is_one_fault(name: str, fault: str) -> None:
    with pytest.raises(FeedError, match=f"^{re.escape(fault)}$"):
        parse((FEEDS / name).read_bytes())


def test_every_sample_is_tested() -> None:
    spoilt = {"error_page", "sitemap", "cut_off", "bomb"}
    assert {path.stem for path in FEEDS.iterdir()} == {path.stem for path in FEEDS.glob("*.json")} | spoilt


BOMB = (FEEDS / "bomb.xml").read_text("utf-8")


@pytest.mark.parametrize(
    ("body", "content_type", "fault"),
    [
        (b"", "", "empty answer"),
        (b" \n\t ", "", "empty answer"),
        (b"<?xml version='1.0'?>\n", "", "empty answer"),
        (b"Service unavailable", "", "no markup"),
        (b'{"items": []}', "application/json", "no markup"),
        (b"\0" * 1000, "", "no markup"),
        (b"\x1f\x8b\x08\x00" + bytes(range(60)), "", "not a feed"),
        (b"<opml version='2.0'><body/></opml>", "", "found <opml>"),
        (b"<rss version='2.0'><channel><item><title>a</wrong></channel></rss", "", "cut off"),
        (b"<rss version='2.0'><channel><title>a &bad b</title></channel></rss>", "", "not well-formed XML"),
        (rss("<title>&#99999999999;</title>"), "", "feedparser gave up: OverflowError"),
        (BOMB.encode("utf-16"), "", "declares entities"),
        (BOMB.encode("utf-16-le"), "", "declares entities"),
        (BOMB.encode("utf-16-be"), "", "declares entities"),
        (BOMB.encode("utf-32"), "", "declares entities"),
        (BOMB.encode("utf-8-sig"), "", "declares entities"),
        (BOMB.replace("UTF-8", "utf-7").encode("utf-7"), "text/xml; charset=utf-7", "declares entities"),
        (BOMB.lower().encode(), "", "declares entities"),
        (b"<!-- <rss> -->" + BOMB[39:].encode(), "", "declares entities"),
        (b"\n" * 5_000_000 + b"<", "", "no markup"),
        (b"<!DOCTYPE \n" * 400_000, "", "no markup"),
        (b"<?xml " + b'encoding="a" ' * 300_000, "", "no markup"),
    ],
)
def test_what_is_no_feed_is_one_line(body: bytes, content_type: str, fault: str) -> None:
    with pytest.raises(FeedError) as caught:
        parse(body, content_type)
    assert fault in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("declared", "encoding", "content_type"),
    [
        ("", "utf-8", ""),
        ("UTF-8", "utf-8-sig", ""),
        ("utf-16", "utf-16", ""),
        ("utf-16", "utf-16-le", ""),
        ("utf-16", "utf-16-be", "application/xml"),
        ("ISO-8859-1", "iso-8859-1", "application/atom+xml"),
        ("ISO-8859-1", "iso-8859-1", "text/xml"),
        ("", "windows-1252", ""),
        ("UTF-8", "windows-1252", ""),  # a lie that browsers forgive
        ("", "iso-8859-2", "text/xml; charset=ISO-8859-2"),
        ("no-such-encoding", "utf-8", "text/xml; charset=nonsense"),
    ],
)
def test_every_encoding_gives_the_same_text(declared: str, encoding: str, content_type: str) -> None:
    declaration = f'<?xml version="1.0" encoding="{declared}"?>' if declared else ""
    text = declaration + rss("<title>Café Acmé: über 5</title>").decode()
    assert [headline.title for headline in parse(text.encode(encoding), content_type)] == ["Café Acmé: über 5"]


def test_a_feed_without_items_is_no_news_and_no_fault() -> None:
    assert parse(rss()) == []


@pytest.mark.parametrize("status", ["not_modified", "failed"])
def test_what_was_not_answered_has_no_headlines(status: str) -> None:
    assert parse_feed(FetchResult(FEED, NOW, status), 300) == []


def test_a_body_is_never_taken_for_the_name_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "feed.xml"
    path.write_bytes(rss("<title>from a file</title>"))
    with pytest.raises(FeedError, match="no markup"):
        parse(str(path).encode())


def test_an_item_has_one_id_in_two_feeds_and_two_runs() -> None:
    acme = parse((FEEDS / "yahoo_acme.xml").read_bytes())
    again = parse((FEEDS / "yahoo_acme.xml").read_bytes(), fetched_at=NOW + timedelta(hours=5))
    globex = parse((FEEDS / "yahoo_globex.xml").read_bytes(), feed=replace(FEED, feed_id="wire:GLBX", ticker="GLBX"))
    assert [headline.headline_id for headline in again] == [headline.headline_id for headline in acme]
    assert globex[0].headline_id == acme[1].headline_id
    assert (globex[0].feed_id, globex[0].feed_ticker) == ("wire:GLBX", "GLBX")


words = st.text(alphabet=st.characters(exclude_categories=("Cs", "Cc")), max_size=30)


@settings(max_examples=60)
@given(words, words, words)
def test_any_words_in_any_place_give_sound_headlines(title: str, link: str, date: str) -> None:
    escaped = [text.replace("&", "&amp;").replace("<", "&lt;") for text in (title, link, date)]
    item = "<title>{}</title><link>{}</link><pubDate>{}</pubDate>".format(*escaped)
    for headline in parse(rss(item)):
        assert headline.title
        assert headline.published_at <= headline.fetched_at == NOW
        assert headline.url == "" or headline.url.startswith("http")
        assert re.fullmatch("[0-9a-f]{16}", headline.headline_id)


@settings(max_examples=60)
@given(st.sampled_from(sorted(FEEDS.glob("*.xml"))), st.data())
def test_any_damage_gives_headlines_or_one_fault(path: Path, data: st.DataObject) -> None:
    body = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(body)))
        body[at : at + data.draw(st.integers(0, 40))] = data.draw(st.binary(max_size=4) | st.sampled_from(SHRAPNEL))
    headlines: list[Headline] = []
    with suppress(FeedError):
        headlines = parse(bytes(body))
    assert all(headline.title and headline.published_at <= NOW for headline in headlines)


SHRAPNEL = (b"<![CDATA[", b"]]>", b"&#", b"&x;", b"</link>", b"<link href='http://[x'/>", b"<!--", b"<source/>", b"\0")


CAPTURES = [  # file, headlines, first and last publication, first id
    ("cnbc_world_top_news_2026-03-08.xml", 30, "2026-02-24T23:08:25", "2026-03-08T23:58:37", "c130bac4a49a76fa"),
    ("google_news_fr_be_2020-03-08_trimmed.xml", 1, "2020-03-08T10:32:07", "2020-03-08T10:32:07", "97ae7e6fa9df6f76"),
    ("google_news_search_2026-08-05.xml", 6, "2026-07-23T07:00:00", "2026-08-05T00:00:00", "b87f880163d5011f"),
    ("google_news_search_site_reuters_2026-03-15.xml", 100, "2016-06-06T02:15:43", "2026-03-14T10:01:07", ""),
    ("nytimes_business_2026-03-09.xml", 50, "2026-03-05T15:49:22", "2026-03-08T23:24:20", "784c0cc0bb3542df"),
    ("sec_edgar_getcurrent_all_2025-12-12.atom", 50, "2025-12-12T22:32:53", "2025-12-12T23:02:43", ""),
    ("sec_edgar_getcurrent_form4_2025-12-12.atom", 46, "2025-12-12T22:32:17", "2025-12-12T23:02:43", ""),
    ("seekingalpha_AAPL_2026-03-08.xml", 20, "2026-03-04T01:04:12", "2026-03-08T11:23:46", "f258250bc30f96dc"),
    ("yahoo_headline_2020-08-07_rebuilt.xml", 20, "2020-08-06T15:42:58", "2020-08-07T04:18:13", "a0f5f23e83e780af"),
    ("yahoo_headline_AAPL_2022-05-13_trimmed.xml", 2, "2022-05-13T00:42:09", "2022-05-13T01:39:29", "3bd1bd96584f33ca"),
]


@pytest.mark.parametrize(
    ("name", "count", "first_at", "last_at", "first_id"), CAPTURES, ids=[row[0] for row in CAPTURES]
)
def test_real_feeds_are_read_whole(
    data_dir: Path, name: str, count: int, first_at: str, last_at: str, first_id: str
) -> None:
    fetched_at = datetime(2026, 11, 22, tzinfo=UTC)
    headlines = parse((data_dir / "feeds" / name).read_bytes(), fetched_at=fetched_at)
    moments = sorted(headline.published_at.replace(tzinfo=None).isoformat() for headline in headlines)
    assert (len(headlines), moments[0], moments[-1]) == (count, first_at, last_at)
    assert len({headline.headline_id for headline in headlines}) == count
    assert headlines[0].headline_id == first_id or not first_id
    assert not [headline for headline in headlines if headline.date_flag]
    assert not [headline.title for headline in headlines if re.search(r"&#?\w+;|<\w|\s{2}", headline.title)]
    assert not [headline.url for headline in headlines if re.search(r"tsrc|utm_|source=feed|[?&]oc=", headline.url)]


def test_real_google_titles_are_signed_by_their_publisher_only(data_dir: Path) -> None:
    names = ("google_news_search_site_reuters_2026-03-15.xml", "google_news_search_2026-08-05.xml")
    headlines = [headline for name in names for headline in parse((data_dir / "feeds" / name).read_bytes())]
    assert {headline.source for headline in headlines} == {"Reuters", "OilPrice.com", "BBC", "NBC News"}
    assert not [headline.title for headline in headlines if headline.title.endswith(("Reuters", "OilPrice.com", "BBC"))]


def test_real_seeking_alpha_items_carry_their_symbols(data_dir: Path) -> None:
    headlines = parse((data_dir / "feeds" / "seekingalpha_AAPL_2026-03-08.xml").read_bytes())
    assert all("AAPL" in headline.symbols for headline in headlines)
    assert "BRK.B" in headlines[1].symbols


@pytest.mark.parametrize(
    ("name", "root"),
    [
        ("bloomberg_news_sitemap_2026-03-15.xml", "<urlset>"),
        ("sec_edgar_out_of_range_2025-12-12.html", "<!doctype html>"),
    ],
)
def test_real_answers_that_are_no_feed_are_one_fault(data_dir: Path, name: str, root: str) -> None:
    with pytest.raises(FeedError, match=f"found {root}"):
        parse((data_dir / "feeds" / name).read_bytes())
