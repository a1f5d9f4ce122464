"""No file of .github has anything that zizmor's strictest persona finds; and zizmor does find what it should."""

from __future__ import annotations

from pathlib import Path

import pytest

from .made_workflow import GOOD, write_spoilt
from .tools import run_zizmor
from .workflow_files import ACTIONS, DEPENDABOT, WORKFLOWS


@pytest.mark.parametrize("path", [*WORKFLOWS, *ACTIONS, DEPENDABOT], ids=lambda path: f"{path.parent.name}-{path.name}")
def test_zizmor_finds_nothing(path: Path) -> None:
    assert run_zizmor([path]) == {path: []}


def test_the_good_workflow_is_clean(tmp_path: Path) -> None:
    path = write_spoilt(tmp_path, GOOD, GOOD)
    assert run_zizmor([path]) == {path: []}


@pytest.mark.parametrize(
    ("old", "new", "audit"),
    [
        ('"$STORE"', '"${{ github.event.inputs.store }}"', "template-injection"),
        ("@de0fac2e4500dabe0009e67214ff5f5447ce83dd # v6.0.2", "@v6", "unpinned-uses"),
        ("persist-credentials: false", "persist-credentials: true", "artipacked"),
        ("permissions: {}", "permissions: write-all", "excessive-permissions"),
        (" # commits the day", "", "undocumented-permissions"),
        ("  schedule:", "  pull_request_target:\n  schedule:", "dangerous-triggers"),
        ("name: Good\n", "", "anonymous-definition"),
        ("concurrency:\n  group: feature-store\n  queue: max\n  cancel-in-progress: false\n", "", "concurrency-limits"),
        ("jobs:", "jobs: [", "failed to load"),
    ],
)
def test_zizmor_refuses(tmp_path: Path, old: str, new: str, audit: str) -> None:
    path = write_spoilt(tmp_path, old, new)
    assert audit in " ".join(run_zizmor([path])[path])
