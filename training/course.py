"""The course of a fit, decided apart from it: batches, learning rate, what an epoch was worth, when to stop. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from random import Random

import numpy as np

from .batches import group_batches
from .data import Example
from .evaluate import accuracy, count_confusion, macro_f1, measure_score, score_of


def plan_batches(
    lengths: Sequence[int], epochs: Sequence[Sequence[int]], batch_size: int, random: Random
) -> list[list[list[int]]]:
    """Return the rows of every step of every epoch, rows of alike length together."""
    grouped = [group_batches([lengths[i] for i in rows], batch_size, random) for rows in epochs]
    return [[[rows[k] for k in batch] for batch in batches] for rows, batches in zip(epochs, grouped, strict=True)]


def find_rate(schedule: str, step: int, warmup: int, steps: int) -> float:
    """Return the share, 0..1, of the learning rate at ``step`` (from 0): up over ``warmup`` steps, then as named.

    "constant" stays at 1, "linear" falls to 0 at the last step's end, "cosine" does so along half a cosine wave
    (Loshchilov and Hutter 2017, without restarts).
    """
    left = (steps - step) / max(1, steps - warmup)
    after = {
        "constant": 1.0,
        "linear": left,
        "cosine": (1 + math.cos(math.pi * (1 - min(1.0, left)))) / 2,
    }
    return max(0.0, min((step + 1) / warmup, after[schedule]))


def format_epoch(record: Mapping[str, float], epochs: int) -> str:
    """Return one line on an epoch's record, of ``epochs`` at most."""
    sources = (
        f"{key.removesuffix('_macro_f1')} {value:.3f}" for key, value in record.items() if key.endswith("_macro_f1")
    )
    return (
        f"epoch {record['epoch']:.0f}/{epochs}  loss {record['loss']:.3f}  {record['seconds']:.0f} s  "
        f"validation: accuracy {record['accuracy']:.3f}, macro-F1 {record['macro_f1']:.3f} ({', '.join(sources)})"
    )


def record_epoch(
    number: int, losses: Sequence[float], seconds: float, validation: Sequence[Example], probabilities: np.ndarray
) -> dict[str, float]:
    """Return the mean loss, the seconds of training, and accuracy, macro-F1 and score fit on the validation rows."""
    labels, predicted = np.array([example.label for example in validation]), probabilities.argmax(axis=1)
    matrix = count_confusion(labels, predicted)
    record = {"loss": float(np.mean(losses)), "seconds": seconds}
    record |= {"accuracy": accuracy(matrix), "macro_f1": macro_f1(matrix)}
    scores: dict[str, float] = {}
    for source in dict.fromkeys(example.source for example in validation):
        held = [i for i, example in enumerate(validation) if example.source == source]
        record[f"{source}_macro_f1"] = macro_f1(count_confusion(labels[held], predicted[held]))
        truth = {i: score for i in held if (score := validation[i].score) is not None}
        if truth:
            fit = measure_score(np.array(list(truth.values())), score_of(probabilities[list(truth)]))
            scores[f"{source}_r2"] = fit["r2"]
    # Plain numbers: a checkpoint holds records, and one with NumPy's scalars could not be read again.
    return {"epoch": number} | {key: float(value) for key, value in (record | scores).items()}


def find_best(records: Sequence[dict[str, float]]) -> int:
    """Return the number of the epoch with the highest validation macro-F1, the latest of equals."""
    return max(range(len(records)), key=lambda i: (records[i]["macro_f1"], i)) + 1


def is_stalled(records: Sequence[dict[str, float]], patience: int) -> bool:
    """Say whether the last ``patience`` epochs all failed to beat the best before them; never for a patience of 0."""
    values = [record["macro_f1"] for record in records]
    return 0 < patience < len(values) and max(values[-patience:]) <= max(values[:-patience])
