"""The two universe tables that ship with the project."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from pipeline.company_names import load_common_words
from pipeline.config import HOME, load_companies
from pipeline.link import Linker
from tests.pipeline.test_link import headline
from tests.sample import SAMPLE

TABLES = (SAMPLE / "tickers.csv", HOME / "sp500.csv")
EXCHANGES = {"NYSE", "NASDAQ", "CBOE"}


@pytest.mark.parametrize("path", TABLES, ids=lambda path: path.stem)
def test_rows_are_complete_sorted_and_trimmed(path: Path) -> None:
    companies = load_companies(path)
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["ticker"] for row in rows] == [company.ticker for company in companies]
    assert {company.exchange for company in companies} <= EXCHANGES
    assert all(value == value.strip() for row in rows for value in row.values())
    assert all(len(set(company.aliases)) == len(company.aliases) for company in companies)
    assert all(company.name not in company.aliases for company in companies)


def test_sizes_and_overlap() -> None:
    small = load_companies(SAMPLE / "tickers.csv")
    large = {company.ticker: company for company in load_companies(HOME / "sp500.csv")}
    assert 45 <= len(small) <= 60
    assert len(large) == 503
    assert all(large[company.ticker] == company for company in small)
    assert {"BRK.B", "BF.B", "GOOG", "GOOGL"} <= large.keys()


def test_the_large_table_is_the_index(data_dir: Path) -> None:
    path = data_dir / "reference/sp500_constituents_2026-08-08.csv"
    with path.open(encoding="utf-8", newline="") as file:
        expected = {row["Symbol"] for row in csv.DictReader(file)}
    assert {company.ticker for company in load_companies(HOME / "sp500.csv")} == expected


def test_a_name_belongs_to_one_company_or_to_its_share_classes() -> None:
    owners: dict[str, set[str]] = {}
    for company in load_companies(HOME / "sp500.csv"):
        for name in (company.name, *company.aliases):
            owners.setdefault(name.casefold(), set()).add(company.ticker)
    shared = {frozenset(found) for found in owners.values() if len(found) > 1}
    assert shared == {frozenset({"GOOG", "GOOGL"}), frozenset({"FOX", "FOXA"}), frozenset({"NWS", "NWSA"})}


@pytest.mark.parametrize("path", TABLES, ids=lambda path: path.stem)
def test_every_company_is_found_by_its_own_name(path: Path) -> None:
    companies = load_companies(path)
    linker = Linker(companies, load_common_words())
    missed = [
        company.ticker
        for company in companies
        if company.ticker
        not in {link.ticker for link in linker.link(headline(f"Shares of {company.name} fall in Europe"))}
    ]
    assert missed == []
