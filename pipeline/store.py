"""The writing half of the feature store: evidence of open sessions in, sealed sessions in. Never changes a sealed day.

Every file is replaced as a whole or not at all, and a session counts as sealed only when the manifest, written last,
says so. What is half done when a run is killed is therefore not data, and the next run does it again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import date, datetime
from pathlib import Path

import pandas as pd

from .errors import StoreError
from .files import lock_directory, read_sealed, remove_all, write_all, write_atomically
from .manifest import Entries, Key, list_cells, list_entries
from .records import FeedState
from .schema import (
    FEATURE_TABLE,
    FEED_PATH,
    FEED_TABLE,
    HEADLINE_TABLE,
    MANIFEST_PATH,
    MANIFEST_TABLE,
    PACKAGE_PATH,
    PRUNED_PATH,
    PRUNED_TABLE,
    Table,
    encode_package,
)
from .sealing import SealedFiles, SessionToSeal, encode_session
from .stored import StoredSessions, read_cells
from .tables import Cells, encode_cells, encode_table, format_cells, pick_columns, require_valid, sort_cells

__all__ = ["FeatureStore", "SessionToSeal", "write_atomically"]


class FeatureStore(StoredSessions):
    """One store below ``root``. Reading needs nothing there; the first writing makes an empty store."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self._is_locked = False

    def create(self) -> None:
        """Make an empty store, the manifest last, unless there is one; bring datapackage.json up to date."""
        feeds, package, manifest = (self.root / path for path in (FEED_PATH, PACKAGE_PATH, MANIFEST_PATH))
        contract = encode_package(self._read_manifest(), self.pruned())
        if not feeds.exists():
            write_atomically(feeds, encode_cells(FEED_TABLE, []))
        if not package.exists() or package.read_bytes() != contract:
            write_atomically(package, contract)
        if not manifest.exists():
            write_atomically(manifest, encode_cells(MANIFEST_TABLE, []))

    def replace_open_headlines(self, frame: pd.DataFrame) -> None:
        """Let ``frame`` be the evidence of all sessions that are not sealed; files it has no row of go last.

        Raises:
            StoreError: a row is of a sealed session, or a value breaks the schema; nothing was written.
        """
        contents = {day: encode_table(HEADLINE_TABLE, rows) for day, rows in frame.groupby("session_date")}
        with self.lock():
            self._refuse_sealed(contents)
            for day, content in contents.items():
                write_atomically(self._path(HEADLINE_TABLE, day), content)
            for day in self.captured_dates() - self.sealed_dates() - contents.keys():
                self._path(HEADLINE_TABLE, day).unlink()

    def append_headlines(self, frame: pd.DataFrame) -> int:
        """Add evidence to open sessions and return how many rows were new.

        A row whose key (session_date, headline_id, ticker) is there already stays as it was first seen.

        Raises:
            StoreError: a session is sealed, or a value breaks the schema; nothing was written.
        """
        if frame.empty:
            return 0
        by_date: defaultdict[date, Cells] = defaultdict(list)
        for row in format_cells(HEADLINE_TABLE, frame):
            by_date[date.fromisoformat(row[0])].append(row)
        with self.lock():
            self._refuse_sealed(by_date)
            merged = {day: self._merge_evidence(day, rows) for day, rows in by_date.items()}
            self.create()
            for day, (cells, new_count) in merged.items():
                if new_count:
                    write_atomically(self._path(HEADLINE_TABLE, day), encode_cells(HEADLINE_TABLE, cells))
        return sum(new_count for _, new_count in merged.values())

    def seal(self, rows: pd.DataFrame, manifest_row: Mapping[str, object]) -> Path:
        """Write the features of a session, then record it with its evidence as it stands; return the feature file.

        ``manifest_row`` is that of :class:`SessionToSeal`. What an interrupted seal left is overwritten.

        Raises:
            StoreError: the session is sealed, rows are of another session, or a value breaks the schema; nothing was
                written.
        """
        with self.lock():
            session_date = SessionToSeal(rows, rows, manifest_row).session_date
            self._refuse_sealed([session_date])
            self.seal_all([SessionToSeal(rows, self.read_headlines(session_date), manifest_row)])
        return self._path(FEATURE_TABLE, session_date)

    def seal_all(self, sessions: Sequence[SessionToSeal]) -> None:
        """Write the files of many sessions, then record all of them at once: they are sealed together or not at all.

        Evidence on the disk that was captured for one of them is replaced by the session's own. What is written is
        what sealing one session after the other writes, in any order.

        Raises:
            StoreError: a session is sealed or named twice, rows are of another session, or a value breaks the schema;
                nothing was written.
        """
        with self.lock():
            self._refuse_sealed(session.session_date for session in sessions)
            self._write([encode_session(session) for session in sessions])

    def restate(self, session: SessionToSeal) -> Path:
        """Write ``session`` beside what was sealed of it, as its next revision; return the feature file.

        Raises:
            StoreError: the session is not sealed, its available_at is before that of the revision before, rows are of
                another session, or a value breaks the schema; nothing was written.
        """
        day = session.session_date
        with self.lock():
            latest = self.latest_revisions().get(day)
            if latest is None:
                raise StoreError(
                    f"{self.root / MANIFEST_PATH}: session {day} is not sealed; only a sealed one is restated"
                )
            sealed = encode_session(session, latest + 1)
            self._refuse_earlier(day, latest, sealed)
            self._write([sealed])
        return self._path(FEATURE_TABLE, day, latest + 1)

    def adopt(self, other: FeatureStore, keys: Sequence[Key]) -> None:
        """Take sealed sessions over from ``other``, byte for byte, and record all of them at once.

        Raises:
            StoreError: a revision is sealed here already, or a file of ``other`` is not what was sealed; nothing was
                written.
        """
        with self.lock():
            for key in keys:
                if key in self.entries():
                    raise StoreError(f"{self.root / MANIFEST_PATH}: session {key[0]}, revision {key[1]} is sealed")
            if keys:
                self._write([other.read_sealed_files(key) for key in keys])

    def prune(self, keys: Sequence[Key], pruned_at: datetime) -> None:
        """Remove the evidence of sealed sessions, after recording that it lies in an archive since ``pruned_at``.

        Features, manifest and line digests stay. Recorded evidence that is still there, as a kill in between leaves it,
        is evidence like any other; pruning again removes it.

        Raises:
            StoreError: a session is not sealed, or its evidence is not what was sealed; nothing was written.
        """
        paths = [self._path(HEADLINE_TABLE, *key) for key in keys]
        with self.lock():
            entries, recorded = self._read_manifest(), self.pruned()
            for key, path in zip(keys, paths, strict=True):
                if key not in entries:
                    raise StoreError(f"{self.root / MANIFEST_PATH}: session {key[0]}, revision {key[1]} is not sealed")
                read_sealed(path, entries[key]["headlines_sha256"])
                recorded[key] = entries[key] | {"pruned_at": f"{pruned_at:%Y-%m-%dT%H:%M:%SZ}"}
            if keys:
                write_atomically(self.root / PRUNED_PATH, _encode_lines(PRUNED_TABLE, recorded))
                self.create()
                remove_all(paths)

    def write_feed_states(self, states: Mapping[str, FeedState]) -> None:
        """Replace what is remembered of the feeds."""
        frame = pd.DataFrame([asdict(state) for state in states.values()], columns=list(FEED_TABLE.names), dtype=object)
        content = encode_table(FEED_TABLE, frame)
        with self.lock():
            self.create()
            write_atomically(self.root / FEED_PATH, content)

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the store for a run; writing methods do so by themselves. Raises StoreError if another run holds it."""
        if self._is_locked:
            yield
            return
        with lock_directory(self.root):
            self._is_locked = True
            try:
                yield
            finally:
                self._is_locked = False

    def _refuse_sealed(self, dates: Iterable[date]) -> None:
        for day in sorted(self.sealed_dates().intersection(dates)):
            raise StoreError(f"{self.root / MANIFEST_PATH}: session {day} is sealed; its files never change")

    def _refuse_earlier(self, day: date, latest: int, sealed: SealedFiles) -> None:
        """Refuse a restatement that a reader of the past would see before what it restates."""
        column = MANIFEST_TABLE.names.index("available_at")
        before = self._read_manifest()[day, latest]["available_at"]
        if sealed.entry[column] < before:
            raise StoreError(
                f"{self.root / MANIFEST_PATH}: session {day} was sealed at {before}; it cannot be restated at "
                f"{sealed.entry[column]}, which is earlier"
            )

    def _write(self, sessions: Sequence[SealedFiles]) -> None:
        """Write the files of every session first and the manifest last."""
        known = list_cells(self._read_manifest())
        manifest = sort_cells(MANIFEST_TABLE, [*known, *(session.entry for session in sessions)])
        require_valid(MANIFEST_TABLE, manifest, str(self.root / MANIFEST_PATH))
        package = encode_package(list_entries(manifest), self.pruned())
        self.create()
        write_all({self.root / path: body for session in sessions for path, body in session.contents.items()})
        write_atomically(self.root / PACKAGE_PATH, package)
        write_atomically(self.root / MANIFEST_PATH, encode_cells(MANIFEST_TABLE, manifest))

    def _merge_evidence(self, session_date: date, rows: Cells) -> tuple[Cells, int]:
        """Return the session's evidence with ``rows`` whose keys are new, and how many those are."""
        pick = pick_columns(HEADLINE_TABLE, HEADLINE_TABLE.key)
        known = read_cells(HEADLINE_TABLE, self._path(HEADLINE_TABLE, session_date))
        first_seen = {pick(row): row for row in [*known, *rows][::-1]}
        merged = sort_cells(HEADLINE_TABLE, list(first_seen.values()))
        require_valid(HEADLINE_TABLE, merged, str(self._path(HEADLINE_TABLE, session_date)))
        return merged, len(merged) - len(known)


def _encode_lines(table: Table, entries: Entries) -> bytes:
    """Return the file of ``entries``, which may hold more columns than ``table`` has."""
    cells = sort_cells(table, [[entry[name] for name in table.names] for entry in entries.values()])
    require_valid(table, cells, table.name)
    return encode_cells(table, cells)
