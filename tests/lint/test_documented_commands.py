"""Every command that README.md and docs/ tell a person to type exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from .commands import is_target, read_verbs
from .workflow_files import PROJECT

PAGES = [PROJECT / "README.md", *sorted((PROJECT / "docs").glob("*.md"))]
VERB = re.compile(r"python3? -m (pipeline(?:\.actions)?|training) ([a-z][a-z-]*)")
TARGET = re.compile(r"(?:^    |`)make ([\w./-]+)", re.MULTILINE)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_its_verbs_and_targets_exist(path: Path) -> None:
    text = path.read_text()
    assert [verb for package, verb in VERB.findall(text) if verb not in read_verbs(package)] == []
    assert [target for target in TARGET.findall(text) if not is_target(target)] == []


def test_the_readme_has_some_of_each() -> None:
    text = (PROJECT / "README.md").read_text()
    assert {package for package, _ in VERB.findall(text)} >= {"pipeline", "training"}
    assert {"demo", "daily", "test"} <= set(TARGET.findall(text))
