"""Probabilities of held-out rows -> measures beside their baselines, and those -> readable tables. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from pipeline.text import LABELS

from .baselines import compare_baselines
from .data import Example
from .evaluate import evaluate_sources

TITLES = {"majority": "majority acc/F1", "vader": "VADER acc/F1", "zero_shot": "zero-shot acc/F1"}


def compare_model(
    train: Sequence[Example], rows: Sequence[Example], probabilities: np.ndarray, zero_shot: np.ndarray | None = None
) -> dict[str, Any]:
    """Return {"model": measures by source, overall and mix, "baselines": accuracy and macro_f1 by baseline and source}.

    ``zero_shot`` float (n, 3) is what the base says by its own labels, None where it has none.
    """
    return {"model": evaluate_sources(rows, probabilities), "baselines": compare_baselines(train, rows, zero_shot)}


AGREEMENT = {"all": "all agree", "75": "75 % agree", "66": "66 % agree", "50": "50 % agree"}
"""PhraseBank's slices, in words."""


def format_results(results: Mapping[str, Any]) -> str:
    """Return the tables of :func:`compare_model`: sources beside baselines, confusion matrices, slices, scores."""
    baselines = {name: results["baselines"][name] for name in TITLES if name in results["baselines"]}
    lines = [
        f"{'source':<11}{'rows':>6}  {'accuracy (95 %)':<19}{'macro-F1 (95 %)':<19}{'w-F1':>5}{'ECE':>6}"
        + "".join(f"{TITLES[name]:>18}" for name in baselines)
    ]
    for source, measures in results["model"].items():
        lines.append(_format_row(source, measures, baselines))
    for source, measures in results["model"].items():
        if "confusion" in measures:
            lines += ["", *_format_confusion(source, measures), *_format_details(source, measures, baselines)]
    return "\n".join(lines)


def format_calibration(calibration: Mapping[str, float]) -> str:
    """Return one line on the calibration in a run's metrics.json: what was fitted, and how validation rows changed."""
    change = "  ".join(
        f"{title} {calibration[f'{key}_before']:.3f} -> {calibration[f'{key}_after']:.3f}"
        for key, title in (("ece", "ECE"), ("nll", "log-loss"))
    )
    how = f"temperature {calibration['temperature']:.3f}, fitted"
    if "ridge" in calibration:
        how = f"last layer, ridge {calibration['ridge']:g} cross-fitted"
    return f"{how} on validation rows alone: {change}"


def format_contamination(found: Sequence[Mapping[str, Any]] | None) -> str:
    """Return one line per test set of which the base is known to have seen rows, and what says so.

    Where nothing is known, or the base itself is not (None), it says that.
    """
    if not found:
        known = "no record of the base" if found is None else "nothing known"
        return f"test rows the base is known to have seen\n  {known}, which does not say that there are none"
    lines = ["the base model has seen test rows; figures on them flatter it"]
    for one in found:
        share = "a share nobody stated" if one["known_share"] is None else f"{one['known_share']:.1%}"
        about = "" if one["is_exact"] or one["known_share"] is None else "about "
        known = f"{about}{share} of {one['test_row_count']} test rows"
        lines.append(f"  {one['source']:<11}{known}: {one['statement']} ({one['evidence']})")
    return "\n".join(lines)


def _format_row(source: str, measures: Mapping[str, Any], baselines: Mapping[str, Any]) -> str:
    def with_interval(name: str) -> str:
        low, high = measures[f"{name}_interval"]
        return f"{measures[name]:.3f} ({low:.3f}-{high:.3f}) "

    def beside(name: str) -> str:
        found = baselines[name].get(source)
        return f"{found['accuracy']:.3f}/{found['macro_f1']:.3f}" if found else ""

    def optional(name: str) -> str:
        return f"{measures[name]:.3f}" if name in measures else ""

    return (
        f"{source:<11}{measures.get('row_count', ''):>6}  {with_interval('accuracy')}{with_interval('macro_f1')}"
        f"{optional('weighted_f1'):>5}{optional('ece'):>6}" + "".join(f"{beside(name):>18}" for name in baselines)
    ).rstrip()


def _format_confusion(source: str, measures: Mapping[str, Any]) -> Iterator[str]:
    yield f"{source}: true class down, predicted across" + " " * 3 + "precision recall    F1"
    yield " " * 12 + "".join(f"{label:>10}" for label in LABELS)
    for label, row in zip(LABELS, measures["confusion"], strict=True):
        values = measures["classes"][label]
        scores = "".join(f"{values[key]:>8.3f}" for key in ("precision", "recall", "f1"))
        yield f"{label:>12}" + "".join(f"{count:>10}" for count in row) + scores


def _format_details(source: str, measures: Mapping[str, Any], baselines: Mapping[str, Any]) -> Iterator[str]:
    yield f"  calibration: ECE {measures['ece']:.3f}, log-loss {measures['nll']:.3f}, Brier {measures['brier']:.3f}"
    for name, part in measures.get("slices", {}).items():
        values = f"accuracy {part['accuracy']:.3f}  macro-F1 {part['macro_f1']:.3f}"
        yield f"  {AGREEMENT.get(name, name):<11}{part['row_count']:>6} rows  {values}"
    if "score" in measures:
        ours, theirs = measures["score"], baselines["vader"][source]["score"]
        low, high = ours["r2_interval"]
        fit = f"MSE {ours['mse']:.4f}, R2 {ours['r2']:.3f} ({low:.3f} to {high:.3f})"
        yield f"  score: {fit} (VADER: {theirs['mse']:.4f}, {theirs['r2']:.3f})"
