"""What went wrong in a run, from three sources: the results of its jobs, their steps, and the report. Pure.

    toJSON(needs) -> results        jobs of the API -> failed jobs        report.json -> the report's own failures

All of it is text of others and taken as such: what is malformed is left out, and nothing here is Markdown yet.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import ConfigError

FINE = ("success", "skipped")

Results = Mapping[str, str]
"""How each needed job ended, by its key in the workflow: success, failure, cancelled or skipped."""


@dataclass(frozen=True, slots=True)
class FailedJob:
    """A job that did not succeed, with the steps that did not; ``job_id`` is its number in addresses."""

    name: str
    result: str
    steps: tuple[str, ...]
    job_id: int


@dataclass(frozen=True, slots=True)
class FailedCheck:
    """A required check of the report that did not pass, and what it found."""

    name: str
    notes: str


@dataclass(frozen=True, slots=True)
class ReportFacts:
    """What report.json says went wrong; nothing when the run was fine, or stopped before it began a report."""

    failure: str = ""
    checks: tuple[FailedCheck, ...] = ()


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of failure, by its heading in docs/OPERATIONS.md."""

    heading: str

    @property
    def anchor(self) -> str:
        """The heading as GitHub turns it into an anchor."""
        return self.heading.lower().replace(" ", "-")


FEEDS = Kind("Too many feeds failed")
REFUSED = Kind("The day was refused")
MODEL = Kind("The model could not be had")
PUSH = Kind("The push failed")
MISSING = Kind("A session is missing")
OTHER = Kind("Something else")


def parse_results(text: str) -> dict[str, str]:
    """Return how each needed job ended, from GitHub's ``toJSON(needs)``.

    Raises:
        ConfigError: it is something else.
    """
    try:
        found = json.loads(text)
        return {_check_key(key): str(job["result"]) for key, job in found.items()}
    except (ValueError, AttributeError, TypeError, KeyError) as error:
        raise ConfigError("RESULTS: expected toJSON(needs), an object of jobs with a result each") from error


def list_failed(results: Results) -> list[str]:
    """Return the keys of the jobs that neither succeeded nor were skipped; a cancelled one failed."""
    return [key for key, result in results.items() if result not in FINE]


def parse_jobs(jobs: Iterable[Mapping[str, Any]]) -> list[FailedJob]:
    """Return the jobs of a run that have ended without success, as the API lists them."""
    failed = []
    for job in jobs:
        result = job.get("conclusion")
        if isinstance(result, str) and result not in (*FINE, "neutral"):
            steps = job.get("steps") if isinstance(job.get("steps"), list) else []
            names = (str(s.get("name")) for s in steps or () if isinstance(s, dict) and _is_failed_step(s))
            job_id = job.get("id")
            failed.append(
                FailedJob(str(job.get("name")), result, tuple(names), job_id if isinstance(job_id, int) else 0)
            )
    return failed


def parse_report(content: bytes) -> ReportFacts:
    """Return what report.json says went wrong; a file that cannot be read says nothing."""
    try:
        found = json.loads(content)
    except ValueError:
        return ReportFacts()
    if not isinstance(found, dict):
        return ReportFacts()
    listed = found.get("checks")
    checks = [check for check in listed if isinstance(check, dict)] if isinstance(listed, list) else []
    return ReportFacts(
        str(found.get("failure") or ""),
        tuple(
            FailedCheck(str(check.get("name")), str(check.get("notes")))
            for check in checks
            if check.get("is_required") and not check.get("is_passed")
        ),
    )


def find_kinds(title: str, failed: Iterable[str], jobs: Iterable[FailedJob], report: ReportFacts) -> list[Kind]:
    """Return the kinds of failure that a run shows, the most telling first; OTHER where none is known.

    Checks are known by how their names begin, jobs and steps by words in theirs: model, export, commit, push, watch.
    The watchdog's own failure, where its steps are not known, is a missing session.
    """
    names = [check.name for check in report.checks]
    is_feed, is_model = ([name.startswith(start) for name in names] for start in ("enough feeds answered", "the model"))
    is_other = [not (feed or model) for feed, model in zip(is_feed, is_model, strict=True)]
    steps = [step for job in jobs for step in job.steps]
    words = set(re.findall(r"[a-z]+", " ".join([*failed, *steps]).lower()))
    found = {
        FEEDS: any(is_feed),
        REFUSED: any(is_other) or (not names and report.failure.startswith("refused")),
        MODEL: any(is_model) or bool(words & {"model", "export"}),
        PUSH: bool(words & {"commit", "push"}),
        MISSING: "watch" in words or (title == "watchdog" and not steps),
    }
    return [kind for kind, is_found in found.items() if is_found] or [OTHER]


def _is_failed_step(step: Mapping[str, Any]) -> bool:
    return step.get("conclusion") in ("failure", "cancelled", "timed_out")


def _check_key(key: str) -> str:
    if not re.fullmatch(r"[A-Za-z_][\w-]{0,99}", key, re.ASCII):
        raise ValueError(key)
    return key
