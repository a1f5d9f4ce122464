"""Probabilities and attention -> small inline SVG, and numbers -> the steps of a colour scale. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from markupsafe import Markup

from pipeline.text import LABELS

from .charts import tag, wrap_svg

STEPS = 10
SHADES = 8
CELL = 13
GUTTER = 86
"""Pixels for the words beside an attention map."""


def shade_share(share: float, steps: int = STEPS) -> int:
    """Return the colour step of a share in 0..1: 0 for nothing, ``steps`` for all."""
    return int(np.ceil(min(1.0, max(0.0, share)) * steps - 1e-9))


def draw_interval(key: str, label: str, value: float, interval: Sequence[float], beside: Sequence[float]) -> Markup:
    """Return one measure in 0..1 as a point on its 95 % interval, with a tick per baseline in ``beside``."""
    width, middle = 260, 13

    def place(at: float) -> float:
        return 8 + at * (width - 16)

    low, high = interval
    ends = dict(x1=place(low), x2=place(high), y1=middle, y2=middle)
    parts = [tag("line", x1=place(0.0), x2=place(1.0), y1=middle, y2=middle, class_="axis")]
    parts += [
        tag("rect", x=place(other) - 1.5, y=middle - 7, width=3, height=14, class_=f"base b{i}")
        for i, other in enumerate(beside)
    ]
    parts += [tag("line", **ends, class_="interval"), tag("circle", cx=place(value), cy=middle, r=5, class_="value")]
    return wrap_svg(key, label, f"{value:.3f}, 95 % interval {low:.3f} to {high:.3f}", parts, width, 26)


def draw_probabilities(key: str, probabilities: Sequence[float]) -> Markup:
    """Return the three class probabilities as one divided bar, in LABELS order."""
    parts, start = [], 0.0
    for name, share in zip(LABELS, probabilities, strict=True):
        parts.append(tag("rect", x=start, y=0, width=max(0.0, share * 120 - 1), height=10, class_=f"fill {name}"))
        start += share * 120
    said = ", ".join(f"{name} {share:.2f}" for name, share in zip(LABELS, probabilities, strict=True))
    return wrap_svg(key, "probabilities", said, parts, 120, 10)


def draw_attention(key: str, words: Sequence[str], weights: np.ndarray) -> Markup:
    """Return float (words, words) as a map: down, the word that looks; across, the word it looks at.

    Shades follow the square root of the weight, relative to the largest, so that faint attention still shows.
    """
    side = CELL * len(words)
    top = weights.max() or 1.0
    levels = np.ceil(np.sqrt(weights / top) * SHADES - 1e-9).astype(int)
    parts = [tag("rect", x=GUTTER, y=GUTTER, width=side, height=side, class_="plate")]
    parts += [
        tag("path", d=_trace_cells(levels, level), class_=f"heat h{level}")
        for level in range(2, SHADES + 1)
        if (levels == level).any()
    ]
    for i, word in enumerate(_clip(word) for word in words):
        middle = GUTTER + i * CELL + CELL * 0.75
        parts += [tag("text", word, x=GUTTER - 4, y=middle, class_="tick end")]
        parts += [tag("text", word, transform=f"translate({middle:.0f} {GUTTER - 4}) rotate(-90)", class_="tick")]
    said = f"Strongest: {_name_strongest(words, weights)}."
    size = GUTTER + side + 2
    return tag("div", wrap_svg(key, "Attention of the last layer", said, parts, size, size, True), class_="map")


def _trace_cells(levels: np.ndarray, level: int) -> str:
    """Return the cells of one level as one path, neighbours in a row joined."""
    steps = []
    for row, cells in enumerate(levels == level):
        column = 0
        while column < len(cells):
            length = 0
            while column + length < len(cells) and cells[column + length]:
                length += 1
            if length:
                across = CELL * length
                steps.append(f"M{GUTTER + column * CELL} {GUTTER + row * CELL}h{across}v{CELL}h-{across}z")
            column += max(1, length)
    return "".join(steps)


def _name_strongest(words: Sequence[str], weights: np.ndarray, count: int = 3) -> str:
    places = np.argsort(-weights, axis=None, kind="stable")[:count]
    pairs = [divmod(int(place), len(words)) for place in places]
    return "; ".join(f"{words[a]} at {words[b]} ({weights[a, b]:.2f})" for a, b in pairs)


def _clip(word: str, length: int = 13) -> str:
    return word if len(word) <= length else f"{word[: length - 1]}…"
