"""Which companies a headline concerns. The headlines are written for the project; the universe is the S&P 500 table."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.company_names import load_common_words
from pipeline.config import HOME, load_companies
from pipeline.errors import ConfigError
from pipeline.link import Linker, link_headlines
from pipeline.records import Company, Headline

NOW = datetime(2026, 11, 20, 15, tzinfo=UTC)
GAP = Company("GAP", "Gap", (), "NYSE")
BOX = Company("BOX", "Box", (), "NYSE")
UNIVERSE = (*load_companies(HOME / "sp500.csv"), GAP, BOX)
LINKER = Linker(UNIVERSE, load_common_words())


def headline(title: str, feed_ticker: str | None = None, symbols: tuple[str, ...] = ()) -> Headline:
    return Headline(title, title, "", "wire", "wire", feed_ticker, symbols, NOW, NOW)


def tickers(title: str) -> str:
    return " ".join(link.ticker for link in LINKER.link(headline(title)))


@pytest.mark.parametrize(
    ("title", "expected"),
    [
        # plain names, aliases, former names
        ("Microsoft beats on cloud growth", "MSFT"),
        ("Chip maker NVIDIA sets a new record", "NVDA"),
        ("EBay trims its workforce", "EBAY"),
        ("Facebook parent faces new privacy suit", "META"),
        ("Regulators clear Google's purchase of a security start-up", "GOOG GOOGL"),
        ("3M settles earplug claims", "MMM"),
        ("Estee Lauder and Estée Lauder are one firm", "EL"),
        ("Amazon.com opens a warehouse in Leeds", "AMZN"),
        # the longest match wins
        ("Delta Air Lines adds routes to Lisbon", "DAL"),
        ("Bank of America names new finance chief", "BAC"),
        ("Morgan Stanley hires from JPMorgan", "JPM MS"),
        ("General Motors and General Electric sign supply deal", "GE GM"),
        ("American Express outlines travel perks", "AXP"),
        ("American Airlines outlines travel perks", ""),
        ("Wells Fargo closes branches in Ohio", "WFC"),
        ("Goldman Sachs BDC pays a dividend", ""),
        ("GE HealthCare spins off imaging arm", "GEHC"),
        ("Honeywell Aerospace starts trading on its own", "HONA"),
        # several companies in one headline
        ("Amazon, Apple and Meta face EU probe", "AAPL AMZN META"),
        ("Visa, Mastercard win fee appeal", "MA V"),
        ("Better Buy: Visa vs. Mastercard", "MA V"),
        ("Pfizer & Merck end vaccine pact", "MRK PFE"),
        ("GM, Ford recall pickup trucks", "F GM"),
        # words that are also companies
        ("Apple harvest hit by late frost", ""),
        ("Farmers say apple prices will rise", ""),
        ("Apple Valley approves new housing", ""),
        ("Apple unveils thinner phone", "AAPL"),
        ("Tim Cook says Apple will build in Texas", "AAPL"),
        ("Analysts lift price target on homebuilders", ""),
        ("Brokerage raises target price by a fifth", ""),
        ("Target of probe resigns as mayor", ""),
        ("Inflation target stays at 2%, bank says", ""),
        ("Target cuts outlook as shoppers hold back", "TGT"),
        ("Shares of Target slide after weak quarter", "TGT"),
        ("Visa rules tighten for foreign students", ""),
        ("Britain extends visa scheme for nurses", ""),
        ("Visa reports record payments volume", "V"),
        ("EU fines Visa over card fees", "V"),
        ("Gap widens between the wealthy and everyone else", ""),
        ("Pay gap narrows in finance", ""),
        ("Gap Inc to close a third of its stores", "GAP"),
        ("Block trade weighs on bank stocks", ""),
        ("Senators block chip exports", ""),
        ("Block posts surprise profit", "XYZ"),
        ("Block, Inc. files a report on Form 8-K with the SEC", "XYZ"),
        ("H&R Block posts surprise profit", ""),
        ("McCormick & Co lifts prices", "MKC"),
        ("Meta says it will cut 5% of staff", "META"),
        ("A meta analysis of trials", ""),
        ("Box office takings slump", ""),
        ("Ball falls just short of the line", "BALL"),  # a known false link: nothing here tells the ball from the firm
        ("Ball Corp raises can prices", "BALL"),
        ("Intel chief briefs senators on hack", ""),
        ("Intel to build plant in Ohio", "INTC"),
        ("Officials clear GM mustard for planting", ""),
        ("Apa Group builds a hotel", ""),
        ("APA profit falls on gas prices", "APA"),
        ("Oracle of Omaha writes to shareholders", ""),
        # surnames and places
        ("Harrison Ford returns to the screen", ""),
        ("Settlers had to ford the river", ""),
        ("Doug Ford says tariffs hurt", ""),
        ("Ford to cut 3,000 jobs in Europe", "F"),
        ("Ford Motor idles a plant", "F"),
        ("Delta variant closes schools", ""),
        ("Hospitals fill as Delta spreads", ""),
        ("Buffett's Berkshire builds a stake in Chevron", "BRK.B CVX"),
        ("Flooding spreads across the Mekong Delta", ""),
        ("Delta's profit tops forecasts", "DAL"),
        ("Amazon rainforest fires spread", ""),
        ("Ship runs aground on the Amazon River", ""),
        ("Wilbur Ross testifies on trade", ""),
        ("Ross Stores lifts dividend", "ROST"),
        ("Fed's Williams says rates may rise", ""),
        ("Southern California braces for storms", ""),
        ("Southern Company restarts reactor", "SO"),
        ("Progressive Caucus backs bill", ""),
        # indices
        ("Dow falls 200 points as banks slide", ""),
        ("Dow Jones climbs to a record", ""),
        ("Nasdaq ends week higher", ""),
        ("Nasdaq to buy a risk software firm", "NDAQ"),
        ("Start-up prices its Nasdaq IPO", ""),
        ("Dow Inc to shut a cracker in Germany", "DOW"),
        # capitals that say nothing
        ("APPLE SHARES FALL AFTER HOURS", "AAPL"),
        ("TARGET PRICE RAISED FOR MINERS", ""),
        ("Target Shares Jump On Strong Holiday Sales", "TGT"),
        ("Price Target Raised For Regional Banks", ""),
        ("microsoft and nvidia lead tech higher", "MSFT NVDA"),
        ("apple shares slip before launch", "AAPL"),
        ("how to apply for a visa in a day", ""),
        ("best buy ideas for a new year", ""),
        ("bank ups its forecast", ""),
        # spelling and typography
        ("McDonald’s and Lowe’s report on Tuesday", "LOW MCD"),
        ("McDonalds tests a new menu", "MCD"),
        ("AT&amp;T is AT&T once parsed", "T"),
        ("J.P. Morgan and JP Morgan are spelled both ways", "JPM"),
        ("Procter and Gamble raises prices", "PG"),
        ("T-Mobile’s network fails for hours", "TMUS"),
        ("BRIEF-Wal-mart to close stores", "WMT"),
        ("UPDATE 1-Target to raise wages", "TGT"),
        ("Revenue of $207.3M against $3M a year ago", ""),
        # symbols
        ("$AAPL breaks out to a new high", "AAPL"),
        ("$brk.b is no cashtag here but $msft is", "MSFT"),
        ("$BRK.B and $BRK-B and $BRK/B", "BRK.B"),
        ("Prices rise $5 while $XX and $ZZZZ are unknown", ""),
        ("Device maker (NASDAQ: AAPL) opens store", "AAPL"),
        ("Insurer (NYSE:BRK.B) adds to stake", "BRK.B"),
        ("Two to watch (NYSE: F, GM)", "F GM"),
        ("Cloud firm Box (BOX) guides lower", "BOX"),
        ("Railways slip (CSX, UNP)", "CSX UNP"),
        ("Gadget firm of Dover (DE) files papers", ""),
        ("Immigration and Customs Enforcement (ICE) plans raids", ""),
        ("Red Wings 3, Sabres 2 (SO)", ""),
        ("AAPL.O leads <F.N> and BRKb.N", "AAPL BRK.B F"),
        ("NVDA shares slip before results", "NVDA"),
        ("FAST food chains slip as COST of beef rises", ""),
        ("Start-up (NASDAQ: QZQZ) files to list", ""),
        # nothing of the universe
        ("Oil climbs above $90 a barrel", ""),
        ("", ""),
    ],
)
def test_companies_of_a_headline(title: str, expected: str) -> None:
    assert tickers(title) == expected


@pytest.mark.parametrize(
    ("title", "expected"),
    [
        ("Nvidia beats estimates", {"NVDA": (1.0, "name")}),
        ("Facebook beats estimates", {"META": (0.95, "alias")}),
        ("$NVDA beats", {"NVDA": (1.0, "cashtag")}),
        ("Chip stock (NASDAQ: NVDA) beats", {"NVDA": (1.0, "mention")}),
        ("Pfizer sues Moderna and Abbvie", {"PFE": (1.0, "name"), "MRNA": (0.85, "name"), "ABBV": (0.7, "name")}),
        ("46 stocks moving: Tesla, Nike", {"TSLA": (0.5, "name"), "NKE": (0.425, "name")}),
        ("Goldman raises price target on Nvidia", {"GS": (0.38, "alias"), "NVDA": (1.0, "name")}),
        ("Nvidia upgraded by Morgan Stanley", {"MS": (0.4, "name"), "NVDA": (1.0, "name")}),
        ("Citigroup analysts say Nvidia is cheap", {"C": (0.4, "name"), "NVDA": (1.0, "name")}),
        ("Citigroup downgrades Nvidia", {"C": (0.4, "name"), "NVDA": (1.0, "name")}),
        ("Walmart raises outlook for the full year", {"WMT": (1.0, "name")}),
        ("Walmart reiterates its outlook for 2027", {"WMT": (1.0, "name")}),
        ("Pfizer affirms 2026 guidance", {"PFE": (1.0, "name")}),
        ("Verizon upgrades its network", {"VZ": (1.0, "name")}),
        ("Tesla cuts prices; analysts worried", {"TSLA": (1.0, "name")}),
        ("JPMorgan: Nvidia is a top pick", {"JPM": (0.38, "alias"), "NVDA": (1.0, "name")}),
        ("Oil may fall to $40 - Goldman", {"GS": (0.38, "alias")}),
        ("Goldman raises its dividend", {"GS": (0.95, "alias")}),
    ],
)
def test_relevance_and_reason(title: str, expected: dict[str, tuple[float, str]]) -> None:
    found = {link.ticker: (link.relevance, link.reason) for link in LINKER.link(headline(title))}
    assert found == expected


@pytest.mark.parametrize(
    ("symbols", "relevance"),
    [(("F",), 0.6), (("F", "GM"), 0.6), (("F", "GM", "TSLA"), 0.4), (("F", *(f"X{i}" for i in range(29))), 0.04)],
)
def test_a_symbol_among_many_counts_little(symbols: tuple[str, ...], relevance: float) -> None:
    links = {link.ticker: link for link in LINKER.link(headline("Cars in demand", symbols=symbols))}
    assert links["F"].relevance == relevance
    assert links["F"].reason == "symbol"
    assert links.keys() <= {"F", "GM", "TSLA"}


def test_a_feed_alone_is_weak_and_a_name_overrules_it() -> None:
    assert [(k.relevance, k.reason) for k in LINKER.link(headline("Markets wrap", "TGT"))] == [(0.25, "feed")]
    assert [(k.relevance, k.reason) for k in LINKER.link(headline("Target weighs bids", "TGT"))] == [(1.0, "name")]


def test_a_feed_is_evidence_for_an_ambiguous_name_but_not_for_a_known_phrase() -> None:
    assert [k.reason for k in LINKER.link(headline("Target under pressure", None))] == []
    assert [k.reason for k in LINKER.link(headline("Target under pressure", "TGT"))] == ["name"]
    assert [k.reason for k in LINKER.link(headline("Price target under pressure", "TGT"))] == ["feed"]


def test_a_foreign_feed_or_symbol_links_to_nothing() -> None:
    assert LINKER.link(headline("Markets wrap", "QZQZ", ("ZZZZ",))) == ()


def test_dropped_headlines_say_why() -> None:
    crowd = tuple(f"X{i}" for i in range(30))
    items = [headline("Nvidia beats"), headline("Rain tomorrow"), headline("Movers", symbols=("F", *crowd))]
    linked, dropped = link_headlines(items, UNIVERSE, 0.2)
    assert [item.headline.title for item in linked] == ["Nvidia beats"]
    assert [(item.headline.title, item.reason) for item in dropped] == [
        ("Rain tomorrow", "no_ticker"),
        ("Movers", "low_relevance"),
    ]


def test_links_under_the_minimum_are_left_out_of_a_kept_headline() -> None:
    linked, _ = link_headlines([headline("Goldman raises price target on Nvidia")], UNIVERSE, 0.5)
    assert [link.ticker for link in linked[0].links] == ["NVDA"]


PIECES = """Apple apple Target price target Visa Ford Delta Dow Nvidia NVDA $AAPL (NYSE: F) GM, and & Inc says shares to
buy falls Goldman upgrades by - : ’s's BRK.B <F.N> Co. Harrison 46 stocks 3M $3M É ( ) A I"""
WORDS = st.sampled_from(PIECES.split())
TITLES = st.one_of(st.lists(WORDS, max_size=12).map(" ".join), st.text(max_size=40))
SOME_TICKERS = st.sampled_from(["AAPL", "F", "TGT", "GOOGL", "QZQZ"])


@settings(max_examples=200, deadline=None)
@given(TITLES, st.none() | SOME_TICKERS, st.lists(SOME_TICKERS, max_size=4).map(tuple))
def test_links_are_unique_sorted_in_range_and_of_the_universe(
    title: str, feed_ticker: str | None, symbols: tuple[str, ...]
) -> None:
    links = LINKER.link(headline(title, feed_ticker, symbols))
    found = [link.ticker for link in links]
    assert found == sorted(set(found))
    assert set(found) <= {company.ticker for company in UNIVERSE}
    assert all(0 < link.relevance <= 1 for link in links)
    known = {ticker for ticker in (feed_ticker, *symbols) if ticker != "QZQZ"} - {None}
    assert known <= set(found)


@settings(max_examples=12, deadline=None)
@given(st.lists(TITLES, min_size=2, max_size=6, unique=True), st.randoms(use_true_random=False))
def test_a_headline_is_linked_the_same_in_any_company(titles: list[str], chooser: random.Random) -> None:
    items = [headline(title) for title in titles]
    expected = {item.title: LINKER.link(item) for item in items}
    chooser.shuffle(items)
    companies = list(UNIVERSE)
    chooser.shuffle(companies)
    linked, dropped = link_headlines(items, companies, 0.0)
    assert {item.headline.title: item.links for item in linked} == {t: links for t, links in expected.items() if links}
    assert {item.headline.title for item in dropped} == {t for t, links in expected.items() if not links}


@settings(max_examples=60, deadline=None)
@given(TITLES)
def test_share_classes_of_one_name_go_together(title: str) -> None:
    by_name = {link.ticker: link for link in LINKER.link(headline(f"{title} Alphabet says {title}"))}
    assert replace(by_name["GOOG"], ticker="GOOGL") == by_name["GOOGL"]


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        ("word,evidence\n", "expected the columns phrase,evidence"),
        ("phrase,evidence\ntarget,maybe\n", "line 2"),
        ("phrase,evidence\ntarget,word\nTarget,name\n", "line 3"),
        ("phrase,evidence\n,word\n", "line 2"),
    ],
)
def test_a_wrong_table_of_words_is_refused(tmp_path: Path, table: str, expected: str) -> None:
    path = tmp_path / "words.csv"
    path.write_text(table, encoding="utf-8")
    with pytest.raises(ConfigError, match=expected):
        load_common_words(path)
