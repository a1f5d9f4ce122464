"""A git repository as a few plumbing commands: read the remote's tip, build a commit on it, push it.

No checkout, index or branch of the working copy is touched, so a run that is killed anywhere leaves it as it was.
Needs git on the PATH; standard library only.
"""

from __future__ import annotations

import base64
import os
import subprocess
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from urllib.parse import urlsplit

from .errors import PipelineError

TIMEOUT_S = 300
"""Longest time one git command may take."""

_PLAIN_FILE = "100644"


class GitError(PipelineError):
    """A git command failed."""


class PushRefusedError(GitError):
    """The remote did not take a push; most often because its branch has moved meanwhile."""


class Repository:
    """The repository that holds ``root``, and its ``remote``.

    ``token`` is sent to the remote's http(s) host as GitHub expects it. It travels in git's environment alone: no
    command line, file or error message holds it.

    Raises:
        GitError: ``root`` lies in no repository, or git is not installed.
    """

    def __init__(self, root: Path, remote: str = "origin", token: str = "") -> None:
        self.root = root
        self.remote = remote
        self._environment: dict[str, str] = {}
        self.root = Path(self.run("rev-parse", "--show-toplevel").decode().strip())
        if token:
            self._environment = self._authorise(token)

    def run(self, *args: str, content: bytes | None = None, index: Path | None = None) -> bytes:
        """Return what a git command prints, given ``content`` on its input; ``index`` stands for the checkout's own.

        Raises:
            GitError: it failed or took too long; says what git said, on one line.
        """
        environment = {**os.environ, **self._environment, "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
        environment |= {"GIT_INDEX_FILE": str(index)} if index else {}
        try:
            done = subprocess.run(
                ["git", "-C", str(self.root), *args],
                input=b"" if content is None else content,
                capture_output=True,
                env=environment,
                timeout=TIMEOUT_S,
            )
        except FileNotFoundError as error:
            raise GitError("git is not installed") from error
        except subprocess.TimeoutExpired as error:
            raise GitError(f"git {args[0]}: no answer within {TIMEOUT_S} s") from error
        if done.returncode:
            raise GitError(f"git {args[0]}: {_one_line(done.stderr) or f'exit status {done.returncode}'}")
        return done.stdout

    def fetch(self, branch: str) -> str:
        """Return the tip of the remote's ``branch``, 40 hex digits, after bringing its objects here.

        Raises:
            GitError: the remote cannot be reached or has no such branch.
        """
        self.run("fetch", "--quiet", "--no-tags", self.remote, f"refs/heads/{branch}")
        return self.run("rev-parse", "FETCH_HEAD").decode().strip()

    def holds(self, commit: str) -> bool:
        """Say whether ``commit`` is here: a shallow clone lacks most."""
        try:
            self.run("cat-file", "-e", f"{commit}^{{commit}}")
        except GitError:
            return False
        return True

    def list_blobs(self, commit: str, *paths: str) -> dict[str, str]:
        """Return the blob id of every file of ``commit`` at or below ``paths`` (all without any), by path."""
        listed = self.run("ls-tree", "-r", "-z", "--full-tree", commit, "--", *paths).decode()
        entries = (entry.split("\t", 1) for entry in listed.split("\0") if entry)
        return {path: head.split()[2] for head, path in entries}

    def read_blob(self, commit: str, path: str) -> bytes:
        """Return a file of ``commit``. Raises GitError if it is not there."""
        return self.run("cat-file", "blob", f"{commit}:{path}")

    def export(self, tree: str, folder: Path) -> None:
        """Write the files of ``tree`` (such as COMMIT:NAME/) into ``folder``. Raises GitError if there is none."""
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory() as place:
            index = Path(place) / "index"
            self.run("read-tree", tree, index=index)
            self.run("checkout-index", "--all", f"--prefix={folder.resolve()}/", index=index)

    def hash_files(self, folder: Path, names: Iterable[str]) -> dict[str, str]:
        """Store the files ``names`` of ``folder`` as blobs, byte for byte, and return their ids by name."""
        wanted = list(names)
        paths = "".join(f"{(folder / name).resolve()}\n" for name in wanted).encode()
        ids = self.run("hash-object", "-w", "--no-filters", "--stdin-paths", content=paths).decode().split()
        return dict(zip(wanted, ids, strict=True))

    def write_commit(self, parent: str, changes: Mapping[str, str | None], message: str) -> str:
        """Return a new commit on ``parent`` in which each path of ``changes`` is that blob, or gone where it is None.

        Raises:
            GitError: a blob is missing, or git knows no author: user.name and user.email are not set.
        """
        lines = [
            f"{_PLAIN_FILE} {blob}\t{path}" if blob else f"0 {'0' * 40}\t{path}"
            for path, blob in sorted(changes.items())
        ]
        with tempfile.TemporaryDirectory() as place:
            index = Path(place) / "index"
            self.run("read-tree", parent, index=index)
            self.run(
                "update-index", "-z", "--index-info", content="".join(f"{x}\0" for x in lines).encode(), index=index
            )
            tree = self.run("write-tree", index=index).decode().strip()
        return self.run("commit-tree", tree, "-p", parent, "-F", "-", content=message.encode()).decode().strip()

    def push(self, commit: str, branch: str, force: bool = False) -> None:
        """Make ``commit`` the tip of the remote's ``branch``; without ``force`` only on top of what is there.

        Raises:
            PushRefusedError: the remote has not taken it.
        """
        try:
            self.run("push", "--quiet", self.remote, f"{'+' * force}{commit}:refs/heads/{branch}")
        except GitError as error:
            raise PushRefusedError(str(error)) from error

    def _authorise(self, token: str) -> dict[str, str]:
        address = urlsplit(self.run("remote", "get-url", self.remote).decode().strip())
        if address.scheme not in ("http", "https"):
            return {}
        basic = base64.b64encode(f"x-access-token:{token}".encode()).decode()
        return {
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": f"http.{address.scheme}://{address.netloc}/.extraheader",
            "GIT_CONFIG_VALUE_0": f"AUTHORIZATION: basic {basic}",
        }


def _one_line(text: bytes) -> str:
    return " ".join(text.decode(errors="replace").split())
