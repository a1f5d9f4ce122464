"""Training rows -> the rows a run learns from: other versions, written, reworded and unlabelled rows beside them.

Pure. Only training rows are enriched. What is added must not come near a validation or test row: a written row or a
headline that does is left out, another version gives way to the row it was made of.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random

from .augment import vary_rows
from .corpus import pair_headlines
from .data import Example
from .losses import UNLABELLED
from .recipe import Recipe
from .reword import reword_rows
from .splits import find_near
from .written import write_examples

Epochs = list[list[int]]


def enrich_rows(
    train: Sequence[Example],
    headlines: Sequence[Sequence[str]],
    near: Mapping[str, Sequence[str]],
    held_out: Sequence[str],
    epochs: Epochs,
    recipe: Recipe,
    random: Random,
) -> tuple[list[Example], Epochs]:
    """Return ``train`` and what ``recipe`` adds to it, and the ``epochs`` with indices into all of these.

    Every epoch gets ``written_rows`` and ``reworded_rows`` of its own, the latter by ``near`` words, and its share of
    each file's ``headlines``: none of a file comes twice. Of all those near a text of ``held_out`` (:func:`find_near`)
    are left out. Deterministic under ``random``, of which nothing is drawn for a recipe that adds nothing.
    """
    added, varied = vary_rows(train, epochs, recipe, random)
    plain, epochs = epochs, withdraw_near(epochs, varied, len(train), added, held_out)
    written = write_examples(recipe.written_rows * recipe.epochs, random) if recipe.written_rows else []
    written = keep_far(written, held_out)
    rows = [*train, *added, *written]
    epochs = share_rows(epochs, len(train) + len(added), len(written))
    if recipe.reworded_rows:
        reworded = keep_far(reword_rows(train, plain, recipe.reworded_rows * recipe.epochs, near, random), held_out)
        epochs = share_rows(epochs, len(rows), len(reworded))
        rows += reworded
    for texts in headlines:
        paired = pair_headlines(texts, random)
        unlabelled = keep_far([Example(text, name, UNLABELLED, None, "unlabelled") for text, name in paired], held_out)
        epochs = share_rows(epochs, len(rows), len(unlabelled))
        rows += unlabelled
    return rows, epochs


def withdraw_near(
    before: Epochs, after: Epochs, count: int, added: Sequence[Example], held_out: Sequence[str]
) -> Epochs:
    """Return ``after``, but with the row of ``before`` wherever an added one, of index ``count`` on, is near."""
    near = {count + i for i in find_near([example.text for example in added], held_out)} if added else set()
    return [
        [old if new in near else new for old, new in zip(*rows, strict=True)]
        for rows in zip(before, after, strict=True)
    ]


def keep_far(examples: Sequence[Example], held_out: Sequence[str]) -> list[Example]:
    """Return those of ``examples`` that are near no text of ``held_out``."""
    near = find_near([example.text for example in examples], held_out) if examples else set()
    return [example for i, example in enumerate(examples) if i not in near]


def share_rows(epochs: Epochs, first: int, count: int) -> Epochs:
    """Return ``epochs``, each with its part of the ``count`` rows from index ``first`` on, as equal as can be."""
    ends = [first + k * count // len(epochs) for k in range(len(epochs) + 1)]
    return [[*rows, *range(ends[k], ends[k + 1])] for k, rows in enumerate(epochs)]
