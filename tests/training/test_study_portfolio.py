"""Long-short books against values worked out by hand: weights, overlap, trades, costs, drawdown."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from training.study_portfolio import count_parts, form_tranches, hold_long_short, measure_drawdown, measure_trades

NAMES = 20
DAYS = pd.bdate_range("2020-01-02", periods=4)
RISING = pd.DataFrame([np.arange(NAMES, dtype=float)] * 2 + [np.full(NAMES, np.nan)] * 2, index=DAYS)
RETURNS = pd.DataFrame(0.0, index=DAYS, columns=RISING.columns)
RETURNS.iloc[:, 16:] = 0.01  # the top fifth earns 1 % a day, all others nothing


def test_the_top_fifth_is_long_and_the_bottom_fifth_short() -> None:
    weights = form_tranches(RISING, 5)
    assert weights.index.tolist() == DAYS[:2].tolist()
    assert weights.iloc[0].tolist() == [-0.25] * 4 + [0.0] * 12 + [0.25] * 4


def test_who_ties_with_the_last_belongs_to_the_part() -> None:
    tied = RISING.copy()
    tied.iloc[0, :5] = -1.0
    tied.iloc[1] = [0.0] * 19 + [1.0]
    weights = form_tranches(tied, 5)
    assert weights.index.tolist() == [DAYS[0]]  # the ends of the second day tie
    assert weights.iloc[0, :5].tolist() == [-0.2] * 5


def test_a_column_of_few_values_still_has_two_ends() -> None:
    shares = pd.DataFrame([[0.0] * 12 + [1.0] * 8])
    assert form_tranches(shares, 5).iloc[0].tolist() == pytest.approx([-1 / 12] * 12 + [1 / 8] * 8)


def test_a_book_of_one_day_pays_for_the_way_in_and_the_way_out() -> None:
    book = hold_long_short(RISING, RETURNS, 1)
    assert book.gross.tolist() == pytest.approx([0.01, 0.01])
    assert book.traded.tolist() == pytest.approx([2.0, 2.0])  # in: 1 long, 1 short; kept; out on the last day
    assert book.net(5.0).tolist() == pytest.approx([0.01 - 2 * 0.0005] * 2)
    assert book.break_even_bp == pytest.approx(50)


def test_open_to_close_pays_twice_every_day() -> None:
    book = hold_long_short(RISING, RETURNS.iloc[:2], 0)
    assert book.traded.tolist() == pytest.approx([4.0, 4.0])
    assert book.net(10.0).tolist() == pytest.approx([0.01 - 4 * 0.001] * 2)


def test_tranches_overlap() -> None:
    book = hold_long_short(RISING, RETURNS, 2)
    assert book.gross.tolist() == pytest.approx([0.005, 0.01, 0.005])  # half, whole, half invested
    assert book.traded.tolist() == pytest.approx([1.0, 1.0, 2.0])  # in, in; on the last day half out, then the rest


def test_a_ticker_without_a_price_earns_nothing() -> None:
    gone = RETURNS.copy()
    gone.iloc[1, 19] = np.nan
    assert hold_long_short(RISING, gone, 1).gross.tolist() == pytest.approx([0.01, 0.0075])


def test_trades_are_changes_of_weight() -> None:
    book = pd.DataFrame({"A": [1.0, 0.5, 0.0, 1.0], "B": [-1.0, -1.0, 0.0, 0.0]})
    assert measure_trades(book, is_closed_daily=False).tolist() == [2.0, 0.5 + 1.5, 0.0, 1.0]
    assert measure_trades(book, is_closed_daily=True).tolist() == [4.0, 3.0, 0.0, 2.0]


@pytest.mark.parametrize(
    ("returns", "depth"), [([0.1, 0.1], 0.0), ([-0.1, 0.3], 0.1), ([0.2, -0.1, -0.05, 0.3, -0.12], 0.15), ([], 0.0)]
)
def test_drawdown_is_the_deepest_fall(returns: list[float], depth: float) -> None:
    assert measure_drawdown(pd.Series(returns, dtype=float)) == pytest.approx(depth)


@pytest.mark.parametrize(("names", "parts"), [(20, 5), (99, 5), (100, 10)])
def test_thin_cross_sections_are_cut_in_fifths(names: int, parts: int) -> None:
    assert count_parts(pd.DataFrame(np.ones((3, names)))) == parts
