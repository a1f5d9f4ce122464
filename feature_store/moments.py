"""What a caller writes for a day or a moment, as one type each. Never reads the clock."""

from __future__ import annotations

from datetime import date, datetime, time
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
import pandas as pd

from .errors import FeatureStoreError

UNIT = "us"
"""Resolution of every time in the reader's frames, whatever the version of pandas prefers."""


def parse_day(value: str | date | None, name: str) -> date | None:
    """Return the day of ``value``: YYYY-MM-DD, a date, or a datetime without zone, whose time of day does not count.

    Raises:
        FeatureStoreError: it is none of these; ``name`` is the argument.
    """
    if value is None:
        return None
    if isinstance(value, datetime) and value.tzinfo is None and not pd.isna(value):
        return value.date()
    if isinstance(value, date) and not isinstance(value, datetime):
        return value
    try:
        return date.fromisoformat(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise FeatureStoreError(f"{name} {value!r}: expected a day such as 2026-11-20, without zone") from None


def parse_moment(value: str | datetime | None, name: str) -> pd.Timestamp | None:
    """Return ``value`` as a UTC moment; ``name`` is the argument.

    Raises:
        FeatureStoreError: it is no moment, or has no zone: which moment it is would depend on the reader.
    """
    if value is None:
        return None
    try:
        moment = pd.Timestamp(value) if isinstance(value, (str, datetime)) else pd.NaT
    except ValueError:
        moment = pd.NaT
    if pd.isna(moment) or moment.tzinfo is None:
        raise FeatureStoreError(f"{name} {value!r}: expected a moment with a zone, such as 2026-11-20T14:30:00Z")
    return moment.tz_convert("UTC")


def list_sessions(dates: pd.Series, first: pd.Timestamp, last: pd.Timestamp) -> pd.DatetimeIndex:
    """Return the days of ``dates``, sorted; before them from ``first`` on and after them to ``last``, every weekday.

    Inside its range a frame knows the exchange's holidays. Outside, a weekday is the best that can be said.
    """
    held = pd.DatetimeIndex(dates.unique()).sort_values()
    day = pd.Timedelta(days=1)
    before, after = pd.bdate_range(first, held[0] - day), pd.bdate_range(held[-1] + day, last)
    return before.as_unit(UNIT).append([held.as_unit(UNIT), after.as_unit(UNIT)])


def find_deadlines(days: pd.DatetimeIndex, known_by: str | time, timezone: str) -> pd.DatetimeIndex:
    """Return the UTC moment at which the clocks of ``timezone`` show ``known_by`` on each of ``days``.

    An hour that clocks go through twice counts as the first time; one they skip, as the moment they skip it.

    Raises:
        FeatureStoreError: ``known_by`` is no time of day, or ``timezone`` is unknown here.
    """
    try:
        clock = known_by if isinstance(known_by, time) else time.fromisoformat(known_by)
    except (TypeError, ValueError):
        clock = None
    if clock is None or clock.tzinfo is not None:
        raise FeatureStoreError(f"known_by {known_by!r}: expected a time of day such as 09:30, without zone")
    try:
        zone = ZoneInfo(timezone)
    except (ZoneInfoNotFoundError, ValueError, TypeError, OSError):
        raise FeatureStoreError(
            f"timezone {timezone!r}: unknown on this machine, expected a name such as America/New_York"
        ) from None
    since_midnight = pd.Timedelta(clock.isoformat())
    is_first = np.ones(len(days), dtype=bool)
    local = (days + since_midnight).tz_localize(zone, ambiguous=is_first, nonexistent="shift_forward")
    return local.tz_convert("UTC").as_unit(UNIT)
