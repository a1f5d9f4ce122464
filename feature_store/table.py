"""The CSV of many sessions to one frame. Pure: verified bytes in, typed frame out."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from itertools import groupby

import numpy as np
import pandas as pd
from pandas.api.types import is_numeric_dtype

from .columns import COLUMNS, DATES, KEY, TEXTS
from .errors import FeatureStoreError
from .manifest import MANIFEST, SealedFile
from .moments import UNIT

_DTYPES = {name: "category" if name in (*DATES, *TEXTS) else "float64" for name in COLUMNS}


def parse_sessions(
    files: Sequence[SealedFile],
    contents: Sequence[bytes],
    columns: Sequence[str] | None,
    tickers: Sequence[str] | None,
    locate: Callable[[str], str],
) -> pd.DataFrame:
    """Return the rows of ``files`` in order, of ``tickers`` only if given, with ``columns`` besides the key.

    session_date is datetime64 without zone, available_at datetime64 in UTC, texts are str, numbers float64 with NaN
    for the empty cell. A column that a file's schema version lacks is NaN there. Files with one header that follow each
    other are parsed at once, which is what makes it fast. ``locate`` gives what an error calls a file's path.

    Raises:
        FeatureStoreError: a file is no feature file, or holds rows of another session or moment than the manifest says.
    """
    split = [(file, *content.partition(b"\n")[::2]) for file, content in zip(files, contents, strict=True)]
    parts = []
    for header, run in groupby(split, key=lambda item: item[1]):
        sealed, _, bodies = zip(*run, strict=True)
        rows = _parse_run(header.decode(), sealed, bodies, columns, locate)
        parts.append(rows if tickers is None else rows[rows["ticker"].isin(tickers)])
    return pd.concat(parts, ignore_index=True) if len(parts) > 1 else parts[0]


def make_empty(columns: Sequence[str] | None) -> pd.DataFrame:
    """Return the frame of no session: every known column with its type."""
    names = COLUMNS if columns is None else [*KEY, *(name for name in columns if name in COLUMNS)]
    kinds = {"session_date": f"datetime64[{UNIT}]", "available_at": f"datetime64[{UNIT}, UTC]"}
    dtypes = {name: kinds.get(name, "str" if name in TEXTS else "float64") for name in names}
    return pd.DataFrame({name: pd.Series([], dtype=dtype) for name, dtype in dtypes.items()})


def _parse_run(
    header: str,
    files: Sequence[SealedFile],
    bodies: Sequence[bytes],
    columns: Sequence[str] | None,
    locate: Callable[[str], str],
) -> pd.DataFrame:
    names = header.split(",")
    first = locate(files[0].path)
    missing = [name for name in KEY if name not in names]
    if missing or len(set(names)) < len(names):
        raise FeatureStoreError(f"{first}: not a feature file: its header is {header[:80]!r}")
    wanted = names if columns is None else [name for name in names if name in (*KEY, *columns)]
    try:
        cells = pd.read_csv(
            io.BytesIO(b"".join(bodies)),
            header=None,
            names=names,
            usecols=wanted,
            dtype={name: _DTYPES[name] for name in wanted if name in _DTYPES},
            keep_default_na=False,
            na_values=[""],
            low_memory=False,
        )
        rows = pd.DataFrame({name: _convert(cells[name]) for name in wanted})
    except ValueError as error:
        fault = " ".join(str(error).split())
        raise FeatureStoreError(f"{first} or one of the {len(files) - 1} files after it: {fault}") from error
    _require_sealed(rows, files, [body.count(b"\n") for body in bodies], locate)
    return rows


def _require_sealed(
    rows: pd.DataFrame, files: Sequence[SealedFile], counts: Sequence[int], locate: Callable[[str], str]
) -> None:
    """Refuse rows whose session or moment is not the manifest's: files were chosen by the manifest alone."""
    if len(rows) != sum(counts):
        raise FeatureStoreError(f"{locate(files[0].path)} or a file after it: {len(rows)} rows, expected {sum(counts)}")
    for name in DATES:
        said = pd.to_datetime([getattr(file, name) for file in files], utc=name == "available_at").as_unit(UNIT)
        is_other = (rows[name] != said.repeat(counts)).to_numpy()
        if is_other.any():
            row = int(is_other.argmax())
            file = files[int(np.searchsorted(np.cumsum(counts), row, side="right"))]
            raise FeatureStoreError(
                f"{locate(file.path)}: {name} is {rows[name].iloc[row].isoformat()}, in {MANIFEST} it is "
                f"{getattr(file, name).isoformat()}"
            )


def _convert(column: pd.Series) -> pd.Series:
    """Return a parsed column in its final type; texts and times are converted once per distinct value."""
    if not isinstance(column.dtype, pd.CategoricalDtype):
        return column.astype("float64") if is_numeric_dtype(column.dtype) else column
    values = column.cat.categories
    if column.name == "session_date":
        values = pd.to_datetime(values, format="%Y-%m-%d").as_unit(UNIT)
    elif column.name == "available_at":
        values = pd.to_datetime(values, format="%Y-%m-%dT%H:%M:%SZ", utc=True).as_unit(UNIT)
    else:
        values = values.astype("str")
    if column.hasnans:
        raise ValueError(f"column {column.name} is empty in row {int(column.isna().argmax())}, expected a value")
    return pd.Series(values.take(column.cat.codes), index=column.index, name=column.name)
