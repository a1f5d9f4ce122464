"""Public labelled sets -> list of Example, one small function per source. Never relabels.

Labels are mapped BY NAME, because the sources number their classes differently (PhraseBank writes names, Twitter's 0
is bearish, 1 bullish, 2 neutral). Where the rows come from is the reader's business.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.text import LABELS, clean_text

from .readers import PARTS, DataError, DataSource

SOURCES = tuple(PARTS)
FIQA_THRESHOLDS = (-0.1, 0.1)
TWITTER_NAMES = {
    "0": "negative",
    "1": "positive",
    "2": "neutral",
    "bearish": "negative",
    "bullish": "positive",
    "neutral": "neutral",
}
"""The publisher's table: LABEL_0 is bearish, LABEL_1 bullish, LABEL_2 neutral."""
_ENTITY = re.compile(r"(?:(?<=\{)|(?<=, ))['\"]((?:(?!['\"]: ).)+)['\"]: ['\"]([^'\"]*)['\"]")

Drops = Counter[tuple[str, str]]
"""Rows left out while reading, by (source, reason)."""


@dataclass(frozen=True, slots=True)
class Example:
    """One labelled text.

    ``target`` is the company or entity judged, "" when the label is for the whole text. ``label`` indexes LABELS.
    ``score`` in -1..1 is the source's continuous judgement, None where it has none. ``slice`` is what results are
    split by: PhraseBank's strictest agreement level (all, 75, 66, 50), SEntFiN's "single" or "multi" entity headline,
    FiQA's "headline" or "post". ``is_official_test`` marks rows the publisher holds out: Twitter validation, FiQA test.
    ``aspect`` is FiQA's aspect of the judgement ("Stock/Price Action"), "" elsewhere.
    """

    text: str
    target: str
    label: int
    score: float | None
    source: str
    slice: str = ""
    is_official_test: bool = False
    aspect: str = ""


def load_examples(data: DataSource, sources: Sequence[str] = SOURCES, dropped: Drops | None = None) -> list[Example]:
    """Return the examples of ``sources``, source by source, the same list from every reader.

    ``dropped``, where given, counts the rows left out while reading.

    Raises:
        DataError: a file is absent or out of reach, or a row is malformed; the message names file and row.
    """
    dropped = Counter() if dropped is None else dropped
    return [example for source in sources for example in _LOADERS[source](data, dropped)]


def describe_data(data: DataSource, examples: Sequence[Example]) -> dict[str, dict[str, Any]]:
    """Return {"origin", "revision", "row_count", "sha256"} of every source among ``examples``.

    The hash is over everything a model is trained and tested on (not FiQA's aspect), in order.
    """
    described: dict[str, dict[str, Any]] = {}
    for source in dict.fromkeys(example.source for example in examples):
        rows = [example for example in examples if example.source == source]
        lines = (
            json.dumps([e.text, e.target, LABELS[e.label], e.score, e.slice, e.is_official_test], ensure_ascii=False)
            for e in rows
        )
        digest = hashlib.sha256("\n".join(lines).encode()).hexdigest()
        described[source] = {**data.describe_origin(source), "row_count": len(rows), "sha256": digest}
    return described


def load_phrasebank(data: DataSource, dropped: Drops) -> list[Example]:
    """Read Sentences_50Agree; each sentence carries the strictest level whose file holds it (Malo et al. 2014)."""
    strict = [(level, {row["text"] for _, row in data.read_rows("phrasebank", level)}) for level in ("all", "75", "66")]
    examples = []
    for place, row in data.read_rows("phrasebank", "50"):
        line = row["text"]
        text, at, name = line.rpartition("@")
        if not line.strip():
            dropped["phrasebank", "blank line"] += 1
            continue
        level = next((level for level, held in strict if line in held), "50")
        examples.append(Example(clean_text(text), "", _label(name if at else "", place), None, "phrasebank", level))
    return examples


def load_twitter(data: DataSource, dropped: Drops) -> list[Example]:
    """Read Twitter Financial News; its own validation file is the official test."""
    examples = []
    for part in PARTS["twitter"]:
        for place, row in data.read_rows("twitter", part):
            label = _label(TWITTER_NAMES.get(row["label"].strip().lower(), row["label"]), place)
            examples.append(Example(clean_text(row["text"]), "", label, None, "twitter", "", part == "validation"))
    return _keep_texts(examples, dropped)


def load_fiqa(data: DataSource, dropped: Drops) -> list[Example]:
    """Read FiQA 2018 task 1: one row per (sentence, target), class by :func:`name_of_score`.

    Sorted by type, id and target, since copies of the set differ in the order of their rows.
    """
    found = [(part, place, row) for part in PARTS["fiqa"] for place, row in data.read_rows("fiqa", part)]
    found.sort(key=lambda one: (one[2]["type"], _number(one[2]["_id"], one[1]), one[2]["target"]))
    examples = []
    for part, place, row in found:
        score = _score(row["score"], place)
        label = LABELS.index(name_of_score(score))
        text, target, aspect = (clean_text(row[key]) for key in ("sentence", "target", "aspect"))
        examples.append(
            Example(text, target, label, score, "fiqa", row["type"], part == "test", aspect.strip("[]'\" "))
        )
    return _keep_texts(examples, dropped)


def load_sentfin(data: DataSource, dropped: Drops) -> list[Example]:
    """Read SEntFiN 1.0: one example per (headline, entity). A regex, since 13 rows are not valid dict literals."""
    examples = []
    for place, row in data.read_rows("sentfin", "all"):
        pairs, rest = _ENTITY.findall(row["Decisions"]), _ENTITY.sub("", row["Decisions"])
        if not pairs or rest != "{" + ", " * (len(pairs) - 1) + "}":
            raise DataError(f"{place}: {row['Decisions']!r}; expected 'entity': 'label' pairs alone, in braces")
        kind, text = "multi" if len(pairs) > 1 else "single", clean_text(row["Title"])
        for entity, name in pairs:
            examples.append(Example(text, clean_text(entity), _label(name, place), None, "sentfin", kind))
    return _keep_texts(examples, dropped)


_LOADERS: dict[str, Callable[[DataSource, Drops], list[Example]]] = {
    "phrasebank": load_phrasebank,
    "twitter": load_twitter,
    "fiqa": load_fiqa,
    "sentfin": load_sentfin,
}


def name_of_score(score: float, thresholds: tuple[float, float] = FIQA_THRESHOLDS) -> str:
    """Return FiQA's class: negative below the low threshold, positive from the high one, else neutral.

    The default is the rule of PIXIU and FinGPT: -0.1 and 0.1.
    """
    low, high = thresholds
    if score < low:
        return "negative"
    return "positive" if score >= high else "neutral"


def _keep_texts(examples: list[Example], dropped: Drops) -> list[Example]:
    kept = [example for example in examples if example.text]
    if len(kept) < len(examples):
        dropped[examples[0].source, "no text"] += len(examples) - len(kept)
    return kept


def _label(name: str, place: str) -> int:
    if name.strip() not in LABELS:
        raise DataError(f"{place}: label {name!r}; expected one of {', '.join(LABELS)}")
    return LABELS.index(name.strip())


def _score(text: str, place: str) -> float:
    try:
        score = float(text)
    except ValueError:
        score = math.nan
    if not -1 <= score <= 1:
        raise DataError(f"{place}: score {text!r}; expected a number in -1..1")
    return score


def _number(text: str, place: str) -> int:
    if not text.strip().isdecimal():
        raise DataError(f"{place}: _id {text!r}; expected a whole number")
    return int(text)
