"""Everything that can be wrong with the files of a feature store, found in one pass and named. Reads, never writes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from .errors import StoreError
from .files import compute_sha256, list_dated
from .lines import name_changes, name_false_digests, name_resaving
from .manifest import Entries, Key, find_breaks, list_entries
from .schema import (
    FEATURE_TABLE,
    FEED_PATH,
    FEED_TABLE,
    HEADLINE_TABLE,
    LINE_TABLE,
    MANIFEST_PATH,
    MANIFEST_TABLE,
    PACKAGE_PATH,
    PRUNED_PATH,
    PRUNED_TABLE,
    Table,
    dated_path,
    encode_package,
)
from .tables import Cells, decode_cells, encode_row, find_violations

_ROW_COUNTS = {FEATURE_TABLE.name: "rows", HEADLINE_TABLE.name: "headline_rows"}
_SHARED = ("available_at", "model_revision", "schema_version")
"""What the manifest's line and every feature row of a session say alike."""

_DATED = (FEATURE_TABLE, HEADLINE_TABLE, LINE_TABLE)


def find_problems(root: Path) -> list[str]:
    """Return one line per problem, each naming the file and, where there is one, line and column; none if all is well.

    Looked for are a missing or changed sealed file, with the lines that changed, unless state/pruned.csv says that it
    lies in an archive; lines of that table which the manifest does not know; a manifest that contradicts itself or
    the files; files of a session that is not in the manifest; evidence of an unsealed session or feed states outside
    the schema; a datapackage.json that is not the sealed sessions'; and files that belong nowhere. A manifest that is
    missing or outside the schema is the only problem named, as nothing can be held against it; so is such a
    state/pruned.csv.
    """
    path = root / MANIFEST_PATH
    if not path.exists():
        return [f"{path}: missing; every store has one"]
    problems, manifest, lines = _check_file(MANIFEST_TABLE, path, path.read_bytes())
    if problems:
        return problems
    entries = list_entries(manifest)
    pruned_path = root / PRUNED_PATH
    problems, moved, pruned_lines = _check_pruned_file(pruned_path)
    if problems:
        return problems
    pruned = list_entries(moved, PRUNED_TABLE)
    names = {key: f"{path}: line {line} ({key[0]})" for key, line in zip(entries, lines, strict=True)}
    return [
        *_check_package(root / PACKAGE_PATH, encode_package(entries, pruned)),
        *(
            f"{pruned_path}: line {line} ({key[0]}): {fault}"
            for key, line in zip(pruned, pruned_lines, strict=True)
            for fault in _check_pruned(pruned[key], entries.get(key))
        ),
        *(f"{names[key]}: {fault}" for key, fault in find_breaks(entries)),
        *(problem for table in _DATED for problem in _check_places(root, table)),
        *(problem for table in _DATED for problem in _check_unsealed(root, table, entries)),
        *(problem for key in entries for problem in _check_sealed(root, key, entries[key], names[key], pruned)),
        *_check_feeds(root / FEED_PATH),
    ]


def _check_package(path: Path, expected: bytes) -> Iterator[str]:
    if not path.exists():
        yield f"{path}: missing; the next capture or seal mends it"
    elif path.read_bytes() != expected:
        yield f"{path}: not what the schema and the sealed sessions give; the next capture or seal mends it"


def _check_places(root: Path, table: Table) -> Iterator[str]:
    """Name the files below the table's folder that are none of its dated files."""
    folder, dated = root / table.folder, set(list_dated(root, table).values())
    for path in sorted(set(folder.rglob("*")) - dated):
        if path.is_file() and not path.name.startswith("."):
            yield f"{path}: belongs nowhere; expected {folder}/YYYY/YYYY-MM-DD.csv, or .r2.csv of a restatement"


def _check_unsealed(root: Path, table: Table, entries: Entries) -> Iterator[str]:
    for (day, revision), path in list_dated(root, table).items():
        if (day, revision) in entries:
            continue
        if table == HEADLINE_TABLE and revision == 1:
            yield from _check_session(table, path, path.read_bytes(), day.isoformat())[0]
        else:
            yield f"{path}: not in {MANIFEST_PATH}: its sealing was interrupted and will be done again"


def _check_pruned_file(path: Path) -> tuple[list[str], Cells, list[int]]:
    """Return what is wrong with state/pruned.csv, its rows and their lines; a store never pruned has none."""
    return _check_file(PRUNED_TABLE, path, path.read_bytes()) if path.exists() else ([], [], [])


def _check_pruned(entry: dict[str, str], sealed: dict[str, str] | None) -> Iterator[str]:
    """Return where a line of state/pruned.csv contradicts that of the manifest."""
    if sealed is None:
        yield f"revision {entry['revision']} is not in {MANIFEST_PATH}; only sealed evidence is pruned"
    elif sealed["headlines_sha256"] != entry["headlines_sha256"]:
        yield f"headlines_sha256 is not that of {MANIFEST_PATH}: one of the two was changed"


def _check_sealed(root: Path, key: Key, entry: dict[str, str], name: str, pruned: Entries) -> Iterator[str]:
    """Hold the files of one sealed session and revision against its manifest line, called ``name``.

    Evidence that is missing is sound where ``pruned`` says that it lies in an archive; what came back is checked.
    """
    digest_path = root / dated_path(LINE_TABLE, *key)
    faults, digests = _read_digests(digest_path)
    yield from faults
    if digests and name_false_digests(MANIFEST_TABLE.name, _of(MANIFEST_TABLE, digests), encode_row([*entry.values()])):
        yield f"{name}: changed since it was sealed"
    for table in (FEATURE_TABLE, HEADLINE_TABLE):
        path = root / dated_path(table, *key)
        if not path.exists():
            if table == FEATURE_TABLE or key not in pruned:
                yield f"{path}: missing, though its session is sealed; restore it"
            continue
        content, own = path.read_bytes(), _of(table, digests)
        problems, cells = _check_session(table, path, content, entry["session_date"])
        if compute_sha256(content) != entry[f"{table.name}_sha256"]:
            yield from _name_changes(table, path, content, entry, own, problems)
            continue
        yield from problems
        yield from (f"{name}: {fault}" for fault in _check_entry(table, path, cells, entry))
        if not faults:
            yield from (f"{digest_path}: {fault}" for fault in name_false_digests(table.name, own, content))


def _of(table: Table, digests: Cells) -> Cells:
    return [row for row in digests if row[0] == table.name]


def _read_digests(path: Path) -> tuple[list[str], Cells]:
    """Return what is wrong with the line digests of a session, and the digests; none when anything is."""
    if not path.exists():
        return [f"{path}: missing: without it a changed line of the session cannot be named; restore it"], []
    problems, cells, _ = _check_file(LINE_TABLE, path, path.read_bytes())
    return problems, [] if problems else cells


def _name_changes(
    table: Table, path: Path, content: bytes, entry: dict[str, str], sealed: Cells, problems: list[str]
) -> Iterator[str]:
    """Name the lines of a changed file by the digests of the ``sealed`` ones, then its ``problems`` with the schema."""
    checksums = f"SHA-256 {compute_sha256(content)[:12]}..., sealed was {entry[f'{table.name}_sha256'][:12]}..."
    if not sealed:
        yield from [f"{path}: changed since it was sealed: {checksums}; no digest says where", *problems]
    elif resaved := name_resaving(sealed, content):
        yield f"{path}: {resaved}; restore it"
    elif changes := name_changes(sealed, content):
        yield from [*(f"{path}: {change}" for change in changes), *problems]
    else:
        yield (
            f"{path}: changed since it was sealed: {checksums}; yet its line digests agree with it: they were changed "
            f"as well, or {MANIFEST_PATH} was"
        )
        yield from problems


def _check_session(table: Table, path: Path, content: bytes, session_date: str) -> tuple[list[str], Cells]:
    """Return what is wrong with a session's file, and its rows as far as it can be read."""
    problems, cells, _ = _check_file(table, path, content)
    if found := {row[0] for row in cells} - {session_date}:
        problems.append(f"{path}: rows of {', '.join(sorted(found))}, expected {session_date} only")
    return problems, cells


def _check_entry(table: Table, path: Path, cells: Cells, entry: dict[str, str]) -> Iterator[str]:
    """Return where a manifest line contradicts a file that is as it was sealed."""
    count_column = _ROW_COUNTS[table.name]
    if entry[count_column] != str(len(cells)):
        yield f"{count_column} is {entry[count_column]}, but {path} has {len(cells)} rows"
    if table != FEATURE_TABLE:
        return
    for column in _SHARED:
        found = sorted({row[table.names.index(column)] for row in cells} - {entry[column]})
        if found:
            yield f"{column} is {entry[column]}, but {path} has {', '.join(found)}"
    if entry["state"] == "missed" and any(row[table.names.index("status")] == "no_news" for row in cells):
        yield f"state is missed, but {path} has no_news: silence about a missed session is unknown"


def _check_feeds(path: Path) -> list[str]:
    return _check_file(FEED_TABLE, path, path.read_bytes())[0] if path.exists() else [f"{path}: missing"]


def _check_file(table: Table, path: Path, content: bytes) -> tuple[list[str], Cells, list[int]]:
    """Return what is wrong with a file, and its rows and their lines as far as it can be read."""
    try:
        cells, lines = decode_cells(table, content, str(path))
    except StoreError as error:
        return [str(error)], [], []
    return [f"{path}: {violation}" for violation in find_violations(table, cells, lines)], cells, lines
