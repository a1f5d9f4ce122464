"""The manifest: its lines by session and revision, and what of them cannot be true together. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

from .schema import MANIFEST_TABLE, Table
from .tables import Cells

Key = tuple[date, int]
"""A sealed session and one of its revisions."""

Entries = dict[Key, dict[str, str]]
"""A manifest: the cells of each line by column, in file order."""


def list_entries(cells: Cells, table: Table = MANIFEST_TABLE) -> Entries:
    """Return the lines of a valid manifest, or of another ``table`` with the same key, by session and revision."""
    entries = (dict(zip(table.names, row, strict=True)) for row in cells)
    return {(date.fromisoformat(entry["session_date"]), int(entry["revision"])): entry for entry in entries}


def list_cells(entries: Entries) -> Cells:
    """Return the cells of a manifest, from what :func:`list_entries` made of them."""
    return [list(entry.values()) for entry in entries.values()]


def find_breaks(entries: Entries) -> Iterator[tuple[Key, str]]:
    """Yield every line that contradicts itself or the line before it, and in words how.

    Sessions follow each other without a gap, so that each opens at the cut-off of the one before; the revisions of a
    session are numbered from 1, are of one window and state, and none is available before the one it restates. Times
    are compared as text: their form is fixed.
    """
    before: dict[str, str] = {}
    for key, entry in entries.items():
        yield from ((key, fault) for fault in _check_moments(entry))
        if before.get("session_date") == entry["session_date"]:
            yield from ((key, fault) for fault in _check_restatement(before, entry))
        else:
            yield from ((key, fault) for fault in _check_first(before, entry))
        before = entry


def _check_moments(entry: dict[str, str]) -> Iterator[str]:
    for early, late in (("opens_after", "cutoff_at"), ("cutoff_at", "available_at")):
        if entry[early] > entry[late]:
            yield f"{early} {entry[early]} is later than {late} {entry[late]}"


def _check_first(before: dict[str, str], entry: dict[str, str]) -> Iterator[str]:
    if entry["revision"] != "1":
        yield f"revision {entry['revision']} is the first of its session; revision 1 is missing"
    if before and before["cutoff_at"] != entry["opens_after"]:
        yield (
            f"opens after {entry['opens_after']}, but the session before, {before['session_date']}, ends at "
            f"{before['cutoff_at']}: a session between them is missing, or one of the two lines was changed"
        )


def _check_restatement(before: dict[str, str], entry: dict[str, str]) -> Iterator[str]:
    if int(entry["revision"]) != int(before["revision"]) + 1:
        yield f"revision {entry['revision']} follows revision {before['revision']}; one between them is missing"
    for name in ("state", "opens_after", "cutoff_at"):
        if entry[name] != before[name]:
            yield f"{name} is {entry[name]}, but {before[name]} in revision {before['revision']}; it never changes"
    if entry["available_at"] < before["available_at"]:
        yield (
            f"revision {entry['revision']} is available at {entry['available_at']}, before the revision it restates "
            f"({before['available_at']})"
        )
