"""Measures against values worked out by hand."""

from __future__ import annotations

from collections.abc import Callable

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
    count_headlines,
    evaluate_sources,
    group_headlines,
    log_loss,
    macro_f1,
    measure,
    measure_score,
    mix_sources,
    reliability_curve,
    resample,
    score_of,
    weighted_f1,
)
from training.predict import find_changed, find_zero_shot, join_known, match_test
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
    rows = count_headlines(LABEL, GUESS)
    low, high = bootstrap(rows, accuracy, 1)
    assert [low, high] == bootstrap(rows, accuracy, 1)
    assert low < accuracy(MATRIX) < high
    narrow_low, narrow_high = bootstrap(np.tile(rows, (100, 1, 1)), accuracy, 1)
    # binomial: 1.96 * sqrt(p (1 - p) / n) on both sides, n = 600
    assert narrow_high - narrow_low == pytest.approx(2 * 1.96 * np.sqrt(4 / 6 * 2 / 6 / 600), rel=0.1)
    assert narrow_high - narrow_low < high - low


def test_headlines_are_told_apart_by_their_words_alone() -> None:
    texts = ["Acme up 2%", "ACME UP 2%!", "Acme up 20%", "...", "???", "acmé up 2%"]
    assert group_headlines([Example(text, "", 0, None, "fiqa") for text in texts]).tolist() == [0, 0, 1, 2, 3, 0]


def make_judged(rows_each: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return labels, predictions and headlines of 300 headlines with ``rows_each`` rows, right or wrong as one."""
    random = np.random.default_rng(5)
    labels = random.integers(0, 3, 300)
    predicted = np.where(random.random(300) < 0.3, (labels + 1) % 3, labels)
    return tuple(np.repeat(values, rows_each) for values in (labels, predicted, np.arange(300)))


@pytest.mark.parametrize("statistic", [accuracy, macro_f1])
def test_a_headline_judged_for_several_companies_counts_once_in_an_interval(statistic: Callable) -> None:
    """Four equal rows a headline say no more than one: by row the interval would be half as wide (1 / sqrt(4))."""
    once, often = make_judged(1), make_judged(4)
    expected = bootstrap(count_headlines(*once), statistic, 3)
    assert bootstrap(count_headlines(*often), statistic, 3) == pytest.approx(expected)
    low, high = bootstrap(count_headlines(*often[:2]), statistic, 3)
    assert high - low == pytest.approx((expected[1] - expected[0]) / 2, rel=0.1)


def repeat_judged(rows_each: int) -> tuple[list[Example], np.ndarray]:
    """Return :func:`make_judged` as rows of every source of MIX, each with a score, and their probabilities."""
    labels, predicted, headlines = make_judged(rows_each)
    cells = [(source, *pair) for source in MIX for pair in zip(labels.tolist(), headlines.tolist(), strict=True)]
    rows = [Example(f"{source} {headline}", "", label, label / 2, source) for source, label, headline in cells]
    return rows, np.tile(np.eye(3)[predicted], (len(MIX), 1))


def test_intervals_of_sources_mix_and_scores_draw_headlines() -> None:
    once, often = repeat_judged(1), repeat_judged(4)
    ones, manies = evaluate_sources(*once, seed=1), evaluate_sources(*often, seed=1)
    for place, found in ones.items():
        for name in ("accuracy", "accuracy_interval", "macro_f1", "macro_f1_interval"):
            assert manies[place][name] == pytest.approx(found[name]), (place, name)
    for name in ("r2", "r2_interval"):
        assert manies["fiqa"]["score"][name] == pytest.approx(ones["fiqa"]["score"][name])
        one, many = (compare_baselines(rows, rows)["vader"]["fiqa"]["score"][name] for rows, _ in (once, often))
        assert many == pytest.approx(one)


def test_where_every_headline_is_one_row_the_draws_are_those_of_the_rows() -> None:
    """A draw over the nine cells, as Efron 1979 has it; and a headline's number is only a name."""
    matrix = np.arange(9, 18).reshape(3, 3)
    cells = np.repeat(np.arange(9), matrix.ravel())
    total = len(cells)
    drawn = np.random.default_rng(4).multinomial(total, matrix.ravel() / total, size=1000).reshape(-1, 3, 3)
    for groups in (None, np.arange(total), np.random.default_rng(0).permutation(total) * 7):
        assert (resample(count_headlines(cells // 3, cells % 3, groups), 4) == drawn).all()


def test_the_spread_of_drawn_headlines_is_that_of_drawing_them_one_by_one() -> None:
    random = np.random.default_rng(8)
    groups = np.repeat(np.arange(200), random.integers(1, 6, 200))
    labels = random.integers(0, 3, 200)[groups]
    predicted = np.where(random.random(200)[groups] < 0.3, (labels + 1) % 3, labels)
    rows_of = [np.flatnonzero(groups == group) for group in range(200)]
    slow = []
    for _ in range(1000):
        rows = np.concatenate([rows_of[group] for group in random.integers(200, size=200)])
        slow.append(accuracy(count_confusion(labels[rows], predicted[rows])))
    low, high = measure(labels, np.eye(3)[predicted], 1, groups)["accuracy_interval"]
    assert [low, high] == pytest.approx(np.percentile(slow, [2.5, 97.5]), abs=0.015)


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
    rows = [Example(f"{source} {i}", "", 0, 0.5, source) for source, both in counts.items() for i in range(sum(both))]
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
    rows = count_headlines(np.zeros(400, dtype=int), np.repeat([0, 1], [300, 100]))
    assert (rows.sum(axis=0) == matrix).all()
    low, high = mix_sources(dict.fromkeys(MIX, rows))["accuracy_interval"]  # type: ignore[index]
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
    assert "last layer, ridge 0.003 cross-fitted" in format_calibration(figures | {"ridge": 0.003})
    one = {"source": "phrasebank", "test_row_count": 40, "evidence": "its card", "statement": "It was."}
    shown = format_contamination(
        [one | {"known_share": 0.5, "is_exact": False}, one | {"known_share": None, "is_exact": False}]
    )
    assert "about 50.0% of 40 test rows: It was. (its card)" in shown
    assert "a share nobody stated of 40" in shown


@pytest.mark.parametrize(("found", "known"), [([], "nothing known"), (None, "no record of the base")])
def test_no_known_contamination_is_not_said_to_be_none(found: list[dict[str, object]] | None, known: str) -> None:
    assert format_contamination(found) == (
        f"test rows the base is known to have seen\n  {known}, which does not say that there are none"
    )


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        ({}, ["a"]),
        ({"teachers": []}, ["a"]),
        ({"teachers": [{"contamination": [{"source": "a"}, {"source": "b"}]}]}, ["a", "b"]),
        ({"teachers": [{"contamination": []}, {"contamination": [{"source": "b"}]}]}, ["a", "b"]),
    ],
)
def test_what_a_teacher_has_seen_counts_too(record: dict[str, object], expected: list[str]) -> None:
    assert [one["source"] for one in join_known([{"source": "a"}], record)] == expected


@pytest.mark.parametrize(
    ("metrics", "expected"),
    [
        ({}, {}),
        ({"test": {"model": {}, "baselines": {"majority": {"mix": 1}}}}, {}),
        ({"test": {"baselines": {"majority": {"mix": 1}, "zero_shot": {"mix": 2}}}}, {"zero_shot": {"mix": 2}}),
    ],
)
def test_zero_shot_is_what_the_run_recorded_on_test(metrics: dict[str, object], expected: dict[str, object]) -> None:
    assert find_zero_shot(metrics) == expected


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
