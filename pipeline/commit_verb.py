"""python -m pipeline commit: options to a commit of the store, and what was done to a few lines of text."""

from __future__ import annotations

import argparse
import random
import time
from functools import partial

from .commit import Published, commit_store, follow
from .config import Settings
from .git import GitError, Repository
from .merge import merge_stores
from .options import add_places
from .sessions import Sessions
from .store import FeatureStore

EXAMPLE = "python -m pipeline commit --branch main"
LONGEST_PAUSE_S = 30.0


def add_options(verb: argparse.ArgumentParser) -> None:
    """Give ``verb`` its options."""
    add_places(verb)
    verb.add_argument("--remote", default="origin", help="where to push (default: origin)")
    verb.add_argument("--branch", default="", help="branch to push to (default: the one checked out)")
    verb.add_argument("--dry-run", action="store_true", help="say what would be pushed")


def run(args: argparse.Namespace, settings: Settings, token: str) -> int:
    """Commit the generated files of the store and push them; say what became of them."""
    store = FeatureStore(settings.store)
    repository = Repository(store.root if store.root.is_dir() else store.root.parent, args.remote, token)
    branch = args.branch or _current_branch(repository)

    def open_calendar() -> Sessions:
        return Sessions(settings.sessions.calendar, settings.sessions.cutoff_offset_minutes)

    merge = partial(merge_stores, settings=settings, sessions=open_calendar)
    published = commit_store(repository, store, branch, merge, _pause, is_dry_run=args.dry_run)
    _describe(published, branch, args.dry_run)
    if not args.dry_run and not follow(repository, store, branch, published):
        print(f"this checkout stays as it is; it could not follow {branch} to {published.revision[:12]}")
    return 0


def _describe(published: Published, branch: str, is_dry_run: bool) -> None:
    if not published.message:
        print(f"nothing to commit: {branch} holds this store already, at {published.revision[:12]}")
        return
    if published.merge:
        print("others have published meanwhile; what this run found was added to theirs")
    print(("would push to " if is_dry_run else f"pushed {published.revision[:12]} to ") + f"{branch}:")
    print("\n".join(f"  {line}".rstrip() for line in published.message.splitlines()))


def _current_branch(repository: Repository) -> str:
    try:
        return repository.run("symbolic-ref", "--quiet", "--short", "HEAD").decode().strip()
    except GitError as error:
        raise GitError("no branch is checked out; expected --branch") from error


def _pause(attempt: int) -> None:
    """Wait up to 2, 4, 8, ... seconds, never longer than LONGEST_PAUSE_S: others wait another while."""
    time.sleep(random.uniform(0, min(2.0**attempt, LONGEST_PAUSE_S)))
