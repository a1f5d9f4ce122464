"""What lies in .github, read as GitHub reads it: files, jobs, steps and the shell lines they run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

PROJECT = Path(__file__).parents[2]
GITHUB = PROJECT / ".github"
WORKFLOWS = sorted((GITHUB / "workflows").glob("*.y*ml"))
ACTIONS = sorted((GITHUB / "actions").glob("*/action.y*ml"))
DEPENDABOT = GITHUB / "dependabot.yml"


@dataclass(frozen=True, slots=True)
class Workflow:
    """A workflow or composite action: its file name, its text and what the text says."""

    name: str
    text: str
    values: dict[str, Any]

    @property
    def jobs(self) -> dict[str, dict[str, Any]]:
        """Job id to job; a composite action is one job called runs."""
        return self.values["jobs"] if "jobs" in self.values else {"runs": self.values["runs"]}


def read_workflow(path: Path) -> Workflow:
    """Read a file by the rules of YAML 1.2, in which the key `on` is a word and not true."""
    text = path.read_text()
    return Workflow(path.name, text, YAML(typ="safe", pure=True).load(text))


def list_steps(job: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the steps of a job; one that calls another workflow has none."""
    return list(job.get("steps", []))


def iterate_commands(workflow: Workflow) -> Iterator[tuple[str, dict[str, Any], str]]:
    """Yield (job id, step, command) for every command of every step."""
    for job_id, job in workflow.jobs.items():
        for step in list_steps(job):
            yield from ((job_id, step, command) for command in split_commands(step.get("run", "")))


def split_commands(block: str) -> list[str]:
    """Return the lines of a `run` block: continued ones joined, comments left out, one space between words."""
    lines = [" ".join(line.split()) for line in block.replace("\\\n", " ").splitlines()]
    return [line for line in lines if line and not line.startswith("#")]
