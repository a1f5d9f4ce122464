"""python -m pipeline backfill: options to a backfill, and what it did to a few lines of text."""

from __future__ import annotations

import argparse
import resource
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta, tzinfo
from functools import partial
from pathlib import Path
from time import perf_counter
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from .archive import ArchiveColumns, read_archive
from .backfill import Engine, Summary, list_sessions, run_backfill, score_locally
from .backfill_seal import Backfill
from .config import HOME, Settings, load_companies
from .errors import ConfigError
from .options import add_model, open_root, parse_date
from .report import Report
from .score import OnnxScorer, count_cores
from .sessions import Sessions
from .store import FeatureStore

_MARGIN = timedelta(days=31)
"""How far the calendar reaches beyond the days asked for: further than exchanges were ever closed since 1914."""
_LONGEST_LATENCY = timedelta(days=7)
EXAMPLE = (
    "python -m pipeline backfill news.parquet --start 2015-01-02 --end 2016-08-15 --root history"
    " --title-column headline --time-column published_at --ticker-column ticker"
)


def add_options(verb: argparse.ArgumentParser) -> None:
    """Give ``verb`` its options."""
    verb.add_argument("archive", type=Path, help="headlines, .parquet, .csv or .csv.gz")
    verb.add_argument("--start", required=True, metavar="DATE", help="first session, such as 2015-01-02")
    verb.add_argument("--end", required=True, metavar="DATE", help="last session")
    verb.add_argument("--root", required=True, type=Path, dest="store", help="the store to write to")
    verb.add_argument("--title-column", default="headline", help="column of headlines (default: headline)")
    verb.add_argument("--time-column", default="", help="column of publication times, bare dates allowed")
    verb.add_argument("--date-column", default="", help="column of dates, read where there is no time")
    verb.add_argument("--ticker-column", default="", help="column of tickers, where headlines are tagged")
    verb.add_argument("--source-column", default="", help="column of publishers")
    verb.add_argument("--url-column", default="", help="column of links")
    verb.add_argument("--timezone", default="UTC", help="zone of times without an offset and of dates (default: UTC)")
    verb.add_argument(
        "--latency-minutes", type=int, default=60, metavar="N", help="from a cut-off to available_at (default: 60)"
    )
    verb.add_argument("--engine", choices=("local", "ray"), default="local", help="this process, or Ray Data")
    verb.add_argument("--workers", type=int, default=0, metavar="N", help="threads or actors (default: every core)")
    verb.add_argument("--address", help="a running Ray cluster (default: one of its own on this machine)")
    verb.add_argument("--settings", type=Path, default=HOME / "settings.toml", help="settings file")
    verb.add_argument("--universe", type=Path, help="table of tickers, instead of the one in the settings")
    add_model(verb)


def run(
    args: argparse.Namespace, settings: Settings, scorer: OnnxScorer, code_revision: str, cpu: str, now: datetime
) -> int:
    """Backfill as ``args`` say and print what was done."""
    start, end = (parse_date(f"--{name}", getattr(args, name), "2015-01-02") for name in ("start", "end"))
    if start > end:
        raise ConfigError(f"--start {start} is after --end {end}")
    latency = _latency(args.latency_minutes)
    rows = read_archive(args.archive, _columns(args), _zone(args.timezone))
    calendar = Sessions(
        settings.sessions.calendar, settings.sessions.cutoff_offset_minutes, start - _MARGIN, (now + _MARGIN).date()
    )
    sessions, companies = list_sessions(calendar, start, end, latency, now), load_companies(settings.tickers)
    report, started = Report("backfill", now, scorer.revision, code_revision), perf_counter()
    with open_root(settings.store, args.dry_run) as root:
        store = FeatureStore(root)
        work = Backfill(settings, companies, sessions, store, latency, scorer.revision, code_revision, cpu)
        for line in list_changes(work):
            print(line, flush=True)
        summary = run_backfill(work, rows, _engine(args, scorer), report, progress=sys.stderr.isatty())
    print("\n".join(_describe(work, summary, report, perf_counter() - started)))
    print(f"store: {settings.store}" + ", untouched by this dry run" * args.dry_run)
    return 0


def list_changes(work: Backfill) -> list[str]:
    """Return a line for the model and for the latency if sessions sealed before have another than those to come."""
    manifest = work.store.sealed()
    if manifest.empty or work.sessions[-1].session_date <= manifest["session_date"].max():
        return []
    first = manifest[manifest["revision"] == 1]
    models, latencies = set(manifest["model_revision"]), set(first["available_at"] - first["cutoff_at"])
    lines = []
    if models != {work.model_revision}:
        others = ", ".join(sorted(models - {work.model_revision}))
        lines.append(f"model: earlier sessions have model_revision {others}, new ones {work.model_revision}")
    if latencies != {work.latency}:
        least, most, new = (
            f"{each / timedelta(minutes=1):g}" for each in (min(latencies), max(latencies), work.latency)
        )
        before = least if least == most else f"{least} to {most}"
        lines.append(f"latency: earlier sessions have {before} minutes, new ones {new}")
    return lines


def _engine(args: argparse.Namespace, scorer: OnnxScorer) -> Engine:
    if args.workers < 0:
        raise ConfigError(f"--workers {args.workers}: expected 1 or more, or 0 for every core")
    if args.engine == "ray":
        from .backfill_ray import score_on_ray

        return partial(score_on_ray, scorer=scorer, workers=args.workers or count_cores(), address=args.address)
    if args.address:
        raise ConfigError(f"--address {args.address}: only --engine ray works on a cluster")
    threads = args.workers or count_cores()
    return partial(score_locally, scorer=OnnxScorer(scorer.folder.path, threads, scorer.batch_tokens))


def _columns(args: argparse.Namespace) -> ArchiveColumns:
    if not args.title_column:
        raise ConfigError("--title-column: expected the name of the column of headlines")
    if not args.time_column and not args.date_column:
        raise ConfigError("expected --time-column or --date-column: without a time no headline counts for a session")
    return ArchiveColumns(
        args.title_column, args.time_column, args.date_column, args.ticker_column, args.source_column, args.url_column
    )


def _latency(minutes: int) -> timedelta:
    longest = _LONGEST_LATENCY // timedelta(minutes=1)
    if not 0 <= minutes <= longest:
        raise ConfigError(f"--latency-minutes {minutes}: expected 0 to {longest} (seven days)")
    return timedelta(minutes=minutes)


def _zone(name: str) -> tzinfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ConfigError(f"--timezone {name}: expected a name such as UTC or America/New_York") from error


def _describe(work: Backfill, summary: Summary, report: Report, seconds: float) -> Iterator[str]:
    tally, first, last = summary.tally, work.sessions[0].session_date, work.sessions[-1].session_date
    yield f"sessions: {first} to {last}, {summary.session_count:,} sealed now, {summary.skipped_count:,} before"
    if not summary.session_count:
        return
    yield f"missed: {summary.missed_count:,} of them, the archive holds no headline of theirs"
    yield f"archive: {tally.row_count:,} rows, {sum(tally.by_session.values()):,} of these sessions" + (
        f", {tally.foreign_count:,} of them tagged outside the universe and linked by name alone"
        if tally.foreign_count
        else ""
    )
    for reason, count in tally.dropped.most_common():
        yield f"dropped: {count:,} {reason}, first {tally.first[reason]}"
    yield f"kept: {summary.headline_count:,} headlines, {summary.pair_count:,} headline-ticker pairs"
    rates = " and ".join(
        f"{count / seconds:,.0f} {unit}/s"
        for count, unit in ((summary.headline_count, "headlines"), (summary.pair_count, "pairs"))
    )
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
    yield f"peak memory: {peak_mb:,.0f} MB"
    yield f"time: {seconds:,.1f} s, {rates}; " + ", ".join(
        f"{stage.name} {stage.seconds:,.1f} s" for stage in report.stages.values()
    )
