"""A store in a checkout, held against commits: what a commit of it would change, say and consist of."""

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

Blobs = Mapping[str, str]
"""The generated files of a store: blob id by path below its root."""

Merger = Callable[[FeatureStore, FeatureStore, Mapping[date, pd.DataFrame]], Merge]
"""Adds our store to theirs, given the evidence that the sessions we changed had before: :func:`merge.merge_stores`."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """The files a store should consist of, and what the commit says."""

    blobs: Blobs
    message: str
    merge: Merge | None


class StoreCheckout:
    """``store``, which lies in a checkout of ``repository``; ``prefix`` says where: "" or "NAME/".

    Raises:
        GitError: it lies elsewhere.
    """

    def __init__(self, repository: Repository, store: FeatureStore) -> None:
        self.repository = repository
        self.store = store
        self.prefix = _find_prefix(repository, store.root)

    def propose(self, tip: str, merge: Merger) -> Proposal | None:
        """Return what should follow ``tip``; None when there is nothing new."""
        theirs = self.read_blobs(tip)
        before = self.repository.run("merge-base", "HEAD", tip).decode().strip()
        base = self.read_blobs(before)
        with self.store.lock():
            ours, found = self.hash_own(), None
            if theirs != base and ours not in (base, theirs):
                ours, found = self.merge(tip, before, {"base": base, "ours": ours}, merge)
            elif theirs != base:
                ours = theirs
        if ours == theirs:
            return None
        return Proposal(ours, self.compose(theirs, ours, found), found)

    def hash_own(self) -> dict[str, str]:
        """Return the working copy's generated files, but for those that an interrupted sealing has left."""
        blobs = self.repository.hash_files(self.store.root, list_generated(self.store.root))
        sealed = self.read_manifest(blobs)
        return {path: blob for path, blob in blobs.items() if _read_day(path) or read_key(path) in {None, *sealed}}

    def merge(self, tip: str, before: str, blobs: Mapping[str, Blobs], merge: Merger) -> tuple[dict[str, str], Merge]:
        """Return the blobs of the store at ``tip`` with our work since ``before`` added to it."""
        if blobs["ours"].get(PRUNED_PATH) != blobs["base"].get(PRUNED_PATH):
            raise StoreError(f"{self.store.root}: others have published meanwhile; pull, then prune again")
        paths = blobs["ours"].keys() | blobs["base"].keys()
        changed = {path for path in paths if blobs["ours"].get(path) != blobs["base"].get(path)}
        evidence = {day: self.read_evidence(before, path) for path in changed if (day := _read_day(path))}
        with self.checked_out(tip) as theirs:
            found = merge(self.store, theirs, evidence)
            if problems := theirs.verify():
                raise StoreError(f"the merged store is unsound, nothing was pushed: {problems[0]}")
            return self.repository.hash_files(theirs.root, list_generated(theirs.root)), found

    @contextmanager
    def checked_out(self, commit: str) -> Iterator[FeatureStore]:
        """Yield the store of ``commit`` in a folder of its own, which vanishes afterwards."""
        with tempfile.TemporaryDirectory() as name:
            root = Path(name) / "feature_store"
            self.repository.export(f"{commit}:{self.prefix}", root)
            yield FeatureStore(root)

    def write(self, tip: str, proposal: Proposal) -> str:
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

    def compose(self, theirs: Blobs, ours: Blobs, merge: Merge | None) -> str:
        """Return the message of the change from ``theirs`` to ``ours``; refuses one that alters what is sealed."""
        before, after = self.read_manifest(theirs), self.read_manifest(ours)
        changed = {path for path in theirs.keys() | ours.keys() if theirs.get(path) != ours.get(path)}
        pruned = self.refuse_altered(before, after, theirs, ours, changed)
        sealed = {key: entry for key, entry in after.items() if key not in before}
        captured = {
            day: self.count_rows(ours.get(path)) - self.count_rows(theirs.get(path))
            for path in changed
            if (day := _read_day(path)) and (day, 1) not in after
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


def _read_day(path: str) -> date | None:
    """Return the session whose captured evidence lies at ``path``; None for any other file."""
    key = read_key(path)
    return key[0] if key and key[1] == 1 and path == dated_path(HEADLINE_TABLE, *key) else None
