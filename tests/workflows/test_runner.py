"""The runner itself, on toy workflows: order, conditions and failures as on GitHub, and nothing is passed over."""

from __future__ import annotations

import os
import textwrap
from pathlib import Path
from typing import Any

import pytest

from .runner import Machine, Run, RunResult
from .sandbox import git

HEAD = "on: {workflow_dispatch: {inputs: {name: {type: string, default: nobody}}}}\npermissions: {}\njobs:\n"


def run_toy(place: Path, jobs: str, files: dict[str, str] | None = None, **inputs: Any) -> RunResult:
    """Run a workflow of ``jobs`` from a repository that holds it and ``files``."""
    origin = place / "origin"
    for name, text in {
        ".github/workflows/toy.yml": HEAD + textwrap.indent(textwrap.dedent(jobs), "  "),
        **(files or {}),
    }.items():
        (origin / name).parent.mkdir(parents=True, exist_ok=True)
        (origin / name).write_text(textwrap.dedent(text))
    git(place, "init", "--quiet", "--initial-branch", "main", str(origin))
    git(origin, "add", "--all")
    git(origin, "commit", "--quiet", "--message", "Toy")
    machine = Machine(
        place=place,
        origin=origin,
        environment={},
        prepare=lambda workspace: None,
        tokens=("writes", "reads"),
        tell_github=lambda number, jobs: None,
        secrets={"KEY": "hidden"},
        identity={"ACTIONS_ID_TOKEN_REQUEST_URL": "http://127.0.0.1:9"},
    )
    return Run(machine, "workflow_dispatch", inputs, {}).run(origin, "toy.yml")


def outcomes(run: RunResult, job: str) -> str:
    """Return how the steps of a job ended, a letter each: g good, f failed, s skipped."""
    return "".join({"success": "g", "failure": "f", "skipped": "s"}[step.outcome] for step in run.jobs[job].steps)


@pytest.mark.parametrize(
    ("steps", "ended"),
    [
        ("[{run: 'true'}, {run: 'true'}]", "gg success"),
        ("[{run: 'false'}, {run: 'true'}, {run: 'true', if: always()}, {run: 'true', if: failure()}]", "fsgg failure"),
        ("[{run: 'false', continue-on-error: true}, {run: 'true'}, {run: 'true', if: failure()}]", "fgs success"),
        ("[{run: 'false | true'}, {run: 'true', if: '!cancelled()'}]", "fg failure"),
        ('[{run: "false\\ntrue"}]', "f failure"),
        ("[{run: 'true', if: github.event_name == 'push'}, {run: 'true', if: inputs.name == 'NOBODY'}]", "sg success"),
        ("[{id: a, run: 'false'}, {if: \"always() && steps.a.outcome == 'failure'\", run: 'true'}]", "fg failure"),
        (
            "[{id: a, run: 'false', continue-on-error: true}, {if: steps.a.conclusion == 'success', run: 'true'}]",
            "fg success",
        ),
    ],
)
def test_steps_end_as_on_github(tmp_path: Path, steps: str, ended: str) -> None:
    run = run_toy(tmp_path, f"job: {{steps: {steps}}}")
    assert f"{outcomes(run, 'job')} {run.jobs['job'].result}" == ended


def test_jobs_follow_their_needs_and_hand_on_outputs(tmp_path: Path) -> None:
    jobs = """
    last: {needs: [first, lost], if: "always() && needs.lost.result == 'failure'", steps: [{run: 'echo last'}]}
    skipped: {needs: lost, steps: [{run: 'echo never'}]}
    after: {needs: skipped, steps: [{run: 'echo never'}]}
    lost: {needs: first, steps: [{run: exit 3}]}
    first:
      outputs: {word: '${{ steps.say.outputs.word }}'}
      steps: [{id: say, run: 'echo word=hm >> "$GITHUB_OUTPUT"'}]
    """
    run = run_toy(tmp_path, jobs)
    assert {name: job.result for name, job in run.jobs.items()} == {
        "first": "success",
        "lost": "failure",
        "skipped": "skipped",
        "after": "skipped",
        "last": "success",
    }
    assert run.jobs["first"].outputs == {"word": "hm"}
    assert run.result == "failure"


@pytest.mark.parametrize(("numbers", "result"), [("[1, 1]", "success"), ("[1, 2]", "failure"), ("[2, 1]", "failure")])
def test_a_matrix_runs_every_choice(tmp_path: Path, numbers: str, result: str) -> None:
    jobs = f"""
    job:
      strategy: {{matrix: {{a: {numbers}, b: [x]}}}}
      steps: [{{env: {{AB: '${{{{ matrix.a }}}}${{{{ matrix.b }}}}'}}, run: 'test "$AB" = 1x'}}]
    """
    assert run_toy(tmp_path, jobs).jobs["job"].result == result


def test_a_step_sees_what_is_declared_and_nothing_of_this_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEVELOPERS_OWN", "1")
    jobs = """
    job:
      env: {JOB: j, BOTH: j}
      steps:
        - {env: {STEP: s, BOTH: s, NAME: '${{ inputs.name }}', KEY: '${{ secrets.KEY }}'}, run: env}
    trusted: {permissions: {id-token: write}, steps: [{run: env}]}
    """
    run = run_toy(tmp_path, jobs, name="$(echo hm)")
    found = dict(line.split("=", 1) for line in run.said("job").splitlines() if "=" in line)
    assert {key: found[key] for key in ("JOB", "STEP", "BOTH", "NAME", "KEY")} == {
        "JOB": "j",
        "STEP": "s",
        "BOTH": "s",
        "NAME": "$(echo hm)",
        "KEY": "hidden",
    }
    assert "DEVELOPERS_OWN" not in found
    assert os.environ["HOME"] != found["HOME"]
    assert set(found["PATH"].split(":")) == {str(tmp_path / "bin"), "/usr/bin", "/bin"}
    assert "ACTIONS_ID_TOKEN_REQUEST_URL" not in found
    assert "ACTIONS_ID_TOKEN_REQUEST_URL=" in run.said("trusted")
    assert found["GITHUB_SHA"] == git(tmp_path / "origin", "rev-parse", "HEAD")


CALLED = """
on: {workflow_call: {outputs: {word: {value: '${{ jobs.inner.outputs.word }}'}}}}
permissions: {}
jobs:
  inner:
    permissions: {contents: read}
    outputs: {word: '${{ steps.say.outputs.word }}'}
    steps: [{id: say, run: 'echo word=hm >> "$GITHUB_OUTPUT"'}]
"""


def test_a_called_workflow_gives_its_outputs_to_the_caller(tmp_path: Path) -> None:
    jobs = """
    call: {permissions: {contents: read}, uses: ./.github/workflows/called.yml}
    use: {needs: call, steps: [{env: {WORD: '${{ needs.call.outputs.word }}'}, run: 'test "$WORD" = hm'}]}
    """
    run = run_toy(tmp_path, jobs, {".github/workflows/called.yml": CALLED})
    assert {name: job.result for name, job in run.jobs.items()} == {
        "call/inner": "success",
        "call": "success",
        "use": "success",
    }


def test_a_called_workflow_may_not_ask_for_more_than_its_caller_has(tmp_path: Path) -> None:
    jobs = "call: {permissions: {}, uses: ./.github/workflows/called.yml}"
    with pytest.raises(AssertionError, match=r"more than its caller has: \['contents'\]"):
        run_toy(tmp_path, jobs, {".github/workflows/called.yml": CALLED})


@pytest.mark.parametrize(
    ("jobs", "said"),
    [
        ("job: {container: debian, steps: []}", r"\['container'\] of a job"),
        ("job: {steps: [{run: 'true', working-directory: x}]}", r"\['working-directory'\] of a step"),
        ("job: {steps: [{run: 'true', shell: pwsh}]}", "shell pwsh"),
        ("job: {strategy: {matrix: {}, surprise: 1}, steps: []}", r"\['surprise'\] of a strategy"),
        ("job: {steps: [{run: 'echo ${{ inputs.name }}'}]}", "an expression inside a script"),
        ("job: {steps: [{uses: stranger/action@v1}]}", "nothing here plays this action"),
        ("job: {steps: [{uses: actions/checkout@v1, with: {persist-credentials: false, lfs: true}}]}", "lfs"),
        (
            "job: {steps: [{uses: actions/checkout@v1, with: {persist-credentials: true}}]}",
            "persist-credentials: false is",
        ),
        ("job: {steps: [{uses: actions/cache/restore@v1, with: {path: x, key: y, restore-keys: z}}]}", "restore-keys"),
    ],
)
def test_what_is_not_played_fails_the_run(tmp_path: Path, jobs: str, said: str) -> None:
    with pytest.raises(AssertionError, match=said):
        run_toy(tmp_path, jobs)
