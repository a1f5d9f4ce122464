"""Validation labels and probabilities -> one temperature that makes confidence honest. Pure; classes never change.

The logarithm of a probability is its logit up to a constant per row, and that constant cancels, so no logits are kept.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize_scalar

from .evaluate import LEAST_PROBABILITY, log_loss

LOWEST, HIGHEST = 0.1, 10.0
"""Where every row is right, ever lower temperatures fit ever better: the bound is what stops it."""


def fit_temperature(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Return the temperature in LOWEST..HIGHEST with the lowest log-loss (Guo et al. 2017), 1 if none beats 1.

    ``labels`` int (n,), ``probabilities`` float (n, 3): rows the model was not trained on, and never test rows.
    """

    def loss(log_temperature: float) -> float:
        return log_loss(labels, apply_temperature(probabilities, float(np.exp(log_temperature))))

    found = minimize_scalar(loss, bounds=(np.log(LOWEST), np.log(HIGHEST)), method="bounded", options={"xatol": 1e-6})
    return float(np.exp(found.x)) if found.fun < loss(0.0) else 1.0


def apply_temperature(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """Return softmax(log p / temperature), float64 (n, 3): softer above 1, harder below."""
    logits = np.log(np.maximum(probabilities.astype(float), LEAST_PROBABILITY)) / temperature
    weights = np.exp(logits - logits.max(axis=1, keepdims=True))
    return weights / weights.sum(axis=1, keepdims=True)
