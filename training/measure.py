"""A trained model and a run's rows -> what metrics.json and predictions.csv hold. Calibrates it on the way."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from transformers import PreTrainedTokenizerFast

from .batches import encode_examples, predict_logits, predict_probabilities
from .data import Example
from .evaluate import measure_score
from .fit import Fit
from .losses import read_scores
from .model import load_labelled_base
from .recipe import MODEL, RUN, Recipe
from .refit import calibrate_model
from .results import compare_model
from .rows import Rows

Probabilities = dict[str, np.ndarray]
"""Float (n, 3) for the rows of "validation" and of "test"."""


def measure_run(
    model: Any,
    tokenizer: PreTrainedTokenizerFast,
    recipe: Recipe,
    rows: Rows,
    fit: Fit,
    zero_shot: Probabilities | None,
) -> tuple[dict[str, Any], Probabilities]:
    """Calibrate ``model`` in place on the validation rows, then score the test rows; return measures and probabilities.

    Those of validation rows are what :func:`calibrate_model` returns: after a fitted head, not the final model's own.

    The measures are what metrics.json holds but for the run's cost. ``zero_shot`` is what the base said by its own
    labels, None where it has none.
    """
    result: dict[str, Any] = {
        "train_count": fit.row_count,
        "best_epoch": fit.best_epoch,
        "epochs": list(fit.epochs),
        "thresholds": list(rows.thresholds),
    }
    if recipe.score_head == "separate":
        result["score_head"] = measure_score_head(model, tokenizer, recipe, rows.test)
    result["calibration"], validation = calibrate_model(model, tokenizer, recipe, rows.validation)
    found = {"validation": validation, "test": _predict(model, tokenizer, recipe, rows.test)}
    return result | compare_splits(rows, recipe, found, zero_shot), found


def compare_splits(rows: Rows, recipe: Recipe, found: Probabilities, zero_shot: Probabilities | None) -> dict[str, Any]:
    """Return "validation" and "test" beside their baselines, and "test_percentile" if the classes were chosen so."""
    base = zero_shot or {}
    train = [rows.examples[i] for i in rows.splits.train]
    relabelled = [rows.relabelled[i] for i in rows.splits.train]
    result = {
        "validation": compare_model(relabelled, rows.validation, found["validation"], base.get("validation")),
        "test": compare_model(train, rows.test, found["test"], base.get("test")),
    }
    if recipe.fiqa_labels == "percentile":
        test = [rows.relabelled[i] for i in rows.splits.test]
        result["test_percentile"] = compare_model(relabelled, test, found["test"], base.get("test"))
    return result


def measure_score_head(
    model: Any, tokenizer: PreTrainedTokenizerFast, recipe: Recipe, test: list[Example]
) -> dict[str, float]:
    """Return mse and r2 of the score output on the test rows that carry a score."""
    scored = [example for example in test if example.score is not None]
    logits = predict_logits(model, tokenizer, encode_examples(scored, tokenizer, recipe.max_length))
    truth = np.array([example.score for example in scored], dtype=float)
    fit = measure_score(truth, read_scores(logits, "separate").numpy())
    return {key: fit[key] for key in ("mse", "r2")}


def predict_zero_shot(recipe: Recipe, rows: Rows, device: torch.device) -> Probabilities | None:
    """Return what the recipe's base says by its own labels before any training, None where it has none by our names.

    None of a run or model of ours too: it has learned from the very rows this recipe learns from.
    """
    if recipe.base.startswith((RUN, MODEL)):
        return None
    found = load_labelled_base(recipe)
    if found is None:
        return None
    model: Any
    model, tokenizer, columns = found
    model.to(device)
    return {
        name: _predict(model, tokenizer, recipe, examples)[:, list(columns)]
        for name, examples in (("validation", rows.validation), ("test", rows.test))
    }


def _predict(model: Any, tokenizer: PreTrainedTokenizerFast, recipe: Recipe, examples: list[Example]) -> np.ndarray:
    return predict_probabilities(model, tokenizer, encode_examples(examples, tokenizer, recipe.max_length)).numpy()
