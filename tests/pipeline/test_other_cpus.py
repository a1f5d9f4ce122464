"""The shipped model on a processor without VNNI: sums stay exact, scores and files stay within the stated tolerance.

What runs on another processor needs qemu-user and is skipped without it; what 16-bit pair sums do is held by a model
of them in numpy, which the emulated processor confirms.
"""

from __future__ import annotations

import json
import platform
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import onnx
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from onnxruntime import InferenceSession, SessionOptions

from benchmarks.cpus import SAMPLE, run_day
from benchmarks.cpus_report import (
    SHIPPED,
    USUAL,
    Figures,
    Filed,
    Scored,
    Summed,
    compare_frames,
    compare_probabilities,
    count_equal,
    render_report,
)
from benchmarks.emulator import EMULATOR, NATIVE, EmulatorError, find_obstacle, run_guest, run_python
from benchmarks.machine import describe_machine
from benchmarks.saturation import (
    Weights,
    draw_activations,
    list_weights,
    multiply_exactly,
    multiply_in_pairs,
    separate_zeros,
    write_product,
)
from pipeline.config import HOME
from pipeline.model_folder import GOLDEN_TOLERANCE, ONNX_FILE, read_model_folder
from pipeline.quantize_rounding import PAIR_SUM, largest_pair_sum, round_weights

CPU = "Haswell"
"""AVX2 without VNNI, as two thirds of hosted runners."""
GOLDEN_COUNT = 12
TICKER_COUNT = 3
MODEL = HOME / "default_model"
MATRICES = list_weights(onnx.load(MODEL / ONNX_FILE))
INSIDE = [matrix for matrix in MATRICES if "layer.0/" in matrix.name]

assert INSIDE, "the first layer was not found"
needs_emulator = pytest.mark.skipif(bool(find_obstacle()), reason=f"no other processor: {find_obstacle()}")


def draw_bytes(rows: int, width: int) -> st.SearchStrategy[np.ndarray]:
    """Return a strategy of activations, uint8 (rows, width), the extremes as likely as the rest."""
    return arrays.arrays(np.uint8, (rows, width), elements=st.one_of(st.sampled_from([0, 255]), st.integers(0, 255)))


@needs_emulator
def test_golden_scores_hold_without_vnni(tmp_path: Path) -> None:
    golden = read_model_folder(MODEL).golden[:GOLDEN_COUNT]
    pairs = tmp_path / "pairs.json"
    pairs.write_text(json.dumps([(row.headline, row.company) for row in golden]), encoding="utf-8")
    answer = run_guest(CPU, "scores", MODEL, pairs)
    assert answer.instructions == "avx2"
    expected = np.array([row.probabilities for row in golden])
    assert np.abs(answer.arrays["scores"] - expected).max() <= GOLDEN_TOLERANCE
    assert compare_probabilities(expected, answer.arrays["scores"]).labels_changed == 0


@needs_emulator
def test_sums_are_exact_without_vnni_where_the_usual_eight_bits_saturate_as_modelled(tmp_path: Path) -> None:
    products = {
        f"{kind}-{activity}-{i}": (activations[::4], values)
        for i, matrix in enumerate(INSIDE)
        for kind, values in (("shipped", matrix.values), ("usual", matrix.widen().values))
        for activity, activations in draw_activations(values)
    }
    for name, (activations, values) in products.items():
        write_product(tmp_path, name, activations, values)
    found = run_guest(CPU, "products", tmp_path).arrays
    for name, (activations, values) in products.items():
        is_exact = np.array_equal(found[name], multiply_exactly(activations, values))
        assert is_exact == name.startswith("shipped"), name
        assert np.array_equal(found[name], multiply_in_pairs(activations, values)), name


@needs_emulator
def test_the_recorded_day_leaves_the_same_files_within_the_tolerance(tmp_path: Path) -> None:
    universe = tmp_path / "tickers.csv"
    lines = (SAMPLE / "tickers.csv").read_text(encoding="utf-8").splitlines(keepends=True)
    universe.write_text("".join(lines[: TICKER_COUNT + 1]), encoding="utf-8")
    own, other = (run_day(cpu, tmp_path / f"on{cpu}", universe) for cpu in (NATIVE, CPU))
    for table in own:
        assert len(own[table]) >= TICKER_COUNT
        assert compare_frames(CPU, table, own[table], other[table]).largest <= GOLDEN_TOLERANCE


def test_the_runtimes_other_kernels_give_the_same_bits(tmp_path: Path) -> None:
    """The one code path that can be forced: "session.x64quantprecision" multiplies u8 by u8, by other instructions."""
    model, random = onnx.load(MODEL / ONNX_FILE), np.random.default_rng(7)
    separate_zeros(model)
    ids = random.integers(5, 3000, (8, 20))
    inputs = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
    answers, kinds = [], []
    for precise in "01":
        options = SessionOptions()
        options.log_severity_level = 3
        options.optimized_model_filepath = str(tmp_path / f"{precise}.onnx")
        options.add_session_config_entry("session.x64quantprecision", precise)
        session = InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        answers.append(session.run(None, inputs)[0])
        kinds.append({weights.values.dtype for weights in list_weights(onnx.load(tmp_path / f"{precise}.onnx"))})
    assert kinds == [{np.dtype("int8")}, {np.dtype("uint8" if platform.machine() == "x86_64" else "int8")}]
    assert np.array_equal(*answers)


@settings(max_examples=30, deadline=None)
@given(st.data(), st.integers(1, 40), st.integers(1, 5), st.integers(0, 10**6))
def test_no_activations_saturate_weights_under_the_pair_rule(
    data: st.DataObject, rows: int, columns: int, seed: int
) -> None:
    random = np.random.default_rng(seed)
    weights = random.standard_t(3, size=(rows, columns)).astype(np.float32)
    values, _ = round_weights(weights, np.diag(random.random(rows)))
    activations = data.draw(draw_bytes(3, rows))
    assert np.array_equal(multiply_in_pairs(activations, values), multiply_exactly(activations, values))


@settings(max_examples=100, deadline=None)
@given(st.data(), st.sampled_from(range(len(MATRICES))))
def test_no_activations_saturate_the_shipped_weights(data: st.DataObject, index: int) -> None:
    values = MATRICES[index].values
    pair = 2 * data.draw(st.integers(0, len(values) // 2 - 1))
    activations, values = data.draw(draw_bytes(2, 2)), values[pair : pair + 2]
    assert np.array_equal(multiply_in_pairs(activations, values), multiply_exactly(activations, values))


@pytest.mark.parametrize("matrix", MATRICES, ids=lambda matrix: matrix.name.split("/encoder/")[1])
def test_every_matrix_that_ships_keeps_the_rule_and_would_break_it_in_the_usual_eight_bits(matrix: Weights) -> None:
    assert largest_pair_sum(matrix.values) <= PAIR_SUM
    usual = matrix.widen()
    assert np.abs(usual.values.astype(int)).max(axis=0).min() == 127
    assert np.abs(usual.values * usual.scales - matrix.values * matrix.scales).max() <= 0.51 * usual.scales.max()
    worst = dict(draw_activations(usual.values))["worst"][:2]
    assert (multiply_in_pairs(worst, usual.values) != multiply_exactly(worst, usual.values)).any()


@given(st.integers(1, 127), st.integers(1, 127), st.sampled_from([1, -1]))
def test_the_rule_allows_all_that_can_be_allowed(first: int, second: int, sign: int) -> None:
    """Whoever breaks the rule by one saturates at activations of 255."""
    values = sign * np.array([[first], [second]], np.int8)
    largest = np.full((1, 2), 255, np.uint8)
    is_exact = np.array_equal(multiply_in_pairs(largest, values), multiply_exactly(largest, values))
    assert is_exact == (first + second <= PAIR_SUM)


@pytest.mark.parametrize(
    ("activations", "column", "expected"),
    [
        ([255, 255], [127, 127], 32767),
        ([255, 255], [-127, -127], -32768),
        ([255, 255], [127, -127], 0),
        ([255, 255, 255, 255], [127, 127, 127, 127], 65534),
        ([255, 0, 0, 255], [127, 127, 127, 127], 64770),
        ([255, 255, 255], [64, 64, 127], 65025),
        ([255, 255], [64, 65], 32767),
    ],
)
def test_pairs_are_summed_in_sixteen_bits_and_pairs_of_pairs_in_more(
    activations: list[int], column: list[int], expected: int
) -> None:
    found = multiply_in_pairs(np.array([activations], np.uint8), np.array(column, np.int8)[:, None])
    assert found.tolist() == [[expected]]


def test_scores_are_compared_by_what_is_written() -> None:
    first = np.array([[0.1, 0.2, 0.7], [0.4, 0.3, 0.3], [0.2, 0.6, 0.2]])
    second = np.array([[0.1, 0.2, 0.7], [0.3, 0.3, 0.4], [0.2004, 0.5996, 0.2]])
    found = compare_probabilities(first, second)
    assert (found.count, found.labels_changed) == (3, 1)
    assert (found.largest, found.mean) == pytest.approx((0.2, 0.2004 / 3))
    assert [count_equal(first, second, decimals) for decimals in (6, 4, 3, 0)] == [(1, 1), (1, 1), (2, 2), (3, 3)]


def test_the_report_holds_each_kind_of_weights_against_its_own_processor() -> None:
    one, two, three = (np.array([[0.1, 0.2, p]]) for p in (0.7, 0.701, 0.8))
    scored = [
        Scored("Own", "avx512", SHIPPED, one, 0.0, 1.0),
        Scored("A", "avx2", SHIPPED, two, 0.0, 9.0),
        Scored("B", "avx2", SHIPPED, two, 0.0, 9.0),
        Scored("Own", "avx512", USUAL, three, 0.0, 1.0),
        Scored("A", "avx2", USUAL, one, 0.03, 9.0),
    ]
    page = render_report(
        Figures(
            machine=describe_machine(),
            emulator="emulator 1",
            measured_at=datetime(2026, 11, 23, tzinfo=UTC),
            revision="0" * 40,
            scored=scored,
            matrix_count=2,
            summed=[Summed("avx2", USUAL, "any", 200, 50, 7)],
            filed=[Filed("A", "features", 5, 1, 2, 0.25, "share")],
            wall_s=60,
        )
    )
    assert "| A | avx2 | as shipped | 0.001000 | 0.001000 | 0 | 0.000000 | 9.0 |" in page
    assert "| A | avx2 | usual eight bits | 0.100000 | 0.100000 | 0 | 0.030000 | 9.0 |" in page
    assert "A and B: 1 of 1 rows equal to the last bit." in page
    assert "| 3 | 0 (0.0%) | 0 (0.0%) | 0 (0.0%) | 0 (0.0%) |" in page
    assert "| 2 | 1 (100.0%) | 1 (100.0%) | 1 (100.0%) | 1 (100.0%) |" in page
    assert "| avx2 | usual eight bits | any | 200 | 50 (25.0%) | 7 |" in page
    assert "| A | features | 5 | 1 | 2 | 0.250000 | share |" in page


def test_files_are_compared_cell_by_cell() -> None:
    first = pd.DataFrame({"ticker": ["AAPL", "MSFT"], "score": ["0.25", ""], "share": ["0.5", "0.5"]})
    alike = compare_frames("x", "t", first, first.copy())
    assert (alike.rows, alike.rows_changed, alike.cells_changed, alike.largest, alike.column) == (2, 0, 0, 0, "")
    moved = compare_frames("x", "t", first, first.assign(score=["0.26", ""], share=["0.5", "0.75"]))
    assert (moved.rows_changed, moved.cells_changed, moved.largest, moved.column) == (2, 2, 0.25, "share")
    for changes in ({"score": ["0.25", "0.1"]}, {"ticker": ["AAPL", "MSFX"]}):
        assert compare_frames("x", "t", first, first.assign(**changes)).largest == np.inf
    with pytest.raises(ValueError, match=r"expected the same columns and rows"):
        compare_frames("x", "t", first, first[:1])


@pytest.mark.parametrize(
    ("machine", "found", "expected"),
    [
        ("aarch64", "/bin/it", f"{EMULATOR} runs this Python on x86-64 alone, and this machine is aarch64"),
        ("x86_64", None, f"{EMULATOR} is not installed (Debian and Ubuntu have it in the package qemu-user)"),
        ("x86_64", "/bin/it", ""),
    ],
)
def test_what_stands_in_the_way_is_said(
    machine: str, found: str | None, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("platform.machine", lambda: machine)
    monkeypatch.setattr("shutil.which", lambda _: found)
    assert find_obstacle() == expected
    if expected:
        with pytest.raises(EmulatorError, match="^" + expected.split(" (")[0]):
            run_python(CPU, ["-c", "pass"])


def test_a_guest_that_fails_is_one_line() -> None:
    with pytest.raises(EmulatorError, match=r"ended with 3: of no use$"):
        run_python(NATIVE, ["-c", "import sys; print('first\\nof no use', file=sys.stderr); sys.exit(3)"])
