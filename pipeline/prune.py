"""Old evidence out of the store and into an archive that its owner names. Features are never touched.

Every file is copied first, flushed to the disk and read back; only then does the store record that it lies elsewhere,
and only then is it removed. A run that is killed has lost nothing, and the next one goes on where it ended.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path

from .errors import ConfigError, StoreError
from .files import compute_sha256, read_sealed, write_atomically
from .manifest import Key
from .schema import HEADLINE_TABLE, dated_path
from .store import FeatureStore

KEPT = timedelta(days=120)
"""Evidence that stays: what the line looks back on (90 days), and a month in which a run may be late."""

MARGIN = timedelta(days=30)
"""The same month, for settings that look back further."""


@dataclass(frozen=True, slots=True)
class EvidenceFile:
    """The evidence of one sealed session and revision; ``name`` is its path below the root of the store."""

    key: Key
    name: str
    sha256: str
    byte_count: int


def find_last_date(sealed: set[date], today: date, look_back: timedelta) -> date:
    """Return the latest date before which evidence may be pruned.

    It lies KEPT, or the settings' ``look_back`` and MARGIN, before the last sealed session: a run after a long outage
    or a history that is continued looks back from there, not from ``today``.
    """
    return min({today} | ({max(sealed)} if sealed else set())) - max(KEPT, look_back + MARGIN)


def list_prunable(store: FeatureStore, before: date) -> list[EvidenceFile]:
    """Return the evidence of sealed sessions before ``before`` that is still in the store, oldest first."""
    found = []
    for key, entry in store.entries().items():
        name = dated_path(HEADLINE_TABLE, *key)
        if key[0] < before and (store.root / name).exists():
            size = (store.root / name).stat().st_size
            found.append(EvidenceFile(key, name, entry["headlines_sha256"], size))
    return found


def check_archive(root: Path, archive: Path, evidence: Sequence[EvidenceFile]) -> None:
    """Do nothing if ``evidence`` of the store at ``root`` can be copied to ``archive``.

    Raises:
        ConfigError: the archive lies in the store.
        StoreError: evidence is not what was sealed, or the archive holds another file of its name.
    """
    if archive.resolve().is_relative_to(root.resolve()):
        raise ConfigError(f"--archive {archive}: lies in the store {root}; expected a folder elsewhere")
    for file in evidence:
        read_sealed(root / file.name, file.sha256)
        copy = archive / file.name
        if copy.exists() and copy.samefile(root / file.name):
            raise StoreError(f"{copy}: is the store's own file; expected an archive elsewhere")
        if copy.exists() and (found := compute_sha256(copy.read_bytes())) != file.sha256:
            raise StoreError(f"{copy}: holds something else: SHA-256 {found[:12]}..., sealed was {file.sha256[:12]}...")


def copy_evidence(root: Path, archive: Path, evidence: Sequence[EvidenceFile]) -> None:
    """Write every file to ``archive`` under the same name and read it back.

    A copy that is there already is written again: nothing else tells whether it has reached the disk.

    Raises:
        StoreError: a copy does not read as it was written.
    """
    for file in evidence:
        write_atomically(archive / file.name, read_sealed(root / file.name, file.sha256))
        if compute_sha256((archive / file.name).read_bytes()) != file.sha256:
            raise StoreError(f"{archive / file.name}: does not read as it was written; nothing was pruned")


def prune(store: FeatureStore, archive: Path, evidence: Sequence[EvidenceFile], now: datetime) -> None:
    """Move ``evidence`` from the store to ``archive``.

    Raises:
        ConfigError, StoreError: see :func:`check_archive` and :func:`copy_evidence`; the store is as it was.
    """
    with store.lock():
        check_archive(store.root, archive, evidence)
        copy_evidence(store.root, archive, evidence)
        store.prune([file.key for file in evidence], now)
