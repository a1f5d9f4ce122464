"""Time the reader on a made-up store of 500 tickers: one year of files, and prices of five years joined.

    python -m benchmarks.reading
    python -m benchmarks.reading --tickers 100 --years 2

Every line is the best of three runs in a process of its own, beside a plain way to do the same: `ratio` says how many
times as long the plain way takes. Peak memory is that of the process, the libraries included.
"""

from __future__ import annotations

import argparse
import multiprocessing
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from time import perf_counter

import pandas as pd

from benchmarks.machine import Neighbours, describe_processor, read_peak_memory
from feature_store import join_asof, load_features, to_monthly
from tests.feature_store.made_store import list_tickers, make_store, weekdays

SESSIONS_A_YEAR = 252
FIRST_DAY = "2021-01-04"
RUNS = 3


def load_year(root: Path) -> Callable[[], object]:
    """Return the reader's load of the first year, every file held against its SHA-256."""
    end = weekdays(FIRST_DAY, SESSIONS_A_YEAR)[-1]
    return partial(load_features, end=end, root=root)


def load_year_of_one_column(root: Path) -> Callable[[], object]:
    """Return the same load with one column."""
    end = weekdays(FIRST_DAY, SESSIONS_A_YEAR)[-1]
    return partial(load_features, end=end, columns=["sentiment_score"], root=root)


def read_year_plainly(root: Path, columns: list[str] | None = None) -> Callable[[], object]:
    """Return pandas.read_csv file by file, without any check."""
    paths = sorted((root / "features").rglob("*.csv"))[:SESSIONS_A_YEAR]
    read_file = partial(
        pd.read_csv,
        usecols=columns,
        parse_dates=["session_date", "available_at"],
        keep_default_na=False,
        na_values=[""],
    )
    return lambda: pd.concat(read_file(path) for path in paths)


def read_year_of_one_column_plainly(root: Path) -> Callable[[], object]:
    """Return the same with the key and one column."""
    return read_year_plainly(root, ["session_date", "ticker", "available_at", "sentiment_score"])


def join_years(root: Path) -> Callable[[], object]:
    """Return the join of a price a session and ticker with every column."""
    features = load_features(root=root)
    prices = make_prices(features)
    return partial(join_asof, prices, features)


def join_ticker_by_ticker(root: Path) -> Callable[[], object]:
    """Return the join of the same rows by a loop of merge_asof over the tickers."""
    features = load_features(root=root)
    prices = make_prices(features)

    def join() -> object:
        opens_at = (prices["date"] + pd.Timedelta("09:30:00")).dt.tz_localize("America/New_York")
        left = dict(list(prices.assign(at=opens_at.dt.tz_convert("UTC").dt.as_unit("us")).groupby("ticker")))
        right = dict(list(features.drop(columns="ticker").groupby(features["ticker"])))
        return pd.concat(
            pd.merge_asof(rows, right[ticker], left_on="at", right_on="available_at", allow_exact_matches=False)
            for ticker, rows in left.items()
        )

    return join


def aggregate_months(root: Path) -> Callable[[], object]:
    """Return the aggregation of every session to months."""
    return partial(to_monthly, load_features(root=root))


def make_prices(features: pd.DataFrame) -> pd.DataFrame:
    """Return one price row a session and ticker, date by date."""
    return features[["session_date", "ticker"]].rename(columns={"session_date": "date"}).assign(close=1.0)


CASES = (
    ("load 1 year", load_year, read_year_plainly),
    ("load 1 year, 1 column", load_year_of_one_column, read_year_of_one_column_plainly),
    ("join_asof", join_years, join_ticker_by_ticker),
    ("to_monthly", aggregate_months, None),
)


def measure(prepare: Callable[[Path], Callable[[], object]], root: Path) -> tuple[float, float]:
    """Return the seconds of the fastest of RUNS runs and the peak memory in MB, measured in a fresh process."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_measure_here, (prepare, root))


def _measure_here(prepare: Callable[[Path], Callable[[], object]], root: Path) -> tuple[float, float]:
    run = prepare(root)
    seconds = []
    for _ in range(RUNS):
        started = perf_counter()
        run()
        seconds.append(perf_counter() - started)
    return min(seconds), read_peak_memory()


def main() -> None:
    """Make the store, run every case, print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tickers", type=int, default=500)
    parser.add_argument("--years", type=int, default=5)
    options = parser.parse_args()
    sessions = options.years * SESSIONS_A_YEAR
    with tempfile.TemporaryDirectory() as name:
        root = make_store(Path(name), list_tickers(options.tickers), weekdays(FIRST_DAY, sessions))
        print(f"{options.tickers} tickers, {sessions} sessions; {describe_processor()}; pandas {pd.__version__}")
        print(f"{'':24}{'seconds':>9}{'plain':>9}{'ratio':>8}{'peak MB':>9}")
        neighbours = Neighbours()
        for label, prepare, prepare_plainly in CASES:
            seconds, peak = measure(prepare, root)
            plain = measure(prepare_plainly, root)[0] if prepare_plainly else None
            beside = f"{plain:9.2f}{plain / seconds:8.1f}" if plain else " " * 17
            print(f"{label:24}{seconds:9.2f}{beside}{peak:9.0f}", flush=True)
        print(f"other work took {neighbours.find_share():.0%} of the machine")


if __name__ == "__main__":
    main()
