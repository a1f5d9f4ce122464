"""A study -> its tables. Pure: the same study, the same cells. A star marks p < 0.05 adjusted over all tests."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from .comparison_table import Table, show_p
from .study import Study
from .study_ic import MeanTest, RankIC, measure_mean
from .study_incremental import COMPARISONS, SETS
from .study_panel import LEGS
from .study_portfolio import BASIS_POINT, LongShort, measure_drawdown
from .study_protocol import BASELINES, COSTS_BP, HORIZONS, PERIODS, SIGNALS
from .study_verdict import GAIN, LONG_SHORT, PERIOD_IC, PERIOD_LONG_SHORT, RANK_IC, Outcome, name_gain
from .study_walk import MEASURES

YEAR = 252
SHOWN_YEARS = (("sentiment_score", "open-close"), ("sentiment_score", "1"), ("negative_share", "1"),
               ("sentiment_score_21", "21"))  # fmt: skip


def tabulate_ics(study: Study) -> Table:
    """Return mean rank IC and t by signal and horizon, with days and breadth."""
    header = ("signal", "expected", *(f"{name}: IC (t)" for name in HORIZONS), "days", "tickers a day", "found from")
    rows = []
    for signal, sign in SIGNALS.items():
        found = [study.ics[signal, horizon] for horizon in HORIZONS]
        cells = [show_ic(ic, study.tests[RANK_IC, signal, h]) for ic, h in zip(found, HORIZONS, strict=True)]
        title = f"{signal} (baseline)" if signal in BASELINES else signal
        one_day = study.ics[signal, "1"]
        rows.append((title, "+" if sign > 0 else "-", *cells, str(one_day.test.count), str(one_day.breadth),
                     show_detectable(one_day.test, 4)))  # fmt: skip
    return Table("", header, (*rows, *tabulate_placebos(study)))


def tabulate_placebos(study: Study) -> list[tuple[str, ...]]:
    """Return a row per placebo: the mean IC over draws and the range of t."""
    rows = []
    for source in dict.fromkeys(source for source, _ in study.placebos):
        cells = [show_draws(study.placebos[source, horizon]) for horizon in HORIZONS]
        rows.append((f"{source}, shuffled", "0", *cells, "", "", ""))
    return rows


def tabulate_years(study: Study) -> Table:
    """Return the mean rank IC and p of SHOWN_YEARS by calendar year: degrees of freedom are too few to show t."""
    daily = {cell: study.ics[cell].daily for cell in SHOWN_YEARS}
    years = sorted({year for series in daily.values() for year in pd.DatetimeIndex(series.index).year})
    rows = []
    for year in years:
        parts = [(series[pd.DatetimeIndex(series.index).year == year], h) for (_, h), series in daily.items()]
        tests = [measure_mean(part.to_numpy(), HORIZONS[horizon]) for part, horizon in parts]
        cells = [f"{test.mean:+.4f} ({show_p(test.p)})" if test.is_made else "" for test in tests]
        rows.append((str(year), *cells, str(tests[0].count)))
    return Table("", ("year", *(f"{signal}, {horizon}" for signal, horizon in SHOWN_YEARS), "days"), tuple(rows))


def tabulate_legs(study: Study) -> Table:
    """Return top less bottom and the t of the rank IC, by signal and the returns around its session."""
    signals = list(dict.fromkeys(signal for signal, _ in study.legs))
    rows = tuple((signal, *(show_leg(study, signal, leg) for leg in LEGS)) for signal in signals)
    return Table("", ("signal", *LEGS), rows)


def tabulate_books(study: Study) -> Table:
    """Return the long-short books by signal and horizon."""
    rows = [
        (signal, horizon, *show_book(study.books[signal, horizon], study.tests[LONG_SHORT, signal, horizon], YEAR))
        for signal in SIGNALS
        for horizon in HORIZONS
        if (signal, horizon) in study.books
    ]
    return Table("", ("signal", "horizon", *name_book_cells("day")), tuple(rows))


def name_book_cells(unit: str) -> tuple[str, ...]:
    """Return the header over the cells of show_book; ``unit`` is the time from one return to the next."""
    return (
        "parts",
        f"traded a {unit}",
        "gross a year (t)",
        *(f"net of {cost:g} bp (t)" for cost in COSTS_BP),
        "break-even, bp a side",
        f"drawdown, net of {COSTS_BP[0]:g} bp",
    )


def show_book(book: LongShort, outcome: Outcome, periods_a_year: int) -> tuple[str, ...]:
    """Return the cells under name_book_cells; returns in percent a year of one side's value."""
    percent = 100 * periods_a_year
    net = (f"{book.net_tests[cost].mean * percent:+.1f} % ({show_t(book.net_tests[cost])})" for cost in COSTS_BP)
    gross = f"{book.gross_test.mean * percent:+.1f} % ({show_t(book.gross_test)}){star(outcome)}"
    drawdown = f"{100 * measure_drawdown(book.net(COSTS_BP[0])):.0f} %"
    return (str(book.parts), f"{book.traded.mean():.2f}", gross, *net, f"{book.break_even_bp:.1f}", drawdown)


def tabulate_levels(study: Study) -> Table:
    """Return the mean daily AUC and rank IC of every learner and set of columns, by horizon."""
    header = ("horizon", "learner", *(f"{name}: AUC / IC" for name in SETS), "rows", "days")
    rows = []
    for horizon, increment in study.increments.items():
        for learner in dict.fromkeys(key[0] for key in increment.levels):
            cells = [
                f"{increment.levels[learner, s, 'AUC']:.4f} / {increment.levels[learner, s, 'rank IC']:+.4f}"
                for s in SETS
            ]
            days = increment.gains[learner, next(iter(COMPARISONS)), MEASURES[0]].days
            rows.append((horizon, learner, *cells, f"{increment.rows:,}", str(days)))
    return Table("", header, tuple(rows))


def tabulate_gains(study: Study) -> Table:
    """Return the differences of AUC and rank IC with their intervals."""
    header = (
        "horizon",
        "learner",
        "difference",
        *(f"{measure} (95 % interval)" for measure in MEASURES),
        "adjusted p (IC)",
    )
    rows = []
    for horizon, increment in study.increments.items():
        for learner in dict.fromkeys(key[0] for key in increment.gains):
            for comparison in COMPARISONS:
                gains = [increment.gains[learner, comparison, measure] for measure in MEASURES]
                cells = (f"{g.value:+.4f} ({g.low:+.4f} to {g.high:+.4f})" for g in gains)
                outcome = study.tests.get((GAIN, name_gain(learner, comparison, MEASURES[1]), horizon))
                rows.append(
                    (horizon, learner, comparison, *cells, show_p(outcome.adjusted_p) if outcome else "no test")
                )
    return Table("", header, tuple(rows))


def tabulate_periods(study: Study) -> Table:
    """Return rank IC and long-short book by period and signal."""
    header = ("period", "signal", "IC (t)", "periods", "tickers", "found from")
    book_header = name_book_cells("period")
    rows = []
    for (period, signal), test in study.periods.items():
        ic, book = test.ic, test.book
        outcome = study.tests.get((PERIOD_LONG_SHORT, signal, period))
        cells = show_book(book, outcome, PERIODS[period][1]) if book and outcome else ("",) * len(book_header)
        rows.append((period, signal, show_ic(ic, study.tests[PERIOD_IC, signal, period]), str(ic.test.count),
                     str(ic.breadth), show_detectable(ic.test, 3), *cells))  # fmt: skip
    return Table("", (*header, *book_header), tuple(rows))


def list_tests(tests: Mapping[tuple[str, str, str], Outcome]) -> str:
    """Return every test as CSV: kind, subject, horizon, estimate (empty without a value), p, adjusted_p, count."""
    lines = ["kind,subject,horizon,estimate,p,adjusted_p,count"]
    for key, o in tests.items():
        cells = [f'"{cell}"' if "," in cell else cell for cell in key]
        estimate = f"{o.estimate:.6f}" if o.count else ""
        lines.append(",".join([*cells, estimate, f"{o.p:.6f}", f"{o.adjusted_p:.6f}", str(o.count)]))
    return "\n".join(lines) + "\n"


def show_ic(ic: RankIC, outcome: Outcome) -> str:
    """Return "+0.0123 (2.1)" with a star where found, empty without a value."""
    return f"{ic.test.mean:+.4f} ({show_t(ic.test)}){star(outcome)}" if ic.test.count else ""


def show_draws(draws: list[RankIC]) -> str:
    """Return the mean IC over the draws that could be tested and the range of their t, empty without one."""
    tests = [draw.test for draw in draws if draw.test.is_made]
    if not tests:
        return ""
    t = [test.t for test in tests]
    return f"{np.mean([test.mean for test in tests]):+.4f} ({min(t):.1f} to {max(t):.1f})"


def show_leg(study: Study, signal: str, leg: str) -> str:
    """Return top less bottom in bp, and the rank IC with its t, empty where either has no value."""
    ic, spread = study.legs[signal, leg].test, study.leg_spreads[signal, leg].gross_test
    if not (ic.count and spread.count):
        return ""
    return f"{spread.mean / BASIS_POINT:+.0f} bp, IC {ic.mean:+.3f} ({show_t(ic)})"


def show_t(test: MeanTest) -> str:
    """Return t, or that nothing was tested."""
    return f"{test.t:.1f}" if test.is_made else "no test"


def show_detectable(test: MeanTest, digits: int) -> str:
    """Return the smallest true mean that would be found, empty where nothing was tested."""
    return f"{test.detectable:.{digits}f}" if test.is_made else ""


def star(outcome: Outcome) -> str:
    """Return a star where the test was found."""
    return r" \*" if outcome.is_found else ""
