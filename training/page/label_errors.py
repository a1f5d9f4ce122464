"""Held-out rows -> those whose label is probably wrong, by confident learning (Northcutt, Jiang & Chuang 2021). Pure.

Only rows the model was not trained on may come in: a model repeats the labels it has learnt, mistakes included.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from cleanlab.filter import find_label_issues
from cleanlab.rank import get_label_quality_scores

from .held_out import HeldRow


@dataclass(frozen=True, slots=True)
class LabelErrors:
    """What confident learning flags among ``row_count`` rows of a source, the least believable label first.

    ``qualities`` are the model's probabilities of the given labels in 0..1, one per row of ``rows``.
    """

    row_count: int
    rows: tuple[HeldRow, ...]
    qualities: tuple[float, ...]


def find_label_errors(rows: Sequence[HeldRow]) -> LabelErrors:
    """Return the rows of one source that the joint estimate of given and true labels prunes.

    Classes are judged against the mean confidence of the class itself, so a class the model is unsure of in general is
    not flagged for it. A source whose rows all have one class gives no comparison, hence no flag. Deterministic.
    """
    labels = np.array([row.label for row in rows], dtype=int)
    if len(set(labels)) < 2:
        return LabelErrors(len(rows), (), ())
    probabilities = np.array([row.probabilities for row in rows])
    flagged = find_label_issues(labels, probabilities, return_indices_ranked_by="self_confidence", n_jobs=1)
    qualities = get_label_quality_scores(labels, probabilities)
    return LabelErrors(len(rows), tuple(rows[i] for i in flagged), tuple(float(qualities[i]) for i in flagged))
