"""Write the universe of a tagged archive: index members of a period, named as the archive names their tickers.

    python scripts/archive_universe.py news.parquet membership.csv --start 2011-07-06 --end 2016-08-15 --output out.csv

The membership table has the columns ticker, start_date, end_date (empty for a member of today). A member whose ticker
the archive never tags is left out, and so is one whose ticker the archive knows as another company's. Where the name
agrees with pipeline/sp500.csv, name and aliases are taken from there. Prints counts.

RENAMED and OTHER_COMPANY are for archives that use the tickers of 2017 and 2018; change them for an archive of another
time.
"""

from __future__ import annotations

import argparse
import csv
import re
import sys
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path

import pandas as pd

PROJECT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(PROJECT))

from pipeline.config import load_companies  # noqa: E402
from pipeline.errors import ArchiveError, ConfigError, PipelineError  # noqa: E402
from pipeline.records import Company  # noqa: E402

RENAMED = {
    "APTV": "DLPH", "BKNG": "PCLN", "CBRE": "CBG", "CPRI": "KORS", "JEF": "LUK", "KDP": "DPS", "WELL": "HCN",
    "WYND": "WYN",
}  # fmt: skip
"""Members by the symbol they took later, and the one that an archive of 2017/18 has for them."""
OTHER_COMPANY = frozenset(["DTV", "LIFE", "LSI", "MMI", "NSM"])
"""Symbols of former members that belong to another company by 2017: DirecTV, Life Technologies, Motorola Mobility."""

_PARENTHESES = re.compile(r"\([^)]*\)")
_LEGAL_FORM = re.compile(
    r",? (?:inc|incorporated|corp|corporation|co|company|plc|ltd|limited|nv|holdings|new)\.?$", re.IGNORECASE
)


def main(argv: Sequence[str] | None = None) -> int:
    """Write the table and say what it holds; return 1 after one line on stderr if a file or option is not usable."""
    try:
        write_universe(_parser().parse_args(argv))
    except (PipelineError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("archive", type=Path, help="Parquet or CSV with one ticker and name per row")
    parser.add_argument("membership", type=Path, help="CSV: ticker, start_date, end_date")
    parser.add_argument("--start", required=True)
    parser.add_argument("--end", required=True)
    parser.add_argument("--output", required=True, type=Path)
    return parser


def write_universe(args: argparse.Namespace) -> None:
    """Do what the command line says.

    Raises:
        ArchiveError: a file is missing, cannot be read or lacks a column.
        ConfigError: a day is none, or they are in the wrong order.
    """
    start, end = _day("--start", args.start), _day("--end", args.end)
    if start > end:
        raise ConfigError(f"--start {start} is after --end {end}")
    members = list_members(_read(args.membership, ["ticker", "start_date", "end_date"]), start, end)
    names = name_tickers(_read(args.archive, ["ticker", "name"]))
    known = {company.ticker: company for company in load_companies(PROJECT / "pipeline" / "sp500.csv")}
    tagged = [ticker for ticker in members if ticker in names and ticker not in OTHER_COMPANY]
    companies = [describe(ticker, names[ticker], known) for ticker in tagged]
    _write(args.output, companies)
    agreeing = sum(ticker in known and agree(names[ticker], known[ticker].name) for ticker in tagged)
    print(f"members from {start} to {end}: {len(members)}")
    print(f"written: {len(companies)}, {agreeing} of them with the name and aliases of pipeline/sp500.csv")
    print(f"left out: {len(members) - len(companies)} that the archive does not tag, or tags as another company")


def list_members(table: pd.DataFrame, start: str, end: str) -> list[str]:
    """Return the tickers that were in the index on any day from ``start`` to ``end``, by their older symbols."""
    inside = (table["start_date"] <= end) & (table["end_date"].isna() | (table["end_date"] >= start))
    return sorted({RENAMED.get(ticker, ticker) for ticker in table["ticker"][inside]})


def name_tickers(rows: pd.DataFrame) -> dict[str, str]:
    """Return the most frequent name of each ticker, the first in the alphabet where two are."""
    counts = rows.groupby(["ticker", "name"]).size().reset_index(name="count")
    counts = counts.sort_values(["ticker", "count", "name"], ascending=[True, False, True])
    return dict(counts.drop_duplicates("ticker")[["ticker", "name"]].itertuples(index=False))


def describe(ticker: str, name: str, known: Mapping[str, Company]) -> Company:
    """Return the universe's row of ``ticker``."""
    bare = strip_name(name)
    if ticker not in known or not agree(name, known[ticker].name):
        return Company(ticker, bare, (), "")
    company = known[ticker]
    aliases = dict.fromkeys([*company.aliases, bare] if bare != company.name else company.aliases)
    return Company(ticker, company.name, tuple(aliases), company.exchange)


def strip_name(name: str) -> str:
    """Return ``name`` without legal form, article and remarks in parentheses: "Gap Inc (The)" is Gap."""
    bare = re.sub(r"^(?:the|d/b/a) ", "", _PARENTHESES.sub("", name).strip(), flags=re.IGNORECASE)
    while (shorter := _LEGAL_FORM.sub("", bare)) != bare:
        bare = shorter
    return bare.removesuffix(" &").strip()


def agree(left: str, right: str) -> bool:
    """Return whether two names begin alike, in their first four letters or as far as the shorter goes."""
    one, two = (re.sub(r"[^a-z0-9]", "", strip_name(name).lower()) for name in (left, right))
    length = min(len(one), len(two), 4)
    return one[:length] == two[:length]


def _day(option: str, text: str) -> str:
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError as error:
        raise ConfigError(f"{option} {text}: expected a date such as 2011-07-06") from error


def _read(path: Path, columns: Sequence[str]) -> pd.DataFrame:
    try:
        if path.suffix == ".parquet":
            return pd.read_parquet(path, columns=list(columns))
        return pd.read_csv(path, usecols=list(columns), dtype=str)
    except (OSError, ValueError, ImportError) as error:
        reason = str(error).partition("\n")[0]
        raise ArchiveError(f"{path}: expected a table with the columns {', '.join(columns)}: {reason}") from error


def _write(path: Path, companies: Sequence[Company]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["ticker", "company", "aliases", "exchange"])
        writer.writerows([c.ticker, c.name, "|".join(c.aliases), c.exchange] for c in companies)


if __name__ == "__main__":
    sys.exit(main())
