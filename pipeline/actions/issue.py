"""The one issue about a workflow: whose it is, and what it says. Pure; every word of others is escaped."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from ..markdown import escape_text
from .context import Context
from .failures import FailedJob, Kind, ReportFacts, Results
from .memory import MARK, Memory, format_memory, read_memory, remember

LABEL = "automation"
LONGEST_BODY = 60_000
"""Characters; GitHub takes 65,536."""

_SHOWN = 30
_LONG = 2000


@dataclass(frozen=True, slots=True)
class Failure:
    """What failed in one run. ``jobs`` is None where GitHub would not say which steps failed."""

    results: Results
    failed: Sequence[str]
    jobs: Sequence[FailedJob] | None
    report: ReportFacts
    kinds: Sequence[Kind]

    @property
    def digest(self) -> str:
        """Eight hex digits that change when something else fails, but not with figures and addresses."""
        steps = [(job.name, job.steps) for job in self.jobs or ()]
        checks = [check.name for check in self.report.checks]
        return hashlib.sha256(repr((sorted(self.failed), sorted(steps), sorted(checks))).encode()).hexdigest()[:8]


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do about an issue: its new body, and a comment ("" for none)."""

    body: str
    comment: str


def is_own(issue: Mapping[str, Any], title: str, author: str) -> bool:
    """Tell whether ``issue`` is the one about ``title``: opened by ``author`` and marked on its first line.

    Anyone may write the mark into an issue of their own; nobody else can be its author.
    """
    user = issue.get("user")
    is_by_author = isinstance(user, dict) and user.get("login") == author
    first_line = str(issue.get("body") or "").split("\n")[0]
    return is_by_author and "pull_request" not in issue and first_line.startswith(f"<!-- {MARK} {title} ")


def plan_failure(title: str, body: str, context: Context, failure: Failure, today: date) -> Plan:
    """Return what to make of the issue with ``body`` ("" for a new one) after a failed run.

    The body always tells the latest state. A comment is made, so that it is noticed, when something else failed than
    before, and else once a day.
    """
    before = read_memory(body) if body else None
    run = context.run_id, context.run_attempt
    memory = remember(before, run, failure.failed, failure.digest, today)
    is_told = not body or (before is not None and (before.digest, before.told) == (memory.digest, memory.told))
    comment = "" if is_told else f"Failed again: {_link_run(context)}. {_sum_up(failure)}"
    return Plan(format_body(title, memory, context, failure), _sign(comment, context))


def plan_recovery(body: str, context: Context, results: Results) -> Plan | None:
    """Return how to close the issue with ``body`` after a run without failures; None where that proves nothing yet.

    Every job that had failed must have succeeded since: one that was skipped may fail again.
    """
    memory = read_memory(body)
    good = [key for key, result in results.items() if result == "success"]
    waited = [key for key in memory.jobs if key in results] if memory else []
    if not good or not set(waited) <= set(good):
        return None
    count = f" after {memory.run_count} failed {'run' if memory.run_count == 1 else 'runs'}" if memory else ""
    names = ", ".join(f"`{key}`" for key in waited or good)
    return Plan(body, _sign(f"Recovered: {names} succeeded in {_link_run(context)}{count}.", context))


def format_body(title: str, memory: Memory, context: Context, failure: Failure) -> str:
    """Return the issue's text: how often and when, what failed, and where to read on."""
    times = "once" if memory.run_count == 1 else f"{memory.run_count} times"
    since = "" if memory.run_count == 1 else f", first in {_link_run(context, memory.first)}"
    lines = [
        format_memory(title, memory),
        "",
        f"`{title}` has failed {times}{since}, last in {_link_run(context)}.",
        "",
        *_describe_failure(context, failure),
        "",
        "### What to do",
        "",
        *(
            f"- [{kind.heading}]({context.home_url}/blob/HEAD/docs/OPERATIONS.md#{kind.anchor})"
            for kind in failure.kinds
        ),
        "",
        "Every failed run updates this text; the first run that succeeds closes the issue.",
    ]
    return cut_text("\n".join(lines), LONGEST_BODY)


def cut_text(text: str, limit: int) -> str:
    """Return ``text`` in at most ``limit`` characters, cut at a line."""
    if len(text) <= limit:
        return text
    note = "\n\nCut here: the rest is too long."
    return text[: text.rfind("\n", 0, limit - len(note))] + note


def sign_of(context: Context) -> str:
    """Return the comment, not shown, that marks what this run wrote."""
    return f"<!-- {MARK} run={context.run_id}.{context.run_attempt} -->"


def _describe_failure(context: Context, failure: Failure) -> Iterator[str]:
    yield "### What failed"
    yield ""
    if failure.report.failure:
        yield f"- {escape_text(failure.report.failure, _LONG)}"
    for check in failure.report.checks[:_SHOWN]:
        yield f"- check **{escape_text(check.name)}**: {escape_text(check.notes, _LONG)}"
    for key in failure.failed:
        yield f"- job `{key}`: {escape_text(failure.results[key], 40)}"
    for job in (failure.jobs or ())[:_SHOWN]:
        steps = ", ".join(escape_text(step, 100) for step in job.steps) or "no step"
        page = f"{context.run_url}/job/{job.job_id}" if job.job_id else context.run_url
        name = f"[{escape_text(job.name, 100)}]({page})"
        yield f"- {name}: {escape_text(job.result, 40)} at {steps}"
    if failure.jobs is None:
        yield "- Which steps failed could not be read; the run's page shows it."


def _sum_up(failure: Failure) -> str:
    steps = [step for job in failure.jobs or () for step in job.steps]
    names = [check.name for check in failure.report.checks] or steps or list(failure.failed)
    hidden = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return "; ".join(escape_text(name, 100) for name in names[:5]) + hidden


def _link_run(context: Context, run_id: int | None = None) -> str:
    number = context.run_id if run_id is None else run_id
    attempt = f", attempt {context.run_attempt}" if run_id is None and context.run_attempt > 1 else ""
    return f"[run {number}{attempt}]({context.home_url}/actions/runs/{number})"


def _sign(comment: str, context: Context) -> str:
    return f"{comment}\n\n{sign_of(context)}" if comment else ""
