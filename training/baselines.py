"""What a number must beat: the majority class of the training rows, and VADER's word list. Both give (n, 3).

The third baseline, the base model's own labels (zero-shot), needs the model: its probabilities are handed in.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

from pipeline.text import LABELS

from .data import Example
from .evaluate import (
    MIX,
    accuracy,
    count_confusion,
    group_headlines,
    macro_f1,
    measure_score,
    score_of,
    weigh_sources,
)

VADER_THRESHOLD = 0.05


def compare_baselines(
    train: Sequence[Example], rows: Sequence[Example], zero_shot: np.ndarray | None = None
) -> dict[str, dict[str, Any]]:
    """Return the measures of "majority", "vader" and, where ``zero_shot`` (n, 3) is given, "zero_shot" on ``rows``."""
    predictions = {"majority": predict_majority(train, rows), "vader": predict_vader(rows)}
    scores = {"vader": score_vader(rows)}
    if zero_shot is not None:
        predictions["zero_shot"], scores["zero_shot"] = zero_shot, score_of(zero_shot)
    return {name: measure_baseline(rows, found, scores.get(name)) for name, found in predictions.items()}


def measure_baseline(
    rows: Sequence[Example], probabilities: np.ndarray, scores: np.ndarray | None
) -> dict[str, dict[str, Any]]:
    """Return accuracy and macro_f1 by source, "overall" and (if its sources are there) "mix".

    A source whose rows carry a continuous score also has "score", the fit of ``scores``, float (n,), if given.
    """
    labels, predicted = np.array([row.label for row in rows], dtype=int), probabilities.argmax(axis=1)
    result: dict[str, dict[str, Any]] = {}
    for source in dict.fromkeys(row.source for row in rows):
        held = np.array([i for i, row in enumerate(rows) if row.source == source])
        result[source] = _measure(labels[held], predicted[held])
        scored = [i for i in held if rows[i].score is not None]
        if scored and scores is not None:
            result[source]["score"] = measure_score(
                truth=np.array([rows[i].score for i in scored]),
                predicted=scores[scored],
                groups=group_headlines([rows[i] for i in scored]),
            )
    is_whole = result.keys() >= MIX.keys()
    mix = {key: weigh_sources({s: result[s][key] for s in MIX}) for key in ("accuracy", "macro_f1") if is_whole}
    return result | {"overall": _measure(labels, predicted)} | ({"mix": mix} if mix else {})


def predict_majority(train: Sequence[Example], examples: Sequence[Example]) -> np.ndarray:
    """Return certainty in the commonest class of each example's source among ``train`` (of all, for a new source)."""
    counts: dict[str, Counter[int]] = {}
    for example in train:
        counts.setdefault(example.source, Counter())[example.label] += 1
    overall = sum(counts.values(), Counter())
    labels = [counts.get(example.source, overall).most_common(1)[0][0] for example in examples]
    return np.eye(len(LABELS))[labels]


def predict_vader(examples: Sequence[Example]) -> np.ndarray:
    """Return probabilities built from VADER's compound score c in -1..1 (Hutto & Gilbert 2014); targets are not read.

    The class is positive from 0.05, negative up to -0.05, else neutral, as its authors advise. The class gets
    certainty, so calibration says nothing here; for the score's fit use :func:`score_vader`.
    """
    score = score_vader(examples)
    label = np.full(len(examples), LABELS.index("neutral"))
    label[score >= VADER_THRESHOLD] = LABELS.index("positive")
    label[score <= -VADER_THRESHOLD] = LABELS.index("negative")
    return np.eye(len(LABELS))[label]


def score_vader(examples: Sequence[Example]) -> np.ndarray:
    """Return VADER's compound score of each text, float (n,) in -1..1."""
    analyzer = SentimentIntensityAnalyzer()
    return np.array([analyzer.polarity_scores(example.text)["compound"] for example in examples], dtype=float)


def _measure(labels: np.ndarray, predicted: np.ndarray) -> dict[str, Any]:
    matrix = count_confusion(labels, predicted)
    return {"accuracy": float(accuracy(matrix)), "macro_f1": float(macro_f1(matrix))}
