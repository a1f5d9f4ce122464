"""A run's store -> one commit on the remote's branch, tried again while others are faster.

    working copy -> generated files -> (merged with the remote's store, if that has moved on) -> commit -> push

The commit is built beside the checkout, so a run that is killed leaves no half-done rebase, index or lock, and the next
one begins where this one did. Only generated files can get into it, and no sealed file can be changed by it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from .checkout import Merger, StoreCheckout
from .generated import PLACES
from .git import GitError, Repository
from .merge import Merge
from .store import FeatureStore

ATTEMPTS = 8


@dataclass(frozen=True, slots=True)
class Published:
    """What the remote's branch holds now: ``revision`` is its tip, ``message`` empty where nothing was new."""

    revision: str
    message: str
    merge: Merge | None = None


def commit_store(
    repository: Repository,
    store: FeatureStore,
    branch: str,
    merge: Merger,
    pause: Callable[[int], None],
    attempts: int = ATTEMPTS,
    is_dry_run: bool = False,
) -> Published:
    """Make the remote's ``branch`` hold what ``store`` holds, and return what was pushed.

    ``pause`` waits before the attempt of that number, from 1. A dry run composes the commit and pushes nothing.

    Raises:
        GitError: the remote could not be reached, or did not take the push, in any of the attempts.
        StoreError: a sealed file would change, or the stores cannot be merged; nothing was pushed.
    """
    checkout = StoreCheckout(repository, store)
    made: dict[str, Published] = {}
    failure: GitError | None = None
    for attempt in range(attempts):
        if attempt:
            pause(attempt)
        try:
            tip = repository.fetch(branch)
        except GitError as error:
            failure = error
            continue
        if tip in made:  # the push before had arrived, only its answer had not
            return made[tip]
        proposal = checkout.propose(tip, merge)
        if proposal is None:
            return Published(tip, "")
        if is_dry_run:
            return Published(tip, proposal.message, proposal.merge)
        revision = checkout.write(tip, proposal)
        made[revision] = Published(revision, proposal.message, proposal.merge)
        try:
            repository.push(revision, branch)
        except GitError as error:
            failure = error
            continue
        return made[revision]
    raise GitError(f"{branch}: not pushed after {attempts} attempts; {failure}") from failure


def follow(repository: Repository, store: FeatureStore, branch: str, published: Published) -> bool:
    """Bring the checkout to what was published, if it is one of ``branch``; say whether that could be done.

    Files outside the store are left to git, which refuses to overwrite local changes.
    """
    checkout = StoreCheckout(repository, store)
    try:
        if repository.run("symbolic-ref", "--quiet", "HEAD").decode().strip() != f"refs/heads/{branch}":
            return False
        with store.lock():
            checkout.write_back(published.revision)
        paths = [f"{checkout.prefix}{place}" for place in PLACES]
        repository.run("reset", "--quiet", published.revision, "--", *paths)
        repository.run("merge", "--quiet", "--ff-only", published.revision)
    except GitError:
        return False
    return True
