"""A run's store -> one commit on the remote's branch, tried again while others are faster.

    working copy -> generated files -> (merged with the remote's store, if that has moved on) -> commit -> push

The commit is built beside the checkout, so a run that is killed leaves no half-done rebase, index or lock, and the next
one begins where this one did. Only generated files can get into it, and no sealed file can be changed by it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import pandas as pd

from .commit_message import compose_message
from .errors import StoreError
from .files import write_atomically
from .generated import PLACES, is_generated, list_generated, read_key
from .git import GitError, Repository
from .manifest import Entries, list_entries
from .merge import Merge
from .schema import HEADLINE_TABLE, MANIFEST_PATH, MANIFEST_TABLE, PRUNED_PATH, dated_path
from .store import FeatureStore
from .tables import decode_cells, decode_table, require_valid, to_frame

ATTEMPTS = 8

Blobs = Mapping[str, str]
"""The generated files of a store: blob id by path below its root."""

Changed = Mapping[date, pd.DataFrame]
Merger = Callable[[FeatureStore, FeatureStore, Changed], Merge]
"""Adds our store to theirs, given the evidence that the sessions we changed had before: :func:`merge.merge_stores`."""


@dataclass(frozen=True, slots=True)
class Published:
    """What the remote's branch holds now: ``revision`` is its tip, ``message`` empty where nothing was new."""

    revision: str
    message: str
    merge: Merge | None = None


@dataclass(frozen=True, slots=True)
class _Proposal:
    """The files a store should consist of, and what the commit says."""

    blobs: Blobs
    message: str
    merge: Merge | None


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
    work = _Work(repository, store, _find_prefix(repository, store.root))
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
        proposal = work.propose(tip, merge)
        if proposal is None:
            return Published(tip, "")
        if is_dry_run:
            return Published(tip, proposal.message, proposal.merge)
        revision = work.write(tip, proposal)
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
    work = _Work(repository, store, _find_prefix(repository, store.root))
    try:
        if repository.run("symbolic-ref", "--quiet", "HEAD").decode().strip() != f"refs/heads/{branch}":
            return False
        with store.lock():
            work.write_back(published.revision)
        paths = [f"{work.prefix}{place}" for place in PLACES]
        repository.run("reset", "--quiet", published.revision, "--", *paths)
        repository.run("merge", "--quiet", "--ff-only", published.revision)
    except GitError:
        return False
    return True


class _Work:
    """A store in a checkout, held against commits. ``prefix`` is where it lies in the repository: "" or "NAME/"."""

    def __init__(self, repository: Repository, store: FeatureStore, prefix: str) -> None:
        self.repository = repository
        self.store = store
        self.prefix = prefix

    def propose(self, tip: str, merge: Merger) -> _Proposal | None:
        """Return what should follow ``tip``; None when there is nothing new."""
        theirs = self.read_blobs(tip)
        before = self.repository.run("merge-base", "HEAD", tip).decode().strip()
        base = self.read_blobs(before)
        with self.store.lock():
            ours = self.repository.hash_files(self.store.root, list_generated(self.store.root))
            found = None
            if theirs != base and ours not in (base, theirs):
                ours, found = self.merge(tip, before, {"base": base, "ours": ours, "theirs": theirs}, merge)
            elif theirs != base:
                ours = dict(theirs)
        if ours == theirs:
            return None
        return _Proposal(ours, self.compose(tip, theirs, ours, found), found)

    def merge(self, tip: str, before: str, blobs: Mapping[str, Blobs], merge: Merger) -> tuple[dict[str, str], Merge]:
        """Return the blobs of the store at ``tip`` with our work since ``before`` added to it."""
        if blobs["ours"].get(PRUNED_PATH) != blobs["base"].get(PRUNED_PATH):
            raise StoreError(f"{self.store.root}: others have published meanwhile; pull, then prune again")
        paths = {path for path in blobs["ours"].keys() | blobs["base"].keys() if _is_evidence(path)}
        changed = {path for path in paths if blobs["ours"].get(path) != blobs["base"].get(path)}
        with self.checked_out(tip, blobs["theirs"]) as theirs:
            found = merge(self.store, theirs, {read_key(path)[0]: self.read_evidence(before, path) for path in changed})  # type: ignore[index]
            if problems := theirs.verify():
                raise StoreError(f"the merged store is unsound, nothing was pushed: {problems[0]}")
            return self.repository.hash_files(theirs.root, list_generated(theirs.root)), found

    @contextmanager
    def checked_out(self, commit: str, blobs: Blobs) -> Iterator[FeatureStore]:
        """Yield the store of ``commit`` in a folder of its own, which vanishes afterwards."""
        with tempfile.TemporaryDirectory() as name:
            root = Path(name) / "feature_store"
            for path in blobs:
                write_atomically(root / path, self.repository.read_blob(commit, f"{self.prefix}{path}"))
            yield FeatureStore(root)

    def write(self, tip: str, proposal: _Proposal) -> str:
        """Return the commit of ``proposal`` on ``tip``."""
        theirs, ours = self.read_blobs(tip), proposal.blobs
        changed = {path for path in theirs.keys() | ours.keys() if theirs.get(path) != ours.get(path)}
        changes = {f"{self.prefix}{path}": ours.get(path) for path in changed}
        return self.repository.write_commit(tip, changes, proposal.message)

    def write_back(self, revision: str) -> None:
        """Make the files of the working copy those of ``revision``, the manifest last."""
        wanted = self.read_blobs(revision)
        present = self.repository.hash_files(self.store.root, list_generated(self.store.root))
        for path in sorted(wanted, key=lambda path: (path == MANIFEST_PATH, path)):
            if present.get(path) != wanted[path]:
                write_atomically(self.store.root / path, self.repository.read_blob(revision, f"{self.prefix}{path}"))
        for path in present.keys() - wanted.keys():
            (self.store.root / path).unlink()

    def compose(self, tip: str, theirs: Blobs, ours: Blobs, merge: Merge | None) -> str:
        """Return the message of the change from ``theirs`` to ``ours``; refuses one that alters what is sealed."""
        before, after = self.read_manifest(theirs), self.read_manifest(ours)
        changed = {path for path in theirs.keys() | ours.keys() if theirs.get(path) != ours.get(path)}
        pruned = self.refuse_altered(before, after, theirs, ours, changed)
        sealed = {key: entry for key, entry in after.items() if key not in before}
        captured = {
            read_key(path)[0]: self.count_rows(ours.get(path)) - self.count_rows(theirs.get(path))  # type: ignore[index]
            for path in changed
            if _is_evidence(path) and read_key(path) not in after
        }
        return compose_message(sealed, captured, pruned, merge)

    def refuse_altered(self, before: Entries, after: Entries, theirs: Blobs, ours: Blobs, changed: set[str]) -> int:
        """Return how many evidence files of sealed sessions are gone, which pruning alone may do.

        Raises:
            StoreError: a sealed file or its line of the manifest would change or go.
        """
        for key, entry in before.items():
            if after.get(key) != entry:
                raise StoreError(
                    f"{self.store.root / MANIFEST_PATH}: session {key[0]} is sealed; its line never changes"
                )
        altered = sorted(path for path in changed & theirs.keys() if read_key(path) in before)
        pruned = [path for path in altered if path not in ours and not path.startswith("features/")]
        if kept := [path for path in altered if path not in pruned]:
            raise StoreError(f"{self.store.root / kept[0]}: its session is sealed; its files never change")
        if pruned and PRUNED_PATH not in changed:
            raise StoreError(f"{self.store.root / pruned[0]}: missing, though its session is sealed; restore it")
        return len(pruned)

    def read_manifest(self, blobs: Blobs) -> Entries:
        """Return the manifest among ``blobs``; empty without one."""
        if MANIFEST_PATH not in blobs:
            return {}
        content = self.repository.run("cat-file", "blob", blobs[MANIFEST_PATH])
        cells, lines = decode_cells(MANIFEST_TABLE, content, MANIFEST_PATH)
        require_valid(MANIFEST_TABLE, cells, MANIFEST_PATH, lines)
        return list_entries(cells)

    def read_evidence(self, commit: str, path: str) -> pd.DataFrame:
        """Return the evidence in a file of ``commit``; no rows where there is no such file."""
        if path not in self.read_blobs(commit):
            return to_frame(HEADLINE_TABLE, [])
        return decode_table(HEADLINE_TABLE, self.repository.read_blob(commit, f"{self.prefix}{path}"), path)

    def count_rows(self, blob: str | None) -> int:
        """Return how many rows a file has; a title never holds a line break."""
        return self.repository.run("cat-file", "blob", blob).count(b"\n") - 1 if blob else 0

    def read_blobs(self, commit: str) -> dict[str, str]:
        """Return the generated files of the store in ``commit``."""
        found = self.repository.list_blobs(commit, *(f"{self.prefix}{place}" for place in PLACES))
        names = {path.removeprefix(self.prefix): blob for path, blob in found.items()}
        return {name: blob for name, blob in names.items() if is_generated(name)}


def _find_prefix(repository: Repository, root: Path) -> str:
    inside = root.resolve()
    if not inside.is_relative_to(repository.root.resolve()):
        raise GitError(f"{root}: lies outside the repository {repository.root}")
    prefix = inside.relative_to(repository.root.resolve()).as_posix()
    return "" if prefix == "." else f"{prefix}/"


def _is_evidence(path: str) -> bool:
    key = read_key(path)
    return key is not None and path == dated_path(HEADLINE_TABLE, *key) and key[1] == 1
