"""The report of benchmarks.scoring: ratios, limits and goals follow from the figures, and a busy machine is named."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from benchmarks.headlines import write_pairs
from benchmarks.machine import Machine, Neighbours, describe_machine, read_peak_memory
from benchmarks.scoring_report import Figures, Fresh, Row, describe_speed, render_report
from benchmarks.shapes import BASELINE, MINILM, SHIPPED, read_shape
from pipeline.card import format_speed
from pipeline.config import HOME
from pipeline.model_folder import ONNX_FILE

FIGURES = Figures(
    machine=Machine("Made Chip", ("avx2",), 2, {"python": "3.11.0", "onnxruntime": "0.0.1"}),
    measured_at=datetime(2026, 1, 5, 12, 0, tzinfo=UTC),
    revision="a" * 40,
    shape=MINILM,
    threads=2,
    rounds=3,
    is_real=False,
    lengths=np.array([10, 20, 30]),
    products_per_s=1e12,
    others_share=0.01,
    rows=[Row(BASELINE, 96, 50.0, None), Row("tokenisation alone", 10_000, 40_000.0, None)]
    + [Row(SHIPPED, 10_000, 3000.0, 2e8)],
    fresh=[Fresh(BASELINE, 5.0, 900.0, 96), Fresh(SHIPPED, 0.5, 299.0, 10_000)],
    wall_s=100.0,
)


def test_products_of_minilm_are_those_of_its_matrices() -> None:
    """Six layers of four squares and two oblongs a token, attention's two a pair of tokens, pooler and head."""
    per_token = 6 * (4 * 384 * 384 + 2 * 384 * 1536)
    assert MINILM.count_products(np.array([1])) == per_token + 6 * 2 * 384 + 384 * 384 + 3 * 384
    assert MINILM.count_products(np.array([10, 30])) == 20 * per_token + 6 * 2 * 384 * 500 + 384 * 384 + 3 * 384


def test_a_graph_is_counted_as_it_runs() -> None:
    """No more than its encoder's plain size asks for; the shipped graph may skip what nobody reads."""
    from benchmarks.products import count_products

    lengths = np.array([5, 18, 40])
    plain = read_shape(HOME / "default_model").count_products(lengths)
    assert 0.5 * plain < count_products(HOME / "default_model" / ONNX_FILE, lengths) <= 1.001 * plain


def test_ratios_are_to_the_named_baseline_and_shares_to_the_limit() -> None:
    report = render_report(FIGURES)
    assert f"| {BASELINE} | 96 | 50 | 1.0 |  |" in report
    assert f"| {SHIPPED} | 10,000 | 3,000 | 60.0 | 60.0% |" in report
    assert "| eight-bit limit of the shipped model | | 5,000 | 100.0 | 100.0% |" in report
    assert "not installed: openvino, nncf" in report
    assert "Made Chip, 2 cores, avx2" in report


@pytest.mark.parametrize(
    ("rate", "first_s", "peak_mb", "met"),
    [
        (3000.0, 0.5, 299.0, [True, True, True, True]),
        (2999.9, 0.6, 300.0, [False, True, False, False]),
        (2599.9, 0.59, 299.9, [False, False, True, True]),
    ],
)
def test_goals_are_met_or_not(rate: float, first_s: float, peak_mb: float, met: list[bool]) -> None:
    rows = [*FIGURES.rows[:-1], Row(SHIPPED, 10_000, rate, 2e8)]
    figures = replace(FIGURES, rows=rows, fresh=[Fresh(SHIPPED, first_s, peak_mb, 10_000)])
    goals = render_report(figures).split("| goal for")[1].splitlines()[2:]
    assert [line.endswith("| met |") for line in goals] == met


@pytest.mark.parametrize(("share", "warned"), [(0.05, False), (0.06, True)])
def test_a_busy_machine_is_named(share: float, warned: bool) -> None:
    report = render_report(replace(FIGURES, others_share=share))
    assert ("too much to rely on any figure" in report) is warned


def test_the_card_can_say_what_was_measured() -> None:
    assert format_speed(describe_speed(FIGURES)).startswith("3,000 headlines a second (3 in one call")


def test_made_up_headlines_differ_and_are_the_same_every_time() -> None:
    pairs = write_pairs(3000)
    assert len(set(pairs)) == 3000
    assert pairs[:100] == write_pairs(100)
    assert all(company in headline for headline, company in pairs)
    assert 9 < np.mean([len(headline.split()) for headline, _ in pairs]) < 12


def test_the_machine_is_known() -> None:
    machine, neighbours = describe_machine(), Neighbours()
    assert machine.processor
    assert machine.cores >= 1
    assert machine.versions["onnxruntime"]
    assert 0 <= neighbours.find_share() <= 1
    assert 5 < read_peak_memory() < 100_000
