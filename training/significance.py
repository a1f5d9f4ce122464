"""Two models on the same rows: is the difference more than the luck of the rows? Pure, seeded.

The p-values count rows as independent, for all they are given is which rows are right. Rows of one headline are not:
where a source judges many headlines for several companies (SEntFiN), its p is too small. The bootstrap can draw them
together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import binomtest, norm

from .evaluate import CLASSES, count_cells, macro_f1, resample


@dataclass(frozen=True, slots=True)
class McNemar:
    """Rows that only one of two models has right, and the two-sided p-value in 0..1."""

    only_a_count: int
    only_b_count: int
    p: float


@dataclass(frozen=True, slots=True)
class Difference:
    """A measure of model a less that of model b: ``value``, its 95 % interval, the share of draws at or below 0."""

    value: float
    low: float
    high: float
    not_above_share: float


def compare_right(right_a: np.ndarray, right_b: np.ndarray) -> McNemar:
    """Return McNemar's exact test of two bool (n,) arrays: which rows each model has right, in the same order.

    Rows on which both are right or both are wrong say nothing; the others split evenly if the models are alike, a
    binomial test (McNemar 1947). Without any such row p is 1. Exact errs on the safe side with few rows; the mid-p
    variant (Fagerland et al. 2013) would be a little less strict. Rows of one headline count as independent, which
    makes p too small where they are many.

    Raises:
        ValueError: the arrays differ in length.
    """
    if right_a.shape != right_b.shape:
        raise ValueError(f"{len(right_a)} rows against {len(right_b)}; expected the same rows")
    only_a, only_b = int((right_a & ~right_b).sum()), int((right_b & ~right_a).sum())
    p = float(binomtest(only_a, only_a + only_b).pvalue) if only_a + only_b else 1.0
    return McNemar(only_a, only_b, p)


def compare_weighted(pairs: Sequence[tuple[np.ndarray, np.ndarray]], weights: Sequence[float]) -> tuple[float, float]:
    """Return a's weighted accuracy less b's, and the two-sided p-value of a paired z-test of it (0..1).

    ``pairs`` holds per source which rows a and b have right, bool (n,), in the same order; ``weights`` sum to 1. Each
    source's accuracies differ by the mean of its rows' differences (1, 0, -1), whose variance over n rows adds with
    the square of the source's weight: the paired comparison of proportions, stratified (Cochran 1977, ch. 5).
    Rows of one headline count as independent, which makes p too small where they are many.

    Raises:
        ValueError: the arrays of a source differ in length.
    """
    value = variance = 0.0
    for (right_a, right_b), weight in zip(pairs, weights, strict=True):
        if right_a.shape != right_b.shape:
            raise ValueError(f"{len(right_a)} rows against {len(right_b)}; expected the same rows")
        difference = right_a.astype(float) - right_b.astype(float)
        value += weight * float(difference.mean())
        variance += weight**2 * float(difference.var()) / len(difference)
    if not variance:
        return value, float(not value)
    return value, float(2 * norm.sf(abs(value) / variance**0.5))


def macro_f1_difference(
    labels: np.ndarray, predicted_a: np.ndarray, predicted_b: np.ndarray, seed: int, groups: np.ndarray | None = None
) -> Difference:
    """Return macro-F1 of a less macro-F1 of b with a paired bootstrap interval, the same for a ``seed``.

    All three are int (n,), indices into LABELS. Every draw resamples headlines, which ``groups`` int (n,) numbers, with
    replacement and scores both models on the same rows (see evaluate.resample); without ``groups`` it resamples rows,
    and the interval is too narrow where headlines have several.

    Raises:
        ValueError: the arrays differ in length.
    """
    if not labels.shape == predicted_a.shape == predicted_b.shape:
        raise ValueError(f"{len(labels)} labels, {len(predicted_a)} and {len(predicted_b)} predictions; expected equal")
    headlines = count_cells((labels * CLASSES + predicted_a) * CLASSES + predicted_b, CLASSES**3, groups)
    values = _difference(resample(headlines, seed))
    low, high = np.percentile(values, [2.5, 97.5])
    value = float(_difference(headlines.sum(axis=0))[0])
    return Difference(value, float(low), float(high), float((values <= 0).mean()))


def _difference(cells: np.ndarray) -> np.ndarray:
    """Return macro-F1 of a less that of b, float (m,), of m draws over the cells."""
    cubes = cells.reshape(-1, CLASSES, CLASSES, CLASSES)
    return macro_f1(cubes.sum(axis=3)) - macro_f1(cubes.sum(axis=2))
