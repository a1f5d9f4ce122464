"""Settings, universe and feeds: three small files, loaded once into frozen objects or refused with file and key."""

from __future__ import annotations

import csv
import re
import tomllib
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass
from datetime import timedelta
from operator import attrgetter
from pathlib import Path
from typing import Any, get_type_hints
from urllib.parse import urlsplit

from .errors import ConfigError
from .records import Company

HOME = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class FetchSettings:
    """How feeds are read. Sizes in bytes, times in seconds."""

    user_agent: str
    workers: int
    per_host: int
    min_interval_s: float
    timeout_s: float
    deadline_s: float
    retries: int
    backoff_s: float
    max_retry_after_s: int
    max_redirects: int
    max_bytes: int
    allow_private_addresses: bool


@dataclass(frozen=True, slots=True)
class HeadlineSettings:
    """Which headlines are news: ``max_age_hours`` before first sight, ``future_tolerance_s`` ahead of our clock."""

    max_age_hours: float
    future_tolerance_s: float


@dataclass(frozen=True, slots=True)
class LinkSettings:
    """``min_relevance`` in 0..1: links below it are not kept."""

    min_relevance: float


@dataclass(frozen=True, slots=True)
class DedupeSettings:
    """``threshold`` in 0..1 on token similarity; ``window_hours`` between two headlines of one story."""

    threshold: float
    window_hours: float


@dataclass(frozen=True, slots=True)
class ScoreSettings:
    """``model`` is a model folder; ``threads`` 0 takes every core."""

    model: Path
    threads: int
    batch_tokens: int


@dataclass(frozen=True, slots=True)
class SessionSettings:
    """``calendar`` is an exchange_calendars name; the cut-off is the close plus ``cutoff_offset_minutes``."""

    calendar: str
    cutoff_offset_minutes: int


@dataclass(frozen=True, slots=True)
class AggregateSettings:
    """``stale_weight`` in 0..1: the weight of a story first seen in an earlier session, beside 1 for a new one."""

    stale_weight: float


@dataclass(frozen=True, slots=True)
class ValidateSettings:
    """Where bad luck ends and a bad day begins. A share lies in 0..1."""

    max_failed_feed_share: float
    min_headlines: int


@dataclass(frozen=True, slots=True)
class AdapterSettings:
    """The adapter in use: a Hub repository at a 40-hex commit, and the SHA-256 of its provenance.json; or all empty.

    provenance.json holds the SHA-256 of every other file, so the three together fix every byte that is exported.
    """

    repository: str = ""
    revision: str = ""
    sha256: str = ""


@dataclass(frozen=True, slots=True)
class FeedTemplate:
    """A feed address: one feed per ticker with ``{ticker}`` or ``{company}`` in the URL, else one feed.

    ``dot`` replaces the dot of a share class in the URL: BRK.B is BRK-B at Yahoo.
    """

    name: str
    source: str
    url: str
    dot: str = "."

    @property
    def is_per_ticker(self) -> bool:
        return "{ticker}" in self.url or "{company}" in self.url


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that changes the numbers, from settings.toml."""

    tickers: Path
    feeds: Path
    store: Path
    fetch: FetchSettings
    headlines: HeadlineSettings
    link: LinkSettings
    dedupe: DedupeSettings
    score: ScoreSettings
    sessions: SessionSettings
    aggregate: AggregateSettings
    validate: ValidateSettings
    adapter: AdapterSettings = AdapterSettings()

    @property
    def look_back(self) -> timedelta:
        """How far back headlines and stories are remembered: the age of old news, and a story's window before it."""
        return timedelta(hours=self.headlines.max_age_hours + self.dedupe.window_hours)


def load_settings(path: Path = HOME / "settings.toml") -> Settings:
    """Read settings.toml; relative paths in it are taken from its own folder.

    Raises:
        ConfigError: the file is missing or malformed, a key is unknown or missing, or a value is impossible.
    """
    settings = _build(Settings, _read_toml(path), path, "")
    for key, value, (low, high) in _bounded(settings):
        if not low <= value <= high:
            raise ConfigError(f"{path}: {key} = {value}: expected a number from {low:g} to {high:g}")
    _check_adapter(settings.adapter, path)
    return settings


def load_companies(path: Path) -> tuple[Company, ...]:
    """Read a universe table: ``ticker,company,aliases,exchange``, aliases separated by ``|``; sorted by ticker.

    Raises:
        ConfigError: naming file and line, for a wrong header, an empty name, a malformed or repeated ticker, no rows.
    """
    rows = _read_table(path, ("ticker", "company", "aliases", "exchange"))
    lines: dict[str, int] = {}
    companies = []
    for line, row in rows:
        ticker = row["ticker"]
        if not _TICKER.fullmatch(ticker):
            raise ConfigError(f"{path}:{line}: ticker {ticker!r}: expected capitals, a share class after a dot (BRK.B)")
        if ticker in lines:
            raise ConfigError(f"{path}:{line}: ticker {ticker} is already on line {lines[ticker]}")
        if not row["company"]:
            raise ConfigError(f"{path}:{line}: company of {ticker} is empty")
        lines[ticker] = line
        aliases = tuple(alias.strip() for alias in row["aliases"].split("|") if alias.strip())
        companies.append(Company(ticker, row["company"], aliases, row["exchange"]))
    if not companies:
        raise ConfigError(f"{path}: no tickers: expected at least one row")
    return tuple(sorted(companies, key=lambda company: company.ticker))


def load_feed_templates(path: Path) -> tuple[FeedTemplate, ...]:
    """Read feeds.toml: one ``[name]`` table a feed, with ``source``, ``url`` and, where it differs, ``dot``.

    Raises:
        ConfigError: naming file and key, for an unknown key, a placeholder other than {ticker} and {company}, or a URL
            that is not http(s) with a host.
    """
    templates = []
    for name, table in _read_toml(path).items():
        if not isinstance(table, dict):
            raise ConfigError(f"{path}: {name}: expected a [{name}] table with source and url")
        if not _FEED_NAME.fullmatch(name):
            raise ConfigError(f"{path}: [{name}]: expected a name of lower-case letters and digits")
        template = _build(FeedTemplate, {"name": name, **table}, path, f"{name}.")
        _check_url(template, path)
        templates.append(template)
    if not templates:
        raise ConfigError(f"{path}: no feeds: expected at least one table")
    return tuple(templates)


_TICKER = re.compile(r"[A-Z0-9]{1,6}(\.[A-Z]{1,2})?")
_FEED_NAME = re.compile(r"[a-z][a-z0-9]*")
_REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+")
_REVISION = re.compile(r"[0-9a-f]{40}")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_BOUNDS: dict[str, tuple[float, float]] = {
    "fetch.workers": (1, 256),
    "fetch.per_host": (1, 64),
    "fetch.min_interval_s": (0, 60),
    "fetch.timeout_s": (0.01, 300),
    "fetch.deadline_s": (0.01, 900),
    "fetch.retries": (0, 10),
    "fetch.backoff_s": (0, 60),
    "fetch.max_retry_after_s": (0, 900),
    "fetch.max_redirects": (0, 20),
    "fetch.max_bytes": (1, 1_000_000_000),
    "headlines.max_age_hours": (0.01, 24 * 366),
    "headlines.future_tolerance_s": (0, 86_400),
    "link.min_relevance": (0, 1),
    "dedupe.threshold": (0.01, 1),
    "dedupe.window_hours": (0, 24 * 366),
    "score.threads": (0, 1024),
    "score.batch_tokens": (1, 1_000_000),
    "sessions.cutoff_offset_minutes": (-720, 720),
    "aggregate.stale_weight": (0, 1),
    "validate.max_failed_feed_share": (0, 1),
    "validate.min_headlines": (0, 1_000_000),
}


def _bounded(settings: Settings) -> list[tuple[str, float, tuple[float, float]]]:
    """Return (key, value, (low, high)) for every bounded number of ``settings``."""
    return [(key, attrgetter(key)(settings), bounds) for key, bounds in _BOUNDS.items()]


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not valid TOML: {error}") from error


def _read_table(path: Path, columns: tuple[str, ...]) -> list[tuple[int, dict[str, str]]]:
    """Return (line number, row) for every row of a CSV file that has exactly ``columns``, cells stripped."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.reader(file)
            header = tuple(next(reader, []))
            if header != columns:
                raise ConfigError(f"{path}:1: columns {','.join(header)}: expected {','.join(columns)}")
            rows = [(reader.line_num, cells) for cells in reader if cells]
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except (csv.Error, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not a UTF-8 CSV file: {error}") from error
    for line, cells in rows:
        if len(cells) != len(columns):
            raise ConfigError(f"{path}:{line}: {len(cells)} cells: expected {len(columns)}")
    return [(line, dict(zip(columns, (cell.strip() for cell in cells), strict=True))) for line, cells in rows]


def _build(kind: type, table: Mapping[str, Any], path: Path, prefix: str) -> Any:
    """Return ``kind`` filled from ``table``; nested dataclasses from nested tables, paths from ``path``'s folder."""
    hints = get_type_hints(kind)
    for key in table:
        if key not in hints:
            raise ConfigError(f"{path}: unknown key {prefix}{key}: expected one of {', '.join(hints)}")
    values = {}
    for field in fields(kind):
        key = prefix + field.name
        if field.name in table and table[field.name] == field.default == "":
            values[field.name] = ""  # text that may be left empty
        elif field.name in table:
            values[field.name] = _convert(hints[field.name], table[field.name], path, key)
        elif field.default is MISSING:
            raise ConfigError(f"{path}: {key} is missing")
    return kind(**values)


def _convert(kind: type, value: Any, path: Path, key: str) -> Any:
    if is_dataclass(kind):
        if not isinstance(value, dict):
            raise ConfigError(f"{path}: {key}: expected a [{key}] table")
        return _build(kind, value, path, f"{key}.")
    if kind is Path and isinstance(value, str) and value:
        return (path.parent / value).resolve()
    if kind is float and type(value) is int:
        return float(value)
    if type(value) is kind and value != "":
        return value
    raise ConfigError(f"{path}: {key} = {value!r}: expected {_KINDS[kind]}")


_KINDS = {str: "text", int: "a whole number", float: "a number", bool: "true or false", Path: "a path"}


def _check_adapter(adapter: AdapterSettings, path: Path) -> None:
    """Refuse half an address, a name that is no OWNER/NAME, a branch or tag for a commit, and what has no digest."""
    if adapter == AdapterSettings():
        return
    if not _REPOSITORY.fullmatch(adapter.repository):
        raise ConfigError(f"{path}: adapter.repository = {adapter.repository!r}: expected OWNER/NAME on the Hub")
    if not _REVISION.fullmatch(adapter.revision):
        raise ConfigError(f"{path}: adapter.revision = {adapter.revision!r}: expected a commit of 40 hex digits")
    if not _DIGEST.fullmatch(adapter.sha256):
        raise ConfigError(
            f"{path}: adapter.sha256 = {adapter.sha256!r}: expected 64 hex digits, the SHA-256 of the adapter's "
            "provenance.json; `python -m training promote` writes it"
        )


def _check_url(template: FeedTemplate, path: Path) -> None:
    unknown = set(re.findall(r"\{[^}]*\}", template.url)) - {"{ticker}", "{company}"}
    if unknown:
        raise ConfigError(f"{path}: {template.name}.url: {min(unknown)}: expected {{ticker}} or {{company}}")
    try:
        parts = urlsplit(template.url)
        is_good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_good = False
    if not is_good or "{" in parts.netloc or re.search(r"\s", template.url):
        raise ConfigError(f"{path}: {template.name}.url = {template.url!r}: expected an http(s) address with a host")
