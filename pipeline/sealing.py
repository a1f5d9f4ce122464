"""What one sealing writes: the files of a session and its line of the manifest. Pure: frames in, bytes out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

import pandas as pd

from .errors import StoreError
from .files import compute_sha256
from .lines import encode_digests
from .schema import FEATURE_TABLE, HEADLINE_TABLE, LINE_TABLE, MANIFEST_TABLE, SCHEMA_VERSION, Table, dated_path
from .tables import encode_row, encode_table, format_cells, require_valid, to_frame


@dataclass(frozen=True, slots=True)
class SessionToSeal:
    """A session as its caller knows it: ``rows`` are its features, ``evidence`` all its headlines, maybe none.

    ``manifest_row`` holds session_date, state, available_at, opens_after, cutoff_at, model_revision, code_revision,
    cpu, feeds_ok and feeds_failed; the rest follows from the files.
    """

    rows: pd.DataFrame
    evidence: pd.DataFrame
    manifest_row: Mapping[str, object]

    @property
    def session_date(self) -> date:
        """The session's date, as ``manifest_row`` says it."""
        return date.fromisoformat(str(self.manifest_row["session_date"]))


@dataclass(frozen=True, slots=True)
class SealedFiles:
    """What is written for a session: ``contents`` by path below the root, ``entry`` the cells of its manifest line."""

    contents: dict[str, bytes]
    entry: list[str]


def encode_session(session: SessionToSeal, revision: int = 1) -> SealedFiles:
    """Return the files of ``session`` and its manifest line.

    Raises:
        StoreError: rows or evidence are of another session, or a value breaks the schema.
    """
    day = session.session_date
    evidence = session.evidence if len(session.evidence) else to_frame(HEADLINE_TABLE, [])
    features = _encode(FEATURE_TABLE, session.rows, day, revision)
    headlines = _encode(HEADLINE_TABLE, evidence, day, revision)
    contents = {FEATURE_TABLE: features, HEADLINE_TABLE: headlines}
    known = {
        "schema_version": SCHEMA_VERSION,
        "rows": len(session.rows),
        "headline_rows": len(evidence),
        "features_sha256": compute_sha256(features),
        "headlines_sha256": compute_sha256(headlines),
        "revision": revision,
    }
    cells = format_cells(MANIFEST_TABLE, pd.DataFrame([{**session.manifest_row, **known}], dtype=object))
    require_valid(MANIFEST_TABLE, cells, f"manifest, session {day}")
    contents[LINE_TABLE] = encode_digests(
        {table.name: content for table, content in contents.items()} | {MANIFEST_TABLE.name: encode_row(cells[0])}
    )
    files = {dated_path(table, day, revision): content for table, content in contents.items()}
    return SealedFiles(files, cells[0])


def _encode(table: Table, frame: pd.DataFrame, day: date, revision: int) -> bytes:
    content = encode_table(table, frame)
    found = {str(value) for value in frame["session_date"]}
    if not found <= {str(day)} or (table == FEATURE_TABLE and not found):
        raise StoreError(f"{dated_path(table, day, revision)}: expected rows of session {day} only")
    return content
