"""The one place where a feed's idea of time becomes UTC. Text in, aware UTC out; pure.

Zone names are read by the season, not by the letter: publishers write EST all year and mean New York's clock. A name
that is not in the table is not guessed. A time without any zone is taken as UTC, which is what feeds that leave it out
mean. A date without a time of day is no moment, and so unparsable rather than midnight.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo

ZONES = {
    **dict.fromkeys(("et", "est", "edt"), "America/New_York"),
    **dict.fromkeys(("ct", "cst", "cdt"), "America/Chicago"),
    **dict.fromkeys(("mt", "mst", "mdt"), "America/Denver"),
    **dict.fromkeys(("pt", "pst", "pdt"), "America/Los_Angeles"),
    **dict.fromkeys(("wet", "west"), "Europe/Lisbon"),
    **dict.fromkeys(("cet", "cest"), "Europe/Paris"),
    **dict.fromkeys(("eet", "eest"), "Europe/Athens"),
    **dict.fromkeys(("aet", "aest", "aedt"), "Australia/Sydney"),
    "bst": "Europe/London",
    "msk": "Europe/Moscow",
    "ist": "Asia/Kolkata",
    "hkt": "Asia/Hong_Kong",
    "sgt": "Asia/Singapore",
    "jst": "Asia/Tokyo",
    "kst": "Asia/Seoul",
}
"""Zone names as publishers of market news use them; where a name is shared, the larger market has it (CST, IST)."""

_STANDARD = frozenset(("est", "cst", "mst", "pst", "wet", "cet", "eet", "aest"))
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_UNIVERSAL = frozenset(("z", "gmt", "utc", "ut", "uct"))
_TIME = (
    r"(?P<hour>\d{1,2}):(?P<minute>\d{2})(?::(?P<second>\d{2})(?:[.,]\d+)?)?\s*(?P<half>[ap]\.?m\.?(?![a-z]))?"
    r"\s*(?P<zone>(?:gmt|utc)?\s*[+-]\d{1,2}:?(?:\d{2})?|[a-z]*)\s*(?:\([^)]*\))?"
)
_WEEKDAY = r"(?:[a-z]{3,9}\.?\s*,?\s*)?"
_MONTH = r"(?P<month>[a-z]{3,9})\.?"
_DAY = r"(?P<day>\d{1,2})"
_FORMS = (
    re.compile(rf"{_WEEKDAY}{_DAY}[\s-]+{_MONTH}[\s,-]+(?P<year>\d{{4}}|\d{{2}})[\s,]+{_TIME}"),
    re.compile(rf"{_WEEKDAY}{_MONTH}\s+{_DAY}\s*,?\s+(?P<year>\d{{4}})[\s,]+{_TIME}"),
    re.compile(rf"(?P<year>\d{{4}})-(?P<month>\d{{2}})-(?P<day>\d{{2}})(?:t|\s){_TIME}"),
    re.compile(
        r"(?P<year>\d{4})(?P<month>\d{2})(?P<day>\d{2})t(?P<hour>\d{2})(?P<minute>\d{2})(?P<second>\d{2})"
        r"(?P<half>)(?P<zone>z?|[+-]\d{4})"
    ),
)
_OFFSET = re.compile(r"(?:gmt|utc)?\s*([+-])(\d{1,2}?):?(\d{2})?")


def settle_published_at(text: str, fetched_at: datetime, future_tolerance_s: float) -> tuple[datetime, str]:
    """Return (published_at, date_flag) for a feed's date ``text``; published_at is never later than ``fetched_at``.

    No text: (fetched_at, "missing"). No moment in it: (fetched_at, "unparsable"). More than ``future_tolerance_s``
    seconds ahead: (fetched_at, "future"). Ahead by less: clocks differ, so (fetched_at, "").
    """
    if not text.strip():
        return fetched_at, "missing"
    published_at = parse_feed_date(text)
    if published_at is None:
        return fetched_at, "unparsable"
    if published_at - fetched_at > timedelta(seconds=future_tolerance_s):
        return fetched_at, "future"
    return min(published_at, fetched_at), ""


def parse_feed_date(text: str, unzoned: tzinfo = UTC) -> datetime | None:
    """Return the moment ``text`` names in aware UTC, or None when it names none.

    Reads RFC 822 (RSS), ISO 8601 and RFC 3339 (Atom), and "March 8, 2026 5:30 PM ET"; seconds may be left out. Numeric
    offsets count as written. In the hour that autumn repeats, a daylight name (EDT) means the first pass and a standard
    one (EST) the second. Fractions of a second are dropped. A time without any zone is read in ``unzoned``.
    """
    folded = " ".join(text.lower().split())
    match = next((match for form in _FORMS if (match := form.fullmatch(folded))), None)
    if match is None:
        return None
    try:
        zone = _read_zone(match["zone"]) if match["zone"] else unzoned
        local = _read_clock(match)
        return local.replace(tzinfo=zone, fold=int(match["zone"] in _STANDARD)).astimezone(UTC)
    except (ValueError, OverflowError):  # 31 February, 25:00, +99:00, month "foo", an unknown zone, the year 0
        return None


def _read_clock(match: re.Match[str]) -> datetime:
    month, year, hour = match["month"], int(match["year"]), int(match["hour"])
    if match["half"]:
        if not 1 <= hour <= 12:
            raise ValueError(f"hour {hour} with {match['half']}")
        hour = hour % 12 + (12 if match["half"].startswith("p") else 0)
    if len(match["year"]) == 2:
        year += 2000 if year < 50 else 1900  # RFC 2822, section 4.3
    number = int(month) if month.isdigit() else _MONTHS.index(month[:3]) + 1
    return datetime(year, number, int(match["day"]), hour, int(match["minute"]), int(match["second"] or 0))  # noqa: DTZ001


def _read_zone(name: str) -> tzinfo:
    if name in _UNIVERSAL:
        return UTC
    if match := _OFFSET.fullmatch(name):
        sign, hours, minutes = match.groups()
        offset = timedelta(hours=int(hours), minutes=int(minutes or 0))
        return timezone(-offset if sign == "-" else offset)
    if name not in ZONES:
        raise ValueError(f"zone {name}")
    return ZoneInfo(ZONES[name])
