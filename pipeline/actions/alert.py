"""One issue about a workflow that fails: opened, kept up to date, and closed by the first run that succeeds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

from ..errors import ConfigError
from .client import ApiError, GitHub
from .failures import FailedJob, ReportFacts, Results, find_kinds, list_failed, parse_jobs, parse_report
from .issue import LABEL, Failure, Plan, is_own, plan_failure, plan_recovery, sign_of
from .memory import is_title

AUTHOR = "github-actions[bot]"
"""Who opens issues with the token that GitHub gives a workflow."""

_DISABLED = (404, 410)


def alert(
    github: GitHub, title: str, results: Results, report: Path, today: date, author: str = AUTHOR
) -> Iterator[str]:
    """Make the issue about ``title`` say what this run showed; yield a line for each thing done.

    Only an open issue of ``author`` counts, so that nobody else's is ever written to or closed. A repository without
    issues, as a fork is at first, gets a warning.

    Raises:
        ConfigError: ``title`` is malformed, or there is no run to speak of.
        ApiError: GitHub would not do it.
    """
    if not is_title(title):
        raise ConfigError(f"--title {title}: expected a word such as daily")
    if not github.context.run_id:
        raise ConfigError("GITHUB_RUN_ID is not set: expected the number of a run")
    try:
        issues = _find_issues(github, title, author)
        if failed := list_failed(results):
            jobs, facts = _read_jobs(github), _read_report(report)
            if jobs is None:
                yield "warning: GitHub would not say which steps failed"
            failure = Failure(results, failed, jobs, facts, find_kinds(title, failed, jobs or (), facts))
            yield _open_or_update(github, title, failure, today, author, issues)
            return
        closed = [issue for issue in issues if _close(github, issue, results, author)]
        yield from (f"closed issue {issue['number']}: {title} has recovered" for issue in closed)
        if not closed:
            yield f"{title}: nothing has failed" + ("; what had failed before has not run" if issues else "")
    except ApiError as error:
        if error.status not in _DISABLED:
            raise
        yield f"warning: this repository keeps no issues, so none tells of {title}; enable them in its settings"


def _open_or_update(
    github: GitHub, title: str, failure: Failure, today: date, author: str, issues: list[dict[str, Any]]
) -> str:
    body = str(issues[0]["body"]) if issues else ""
    plan = plan_failure(title, body, github.context, failure, today)
    if issues:
        number = issues[0]["number"]
        is_told = _comment(github, number, plan, author)
        github.change("PATCH", f"/issues/{number}", {"body": plan.body})
        return f"updated issue {number}{' with a comment' * is_told}: {github.context.home_url}/issues/{number}"

    def find() -> dict[str, Any] | None:
        return next(iter(_find_issues(github, title, author)), None)

    payload = {"title": f"The {title} workflow fails", "body": plan.body, "labels": [LABEL]}
    number = github.create("/issues", payload, find).get("number")
    return f"opened issue {number}: {github.context.home_url}/issues/{number}"


def _close(github: GitHub, issue: dict[str, Any], results: Results, author: str) -> bool:
    plan = plan_recovery(str(issue["body"]), github.context, results)
    if plan is None:
        return False
    _comment(github, issue["number"], plan, author)
    github.change("PATCH", f"/issues/{issue['number']}", {"state": "closed", "state_reason": "completed"})
    return True


def _comment(github: GitHub, number: int, plan: Plan, author: str) -> bool:
    if not plan.comment:
        return False
    path = f"/issues/{number}/comments"
    github.create(path, {"body": plan.comment}, _find_comment(github, path, author))
    return True


def _find_comment(github: GitHub, path: str, author: str) -> Callable[[], dict[str, Any] | None]:
    """Return what looks for this run's comment."""
    mark = sign_of(github.context)

    def find() -> dict[str, Any] | None:
        for comment in github.list_items(path):
            user = comment.get("user") or {}
            if user.get("login") == author and mark in str(comment.get("body")):
                return comment
        return None

    return find


def _find_issues(github: GitHub, title: str, author: str) -> list[dict[str, Any]]:
    """Return our open issues about ``title``, the oldest first; GitHub's own filter is not relied upon."""
    found = github.list_items("/issues", state="open", creator=author)
    return sorted((issue for issue in found if is_own(issue, title, author)), key=lambda issue: issue["number"])


def _read_jobs(github: GitHub) -> list[FailedJob] | None:
    """Return the failed jobs of this run; None where GitHub would not list them, which is no reason to stay silent."""
    path = f"/actions/runs/{github.context.run_id}/jobs"
    try:
        return parse_jobs(github.list_items(path, "jobs", filter="latest"))
    except ApiError:
        return None


def _read_report(directory: Path) -> ReportFacts:
    try:
        return parse_report((directory / "report.json").read_bytes())
    except OSError:
        return ReportFacts()
