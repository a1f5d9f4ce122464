"""Measures against values worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from training.baselines import predict_majority, predict_vader
from training.data import Example
from training.evaluate import (
    accuracy,
    bootstrap,
    calibration_error,
    class_scores,
    count_confusion,
    evaluate_sources,
    macro_f1,
    measure_score,
    score_of,
    weighted_f1,
)

# true 0: 3 rows, 2 hit; true 1: 2 rows, 1 hit; true 2: 1 row, hit
LABEL = np.array([0, 0, 0, 1, 1, 2])
GUESS = np.array([0, 0, 1, 1, 2, 2])
MATRIX = np.array([[2, 1, 0], [0, 1, 1], [0, 0, 1]])


def test_confusion_has_true_classes_down() -> None:
    assert count_confusion(LABEL, GUESS).tolist() == MATRIX.tolist()


def test_class_scores_by_hand() -> None:
    precision, recall, f1 = class_scores(MATRIX)
    assert precision == pytest.approx([1, 1 / 2, 1 / 2])
    assert recall == pytest.approx([2 / 3, 1 / 2, 1])
    assert f1 == pytest.approx([4 / 5, 1 / 2, 2 / 3])


def test_summary_scores_by_hand() -> None:
    assert accuracy(MATRIX) == pytest.approx(4 / 6)
    assert macro_f1(MATRIX) == pytest.approx((4 / 5 + 1 / 2 + 2 / 3) / 3)
    assert weighted_f1(MATRIX) == pytest.approx((3 * 4 / 5 + 2 * 1 / 2 + 1 * 2 / 3) / 6)


def test_a_class_that_never_occurs_is_left_out_of_macro_f1_and_one_never_hit_counts_zero() -> None:
    assert macro_f1(np.array([[3, 0, 0], [0, 2, 0], [0, 0, 0]])) == 1.0
    assert macro_f1(np.array([[3, 0, 0], [1, 0, 0], [0, 0, 0]])) == pytest.approx((6 / 7 + 0) / 2)


def test_bootstrap_repeats_under_a_seed_holds_the_value_and_narrows_with_rows() -> None:
    low, high = bootstrap(MATRIX, accuracy, 1)
    assert [low, high] == bootstrap(MATRIX, accuracy, 1)
    assert low < accuracy(MATRIX) < high
    narrow_low, narrow_high = bootstrap(MATRIX * 100, accuracy, 1)
    # binomial: 1.96 * sqrt(p (1 - p) / n) on both sides, n = 600
    assert narrow_high - narrow_low == pytest.approx(2 * 1.96 * np.sqrt(4 / 6 * 2 / 6 / 600), rel=0.1)
    assert narrow_high - narrow_low < high - low


def test_calibration_error_by_hand() -> None:
    probabilities = np.array([[0.9, 0.1, 0.0], [0.2, 0.8, 0.0]])
    assert calibration_error(np.array([0, 0]), probabilities) == pytest.approx((0.1 + 0.8) / 2)
    # one bin: two rows at 0.9, one right: |1/2 - 0.9|
    assert calibration_error(np.array([0, 1]), probabilities[[0, 0]]) == pytest.approx(0.4)


def test_score_is_positive_less_negative() -> None:
    assert score_of(np.array([[0.2, 0.1, 0.7], [1, 0, 0]])) == pytest.approx([0.5, -1])


@pytest.mark.parametrize(
    ("predicted", "mse", "r2"), [([1, -1], 0, 1), ([0, 0], 1, 0), ([-1, 1], 4, -3), ([0.5, -0.5], 0.25, 0.75)]
)
def test_score_fit_by_hand(predicted: list[float], mse: float, r2: float) -> None:
    assert measure_score(np.array([1.0, -1.0]), np.array(predicted)) == pytest.approx({"mse": mse, "r2": r2})


def test_sources_and_slices_are_measured_apart() -> None:
    examples = [
        Example("a", "", 0, None, "phrasebank", "all"),
        Example("b", "", 1, None, "phrasebank", "50"),
        Example("c", "Acme", 2, 0.5, "fiqa", "post"),
    ]
    found = evaluate_sources(examples, np.eye(3)[[0, 0, 2]])
    assert {name: measures["accuracy"] for name, measures in found.items()} == pytest.approx(
        {"phrasebank": 0.5, "fiqa": 1.0, "overall": 2 / 3}
    )
    assert found["phrasebank"]["slices"]["all"]["accuracy"] == 1.0
    assert found["phrasebank"]["slices"]["50"]["accuracy"] == 0.0
    assert found["fiqa"]["score"]["mse"] == pytest.approx(0.25)


def test_majority_is_each_source_own() -> None:
    train = [Example("x", "", label, None, source) for source, label in [("a", 2), ("a", 2), ("a", 0), ("b", 1)]]
    rows = [Example("y", "", 0, None, source) for source in ("a", "b", "new")]
    assert predict_majority(train, rows).argmax(axis=1).tolist() == [2, 1, 2]


@pytest.mark.parametrize(
    ("text", "label"), [("A great and wonderful win", 2), ("A terrible, awful loss", 0), ("The board met on Monday", 1)]
)
def test_vader_reads_plain_words(text: str, label: int) -> None:
    assert predict_vader([Example(text, "", 1, None, "a")]).argmax(axis=1).tolist() == [label]
