"""FiQA's percentile thresholds come from training rows alone, and relabelling touches nothing else."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.text import LABELS
from training.data import Example, load_examples, name_of_score
from training.fiqa import choose_thresholds, find_terciles, relabel_scores
from training.readers import DataError, LocalFolder
from training.splits import Splits, split_examples

SCORES = st.floats(-1, 1, allow_nan=False)


def make_rows(scores: list[float | None]) -> list[Example]:
    return [Example(f"text {i}", "", 1, score, "fiqa") for i, score in enumerate(scores)]


def split_in_order(*sizes: int) -> Splits:
    bounds = [sum(sizes[:i]) for i in range(len(sizes) + 1)]
    train, validation, test = (tuple(range(*bounds[i : i + 2])) for i in range(3))
    return Splits(train, validation, test, ())


def test_terciles_part_the_training_scores_in_thirds() -> None:
    rows = make_rows([-0.9, -0.6, -0.3, 0.0, 0.3, 0.6, 0.9, None, 1.0])
    assert find_terciles(rows, split_in_order(8, 0, 1)) == pytest.approx((-0.3, 0.3))


@given(st.lists(SCORES, min_size=9, max_size=9), st.lists(SCORES, min_size=8, max_size=8))
def test_scores_outside_training_never_move_the_thresholds(held: list[float], others: list[float]) -> None:
    trained: list[float | None] = [-0.8, -0.5, -0.1, 0.0, 0.2, 0.7]
    splits = split_in_order(6, 4, 4)
    expected = find_terciles(make_rows([*trained, *held[:8]]), splits)
    assert find_terciles(make_rows([*trained, *others]), splits) == expected


def test_changing_every_test_score_of_a_whole_set_leaves_thresholds_and_training_labels(
    mini_data: LocalFolder,
) -> None:
    examples = load_examples(mini_data)
    splits = split_examples(examples, 42)
    spread = [
        replace(e, score=(i % 21 - 10) / 10) if i in splits.train and e.source == "fiqa" else e
        for i, e in enumerate(examples)
    ]
    outside = {*splits.validation, *splits.test, *(i for i, _ in splits.dropped)}
    moved = [replace(e, score=1.0) if i in outside and e.score is not None else e for i, e in enumerate(spread)]
    assert moved != spread
    thresholds = find_terciles(spread, splits)
    assert find_terciles(moved, splits) == thresholds
    trained = relabel_scores(spread, splits.train, thresholds), relabel_scores(moved, splits.train, thresholds)
    assert [trained[0][i] for i in splits.train] == [trained[1][i] for i in splits.train]


@given(st.lists(st.none() | SCORES, max_size=12), st.sets(st.integers(0, 11)), SCORES, SCORES)
def test_relabelling_changes_the_label_of_chosen_scored_rows_only(
    scores: list[float | None], chosen: set[int], one: float, other: float
) -> None:
    rows, thresholds = make_rows(scores), (min(one, other), max(one, other))
    for i, (before, after) in enumerate(zip(rows, relabel_scores(rows, chosen, thresholds), strict=True)):
        if i in chosen and before.score is not None:
            assert LABELS[after.label] == name_of_score(before.score, thresholds)
            assert replace(after, label=before.label) == before
        else:
            assert after == before


def test_a_recipe_chooses_between_fixed_and_percentile() -> None:
    rows, splits = make_rows([-0.9, 0.4, 0.5, 0.6]), split_in_order(4, 0, 0)
    assert choose_thresholds("fixed", rows, splits) == (-0.1, 0.1)
    assert choose_thresholds("percentile", rows, splits) == find_terciles(rows, splits) != (-0.1, 0.1)


@pytest.mark.parametrize(
    ("scores", "message"),
    [([None, None], "no training row carries a score"), ([0.2, 0.2, 0.2], "both terciles of the training scores are")],
)
def test_terciles_that_make_no_three_classes_are_refused(scores: list[float | None], message: str) -> None:
    with pytest.raises(DataError, match=message):
        find_terciles(make_rows(scores), split_in_order(len(scores), 0, 0))
