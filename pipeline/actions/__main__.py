"""python3 -m pipeline.actions VERB: the only place here that reads arguments, the environment and the clock."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from ..config import HOME, load_settings
from ..errors import ConfigError, PipelineError
from ..git import Repository
from ..markdown import hide_commands
from .alert import AUTHOR, alert
from .client import GitHub
from .context import read_context
from .enable import enable_workflows
from .failures import parse_results
from .pin import describe_pin
from .propose import propose
from .summary import append_summary, read_summary


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb; a user's error, or GitHub's, is one line on stderr and exit code 1."""
    args = _parser().parse_args(argv)
    try:
        args.run(args)
    except PipelineError as error:
        return _fail(str(error))
    except OSError as error:
        return _fail(f"{error.filename or 'system'}: {error.strerror or error}")
    except KeyboardInterrupt:
        _fail("interrupted")
        return 130
    return 0


def run_summary(args: argparse.Namespace) -> None:
    """Append the report of a run to the summary of the step that this is, or print it outside of one."""
    if target := os.environ.get("GITHUB_STEP_SUMMARY"):
        print(append_summary(args.report, Path(target)))
    else:
        print(hide_commands(read_summary(args.report)), end="")


def run_alert(args: argparse.Namespace) -> None:
    """Open, update or close the issue about a workflow; RESULTS in the environment holds toJSON(needs)."""
    results = parse_results(os.environ.get("RESULTS", ""))
    today = datetime.now(UTC).date()
    for line in alert(_github(), args.title, results, args.report, today, args.author):
        print(hide_commands(line))


def run_enable(args: argparse.Namespace) -> None:
    """Switch workflows on, so that GitHub does not switch their schedules off after 60 days without a commit."""
    for line in enable_workflows(_github(), args.file):
        print(line)


def run_propose(args: argparse.Namespace) -> None:
    """Open or update a pull request that changes nothing but the pinned adapter."""
    github = _github()
    try:
        body = args.body_file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{args.body_file}: not UTF-8") from error
    repository = Repository(args.path.parent, token=github.context.token)
    url = propose(github, repository, args.path, args.branch, args.base, args.title, body)
    print(url or f"nothing to propose: {args.base} has this {args.path} already")


def run_pin(args: argparse.Namespace) -> None:
    """Say which pinned adapter the settings name and whether its model has to be made, as outputs of a step."""
    outputs = describe_pin(load_settings(args.settings), args.exporter)
    if target := os.environ.get("GITHUB_OUTPUT"):
        with Path(target).open("a", encoding="utf-8") as file:
            file.write(outputs)
    print(outputs, end="")


def _github() -> GitHub:
    return GitHub(read_context(os.environ))


def _fail(message: str) -> int:
    print(hide_commands(f"error: {' '.join(message.split())}"), file=sys.stderr)
    return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m pipeline.actions", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")

    def add(name: str, run: Callable[[argparse.Namespace], None], example: str) -> argparse.ArgumentParser:
        epilog = f"example: {example}"
        verb = verbs.add_parser(name, help=run.__doc__, description=run.__doc__, epilog=epilog)
        verb.set_defaults(run=run)
        return verb

    summary = add("summary", run_summary, "python3 -m pipeline.actions summary --report report")
    summary.add_argument("--report", type=Path, required=True, help="folder of report.md")

    verb = add("alert", run_alert, "python3 -m pipeline.actions alert --title daily --report report")
    verb.add_argument("--title", required=True, help="the workflow, a word in lower case")
    verb.add_argument("--report", type=Path, required=True, help="folder of report.json; it may be missing")
    verb.add_argument("--author", default=AUTHOR, help=f"whose issues are its own (default: {AUTHOR})")

    enable = add("enable", run_enable, "python3 -m pipeline.actions enable capture.yml daily.yml")
    enable.add_argument("file", nargs="+", help="name of a file below .github/workflows")

    example = "python3 -m pipeline.actions propose --branch adapter --title 'Pin a better adapter' --body-file table.md"
    propose_verb = add("propose", run_propose, example)
    propose_verb.add_argument("--branch", required=True, help="branch to push; what it held before is replaced")
    propose_verb.add_argument("--base", default="main", help="branch to merge into (default: main)")
    propose_verb.add_argument("--title", required=True, help="title of the commit and of the pull request")
    propose_verb.add_argument("--body-file", type=Path, required=True, help="Markdown, the pull request's text")
    propose_verb.add_argument("--path", type=Path, default=HOME / "settings.toml", help="the settings file")

    pin = add("pin", run_pin, "python3 -m pipeline.actions pin")
    pin.add_argument("--exporter", default="", help="what stands for the code that exports, in the key of the cache")
    pin.add_argument("--settings", type=Path, default=HOME / "settings.toml", help="settings file")
    return parser


if __name__ == "__main__":
    sys.exit(main())
