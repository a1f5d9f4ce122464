"""Training rows -> the rows a run learns from: other versions, written rows and unlabelled headlines beside them.

Pure. Only training rows are enriched; validation and test rows never pass through here.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from .augment import vary_rows
from .corpus import pair_headlines
from .data import Example
from .losses import UNLABELLED
from .recipe import Recipe
from .written import write_examples

Epochs = list[list[int]]


def enrich_rows(
    train: Sequence[Example], headlines: Sequence[str], epochs: Epochs, recipe: Recipe, random: Random
) -> tuple[list[Example], Epochs]:
    """Return ``train`` and what ``recipe`` adds to it, and the ``epochs`` with indices into all of these.

    Every epoch gets ``written_rows`` of its own, and its share of ``headlines``: no headline comes twice.
    Deterministic under ``random``, of which nothing is drawn for a recipe that adds nothing.
    """
    added, epochs = vary_rows(train, epochs, recipe, random)
    written = write_examples(recipe.written_rows * recipe.epochs, random) if recipe.written_rows else []
    unlabelled = [
        Example(text, target, UNLABELLED, None, "unlabelled") for text, target in pair_headlines(headlines, random)
    ]
    epochs = share_rows(epochs, len(train) + len(added), len(written))
    epochs = share_rows(epochs, len(train) + len(added) + len(written), len(unlabelled))
    return [*train, *added, *written, *unlabelled], epochs


def share_rows(epochs: Epochs, first: int, count: int) -> Epochs:
    """Return ``epochs``, each with its part of the ``count`` rows from index ``first`` on, as equal as can be."""
    ends = [first + k * count // len(epochs) for k in range(len(epochs) + 1)]
    return [[*rows, *range(ends[k], ends[k + 1])] for k, rows in enumerate(epochs)]
