"""What a month of schedules costs a repository: runner minutes and bytes of git, for 50 and for 500 tickers.

    python -m benchmarks.growth [--tickers 50,500] [--per-ticker 20] [--sessions 5]

Runs the line over some sessions of made-up headlines, with the embedded model and as many captures a session as
capture.yml asks for, and commits every run to a bare repository as the workflows do. Bytes are measured, packed by
`git gc` as a server would, and scaled to 21 sessions. Minutes are computed: runs of the schedules, jobs of a run, each
rounded up to a minute, and for the job that reads feeds the time that politeness takes at one host.
"""

from __future__ import annotations

import argparse
import math
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from email.utils import format_datetime
from functools import partial
from pathlib import Path
from time import perf_counter
from xml.sax.saxutils import escape

from pipeline.commit import commit_store, follow
from pipeline.config import HOME, load_companies, load_settings
from pipeline.git import Repository
from pipeline.line import Line
from pipeline.merge import merge_stores
from pipeline.records import Company, Feed, FeedState, FetchResult, Session
from pipeline.report import Report
from pipeline.run import capture, run_daily
from pipeline.score import OnnxScorer
from pipeline.sessions import Sessions
from pipeline.store import FeatureStore

from .daily import write_headlines

MONTH_SESSIONS = 21
CAPTURE_RUNS, DAILY_RUNS, WATCHDOG_RUNS = 4 * MONTH_SESSIONS + 4, 2 * MONTH_SESSIONS, MONTH_SESSIONS
"""A month of the three schedules: four captures a weekday and one a Sunday, two dailies and one watchdog a session."""

OTHER_JOBS = 2
"""Jobs of a capture or daily run beside the one that works: model and alert, below a minute each."""

SET_UP_S = 30
"""Allowed a job for checkout and installation. An assumption, and a term of the minutes."""

TICK_HOURS = (-10.6, -7.6, -4.8, -1.6, 0.6, 14.3)
"""The runs of a session, from its cut-off: four captures, the daily and the catch-up of the morning after."""

FIRST = date(2026, 9, 14)
BRANCH = "main"


def measure_growth(tickers: int, per_ticker: int, count: int) -> dict[str, float]:
    """Return bytes a session by kind of file, packed bytes of git a session, and the longest daily job in seconds."""
    companies = load_companies(HOME / "sp500.csv")[:tickers]
    sessions = Sessions("XNYS", 0)
    with tempfile.TemporaryDirectory() as name:
        repository, store = open_repository(Path(name))
        before, longest, session = count_packed(Path(name)), 0.0, sessions.session(FIRST)
        for number in range(count):
            titles = write_headlines([company.name for company in companies], per_ticker * len(companies))
            titles = {company: [f"{t} ({number + 1})" for t in found] for company, found in titles.items()}
            for hours in TICK_HOURS:
                now = session.cutoff_at + timedelta(hours=hours)
                started = perf_counter()
                run_tick(store, companies, titles, session, sessions, now)
                longest = max(longest, perf_counter() - started)
                publish(repository, store, sessions)
            session = sessions.next(session)
        sizes = {
            folder: count_bytes(store.root / folder) / count for folder in ("features", "headlines", "state/lines")
        }
        return {**sizes, "git": (count_packed(Path(name)) - before) / count, "seconds": longest}


def open_repository(place: Path) -> tuple[Repository, FeatureStore]:
    """Return a clone of a bare repository that holds nothing but an empty store."""
    git(place, "init", "--quiet", "--bare", "--initial-branch", BRANCH, "origin.git")
    git(place, "clone", "--quiet", "origin.git", "clone")
    clone = place / "clone"
    store = FeatureStore(clone / "feature_store")
    store.create()
    for command in (
        ("config", "user.name", "Benchmark"),
        ("config", "user.email", "benchmark@example.com"),
        ("checkout", "--quiet", "-B", BRANCH),
        ("add", "--all"),
        ("commit", "--quiet", "--message", "Begin"),
        ("push", "--quiet", "origin", BRANCH),
    ):
        git(clone, *command)
    return Repository(clone), store


def run_tick(
    store: FeatureStore,
    companies: Sequence[Company],
    titles: Mapping[str, list[str]],
    session: Session,
    sessions: Sessions,
    now: datetime,
) -> None:
    """Capture what is published by ``now``, and after the cut-off seal."""
    by_ticker = {company.ticker: titles[company.name] for company in companies}
    shown = {ticker: show(ticker, found, session, now) for ticker, found in by_ticker.items()}

    def fetch(feeds: Sequence[Feed], states: Mapping[str, FeedState]) -> list[FetchResult]:
        return [FetchResult(feed, now, "ok", shown[str(feed.ticker)], "application/xml", 200) for feed in feeds]

    line = Line(
        settings=load_settings(),
        companies=tuple(companies),
        feeds=tuple(Feed(f"wire:{c.ticker}", "Wire", f"https://news.example/{c.ticker}", c.ticker) for c in companies),
        sessions=sessions,
        store=store,
        scorer=OnnxScorer(HOME / "default_model"),
        fetch=fetch,
        clock=lambda: now,
        code_revision="",
        cpu="",
    )
    (run_daily if now >= session.cutoff_at else capture)(line, Report("benchmark", now, "", ""))


def show(ticker: str, titles: Sequence[str], session: Session, now: datetime) -> bytes:
    """Return the feed of ``ticker`` at ``now``: those of the session's headlines that are published by then."""
    step = (session.cutoff_at - session.open_at) / len(titles)
    published = [(session.open_at + step * i, title) for i, title in enumerate(titles, 1)]
    items = "".join(
        f"<item><title>{escape(title)}</title><link>https://news.example/{ticker}/{session.session_date}/{i}</link>"
        f"<pubDate>{format_datetime(at)}</pubDate></item>"
        for i, (at, title) in enumerate(published)
        if at <= now
    )
    return f'<rss version="2.0"><channel><title>{ticker}</title>{items}</channel></rss>'.encode()


def publish(repository: Repository, store: FeatureStore, sessions: Sessions) -> None:
    """Commit as the workflows do."""
    merge = partial(merge_stores, settings=load_settings(), sessions=lambda: sessions)
    follow(repository, store, BRANCH, commit_store(repository, store, BRANCH, merge, lambda attempt: None))


def count_minutes(tickers: int, job_s: float) -> int:
    """Return the runner minutes of a month; ``job_s`` is the line's own time at its longest."""
    fetch_s = tickers * load_settings().fetch.min_interval_s
    work = math.ceil((SET_UP_S + fetch_s + job_s) / 60)
    return (CAPTURE_RUNS + DAILY_RUNS) * (work + OTHER_JOBS) + WATCHDOG_RUNS * 3


def count_bytes(folder: Path) -> int:
    """Return the bytes of all files below ``folder``."""
    return sum(path.stat().st_size for path in folder.rglob("*.csv"))


def count_packed(place: Path) -> int:
    """Return the bytes of the bare repository's objects, packed."""
    git(place / "origin.git", "gc", "--quiet", "--prune=now")
    return sum(path.stat().st_size for path in (place / "origin.git" / "objects").rglob("*") if path.is_file())


def git(folder: Path, *args: str) -> None:
    """Run a git command."""
    subprocess.run(["git", "-C", str(folder), *args], check=True, capture_output=True)


def run() -> int:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tickers", default="50,500", help="sizes of the universe (default: 50,500)")
    parser.add_argument("--per-ticker", type=int, default=20, help="headlines of a ticker and session (default: 20)")
    parser.add_argument("--sessions", type=int, default=5, help="sessions to run (default: 5)")
    args = parser.parse_args()
    print("| tickers | headlines a session | features | evidence | digests | git a month | minutes a month |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for tickers in map(int, args.tickers.split(",")):
        found = measure_growth(tickers, args.per_ticker, args.sessions)
        sizes = [f"{found[kind] / 1e3:,.0f} kB" for kind in ("features", "headlines", "state/lines")]
        month = f"{found['git'] * MONTH_SESSIONS / 1e6:,.1f} MB"
        minutes = count_minutes(tickers, found["seconds"])
        print("| " + " | ".join([str(tickers), f"{tickers * args.per_ticker:,}", *sizes, month, f"{minutes:,}"]) + " |")
    return 0


if __name__ == "__main__":
    sys.exit(run())
