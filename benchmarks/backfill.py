"""Time the backfill of a real archive: both engines, one and two workers, memory at two lengths, equal bytes.

    python -m benchmarks.backfill [--count 60000] [--workers 1 2] [--write docs/BACKFILL.md]

Reads the first so many rows of market/reuters_tagged in FINANCIAL_SENTIMENT_DATA (or ../shared/data); its universe is
pipeline/sp500.csv. Every run has a process of its own and, with everything it starts, as many cores as workers.
--write puts the tables between the marks of that file.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

from benchmarks.machine import Neighbours, describe_machine, read_peak_memory
from pipeline.archive import BATCH_ROWS, ArchiveColumns, read_archive
from pipeline.backfill import Engine, list_sessions, run_backfill, score_locally
from pipeline.backfill_seal import Backfill
from pipeline.config import HOME, load_companies, load_settings
from pipeline.report import Report
from pipeline.score import OnnxScorer
from pipeline.sessions import Sessions
from pipeline.store import FeatureStore

COLUMNS = ArchiveColumns("headline", time="published_utc", date="date_utc", ticker="ticker")
LATENCY = timedelta(hours=1)
BEGIN, END = "<!-- figures -->", "<!-- end of figures -->"
Run = dict[str, Any]


def main() -> int:
    """Measure, print, write where asked; return 1 when two stores differ, or the page or the data is absent."""
    args = _parser().parse_args()
    if args.one:
        engine, workers, archive, root = args.one
        print(json.dumps(run_once(engine, int(workers), Path(archive), Path(root))))
        return 0
    if args.write and not has_marks(args.write):
        print(f"error: {args.write}: expected a page with {BEGIN} and, below it, {END}", file=sys.stderr)
        return 1
    source = Path(os.environ.get("FINANCIAL_SENTIMENT_DATA", "../shared/data")) / "market/reuters_tagged/news.parquet"
    if not source.is_file():
        print(f"error: {source}: no such archive; set FINANCIAL_SENTIMENT_DATA", file=sys.stderr)
        return 1
    neighbours, began = Neighbours(), datetime.now(UTC)
    with tempfile.TemporaryDirectory(prefix="backfill-") as name:
        short, whole = (cut_archive(source, count, Path(name)) for count in (args.count // 4, args.count))
        runs = [measure("local", args.workers[0], short, Path(name))]
        runs += [measure(engine, n, whole, Path(name)) for engine in args.engines for n in args.workers]
    report = "\n".join(_report(runs, args.count, began, neighbours.find_share()))
    print(report)
    if args.write:
        head, _, rest = args.write.read_text(encoding="utf-8").partition(BEGIN)
        args.write.write_text(f"{head}{BEGIN}\n{report}\n{END}{rest.partition(END)[2]}", encoding="utf-8")
    return int(len({run["digest"] for run in runs[1:]}) > 1)


def has_marks(page: Path) -> bool:
    """Return whether there is such a page, with a place for the tables."""
    return page.is_file() and END in page.read_text(encoding="utf-8").partition(BEGIN)[2]


def cut_archive(source: Path, count: int, folder: Path) -> Path:
    """Write the first ``count`` rows of ``source``, which is in order of time, in row groups of one size."""
    from pyarrow import parquet

    path = folder / f"{count}.parquet"
    table = next(parquet.ParquetFile(source).iter_batches(count))
    with parquet.ParquetWriter(path, table.schema) as writer:
        for begin in range(0, len(table), BATCH_ROWS):
            writer.write_batch(table.slice(begin, BATCH_ROWS))
    return path


def measure(engine: str, workers: int, archive: Path, folder: Path) -> Run:
    """Run one backfill in a process of its own and return what it measured."""
    root = folder / f"{engine}{workers}-{archive.stem}"
    command = [sys.executable, "-m", "benchmarks.backfill", "--one", engine, str(workers), str(archive), str(root)]
    print(f"{engine}, {workers} workers, {archive.stem} rows ...", file=sys.stderr)
    environment = os.environ | {"RAYON_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1]) | {"digest": digest_store(root)}


def run_once(engine: str, workers: int, archive: Path, root: Path) -> Run:
    """Backfill ``archive`` into ``root`` and return counts, seconds by stage and the peak memory of this process."""
    from pyarrow import parquet

    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:workers])
    days = parquet.read_table(archive, columns=["date_utc"])["date_utc"]
    start, end = (date.fromisoformat(days[i].as_py()) for i in (0, -1))
    settings, now = load_settings(), datetime.now(UTC)
    loading = perf_counter()
    scorer = OnnxScorer(HOME / "default_model", workers, settings.score.batch_tokens)
    load_s = perf_counter() - loading
    calendar = Sessions(settings.sessions.calendar, 0, start - timedelta(days=31), (now + timedelta(days=31)).date())
    sessions = list_sessions(calendar, start, end, LATENCY, now)
    companies = load_companies(HOME / "sp500.csv")
    work = Backfill(settings, companies, sessions, FeatureStore(root), LATENCY, scorer.revision, "", "")
    report, started = Report("backfill", now, scorer.revision, ""), perf_counter()
    summary = run_backfill(work, read_archive(archive, COLUMNS, UTC), _engine(engine, scorer, workers), report)
    return {
        "engine": engine,
        "workers": workers,
        "rows": sum(summary.tally.by_session.values()),
        "sessions": summary.session_count,
        "headlines": summary.headline_count,
        "pairs": summary.pair_count,
        "load_s": load_s,
        "wall_s": perf_counter() - started,
        "stages": {stage.name: stage.seconds for stage in report.stages.values()},
        "peak_mb": read_peak_memory(),
    }


def digest_store(root: Path) -> str:
    """Return one digest of every file of a store and its place."""
    digest = hashlib.sha256()
    for path in sorted(path for path in root.rglob("*") if path.is_file()):
        digest.update(f"{path.relative_to(root)}\n".encode() + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def _engine(name: str, scorer: OnnxScorer, workers: int) -> Engine:
    if name == "local":
        return partial(score_locally, scorer=scorer)
    from pipeline.backfill_ray import score_on_ray

    return partial(score_on_ray, scorer=scorer, workers=workers)


def _report(runs: Sequence[Run], count: int, began: datetime, busy_share: float) -> Iterator[str]:
    machine, whole = describe_machine(), runs[1:]
    rows, sessions, headlines, pairs = (whole[0][name] for name in ("rows", "sessions", "headlines", "pairs"))
    yield f"Measured {began:%Y-%m-%d %H:%M} UTC on {machine.processor}, {machine.cores} cores; other processes took"
    yield f"{busy_share:.0%} of the machine meanwhile. Archive: the first {count:,} rows, {rows:,} of them in"
    yield f"{sessions:,} sessions; {headlines:,} headlines kept, {pairs:,} headline-ticker pairs.\n"
    yield from _list_rates(whole)
    yield "\n| share of the wall time | " + " | ".join(f"{run['engine']} {run['workers']}" for run in whole) + " |"
    yield "| --- |" + " --- |" * len(whole)
    for stage in dict.fromkeys(name for run in whole for name in run["stages"]):
        cells = (f"{run['stages'][stage] / run['wall_s']:.0%}" if stage in run["stages"] else "" for run in whole)
        yield f"| {stage} | " + " | ".join(cells) + " |"
    yield "\n| rows of the archive | peak memory, local engine, MB |\n| --- | --- |"
    for run in runs[:2]:
        yield f"| {run['rows']:,} | {run['peak_mb']:.0f} |"
    is_same = len({run["digest"] for run in whole}) == 1
    yield f"\nAll {len(whole)} stores are {'equal to the byte' if is_same else 'NOT equal'}."


def _list_rates(runs: Sequence[Run]) -> Iterator[str]:
    """Yield the table of rates: those after the cold start, which is the model's loading and the cluster's start."""
    yield "| engine | cores | headlines/s | headlines/s per core | times one core | rows/s | pairs/s | cold start, s |"
    yield "| --- | --- | --- | --- | --- | --- | --- | --- |"
    base: dict[str, float] = {}
    for run in runs:
        cluster_s = run["stages"].get("started", 0.0)
        headlines, rows, pairs = (run[name] / (run["wall_s"] - cluster_s) for name in ("headlines", "rows", "pairs"))
        yield (
            f"| {run['engine']} | {run['workers']} | {headlines:,.0f} | {headlines / run['workers']:,.0f} | "
            f"{headlines / base.setdefault(run['engine'], headlines):.2f} | {rows:,.0f} | {pairs:,.0f} | "
            f"{run['load_s'] + cluster_s:.1f} |"
        )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=60_000, help="rows of the archive (default: 60000)")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--engines", nargs="+", choices=("local", "ray"), default=["local", "ray"])
    parser.add_argument("--write", type=Path, metavar="FILE", help="also put the tables into this file")
    parser.add_argument("--one", nargs=4, help=argparse.SUPPRESS)
    return parser


if __name__ == "__main__":
    sys.exit(main())
