"""A made-up market: prices that walk at random and features, with or without a word on the next day's returns."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from training.study_prices import Prices
from training.study_protocol import STORE_SIGNALS

REVISION = "0123456789abcdef0123456789abcdef01234567"


@dataclass(frozen=True)
class Market:
    """``features`` as study_vader.add_vader leaves them, ``prices``, and the day's own returns (days x tickers)."""

    features: pd.DataFrame
    prices: Prices
    own_returns: np.ndarray


def make_market(
    day_count: int = 150,
    ticker_count: int = 40,
    seed: int = 0,
    planted: float = 0.0,
    is_trap: bool = False,
    news_share: float = 1.0,
) -> Market:
    """Return a market of ``day_count`` sessions, which are weekdays.

    The return from open to close of the next day correlates by ``planted`` with the session's score. With ``is_trap``
    the score is the very return of its own session instead.
    """
    rng = np.random.default_rng(seed)
    days = pd.bdate_range("2020-01-02", periods=day_count, unit="us", name="date")
    tickers = pd.Index([f"T{n:03}" for n in range(ticker_count)], name="ticker")
    shape = (day_count, ticker_count)
    score = rng.normal(size=shape)
    noise = rng.normal(size=shape)
    told = np.vstack([np.zeros(ticker_count), score[:-1]])
    inside = 0.01 * (planted * told + np.sqrt(1 - planted**2) * noise)
    overnight = 0.005 * rng.normal(size=shape)
    closes = 50 * np.exp(np.cumsum(inside + overnight, axis=0))
    opens = closes / np.exp(inside)
    volumes = rng.integers(1000, 9000, size=shape).astype(float)
    prices = Prices(*(pd.DataFrame(table, index=days, columns=tickers) for table in (opens, closes, volumes)))
    shown = np.tanh((inside / 0.01 if is_trap else score) / 2)
    return Market(make_features(days, tickers, shown, rng, news_share), prices, inside)


def make_features(
    days: pd.DatetimeIndex, tickers: pd.Index, score: np.ndarray, rng: np.random.Generator, news_share: float
) -> pd.DataFrame:
    """Return long features whose columns all tell ``score`` (days x tickers, -1 to 1), VADER's noise."""
    frame = pd.DataFrame(
        {"session_date": np.repeat(days, len(tickers)), "ticker": np.tile(tickers.to_numpy(), len(days))}
    )
    has_news = rng.random(len(frame)) < news_share
    frame["available_at"] = (frame["session_date"] + pd.Timedelta(hours=22)).dt.tz_localize("UTC")
    frame["status"] = np.where(has_news, "news", "no_news")
    frame["model_revision"] = REVISION
    frame["story_count"] = np.where(has_news, rng.integers(1, 5, len(frame)), 0).astype(float)
    frame["positive_count"] = np.floor(frame["story_count"] / 2)
    frame["negative_count"] = frame["story_count"] - frame["positive_count"]
    frame["headline_count"] = frame["story_count"]
    for name, sign in STORE_SIGNALS.items():
        frame[name] = np.where(has_news, sign * score.ravel(), np.nan)
    for name in ("story_count_5", "story_count_21"):
        frame[name] = frame["story_count"]
    for name in ("vader", "vader_5", "vader_21"):
        frame[name] = np.where(has_news, rng.uniform(-1, 1, len(frame)), np.nan)
    return frame.assign(remade_score=frame["sentiment_score"])
