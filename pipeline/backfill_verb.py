"""python -m pipeline backfill: options to a backfill, and what it did to a few lines of text."""

from __future__ import annotations

import argparse
import resource
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from time import perf_counter

from .archive_options import add_archive, open_rows, pick_sessions
from .backfill import Engine, Summary, run_backfill, score_locally
from .backfill_seal import Backfill
from .config import Settings, load_companies
from .errors import ConfigError
from .options import add_model, open_root
from .report import Report
from .score import OnnxScorer, count_cores
from .score_cache import CachedScorer, load_scores, name_origin
from .store import FeatureStore

_LONGEST_LATENCY = timedelta(days=7)
EXAMPLE = (
    "python -m pipeline backfill news.parquet --start 2015-01-02 --end 2016-08-15 --root history"
    " --title-column headline --time-column published_at --ticker-column ticker"
)


def add_options(verb: argparse.ArgumentParser) -> None:
    """Give ``verb`` its options."""
    add_archive(verb)
    verb.add_argument("--root", required=True, type=Path, dest="store", help="the store to write to")
    verb.add_argument(
        "--latency-minutes", type=int, default=60, metavar="N", help="from a cut-off to available_at (default: 60)"
    )
    verb.add_argument("--engine", choices=("local", "ray"), default="local", help="this process, or Ray Data")
    verb.add_argument("--workers", type=int, default=0, metavar="N", help="threads or actors (default: every core)")
    verb.add_argument("--address", help="a running Ray cluster (default: one of its own on this machine)")
    verb.add_argument("--scores", type=Path, metavar="DIR", help="scores at hand, as score-archive leaves them")
    add_model(verb)


def run(
    args: argparse.Namespace, settings: Settings, scorer: OnnxScorer, code_revision: str, cpu: str, now: datetime
) -> int:
    """Backfill as ``args`` say and print what was done."""
    latency = _latency(args.latency_minutes)
    sessions, companies = pick_sessions(args, settings, latency, now), load_companies(settings.tickers)
    engine, cache, cpus = _open_engine(args, scorer, cpu)
    report, started = Report("backfill", now, scorer.revision, code_revision), perf_counter()
    with open_rows(args, settings.fetch) as rows, open_root(settings.store, args.dry_run) as root:
        store, ran_on = FeatureStore(root), "; ".join(cpus)
        work = Backfill(settings, companies, sessions, store, latency, scorer.revision, code_revision, ran_on)
        for line in list_changes(work):
            print(line, flush=True)
        summary = run_backfill(work, rows, engine, report, progress=sys.stderr.isatty())
    print("\n".join(_describe(work, summary, report, perf_counter() - started)))
    if cache:
        print(f"scores: {cache.found_count:,} of {cache.asked_count:,} pairs were at hand")
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


def _open_engine(
    args: argparse.Namespace, scorer: OnnxScorer, cpu: str
) -> tuple[Engine, CachedScorer | None, list[str]]:
    """Return the engine, its scores at hand, and every processor that had a part in the scores, this one first."""
    if args.workers < 0:
        raise ConfigError(f"--workers {args.workers}: expected 1 or more, or 0 for every core")
    workers = args.workers or count_cores()
    if args.engine == "ray":
        from .backfill_ray import score_on_ray

        if args.scores:
            raise ConfigError(f"--scores {args.scores}: only --engine local takes scores at hand")
        return partial(score_on_ray, scorer=scorer, workers=workers, address=args.address), None, [cpu]
    if args.address:
        raise ConfigError(f"--address {args.address}: only --engine ray works on a cluster")
    local = OnnxScorer(scorer.folder.path, workers, scorer.batch_tokens)
    if not args.scores:
        return partial(score_locally, scorer=local), None, [cpu]
    scores, cpus = load_scores(args.scores, name_origin(local, cpu))
    cache = CachedScorer(local, scores)
    return partial(score_locally, scorer=cache), cache, list(dict.fromkeys([cpu, *cpus]))


def _latency(minutes: int) -> timedelta:
    longest = _LONGEST_LATENCY // timedelta(minutes=1)
    if not 0 <= minutes <= longest:
        raise ConfigError(f"--latency-minutes {minutes}: expected 0 to {longest} (seven days)")
    return timedelta(minutes=minutes)


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
