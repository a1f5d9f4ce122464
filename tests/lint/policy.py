"""The project's own rules for workflows, each a function from a workflow to its complaints: none when it holds."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from .workflow_files import PROJECT, Workflow, iterate_commands, list_steps, split_commands

Rule = Callable[[Workflow], Iterator[str]]

PINNED = re.compile(r"[\w.-]+/[\w./-]+@[0-9a-f]{40}")
VERSION_COMMENT = re.compile(r"\s# v\d+\.\d+\.\d+$")
WITH_SECRETS = {"retrain.yml"}
"""Where a secret may be named: retraining writes to the Hub. The default path needs none."""

WRITERS = {
    "contents": ("pipeline commit", "pipeline.actions propose"),
    "pull-requests": ("pipeline.actions propose",),
    "issues": ("pipeline.actions alert",),
    "actions": ("pipeline.actions enable",),
    "id-token": ("training ",),
}
"""For each write permission the commands that need it; a job without one of them may not have it."""

PYTHONS = {"daily": ".venv/bin/python", "full": ".venv-full/bin/python"}
"""What each line that can be set up runs on."""

STORE_LOCK = {"group": "feature-store", "queue": "max", "cancel-in-progress": False}
ZONE = "America/New_York"
GIVEN = re.compile(r"(GITHUB|RUNNER)_[A-Z_]+|CI|HOME|PATH")
"""Variables that every runner sets."""


def grant_nothing_on_top(workflow: Workflow) -> Iterator[str]:
    """Permissions are none by default and given by job."""
    if "jobs" in workflow.values and workflow.values.get("permissions") != {}:
        yield "expected permissions: {} on top"
    for job_id, job in workflow.jobs.items():
        if "jobs" in workflow.values and not isinstance(job.get("permissions"), dict):
            yield f"{job_id}: expected permissions of its own, each by name"


def write_only_where_needed(workflow: Workflow) -> Iterator[str]:
    """A job writes only what a command of its own writes."""
    for job_id, job in workflow.jobs.items():
        commands = [command for owner, _, command in iterate_commands(workflow) if owner == job_id]
        for scope, access in dict(job.get("permissions") or {}).items():
            if access == "write" and not any(
                part in command for part in WRITERS.get(scope, ()) for command in commands
            ):
                yield f"{job_id}: {scope}: write, but no command that needs it"


def name_everything(workflow: Workflow) -> Iterator[str]:
    """Workflow, jobs and steps have names."""
    if not workflow.values.get("name"):
        yield "no name"
    for job_id, job in workflow.jobs.items():
        if "jobs" in workflow.values and not job.get("name"):
            yield f"{job_id}: no name"
        yield from (f"{job_id}: a step without name" for step in list_steps(job) if not step.get("name"))


def bound_every_job(workflow: Workflow) -> Iterator[str]:
    """Jobs end by themselves; one that calls a workflow cannot say so, the jobs of that workflow do."""
    for job_id, job in workflow.jobs.items():
        if "jobs" in workflow.values and "uses" not in job and not isinstance(job.get("timeout-minutes"), int):
            yield f"{job_id}: expected timeout-minutes"


def pin_every_runner(workflow: Workflow) -> Iterator[str]:
    """A runner does not change under a job that nobody looks at."""
    for job_id, job in workflow.jobs.items():
        if "latest" in str(job.get("runs-on", "")):
            yield f"{job_id}: {job['runs-on']}: expected one release, as in ubuntu-24.04"


def pin_every_action(workflow: Workflow) -> Iterator[str]:
    """Actions of others are pinned by commit, with the version beside it; our own are files of this checkout."""
    for used in _list_uses(workflow):
        if used.startswith("./"):
            target = PROJECT / used
            if not (target.is_file() or (target / "action.yml").is_file()):
                yield f"{used}: no such file"
        elif not PINNED.fullmatch(used):
            yield f"{used}: expected a commit of 40 hex digits"
        elif not all(VERSION_COMMENT.search(line) for line in workflow.text.splitlines() if used in line):
            yield f"{used}: expected a comment with its version, as in # v1.2.3"


def list_pins(workflow: Workflow) -> set[tuple[str, str]]:
    """Return (owner/repository, commit) of every action of others."""
    pins = (used.split("@") for used in _list_uses(workflow) if PINNED.fullmatch(used))
    return {("/".join(name.split("/")[:2]), commit) for name, commit in pins}


def _list_uses(workflow: Workflow) -> list[str]:
    jobs = workflow.jobs.values()
    return [owner["uses"] for job in jobs for owner in (job, *list_steps(job)) if "uses" in owner]


def keep_no_credentials(workflow: Workflow) -> Iterator[str]:
    """No checkout leaves its token in .git."""
    for job_id, job in workflow.jobs.items():
        for step in list_steps(job):
            checkout = step.get("uses", "").startswith("actions/checkout@")
            if checkout and step.get("with", {}).get("persist-credentials") is not False:
                yield f"{job_id}: expected persist-credentials: false"


def keep_expressions_out_of_shells(workflow: Workflow) -> Iterator[str]:
    """What GitHub puts in reaches a command as a variable, never as text of the script."""
    for job_id, job in workflow.jobs.items():
        yield from (f"{job_id}: ${{{{ in {step['name']}" for step in list_steps(job) if "${{" in step.get("run", ""))


def name_no_secret(workflow: Workflow) -> Iterator[str]:
    """The default path runs in a fork that has no secret."""
    if workflow.name not in WITH_SECRETS and re.search(r"\bsecrets\b(?=\s*[.:\[])", _drop_comments(workflow.text)):
        yield "names a secret"


def _drop_comments(text: str) -> str:
    return re.sub(r"(^|\s)#.*", "", text, flags=re.MULTILINE)


def tick_off_the_hour(workflow: Workflow) -> Iterator[str]:
    """Schedules avoid the crowded minutes and are told in New York's time, clock changes included."""
    events = workflow.values.get("on")
    for tick in events.get("schedule", []) if isinstance(events, dict) else []:
        minute = str(tick.get("cron", "")).split(" ")[0]
        if not minute.isdecimal() or int(minute) in (0, 30):
            yield f"{tick.get('cron')}: expected one minute that is neither 0 nor 30"
        if tick.get("timezone") != ZONE:
            yield f"{tick.get('cron')}: expected timezone: {ZONE}"


def write_the_store_one_at_a_time(workflow: Workflow) -> Iterator[str]:
    """Workflows that commit wait for each other, all of them, and none is cut off."""
    for job_id in {job_id for job_id, _, command in iterate_commands(workflow) if "pipeline commit" in command}:
        if STORE_LOCK not in (workflow.values.get("concurrency"), workflow.jobs[job_id].get("concurrency")):
            yield f"{job_id}: expected concurrency: {STORE_LOCK}"


def run_one_command_a_step(workflow: Workflow) -> Iterator[str]:
    """A step that needs more than one command wants to be a verb."""
    for job_id, job in workflow.jobs.items():
        for step in list_steps(job):
            commands = split_commands(step.get("run", ""))
            if "run" in step and (len(commands) != 1 or re.search(r"[;|&`<>]|\$\(", commands[0])):
                yield f"{job_id}: {step.get('name')}: expected one plain command"


def declare_every_variable(workflow: Workflow) -> Iterator[str]:
    """Every variable of a command is declared in an env: of its step, job or workflow, or set by every runner."""
    for job_id, step, command in iterate_commands(workflow):
        declared: dict[str, Any] = {}
        for owner in (workflow.values, workflow.jobs[job_id], step):
            declared |= owner.get("env") or {}
        for name in re.findall(r"\$\{?(\w+)", command):
            if name not in declared and not GIVEN.fullmatch(name):
                yield f"{job_id}: ${name} is not declared"


def set_up_what_is_used(workflow: Workflow) -> Iterator[str]:
    """A job that runs the Python of a line has set up that line."""
    for job_id, job in workflow.jobs.items():
        ready = {step["with"].get("line") for step in list_steps(job) if step.get("uses", "").endswith("actions/setup")}
        commands = [command for owner, _, command in iterate_commands(workflow) if owner == job_id]
        used = {line for line, python in PYTHONS.items() if any(command.startswith(python) for command in commands)}
        yield from (f"{job_id}: {line}: no such line" for line in sorted(ready - PYTHONS.keys()))
        yield from (f"{job_id}: {line} is used, not set up" for line in sorted(used - ready))


RULES = (
    grant_nothing_on_top,
    write_only_where_needed,
    name_everything,
    bound_every_job,
    pin_every_runner,
    pin_every_action,
    keep_no_credentials,
    keep_expressions_out_of_shells,
    name_no_secret,
    tick_off_the_hour,
    write_the_store_one_at_a_time,
    run_one_command_a_step,
    declare_every_variable,
    set_up_what_is_used,
)
