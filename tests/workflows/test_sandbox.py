"""The sandbox can fail: it notices a rewritten session or a foreign file, and plays GitHub as strictly as it is."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from .runner import Machine, Run, RunResult
from .sandbox import Sandbox, git
from .test_scenarios import THURSDAY

SEALED = "feature_store/features/2026/2026-11-19.csv"
CHECKOUT = {"uses": "actions/checkout@v6", "with": {"persist-credentials": False}}
UPLOAD = {"uses": "actions/upload-artifact@v7", "with": {"name": "part-1", "path": "made"}}


def publish(sandbox: Sandbox, name: str, text: str) -> None:
    """Commit a file as a run would, past all that the product refuses."""
    work = sandbox.place / "intruder"
    git(sandbox.place, "clone", "--quiet", str(sandbox.origin), str(work))
    (work / name).write_text((work / name).read_text() + text if (work / name).exists() else text)
    git(work, "add", "--all")
    git(work, "commit", "--quiet", "--message", "Seal 2026-11-20")
    environment = {**os.environ, "SANDBOX_MAY_PUSH": "1"}
    subprocess.run(["git", "-C", str(work), "push", "--quiet"], check=True, env=environment, capture_output=True)


def test_a_sealed_file_that_the_very_first_commit_rewrites_is_noticed(sandbox: Sandbox) -> None:
    sandbox.check_history()
    publish(sandbox, SEALED, "\n")
    with pytest.raises(AssertionError, match="Seal 2026-11-20"):
        sandbox.check_history()


@pytest.mark.parametrize("name", ["feature_store/notes.txt", "notes.txt", "manifest.csv"])
def test_a_file_that_no_run_may_commit_is_noticed(sandbox: Sandbox, name: str) -> None:
    publish(sandbox, name, "mine")
    with pytest.raises(AssertionError, match=name):
        sandbox.check_history()


def test_a_session_that_is_missing_is_noticed(sandbox: Sandbox) -> None:
    sandbox.check(sealed={THURSDAY}, titles=())
    with pytest.raises(AssertionError):
        sandbox.check(sealed=set(), titles=())


def play(place: Path, steps: list[Any], action: dict[str, Any] | None = None) -> RunResult:
    """Run a workflow of one job with ``steps``; ``action`` lies at .github/actions/own."""
    files = {"workflows/made.yml": {True: {"schedule": []}, "jobs": {"job": {"steps": [CHECKOUT, *steps]}}}}
    files |= {"actions/own/action.yml": action} if action else {}
    work = place / "work"
    git(place, "init", "--quiet", "--initial-branch", "main", str(work))
    for name, content in files.items():
        path = work / ".github" / name
        path.parent.mkdir(parents=True)
        path.write_text(yaml.safe_dump(content))
    git(work, "add", "--all")
    git(work, "commit", "--quiet", "--message", "Begin")
    machine = Machine(place, work, {}, lambda folder: None, ("writes", "reads"), lambda number, jobs: None)
    return Run(machine, "schedule", {}, {}).run(work, "made.yml")


def list_outcomes(run: RunResult) -> list[str]:
    return [step.outcome for step in run.jobs["job"].steps[1:]]


def test_a_checkout_is_one_commit_deep(tmp_path: Path) -> None:
    run = play(tmp_path, [{"run": "test $(git rev-parse --is-shallow-repository) = true"}])
    assert list_outcomes(run) == ["success"]


def test_steps_of_an_own_action_have_conditions_and_it_refuses_unknown_inputs(tmp_path: Path) -> None:
    steps = [
        {"name": "one", "shell": "bash", "run": "echo one"},
        {"name": "two", "shell": "bash", "run": "exit 3", "if": "inputs.word == 'stop'"},
        {"name": "three", "shell": "bash", "run": "echo three"},
        {"name": "four", "shell": "bash", "run": "echo four", "if": "failure()"},
    ]
    action = {"inputs": {"word": {"default": "go"}}, "runs": {"using": "composite", "steps": steps}}
    own = "./.github/actions/own"
    run = play(tmp_path, [{"uses": own}, {"uses": own, "with": {"word": "stop"}}, {"run": "echo five"}], action)
    assert list_outcomes(run) == ["success", "failure", "skipped"]
    assert [step.said.split() for step in run.jobs["job"].steps[1:3]] == [["one", "three"], ["one", "four"]]
    (tmp_path / "again").mkdir()
    with pytest.raises(AssertionError, match="has no input"):
        play(tmp_path / "again", [{"uses": own, "with": {"wrod": "stop"}}], action)


MAKE = {"run": "mkdir -p made && echo 1 > made/file"}
PART = {"pattern": "part-*", "path": "got"}


@pytest.mark.parametrize(
    ("steps", "outcomes"),
    [
        # A pattern makes a folder of each artifact, unless they are merged; a name does not.
        ([UPLOAD, {"uses": "actions/download-artifact@v8", "with": PART}, {"run": "cat got/part-1/file"}], [True] * 3),
        (
            [
                UPLOAD,
                {"uses": "actions/download-artifact@v8", "with": PART | {"merge-multiple": True}},
                {"run": "cat got/file"},
            ],
            [True] * 3,
        ),
        ([UPLOAD, UPLOAD], [True, False]),
        ([UPLOAD, {**UPLOAD, "with": UPLOAD["with"] | {"overwrite": True}}], [True, True]),  # type: ignore[dict-item]
        # An entry of the cache is that of its path too.
        (
            [
                {"uses": "actions/cache/save@v6", "with": {"path": "made", "key": "k"}},
                {
                    "uses": "actions/cache/restore@v6",
                    "with": {"path": "got", "key": "k", "fail-on-cache-miss": True},
                },
            ],
            [True, False],
        ),
    ],
)
def test_caches_and_artifacts_are_as_strict_as_githubs(tmp_path: Path, steps: list[Any], outcomes: list[bool]) -> None:
    run = play(tmp_path, [MAKE, *steps])
    assert list_outcomes(run)[1:] == ["success" if good else "failure" for good in outcomes], run.describe()


def test_an_action_that_is_not_played_here_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="nothing here plays this action"):
        play(tmp_path, [{"uses": "someone/action@v1"}])


def test_a_step_sees_nothing_that_is_not_declared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OF_THIS_MACHINE", "secret")
    run = play(tmp_path, [{"run": 'echo "<${OF_THIS_MACHINE:-}>"; echo "$TOLD"', "env": {"TOLD": "told"}}])
    assert run.said("job").split() == ["<>", "told"]
