"""A trained model and rows it has not learned from -> honest probabilities, by its last layer alone, in place.

One temperature, or the layer fitted anew: an encoder is surer of rows it has learned from than of others, and its head
has met the former only. That is last-layer retraining (Kirichenko, Izmailov, Wilson 2023). A ridge holds the layer near
a multiple of the trained one; with an ever higher one there is but the temperature.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
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
from .heads import find_last, read_head, write_head
from .losses import CLASSES, compare_scores
from .recipe import Recipe

RIDGES = (1.0, 0.3, 0.1, 0.03, 0.01, 0.003, 0.001, 0.0003)
FOLDS = 5
STEPS = 300
"""L-BFGS needs far fewer; this ends one that creeps."""


@dataclass(frozen=True)
class FeatureRows:
    """What a head is fitted to: n rows, and what each counts in the mean of their losses.

    ``features`` float64 (n, d) are what the last layer reads, with a column of ones where it has a bias. ``labels`` int
    (n,), ``scores`` float64 (n,), NaN where a row has none, ``weights`` float64 (n,).
    """

    features: torch.Tensor
    labels: torch.Tensor
    scores: torch.Tensor
    weights: torch.Tensor

    def take(self, chosen: np.ndarray) -> FeatureRows:
        """Return the rows with the indices ``chosen``."""
        return FeatureRows(*(values[chosen] for values in vars(self).values()))


def calibrate_model(
    model: Any, tokenizer: PreTrainedTokenizerFast, recipe: Recipe, validation: Sequence[Example]
) -> tuple[dict[str, float], np.ndarray]:
    """Calibrate ``model`` in place by the recipe's ``calibration``; return its record and probabilities, float (n, 3).

    The record has "temperature", with a fitted head also "ridge", and ECE and log-loss of the ``validation`` rows
    before and after. What is after a fitted head is cross-fitted, in the record and in the probabilities: every row is
    judged by a head fitted without the rows of its headline.
    """
    rows, head = read_features(model, tokenizer, recipe, validation), read_head(model)
    labels, before = rows.labels.numpy(), (rows.features @ head.T).softmax(dim=1).numpy()
    if recipe.calibration == "head":
        weight = recipe.score_weight if recipe.score_head == "difference" else 0.0
        ridge, after = choose_ridge(rows, head, weight, group_headlines(validation), recipe.seed)
        fitted, scale = fit_head(rows, head, weight, ridge)
        record = {"temperature": 1 / scale, "ridge": ridge}
    else:
        temperature = fit_temperature(labels, before)
        fitted, after = head / temperature, apply_temperature(before, temperature)
        record = {"temperature": temperature}
    write_head(model, fitted)
    for name, probabilities in (("before", before), ("after", after)):
        record[f"ece_{name}"] = calibration_error(labels, probabilities)
        record[f"nll_{name}"] = log_loss(labels, probabilities)
    return record, after


def choose_ridge(
    rows: FeatureRows, head: torch.Tensor, score_weight: float, groups: np.ndarray, seed: int
) -> tuple[float, np.ndarray]:
    """Return the highest of RIDGES that is no worse than the best, and its cross-fitted probabilities, float (n, 3).

    Judged by the mean loss of rows that the head was fitted without; no worse is within one standard error of the
    difference (as Breiman, Friedman, Olshen, Stone 1984, section 3.4.3, but paired). ``groups`` int (n,): rows of one
    group are in one fold.
    """
    folds = list(GroupKFold(FOLDS, shuffle=True, random_state=seed).split(rows.features, groups=groups))
    logits = torch.empty(len(RIDGES), len(rows.labels), CLASSES, dtype=torch.float64)
    for i, ridge in enumerate(RIDGES):
        for fit, held in folds:
            logits[i, held] = rows.features[held] @ fit_head(rows.take(fit), head, score_weight, ridge)[0].T
    losses = torch.stack([measure_rows(one, rows, score_weight) for one in logits])
    worse = losses - losses[losses.mean(dim=1).argmin()]
    chosen = next(i for i, more in enumerate(worse) if more.mean() <= more.std() / len(more) ** 0.5)
    return RIDGES[chosen], logits[chosen].softmax(dim=1).numpy()


def fit_head(rows: FeatureRows, head: torch.Tensor, score_weight: float, ridge: float) -> tuple[torch.Tensor, float]:
    """Return s * ``head`` + change, float64 (3, d), and the scale s > 0, which together have the lowest loss.

    That is the mean of :func:`measure_rows` plus ``ridge`` times the sum of squares of the change. ``head`` is float64
    (3, d). Deterministic; found by L-BFGS from the trained head.
    """
    log_scale = torch.zeros((), dtype=torch.float64, requires_grad=True)
    change = torch.zeros_like(head, requires_grad=True)
    logits = rows.features @ head.T
    optimizer = torch.optim.LBFGS([log_scale, change], max_iter=STEPS, line_search_fn="strong_wolfe")

    def compute() -> torch.Tensor:
        optimizer.zero_grad()
        moved = log_scale.exp() * logits + rows.features @ change.T
        loss = measure_rows(moved, rows, score_weight).mean() + ridge * change.square().sum()
        loss.backward()
        return loss

    optimizer.step(compute)
    scale = log_scale.detach().exp()
    return scale * head + change.detach(), scale.item()


def measure_rows(logits: torch.Tensor, rows: FeatureRows, score_weight: float) -> torch.Tensor:
    """Return what each row adds to the loss, float (n,), from ``logits`` float (n, 3).

    Its weight times its cross-entropy plus ``score_weight`` times the squared error of its score. As in training, the
    score is read from p_positive - p_negative, and a row without one adds nothing for it.
    """
    entropy = functional.cross_entropy(logits, rows.labels, reduction="none")
    return rows.weights * (entropy + score_weight * compare_scores(logits, rows.scores, "difference"))


def read_features(
    model: Any, tokenizer: PreTrainedTokenizerFast, recipe: Recipe, examples: Sequence[Example]
) -> FeatureRows:
    """Return ``examples`` as the last layer of ``model`` meets them, each source weighing what it does in training."""
    layer = find_last(model)[1]
    hook = layer.register_forward_hook(lambda module, inputs, output: inputs[0])
    try:
        features = predict_logits(model, tokenizer, encode_examples(examples, tokenizer, recipe.max_length)).double()
    finally:
        hook.remove()
    if layer.bias is not None:
        features = torch.cat([features, torch.ones(len(features), 1)], dim=1)
    labels = torch.tensor([example.label for example in examples])
    scores = [float("nan") if example.score is None else example.score for example in examples]
    return FeatureRows(features, labels, torch.tensor(scores, dtype=torch.float64), weigh_rows(recipe, examples))


def weigh_rows(recipe: Recipe, examples: Sequence[Example]) -> torch.Tensor:
    """Return a weight per row, float64 (n,) of mean 1: the recipe's ``repeats`` of its source, or its share of ``mix``.

    A source that the recipe does not train on weighs 0.
    """
    counts = Counter(example.source for example in examples)
    shares: dict[str, float] = {
        source: share / counts[source] for source, share in recipe.mix.items() if counts[source]
    }
    shares |= recipe.repeats
    weights = torch.tensor([shares.get(example.source, 0) for example in examples], dtype=torch.float64)
    return weights / weights.mean()
