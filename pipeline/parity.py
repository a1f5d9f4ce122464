"""The gate of an export: does the int8 model say what the trained one said? Pure but for reading its headlines."""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .errors import ModelError, ParityError
from .text import LABELS

GOLDEN_COUNT = 20
MIN_SAME_LABEL_SHARE = 0.993
MAX_F1_LOSS = 0.003

Pair = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Parity:
    """The exported model beside the trained one on the parity set. Score changes are absolute, in 0..2."""

    row_count: int
    same_label_share: float
    macro_f1_before: float
    macro_f1_after: float
    mean_score_change: float
    max_score_change: float


def read_parity_set(path: Path) -> tuple[list[Pair], np.ndarray]:
    """Return the (headline, company) pairs and their labels, int (n,) in LABELS order.

    Raises:
        ModelError: the file is missing or lacks a column, a label is foreign, or there are fewer rows than golden ones.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ModelError(f"{path}: cannot be read as CSV: {error}") from error
    for line, row in enumerate(rows, start=2):
        if not row.get("headline") or row.get("company") is None or row.get("label") not in LABELS:
            raise ModelError(f"{path}: line {line} is {row}; expected headline, company and one of {', '.join(LABELS)}")
    if len(rows) < GOLDEN_COUNT:
        raise ModelError(f"{path}: {len(rows)} rows; expected at least {GOLDEN_COUNT}")
    return [(row["headline"], row["company"]) for row in rows], np.array([LABELS.index(row["label"]) for row in rows])


def compare_scores(before: np.ndarray, after: np.ndarray, labels: np.ndarray) -> Parity:
    """Return how two float (n, 3) arrays of probabilities differ, and each one's macro-F1 on ``labels``."""
    changes = np.abs((after[:, 2] - after[:, 0]) - (before[:, 2] - before[:, 0]))
    return Parity(
        row_count=len(labels),
        same_label_share=float((before.argmax(axis=1) == after.argmax(axis=1)).mean()),
        macro_f1_before=macro_f1(labels, before.argmax(axis=1)),
        macro_f1_after=macro_f1(labels, after.argmax(axis=1)),
        mean_score_change=float(changes.mean()),
        max_score_change=float(changes.max()),
    )


def macro_f1(labels: np.ndarray, predicted: np.ndarray) -> float:
    """Return the mean F1 over the three classes; a class neither present nor predicted counts as 0."""
    scores = []
    for label in range(len(LABELS)):
        hits = ((labels == label) & (predicted == label)).sum()
        total = (labels == label).sum() + (predicted == label).sum()
        scores.append(2 * hits / total if total else 0.0)
    return float(np.mean(scores))


def is_close(parity: Parity) -> bool:
    """Say whether at least 99.3 % of the labels are the same and macro-F1 fell by no more than 0.3 points.

    Never where a score is not a number.
    """
    loss = parity.macro_f1_before - parity.macro_f1_after
    if not math.isfinite(parity.max_score_change):
        return False
    return parity.same_label_share >= MIN_SAME_LABEL_SHARE and loss <= MAX_F1_LOSS


def check_parity(parity: Parity, output: Path) -> None:
    """Refuse a model that strayed.

    Raises:
        ParityError: it is not close, see :func:`is_close`.
    """
    if not is_close(parity):
        loss = parity.macro_f1_before - parity.macro_f1_after
        raise ParityError(
            f"export refused: {parity.same_label_share:.2%} of {parity.row_count} headlines keep their label, expected "
            f"{MIN_SAME_LABEL_SHARE:.1%}; macro-F1 falls by {loss:.4f}, allowed {MAX_F1_LOSS}; {output} stays as it was"
        )
