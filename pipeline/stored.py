"""What a feature store holds, read back: the manifest, features, evidence and feed states. Never writes."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime, timedelta
from pathlib import Path

import pandas as pd

from .errors import StoreError
from .files import list_dated, read_sealed
from .manifest import Entries, Key, list_cells, list_entries
from .records import FeedState
from .schema import (
    FEATURE_TABLE,
    FEED_PATH,
    FEED_TABLE,
    HEADLINE_TABLE,
    LINE_TABLE,
    MANIFEST_PATH,
    MANIFEST_TABLE,
    PRUNED_PATH,
    PRUNED_TABLE,
    Table,
    dated_path,
)
from .sealing import SealedFiles
from .tables import Cells, decode_cells, require_valid, to_frame
from .verify import find_problems


class StoredSessions:
    """The reading half of the store below ``root``. Reading needs nothing there.

    Frames have the columns of schema.py, typed as cells.parse_cells says. Of a session that was restated the latest
    revision is read. Reading a file that is damaged, or sealed and no longer what was sealed, raises a StoreError that
    names the file and, where there is one, the line.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._manifest: tuple[bytes | None, Entries] = (None, {})

    def entries(self) -> Entries:
        """Return the manifest's lines by session and revision, oldest first."""
        return dict(self._read_manifest())

    def read_sealed_files(self, key: Key) -> SealedFiles:
        """Return the files of a sealed session and revision as they were written, and its line of the manifest.

        Raises:
            StoreError: it is not sealed, or a file is missing or no longer what was sealed.
        """
        entry = self._read_manifest().get(key)
        if entry is None:
            raise StoreError(f"{self.root / MANIFEST_PATH}: session {key[0]}, revision {key[1]} is not sealed")
        contents = {
            dated_path(table, *key): read_sealed(self._path(table, *key), entry[f"{table.name}_sha256"])
            for table in (FEATURE_TABLE, HEADLINE_TABLE)
        }
        digests = self._path(LINE_TABLE, *key)
        if not digests.exists():
            raise StoreError(f"{digests}: missing, though its session is sealed; restore it")
        return SealedFiles(contents | {dated_path(LINE_TABLE, *key): digests.read_bytes()}, list(entry.values()))

    def pruned(self) -> Entries:
        """Return the lines of state/pruned.csv by session and revision: their evidence lies in an archive."""
        return list_entries(read_cells(PRUNED_TABLE, self.root / PRUNED_PATH), PRUNED_TABLE)

    def sealed(self) -> pd.DataFrame:
        """Return the manifest, one row per sealed session and revision, oldest first."""
        return to_frame(MANIFEST_TABLE, list_cells(self._read_manifest()))

    def sealed_dates(self) -> set[date]:
        """Return the dates of the sealed sessions."""
        return set(self.latest_revisions())

    def latest_revisions(self) -> dict[date, int]:
        """Return the latest revision of every sealed session, oldest first; 1 for one that was never restated."""
        return dict(sorted(self._read_manifest()))

    def cutoffs(self) -> dict[date, datetime]:
        """Return the cut-off of every sealed session, in UTC."""
        return {day: datetime.fromisoformat(entry["cutoff_at"]) for (day, _), entry in self._read_manifest().items()}

    def captured_dates(self) -> set[date]:
        """Return the sessions that have evidence, sealed or not."""
        return {day for day, revision in list_dated(self.root, HEADLINE_TABLE) if revision == 1}

    def features_path(self, session_date: date) -> Path:
        """Return where the features of a session lie, or will."""
        return self._path(FEATURE_TABLE, session_date, self.latest_revisions().get(session_date, 1))

    def read_features(self, session_date: date) -> pd.DataFrame:
        """Return the rows of a sealed session. Raises StoreError if it is not sealed."""
        if session_date not in self.sealed_dates():
            raise StoreError(f"{self.root / MANIFEST_PATH}: session {session_date} is not sealed")
        return self._read_sessions(FEATURE_TABLE, [session_date])

    def history(self, before: date, session_count: int) -> pd.DataFrame:
        """Return the rows of the last ``session_count`` sealed sessions before ``before``, oldest first."""
        dates = sorted((day for day in self.sealed_dates() if day < before), reverse=True)[:session_count]
        return self._read_sessions(FEATURE_TABLE, sorted(dates))

    def read_headlines(self, session_date: date) -> pd.DataFrame:
        """Return the evidence of a session, sealed or not; no rows when there is none. Pruned evidence is refused."""
        return self._read_sessions(HEADLINE_TABLE, [session_date])

    def recent_headlines(self, since: datetime, before: date = date.max) -> pd.DataFrame:
        """Return the evidence of every session whose window could hold a headline published at ``since`` or later.

        Older headlines of these sessions come with it. A cut-off may lie on the day after its session's date. Sessions
        from ``before`` on are left out. Raises StoreError when evidence of one was pruned.
        """
        return self._read_sessions(HEADLINE_TABLE, self._evidence_dates(since.date() - timedelta(days=1), before))

    def captured_ids(self, first: date, end: date) -> set[str]:
        """Return the headline_id of every headline in the evidence of sessions from ``first`` to before ``end``.

        Only the form of the files is checked, not every value: there may be a quarter of a year of them. Raises
        StoreError when evidence of one was pruned.
        """
        column, dates = HEADLINE_TABLE.names.index("headline_id"), self._evidence_dates(first, end)
        self._refuse_pruned([(day, 1) for day in dates])
        paths = [self._path(HEADLINE_TABLE, day) for day in dates]
        return {row[column] for path in paths for row in decode_cells(HEADLINE_TABLE, path.read_bytes(), str(path))[0]}

    def read_open_headlines(self) -> pd.DataFrame:
        """Return the evidence of every session that is not sealed."""
        return self._read_sessions(HEADLINE_TABLE, sorted(self.captured_dates() - self.sealed_dates()))

    def read_feed_states(self) -> dict[str, FeedState]:
        """Return what is remembered of each feed, by feed_id; nothing before the first capture."""
        frame = to_frame(FEED_TABLE, read_cells(FEED_TABLE, self.root / FEED_PATH))
        times = {name: _list_times(frame[name]) for name in ("last_attempt_at", "last_ok_at")}
        columns = {name: frame[name].tolist() for name in FEED_TABLE.names} | times
        rows = (dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True))
        return {row["feed_id"]: FeedState(**row) for row in rows}

    def verify(self) -> list[str]:
        """Return everything that is wrong with the files, a line each; see verify.find_problems."""
        return find_problems(self.root)

    def _evidence_dates(self, first: date, end: date) -> list[date]:
        """Return the sessions from ``first`` to before ``end`` that have evidence, or had it when they were sealed."""
        return sorted(day for day in self.captured_dates() | self.sealed_dates() if first <= day < end)

    def _refuse_pruned(self, keys: Iterable[Key]) -> None:
        """Raise a StoreError if evidence of ``keys`` was pruned and has not come back."""
        missing = [key for key in keys if not self._path(HEADLINE_TABLE, *key).exists()]
        pruned = self.pruned() if missing else {}
        if gone := [key for key in missing if key in pruned]:
            more = f", as were {len(gone) - 1} files after it; put them" if len(gone) > 1 else "; put it"
            raise StoreError(
                f"{self._path(HEADLINE_TABLE, *gone[0])}: pruned, moved to an archive on "
                f"{pruned[gone[0]]['pruned_at'][:10]}{more} back from there to read what it says"
            )

    def _path(self, table: Table, session_date: date, revision: int = 1) -> Path:
        return self.root / dated_path(table, session_date, revision)

    def _read_manifest(self) -> Entries:
        """Return the manifest; read again only when the file changed, as a long history has thousands of lines."""
        path = self.root / MANIFEST_PATH
        if not path.exists():
            if orphans := list_dated(self.root, FEATURE_TABLE):
                raise StoreError(f"{path}: missing, yet there are features of {len(orphans)} sessions; restore it")
            return {}
        content = path.read_bytes()
        if content != self._manifest[0]:
            self._manifest = content, list_entries(_read_content(MANIFEST_TABLE, path, content))
        return self._manifest[1]

    def _read_sessions(self, table: Table, dates: Iterable[date]) -> pd.DataFrame:
        revisions, entries = self.latest_revisions(), self._read_manifest()
        keys = [(day, revisions.get(day, 1)) for day in dates]
        if table == HEADLINE_TABLE:
            self._refuse_pruned(keys)
        cells: Cells = []
        for key in keys:
            checksum = entries[key][f"{table.name}_sha256"] if key in entries else ""
            cells += read_cells(table, self._path(table, *key), checksum)
        return to_frame(table, cells)


def read_cells(table: Table, path: Path, sha256: str = "") -> Cells:
    """Return the rows of a file; none if it is absent, unless a ``sha256`` says that it was sealed."""
    if not path.exists() and not sha256:
        return []
    return _read_content(table, path, read_sealed(path, sha256) if sha256 else path.read_bytes())


def _read_content(table: Table, path: Path, content: bytes) -> Cells:
    cells, lines = decode_cells(table, content, str(path))
    require_valid(table, cells, str(path), lines)
    return cells


def _list_times(column: pd.Series) -> list[datetime | None]:
    return [None if moment is pd.NaT else moment.to_pydatetime() for moment in column]
