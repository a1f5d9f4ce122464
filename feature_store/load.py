"""The store to one long frame: manifest, sealed files, rows. What follows is frames in, frames out."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from datetime import date, datetime
from pathlib import Path

import pandas as pd

from .columns import COLUMNS, KEY, list_names, require_fill
from .errors import FeatureStoreError
from .frames import add_has_news, fill_neutral
from .manifest import MANIFEST, SealedFile, choose_files, parse_manifest
from .moments import parse_day, parse_moment
from .source import Folder, open_folder, read_sealed
from .table import make_empty, parse_sessions
from .tickers import normalize_ticker

_BATCH = 64
"""Files read and parsed together: enough to be fast, few enough that their text takes little memory."""


def load_features(
    start: str | date | None = None,
    end: str | date | None = None,
    tickers: Iterable[str] | None = None,
    columns: Iterable[str] | None = None,
    as_of: str | datetime | None = None,
    root: str | os.PathLike[str] = "feature_store",
    *,
    revision: str = "latest",
    fill: str | None = None,
    cache: str | os.PathLike[str] | None = None,
) -> pd.DataFrame:
    """Return the features of sealed sessions, one row per session and ticker, sorted by both.

    Every file is held against the SHA-256 in manifest.csv.

    Args:
        start, end: first and last session_date, both inclusive; by default all. A date, or text such as 2026-11-20.
        tickers: only these, in any form (BRK.B, BRK-B, BRK/B, brk-b); by default all.
        columns: only these, in this order, behind session_date, ticker and available_at; by default all. "has_news" is
            1.0 where status is news, else 0.0.
        as_of: a moment with a zone. The frame is what this call would have returned then: no row has a later
            available_at.
        root: folder of the store, or the https:// address below which its files lie raw, on GitHub
            https://raw.githubusercontent.com/OWNER/REPO/BRANCH/feature_store (http:// for localhost only).
        revision: of a session that was restated, "latest" takes the last revision available at as_of, "first" the one
            sealed first. A back-test wants "first": a restated row became available long after its session.
        fill: "neutral" replaces every missing number by NEUTRAL and adds has_news.
        cache: folder in which downloaded files are kept under their SHA-256, so that none is fetched twice. The
            manifest is always fetched. Without effect on a local root.

    Returns:
        session_date is datetime64 without zone, available_at datetime64 in UTC; ticker, status and model_revision are
        str; every other column is float64, NaN where the store's cell is empty. Units and ranges stand in the store's
        README.md. An empty store, or one with no session inside the range, gives no rows, with the same types.

    Raises:
        FeatureStoreError: an argument is malformed or start lies after end; a column is in no file, or a ticker in none
            of the sessions read; manifest.csv or a sealed file is missing, cannot be fetched, or is not what was
            sealed; a session in between is missing from the manifest.
    """
    require_fill(fill)
    wanted_columns, wanted_tickers = _list_columns(columns), _list_tickers(tickers)
    folder = open_folder(root)
    first, last = parse_day(start, "start"), parse_day(end, "end")
    files = _find_files(folder, first, last, parse_moment(as_of, "as_of"), revision)
    kept = Path(os.path.expanduser(cache)) if cache is not None else None
    frame = _read_rows(folder, files, _add_status(wanted_columns, fill), wanted_tickers, kept)
    _require_found(frame, files, wanted_columns, wanted_tickers, folder.locate(MANIFEST))
    if fill or "has_news" in (wanted_columns or ()):
        frame = add_has_news(frame)
    if wanted_columns is not None:
        frame = frame.reindex(columns=list(dict.fromkeys([*KEY, *wanted_columns, *(["has_news"] if fill else [])])))
    return fill_neutral(frame) if fill else frame


def _find_files(
    folder: Folder, start: date | None, end: date | None, as_of: datetime | None, revision: str
) -> list[SealedFile]:
    name = folder.locate(MANIFEST)
    (content,) = folder.read_all([MANIFEST])
    return choose_files(parse_manifest(content, name), start, end, as_of, revision, name)


def _read_rows(
    folder: Folder,
    files: Sequence[SealedFile],
    columns: Sequence[str] | None,
    tickers: Sequence[str] | None,
    cache: Path | None,
) -> pd.DataFrame:
    parts = []
    for start in range(0, len(files), _BATCH):
        batch = files[start : start + _BATCH]
        contents = read_sealed(folder, {file.path: file.features_sha256 for file in batch}, cache)
        parts.append(parse_sessions(batch, contents, columns, tickers, folder.locate))
    return pd.concat(parts, ignore_index=True) if parts else make_empty(columns)


def _list_columns(columns: Iterable[str] | None) -> list[str] | None:
    """Return the columns asked for, each once, without the key."""
    return None if columns is None else [name for name in list_names(columns, "columns") if name not in KEY]


def _list_tickers(tickers: Iterable[str] | None) -> list[str] | None:
    return None if tickers is None else [normalize_ticker(name) for name in list_names(tickers, "tickers")]


def _add_status(columns: list[str] | None, fill: str | None) -> list[str] | None:
    """Return what must be read for ``columns``: has_news is told from status."""
    if columns is None or not (fill or "has_news" in columns):
        return columns
    return [*(name for name in columns if name != "has_news"), *(["status"] if "status" not in columns else [])]


def _require_found(
    frame: pd.DataFrame,
    files: Sequence[SealedFile],
    columns: Sequence[str] | None,
    tickers: Sequence[str] | None,
    name: str,
) -> None:
    unknown = [column for column in columns or () if column not in (*frame.columns, *COLUMNS, "has_news")]
    if unknown:
        raise FeatureStoreError(f"column {', '.join(unknown)}: in no feature file of {name}")
    absent = sorted(set(tickers or ()) - set(frame["ticker"].unique()))
    if absent and files:
        between = f"{files[0].session_date} to {files[-1].session_date}"
        raise FeatureStoreError(f"ticker {', '.join(absent)}: no row in the sessions {between} of {name}")
