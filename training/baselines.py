"""What a number must beat: the majority class of the training rows, and VADER's word list. Both give (n, 3)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

from pipeline.text import LABELS

from .data import Example

VADER_THRESHOLD = 0.05


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
