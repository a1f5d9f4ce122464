"""python -m pipeline watch: the overdue sessions of a store, as a few lines of text and a report. Needs no model."""

from __future__ import annotations

import argparse
import resource
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

from .config import Settings
from .errors import ConfigError, PipelineError, StoreError
from .options import add_places
from .records import CheckResult
from .report import Report, write_report
from .sessions import Sessions
from .store import FeatureStore
from .watch import PATIENCE, OverdueSession, check_recent, find_overdue

EXAMPLE = "python -m pipeline watch --patience-hours 24"

SHOWN = 30
"""Overdue sessions named one by one, the oldest first."""

_LONGEST_PATIENCE_HOURS = 24 * 31


def add_options(verb: argparse.ArgumentParser) -> None:
    """Give ``verb`` its options."""
    add_places(verb)
    hours = PATIENCE / timedelta(hours=1)
    verb.add_argument(
        "--patience-hours",
        type=float,
        default=hours,
        metavar="N",
        help=f"how long after its cut-off a session may be unsealed (default: {hours:g})",
    )
    verb.add_argument("--report", type=Path, default=Path("report"), metavar="DIR", help="where the report goes")


def run(
    args: argparse.Namespace,
    settings: Settings,
    open_sessions: Callable[[Settings], Sessions],
    code_revision: str,
    now: datetime,
) -> int:
    """Name every overdue session; return 0 if there is none, else 1. A report is left either way."""
    if not 0 <= args.patience_hours <= _LONGEST_PATIENCE_HOURS:
        raise ConfigError(f"--patience-hours {args.patience_hours:g}: expected 0 to {_LONGEST_PATIENCE_HOURS}")
    report = Report("watch", now, "", code_revision)
    write_report(report, args.report)  # a folder that cannot be written to shows before anything else is
    try:
        watch_store(FeatureStore(settings.store), open_sessions(settings), timedelta(hours=args.patience_hours), report)
    except (PipelineError, OSError) as error:
        report.failure = str(error)
        raise
    finally:
        report.peak_memory_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print("\n".join(_describe(report, settings.store)))
        print("report: " + ", ".join(str(path) for path in write_report(report, args.report)))
    return 1 if report.failure else 0


def watch_store(store: FeatureStore, sessions: Sessions, patience: timedelta, report: Report) -> None:
    """Add a check for every overdue session to ``report``, and warnings; it fails if one is overdue.

    A store without any session fails as well: a schedule whose first run never succeeds would else look healthy.
    """
    manifest, now = store.sealed(), report.started_at
    known = store.sealed_dates() | store.captured_dates()
    if not known:
        notes = "a schedule that has run once leaves headlines; see what its last run says, or start it by hand"
        report.checks.append(CheckResult("the store holds a session", True, False, notes))
        report.failure = "nothing is sealed and nothing captured yet"
        return
    if len(manifest):
        report.model_revision = manifest["model_revision"].iloc[-1]
    overdue = find_overdue(store.sealed_dates(), sessions, now, patience, min(known))
    report.checks += _check(overdue, store, now) or [
        CheckResult(f"every session since {min(known)} is sealed", True, True)
    ]
    report.checks += check_recent(manifest, now)
    if overdue:
        report.failure = f"{_count(len(overdue))} overdue since {overdue[0].due_at:%Y-%m-%d %H:%M} UTC"


def _check(overdue: list[OverdueSession], store: FeatureStore, now: datetime) -> list[CheckResult]:
    checks = [
        CheckResult(f"session {late.session_date} is sealed", True, False, _describe_overdue(late, store, now))
        for late in overdue[:SHOWN]
    ]
    if more := overdue[SHOWN:]:
        notes = f"{more[0].session_date} to {more[-1].session_date}"
        checks.append(CheckResult(f"{_count(len(more))} more are sealed", True, False, notes))
    return checks


def _describe_overdue(late: OverdueSession, store: FeatureStore, now: datetime) -> str:
    try:
        rows = len(store.read_headlines(late.session_date))
        found = f"{rows:,} headline-ticker rows captured" if rows else "nothing captured"
    except StoreError as error:
        found = f"what was captured cannot be read: {error}"
    return f"cut-off {late.cutoff_at:%Y-%m-%d %H:%M} UTC, {late.count_hours(now):,.1f} hours ago; {found}"


def _describe(report: Report, root: Path) -> list[str]:
    lines = [f"watch at {report.started_at:%Y-%m-%d %H:%M} UTC, store {root}: {report.failure or 'nothing is overdue'}"]
    marks = {True: "ok", False: "FAILED"}
    for check in report.checks:
        mark = marks[check.is_passed] if check.is_required else "warning"
        lines.append(f"  {mark:<8}{check.name}" + f": {check.notes}" * bool(check.notes))
    return lines


def _count(number: int) -> str:
    return f"{number:,} session{'s' * (number != 1)}"
