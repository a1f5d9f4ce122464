"""manifest.csv to the feature files that answer a request. Pure: bytes in, records out."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import groupby, pairwise
from typing import Any

from .errors import FeatureStoreError

MANIFEST = "manifest.csv"
_SHA256 = re.compile("[0-9a-f]{64}")
_GAP = timedelta(hours=12)
"""Two sessions lie some twenty hours apart. Less can come from a changed cut-off setting, and misses no session."""


@dataclass(frozen=True, slots=True)
class SealedFile:
    """One revision of one session's features: where it lies, when it became known, and how to know it unchanged.

    ``revision`` counts from 1, the first sealing. ``available_at``, ``opens_after`` and ``cutoff_at`` are UTC.
    """

    session_date: date
    revision: int
    available_at: datetime
    opens_after: datetime
    cutoff_at: datetime
    features_sha256: str

    @property
    def path(self) -> str:
        """Where the file lies below the root of the store."""
        revision = f".r{self.revision}" if self.revision > 1 else ""
        return f"features/{self.session_date:%Y}/{self.session_date.isoformat()}{revision}.csv"


def parse_manifest(content: bytes, name: str) -> list[SealedFile]:
    """Return every line of the manifest, by session, then revision. ``name`` is its path or URL.

    Raises:
        FeatureStoreError: it is no manifest, lacks a column, or a line is malformed or there twice.
    """
    rows = csv.DictReader(io.StringIO(content.decode("utf-8", errors="replace"), newline=""))
    header = rows.fieldnames or []
    if "session_date" not in header:
        raise FeatureStoreError(
            f"{name}: not the manifest of a feature store: begins with {content[:40]!r}, expected b'session_date,...'"
        )
    missing = [column for column in _PARSERS if column not in header]
    if missing:
        raise FeatureStoreError(f"{name}: column {', '.join(missing)} is missing")
    if not content.endswith(b"\n"):
        raise FeatureStoreError(f"{name}: cut short, its last line has no end")
    files = [_parse_row(row, f"{name}: line {rows.line_num}") for row in rows]
    files.sort(key=lambda file: (file.session_date, file.revision))
    for day, revisions in groupby(files, key=lambda file: file.session_date):
        found = [file.revision for file in revisions]
        if found != list(range(1, len(found) + 1)):
            raise FeatureStoreError(f"{name}: session {day} has revisions {found}, expected 1, 2, ... once each")
    return files


def choose_files(
    files: Sequence[SealedFile],
    start: date | None,
    end: date | None,
    as_of: datetime | None,
    revision: str,
    name: str,
) -> list[SealedFile]:
    """Return one file per session from ``start`` to ``end``, oldest first.

    Only files available at ``as_of`` count; of these "latest" takes the highest revision, "first" the first sealing.

    Raises:
        FeatureStoreError: ``revision`` is neither, ``start`` lies after ``end``, or a session in between is missing.
    """
    if revision not in ("latest", "first"):
        raise FeatureStoreError(f"revision {revision!r}: expected 'latest' or 'first'")
    if start and end and start > end:
        raise FeatureStoreError(f"start {start} lies after end {end}")
    first, last = start or date.min, end or date.max
    inside = [file for file in files if first <= file.session_date <= last]
    _require_chain(inside, name)
    known = [file for file in inside if as_of is None or file.available_at <= as_of]
    if revision == "first":
        return [file for file in known if file.revision == 1]
    return list({file.session_date: file for file in known}.values())


def _require_chain(files: Sequence[SealedFile], name: str) -> None:
    for before, file in pairwise(files):
        if file.opens_after - before.cutoff_at >= _GAP:
            raise FeatureStoreError(
                f"{name}: a session between {before.session_date} and {file.session_date} is missing: one ends at "
                f"{before.cutoff_at.isoformat()}, the other begins at {file.opens_after.isoformat()}"
            )


def _parse_row(row: dict[str, str], name: str) -> SealedFile:
    values: dict[str, Any] = {}
    for column, parse in _PARSERS.items():
        try:
            values[column] = parse(row[column])
        except (TypeError, ValueError) as error:
            raise FeatureStoreError(f"{name}: {column} is {row[column]!r} ({error})") from None
    return SealedFile(**values)


def _parse_count(cell: str) -> int:
    if int(cell) < 1:
        raise ValueError("expected 1 or more")
    return int(cell)


def _parse_moment(cell: str) -> datetime:
    moment = datetime.fromisoformat(cell)
    if moment.tzinfo is None:
        raise ValueError("expected a zone")
    return moment


def _parse_sha256(cell: str) -> str:
    if not _SHA256.fullmatch(cell):
        raise ValueError("expected 64 hex digits")
    return cell


_PARSERS: dict[str, Callable[[str], Any]] = {
    "session_date": date.fromisoformat,
    "revision": _parse_count,
    "available_at": _parse_moment,
    "opens_after": _parse_moment,
    "cutoff_at": _parse_moment,
    "features_sha256": _parse_sha256,
}
