"""Runs a workflow file here: jobs in order, conditions, outputs, and every `run:` as it stands, in bash.

What GitHub's own actions do is played (checkout, cache, artifacts); any other action fails the run. A step sees the
variables that the files declare, those that GitHub sets, and nothing else of this machine.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

import yaml

from .actions import ACTIONS, OPTIONS, ActionError
from .expressions import fill, is_met, to_text

GOOD, BAD, SKIPPED = "success", "failure", "skipped"
TIMEOUT_S = 180

PROGRAMS = ("bash", "git", "make")
"""What a step finds of this machine beyond /usr/bin and /bin."""

IGNORED = {"name", "on", True, "run-name", "concurrency", "runs-on", "timeout-minutes", "environment"}
"""What a file may say and nothing here follows: when and where a run begins, beside what, and how long it may last."""

PLAYED = {
    "workflow": {"permissions", "env", "jobs"},
    "job": {"needs", "if", "permissions", "env", "outputs", "steps", "strategy"},
    "call": {"needs", "if", "permissions", "uses", "with"},
    "step": {"id", "if", "env", "uses", "with", "run", "shell", "continue-on-error"},
    "strategy": {"matrix", "fail-fast", "max-parallel"},
}
"""What is followed; anything else in a file fails the run, so that none of it is taken for tried."""


@dataclass
class StepResult:
    """One step: ``outcome`` is success, failure or skipped; ``said`` is what it printed."""

    name: str
    outcome: str
    said: str = ""
    outputs: dict[str, str] = field(default_factory=dict)


@dataclass
class JobResult:
    """One job of a run; ``workspace`` is where it worked, ``summary`` what it left for the job summary."""

    name: str
    result: str
    outputs: dict[str, Any] = field(default_factory=dict)
    steps: list[StepResult] = field(default_factory=list)
    workspace: Path | None = None
    summary: str = ""


@dataclass
class RunResult:
    """A run of a workflow: its jobs by id, those of workflows it calls as ``caller/id``."""

    jobs: dict[str, JobResult]

    @property
    def result(self) -> str:
        return BAD if any(job.result == BAD for job in self.jobs.values()) else GOOD

    def describe(self) -> str:
        """Return every step with its outcome, and what the failed ones printed."""
        lines = []
        for job_id, job in self.jobs.items():
            lines.append(f"{job_id}: {job.result}")
            for step in job.steps:
                lines.append(f"  {step.outcome} {step.name}")
                lines += [f"    {line}" for line in step.said.splitlines()] if step.outcome == BAD else []
        return "\n".join(lines)

    def said(self, job_id: str) -> str:
        """Return all that a job printed."""
        return "\n".join(step.said for step in self.jobs[job_id].steps)


@dataclass
class Machine:
    """Where jobs run. ``environment`` is added to every step's; ``tell_github`` learns of jobs as they end.

    ``identity`` are the variables of a job that may ask for an id token.
    """

    place: Path
    origin: Path
    environment: Mapping[str, str]
    prepare: Callable[[Path], None]
    tokens: tuple[str, str]
    tell_github: Callable[[int, Mapping[str, JobResult]], None]
    branch: str = "main"
    run_count: int = 0
    secrets: Mapping[str, str] = field(default_factory=dict)
    identity: Mapping[str, str] = field(default_factory=dict)

    @property
    def cache(self) -> Path:
        return self.place / "cache"


class Run:
    """One run of a workflow, begun by ``event``; every step sees the variables ``extra`` as well."""

    def __init__(self, machine: Machine, event: str, inputs: Mapping[str, Any], extra: Mapping[str, str]) -> None:
        machine.run_count += 1
        self.machine = machine
        self.number = machine.run_count
        self.event = event
        self.inputs = inputs
        self.extra = extra
        self.place = machine.place / f"run{self.number}"
        self.jobs: dict[str, JobResult] = {}

    def run(
        self, source: Path, workflow: str, only: Collection[str] = (), before: Mapping[str, JobResult] | None = None
    ) -> RunResult:
        """Run ``workflow``, a file below .github/workflows of the checkout ``source``.

        ``only`` these of its jobs, if any are named; ``before`` is how those had ended that it does not run.
        """
        self.source = source
        self.commit = read_tip(source)
        content = _read(source / ".github" / "workflows" / workflow)
        refuse_unknown("workflow", content)
        content["jobs"] = {name: job for name, job in content["jobs"].items() if not only or name in only}
        self.before = dict(before or {})
        assert self.event in content[True], f"{workflow} is not run for {self.event}"
        declared = (content[True].get("workflow_dispatch") or {}).get("inputs", {})
        assert set(self.inputs) <= set(declared), f"{workflow} has no input {set(self.inputs) - set(declared)}"
        defaults = {name: wanted.get("default", "") for name, wanted in declared.items()}
        self._run_jobs(content, "", {**defaults, **self.inputs} if self.event == "workflow_dispatch" else {})
        return RunResult(self.jobs)

    def _run_jobs(self, workflow: Mapping[str, Any], prefix: str, inputs: Mapping[str, Any]) -> dict[str, JobResult]:
        done = {} if prefix else self.before
        waiting = dict(workflow["jobs"])
        while waiting:
            job_id = next(name for name, job in waiting.items() if set(_needs(job)) <= done.keys())
            job = waiting.pop(job_id)
            needs = {name: done[name] for name in _needs(job)}
            done[job_id] = self.jobs[prefix + job_id] = self._run_job(job_id, prefix, workflow, job, needs, inputs)
            self.machine.tell_github(self.number, self.jobs)
        return done

    def _run_job(
        self,
        job_id: str,
        prefix: str,
        workflow: Mapping[str, Any],
        job: Mapping[str, Any],
        needs: Mapping[str, JobResult],
        inputs: Mapping[str, Any],
    ) -> JobResult:
        refuse_unknown("call" if "uses" in job else "job", job)
        refuse_unknown("strategy", job.get("strategy", {}))
        token = self._token(workflow, job)
        contexts = {
            "github": self._github(token),
            "inputs": inputs,
            "vars": {},
            "secrets": self.machine.secrets,
            "runner": {"environment": "github-hosted", "os": "Linux"},
            "needs": {name: {"result": found.result, "outputs": found.outputs} for name, found in needs.items()},
        }
        contexts["env"] = _fill_all(workflow.get("env", {}), contexts, {})
        functions = _functions(all(found.result == GOOD for found in needs.values()), self.source)
        title = to_text(fill(str(job.get("name", job_id)), contexts | {"matrix": {}}, functions))
        if not is_met(job.get("if", "success()"), contexts, functions):
            return JobResult(title, SKIPPED)
        if "uses" in job:
            return self._call(job_id, prefix, job, title)
        try:
            matrix = _fill_all(job.get("strategy", {}).get("matrix", {}), contexts, functions)
        except (TypeError, ValueError) as error:  # fromJSON of what a job before has not said
            return JobResult(title, BAD, steps=[StepResult("matrix", BAD, f"error: {error}")])
        results = [
            self._run_steps(f"{prefix}{job_id}{number or ''}", job, contexts | {"matrix": dict(choice)}, token, title)
            for number, choice in enumerate(
                product(*([(key, one) for one in values] for key, values in matrix.items()))
            )
        ]
        failed = [found for found in results if found.result == BAD]
        return failed[0] if failed else results[-1]

    def _call(self, job_id: str, prefix: str, job: Mapping[str, Any], title: str) -> JobResult:
        """Run the workflow that a job calls; its outputs become the job's."""
        called = _read(self.source / job["uses"])
        refuse_unknown("workflow", called)
        for inner in called["jobs"].values():
            _refuse_wider(job.get("permissions", {}), inner.get("permissions", called.get("permissions", {})))
        jobs = self._run_jobs(called, f"{prefix}{job_id}/", job.get("with", {}))
        contexts = {"jobs": {name: {"result": done.result, "outputs": done.outputs} for name, done in jobs.items()}}
        declared = called[True]["workflow_call"].get("outputs", {})
        outputs = {name: fill(output["value"], contexts, {}) for name, output in declared.items()}
        return JobResult(title, BAD if any(done.result == BAD for done in jobs.values()) else GOOD, outputs)

    def _run_steps(
        self, folder: str, job: Mapping[str, Any], contexts: dict[str, Any], token: str, title: str
    ) -> JobResult:
        worker = Worker(self, self.place / folder, contexts, job, token)
        for step in job["steps"]:
            worker.take(step)
        outputs = _fill_all(job.get("outputs", {}), worker.contexts, worker.functions())
        result = GOOD if worker.is_fine else BAD
        return JobResult(title, result, outputs, worker.steps, worker.workspace, worker.read_summary())

    def _token(self, workflow: Mapping[str, Any], job: Mapping[str, Any]) -> str:
        """Return a token that can write to GitHub's interface only where the job may."""
        granted = job.get("permissions", workflow.get("permissions", {}))
        writes, reads = self.machine.tokens
        return writes if "write" in {granted.get(key) for key in ("issues", "actions", "pull-requests")} else reads

    def _github(self, token: str) -> dict[str, Any]:
        return {
            "token": token,
            "event_name": self.event,
            "ref": f"refs/heads/{self.machine.branch}",
            "ref_name": self.machine.branch,
            "run_id": str(self.number),
            "workflow": "workflow",
            "repository": "owner/repository",
            "sha": self.commit,
        }


class Worker:
    """One job at work: a workspace, the variables of its steps, and what has become of them so far."""

    def __init__(self, run: Run, place: Path, contexts: dict[str, Any], job: Mapping[str, Any], token: str) -> None:
        self.run = run
        self.workspace = place / "workspace"
        self.place = place
        self.workspace.mkdir(parents=True)
        (place / "home").mkdir()
        self.steps: list[StepResult] = []
        self.script_count = 0
        self.is_fine = True
        self.may_push = job.get("permissions", {}).get("contents") == "write"
        self.identity = run.machine.identity if job.get("permissions", {}).get("id-token") == "write" else {}
        self.contexts = contexts | {"steps": {}}
        self.contexts["env"] = contexts["env"] | _fill_all(job.get("env", {}), contexts, {})

    def functions(self) -> dict[str, Callable[..., Any]]:
        return _functions(self.is_fine, self.workspace)

    def take(self, step: Mapping[str, Any]) -> None:
        """Run a step if its condition holds, and remember how it ended."""
        name = str(step.get("name", step.get("run", step.get("uses"))))
        if not is_met(step.get("if", "success()"), self.contexts, self.functions()):
            done = StepResult(name, SKIPPED)
        else:
            try:
                done = self.perform(name, step)
            except ActionError as error:
                done = StepResult(name, BAD, str(error))
        self.steps.append(done)
        is_forgiven = bool(step.get("continue-on-error"))
        self.is_fine = self.is_fine and (done.outcome != BAD or is_forgiven)
        if "id" in step:
            conclusion = GOOD if is_forgiven and done.outcome == BAD else done.outcome
            known = {"outputs": done.outputs, "outcome": done.outcome, "conclusion": conclusion}
            self.contexts["steps"][step["id"]] = known

    def perform(self, name: str, step: Mapping[str, Any]) -> StepResult:
        refuse_unknown("step", step)
        assert step.get("shell", "bash") == "bash", f"{name}: shell {step['shell']}"
        variables = self.contexts["env"] | _fill_all(step.get("env", {}), self.contexts, self.functions())
        if "run" in step:
            return self.shell(name, step["run"], variables)
        options = _fill_all(step.get("with", {}), self.contexts, self.functions())
        if step["uses"].startswith("./"):
            return self.compose(name, self.workspace / step["uses"], options)
        action = ACTIONS.get(step["uses"].split("@")[0])
        if action is None:
            raise AssertionError(f"{step['uses']}: nothing here plays this action")
        unknown = options.keys() - OPTIONS[step["uses"].split("@")[0]]
        assert not unknown, f"{step['uses']}: {sorted(unknown)} are not played here"
        return StepResult(name, GOOD, "", action(self, dict(options)) or {})

    def compose(self, name: str, folder: Path, options: Mapping[str, Any]) -> StepResult:
        """Run the steps of an action of our own, with conditions of their own, as one step."""
        action = _read(folder / "action.yml")
        declared = action.get("inputs", {})
        assert set(options) <= set(declared), f"{folder} has no input {set(options) - set(declared)}"
        inputs = {key: wanted.get("default", "") for key, wanted in declared.items()} | options
        outer, before = (self.contexts, self.is_fine), len(self.steps)
        self.contexts, self.is_fine = {**self.contexts, "inputs": inputs, "steps": {}}, True
        try:
            for step in action["runs"]["steps"]:
                self.take(step)
            said = "\n".join(step.said for step in self.steps[before:])
            return StepResult(name, GOOD if self.is_fine else BAD, said)
        finally:
            del self.steps[before:]
            self.contexts, self.is_fine = outer

    def shell(self, name: str, script: str, variables: Mapping[str, Any]) -> StepResult:
        """Run a script as GitHub's bash does, with nothing in its environment that is not told here."""
        assert "${{" not in script, f"{name}: an expression inside a script"
        self.script_count += 1
        path, output = self.place / f"step{self.script_count}.sh", self.place / f"output{self.script_count}"
        path.write_text(script)
        output.touch()
        environment = {
            "PATH": f"{self.run.machine.place / 'bin'}:/usr/bin:/bin",
            "HOME": str(self.place / "home"),
            "LANG": "C.UTF-8",
            "CI": "true",
            "GITHUB_ACTIONS": "true",
            "GITHUB_WORKSPACE": str(self.workspace),
            "GITHUB_OUTPUT": str(output),
            "GITHUB_STEP_SUMMARY": str(self.place / "summary"),
            "GITHUB_REF_NAME": self.run.machine.branch,
            "GITHUB_REPOSITORY": "owner/repository",
            "GITHUB_RUN_ID": str(self.run.number),
            "GITHUB_RUN_ATTEMPT": "1",
            "GITHUB_SHA": self.run.commit,
            **self.identity,
            **self.run.machine.environment,
            **self.run.extra,
            **({"SANDBOX_MAY_PUSH": "1"} if self.may_push and "GITHUB_TOKEN" in variables else {}),
            **{key: to_text(value) for key, value in variables.items()},
        }
        done = subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", str(path)],
            cwd=self.workspace,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=TIMEOUT_S,
        )
        outputs = dict(line.split("=", 1) for line in output.read_text().splitlines())
        return StepResult(name, BAD if done.returncode else GOOD, done.stdout, outputs)

    def read_summary(self) -> str:
        path = self.place / "summary"
        return path.read_text() if path.exists() else ""


def refuse_unknown(kind: str, found: Mapping[Any, Any]) -> None:
    """Fail on what a real run would follow and this one would not."""
    unknown = found.keys() - PLAYED[kind] - IGNORED
    assert not unknown, f"{found.get('name', kind)}: {sorted(unknown)} of a {kind} are not played here"


def _functions(is_fine: bool, root: Path) -> dict[str, Callable[..., Any]]:
    return {
        "success": lambda: is_fine,
        "failure": lambda: not is_fine,
        "always": lambda: True,
        "cancelled": lambda: False,
        "toJSON": lambda value: json.dumps(value, indent=2),
        "fromJSON": json.loads,
        "hashFiles": lambda *patterns: _hash_files(root, patterns),
        "startsWith": lambda text, start: str(text).lower().startswith(str(start).lower()),
        "contains": lambda where, what: what in where,
        "format": lambda text, *values: str(text).format(*values),
    }


def _hash_files(root: Path, patterns: tuple[str, ...]) -> str:
    paths = sorted({path for pattern in patterns for path in root.glob(pattern) if path.is_file()})
    return hashlib.sha256(b"".join(path.read_bytes() for path in paths)).hexdigest() if paths else ""


def _fill_all(values: Mapping[str, Any], contexts: Mapping[str, Any], functions: Mapping[str, Any]) -> dict[str, Any]:
    return {key: fill(v, contexts, functions) if isinstance(v, str) else v for key, v in values.items()}


def _needs(job: Mapping[str, Any]) -> list[str]:
    found = job.get("needs", [])
    return [found] if isinstance(found, str) else list(found)


def _refuse_wider(granted: Mapping[str, str], wanted: Mapping[str, str]) -> None:
    """Fail, as GitHub does, where a called job asks for more than its caller may."""
    rank = {"none": 0, "read": 1, "write": 2}
    wider = {key for key, level in wanted.items() if rank[level] > rank[granted.get(key, "none")]}
    assert not wider, f"a called job asks for more than its caller has: {sorted(wider)}"


def read_tip(checkout: Path) -> str:
    """Return the commit that is checked out."""
    command = ["git", "-C", str(checkout), "rev-parse", "HEAD"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def _read(path: Path) -> dict[Any, Any]:
    return yaml.safe_load(path.read_text())
