"""Frames to the bytes of a CSV file and back, by a Table of schema.py. Pure: the same frame gives the same bytes.

The form is fixed: UTF-8, LF, the table's columns, rows in the table's order, quotes only where needed; cells as in
cells.py. A file in any other form is refused, so that what is read is what was written.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest

import pandas as pd

from .cells import check_cell, format_cell, parse_cells
from .errors import StoreError
from .schema import Field, Table

Cells = list[list[str]]
"""Rows of a file without its header, every value as text."""

_LONGEST_CELL = 2**31 - 1
_QUOTED = re.compile(r'[,"\r\n]')


@dataclass(frozen=True, slots=True)
class Violation:
    """One cell or row that breaks the schema. ``line`` counts from 1, the header; ``column`` may name several."""

    line: int
    column: str
    message: str

    def __str__(self) -> str:
        return f"line {self.line}, column {self.column}: {self.message}"


def encode_table(table: Table, frame: pd.DataFrame) -> bytes:
    """Return the file of ``frame``, whose columns and rows may come in any order.

    Raises:
        StoreError: a column is missing or unknown, or a value breaks the schema; names table, row or line, and column.
    """
    cells = format_cells(table, frame)
    require_valid(table, cells, table.name)
    return encode_cells(table, cells)


def decode_table(table: Table, content: bytes, name: str) -> pd.DataFrame:
    """Return the frame of the file ``content``, typed as cells.parse_cells says.

    Raises:
        StoreError: the file is damaged or breaks the schema; names ``name``, line and column.
    """
    cells, lines = decode_cells(table, content, name)
    require_valid(table, cells, name, lines)
    return to_frame(table, cells)


def format_cells(table: Table, frame: pd.DataFrame) -> Cells:
    """Return the values of ``frame`` as text, columns and rows in file order. Types are checked here, bounds are not.

    Raises:
        StoreError: a column is missing, unknown or repeated, or a value is not of its column's type.
    """
    names = [str(name) for name in frame.columns]
    if sorted(names) != sorted(table.names):
        missing, unknown = sorted(set(table.names) - set(names)), sorted(set(names) - set(table.names))
        raise StoreError(f"{table.name}: {len(names)} columns, missing are {missing}, unknown are {unknown}")
    columns = [_format_column(table, field, frame[field.name]) for field in table.fields]
    return sort_cells(table, [list(row) for row in zip(*columns, strict=True)])


def sort_cells(table: Table, cells: Cells) -> Cells:
    """Return the rows in the table's order."""
    return sorted(cells, key=_pick_order(table))


def pick_columns(table: Table, names: Sequence[str]) -> Callable[[list[str]], tuple[str, ...]]:
    """Return the function that takes the columns ``names`` out of a row."""
    places = [table.names.index(name) for name in names]
    return lambda row: tuple(row[place] for place in places)


def encode_cells(table: Table, cells: Cells) -> bytes:
    """Return the file of valid, sorted ``cells``."""
    return b"".join(map(encode_row, [table.names, *cells]))


def encode_row(cells: Sequence[str]) -> bytes:
    """Return one row of a file, its line end included."""
    return (",".join(map(_quote, cells)) + "\n").encode()


def decode_cells(table: Table, content: bytes, name: str) -> tuple[Cells, list[int]]:
    """Return the rows of a file and the line each begins on.

    Raises:
        StoreError: it is not UTF-8, is cut short, has another header, a row with too few or too many cells, or a
            line this module would not write so.
    """
    numbered = _read_rows(_decode_text(content, name), name)
    line, header = next(numbered)
    if header != list(table.names):
        raise StoreError(f"{name}: line {line}: the header is not that of {table.name}: {_compare(table, header)}")
    cells, lines = [], []
    for line, row in numbered:
        if len(row) != len(header):
            raise StoreError(f"{name}: line {line}: {len(row)} cells, expected {len(header)}")
        cells.append(row)
        lines.append(line)
    _require_form(content, encode_cells(table, cells), name)
    return cells, lines


def to_frame(table: Table, cells: Cells) -> pd.DataFrame:
    """Return valid ``cells`` as a frame; without rows it still has the columns and their types."""
    columns = zip(*cells, strict=True) if cells else [()] * len(table.fields)
    return pd.DataFrame({f.name: parse_cells(f, column) for f, column in zip(table.fields, columns, strict=True)})


def require_valid(table: Table, cells: Cells, name: str, lines: Sequence[int] | None = None) -> None:
    """Raise a StoreError that names the first violation, if there is one."""
    found = find_violations(table, cells, lines)
    if found:
        more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
        raise StoreError(f"{name}: {found[0]}{more}")


def find_violations(table: Table, cells: Cells, lines: Sequence[int] | None = None) -> list[Violation]:
    """Return every cell outside its column's type, bounds or values, every repeated key and every misplaced row."""
    lines = lines or range(2, len(cells) + 2)
    found = [*_find_cells(table, cells, lines), *_find_rows(table, cells, lines)]
    return sorted(found, key=lambda violation: violation.line)


def _pick_order(table: Table) -> Callable[[list[str]], tuple[str, ...]]:
    """Return the function from a row to its place: text by code points, whole numbers from 0 on by their value."""
    places = [table.names.index(name) for name in table.order]
    widths = [20 if table.fields[place].type == "integer" else 0 for place in places]
    return lambda row: tuple(row[place].zfill(width) for place, width in zip(places, widths, strict=True))


def _format_column(table: Table, field: Field, values: pd.Series) -> list[str]:
    cells = []
    for row, value in enumerate(values.tolist()):
        try:
            cells.append(format_cell(field, value))
        except (ValueError, OverflowError) as error:
            found = f"row {row}, column {field.name}: {value!r} is no {field.type}"
            raise StoreError(f"{table.name}: {found} ({error})") from error
    return cells


def _find_cells(table: Table, cells: Cells, lines: Sequence[int]) -> Iterator[Violation]:
    for column, field in enumerate(table.fields):
        values = [row[column] for row in cells]
        faults = {cell: fault for cell in set(values) if (fault := check_cell(field, cell))}
        if faults:
            yield from (Violation(lines[i], field.name, faults[v]) for i, v in enumerate(values) if v in faults)


def _find_rows(table: Table, cells: Cells, lines: Sequence[int]) -> Iterator[Violation]:
    pick_key, pick_order = pick_columns(table, table.key), _pick_order(table)
    seen: dict[tuple[str, ...], int] = {}
    before: tuple[str, ...] = ()
    for line, row in zip(lines, cells, strict=True):
        key, place = pick_key(row), pick_order(row)
        if key in seen:
            yield Violation(line, ", ".join(table.key), f"{', '.join(key)} stands on line {seen[key]} already")
        elif place < before:
            yield Violation(line, ", ".join(table.order), "out of order")
        seen.setdefault(key, line)
        before = place


def _quote(cell: str) -> str:
    """Return ``cell`` as csv.writer of Python 3.13 would: earlier ones leave a carriage return bare."""
    return '"' + cell.replace('"', '""') + '"' if _QUOTED.search(cell) else cell


def _decode_text(content: bytes, name: str) -> str:
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise StoreError(f"{name}: line {line}: not UTF-8 (byte 0x{content[error.start]:02x})") from error
    if not text.endswith("\n"):
        raise StoreError(f"{name}: line {text.count(chr(10)) + 1}: the file is cut short, the line has no end")
    return text


def _read_rows(text: str, name: str) -> Iterator[tuple[int, list[str]]]:
    csv.field_size_limit(_LONGEST_CELL)
    reader, line = csv.reader(io.StringIO(text, newline=""), strict=True), 1
    try:
        for row in reader:
            yield line, row
            line = reader.line_num + 1
    except csv.Error as error:
        raise StoreError(f"{name}: line {line}: not CSV ({error})") from error


def _compare(table: Table, header: list[str]) -> str:
    pairs = enumerate(zip_longest(header, table.names), 1)
    place, (found, wanted) = next((place, pair) for place, pair in pairs if pair[0] != pair[1])
    return f"column {place} is {found!r}, expected {wanted!r}"


def _require_form(content: bytes, expected: bytes, name: str) -> None:
    """Refuse other line ends or quotes: somebody's program has written the file anew."""
    if content != expected:
        pairs = enumerate(zip_longest(content.split(b"\n"), expected.split(b"\n"), fillvalue=b""), 1)
        line, (found, wanted) = next((line, pair) for line, pair in pairs if pair[0] != pair[1])
        raise StoreError(f"{name}: line {line}: written by another program: {found[-60:]!r}, expected {wanted[-60:]!r}")
