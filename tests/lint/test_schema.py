"""Every file of .github is what GitHub's schemas allow; and the schemas do refuse what they should."""

from __future__ import annotations

from pathlib import Path

import pytest

from .made_workflow import GOOD, write_spoilt
from .tools import Findings, check_schema
from .workflow_files import ACTIONS, DEPENDABOT, WORKFLOWS

FILES = {"github-workflows": WORKFLOWS, "github-actions": ACTIONS, "dependabot": [DEPENDABOT]}


@pytest.fixture(scope="module")
def findings() -> Findings:
    return {path: found for name, paths in FILES.items() for path, found in check_schema(paths, name).items()}


@pytest.mark.parametrize("path", [*WORKFLOWS, *ACTIONS, DEPENDABOT], ids=lambda path: f"{path.parent.name}-{path.name}")
def test_it_follows_the_schema(findings: Findings, path: Path) -> None:
    assert findings[path] == []


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (GOOD, GOOD, None),
        ("runs-on: ubuntu-24.04\n    ", "", "'runs-on' is a required property"),
        ("permissions: {}", "permissions: {everything: read}", "everything"),
        ("timeout-minutes: 10", "timeout-minute: 10", "timeout-minute"),
        ("queue: max", "queue: many", "many"),
        ("schedule:", "scheduled:", "scheduled"),
        ("jobs:", "jobs: [", "Failed to parse"),
    ],
)
def test_the_schema_refuses(tmp_path: Path, old: str, new: str, said: str | None) -> None:
    path = write_spoilt(tmp_path, old, new)
    found = check_schema([path], "github-workflows")[path]
    assert said in " ".join(found) if said else found == []
