"""Every column of the feature store: its type, unit, bounds and meaning. cells.py and tables.py go by these alone."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from typing import Any

SCHEMA_VERSION = 1
STATUSES = ("news", "no_news", "fetch_failed")
TICKER_PATTERN = r"[A-Z0-9]{1,6}(\.[A-Z]{1,2})?"
REVISION_PATTERN = "[0-9a-f]{40}"
SHA256_PATTERN = "[0-9a-f]{64}"
DIGEST_PATTERN = "[0-9a-f]{8}"


@dataclass(frozen=True, slots=True)
class Field:
    """One column. ``type`` is string, date, datetime (UTC), integer, number or boolean.

    ``pattern`` must match a whole cell; ``is_required`` forbids the empty cell, which is how a missing value is
    written.
    """

    name: str
    type: str
    description: str
    unit: str = ""
    minimum: float | None = None
    maximum: float | None = None
    enum: tuple[str, ...] = ()
    pattern: str = ""
    is_required: bool = True


@dataclass(frozen=True, slots=True)
class Table:
    """One kind of file: columns in order, the columns that identify a row, and the columns its rows are sorted by.

    ``parent`` is the folder below the store's root that holds the folder of a dated table; empty for the root itself.
    """

    name: str
    description: str
    fields: tuple[Field, ...]
    key: tuple[str, ...]
    order: tuple[str, ...]
    parent: str = ""

    @property
    def names(self) -> tuple[str, ...]:
        """The column names in file order."""
        return tuple(field.name for field in self.fields)

    @property
    def folder(self) -> str:
        """Where the files of a dated table lie, below the root of the store."""
        return f"{self.parent}{self.name}"


def _count(name: str, description: str, unit: str = "headlines", is_required: bool = False) -> Field:
    return Field(name, "integer", description, unit, minimum=0, is_required=is_required)


def _share(name: str, description: str, is_required: bool = False, unit: str = "share") -> Field:
    return Field(name, "number", description, unit, 0, 1, is_required=is_required)


def _score(name: str, description: str, is_required: bool = False) -> Field:
    return Field(name, "number", description, "score", -1, 1, is_required=is_required)


def _trailing(n: int) -> tuple[Field, ...]:
    over = f"over the ticker's last {n} rows, this one included; empty until it has {n}."
    return (
        _count(f"story_count_{n}", f"Sum of story_count {over}", "stories"),
        _score(f"sentiment_score_{n}", f"Mean of sentiment_score, weighted by story_count, {over}"),
        _share(f"positive_share_{n}", f"Sum of positive_count / sum of story_count {over}"),
        _share(f"negative_share_{n}", f"Sum of negative_count / sum of story_count {over}"),
    )


_SESSION = Field("session_date", "date", "Trading session; its window is (previous cut-off, cut-off].")
_TICKER = Field("ticker", "string", "Ticker in dot form, such as BRK.B.", pattern=TICKER_PATTERN)
_AVAILABLE = Field(
    "available_at",
    "datetime",
    "When the row could first be used: its sealing or restating; of a backfill the cut-off plus a stated latency.",
    "UTC",
)
_MODEL = Field("model_revision", "string", "Commit of the model that gave the scores.", pattern=REVISION_PATTERN)
_VERSION = Field("schema_version", "integer", "Version of these columns.", minimum=1)

FEATURES: tuple[Field, ...] = (
    _SESSION,
    _TICKER,
    Field("status", "string", "news; no_news: all its feeds answered, none had any; fetch_failed.", enum=STATUSES),
    _AVAILABLE,
    _MODEL,
    _VERSION,
    _count("headline_count", "Headlines linked to the ticker. 0 without news; empty when the fetch failed."),
    _count("story_count", "Stories: headlines after clustering of near-duplicates.", "stories"),
    _count("source_count", "Different sources among the headlines.", "sources"),
    _count("positive_count", "Stories whose largest probability is positive.", "stories"),
    _count("neutral_count", "All other stories.", "stories"),
    _count("negative_count", "Stories whose largest probability is negative.", "stories"),
    _score("sentiment_score", "Mean of p_positive - p_negative over stories, weighted by relevance and novelty."),
    _share("sentiment_std", "Weighted standard deviation of story scores; empty below 2 stories.", unit="score"),
    _score("sentiment_min", "Lowest story score."),
    _score("sentiment_max", "Highest story score."),
    _share("positive_share", "positive_count / story_count."),
    _share("negative_share", "negative_count / story_count."),
    _share("agreement", "1 - sqrt(1 - ((P - N) / (P + N))^2) of positive and negative count; empty if both are 0."),
    Field("bullishness", "number", "ln((1 + positive_count) / (1 + negative_count)).",
          "log ratio", is_required=False),
    _share("confidence_mean", "Mean over stories of the largest probability."),
    _share("relevance_mean", "Mean relevance of the stories to the ticker."),
    _share("novel_share", "Share of the stories not first seen in an earlier session."),
    _score("overnight_score", "sentiment_score of the stories published before the exchange opened that day."),
    _score("intraday_score", "sentiment_score of the other stories."),
    Field("buzz", "number", "story_count / its mean over the ticker's last 21 earlier rows; empty below 5.", "ratio", 0,
          is_required=False),
    *_trailing(5),
    *_trailing(21),
)  # fmt: skip

HEADLINES: tuple[Field, ...] = (
    _SESSION,
    _TICKER,
    Field("headline_id", "string", "Identity of the headline, stable across runs and feeds."),
    Field("story_id", "string", "headline_id of the first headline of the story; near-duplicates share it."),
    Field("published_at", "datetime", "The source's time; fetched_at when it is missing, unparsable or future.", "UTC"),
    Field("fetched_at", "datetime", "When the headline was first seen.", "UTC"),
    Field("is_late", "boolean", "Whether its own session had been sealed when it was first seen."),
    Field("date_flag", "string", "What was wrong with the time: missing, unparsable or future; date_only: a bare date, "
          "published_at is the end of that day; empty if nothing was.",
          enum=("missing", "unparsable", "future", "date_only"), is_required=False),
    Field("source", "string", "Name of the publisher.", is_required=False),
    Field("feed_id", "string", "Feed that carried it first."),
    Field("title", "string", "Title as scored."),
    Field("url", "string", "Link to the full text.", is_required=False),
    Field("reason", "string", "Why it concerns the ticker.",
          enum=("cashtag", "mention", "name", "alias", "symbol", "feed")),
    _share("relevance", "How much it concerns the ticker.", is_required=True),
    _share("p_negative", "Probability of the label negative.", is_required=True),
    _share("p_neutral", "Probability of the label neutral.", is_required=True),
    _share("p_positive", "Probability of the label positive.", is_required=True),
    _score("sentiment_score", "p_positive - p_negative.", is_required=True),
    _MODEL,
)  # fmt: skip

MANIFEST: tuple[Field, ...] = (
    _SESSION,
    Field(
        "state",
        "string",
        "sealed; or missed: no feed was read in time, so silence about the session is unknown. Neither changes again.",
        enum=("sealed", "missed"),
    ),
    _AVAILABLE,
    Field("opens_after", "datetime", "The previous session's cut-off; the window begins just after it.", "UTC"),
    Field("cutoff_at", "datetime", "Last moment of the window.", "UTC"),
    _count("rows", "Rows of the feature file.", "rows", is_required=True),
    _count("headline_rows", "Rows of the headlines file.", "rows", is_required=True),
    Field("features_sha256", "string", "SHA-256 of the feature file.", pattern=SHA256_PATTERN),
    Field("headlines_sha256", "string", "SHA-256 of the headlines file.", pattern=SHA256_PATTERN),
    _MODEL,
    Field("code_revision", "string", "Commit of the code that sealed it; + for local changes.", is_required=False),
    _VERSION,
    Field("cpu", "string", "Processor that ran it, and in brackets the instruction set its eight-bit products ran on.",
          is_required=False),
    _count("feeds_ok", "Feeds that answered.", "feeds", is_required=True),
    _count("feeds_failed", "Feeds that did not.", "feeds", is_required=True),
    Field("revision", "integer", "1 for the first sealing; each restatement adds a line with the next number.",
          minimum=1),
)  # fmt: skip

LINES: tuple[Field, ...] = (
    Field("table", "string", "The sealed file: features or headlines; or manifest, whose line of the session it is.",
          enum=("features", "headlines", "manifest")),
    Field("line", "integer", "Line of that file, from 1, the header; 1 for the manifest's.", minimum=1),
    Field("ticker", "string", "Ticker of the row that begins on the line; empty for others.", pattern=TICKER_PATTERN,
          is_required=False),
    Field("digest", "string", "First 8 hex digits of the line's SHA-256, its end included.", pattern=DIGEST_PATTERN),
)  # fmt: skip

PRUNED: tuple[Field, ...] = (
    _SESSION,
    Field("revision", "integer", "Revision of the session, as in manifest.csv.", minimum=1),
    Field("headlines_sha256", "string", "SHA-256 of its headlines file, as in manifest.csv: what the archive holds.",
          pattern=SHA256_PATTERN),
    Field("pruned_at", "datetime", "When the file was last moved to the archive.", "UTC"),
)  # fmt: skip

FEED_STATE: tuple[Field, ...] = (
    Field("feed_id", "string", "Feed, as name or name:TICKER."),
    Field("url", "string", "Address read."),
    Field("etag", "string", "ETag of the last full answer.", is_required=False),
    Field("last_modified", "string", "Last-Modified of the last full answer.", is_required=False),
    Field("last_attempt_at", "datetime", "When it was last asked.", "UTC", is_required=False),
    Field("last_ok_at", "datetime", "When it last answered.", "UTC", is_required=False),
    Field("fault", "string", "Why the last attempt failed; empty when it did not.", is_required=False),
)

FEATURE_TABLE = Table(
    "features", "One sealed session per file; a row per ticker.", FEATURES, ("session_date", "ticker"),
    ("session_date", "ticker"),
)  # fmt: skip
HEADLINE_TABLE = Table(
    "headlines", "The evidence: one session per file; a row per headline and ticker.", HEADLINES,
    ("session_date", "headline_id", "ticker"), ("session_date", "ticker", "published_at", "headline_id"),
)  # fmt: skip
MANIFEST_TABLE = Table(
    "manifest", "One line per sealed session and revision.", MANIFEST, ("session_date", "revision"),
    ("session_date", "revision"),
)  # fmt: skip
LINE_TABLE = Table(
    "lines", "A digest of every line of a session's two sealed files, and of its line of the manifest.", LINES,
    ("table", "line"), ("table", "line"),
    parent="state/",
)  # fmt: skip
PRUNED_TABLE = Table(
    "pruned", "One line per headlines file that lies in an archive and no longer here.", PRUNED,
    ("session_date", "revision"), ("session_date", "revision"),
)  # fmt: skip
FEED_TABLE = Table("feeds", "What is remembered of each feed between runs.", FEED_STATE, ("feed_id",), ("feed_id",))

PACKAGE_PATH = "datapackage.json"
MANIFEST_PATH = "manifest.csv"
FEED_PATH = "state/feeds.csv"
PRUNED_PATH = "state/pruned.csv"


def dated_path(table: Table, session_date: date, revision: int = 1) -> str:
    """Return where a session's file lies below the root of the store; a restatement lies beside what it restates."""
    mark = "" if revision == 1 else f".r{revision}"
    return f"{table.folder}/{session_date:%Y}/{session_date.isoformat()}{mark}.csv"


def datapackage(sealed: Iterable[tuple[date, int]] = (), pruned: Iterable[tuple[date, int]] = ()) -> dict[str, Any]:
    """Return the Frictionless Data Package of a store whose ``sealed`` sessions and revisions are these, in any order.

    The headlines of ``pruned`` ones lie in an archive: they are no part of it, the table that says so is. The dated
    files of a table are one resource in parts, and those of restatements one for each revision: rows do not carry their
    revision, so that keys are unique only within it. Without a part the resource is an inline table that has columns
    only.
    """
    parts, moved = sorted(sealed), set(pruned)
    kept = [part for part in parts if part not in moved]
    revisions = sorted({1, *(revision for _, revision in parts)})
    return {
        "name": "financial-sentiment-features",
        "title": "News-sentiment features per stock ticker and trading session",
        "description": "Point-in-time: every row says when it could first be used. See README.md.",
        "schema_version": SCHEMA_VERSION,
        "resources": [
            *(
                _resource(table, [dated_path(table, *part) for part in present if part[1] == revision], revision)
                for revision in revisions
                for table, present in ((FEATURE_TABLE, parts), (HEADLINE_TABLE, kept))
            ),
            _resource(MANIFEST_TABLE, MANIFEST_PATH),
            _resource(FEED_TABLE, FEED_PATH),
            *([_resource(PRUNED_TABLE, PRUNED_PATH)] if moved else []),
        ],
    }


def encode_package(sealed: Iterable[tuple[date, int]] = (), pruned: Iterable[tuple[date, int]] = ()) -> bytes:
    """Return :func:`datapackage` as the bytes of datapackage.json."""
    return json.dumps(datapackage(sealed, pruned), indent=2, ensure_ascii=False).encode() + b"\n"


def _resource(table: Table, path: str | list[str], revision: int = 1) -> dict[str, Any]:
    file = {"path": path, "format": "csv", "mediatype": "text/csv", "encoding": "utf-8"}
    return {
        "name": table.name if revision == 1 else f"{table.name}_r{revision}",
        "type": "table",
        "description": table.description + (f" Restated: revision {revision}." if revision > 1 else ""),
        **(file if path else {"data": [list(table.names)]}),
        "schema": {
            "fields": [_describe(field) for field in table.fields],
            "missingValues": [""],
            "primaryKey": list(table.key),
        },
    }


def _describe(field: Field) -> dict[str, Any]:
    constraints = {
        "required": field.is_required,
        "minimum": field.minimum,
        "maximum": field.maximum,
        "enum": list(field.enum) or None,
        "pattern": field.pattern or None,
    }
    described = {"name": field.name, "type": field.type, "description": field.description, "unit": field.unit}
    stated = {key: value for key, value in constraints.items() if value is not None and value is not False}
    return {key: value for key, value in described.items() if value} | ({"constraints": stated} if stated else {})
