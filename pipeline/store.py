"""The feature store: evidence of open sessions in, sealed sessions in, both out again. Never changes a sealed day.

Every file is replaced as a whole or not at all, and a session counts as sealed only when the manifest, written last,
says so. What is half done when a run is killed is therefore not data, and the next run does it again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from datetime import date, datetime, timedelta
from pathlib import Path

import pandas as pd

from .errors import StoreError
from .files import compute_sha256, list_dated, lock_directory, read_sealed, write_atomically
from .records import FeedState
from .schema import (
    FEATURE_TABLE,
    FEED_PATH,
    FEED_TABLE,
    HEADLINE_TABLE,
    MANIFEST_PATH,
    MANIFEST_TABLE,
    PACKAGE_PATH,
    SCHEMA_VERSION,
    Table,
    dated_path,
    encode_package,
)
from .tables import (
    Cells,
    decode_cells,
    encode_cells,
    encode_table,
    format_cells,
    pick_columns,
    require_valid,
    sort_cells,
    to_frame,
)
from .verify import find_problems

__all__ = ["FeatureStore", "write_atomically"]


class FeatureStore:
    """One store below ``root``. Reading needs nothing there; the first writing makes an empty store.

    Frames have the columns of schema.py, typed as cells.parse_cells says. Reading a file that is damaged, or sealed
    and no longer what was sealed, raises a StoreError that names the file and, where there is one, the line.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._is_locked = False

    def create(self) -> None:
        """Make an empty store, the manifest last, unless there is one; bring datapackage.json up to date."""
        feeds, package, manifest = (self.root / path for path in (FEED_PATH, PACKAGE_PATH, MANIFEST_PATH))
        contract = encode_package(self.sealed_dates())
        if not feeds.exists():
            write_atomically(feeds, encode_cells(FEED_TABLE, []))
        if not package.exists() or package.read_bytes() != contract:
            write_atomically(package, contract)
        if not manifest.exists():
            write_atomically(manifest, encode_cells(MANIFEST_TABLE, []))

    def sealed(self) -> pd.DataFrame:
        """Return the manifest, one row per sealed session, oldest first."""
        return to_frame(MANIFEST_TABLE, self._read_manifest())

    def sealed_dates(self) -> set[date]:
        """Return the dates of the sealed sessions."""
        return set(self.sealed()["session_date"])

    def captured_dates(self) -> set[date]:
        """Return the sessions that have evidence, sealed or not."""
        return set(list_dated(self.root, HEADLINE_TABLE))

    def features_path(self, session_date: date) -> Path:
        """Return where the features of a session lie, or will."""
        return self._path(FEATURE_TABLE, session_date)

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
        """Return the evidence of a session, sealed or not; no rows when there is none."""
        return self._read_sessions(HEADLINE_TABLE, [session_date])

    def recent_headlines(self, since: datetime) -> pd.DataFrame:
        """Return the evidence of every session whose window could hold a headline published at ``since`` or later.

        Older headlines of these sessions come with it. A cut-off may lie on the day after its session's date.
        """
        first = since.date() - timedelta(days=1)
        return self._read_sessions(HEADLINE_TABLE, sorted(day for day in self.captured_dates() if day >= first))

    def captured_ids(self, first: date, end: date) -> set[str]:
        """Return the headline_id of every headline in the evidence of sessions from ``first`` to before ``end``.

        Only the form of the files is checked, not every value: there may be a quarter of a year of them.
        """
        column = HEADLINE_TABLE.names.index("headline_id")
        paths = [self._path(HEADLINE_TABLE, day) for day in sorted(self.captured_dates()) if first <= day < end]
        return {row[column] for path in paths for row in decode_cells(HEADLINE_TABLE, path.read_bytes(), str(path))[0]}

    def read_open_headlines(self) -> pd.DataFrame:
        """Return the evidence of every session that is not sealed."""
        return self._read_sessions(HEADLINE_TABLE, sorted(self.captured_dates() - self.sealed_dates()))

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

        ``manifest_row`` holds session_date, state, available_at, opens_after, cutoff_at, model_revision, code_revision,
        cpu, feeds_ok and feeds_failed; the store fills in the rest. What an interrupted seal left is overwritten.

        Raises:
            StoreError: the session is sealed, rows are of another session, or a value breaks the schema; nothing was
                written.
        """
        session_date = date.fromisoformat(str(manifest_row["session_date"]))
        features, path = encode_table(FEATURE_TABLE, rows), self._path(FEATURE_TABLE, session_date)
        if {str(day) for day in rows["session_date"]} != {str(session_date)}:
            raise StoreError(f"{path}: expected rows of session {session_date} only")
        with self.lock():
            self._refuse_sealed([session_date])
            evidence = _read_cells(HEADLINE_TABLE, self._path(HEADLINE_TABLE, session_date))
            headlines = encode_cells(HEADLINE_TABLE, evidence)
            entry = _complete(manifest_row, len(rows), features, len(evidence), headlines)
            manifest = sort_cells(MANIFEST_TABLE, [*self._read_manifest(), entry])
            package = encode_package([*self.sealed_dates(), session_date])
            self.create()
            write_atomically(path, features)
            write_atomically(self._path(HEADLINE_TABLE, session_date), headlines)
            write_atomically(self.root / PACKAGE_PATH, package)
            write_atomically(self.root / MANIFEST_PATH, encode_cells(MANIFEST_TABLE, manifest))
        return path

    def read_feed_states(self) -> dict[str, FeedState]:
        """Return what is remembered of each feed, by feed_id; nothing before the first capture."""
        frame = to_frame(FEED_TABLE, _read_cells(FEED_TABLE, self.root / FEED_PATH))
        times = {name: _list_times(frame[name]) for name in ("last_attempt_at", "last_ok_at")}
        columns = {name: frame[name].tolist() for name in FEED_TABLE.names} | times
        rows = (dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True))
        return {row["feed_id"]: FeedState(**row) for row in rows}

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

    def verify(self) -> list[str]:
        """Return everything that is wrong with the files, a line each; see verify.find_problems."""
        return find_problems(self.root)

    def _path(self, table: Table, session_date: date) -> Path:
        return self.root / dated_path(table, session_date)

    def _refuse_sealed(self, dates: Iterable[date]) -> None:
        for day in sorted(self.sealed_dates().intersection(dates)):
            raise StoreError(f"{self.root / MANIFEST_PATH}: session {day} is sealed; its files never change")

    def _merge_evidence(self, session_date: date, rows: Cells) -> tuple[Cells, int]:
        """Return the session's evidence with ``rows`` whose keys are new, and how many those are."""
        pick = pick_columns(HEADLINE_TABLE, HEADLINE_TABLE.key)
        known = _read_cells(HEADLINE_TABLE, self._path(HEADLINE_TABLE, session_date))
        first_seen = {pick(row): row for row in [*known, *rows][::-1]}
        merged = sort_cells(HEADLINE_TABLE, list(first_seen.values()))
        require_valid(HEADLINE_TABLE, merged, str(self._path(HEADLINE_TABLE, session_date)))
        return merged, len(merged) - len(known)

    def _read_manifest(self) -> Cells:
        path = self.root / MANIFEST_PATH
        if not path.exists() and (orphans := list_dated(self.root, FEATURE_TABLE)):
            raise StoreError(f"{path}: missing, yet there are features of {len(orphans)} sessions; restore it")
        return _read_cells(MANIFEST_TABLE, path)

    def _read_sessions(self, table: Table, dates: Iterable[date]) -> pd.DataFrame:
        column = MANIFEST_TABLE.names.index(f"{table.name}_sha256")
        checksums = {row[0]: row[column] for row in self._read_manifest()}
        cells: Cells = []
        for day in dates:
            cells += _read_cells(table, self._path(table, day), checksums.get(day.isoformat(), ""))
        return to_frame(table, cells)


def _read_cells(table: Table, path: Path, sha256: str = "") -> Cells:
    """Return the rows of a file; none if it is absent, unless a ``sha256`` says that it was sealed."""
    if not path.exists() and not sha256:
        return []
    content = read_sealed(path, sha256) if sha256 else path.read_bytes()
    cells, lines = decode_cells(table, content, str(path))
    require_valid(table, cells, str(path), lines)
    return cells


def _complete(
    manifest_row: Mapping[str, object], row_count: int, features: bytes, headline_count: int, headlines: bytes
) -> list[str]:
    """Return the manifest's line for a session: what the caller knows, and what the files say."""
    known = {
        "schema_version": SCHEMA_VERSION,
        "rows": row_count,
        "headline_rows": headline_count,
        "features_sha256": compute_sha256(features),
        "headlines_sha256": compute_sha256(headlines),
    }
    cells = format_cells(MANIFEST_TABLE, pd.DataFrame([{**manifest_row, **known}], dtype=object))
    require_valid(MANIFEST_TABLE, cells, f"manifest, session {manifest_row['session_date']}")
    return cells[0]


def _list_times(column: pd.Series) -> list[datetime | None]:
    return [None if moment is pd.NaT else moment.to_pydatetime() for moment in column]
