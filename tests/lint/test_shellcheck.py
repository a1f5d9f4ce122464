"""Every shell line and script is clean under shellcheck; and shellcheck does find what it should."""

from __future__ import annotations

from pathlib import Path

import pytest

from .made_workflow import COMMAND, write_spoilt
from .tools import Findings, run_shellcheck
from .workflow_files import ACTIONS, PROJECT, WORKFLOWS

SCRIPTS = [*sorted((PROJECT / "scripts").glob("*.sh")), PROJECT / ".ci" / "run"]
CHECKED = [*WORKFLOWS, *ACTIONS, *(path for path in SCRIPTS if path.is_file())]


@pytest.fixture(scope="module")
def findings(tmp_path_factory: pytest.TempPathFactory) -> Findings:
    return run_shellcheck(CHECKED, tmp_path_factory.mktemp("blocks"))


@pytest.mark.parametrize("path", CHECKED, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_shellcheck_finds_nothing(findings: Findings, path: Path) -> None:
    assert findings[path] == []


@pytest.mark.parametrize(
    ("new", "code"),
    [
        (COMMAND, None),
        ("echo $STORE", "SC2086"),
        ("cd feature_store", "SC2164"),
        ('if [ "$STORE" = a ]; then', "SC1073"),
        ("rm -rf $STORE/*", "SC2115"),
        ("|\n          make demo\n          echo `date`", "SC2006"),
    ],
)
def test_shellcheck_refuses(tmp_path: Path, new: str, code: str | None) -> None:
    path = write_spoilt(tmp_path, COMMAND, new)
    found = run_shellcheck([path], tmp_path)[path]
    assert code in " ".join(found) if code else found == []


def test_a_script_is_read_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "script.sh"
    path.write_text("#!/usr/bin/env bash\ncp $1 $2\n")
    assert "line 2: SC2086" in run_shellcheck([path], tmp_path)[path][0]
