"""A run's metrics and held-out rows -> the charts of its page: intervals, curves, calibration, scores. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from markupsafe import Markup

from ..evaluate import calibration_error, reliability_curve
from .charts import Line, draw_histogram, draw_lines, draw_reliability, draw_scatter
from .heat_maps import draw_interval
from .held_out import HeldRow

TITLES = {
    "phrasebank": "Financial PhraseBank",
    "twitter": "Twitter Financial News",
    "fiqa": "FiQA 2018 task 1",
    "sentfin": "SEntFiN 1.0",
    "overall": "All rows",
    "mix": "Weighted mix",
}
BASELINES = {"majority": "majority class", "vader": "VADER", "zero_shot": "zero-shot"}
BINS = 10


def summarise(metrics: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return one entry per source, then "overall" and "mix": test measures, baselines and the charts of both."""
    measured, baselines = metrics["test"]["model"], metrics["test"]["baselines"]
    entries = []
    for source in (source for source in TITLES if source in measured):
        beside = {name: baselines[name][source] for name in BASELINES if source in baselines.get(name, {})}
        charts = {
            key: draw_interval(
                f"interval-{source}-{key.replace('_', '-')}",
                f"{key.replace('_', '-')} of {TITLES[source]}",
                measured[source][key],
                measured[source][f"{key}_interval"],
                [found[key] for found in beside.values()],
            )
            for key in ("accuracy", "macro_f1")
        }
        entries.append({"source": source, "measures": measured[source], "baselines": beside, "charts": charts})
    return entries


def draw_charts(metrics: Mapping[str, Any], rows: Sequence[HeldRow]) -> dict[str, Markup]:
    """Return learning curves, reliability, confidence and FiQA's scores, by name."""
    test = [row for row in rows if row.split == "test"]
    scored = [row for row in test if row.example.score is not None]
    return draw_curves(metrics) | draw_confidence(test) | ({"scores": _draw_scores(scored)} if scored else {})


def draw_curves(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Return "loss" and "f1" per epoch, and "lines", (name, style) of every series of the latter."""
    epochs, best = metrics["epochs"], metrics["best_epoch"]

    def trace(key: str, name: str, style: int) -> Line | None:
        points = tuple((float(one["epoch"]), float(one[key])) for one in epochs if one.get(key) is not None)
        return Line(name, points, style) if points else None

    losses = [trace("loss", "training", 0), trace("validation_loss", "validation", 1)]
    scores = [trace(f"{source}_macro_f1", TITLES[source], i) for i, source in enumerate(list(TITLES)[:4])]
    lines = [line for line in [*scores, trace("macro_f1", TITLES["overall"], 4)] if line]
    loss_lines = [line for line in losses if line]
    last = "; ".join(f"{line.name} {dict(line.points)[best]:.3f}" for line in lines if best in dict(line.points))
    return {
        "loss": draw_lines("loss", "Loss per epoch", f"Chosen epoch {best}.", loss_lines, "loss", best),
        "loss_lines": [(line.name, line.style) for line in loss_lines],
        "f1": draw_lines("f1", "Validation macro-F1 per epoch", f"At epoch {best}: {last}.", lines, "macro-F1", best),
        "lines": [(line.name, line.style) for line in lines],
    }


def draw_confidence(rows: Sequence[HeldRow]) -> dict[str, Any]:
    """Return "reliability" and "histogram" of test ``rows``, and "ece", their calibration error."""
    labels = np.array([row.label for row in rows], dtype=int)
    probabilities = np.array([row.probabilities for row in rows])
    ece = calibration_error(labels, probabilities)
    is_wrong = np.array([row.is_wrong for row in rows])
    edges = np.linspace(1 / 3, 1 + 1e-9, BINS + 1)
    right, bad = (np.histogram(probabilities.max(axis=1)[chosen], edges)[0] for chosen in (~is_wrong, is_wrong))
    said = f"Calibration error {ece:.3f}, {len(rows)} test rows."
    curve = reliability_curve(labels, probabilities, BINS)
    told = f"{right[-1]} right and {bad[-1]} wrong rows in the most confident of {BINS} bins."
    return {
        "reliability": draw_reliability("reliability", "Accuracy by confidence", said, curve),
        "histogram": draw_histogram("histogram", "Confidence of right and wrong rows", told, right, bad),
        "ece": ece,
        "kinds": [(f"up: {right.sum()} right", 0), (f"down: {bad.sum()} wrong", 1)],
    }


def _draw_scores(rows: Sequence[HeldRow]) -> Markup:
    lines = []
    for style, kind in enumerate(("headline", "post")):
        held = [row for row in rows if row.example.slice == kind]
        lines.append(Line(kind, tuple((float(row.example.score or 0.0), row.score) for row in held), style))
    said = f"{len(rows)} test rows; points on the diagonal are predicted exactly."
    return draw_scatter("scores", "True and predicted scores of FiQA", said, lines)
