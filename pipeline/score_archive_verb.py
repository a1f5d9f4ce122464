"""python -m pipeline list-months and score-archive: what the jobs of a backfill in parts have to do before the last."""

from __future__ import annotations

import argparse
import json
import sys
from datetime import date, datetime, timedelta
from pathlib import Path
from time import perf_counter

from .archive_months import split_archive
from .archive_options import add_archive, open_rows, pick_sessions
from .backfill import list_pending, require_rows
from .config import Settings, load_companies
from .score import OnnxScorer
from .score_archive import list_months, list_pairs, pick_month, score_pairs
from .score_cache import name_origin
from .score_file import write_scores
from .store import FeatureStore

MONTHS_EXAMPLE = (
    "python -m pipeline list-months news.csv --start 2015-01-02 --end 2016-08-15 --root history"
    " --time-column published_at"
)
SCORE_EXAMPLE = (
    "python -m pipeline score-archive news.csv --start 2015-01-02 --end 2016-08-15 --month 2015-03 --output scores"
    " --time-column published_at"
)
_AT_ONCE = timedelta(0)


def add_months_options(verb: argparse.ArgumentParser) -> None:
    """Give list-months its options."""
    add_archive(verb)
    verb.add_argument(
        "--root", required=True, type=Path, dest="store", help="the store that the backfill will write to"
    )
    verb.add_argument("--output", type=Path, metavar="FILE", help="append months=[...] to it, as a workflow reads it")


def add_score_options(verb: argparse.ArgumentParser) -> None:
    """Give score-archive its options."""
    add_archive(verb)
    verb.add_argument("--month", required=True, help="which month of sessions, such as 2015-03")
    verb.add_argument("--output", required=True, type=Path, metavar="DIR", help="folder for scores-2015-03.csv")
    verb.add_argument("--model", type=Path, help="model folder, instead of the one in the settings")
    verb.set_defaults(store=None)


def run_months(args: argparse.Namespace, settings: Settings, now: datetime) -> int:
    """Print the months that are left to score, as a JSON array."""
    sessions = pick_sessions(args, settings, _AT_ONCE, now)
    pending = list_pending(FeatureStore(settings.store), sessions)
    universe = frozenset(company.ticker for company in load_companies(settings.tickers))
    with open_rows(args, settings.fetch) as rows:
        tally = split_archive(rows, sessions, since=date.max, universe=universe, folder=Path())
    require_rows(tally)
    left = {session.session_date for session in pending}
    months = json.dumps(list_months(day for day in tally.by_session if day in left))
    print(months)
    if args.output:
        with args.output.open("a", encoding="utf-8") as file:
            file.write(f"months={months}\n")
    return 0


def run_score(args: argparse.Namespace, settings: Settings, scorer: OnnxScorer, cpu: str, now: datetime) -> int:
    """Score one month's pairs into a score file and say how many they were."""
    started = perf_counter()
    sessions = pick_month(pick_sessions(args, settings, _AT_ONCE, now), args.month)
    companies = load_companies(settings.tickers)
    with open_rows(args, settings.fetch) as rows:
        pairs, tally = list_pairs(rows, sessions, companies, settings.link.min_relevance)
    scores = score_pairs(pairs, scorer, progress=sys.stderr.isatty())
    path = args.output / f"scores-{args.month}.csv"
    write_scores(path, name_origin(scorer, cpu), scores)
    rows_text = f"{sum(tally.by_session.values()):,} rows of the archive"
    print(f"month: {args.month}, {len(sessions)} sessions, {rows_text}")
    print(f"scored: {len(pairs):,} distinct headline-ticker pairs in {perf_counter() - started:,.1f} s")
    print(f"scores: {path}")
    return 0
