"""A Hub on 127.0.0.1 that speaks the real one's protocol to the unmodified huggingface_hub and datasets clients.

    with HubServer() as hub:
        commit = hub.add("made/base", {"config.json": b"{}"})                  # or a folder; kind="dataset"
        snapshot_download("made/base", revision=commit, endpoint=hub.url)
        hub.fail("commit", Fault(500))                                          # the next commit fails, once
        HfApi(hub.url, TOKEN).upload_folder(...)
        hub.files("made/base")                                                  # what the last commit holds

Reading a public repository needs no token, a private one TOKEN or READ_TOKEN, writing TOKEN. Files are sent by the
LFS protocol (basic, or multipart from ``part_bytes`` on); the server never offers Xet. Stages, as named in ``fail``
and in ``requests``: whoami, yaml, create, info, tree, paths, resolve, object, preupload, batch, put, part, complete,
verify, commit, identity, exchange, start_job, job, job_log, cancel_job.

Trusted publishing: ``environment()`` is what GitHub gives a job that may ask for an id token, and repositories in
``trusted`` have named it as a publisher. Jobs (``jobs``) run nothing; a test plans the stages that they go through.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from . import hub_login
from .hub_jobs import Jobs
from .hub_state import ATTRIBUTES, Commit, File, Repository, apply_operations, is_lfs_path, make_file
from .loopback import LoopbackHandler, LoopbackServer

TOKEN = "hf_made_for_writing"
READ_TOKEN = "hf_made_for_reading"
DATE = "2026-01-05T12:00:00.000Z"
ID = r"(?P<name>[^/]+/[^/]+)"
API = rf"/api/(?P<kind>model|dataset)s/{ID}"
GIT = rf"/(?:(?P<kind>dataset)s/)?{ID}\.git/info/lfs/objects"
ROUTES: tuple[tuple[str, str, str], ...] = (
    ("GET", "identity", r"/id-token"),
    ("POST", "exchange", r"/oauth/token"),
    ("POST", "start_job", r"/api/jobs/(?P<namespace>[^/]+)"),
    ("GET", "job", r"/api/jobs/(?P<namespace>[^/]+)/(?P<job>[^/]+)"),
    ("GET", "job_log", r"/api/jobs/(?P<namespace>[^/]+)/(?P<job>[^/]+)/logs"),
    ("POST", "cancel_job", r"/api/jobs/(?P<namespace>[^/]+)/(?P<job>[^/]+)/cancel"),
    ("GET", "whoami", r"/api/whoami-v2"),
    ("POST", "yaml", r"/api/validate-yaml"),
    ("POST", "create", r"/api/repos/create"),
    ("GET", "tree", rf"{API}/tree/(?P<revision>[^/]+)(?:/(?P<path>.+))?"),
    ("POST", "paths", rf"{API}/paths-info/(?P<revision>[^/]+)"),
    ("POST", "preupload", rf"{API}/preupload/(?P<revision>[^/]+)"),
    ("POST", "commit", rf"{API}/commit/(?P<revision>[^/]+)"),
    ("GET", "info", rf"{API}(?:/revision/(?P<revision>[^/]+))?"),
    ("POST", "batch", rf"{GIT}/batch"),
    ("POST", "verify", rf"{GIT}/verify"),
    ("PUT", "put", r"/objects/(?P<oid>[0-9a-f]{64})"),
    ("GET", "object", r"/objects/(?P<oid>[0-9a-f]{64})"),
    ("PUT", "part", r"/objects/(?P<oid>[0-9a-f]{64})/(?P<part>\d+)"),
    ("POST", "complete", r"/objects/(?P<oid>[0-9a-f]{64})"),
    ("GET", "resolve", rf"/(?:(?P<kind>dataset)s/)?{ID}/resolve/(?P<revision>[^/]+)/(?P<path>.+)"),
)
WRITES = {"create", "preupload", "batch", "verify", "commit"}
JOBS = {"start_job", "job", "job_log", "cancel_job"}
LOGINS = {"identity", "exchange"}


@dataclass(frozen=True)
class Fault:
    """One request gone wrong: ``status`` with an optional Retry-After, or with status 0 a dropped connection.

    ``after`` does the work first, so that only the answer is lost. ``before`` is called first (a rival's commit).
    """

    status: int
    retry_after: str = ""
    after: bool = False
    before: Callable[[], object] | None = None


@dataclass(frozen=True)
class Request:
    """What a client asked for."""

    method: str
    path: str
    stage: str
    headers: Mapping[str, str]


@dataclass(frozen=True)
class Reply:
    """What it gets; ``body`` None is answered without content."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = ()  # type: ignore[assignment]


class HubServer(LoopbackServer[Fault]):
    """Serves its repositories from a thread of its own while its ``with`` block runs."""

    def __init__(self, part_bytes: int = 5_000_000) -> None:
        super().__init__(_Handler)
        self.repositories: dict[tuple[str, str], Repository] = {}
        self.objects: dict[str, bytes] = {}
        self.trusted: set[str] = set()
        self.jobs = Jobs()
        self.part_bytes = part_bytes
        self.parts: dict[tuple[str, int], bytes] = {}

    def add(
        self,
        name: str,
        files: Path | Mapping[str, bytes],
        kind: str = "model",
        revision: str = "",
        private: bool = False,
    ) -> str:
        """Commit ``files`` (a folder, or content by path) as all that the repository holds; return the commit.

        ``revision`` names the commit; without one its name hangs on its content.
        """
        if isinstance(files, Path):
            files = {p.relative_to(files).as_posix(): p.read_bytes() for p in sorted(files.rglob("*")) if p.is_file()}
        with self.lock:
            repository = self.repositories.setdefault((kind, name), Repository(kind, name, private))
            content = {path: make_file(path, data) for path, data in files.items()}
            self.objects |= {file.sha256: file.content for file in content.values() if file.is_lfs}
            return repository.commit(content, "made by a test", revision).revision

    def files(self, name: str, revision: str = "main", kind: str = "model") -> dict[str, bytes]:
        """Return the content of every file at ``revision``."""
        commit = self.repositories[kind, name].find(revision)
        assert commit is not None, f"no commit {revision}"
        return {path: file.content for path, file in commit.files.items()}

    def revisions(self, name: str, kind: str = "model") -> list[str]:
        """Return the repository's commits, oldest first; none for a repository that does not exist."""
        repository = self.repositories.get((kind, name))
        return [commit.revision for commit in repository.commits] if repository else []

    def environment(self, resource: str) -> dict[str, str]:
        """Return what a job of a workflow has that may ask for an id token, and publishes to ``resource``."""
        asked = {"ACTIONS_ID_TOKEN_REQUEST_URL": f"{self.url}/id-token?api-version=2.0"}
        return {**asked, "ACTIONS_ID_TOKEN_REQUEST_TOKEN": hub_login.REQUEST_TOKEN, "HF_OIDC_RESOURCE": resource}


class _Handler(LoopbackHandler):
    def do_GET(self) -> None:  # noqa: N802
        self._serve()

    do_HEAD = do_POST = do_PUT = do_GET  # noqa: N815

    def _serve(self) -> None:
        self.hub = self.server.owner
        url = urlsplit(self.path)
        self.query = parse_qs(url.query)
        self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        stage, self.found = self._route(url.path)
        self.hub.requests.append(Request(self.command, self.path, stage, dict(self.headers.items())))
        fault = self.hub.next_fault(stage)
        if fault is None:
            self._send(self._answer(stage))
            return
        if fault.before:
            fault.before()
        if fault.after:
            self._answer(stage)
        if fault.status:
            headers = {"Retry-After": fault.retry_after} if fault.retry_after else {}
            self._send(_refuse(fault.status, "made to fail", **headers))
        else:
            self.close_connection = True

    def _route(self, path: str) -> tuple[str, dict[str, str]]:
        method = "GET" if self.command == "HEAD" else self.command
        for wanted, stage, pattern in ROUTES:
            match = re.fullmatch(pattern, path) if wanted == method else None
            if match:
                return stage, {key: unquote(value) for key, value in match.groupdict().items() if value}
        return "unknown", {}

    def _send(self, reply: Reply) -> None:
        self.send_response(reply.status)
        headers = {"Content-Length": str(len(reply.body)), **dict(reply.headers)}
        for key, value in headers.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(reply.body)

    def _answer(self, stage: str) -> Reply:
        if stage == "unknown":
            return _refuse(404, f"no such route: {self.command} {self.path}")
        if stage in LOGINS:
            return getattr(self, f"_{stage}")()
        token = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
        exchanged = {hub_login.PREFIX + name for name in self.hub.trusted}
        if token and token not in {TOKEN, READ_TOKEN, *exchanged}:
            return _refuse(401, "Invalid credentials in Authorization header")
        if not token and stage in {*WRITES, *JOBS, "whoami"}:
            return _refuse(401, "Invalid username or password.")
        writes = {*WRITES, *JOBS}
        if token == READ_TOKEN and stage in writes:
            return _refuse(403, "You don't have the rights to write to this repository")
        if token in exchanged and not hub_login.may(token, stage, self.found.get("name", ""), writes):
            return _refuse(403, "You don't have the rights to write to this repository")
        with self.hub.lock:
            if "name" not in self.found:
                return getattr(self, f"_{stage}")()
            repository = self.hub.repositories.get((self.found.get("kind", "model"), self.found["name"]))
            if repository is None or (repository.is_private and not token):
                if token:
                    return _refuse(404, "Repository not found", **{"X-Error-Code": "RepoNotFound"})
                return _refuse(401, "Invalid username or password.", **{"X-Error-Code": "RepoNotFound"})
            commit = repository.find(self.found.get("revision", "main"))
            if commit is None:
                message = f"Invalid rev id: {self.found['revision']}"
                return _refuse(404, message, **{"X-Error-Code": "RevisionNotFound"})
            return getattr(self, f"_{stage}")(repository, commit)

    def _identity(self) -> Reply:
        audience = self.query.get("audience", [""])[0]
        status, value = hub_login.give_identity(self.headers.get("Authorization") or "", audience)
        return _json(value, status)

    def _exchange(self) -> Reply:
        status, value = hub_login.exchange(json.loads(self.body), self.hub.url, self.hub.trusted)
        return _json(value, status)

    def _start_job(self) -> Reply:
        return _json(self.hub.jobs.start(self.found["namespace"], json.loads(self.body)).look())

    def _job(self) -> Reply:
        job = self.hub.jobs.started.get(self.found["job"])
        return _json(job.look()) if job else _refuse(404, "Job not found")

    def _job_log(self) -> Reply:
        log = self.hub.jobs.started[self.found["job"]].log()
        return Reply(200, log, {"Content-Type": "text/event-stream"})

    def _cancel_job(self) -> Reply:
        self.hub.jobs.started[self.found["job"]].stages[:] = ["CANCELED"]
        return _json({})

    def _whoami(self) -> Reply:
        return _json({"type": "user", "name": "made", "auth": {"accessToken": {"role": "write"}}})

    def _yaml(self) -> Reply:
        return _json({"errors": [], "warnings": []})

    def _create(self) -> Reply:
        wanted = json.loads(self.body)
        kind, name = wanted.get("type") or "model", f"{wanted.get('organization') or 'made'}/{wanted['name']}"
        url = {"url": f"{self.hub.url}/{'datasets/' * (kind == 'dataset')}{name}", "name": name}
        if (kind, name) in self.hub.repositories:
            return _json({"error": "You already created this repo", **url}, 409)
        repository = Repository(kind, name, bool(wanted.get("private")))
        repository.commit({".gitattributes": File(ATTRIBUTES, False)}, "initial commit")
        self.hub.repositories[kind, name] = repository
        return _json(url)

    def _info(self, repository: Repository, commit: Commit) -> Reply:
        blobs = "blobs" in self.query
        siblings = [_sibling(path, file, blobs) for path, file in sorted(commit.files.items())]
        found = {"_id": "0", "id": repository.name, "sha": commit.revision, "private": repository.is_private}
        return _json({**found, "gated": False, "disabled": False, "lastModified": DATE, "siblings": siblings})

    def _tree(self, repository: Repository, commit: Commit) -> Reply:
        top = self.found.get("path", "").strip("/")
        inside = {path: file for path, file in commit.files.items() if not top or path.startswith(f"{top}/")}
        if not inside and top:
            return _refuse(404, f"{top} does not exist", **{"X-Error-Code": "EntryNotFound"})
        is_recursive = self.query.get("recursive", ["false"])[0].lower() in ("true", "1")
        paths = sorted({*inside, *_folders(inside)})
        paths = [path for path in paths if path != top and (not top or path.startswith(f"{top}/"))]
        if not is_recursive:
            paths = [path for path in paths if "/" not in path[len(top) :].strip("/")]
        return _json([_entry(path, commit) for path in paths])

    def _paths(self, repository: Repository, commit: Commit) -> Reply:
        kind = self.headers.get("Content-Type", "")
        wanted = json.loads(self.body) if "json" in kind else parse_qs(self.body.decode())
        paths = [path.strip("/") for path in wanted.get("paths", [])]
        known = {*commit.files, *_folders(commit.files)}
        return _json([_entry(path, commit) for path in paths if path in known])

    def _resolve(self, repository: Repository, commit: Commit) -> Reply:
        about = {"X-Repo-Commit": commit.revision, "Accept-Ranges": "bytes"}
        file = commit.files.get(self.found["path"])
        if file is None:
            return _refuse(404, "Entry not found", **{"X-Error-Code": "EntryNotFound"}, **about)
        about["ETag"] = f'"{file.etag}"'
        if not file.is_lfs:
            return self._ranged(file.content, about)
        linked = {"X-Linked-Size": str(len(file.content)), "X-Linked-Etag": f'"{file.sha256}"'}
        return Reply(302, b"", {**about, **linked, "Location": f"{self.hub.url}/objects/{file.sha256}"})

    def _object(self) -> Reply:
        content = self.hub.objects.get(self.found["oid"])
        if content is None:
            return _refuse(404, "no such object")
        return self._ranged(content, {"ETag": f'"{self.found["oid"]}"', "Accept-Ranges": "bytes"})

    def _ranged(self, content: bytes, headers: Mapping[str, str]) -> Reply:
        """Answer with the bytes of the Range header, if there is one."""
        match = re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("Range") or "")
        if match is None or match.groups() == ("", ""):
            return Reply(200, content, headers)
        first, last = match.groups()
        start = int(first) if first else max(0, len(content) - int(last))
        stop = min(int(last) + 1, len(content)) if first and last else len(content)
        if start >= len(content):
            return Reply(416, b"", {**headers, "Content-Range": f"bytes */{len(content)}"})
        return Reply(206, content[start:stop], {**headers, "Content-Range": f"bytes {start}-{stop - 1}/{len(content)}"})

    def _preupload(self, repository: Repository, commit: Commit) -> Reply:
        answers = []
        for wanted in json.loads(self.body)["files"]:
            path, held = wanted["path"], commit.files.get(wanted["path"])
            mode = "lfs" if is_lfs_path(path, wanted["size"]) else "regular"
            oid = {"oid": held.etag} if held else {}
            answers.append({"path": path, "uploadMode": mode, "shouldIgnore": False, **oid})
        return _json({"files": answers, "commitOid": commit.revision})

    def _batch(self, repository: Repository, commit: Commit) -> Reply:
        prefix = "datasets/" * (repository.kind == "dataset")
        verify = {"href": f"{self.hub.url}/{prefix}{repository.name}.git/info/lfs/objects/verify"}
        answers = []
        for wanted in json.loads(self.body)["objects"]:
            answer = {"oid": wanted["oid"], "size": wanted["size"]}
            if wanted["oid"] not in self.hub.objects:
                answer["actions"] = {"upload": self._upload_action(wanted["oid"], wanted["size"]), "verify": verify}
            answers.append(answer)
        return _json({"transfer": "basic", "objects": answers})

    def _upload_action(self, oid: str, size: int) -> dict[str, Any]:
        href, step = f"{self.hub.url}/objects/{oid}", self.hub.part_bytes
        if size <= step:
            return {"href": href}
        parts = {str(number): f"{href}/{number}" for number in range(1, -(-size // step) + 1)}
        return {"href": href, "header": {"chunk_size": str(step), **parts}}

    def _put(self) -> Reply:
        return self._keep(self.body)

    def _part(self) -> Reply:
        self.hub.parts[self.found["oid"], int(self.found["part"])] = self.body
        return Reply(200, b"", {"ETag": f'"{hashlib.md5(self.body).hexdigest()}"'})

    def _complete(self) -> Reply:
        numbers = [part["partNumber"] for part in json.loads(self.body)["parts"]]
        return self._keep(b"".join(self.hub.parts[self.found["oid"], number] for number in numbers))

    def _keep(self, content: bytes) -> Reply:
        if hashlib.sha256(content).hexdigest() != self.found["oid"]:
            return _refuse(400, "content does not match its SHA-256")
        self.hub.objects[self.found["oid"]] = content
        return Reply()

    def _verify(self, repository: Repository, commit: Commit) -> Reply:
        wanted = json.loads(self.body)
        content = self.hub.objects.get(wanted["oid"])
        if content is None or len(content) != wanted["size"]:
            return _refuse(404, "the object was not uploaded")
        return _json({"success": True})

    def _commit(self, repository: Repository, commit: Commit) -> Reply:
        lines = [json.loads(line) for line in self.body.splitlines() if line.strip()]
        header, operations = lines[0]["value"], [(line["key"], line["value"]) for line in lines[1:]]
        if header.get("parentCommit", commit.revision) != repository.head.revision:
            return _refuse(412, "A commit has happened since. Please refresh and try again.")
        try:
            files = apply_operations(commit.files, operations, self.hub.objects)
        except KeyError as error:
            return _refuse(400, f"unknown file or object {error}")
        made = repository.commit(files, header["summary"])
        url = f"{self.hub.url}/{repository.name}/commit/{made.revision}"
        return _json({"success": True, "commitOid": made.revision, "commitUrl": url, "hookOutput": ""})


def _json(value: object, status: int = 200) -> Reply:
    return Reply(status, json.dumps(value).encode(), {"Content-Type": "application/json; charset=utf-8"})


def _refuse(status: int, message: str, **headers: str) -> Reply:
    reply = _json({"error": message}, status)
    return Reply(status, reply.body, {**dict(reply.headers), "X-Error-Message": message, **headers})


def _folders(files: Mapping[str, File]) -> set[str]:
    """Return every folder that holds one of ``files``."""
    return {"/".join(parts[:depth]) for parts in (path.split("/") for path in files) for depth in range(1, len(parts))}


def _entry(path: str, commit: Commit) -> dict[str, Any]:
    about = {"path": path, "lastCommit": {"id": commit.revision, "title": commit.message, "date": DATE}}
    file = commit.files.get(path)
    if file is None:
        inside = "".join(name for name in sorted(commit.files) if name.startswith(f"{path}/"))
        return {"type": "directory", "oid": hashlib.sha1(inside.encode()).hexdigest(), "size": 0, **about}
    about |= {"type": "file", "oid": file.blob_id, "size": len(file.content)}
    if file.is_lfs:
        about["lfs"] = {"oid": file.sha256, "size": len(file.content), "pointerSize": len(file.pointer)}
    return about


def _sibling(path: str, file: File, blobs: bool) -> dict[str, Any]:
    if not blobs:
        return {"rfilename": path}
    about: dict[str, Any] = {"rfilename": path, "size": len(file.content), "blobId": file.blob_id}
    if file.is_lfs:
        about["lfs"] = {"sha256": file.sha256, "size": len(file.content), "pointerSize": len(file.pointer)}
    return about
