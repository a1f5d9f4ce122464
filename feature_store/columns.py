"""The columns of a feature file, by what they hold. The store's README.md says what each one means."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from .errors import FeatureStoreError

KEY = ("session_date", "ticker", "available_at")
"""Columns that every long frame has."""
DATES = ("session_date", "available_at")
TEXTS = ("ticker", "status", "model_revision")
COUNTS = ("headline_count", "story_count", "source_count", "positive_count", "neutral_count", "negative_count")
TRAILING = tuple(
    f"{name}_{window}"
    for window in (5, 21)
    for name in ("story_count", "sentiment_score", "positive_share", "negative_share")
)
COLUMNS = (
    "session_date",
    "ticker",
    "status",
    "available_at",
    "model_revision",
    "schema_version",
    *COUNTS,
    "sentiment_score",
    "sentiment_std",
    "sentiment_min",
    "sentiment_max",
    "positive_share",
    "negative_share",
    "agreement",
    "bullishness",
    "confidence_mean",
    "relevance_mean",
    "novel_share",
    "overnight_score",
    "intraday_score",
    "buzz",
    *TRAILING,
)
"""Schema version 1, in file order. Later versions only add columns at the end."""

NEUTRAL: Mapping[str, float] = MappingProxyType(
    {name: 1.0 if name == "buzz" else 0.0 for name in COLUMNS if name not in (*DATES, *TEXTS, "schema_version")}
    | {"has_news": 0.0}
)
"""What each number is when a model takes silence for "nothing out of the ordinary": as much news as usual is a buzz
of 1, everything else is 0. A number column added by a later schema version counts as 0."""


def list_names(names: str | Iterable[str], what: str) -> list[str]:
    """Return ``names`` in order, each once; a single text is one name.

    Raises:
        FeatureStoreError: something among them is no text; ``what`` is the argument.
    """
    found = [names] if isinstance(names, str) or not isinstance(names, Iterable) else list(names)
    wrong = [name for name in found if not isinstance(name, str)]
    if wrong:
        raise FeatureStoreError(f"{what}: {wrong[0]!r} is no text, expected one name or several")
    return list(dict.fromkeys(found))


def require_fill(fill: str | None) -> None:
    """Raise a FeatureStoreError unless ``fill`` is None or "neutral"."""
    if fill not in (None, "neutral"):
        raise FeatureStoreError(f"fill {fill!r}: expected None or 'neutral'")
