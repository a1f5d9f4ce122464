"""predictions.csv and the data's examples -> the held-out rows with their texts, joined by id. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from pipeline.errors import ModelError
from pipeline.text import LABELS

from ..data import Example
from ..predictions import id_of, labels_of, probabilities_of

HELD_OUT = ("validation", "test")


@dataclass(frozen=True, slots=True)
class HeldRow:
    """One row the model was not trained on.

    ``number`` counts the rows of predictions.csv from 1. ``label`` is the true class (with percentile labels it is not
    the example's own) and ``probabilities`` holds three in LABELS order.
    """

    number: int
    id: str
    split: str
    example: Example
    label: int
    probabilities: tuple[float, ...]

    @property
    def predicted(self) -> int:
        """The most probable class; the first of LABELS among equals."""
        return int(np.argmax(self.probabilities))

    @property
    def confidence(self) -> float:
        """The probability of the predicted class, 1/3..1."""
        return max(self.probabilities)

    @property
    def is_wrong(self) -> bool:
        """Whether the predicted class is not the labelled one."""
        return self.predicted != self.label

    @property
    def score(self) -> float:
        """p_positive - p_negative, in -1..1."""
        return self.probabilities[LABELS.index("positive")] - self.probabilities[LABELS.index("negative")]


def join_rows(table: pd.DataFrame, examples: Sequence[Example]) -> list[HeldRow]:
    """Return the validation and test rows of a predictions table with their examples, in the table's order.

    A set that holds a text and target more than once gives all of them one id; they are taken in the data's order.

    Raises:
        ModelError: a row's text is not in the data, so the run was trained on other data.
    """
    known: defaultdict[str, list[Example]] = defaultdict(list)
    for example in examples:
        known[id_of(example)].append(example)
    used: Counter[str] = Counter()
    rows = []
    columns = (table["split"], table["id"], table["source"], labels_of(table), probabilities_of(table))
    for number, (split, key, source, label, probabilities) in enumerate(zip(*columns, strict=True), 1):
        if split not in HELD_OUT:
            continue
        if key not in known:
            raise ModelError(
                f"predictions.csv row {number}: id {key} is no row of {source}; expected the data trained on"
            )
        example = known[key][min(used[key], len(known[key]) - 1)]
        used[key] += 1
        rows.append(HeldRow(number, key, split, example, int(label), tuple(map(float, probabilities))))
    return rows


def pick_wrong(rows: Sequence[HeldRow], count: int) -> dict[str, list[HeldRow]]:
    """Return up to ``count`` wrong test rows of every source that has test rows, the most confident first."""
    picked: dict[str, list[HeldRow]] = {}
    for row in rows:
        if row.split == "test":
            picked.setdefault(row.example.source, []).append(row)
    return {source: sort_confident(row for row in held if row.is_wrong)[:count] for source, held in picked.items()}


def sort_confident(rows: Iterable[HeldRow]) -> list[HeldRow]:
    """Return ``rows`` by falling confidence, equals in the order of predictions.csv."""
    return sorted(rows, key=lambda row: (-row.confidence, row.number))
