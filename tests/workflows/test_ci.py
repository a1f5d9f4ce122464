"""What CI runs beside tests and lint, which are running already when this does: the demo, and the README's commands."""

from __future__ import annotations

import subprocess
from typing import Any

import pytest
import yaml

from tests.conftest import PROJECT

from .sandbox import Sandbox
from .test_scenarios import EVENING

JOBS: dict[str, Any] = yaml.safe_load((PROJECT / ".github/workflows/ci.yml").read_text())["jobs"]
TRIED = ("demo",)
"""The jobs that are run here; the others run the suite that this test belongs to."""


def test_the_demo_and_what_follows_it_work(fresh: Sandbox) -> None:
    paths = (PROJECT / "pipeline/sample_day").rglob("*")
    files = {str(path.relative_to(PROJECT)): path.read_bytes() for path in paths if path.is_file()}
    fresh.change("LICENSE", {"MIT": "MIT"}, files=files)
    run = fresh.tick("ci.yml", EVENING, event="push", only=TRIED)
    assert run.result == "success", run.describe()
    assert "session 2026-11-20: 40 of 51 tickers with news" in run.said("demo")
    assert fresh.subjects() == ["Change settings"]


@pytest.mark.parametrize("job", sorted(JOBS.keys() - TRIED))
def test_every_other_job_runs_targets_that_are_there(job: str) -> None:
    scripts = [step["run"] for step in JOBS[job]["steps"] if "run" in step]
    assert scripts
    for script in scripts:
        assert script.startswith("make ")
        subprocess.run(["make", "--dry-run", *script.split()[1:]], cwd=PROJECT, check=True, capture_output=True)
