"""FiQA's continuous score -> class, by fixed thresholds or by the terciles of its training rows. Pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

import numpy as np

from pipeline.text import LABELS

from .data import FIQA_THRESHOLDS, Example, name_of_score
from .readers import DataError
from .splits import Splits


def choose_thresholds(fiqa_labels: str, examples: Sequence[Example], splits: Splits) -> tuple[float, float]:
    """Return (low, high) of a recipe's ``fiqa_labels``: -0.1 and 0.1 for "fixed", the terciles for "percentile"."""
    return find_terciles(examples, splits) if fiqa_labels == "percentile" else FIQA_THRESHOLDS


def find_terciles(examples: Sequence[Example], splits: Splits) -> tuple[float, float]:
    """Return the scores at one and two thirds of the scored TRAINING rows, numpy's linear quantiles.

    Raises:
        DataError: no training row carries a score, or they are too alike for three classes.
    """
    scores = [score for i in splits.train if (score := examples[i].score) is not None]
    if not scores:
        raise DataError("fiqa_labels percentile: no training row carries a score; expected FiQA among the sources")
    low, high = np.quantile(scores, (1 / 3, 2 / 3))
    if not low < high:
        raise DataError(f"fiqa_labels percentile: both terciles of the training scores are {low}; expected two values")
    return float(low), float(high)


def relabel_scores(
    examples: Sequence[Example], indices: Collection[int], thresholds: tuple[float, float]
) -> list[Example]:
    """Return all ``examples``, in order, those of ``indices`` that carry a score labelled anew by ``thresholds``."""
    chosen = set(indices)
    return [
        replace(example, label=LABELS.index(name_of_score(example.score, thresholds)))
        if i in chosen and example.score is not None
        else example
        for i, example in enumerate(examples)
    ]
