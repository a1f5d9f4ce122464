"""A made-up feature store on disk, of any size: numbers from a seeded generator, files and manifest as sealed ones.

    make_store(root, ["AAPL", "BRK.B"], weekdays("2026-01-02", 60), restated={date(2026, 1, 5): 2})

Counts, shares and scores of a row agree with each other; trailing columns are numbers in range that do not look back.
500 tickers and 1,260 sessions take some seconds, because rows are drawn from a pool of ready-made lines.
"""

from __future__ import annotations

import csv
import hashlib
import io
import math
import random
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from pathlib import Path

from pipeline.schema import FEATURE_TABLE, MANIFEST_TABLE, SCHEMA_VERSION

REVISION = "0123456789abcdef0123456789abcdef01234567"
LATENCY = timedelta(hours=1)
POOL_SIZE = 2000


def weekdays(first: str | date, count: int) -> list[date]:
    """Return ``count`` days from ``first`` on, Saturdays and Sundays left out."""
    day = date.fromisoformat(str(first))
    days = (day + timedelta(days=n) for n in range(2 * count + 7))
    return [day for day in days if day.weekday() < 5][:count]


def list_tickers(count: int) -> list[str]:
    """Return ``count`` different tickers, sorted; NA, NAN and TRUE are among them, as is one with a class."""
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    made = [f"{letters[n // 676 % 26]}{letters[n // 26 % 26]}{letters[n % 26]}X" for n in range(count)]
    return sorted(["BRK.B", "NA", "NAN", "TRUE", *made][:count])


def make_store(
    root: Path,
    tickers: Sequence[str],
    dates: Sequence[date],
    seed: int = 0,
    *,
    news_share: float = 0.6,
    failed_share: float = 0.05,
    restated: Mapping[date, int] | None = None,
    sealed_at: Mapping[tuple[date, int], datetime] | None = None,
) -> Path:
    """Write a store below ``root`` and return it.

    Every session closes at 21:00 UTC of its day. Revision 1 is available an hour later, revision n n - 1 days after
    that, unless ``sealed_at`` says otherwise. ``restated`` gives the number of revisions of a session that has more
    than one. ``news_share`` and ``failed_share`` of the rows are news and fetch_failed.
    """
    rng = random.Random(seed)
    pool = make_pool(seed, news_share, failed_share)
    lines: list[dict[str, object]] = []
    before = close_of(dates[0] - timedelta(days=1)) if dates else None
    for day in dates:
        for revision in range(1, (restated or {}).get(day, 1) + 1):
            usual = close_of(day) + LATENCY + timedelta(days=revision - 1)
            available_at = (sealed_at or {}).get((day, revision), usual)
            content = make_features(day, available_at, sorted(tickers), rng, pool)
            lines.append(
                {
                    "session_date": day.isoformat(),
                    "state": "sealed",
                    "available_at": write_moment(available_at),
                    "opens_after": write_moment(before or close_of(day)),
                    "cutoff_at": write_moment(close_of(day)),
                    "rows": len(tickers),
                    "headline_rows": 0,
                    "features_sha256": write_file(root / dated(day, revision), content),
                    "headlines_sha256": hashlib.sha256(b"").hexdigest(),
                    "model_revision": REVISION,
                    "code_revision": REVISION,
                    "schema_version": SCHEMA_VERSION,
                    "cpu": "",
                    "feeds_ok": 1,
                    "feeds_failed": 0,
                    "revision": revision,
                }
            )
        before = close_of(day)
    write_manifest(root, lines)
    return root


def write_manifest(root: Path, lines: Sequence[Mapping[str, object]]) -> None:
    """Write manifest.csv of ``lines``, its columns in the order of the schema."""
    names = [*MANIFEST_TABLE.names, *(["revision"] if "revision" not in MANIFEST_TABLE.names else [])]
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    write_file(root / "manifest.csv", text.getvalue().encode())


def read_manifest_lines(root: Path) -> list[dict[str, str]]:
    """Return the lines of manifest.csv, as texts by column."""
    with (root / "manifest.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def make_features(
    day: date, available_at: datetime, tickers: Sequence[str], rng: random.Random, pool: Sequence[tuple[str, str]]
) -> bytes:
    """Return the feature file of a session, every row's numbers drawn from ``pool``."""
    moment = write_moment(available_at)
    drawn = rng.choices(pool, k=len(tickers))
    lines = [
        f"{day.isoformat()},{ticker},{status},{moment},{REVISION},{SCHEMA_VERSION},{numbers}\n"
        for ticker, (status, numbers) in zip(tickers, drawn, strict=True)
    ]
    return (",".join(FEATURE_TABLE.names) + "\n" + "".join(lines)).encode()


@cache
def make_pool(seed: int, news_share: float, failed_share: float) -> list[tuple[str, str]]:
    """Return rows to draw from, as status and the text of the numbers."""
    rng = random.Random(seed)
    return [make_line(rng, news_share, failed_share) for _ in range(POOL_SIZE)]


def make_line(rng: random.Random, news_share: float, failed_share: float) -> tuple[str, str]:
    """Return the status of a row and the text of its numbers, from headline_count on."""
    kind = rng.random()
    status = "news" if kind < news_share else "fetch_failed" if kind < news_share + failed_share else "no_news"
    known = make_news(rng) if status == "news" else {}
    if status == "no_news":
        known = dict.fromkeys(FEATURE_TABLE.names[6:12], 0)
    for window in (5, 21):
        known |= make_window(rng, window)
    known |= {"buzz": rng.uniform(0, 3)} if status != "fetch_failed" else {}
    return status, ",".join(write_number(known.get(name)) for name in FEATURE_TABLE.names[6:])


def make_news(rng: random.Random) -> dict[str, float]:
    """Return the numbers of one session's news, which agree with each other."""
    positive, neutral, negative = rng.choice([(1, 0, 0), (0, 1, 0), (0, 0, 1), (2, 1, 0), (1, 3, 2), (0, 2, 2)])
    count = positive + neutral + negative
    score = rng.uniform(-1, 1)
    spread = rng.uniform(0, 1 - abs(score))
    numbers: dict[str, float] = {
        "headline_count": count + rng.randrange(3),
        "story_count": count,
        "source_count": 1 + rng.randrange(count),
        "positive_count": positive,
        "neutral_count": neutral,
        "negative_count": negative,
        "sentiment_score": score,
        "sentiment_min": score - spread,
        "sentiment_max": score + spread,
        "positive_share": positive / count,
        "negative_share": negative / count,
        "bullishness": math.log((1 + positive) / (1 + negative)),
        "confidence_mean": rng.uniform(0.34, 1),
        "relevance_mean": rng.random(),
        "novel_share": rng.randrange(count + 1) / count,
        rng.choice(["overnight_score", "intraday_score"]): score,
    }
    if count > 1:
        numbers["sentiment_std"] = spread
    if positive + negative:
        numbers["agreement"] = 1 - math.sqrt(1 - ((positive - negative) / (positive + negative)) ** 2)
    return numbers


def make_window(rng: random.Random, window: int) -> dict[str, float]:
    """Return the trailing columns of ``window`` sessions, now and then none."""
    if rng.random() < 0.1:
        return {}
    positive = rng.random()
    return {
        f"story_count_{window}": rng.randrange(window * 4),
        f"sentiment_score_{window}": rng.uniform(-1, 1),
        f"positive_share_{window}": positive,
        f"negative_share_{window}": rng.uniform(0, 1 - positive),
    }


def write_number(value: float | None) -> str:
    """Return the cell of a count or a number, empty if there is none."""
    if value is None:
        return ""
    return str(value) if isinstance(value, int) else f"{value + 0.0:.6f}".replace("-0.000000", "0.000000")


def write_moment(moment: datetime) -> str:
    """Return the cell of a moment."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def close_of(day: date) -> datetime:
    """Return when the made-up exchange closes."""
    return datetime.combine(day, time(21), UTC)


def dated(day: date, revision: int = 1) -> str:
    """Return where a session's features lie below the root."""
    return f"features/{day:%Y}/{day.isoformat()}{f'.r{revision}' if revision > 1 else ''}.csv"


def write_file(path: Path, content: bytes) -> str:
    """Write ``content`` and return its SHA-256."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return hashlib.sha256(content).hexdigest()
