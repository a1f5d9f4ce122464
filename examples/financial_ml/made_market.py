"""A made-up market: monthly prices, a macro CSV and a feature store, with one planted effect. Seeded; no real number.

A hidden mood per ticker and month colours the news of the month and moves the return of the *next* month a little. So a
model that is given the news must come out ahead, and one that is given another ticker's news must not.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pandas as pd

TICKERS = (
    "AAPL", "AMZN", "BA", "BF.B", "BRK.B", "CAT", "CSCO", "CVX", "DIS", "GE", "HD", "IBM", "INTC", "JNJ", "JPM", "KO",
    "MCD", "MMM", "MRK", "MSFT", "NKE", "PFE", "PG", "WMT",
)  # fmt: skip
"""In the store and in the market."""

OUTSIDE = ("MO", "SLB", "T", "XRX")
"""In the market alone: no feed was ever read for them."""

HOLIDAYS = pd.DatetimeIndex(["2013-03-29", "2018-03-30", "2024-03-29"])
"""Good Fridays that are the last business day of a month: a label without a session."""

SESSIONS = pd.bdate_range("2012-01-02", "2025-12-31").difference(HOLIDAYS)
COLUMNS = ("headline_count", "story_count", "source_count", "positive_count", "neutral_count", "negative_count",
           "sentiment_score", "novel_share")  # fmt: skip
"""Numbers of the made-up store; a real one has more."""

PLANTED = 0.02
"""Return of the next month per unit of mood, beside noise of 0.08."""

_REVISION = "0123456789abcdef0123456789abcdef01234567"
_CLOSE, _LATENCY = pd.Timedelta(hours=21), pd.Timedelta(hours=1)


def make_mood(dates: pd.DatetimeIndex, seed: int = 0) -> pd.DataFrame:
    """Return the hidden mood, months x TICKERS, standard normal."""
    rng = np.random.default_rng(seed)
    return pd.DataFrame(rng.standard_normal((len(dates), len(TICKERS))), dates, TICKERS)


def make_prices(dates: pd.DatetimeIndex, mood: pd.DataFrame | None, seed: int = 1) -> pd.DataFrame:
    """Return month-end closes, months x (TICKERS and OUTSIDE); each month's return rests on the mood before it."""
    rng = np.random.default_rng(seed)
    tickers = [*TICKERS, *OUTSIDE]
    returns = pd.DataFrame(0.005 + 0.08 * rng.standard_normal((len(dates), len(tickers))), dates, tickers)
    if mood is not None:
        returns = returns.add(PLANTED * mood.shift(1), fill_value=0.0)
    return 100 * np.exp(returns[tickers].cumsum())


def write_macro(path: Path, dates: pd.DatetimeIndex, seed: int = 2) -> None:
    """Write a date-indexed CSV of two macro series."""
    rng = np.random.default_rng(seed)
    rate = (3 + 0.1 * rng.standard_normal(len(dates)).cumsum()).round(3)
    spread = (1.5 + 0.05 * rng.standard_normal(len(dates)).cumsum()).round(3)
    pd.DataFrame({"policy_rate": rate, "credit_spread": spread}, dates.rename("date")).to_csv(path)


def write_store(root: Path, mood: pd.DataFrame, seed: int = 3) -> None:
    """Write a feature store of SESSIONS and TICKERS: sealed files, and the manifest that vouches for them."""
    rng = np.random.default_rng(seed)
    lines, opens_after = [], SESSIONS[0] - pd.Timedelta(days=1) + _CLOSE
    for day in SESSIONS:
        label = mood.index[mood.index.searchsorted(day, side="right")] if day < mood.index[-1] else mood.index[-1]
        content = _write_session(day, mood.loc[label].to_numpy(), rng)
        path = root / f"features/{day:%Y}/{day:%Y-%m-%d}.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        moments = [_write_moment(at) for at in (day + _CLOSE + _LATENCY, opens_after, day + _CLOSE)]
        lines.append([f"{day:%Y-%m-%d}", *moments, hashlib.sha256(content).hexdigest(), 1])
        opens_after = day + _CLOSE
    names = ["session_date", "available_at", "opens_after", "cutoff_at", "features_sha256", "revision"]
    pd.DataFrame(lines, columns=names).to_csv(root / "manifest.csv", index=False, lineterminator="\n")


def _write_session(day: pd.Timestamp, mood: np.ndarray, rng: np.random.Generator) -> bytes:
    """Return the feature file of a session: four tickers in ten have news, a few could not be fetched."""
    kind = rng.random(len(TICKERS))
    scores = np.tanh(0.4 * mood + 0.8 * rng.standard_normal(len(TICKERS)))
    counts = rng.integers(1, 4, len(TICKERS))
    rows = [_list_cells(*row) for row in zip(kind, scores, counts, strict=True)]
    available_at = _write_moment(day + _CLOSE + _LATENCY)
    header = ",".join(["session_date", "ticker", "status", "available_at", "model_revision", *COLUMNS])
    lines = [
        f"{day:%Y-%m-%d},{ticker},{status},{available_at},{_REVISION},{cells}"
        for ticker, (status, cells) in zip(TICKERS, rows, strict=True)
    ]
    return "\n".join([header, *lines, ""]).encode()


def _list_cells(kind: float, score: float, count: int) -> tuple[str, str]:
    """Return the status of a row and its numbers: silence has counts of 0, a failed fetch has none."""
    if kind >= 0.4:
        return ("no_news", "0,0,0,0,0,0,,") if kind < 0.98 else ("fetch_failed", ",,,,,,,")
    positive, negative = (count, 0) if score > 0.2 else (0, count) if score < -0.2 else (0, 0)
    neutral = count - positive - negative
    return "news", f"{count},{count},1,{positive},{neutral},{negative},{score:.6f},1.000000"


def _write_moment(moment: pd.Timestamp) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"
