"""python -m pipeline VERB: the only place of the daily line that reads arguments, the environment and the clock."""

from __future__ import annotations

import argparse
import logging
import os
import platform
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, date, datetime
from functools import partial
from io import TextIOWrapper
from pathlib import Path

from .config import HOME, Settings, load_companies, load_feed_templates, load_settings
from .errors import ConfigError, PipelineError, StoreError
from .feeds import list_feeds
from .fetch import fetch_feeds
from .line import Line
from .model_folder import GOLDEN_TOLERANCE, check_golden, read_model_folder
from .replay import replay_feeds
from .report import Report, describe_session, session_text, to_text, write_report
from .restate import restate
from .restatement import Restatement, restatement_text
from .run import capture, run_daily, seal
from .score import OnnxScorer
from .sessions import Sessions
from .store import FeatureStore

UNREAD = 141
"""Exit status after the reader of the output has left, as a shell gives it."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb; return 0 only when the data is good. A user's error is one line on stderr, without a traceback."""
    args = _parser().parse_args(argv)
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal that cannot show a bar is no reason to fail
    logging.getLogger("urllib3").setLevel(logging.ERROR)  # every retry would be a line; the report counts faults
    try:
        return args.run(args)
    except PipelineError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:  # whoever reads us, such as head, has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return UNREAD
    except OSError as error:
        print(f"error: {error.filename or 'system'}: {error.strerror or error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("error: interrupted; the store is as the last finished write left it", file=sys.stderr)
        return 130


def run_line(action: Callable[[Line, Report], None], args: argparse.Namespace) -> int:
    """Open the line, run ``action`` on it, and leave a report whether it succeeded or not."""
    with ExitStack() as stack:
        line = _open_line(args, stack)
        report = Report(
            f"{args.verb}{' (dry run)' * args.dry_run}", line.clock(), line.scorer.revision, line.code_revision
        )
        write_report(report, args.report)  # a folder that cannot be written to shows before anything else is
        try:
            with line.store.lock():
                action(line, report)
        except (PipelineError, OSError) as error:
            report.failure = str(error)
            raise
        finally:
            report.peak_memory_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            print(to_text(report))
            print("report: " + ", ".join(str(path) for path in write_report(report, args.report)))
    return 0


def run_validate(args: argparse.Namespace) -> int:
    """Check every file of the store against its contract and its checksum."""
    store = FeatureStore(_settings(args).store)
    problems = store.verify()
    for problem in problems:
        print(problem)
    sealed = "" if problems else f"{len(store.sealed_dates())} sealed sessions, "
    print(f"{store.root}: {sealed}{len(problems)} problems")
    return 1 if problems else 0


def run_status(args: argparse.Namespace) -> int:
    """Say what is sealed, what is open, and which feeds have stopped answering."""
    settings, now = _settings(args), datetime.now(UTC)
    store, sessions = FeatureStore(settings.store), _sessions(settings)
    sealed, open_dates = store.sealed_dates(), sorted(store.captured_dates() - store.sealed_dates())
    current = sessions.session_of(now)
    feeds = list_feeds(load_feed_templates(settings.feeds), load_companies(settings.tickers))
    states = store.read_feed_states()
    failing = [states[feed.feed_id] for feed in feeds if feed.feed_id in states and states[feed.feed_id].fault]
    print(f"store: {store.root}")
    print(f"sealed: {len(sealed)} sessions" + (f", {min(sealed)} to {max(sealed)}" if sealed else ""))
    for session_date in open_dates:
        print(f"open: {session_date}, {len(store.read_headlines(session_date)):,} headline-ticker rows captured")
    print(f"now: session {current.session_date}, cut-off {current.cutoff_at:%Y-%m-%d %H:%M} UTC")
    print(f"feeds failing at the last capture: {len(failing)}")
    for state in failing:
        print(f"  {state.feed_id}: {state.fault}")
    return 0


def run_report(args: argparse.Namespace) -> int:
    """Show a sealed session again: who had news, who led, and which headline drove it."""
    settings = _settings(args)
    store = FeatureStore(settings.store)
    session = _sessions(settings).parse(args.session)
    if session.session_date not in store.sealed_dates():
        raise StoreError(f"{store.root}: session {session.session_date} is not sealed")
    rows, evidence = store.read_features(session.session_date), store.read_headlines(session.session_date)
    wanted = list(rows.ticker) if args.tickers is None else _tickers(args.tickers, list(rows.ticker))
    rows, evidence = rows[rows.ticker.isin(wanted)], evidence[evidence.ticker.isin(wanted)]
    path = str(store.features_path(session.session_date))
    print(session_text(describe_session(session.session_date, path, rows, evidence)))
    return 0


def run_restate(args: argparse.Namespace) -> int:
    """Score sealed sessions anew with the present model, each as a new revision beside the old one."""
    first, last = (_date(option, text) for option, text in (("--from", args.first), ("--to", args.last)))
    if first > last:
        raise ConfigError(f"--from {first} is after --to {last}")
    found = Restatement()
    with ExitStack() as stack:
        line = _open_line(args, stack)
        with line.store.lock():
            try:
                restate(line, first, last, found)
            finally:
                if found.restated or found.unchanged:
                    print(restatement_text(found))
    if args.dry_run:
        print("dry run: nothing was kept")
    return 0


def run_export(args: argparse.Namespace) -> int:
    """Turn a trained adapter into the int8 model folder that is scored; refused when it strays from the original."""
    from .export import export_model

    adapter, revision = _adapter(args)
    report = export_model(adapter, revision, args.output, args.parity_set)
    parity = report.parity
    print(f"{report.folder}: {report.byte_count / 1e6:.1f} MB, revision {report.revision}")
    print(
        f"parity on {parity.row_count} headlines: {parity.same_label_share:.2%} same label, macro-F1 "
        f"{parity.macro_f1_before:.4f} before and {parity.macro_f1_after:.4f} after, scores move by "
        f"{parity.mean_score_change:.4f} on average, {parity.max_score_change:.3f} at most"
    )
    print(f"it computes with {report.arithmetic}")
    return 0


def run_backfill_verb(args: argparse.Namespace) -> int:
    """Make the history of a headline archive by the same code, month by month; run again to go on after a kill."""
    from .backfill_verb import run

    settings = _settings(args)
    scorer = _open_scorer(args, settings)
    return run(args, settings, scorer, _code_revision(), _cpu(), datetime.now(UTC))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m pipeline", description="The daily line, one verb at a time.")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    for name, action, text in (
        ("capture", capture, "append newly seen headlines, scored, to the open sessions"),
        ("seal", seal, "aggregate, validate and store every session whose cut-off has passed"),
        ("daily", run_daily, "capture, then seal"),
    ):
        example = f"python -m pipeline {name} --dry-run"
        verb = _add_places(_add_verb(verbs, name, text, example, partial(run_line, action)))
        verb.add_argument("--model", type=Path, help="model folder, instead of the one in the settings")
        verb.add_argument(
            "--replay", type=Path, metavar="DIR", help="read feeds from a recording, not from the network"
        )
        verb.add_argument("--now", help="the time of a replay, such as 2026-11-20T21:35:00Z")
        verb.add_argument("--report", type=Path, default=Path("report"), metavar="DIR", help="where the report goes")
        verb.add_argument("--dry-run", action="store_true", help="work on a copy of the store and throw it away")
    _add_places(_add_verb(verbs, "validate", run_validate.__doc__, "python -m pipeline validate", run_validate))
    _add_places(_add_verb(verbs, "status", run_status.__doc__, "python -m pipeline status", run_status))
    example = "python -m pipeline report --session 2026-11-20 --tickers AAPL,MSFT"
    verb = _add_places(_add_verb(verbs, "report", run_report.__doc__, example, run_report))
    verb.add_argument("--session", required=True, help="a trading session, such as 2026-11-20")
    verb.add_argument("--tickers", help="only these, separated by commas")
    _add_backfill(verbs)
    example = "python -m pipeline restate --from 2026-11-02 --to 2026-11-20"
    verb = _add_places(_add_verb(verbs, "restate", run_restate.__doc__, example, run_restate))
    verb.add_argument("--from", required=True, dest="first", metavar="DATE", help="first day of the range")
    verb.add_argument("--to", required=True, dest="last", metavar="DATE", help="last day of the range")
    verb.add_argument("--model", type=Path, help="model folder, instead of the one in the settings")
    verb.add_argument("--dry-run", action="store_true", help="work on a copy of the store and throw it away")
    verb.set_defaults(now=None, replay=None)
    example = "python -m pipeline export-model runs/default-seed42 --output my_model"
    verb = _add_verb(verbs, "export-model", run_export.__doc__, example, run_export)
    verb.add_argument(
        "adapter", nargs="?", help="a run folder, or a Hub repository OWNER/NAME (default: the settings')"
    )
    verb.add_argument("--revision", help="the 40-hex commit of a Hub repository")
    verb.add_argument("--settings", type=Path, default=HOME / "settings.toml", help="settings file")
    verb.add_argument(
        "--output",
        type=Path,
        default=HOME / "default_model",
        help="model folder to write (default: the one that ships)",
    )
    verb.add_argument("--parity-set", type=Path, default=HOME / "parity_set.csv", help="headlines of the parity gate")
    return parser


def _add_backfill(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    example = "python -m pipeline backfill news.parquet --start 2015-01-02 --end 2016-08-15 --root history"
    example += " --title-column headline --time-column published_at --ticker-column ticker"
    verb = _add_verb(verbs, "backfill", run_backfill_verb.__doc__, example, run_backfill_verb)
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
    verb.add_argument("--dry-run", action="store_true", help="work on a copy of the store and throw it away")
    verb.add_argument("--address", help="a running Ray cluster (default: one of its own on this machine)")
    verb.add_argument("--settings", type=Path, default=HOME / "settings.toml", help="settings file")
    verb.add_argument("--universe", type=Path, help="table of tickers, instead of the one in the settings")
    verb.add_argument("--model", type=Path, help="model folder, instead of the one in the settings")


def _add_verb(
    verbs: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    text: str | None,
    example: str,
    run: Callable[[argparse.Namespace], int],
) -> argparse.ArgumentParser:
    verb = verbs.add_parser(name, help=text, description=text, epilog=f"example: {example}")
    verb.set_defaults(run=run)
    return verb


def _add_places(verb: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """Give ``verb`` the options that say which settings, store and universe it works on."""
    verb.add_argument("--settings", type=Path, default=HOME / "settings.toml", help="settings file")
    verb.add_argument("--store", type=Path, help="feature store, instead of the one in the settings")
    verb.add_argument("--universe", type=Path, help="table of tickers, instead of the one in the settings")
    return verb


def _settings(args: argparse.Namespace) -> Settings:
    settings = load_settings(args.settings)
    return replace(settings, store=args.store or settings.store, tickers=args.universe or settings.tickers)


def _adapter(args: argparse.Namespace) -> tuple[str, str | None]:
    """Return the adapter and revision to export: the command line's, else the settings'."""
    if args.adapter is not None:
        return args.adapter, args.revision
    if args.revision is not None:
        raise ConfigError("--revision needs the Hub repository it belongs to: export-model OWNER/NAME --revision HEX")
    adapter = load_settings(args.settings).adapter
    if not adapter.repository:
        raise ConfigError(
            f"{args.settings}: adapter.repository is empty: name an adapter, or have `python -m training promote` do it"
        )
    return adapter.repository, adapter.revision


def _sessions(settings: Settings) -> Sessions:
    return Sessions(settings.sessions.calendar, settings.sessions.cutoff_offset_minutes)


def _open_line(args: argparse.Namespace, stack: ExitStack) -> Line:
    """Load everything a run needs; a dry run gets a copy of the store that vanishes with ``stack``."""
    clock = _clock(args.now, args.replay)
    settings = _settings(args)
    companies = load_companies(settings.tickers)
    scorer = _open_scorer(args, settings)
    root = settings.store
    if args.dry_run:
        root = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "feature_store"
        if settings.store.exists():
            shutil.copytree(settings.store, root)
    return Line(
        settings=settings,
        companies=companies,
        feeds=list_feeds(load_feed_templates(settings.feeds), companies),
        sessions=_sessions(settings),
        store=FeatureStore(root),
        scorer=scorer,
        fetch=_fetcher(args.replay, settings, clock),
        clock=clock,
        code_revision=_code_revision(),
        cpu=_cpu(),
        progress=sys.stderr.isatty(),
    )


def _open_scorer(args: argparse.Namespace, settings: Settings) -> OnnxScorer:
    """Return the model of the command line, else the settings', after its golden scores were met."""
    folder = read_model_folder(args.model or settings.score.model)
    if args.model is None and settings.adapter.revision not in ("", folder.revision):
        raise ConfigError(
            f"{args.settings}: [adapter] pins {settings.adapter.revision}, but the model {folder.path} is of "
            f"{folder.revision}; export the pinned one: python -m pipeline export-model"
        )
    scorer = OnnxScorer(folder.path, settings.score.threads, settings.score.batch_tokens)
    check_golden(scorer, folder, GOLDEN_TOLERANCE)
    return scorer


def _clock(now: str | None, replay: Path | None) -> Callable[[], datetime]:
    """Return the real clock, or for a replay one that stands still."""
    if now is None:
        return lambda: datetime.now(UTC).replace(microsecond=0)
    if replay is None:
        raise ConfigError("--now needs --replay: a live run takes the real time")
    try:
        moment = datetime.fromisoformat(now)
        fixed = moment.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise ConfigError(f"--now {now}: expected a time such as 2026-11-20T21:35:00Z") from error
    if moment.tzinfo is None:
        raise ConfigError(f"--now {now}: expected a time zone, such as Z for UTC")
    return lambda: fixed


def _fetcher(replay: Path | None, settings: Settings, clock: Callable[[], datetime]) -> Callable:
    if replay is not None:
        return lambda feeds, states: replay_feeds(feeds, replay, clock)
    return lambda feeds, states: fetch_feeds(feeds, states, settings.fetch, clock, progress=sys.stderr.isatty())


def _date(option: str, text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise ConfigError(f"{option} {text}: expected a date such as 2026-11-20") from error


def _tickers(text: str, universe: Sequence[str]) -> list[str]:
    wanted = [ticker.strip().upper() for ticker in text.split(",") if ticker.strip()]
    if not wanted:
        raise ConfigError(f"--tickers {text!r}: expected tickers separated by commas, such as AAPL,MSFT")
    for ticker in wanted:
        if ticker not in universe:
            raise ConfigError(f"--tickers {ticker}: not in the universe of {len(universe)} tickers")
    return wanted


def _code_revision() -> str:
    """Return the commit of this checkout, with a + when it has local changes; empty outside a checkout."""
    git = ["git", "-C", str(HOME)]
    try:
        head = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
        changes = subprocess.run(
            [*git, "status", "--porcelain", "--", str(HOME)], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return ""
    return head + "+" * bool(changes.stdout.strip())


def _cpu() -> str:
    """Return the processor's model name, for the manifest."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


if __name__ == "__main__":
    sys.exit(main())
