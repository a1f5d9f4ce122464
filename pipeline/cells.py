"""One value as the text of one CSV cell and back, by its Field. Pure; the form is fixed, so equal values look equal.

Numbers have six decimals and no minus zero, times read 2026-11-20T21:00:00Z (a fraction of a second is cut off), a
missing value is the empty cell. A text that a spreadsheet would run as a formula gets a leading apostrophe, which
reading takes away again (OWASP, CSV injection).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from functools import lru_cache
from math import isfinite
from numbers import Real
from typing import Any

import numpy as np
import pandas as pd

from .schema import Field

_NA, _NAT = pd.NA, pd.NaT
_FORMULA = re.compile(r"(?:['\s\x00]*[=+\-@＝＋－＠]|'*[\t\r\n])")
_FORMS = {
    "date": re.compile(r"\d{4}-\d\d-\d\d", re.ASCII),
    "datetime": re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", re.ASCII),
    "integer": re.compile(r"0|-?[1-9]\d*", re.ASCII),
    "number": re.compile(r"(?!-0\.000000)-?(?:0|[1-9]\d*)\.\d{6}", re.ASCII),
    "boolean": re.compile(r"true|false"),
}


def format_cell(field: Field, value: Any) -> str:
    """Return the cell of ``value``: its type is checked here, its bounds by :func:`check_cell`.

    None, NaN, NA and NaT are missing. A date may be a date or its ISO text; a time must carry its zone.

    Raises:
        ValueError: the value is not of the field's type; says what was expected.
    """
    if value is None or value is _NA or value is _NAT or (isinstance(value, float) and value != value):
        return ""
    return _WRITERS[field.type](value)


def parse_cells(field: Field, cells: Sequence[str]) -> pd.Series:
    """Return valid ``cells`` of one column as a series.

    Dates are datetime.date, times datetime64[us, UTC], integers Int64, numbers float64, booleans bool, texts str. A
    missing time, integer or number is NaT, NA or NaN; a missing text is "".
    """
    values: list[Any] = [cell or None for cell in cells]
    if field.type == "date":
        return pd.Series([date.fromisoformat(cell) for cell in cells], dtype=object)
    if field.type == "datetime":
        moments = pd.to_datetime(pd.Series(values, dtype=object), utc=True, format="%Y-%m-%dT%H:%M:%SZ")
        return moments.astype("datetime64[us, UTC]")
    if field.type == "integer":
        return pd.Series([None if cell is None else int(cell) for cell in values], dtype="Int64")
    if field.type == "number":
        return pd.Series([None if cell is None else float(cell) for cell in values], dtype="float64")
    if field.type == "boolean":
        return pd.Series([cell == "true" for cell in cells], dtype=bool)
    return pd.Series([unescape_formula(cell) for cell in cells], dtype="str")


def check_cell(field: Field, cell: str) -> str:
    """Return what is wrong with ``cell``, in words that quote it; nothing if it is as the field says."""
    if not cell:
        return "empty, a value is required" if field.is_required else ""
    if field.type == "string":
        return _check_text(field, cell)
    if not _FORMS[field.type].fullmatch(cell) or not _exists(field, cell):
        return f"{cell!r} is no {field.type}"
    if field.minimum is not None and float(cell) < field.minimum:
        return f"{cell} is below {field.minimum:g}"
    if field.maximum is not None and float(cell) > field.maximum:
        return f"{cell} is above {field.maximum:g}"
    return ""


def escape_formula(text: str) -> str:
    """Return ``text`` so that a spreadsheet shows it: with a leading apostrophe if it would run it."""
    return "'" + text if _FORMULA.match(text) else text


def unescape_formula(cell: str) -> str:
    """Return the text of which :func:`escape_formula` made ``cell``."""
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell, 1) else cell


def _write_number(value: Any) -> str:
    if type(value) is not float and (isinstance(value, (bool, np.bool_)) or not isinstance(value, Real)):
        raise ValueError("expected a finite number")
    if not isfinite(value):
        raise ValueError("expected a finite number")
    text = f"{value:.6f}"
    return "0.000000" if text == "-0.000000" else text


def _write_integer(value: Any) -> str:
    if type(value) is int:
        return str(value)
    number = float("nan") if isinstance(value, (bool, np.bool_)) or not isinstance(value, Real) else float(value)
    if not number.is_integer():
        raise ValueError("expected a whole number")
    return str(int(number))


def _write_boolean(value: Any) -> str:
    if not isinstance(value, (bool, np.bool_)):
        raise ValueError("expected True or False")
    return "true" if value else "false"


def _write_date(value: Any) -> str:
    if isinstance(value, str):
        return date.fromisoformat(value).isoformat()
    if isinstance(value, datetime) or not isinstance(value, date):
        raise ValueError("expected a date or YYYY-MM-DD")
    return value.isoformat()


def _write_datetime(value: Any) -> str:
    if not isinstance(value, datetime) or value.tzinfo is None:
        raise ValueError("expected a time with a zone")
    return _write_utc(value if value.tzinfo is UTC else value.astimezone(UTC))


@lru_cache(maxsize=4096)
def _write_utc(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _write_text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("expected text")
    value.encode()  # a lone surrogate has no UTF-8 form; its error is a ValueError
    return escape_formula(value)


_WRITERS: dict[str, Callable[[Any], str]] = {
    "string": _write_text,
    "date": _write_date,
    "datetime": _write_datetime,
    "integer": _write_integer,
    "number": _write_number,
    "boolean": _write_boolean,
}


def _check_text(field: Field, cell: str) -> str:
    if field.enum and cell not in field.enum:
        return f"{cell!r} is none of {', '.join(field.enum)}"
    if field.pattern and not re.fullmatch(field.pattern, cell):
        return f"{cell!r} does not match {field.pattern}"
    return "" if escape_formula(unescape_formula(cell)) == cell else f"{cell!r} would run as a formula in a spreadsheet"


def _exists(field: Field, cell: str) -> bool:
    if field.type not in ("date", "datetime"):
        return True
    try:
        datetime.fromisoformat(cell)
    except ValueError:
        return False
    return True
