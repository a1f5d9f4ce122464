"""Measures against values worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from training.baselines import compare_baselines, predict_majority, predict_vader
from training.data import Example
from training.evaluate import (
    MIX,
    accuracy,
    bootstrap,
    brier_score,
    calibration_error,
    class_scores,
    count_confusion,
    evaluate_sources,
    log_loss,
    macro_f1,
    measure_score,
    mix_sources,
    reliability_curve,
    score_of,
    weighted_f1,
)
from training.predict import find_changed, match_test
from training.results import compare_model, format_calibration, format_contamination, format_results

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
    found = measure_score(np.array([1.0, -1.0]), np.array(predicted))
    assert (found["mse"], found["r2"]) == pytest.approx((mse, r2))


def test_r2_interval_repeats_holds_the_value_and_narrows_with_rows() -> None:
    random = np.random.default_rng(2)
    truth = random.uniform(-1, 1, 400)
    predicted = truth + random.normal(0, 0.3, 400)
    few, many = (measure_score(truth[:n], predicted[:n], 1) for n in (40, 400))
    assert few == measure_score(truth[:40], predicted[:40], 1)
    widths = [found["r2_interval"][1] - found["r2_interval"][0] for found in (few, many)]
    assert many["r2_interval"][0] < many["r2"] < many["r2_interval"][1] <= 1
    assert widths[1] < widths[0] / 2


def test_scores_without_spread_have_no_r2_to_speak_of() -> None:
    found = measure_score(np.array([0.5, 0.5]), np.array([0.1, 0.9]))
    assert (found["r2"], found["r2_interval"]) == (0.0, [0.0, 0.0])


def test_log_loss_and_brier_by_hand() -> None:
    probabilities = np.array([[0.5, 0.25, 0.25], [0.0, 1.0, 0.0]])
    assert log_loss(np.array([0, 1]), probabilities) == pytest.approx(np.log(2) / 2)
    assert brier_score(np.array([0, 1]), probabilities) == pytest.approx((0.25 + 0.0625 * 2) / 2)
    assert brier_score(np.array([0]), probabilities[1:]) == 2.0
    assert np.isfinite(log_loss(np.array([0]), probabilities[1:]))


def test_reliability_curve_by_hand() -> None:
    probabilities = np.array([[0.9, 0.1, 0.0], [0.92, 0.08, 0.0], [0.4, 0.3, 0.3], [0.0, 0.0, 1.0]])
    found = reliability_curve(np.array([0, 1, 0, 2]), probabilities, bins=10)
    assert found == [
        {"count": 1, "confidence": pytest.approx(0.4), "accuracy": 1.0},
        {"count": 3, "confidence": pytest.approx((0.9 + 0.92 + 1) / 3), "accuracy": pytest.approx(2 / 3)},
    ]


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


def make_rows(counts: dict[str, tuple[int, int]]) -> tuple[list[Example], np.ndarray]:
    """Return rows of label 0 and their probabilities: (right, wrong) counts by source."""
    rows = [Example("x", "", 0, 0.5, source) for source, both in counts.items() for _ in range(sum(both))]
    guesses = [guess for right, wrong in counts.values() for guess in [0] * right + [1] * wrong]
    return rows, np.eye(3)[guesses]


def test_the_mix_weighs_sources_whatever_their_rows() -> None:
    rows, probabilities = make_rows({"twitter": (99, 1), "sentfin": (0, 50), "fiqa": (2, 2), "phrasebank": (4, 6)})
    found = evaluate_sources(rows, probabilities)
    assert sum(MIX.values()) == pytest.approx(1)
    assert found["mix"]["accuracy"] == pytest.approx(0.6 * 0.4 + 0.15 * 0.99 + 0.25 * 0.5)
    assert found["mix"]["macro_f1"] == pytest.approx(sum(MIX[s] * found[s]["macro_f1"] for s in MIX))
    low, high = found["mix"]["accuracy_interval"]
    assert low < found["mix"]["accuracy"] < high
    assert list(found) == ["twitter", "sentfin", "fiqa", "phrasebank", "overall", "mix"]


def test_no_mix_without_all_its_sources() -> None:
    rows, probabilities = make_rows({"twitter": (9, 1), "fiqa": (2, 2)})
    assert "mix" not in evaluate_sources(rows, probabilities)
    assert "mix" not in compare_baselines(rows, rows)["majority"]
    assert mix_sources({}) is None


def test_the_mix_interval_is_that_of_sources_drawn_apart() -> None:
    matrix = np.array([[300, 100, 0], [0, 0, 0], [0, 0, 0]])
    low, high = mix_sources(dict.fromkeys(MIX, matrix))["accuracy_interval"]  # type: ignore[index]
    spread = np.sqrt(sum(weight**2 for weight in MIX.values()) * 0.75 * 0.25 / 400)
    assert high - low == pytest.approx(2 * 1.96 * spread, rel=0.1)


def test_fiqa_posts_and_headlines_are_measured_apart() -> None:
    rows = [Example("a", "", 0, 0.1, "fiqa", "post"), Example("b", "", 0, 0.1, "fiqa", "headline")]
    found = evaluate_sources(rows, np.eye(3)[[0, 1]])["fiqa"]["slices"]
    assert {name: part["accuracy"] for name, part in found.items()} == {"headline": 0.0, "post": 1.0}


def test_every_baseline_stands_beside_every_source_and_zero_shot_where_given() -> None:
    rows, probabilities = make_rows({"phrasebank": (3, 1), "twitter": (1, 1), "fiqa": (1, 0)})
    without, beside = (compare_model(rows, rows, probabilities, zero) for zero in (None, probabilities))
    assert list(without["baselines"]) == ["majority", "vader"]
    assert list(beside["baselines"]) == ["majority", "vader", "zero_shot"]
    for measures in beside["baselines"].values():
        assert list(measures) == ["phrasebank", "twitter", "fiqa", "overall", "mix"]
    for place, measures in beside["model"].items():
        assert beside["baselines"]["zero_shot"][place]["macro_f1"] == measures["macro_f1"]
    assert beside["baselines"]["zero_shot"]["fiqa"]["score"]["mse"] == pytest.approx(2.25)
    assert "score" not in beside["baselines"]["majority"]["fiqa"]


def test_tables_show_every_place_baseline_and_calibration() -> None:
    rows, probabilities = make_rows({"phrasebank": (3, 1), "twitter": (1, 1), "fiqa": (1, 0)})
    shown = format_results(compare_model(rows, rows, probabilities, probabilities))
    for word in ("phrasebank", "overall", "mix", "VADER", "zero-shot", "majority", "calibration: ECE", "R2"):
        assert word in shown
    assert "zero-shot" not in format_results(compare_model(rows, rows, probabilities))


def test_temperature_and_contamination_are_said_in_words() -> None:
    figures = {"temperature": 1.5, "ece_before": 0.1, "ece_after": 0.02, "nll_before": 0.5, "nll_after": 0.4}
    shown = format_calibration(figures)
    assert "1.500" in shown
    assert "ECE 0.100 -> 0.020  log-loss 0.500 -> 0.400" in shown
    one = {"source": "phrasebank", "test_row_count": 40, "evidence": "its card", "statement": "It was."}
    shown = format_contamination(
        [one | {"known_share": 0.5, "is_exact": False}, one | {"known_share": None, "is_exact": False}]
    )
    assert "about 50.0% of 40 test rows: It was. (its card)" in shown
    assert "a share nobody stated of 40" in shown


DATA = {"fiqa": {"sha256": "aa"}, "twitter": {"sha256": "bb"}}


@pytest.mark.parametrize(
    ("record", "changed"),
    [
        ({}, None),
        ({"data_files": {"fiqa.csv": "aa"}}, None),
        ({"data": DATA}, []),
        ({"data": {"fiqa": {"sha256": "aa"}, "twitter": {"sha256": "cc"}}}, ["twitter"]),
        ({"data": {"twitter": {"sha256": "bb"}}}, ["fiqa"]),
    ],
)
def test_sources_whose_rows_changed_are_named(record: dict[str, object], changed: list[str] | None) -> None:
    assert find_changed(record, DATA) == changed


@pytest.mark.parametrize(("record", "same"), [({}, None), ({"splits": {"test": "x"}}, True), ({"splits": {}}, False)])
def test_other_test_rows_are_noticed(record: dict[str, object], same: bool | None) -> None:
    assert match_test(record, {"train": "y", "test": "x"}) is same


def test_majority_is_each_source_own() -> None:
    train = [Example("x", "", label, None, source) for source, label in [("a", 2), ("a", 2), ("a", 0), ("b", 1)]]
    rows = [Example("y", "", 0, None, source) for source in ("a", "b", "new")]
    assert predict_majority(train, rows).argmax(axis=1).tolist() == [2, 1, 2]


@pytest.mark.parametrize(
    ("text", "label"), [("A great and wonderful win", 2), ("A terrible, awful loss", 0), ("The board met on Monday", 1)]
)
def test_vader_reads_plain_words(text: str, label: int) -> None:
    assert predict_vader([Example(text, "", 1, None, "a")]).argmax(axis=1).tolist() == [label]
