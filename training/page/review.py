"""Held-out rows -> what a reviewer wants to see: which classes are taken for which, and where FiQA goes wrong. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.text import LABELS

from ..evaluate import CLASSES, accuracy, count_confusion, macro_f1
from .held_out import HeldRow, sort_confident

LEAST_ROWS = 5
"""Second-level aspects with fewer test rows than this are left out: their figures would be noise."""
LENGTHS = ((1, 8), (9, 14), (15, 20), (21, None))
"""Groups of text length in words, both ends included."""


@dataclass(frozen=True, slots=True)
class Pair:
    """Rows of class ``true`` taken for ``predicted``, the most confident first; ``share`` is of the true class."""

    true: str
    predicted: str
    share: float
    rows: tuple[HeldRow, ...]


@dataclass(frozen=True, slots=True)
class Group:
    """FiQA rows with something in common. ``bias`` is the mean of predicted minus true score, in -2..2."""

    name: str
    row_count: int
    accuracy: float
    macro_f1: float
    mse: float
    bias: float


@dataclass(frozen=True, slots=True)
class FiqaReview:
    """Groups of test rows by title, and the rows by falling distance of the predicted from the true score."""

    row_count: int
    groups: dict[str, tuple[Group, ...]]
    rows: tuple[HeldRow, ...]


def confuse_classes(rows: Iterable[HeldRow]) -> tuple[np.ndarray, list[Pair]]:
    """Return int (3, 3), true classes down, and every confused pair, the most frequent first."""
    held = list(rows)
    matrix = count_confusion(_labels(held), _predicted(held))
    pairs = []
    for true, predicted in ((a, b) for a in range(CLASSES) for b in range(CLASSES) if a != b and matrix[a, b]):
        wrong = sort_confident(row for row in held if (row.label, row.predicted) == (true, predicted))
        pairs.append(Pair(LABELS[true], LABELS[predicted], len(wrong) / matrix[true].sum(), tuple(wrong)))
    return matrix, sorted(pairs, key=lambda pair: -len(pair.rows))


def review_fiqa(rows: Iterable[HeldRow]) -> FiqaReview:
    """Return the review of FiQA's test rows; without any, a review of 0 rows."""
    held = [row for row in rows if row.example.source == "fiqa" and row.split == "test"]
    groups = {
        "Kind": group_rows(held, lambda row: row.example.slice),
        "Length": group_rows(held, name_length),
        "Aspect": group_rows(held, lambda row: name_aspect(row, 1)),
        "Aspect, second level": group_rows(held, lambda row: name_aspect(row, 2), LEAST_ROWS),
    }
    groups["Length"] = tuple(sorted(groups["Length"], key=lambda group: int(group.name.split()[0])))
    return FiqaReview(len(held), groups, tuple(sorted(held, key=lambda row: (-abs(residual(row)), row.number))))


def group_rows(rows: Sequence[HeldRow], name: Callable[[HeldRow], str], least: int = 1) -> tuple[Group, ...]:
    """Return the groups of ``rows`` that ``name`` makes, the largest first; "" is no group."""
    held: dict[str, list[HeldRow]] = {}
    for row in rows:
        held.setdefault(name(row), []).append(row)
    named = [measure_group(key, group) for key, group in held.items() if key and len(group) >= least]
    return tuple(sorted(named, key=lambda group: (-group.row_count, group.name)))


def measure_group(name: str, rows: Sequence[HeldRow]) -> Group:
    """Return the measures of one group of at least one row."""
    matrix = count_confusion(_labels(rows), _predicted(rows))
    residuals = np.array([residual(row) for row in rows])
    return Group(name, len(rows), accuracy(matrix), macro_f1(matrix), float((residuals**2).mean()), residuals.mean())


def residual(row: HeldRow) -> float:
    """Return predicted minus true score, in -2..2."""
    assert row.example.score is not None, f"{row.id} has no score"
    return row.score - row.example.score


def name_length(row: HeldRow) -> str:
    """Return the group of LENGTHS that the text's number of words falls into."""
    count = max(1, len(row.example.text.split()))
    low, high = next(pair for pair in LENGTHS if pair[1] is None or count <= pair[1])
    return f"{low} to {high} words" if high else f"{low} words or more"


def name_aspect(row: HeldRow, depth: int) -> str:
    """Return the first ``depth`` levels of the row's aspect; "" where it has fewer."""
    levels = [level.strip() for level in row.example.aspect.split("/") if level.strip()]
    return " / ".join(levels[:depth]) if len(levels) >= depth else ""


def _labels(rows: Sequence[HeldRow]) -> np.ndarray:
    return np.array([row.label for row in rows], dtype=int)


def _predicted(rows: Sequence[HeldRow]) -> np.ndarray:
    return np.array([row.predicted for row in rows], dtype=int)
