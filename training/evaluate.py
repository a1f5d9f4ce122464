"""Labels and probabilities -> measures, overall and per source. Pure: loads nothing, prints nothing.

Throughout, ``labels`` is int (n,), ``probabilities`` float (n, 3) with columns in LABELS order and rows that sum to 1.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from pipeline.text import LABELS

from .data import Example

CLASSES = len(LABELS)
RESAMPLES = 1000
LEVELS = {"phrasebank": ("all", "75", "66", "50"), "sentfin": ("single", "multi"), "fiqa": ("headline", "post")}


def evaluate_sources(examples: Sequence[Example], probabilities: np.ndarray, seed: int = 0) -> dict[str, Any]:
    """Return the measures of every source by name, in order of appearance, and of all rows together as "overall"."""
    sources = dict.fromkeys(example.source for example in examples)
    result = {}
    for source in sources:
        rows = [i for i, example in enumerate(examples) if example.source == source]
        result[source] = evaluate_source([examples[i] for i in rows], probabilities[rows], seed)
    result["overall"] = measure(_labels(examples), probabilities, seed)
    return result


def evaluate_source(examples: Sequence[Example], probabilities: np.ndarray, seed: int = 0) -> dict[str, Any]:
    """Return :func:`measure` of one source's rows, its slices, and the score's fit where rows carry one."""
    labels = _labels(examples)
    result = measure(labels, probabilities, seed)
    slices = {}
    for level in LEVELS.get(examples[0].source, ()):
        rows = [i for i, example in enumerate(examples) if example.slice == level]
        if rows:
            matrix = count_confusion(labels[rows], probabilities[rows].argmax(axis=1))
            slices[level] = {"row_count": len(rows), "accuracy": accuracy(matrix), "macro_f1": macro_f1(matrix)}
    if slices:
        result["slices"] = slices
    scored = [i for i, example in enumerate(examples) if example.score is not None]
    if scored:
        truth = np.array([examples[i].score for i in scored], dtype=float)
        result["score"] = measure_score(truth, score_of(probabilities[scored]))
    return result


def measure(labels: np.ndarray, probabilities: np.ndarray, seed: int = 0) -> dict[str, Any]:
    """Return row_count, accuracy, macro_f1 and weighted_f1, 95 % intervals, per-class values, confusion and ece."""
    matrix = count_confusion(labels, probabilities.argmax(axis=1))
    precision, recall, f1 = class_scores(matrix)
    return {
        "row_count": int(matrix.sum()),
        "accuracy": accuracy(matrix),
        "accuracy_interval": bootstrap(matrix, accuracy, seed),
        "macro_f1": macro_f1(matrix),
        "macro_f1_interval": bootstrap(matrix, macro_f1, seed),
        "weighted_f1": weighted_f1(matrix),
        "classes": {
            name: {"precision": float(precision[i]), "recall": float(recall[i]), "f1": float(f1[i])}
            for i, name in enumerate(LABELS)
        },
        "confusion": matrix.tolist(),
        "ece": calibration_error(labels, probabilities),
    }


def count_confusion(labels: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Return int (3, 3): rows are true classes, columns predicted ones."""
    return np.bincount(labels * CLASSES + predicted, minlength=CLASSES**2).reshape(CLASSES, CLASSES)


def class_scores(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return precision, recall and F1, each float (3,); 0 where a class has no prediction or no row."""
    hits = np.diagonal(matrix).astype(float)
    predicted, actual = matrix.sum(axis=0), matrix.sum(axis=1)
    return _ratio(hits, predicted), _ratio(hits, actual), _ratio(2 * hits, predicted + actual)


def accuracy(matrix: np.ndarray) -> float:
    """Return the share of rows on the diagonal."""
    return float(np.trace(matrix) / matrix.sum())


def macro_f1(matrix: np.ndarray) -> float:
    """Return the plain mean of the F1 of the classes that occur among labels or predictions (as scikit-learn does)."""
    occurring = (matrix.sum(axis=0) + matrix.sum(axis=1)) > 0
    return float(class_scores(matrix)[2][occurring].mean())


def weighted_f1(matrix: np.ndarray) -> float:
    """Return the mean of the classes' F1 weighted by their rows."""
    return float(np.average(class_scores(matrix)[2], weights=matrix.sum(axis=1)))


def bootstrap(matrix: np.ndarray, statistic: Callable[[np.ndarray], float], seed: int) -> list[float]:
    """Return the 2.5 and 97.5 percentile of ``statistic`` over resampled rows (Efron 1979), the same for a ``seed``.

    Drawing n rows with replacement is drawing the nine cells from a multinomial, so no row is copied.
    """
    total = int(matrix.sum())
    draws = np.random.default_rng(seed).multinomial(total, matrix.ravel() / total, size=RESAMPLES)
    values = [statistic(draw.reshape(CLASSES, CLASSES)) for draw in draws]
    return [float(value) for value in np.percentile(values, [2.5, 97.5])]


def calibration_error(labels: np.ndarray, probabilities: np.ndarray, bins: int = 15) -> float:
    """Return the expected calibration error in 0..1: |accuracy - confidence| over equal bins (Guo et al. 2017)."""
    confidence = probabilities.max(axis=1)
    is_right = probabilities.argmax(axis=1) == labels
    place = np.minimum((confidence * bins).astype(int), bins - 1)
    gap = np.bincount(place, weights=is_right - confidence, minlength=bins)
    return float(np.abs(gap).sum() / len(labels))


def score_of(probabilities: np.ndarray) -> np.ndarray:
    """Return p_positive - p_negative, float (n,) in -1..1."""
    return probabilities[:, LABELS.index("positive")] - probabilities[:, LABELS.index("negative")]


def measure_score(truth: np.ndarray, predicted: np.ndarray) -> dict[str, float]:
    """Return mse and r2 (1 - residual over total sum of squares; 0 for the mean, negative when worse) of the scores."""
    residual, total = np.sum((truth - predicted) ** 2), np.sum((truth - truth.mean()) ** 2)
    return {"mse": float(residual / len(truth)), "r2": float(1 - residual / total) if total else 0.0}


def _labels(examples: Sequence[Example]) -> np.ndarray:
    return np.array([example.label for example in examples], dtype=int)


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    return np.divide(above, below, out=np.zeros(len(above)), where=below > 0)
