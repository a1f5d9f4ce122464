"""Everything that can be wrong with the files of a feature store, found in one pass and named. Reads, never writes."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from pathlib import Path

from .errors import StoreError
from .files import list_dated, read_sealed
from .schema import (
    FEATURE_TABLE,
    FEED_PATH,
    FEED_TABLE,
    HEADLINE_TABLE,
    MANIFEST_PATH,
    MANIFEST_TABLE,
    PACKAGE_PATH,
    Table,
    dated_path,
    encode_package,
)
from .tables import Cells, decode_cells, find_violations

_ROW_COUNTS = {FEATURE_TABLE.name: "rows", HEADLINE_TABLE.name: "headline_rows"}


def find_problems(root: Path) -> list[str]:
    """Return one line per problem, each naming the file and, where there is one, line and column; none if all is well.

    Looked for are a missing or changed sealed file, features of a session that is not in the manifest, evidence of an
    unsealed session or feed states outside the schema, rows of another session, a datapackage.json that is not the
    sealed sessions', and files that belong nowhere. A broken manifest is the only problem named, as nothing can be
    held against it.
    """
    path = root / MANIFEST_PATH
    if not path.exists():
        return [f"{path}: missing; every store has one"]
    problems, manifest = _check_file(MANIFEST_TABLE, path, path.read_bytes())
    if problems:
        return problems
    sealed = {date.fromisoformat(row[0]): dict(zip(MANIFEST_TABLE.names, row, strict=True)) for row in manifest}
    return [
        *_check_package(root / PACKAGE_PATH, encode_package(sealed)),
        *(line for table in (FEATURE_TABLE, HEADLINE_TABLE) for line in _check_dated(root, table, sealed)),
        *_check_feeds(root / FEED_PATH),
    ]


def _check_package(path: Path, expected: bytes) -> Iterator[str]:
    if not path.exists():
        yield f"{path}: missing; the next capture or seal mends it"
    elif path.read_bytes() != expected:
        yield f"{path}: not what the schema and the sealed sessions give; the next capture or seal mends it"


def _check_dated(root: Path, table: Table, sealed: dict[date, dict[str, str]]) -> Iterator[str]:
    dated = list_dated(root, table)
    for path in sorted(set((root / table.name).rglob("*")) - set(dated.values())):
        if path.is_file() and not path.name.startswith("."):
            yield f"{path}: belongs nowhere; expected {root / table.name}/YYYY/YYYY-MM-DD.csv"
    for day in sorted(dated.keys() | sealed.keys()):
        path = root / dated_path(table, day)
        if day in sealed:
            yield from _check_sealed(table, path, sealed[day])
        elif table == FEATURE_TABLE:
            yield f"{path}: not in {MANIFEST_PATH}: its sealing was interrupted and will be done again"
        else:
            yield from _check_session(table, path, path.read_bytes(), day.isoformat())


def _check_sealed(table: Table, path: Path, entry: dict[str, str]) -> Iterator[str]:
    try:
        content = read_sealed(path, entry[f"{table.name}_sha256"])
    except StoreError as error:
        yield str(error)
        if not path.exists():
            return
        content = path.read_bytes()
    yield from _check_session(table, path, content, entry["session_date"], int(entry[_ROW_COUNTS[table.name]]))


def _check_session(
    table: Table, path: Path, content: bytes, session_date: str, row_count: int | None = None
) -> Iterator[str]:
    problems, cells = _check_file(table, path, content)
    yield from problems
    if found := {row[0] for row in cells} - {session_date}:
        yield f"{path}: rows of {', '.join(sorted(found))}, expected {session_date} only"
    if row_count is not None and len(cells) != row_count and not problems:
        yield f"{path}: {len(cells)} rows, {MANIFEST_PATH} says {row_count}"


def _check_feeds(path: Path) -> list[str]:
    return _check_file(FEED_TABLE, path, path.read_bytes())[0] if path.exists() else [f"{path}: missing"]


def _check_file(table: Table, path: Path, content: bytes) -> tuple[list[str], Cells]:
    """Return what is wrong with a file, and its rows as far as it can be read."""
    try:
        cells, lines = decode_cells(table, content, str(path))
    except StoreError as error:
        return [str(error)], []
    return [f"{path}: {violation}" for violation in find_violations(table, cells, lines)], cells
