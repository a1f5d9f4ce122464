"""GitHub on 127.0.0.1: the part of its REST interface that workflows use, as strict as the real one.

    with GitHubServer() as github:
        number = github.add_issue("a title", "a body", user="stranger")
        github.fail("issues", Fault(502))                    # the next listing of issues fails, once
        run_alert(environment=github.environment(run_id=7))
        assert github.issues[number]["state"] == "open"

TOKEN may do everything, READ_TOKEN may only read. What TOKEN makes is by ``author``, and issues, comments and pull
requests look like GitHub's as far as they go. Stages, as named in ``fail`` and in ``requests``: issues, open_issue,
edit_issue, comments, add_comment, jobs, enable, pulls, open_pull, edit_pull.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from .loopback import LoopbackHandler, LoopbackServer

TOKEN = "ghs_made_for_writing"
READ_TOKEN = "ghs_made_for_reading"
BOT = "github-actions[bot]"
MOMENT = "2026-11-20T22:00:00Z"
LONGEST_BODY, LONGEST_TITLE = 65_536, 256
ROUTES: tuple[tuple[str, str, str], ...] = (
    ("GET", "issues", r"/issues"),
    ("POST", "open_issue", r"/issues"),
    ("PATCH", "edit_issue", r"/issues/(?P<number>\d+)"),
    ("GET", "comments", r"/issues/(?P<number>\d+)/comments"),
    ("POST", "add_comment", r"/issues/(?P<number>\d+)/comments"),
    ("GET", "jobs", r"/actions/runs/(?P<number>\d+)/jobs"),
    ("PUT", "enable", r"/actions/workflows/(?P<file>[^/]+)/enable"),
    ("GET", "pulls", r"/pulls"),
    ("POST", "open_pull", r"/pulls"),
    ("PATCH", "edit_pull", r"/pulls/(?P<number>\d+)"),
)
READS = {"issues", "comments", "jobs", "pulls"}
ISSUE_STAGES = {"issues", "open_issue", "edit_issue", "comments", "add_comment"}


@dataclass(frozen=True)
class Fault:
    """One request gone wrong: answered with ``status`` and ``headers``, or with status 0 by a dropped connection.

    ``is_after`` does the work first, so that only the answer is lost. ``body`` replaces the usual JSON message.
    """

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    message: str = "made to fail"
    is_after: bool = False
    body: bytes | None = None


@dataclass(frozen=True)
class Request:
    """What a client asked for; ``payload`` is the JSON it sent, None without any."""

    method: str
    path: str
    stage: str
    headers: Mapping[str, str]
    payload: Any


class RefusalError(Exception):
    """An answer that is no success."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class GitHubServer(LoopbackServer[Fault]):
    """Serves one repository from a thread of its own while its ``with`` block runs.

    ``origin`` is the bare repository in which the branches of pull requests are looked up; without one, any is there.
    """

    def __init__(self, repository: str = "owner/repository", origin: Path | None = None, author: str = BOT) -> None:
        super().__init__(_Handler)
        self.repository = repository
        self.origin = origin
        self.author = author
        self.has_issues = True
        self.may_open_pulls = True
        self.issues: dict[int, dict[str, Any]] = {}
        self.comments: dict[int, list[dict[str, Any]]] = {}
        self.labels: set[str] = {"bug"}
        self.jobs: dict[int, list[dict[str, Any]]] = {}
        self.workflows: dict[str, str] = {}

    def environment(self, run_id: int = 1, attempt: int = 1, token: str = TOKEN) -> dict[str, str]:
        """Return the variables that a runner gives a step of this repository."""
        return {
            "GITHUB_API_URL": self.url,
            "GITHUB_SERVER_URL": "https://github.example",
            "GITHUB_REPOSITORY": self.repository,
            "GITHUB_RUN_ID": str(run_id),
            "GITHUB_RUN_ATTEMPT": str(attempt),
            "GITHUB_TOKEN": token,
        }

    def add_issue(self, title: str, body: str, user: str = "stranger", labels: Sequence[str] = ()) -> int:
        """Open an issue as ``user`` and return its number."""
        return self.open_issue({"title": title, "body": body}, user, labels)["number"]

    def add_jobs(self, run_id: int, jobs: Mapping[str, str], steps: Mapping[str, Mapping[str, str]] = {}) -> None:  # noqa: B006
        """Let a run consist of ``jobs``, conclusion by name; ``steps`` holds conclusions by name, by job."""
        first = 1000 * run_id
        self.jobs[run_id] = [
            {
                "id": first + at,
                "run_id": run_id,
                "name": name,
                "status": "completed" if conclusion else "in_progress",
                "conclusion": conclusion or None,
                "steps": [
                    {"name": step, "number": number, "status": "completed", "conclusion": result}
                    for number, (step, result) in enumerate(steps.get(name, {}).items(), start=1)
                ],
            }
            for at, (name, conclusion) in enumerate(jobs.items())
        ]

    def open_numbers(self) -> list[int]:
        """Return the numbers of the open issues and pull requests."""
        return [number for number, issue in self.issues.items() if issue["state"] == "open"]

    def open_issue(self, payload: Mapping[str, Any], user: str, labels: Sequence[str]) -> dict[str, Any]:
        """Keep a new issue and return it; labels that are not there yet are made, as for everyone who may write."""
        with self.lock:
            number = len(self.issues) + 1
            self.labels |= set(labels)
            self.issues[number] = {
                "number": number,
                "state": "open",
                "state_reason": None,
                "title": payload["title"],
                "body": payload.get("body"),
                "user": {"login": user, "type": "Bot" if user.endswith("[bot]") else "User"},
                "labels": [{"name": name} for name in labels],
                "created_at": MOMENT,
            }
            self.comments[number] = []
            return self.issues[number]

    def has_branch(self, branch: str) -> bool:
        """Tell whether the origin has ``branch``."""
        if self.origin is None:
            return True
        command = ["git", "--git-dir", str(self.origin), "rev-parse", "--verify", "--quiet", f"refs/heads/{branch}"]
        return subprocess.run(command, capture_output=True).returncode == 0


class _Handler(LoopbackHandler):
    def do_GET(self) -> None:  # noqa: N802
        github = self.server.owner
        url = urlsplit(self.path)
        self.query = {name: values[-1] for name, values in parse_qs(url.query).items()}
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.more: dict[str, str] = {}
        stage = self._route(url.path.removeprefix(f"/repos/{github.repository}"))
        self.payload: Any = None
        try:
            self.payload = json.loads(raw) if raw else None
            is_json = True
        except ValueError:
            is_json = False
        with github.lock:
            github.requests.append(Request(self.command, self.path, stage, dict(self.headers.items()), self.payload))
        fault = github.next_fault(stage)
        if fault is None or fault.is_after:
            status, content = self._answer(stage, is_json)
        if fault is None:
            self._send(status, b"" if content is None else json.dumps(content).encode(), self.more)
        elif fault.status == 0:
            self.close_connection = True
        else:
            body = json.dumps({"message": fault.message}).encode() if fault.body is None else fault.body
            self._send(fault.status, body, fault.headers)

    do_POST = do_PUT = do_PATCH = do_GET  # noqa: N815

    def _route(self, path: str) -> str:
        for method, stage, pattern in ROUTES:
            match = re.fullmatch(pattern, path) if method == self.command else None
            if match:
                self.found = match.groupdict()
                return stage
        return "unknown"

    def _send(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        shown = {"Content-Type": "application/json; charset=utf-8", "Content-Length": str(len(body)), **headers}
        for name, value in shown.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def _answer(self, stage: str, is_json: bool) -> tuple[int, Any]:
        try:
            self._admit(stage)
            if not is_json:
                raise RefusalError(400, "Problems parsing JSON")
            with self.server.owner.lock:
                return getattr(self, f"_{stage}")()
        except RefusalError as refusal:
            return refusal.status, {"message": str(refusal)}

    def _admit(self, stage: str) -> None:
        """Raise RefusalError where GitHub would not even look at the request."""
        github, token = self.server.owner, self.headers.get("Authorization") or ""
        if not self.headers.get("User-Agent"):
            raise RefusalError(403, "Request forbidden by administrative rules")
        if "json" not in (self.headers.get("Accept") or ""):
            raise RefusalError(415, "Unsupported 'Accept' header")
        if token not in (f"Bearer {TOKEN}", f"Bearer {READ_TOKEN}"):
            raise RefusalError(401, "Bad credentials" if token else "Requires authentication")
        if stage == "unknown":
            raise RefusalError(404, "Not Found")
        if stage not in READS and token == f"Bearer {READ_TOKEN}":
            raise RefusalError(403, "Resource not accessible by integration")
        if stage in ISSUE_STAGES and not github.has_issues:
            raise RefusalError(410, "Issues has been disabled in this repository.")

    def _page(self, items: list[Any]) -> list[Any]:
        """Return the page of ``items`` that was asked for, and announce the next one."""
        size, page = (int(self.query.get(name, default)) for name, default in (("per_page", "30"), ("page", "1")))
        if not 1 <= size <= 100:
            raise RefusalError(422, "per_page: expected 1 to 100")
        if page * size < len(items):
            self.more["Link"] = f'<{self.server.owner.url}/next?page={page + 1}>; rel="next"'
        return items[(page - 1) * size : page * size]

    def _issues(self) -> tuple[int, Any]:
        state, creator = self.query.get("state", "open"), self.query.get("creator")
        labels = set(filter(None, self.query.get("labels", "").split(",")))
        found = [
            issue
            for issue in sorted(self.server.owner.issues.values(), key=lambda issue: -issue["number"])
            if state in ("all", issue["state"])
            and creator in (None, issue["user"]["login"])
            and labels <= {label["name"] for label in issue["labels"]}
        ]
        return 200, self._page(found)

    def _open_issue(self) -> tuple[int, Any]:
        payload = self._read({"title": str, "body": str, "labels": list}, needed=("title",))
        if not all(isinstance(label, str) and label for label in payload.get("labels", [])):
            raise RefusalError(422, "Validation Failed: labels")
        github = self.server.owner
        return 201, github.open_issue(payload, github.author, payload.get("labels", []))

    def _edit_issue(self) -> tuple[int, Any]:
        payload = self._read({"title": str, "body": str, "state": str, "state_reason": str, "labels": list})
        if payload.get("state", "open") not in ("open", "closed"):
            raise RefusalError(422, "Validation Failed: state")
        if payload.get("state_reason", "completed") not in ("completed", "not_planned", "reopened"):
            raise RefusalError(422, "Validation Failed: state_reason")
        issue = self._find()
        issue.update(payload)
        return 200, issue

    def _comments(self) -> tuple[int, Any]:
        return 200, self._page(self.server.owner.comments[self._find()["number"]])

    def _add_comment(self) -> tuple[int, Any]:
        payload, github = self._read({"body": str}, needed=("body",)), self.server.owner
        comment = {"id": len(self.server.owner.requests), "body": payload["body"], "user": {"login": github.author}}
        github.comments[self._find()["number"]].append(comment)
        return 201, comment

    def _jobs(self) -> tuple[int, Any]:
        if self.query.get("filter", "latest") not in ("latest", "all"):
            raise RefusalError(422, "Validation Failed: filter")
        jobs = self.server.owner.jobs.get(int(self.found["number"]))
        if jobs is None:
            raise RefusalError(404, "Not Found")
        return 200, {"total_count": len(jobs), "jobs": self._page(jobs)}

    def _enable(self) -> tuple[int, Any]:
        if self.found["file"] not in self.server.owner.workflows:
            raise RefusalError(404, "Not Found")
        self.server.owner.workflows[self.found["file"]] = "active"
        return 204, None

    def _pulls(self) -> tuple[int, Any]:
        head, base = self.query.get("head"), self.query.get("base")
        if head and ":" not in head:
            raise RefusalError(422, "Validation Failed: head")
        found = [
            issue
            for issue in self.server.owner.issues.values()
            if "pull_request" in issue
            and self.query.get("state", "open") in ("all", issue["state"])
            and head in (None, issue["head"]["label"])
            and base in (None, issue["base"]["ref"])
        ]
        return 200, self._page(found)

    def _open_pull(self) -> tuple[int, Any]:
        payload = self._read({"title": str, "body": str, "head": str, "base": str}, needed=("title", "head", "base"))
        github, head, base = self.server.owner, payload["head"], payload["base"]
        if not github.may_open_pulls:
            raise RefusalError(403, "GitHub Actions is not permitted to create or approve pull requests.")
        for name, branch in (("head", head), ("base", base)):
            if not github.has_branch(branch):
                raise RefusalError(422, f"Validation Failed: {name} is invalid")
        label = f"{github.repository.split('/')[0]}:{head}"
        if any(issue.get("head", {}).get("label") == label and issue["state"] == "open" for issue in self._all()):
            raise RefusalError(422, f"Validation Failed: A pull request already exists for {label}.")
        pull = github.open_issue(payload, github.author, ())
        pull |= {"pull_request": {}, "head": {"ref": head, "label": label}, "base": {"ref": base}}
        return 201, pull

    def _edit_pull(self) -> tuple[int, Any]:
        payload, pull = self._read({"title": str, "body": str, "state": str, "base": str}), self._find()
        if "pull_request" not in pull:
            raise RefusalError(404, "Not Found")
        pull.update(payload)
        return 200, pull

    def _all(self) -> list[dict[str, Any]]:
        return list(self.server.owner.issues.values())

    def _find(self) -> dict[str, Any]:
        issue = self.server.owner.issues.get(int(self.found["number"]))
        if issue is None:
            raise RefusalError(404, "Not Found")
        return issue

    def _read(self, kinds: Mapping[str, type], needed: Sequence[str] = ()) -> dict[str, Any]:
        """Return the payload if it is an object of ``kinds`` that has what is ``needed``, within GitHub's sizes."""
        payload = self.payload
        if not isinstance(payload, dict):
            raise RefusalError(400, "Body should be a JSON object")
        for name in needed:
            if not payload.get(name):
                raise RefusalError(422, f"Validation Failed: {name} can't be blank")
        for name, value in payload.items():
            if name not in kinds or not isinstance(value, kinds[name]):
                raise RefusalError(422, f"Invalid request. {name} is not permitted or of the wrong type.")
        if len(payload.get("body", "")) > LONGEST_BODY:
            raise RefusalError(422, f"body is too long (maximum is {LONGEST_BODY} characters)")
        if len(payload.get("title", "")) > LONGEST_TITLE:
            raise RefusalError(422, f"title is too long (maximum is {LONGEST_TITLE} characters)")
        return payload
