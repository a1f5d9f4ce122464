"""A trained model and rows it has not learned from -> honest probabilities, by its last layer alone, in place.

One temperature, or the layer fitted anew: an encoder is surer of rows it has learned from than of others, and its head
has met the former only. That is last-layer retraining (Kirichenko, Izmailov, Wilson 2023). A ridge holds the layer near
a multiple of the trained one; with an ever higher one there is but the temperature.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from sklearn.model_selection import GroupKFold
from torch.nn import functional
from transformers import PreTrainedTokenizerFast

from .batches import encode_examples, predict_logits
from .calibrate import apply_temperature, fit_temperature
from .data import Example
from .evaluate import calibration_error, group_headlines, log_loss
from .heads import find_last, fold_temperature
from .losses import CLASSES, read_scores
from .recipe import Recipe

RIDGES = (1.0, 0.3, 0.1, 0.03, 0.01, 0.003, 0.001, 0.0003)
FOLDS = 5
STEPS = 300
"""L-BFGS needs far fewer; this ends one that creeps."""


def calibrate_model(
    model: Any, tokenizer: PreTrainedTokenizerFast, recipe: Recipe, validation: Sequence[Example]
) -> tuple[dict[str, float], np.ndarray]:
    """Calibrate ``model`` in place by the recipe's ``calibration``; return its record and probabilities, float (n, 3).

    The record has "temperature", with a fitted head also "ridge", and ECE and log-loss of the ``validation`` rows
    before and after. What is after a fitted head is cross-fitted, in the record and in the probabilities: every row is
    judged by a head fitted without the rows of its headline.
    """
    features = read_features(model, tokenizer, recipe, validation)
    head = read_head(model)
    labels = torch.tensor([example.label for example in validation])
    before = torch.softmax(features @ head.T, dim=1).numpy()
    if recipe.calibration == "head":
        scores = torch.tensor([float("nan") if e.score is None else e.score for e in validation], dtype=torch.float64)
        weight = recipe.score_weight if recipe.score_head == "difference" else 0.0
        ridge, after = choose_ridge(features, head, labels, scores, weight, group_headlines(validation), recipe.seed)
        fitted, scale = fit_head(features, head, labels, scores, weight, ridge)
        write_head(model, fitted)
        record = {"temperature": 1 / scale, "ridge": ridge}
    else:
        temperature = fit_temperature(labels.numpy(), before)
        fold_temperature(model, temperature)
        record, after = {"temperature": temperature}, apply_temperature(before, temperature)
    for name, probabilities in (("before", before), ("after", after)):
        record[f"ece_{name}"] = calibration_error(labels.numpy(), probabilities)
        record[f"nll_{name}"] = log_loss(labels.numpy(), probabilities)
    return record, after


def choose_ridge(
    features: torch.Tensor,
    head: torch.Tensor,
    labels: torch.Tensor,
    scores: torch.Tensor,
    score_weight: float,
    groups: np.ndarray,
    seed: int,
) -> tuple[float, np.ndarray]:
    """Return the highest of RIDGES that is no worse than the best, and its cross-fitted probabilities, float (n, 3).

    Judged by the mean loss of rows that the head was fitted without; no worse is within one standard error of the
    difference (as Breiman, Friedman, Olshen, Stone 1984, section 3.4.3, but paired). ``groups`` int (n,): rows of one
    group are in one fold. The rest as in :func:`fit_head`.
    """
    folds = list(GroupKFold(FOLDS, shuffle=True, random_state=seed).split(features, groups=groups))
    found = torch.empty(len(RIDGES), *labels.shape, CLASSES, dtype=torch.float64)
    for i, ridge in enumerate(RIDGES):
        for fit, held in folds:
            fitted, _ = fit_head(features[fit], head, labels[fit], scores[fit], score_weight, ridge)
            found[i, held] = features[held] @ fitted.T
    losses = torch.stack([measure_rows(logits, labels, scores, score_weight) for logits in found])
    worse = losses - losses[losses.mean(dim=1).argmin()]
    chosen = next(i for i, rows in enumerate(worse) if rows.mean() <= rows.std() / len(rows) ** 0.5)
    return RIDGES[chosen], found[chosen].softmax(dim=1).numpy()


def fit_head(
    features: torch.Tensor,
    head: torch.Tensor,
    labels: torch.Tensor,
    scores: torch.Tensor,
    score_weight: float,
    ridge: float,
) -> tuple[torch.Tensor, float]:
    """Return s * ``head`` + change, float64 (3, d), and the scale s > 0, which together have the lowest loss.

    That is the mean of :func:`measure_rows` plus ``ridge`` times the sum of squares of the change. ``features`` and
    ``head`` float64 (n, d) and (3, d), a bias being a column of ones in the features; ``labels`` int (n,), ``scores``
    float64 (n,), NaN where a row has none. Deterministic; found by L-BFGS from the trained head.
    """
    log_scale = torch.zeros((), dtype=torch.float64, requires_grad=True)
    change = torch.zeros_like(head, requires_grad=True)
    logits = features @ head.T
    optimizer = torch.optim.LBFGS([log_scale, change], max_iter=STEPS, line_search_fn="strong_wolfe")

    def compute() -> torch.Tensor:
        optimizer.zero_grad()
        moved = log_scale.exp() * logits + features @ change.T
        loss = measure_rows(moved, labels, scores, score_weight).mean() + ridge * change.square().sum()
        loss.backward()
        return loss

    optimizer.step(compute)
    scale = log_scale.detach().exp()
    return scale * head + change.detach(), scale.item()


def measure_rows(logits: torch.Tensor, labels: torch.Tensor, scores: torch.Tensor, score_weight: float) -> torch.Tensor:
    """Return the loss of every row, float (n,): cross-entropy, plus ``score_weight`` times the squared error of scores.

    As in training, the score is read from p_positive - p_negative, and a row without one adds nothing.
    """
    error = torch.where(scores.isnan(), 0.0, read_scores(logits, "difference") - scores.nan_to_num())
    return functional.cross_entropy(logits, labels, reduction="none") + score_weight * error.square()


def read_features(
    model: Any, tokenizer: PreTrainedTokenizerFast, recipe: Recipe, examples: Sequence[Example]
) -> torch.Tensor:
    """Return what the last layer of ``model`` reads, float64 (n, d), with a column of ones where it has a bias."""
    layer = find_last(model)[1]
    hook = layer.register_forward_hook(lambda module, inputs, output: inputs[0])
    try:
        features = predict_logits(model, tokenizer, encode_examples(examples, tokenizer, recipe.max_length)).double()
    finally:
        hook.remove()
    return features if layer.bias is None else torch.cat([features, torch.ones(len(features), 1)], dim=1)


def read_head(model: Any) -> torch.Tensor:
    """Return the classes' rows of the last layer, float64 (3, d), the bias in the last column where there is one."""
    layer = find_last(model)[1]
    parts = [layer.weight, *([] if layer.bias is None else [layer.bias[:, None]])]
    return torch.cat([part.detach().cpu().double()[:CLASSES] for part in parts], dim=1)


def write_head(model: Any, head: torch.Tensor) -> None:
    """Put ``head``, as of :func:`read_head`, into the last layer, in place."""
    layer = find_last(model)[1]
    width = layer.in_features
    layer.weight.data[:CLASSES] = head[:, :width].to(layer.weight)
    if layer.bias is not None:
        layer.bias.data[:CLASSES] = head[:, width].to(layer.bias)
