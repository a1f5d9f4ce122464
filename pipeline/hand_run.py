"""What a run by hand may choose: the last session it seals, and a few tickers to try in a dry run.

An option given as an empty text is not given: a workflow passes its empty inputs on.
"""

from __future__ import annotations

import argparse
from datetime import datetime

from .errors import ConfigError
from .line import Line
from .options import parse_tickers
from .records import CheckResult, Company, Session
from .report import Report
from .sessions import Sessions


def add_options(verb: argparse.ArgumentParser) -> None:
    """Give ``verb`` the options of a run by hand."""
    verb.add_argument("--session", default="", metavar="DATE", help="seal no session after this one")
    verb.add_argument("--tickers", default="", help="with --dry-run: only these, separated by commas")


def pick_companies(args: argparse.Namespace, companies: tuple[Company, ...]) -> tuple[Company, ...]:
    """Return the companies to work on: all, unless tickers were chosen.

    Raises:
        ConfigError: a ticker is not in the universe, or the run is no dry run.
    """
    if not args.tickers:
        return companies
    wanted = parse_tickers(args.tickers, [company.ticker for company in companies])
    if not args.dry_run:
        raise ConfigError(
            f"--tickers {args.tickers} needs --dry-run: a sealed session has a row for every ticker of the universe"
        )
    return tuple(company for company in companies if company.ticker in wanted)


def find_last(args: argparse.Namespace, sessions: Sessions) -> Session | None:
    """Return the last session to seal; None for no limit. Raises SessionError for a date that is no session."""
    return sessions.parse(args.session) if args.session else None


def forget_other_tickers(line: Line) -> None:
    """Leave evidence of the line's own companies alone in the open sessions of a dry run's copy."""
    evidence = line.store.read_open_headlines()
    own = [company.ticker for company in line.companies]
    line.store.replace_open_headlines(evidence[evidence["ticker"].isin(own)])


def report_last(line: Line, last: Session, report: Report, now: datetime) -> None:
    """Add a warning to ``report`` that says why the run has not sealed ``last``, if it has not."""
    day = last.session_date
    if day not in {sealed.session_date for sealed in report.sealed}:
        notes = _explain(line, last, now)
        report.checks.append(
            CheckResult(f"this run sealed session {day}", is_required=False, is_passed=False, notes=notes)
        )


def _explain(line: Line, last: Session, now: datetime) -> str:
    if last.session_date in line.store.sealed_dates():
        return "it is sealed already, and nothing of it was changed"
    if last.cutoff_at > now:
        return f"it is open until {last.cutoff_at:%Y-%m-%d %H:%M} UTC"
    return "it lies before the first session of this store"
