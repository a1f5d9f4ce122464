"""Jobs of a Hub, which run nothing: each goes through the stages that a test has planned for it. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Job:
    """One job: what was asked for, the stage of every look at it (the last one stays), and what it prints."""

    number: int
    namespace: str
    spec: dict[str, Any]
    stages: list[str]
    lines: list[str]
    message: str = ""

    def look(self) -> dict[str, Any]:
        """Return the job as it is now; the next look may find it further on."""
        stage = self.stages.pop(0) if len(self.stages) > 1 else self.stages[0]
        owner = {"id": "0", "name": self.namespace, "type": "user"}
        spec = {key: value for key, value in self.spec.items() if key != "secrets"}
        return {
            "id": f"job{self.number}",
            "createdAt": "2026-11-20T22:00:00.000Z",
            "status": {"stage": stage, "message": self.message or None},
            "owner": owner,
            **spec,
        }

    def log(self) -> bytes:
        """Return its log as the stream of events that the client reads."""
        lines = [f"===== Job started at {self.number}", *self.lines]
        events = [json.dumps({"data": line, "timestamp": "2026-11-20T22:00:00Z"}) for line in lines]
        return "".join(f"data: {event}\n\n" for event in events).encode()


@dataclass
class Jobs:
    """Every job so far, and what is planned for the next ones."""

    started: dict[str, Job] = field(default_factory=dict)
    stages: list[str] = field(default_factory=lambda: ["RUNNING", "COMPLETED"])
    lines: list[str] = field(default_factory=list)
    message: str = ""

    def plan(self, *stages: str, lines: tuple[str, ...] = (), message: str = "") -> None:
        """Say what the next job goes through, from its start on, and prints."""
        self.stages, self.lines, self.message = list(stages), list(lines), message

    def start(self, namespace: str, spec: dict[str, Any]) -> Job:
        """Start a job."""
        job = Job(len(self.started) + 1, namespace, spec, list(self.stages), self.lines, self.message)
        self.started[f"job{job.number}"] = job
        return job
