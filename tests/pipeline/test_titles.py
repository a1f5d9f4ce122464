"""Titles lose markup and signatures, and nothing else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.titles import MAX_TITLE, name_filing, split_publisher, strip_markup


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Acme&#39;s &quot;best&quot; year", 'Acme\'s "best" year'),
        ("Acme&amp;#39;s year", "Acme's year"),
        ("Johnson &amp;amp;amp; Acme", "Johnson & Acme"),
        ("<p>Acme <b>up</b></p>", "Acme up"),
        ("&lt;b&gt;Acme&lt;/b&gt; up", "Acme up"),
        ('Acme <a href="x" title="a > b">up</a>', "Acme up"),
        ("<![CDATA[Acme up]]>", "Acme up"),
        ("AT&T, R&D and S&P 500", "AT&T, R&D and S&P 500"),
        ("Acme&copy in the clear", "Acme&copy in the clear"),
        ("P/E < 10 and yield > 5%", "P/E < 10 and yield > 5%"),
        ("Acme <3 Globex", "Acme <3 Globex"),
        ("Acme\n\t up\u200b&nbsp;5%", "Acme up 5%"),
        ("&nbsp;<br/>", ""),
        ("&#9999999;", "\ufffd"),
    ],
)
def test_markup_goes_and_text_stays(text: str, expected: str) -> None:
    assert strip_markup(text) == expected


@given(st.text(alphabet=st.characters(), max_size=80))
def test_a_title_is_one_line_of_bounded_length(text: str) -> None:
    title = strip_markup(text * 20)
    assert len(title) <= MAX_TITLE
    assert len(title.splitlines()) <= 1


@pytest.mark.parametrize(
    ("title", "publisher", "is_google", "expected"),
    [
        ("Acme up - Reuters", "", False, ("Acme up", "Reuters")),
        ("Acme up | CNBC", "", False, ("Acme up", "CNBC")),
        ("Acme up — wsj", "", False, ("Acme up", "WSJ")),
        ("Acme up | Reuters - Reuters", "Reuters", True, ("Acme up", "Reuters")),
        ("Acme up - The Smallville Ledger", "The Smallville Ledger", False, ("Acme up", "The Smallville Ledger")),
        ("Acme up - The Smallville Ledger", "", True, ("Acme up", "The Smallville Ledger")),
        ("Acme up - The Smallville Ledger", "", False, ("Acme up - The Smallville Ledger", "")),
        ("Acme up - Prices | Anvil.com", "Prices | Anvil.com", True, ("Acme up", "Anvil.com")),
        ("Acme up", "Reuters", True, ("Acme up", "Reuters")),
        ("Acme up - again - Reuters", "Reuters", True, ("Acme up - again", "Reuters")),
        ("Q3 results - a closer look", "", False, ("Q3 results - a closer look", "")),
        ("Acme to buy Globex - sources", "", False, ("Acme to buy Globex - sources", "")),
        ("Shares of Reuters-owned Acme", "", False, ("Shares of Reuters-owned Acme", "")),
        ("Reuters", "Reuters", True, ("Reuters", "Reuters")),
        ("", "", False, ("", "")),
    ],
)
def test_only_a_signature_is_split_off(title: str, publisher: str, is_google: bool, expected: tuple[str, str]) -> None:
    assert split_publisher(title, publisher, is_google) == expected


@pytest.mark.parametrize(
    ("titles", "expected"),
    [
        (["8-K - ACME CORP (0000000002) (Filer)"], "ACME CORP files a report on Form 8-K with the SEC"),
        (
            ["4 - DOE J (0000000001) (Reporting)", "4 - Acme (DE), Inc. (0000000002) (Issuer)"],
            "Acme (DE), Inc. / DOE J files a report on Form 4 with the SEC",
        ),
        (
            ["SC TO-T - BUYER INC (0000000001) (Filed by)", "SC TO-T - TARGET CORP (0000000002) (Subject)"],
            "TARGET CORP / BUYER INC files a report on Form SC TO-T with the SEC",
        ),
        (
            [f"4 - PARTY {letter} (000000000{letter}) (Reporting)" for letter in "12345"],
            "PARTY 1 / PARTY 2 / PARTY 3 files a report on Form 4 with the SEC",
        ),
        (["8-K - ACME (0000000002) (Filer)"] * 2, "ACME files a report on Form 8-K with the SEC"),
        (["Something else"], ""),
        ([], ""),
    ],
)
def test_a_filing_is_named_by_its_company_first(titles: list[str], expected: str) -> None:
    assert name_filing(titles) == expected
