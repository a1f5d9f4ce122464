"""Do the features predict returns? Store and prices -> panel -> tests -> verdict -> report. The study's main line.

Everything that could be chosen is chosen in study_protocol, before any outcome. The same inputs and seed give the same
report. Nothing of a headline's text goes into it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from feature_store import FeatureStoreError, load_features

from .study_ic import RankIC, measure_ic, shuffle_within_day
from .study_incremental import Incremental, measure_increments
from .study_panel import Panel, align
from .study_periods import PeriodTest, measure_periods
from .study_portfolio import LongShort, hold_long_short
from .study_prices import Prices, StudyError, read_prices
from .study_protocol import HORIZONS, PLACEBO_SEEDS, PLACEBO_SOURCES, SIGNALS, STORE_SIGNALS
from .study_vader import add_vader, find_deviation
from .study_verdict import Key, Outcome, Verdict, collect_tests, judge
from .study_walk import LEARNERS, Fit

READ = [
    *STORE_SIGNALS,
    "status",
    "model_revision",
    "headline_count",
    "story_count",
    "story_count_5",
    "story_count_21",
    "positive_count",
    "neutral_count",
    "negative_count",
]
"""Columns of the store that the study reads."""


@dataclass(frozen=True, slots=True)
class Data:
    """What the study was made of: sizes and ranges, no outcome. ``deviation`` is of study_vader.find_deviation."""

    tickers: int
    tickers_priced: int
    sessions: int
    missed_sessions: int
    first_session: str
    last_session: str
    first_entry: str
    last_entry: str
    news_rows: int
    stories: int
    deviation: float
    model_revisions: int
    misprints: int


@dataclass(frozen=True, slots=True)
class Study:
    """Everything measured. Keys are (signal, horizon), horizons as in HORIZONS; ``periods`` by (period, signal)."""

    data: Data
    ics: Mapping[tuple[str, str], RankIC]
    placebos: Mapping[tuple[str, str], list[RankIC]]
    legs: Mapping[tuple[str, str], RankIC]
    leg_spreads: Mapping[tuple[str, str], LongShort]
    books: Mapping[tuple[str, str], LongShort]
    increments: Mapping[str, Incremental]
    periods: Mapping[tuple[str, str], PeriodTest]
    tests: Mapping[Key, Outcome]
    verdict: Verdict
    seed: int


def run_study(root: Path, prices_path: Path, seed: int, learners: Mapping[str, Fit] = LEARNERS) -> Study:
    """Return the study of the store at the local folder ``root``. Shows progress on stderr.

    Raises:
        StudyError: an input cannot be read, or there is too little of it.
    """
    features = read_features(root)
    prices = read_prices(prices_path, features["ticker"].unique())
    features = add_vader(features, root)
    with _refuse_in_one_line():
        return measure(features, prices, seed, learners)


def read_features(root: Path) -> pd.DataFrame:
    """Return the store's rows as sealed first, for a restated row became available long after its session.

    Raises:
        StudyError: what the reader refuses, or an empty store.
    """
    with _refuse_in_one_line():
        features = load_features(columns=READ, root=root, revision="first")
    if features.empty:
        raise StudyError(f"{root}: no session is sealed; there is nothing to study")
    return features


def measure(features: pd.DataFrame, prices: Prices, seed: int, learners: Mapping[str, Fit]) -> Study:
    """Return the study of ``features`` (long, with the columns of study_vader.add_vader)."""
    panel = align(features, prices)
    ics = {(s, h): measure_ic(panel.signals[s], panel.returns[h], n) for s, h, n in _cells("rank IC", SIGNALS)}
    books = {(s, h): _hold(panel, s, h, n) for s, h, n in _cells("long-short", SIGNALS)}
    books = {key: book for key, book in books.items() if len(book.gross)}
    around = {
        (signal, leg): hold_long_short(panel.signals[signal], returns, 0)
        for signal in ("sentiment_score", "overnight_score", "intraday_score", "vader")
        for leg, returns in panel.legs.items()
    }
    legs = {(signal, leg): measure_ic(panel.signals[signal], panel.legs[leg], 1) for signal, leg in around}
    placebos = draw_placebos(panel, seed)
    periods = measure_periods(features, prices)
    increments = measure_increments(panel, prices, seed, learners)
    tests = collect_tests(ics, books, increments, periods)
    verdict = judge(tests, books, increments, periods)
    return Study(
        describe(features, panel, prices.misprints),
        ics,
        placebos,
        legs,
        around,
        books,
        increments,
        periods,
        tests,
        verdict,
        seed,
    )


def draw_placebos(panel: Panel, seed: int) -> dict[tuple[str, str], list[RankIC]]:
    """Return the rank ICs of PLACEBO_SOURCES dealt anew within each day, PLACEBO_SEEDS times, by horizon."""
    found: dict[tuple[str, str], list[RankIC]] = {(s, h): [] for s in PLACEBO_SOURCES for h in HORIZONS}
    for source in PLACEBO_SOURCES:
        for number in tqdm(range(PLACEBO_SEEDS), f"placebo {source}", unit="draw", leave=False, mininterval=5):
            dealt = shuffle_within_day(panel.signals[source], np.random.default_rng([seed, number]))
            for name, horizon in HORIZONS.items():
                found[source, name].append(measure_ic(dealt, panel.returns[name], horizon))
    return found


def describe(features: pd.DataFrame, panel: Panel, misprints: int) -> Data:
    """Return sizes and ranges of what was studied."""
    is_missed = (features["status"] == "fetch_failed").groupby(features["session_date"]).mean() > 0.5
    priced = features[features["ticker"].isin(panel.has_news.columns)]
    first, last = features["session_date"].min(), features["session_date"].max()
    return Data(
        tickers=features["ticker"].nunique(),
        tickers_priced=panel.has_news.shape[1],
        sessions=len(is_missed),
        missed_sessions=int(is_missed.sum()),
        first_session=f"{first:%Y-%m-%d}",
        last_session=f"{last:%Y-%m-%d}",
        first_entry=f"{panel.days[0]:%Y-%m-%d}",
        last_entry=f"{panel.days[-1]:%Y-%m-%d}",
        news_rows=int(panel.has_news.to_numpy().sum()),
        stories=int(priced["story_count"].sum()),
        deviation=find_deviation(features),
        model_revisions=features["model_revision"].nunique(),
        misprints=misprints,
    )


def _hold(panel: Panel, signal: str, name: str, horizon: int) -> LongShort:
    returns = panel.returns[name] if horizon == 0 else panel.one_day
    return hold_long_short(SIGNALS[signal] * panel.signals[signal], returns, horizon)


def _cells(title: str, signals: Mapping[str, int]) -> Iterator[tuple[str, str, int]]:
    cells = [(signal, name, horizon) for signal in signals for name, horizon in HORIZONS.items()]
    yield from tqdm(cells, title, unit="test", leave=False, mininterval=5)


@contextmanager
def _refuse_in_one_line() -> Iterator[None]:
    try:
        yield
    except FeatureStoreError as error:
        raise StudyError(str(error)) from error
