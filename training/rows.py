"""A recipe and the data -> the rows a run trains on, chooses on and is tested on, with their FiQA classes."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from .corpus import draw_headlines, split_name
from .data import Example, load_examples
from .fiqa import choose_thresholds, relabel_scores
from .readers import DataSource
from .recipe import Recipe
from .splits import SPLIT_SEED, Splits, fingerprint_splits, split_examples


@dataclass(frozen=True)
class Rows:
    """The rows of a run: ``train`` and ``validation`` of the recipe's sources, ``test`` of all sources.

    Train and validation carry the recipe's FiQA classes (``thresholds``), test always the fixed ones. ``examples`` are
    all rows as published, which ``splits`` indexes; ``relabelled`` the same with the recipe's classes on every side.
    ``headlines`` are the recipe's unlabelled ones, none of them a text of validation or test: of each file those of
    all epochs.
    """

    examples: list[Example]
    relabelled: list[Example]
    splits: Splits
    fingerprints: dict[str, str]
    thresholds: tuple[float, float]
    train: list[Example]
    validation: list[Example]
    test: list[Example]
    headlines: list[list[str]]

    @property
    def held_out(self) -> list[Example]:
        """The validation and test rows of all sources, also of those the recipe leaves out."""
        return [self.examples[i] for i in (*self.splits.validation, *self.splits.test)]


def read_rows(recipe: Recipe, data: DataSource) -> Rows:
    """Return the rows of ``recipe``. Every source is read and split, so that all recipes meet the same test rows.

    Raises:
        DataError: a source is out of reach or malformed, or percentile thresholds cannot be found.
    """
    examples = load_examples(data)
    splits = split_examples(examples, SPLIT_SEED)
    thresholds = choose_thresholds(recipe.fiqa_labels, examples, splits)
    relabelled = relabel_scores(examples, range(len(examples)), thresholds)
    return Rows(
        examples=examples,
        relabelled=relabelled,
        splits=splits,
        fingerprints=fingerprint_splits(examples, splits),
        thresholds=thresholds,
        train=[relabelled[i] for i in splits.train if examples[i].source in recipe.sources],
        validation=[relabelled[i] for i in splits.validation if examples[i].source in recipe.sources],
        test=[examples[i] for i in splits.test],
        headlines=draw_unlabelled(recipe, data, examples, splits),
    )


def draw_unlabelled(recipe: Recipe, data: DataSource, examples: list[Example], splits: Splits) -> list[list[str]]:
    """Return of every file of ``recipe.unlabelled`` the texts of all epochs."""
    held_out = {examples[i].text for i in (*splits.validation, *splits.test)}
    found = []
    for name, count in recipe.unlabelled.items():
        file, column = split_name(name)
        path, random = data.find_file(file), Random(recipe.seed)
        found.append(draw_headlines(path, count * recipe.epochs, held_out, random, column))
    return found
