"""python -m pipeline VERB: the list of verbs. With opening.py the only place that reads arguments and the clock."""

from __future__ import annotations

import argparse
import logging
import os
import resource
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from datetime import UTC, date, datetime
from functools import partial
from io import TextIOWrapper
from pathlib import Path

from . import backfill_verb, commit_verb, hand_run, prune_verb, score_archive_verb, watch_verb
from .config import HOME, AdapterSettings, load_companies, load_feed_templates, load_settings
from .errors import ConfigError, ModelError, PipelineError, StoreError
from .feeds import list_feeds
from .line import Line
from .markdown import hide_commands
from .opening import open_calendar, open_line, open_scorer, read_settings
from .options import add_model, add_places, add_verb, parse_date, parse_tickers
from .pinned import MODELS
from .provenance import find_code_revision, find_cpu
from .records import CheckResult
from .report import Report, describe_session, session_text, to_text, write_report
from .restate import restate
from .restatement import Restatement, restatement_text
from .run import capture, run_daily, seal
from .store import FeatureStore

Action = Callable[[Line, Report, date | None], None]
"""What a run does with its line, up to the last session that it may seal."""

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
        print(hide_commands(f"error: {error}"), file=sys.stderr)
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


def run_line(action: Action, args: argparse.Namespace) -> int:
    """Open the line, run ``action`` on it, and leave a report whether it succeeded or not."""
    with ExitStack() as stack:
        try:
            line = open_line(args, stack)
        except ModelError as error:  # nothing has begun, yet whoever is alarmed wants to know why
            check = CheckResult("the model can be used", is_required=True, is_passed=False, notes=str(error))
            report = Report(args.verb, datetime.now(UTC), "", find_code_revision(), checks=[check], failure=str(error))
            write_report(report, args.report)
            raise
        last = hand_run.find_last(args, line.sessions)
        report = Report(
            f"{args.verb}{' (dry run)' * args.dry_run}", line.clock(), line.scorer.revision, line.code_revision
        )
        write_report(report, args.report)  # a folder that cannot be written to shows before anything else is
        try:
            with line.store.lock():
                if args.tickers:
                    hand_run.forget_other_tickers(line)
                action(line, report, last.session_date if last else None)
                if last:
                    hand_run.report_last(line, last, report, line.clock())
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
    store = FeatureStore(read_settings(args).store)
    problems = store.verify()
    for problem in problems:
        print(problem)
    sealed = "" if problems else f"{len(store.sealed_dates())} sealed sessions, "
    print(f"{store.root}: {sealed}{len(problems)} problems")
    return 1 if problems else 0


def run_status(args: argparse.Namespace) -> int:
    """Say what is sealed, what is open, and which feeds have stopped answering."""
    settings, now = read_settings(args), datetime.now(UTC)
    store, sessions = FeatureStore(settings.store), open_calendar(settings)
    sealed, open_dates = store.sealed_dates(), sorted(store.captured_dates() - store.sealed_dates())
    current = sessions.session_of(now)
    feeds = list_feeds(load_feed_templates(settings.feeds), load_companies(settings.tickers))
    states = store.read_feed_states()
    failing = [states[feed.feed_id] for feed in feeds if feed.feed_id in states and states[feed.feed_id].fault]
    print(f"store: {store.root}")
    print(f"sealed: {len(sealed)} sessions" + (f", {min(sealed)} to {max(sealed)}" if sealed else ""))
    pruned = {day for day, _ in store.pruned()}
    if pruned:
        print(f"pruned: headlines of {len(pruned)} sessions, up to {max(pruned)}, lie in an archive")
    for session_date in open_dates:
        print(f"open: {session_date}, {len(store.read_headlines(session_date)):,} headline-ticker rows captured")
    print(f"now: session {current.session_date}, cut-off {current.cutoff_at:%Y-%m-%d %H:%M} UTC")
    print(f"feeds failing at the last capture: {len(failing)}")
    for state in failing:
        print(hide_commands(f"  {state.feed_id}: {state.fault}"))
    return 0


def run_report(args: argparse.Namespace) -> int:
    """Show a sealed session again: who had news, who led, and which headline drove it."""
    settings = read_settings(args)
    store = FeatureStore(settings.store)
    session = open_calendar(settings).parse(args.session)
    if session.session_date not in store.sealed_dates():
        raise StoreError(f"{store.root}: session {session.session_date} is not sealed")
    rows, evidence = store.read_features(session.session_date), store.read_headlines(session.session_date)
    wanted = list(rows.ticker) if args.tickers is None else parse_tickers(args.tickers, list(rows.ticker))
    rows, evidence = rows[rows.ticker.isin(wanted)], evidence[evidence.ticker.isin(wanted)]
    path = str(store.features_path(session.session_date))
    print(session_text(describe_session(session.session_date, path, rows, evidence)))
    return 0


def run_restate(args: argparse.Namespace) -> int:
    """Score sealed sessions anew with the present model, each as a new revision beside the old one."""
    first, last = (
        parse_date(option, text, "2026-11-20") for option, text in (("--from", args.first), ("--to", args.last))
    )
    if first > last:
        raise ConfigError(f"--from {first} is after --to {last}")
    found = Restatement()
    with ExitStack() as stack:
        line = open_line(args, stack)
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

    adapter, output = _adapter(args)
    report = export_model(adapter.repository, adapter.revision or None, output, args.parity_set, sha256=adapter.sha256)
    parity = report.parity
    print(f"{report.folder}: {report.byte_count / 1e6:.1f} MB, revision {report.revision}")
    print(
        f"parity on {parity.row_count} headlines: {parity.same_label_share:.2%} same label, macro-F1 "
        f"{parity.macro_f1_before:.4f} before and {parity.macro_f1_after:.4f} after, scores move by "
        f"{parity.mean_score_change:.4f} on average, {parity.max_score_change:.3f} at most"
    )
    print(f"it computes with {report.arithmetic}")
    return 0


def run_backfill(args: argparse.Namespace) -> int:
    """Make the history of a headline archive by the same code, month by month; run again to go on after a kill."""
    settings = read_settings(args)
    scorer = open_scorer(args, settings)
    return backfill_verb.run(args, settings, scorer, find_code_revision(), find_cpu(), datetime.now(UTC))


def run_list_months(args: argparse.Namespace) -> int:
    """Print which months of an archive a backfill has still to score, as a JSON array."""
    return score_archive_verb.run_months(args, read_settings(args), datetime.now(UTC))


def run_score_archive(args: argparse.Namespace) -> int:
    """Score one month of a headline archive into a file that a backfill takes its scores from."""
    settings = read_settings(args)
    return score_archive_verb.run_score(args, settings, open_scorer(args, settings), find_cpu(), datetime.now(UTC))


def run_commit(args: argparse.Namespace) -> int:
    """Commit what runs have generated and push it, merged with what others have pushed meanwhile."""
    return commit_verb.run(args, read_settings(args), os.environ.get("GITHUB_TOKEN", ""))


def run_watch(args: argparse.Namespace) -> int:
    """Name every session that should be sealed by now and is not; fails if there is one."""
    return watch_verb.run(args, read_settings(args), open_calendar, find_code_revision(), datetime.now(UTC))


def run_prune(args: argparse.Namespace) -> int:
    """Move the headlines of old sealed sessions to an archive; features are never touched."""
    return prune_verb.run(args, read_settings(args), datetime.now(UTC))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m pipeline", description="The daily line, one verb at a time.")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    _add_line_verbs(verbs)
    add_places(add_verb(verbs, "validate", run_validate.__doc__, "python -m pipeline validate", run_validate))
    add_places(add_verb(verbs, "status", run_status.__doc__, "python -m pipeline status", run_status))
    example = "python -m pipeline report --session 2026-11-20 --tickers AAPL,MSFT"
    verb = add_places(add_verb(verbs, "report", run_report.__doc__, example, run_report))
    verb.add_argument("--session", required=True, help="a trading session, such as 2026-11-20")
    verb.add_argument("--tickers", help="only these, separated by commas")
    backfill_verb.add_options(add_verb(verbs, "backfill", run_backfill.__doc__, backfill_verb.EXAMPLE, run_backfill))
    example = score_archive_verb.MONTHS_EXAMPLE
    score_archive_verb.add_months_options(
        add_verb(verbs, "list-months", run_list_months.__doc__, example, run_list_months)
    )
    example = score_archive_verb.SCORE_EXAMPLE
    score_archive_verb.add_score_options(
        add_verb(verbs, "score-archive", run_score_archive.__doc__, example, run_score_archive)
    )
    watch_verb.add_options(add_verb(verbs, "watch", run_watch.__doc__, watch_verb.EXAMPLE, run_watch))
    prune_verb.add_options(add_verb(verbs, "prune", run_prune.__doc__, prune_verb.EXAMPLE, run_prune))
    commit_verb.add_options(add_verb(verbs, "commit", run_commit.__doc__, commit_verb.EXAMPLE, run_commit))
    example = "python -m pipeline restate --from 2026-11-02 --to 2026-11-20"
    _add_restate(add_verb(verbs, "restate", run_restate.__doc__, example, run_restate))
    example = "python -m pipeline export-model runs/default-seed43 --output my_model"
    _add_export(add_verb(verbs, "export-model", run_export.__doc__, example, run_export))
    return parser


def _capture(line: Line, report: Report, last: date | None) -> None:
    """Capture, which seals nothing and so knows no last session."""
    capture(line, report)


def _add_line_verbs(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    for name, action, text in (
        ("capture", _capture, "append newly seen headlines, scored, to the open sessions"),
        ("seal", seal, "aggregate, validate and store every session whose cut-off has passed"),
        ("daily", run_daily, "capture, then seal"),
    ):
        verb = add_verb(verbs, name, text, f"python -m pipeline {name} --dry-run", partial(run_line, action))
        _add_line(verb)
        if name == "capture":
            verb.set_defaults(session="", tickers="")
        else:
            hand_run.add_options(verb)


def _add_line(verb: argparse.ArgumentParser) -> None:
    add_places(verb)
    add_model(verb)
    verb.add_argument("--replay", type=Path, metavar="DIR", help="read feeds from a recording, not from the network")
    verb.add_argument("--now", help="the time of a replay, such as 2026-11-20T21:35:00Z")
    verb.add_argument("--report", type=Path, default=Path("report"), metavar="DIR", help="where the report goes")


def _add_restate(verb: argparse.ArgumentParser) -> None:
    add_places(verb)
    add_model(verb)
    verb.add_argument("--from", required=True, dest="first", metavar="DATE", help="first day of the range")
    verb.add_argument("--to", required=True, dest="last", metavar="DATE", help="last day of the range")
    verb.set_defaults(now=None, replay=None, tickers="")


def _add_export(verb: argparse.ArgumentParser) -> None:
    verb.add_argument(
        "adapter", nargs="?", help="a run folder, or a Hub repository OWNER/NAME (default: the settings')"
    )
    verb.add_argument("--revision", help="the 40-hex commit of a Hub repository")
    verb.add_argument("--settings", type=Path, default=HOME / "settings.toml", help="settings file")
    verb.add_argument(
        "--output",
        type=Path,
        help="model folder to write (default: models/COMMIT for the settings' adapter, else the folder that ships)",
    )
    verb.add_argument("--parity-set", type=Path, default=HOME / "parity_set.csv", help="headlines of the parity gate")


def _adapter(args: argparse.Namespace) -> tuple[AdapterSettings, Path]:
    """Return the adapter to export, the command line's, else the settings', and the folder that its model goes to."""
    if args.adapter is not None:
        return AdapterSettings(args.adapter, args.revision or ""), args.output or HOME / "default_model"
    if args.revision is not None:
        raise ConfigError("--revision needs the Hub repository it belongs to: export-model OWNER/NAME --revision HEX")
    adapter = load_settings(args.settings).adapter
    if not adapter.repository:
        raise ConfigError(
            f"{args.settings}: adapter.repository is empty: name an adapter, or have `python -m training promote` do it"
        )
    return adapter, args.output or MODELS / adapter.revision


if __name__ == "__main__":
    sys.exit(main())
