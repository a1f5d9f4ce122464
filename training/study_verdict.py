"""Every test of the study, corrected for their number, and what follows by the rules of study_protocol. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from scipy.stats import false_discovery_control

from .study_ic import RankIC
from .study_incremental import Incremental
from .study_periods import PeriodTest
from .study_portfolio import LongShort
from .study_protocol import COSTS_BP, LEVEL, PERIOD_SIGNALS, SIGNALS, STORE_SIGNALS

Key = tuple[str, str, str]
"""kind, subject, horizon."""
RANK_IC, LONG_SHORT, PERIOD_IC, PERIOD_LONG_SHORT, GAIN = (
    "rank IC", "long-short, gross", "period rank IC", "period long-short, gross", "gain",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Outcome:
    """One test: its ``estimate``, ``p`` and ``adjusted_p`` (Benjamini and Hochberg 1995) in 0..1, days ``count``."""

    estimate: float
    p: float
    adjusted_p: float
    count: int

    @property
    def is_found(self) -> bool:
        """Whether the adjusted p-value lies below LEVEL."""
        return self.adjusted_p < LEVEL


@dataclass(frozen=True, slots=True)
class Verdict:
    """(signal, horizon) pairs of the store that ``help``, that show a ``trace``, and horizons that beat VADER.

    ``adds`` are the horizons at which the store's columns add to prices by rule 3. ``period_helps`` are the store's
    (period, signal) pairs whose rank IC has the expected sign and is found, and whose book earns after costs.
    """

    helps: tuple[tuple[str, str], ...]
    traces: tuple[tuple[str, str], ...]
    adds: tuple[str, ...]
    beats_vader: tuple[str, ...]
    period_helps: tuple[tuple[str, str], ...]

    @property
    def answer(self) -> str:
        """ "yes", "a trace" or "no"."""
        return "yes" if self.helps else "a trace" if self.traces else "no"


def collect_tests(
    ics: Mapping[tuple[str, str], RankIC],
    books: Mapping[tuple[str, str], LongShort],
    increments: Mapping[str, Incremental],
    periods: Mapping[tuple[str, str], PeriodTest],
) -> dict[Key, Outcome]:
    """Return every test by kind, subject and horizon, its p adjusted over all of them. Placebos are no tests."""
    found: dict[Key, tuple[float, float, int]] = {}
    for (signal, horizon), ic in ics.items():
        found[RANK_IC, signal, horizon] = (ic.test.mean, ic.test.p, ic.test.count)
    for (signal, horizon), book in books.items():
        found[LONG_SHORT, signal, horizon] = (book.gross_test.mean, book.gross_test.p, book.gross_test.count)
    for (period, signal), test in periods.items():
        found[PERIOD_IC, signal, period] = (test.ic.test.mean, test.ic.test.p, test.ic.test.count)
        if test.book:
            gross = test.book.gross_test
            found[PERIOD_LONG_SHORT, signal, period] = (gross.mean, gross.p, gross.count)
    for horizon, increment in increments.items():
        for key, gain in increment.gains.items():
            if "placebo" not in key[1]:
                found[GAIN, name_gain(*key), horizon] = (gain.value, gain.p, gain.days)
    adjusted = adjust_p([p for _, p, _ in found.values()])
    return {key: Outcome(*values[:2], q, values[2]) for (key, values), q in zip(found.items(), adjusted, strict=True)}


def adjust_p(values: Sequence[float]) -> list[float]:
    """Return the p-values adjusted for their number (Benjamini and Hochberg 1995, J. R. Stat. Soc. B 57(1))."""
    return [float(p) for p in false_discovery_control(list(values), method="bh")] if values else []


def judge(
    tests: Mapping[Key, Outcome],
    books: Mapping[tuple[str, str], LongShort],
    increments: Mapping[str, Incremental],
    periods: Mapping[tuple[str, str], PeriodTest],
) -> Verdict:
    """Return the verdict by the rules of study_protocol."""
    adds, beats = (_list_gains(tests, increments, comparison) for comparison in ("store - prices", "store - VADER"))
    traces = [
        (signal, horizon)
        for kind, signal, horizon in tests
        if kind == RANK_IC and signal in STORE_SIGNALS and is_expected(tests[kind, signal, horizon], SIGNALS[signal])
    ]
    helps = [(s, h) for s, h in traces if h in adds and (s, h) in books and earns(books[s, h])]
    period_helps = [
        (period, signal)
        for (period, signal), test in periods.items()
        if signal != "vader"
        and is_expected(tests[PERIOD_IC, signal, period], PERIOD_SIGNALS[signal])
        and test.book
        and earns(test.book)
    ]
    return Verdict(tuple(helps), tuple(traces), adds, beats, tuple(period_helps))


def is_expected(outcome: Outcome, sign: int) -> bool:
    """Return whether a test was found and has the ``sign`` (1 or -1) expected beforehand."""
    return outcome.is_found and outcome.estimate * sign > 0


def earns(book: LongShort) -> bool:
    """Return whether the book's mean is above 0 after the lower cost."""
    return book.net_tests[COSTS_BP[0]].mean > 0


def _list_gains(
    tests: Mapping[Key, Outcome], increments: Mapping[str, Incremental], comparison: str
) -> tuple[str, ...]:
    """Return the horizons at which a learner's rank IC was found to be higher by ``comparison``."""
    return tuple(
        horizon
        for horizon, increment in increments.items()
        if any(
            is_expected(tests[GAIN, name_gain(*key), horizon], 1)
            for key in increment.gains
            if key[1] == comparison and key[2] == "rank IC"
        )
    )


def name_gain(learner: str, comparison: str, measure: str) -> str:
    """Return the subject of a test of a gain."""
    return f"{learner}: {comparison}, {measure}"
