"""News features in a monthly equity model: wide frames, one CSV loader, dropna, a random forest, an expanding window.

    python -m examples.financial_ml                          # a made-up market and a made-up store
    python -m examples.financial_ml --root feature_store     # how many rows your own store reaches

Frames are business months x tickers from 1995 on. The store begins years later and does not know every ticker, and yet
no row may be lost for lack of news, and none may know the news of its own return.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.ensemble import RandomForestRegressor
from sklearn.model_selection import TimeSeriesSplit

from feature_store import NEUTRAL, FeatureStoreError, load_features, market_series, to_monthly, wide

from .made_market import make_mood, make_prices, write_macro, write_store

MONTHS = pd.date_range("1995-01-01", "2025-12-31", freq="BME", name="date")
NEWS = ["sentiment_score", "positive_share", "negative_share", "story_count", "has_news"]
YEARS = 6
"""Years out of sample; before each, the forest is fitted anew on everything earlier."""


def main() -> None:
    """Build the frames with and without news, compare the rows, then, in the made-up store alone, the forests."""
    parser = argparse.ArgumentParser(prog="python -m examples.financial_ml", description=__doc__.split("\n")[0])
    parser.add_argument("--root", help="a feature store, as a folder or https:// address; by default a made-up one")
    parser.add_argument("--trees", type=int, default=50)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        mood = None if args.root else make_mood(MONTHS)
        if mood is not None:
            write_store(work / "store", mood)
        root = args.root or work / "store"
        market, returns = build_market(work, mood)
        news = build_news(work, root, returns.columns)
    plain, joined = assemble(market, returns), assemble(market | news, returns)
    print(describe_rows(plain, joined, root if args.root else "a made-up store"))
    if args.root:
        print("The returns are made up and know nothing of real news, so no rank IC is shown.")
    else:
        print(compare_forests(plain, joined, list(news), args.trees).to_string(float_format="{:+.3f}".format))


def load_csv(path: Path) -> pd.DataFrame:
    """Return a date-indexed CSV; what is no number becomes NaN. The one loader, for every input that is a series."""
    return pd.read_csv(path, index_col=0, parse_dates=True).apply(pd.to_numeric, errors="coerce")


def build_market(work: Path, mood: pd.DataFrame | None) -> tuple[dict[str, pd.DataFrame], pd.DataFrame]:
    """Return what the model had before, as months x tickers by name, and the return of the month after each date."""
    prices = make_prices(MONTHS, mood)
    write_macro(work / "macro.csv", MONTHS)
    returns = prices.pct_change(fill_method=None)
    market = {"momentum": prices.shift(1) / prices.shift(12) - 1, "volatility": returns.rolling(12).std()}
    return market | spread(load_csv(work / "macro.csv"), prices.columns), returns.shift(-1)


def build_news(work: Path, root: str | Path, tickers: pd.Index) -> dict[str, pd.DataFrame]:
    """Return our features, months x tickers by name, neutral where there is no history or no such ticker."""
    columns = ["status", "story_count", "positive_count", "negative_count", *NEWS]
    features = load_features(root=root, columns=columns, revision="first")
    monthly = to_monthly(features, "BME")
    require_known(monthly, features["session_date"])
    own = {name: wide(monthly, name, fill="neutral") for name in NEWS}
    own = {name: frame.reindex(MONTHS, columns=tickers, fill_value=NEUTRAL[name]) for name, frame in own.items()}

    market_series(monthly).reindex(MONTHS, fill_value=0.0).to_csv(work / "news.csv")
    return own | spread(load_csv(work / "news.csv"), tickers)


def require_known(monthly: pd.DataFrame, session_dates: pd.Series) -> None:
    """Stop unless every row was available before its label's window began: the close of its last session.

    That is the last one on or before the label, which may be a holiday. A month that no session reaches is still open.

    Raises:
        ValueError: names the first row that was not.
    """
    sessions = pd.DatetimeIndex(session_dates.unique()).sort_values()
    over = monthly[monthly["period"] <= session_dates.max()]
    last_sessions = sessions[sessions.searchsorted(over["period"], side="right") - 1]
    begins_at = (last_sessions + pd.Timedelta(hours=16)).tz_localize("America/New_York")
    late = over[over["available_at"] >= begins_at]
    if len(late):
        row = late.iloc[0]
        raise ValueError(f"{row.ticker} of {row.period:%Y-%m-%d} was available only at {row.available_at}: a leak")


def spread(series: pd.DataFrame, tickers: pd.Index) -> dict[str, pd.DataFrame]:
    """Return each column of a date-indexed frame as months x tickers, the same for every ticker."""
    return {name: pd.DataFrame({ticker: column for ticker in tickers}) for name, column in series.items()}


def assemble(inputs: dict[str, pd.DataFrame], returns: pd.DataFrame) -> pd.DataFrame:
    """Return one row per month and ticker in which nothing is missing, the return to predict as column "target"."""
    stacked = {name: frame.stack(future_stack=True) for name, frame in (inputs | {"target": returns}).items()}
    return pd.concat(stacked, axis=1).rename_axis(["date", "ticker"]).dropna()


def describe_rows(plain: pd.DataFrame, joined: pd.DataFrame, root: str | Path) -> str:
    """Return what was joined and what it cost."""
    months = joined.index.get_level_values("date")[joined["has_news"] > 0]
    between = f", {months.min():%Y-%m} to {months.max():%Y-%m}" if len(months) else ""
    lost = len(plain.index.difference(joined.index))
    return (
        f"news from {root}: {len(months):,} of {len(joined):,} rows have some{between}\n"
        f"rows without our features {len(plain):,}, with them {len(joined):,}: {lost} lost for lack of news\n"
    )


def compare_forests(plain: pd.DataFrame, joined: pd.DataFrame, news: list[str], trees: int) -> pd.DataFrame:
    """Return the monthly rank correlation of forecast and return, out of sample: its mean and t-statistic."""
    swapped = joined.copy()
    swapped[news] = swap_tickers(joined[news])
    tables = {"market only": plain, "market and news": joined, "market and another ticker's news": swapped}
    found = {name: measure(forecast(rows, trees), rows["target"]) for name, rows in tables.items()}
    return pd.DataFrame(found).T


def forecast(rows: pd.DataFrame, trees: int) -> pd.Series:
    """Return forecasts of the last YEARS years, each made by a forest that was fitted on earlier months only."""
    months = rows.index.get_level_values("date")
    dates, inputs = months.unique().sort_values(), rows.drop(columns="target")
    told = []
    for past, ahead in TimeSeriesSplit(YEARS, test_size=12).split(dates):
        train, test = months.isin(dates[past]), months.isin(dates[ahead])
        forest = RandomForestRegressor(trees, min_samples_leaf=40, max_features=0.5, random_state=0)
        forest.fit(inputs[train], rows["target"][train])
        told.append(pd.Series(forest.predict(inputs[test]), inputs.index[test]))
    return pd.concat(told)


def measure(told: pd.Series, target: pd.Series) -> dict[str, float]:
    """Return the mean over months of the rank correlation across tickers (information coefficient), and its t."""
    pairs = pd.DataFrame({"told": told, "target": target.reindex(told.index)})
    ranks = pairs.groupby("date").rank()
    monthly = ranks.groupby("date").apply(lambda month: month["told"].corr(month["target"]))
    return {"rank IC": monthly.mean(), "t": monthly.mean() / monthly.std() * np.sqrt(len(monthly))}


def swap_tickers(news: pd.DataFrame) -> pd.DataFrame:
    """Return each month's news handed on to the next ticker: the placebo."""
    return news.groupby("date").transform(lambda month: np.roll(month, 1))


if __name__ == "__main__":
    try:
        main()
    except FeatureStoreError as error:
        raise SystemExit(f"error: {error}") from None
