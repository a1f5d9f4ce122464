"""Probabilities of held-out rows -> measures beside their baselines, and those -> readable tables. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from pipeline.text import LABELS

from .baselines import predict_majority, predict_vader, score_vader
from .data import Example
from .evaluate import evaluate_source, evaluate_sources, measure_score
from .splits import Splits


def compare_model(train: Sequence[Example], rows: Sequence[Example], probabilities: np.ndarray) -> dict[str, Any]:
    """Return {"model": measures by source and overall, "baselines": accuracy and macro_f1 by baseline and source}."""
    return {"model": evaluate_sources(rows, probabilities), "baselines": compare_baselines(train, rows)}


def compare_baselines(train: Sequence[Example], rows: Sequence[Example]) -> dict[str, Any]:
    """Return accuracy and macro_f1 (and the score's fit, for VADER) of every baseline, by baseline and source."""
    predictions = {"majority": predict_majority(train, rows), "vader": predict_vader(rows)}
    result: dict[str, Any] = {name: {} for name in predictions}
    for source in dict.fromkeys(row.source for row in rows):
        held = [i for i, row in enumerate(rows) if row.source == source]
        for name, probabilities in predictions.items():
            measures = evaluate_source([rows[i] for i in held], probabilities[held])
            result[name][source] = {key: measures[key] for key in ("accuracy", "macro_f1")}
        truth = [score for i in held if (score := rows[i].score) is not None]
        if truth:
            scores = score_vader([rows[i] for i in held if rows[i].score is not None])
            result["vader"][source]["score"] = measure_score(np.array(truth), scores)
    return result


def format_splits(examples: Sequence[Example], splits: Splits, files: Mapping[str, str]) -> str:
    """Return rows and label shares per split and source, dropped rows with reasons, and the data files' SHA-256."""
    counts = Counter((name, examples[i].source, examples[i].label) for name, ix in splits.by_name().items() for i in ix)
    lines = [f"{'split':<11}{'source':<12}{'rows':>7}" + "".join(f"{label:>16}" for label in LABELS)]
    for name, source in dict.fromkeys((name, e.source) for name in splits.by_name() for e in examples):
        row = [counts[name, source, label] for label in range(len(LABELS))]
        cells = "".join(f"{count:>7} ({count / max(1, sum(row)):6.1%})" for count in row)
        lines.append(f"{name:<11}{source:<12}{sum(row):>7}{cells}")
    lines += ["", "dropped rows"]
    reasons = Counter((examples[i].source, reason) for i, reason in splits.dropped)
    lines += [f"  {source:<12}{count:>5}  {reason}" for (source, reason), count in sorted(reasons.items())]
    lines += ["", "data files, sha256"]
    return "\n".join(lines + [f"  {digest}  {file}" for file, digest in files.items()])


def format_results(results: Mapping[str, Any]) -> str:
    """Return the tables of :func:`compare_model`: sources beside baselines, confusion matrices, slices, scores."""
    lines = [
        f"{'source':<11}{'rows':>6}  {'accuracy (95 %)':<19}{'macro-F1 (95 %)':<19}{'w-F1':>5}{'ECE':>6}"
        f"{'majority acc/F1':>17}{'VADER acc/F1':>15}"
    ]
    for source, measures in results["model"].items():
        lines.append(_format_row(source, measures, results["baselines"]))
    for source, measures in results["model"].items():
        lines += ["", *_format_confusion(source, measures), *_format_details(source, measures, results["baselines"])]
    return "\n".join(lines)


def _format_row(source: str, measures: Mapping[str, Any], baselines: Mapping[str, Any]) -> str:
    def with_interval(name: str) -> str:
        low, high = measures[f"{name}_interval"]
        return f"{measures[name]:.3f} ({low:.3f}-{high:.3f}) "

    def beside(name: str) -> str:
        found = baselines[name].get(source)
        return f"{found['accuracy']:.3f}/{found['macro_f1']:.3f}" if found else ""

    return (
        f"{source:<11}{measures['row_count']:>6}  {with_interval('accuracy')}{with_interval('macro_f1')}"
        f"{measures['weighted_f1']:>5.3f}{measures['ece']:>6.3f}{beside('majority'):>17}{beside('vader'):>15}"
    )


def _format_confusion(source: str, measures: Mapping[str, Any]) -> Iterator[str]:
    yield f"{source}: true class down, predicted across" + " " * 3 + "precision recall    F1"
    yield " " * 12 + "".join(f"{label:>10}" for label in LABELS)
    for label, row in zip(LABELS, measures["confusion"], strict=True):
        values = measures["classes"][label]
        scores = "".join(f"{values[key]:>8.3f}" for key in ("precision", "recall", "f1"))
        yield f"{label:>12}" + "".join(f"{count:>10}" for count in row) + scores


def _format_details(source: str, measures: Mapping[str, Any], baselines: Mapping[str, Any]) -> Iterator[str]:
    for name, part in measures.get("slices", {}).items():
        values = f"accuracy {part['accuracy']:.3f}  macro-F1 {part['macro_f1']:.3f}"
        yield f"  {name:<9}{part['row_count']:>6} rows  {values}"
    if "score" in measures:
        ours, theirs = measures["score"], baselines["vader"][source]["score"]
        yield f"  score: MSE {ours['mse']:.4f}, R2 {ours['r2']:.3f} (VADER: {theirs['mse']:.4f}, {theirs['r2']:.3f})"
