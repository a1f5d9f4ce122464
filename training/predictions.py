"""What a run said about every held-out row <-> predictions.csv. No text goes in: the sets' licences forbid it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.errors import ModelError
from pipeline.text import LABELS, short_hash

from .data import SOURCES, Example

PREDICTIONS = "predictions.csv"
COLUMNS = ("split", "id", "source", "slice", "label", *LABELS)
"""``label`` is the true class by name; the three last are probabilities with six decimals."""
SPLITS = ("train", "validation", "test")
TOLERANCE = 1e-4


def write_predictions(
    path: Path, split_rows: Mapping[str, Sequence[Example]], probabilities: Mapping[str, np.ndarray]
) -> None:
    """Write the rows of every split in order; ``probabilities`` has float (n, 3) for each split of ``split_rows``."""
    frames = [_frame_rows(split, rows, probabilities[split]) for split, rows in split_rows.items()]
    pd.concat(frames).to_csv(path, index=False, float_format="%.6f", lineterminator="\n")


def read_predictions(path: Path) -> pd.DataFrame:
    """Return the table at ``path``: COLUMNS, text columns as written ("" where a source has no slices).

    Raises:
        ModelError: the file is missing or damaged; one line naming file, row and column.
    """
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (OSError, ValueError) as error:
        raise ModelError(f"{path}: cannot be read as CSV: {str(error).splitlines()[0]}") from error
    if tuple(table.columns) != COLUMNS:
        raise ModelError(f"{path}: columns are {', '.join(table.columns)}; expected {', '.join(COLUMNS)}")
    _check_column(path, table, "split", table["split"].isin(SPLITS), f"one of {', '.join(SPLITS)}")
    _check_column(path, table, "id", table["id"].str.fullmatch(r"[0-9a-f]{16}"), "16 hex digits")
    _check_column(path, table, "source", table["source"].isin(SOURCES), f"one of {', '.join(SOURCES)}")
    _check_column(path, table, "label", table["label"].isin(LABELS), f"one of {', '.join(LABELS)}")
    for name in LABELS:
        numbers = pd.to_numeric(table[name], errors="coerce")
        _check_column(path, table, name, numbers.between(0, 1), "a probability in 0..1")
        table[name] = numbers.astype(float)
    whole = (table[list(LABELS)].sum(axis=1) - 1).abs() <= TOLERANCE
    _check_column(path, table, LABELS[-1], whole, "probabilities that sum to 1")
    return table


def id_of(example: Example) -> str:
    """Return 16 hex digits for source, text and target; a set that holds a row twice gives both the same."""
    return short_hash(example.source, example.text, example.target)


def labels_of(table: pd.DataFrame) -> np.ndarray:
    """Return the true classes of a predictions table as int (n,) indices into LABELS."""
    return table["label"].map(LABELS.index).to_numpy(dtype=int)


def probabilities_of(table: pd.DataFrame) -> np.ndarray:
    """Return the probabilities of a predictions table, float (n, 3) in LABELS order."""
    return table[list(LABELS)].to_numpy(dtype=float)


def _frame_rows(split: str, rows: Sequence[Example], probabilities: np.ndarray) -> pd.DataFrame:
    cells = [(split, id_of(row), row.source, row.slice, LABELS[row.label]) for row in rows]
    table = pd.DataFrame(cells, columns=list(COLUMNS[:5]))
    table[list(LABELS)] = np.asarray(probabilities, dtype=float).reshape(len(rows), len(LABELS))
    return table


def _check_column(path: Path, table: pd.DataFrame, column: str, is_valid: pd.Series, expected: str) -> None:
    wrong = np.flatnonzero(~is_valid.to_numpy(dtype=bool, na_value=False))
    if len(wrong):
        found = table[column].iloc[wrong[0]]
        raise ModelError(f"{path} row {wrong[0] + 1}: {column} is {str(found)!r}; expected {expected}")
