"""Held-out rows, explanations and measures -> the text of page.html. Pure but for reading its own template.

Every text reaches the page escaped; style and script are named by hash in a policy that allows nothing else to load.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from pipeline.text import LABELS

from .attribution import Explanation, Word
from .charts import draw_mark, tag
from .heat_maps import draw_attention, draw_probabilities, shade_share
from .held_out import HeldRow
from .label_errors import find_label_errors
from .review import confuse_classes, residual, review_fiqa
from .run_charts import BASELINES, TITLES, draw_charts, summarise

FOLDER = Path(__file__).parent
SHOWN_PER_PAIR = 5
SHOWN_RESIDUALS = 12
SHOWN_LABELS = 25
WORD_LEVELS = 5
SAME = 0.02
"""Probabilities this close are one model's on two machines; further apart, the folder's model is another one."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of text and how it pushed: -5..-1 towards the label, 1..5 towards the prediction, 0 neither.

    ``is_read`` is False for what lies beyond the model's maximum length.
    """

    text: str
    level: int = 0
    value: float = 0.0
    is_read: bool = True


def render_page(
    name: str,
    metrics: Mapping[str, Any],
    provenance: Mapping[str, Any],
    rows: Sequence[HeldRow],
    wrong: Mapping[str, Sequence[HeldRow]],
    explained: Mapping[int, Explanation],
) -> str:
    """Return the whole page; ``explained`` holds the explanation of every row of ``wrong`` by its number."""
    css, script = (
        Markup((FOLDER / file).read_text(encoding="utf-8"))  # noqa: S704  (the project's own files)
        for file in ("page.css", "page.js")
    )
    sources = [source for source in TITLES if any(row.example.source == source for row in rows)]
    differences = [_differ(row, explained[row.number]) for held in wrong.values() for row in held]
    return (
        build_environment()
        .get_template("page.html")
        .render(
            name=name,
            css=css,
            script=script,
            policy=f"default-src 'none'; style-src {_hash(css)}; script-src {_hash(script)}; "
            "base-uri 'none'; form-action 'none'",
            metrics=metrics,
            provenance=provenance,
            sources=sources,
            counts={split: sum(row.split == split for row in rows) for split in ("validation", "test")},
            summary=summarise(metrics),
            charts=draw_charts(metrics, rows),
            confusions={source: confuse_classes(_of(rows, source, "test")) for source in sources},
            wrong={source: [(row, explained[row.number]) for row in held] for source, held in wrong.items()},
            wrong_counts={source: sum(row.is_wrong for row in _of(rows, source, "test")) for source in sources},
            difference=max(differences, default=0.0),
            fiqa=review_fiqa(rows),
            flagged={source: find_label_errors(_of(rows, source)) for source in sources},
        )
    )


def build_environment() -> Environment:
    """Return the template's environment: autoescape on, an unknown name is an error."""
    environment = Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"share": _share, "three": _three}
    environment.filters["mark"] = _draw_key
    environment.globals |= dict(
        LABELS=LABELS,
        TITLES=TITLES,
        BASELINES=BASELINES,
        SHOWN_PER_PAIR=SHOWN_PER_PAIR,
        SHOWN_RESIDUALS=SHOWN_RESIDUALS,
        SHOWN_LABELS=SHOWN_LABELS,
        SAME=SAME,
        zip=zip,
        shade=shade_share,
        residual=residual,
        split_text=split_text,
        rank_words=rank_words,
        draw_attention=lambda key, found: draw_attention(key, [word.shown for word in found.words], found.attention),
        draw_probabilities=draw_probabilities,
    )
    return environment


def split_text(found: Explanation, segment: int) -> list[Piece]:
    """Return the text (segment 0) or target (1) of an explained row in pieces, each word with its push."""
    text = found.segments[segment]
    top = max((abs(word.attribution) for word in found.words), default=0.0) or 1.0
    pieces, place = [], 0
    for word in (word for word in found.words if word.segment == segment):
        if word.start > place:
            pieces.append(Piece(text[place : word.start]))
        level = round(word.attribution / top * WORD_LEVELS)
        pieces.append(Piece(text[max(place, word.start) : word.end], level, word.attribution))
        place = max(place, word.end)
    return [*pieces, Piece(text[place:], is_read=False)] if text[place:].strip() else pieces


def rank_words(found: Explanation, sign: int, count: int = 4) -> list[Word]:
    """Return the words that pushed most in one direction (1 towards the prediction, -1 towards the label)."""
    pushing = [word for word in found.words if word.segment is not None and word.attribution * sign >= 0.005]
    return sorted(pushing, key=lambda word: -word.attribution * sign)[:count]


def _draw_key(style: int) -> Markup:
    return tag("svg", draw_mark(style, 7, 7), viewBox="0 0 14 14", class_="key", aria_hidden="true")


def _of(rows: Sequence[HeldRow], source: str, split: str = "") -> list[HeldRow]:
    return [row for row in rows if row.example.source == source and split in ("", row.split)]


def _differ(row: HeldRow, found: Explanation) -> float:
    return max(abs(a - b) for a, b in zip(row.probabilities, found.probabilities, strict=True))


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _share(value: float) -> str:
    return f"{value * 100:.1f}\u00a0%"


def _three(value: float) -> str:
    return f"{value:.3f}"
