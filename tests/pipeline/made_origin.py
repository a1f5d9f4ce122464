"""A bare repository as origin and clones of it, each with a feature store: what runs on different machines share."""

from __future__ import annotations

import os
import subprocess
from functools import partial
from pathlib import Path

from pipeline.commit import Merger
from pipeline.git import Repository
from pipeline.merge import merge_stores
from pipeline.store import FeatureStore
from tests.daily_line import SESSIONS
from tests.sample import sample_settings

BRANCH = "main"
MERGE: Merger = partial(merge_stores, settings=sample_settings(), sessions=lambda: SESSIONS)
IDENTITY = ("-c", "user.name=Test", "-c", "user.email=test@example.com")


def git(folder: Path, *args: str) -> str:
    """Return what a git command prints, run by nobody in particular and without anybody's configuration."""
    environment = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    command = ["git", "-C", str(folder), *IDENTITY, *args]
    return subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout.strip()


class Origin:
    """The bare repository below ``place``; its first commit holds an empty store and a file beside it."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.path = place / "origin.git"
        self._count = 0
        git(place, "init", "--quiet", "--bare", "--initial-branch", BRANCH, str(self.path))
        first = place / "first"
        git(place, "clone", "--quiet", str(self.path), str(first))
        FeatureStore(first / "feature_store").create()
        (first / "feature_store" / "README.md").write_text("How to read it.\n")
        (first / "settings.toml").write_text("a = 1\n")
        git(first, "checkout", "--quiet", "-B", BRANCH)
        git(first, "add", "--all")
        git(first, "commit", "--quiet", "--message", "Begin")
        git(first, "push", "--quiet", "origin", BRANCH)

    def clone(self, *options: str) -> tuple[Repository, FeatureStore]:
        """Return a new clone, as a run on another machine would make one."""
        self._count += 1
        folder = self.place / f"clone{self._count}"
        git(self.place, "clone", "--quiet", *options, f"file://{self.path}", str(folder))
        git(folder, "config", "user.name", "Test")
        git(folder, "config", "user.email", "test@example.com")
        return Repository(folder), FeatureStore(folder / "feature_store")

    def store(self) -> FeatureStore:
        """Return the store at the tip, in a folder of its own."""
        return self.clone()[1]

    def subjects(self) -> list[str]:
        """Return the subject of every commit, newest first."""
        return git(self.path, "log", "--format=%s", BRANCH).splitlines()

    def paths(self) -> set[str]:
        """Return every file at the tip."""
        return set(git(self.path, "ls-tree", "-r", "--name-only", BRANCH).splitlines())
