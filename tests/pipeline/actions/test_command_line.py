"""python3 -m pipeline.actions on a runner's bare Python: its files, its exit codes, one line for every error."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.config import HOME

from ...github_server import READ_TOKEN, TOKEN, GitHubServer

PROJECT = HOME.parent
RESULTS = json.dumps({"run": {"result": "failure", "outputs": {}}})


def run(*args: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a verb by an interpreter that sees nothing but the standard library and the project."""
    command = [sys.executable, "-S", "-m", "pipeline.actions", *args]
    return subprocess.run(command, cwd=PROJECT, env=environment, capture_output=True, text=True, timeout=60)


def test_the_summary_goes_to_the_steps_file_or_to_the_terminal(tmp_path: Path) -> None:
    (tmp_path / "report.md").write_text("# daily\n")
    done = run("summary", "--report", str(tmp_path), GITHUB_STEP_SUMMARY=str(tmp_path / "summary"))
    assert (done.returncode, done.stdout) == (0, "summary: 8 of 8 bytes written\n")
    assert (tmp_path / "summary").read_text() == "# daily\n"
    assert run("summary", "--report", str(tmp_path)).stdout == "# daily\n"


def test_the_pin_goes_to_the_steps_outputs_and_to_the_terminal(tmp_path: Path) -> None:
    outputs = tmp_path / "outputs"
    outputs.write_text("before=1\n")
    done = run("pin", GITHUB_OUTPUT=str(outputs))
    assert done.returncode == 0
    assert outputs.read_text() == "before=1\n" + done.stdout
    assert [line.split("=")[0] for line in done.stdout.splitlines()] == ["revision", "needed", "key"]


def test_an_alert_is_raised_and_withdrawn() -> None:
    with GitHubServer() as server:
        alert = ("alert", "--title", "daily", "--report", "nowhere")
        assert run(*alert, RESULTS=RESULTS, **server.environment()).returncode == 0
        assert server.open_numbers() == [1]
        done = run(*alert, RESULTS=RESULTS.replace("failure", "success"), **server.environment(run_id=2))
        assert (done.returncode, done.stdout) == (0, "closed issue 1: daily has recovered\n")
        assert TOKEN not in done.stdout + done.stderr


def test_workflows_are_enabled() -> None:
    with GitHubServer() as server:
        server.workflows = {"daily.yml": "disabled_inactivity"}
        done = run("enable", "daily.yml", **server.environment())
    assert (done.returncode, done.stdout) == (0, "enabled daily.yml\n")


@pytest.mark.parametrize(
    ("args", "environment", "said"),
    [
        (("enable", "daily.yml"), {}, "GITHUB_REPOSITORY is not set"),
        (("alert", "--title", "daily", "--report", "x"), {}, "RESULTS: expected toJSON"),
        (("pin", "--settings", "nowhere.toml"), {}, "nowhere.toml: cannot be read"),
        (("summary", "--report", "x"), {"GITHUB_STEP_SUMMARY": "/nowhere/file"}, "/nowhere/file"),
        (
            ("propose", "--branch", "a", "--title", "t", "--body-file", "nowhere.md"),
            {"GITHUB_REPOSITORY": "owner/name", "GITHUB_TOKEN": "t"},
            "nowhere.md",
        ),
    ],
)
def test_an_error_is_one_line_and_exit_code_1(args: tuple[str, ...], environment: dict[str, str], said: str) -> None:
    done = run(*args, **environment)
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert said in done.stderr


def test_githubs_refusal_is_one_line_without_the_token() -> None:
    with GitHubServer() as server:
        done = run("enable", "daily.yml", **server.environment(token=READ_TOKEN))
    assert done.returncode == 1
    assert done.stderr == (
        "error: daily.yml: PUT /actions/workflows/daily.yml/enable: HTTP 403: Resource not accessible by integration\n"
    )


@pytest.mark.parametrize("verb", ["summary", "alert", "enable", "propose", "pin"])
def test_every_verb_has_help_with_an_example(verb: str) -> None:
    assert f"example: python3 -m pipeline.actions {verb}" in " ".join(run(verb, "--help").stdout.split())
