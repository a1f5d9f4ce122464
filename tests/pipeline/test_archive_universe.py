from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from pipeline.config import load_companies
from pipeline.records import Company
from scripts.archive_universe import agree, describe, list_members, main, name_tickers, strip_name


@pytest.mark.parametrize(
    ("name", "bare"),
    [
        ("Apple Inc", "Apple"),
        ("Gap Inc (The)", "Gap"),
        ("The AES Corporation", "AES"),
        ("Merck & Company Inc", "Merck"),
        ("Mylan NV", "Mylan"),
        ("Johnson & Johnson", "Johnson & Johnson"),
        ("Newmont Mining Corporation", "Newmont Mining"),
    ],
)
def test_a_name_loses_its_legal_form(name: str, bare: str) -> None:
    assert strip_name(name) == bare


@pytest.mark.parametrize(
    ("left", "right", "expected"),
    [
        ("Amazoncom Inc", "Amazon", True),
        ("CH Robinson Worldwide Inc", "C.H. Robinson", True),
        ("The Travelers Companies Inc", "Travelers", True),
        ("Twenty-First Century Fox Inc", "Fox Corporation", False),
        ("DTE Energy Company", "DirecTV", False),
    ],
)
def test_names_agree_when_they_begin_alike(left: str, right: str, expected: bool) -> None:
    assert agree(left, right) is expected


def test_members_are_those_of_any_day_of_the_period_under_their_older_symbols() -> None:
    table = pd.DataFrame(
        {
            "ticker": ["AAPL", "BKNG", "GONE", "LATE", "BACK", "BACK"],
            "start_date": ["1996-01-02", "2009-11-06", "1996-01-02", "2016-08-16", "1996-01-02", "2015-03-23"],
            "end_date": [None, None, "2011-07-05", None, "1997-01-15", None],
        }
    )
    assert list_members(table, "2011-07-06", "2016-08-15") == ["AAPL", "BACK", "PCLN"]


def test_a_known_company_keeps_its_name_and_aliases_and_gains_the_archive_s() -> None:
    known = {
        "AMZN": Company("AMZN", "Amazon", ("AWS",), "NASDAQ"),
        "GE": Company("GE", "GE Aerospace", ("GE",), "NYSE"),
    }
    assert describe("AMZN", "Amazoncom Inc", known) == Company("AMZN", "Amazon", ("AWS", "Amazoncom"), "NASDAQ")
    assert describe("GE", "General Electric Company", known) == Company("GE", "General Electric", (), "")


def test_the_most_frequent_name_of_a_ticker_counts() -> None:
    rows = pd.DataFrame({"ticker": ["A", "A", "A", "B", "B"], "name": ["New", "Old", "Old", "Two", "One"]})
    assert name_tickers(rows) == {"A": "Old", "B": "One"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"archive": "absent.csv"}, "absent.csv: expected a table with the columns ticker, name: "),
        ({"archive": "m.csv"}, "m.csv: expected a table with the columns ticker, name: "),
        ({"archive": "empty.csv"}, "empty.csv: expected a table with the columns ticker, name: "),
        ({"membership": "absent.csv"}, "absent.csv: expected a table with the columns ticker, start_date, end_date: "),
        ({"membership": "a.csv"}, "a.csv: expected a table with the columns ticker, start_date, end_date: "),
        ({"start": "2011"}, "--start 2011: expected a date such as 2011-07-06"),
        ({"end": "soon"}, "--end soon: expected a date such as 2011-07-06"),
        ({"start": "2017-01-01"}, "--start 2017-01-01 is after --end 2016-08-15"),
    ],
)
def test_a_file_or_day_that_is_not_usable_is_one_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    changes: dict[str, str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.csv").write_text("ticker,name\nAAPL,Apple Inc\n")
    (tmp_path / "m.csv").write_text("ticker,start_date,end_date\nAAPL,1996-01-02,\n")
    (tmp_path / "empty.csv").write_text("")
    said = {"archive": "a.csv", "membership": "m.csv", "start": "2011-07-06", "end": "2016-08-15"} | changes
    argv = [said["archive"], said["membership"], "--start", said["start"], "--end", said["end"], "--output", "out.csv"]
    assert main(argv) == 1
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out.csv").exists()


def test_the_table_it_writes_is_a_universe(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    archive, membership, output = tmp_path / "a.csv", tmp_path / "m.csv", tmp_path / "out" / "universe.csv"
    archive.write_text('ticker,name\nAAPL,Apple Inc\nXYZ,"Xylo, Yarn & Zinc Inc"\nXYZ,"Xylo, Yarn & Zinc Inc"\n')
    membership.write_text("ticker,start_date,end_date\nAAPL,1996-01-02,\nXYZ,1996-01-02,2012-01-01\nNOPE,1996-01-02,\n")
    argv = [str(archive), str(membership), "--start", "2011-07-06", "--end", "2016-08-15", "--output", str(output)]
    assert main(argv) == 0
    assert [(company.ticker, company.name) for company in load_companies(output)] == [
        ("AAPL", "Apple"),
        ("XYZ", "Xylo, Yarn & Zinc"),
    ]
    assert "written: 2, 1 of them" in capsys.readouterr().out
