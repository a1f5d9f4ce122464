"""Labels and probabilities -> measures, overall and per source. Pure: loads nothing, prints nothing, fits nothing.

Throughout, ``labels`` is int (n,), ``probabilities`` float (n, 3) with columns in LABELS order and rows that sum to 1.

Intervals resample headlines, not rows: the rows of a headline that is judged for several companies, or stands twice,
are not independent, so they are drawn together (the cluster bootstrap: Davison & Hinkley 1997, section 3.8; Cameron,
Gelbach & Miller 2008).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from pipeline.text import LABELS, fold_text

from .data import Example

CLASSES = len(LABELS)
RESAMPLES = 1000
BINS = 15
LEAST_PROBABILITY = 1e-12
"""What a probability of 0 counts as in a logarithm: predictions on disk are rounded to six decimals."""
LEVELS = {"phrasebank": ("all", "75", "66", "50"), "sentfin": ("single", "multi"), "fiqa": ("headline", "post")}
MIX = {"phrasebank": 0.60, "twitter": 0.15, "fiqa": 0.25}
"""What the project is judged by: these sources at these weights, whatever their numbers of test rows."""


def evaluate_sources(examples: Sequence[Example], probabilities: np.ndarray, seed: int = 0) -> dict[str, Any]:
    """Return the measures of every source by name, in order of appearance, and of all rows together as "overall".

    "mix" holds accuracy and macro_f1 at the weights of MIX, with intervals, if all its sources are there.
    """
    result: dict[str, Any] = {}
    headlines: dict[str, np.ndarray] = {}
    labels, predicted, groups = _labels(examples), probabilities.argmax(axis=1), group_headlines(examples)
    for source in dict.fromkeys(example.source for example in examples):
        rows = [i for i, example in enumerate(examples) if example.source == source]
        result[source] = evaluate_source([examples[i] for i in rows], probabilities[rows], seed)
        headlines[source] = count_headlines(labels[rows], predicted[rows], groups[rows])
    mix = mix_sources(headlines, seed)
    result["overall"] = measure(labels, probabilities, seed, groups)
    return result | ({"mix": mix} if mix else {})


def evaluate_source(examples: Sequence[Example], probabilities: np.ndarray, seed: int = 0) -> dict[str, Any]:
    """Return :func:`measure` of one source's rows, its slices, and the score's fit where rows carry one."""
    labels, groups = _labels(examples), group_headlines(examples)
    result = measure(labels, probabilities, seed, groups)
    slices = {}
    for level in LEVELS.get(examples[0].source, ()):
        rows = [i for i, example in enumerate(examples) if example.slice == level]
        if rows:
            matrix = count_confusion(labels[rows], probabilities[rows].argmax(axis=1))
            slices[level] = {
                "row_count": len(rows),
                "accuracy": float(accuracy(matrix)),
                "macro_f1": float(macro_f1(matrix)),
            }
    if slices:
        result["slices"] = slices
    scored = [i for i, example in enumerate(examples) if example.score is not None]
    if scored:
        truth = np.array([examples[i].score for i in scored], dtype=float)
        result["score"] = measure_score(truth, score_of(probabilities[scored]), seed, groups[scored])
    return result


def group_headlines(examples: Sequence[Example]) -> np.ndarray:
    """Return a headline's number per row, int (n,): equal for texts that differ in case, accents or punctuation only.

    Numbered from 0 in order of appearance.
    """
    numbers: dict[str, int] = {}
    return np.array([numbers.setdefault(fold_text(e.text) or e.text, len(numbers)) for e in examples], dtype=int)


def measure(
    labels: np.ndarray, probabilities: np.ndarray, seed: int = 0, groups: np.ndarray | None = None
) -> dict[str, Any]:
    """Return row_count, accuracy, macro_f1 and weighted_f1, 95 % intervals, per-class values, confusion, calibration.

    Calibration is ece, nll and brier, and "reliability" (see :func:`reliability_curve`). ``groups`` int (n,) numbers
    the rows' headlines; without it every row is a headline of its own.
    """
    headlines = count_headlines(labels, probabilities.argmax(axis=1), groups)
    matrix = headlines.sum(axis=0)
    precision, recall, f1 = class_scores(matrix)
    return {
        "row_count": int(matrix.sum()),
        "accuracy": float(accuracy(matrix)),
        "accuracy_interval": bootstrap(headlines, accuracy, seed),
        "macro_f1": float(macro_f1(matrix)),
        "macro_f1_interval": bootstrap(headlines, macro_f1, seed),
        "weighted_f1": weighted_f1(matrix),
        "classes": {
            name: {"precision": float(precision[i]), "recall": float(recall[i]), "f1": float(f1[i])}
            for i, name in enumerate(LABELS)
        },
        "confusion": matrix.tolist(),
        "ece": calibration_error(labels, probabilities),
        "nll": log_loss(labels, probabilities),
        "brier": brier_score(labels, probabilities),
        "reliability": reliability_curve(labels, probabilities),
    }


def mix_sources(headlines: Mapping[str, np.ndarray], seed: int = 0) -> dict[str, Any] | None:
    """Return accuracy and macro_f1 by :func:`weigh_sources`, with intervals; None if a source of MIX is absent.

    ``headlines`` has by source int (g, 3, 3) as of :func:`count_headlines`. The intervals resample every source's
    headlines apart from the others'.
    """
    if not MIX.keys() <= headlines.keys():
        return None
    result: dict[str, Any] = {}
    for name, statistic in (("accuracy", accuracy), ("macro_f1", macro_f1)):
        draws = {source: statistic(resample(headlines[source], (seed, i))) for i, source in enumerate(MIX)}
        result[name] = weigh_sources({source: statistic(headlines[source].sum(axis=0)) for source in MIX})
        result[f"{name}_interval"] = _interval(np.sum([MIX[source] * draws[source] for source in MIX], axis=0))
    return result


def weigh_sources(values: Mapping[str, float]) -> float:
    """Return the mean of the sources' ``values`` weighted by MIX."""
    return float(sum(weight * values[source] for source, weight in MIX.items()))


def count_confusion(labels: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Return int (3, 3): rows are true classes, columns predicted ones."""
    return np.bincount(labels * CLASSES + predicted, minlength=CLASSES**2).reshape(CLASSES, CLASSES)


def count_headlines(labels: np.ndarray, predicted: np.ndarray, groups: np.ndarray | None = None) -> np.ndarray:
    """Return a confusion matrix per headline, int (g, 3, 3); without ``groups``, int (n,), every row is a headline."""
    return count_cells(labels * CLASSES + predicted, CLASSES**2, groups).reshape(-1, CLASSES, CLASSES)


def count_cells(cells: np.ndarray, cell_count: int, groups: np.ndarray | None = None) -> np.ndarray:
    """Return int (g, cell_count): how many rows of each group, in ascending order, lie in each cell.

    ``cells`` int (n,) in 0..cell_count - 1. Without ``groups``, int (n,), every row is a group.
    """
    places = _number_groups(len(cells), groups)
    counts = np.bincount(places * cell_count + cells, minlength=(places.max() + 1) * cell_count)
    return counts.reshape(-1, cell_count)


def class_scores(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return precision, recall and F1, each float (..., 3), of int (..., 3, 3); 0 where a class has no such row."""
    hits = np.diagonal(matrix, axis1=-2, axis2=-1).astype(float)
    predicted, actual = matrix.sum(axis=-2), matrix.sum(axis=-1)
    return _ratio(hits, predicted), _ratio(hits, actual), _ratio(2 * hits, predicted + actual)


def accuracy(matrix: np.ndarray) -> Any:
    """Return the share of rows on the diagonal: a float, or float (...) of int (..., 3, 3)."""
    return np.trace(matrix, axis1=-2, axis2=-1) / matrix.sum(axis=(-2, -1))


def macro_f1(matrix: np.ndarray) -> Any:
    """Return the plain mean of the F1 of the classes that occur among labels or predictions (as scikit-learn does).

    A float, or float (...) of int (..., 3, 3).
    """
    occurring = matrix.sum(axis=-2) + matrix.sum(axis=-1) > 0
    return class_scores(matrix)[2].sum(axis=-1, where=occurring) / occurring.sum(axis=-1)


def weighted_f1(matrix: np.ndarray) -> float:
    """Return the mean of the classes' F1 weighted by their rows."""
    return float(np.average(class_scores(matrix)[2], weights=matrix.sum(axis=1)))


def bootstrap(headlines: np.ndarray, statistic: Callable[[np.ndarray], np.ndarray], seed: int) -> list[float]:
    """Return the 2.5 and 97.5 percentile of ``statistic`` over :func:`resample` of int (g, 3, 3)."""
    return _interval(statistic(resample(headlines, seed)))


def resample(counts: np.ndarray, seed: int | tuple[int, int]) -> np.ndarray:
    """Return the sum of ``counts``, int (g, ...), over g groups drawn with replacement: int (RESAMPLES, ...).

    Groups with equal counts are alike, so one multinomial draw over the kinds of group stands for drawing them one by
    one. Where every group is one row the kinds are the cells, and this is the bootstrap of rows (Efron 1979).
    """
    kinds, held = np.unique(counts.reshape(len(counts), -1), axis=0, return_counts=True)
    kinds, held = kinds[::-1], held[::-1]  # the first cell first, as the cells of a matrix are counted
    draws = np.random.default_rng(seed).multinomial(len(counts), held / len(counts), size=RESAMPLES)
    return (draws @ kinds).reshape(RESAMPLES, *counts.shape[1:])


def reliability_curve(labels: np.ndarray, probabilities: np.ndarray, bins: int = BINS) -> list[dict[str, float]]:
    """Return count, mean confidence and accuracy of each of ``bins`` equal bins of confidence that holds a row."""
    confidence = probabilities.max(axis=1)
    is_right = probabilities.argmax(axis=1) == labels
    place = np.minimum((confidence * bins).astype(int), bins - 1)
    held = [place == i for i in np.unique(place)]
    return [
        {"count": int(h.sum()), "confidence": float(confidence[h].mean()), "accuracy": float(is_right[h].mean())}
        for h in held
    ]


def calibration_error(labels: np.ndarray, probabilities: np.ndarray, bins: int = BINS) -> float:
    """Return the expected calibration error in 0..1: mean |accuracy - confidence| over rows (Guo et al. 2017)."""
    curve = reliability_curve(labels, probabilities, bins)
    return float(sum(one["count"] * abs(one["accuracy"] - one["confidence"]) for one in curve) / len(labels))


def log_loss(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Return the mean negative log-likelihood of the true classes in nats, 0 at best; 0 counts as 1e-12."""
    chosen = probabilities[np.arange(len(labels)), labels].astype(float)
    return float(-np.log(np.maximum(chosen, LEAST_PROBABILITY)).mean())


def brier_score(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Return the mean squared distance to the true class, summed over classes: 0..2, 0 at best (Brier 1950)."""
    return float(((probabilities - np.eye(CLASSES)[labels]) ** 2).sum(axis=1).mean())


def score_of(probabilities: np.ndarray) -> np.ndarray:
    """Return p_positive - p_negative, float (n,) in -1..1."""
    return probabilities[:, LABELS.index("positive")] - probabilities[:, LABELS.index("negative")]


def measure_score(
    truth: np.ndarray, predicted: np.ndarray, seed: int = 0, groups: np.ndarray | None = None
) -> dict[str, Any]:
    """Return mse, r2 and r2_interval of scores, float (n,).

    R2 is 1 - residual over total sum of squares: 0 for the mean, negative when worse; 0 if all truths are equal. The
    interval resamples headlines, which ``groups`` int (n,) numbers; without it, rows.
    """
    places = _number_groups(len(truth), groups)
    count = places.max() + 1
    draws = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=RESAMPLES)
    return {
        "mse": float(((truth - predicted) ** 2).mean()),
        "r2": float(_r2(truth, predicted, np.ones(len(truth), dtype=int))),
        "r2_interval": _interval(_r2(truth, predicted, draws[:, places])),
    }


def _r2(truth: np.ndarray, predicted: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Return R2 float (...) of float (n,) in which row i stands ``times[..., i]`` times."""
    mean = (times * truth).sum(axis=-1, keepdims=True) / times.sum(axis=-1, keepdims=True)
    residual = (times * (truth - predicted) ** 2).sum(axis=-1)
    total = (times * (truth - mean) ** 2).sum(axis=-1)
    return np.where(total > 0, 1 - residual / np.where(total > 0, total, 1), 0.0)


def _number_groups(row_count: int, groups: np.ndarray | None) -> np.ndarray:
    """Return every row's group as int (row_count,) from 0 without a gap, in ascending order; rows where None."""
    return np.arange(row_count) if groups is None else np.unique(groups, return_inverse=True)[1]


def _labels(examples: Sequence[Example]) -> np.ndarray:
    return np.array([example.label for example in examples], dtype=int)


def _interval(values: np.ndarray) -> list[float]:
    return [float(value) for value in np.percentile(values, [2.5, 97.5])]


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    return np.divide(above, below, out=np.zeros(above.shape), where=below > 0)
