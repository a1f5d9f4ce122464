"""Plumbing on a real repository: commits are built beside the checkout, tokens stay out of sight."""

from __future__ import annotations

import base64
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from pipeline.git import GitError, PushRefusedError, Repository

from .made_origin import BRANCH, Origin, git

TOKEN = "token-of-a-test"


@pytest.fixture
def origin(tmp_path: Path) -> Origin:
    return Origin(tmp_path)


def test_a_commit_changes_the_named_paths_alone_and_leaves_the_checkout_as_it_is(origin: Origin) -> None:
    repository, store = origin.clone()
    tip = repository.fetch(BRANCH)
    (store.root / "new.csv").write_text("a,ä\r\n")
    blobs = repository.hash_files(store.root, ["new.csv"])
    before = git(repository.root, "status", "--porcelain")
    commit = repository.write_commit(tip, {"x/new.csv": blobs["new.csv"], "settings.toml": None}, "Say so\n\nbody\n")
    assert repository.read_blob(commit, "x/new.csv") == "a,ä\r\n".encode()
    assert git(repository.root, "diff", "--name-status", tip, commit).split() == [
        "D",
        "settings.toml",
        "A",
        "x/new.csv",
    ]
    assert git(repository.root, "log", "-1", "--format=%B%P", commit).split() == ["Say", "so", "body", tip]
    assert git(repository.root, "status", "--porcelain") == before
    assert git(repository.root, "rev-parse", "HEAD") == tip


def test_a_push_that_would_drop_a_commit_is_refused_unless_forced(origin: Origin) -> None:
    repository, _ = origin.clone()
    tip = repository.fetch(BRANCH)
    first, second = (repository.write_commit(tip, {"settings.toml": None}, message) for message in ("one", "two"))
    repository.push(first, BRANCH)
    with pytest.raises(PushRefusedError, match="git push: "):
        repository.push(second, BRANCH)
    assert repository.fetch(BRANCH) == first
    repository.push(second, BRANCH, force=True)
    assert repository.fetch(BRANCH) == second


def test_faults_are_one_line(origin: Origin, tmp_path: Path) -> None:
    repository, _ = origin.clone()
    with pytest.raises(GitError) as caught:
        repository.fetch("absent")
    assert "absent" in str(caught.value)
    assert "\n" not in str(caught.value)
    with pytest.raises(GitError, match="git rev-parse: .*not a git repository"):
        Repository(tmp_path)


class _Gatekeeper(BaseHTTPRequestHandler):
    seen: list[str | None]

    def do_GET(self) -> None:  # noqa: N802
        self.seen.append(self.headers.get("Authorization"))
        self.send_error(403)

    def log_message(self, format: str, *args: object) -> None:
        """Keep the test's output clean."""


@pytest.fixture
def gatekeeper() -> Iterator[HTTPServer]:
    _Gatekeeper.seen = []
    with HTTPServer(("127.0.0.1", 0), _Gatekeeper) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_a_token_goes_to_the_remote_and_nowhere_else(
    origin: Origin, gatekeeper: HTTPServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clone, _ = origin.clone()
    git(clone.root, "remote", "set-url", "origin", f"http://127.0.0.1:{gatekeeper.server_port}/o/r")
    monkeypatch.setenv("GIT_TRACE", str(tmp_path / "trace"))
    with pytest.raises(GitError) as caught:
        Repository(clone.root, token=TOKEN).fetch(BRANCH)
    assert _Gatekeeper.seen
    basic = base64.b64encode(f"x-access-token:{TOKEN}".encode()).decode()
    assert set(_Gatekeeper.seen) == {f"basic {basic}"}
    written = str(caught.value) + (tmp_path / "trace").read_text() + (clone.root / ".git" / "config").read_text()
    assert TOKEN not in written
    assert basic not in written


def test_a_token_is_not_sent_to_a_remote_that_is_no_web_server(origin: Origin) -> None:
    clone, _ = origin.clone()
    assert Repository(clone.root, token=TOKEN).fetch(BRANCH) == clone.fetch(BRANCH)
