"""No workflow escapes: every expression can be read, every script parses, every action is one that is played here."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import PROJECT

from .actions import ACTIONS, OPTIONS
from .expressions import evaluate
from .runner import refuse_unknown

FILES = sorted([*(PROJECT / ".github/workflows").glob("*.yml"), *(PROJECT / ".github/actions").glob("*/action.yml")])
CONTEXTS: dict[str, Any] = dict.fromkeys(
    ("github", "inputs", "env", "vars", "secrets", "steps", "needs", "matrix", "runner", "jobs"), {}
)
NAMES = (
    "success",
    "failure",
    "always",
    "cancelled",
    "toJSON",
    "fromJSON",
    "hashFiles",
    "startsWith",
    "contains",
    "format",
)


def list_texts(value: object) -> Iterator[str]:
    """Yield every text in a file."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from ([f"${{{{ {inner} }}}}"] if key == "if" and "${{" not in str(inner) else list_texts(inner))
    elif isinstance(value, list):
        for inner in value:
            yield from list_texts(inner)
    elif isinstance(value, str):
        yield value


def list_steps(value: object) -> Iterator[dict[str, Any]]:
    """Yield every step and every job that uses something or runs something."""
    if isinstance(value, dict):
        if "run" in value or "uses" in value:
            yield value
        for inner in value.values():
            yield from list_steps(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from list_steps(inner)


@pytest.fixture(params=FILES, ids=lambda path: f"{path.parent.name}-{path.name}")
def content(request: pytest.FixtureRequest) -> Any:
    return yaml.safe_load(Path(request.param).read_text())


def test_every_expression_can_be_evaluated(content: Any) -> None:
    functions = {name: lambda *values: "" for name in NAMES}
    found = [inner for text in list_texts(content) for inner in re.findall(r"\$\{\{(.*?)\}\}", text, re.DOTALL)]
    assert found
    for expression in found:
        evaluate(expression, CONTEXTS, functions)


def test_every_script_parses(content: Any) -> None:
    for step in list_steps(content):
        if "run" in step:
            done = subprocess.run(["bash", "-n"], input=step["run"], text=True, capture_output=True)
            assert done.returncode == 0, f"{step['run']}: {done.stderr}"


def test_every_action_is_played_here_or_lies_here(content: Any) -> None:
    for step in list_steps(content):
        used = step.get("uses", "./").split("@")[0]
        assert used in ACTIONS or (PROJECT / used).exists()
        assert used not in ACTIONS or step.get("with", {}).keys() <= OPTIONS[used]


def test_every_key_is_one_that_is_followed_here(content: Any) -> None:
    jobs = content.get("jobs", {})
    if jobs:
        refuse_unknown("workflow", content)
    for job in jobs.values():
        refuse_unknown("call" if "uses" in job else "job", job)
        refuse_unknown("strategy", job.get("strategy", {}))
    for holder in (*jobs.values(), content.get("runs", {})):
        for step in holder.get("steps", []):
            refuse_unknown("step", step)
