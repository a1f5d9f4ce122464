"""The correction for the number of tests, and the verdict by its rules, on outcomes made up for it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from training.study_ic import MeanTest, RankIC
from training.study_incremental import Gain, Incremental
from training.study_periods import PeriodTest
from training.study_portfolio import LongShort
from training.study_protocol import COSTS_BP
from training.study_verdict import adjust_p, collect_tests, judge

SERIES = pd.Series([0.0])


@pytest.mark.parametrize(
    ("values", "adjusted"),
    [
        ([], []),
        ([0.03], [0.03]),
        ([0.01, 0.02, 0.03, 0.04, 0.05], [0.05] * 5),
        ([0.5, 0.005, 0.04, 0.03], [0.5, 0.02, 0.16 / 3, 0.16 / 3]),
        ([0.9, 0.8], [0.9, 0.9]),
    ],
)
def test_benjamini_hochberg_by_hand(values: list[float], adjusted: list[float]) -> None:
    assert adjust_p(values) == pytest.approx(adjusted)


def make_test(mean: float, p: float) -> MeanTest:
    return MeanTest(mean, 0.01, mean / 0.01, p, 500, 40, 18.75)


def make_book(net: float) -> LongShort:
    return LongShort(5, SERIES, SERIES, make_test(net, 0.5), {cost: make_test(net, 0.5) for cost in COSTS_BP})


def make_increment(gain: float, p: float) -> Incremental:
    found = Gain(gain, gain - 0.01, gain + 0.01, p, 500)
    keys = [("logistic", name, "rank IC") for name in ("store - prices", "store - VADER", "placebo - prices")]
    return Incremental({}, dict.fromkeys(keys, found), 1000, 5)


def judge_one(signal: str, ic: float, ic_p: float, net: float, gain: float, gain_p: float):
    ics = {(signal, "1"): RankIC(SERIES, make_test(ic, ic_p), 40)}
    books, increments = {(signal, "1"): make_book(net)}, {"1": make_increment(gain, gain_p)}
    periods = {("monthly", signal): PeriodTest(ics[signal, "1"], books[signal, "1"])}
    tests = collect_tests(ics, books, increments, periods)
    return tests, judge(tests, books, increments, periods)


@pytest.mark.parametrize(
    ("signal", "ic", "ic_p", "net", "gain", "gain_p", "answer"),
    [
        ("sentiment_score", 0.02, 1e-6, 0.001, 0.02, 1e-4, "yes"),
        ("negative_share", -0.02, 1e-6, 0.001, 0.02, 1e-4, "yes"),
        ("negative_share", 0.02, 1e-6, 0.001, 0.02, 1e-4, "no"),  # the wrong sign
        ("sentiment_score", 0.02, 0.04, 0.001, 0.02, 1e-4, "no"),  # not after the correction
        ("sentiment_score", 0.02, 1e-6, -0.001, 0.02, 1e-4, "a trace"),  # costs eat it
        ("sentiment_score", 0.02, 1e-6, 0.001, -0.02, 1e-4, "a trace"),  # adds nothing
        ("sentiment_score", 0.02, 1e-6, 0.001, 0.02, 0.2, "a trace"),
        ("vader", 0.02, 1e-6, 0.001, 0.02, 1e-4, "no"),  # a baseline is no column of the store
    ],
)
def test_the_rules(signal: str, ic: float, ic_p: float, net: float, gain: float, gain_p: float, answer: str) -> None:
    _, verdict = judge_one(signal, ic, ic_p, net, gain, gain_p)
    assert verdict.answer == answer
    assert verdict.helps == (((signal, "1"),) if answer == "yes" else ())


def test_every_test_counts_and_a_placebo_is_none() -> None:
    tests, verdict = judge_one("sentiment_score", 0.02, 1e-6, 0.001, 0.02, 1e-4)
    assert len(tests) == 6
    assert not [key for key in tests if "placebo" in key[1]]
    p = np.array([[outcome.p, outcome.adjusted_p] for outcome in tests.values()])
    assert (p[:, 1] >= p[:, 0]).all()
    assert verdict.adds == verdict.beats_vader == ("1",)
    assert verdict.period_helps == (("monthly", "sentiment_score"),)
